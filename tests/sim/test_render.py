"""The renderer against an independent ray caster (embree through trimesh)."""

import numpy as np
import pytest
import trimesh

from sim.camera import ParallelCamera, PinholeCamera, offset_pose
from sim.objects import ObjectSet
from sim.render import render_view, scene_surface
from sim.scene import Scene

PARALLEL = ParallelCamera.covering(1000)


@pytest.fixture(scope="module")
def state():
    with Scene(ObjectSet.pybullet()) as scene:
        scene.drop(8, np.random.default_rng(3))
        assert scene.settle()
        return scene.state()


def ray_cast(state, origins, directions):
    """Returns z along the camera axis (0 = nothing) and mask value of the first hit."""
    surface = scene_surface(state)
    mesh = trimesh.Trimesh(surface.vertices, surface.faces, process=False)
    face = mesh.ray.intersects_first(origins, directions)
    corner = mesh.triangles[face]
    normal = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    with np.errstate(all="ignore"):
        distance = np.sum((corner[:, 0] - origins) * normal, axis=1) / np.sum(directions * normal, axis=1)
    distance[face < 0] = 0
    return distance, np.where(face >= 0, surface.ids[face], 0)


@pytest.mark.parametrize("offset", [(0, 0), (0.2, -0.13)])
def test_pinhole_and_parallel_images_equal_a_ray_caster(state, offset):
    camera = PinholeCamera.from_fov(pose=offset_pose(0.6, offset))
    view = render_view(state, camera, PARALLEL)
    rotation, place = camera.pose[:3, :3], camera.pose[:3, 3]

    rows, cols = (a.ravel() for a in np.mgrid[:480, :640])
    directions = camera.deproject(rows, cols, 1.0) @ rotation.T
    depth, mask = ray_cast(state, np.broadcast_to(place, directions.shape), directions)
    check(view.depth.ravel(), view.instance_mask.ravel(), depth, mask)

    rows, cols = (a.ravel() for a in np.mgrid[:600, :600])
    origins = PARALLEL.deproject(rows, cols, 0.0) @ rotation.T + place
    directions = np.broadcast_to(rotation[:, 2], origins.shape)
    depth, mask = ray_cast(state, origins, directions)
    check(view.parallel_depth.ravel(), view.parallel_mask.ravel(), depth, mask)

    back = view.parallel_back_depth
    on_object = view.parallel_mask > 0
    assert (back[on_object] >= view.parallel_depth[on_object] - 1e-6).all()
    assert (back[~on_object] == 0).all()


def check(depth, mask, true_depth, true_mask):
    assert np.mean(mask != true_mask) <= 1e-4
    # A silhouette pixel may fall to either side; everywhere else the depths agree.
    difference = np.abs(depth - true_depth)
    assert np.mean(difference > 1e-3) <= 1e-4
    assert np.sqrt(np.mean(difference[difference <= 1e-3] ** 2)) <= 5e-5


def test_a_pixel_and_its_aligned_point_see_the_same_surface(state):
    """Where the surface is flatter than 45 degrees and unoccluded: within 0.3 mm."""
    camera = PinholeCamera.from_fov(pose=offset_pose(0.6, (0.1, 0.1)))
    parallel = ParallelCamera()
    view = render_view(state, camera, parallel)
    rows, cols = np.nonzero(view.instance_mask)
    points = camera.deproject(rows, cols, view.depth[rows, cols])
    r, c, z = parallel.project(points)
    r, c = np.round(r).astype(int), np.round(c).astype(int)
    patch = np.stack([view.parallel_depth[r + i, c + j] for i in (-1, 0, 1) for j in (-1, 0, 1)])
    step = 1 / parallel.pixels_per_metre
    flat = (patch.max(axis=0) - patch.min(axis=0)) < 2 * step
    same = view.parallel_mask[r, c] == view.instance_mask[rows, cols]
    unoccluded = z - view.parallel_depth[r, c] < 2e-3
    good = flat & same & unoccluded
    assert same.mean() > 0.98
    assert good.sum() > 5000
    assert np.abs(view.parallel_depth[r, c] - z)[good].max() <= 3e-4


def test_boxes_and_poses_belong_to_the_masks(state):
    camera = PinholeCamera.from_fov(pose=offset_pose(0.6, (0.05, 0.0)))
    view = render_view(state, camera, PARALLEL)
    for thing, pose in zip(view.objects, state.poses, strict=True):
        np.testing.assert_allclose(camera.pose @ thing.pose_camera, pose, atol=1e-12)
        rows, cols = np.nonzero(view.instance_mask == thing.mask_value)
        assert thing.box == (rows.min(), cols.min(), rows.max(), cols.max())
    assert view.rgb.shape == (480, 640, 3)
    assert view.rgb[view.instance_mask == 1].std(axis=0).max() < view.rgb.std(axis=(0, 1)).max()
