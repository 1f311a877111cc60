import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.camera import PinholeCamera
from sim.errors import InputError
from sim.grasp import (
    GraspPoses,
    PixelGrasps,
    angle_to_bin,
    bin_to_angle,
    deepest_free_depth,
    rotations_from_angles,
)
from sim.gripper import GripperGeometry

CAMERA = PinholeCamera(120, 90, np.array([[100.0, 0, 59.5], [0, 100, 44.5], [0, 0, 1]]))
GRIPPER = GripperGeometry()


def one_grasp(row, col, depth, angle, width=0.05):
    return PixelGrasps(np.array([row]), np.array([col]), np.array([depth]), np.array([angle]), np.array([width]), [1.0])


def floor_with_bar(height=0.04, half_width=0.015, angle=0.0):
    """A bar that runs across the closing direction of ``angle``, 0.5 m below the camera."""
    rows, cols = np.mgrid[:90, :120]
    points = CAMERA.deproject(rows.ravel(), cols.ravel(), 0.5).reshape(90, 120, 3)
    along = points[..., 0] * np.cos(angle) - points[..., 1] * np.sin(angle)
    return np.where(np.abs(along) < half_width, 0.5 - height, 0.5).astype(np.float32)


def slow_free_depth(depth, row, col, angle, width, surface, margin, depth_margin):
    """Every pixel of the image against both fingers' and the palm's rectangles."""
    if surface == 0:
        return np.nan
    rows, cols = np.nonzero(depth)
    z = depth[rows, cols].astype(float)
    points = CAMERA.deproject(rows, cols, z) - CAMERA.deproject(row, col, surface)
    a = points[:, 0] * np.cos(angle) - points[:, 1] * np.sin(angle)
    b = points[:, 0] * np.sin(angle) + points[:, 1] * np.cos(angle)
    inner, outer = width / 2 - margin, width / 2 + GRIPPER.finger_thickness + margin
    tops = []
    for side in (-1, 1):
        under = (side * a >= inner) & (side * a <= outer) & (np.abs(b) <= GRIPPER.finger_width / 2 + margin)
        seen = (z[under] ** 2).sum() / CAMERA.intrinsics[0, 0] ** 2
        if seen < 0.2 * (outer - inner) * (GRIPPER.finger_width + 2 * margin):
            return np.nan
        tops.append(z[under].min())
    palm = (np.abs(a) <= GRIPPER.palm_width / 2) & (np.abs(b) <= GRIPPER.palm_thickness / 2)
    tops.append(z[palm].min() + GRIPPER.finger_length)
    deepest = min(*tops, surface + GRIPPER.finger_length) - surface
    if deepest <= 0:
        return deepest
    return deepest - depth_margin if depth_margin < deepest / 2 else deepest / 2


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_depth_rule_equals_its_slow_twin(seed):
    rng = np.random.default_rng(seed)
    depth = (0.5 - rng.choice([0.05, 0.15]) * rng.random((9, 12)).repeat(10, 0).repeat(10, 1)).astype(np.float32)
    depth[rng.random(depth.shape) < 0.3] = 0
    rows, cols = rng.integers(0, 90, 20), rng.integers(0, 120, 20)
    angle, width = rng.uniform(0, np.pi, 20), rng.uniform(0.02, 0.1, 20)
    under = rng.choice([0.0, 0.004, 0.02])
    given_ones = rng.choice([0.0, 0.4, 0.49], 20)
    for surface in (None, given_ones):
        fast = deepest_free_depth(
            depth, CAMERA, GRIPPER, rows, cols, angle, width, margin=0.002, depth_margin=under, surface=surface
        )
        own = depth[rows, cols].astype(float) if surface is None else surface
        slow = [slow_free_depth(depth, *g, 0.002, under) for g in zip(rows, cols, angle, width, own, strict=True)]
        np.testing.assert_allclose(fast, slow, atol=1e-6)


@pytest.mark.parametrize("angle", np.deg2rad([0, 20, 45, 90, 130, 170]))
def test_only_the_right_angle_straddles_a_bar(angle):
    depth = floor_with_bar(angle=angle)
    at = {"row": [44], "col": [59], "width": [0.04]}
    assert deepest_free_depth(depth, CAMERA, GRIPPER, angle=[angle], **at)[0] == pytest.approx(0.04, abs=1e-6)
    assert deepest_free_depth(depth, CAMERA, GRIPPER, angle=[angle + np.pi / 2], **at)[0] == pytest.approx(0, abs=1e-6)
    wrong_sign = deepest_free_depth(depth, CAMERA, GRIPPER, angle=[-angle], **at)[0]
    assert wrong_sign == pytest.approx(0.04 if np.sin(2 * angle) == pytest.approx(0, abs=1e-9) else 0, abs=1e-6)


def test_depth_rule_stops_at_the_finger_length_and_at_the_palm():
    deep = floor_with_bar(height=0.2)
    assert deepest_free_depth(deep, CAMERA, GRIPPER, 44, 59, 0, 0.06)[0] == pytest.approx(GRIPPER.finger_length)
    # A tower beside the grasp pixel, between the fingers: the palm would hit it.
    tower = floor_with_bar(height=0.04)
    tower[46, 57:60] = 0.5 - 0.07
    assert deepest_free_depth(tower, CAMERA, GRIPPER, 44, 59, 0, 0.06)[0] == pytest.approx(0.02, abs=1e-6)


def test_depth_margin_keeps_palm_and_fingers_off_what_they_see_but_leaves_half_of_the_way():
    at = (CAMERA, GRIPPER, 44, 59, 0, 0.06)
    long, short = floor_with_bar(height=0.2), floor_with_bar(height=0.006)
    assert deepest_free_depth(long, *at, depth_margin=0.004)[0] == pytest.approx(GRIPPER.finger_length - 0.004)
    assert deepest_free_depth(short, *at, depth_margin=0.004)[0] == pytest.approx(0.003, abs=1e-6)
    flat = np.full((90, 120), 0.5, np.float32)
    assert deepest_free_depth(flat, *at, depth_margin=0.004)[0] == 0


def test_unknown_ground_has_no_depth():
    depth = floor_with_bar()
    assert np.isnan(deepest_free_depth(depth, CAMERA, GRIPPER, 44, 2, 0, 0.06)[0])  # over the image's border
    hole = depth.copy()
    hole[:, 60:] = 0
    assert np.isnan(deepest_free_depth(hole, CAMERA, GRIPPER, 44, 59, 0, 0.06)[0])
    assert np.isnan(deepest_free_depth(hole, CAMERA, GRIPPER, 44, 70, 0, 0.06)[0])


def test_rotation_is_equation_9_and_counter_clockwise_as_seen():
    theta = 0.3
    expected = [[np.cos(theta), np.sin(theta), 0], [-np.sin(theta), np.cos(theta), 0], [0, 0, 1]]
    np.testing.assert_allclose(rotations_from_angles(theta)[0], expected)
    closing = rotations_from_angles(np.pi / 4)[0][:, 0]
    assert closing[0] > 0  # right
    assert closing[1] < 0  # and up in the picture, where rows grow downwards


def test_poses_lie_at_the_pixel_and_below_its_surface():
    poses = one_grasp(20, 80, 0.03, 0.5).to_poses(floor_with_bar(), CAMERA)
    rows, cols, z = CAMERA.project(poses.translation - [0, 0, 0.03])
    np.testing.assert_allclose([rows[0], cols[0], z[0]], [20, 80, 0.5], atol=1e-6)


@given(st.integers(-1000, 1000), st.integers(1, 60))
def test_bins_are_centred_and_wrap(k, bins):
    centre = k * np.pi / bins
    assert angle_to_bin(centre, bins) == k % bins
    assert angle_to_bin(centre + 0.49 * np.pi / bins, bins) == k % bins
    assert angle_to_bin(centre - 0.49 * np.pi / bins, bins) == k % bins
    np.testing.assert_allclose(np.cos(2 * bin_to_angle(k % bins, bins)), np.cos(2 * centre), atol=1e-9)


@given(st.floats(-20, 20))
def test_angles_are_kept_in_half_a_turn(angle):
    kept = one_grasp(0, 0, 0.0, angle).angle[0]
    assert 0 <= kept < np.pi
    np.testing.assert_allclose([np.cos(2 * kept), np.sin(2 * kept)], [np.cos(2 * angle), np.sin(2 * angle)], atol=1e-9)


def test_graspnet_rows_round_trip():
    rng = np.random.default_rng(0)
    rotation = rotations_from_angles(rng.uniform(0, np.pi, 5))
    poses = GraspPoses(rng.normal(size=(5, 3)), rotation, rng.uniform(0, 0.1, 5), rng.random(5))
    rows = poses.to_graspnet()
    assert rows.shape == (5, 17)
    back = GraspPoses.from_graspnet(rows)
    for name in ("translation", "rotation", "width", "quality"):
        np.testing.assert_allclose(getattr(back, name), getattr(poses, name), atol=1e-12)
    rows[:, 3] = 0.02  # a depth moves the tips along the approach
    np.testing.assert_allclose(GraspPoses.from_graspnet(rows).translation - poses.translation, [[0, 0, 0.02]] * 5)


@pytest.mark.parametrize(
    ("depth", "message"),
    [
        (np.full((90, 120), np.nan, np.float32), "NaN"),
        (np.zeros((90, 120), np.float32), "zero everywhere"),
        (np.ones((90, 120, 1), np.float32), "shape"),
        (np.ones((80, 120), np.float32), "camera"),
        (np.ones((90, 120), np.uint16), "dtype"),
        (-np.ones((90, 120), np.float32), "negative"),
    ],
)
def test_bad_depth_images_are_named(depth, message):
    with pytest.raises(InputError, match=message):
        deepest_free_depth(depth, CAMERA, GRIPPER, 44, 59, 0, 0.06)


def test_bad_grasps_are_named():
    depth = floor_with_bar()
    depth[0, 0] = 0
    with pytest.raises(InputError, match="no depth"):
        one_grasp(0, 0, 0.0, 0.0).to_poses(depth, CAMERA)
    with pytest.raises(InputError, match="outside"):
        one_grasp(90, 0, 0.0, 0.0).to_poses(depth, CAMERA)
    with pytest.raises(InputError, match="length"):
        PixelGrasps(np.zeros(2), np.zeros(1), np.zeros(1), np.zeros(1), np.zeros(1), np.zeros(1))
    with pytest.raises(InputError, match="finger_width"):
        GripperGeometry(finger_width=0)
