"""An xArm over its private Modbus-TCP protocol: a controller on 127.0.0.1."""

import contextlib
import socketserver
import struct
import threading
import time

import numpy as np
import pytest

from robot import DeviceError
from robot.backends import XArm
from sim.errors import InputError

pytest.importorskip("xarm", reason="xarm-python-sdk is not installed: pip install 'plgp[xarm]'")
from xarm.core.config.x_config import XCONF

VERSION, STATE, ERROR, CLEAN, JOINTS, SERVO = 1, 13, 15, 16, 42, 29


class Controller(socketserver.ThreadingTCPServer):
    """Answers requests; joints jump to their targets."""

    allow_reuse_address = daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Request)
        self.q, self.error, self.effort, self.mute, self.seen = np.zeros(7), 0, 0.0, False, []
        self.before = (time.monotonic(), np.zeros(7))
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
        if register == SERVO and not self.error:
            self.q = np.array(struct.unpack("<7f", body[:28]))
        if register == JOINTS:
            now, (then, before) = time.monotonic(), self.before
            dq = (self.q - before) / max(now - then, 1e-3)
            self.before = (now, self.q.copy())
            return struct.pack("<21f", *self.q, *dq, *[self.effort] * 7)
        return b"\0" * 8


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
    ended = arm.execute(bench.turn(arm.state().q, by=0.2, seconds=0.5), bench.make_guard())
    assert ended.done, ended
    np.testing.assert_allclose(controller.q, [0.2, 0, 0, 0, 0, 0, 0], atol=1e-3)


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
    threading.Timer(0.2, lambda: act(controller)).start()
    ended = arm.execute(bench.turn(arm.state().q, by=0.4, seconds=2.0), bench.make_guard())
    assert ended.reason == reason, ended
    assert said in ended.message
    assert arm.stopped
    assert controller.q[0] < 0.2
    controller.effort = 0.0
    arm.recover()
    assert arm.execute(bench.turn(arm.state().q, by=0.05, seconds=0.3), bench.make_guard()).done


def test_a_stop_from_another_thread(arm, controller, bench):
    threading.Timer(0.2, arm.stop).start()
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
