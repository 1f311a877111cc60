"""A Robotiq hand over its real protocol: text lines on a socket, a server on 127.0.0.1."""

import socketserver
import threading
import time

import pytest

from robot import DeviceError
from robot.backends import RobotiqHand
from sim.errors import InputError


class Fingers(socketserver.ThreadingTCPServer):
    """The URCap's side, with an object of some width between the fingers."""

    allow_reuse_address = daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Line)
        self.values = {"ACT": 0, "STA": 0, "GTO": 0, "POS": 3, "PRE": 3, "SPE": 0, "FOR": 0, "OBJ": 3, "FLT": 0}
        self.object_at, self.answers, self.speed = None, True, 40.0
        self.pieces, self.end = 100, "\n"  # bytes of an answer that are sent at a time, and its end of line
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            time.sleep(0.005)
            v = self.values
            if v["ACT"] and v["STA"] != 3:
                v["STA"] = 3
            if not v["GTO"] or v["STA"] != 3:
                continue
            step = max(-self.speed, min(self.speed, v["PRE"] - v["POS"]))
            stop = self.object_at
            if stop is not None and v["POS"] <= stop <= v["POS"] + step:
                v["POS"], v["OBJ"] = stop, 2
            else:
                limit = min(228, max(3, v["POS"] + step))
                v["OBJ"] = 3 if v["POS"] == limit else 0
                v["POS"] = int(limit)


class Line(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            word, *rest = line.decode().split()
            if not self.server.answers:
                continue
            if word == "GET":
                name = rest[0]
                self.say(f"{name} {self.server.values[name]}{self.server.end}".encode())
            else:
                new = dict(zip(rest[::2], map(int, rest[1::2]), strict=True))
                if "POS" in new:
                    new["PRE"] = new.pop("POS")
                    new["OBJ"] = 0
                self.server.values.update(new)
                self.say(b"ack")

    def say(self, answer):
        for start in range(0, len(answer), self.server.pieces):
            time.sleep(0.02 if start else 0.0)
            self.wfile.write(answer[start : start + self.server.pieces])


@pytest.fixture
def fingers():
    server = Fingers()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def hand(fingers):
    with RobotiqHand("127.0.0.1", port=fingers.server_address[1], armed=True, timeout=0.3) as hand:
        yield hand


def test_the_fingers_open_to_a_width(hand, fingers):
    assert fingers.values["STA"] == 3
    assert hand.move(0.04).width == pytest.approx(0.04, abs=0.0005)
    state = hand.move(hand.max_opening)
    assert state.width == pytest.approx(0.085)
    assert not state.holding


def test_closing_on_an_object_holds_it(hand, fingers):
    fingers.object_at = 120
    state = hand.close(60)
    assert state.holding
    assert state.width == pytest.approx(0.085 * (228 - 120) / 225)
    assert fingers.values["FOR"] == round(255 * 40 / 215)
    fingers.object_at = None  # it slips out, the fingers close on
    time.sleep(0.2)
    assert not hand.state().holding


def test_closing_on_nothing_is_no_grasp(hand):
    state = hand.close(20)
    assert (state.holding, state.width) == (False, 0)


def test_a_hand_that_is_not_armed_stays(fingers):
    with RobotiqHand("127.0.0.1", port=fingers.server_address[1]) as hand:
        assert hand.close(20).width == pytest.approx(0.085)
    assert fingers.values["ACT"] == fingers.values["GTO"] == 0


def test_stop_from_another_thread_ends_the_motion(hand, fingers):
    fingers.speed = 0.5
    threading.Timer(0.15, hand.stop).start()
    began = time.monotonic()
    state = hand.close(20)
    assert time.monotonic() - began < 1
    assert state.width > 0.05
    hand.stop()
    assert fingers.values["GTO"] == 0


def test_a_fault_is_named(hand, fingers):
    fingers.values["FLT"] = 14
    with pytest.raises(DeviceError, match="too much current"):
        hand.close(20)


def test_a_silent_or_strange_hand_is_one_sentence(hand, fingers):
    fingers.values["POS"] = "?"
    with pytest.raises(DeviceError, match="is it a Robotiq URCap"):
        hand.state()
    fingers.answers = False
    with pytest.raises(DeviceError, match="does not answer any more"):
        hand.state()
    with pytest.raises(DeviceError, match="is not connected"):
        hand.state()


@pytest.mark.parametrize("pieces", [1, 5])
def test_answers_that_come_in_pieces_are_put_together(hand, fingers, pieces):
    fingers.values["POS"], fingers.pieces = 228, pieces
    assert [hand.state().width for _ in range(2)] == [0, 0]
    hand._set(SPE=77)
    assert fingers.values["SPE"] == 77
    fingers.pieces, fingers.end = 100, ""  # a URCap that ends no line
    assert hand.state().width == 0


@pytest.mark.parametrize(("name", "value"), [("POS", 999), ("POS", -3), ("OBJ", 7), ("POS", "3 OBJ 3")])
def test_a_register_out_of_its_range_is_named(hand, fingers, name, value):
    fingers.values[name] = value
    with pytest.raises(DeviceError, match=f"answered '{name} {value}' when asked for {name}"):
        hand.state()


def test_nobody_at_home_and_settings_out_of_range():
    with pytest.raises(DeviceError, match="URCap"):
        RobotiqHand("127.0.0.1", port=1).connect()
    with pytest.raises(InputError, match="positions 0 to 255"):
        RobotiqHand("h", positions=(200, 100))


@pytest.mark.parametrize("act", [lambda h: h.move(0.2), lambda h: h.move(float("nan")), lambda h: h.close(-1)])
def test_requests_out_of_range_are_refused(hand, act):
    with pytest.raises(InputError, match=r"width is|force is"):
        act(hand)
