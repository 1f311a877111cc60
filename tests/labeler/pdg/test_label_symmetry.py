"""Turn or mirror a scene, and its labels turn or mirror with it."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from labeler.labels import label_view
from labeler.settings import LabelSettings
from sim.view import SceneView


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


@pytest.mark.parametrize("steps", [1, 4, 13])
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
    assert share_found(points @ turn.T, (bins - steps) % 18, others, other_bins) < 0.6


ONE_PASS = LabelSettings(relaxed={})  # the second takes the better half by score: ties are broken by place
IMAGES = ("depth", "instance_mask", "parallel_depth", "parallel_mask", "parallel_back_depth")


def changed_images(view, change):
    """The view with all its images turned or mirrored; its camera looks the same from every side."""
    images = {name: getattr(view, name) for name in IMAGES}
    changed = {name: None if image is None else np.ascontiguousarray(change(image)) for name, image in images.items()}
    return SceneView(**{**vars(view), **changed})


def as_set(labels):
    parts = (labels.row, labels.col, labels.angle_bin, np.rint(labels.depth * 1e4), np.rint(labels.width * 1e6))
    return set(zip(*(part.astype(int).tolist() for part in parts), strict=True))


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), back=st.booleans(), strict=st.booleans())
def test_quarter_turn_then_label_is_label_then_quarter_turn(synthetic, seed, back, strict):
    """Exactly, depth and width too, where both take the same samples; nearly so elsewhere.

    Up to 45 and beyond 135 degrees the turned view is turned back onto the very same pixels; at 90
    nothing is resampled. From 50 to 130 the pivot moves by a pixel.
    """
    view = synthetic.scatter("any", seed, back)
    s = ONE_PASS if strict else LabelSettings(min_coverage=0.5, max_asymmetry=0.002, engagement=0.004, relaxed={})
    turned = changed_images(view, np.rot90)
    wanted = {(159 - c, r, (k + 9) % 18, d, w) for r, c, k, d, w in as_set(label_view(view, None, s))}
    got = as_set(label_view(turned, None, s))
    same = {(k + 9) % 18 for k in (0, 1, 2, 3, 4, 9, 14, 15, 16, 17)}
    assert {label for label in got if label[2] in same} == {label for label in wanted if label[2] in same}
    wanted, got = ({label[:3] for label in labels} for labels in (wanted, got))
    assert len(wanted & got) >= 0.8 * len(wanted | got) - 10


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), back=st.booleans())
@example(seed=65536, back=False).xfail(reason="resampled angles: 74 % of the labels agree here, 93 % over 31 scenes")
def test_mirrored_scene_gives_mirrored_labels(synthetic, seed, back):
    """Exactly at 0 and 90 degrees, nearly so elsewhere."""
    view = synthetic.scatter("any", seed, back)
    for axis, mirror in ((0, np.flipud), (1, np.fliplr)):
        flip = [lambda r, c: (159 - r, c), lambda r, c: (r, 159 - c)][axis]
        wanted = {(*flip(r, c), -k % 18, d, w) for r, c, k, d, w in as_set(label_view(view, None, ONE_PASS))}
        got = as_set(label_view(changed_images(view, mirror), None, ONE_PASS))
        assert {label for label in got if label[2] in (0, 9)} == {label for label in wanted if label[2] in (0, 9)}
        wanted, got = ({label[:3] for label in labels} for labels in (wanted, got))
        assert len(wanted & got) >= 0.8 * len(wanted | got) - 10
