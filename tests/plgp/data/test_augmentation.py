"""Augmentation turns grasps just as it turns the picture; holes do not spread."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plgp.data.augmentation import Augmentation, AugmentationSettings, GraspArrays, LabelledImage
from sim.errors import InputError

BINS = 180


def labelled_bar(row, col, angle, length=60, half_thickness=3.0, shape=(480, 640)):
    """A bright bar along the grasp's closing direction, (cos, -sin) in (col, row), and its grasp."""
    r, c = np.mgrid[: shape[0], : shape[1]]
    along = (c - col) * np.cos(angle) - (r - row) * np.sin(angle)
    across = (c - col) * np.sin(angle) + (r - row) * np.cos(angle)
    bar = (np.abs(along) < length / 2) & (np.abs(across) < half_thickness)
    grasps = GraspArrays(
        np.array([row]), np.array([col]), np.array([round(angle * BINS / np.pi) % BINS]), np.array([0.04], np.float32)
    )
    depth = np.where(bar, 0.5, 0.6).astype(np.float32)
    rgb = np.repeat((bar * 255).astype(np.uint8)[..., None], 3, axis=2)
    return LabelledImage(rgb, depth, bar.astype(np.uint8), grasps)


def measured(bar):
    """Centre (row, col) and direction (radians, modulo pi) of the lit pixels."""
    r, c = np.nonzero(bar)
    _, vectors = np.linalg.eigh(np.cov(np.stack([c, -r])))
    return r.mean(), c.mean(), np.arctan2(vectors[1, 1], vectors[0, 1]) % np.pi


@settings(deadline=None, max_examples=40)
@given(
    row=st.integers(200, 280), col=st.integers(280, 360), angle_bin=st.integers(0, BINS - 1), seed=st.integers(0, 2**31)
)
def test_grasp_still_lies_along_its_bar(row, col, angle_bin, seed):
    frame = labelled_bar(row, col, angle_bin * np.pi / BINS)
    out = Augmentation(bins=BINS)(frame, seed)
    assert out.rgb.shape == (320, 320, 3)
    assert len(out.grasps.row) == 1
    for picture in (out.rgb[..., 0] > 127, np.abs(out.depth - 0.5) < 0.05, out.instance_mask > 0):
        true_row, true_col, true_angle = measured(picture)
        assert abs(out.grasps.row[0] - true_row) < 1.5
        assert abs(out.grasps.col[0] - true_col) < 1.5
        difference = (out.grasps.angle_bin[0] * np.pi / BINS - true_angle + np.pi / 2) % np.pi - np.pi / 2
        assert abs(difference) < np.radians(2.5)
    assert out.grasps.width[0] == np.float32(0.04)


def test_the_bar_test_sees_a_wrong_sign():
    """A grasp turned the other way is off by more than the tolerance above."""
    frame = labelled_bar(240, 320, np.radians(20))
    errors = []
    for seed in range(20):
        out = Augmentation(bins=BINS)(frame, seed)
        _, _, angle = measured(np.abs(out.depth - 0.5) < 0.05)
        errors.append(abs((-out.grasps.angle_bin[0] * np.pi / BINS - angle + np.pi / 2) % np.pi - np.pi / 2))
    assert np.median(errors) > np.radians(10)


@pytest.mark.parametrize("parts", ["depth", "rgb", "both"])
def test_same_seed_same_frame(parts):
    frame = labelled_bar(240, 320, 0.3)
    frame = LabelledImage(
        frame.rgb if parts != "depth" else None,
        frame.depth if parts != "rgb" else None,
        frame.instance_mask,
        frame.grasps,
    )
    augmentation = Augmentation(bins=BINS)
    first, other, again = augmentation(frame, 1), augmentation(frame, 2), augmentation(frame, 1)
    assert (first.rgb is None) == (parts == "depth")
    assert (first.depth is None) == (parts == "rgb")
    np.testing.assert_array_equal(first.instance_mask, again.instance_mask)
    assert first.grasps.row == again.grasps.row
    assert (first.instance_mask != other.instance_mask).any()


def test_holes_do_not_blur_into_their_neighbours():
    frame = labelled_bar(240, 320, 0.3)
    depth = np.full((480, 640), 0.6, np.float32)
    depth[200:240, 300:340] = 0
    out = Augmentation(bins=BINS)(LabelledImage(None, depth, frame.instance_mask, frame.grasps), 7)
    seen = out.depth[out.depth > 0]
    np.testing.assert_allclose(seen, 0.6, rtol=1e-4)
    assert 1300 < (out.depth == 0).sum() < 1900


def test_grasps_outside_the_crop_are_left_out_and_none_is_fine():
    frame = labelled_bar(5, 5, 0.0)
    assert len(Augmentation(bins=BINS)(frame, 0).grasps.row) == 0
    none = GraspArrays(*(np.zeros(0, np.int64),) * 3, np.zeros(0, np.float32))
    assert len(Augmentation(bins=BINS)(LabelledImage(None, frame.depth, None, none), 0).grasps.row) == 0


def test_evaluation_crops_the_centre():
    frame = labelled_bar(200, 300, 0.0)
    out = Augmentation(bins=BINS, train=False)(frame, 0)
    np.testing.assert_array_equal(out.rgb, frame.rgb[80:400, 160:480])
    np.testing.assert_allclose(out.depth, frame.depth[80:400, 160:480])
    assert (out.grasps.row[0], out.grasps.col[0]) == (120, 140)


def test_a_crop_larger_than_the_image_is_refused():
    with pytest.raises(InputError, match="crop 500"):
        Augmentation(AugmentationSettings(crop=500))(labelled_bar(240, 320, 0.0), 0)


def test_colour_jitter_is_of_the_colours_and_of_training_only():
    frame = labelled_bar(240, 320, 0.3)
    frame = LabelledImage(frame.rgb // 2 + 60, frame.depth, frame.instance_mask, frame.grasps)
    plain, vivid = (Augmentation(AugmentationSettings(jitter=j), BINS)(frame, 3) for j in (0.0, 0.4))
    again = Augmentation(AugmentationSettings(jitter=0.4), BINS)(frame, 3)
    assert (plain.rgb != vivid.rgb).any()
    np.testing.assert_array_equal(vivid.rgb, again.rgb)
    np.testing.assert_array_equal(plain.depth, vivid.depth)
    np.testing.assert_array_equal(plain.grasps.angle_bin, vivid.grasps.angle_bin)
    still = (Augmentation(AugmentationSettings(jitter=j), BINS, train=False)(frame, 3) for j in (0.0, 0.4))
    np.testing.assert_array_equal(*(f.rgb for f in still))
    with pytest.raises(InputError, match="jitter is 2"):
        AugmentationSettings(jitter=2)


@given(st.integers(0, 2**32 - 1), st.integers(100, 300), st.integers(100, 300))
@settings(max_examples=200, deadline=None)
def test_a_crop_depends_on_no_pixel_beyond_those_that_it_names(seed, height, width):
    augmentation = Augmentation(AugmentationSettings(crop=96), train=True)
    rng = np.random.default_rng(seed)
    depth = rng.uniform(0.5, 0.7, (height, width)).astype(np.float32)
    rows, cols = augmentation.shown((height, width), seed)
    other = rng.uniform(0.5, 0.7, (height, width)).astype(np.float32)
    other[rows, cols] = depth[rows, cols]
    none = GraspArrays(*(np.zeros(0, np.int64) for _ in "123"), np.zeros(0, np.float32))
    first, second = (augmentation(LabelledImage(None, image, None, none), seed).depth for image in (depth, other))
    np.testing.assert_array_equal(first, second)
    assert (rows.stop - rows.start) * (cols.stop - cols.start) <= (96 * 1.366 + 6) ** 2
