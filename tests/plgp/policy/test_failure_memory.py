"""A policy that remembers where it has failed: what is kept, what is forgotten, and what it changes."""

import numpy as np
import pytest

from plgp.policy import ConstantPolicy
from plgp.policy.failure_memory import FACTOR, FailureMemory
from sim.camera import PinholeCamera, overhead_pose
from sim.depth_noise import DepthNoise
from sim.grasp import PixelGrasps
from sim.view import Observation

CAMERA = PinholeCamera.from_fov(pose=overhead_pose(0.6))


def scene(*columns):
    """Depth of boxes 24 mm wide and 30 mm high at some columns."""
    depth = np.full((480, 640), 0.6, np.float32)
    for column in columns:
        depth[220:260, column - 8 : column + 9] = 0.57
    return depth


def grasp(row, col):
    return PixelGrasps(np.array([row]), np.array([col]), [0.02], [0.0], [0.05], [0.9])


def test_nothing_is_remembered_at_first():
    assert FailureMemory().weight(scene(300)) is None


@pytest.mark.parametrize("noise", [None, DepthNoise()])
def test_a_grasp_that_changed_nothing_counts_less(noise):
    """Also where the camera's noise differs from image to image."""
    rng = np.random.default_rng(0)
    before, after = (scene(300, 400) if noise is None else noise(scene(300, 400), rng) for _ in range(2))
    memory = FailureMemory()
    memory.keep(grasp(240, 300), before)
    weight = memory.weight(after)
    assert weight[240, 300] == np.float32(FACTOR)
    assert weight[240, 400] == 1
    memory.keep(grasp(240, 300), after)
    assert memory.weight(after)[240, 300] == pytest.approx(FACTOR**2)


def test_a_grasp_that_took_the_object_is_forgotten():
    memory = FailureMemory()
    memory.keep(grasp(240, 300), scene(300, 400))
    assert memory.weight(scene(400)) is None


def test_another_camera_clears_it():
    memory = FailureMemory()
    memory.keep(grasp(240, 300), scene(300))
    assert memory.weight(scene(300)[:240]) is None


def test_a_policy_with_memory_tries_another_place_and_says_so():
    seen = Observation(None, scene(260, 380), CAMERA)
    plain, mindful = ConstantPolicy(), ConstantPolicy(memory=True)
    first, again = plain.pixel_grasps(seen, 1), plain.pixel_grasps(seen, 1)
    assert (first.row[0], first.col[0]) == (again.row[0], again.col[0])
    first, again = mindful.pixel_grasps(seen, 1), mindful.pixel_grasps(seen, 1)
    assert np.hypot(first.row[0] - again.row[0], first.col[0] - again.col[0]) > 8
    mindful.pixel_grasps(seen, 50)  # a list is not executed in turn, and not remembered
    assert mindful.memory.weight(seen.depth).min() == np.float32(FACTOR)
