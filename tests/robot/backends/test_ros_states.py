"""What ROS drivers write into joint states and results: nulls, old stamps, too few numbers; over the real protocol."""

import importlib.util
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from robot import DeviceError
from robot.backends import RosArm, RosConnection, RosHand
from robot.backends.rosbridge import arm as ros_arm
from robot.backends.rosbridge.stamps import StampClock, read_stamp

pytest.importorskip("roslibpy", reason="roslibpy is not installed: pip install 'plgp[ros]'")
pytest.importorskip("websockets", reason="websockets is not installed: pip install websockets")

SPEC = importlib.util.spec_from_file_location("fake_rosbridge", Path(__file__).parent / "fake_rosbridge.py")
fake = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(fake)
NAMES = ("wrist", "base", "elbow")


@pytest.fixture
def ros():
    server = fake.FakeRos(2)
    yield server
    server.close()


@pytest.fixture
def link(ros):
    return RosConnection("127.0.0.1", ros.port, version=2)


@pytest.fixture
def arm(link):
    with RosArm(link, NAMES, controller="/arm", armed=True) as arm:
        yield arm


def stamped(state, seconds):
    return {**state, "header": {"stamp": {"sec": int(seconds), "nanosec": int(seconds % 1 * 1e9)}}}


@pytest.mark.parametrize("told", [[None] * 4, [0.0, 0.0, 0.0, None], []], ids=["null", "one null", "none"])
def test_speeds_that_are_not_told_are_those_of_the_angles(arm, ros, bench, monkeypatch, told):
    """A controller that coasts on after it has given a goal up is not at rest because its speeds are null."""
    monkeypatch.setattr(ros_arm, "BRAKING", 0.2)
    monkeypatch.setattr(ros, "hold", lambda: None)
    ros.retell = lambda state: {**state, "velocity": told}
    ros.abort = ros.coasts = True
    ended = arm.execute(bench.turn(arm.state().q), bench.make_guard())
    assert ended.reason == "fault"
    assert "still moves" in ended.message
    assert arm.state().dq[0] == pytest.approx(0.4, rel=0.5)


def test_an_arm_of_which_one_place_is_known_is_not_at_rest_yet(link, ros, monkeypatch):
    monkeypatch.setattr(ros_arm, "FIRST", 0.3)
    said = []

    def once(state):
        said.append(state)
        return {**state, "velocity": [None] * 4} if len(said) == 1 else {**state, "name": ["finger"] * 4}

    time.sleep(0.05)
    ros.retell = once
    with pytest.raises(DeviceError, match="tells no angles of"):
        RosArm(link, NAMES, controller="/arm").connect()


def test_states_that_come_late_are_stale(arm, ros, bench):
    """By stamps of a clock that is two minutes behind ours."""
    late = []
    ros.retell = lambda state: stamped(state, time.time() - 120)
    time.sleep(0.1)
    assert arm.clock() - arm.state().time < 0.1

    def delay(state):
        late.append(stamped(state, time.time() - 120))
        return late[max(0, len(late) - 60)]

    threading.Timer(0.2, lambda: setattr(ros, "retell", delay)).start()
    ended = arm.execute(bench.turn(arm.state().q, by=0.3, seconds=2.0), bench.make_guard())
    assert ended.reason == "stale"
    assert ros.q[3] < 0.45


def test_a_state_that_is_repeated_is_stale(arm, ros, bench):
    ros.retell = lambda state: stamped(state, time.time())
    time.sleep(0.1)
    frozen = []

    def repeat(state):
        frozen.append(stamped(state, time.time()))
        return frozen[0]

    threading.Timer(0.2, lambda: setattr(ros, "retell", repeat)).start()
    ended = arm.execute(bench.turn(arm.state().q, by=0.3, seconds=2.0), bench.make_guard())
    assert ended.reason == "stale"
    assert ros.q[3] < 0.45


def test_states_with_too_few_angles_tell_nothing(arm, ros, bench, caplog):
    threading.Timer(0.1, lambda: setattr(ros, "retell", lambda state: {**state, "position": [0.1, 9.0]})).start()
    ended = arm.execute(bench.turn(arm.state().q, by=0.3, seconds=2.0), bench.make_guard())
    assert ended.reason == "stale"
    assert "Traceback" not in caplog.text  # the library logs what a callback raises


def test_stamps_are_read_as_either_ros_writes_them():
    assert read_stamp({"header": {"stamp": {"sec": 3, "nanosec": 5 * 10**8}}}) == 3.5
    assert read_stamp({"header": {"stamp": {"secs": 3, "nsecs": 0}}}) == 3
    assert read_stamp({"name": []}) == read_stamp({"header": {"stamp": {"sec": None, "nanosec": None}}}) == 0


def test_a_state_is_as_old_as_it_came_later_than_the_fastest():
    clock, start = StampClock(), 1.7e9
    assert clock.measured(0.0, 5.0) == 5.0  # no stamp
    assert clock.measured(start, 5.30) == pytest.approx(5.30)
    assert clock.measured(start, 5.31) is None  # repeated
    assert clock.measured(start + 0.1, 5.32) == pytest.approx(5.32)  # came faster
    assert clock.measured(start + 0.2, 5.92) == pytest.approx(5.42, abs=2e-3)  # half a second late
    assert clock.measured(start + 0.05, 5.93) is None  # overtaken
    drifting, passed = StampClock(), np.arange(0, 20000, 10.0)
    ages = [t - drifting.measured(start + t * (1 - 5e-4), t) for t in passed]
    assert max(ages) < 1e-5  # clocks that drift apart are not mistaken for a delay
    simulated = StampClock()
    assert [simulated.measured(1 + 0.5 * t, t) for t in (1.0, 2.0, 3.0)] == [1.0, 2.0, 3.0]  # at half the speed
    assert simulated.measured(2.5, 4.0) is None


def ages(stamps, arrivals):
    """Returns how old the newest state is whenever one arrives, seconds."""
    clock, newest, found = StampClock("the arm"), arrivals[0], []
    for stamp, now in zip(stamps, arrivals, strict=True):
        measured = clock.measured(1.7e9 + stamp, now)
        newest = newest if measured is None else measured
        found.append(now - newest)
    return np.array(found)


STEADY = np.arange(0, 40, 0.008)


@pytest.mark.parametrize("ahead", [0.2, 2.0])
def test_one_stamp_ahead_of_time_is_left_out(ahead):
    wrong = STEADY.copy()
    wrong[500] += ahead
    assert ages(wrong, STEADY).max() < 0.02
    assert ages(STEADY + np.where(STEADY > 4, ahead, 0), STEADY).max() < 0.02  # all of them: the clock was set


SHIFTS = {
    "set back": np.where(STEADY > 10, 0.15, 0),
    "set back an hour": np.where(STEADY > 10, 3600, 0),
    "slewed": np.clip((STEADY - 10) / 12, 0, 0.3),
    "ahead at first": np.where(STEADY == 0, -2, 0),
}


@pytest.mark.parametrize("shift", SHIFTS.values(), ids=SHIFTS)
def test_a_clock_that_has_moved_is_named_and_counted_from(shift):
    with pytest.warns(UserWarning, match=r"the clock of the arm has moved by [\d.]+ s against ours") as told:
        old = ages(STEADY - shift, STEADY)
    assert len(told) == 1
    assert old.max() > 0.14
    late = STEADY[old > 0.1]
    assert late.max() - late.min() < 12  # it stays old for as long as it moves, and some seconds more
    assert late.max() - late.min() > 2.5
    assert old[-1] < 0.01


DELAYS = {
    "grows slowly": 2e-3 * STEADY,
    "grows": 0.05 * STEADY,
    "grows by leaps": 0.5 * np.floor(STEADY / 2),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("delay", DELAYS.values(), ids=DELAYS)
def test_states_that_come_ever_later_stay_old(delay):
    assert (ages(STEADY, STEADY + delay) >= 0.9 * delay - 1e-3 * STEADY - 0.01).all()


@pytest.mark.filterwarnings("error")
def test_stamps_that_stand_still_stay_old():
    old = ages(np.minimum(STEADY, 10.0), STEADY)
    assert old[-1] == pytest.approx(STEADY[-1] - 10, abs=0.1)
    assert ages(np.floor(STEADY / 3) * 3, STEADY).max() > 2.9  # for three seconds each


@pytest.mark.parametrize("start", [0.0, 1.7e9], ids=["by arrival", "by stamp"])
def test_speeds_are_those_of_the_angles_though_states_come_in_bursts(link, monkeypatch, start):
    """By their stamps, where they have any, however they arrive; else over a time in which a burst counts little."""
    arm, speeds = RosArm(link, NAMES, controller="/arm"), []
    for i in range(100):
        measured = 0.008 * i
        came = 0.056 * np.ceil((measured + 1e-6) / 0.056) + 1e-4 * i  # seven at once
        monkeypatch.setattr(arm, "clock", lambda came=came: came)
        header = stamped({}, start + measured) if start else {}
        arm._note({"name": NAMES, "position": [0.4 * min(measured, 0.56)] * 3, "velocity": [None] * 3, **header})
        speeds.append(arm._newest.dq[0] if arm._newest else np.nan)
    assert np.array(speeds[20:70]) == pytest.approx(0.4, rel=1e-3 if start else 0.9)
    assert speeds[-5:] == [0.0] * 5  # the arm has come to rest


@pytest.mark.parametrize("place", [None, float("nan")])
def test_a_hand_that_tells_no_position_is_named(link, ros, place):
    with RosHand(link, action="/g", max_opening=0.085, armed=True) as hand:
        ros.result_of = lambda result: {**result, "position": place}
        with pytest.raises(DeviceError, match="tells no position when it has moved"):
            hand.close(20)


def test_an_aborted_goal_of_a_hand_is_its_end_only_where_the_fingers_met_something(link, ros):
    with RosHand(link, action="/g", max_opening=0.085, armed=True) as hand:
        ros.hand_status, ros.object_at = 6, 0.5
        assert hand.close(20).holding
        ros.object_at = None
        ros.result_of = lambda result: {**result, "position": 0.3, "reached_goal": False}
        with pytest.raises(DeviceError, match="gave up: the goal ended with status 6"):
            hand.close(20)
