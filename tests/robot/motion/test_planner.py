"""Planned motions keep to every limit, clear of things, on one branch; what cannot be is named."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from robot.arms.model import ArmModel
from robot.cell.settings import CellSettings
from robot.motion import GraspPlan, MotionPlanner, Unreachable
from robot.safety import SafetyLimits
from sim.camera import overhead_pose
from sim.geometry import make_pose
from sim.gripper import GripperGeometry
from sim.physics import TraySettings

pytest.importorskip("ruckig", reason="needs plgp[robot]")
pytest.importorskip("toppra", reason="needs plgp[robot]")

GRIPPER = GripperGeometry(frames={"flange": {"xyz": [0, 0, 0.2203], "rpy": [0, 0, 0]}})
CELL, TRAY = CellSettings(), TraySettings()
SAFETY = SafetyLimits(box_low=(-0.3, -0.8, -0.17), box_high=(0.9, 0.8, 0.9))
READY = {"ur5e": (0.0, -1.57, 1.57, -1.57, -1.57, 0.0), "kinova_gen2": (0.0, 2.9, 0.0, 1.3, 0.0, 4.2, 0.0)}


@pytest.fixture(scope="module", params=sorted(READY))
def planner(request):
    arm = ArmModel(urdf=request.param, ready=READY[request.param])
    obstacles, base, camera = CELL.obstacles(TRAY), CELL.base_pose, CELL.camera_mount
    with MotionPlanner(arm, GRIPPER, obstacles, base=base, camera=camera, safety=SAFETY) as made:
        made.at_view = made.view(overhead_pose(0.6), 0.1)
        yield made


def down(x, y, z, turn=0.0):
    return make_pose((Rotation.from_euler("z", turn) * Rotation.from_euler("x", np.pi)).as_matrix(), (x, y, z))


def check_limits(planner, motion, speed):
    """Joints, their speeds and accelerations, the tip's speed, from positions alone and finer than it was planned."""
    times = np.linspace(0, motion.duration, max(50, int(motion.duration / 0.004)))
    angles = motion.at(times)[0]
    step = times[1]
    rates = np.diff(angles, axis=0) / step
    assert planner.chain.within(angles, slack=1e-6).all()
    assert (np.abs(rates) <= planner.limits.speed * (1 + 1e-6)).all()
    assert np.abs(np.diff(rates, axis=0)).max() / step <= planner.limits.acceleration * 1.02
    places = planner.chain.forward(angles)[:, :3, 3]
    assert np.linalg.norm(np.diff(places, axis=0), axis=1).max() / step <= speed * 1.001
    assert (places >= np.array(SAFETY.box_low) - 1e-6).all()
    assert (places <= np.array(SAFETY.box_high) + 1e-6).all()


@given(x=st.floats(-0.16, 0.16), y=st.floats(-0.16, 0.16), z=st.floats(0.004, 0.06), turn=st.floats(-np.pi, np.pi))
@settings(max_examples=40, deadline=None)
def test_a_grasp_in_the_tray_is_planned_or_named(planner, x, y, z, turn):
    plan = planner.grasp(planner.at_view, down(x, y, z, turn), 0.06)
    if isinstance(plan, Unreachable):
        assert plan.reason in ("reach", "branch", "collision", "box")
        assert plan.message
        return
    check_limits(planner, plan.to_start, SAFETY.tip_speed)
    check_limits(planner, plan.down, SAFETY.approach_speed)
    check_limits(planner, plan.up, SAFETY.approach_speed)
    # One after the other, at the grasp that was asked for, perhaps turned by half a turn.
    assert plan.down.positions[0] == pytest.approx(plan.to_start.positions[-1], abs=1e-9)
    assert plan.up.positions[0] == pytest.approx(plan.down.positions[-1], abs=1e-9)
    assert plan.grasp[:3, 3] == pytest.approx((x, y, z), abs=1e-5)
    assert abs(plan.grasp[:3, 0] @ down(x, y, z, turn)[:3, 0]) == pytest.approx(1, abs=1e-6)
    # The way down is a straight line, and so is the way up.
    for motion, end in ((plan.down, (x, y, z + 0.1)), (plan.up, (x, y, z + 0.2))):
        places = np.array([planner.tip(q)[:3, 3] for q in motion.at(np.linspace(0, motion.duration, 30))[0]])
        assert np.abs(places[:, :2] - (x, y)).max() < 5e-4
        assert max(abs(places[0] - end).max(), abs(places[-1] - (x, y, z)).max()) < 1e-4 or places[-1] == pytest.approx(
            end, abs=1e-4
        )


def test_almost_all_of_the_tray_is_reached(planner):
    rng = np.random.default_rng(0)
    found = [
        planner.grasp(planner.at_view, down(*rng.uniform(-0.12, 0.12, 2), 0.02, rng.uniform(0, np.pi)), 0.06)
        for _ in range(40)
    ]
    assert sum(isinstance(f, GraspPlan) for f in found) == 40


@pytest.mark.parametrize(
    ("pose", "opening", "reason", "word"),
    [
        (down(1.5, 0, 0.02), 0.05, "reach", "no joint angles"),
        (down(0.0, 0, -0.015), 0.05, "collision", "tray"),
        (down(0.16, 0, 0.01), 0.06, "collision", "tray"),
    ],
)
def test_what_cannot_be_reached_is_named(planner, pose, opening, reason, word):
    found = planner.grasp(planner.at_view, pose, opening)
    assert isinstance(found, Unreachable)
    assert found.reason == reason
    assert word in found.message


def test_the_receptacle_is_reached_over_its_walls(planner):
    start = planner.grasp(planner.at_view, down(0.1, -0.1, 0.02), 0.06).up.positions[-1]
    motion = planner.over(start, CELL.release_place(TRAY), 0.03, via=[planner.at_view])
    check_limits(planner, motion, SAFETY.tip_speed)
    end = planner.tip(motion.positions[-1])
    assert end[:3, 3] == pytest.approx(CELL.release_place(TRAY), abs=1e-5)
    assert end[2, 2] == pytest.approx(-1, abs=1e-6)


def test_a_motion_to_where_it_is_takes_no_time(planner):
    motion = planner.to(planner.at_view, planner.at_view)
    assert motion.duration < 0.05
    assert (motion.positions == planner.at_view).all()


def test_a_wall_in_the_way_is_driven_round_or_named(planner):
    """Between two grasps low in the tray and the receptacle stands a wall: no motion goes through it."""
    low = planner.grasp(planner.at_view, down(0, 0.15, 0.02), 0.06).down.positions[-1]
    motion = planner.to(low, planner.at_view, 0.06)
    if isinstance(motion, Unreachable):
        assert motion.reason == "collision"
    else:
        check_limits(planner, motion, SAFETY.tip_speed)


def pole(x, y, top):
    """Points of a pole, 10 mm thick, that stands on the tray's floor."""
    sides = np.linspace(-0.005, 0.005, 5)
    return np.stack([v.ravel() for v in np.meshgrid(x + sides, y + sides, np.linspace(0.03, top, 40))], axis=1)


def test_a_grasp_keeps_the_hands_body_out_of_what_the_camera_saw(planner):
    """Beside a low place stands a pole: under the body it is no obstacle, in the body it is, away from it neither."""
    pose = down(0.0, 0.0, 0.02)
    assert isinstance(planner.grasp(planner.at_view, pose, 0.06), GraspPlan)
    aside = 0.025  # beside the fingers, under the body: nothing of palm and fingers is there
    for x, y, top, free in ((0.0, aside, 0.08, True), (0.0, aside, 0.16, False), (0.13, 0.13, 0.16, True)):
        found = planner.grasp(planner.at_view, pose, 0.06, seen=pole(x, y, top))
        assert isinstance(found, GraspPlan) is free, found
        assert free or found.reason == "collision"


def test_the_way_to_a_grasp_keeps_out_of_what_the_camera_saw(planner):
    """A block of points in the middle of the direct way: another way, or none."""
    start = planner.grasp(planner.at_view, down(-0.14, 0.0, 0.02), 0.06).up.positions[-1]
    goal = planner.grasp(planner.at_view, down(0.14, 0.0, 0.02), 0.06).up.positions[-1]
    direct = planner.to(start, goal, 0.06)
    middle = planner.tip(direct.at(np.array([direct.duration / 2]))[0][0])[:3, 3]
    block = middle + np.stack(np.meshgrid(*[np.linspace(-0.04, 0.04, 17)] * 3), axis=-1).reshape(-1, 3)
    found = planner.to(start, goal, 0.06, seen=block)
    if isinstance(found, Unreachable):
        assert "what the camera saw" in found.message
    else:
        times = np.linspace(0, found.duration, 200)
        tips = np.array([planner.tip(q)[:3, 3] for q in found.at(times)[0]])
        assert np.abs(tips - middle).max(axis=1).min() > 0.035


@pytest.mark.parametrize("points", [np.zeros((0, 3)), np.full((3, 3), 0.2)], ids=["none", "three of noise"])
def test_nothing_or_a_few_points_are_no_obstacle(planner, points):
    assert isinstance(planner.grasp(planner.at_view, down(0.0, 0.0, 0.02), 0.06, seen=points), GraspPlan)
