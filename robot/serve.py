"""A node for ROS users: a service that answers with the grasps of the camera's newest frame."""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from robot.backends.rosbridge.camera import RosCamera
from robot.backends.rosbridge.connection import RosConnection
from robot.errors import DeviceError
from sim.depth_image.speckles import without_speckles
from sim.errors import InputError
from sim.grasp import GraspPoses
from sim.view import Observation

SERVICE = "/plgp/grasps"
POLL = 0.1  # s
Predict = Callable[[Observation], GraspPoses]


class GraspService:
    """Answers ``std_srvs/Trigger`` with grasps, best first.

    The answer's ``message`` is JSON: ``grasps``, each with ``translation`` (metres), ``quaternion_xyzw``, ``width``
    (metres) and ``quality``, in the optical frame ``frame`` of the colour camera; the pose's x is the closing
    direction, z the approach, its origin lies between the finger tips. The poses are published as
    ``geometry_msgs/PoseArray`` as well. A request that fails is answered with ``success: false`` and the sentence.
    """

    def __init__(
        self, link: RosConnection, camera: RosCamera, predict: Predict, *, service: str = SERVICE, frame: str = ""
    ) -> None:
        """Keeps what it works with.

        Args:
            link: Connection to rosbridge.
            camera: The camera.
            predict: Function from what the camera sees to grasps in the camera frame.
            service: Name of the service; the poses are published on ``<service>/poses``.
            frame: Name of the camera's optical frame for the poses' header.
        """
        self.link, self.camera, self.predict, self.service, self.frame = link, camera, predict, service, frame
        self._asked: queue.Queue[str] = queue.Queue()
        self._ros: Any = None
        self._poses: Any = None

    def open(self) -> None:
        """Connects and offers the service; raises DeviceError."""
        self._ros = self.link.open()
        self.camera.connect()
        kind = self.link.type
        self._poses = self.link.topic(f"{self.service}/poses", kind("geometry_msgs", "msg", "PoseArray"))
        # The connection's own thread must go on receiving pictures while a request is answered.
        self._ros.on(self.service, lambda request: self._asked.put(str(request.get("id", ""))))
        self._send({"op": "advertise_service", "type": kind("std_srvs", "srv", "Trigger"), "service": self.service})

    def close(self) -> None:
        """Takes the service back and disconnects."""
        if self._ros is not None:
            if self._ros.is_connected:
                self._send({"op": "unadvertise_service", "service": self.service})
                time.sleep(POLL)
            self.camera.disconnect()
            self._ros = None
            self.link.close()

    def run(self, requests: int | None = None) -> None:
        """Answers requests until it is interrupted.

        Args:
            requests: Number of requests after which it returns; None for no end.

        Raises:
            DeviceError: rosbridge has closed the connection.
        """
        while requests is None or requests > 0:
            try:
                number = self._asked.get(timeout=POLL)
            except queue.Empty:
                if not self._ros.is_connected:
                    raise DeviceError(f"{self.link.name} has closed the connection; start the node again") from None
                continue
            self._answer(number)
            requests = None if requests is None else requests - 1

    def _answer(self, number: str) -> None:
        began = time.monotonic()
        try:
            seen = self.camera.read(after=self.camera.clock())
            depth, _ = without_speckles(seen.depth, seen.camera)
            grasps = self.predict(Observation(seen.rgb, depth, seen.camera))
            values = {"success": True, "message": json.dumps(self._message(grasps))}
        except InputError as error:
            values = {"success": False, "message": str(error)}
        except Exception as error:  # anyone's network runs here: what it raises costs it the request
            said = " ".join(str(error).split())
            values = {"success": False, "message": f"the request failed with {type(error).__name__}: {said}"}
        self._send({"op": "service_response", "id": number, "service": self.service, "values": values, "result": True})
        if values["success"]:
            self._publish(grasps)
            print(f"{len(grasps)} grasps in {time.monotonic() - began:.2f} s", flush=True)
        else:
            print(f"no answer: {values['message']}", flush=True)

    def _message(self, grasps: GraspPoses) -> dict[str, Any]:
        turns = Rotation.from_matrix(grasps.rotation).as_quat() if len(grasps) else np.zeros((0, 4))
        rows = [
            {
                "translation": place.tolist(),
                "quaternion_xyzw": turn.tolist(),
                "width": float(width),
                "quality": float(quality),
            }
            for place, turn, width, quality in zip(grasps.translation, turns, grasps.width, grasps.quality, strict=True)
        ]
        return {"frame": self.frame, "grasps": rows}

    def _publish(self, grasps: GraspPoses) -> None:
        rows = self._message(grasps)["grasps"]
        poses = [
            {
                "position": dict(zip("xyz", row["translation"], strict=True)),
                "orientation": dict(zip("xyzw", row["quaternion_xyzw"], strict=True)),
            }
            for row in rows
        ]
        header = {"frame_id": self.frame, "stamp": self.link.stamp(time.time())}
        self._poses.publish(self.link.library.Message({"header": header, "poses": poses}))

    def _send(self, message: Mapping[str, Any]) -> None:
        self._ros.send_on_ready(self.link.library.Message(dict(message)))


def policy_of(checkpoint: str, *, workspace: str | None, count: int, device: str = "cpu") -> Predict:
    """Returns a trained network as the function that the service calls.

    Args:
        checkpoint: A network's file, or "pretrained".
        workspace: Where grasps may lie, as ``plgp.policy.camera_files.read_workspace`` reads it; None for anywhere.
        count: Grasps at most.
        device: Where the network runs.

    Raises:
        InputError: The checkpoint cannot be loaded.
    """
    from plgp.policy.camera_files import read_workspace
    from plgp.policy.network import NetworkPolicy

    policy = NetworkPolicy.from_checkpoint(checkpoint, None, device)

    def predict(seen: Observation) -> GraspPoses:
        policy.workspace = read_workspace(workspace, seen.depth.shape)
        return policy(seen, count)

    return predict
