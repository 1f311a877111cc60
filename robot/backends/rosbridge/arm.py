"""ROS arms: whatever answers FollowJointTrajectory."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import Any

import numpy as np

from robot.backends.following import FollowingArm
from robot.backends.rosbridge.connection import Goal, Message, RosConnection
from robot.backends.rosbridge.stamps import StampClock, read_stamp
from robot.errors import DeviceError
from robot.safety import Guard
from robot.values import ArmState, Execution, FloatArray, Trajectory
from sim.errors import InputError

POLL = 0.01  # s
FIRST = 2.0  # s until the first message of a topic
RESTING = 0.01  # rad/s
BRAKING = 1.0  # s
SPAN = 0.05  # s over which angles are compared where no speeds are told: messages come unevenly
NEWS = 0.05  # s after a stop from which on states tell of it


class RosArm(FollowingArm):
    """An arm behind a FollowJointTrajectory action: Kinova Gen2, MoveIt's controllers, ros2_control.

    A stop cancels the goal and sends the present pose to the controller's topic, because rosbridge may hold a
    cancellation back until the goal is over, and a controller may still move when it has given a goal up.
    """

    def __init__(
        self,
        link: RosConnection,
        joint_names: Sequence[str],
        *,
        controller: str,
        action: str = "follow_joint_trajectory",
        joint_states: str = "/joint_states",
        stop_topic: str = "",
        stop_empty: bool = False,
        armed: bool = False,
    ) -> None:
        """Keeps the settings; connects to nothing.

        Args:
            link: Connection to rosbridge.
            joint_names: Names of the joints, in the chain's order.
            controller: Namespace of the controller, for example "/scaled_joint_trajectory_controller".
            action: Name of the action within it.
            joint_states: Topic of the joints' state.
            stop_topic: Topic on which the controller takes a JointTrajectory; empty for "joint_trajectory" within its
                namespace, with ROS 1 "command".
            stop_empty: Whether a trajectory without points stops the controller, instead of one to the present pose.
            armed: Whether motions are executed.

        Raises:
            InputError: There are no joints, or one stands twice.
        """
        super().__init__()
        if not joint_names or len(set(joint_names)) < len(joint_names):
            raise InputError(f"joint_names are {list(joint_names)}; give each joint's name once, in the chain's order")
        self.link, self.joint_names, self.armed = link, tuple(joint_names), armed
        self.name, self.controller = f"the arm at {controller} of {link.name}", controller.rstrip("/")
        self._action, self._topics = f"{self.controller}/{action}", (joint_states, stop_topic)
        self._stop_empty = stop_empty
        self._ros: Any = None
        self._states: Any = None
        self._hold_topic: Any = None
        self._goal: Goal | None = None
        self._newest: ArmState | None = None
        self._stamps = StampClock(self.name)
        self._seen: deque[tuple[float, float, FloatArray]] = deque()  # stamps, arrivals, angles of the last states

    @property
    def joints(self) -> int:
        """Number of joints."""
        return len(self.joint_names)

    def connect(self) -> None:
        """Connects and waits for the first state."""
        if self._ros is not None:
            return
        self._ros = self.link.open()
        self._stamps = StampClock(self.name)
        self._seen.clear()
        kind = self.link.type
        self._states = self.link.topic(self._topics[0], kind("sensor_msgs", "msg", "JointState"))
        word = "joint_trajectory" if self.link.version == 2 else "command"
        kind_of_hold = kind("trajectory_msgs", "msg", "JointTrajectory")
        self._hold_topic = self.link.topic(self._topics[1] or f"{self.controller}/{word}", kind_of_hold)
        self._states.subscribe(self._note)
        end = time.monotonic() + FIRST
        while self._newest is None:
            if time.monotonic() > end:
                self.disconnect()
                raise DeviceError(
                    f"{self._topics[0]} tells no angles of {', '.join(self.joint_names)}; "
                    "check the arm's driver and the names"
                )
            time.sleep(POLL)

    def disconnect(self) -> None:
        """Disconnects; the controller holds the pose."""
        if self._ros is not None:
            if self._ros.is_connected and self.link.shared:
                self._states.unsubscribe()
            self._ros = None
            self._newest = None
            self.link.close()

    def _note(self, message: Message) -> None:
        """Keeps a state that tells the angles of all joints; other drivers may publish on the same topic."""
        names, angles = list(message["name"]), message.get("position") or ()
        if len(angles) != len(names) or not set(self.joint_names) <= set(names):
            return
        stamp, now = read_stamp(message), self.clock()
        measured = self._stamps.measured(stamp, now)
        if measured is None:
            return
        order = [names.index(n) for n in self.joint_names]
        q = np.array(angles, np.float64)[order]
        told = message.get("velocity") or ()
        dq = np.array(told, np.float64)[order] if len(told) == len(names) else np.full(len(q), np.nan)
        speed = self._speed(stamp, now, q)
        if not np.isfinite(dq).all():  # rosbridge writes NaN as null
            if speed is None:
                return  # one place tells no speed, and an arm of unknown speed is not at rest
            dq = np.where(np.isfinite(dq), dq, speed)
        effort = message.get("effort") or ()
        felt = len(effort) == len(names) and all(v is not None for v in effort)
        self._newest = ArmState(q=q, dq=dq, time=measured, effort=np.array(effort, np.float64)[order] if felt else None)

    def _speed(self, stamp: float, now: float, q: FloatArray) -> FloatArray | None:
        """Notes a place, angles (N,), and returns how fast the last ones change, radians a second; None at first."""
        seen = self._seen
        seen.append((stamp, now, q))
        while len(seen) > 2 and now - seen[1][1] >= SPAN:
            seen.popleft()
        if len(seen) < 2:
            return None
        before, came, last = seen[0]
        passed = stamp - before if stamp > 0 and before > 0 else now - came
        speed: FloatArray = (q - last) / max(passed, 1e-3)
        return speed

    def state(self) -> ArmState:
        """Returns the newest state; its time is when it was measured, by its stamp, or arrived where it has none."""
        if self._newest is None:
            raise DeviceError(f"{self.name} is not connected")
        if not self._ros.is_connected:
            raise DeviceError(f"{self.link.name} has closed the connection; check the cable and rosbridge")
        return self._newest

    def _send_off(self, trajectory: Trajectory) -> None:
        points = [
            {"positions": q.tolist(), "velocities": dq.tolist(), "time_from_start": self.link.stamp(float(t))}
            for t, q, dq in zip(trajectory.times, trajectory.positions, trajectory.velocities, strict=True)
        ]
        message = {"trajectory": {"joint_names": list(self.joint_names), "points": points}}
        kind = ("control_msgs", "FollowJointTrajectory")
        self._goal = Goal(self.link, self._ros, self._action, kind=kind, message=message)

    def _over(self) -> bool:
        goal = self._goal  # a stop from another thread takes it away
        return goal is None or goal.wait(POLL)

    def _failure(self) -> str:
        goal = self._goal
        return f"{self._action} gave up: {goal.failure}" if goal is not None and goal.failure else ""

    def _follow(self, trajectory: Trajectory, guard: Guard) -> Execution:
        """Follows; only a motion that is done leaves nothing to be stopped."""
        ended = super()._follow(trajectory, guard)
        if ended.done:
            self._goal = None
        return ended

    def _halt(self) -> None:
        """Cancels the goal, sends the hold, and waits for rest, also where the controller has given the goal up."""
        goal = self._goal
        if goal is None:
            return
        if self._newest is None or self._ros is None or not self._ros.is_connected:
            raise DeviceError(f"{self.link.name} is gone")
        if not goal.over:
            goal.cancel()
        self._send_hold()
        began, end = self.clock(), time.monotonic() + BRAKING
        while True:
            state = self._newest
            if self._goal is None:  # a stop from another thread has seen it at rest
                return
            if state and np.abs(state.dq).max() <= RESTING and state.time >= began + NEWS:
                break
            if time.monotonic() > end:
                raise DeviceError(f"{self.name} still moves, or tells nothing")
            time.sleep(POLL)
        self._goal = None

    def _send_hold(self) -> None:
        point = {
            "positions": self.state().q.tolist(),
            "velocities": [0.0] * self.joints,
            "time_from_start": self.link.stamp(0.1),
        }
        points = [] if self._stop_empty else [point]
        self._hold_topic.publish(self.link.library.Message({"joint_names": list(self.joint_names), "points": points}))

    def _recover(self) -> None:
        """Checks that states come; ROS drivers clear their faults by services of their own."""
        if self.clock() - self.state().time > 0.5:
            raise DeviceError(f"{self.name} tells nothing any more; start its driver again")
        self._goal = None
