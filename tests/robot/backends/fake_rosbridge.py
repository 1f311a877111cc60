"""A rosbridge websocket on 127.0.0.1 with an arm, a hand and a camera behind it; JSON as its protocol has it."""

import base64
import contextlib
import json
import threading
import time

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

JOINTS = ("base", "other", "elbow", "wrist")  # "other" belongs to another device


class FakeRos:
    def __init__(self, version=2):
        self.version = version
        self.q, self.dq = np.array([0.1, 9.0, -0.4, 0.2]), np.zeros(4)
        self.plan, self.began, self.goal = None, 0.0, None
        self.frozen = self.deaf = self.abort = self.still = False
        self.coasts, self.coasting, self.held = False, 0.0, None  # rad/s after a goal was given up; the last hold
        self.falls_short = 0.0  # radians by which a goal that is told as reached is not
        self.finger, self.object_at = 0.0, None
        self.pictures = {}
        self.retell = lambda state: state  # what becomes of a joint state before it is published
        self.result_of = lambda result: result  # what becomes of the hand's result
        self.hand_status = 4
        self.answers, self.poses = [], None
        self.topics, self.calls, self.subscribed = {}, [], {}
        self.server = serve(self.talk, "127.0.0.1", 0)
        self.port = self.server.socket.getsockname()[1]
        self.peers = []
        self.open = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        threading.Thread(target=self.run, daemon=True).start()

    def close(self):
        self.open = False
        for peer in list(self.peers):
            peer.close()
        self.server.shutdown()

    def talk(self, peer):
        self.peers.append(peer)
        with contextlib.suppress(ConnectionClosed):
            for text in peer:
                self.take(peer, json.loads(text))

    def say(self, message):
        for peer in self.peers:
            with contextlib.suppress(ConnectionClosed):
                peer.send(json.dumps(message))

    def publish(self, topic, message):
        if topic in self.subscribed:
            self.say({"op": "publish", "topic": topic, "msg": message})

    def take(self, peer, message):
        op, topic = message["op"], message.get("topic", message.get("action", message.get("service")))
        self.calls.append((op, topic))
        if op == "subscribe":
            self.subscribed[topic] = message["type"]
        elif op == "unsubscribe":
            self.subscribed.pop(topic, None)
        elif op in ("advertise_service", "service_response"):
            self.answers.append(message)
        elif op == "publish" and topic.endswith("/poses"):
            self.poses = message["msg"]["poses"]
        elif op == "send_action_goal":
            self.start(topic, message["args"], message["id"])
        elif op == "cancel_action_goal":
            self.cancel()
        elif op == "publish" and topic.endswith("/goal"):
            self.start(topic.removesuffix("/goal"), message["msg"]["goal"], message["msg"]["goal_id"]["id"])
        elif op == "publish" and topic.endswith("/cancel"):
            self.cancel()
        elif op == "publish" and topic.endswith(("/joint_trajectory", "/command")):
            self.held = message["msg"]
            self.hold()

    def start(self, action, args, goal):
        self.goal = (action, goal)
        if "command" in args:
            place = args["command"]["position"]
            stalled = self.object_at is not None and place > self.object_at
            self.finger = self.object_at if stalled else place
            result = {"position": self.finger, "effort": 1.0, "stalled": stalled, "reached_goal": not stalled}
            return self.finish(self.result_of(result), self.hand_status)
        if self.abort:
            self.coasting = 0.4 if self.coasts else 0.0
            return self.finish({"error_code": -4, "error_string": "path tolerance violated"}, status=6)
        names = args["trajectory"]["joint_names"]
        order = [JOINTS.index(n) for n in names]
        ends = args["trajectory"]["points"]
        times = [
            p["time_from_start"].get("sec", p["time_from_start"].get("secs"))
            + 1e-9 * p["time_from_start"].get("nanosec", p["time_from_start"].get("nsecs"))
            for p in ends
        ]
        self.plan, self.began = (order, np.array(times), np.array([p["positions"] for p in ends])), time.monotonic()
        return None

    def cancel(self):
        if not self.deaf and self.plan is not None:
            self.plan = None
            self.finish({"error_code": 0, "error_string": ""}, status=5)

    def hold(self):
        self.plan, self.coasting = None, 0.0
        if self.goal:
            self.finish({"error_code": -1, "error_string": "preempted"}, status=6)

    def finish(self, result, status=4):
        (action, goal), self.goal = self.goal, None
        if self.version == 2:
            good = status == 4
            self.say(
                {
                    "op": "action_result",
                    "id": goal,
                    "action": action,
                    "values": result,
                    "status": status,
                    "result": good,
                }
            )
        else:
            told = {"status": {"goal_id": {"id": goal}, "status": status - 1}, "result": result}
            self.publish(f"{action}/result", told)

    def run(self):
        count = 0
        while self.open:
            time.sleep(0.01)
            count += 1
            if self.plan is not None:
                order, times, ends = self.plan
                t, before = time.monotonic() - self.began, self.q.copy()
                for i, j in enumerate(order):
                    self.q[j] = np.interp(t, times, ends[:, i]) - self.falls_short * min(1.0, t / times[-1])
                self.dq = (self.q - before) / 0.01
                if t > times[-1] + 0.02:
                    self.plan = None
                    self.dq = np.zeros(4)
                    self.finish({"error_code": 0, "error_string": ""})
            else:
                self.dq = np.array([0.0, 0.0, 0.0, self.coasting])
                self.q += 0.01 * self.dq
            if not self.frozen:
                state = {"name": list(JOINTS), "position": self.q.tolist(), "velocity": self.dq.tolist(), "effort": []}
                self.publish("/joint_states", self.retell(state))
                self.publish("/joint_states", {"name": ["finger"], "position": [0.0], "velocity": [], "effort": []})
            for topic, picture in list(self.pictures.items()):
                ticks = 0 if self.still else count
                at = {"sec": ticks // 100, "nanosec": ticks % 100 * 10**7}
                self.publish(topic, {"header": {"stamp": at}, **picture})


def tray(ros, depth, rgb=None):
    """Publishes a depth image in metres, and its colours, from now on."""
    height, width = depth.shape
    rgb = np.zeros((height, width, 3), np.uint8) if rgb is None else rgb
    focal = height / 2 / np.tan(np.radians(30))
    ros.pictures = {
        "/camera/color/image_raw": image(rgb, "rgb8"),
        "/camera/aligned_depth_to_color/image_raw": image(np.round(1000 * depth).astype(np.uint16), "16UC1"),
        "/camera/color/camera_info": {
            "height": height,
            "width": width,
            "k": [focal, 0, (width - 1) / 2, 0, focal, (height - 1) / 2, 0, 0, 1],
            "d": [],
        },
    }


def image(array, encoding, pad=0):
    """A sensor_msgs/Image of an array, rows padded."""
    height, width = array.shape[:2]
    rows = array.reshape(height, -1).view(np.uint8)
    padded = np.pad(rows, ((0, 0), (0, pad)))
    data = base64.b64encode(padded.tobytes()).decode()
    return {
        "height": height,
        "width": width,
        "encoding": encoding,
        "is_bigendian": 0,
        "step": padded.shape[1],
        "data": data,
    }
