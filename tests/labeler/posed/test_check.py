"""Poses that are a little off are found, those that only look off stay."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from labeler.posed.check import CheckSettings, check_poses
from labeler.posed.fit import compare_around
from labeler.posed.turn import best_turn, noise_covariance
from sim.benchmark.scene_sets import load_scene_set
from sim.camera import PinholeCamera, overhead_pose
from sim.errors import InputError
from sim.geometry import transform
from sim.render import render_depth
from sim.render.rasteriser import rasterise_pinhole

CAMERA = replace(PinholeCamera.from_fov(480, 360), pose=overhead_pose(0.6))


@pytest.fixture(scope="module")
def state():
    return load_scene_set("plgp-320")["novel-5"][0].keep([2, 3])


def checked(state, measured):
    rendered, mask, _ = render_depth(state, CAMERA)
    return check_poses(state, CAMERA, rendered=rendered, mask=mask, measured=measured, settings=CheckSettings())


def noisy(depth, deviation=0.001):
    return (depth + np.random.default_rng(0).normal(0, deviation, depth.shape)).astype(np.float32)


def perturbed(state, *, shift=(0, 0, 0), turn=(0, 0, 0)):
    """The first object moved along the camera's axes, metres, and turned about them, degrees, about its middle."""
    axes = CAMERA.pose[:3, :3]
    poses = state.poses.copy()
    middle = transform(poses[0], state.models[0].mesh().vertices).mean(axis=0)
    turned = Rotation.from_rotvec(axes @ np.radians(turn)).as_matrix()
    poses[0, :3, :3] = turned @ poses[0, :3, :3]
    poses[0, :3, 3] = turned @ (poses[0, :3, 3] - middle) + middle + axes @ np.asarray(shift)
    return replace(state, poses=poses)


@pytest.mark.parametrize("axis", range(3))
def test_five_millimetres_are_found(axis, state):
    measured = noisy(render_depth(state, CAMERA)[0])
    checks = checked(perturbed(state, shift=0.005 * np.eye(3)[axis]), measured)
    assert [c.verdict for c in checks] == ["bad", "good"]
    assert "mm away" in checks[0].reason


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("axis", range(3))
def test_three_degrees_are_found(axis, sign, state):
    measured = noisy(render_depth(state, CAMERA)[0])
    checks = checked(perturbed(state, turn=3 * sign * np.eye(3)[axis]), measured)
    assert [c.verdict for c in checks] == ["bad", "good"]
    assert "turned by" in checks[0].reason
    assert checks[0].turn == pytest.approx(3, abs=0.4)
    assert checks[0].shift < 0.003  # which is why it is looked for on its own


def test_true_poses_are_not_turned(state):
    checks = checked(state, noisy(render_depth(state, CAMERA)[0]))
    assert [c.verdict for c in checks] == ["good", "good"]
    assert max(c.turn for c in checks) < 0.5
    assert max(c.turn_error for c in checks) < 0.5


def test_smooth_noise_is_not_a_turn(state):
    """A depth that leans over the whole picture, there and back, leans every surface: no pose is to blame."""
    clean = render_depth(state, CAMERA)[0]
    waves = 0.003 * np.sin(np.arange(480) / 60 * 2 * np.pi)[None] * np.sin(np.arange(360) / 60 * 2 * np.pi)[:, None]
    checks, calm = checked(state, noisy(clean + waves)), checked(state, noisy(clean))
    assert [c.verdict for c in checks] == ["good", "good"]
    assert min(c.turn_error for c in checks) > 1.5 * max(c.turn_error for c in calm)


BOX = trimesh.creation.box((0.04, 0.06, 0.09))


@pytest.mark.parametrize(
    ("mesh", "turn"),
    [
        (trimesh.creation.cylinder(radius=0.033, height=0.1, sections=48), (0, 0, 77)),
        (trimesh.creation.icosphere(subdivisions=3, radius=0.03), (50, 60, 70)),
        (BOX, (0, 0, 180)),
        (BOX, (180, 0, 0)),
    ],
)
def test_what_looks_the_same_is_not_turned(mesh, turn):
    """Objects turned about their symmetry, with nothing around; a box turned by 3 degrees is."""
    lying = Rotation.from_euler("xyz", (25, 15, 10), degrees=True)
    faces = np.asarray(mesh.faces, np.int32)
    place = np.array([0.02, -0.03, 0.6])

    def posed(rotation):
        return rotation.apply(mesh.vertices) + place

    measured = rasterise_pinhole(CAMERA, posed(lying), faces)[0]
    measured = noisy(np.where(measured > 0, measured, 0.7))

    def turned(rotation):
        vertices = posed(rotation)
        depth = rasterise_pinhole(CAMERA, vertices, faces)[0]
        mask, behind = depth > 0, np.full(depth.shape, 0.7, np.float32)
        around = compare_around(CAMERA, vertices, faces, mask=mask, measured=measured, rest=behind)
        noise = noise_covariance(np.where(mask, depth, behind), mask.astype(np.uint8), measured)
        return np.degrees(best_turn(around, vertices, noise)[0])

    assert turned(lying * Rotation.from_euler("xyz", turn, degrees=True)) < 1
    if mesh is BOX:
        assert turned(lying * Rotation.from_euler("z", 3, degrees=True)) == pytest.approx(3, abs=0.5)


def test_no_turn_below_nothing():
    with pytest.raises(InputError, match="turn"):
        CheckSettings(turn=0.0)
