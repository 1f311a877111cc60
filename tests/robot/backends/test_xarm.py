"""An xArm and a Robotiq hand at its tool over its private Modbus-TCP protocol: a controller on 127.0.0.1."""

import contextlib
import socketserver
import struct
import threading
import time

import numpy as np
import pytest

from robot import DeviceError
from robot.backends import XArm, XArmRobotiqHand, streaming
from sim.errors import InputError

pytest.importorskip("xarm", reason="xarm-python-sdk is not installed: pip install 'plgp[xarm]'")
from xarm.core.config.x_config import XCONF

VERSION, STATE, ERROR, CLEAN, JOINTS, SERVO = 1, 13, 15, 16, 42, 29
TOOL, BAUD = 124, 128  # frames of Modbus RTU that are passed on to the tool; registers of the tool


class Controller(socketserver.ThreadingTCPServer):
    """Answers requests; joints jump to their targets."""

    allow_reuse_address = daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Request)
        self.q, self.error, self.effort, self.mute, self.seen = np.zeros(7), 0, 0.0, False, []
        self.before = (time.monotonic(), np.zeros(7))
        self.jammed, self.fingers, self.object_at = False, [0] * 6, 255
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def answer(self, register, body):
        self.seen.append(register)
        if register == VERSION:
            return b"6,6,XI1300,DC1300,v2.3.0".ljust(40, b"\0")
        if register == STATE:
            return b"\x02"
        if register == ERROR:
            return bytes([self.error, 0])
        if register == CLEAN:
            self.error = 0
        if register == TOOL:
            return self.pass_on(body)
        if register == BAUD:
            return struct.pack(">i", 5)  # 115200
        if register == SERVO and not self.error and not self.jammed:
            self.q = np.array(struct.unpack("<7f", body[:28]))
        if register == JOINTS:
            now, (then, before) = time.monotonic(), self.before
            dq = (self.q - before) / max(now - then, 1e-3)
            self.before = (now, self.q.copy())
            return struct.pack("<21f", *self.q, *dq, *[self.effort] * 7)
        return b"\0" * 8

    def pass_on(self, body):
        """A Robotiq hand whose fingers jump: what is asked (ACT, -, -, POS, SPE, FOR), or its status."""
        if body[2] == 0x10:
            self.fingers = list(body[8:14])
            return body[:7]
        active, _, _, wish, _, _ = self.fingers
        place = max(3, min(wish, 228, self.object_at))
        met = 2 if place < min(wish, 228) else 3
        moves = active & 8
        status = (met << 6 if moves else 0) | (3 << 4 | 1 if active & 1 else 0) | moves
        return body[:1] + bytes([9, 3, 6, status, 0, 0, wish, place if moves else 3, 0])


class Request(socketserver.BaseRequestHandler):
    def handle(self):
        with contextlib.suppress(OSError):
            while head := self.request.recv(6, 0x100):  # MSG_WAITALL
                number, kind, size = struct.unpack(">HHH", head)
                body = self.request.recv(size, 0x100)
                told = self.server.answer(body[0], body[1:])
                state = 0x40 if self.server.error else 0
                if not self.server.mute:
                    self.request.sendall(struct.pack(">HHHBB", number, kind, len(told) + 2, body[0], state) + told)


@pytest.fixture
def controller(monkeypatch):
    server = Controller()
    monkeypatch.setattr(XCONF.SocketConf, "TCP_CONTROL_PORT", server.server_address[1])
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def arm(controller):
    with XArm("127.0.0.1", armed=True) as arm:
        yield arm


def test_an_arm_follows_a_trajectory(arm, controller, bench):
    ended = arm.execute(bench.turn(arm.state().q, by=0.1, seconds=0.3), bench.make_guard())
    assert ended.done, ended
    np.testing.assert_allclose(controller.q, [0.1, 0, 0, 0, 0, 0, 0], atol=1e-3)


def test_nothing_moves_in_a_dry_run(controller, bench):
    with XArm("127.0.0.1") as arm:
        assert arm.execute(bench.turn(arm.state().q), bench.make_guard()).reason == "dry run"
    assert SERVO not in controller.seen
    assert not controller.q.any()


def fail(controller):
    controller.error = 2


def press(controller):
    controller.effort = 40.0


@pytest.mark.parametrize(("act", "reason", "said"), [(fail, "fault", "controller error 2"), (press, "limit", "effort")])
def test_what_goes_wrong_on_the_way_stops_the_arm(arm, controller, bench, act, reason, said):
    threading.Timer(0.15, lambda: act(controller)).start()
    ended = arm.execute(bench.turn(arm.state().q, by=0.4, seconds=2.0), bench.make_guard())
    assert ended.reason == reason, ended
    assert said in ended.message
    assert arm.stopped
    assert controller.q[0] < 0.2
    controller.effort = 0.0
    arm.recover()
    assert arm.execute(bench.turn(arm.state().q, by=0.02, seconds=0.2), bench.make_guard()).done


def test_a_stop_from_another_thread(arm, controller, bench):
    threading.Timer(0.15, arm.stop).start()
    ended = arm.execute(bench.turn(arm.state().q, by=0.4, seconds=2.0), bench.make_guard())
    assert ended.reason == "stopped"
    here = controller.q.copy()
    time.sleep(0.1)
    np.testing.assert_array_equal(controller.q, here)


def test_nobody_at_home_is_one_sentence(monkeypatch):
    monkeypatch.setattr(XCONF.SocketConf, "TCP_CONTROL_PORT", 1)
    with pytest.raises(DeviceError, match="check the cable"):
        XArm("127.0.0.1").connect()
    with pytest.raises(DeviceError, match="is not connected"):
        XArm("127.0.0.1").state()
    with pytest.raises(InputError, match="four numbers"):
        XArm("myarm")
    with pytest.raises(InputError, match="5 to 7 joints"):
        XArm("127.0.0.1", 8)


def test_an_arm_that_does_not_arrive_is_stopped(arm, controller, bench, monkeypatch):
    monkeypatch.setattr(streaming, "SETTLING", 0.2)
    controller.jammed = True
    ended = arm.execute(bench.turn(arm.state().q, by=0.05, seconds=0.2), bench.make_guard())
    assert ended.reason == "fault"
    assert "stays 0.050 rad from the trajectory's end" in ended.message
    assert arm.stopped
    controller.jammed = False
    arm.recover()
    assert arm.execute(bench.turn(arm.state().q, by=0.02, seconds=0.2), bench.make_guard()).done


def test_a_cut_cable_stops_the_arm_and_says_so(arm, controller, bench):
    def cut():
        controller.mute = True

    driver = arm._api._arm.arm_cmd  # it waits for seconds
    driver._G_TOUT = driver._S_TOUT = 0.2
    threading.Timer(0.1, cut).start()
    ended = arm.execute(bench.turn(arm.state().q, by=0.05, seconds=1.0), bench.make_guard())
    assert ended.reason in ("lost", "stale"), ended
    assert "check the cable" in ended.message
    assert "press the emergency stop" in ended.message
    assert arm.stopped


def test_a_hand_at_the_tool_opens_closes_and_feels(controller):
    with XArmRobotiqHand("127.0.0.1", armed=True) as hand:
        assert hand.move(0.03).width == pytest.approx(0.03, abs=5e-4)
        state = hand.close(60)
        assert (state.holding, state.width) == (False, 0)
        assert controller.fingers[5] == round(255 * 40 / 215)
        assert hand.move(0.085).width == pytest.approx(0.085)
        controller.object_at = 120
        state = hand.close(60)
        assert state.holding
        assert state.width == pytest.approx(0.085 * (228 - 120) / 225)
        hand.stop()
        assert controller.fingers[3] == 120
        controller.object_at = 255
        controller.error = 19
        with pytest.raises(DeviceError, match="check its plug"):
            hand.state()
    with pytest.raises(DeviceError, match="is not connected"):
        hand.state()
    with pytest.raises(InputError, match="four numbers"):
        XArmRobotiqHand("myarm")


def test_a_hand_at_the_tool_that_is_not_armed_stays(controller):
    with XArmRobotiqHand("127.0.0.1") as hand:
        assert hand.close(60).width == pytest.approx(0.085)
    assert controller.fingers == [0] * 6
