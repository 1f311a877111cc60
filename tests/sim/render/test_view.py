"""The renderer against an independent ray caster (embree through trimesh)."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from sim.camera import ParallelCamera, PinholeCamera, offset_pose
from sim.depth_noise import DepthNoise
from sim.drawing.world_figures import draw_noise, draw_views
from sim.errors import InputError
from sim.objects import ObjectSet
from sim.render import Appearance, render_depth, render_view, scene_surface
from sim.render.appearance import RandomAppearance
from sim.scene import Scene

CONF = Path(__file__).parents[3] / "conf" / "appearance"
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
    """Where the surface is flatter than 45 degrees and unoccluded: within the 0.4 mm by which neighbours may differ."""
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
    apart = np.abs(view.parallel_depth[r, c] - z)[good]
    assert apart.max() <= 2 * step
    assert np.quantile(apart, 0.999) <= 3e-4


def test_boxes_and_poses_belong_to_the_masks(state):
    camera = PinholeCamera.from_fov(pose=offset_pose(0.6, (0.05, 0.0)))
    view = render_view(state, camera, PARALLEL)
    for entry, pose in zip(view.objects, state.poses, strict=True):
        np.testing.assert_allclose(camera.pose @ entry.pose_camera, pose, atol=1e-12)
        rows, cols = np.nonzero(view.instance_mask == entry.mask_value)
        assert entry.box == (rows.min(), cols.min(), rows.max(), cols.max())
    assert view.rgb.shape == (480, 640, 3)
    assert view.rgb[view.instance_mask == 1].std(axis=0).max() < view.rgb.std(axis=(0, 1)).max()


@pytest.mark.slow
@pytest.mark.parametrize("offset", [(0, 0), (0.2, -0.13)])
def test_parallel_image_in_full_equals_a_ray_caster(state, offset):
    camera = PinholeCamera.from_fov(pose=offset_pose(0.6, offset))
    parallel = ParallelCamera()
    view = render_view(state, camera, parallel, rgb=False, back_layer=False)
    assert view.parallel_mask.shape == (3000, 3000)
    rotation, place = camera.pose[:3, :3], camera.pose[:3, 3]
    depth, mask = [], []
    for first in range(0, 3000, 500):  # nine million rays at once would fill the memory
        rows, cols = (a.ravel() for a in np.mgrid[first : first + 500, :3000])
        origins = parallel.deproject(rows, cols, 0.0) @ rotation.T + place
        z, value = ray_cast(state, origins, np.broadcast_to(rotation[:, 2], origins.shape))
        depth.append(z)
        mask.append(value)
    check(view.parallel_depth.ravel(), view.parallel_mask.ravel(), np.concatenate(depth), np.concatenate(mask))


def test_one_call_gives_what_the_short_ones_give(state):
    camera = PinholeCamera.from_fov(pose=offset_pose(0.6, (0.1, -0.1)))
    view = render_view(state, camera, PARALLEL)
    depth, mask, rgb = render_depth(state, camera)
    for short, whole in ((depth, view.depth), (mask, view.instance_mask), (rgb, view.rgb)):
        np.testing.assert_array_equal(short, whole)
    bare = render_view(state, camera, PARALLEL, rgb=False, back_layer=False)
    assert bare.rgb is None
    assert bare.parallel_back_depth is None
    np.testing.assert_array_equal(bare.parallel_depth, view.parallel_depth)
    np.testing.assert_array_equal(bare.parallel_mask, view.parallel_mask)


@pytest.mark.parametrize("offset", [(0, 0), (0.2, -0.13)])
def test_poses_place_the_meshes_where_the_images_show_them(state, offset):
    """Of one object alone: box, mask and both depths are those of its vertices, posed in the camera."""
    camera = PinholeCamera.from_fov(pose=offset_pose(0.6, offset))
    for index in range(3):
        alone = state.keep([index])
        view = render_view(alone, camera, ParallelCamera(), rgb=False, back_layer=False)
        (entry,) = view.objects
        vertices = alone.models[0].mesh().vertices @ entry.pose_camera[:3, :3].T + entry.pose_camera[:3, 3]
        rows, cols, depth = camera.project(vertices)
        edges = np.array([rows.min(), cols.min(), rows.max(), cols.max()])
        row, col = np.nonzero(view.parallel_mask)
        parallel_rows, parallel_cols, _ = view.parallel_camera.project(vertices)
        parallel_edges = np.array([parallel_rows.min(), parallel_cols.min(), parallel_rows.max(), parallel_cols.max()])
        # The tray's wall may hide a side of it from a tilted camera; nothing may stick out.
        for found, true in ((entry.box, edges), ((row.min(), col.min(), row.max(), col.max()), parallel_edges)):
            inward = (np.array(found) - true) * [1, 1, -1, -1]
            assert (inward >= -1e-6).all()
            if offset == (0, 0):
                assert (inward <= 3).all()  # a needle's tip falls between pixels
        seen = view.depth[view.instance_mask == 1]
        assert depth.min() - 1e-5 <= seen.min() <= seen.max() <= depth.max() + 1e-5
        assert view.parallel_depth[view.parallel_mask == 1].min() == pytest.approx(depth.min(), abs=1e-3)


def test_a_hidden_object_has_no_box(state):
    buried = state.poses.copy()
    buried[0, 2, 3] = -1.0
    view = render_view(
        replace(state, poses=buried), PinholeCamera.from_fov(pose=offset_pose(0.6, (0, 0))), PARALLEL, rgb=False
    )
    assert view.objects[0].box == (-1, -1, -1, -1)
    assert 1 not in view.instance_mask
    assert view.objects[1].box != (-1, -1, -1, -1)


def test_the_light_falls_from_where_it_is_said_to(state):
    """Lit from +x, the wall on that side shows the camera its dark face, the other its bright one."""
    camera = PinholeCamera.from_fov(pose=offset_pose(0.6, (0, 0)))
    empty = state.keep([])
    right = render_depth(empty, camera, Appearance(light=(1, 0, 0.2), ambient=0.2))[2].astype(int)
    left = render_depth(empty, camera, Appearance(light=(-1, 0, 0.2), ambient=0.2))[2].astype(int)
    inner = empty.tray.boxes()[0][0][0] / 2
    rows, cols, _ = camera.project(
        (np.array([[-inner, 0, 0.03], [inner, 0, 0.03]]) - camera.pose[:3, 3]) @ camera.pose[:3, :3]
    )
    walls = [right[int(r), int(c)].sum() - left[int(r), int(c)].sum() for r, c in zip(rows, cols, strict=True)]
    assert walls[0] > 50
    assert walls[1] < -50


def test_colours_of_tray_ground_and_plain_objects_are_the_appearance(state):
    camera = PinholeCamera.from_fov(pose=offset_pose(0.6, (0, 0)))
    look = Appearance(tray=(1, 0, 0), ground=(0, 1, 0), objects=((0, 0, 1),), ambient=1.0)
    _, mask, rgb = render_depth(state, camera, look)
    assert (rgb[mask > 0] == (0, 0, 255)).all()
    assert set(map(tuple, np.unique(rgb[mask == 0], axis=0).tolist())) == {(255, 0, 0), (0, 255, 0)}
    assert tuple(rgb[0, 0].tolist()) == (0, 255, 0)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_random_appearance_is_within_its_limits_and_a_function_of_the_seed(seed):
    ranges = RandomAppearance(tray=((0.1, 0.2, 0.3), (0.4, 0.2, 0.9)), max_tilt=0.6, ambient=(0.3, 0.5))
    look = ranges.draw(np.random.default_rng(seed), 3)
    assert look == ranges.draw(np.random.default_rng(seed), 3)
    assert look != ranges.draw(np.random.default_rng([seed, 1]), 3)
    assert all(low <= x <= high for low, x, high in zip(ranges.tray[0], look.tray, ranges.tray[1], strict=True))
    assert look.light[2] >= np.cos(0.6) - 1e-12
    assert np.linalg.norm(look.light) == pytest.approx(1)
    assert 0.3 <= look.ambient <= 0.5
    assert len(look.objects) == 3
    assert replace(ranges, objects=None).draw(np.random.default_rng(seed), 3).objects == ()


def test_a_fixed_appearance_draws_nothing():
    rng = np.random.default_rng(0)
    assert Appearance().draw(rng, 5) == Appearance()
    assert rng.random() == np.random.default_rng(0).random()


@pytest.mark.parametrize(("name", "default"), [("default", Appearance()), ("random", RandomAppearance())])
def test_the_config_says_the_defaults(name, default):
    assert instantiate(OmegaConf.load(CONF / f"{name}.yaml")) == default


@pytest.mark.parametrize(
    ("kind", "wrong"),
    [
        (Appearance, {"tray": (1, 2, 0)}),
        (Appearance, {"light": (0, 0, 0)}),
        (Appearance, {"ambient": 1.5}),
        (Appearance, {"objects": ((0, 1),)}),
        (RandomAppearance, {"ground": ((0.5, 0, 0), (0.4, 1, 1))}),
        (RandomAppearance, {"ambient": (0.7, 0.2)}),
        (RandomAppearance, {"max_tilt": 2.0}),
    ],
)
def test_appearances_out_of_range_are_named(kind, wrong):
    with pytest.raises(InputError, match=rf"appearance\.{next(iter(wrong))}"):
        kind(**wrong)


def test_the_readmes_pictures_are_drawn(state):
    titles = [ax.get_title() for ax in draw_noise(state, DepthNoise()).axes]
    assert sum(map(bool, titles)) == 4
    assert sum(bool(ax.get_title()) for ax in draw_views(state).axes) == 8
