"""Franka Emika's Panda and FR3 with their hand, through ``franky`` (extra ``franka``)."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from robot.backends.following import FollowingArm
from robot.devices import Hand
from robot.errors import DeviceError, load_backend
from robot.values import ArmState, HandState, Trajectory
from sim.errors import SHARE, InputError, check_numbers

STEP = 0.1  # s between the waypoints that the driver is given
POLL = 0.005  # s
BRAKING = 2.0  # s
RESTING = 0.02  # rad/s


def load_franky() -> Any:
    """Returns the driver; raises InputError where it is missing."""
    return load_backend("franky", extra="franka", needs="it needs glibc 2.34, as in Ubuntu 22.04")


class FrankaArm(FollowingArm):
    """A Panda or FR3 with FCI switched on.

    The trajectory is handed over as waypoints with speeds and least durations, which the driver joins by Ruckig within
    the arm's own limits; the arm's reflexes stay on.
    """

    joints = 7
    late = 10.0

    def __init__(self, host: str, *, armed: bool = False, realtime: bool = True) -> None:
        """Keeps the settings; connects to nothing.

        Args:
            host: Address of the arm's control box.
            armed: Whether motions are executed.
            realtime: Whether a real-time kernel is insisted on. Without one the arm stops at the first late packet.
        """
        super().__init__()
        self.name, self.host, self.armed, self.realtime = f"the Franka arm at {host}", host, armed, realtime
        self._library: Any = None
        self._robot: Any = None
        self._moving, self._problem = False, ""
        self._newest = (-1.0, 0.0)  # the controller's time and ours

    def connect(self) -> None:
        """Connects."""
        if self._robot is not None:
            return
        franky = self._library = load_franky()
        config = franky.RealtimeConfig.Enforce if self.realtime else franky.RealtimeConfig.Ignore
        try:
            self._robot = franky.Robot(self.host, realtime_config=config)
        except Exception as error:
            cure = "unlock the joints and activate FCI in Desk, check the cable; realtime=false allows a common kernel"
            raise DeviceError(f"{self.name} refuses the connection ({error}); {cure}") from error

    def disconnect(self) -> None:
        """Disconnects; the arm holds."""
        self._robot = None

    def state(self) -> ArmState:
        """Returns the newest state; its age is the time since the controller's clock last moved."""
        if self._robot is None:
            raise DeviceError(f"{self.name} is not connected")
        try:
            told = self._robot.state
        except Exception as error:
            raise DeviceError(f"{self.name} sends nothing any more ({error}); check the cable") from error
        now, theirs = self.clock(), float(told.time.to_sec())
        if theirs != self._newest[0]:
            self._newest = (theirs, now)
        return ArmState(
            q=np.array(told.q, np.float64),
            dq=np.array(told.dq, np.float64),
            time=self._newest[1],
            force=np.array(told.O_F_ext_hat_K, np.float64)[:3],
            effort=np.array(told.tau_ext_hat_filtered, np.float64),
            fault=self._fault(told),
        )

    def _fault(self, told: Any) -> str:
        modes = self._library.RobotMode
        if told.robot_mode == modes.UserStopped:
            return "user stop; release its button"
        if told.robot_mode == modes.Reflex or self._robot.has_errors:
            return f"reflex {told.current_errors}".strip()
        return "guided by hand" if told.robot_mode == modes.Guiding else ""

    def _send_off(self, trajectory: Trajectory) -> None:
        times = np.linspace(0, trajectory.duration, max(2, round(trajectory.duration / STEP) + 1))[1:]
        angles, speeds = trajectory.at(times)
        franky, lasting = self._library, round(1000 * trajectory.duration / len(times))
        points = [
            franky.JointWaypoint(franky.JointState(q, dq), minimum_time=franky.Duration(lasting))
            for q, dq in zip(angles, speeds, strict=True)
        ]
        self._problem = ""
        try:
            self._robot.move(franky.JointWaypointMotion(points), asynchronous=True)
            self._moving = True
        except Exception as error:
            self._problem = f"{self.name} gave up: {error}"

    def _over(self) -> bool:
        if self._problem:
            return True
        try:
            if self._robot.poll_motion():
                self._robot.join_motion(1.0)
                return True
        except Exception as error:
            self._problem = f"{self.name} gave up: {error}"
            return True
        time.sleep(POLL)
        return False

    def _failure(self) -> str:
        if not self._problem:
            self._moving = False
        return self._problem

    def _halt(self) -> None:
        """Preempts the motion and waits for rest."""
        robot = self._robot
        if robot is None or not self._moving:
            return
        try:
            robot.move(self._library.JointStopMotion(), asynchronous=True)
        except Exception:  # the motion may have ended, or have gone wrong: the blunt way is left
            try:
                robot.stop()
            except Exception as error:
                raise DeviceError(f"{self.name} does not react ({error})") from error
        end = time.monotonic() + BRAKING
        while np.abs(self.state().dq).max() > RESTING:
            if time.monotonic() > end:
                raise DeviceError(f"{self.name} still moves")
            time.sleep(POLL)
        self._moving = False

    def _recover(self) -> None:
        """Clears reflexes; a user stop needs a person."""
        fault = self.state().fault
        if fault.startswith(("user stop", "guided")):
            raise DeviceError(f"{self.name} reports: {fault}")
        if fault and not self._robot.recover_from_errors():
            raise DeviceError(f"{self.name} keeps its fault ({fault}); look at it in Desk")
        self._moving = False


class FrankaHand(Hand):
    """Franka's own hand."""

    def __init__(self, host: str, *, armed: bool = False, speed: float = 0.1, max_opening: float = 0.08) -> None:
        """Keeps the settings; connects to nothing.

        Args:
            host: Address of the arm's control box.
            armed: Whether the fingers move.
            speed: Speed of the opening, metres a second, at most 0.2.
            max_opening: Greatest width, metres; after ``homing`` with other fingers the hand tells its own.

        Raises:
            InputError: A setting is out of range.
        """
        self.name, self.host, self.armed, self.speed = f"the Franka hand at {host}", host, armed, speed
        self._max_opening = max_opening
        check_numbers("hand", self, {"speed": SHARE})
        if not (0 < speed <= 0.2 and 0 < max_opening <= 0.2):
            raise InputError(f"speed is {speed} m/s and max_opening {max_opening} m; give up to 0.2 each")
        self._gripper: Any = None

    @property
    def max_opening(self) -> float:
        """Greatest distance between the inner finger faces, metres."""
        return self._max_opening

    def connect(self) -> None:
        """Connects."""
        if self._gripper is None:
            franky = load_franky()
            try:
                self._gripper = franky.Gripper(self.host)
            except Exception as error:
                raise DeviceError(f"{self.name} refuses the connection ({error}); check it in Desk") from error

    def disconnect(self) -> None:
        """Disconnects; the fingers hold what they hold."""
        self._gripper = None

    def state(self) -> HandState:
        """Returns the newest state."""
        if self._gripper is None:
            raise DeviceError(f"{self.name} is not connected")
        try:
            told = self._gripper.state
        except Exception as error:
            raise DeviceError(f"{self.name} sends nothing any more ({error}); check the cable") from error
        return HandState(width=float(told.width), holding=bool(told.is_grasped), time=self.clock())

    def _move(self, width: float, *, force: float | None) -> HandState:
        self.state()
        reach = self._max_opening
        try:
            if force is None:
                self._gripper.move(width, self.speed)
            else:  # any width counts as a grasp but that of empty fingers
                self._gripper.grasp(0.0, self.speed, force, epsilon_inner=0.0, epsilon_outer=reach)
        except Exception as error:
            raise DeviceError(f"{self.name} gave up: {error}") from error
        state = self.state()
        held = state.holding and state.width > 0.0025 and force is not None
        return HandState(width=state.width, holding=held, time=state.time)

    def stop(self) -> None:
        """Stops the fingers where they are."""
        if self._gripper is None:
            raise DeviceError(f"{self.name} is not connected")
        try:
            self._gripper.stop()
        except Exception as error:
            raise DeviceError(f"{self.name} does not react ({error})") from error
