import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.camera import ParallelCamera, PinholeCamera, offset_pose, overhead_pose
from sim.errors import InputError

CAMERA = PinholeCamera.from_fov()
PARALLEL = ParallelCamera()


def test_intrinsics_are_those_of_equation_1():
    focal = 240 / np.tan(np.pi / 6)
    assert focal == pytest.approx(415.692193816)
    np.testing.assert_allclose(CAMERA.intrinsics, [[focal, 0, 319.5], [0, focal, 239.5], [0, 0, 1]])


@given(st.floats(0, 479), st.floats(0, 639), st.floats(0.05, 3))
def test_project_undoes_deproject(row, col, depth):
    for camera in (CAMERA, PARALLEL):
        r, c, z = camera.project(camera.deproject(row, col, depth))
        np.testing.assert_allclose([r[0], c[0], z[0]], [row, col, depth], atol=1e-9)


def test_camera_axes_are_right_down_forward():
    right, down = CAMERA.deproject([239.5, 300], [400, 319.5], 1.0)
    assert right[0] > 0
    assert right[1] == pytest.approx(0)
    assert down[1] > 0
    assert down[0] == pytest.approx(0)
    # In the world: image right is +x, image down is -y, for the camera straight above.
    pose = overhead_pose(0.6)
    assert (pose[:3, :3] @ right)[0] > 0
    assert (pose[:3, :3] @ down)[1] < 0


@given(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3), st.floats(0.3, 1.0))
def test_offset_camera_looks_at_the_centre_without_roll(x, y, height):
    pose = offset_pose(height, (x, y))
    np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)
    np.testing.assert_allclose(pose[:3, 3], [x, -y, height], atol=1e-12)
    centre = np.linalg.inv(pose) @ [0, 0, 0, 1]
    np.testing.assert_allclose(centre[:2], 0, atol=1e-9)
    # The turn from the straight-down pose has no component about the optical axis.
    turn = overhead_pose(height)[:3, :3].T @ pose[:3, :3]
    assert turn[0, 1] == pytest.approx(turn[1, 0], abs=1e-9)


@pytest.mark.parametrize(
    "make",
    [
        lambda: PinholeCamera(640, 480, np.eye(2)),
        lambda: PinholeCamera(640, 480, np.full((3, 3), np.nan)),
        lambda: PinholeCamera(640, 480, np.eye(3), np.eye(3)),
        lambda: PinholeCamera.from_fov(fov=60),
        lambda: ParallelCamera(pixels_per_metre=0),
    ],
)
def test_wrong_cameras_are_named(make):
    with pytest.raises(InputError):
        make()
