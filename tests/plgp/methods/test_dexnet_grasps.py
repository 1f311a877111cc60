"""What Dex-Net's policies make of an image, with networks of no training: each grasp is judged for itself."""

import numpy as np
import torch

from plgp.methods.dexnet import FCGQCNNPolicy, GQCNNPolicy
from plgp.methods.dexnet import policy as policy_module
from plgp.methods.dexnet.grasps import CentreGrasps, DexNetSettings
from plgp.methods.dexnet.image import aligned_crops, see
from plgp.methods.dexnet.network import FCGQCNN, GQCNN
from sim.camera import PinholeCamera, overhead_pose
from sim.geometry import look_at
from sim.view import Observation


def box_image(camera, y=0.0):
    """The top of a box of 12 x 3 x 4 cm on the world's ground, whose middle lies at some y."""
    rows, cols = np.mgrid[: camera.height, : camera.width]
    rays = camera.deproject(rows.ravel(), cols.ravel(), 1.0)
    world = rays @ camera.pose[:3, :3].T
    depth = -camera.pose[2, 3] / world[:, 2]
    top = (0.04 - camera.pose[2, 3]) / world[:, 2]
    place = camera.pose[:3, 3] + top[:, None] * world
    on = (np.abs(place[:, 0]) < 0.06) & (np.abs(place[:, 1] - y) < 0.015)
    return np.where(on, top, depth).reshape(camera.height, camera.width).astype(np.float32)


def shadowed(seed=0):
    camera = PinholeCamera.from_fov(pose=overhead_pose(0.6))
    depth, rng = box_image(camera), np.random.default_rng(seed)
    depth[rng.random(depth.shape) < 0.79] = 0
    return see(Observation(None, depth, camera), None, min_height=0.01)


def grasps_near_the_box(count=300):
    rng = np.random.default_rng(1)
    row, col = rng.integers(200, 280, count) + 0.0, rng.integers(270, 370, count) + 0.0
    row[: count // 2] = rng.integers(234, 246, count // 2)
    angle = np.pi / 2 + rng.uniform(-0.3, 0.3, count)
    return CentreGrasps(row, col, angle, rng.uniform(0.56, 0.6, count), np.zeros(count))


def test_what_is_free_for_a_grasp_does_not_depend_on_the_others():
    seen, grasps = shadowed(), grasps_near_the_box()
    kept, poses = DexNetSettings().reach(grasps, seen)
    alone = [DexNetSettings().reach(grasps[k : k + 1], seen) for k in range(len(grasps))]
    assert 10 < kept.sum() < 200
    np.testing.assert_array_equal(kept, [one[0][0] for one in alone])
    np.testing.assert_array_equal(poses.translation, [one[1].translation[0] for one in alone])


def test_grasps_that_share_a_crop_are_rated_as_each_alone(monkeypatch):
    torch.manual_seed(0)
    network = GQCNN().eval()
    monkeypatch.setattr(policy_module, "load_gqcnn", lambda weights_file: network)
    policy, seen, few = GQCNNPolicy(weights_file=""), shadowed(), grasps_near_the_box(40)
    grasps = CentreGrasps(*(np.tile(getattr(few, name), 2) for name in ("row", "col", "angle", "depth", "quality")))
    grasps.depth[40:] += 0.01
    crops = aligned_crops(seen.depth, np.column_stack([grasps.row, grasps.col]), grasps.angle)
    shift = policy.table - seen.floor
    with torch.inference_mode():
        depth = torch.from_numpy((grasps.depth + shift).astype(np.float32))
        expected = network(torch.from_numpy(crops + np.float32(shift)), depth)
    np.testing.assert_allclose(policy.rate(grasps, seen).quality, expected, atol=1e-6)
    assert expected.std() > 1e-4


def test_planes_reach_what_lies_beyond_a_leaning_cameras_table(monkeypatch):
    monkeypatch.setattr(policy_module, "load_fc_gqcnn", lambda weights_file: FCGQCNN().eval())
    pose = look_at(np.array([0.0, -0.344, 0.491]), np.zeros(3))
    camera = PinholeCamera.from_fov(pose=pose)
    policy = FCGQCNNPolicy(weights_file="", planes=4)
    seen = see(Observation(None, box_image(camera, y=0.13), camera), None, min_height=0.01)
    box = seen.depth[seen.allowed]
    assert box.min() > seen.floor
    depths = policy.rate(seen).depth
    assert depths.min() > box.min()
    assert depths.max() < box.max()


def test_a_wall_behind_the_table_does_not_stretch_the_planes(monkeypatch):
    monkeypatch.setattr(policy_module, "load_fc_gqcnn", lambda weights_file: FCGQCNN().eval())
    camera = PinholeCamera.from_fov(pose=look_at(np.array([0.0, -0.6, 0.35]), np.zeros(3)))
    depth = box_image(camera, y=0.13)
    depth[:20] = 2.5
    seen = see(Observation(None, depth, camera), None, min_height=0.01)
    assert seen.depth[seen.allowed].max() == 2.5
    depths = FCGQCNNPolicy(weights_file="", planes=4).rate(seen).depth
    assert seen.floor < depths.max() < seen.floor + 0.3
