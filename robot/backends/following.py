"""Arms whose controller follows a whole trajectory by itself, while this program watches."""

from __future__ import annotations

import time
from abc import abstractmethod

import numpy as np

from robot.devices import Arm
from robot.safety import Guard
from robot.values import ArmState, Execution, Trajectory

RESTING = 0.02  # rad/s
POLL = 0.01  # s


class FollowingArm(Arm):
    """An arm that is handed a trajectory and watched until its controller says that the motion is over.

    Attributes:
        late: Seconds that the controller may need beyond the trajectory's duration.
        settling: Seconds that the arm may need to come to rest at the end when its controller says that it is there.
    """

    late: float = 2.0
    settling: float = 1.5

    @abstractmethod
    def _send_off(self, trajectory: Trajectory) -> None:
        """Hands the trajectory over and returns at once; raises DeviceError."""

    @abstractmethod
    def _over(self) -> bool:
        """Waits for one look's time at most; returns whether the controller has ended the motion."""

    @abstractmethod
    def _failure(self) -> str:
        """Returns what the controller says of a motion that is over; empty where it reached its end."""

    def _follow(self, trajectory: Trajectory, guard: Guard) -> Execution:
        self._send_off(trajectory)
        end = time.monotonic() + trajectory.duration + self.late
        while not self._over():
            state = self.state()
            ended = self._ended(state, guard)
            if ended:
                return ended
            if time.monotonic() > end:
                return Execution("fault", state.q, f"{self.name} does not end its motion; check its controller")
        failure, state = self._failure(), self.state()
        if self.stopped:
            return Execution("stopped", state.q, f"{self.name} was stopped")
        if failure:
            return Execution("fault", state.q, failure)
        return self._settle(trajectory, guard)

    def _ended(self, state: ArmState, guard: Guard) -> Execution | None:
        """Returns what ends a motion at a state, a stop or a broken limit; None where it goes on."""
        if self.stopped:  # asked first: the wrist feels the braking
            return Execution("stopped", state.q, f"{self.name} was stopped")
        broken = guard.check(state)
        if broken is None:
            return None
        if broken.reason == "contact":
            self._halt()  # a contact that was expected leaves the arm free; anything else stops it
        return Execution(broken.reason, state.q, broken.message)

    def _settle(self, trajectory: Trajectory, guard: Guard) -> Execution:
        """Waits until the arm rests at the end: controllers call a goal reached within tolerances of their own."""
        end = time.monotonic() + self.settling
        while True:
            state = self.state()
            ended = self._ended(state, guard)
            if ended:
                return ended
            left, speed = guard.distance_left(trajectory, state), float(np.abs(state.dq).max())
            if not left and speed <= RESTING:
                return Execution("done", state.q)
            if time.monotonic() > end:
                what = f"stays {left}" if left else f"still moves at {speed:.2f} rad/s when its motion is over"
                return Execution("fault", state.q, f"{self.name} {what}; check its controller")
            time.sleep(POLL)
