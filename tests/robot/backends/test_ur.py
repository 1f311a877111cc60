"""A UR arm over its real protocol: dashboard, script port and RTDE of a controller in another process."""

import os
import threading
import time
import traceback

import numpy as np
import pytest

from robot import DeviceError
from robot.backends import URArm, ur
from sim.errors import InputError

pytest.importorskip("rtde_control", reason="ur_rtde is not installed: pip install 'plgp[ur]'")


def start(bench):
    program = bench.Program("fake_ur.py")
    if program.hello != ["ready"]:
        program.close()
        pytest.skip("another program holds the ports 29999 to 30004")
    return program


@pytest.fixture(scope="module")
def program(bench):
    program = start(bench)
    yield program
    program.close()


@pytest.fixture(scope="module")
def connected(program):
    with URArm("127.0.0.1", armed=True) as arm:
        yield arm


@pytest.fixture
def controller(program):
    for line in ("clear", "on", "force 0", "home"):
        program.tell(line)
    return program


@pytest.fixture
def arm(connected, controller):
    time.sleep(0.05)
    connected.recover()
    return connected


def later(seconds, act):
    thread = threading.Timer(seconds, act)
    thread.start()
    return thread


def test_an_arm_follows_a_trajectory_and_holds(arm, controller, bench):
    start = arm.state().q
    ended = arm.execute(bench.turn(start, by=0.2, seconds=0.4), bench.make_guard())
    assert ended.done, ended
    np.testing.assert_allclose(ended.q - start, [0.2, 0, 0, 0, 0, 0], atol=0.005)
    there = np.array(controller.tell("where").split(), float)
    np.testing.assert_allclose(there, ended.q, atol=0.003)
    back = arm.execute(bench.turn(arm.state().q, by=-0.2, seconds=0.4), bench.make_guard())
    assert back.done, back


@pytest.mark.parametrize(
    ("line", "reason", "said"),
    [
        ("protective", "fault", "protective stop"),
        ("estop", "fault", "emergency stop"),
        ("force 80", "limit", "80 N, limit 30"),
        ("off", "fault", "POWER_OFF"),
        ("script-dies", "lost", "no control script"),
    ],
)
def test_what_goes_wrong_on_the_way_stops_the_arm(arm, controller, bench, line, reason, said):
    ended = interrupted(arm, controller, bench, line)
    assert ended.reason == reason, ended
    assert said in ended.message


def interrupted(arm, controller, bench, line):
    """A motion during which the controller is told something; the arm has stopped early and stays."""
    later(0.15, lambda: controller.tell(line))
    ended = arm.execute(bench.turn(arm.state().q, by=0.4, seconds=2.0), bench.make_guard())
    assert arm.stopped
    here = np.array(controller.tell("where").split(), float)
    time.sleep(0.05)
    np.testing.assert_allclose(np.array(controller.tell("where").split(), float), here, atol=0.02)
    assert here[0] < 0.2
    return ended


def test_a_protective_stop_is_recovered_by_a_person_after_5_seconds(arm, controller, bench):
    later(0.15, lambda: controller.tell("protective"))
    assert arm.execute(bench.turn(arm.state().q), bench.make_guard()).reason == "fault"
    assert arm.execute(bench.turn(arm.state().q), bench.make_guard()).reason == "stopped"
    with pytest.raises(DeviceError, match=r"until 5s after.*unlock it on the pendant, then give the same command"):
        arm.recover()
    assert arm.stopped
    controller.tell("later 5")
    arm.recover()
    ended = arm.execute(bench.turn(arm.state().q, by=0.05, seconds=0.2), bench.make_guard())
    assert ended.done, ended


def test_an_emergency_stop_needs_a_person(arm, controller):
    controller.tell("estop")
    time.sleep(0.05)
    with pytest.raises(DeviceError, match="emergency stop; clear it at the pendant"):
        arm.recover()
    controller.tell("clear")
    time.sleep(0.05)
    arm.recover()


def test_stop_from_another_thread_many_times(arm, controller, bench):
    stops = [later(0.15, arm.stop) for _ in range(5)]
    ended = arm.execute(bench.turn(arm.state().q, by=0.4, seconds=2.0), bench.make_guard())
    for one in stops:
        one.join()
    assert ended.reason == "stopped"
    assert arm.stopped
    arm.stop()
    arm.recover()
    assert not arm.stopped


def test_a_contact_ends_a_motion_that_may_meet_things(arm, controller, bench):
    later(0.15, lambda: controller.tell("force 80"))
    ended = arm.execute(bench.turn(arm.state().q, by=0.1, seconds=2.0, contact=True), bench.make_guard())
    assert ended.reason == "contact"
    assert not arm.stopped


def test_an_exception_on_the_way_stops(arm, bench):
    guard = bench.make_guard()
    seen = []

    def interrupt(state):
        seen.append(state)
        if len(seen) > 10:
            raise KeyboardInterrupt
        return

    guard.check = interrupt
    with pytest.raises(KeyboardInterrupt):
        arm.execute(bench.turn(arm.state().q, by=0.4, seconds=2.0), guard)
    assert arm.stopped


def test_nothing_moves_in_a_dry_run(controller, bench):
    with URArm("127.0.0.1") as arm:
        ended = arm.execute(bench.turn(arm.state().q), bench.make_guard())
        refused = arm.execute(bench.turn(arm.state().q, by=3.0), bench.make_guard())
    assert (ended.reason, refused.reason) == ("dry run", "refused")
    assert float(controller.tell("where").split()[0]) == 0


def test_nobody_at_home_is_one_sentence(program, connected):
    connected.disconnect()
    program.close()
    with pytest.raises(DeviceError, match="check the cable"):
        URArm("127.0.0.1").connect()
    with pytest.raises(InputError, match="gain 3"):
        URArm("127.0.0.1", gain=3)
    with pytest.raises(DeviceError, match="is not connected"):
        URArm("127.0.0.1").state()


@pytest.mark.parametrize("line", ["freeze", "cut"])
def test_silence_stops_the_arm(bench, line, monkeypatch):
    """In a process of its own: the driver recovers from neither, and holds the interpreter while it tries."""
    monkeypatch.setattr(ur, "CLOSING", 0.2)
    program = start(bench)
    child = os.fork()
    if child == 0:
        try:
            watch_silence(bench, program, line)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    try:
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0, "see the child's traceback"
    finally:
        program.close()


def watch_silence(bench, program, line):
    with URArm("127.0.0.1", armed=True) as arm:
        began = time.monotonic()
        ended = interrupted(arm, program, bench, line)
        assert time.monotonic() - began < 1.5
        assert ended.reason == "stale"
        assert "ms old" in ended.message
        assert "holds its last target, check the cable" in ended.message
        assert "press the emergency stop" in ended.message
