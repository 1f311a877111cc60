"""Poses and points: made, moved, and aimed."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sim.geometry import look_at, make_pose, transform


def test_points_move_as_homogeneous_coordinates_do():
    rng = np.random.default_rng(0)
    pose = make_pose(Rotation.random(rng=rng).as_matrix(), rng.normal(size=3))
    points = rng.normal(size=(20, 3))
    for point, moved in zip(points, transform(pose, points), strict=True):
        np.testing.assert_allclose(moved, (pose @ [*point, 1])[:3], atol=1e-12)
    np.testing.assert_allclose(transform(np.linalg.inv(pose), transform(pose, points)), points, atol=1e-12)
    assert transform(pose, points.astype(np.float32)).dtype == np.float64


def test_a_pose_holds_its_parts_and_nothing_else():
    rotation = Rotation.from_euler("xyz", (0.1, 0.2, 0.3)).as_matrix()
    pose = make_pose(rotation, (1, 2, 3))
    np.testing.assert_array_equal(pose[:3, :3], rotation)
    np.testing.assert_array_equal(pose[:, 3], [1, 2, 3, 1])
    np.testing.assert_array_equal(pose[3], [0, 0, 0, 1])


@pytest.mark.parametrize(("eye", "target"), [((0.25, -0.75, 0.8), (0.07, 0, 0.13)), ((-2, 1, 0), (0, 0, 0))])
def test_a_camera_that_looks_at_a_point_has_it_ahead_and_stands_upright(eye, target):
    pose = look_at(eye, target)
    distance = np.linalg.norm(np.subtract(target, eye))
    seen = transform(np.linalg.inv(pose), np.array([target, np.add(target, (0, 0, 0.1))]))
    np.testing.assert_allclose(seen[0], [0, 0, distance], atol=1e-12)
    assert seen[1, 0] == pytest.approx(0, abs=1e-12)  # what is higher in the world ...
    assert seen[1, 1] < 0  # ... is straight up in the image, whose y points down
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1)
