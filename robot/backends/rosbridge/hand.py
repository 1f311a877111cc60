"""ROS hands: whatever answers GripperCommand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from robot.backends.rosbridge.connection import Goal, RosConnection
from robot.devices import Hand
from robot.errors import DeviceError
from robot.values import HandState
from sim.errors import InputError


class RosHand(Hand):
    """A hand behind a GripperCommand action: ros2_control's gripper controllers, robotiq_driver, franka_gripper."""

    def __init__(
        self,
        link: RosConnection,
        *,
        action: str,
        max_opening: float,
        positions: tuple[float, float] = (0.0, 0.8),
        armed: bool = False,
        timeout: float = 5.0,
    ) -> None:
        """Keeps the settings; connects to nothing.

        Args:
            link: Connection to rosbridge.
            action: Name of the action, for example "/gripper_controller/gripper_cmd".
            max_opening: Width at the first of ``positions``, metres.
            positions: The action's ``position`` wide open and closed, in its own unit.
            armed: Whether the fingers move.
            timeout: Longest wait for the action, seconds.

        Raises:
            InputError: A setting is out of range.
        """
        if not (max_opening > 0 and positions[0] != positions[1]):
            raise InputError(f"max_opening is {max_opening} and positions {positions}; give metres and two positions")
        self.link, self.action, self.armed, self.timeout = link, action, armed, timeout
        self.name, self.positions, self._max_opening = f"the hand at {action} of {link.name}", positions, max_opening
        self._ros: Any = None
        self._goal: Goal | None = None
        self._state = HandState(width=max_opening, holding=False, time=-1.0)

    @property
    def max_opening(self) -> float:
        """Greatest distance between the inner finger faces, metres."""
        return self._max_opening

    def connect(self) -> None:
        """Connects."""
        if self._ros is None:
            self._ros = self.link.open()

    def disconnect(self) -> None:
        """Disconnects; the fingers hold what they hold."""
        if self._ros is not None:
            self._ros = None
            self.link.close()

    def state(self) -> HandState:
        """Returns the state after the last action; before the first one it counts as open."""
        if self._ros is None or not self._ros.is_connected:
            raise DeviceError(f"{self.name} is not connected")
        return self._state

    def _move(self, width: float, *, force: float | None) -> HandState:
        self.state()
        wide, shut = self.positions
        place = shut + (wide - shut) * width / self._max_opening
        command = {"command": {"position": place, "max_effort": 0.0 if force is None else force}}
        goal = self._goal = Goal(
            self.link, self._ros, self.action, kind=("control_msgs", "GripperCommand"), message=command
        )
        if not goal.wait(self.timeout):
            goal.cancel()
            raise DeviceError(f"{self.name} did not finish in {self.timeout:g} s; check its driver")
        values = (goal.result or {}).get("values", goal.result or {})
        stalled = bool(values.get("stalled"))
        # Many controllers abort a goal when the fingers meet something: that is a grasp.
        ended = stalled or bool(values.get("reached_goal")) or goal.cancelled or not goal.failure
        if "position" not in values or not ended:
            raise DeviceError(f"{self.name} gave up: {goal.failure or values}")
        told = values["position"]
        if told is None or not math.isfinite(float(told)):  # rosbridge writes NaN as null
            raise DeviceError(f"{self.name} tells no position when it has moved ({told}); check its driver")
        reached = (float(told) - shut) / (wide - shut) * self._max_opening
        self._state = HandState(
            width=float(np.clip(reached, 0, self._max_opening)),
            holding=stalled and force is not None and reached > 0.001,
            time=self.clock(),
        )
        return self._state

    def stop(self) -> None:
        """Cancels the action; the fingers hold what they hold."""
        goal = self._goal
        if goal is not None and not goal.over:
            if self._ros is None or not self._ros.is_connected:
                raise DeviceError(f"{self.link.name} is gone")
            goal.cancel()
