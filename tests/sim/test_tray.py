"""The tray's friction and the hand's force: whose they are, how they are kept, and that physics obeys them."""

import dataclasses
import json

import numpy as np
import pytest

from sim.benchmark import AttemptSettings
from sim.benchmark.parallel_jaw import closing_force
from sim.benchmark.scene_sets import PUBLISHED, PUBLISHED_SETTINGS, load_scene_set
from sim.errors import InputError
from sim.gripper import GripperGeometry
from sim.objects import ObjectSet
from sim.physics import PhysicsSettings, TraySettings, World, pybullet
from sim.scene import SceneState


@pytest.mark.parametrize("friction", [0.3, 0.5, 1.0])
def test_what_slides_on_the_tray_comes_to_rest_where_its_friction_says(friction, tmp_path):
    """A sliding box stops after v^2 / (2 mu g)."""
    shape = '<geometry><box size="0.1 0.1 0.02"/></geometry>'
    (tmp_path / "box.urdf").write_text(
        '<robot name="box"><link name="l"><inertial><mass value="0.5"/><inertia ixx="1" iyy="1" izz="1" ixy="0" '
        f'ixz="0" iyz="0"/></inertial><visual>{shape}</visual><collision>{shape}</collision></link></robot>'
    )
    pose, speed = np.eye(4), 0.5
    pose[:3, 3] = -0.1, 0, 0.01
    world = World(PhysicsSettings(), TraySettings(friction=friction))
    world.rebuild(list(ObjectSet.from_folder(tmp_path).models), [pose])
    world.step(10)
    pybullet.resetBaseVelocity(world.objects[0], [speed, 0, 0], [0, 0, 0], physicsClientId=world.client)
    start = world.poses()[0][0, 3]
    world.step(240)
    way = world.poses()[0][0, 3] - start
    world.close()
    assert way == pytest.approx(speed**2 / (2 * friction * 9.81), rel=0.1)


def test_a_saved_tray_without_a_friction_is_of_the_time_when_all_had_one():
    former = {"floor": 0.36, "wall_height": 0.05, "wall_lean": 0.05, "thickness": 0.005}
    assert TraySettings.from_saved(former) == TraySettings(friction=1.0)
    assert TraySettings.from_saved(former).to_saved() == former  # such files, and what is known of them, stay the same
    for tray in (TraySettings(), TraySettings(floor=0.5, friction=0.3)):
        assert TraySettings.from_saved(json.loads(json.dumps(tray.to_saved()))) == tray


def test_a_scene_keeps_its_trays_friction(tmp_path):
    objects = ObjectSet.pybullet(900, 900)
    state = SceneState(objects.models, np.eye(4)[None], TraySettings(friction=0.7))
    state.save(tmp_path / "scene.json")
    assert SceneState.load(tmp_path / "scene.json", objects).tray == state.tray


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_published_scenes_lie_on_the_tray_that_they_fell_on(name):
    trays = {scene.tray for part in load_scene_set(name).values() for scene in part}
    assert trays == {PUBLISHED_SETTINGS[name].tray}


def test_both_versions_hold_the_same_objects():
    """Not scene by scene: one that never came to rest was drawn anew."""
    first, second = (load_scene_set(name) for name in PUBLISHED)
    for category, scenes in first.items():
        assert {n for s in scenes for n in s.names} == {n for s in second[category] for n in s.names}


def test_the_grippers_force_closes_it_unless_an_attempt_names_another():
    gripper = GripperGeometry(force=42.0)
    assert closing_force(gripper, AttemptSettings()) == 42.0
    assert closing_force(gripper, AttemptSettings(force=10.0)) == 10.0
    assert gripper == dataclasses.replace(gripper, force=1.0)  # labels do not depend on it


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), "much"])
def test_odd_forces_and_frictions_are_one_sentence(value):
    with pytest.raises(InputError, match=r"gripper\.force"):
        GripperGeometry(force=value)
    with pytest.raises(InputError, match=r"tray\.friction"):
        TraySettings(friction=value)
    with pytest.raises(InputError, match=r"attempt\.force"):
        AttemptSettings(force=value)
