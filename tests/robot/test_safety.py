"""Limits refuse a bad motion before it starts and end one that goes wrong."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from robot import ArmState, Guard, SafetyLimits, Trajectory
from sim.errors import InputError
from sim.geometry import make_pose

LIMITS = SafetyLimits(box_low=(-1, -1, -1), box_high=(1, 1, 1))


def tip(q):
    """A gantry: each joint moves the tip along one axis, a metre a radian."""
    return make_pose(np.eye(3), q)


def state(q=(0, 0, 0), dq=(0, 0, 0), **more):
    return ArmState(q=np.array(q, float), dq=np.array(dq, float), **{"time": 0.0, **more})


def straight(to=(0.3, 0, 0), seconds=3.0, contact=False):
    """From rest to rest: the cubic's greatest speed is 1.5 times the mean."""
    return Trajectory(times=[0, seconds], positions=[(0, 0, 0), to], velocities=np.zeros((2, 3)), contact=contact)


def guard(limits=LIMITS, now=0.0, **more):
    return Guard(limits, tip, clock=lambda: now, **more)


def test_a_good_motion_is_admitted():
    assert guard().admit(straight(), state()) is None


@pytest.mark.parametrize(
    ("trajectory", "at", "more", "said"),
    [
        (straight(to=(1.2, 0, 0), seconds=20), state(), {}, "the tip's x is 1.00"),
        (straight(seconds=1.5), state(), {}, "the tip moves at 0.2"),
        (straight(to=(0.3, 0, 0), contact=True), state(), {}, "limit 0.1"),
        (straight(), state(q=(0.1, 0, 0)), {}, "starts 0.100 rad from"),
        (straight(), state(q=(0, 0)), {}, "moves 3 joints, the arm has 2"),
        (straight(), state(fault="protective stop"), {}, "protective stop"),
        (straight(), state(time=-1.0), {}, "1000 ms old"),
        (straight(), state(), {"upper": np.array([0.2, 1, 1])}, "joint 1 is at 0.20"),
        (straight(), state(), {"lower": np.array([0.1, -1, -1])}, "least 0.100"),
        (straight(), state(q=(np.nan, 0, 0)), {}, "not finite"),
        (replace(straight(), velocities=[(0, 0, 0), (0.1, 0, 0)]), state(), {}, "does not end at rest"),
    ],
)
def test_a_bad_motion_is_refused_with_the_reason(trajectory, at, more, said):
    found = guard(**more).admit(trajectory, at)
    assert found
    assert said in found.message


def test_joint_speed_is_limited_where_the_tip_stands_still():
    still = Guard(replace(LIMITS, joint_speed=0.1), lambda q: np.eye(4), clock=lambda: 0.0)
    assert "joint 1 turns at" in still.admit(straight(), state()).message


@pytest.mark.parametrize(("contact", "reason"), [(True, "contact"), (False, "limit")])
@pytest.mark.parametrize("kind", ["force", "effort"])
def test_a_contact_ends_a_motion_by_the_change_since_its_start(contact, reason, kind):
    held = guard()
    weight = np.array([0.0, 0.0, 25.0])
    held.admit(straight(seconds=10, contact=contact), state(**{kind: weight}))
    assert held.check(state(**{kind: weight * 1.4})) is None
    assert held.check(state(**{kind: -weight})).reason == reason
    assert held.check(state(**{kind: weight * np.nan})).reason == reason


def test_a_measured_state_ends_a_motion():
    held = guard(now=1.0)
    held.admit(straight(), state(time=1.0))
    assert held.check(state(time=0.95)) is None
    assert held.check(state(time=0.85)).reason == "stale"
    assert held.check(state(q=(1.1, 0, 0), time=1.0)).reason == "limit"
    assert held.check(state(dq=(0.4, 0, 0), time=1.0)).reason == "limit"
    assert held.check(state(dq=(0.26, 0, 0), time=1.0)) is None


@pytest.mark.parametrize(
    "wrong",
    [{"box_low": (0, 0, 2)}, {"box_high": (1, 1)}, {"tip_speed": 0}, {"force": np.nan}, {"box_low": (np.nan, 0, 0)}],
)
def test_limits_that_make_no_sense_are_refused(wrong):
    with pytest.raises(InputError, match="safety"):
        SafetyLimits(**wrong)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"tip_speed": 250.0}, "tip_speed is 250.0; give metres a second"),
        ({"approach_speed": 100.0}, "approach_speed is 100.0; give metres a second"),
        ({"joint_speed": 60.0}, "joint_speed is 60.0; give radians a second"),
        ({"state_age": 100.0}, "state_age is 100.0; give seconds"),
        ({"box_low": (100, -600, 0), "box_high": (800, 600, 700)}, "give metres, not millimetres"),
        ({"approach_speed": 0.3}, "approach_speed is 0.3 m/s, faster than tip_speed with 0.25 m/s"),
    ],
)
def test_limits_in_another_unit_are_named(wrong, said):
    with pytest.raises(InputError, match=said):
        SafetyLimits(**wrong)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(-3, 3), min_size=3, max_size=3),
    st.floats(0.05, 8),
    st.lists(st.floats(-1, 1), min_size=3, max_size=3),
)
def test_what_is_admitted_keeps_to_the_limits_everywhere(to, seconds, middle):
    """Points between the guard's own samples are looked at."""
    motion = Trajectory(
        times=[0, seconds / 2, seconds],
        positions=[(0, 0, 0), np.array(to) / 2, to],
        velocities=[[0] * 3, middle, [0] * 3],
    )
    if guard().admit(motion, state()) is None:
        q, dq = motion.at(np.linspace(0, seconds, 997))
        assert np.abs(q).max() <= 1 + 2e-3
        assert np.linalg.norm(dq, axis=1).max() <= 0.25 * 1.02


def test_a_trajectory_interpolates_its_points():
    t = np.linspace(0, 2, 9)
    motion = Trajectory(times=t, positions=np.stack([t**3, t**2], 1), velocities=np.stack([3 * t**2, 2 * t], 1))
    q, dq = motion.at(np.array([0.3, 1.7, 5.0]))
    np.testing.assert_allclose(q, [[0.027, 0.09], [4.913, 2.89], [8, 4]])
    np.testing.assert_allclose(dq[:2], [[0.27, 0.6], [8.67, 3.4]])
    np.testing.assert_allclose(motion.at(0.3)[0], q[0])


@pytest.mark.parametrize(
    "wrong", [{"times": [0, 0]}, {"times": [1, 2]}, {"positions": [[0, 0]]}, {"velocities": [[0], [np.nan]]}]
)
def test_a_broken_trajectory_is_refused(wrong):
    with pytest.raises(InputError, match="trajectory"):
        Trajectory(**{"times": [0, 1], "positions": [[0], [1]], "velocities": [[0], [0]], **wrong})
