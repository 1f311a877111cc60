"""Physics as the benchmark uses it: a 100 g box in the gripper of 60 N a finger."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sim.benchmark import AttemptSettings
from sim.benchmark.grasp_attempt import attempt
from sim.benchmark.parallel_jaw import gripper_urdf
from sim.grasp import GraspPoses
from sim.gripper import GripperGeometry
from sim.objects import ObjectSet
from sim.physics import PhysicsSettings, TraySettings, World
from sim.scene import SceneState

GRIPPER = GripperGeometry()
MASS, SIZE = 0.1, (0.04, 0.04, 0.06)
HOLDS_FROM = MASS * 9.81 / (2 * GRIPPER.force)  # 2 mu F = m g


def box_state(folder, size=SIZE):
    shape = f'<geometry><box size="{size[0]} {size[1]} {size[2]}"/></geometry>'
    (folder / "box.urdf").write_text(
        f'<robot name="box"><link name="l"><inertial><mass value="{MASS}"/><inertia ixx="1" iyy="1" izz="1" ixy="0" '
        f'ixz="0" iyz="0"/></inertial><visual>{shape}</visual><collision>{shape}</collision></link></robot>'
    )
    pose = np.eye(4)
    pose[2, 3] = size[2] / 2
    return SceneState(ObjectSet.from_folder(folder).models, pose[None])


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    return box_state(tmp_path_factory.mktemp("box"))


@pytest.fixture(scope="module")
def world():
    made = World(PhysicsSettings(), TraySettings())
    yield made
    made.close()


def grasp(x=0.0, tip=0.02, angle=0.0, width=0.08):
    rotation = Rotation.from_euler("z", angle).as_matrix() @ np.diag([1.0, -1, -1])
    return GraspPoses(np.array([[x, 0, tip]]), rotation[None], np.array([width]), np.ones(1), "world")


@pytest.mark.parametrize("share", [0.6, 0.8, 0.95])
def test_too_little_friction_drops(world, state, share):
    result = attempt(world, state, grasp(), GRIPPER, share * HOLDS_FROM)
    assert not result.success
    assert result.reason == "slipped"


@pytest.mark.parametrize("share", [1.35, 2, 12, 60])
def test_enough_friction_holds(world, state, share):
    result = attempt(world, state, grasp(), GRIPPER, share * HOLDS_FROM)
    assert result.success
    assert result.object_index == 0
    assert result.lifted == (0,)
    assert result.poses[0, 2, 3] == pytest.approx(0.03 + AttemptSettings().lift, abs=0.005)
    assert result.poses[0, 0, 3] == pytest.approx(AttemptSettings().carry[0], abs=0.005)


@pytest.mark.parametrize("tips", [(0.0, 1.6), (1.6, 0.0)])
def test_both_fingertips_carry(world, state, tips):
    friction = tuple(t * HOLDS_FROM for t in tips)
    assert not attempt(world, state, grasp(), GRIPPER, friction).success
    assert attempt(world, state, grasp(), GRIPPER, (1.6 * HOLDS_FROM,) * 2).success


def without_palm(gripper, settings):
    """Returns the gripper's URDF with the palm's collision, its first, taken away."""
    text = gripper_urdf(gripper, settings)
    start, end = text.index("<collision>"), text.index("</collision>") + len("</collision>")
    return text[:start] + text[end:]


def test_the_palm_is_what_stops_the_hand_on_a_tall_box(tmp_path, monkeypatch):
    """It meets a box of 90 mm with the tips 40 mm over the floor; without it they come down to its foot."""
    tall = box_state(tmp_path, (0.04, 0.04, 0.09))
    lowest = []
    for build in (gripper_urdf, without_palm):
        monkeypatch.setattr("sim.benchmark.parallel_jaw.gripper_urdf", build)
        world, tips = World(PhysicsSettings(), TraySettings()), []
        attempt(world, tall, grasp(tip=0.005), GRIPPER, 0.4, on_step=lambda jaw, seen=tips: seen.append(jaw.position()))
        world.close()
        lowest.append(min(p[2] for p in tips))
    assert lowest == pytest.approx([0.04, 0.005], abs=1.5e-3)


def test_what_nothing_touches_stays_exactly_where_it_lies(world, tmp_path):
    """And what loses its support falls, though it slept."""
    box_state(tmp_path)
    model = ObjectSet.from_folder(tmp_path).models[0]
    poses = np.tile(np.eye(4), (3, 1, 1))
    poses[0, :3, 3] = 0, 0, 0.03
    poses[1, :3, 3] = 0, 0, 0.09  # stands on the first
    poses[2, :3, 3] = 0.12, 0.12, 0.03
    state = SceneState((model,) * 3, poses)
    missed = attempt(world, state, grasp(x=-0.15, tip=0.005), GRIPPER, 0.4)
    np.testing.assert_allclose(missed.poses, poses, atol=1e-12)
    top = attempt(world, state, grasp(tip=0.08), GRIPPER, 0.4)
    assert top.success
    assert top.object_index == 1
    np.testing.assert_allclose(top.poses[2], poses[2], atol=1e-12)
    assert top.poses[0, 2, 3] == pytest.approx(0.03, abs=2e-3)


def test_what_loses_its_support_falls_though_it_slept(world, tmp_path):
    box_state(tmp_path)
    model = ObjectSet.from_folder(tmp_path).models[0]
    poses = np.tile(np.eye(4), (2, 1, 1))
    poses[:, :3, 3] = (0, 0, 0.03), (0.03, 0, 0.08)  # a lying box, most of which rests on the first
    poses[1, :3, :3] = Rotation.from_euler("y", np.pi / 2).as_matrix()
    state = SceneState((model,) * 2, poses)
    result = attempt(world, state, grasp(angle=np.pi / 2, tip=0.03, x=-0.005), GRIPPER, 1.0)
    assert result.success
    # Carried off or fallen, but never left in the air.
    assert result.poses[1, 2, 3] < 0.05 or 1 in result.lifted


def test_a_film_sees_every_time_step_and_changes_nothing(world, state):
    steps = []
    filmed = attempt(world, state, grasp(), GRIPPER, 0.4, on_step=lambda jaw: steps.append(jaw.position()[2]))
    np.testing.assert_array_equal(filmed.poses, attempt(world, state, grasp(), GRIPPER, 0.4).poses)
    s = AttemptSettings()
    assert len(steps) == s.down_steps + s.close_steps + s.lift_steps + s.carry_steps
    assert steps[0] - min(steps) == pytest.approx(s.pre_grasp, abs=2e-3)


def test_a_held_box_slips_less_than_two_millimetres(world, state):
    for friction in (0.2, 0.4, 1.0):
        for angle in (0, np.pi / 2):
            assert attempt(world, state, grasp(angle=angle), GRIPPER, friction).slip < 2e-3


def test_an_attempt_repeats_bit_by_bit_in_any_order(state):
    poses = []
    for before in ([], [grasp(angle=0.3)], [grasp(x=0.03), grasp(tip=0.0)]):
        world = World(PhysicsSettings(), TraySettings())
        for g in before:
            attempt(world, state, g, GRIPPER, 0.4)
        poses.append(attempt(world, state, grasp(angle=0.1), GRIPPER, 0.4).poses)
        world.close()
    np.testing.assert_array_equal(poses[0], poses[1])
    np.testing.assert_array_equal(poses[0], poses[2])


def test_reasons(world, state):
    assert attempt(world, state, grasp(x=0.15), GRIPPER, 0.4).reason == "missed"
    # Fingers that come down on the box's top, and a palm that does, are blocked on the way.
    assert attempt(world, state, grasp(x=0.0, width=0.02), GRIPPER, 0.4).reason == "blocked"
    assert attempt(world, state, grasp(x=0.04), GRIPPER, 0.4).reason == "blocked"


@pytest.mark.parametrize("friction", [0.8, 1.0])
def test_a_hand_that_presses_on_the_object_cannot_centre_it(world, state, friction):
    """Why policies keep a depth margin: the palm 2 mm into a box that stands 5 mm off the middle holds it there."""
    palm_touches = SIZE[2] - GRIPPER.finger_length
    assert attempt(world, state, grasp(x=0.005, tip=palm_touches - 0.002), GRIPPER, friction).reason == "missed"
    assert attempt(world, state, grasp(x=0.005, tip=palm_touches + 0.002), GRIPPER, friction).success


def test_a_wrong_frame_is_refused(world, state):
    with pytest.raises(ValueError, match="world frame"):
        attempt(world, state, GraspPoses.empty("camera"), GRIPPER, 0.4)


@pytest.mark.parametrize("opening", [0.1, 0.14, 0.2, 0.4])
def test_fingers_that_stand_far_apart_have_the_time_to_close(world, state, opening):
    wide = GripperGeometry(max_opening=opening, palm_width=opening + 0.03)
    result = attempt(world, state, grasp(width=opening), wide, 0.6)
    assert result.success, result.reason
