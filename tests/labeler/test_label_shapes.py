"""Shapes whose graspable angles are known, symmetry of the labels, and bad input."""

import numpy as np
import pytest

from labeler.labels import GraspLabels, LabelSettings, count_rejections, label_view
from sim import InputError
from sim.camera import ParallelCamera, PinholeCamera
from sim.gripper import GripperGeometry
from sim.view import SceneView

PAPER = LabelSettings(
    max_width=0.1,
    max_asymmetry=0.002,
    engagement=0.004,
    min_coverage=0.5,
    max_normal_angle=0.197396,
    max_wedge_angle=np.pi / 2,
    undercut=False,
)


def bins_near(labels, view, reach=0.0025):
    """Angle bins of the labels whose surface point lies within ``reach`` metres of the optical axis."""
    depth = view.depth[labels.row, labels.col]
    points = view.camera.deproject(labels.row, labels.col, depth)
    return set(labels.angle_bin[np.hypot(points[:, 0], points[:, 1]) < reach].tolist())


def one_object(synthetic, height, back=None):
    return synthetic.make_view(height, (height > 0).astype(int), back)


@pytest.mark.parametrize("settings", [LabelSettings(), PAPER], ids=["true", "paper"])
def test_box_is_graspable_along_its_axes_not_along_its_diagonal(synthetic, settings):
    x, y = synthetic.grid()
    view = one_object(synthetic, np.where(synthetic.turned_box(x, y, (0, 0), (0.04, 0.04), 0), 0.04, 0))
    labels = label_view(view, None, settings)
    bins = bins_near(labels, view)
    assert {0, 9} <= bins
    assert not bins & {4, 5, 13, 14}
    assert not set(labels.angle_bin.tolist()) & {3, 4, 5, 6, 12, 13, 14, 15}


def test_box_label_says_width_and_deepest_depth(synthetic):
    x, y = synthetic.grid()
    view = one_object(synthetic, np.where(synthetic.turned_box(x, y, (0, 0), (0.04, 0.06), 0), 0.041, 0))
    labels = label_view(view)
    centre = labels[(labels.angle_bin == 0) & (np.abs(labels.col - 79.5) < 1) & (np.abs(labels.row - 79.5) < 1)]
    assert len(centre) > 0
    assert centre.depth == pytest.approx(0.040, abs=1e-6)
    # The pixel lies up to a millimetre beside the middle: the opening must clear the farther side.
    assert ((centre.width > 0.0445) & (centre.width < 0.0475)).all()


def test_sphere_is_graspable_at_every_angle_at_its_centre(synthetic):
    x, y = synthetic.grid()
    squared = 0.02**2 - x**2 - y**2
    bulge = np.sqrt(np.maximum(squared, 0))
    height = np.where(squared > 0, 0.02 + bulge, 0)
    back = np.where(squared > 0, synthetic.floor - 0.02 + bulge, 0)
    assert bins_near(label_view(one_object(synthetic, height)), one_object(synthetic, height)) == set(range(18))
    view = one_object(synthetic, height, back)
    assert bins_near(label_view(view), view) == set(range(18))


@pytest.mark.parametrize("settings", [LabelSettings(), PAPER], ids=["true", "paper"])
def test_cone_of_45_degrees_is_never_graspable(synthetic, settings):
    x, y = synthetic.grid()
    view = one_object(synthetic, np.maximum(0.04 - np.hypot(x, y), 0))
    assert len(label_view(view, None, settings)) == 0
    assert count_rejections(view, None, settings)["wall"] > 0


def test_wall_within_the_friction_cone_is_graspable_and_outside_is_not(synthetic):
    x, y = synthetic.grid()
    for lean, graspable in ((0.15, True), (0.28, False)):
        along = (0.04 - lean * 0.04 / 2 + 0.02 * lean - np.abs(x)) / lean
        height = np.where(np.abs(y) < 0.03, np.clip(along, 0, 0.04), 0)
        assert (0 in bins_near(label_view(one_object(synthetic, height)), one_object(synthetic, height))) == graspable


def test_two_boxes_are_not_grasped_from_inside_the_gap(synthetic):
    x, y = synthetic.grid()
    mask = np.zeros(x.shape, int)
    for value, shift in ((1, -0.0115), (2, 0.0115)):
        mask[synthetic.turned_box(x, y, (shift, 0), (0.02, 0.05), 0)] = value
    view = synthetic.make_view(np.where(mask > 0, 0.04, 0), mask)
    labels = label_view(view)
    # Across the gap nothing may be held: a finger does not fit, and both boxes are not one.
    assert not set(labels.angle_bin.tolist()) & {0, 1, 17}
    assert 9 in labels.angle_bin


def test_a_free_finger_needs_its_margin_and_the_palm_its_room(synthetic):
    x, y = synthetic.grid()
    box = synthetic.turned_box(x, y, (0, 0), (0.04, 0.06), 0)
    alone = one_object(synthetic, np.where(box, 0.03, 0))
    assert 0 in bins_near(label_view(alone), alone)
    for gap, free in ((0.0115, True), (0.0085, False)):
        wall = (x > 0.02 + gap) & (x < 0.02 + gap + 0.01) & (np.abs(y) < 0.02)
        view = synthetic.make_view(np.where(box | wall, 0.03, 0), box + 2 * wall)
        assert (0 in bins_near(label_view(view), view)) == free
    # A tower beyond the fingers: only the palm meets it.
    tower = (x > 0.045) & (x < 0.055) & (np.abs(y) < 0.01)
    for top, free in ((0.045, True), (0.079, False)):
        view = synthetic.make_view(np.where(box, 0.03, np.where(tower, top, 0)), box + 2 * tower)
        assert (0 in bins_near(label_view(view), view)) == free, top


def test_undercut_wall_is_rejected_only_with_a_back_layer(synthetic):
    x, y = synthetic.grid()
    box = synthetic.turned_box(x, y, (0, 0), (0.04, 0.06), 0)
    height = np.where(box, 0.03, 0)
    lid = np.where(box, synthetic.floor - 0.03 + 0.004, 0)  # a plate 4 mm thick, hollow below
    front_only, with_back = one_object(synthetic, height), one_object(synthetic, height, lid)
    assert len(label_view(front_only)) > 0
    assert len(label_view(with_back)) == 0
    assert len(label_view(with_back, None, LabelSettings(undercut=False))) == len(label_view(front_only))


# ---- symmetry: turn or mirror the scene, and the labels turn or mirror with it ------------------


def crooked_scene(synthetic, angle, scale=1.0):
    """Boxes that look like nothing else when turned or mirrored; ``angle`` counter-clockwise."""
    x, y = synthetic.grid()
    height, mask = np.zeros(x.shape), np.zeros(x.shape, int)
    boxes = (
        ((0.0, -0.04), (0.03, 0.07), 0.05, 0.040),
        ((-0.05, 0.03), (0.05, 0.025), 0.6, 0.025),
        ((0.05, 0.035), (0.02, 0.05), 1.1, 0.03),
        ((0.06, -0.03), (0.03, 0.03), 2.0, 0.02),
    )
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    for value, (centre, size, own, top) in enumerate(boxes, 1):
        inside = synthetic.turned_box(x, y, turn @ centre, size, own + angle)
        height[inside], mask[inside] = top, value
    return synthetic.make_view(height, mask)


def points_and_bins(labels, view):
    points = view.camera.deproject(labels.row, labels.col, view.depth[labels.row, labels.col])
    return points[:, :2], labels.angle_bin.astype(int)


def share_found(points, bins, other_points, other_bins, reach=0.003):
    """Share of labels that have one of the same bin within ``reach`` metres among the others."""
    found = 0
    for point, angle_bin in zip(points, bins, strict=True):
        near = np.hypot(*(other_points - point).T) < reach
        found += bool((other_bins[near] == angle_bin).any())
    return found / len(points)


@pytest.mark.parametrize("steps", [1, 4, 9, 13])
def test_turned_scene_gives_turned_labels(synthetic, steps):
    angle = steps * np.pi / 18
    a, b = crooked_scene(synthetic, 0), crooked_scene(synthetic, angle)
    labels_a, labels_b = label_view(a), label_view(b)
    points, bins = points_and_bins(labels_a, a)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    others, other_bins = points_and_bins(labels_b, b)
    assert len(points) > 200
    assert len(others) == pytest.approx(len(points), rel=0.15)
    assert share_found(points @ turn.T, (bins + steps) % 18, others, other_bins) > 0.9
    assert share_found(points @ turn.T, (bins - steps) % 18, others, other_bins) < 0.6 or steps == 9


def test_mirrored_scene_gives_mirrored_labels(synthetic):
    a = crooked_scene(synthetic, 0.2)
    mirrored = SceneView(
        np.ascontiguousarray(a.depth[:, ::-1]),
        np.ascontiguousarray(a.instance_mask[:, ::-1]),
        a.camera,
        np.ascontiguousarray(a.parallel_depth[:, ::-1]),
        np.ascontiguousarray(a.parallel_mask[:, ::-1]),
        a.parallel_camera,
    )
    labels, other = label_view(a), label_view(mirrored)
    wanted = {
        (int(r), 159 - int(c), (18 - int(k)) % 18)
        for r, c, k in zip(labels.row, labels.col, labels.angle_bin, strict=True)
    }
    got = {(int(r), int(c), int(k)) for r, c, k in zip(other.row, other.col, other.angle_bin, strict=True)}
    assert len(wanted) > 200
    assert len(wanted & got) / len(wanted | got) > 0.85


def test_labels_hardly_depend_on_the_scale_of_the_parallel_image(synthetic):
    x, y = synthetic.grid(5000, 1500)
    box = synthetic.turned_box(x, y, (0.01, 0.005), (0.03, 0.06), 0.3)
    fine = synthetic.make_view(np.where(box, 0.035, 0), box.astype(int), eta=5000)
    x, y = synthetic.grid()
    box = synthetic.turned_box(x, y, (0.01, 0.005), (0.03, 0.06), 0.3)
    coarse = synthetic.make_view(np.where(box, 0.035, 0), box.astype(int))
    counts = len(label_view(fine)), len(label_view(coarse))
    assert counts[0] > 50
    assert counts[1] == pytest.approx(counts[0], rel=0.1)


def test_two_runs_give_the_same_bytes(synthetic):
    view = crooked_scene(synthetic, 0.4)
    a, b = label_view(view), label_view(view)
    for name in ("row", "col", "angle_bin", "depth", "width", "score"):
        assert getattr(a, name).tobytes() == getattr(b, name).tobytes()
    assert (a.score >= 0).all()
    assert (a.score <= 1).all()


def test_view_without_objects_has_no_labels(synthetic):
    x, _ = synthetic.grid()
    view = synthetic.make_view(np.zeros(x.shape), np.zeros(x.shape, int))
    assert len(label_view(view)) == 0
    assert len(GraspLabels.empty()) == 0
    assert sum(count_rejections(view).values()) == 0


def test_unknown_ground_beside_an_object_blocks_the_finger(synthetic):
    x, y = synthetic.grid()
    view = one_object(synthetic, np.where(synthetic.turned_box(x, y, (0, 0), (0.04, 0.06), 0), 0.03, 0))
    holes = view.parallel_depth.copy()
    holes[(x > 0.022) & (x < 0.025)] = 0
    blind = SceneView(view.depth, view.instance_mask, view.camera, holes, view.parallel_mask, view.parallel_camera)
    assert 0 in bins_near(label_view(view), view)
    assert 0 not in bins_near(label_view(blind), blind)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"depth_step": 0.0}, "depth_step"),
        ({"angles": -1}, "angles"),
        ({"min_coverage": 1.5}, "min_coverage"),
        ({"friction": float("nan")}, "friction"),
        ({"max_normal_angle": 2.0}, "max_normal_angle"),
    ],
)
def test_impossible_settings_are_named(change, words):
    with pytest.raises(InputError, match=words):
        LabelSettings(**change)


def test_opening_without_room_is_named(synthetic):
    view = crooked_scene(synthetic, 0)
    with pytest.raises(InputError, match="width_tolerance"):
        label_view(view, GripperGeometry(max_opening=0.004))


def test_bad_depth_is_one_clear_error():
    camera, parallel = PinholeCamera.from_fov(32, 24), ParallelCamera(100, 40, 40)
    good = np.full((24, 32), 0.5, np.float32)
    for bad in (np.full((24, 32), np.nan, np.float32), np.zeros((24, 32), np.float32), good[:5]):
        with pytest.raises(InputError, match="depth"):
            SceneView(
                bad, np.zeros((24, 32), int), camera, np.ones((40, 40), np.float32), np.zeros((40, 40), int), parallel
            )
