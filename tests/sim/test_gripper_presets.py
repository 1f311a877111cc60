"""The gripper presets of ``conf/gripper``: each is built, loaded, and lifts a box."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from hydra.utils import instantiate

from sim.benchmark import AttemptSettings
from sim.benchmark.grasp_attempt import attempt
from sim.benchmark.parallel_jaw import gripper_urdf
from sim.errors import InputError
from sim.grasp import GraspPoses
from sim.gripper import GripperGeometry, load_gripper
from sim.objects import ObjectSet
from sim.physics import PhysicsSettings, TraySettings, World, pybullet
from sim.scene import SceneState

FOLDER = Path(__file__).parents[2] / "conf" / "gripper"
PRESETS = sorted(p.stem for p in FOLDER.glob("*.yaml"))
OPENINGS = {"paper": 0.1, "paper_on_arm": 0.1, "franka": 0.08, "robotiq_2f85": 0.085, "robotiq_2f140": 0.14}


def preset(name):
    return instantiate(yaml.safe_load((FOLDER / f"{name}.yaml").read_text()))


def test_a_hand_is_loaded_by_name_or_from_a_file(tmp_path):
    for name in PRESETS:
        assert load_gripper(name) == preset(name)
        assert load_gripper(name).frame_origins == preset(name).frame_origins
    own = tmp_path / "mine.yaml"
    own.write_text("_target_: sim.gripper.GripperGeometry\nmax_opening: 0.2\n")
    assert load_gripper(str(own)) == GripperGeometry(max_opening=0.2)
    for text, told in (
        ("max_open: 0.2", "max_open"),
        ("- 1", "no gripper"),
        ("max_opening: 80", r"gripper\.max_opening"),
    ):
        own.write_text(text)
        with pytest.raises(InputError, match=told):
            load_gripper(str(own))
    for name, told in (
        ("wide", "unknown gripper 'wide'; choose one of franka, paper"),
        ("no.yaml", "'no.yaml' holds no"),
    ):
        with pytest.raises(InputError, match=told):
            load_gripper(name)


def test_every_preset_is_tested():
    assert set(PRESETS) == set(OPENINGS)


@pytest.mark.parametrize("name", PRESETS)
def test_the_hand_is_built_to_its_measures(name, tmp_path):
    gripper = preset(name)
    assert gripper.max_opening == OPENINGS[name]
    (tmp_path / "hand.urdf").write_text(gripper_urdf(gripper, AttemptSettings()))
    world = World(PhysicsSettings(), TraySettings())
    body = pybullet.loadURDF(str(tmp_path / "hand.urdf"), [0, 0, 1], useFixedBase=1, physicsClientId=world.client)
    boxes = {link: pybullet.getCollisionShapeData(body, link, physicsClientId=world.client) for link in (2, 3, 4)}
    limits = pybullet.getJointInfo(body, 3, physicsClientId=world.client)[8:10]
    world.close()
    assert limits == pytest.approx((0, gripper.max_opening / 2))
    finger = (gripper.finger_thickness, gripper.finger_width, gripper.finger_length)
    assert boxes[3][0][3] == pytest.approx(finger)
    assert boxes[4][0][3] == pytest.approx(finger)
    assert boxes[2][0][3][:2] == pytest.approx((gripper.palm_width, gripper.palm_thickness))
    # The palm covers both open fingers: what passes beside it passes beside the hand.
    assert gripper.palm_width >= gripper.max_opening + 2 * gripper.finger_thickness


@pytest.mark.parametrize("name", PRESETS)
def test_it_lifts_a_box_three_quarters_of_its_opening_wide(name, tmp_path):
    gripper = preset(name)
    size = (0.75 * gripper.max_opening, 0.04, 0.05)
    shape = f'<geometry><box size="{size[0]} {size[1]} {size[2]}"/></geometry>'
    (tmp_path / "box.urdf").write_text(
        '<robot name="box"><link name="l"><inertial><mass value="0.1"/><inertia ixx="1" iyy="1" izz="1" ixy="0" '
        f'ixz="0" iyz="0"/></inertial><visual>{shape}</visual><collision>{shape}</collision></link></robot>'
    )
    pose = np.eye(4)
    pose[2, 3] = size[2] / 2
    state = SceneState(ObjectSet.from_folder(tmp_path).models, pose[None])
    rotation = np.diag([1.0, -1, -1])[None]
    world = World(PhysicsSettings(), TraySettings())
    results = []
    for width in (gripper.max_opening, 0.5 * gripper.max_opening):
        grasp = GraspPoses(np.array([[0, 0, 0.02]]), rotation, np.array([width]), np.ones(1), "world")
        results.append(attempt(world, state, grasp, gripper, 0.4))
    world.close()
    assert results[0].success
    assert results[0].slip < 2e-3
    assert results[1].reason == "blocked"  # fingers set narrower than the box come down on it
