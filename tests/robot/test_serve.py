"""The node for ROS users, over rosbridge's real protocol: requests come as JSON on a websocket."""

import importlib.util
import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from robot import DeviceError
from robot.backends import RosCamera, RosConnection
from robot.serve import GraspService, policy_of
from sim.camera import PinholeCamera
from sim.errors import InputError
from sim.grasp import GraspPoses
from sim.view import Observation

pytest.importorskip("roslibpy", reason="roslibpy is not installed: pip install 'plgp[ros]'")
pytest.importorskip("websockets", reason="websockets is not installed: pip install websockets")

SPEC = importlib.util.spec_from_file_location(
    "fake_rosbridge", Path(__file__).parent / "backends" / "fake_rosbridge.py"
)
fake = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(fake)


@pytest.fixture
def ros():
    server = fake.FakeRos()
    yield server
    server.close()


def ask(ros, node, *, wait=5.0):
    """The answer to one request."""
    runner = threading.Thread(target=node.run, args=(1,))
    runner.start()
    ros.say({"op": "call_service", "id": "call-7", "service": "/plgp/grasps", "args": {}})
    runner.join(wait)
    assert not runner.is_alive()
    time.sleep(0.1)
    (answer,) = [a for a in ros.answers if a["op"] == "service_response"]
    ros.answers.clear()
    assert (answer["id"], answer["service"], answer["result"]) == ("call-7", "/plgp/grasps", True)
    return answer["values"]


def test_a_request_is_answered_with_grasps(ros):
    depth = np.full((48, 64), 0.6)
    depth[20:28, 30:34] = 0.55
    fake.tray(ros, depth)
    seen = []

    def predict(observation):
        seen.append(observation)
        turn = np.diag([1.0, 1.0, 1.0])[None]
        return GraspPoses(np.array([[0.01, 0.02, 0.56]]), turn, np.array([0.05]), np.array([0.9]))

    link = RosConnection("127.0.0.1", ros.port)
    node = GraspService(link, RosCamera(link), predict, frame="optical")
    node.open()
    try:
        time.sleep(0.1)
        assert ros.answers[0]["type"] == "std_srvs/srv/Trigger"
        values = ask(ros, node)
        told = json.loads(values["message"])
        assert values["success"]
        assert told["frame"] == "optical"
        (grasp,) = told["grasps"]
        assert grasp["translation"] == [0.01, 0.02, 0.56]
        assert grasp["quaternion_xyzw"] == [0, 0, 0, 1]
        assert (grasp["width"], grasp["quality"]) == (0.05, 0.9)
        assert ros.poses == [
            {"position": {"x": 0.01, "y": 0.02, "z": 0.56}, "orientation": {"x": 0, "y": 0, "z": 0, "w": 1}}
        ]
        np.testing.assert_allclose(seen[0].depth, depth, atol=1e-6)
        assert seen[0].camera.width == 64
        ros.pictures.clear()
        values = ask(ros, node)
        assert not values["success"]
        assert "check its driver" in values["message"]
    finally:
        node.close()


def test_a_request_that_fails_in_any_way_is_answered_and_the_node_goes_on(ros):
    fake.tray(ros, np.full((48, 64), 0.6))
    raised = [RuntimeError("CUDA out\nof memory")]

    def predict(observation):
        if raised:
            raise raised.pop()
        return GraspPoses.empty("camera")

    link = RosConnection("127.0.0.1", ros.port)
    node = GraspService(link, RosCamera(link), predict)
    node.open()
    try:
        time.sleep(0.1)
        values = ask(ros, node)
        assert values == {"success": False, "message": "the request failed with RuntimeError: CUDA out of memory"}
        assert ask(ros, node)["success"]
        ros.pictures["/camera/color/camera_info"].pop("k")
        values = ask(ros, node)
        assert not values["success"]
        assert "/camera/color/camera_info tells no intrinsics" in values["message"]
    finally:
        node.close()


def test_a_closed_connection_ends_the_node_with_a_sentence(ros):
    link = RosConnection("127.0.0.1", ros.port)
    node = GraspService(link, RosCamera(link), lambda seen: GraspPoses.empty("camera"))
    node.open()
    ros.close()
    with pytest.raises(DeviceError, match="start the node again"):
        node.run()
    node.close()


@pytest.mark.slow
def test_the_shipped_network_answers(ros):
    depth = np.full((480, 640), 0.6)
    depth[230:250, 280:360] = 0.57
    fake.tray(ros, depth)
    link = RosConnection("127.0.0.1", ros.port)
    predict = policy_of("pretrained", workspace="200,150,440,330", count=5)
    node = GraspService(link, RosCamera(link), predict)
    node.open()
    try:
        grasps = json.loads(ask(ros, node, wait=120)["message"])["grasps"]
    finally:
        node.close()
    assert grasps
    assert abs(grasps[0]["translation"][1]) < 0.1
    assert 0.5 < grasps[0]["translation"][2] < 0.65


@pytest.mark.slow
def test_a_workspace_that_makes_no_sense_is_told():
    predict = policy_of("pretrained", workspace="9,9,1,1", count=5)
    with pytest.raises(InputError):
        predict(Observation(None, np.zeros((480, 640), np.float32), PinholeCamera.from_fov()))
