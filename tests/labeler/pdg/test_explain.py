"""What explain_pixel says is what label_view does."""

from dataclasses import replace

import numpy as np
import pytest

from labeler import explain_pixel
from labeler.labels import count_rejections, label_view
from labeler.pdg.reasons import REASONS
from labeler.settings import LabelSettings
from sim.camera import PinholeCamera
from sim.errors import InputError
from sim.gripper import GripperGeometry
from sim.view import SceneView

FRANKA = GripperGeometry(0.0175, 0.0152, 0.046, 0.080, 0.204, 0.063)


@pytest.fixture(scope="module")
def pile(synthetic):
    """Two boxes close together, a turned one, a ramp and a hollow lid."""
    x, y = synthetic.grid()
    height, mask, hollow = np.zeros(x.shape), np.zeros(x.shape, int), np.zeros(x.shape, bool)
    boxes = (
        ((-0.06, 0.0), (0.04, 0.05), 0.0, 0.03),
        ((-0.06, 0.055), (0.04, 0.05), 0.0, 0.04),
        ((0.04, 0.05), (0.03, 0.06), 0.6, 0.05),
        ((0.05, -0.05), (0.05, 0.05), 0.3, 0.03),
        ((-0.02, -0.06), (0.04, 0.03), 1.2, 0.06),
    )
    for value, (centre, size, angle, top) in enumerate(boxes, 1):
        inside = synthetic.turned_box(x, y, centre, size, angle)
        slope = (x - centre[0]) if value == 4 else 0.0
        height, mask = np.where(inside, top + slope, height), np.where(inside, value, mask)
        hollow |= inside & (value == 5)
    back = np.where(hollow, synthetic.floor - height + 0.003, synthetic.floor)
    return synthetic.make_view(height, mask, back)


def assert_agrees(view, settings, count, seed=0, gripper=None):
    """On ``count`` labelled pixels and as many object pixels without a label."""
    labels = label_view(view, gripper, settings)
    rng = np.random.default_rng(seed)
    labelled = np.unique(np.stack([labels.row, labels.col], 1), axis=0)
    rows, cols = np.nonzero(view.instance_mask)
    without = np.array(sorted(set(zip(rows, cols, strict=True)) - set(map(tuple, labelled.tolist()))))
    for pixels in (labelled, without):
        for row, col in pixels[rng.permutation(len(pixels))[:count]].tolist():
            explanation = explain_pixel(view, row, col, gripper=gripper, settings=settings)
            here = labels[(labels.row == row) & (labels.col == col)]
            expected = [
                (int(k), pytest.approx(float(d), abs=1e-6), pytest.approx(float(w), abs=1e-6))
                for k, d, w in zip(here.angle_bin, here.depth, here.width, strict=True)
            ]
            assert explanation.labels() == expected, (row, col)


def test_agrees_with_the_labels(pile):
    assert_agrees(pile, LabelSettings(), 12)
    assert_agrees(pile, LabelSettings(angles=7, undercut=False, min_coverage=0.5), 6, seed=1)
    assert_agrees(pile, LabelSettings(), 6, seed=2, gripper=FRANKA)


def test_agrees_with_the_labels_of_a_real_scene(real_scene):
    assert_agrees(real_scene("scene1"), LabelSettings(angles=6), 4)


@pytest.mark.parametrize(
    ("gripper", "settings"),
    [
        (GripperGeometry(), LabelSettings(angles=2)),
        (FRANKA, LabelSettings(angles=3, undercut=False, min_coverage=0.5, max_asymmetry=0.002, engagement=0.004)),
    ],
    ids=["truest", "franka-paper"],
)
def test_counts_add_up_to_those_of_the_view(pile, gripper, settings):
    """The furthest check over a pixel's depths, summed over a small camera's pixels, is count_rejections."""
    small = PinholeCamera(24, 24, np.array([[45, 0, 11.5], [0, 45, 11.5], [0, 0, 1.0]]))
    rows, cols = np.mgrid[:24, :24] * 160 // 24 + 3
    view = SceneView(
        pile.depth[rows, cols],
        pile.instance_mask[rows, cols],
        small,
        pile.parallel_depth,
        pile.parallel_mask,
        pile.parallel_camera,
        parallel_back_depth=pile.parallel_back_depth,
    )
    counts = dict.fromkeys(REASONS, 0)
    for row, col in zip(*np.nonzero(view.instance_mask), strict=True):
        for answers in explain_pixel(view, int(row), int(col), gripper=gripper, settings=settings).reasons.tolist():
            if answers[0] != "hidden":
                counts[max(answers, key=REASONS.index)] += 1
    assert counts == count_rejections(view, gripper, settings)
    assert counts["valid"] > 0
    assert sum(count > 0 for count in counts.values()) >= 4


def test_says_what_is_in_the_way(synthetic):
    x, y = synthetic.grid()
    body = synthetic.turned_box(x, y, (0, 0), (0.04, 0.04), 0)
    near = synthetic.turned_box(x, y, (0.03, 0), (0.01, 0.04), 0)
    height = np.where(body, 0.04, np.where(near, 0.02, 0))
    view = synthetic.make_view(height, np.where(body, 1, np.where(near, 2, 0)))
    explanation = explain_pixel(view, 79, 79)
    across, along = explanation.reasons[0].tolist(), explanation.reasons[9].tolist()
    assert along[5:20] == ["valid"] * 15  # nothing stands before and behind the box
    assert across[5] == "valid"  # above the neighbour
    assert "valid" not in across[12:]  # beside it no finger fits symmetrically
    assert set(explanation.reasons[4].tolist()) <= {"contact", "symmetry", "normal", "coverage", "wedge", "wall"}
    assert " 0 deg: 0 symmetry, 2-4 wall, 6-20 valid, 22-40 symmetry, 42-48 contact" in str(explanation)
    assert np.isnan(explanation.widths[0, -1])
    assert explanation.widths[9, 10] == pytest.approx(0.045, abs=0.0025)


# Where something stands beside a box (start, size, height), and which check says no at 0 degrees, 10 mm deep.
SIDE = {
    "low neighbour": (0.026, 0.010, 0.025, "sweep"),
    "tower under the palm": (0.060, 0.010, 0.085, "palm"),
    "nothing": (0.2, 0.01, 0.0, "valid"),
}


@pytest.mark.parametrize("name", SIDE)
def test_says_which_check_a_neighbour_fails(synthetic, name):
    """A 30 mm box whose pixel lies 1.5 mm beside the middle: the farther side's finger opens, the nearer must too."""
    x, y = synthetic.grid()
    start, size, top, answer = SIDE[name]
    body = synthetic.turned_box(x, y, (-0.0005, 0), (0.03, 0.04), 0)
    near = (x > start) & (x < start + size) & (np.abs(y) < 0.02)
    height = np.where(body, 0.03, np.where(near, top, 0))
    view = synthetic.make_view(height, np.where(body, 1, np.where(near, 2, 0)))
    explanation = explain_pixel(view, 79, 80)
    level = int(np.argmin(np.abs(explanation.depths - 0.01)))
    assert explanation.depths[level] == pytest.approx(0.01)
    assert explanation.reasons[0, level] == answer
    assert explanation.reasons[9, level] == "valid"
    assert f"{answer}" in str(explanation).splitlines()[1]
    assert (0 in [k for k, _, _ in explanation.labels()]) == (answer == "valid")


def test_reasons_cover_every_angle_and_depth_of_the_gripper(pile):
    labels = label_view(pile, FRANKA)
    explanation = explain_pixel(pile, int(labels.row[0]), int(labels.col[0]), gripper=FRANKA)
    assert explanation.reasons.shape == explanation.widths.shape == (18, 23)
    assert explanation.depths.tolist() == pytest.approx(np.arange(0, 0.046, 0.002).tolist())
    assert set(explanation.reasons.ravel()) <= set(REASONS)
    assert (np.isnan(explanation.widths) <= np.isin(explanation.reasons, ["contact", "symmetry"])).all()
    assert str(explanation).count("deg:") == 18


def test_a_pixel_without_a_label_points_to_the_second_pass(synthetic):
    """A box whose low rim only the looser thresholds accept."""
    low = synthetic.turned_box(*synthetic.grid(), (0, 0), (0.02, 0.05), 0)
    view, settings = synthetic.make_view(np.where(low, 0.005, 0), low.astype(int)), LabelSettings()
    assert len(label_view(view, None, replace(settings, relaxed={}))) == 0
    labels = label_view(view, None, settings)
    row, col = int(labels.row[0]), int(labels.col[0])
    assert "0 labels in the first pass; if it leaves" in str(explain_pixel(view, row, col, settings=settings))
    second = explain_pixel(view, row, col, settings=settings.second_pass())
    assert labels.angle_bin[0] in [k for k, *_ in second.labels()]
    assert "pass" not in str(second)


def test_hidden_pixel_says_so(synthetic):
    """The front of a tall box as a camera on the side of it would see it: no parallel ray ends there."""
    x, y = synthetic.grid()
    box = synthetic.turned_box(x, y, (0.08, 0), (0.04, 0.04), 0)
    view = synthetic.make_view(np.where(box, 0.1, 0), box.astype(int))
    depth = view.depth.copy()
    row, col = 79, int(np.nonzero(view.instance_mask[79])[0][0])
    depth[row, col] = 0.55  # half-way down the side, left of the top as seen from above
    lower = SceneView(
        depth, view.instance_mask, view.camera, view.parallel_depth, view.parallel_mask, view.parallel_camera
    )
    if lower.parallel_mask[tuple(aligned(lower, row, col))] == 1:
        pytest.fail("the test's pixel is not hidden")
    explanation = explain_pixel(lower, row, col)
    assert set(explanation.reasons.ravel()) == {"hidden"}
    assert explanation.labels() == []
    explanation.draw()


def aligned(view, row, col):
    r, c, _ = view.parallel_camera.project(view.camera.deproject(row, col, view.depth[row, col]))
    return np.rint([r[0], c[0]]).astype(int)


@pytest.mark.parametrize("rgb", [False, True])
def test_picture_shows_gripper_and_profile(pile, tmp_path, rgb):
    labels = label_view(pile)
    row, col = int(labels.row[0]), int(labels.col[0])
    picture = np.zeros((160, 160, 3), np.uint8) if rgb else None
    view = SceneView(**{**vars(pile), "rgb": picture})
    explanation = explain_pixel(view, row, col)
    figure = explanation.draw()
    angle_bin, level = explanation.furthest()
    assert explanation.reasons[angle_bin, level] == "valid"
    profile = figure.axes[1]
    fingers = [p for p in profile.patches if p.get_width() == pytest.approx(1e3 * GripperGeometry().finger_thickness)]
    assert len(fingers) == 2
    gap = fingers[1].get_x() - fingers[0].get_x() - fingers[0].get_width()
    assert gap == pytest.approx(1e3 * explanation.widths[angle_bin, level])
    assert fingers[0].get_y() == pytest.approx(-1e3 * explanation.depths[level])
    assert profile.get_title().endswith("valid")
    figure.savefig(tmp_path / "why.png")
    assert (tmp_path / "why.png").stat().st_size > 5000
    wide = explanation.draw(angle_bin=(angle_bin + 4) % 18, depth=0.01)
    assert "10 mm deep" in wide.axes[1].get_title()


def test_picture_shows_the_palm_in_the_tower_that_it_would_meet(synthetic):
    x, y = synthetic.grid()
    box = synthetic.turned_box(x, y, (0, 0), (0.03, 0.05), 0)
    tower = (x > 0.098) & (x < 0.108) & (np.abs(y) < 0.01)
    height = np.where(box, 0.02, np.where(tower, 0.066, 0))
    back = np.where(height > 0, synthetic.floor, 0)
    explanation = explain_pixel(synthetic.make_view(height, box + 2 * tower, back), 79, 79, gripper=FRANKA)
    profile = explanation.draw(0, 0.01).axes[1]
    assert profile.get_title().endswith(": palm")
    palm = max(profile.patches, key=lambda patch: patch.get_width())
    assert palm.get_width() == pytest.approx(204)
    assert palm.get_y() == pytest.approx(46 - 10)  # a finger's length above the tips, 10 mm below the surface
    surface = next(line for line in profile.lines if line.get_linewidth() == 1.5)
    under = np.abs(surface.get_xdata()) < 102
    assert np.nanmax(surface.get_ydata()[under]) == pytest.approx(46, abs=0.1)  # the tower's top stands in it
    assert any(line.get_color() == "red" for line in profile.lines)  # the back layer


def test_picture_draws_a_gripper_without_a_place_in_dashes_and_wide_open(pile):
    labels = label_view(pile)
    explanation = explain_pixel(pile, int(labels.row[0]), int(labels.col[0]))
    angle_bin, level = np.argwhere(explanation.reasons == "contact")[-1]
    profile = explanation.draw(int(angle_bin), float(explanation.depths[level])).axes[1]
    fingers = [p for p in profile.patches if p.get_width() == pytest.approx(5)]
    assert {finger.get_linestyle() for finger in fingers} == {"--"}
    assert fingers[1].get_x() - fingers[0].get_x() - 5 == pytest.approx(90)


def test_wrong_pixels(pile):
    with pytest.raises(InputError, match="lies outside the 160x160 image"):
        explain_pixel(pile, 160, 0)
    with pytest.raises(InputError, match="shows no object"):
        explain_pixel(pile, 0, 0)
    labels = label_view(pile)
    with pytest.raises(InputError, match="no angle bin 18"):
        explain_pixel(pile, int(labels.row[0]), int(labels.col[0])).draw(18)


def test_legends_name_all_that_is_drawn(pile):
    labels = label_view(pile)
    figure = explain_pixel(pile, int(labels.row[0]), int(labels.col[0])).draw()
    legends = [{text.get_text() for text in axes.get_legend().get_texts()} for axes in figure.axes]
    profile = {"surface under the fingers' sides", "under their middle", "object at the pixel", "gripper", "pixel"}
    assert legends[1] - {"underside"} == profile
    assert legends[2] == {"opening", "pixel"}
