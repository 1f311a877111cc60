"""Objects are where their middles are, whatever origins their files have; and none starts inside another."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sim.benchmark import BenchmarkSettings
from sim.benchmark.grasp_attempt import attempt
from sim.benchmark.runner import scene_after
from sim.errors import InputError
from sim.geometry import make_pose
from sim.grasp import GraspPoses
from sim.gripper import GripperGeometry
from sim.objects import ObjectSet
from sim.physics import PhysicsSettings, TraySettings, World
from sim.scene import Scene, SceneState, object_places

SIZE = (0.04, 0.04, 0.06)
# Where the middle of the box lies from its link's origin: 2 cm over it and more, 0.3 m beside, above and below it.
OFFSETS = [(0, 0, 0), (0, 0, 0.05), (0.3, 0, 0), (-0.2, 0.2, 0.1), (0, 0, -0.3), (0, 0, 0.3)]


def box_urdf(folder, name, size, offset=(0, 0, 0), *, inertial=True):
    """Writes a box of 100 g whose middle lies at ``offset`` from its link's origin."""
    origin = '<origin xyz="{} {} {}"/>'.format(*offset)
    shape = '{}<geometry><box size="{} {} {}"/></geometry>'.format(origin, *size)
    mass = f'{origin if inertial else ""}<mass value="0.1"/><inertia ixx="1" iyy="1" izz="1" ixy="0" ixz="0" iyz="0"/>'
    (folder / f"{name}.urdf").write_text(
        f'<robot name="{name}"><link name="l"><inertial>{mass}</inertial><visual>{shape}</visual>'
        f"<collision>{shape}</collision></link></robot>"
    )


def boxes(folder, offset, middles, **options):
    """A scene of boxes whose middles are given."""
    box_urdf(folder, "box", SIZE, offset, **options)
    model = ObjectSet.from_folder(folder).models[0]
    poses = [make_pose(np.eye(3), np.subtract(middle, offset)) for middle in middles]
    return SceneState((model,) * len(poses), np.array(poses))


@pytest.fixture
def world():
    made = World(PhysicsSettings(), TraySettings())
    yield made
    made.close()


def grasp(x=0.0, tip=0.02):
    return GraspPoses(np.array([[x, 0, tip]]), np.diag([1.0, -1, -1])[None], np.array([0.08]), np.ones(1), "world")


@pytest.mark.parametrize("offset", OFFSETS)
def test_lifting_and_clearing_go_by_the_place_of_the_object(world, tmp_path, offset):
    """The first box is lifted and gone, the second stays, the third stands outside the tray and is gone."""
    state = boxes(tmp_path, offset, [(0, 0, 0.03), (-0.12, 0.12, 0.03), (0.4, 0, 0.025)])
    np.testing.assert_allclose(object_places(state.models, state.poses)[0], (0, 0, 0.03), atol=1e-9)
    result = attempt(world, state, grasp(), GripperGeometry(), 1.0)
    assert (result.success, result.lifted) == (True, (0,))
    assert result.slip < 2e-3
    left = scene_after(world, state, result, settings=BenchmarkSettings())
    np.testing.assert_allclose(object_places(left.models, left.poses), [(-0.12, 0.12, 0.03)], atol=2e-3)


def test_a_box_that_its_file_weighs_below_its_base_counts_too(world, tmp_path):
    """URDFs without an origin of their mass have it in the link's origin: here 2 cm under the base."""
    state = boxes(tmp_path, (0, 0, 0.05), [(-0.12, 0.12, 0.03), (0, 0, 0.03)], inertial=False)
    result = attempt(world, state, grasp(), GripperGeometry(), 1.0)
    assert (result.success, result.lifted) == (True, (1,))
    assert len(scene_after(world, state, result, settings=BenchmarkSettings()).models) == 1


def test_a_turned_box_is_lifted_by_its_middle_not_by_its_origin(tmp_path):
    state = boxes(tmp_path, (0.3, 0, 0), [(0, 0, 0.03)])
    turned = make_pose(Rotation.from_euler("y", np.pi / 2).as_matrix(), (0, 0, 0.5))
    np.testing.assert_allclose(object_places(state.models, [turned]), [(0, 0, 0.2)], atol=1e-9)


@pytest.mark.parametrize("offset", OFFSETS[1:])
def test_dropped_objects_stay_in_the_tray_whatever_their_origins(tmp_path, offset):
    for i in range(4):
        box_urdf(tmp_path, f"box{i}", SIZE, offset)
    with Scene(ObjectSet.from_folder(tmp_path)) as scene:
        scene.drop(4, np.random.default_rng(5))
        assert scene.settle()
        places = object_places(scene.models, scene.world.poses())
        assert len(scene.models) == 4
        assert all(scene.settings.tray.contains(place) for place in places)


def starts(objects, count, seed):
    """The poses with which objects start to fall, wave by wave, beside what lies there already."""
    seen = []

    class Watched(World):
        def step(self, steps=1):
            if steps == scene.settings.wave_steps:
                seen.append([self.overlapping(i) for i in range(len(self.objects))])
            super().step(steps)

    with Scene(objects) as scene:
        scene.world.close()
        scene.world = Watched(scene.settings.physics, scene.settings.tray)
        scene.drop(count, np.random.default_rng(seed))
    return seen


@pytest.mark.parametrize("size", [(0.25, 0.25, 0.25), (0.25, 0.25, 0.02), (0.3, 0.03, 0.03)])
def test_no_box_starts_inside_another(tmp_path, size):
    for i in range(9):
        box_urdf(tmp_path, f"box{i}", size, (0, 0, 0.1 * (i % 2)))
    objects = ObjectSet.from_folder(tmp_path)
    for seed in range(4):
        waves = starts(objects, 9, seed)
        assert len(waves) == 3
        # What lies there is pressed together by its weight; only what is new must be free.
        for number, wave in enumerate(waves):
            assert not any(wave[4 * number :]), (seed, number, wave)


@pytest.mark.parametrize("size", [(0.6, 0.6, 0.1), (0.02, 0.02, 0.9), (40.0, 40.0, 60.0)])
def test_an_object_larger_than_the_tray_is_named_before_anything_falls(tmp_path, size):
    box_urdf(tmp_path, "plate", size)
    with (
        Scene(ObjectSet.from_folder(tmp_path)) as scene,
        pytest.raises(InputError, match=r"'plate'.*larger than the tray.*objects\.scale"),
    ):
        scene.drop(1, np.random.default_rng(0))
    assert not scene.models
