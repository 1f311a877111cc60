"""The websocket to rosbridge, and goals of actions sent over it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

from robot.errors import DeviceError, load_backend
from sim.errors import InputError

PORT = 9090
ANSWERS = 3.0  # s within which rosbridge must answer
SUCCEEDED = 4  # of action_msgs/GoalStatus
Message = Mapping[str, Any]


class RosConnection:
    """A websocket to rosbridge, shared by the devices of one cell."""

    def __init__(self, host: str, port: int = PORT, *, version: Literal[1, 2] = 2) -> None:
        """Keeps the address; connects to nothing.

        Args:
            host: Address of the computer that runs rosbridge_server.
            port: Its port.
            version: Version of ROS, 1 or 2.

        Raises:
            InputError: The version is neither.
        """
        if version not in (1, 2):
            raise InputError(f"version is {version}; give 1 or 2")
        self.name, self.host, self.port, self.version = f"rosbridge at {host}:{port}", host, port, version
        self.library: Any = None
        self._ros: Any = None
        self._users = 0

    def open(self) -> Any:
        """Returns the connection, opened by the first of its users; raises DeviceError."""
        if self._ros is None:
            self.library = load_backend("roslibpy", extra="ros")
            logging.getLogger("twisted").setLevel(logging.CRITICAL + 1)  # what matters is raised here
            ros = self.library.Ros(self.host, self.port)
            try:
                ros.run(timeout=ANSWERS)
            except Exception as error:
                raise DeviceError(
                    f"{self.name} does not answer; start it there with `roslaunch rosbridge_server "
                    "rosbridge_websocket.launch`, with ROS 2 `ros2 launch rosbridge_server "
                    "rosbridge_websocket_launch.xml`"
                ) from error
            self._ros = ros
        self._users += 1
        return self._ros

    @property
    def shared(self) -> bool:
        """Whether more than one device uses the connection; closing it ends all subscriptions."""
        return self._users > 1

    def close(self) -> None:
        """Closes the connection after its last user."""
        self._users = max(0, self._users - 1)
        if self._users == 0 and self._ros is not None:
            ros, self._ros = self._ros, None
            if ros.is_connected:
                ros.close(timeout=2)

    def topic(self, name: str, kind: str) -> Any:
        """Returns a topic of the open connection; it ends with the connection, and does not come back by itself.

        Args:
            name: Name of the topic.
            kind: Full name of its type.
        """
        return self.library.Topic(self._ros, name, kind, reconnect_on_close=False)

    def stamp(self, seconds: float) -> dict[str, int]:
        """Returns a duration as this version of ROS writes it."""
        whole, rest = int(seconds), round((seconds % 1) * 1e9)
        return {"secs": whole, "nsecs": rest} if self.version == 1 else {"sec": whole, "nanosec": rest}

    def type(self, package: str, kind: str, name: str) -> str:
        """Returns a type's name: "control_msgs/FollowJointTrajectory", with ROS 2 "control_msgs/action/...".

        Args:
            package: The package.
            kind: "msg", "srv" or "action".
            name: The type.
        """
        return f"{package}/{name}" if self.version == 1 else f"{package}/{kind}/{name}"


class Goal:
    """A goal of an action, sent and watched.

    Attributes:
        result: What the server answered; None before.
        cancelled: Whether the server was asked to give it up.
    """

    def __init__(self, link: RosConnection, ros: Any, action: str, *, kind: tuple[str, str], message: Message) -> None:
        """Sends the goal.

        Args:
            link: The connection's settings.
            ros: The open connection.
            action: Name of the action.
            kind: Package and name of its type.
            message: The goal.
        """
        self.result: Message | None = None
        self.cancelled = False
        self._cancel: Callable[[], object]
        self._over = threading.Event()
        library = link.library
        if link.version == 2:
            client = library.ActionClient(ros, action, link.type(kind[0], "action", kind[1]), False)
            number = client.send_goal(library.Goal(dict(message)), self._end, lambda _: None, self._end)
            self._cancel = lambda: client.cancel_goal(number)
            return
        name = f"plgp-{time.time_ns()}"
        topic = link.topic(f"{action}/goal", f"{kind[0]}/{kind[1]}ActionGoal")
        results = link.topic(f"{action}/result", f"{kind[0]}/{kind[1]}ActionResult")
        cancel = link.topic(f"{action}/cancel", "actionlib_msgs/GoalID")

        def ended(message: Message) -> None:
            if message["status"]["goal_id"]["id"] == name:
                self._end({"status": message["status"]["status"] + 1, "values": message["result"]})
                results.unsubscribe()

        results.subscribe(ended)
        topic.publish(library.Message({"goal_id": {"id": name, "stamp": link.stamp(0)}, "goal": dict(message)}))
        self._cancel = lambda: cancel.publish(library.Message({"id": name, "stamp": link.stamp(0)}))

    def _end(self, result: Any) -> None:
        self.result = dict(result) if isinstance(result, Mapping) else {"error": str(result)}
        self._over.set()

    @property
    def over(self) -> bool:
        """Whether a result has come."""
        return self._over.is_set()

    def wait(self, seconds: float) -> bool:
        """Waits for the result; returns whether it has come."""
        return self._over.wait(seconds)

    def cancel(self) -> None:
        """Asks the server to give the goal up."""
        self.cancelled = True
        self._cancel()

    @property
    def failure(self) -> str:
        """What the server says is wrong; empty where the goal was reached."""
        result = self.result or {}
        values = result.get("values", result)
        code = values.get("error_code", 0) if isinstance(values, Mapping) else 0
        if "error" in result:
            return str(result["error"])
        if code:
            return f"error {code} {values.get('error_string', '')}".strip()
        status = result.get("status", SUCCEEDED)
        number = getattr(status, "value", status)
        return "" if number == SUCCEEDED else f"the goal ended with status {number}"
