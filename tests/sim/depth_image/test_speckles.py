"""Speckles in mid-air disappear from a depth image; what is attached, long, large or alone among holes stays."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import ndimage

from sim.camera import PinholeCamera
from sim.depth_image.speckles import without_speckles

CAMERA = PinholeCamera(160, 120, np.array([[300.0, 0, 80], [0, 300, 60], [0, 0, 1]]))  # at 0.6 m a pixel is 2 mm
IN_FRONT, RIM, LARGEST = 0.03, 0.015, 40e-6


def table(**patches):
    """A table 0.6 m away, with patches rows x columns at other depths."""
    depth = np.full((120, 160), 0.6, np.float32)
    for row, col, height, width, value in patches.values():
        depth[row : row + height, col : col + width] = value
    return depth


def slow(depth):
    """Every connected patch of equal depth, looked at by itself; holes of a few pixels around it count for nothing."""
    result = depth.copy()
    for value in np.unique(depth[depth > 0]):
        labels, count = ndimage.label(depth == value, structure=np.ones((3, 3)))
        for label in range(1, count + 1):
            patch = labels == label
            beside = depth[ndimage.binary_dilation(patch, np.ones((3, 3))) & ~patch & (depth > 0)]
            around = depth[ndimage.binary_dilation(patch, np.ones((15, 15)))].max()
            area = patch.sum() * float(value) ** 2 / 300**2
            if area <= LARGEST and (beside >= value + IN_FRONT).all() and around >= value + IN_FRONT:
                result[patch] = 0
    return result


def test_a_speckle_in_mid_air_is_taken_as_missing():
    depth = table(speckle=(40, 50, 3, 4, 0.35))
    clean, count = without_speckles(depth, CAMERA)
    assert count == 1
    assert not clean[40:43, 50:54].any()
    assert (clean[depth > 0.5] == np.float32(0.6)).all()
    assert depth[41, 51] == np.float32(0.35)  # the image itself is left as it was


@pytest.mark.parametrize(
    "patches",
    [
        pytest.param({"block": (40, 50, 6, 6, 0.5)}, id="as large as a marker's end"),
        pytest.param({"pen": (40, 50, 2, 60, 0.5)}, id="thin but long"),
        pytest.param({f"pen {col}": (40, col, 2, 6, 0.5) for col in range(20, 140, 8)}, id="a pen with gaps"),
        pytest.param({"low": (40, 50, 3, 3, 0.58)}, id="20 mm over the table"),
        pytest.param({"block": (40, 50, 30, 30, 0.5), "tooth": (37, 60, 3, 3, 0.5)}, id="a thing's tooth"),
        pytest.param({"hole": (30, 40, 20, 20, 0.0), "speckle": (39, 49, 2, 2, 0.4)}, id="nobody knows what is behind"),
        pytest.param({"deep": (40, 50, 3, 3, 0.9)}, id="a hole in the table"),
    ],
)
def test_what_is_no_speckle_stays(patches):
    depth = table(**patches)
    clean, count = without_speckles(depth, CAMERA)
    assert count == 0
    assert np.array_equal(clean, depth)


def test_a_speckle_at_the_border_and_a_blurred_one():
    depth = table(corner=(117, 0, 3, 3, 0.4), rim=(60, 80, 3, 3, 0.58), speckle=(61, 81, 1, 1, 0.45))
    clean, count = without_speckles(depth, CAMERA)
    assert count == 2
    assert not clean[117:, :3].any()
    assert not clean[60:63, 80:83].any()


def test_a_stray_pixel_before_the_lens_changes_nothing():
    depth = table(speckle=(40, 50, 3, 3, 0.4), stray=(10, 10, 1, 1, 0.01))
    clean, count = without_speckles(depth, CAMERA)
    assert count == 2
    assert not clean[40:43, 50:53].any()
    hole = table(hole=(30, 40, 20, 20, 0.0), speckle=(39, 49, 2, 2, 0.4), stray=(10, 10, 1, 1, 0.05))
    assert without_speckles(hole, CAMERA)[0][39, 49] == np.float32(0.4)


def test_images_without_depth_or_of_a_few_pixels():
    for shape in ((120, 160), (1, 1), (2, 5)):
        for value in (0.0, 0.5):
            depth = np.full(shape, value, np.float32)
            clean, count = without_speckles(depth, CAMERA)
            assert count == 0
            assert np.array_equal(clean, depth)


PLACE = st.tuples(st.integers(0, 119), st.integers(0, 159), st.integers(1, 9), st.integers(1, 9), st.integers(0, 8))
VALUES = [0.0, *(0.28 + 0.04 * np.arange(8))]  # metres: missing, and 40 mm apart


def drawn(patches):
    return table(**{str(i): (*place, np.float32(VALUES[level])) for i, (*place, level) in enumerate(patches)})


@given(PLACE)
def test_one_patch_as_a_slow_twin_sees_it(patch):
    depth = drawn([patch])
    assert np.array_equal(without_speckles(depth, CAMERA)[0], slow(depth))


@given(st.lists(PLACE, max_size=12))
@example([(40, 50, 5, 5, 0), (41, 51, 3, 3, 4)])
@example([(0, 0, 1, 1, 1), (0, 0, 1, 2, 2), (0, 0, 1, 1, 2)])
def test_of_many_patches_nothing_but_speckles_goes(patches):
    """What goes is small, patches that nearly touch taken as one, and touches nothing that is as near."""
    depth = drawn(patches)
    clean, _ = without_speckles(depth, CAMERA)
    gone = clean != depth
    labels, count = ndimage.label(ndimage.binary_dilation(gone, np.ones((5, 5))), structure=np.ones((3, 3)))
    for label in range(1, count + 1):
        patch = gone & (labels == label)
        assert (depth[patch].astype(float) ** 2).sum() / 300**2 <= LARGEST
        beside = clean[ndimage.binary_dilation(patch, np.ones((3, 3))) & ~patch]
        assert (beside[beside > 0] > np.median(depth[patch]) + RIM).all()
