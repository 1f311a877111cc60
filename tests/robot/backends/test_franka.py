"""A Franka arm and hand over libfranka's protocol: franky-sim, MuJoCo in another process."""

import threading
import time

import numpy as np
import pytest

from robot import DeviceError
from robot.backends import FrankaArm, FrankaHand
from sim.errors import InputError

pytest.importorskip("franky", reason="franky-control is not installed: pip install 'plgp[franka]'")
pytest.importorskip("franky_sim", reason="franky-sim is not installed (570 MB): pip install franky-sim")


@pytest.fixture(scope="module")
def host(bench):
    program = bench.Program("fake_franka.py")
    if program.hello[:1] != ["ready"]:
        program.close()
        pytest.skip("franky-sim does not start")
    yield program.hello[1]
    program.close()


@pytest.fixture(scope="module")
def arm(host):
    with FrankaArm(host, armed=True, realtime=False) as arm:
        yield arm


@pytest.fixture(scope="module")
def hand(host):
    with FrankaHand(host, armed=True) as hand:
        yield hand


def test_an_arm_follows_a_trajectory(arm, bench):
    start = arm.state().q
    ended = arm.execute(bench.turn(start, by=0.2, seconds=1.0), bench.make_guard(state_age=1.0, effort=200, force=500))
    assert ended.done, ended
    np.testing.assert_allclose(ended.q - start, [0.2, 0, 0, 0, 0, 0, 0], atol=0.02)


def test_a_stop_from_another_thread_holds_until_it_is_recovered(arm, bench):
    guard = bench.make_guard(state_age=1.0, effort=200, force=500)
    threading.Timer(0.5, arm.stop).start()
    ended = arm.execute(bench.turn(arm.state().q, by=0.4, seconds=2.0), guard)
    assert ended.reason == "stopped", ended
    here = arm.state().q
    time.sleep(0.2)
    np.testing.assert_allclose(arm.state().q, here, atol=0.01)
    assert arm.execute(bench.turn(arm.state().q), guard).reason == "stopped"
    arm.stop()
    arm.recover()
    ended = arm.execute(bench.turn(arm.state().q, by=-0.1, seconds=0.6), guard)
    assert ended.done, ended


def test_a_broken_limit_on_the_way_stops(arm, bench):
    guard = bench.make_guard(state_age=1.0, effort=200, force=500)
    admitted, guard.limits = guard.admit, guard.limits
    guard.admit = lambda *given: admitted(*given)
    guard.check_force, began = guard.check, time.monotonic()

    def check(state):
        if time.monotonic() - began > 0.5:
            guard.limits = bench.make_guard(state_age=1.0, effort=200, force=500, joint_speed=0.01).limits
        return guard.check_force(state)

    guard.check = check
    ended = arm.execute(bench.turn(arm.state().q, by=0.3, seconds=2.0), guard)
    arm.recover()
    assert ended.reason == "limit", ended


def test_a_hand_opens_and_closes_on_nothing(hand):
    assert hand.move(0.05).width == pytest.approx(0.05, abs=0.005)
    assert not hand.close(20).holding
    hand.stop()
    with pytest.raises(InputError, match=r"opens from 0 to 0\.08"):
        hand.move(0.1)


def test_nobody_at_home_is_one_sentence():
    with pytest.raises(DeviceError, match="activate FCI"):
        FrankaArm("127.0.0.99", realtime=False).connect()
    with pytest.raises(DeviceError, match="is not connected"):
        FrankaArm("127.0.0.99").state()
    with pytest.raises(InputError, match=r"up to 0\.2"):
        FrankaHand("h", speed=0.5)
