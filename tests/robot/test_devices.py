"""What every arm and hand has in common: dry runs, stops that latch, exceptions that stop, lost devices."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from robot import (
    Arm,
    ArmState,
    DeviceError,
    Execution,
    Frame,
    Guard,
    Hand,
    HandState,
    SafetyLimits,
    Trajectory,
)
from robot.backends.following import FollowingArm
from robot.devices import read_state
from robot.errors import load_backend
from sim.camera import PinholeCamera
from sim.errors import InputError
from sim.geometry import make_pose


class Slider(Arm):
    """One joint that is a tenth of a metre a radian; it jumps from point to point of the trajectory."""

    name, joints = "the slider", 1

    def __init__(self, ending=None):
        super().__init__()
        self.armed, self.ending, self.calls = True, ending, []
        self.q = np.zeros(1)

    def connect(self):
        self.calls.append("connect")

    def disconnect(self):
        self.calls.append("disconnect")

    def state(self):
        return ArmState(q=self.q, dq=np.zeros(1), time=self.clock())

    def _follow(self, trajectory, guard):
        for q in trajectory.positions:
            if self.stopped:
                return Execution("stopped", self.q, "the slider was stopped")
            if isinstance(self.ending, BaseException):
                raise self.ending
            if isinstance(self.ending, Execution):
                return self.ending
            self.q = q
        return Execution("done", self.q)

    def _halt(self):
        self.calls.append("halt")
        if self.ending == "deaf" or isinstance(self.ending, DeviceError):
            raise DeviceError("no answer")

    def _recover(self):
        self.calls.append("recover")


def guard():
    return Guard(
        SafetyLimits(box_low=(-1, -1, -1), box_high=(1, 1, 1)), lambda q: make_pose(np.eye(3), (0.1 * q[0], 0, 0))
    )


def motion(start=0.0, end=0.5):
    return Trajectory(times=[0, 1], positions=[[start], [end]], velocities=np.zeros((2, 1)))


def test_a_motion_is_done():
    arm = Slider()
    ended = arm.execute(motion(), guard())
    assert ended.done
    assert ended.q == 0.5
    assert arm.calls == []


def test_a_dry_run_is_checked_and_goes_no_further():
    arm = Slider()
    arm.armed = False
    ended = arm.execute(motion(), guard())
    assert (ended.reason, arm.q[0]) == ("dry run", 0)
    assert "armed=true" in ended.message
    assert arm.execute(motion(start=0.2), guard()).reason == "refused"


def test_a_refused_motion_leaves_the_arm_free():
    arm = Slider()
    assert arm.execute(motion(end=30), guard()).reason == "refused"
    assert not arm.stopped
    assert arm.execute(motion(), guard()).done


def test_a_stop_latches_until_it_is_taken_back():
    arm = Slider()
    for _ in range(3):
        arm.stop()
    assert arm.execute(motion(), guard()).reason == "stopped"
    assert arm.q == 0
    arm.recover()
    assert arm.execute(motion(), guard()).done


def test_a_stop_from_outside_is_told_from_the_arms_own():
    arm = Slider(Execution("fault", np.zeros(1), "said"))
    arm.execute(motion(), guard())
    assert (arm.stopped, arm.stopped_by_person) == (True, False)
    arm.stop()
    assert arm.stopped_by_person
    arm.recover()
    assert (arm.stopped, arm.stopped_by_person) == (False, False)


def test_a_stop_while_the_arm_recovers_stays_in_force():
    arm = Slider()
    arm.stop()
    arm._recover = arm.stop
    arm.recover()
    assert (arm.stopped, arm.stopped_by_person) == (True, True)
    del arm._recover
    arm.recover()
    assert (arm.stopped, arm.stopped_by_person) == (False, False)


def test_a_device_lost_after_a_persons_stop_is_told_as_the_stop():
    arm = Slider()

    def fail(trajectory, guard):
        arm.stop()
        raise DeviceError("the script has ended")

    arm._follow = fail
    ended = arm.execute(motion(), guard())
    assert (ended.reason, ended.message) == ("stopped", "the slider was stopped (the script has ended)")


class Watched(FollowingArm):
    """Its controller never ends a motion, and its wrist feels the braking of a stop."""

    name, joints, armed, felt = "the watched arm", 1, True, 0.0

    def connect(self):
        pass

    disconnect = _recover = connect

    def state(self):
        return ArmState(q=np.zeros(1), dq=np.zeros(1), time=self.clock(), force=np.array([self.felt, 0, 0]))

    def _send_off(self, trajectory):
        pass

    def _over(self):
        self.stop()
        return False

    def _failure(self):
        return ""

    def _halt(self):
        self.felt = 45.0


def test_a_stop_whose_braking_is_felt_at_the_wrist_is_told_as_the_stop():
    arm = Watched()
    assert arm.execute(motion(), guard()).reason == "stopped"
    assert arm.stopped_by_person


class Settling(FollowingArm):
    """Its controller says at once that the motion is over; the arm is as far off as ``places`` says in turn."""

    name, joints, armed, settling = "the settling arm", 1, True, 0.1

    def __init__(self, end, places, speed=0.0):
        super().__init__()
        self.end, self.places, self.speed, self.looked = end, list(places), speed, -2  # the start is looked at twice

    def connect(self):
        pass

    disconnect = _recover = _halt = connect

    def state(self):
        self.looked += 1
        q = 0.0 if self.looked < 0 else self.end - self.places[min(self.looked, len(self.places) - 1)]
        speed = self.speed if self.looked >= 0 else 0.0
        return ArmState(q=np.array([q]), dq=np.array([speed]), time=self.clock())

    def _send_off(self, trajectory):
        pass

    def _over(self):
        return True

    def _failure(self):
        return ""


def test_an_arm_may_settle_when_its_controller_says_that_it_is_there():
    assert Settling(0.5, [0.045, 0.03, 0.004]).execute(motion(), guard()).done


@pytest.mark.parametrize(
    ("off", "contact", "said"),
    [
        (0.045, False, "stays 0.045 rad from the trajectory's end, the tip 4.5 mm, allowed 0.02 rad; check"),
        (0.045, True, "stays 0.045 rad"),
        (0.015, False, ""),
        (0.015, True, "the tip 1.5 mm, allowed 0.02 rad and 1 mm (safety.arrival)"),
        (0.005, True, ""),
    ],
)
def test_an_arm_is_done_only_where_the_next_motion_begins(off, contact, said):
    held = guard()
    held.limits = replace(held.limits, arrival=0.001)
    arm = Settling(0.5, [off])
    slow = Trajectory(times=[0, 2], positions=[[0.0], [0.5]], velocities=np.zeros((2, 1)), contact=contact)
    ended = arm.execute(slow, held)
    assert ended.reason == ("fault" if said else "done")
    assert said in ended.message
    assert arm.stopped == bool(said)


def test_an_arm_that_moves_on_when_its_motion_is_over_is_stopped():
    ended = Settling(0.5, [0.0], speed=0.1).execute(motion(), guard())
    assert (ended.reason, "still moves at 0.10 rad/s" in ended.message) == ("fault", True)


def test_angles_that_are_no_numbers_are_named():
    arm = Slider()
    assert read_state(arm).q == 0
    arm.q = np.array([np.nan])
    with pytest.raises(DeviceError, match="the slider reports joint angles that are not finite"):
        read_state(arm)


@pytest.mark.parametrize("reason", ["limit", "stale", "fault", "stopped", "lost"])
def test_what_ends_a_motion_badly_stops_the_arm(reason):
    arm = Slider(Execution(reason, np.zeros(1), "said"))
    assert arm.execute(motion(), guard()) == arm.ending
    assert arm.stopped
    assert arm.calls == ["halt"]


def test_a_contact_leaves_the_arm_free():
    arm = Slider(Execution("contact", np.zeros(1), "said"))
    assert arm.execute(motion(), guard()).reason == "contact"
    assert not arm.stopped


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a bug"), SystemExit(1)])
def test_an_exception_stops_and_goes_on(error):
    arm = Slider(error)
    with pytest.raises(type(error)):
        arm.execute(motion(), guard())
    assert arm.stopped
    assert arm.calls == ["halt"]


def test_a_lost_arm_says_that_the_stop_did_not_reach_it():
    arm = Slider(DeviceError("the cable is out"))
    ended = arm.execute(motion(), guard())
    assert ended.reason == "lost"
    assert "the cable is out" in ended.message
    assert "press the emergency stop" in ended.message
    assert arm.stopped
    with pytest.raises(DeviceError, match="press the emergency stop"):
        arm.stop()


def test_an_exception_within_the_block_stops_before_it_disconnects():
    with pytest.raises(KeyboardInterrupt), Slider() as arm:
        raise KeyboardInterrupt
    assert arm.calls == ["connect", "halt", "disconnect"]
    deaf = Slider("deaf")
    with pytest.raises(DeviceError), deaf:
        raise RuntimeError
    assert deaf.calls[-1] == "disconnect"
    with Slider() as calm:
        pass
    assert calm.calls == ["connect", "disconnect"]


def test_stops_from_many_threads_at_once():
    arm = Slider()
    threads = [threading.Thread(target=arm.stop) for _ in range(20)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert arm.stopped
    assert arm.calls.count("halt") == 20


class Jaws(Hand):
    name, max_opening, width = "the jaws", 0.08, 0.08

    def connect(self):
        pass

    disconnect = stop = connect

    def state(self):
        return HandState(width=self.width, holding=False, time=time.monotonic())

    def _move(self, width, *, force):
        self.width = width
        return self.state()


def test_a_hand_moves_where_it_is_armed():
    hand = Jaws()
    assert hand.move(0.02).width == 0.08
    hand.armed = True
    assert hand.move(0.02).width == 0.02
    assert hand.close(10).width == 0
    for width in (-0.01, 0.081, np.nan, np.inf):
        with pytest.raises(InputError, match="width is"):
            hand.move(width)
    for force in (0, -1, np.nan, np.inf):
        with pytest.raises(InputError, match="force is"):
            hand.close(force)


def test_a_hand_that_stays_narrow_is_named():
    hand = Jaws()
    hand.armed = True
    hand._move = lambda width, *, force: HandState(width=min(width, 0.02), holding=False, time=0.0)
    assert hand.move(0.028).width == 0.02  # some hands tell their width while they still move
    with pytest.raises(DeviceError, match="opened to 20 mm where 80 mm were asked"):
        hand.move(0.08)
    assert hand.close(10).width == 0


@pytest.mark.parametrize(("rgb", "depth"), [((48, 64), (48, 64)), ((48, 64, 3), (64, 48)), ((24, 32, 3), (24, 32))])
def test_a_frame_of_another_size_than_its_camera_is_refused(rgb, depth):
    camera = PinholeCamera.from_fov(64, 48)
    with pytest.raises(InputError, match="its camera says 64x48"):
        Frame(rgb=np.zeros(rgb, np.uint8), depth=np.zeros(depth, np.float32), camera=camera, time=0.0)


def test_a_missing_driver_names_its_extra():
    with pytest.raises(InputError, match=r"pip install 'plgp\[ur\]'"):
        load_backend("no_such_driver", extra="ur")
