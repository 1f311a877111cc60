"""ROS devices over rosbridge's real protocol: a websocket server on 127.0.0.1, ROS 1 and ROS 2."""

import importlib.util
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from robot import DeviceError
from robot.backends import RosArm, RosCamera, RosConnection, RosHand
from robot.backends.rosbridge import arm as ros_arm
from robot.backends.rosbridge import connection
from sim.errors import InputError

pytest.importorskip("roslibpy", reason="roslibpy is not installed: pip install 'plgp[ros]'")
pytest.importorskip("websockets", reason="websockets is not installed: pip install websockets")

SPEC = importlib.util.spec_from_file_location("fake_rosbridge", Path(__file__).parent / "fake_rosbridge.py")
fake = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(fake)
NAMES = ("wrist", "base", "elbow")  # not the order of the topic


@pytest.fixture(params=[2, 1], ids=["ros2", "ros1"])
def ros(request):
    server = fake.FakeRos(request.param)
    yield server
    server.close()


@pytest.fixture
def link(ros):
    return RosConnection("127.0.0.1", ros.port, version=ros.version)


@pytest.fixture
def arm(link):
    with RosArm(link, NAMES, controller="/arm", armed=True) as arm:
        yield arm


def test_joints_come_by_their_names(arm):
    np.testing.assert_allclose(arm.state().q, [0.2, 0.1, -0.4])
    assert arm.joints == 3


def test_an_arm_follows_a_trajectory(arm, ros, bench):
    start = arm.state().q
    ended = arm.execute(bench.turn(start, by=0.2, seconds=0.3), bench.make_guard())
    assert ended.done, ended
    np.testing.assert_allclose(ros.q, [0.1, 9.0, -0.4, 0.4], atol=1e-6)
    word = "send_action_goal" if ros.version == 2 else "publish"
    assert any(op == word and "/arm/follow_joint_trajectory" in topic for op, topic in ros.calls)


@pytest.mark.parametrize("deaf", [False, True], ids=["cancels", "holds cancellations back"])
def test_a_stop_reaches_the_controller(arm, ros, bench, deaf):
    ros.deaf = deaf
    threading.Timer(0.15, arm.stop).start()
    ended = arm.execute(bench.turn(arm.state().q, by=0.4, seconds=2.0), bench.make_guard())
    assert ended.reason == "stopped"
    here = ros.q.copy()
    time.sleep(0.05)
    np.testing.assert_array_equal(ros.q, here)
    assert here[3] < 0.4
    arm.stop()
    arm.recover()
    assert arm.execute(bench.turn(arm.state().q, by=0.02, seconds=0.2), bench.make_guard()).done


def freeze(ros):
    ros.frozen = True


def unplug(ros):
    ros.open = False
    for peer in ros.peers:
        peer.close()


@pytest.mark.parametrize(("act", "reasons"), [(freeze, {"stale"}), (unplug, {"lost", "stale"})])
def test_silence_stops_the_arm_and_says_so(arm, ros, bench, monkeypatch, act, reasons):
    monkeypatch.setattr(ros_arm, "BRAKING", 0.3)
    threading.Timer(0.15, lambda: act(ros)).start()
    began = time.monotonic()
    ended = arm.execute(bench.turn(arm.state().q, by=0.4, seconds=4.0), bench.make_guard())
    assert time.monotonic() - began < 3
    assert ended.reason in reasons, ended
    assert "press the emergency stop" in ended.message
    assert arm.stopped


def test_a_limit_on_the_way_stops_the_arm(arm, ros, bench):
    guard = bench.make_guard()
    guard.limits = bench.make_guard(joint_speed=0.05).limits
    admitted = guard.admit
    guard.admit = lambda *given: admitted(*given) and None  # measured speeds alone are judged
    ended = arm.execute(bench.turn(arm.state().q, by=0.4, seconds=2.0), guard)
    assert ended.reason == "limit"
    assert "joint 1 turns at" in ended.message
    assert ros.plan is None


def test_a_controller_that_gives_up_is_quoted(arm, ros, bench):
    ros.abort = True
    ended = arm.execute(bench.turn(arm.state().q), bench.make_guard())
    assert ended.reason == "fault"
    assert "path tolerance violated" in ended.message


def test_an_arm_that_does_not_arrive_is_stopped(arm, ros, bench):
    ros.falls_short = 0.1
    ended = arm.execute(bench.turn(arm.state().q, by=0.1, seconds=0.2), bench.make_guard(joint_speed=7))
    assert ended.reason == "fault"
    assert "stays 0.100 rad from the trajectory's end" in ended.message
    assert arm.stopped


def test_an_arm_that_moves_on_after_its_controller_gave_up_is_stopped(arm, ros, bench):
    ros.abort = ros.coasts = True
    ended = arm.execute(bench.turn(arm.state().q), bench.make_guard())
    assert ended.reason == "fault"
    assert "press the emergency stop" not in ended.message
    assert not np.any(arm.state().dq)
    here = ros.q.copy()
    time.sleep(0.05)
    np.testing.assert_array_equal(ros.q, here)
    assert len(ros.held["points"]) == 1


def test_a_stop_that_nobody_heeds_is_said_each_time(arm, ros, bench, monkeypatch):
    monkeypatch.setattr(ros_arm, "BRAKING", 0.2)
    monkeypatch.setattr(ros, "hold", lambda: None)
    ros.abort = ros.coasts = True
    ended = arm.execute(bench.turn(arm.state().q), bench.make_guard())
    assert "still moves" in ended.message
    with pytest.raises(DeviceError, match="press the emergency stop"):
        arm.stop()


def test_kinovas_driver_is_stopped_by_an_empty_trajectory_on_its_own_topic(link, ros, bench):
    topic = "/j2s7s300_driver/trajectory_controller/command"
    with RosArm(link, NAMES, controller="/j2s7s300", stop_topic=topic, stop_empty=True, armed=True) as arm:
        threading.Timer(0.1, arm.stop).start()
        assert arm.execute(bench.turn(arm.state().q, seconds=1.0), bench.make_guard()).reason == "stopped"
    assert ("publish", topic) in ros.calls
    assert sorted(ros.held["joint_names"]) == sorted(NAMES)
    assert ros.held["points"] == []


def test_a_hand_opens_closes_and_feels(link, ros):
    with RosHand(link, action="/gripper/gripper_cmd", max_opening=0.085, armed=True) as hand:
        assert hand.move(0.03).width == pytest.approx(0.03)
        assert not hand.close(20).holding
        hand.move(0.085)
        ros.object_at = 0.5
        state = hand.close(20)
        assert state.holding
        assert state.width == pytest.approx(0.085 * 3 / 8)
        hand.stop()


@pytest.mark.parametrize("encoding", ["16UC1", "32FC1"])
def test_a_camera_gives_pairs(link, ros, encoding):
    rng = np.random.default_rng(0)
    colour = rng.integers(0, 255, (12, 16, 3), dtype=np.uint8)
    depth = rng.integers(0, 2000, (12, 16), dtype=np.uint16)
    told = depth if encoding == "16UC1" else (depth * np.float32(0.001)).astype(np.float32)
    info = {"height": 12, "width": 16, "k": [15, 0, 7.5, 0, 15, 5.5, 0, 0, 1], "d": [0.0] * 5}
    ros.pictures = {
        "/camera/color/image_raw": fake.image(np.ascontiguousarray(colour[..., ::-1]), "bgr8", pad=4),
        "/camera/aligned_depth_to_color/image_raw": fake.image(told, encoding),
        "/camera/color/camera_info": info,
    }
    with RosCamera(link) as camera:
        frame = camera.read(after=time.monotonic() + 0.02)
        np.testing.assert_array_equal(frame.rgb, colour)
        np.testing.assert_allclose(frame.depth, depth * 0.001, rtol=1e-6)
        assert frame.camera.intrinsics[0, 0] == 15
        time.sleep(0.1)
        assert not {t for t in ros.subscribed if "camera" in t}
        info["width"] = 32
        with pytest.raises(InputError, match="its camera says 32x12"):
            camera.read()
        info["d"] = [0.1]
        with pytest.raises(InputError, match="distortion"):
            camera.read()
        info["d"], info["width"], ros.still = [], 16, True
        with pytest.raises(DeviceError, match="no new pair of colour and depth"):  # a frozen camera
            camera.read(timeout=0.2)
        ros.pictures.pop("/camera/aligned_depth_to_color/image_raw")
        time.sleep(0.05)  # until what was on its way has come
        with pytest.raises(DeviceError, match="nothing on /camera/aligned_depth"):
            camera.read(timeout=0.2)


def test_nobody_at_home_and_unknown_joints(link, ros, monkeypatch):
    monkeypatch.setattr(ros_arm, "FIRST", 0.3)
    monkeypatch.setattr(connection, "ANSWERS", 0.5)
    with pytest.raises(DeviceError, match="check the arm's driver and the names"):
        RosArm(link, ["hip"], controller="/arm").connect()
    with pytest.raises(InputError, match="each joint's name once"):
        RosArm(link, ["hip", "hip"], controller="/arm")
    if ros.version == 2:
        with pytest.raises(DeviceError, match="rosbridge_websocket_launch"):
            RosConnection("127.0.0.1", 1).open()
