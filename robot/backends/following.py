"""Arms whose controller follows a whole trajectory by itself, while this program watches."""

from __future__ import annotations

import time
from abc import abstractmethod

import numpy as np

from robot.devices import Arm
from robot.safety import Guard
from robot.values import Execution, Trajectory


class FollowingArm(Arm):
    """An arm that is handed a trajectory and watched until its controller says that the motion is over.

    Attributes:
        late: Seconds that the controller may need beyond the trajectory's duration.
        arrived: Distance from the trajectory's end within which a joint has arrived, radians.
    """

    late: float = 2.0
    arrived: float = 0.05

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
            if self.stopped:  # asked first: the wrist feels the braking
                return Execution("stopped", state.q, f"{self.name} was stopped")
            broken = guard.check(state)
            if broken:
                if broken.reason == "contact":
                    self._halt()  # a contact that was expected leaves the arm free; anything else stops it
                return Execution(broken.reason, state.q, broken.message)
            if time.monotonic() > end:
                return Execution("fault", state.q, f"{self.name} does not end its motion; check its controller")
        failure, state = self._failure(), self.state()
        if self.stopped:
            return Execution("stopped", state.q, f"{self.name} was stopped")
        if failure:
            return Execution("fault", state.q, failure)
        far = float(np.abs(state.q - trajectory.positions[-1]).max())
        if far > self.arrived:
            return Execution("fault", state.q, f"{self.name} stays {far:.3f} rad from the trajectory's end")
        return Execution("done", state.q)
