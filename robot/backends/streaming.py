"""Arms that are moved by a stream of joint angles."""

from __future__ import annotations

import threading
import time
from abc import abstractmethod

import numpy as np

from robot.devices import Arm
from robot.errors import DeviceError
from robot.safety import Guard
from robot.values import Execution, FloatArray, Trajectory

ARRIVED = 0.003  # rad from the goal
RESTING = 0.02  # rad/s
SETTLING = 1.5  # s to arrive after the trajectory's end
BRAKING = 0.5  # s that a stop from another thread waits for the stream to end


class StreamingArm(Arm):
    """An arm that is sent a target every few milliseconds and holds the last one.

    Attributes:
        period: Seconds between targets.
    """

    period: float = 0.008

    def __init__(self) -> None:
        """Starts at rest."""
        super().__init__()
        self._at_rest = threading.Event()
        self._at_rest.set()
        self._unbraked = ""  # why the last stream could not be ended

    @abstractmethod
    def _send(self, q: FloatArray, dq: FloatArray) -> None:
        """Sends (N,) joint angles and speeds, the target of the next period; raises DeviceError."""

    @abstractmethod
    def _brake(self) -> None:
        """Ends the stream and holds; raises DeviceError."""

    def _follow(self, trajectory: Trajectory, guard: Guard) -> Execution:
        """Streams the trajectory; where targets come late the motion takes longer, and is never faster than planned."""
        self._at_rest.clear()
        self._unbraked = ""
        try:
            ended = self._stream(trajectory, guard)
        except BaseException:
            self._end_stream()
            raise
        else:
            self._end_stream()
            lost = self._unbraked and ended.reason in ("done", "contact")
            return Execution("lost", ended.q, self._unbraked) if lost else ended
        finally:
            self._at_rest.set()

    def _end_stream(self) -> None:
        """Brakes; a brake that does not reach the arm is told by the stop that follows."""
        try:
            self._brake()
        except DeviceError as error:
            self._unbraked = str(error)

    def _stream(self, trajectory: Trajectory, guard: Guard) -> Execution:
        goal, passed, last = trajectory.positions[-1], 0.0, time.monotonic()
        while True:
            state = self.state()
            if self.stopped:
                return Execution("stopped", state.q, f"{self.name} was stopped")
            broken = guard.check(state)
            if broken:
                return Execution(broken.reason, state.q, broken.message)
            late = passed - trajectory.duration
            if late >= 0 and np.abs(state.q - goal).max() < ARRIVED and np.abs(state.dq).max() < RESTING:
                return Execution("done", state.q)
            if late > SETTLING:
                far = float(np.abs(state.q - goal).max())
                return Execution("fault", state.q, f"{self.name} stays {far:.3f} rad from the trajectory's end")
            self._send(*trajectory.at(passed))
            time.sleep(max(0.0, last + self.period - time.monotonic()))
            now = time.monotonic()
            passed, last = passed + min(now - last, self.period), now

    def _halt(self) -> None:
        """Waits until the stream has braked."""
        if not self._at_rest.wait(BRAKING):
            self._force_stop()
        elif self._unbraked:
            raise DeviceError(self._unbraked)

    def recover(self) -> None:
        """Takes the stop back; see ``Arm.recover``."""
        super().recover()
        self._unbraked = ""

    def _force_stop(self) -> None:
        """Stops an arm whose stream hangs, over another connection where there is one; raises DeviceError."""
        raise DeviceError(f"{self.name} does not react")
