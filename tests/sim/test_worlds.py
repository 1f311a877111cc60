"""Random worlds: what is drawn lies within the ranges, and cameras look where they say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.camera import PinholeCamera
from sim.errors import InputError
from sim.objects import ObjectSet
from sim.scene import Scene, SceneSettings
from sim.worlds import RandomWorld, parallel_side

WORLD, BASE, CAMERA = RandomWorld(), SceneSettings(), PinholeCamera.from_fov()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=200, deadline=None)
def test_scenes_lie_within_their_ranges(seed):
    scene, count = WORLD.draw_scene(np.random.default_rng(seed), BASE, most=25)
    tray = scene.tray
    if tray.floor == WORLD.table:
        assert (tray.wall_height, tray.wall_lean) == (0.001, 0)
    else:
        assert 0.28 <= tray.floor <= 0.6
        assert 0.03 <= tray.wall_height <= 0.14
        assert 0 <= tray.wall_lean <= 0.08
        assert count <= max(1, 20 * (tray.floor / 0.36) ** 2)
    assert 1 <= count <= 25
    assert tray.friction == BASE.tray.friction
    assert scene.physics == BASE.physics


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=200, deadline=None)
def test_a_camera_looks_at_the_floor_from_its_distance(seed):
    camera = WORLD.draw_camera(np.random.default_rng(seed), CAMERA, floor=0.4)
    rotation, place = camera.pose[:3, :3], camera.pose[:3, 3]
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    axis = rotation[:, 2]
    assert -1 <= axis[2] <= -np.cos(WORLD.max_tilt) + 1e-12, "it looks down, tilted by 45 degrees at most"
    distance = -place[2] / axis[2]
    assert 0.35 <= distance <= 1.0
    target = place + distance * axis
    assert np.abs(target[:2]).max() <= 0.2 * WORLD.beside + 1e-12
    focal = camera.intrinsics[0, 0]
    assert focal == camera.intrinsics[1, 1]
    share = focal * 640 / camera.width
    assert 300 - 1e-9 <= share <= 1400 + 1e-9
    shown = camera.width * distance / focal
    assert 0.4 - 1e-9 <= shown <= 1.2 + 1e-9 or share == pytest.approx(300) or share == pytest.approx(1400)


def test_everything_asked_for_is_drawn():
    """Tables and trays, few and many objects, near and far, straight and steep."""
    draws = [WORLD.draw_scene(np.random.default_rng(i), BASE, most=100) for i in range(300)]
    cameras = [WORLD.draw_camera(np.random.default_rng(i), CAMERA, floor=0.4) for i in range(300)]
    tables = np.mean([s.tray.floor == WORLD.table for s, _ in draws])
    assert 0.2 < tables < 0.4
    counts = [n for _, n in draws]
    assert min(counts) == 1
    assert max(counts) >= 25
    assert np.mean([n <= 5 for n in counts]) == pytest.approx(np.log(6) / np.log(31), abs=0.12)
    tilts = [np.degrees(np.arccos(-c.pose[2, 2])) for c in cameras]
    assert min(tilts) < 3
    assert max(tilts) > 42
    assert np.median(tilts) == pytest.approx(22.5, abs=4)
    angles = [np.arctan2(c.pose[1, 0], c.pose[0, 0]) for c in cameras]
    assert np.histogram(angles, 4, (-np.pi, np.pi))[0].min() > 40, "cameras are rolled every way"


def test_what_counts_as_rest_is_the_worlds_own():
    scene, _ = WORLD.draw_scene(np.random.default_rng(0), BASE, most=5)
    assert scene.still == 1e-3
    assert RandomWorld(still=0.0).draw_scene(np.random.default_rng(0), BASE, most=5)[0].still == BASE.still


def test_images_have_the_sizes_that_are_asked_for():
    """The same draws, another image: a lens shows as much of the table whatever the size."""
    alike = RandomWorld(sizes=())
    sizes = set()
    for seed in range(60):
        camera = WORLD.draw_camera(np.random.default_rng(seed), CAMERA, floor=0.4)
        plain = alike.draw_camera(np.random.default_rng(seed), CAMERA, floor=0.4)
        assert (plain.width, plain.height) == (640, 480)
        np.testing.assert_array_equal(plain.pose, camera.pose)
        assert camera.intrinsics[0, 0] / camera.width == pytest.approx(plain.intrinsics[0, 0] / 640)
        np.testing.assert_allclose(camera.intrinsics[:2, 2], ((camera.width - 1) / 2, (camera.height - 1) / 2))
        sizes.add((camera.width, camera.height))
    assert sizes == set(WORLD.sizes)
    assert WORLD.largest == (848, 576)


def test_the_parallel_view_shows_every_object_with_room_for_a_hand():
    with Scene(ObjectSet.pybullet(0, 20), BASE) as scene:
        scene.drop(3, np.random.default_rng(0))
        scene.settle()
        state = scene.state()
    camera = WORLD.draw_camera(np.random.default_rng(3), CAMERA, floor=0.36)
    side = parallel_side(state.models, state.poses, camera)
    farthest = 0.0
    for model, pose in zip(state.models, state.poses, strict=True):
        world = model.mesh().vertices @ pose[:3, :3].T + pose[:3, 3]
        seen = (world - camera.pose[:3, 3]) @ camera.pose[:3, :3]
        farthest = max(farthest, np.abs(seen[:, :2]).max())
    assert side / 2 == pytest.approx(farthest + 0.08, abs=1e-3)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"floor": (0.5, 0.3)}, "world.floor"),
        ({"floor": 0.3}, "world.floor"),
        ({"tables": -0.1}, "world.tables"),
        ({"tables": 1.5}, "shares"),
        ({"max_tilt": 2.0}, "max_tilt"),
        ({"counts": (0, 5)}, "counts"),
        ({"distance": (float("nan"), 1.0)}, "world.distance"),
        ({"sizes": (640, 480)}, "world.sizes"),
        ({"sizes": ((640, 480, 3),)}, "world.sizes"),
        ({"sizes": ((640.0, 480),)}, "world.sizes"),
        ({"sizes": ((640, 16),)}, "world.sizes"),
        ({"sizes": "vga"}, "world.sizes"),
        ({"sizes": None}, "world.sizes"),
    ],
)
def test_a_wrong_range_is_named(change, word):
    with pytest.raises(InputError, match=word):
        RandomWorld(**change)
