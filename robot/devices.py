"""What an arm, a hand and a camera must do, and the values that they exchange.

Units are SI: radians, metres, seconds, newtons. All devices of one cell share one clock; on hardware it is
``time.monotonic``, in simulation the world's own.
"""

from __future__ import annotations

import math
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Self

import numpy as np

from robot.errors import DeviceError
from robot.safety import Guard
from robot.values import ArmState, Execution, Frame, HandState, Trajectory
from sim.errors import InputError

SHORT = 0.01  # m by which a hand may stay narrower than asked: some tell their width while they still move


class Device(ABC):
    """Something that is connected for as long as a ``with`` block lasts.

    Attributes:
        name: Name in messages, for example "ur5e at 192.168.1.10".
        clock: Seconds of the cell's clock; every ``time`` of a state or frame is on it.
    """

    name: str = "device"
    clock: Callable[[], float] = staticmethod(time.monotonic)

    @abstractmethod
    def connect(self) -> None:
        """Connects; does nothing where it is connected already.

        Raises:
            DeviceError: The device does not answer.
            InputError: The backend's package is missing, or its settings do not fit the device.
        """

    @abstractmethod
    def disconnect(self) -> None:
        """Disconnects; holds the pose and the object, and never releases torque. Safe to call twice."""

    def __enter__(self) -> Self:
        """Connects."""
        self.connect()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnects."""
        self.disconnect()


class Arm(Device):
    """An arm that follows joint trajectories.

    A stop latches: after ``stop()``, a fault or a broken limit nothing moves until ``recover()``. A stop that was asked
    for from outside is told apart from the arm's own: ``stopped_by_person``.

    Attributes:
        armed: Whether motions are executed. Where it is False they are checked and go no further (a dry run).
    """

    armed: bool = False

    def __init__(self) -> None:
        """Starts without a stop."""
        self._stopped = threading.Event()
        self._changes = threading.RLock()  # a signal's handler may stop, too
        self._asked = self._taken_back = 0  # stops by ``stop()``, and how many of them were taken back

    @property
    @abstractmethod
    def joints(self) -> int:
        """Number of joints."""

    @abstractmethod
    def state(self) -> ArmState:
        """Returns the newest state.

        Raises:
            DeviceError: The arm does not answer.
        """

    @abstractmethod
    def _follow(self, trajectory: Trajectory, guard: Guard) -> Execution:
        """Moves along an admitted trajectory and asks the guard about every state; raises DeviceError."""

    @abstractmethod
    def _halt(self) -> None:
        """Brakes and holds; callable from any thread, at any time, any number of times; raises DeviceError."""

    @abstractmethod
    def _recover(self) -> None:
        """Clears what the controller holds against moving; raises DeviceError where a person must."""

    @property
    def stopped(self) -> bool:
        """Whether a stop is in force."""
        return self._stopped.is_set()

    @property
    def stopped_by_person(self) -> bool:
        """Whether a stop by ``stop()`` is in force; what the arm stops by itself after a fault is none."""
        return self._asked > self._taken_back

    def execute(self, trajectory: Trajectory, guard: Guard) -> Execution:
        """Follows a trajectory, to its end or to the first thing that speaks against it.

        The whole trajectory is checked before anything moves. An exception, Ctrl-C included, stops the arm.

        Args:
            trajectory: Motion from the present joint angles to rest.
            guard: Limits that are asked before the motion and at every state of it.

        Returns:
            How it ended. Only "done", "contact" and "dry run" leave the arm free to move on; everything else needs
            ``recover()``, except "refused", for which nothing moved.
        """
        state = self.state()
        if self.stopped:
            return Execution("stopped", state.q, f"{self.name} was stopped; recover it before it moves")
        refusal = guard.admit(trajectory, state)
        if refusal:
            return Execution("refused", state.q, refusal.message)
        if not self.armed:
            return Execution("dry run", state.q, f"{self.name} is not armed; give armed=true to move it")
        try:
            ended = self._follow(trajectory, guard)
        except DeviceError as error:
            ended = Execution("lost", state.q, str(error))
            if self.stopped_by_person:
                ended = Execution("stopped", state.q, f"{self.name} was stopped ({error})")
        except BaseException:
            self._latch()
            raise
        return ended if ended.reason in ("done", "contact") else self._stop_after(ended)

    def _stop_after(self, ended: Execution) -> Execution:
        """Stops; says where the stop did not reach the arm."""
        try:
            self._latch()
        except DeviceError as error:
            return Execution(ended.reason, ended.q, f"{ended.message}; {error}")
        return ended

    def stop(self) -> None:
        """Stops and holds, for a person or a program that watches. Callable from any thread, any number of times.

        Raises:
            DeviceError: The stop did not reach the arm: its emergency stop must be pressed.
        """
        with self._changes:
            self._asked += 1
            self._stopped.set()
        self._halt_or_say()

    def _latch(self) -> None:
        """Stops and holds by itself; see ``stop``."""
        self._stopped.set()
        self._halt_or_say()

    def _halt_or_say(self) -> None:
        try:
            self._halt()
        except DeviceError as error:
            raise DeviceError(f"the stop did not reach {self.name} ({error}); press the emergency stop") from error

    def recover(self) -> None:
        """Takes the stop back and clears the controller's fault; moves nothing.

        A ``stop()`` that comes while the controller recovers stays in force.

        Raises:
            DeviceError: A person must clear it, for example by releasing the emergency stop.
        """
        asked = self._asked
        self._recover()
        with self._changes:
            self._taken_back = asked
            self._stopped.clear()
            if self._asked > asked:
                self._stopped.set()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops after an exception, then disconnects."""
        try:
            if error is not None:
                self._latch()
        finally:
            self.disconnect()


def read_state(arm: Arm) -> ArmState:
    """Returns an arm's newest state, from which motions can be planned.

    Args:
        arm: The arm.

    Raises:
        DeviceError: It does not answer, or its joint angles or speeds are no numbers.
    """
    state = arm.state()
    if not (np.isfinite(state.q).all() and np.isfinite(state.dq).all()):
        raise DeviceError(f"{arm.name} reports joint angles that are not finite; check its driver")
    return state


class Hand(Device):
    """A parallel-jaw hand.

    Attributes:
        armed: Whether the fingers move.
    """

    armed: bool = False

    @property
    @abstractmethod
    def max_opening(self) -> float:
        """Greatest distance between the inner finger faces, metres."""

    @abstractmethod
    def state(self) -> HandState:
        """Returns the newest state; raises DeviceError where the hand does not answer."""

    @abstractmethod
    def _move(self, width: float, *, force: float | None) -> HandState:
        """Moves the fingers and waits for the end; raises DeviceError."""

    @abstractmethod
    def stop(self) -> None:
        """Stops the fingers where they are; an object stays held. Callable from any thread; raises DeviceError."""

    def move(self, width: float) -> HandState:
        """Opens or closes to a width and waits for it.

        Args:
            width: Distance between the inner finger faces, metres, at most ``max_opening``.

        Raises:
            DeviceError: The hand does not answer, does not come to rest in time, or stays narrower than asked.
            InputError: The width is out of range.
        """
        if not (math.isfinite(width) and 0 <= width <= self.max_opening + 1e-6):
            raise InputError(f"width is {width:g} m; {self.name} opens from 0 to {self.max_opening:g} m")
        if not self.armed:
            return self.state()
        state = self._move(min(width, self.max_opening), force=None)
        if state.width < width - SHORT:
            raise DeviceError(
                f"{self.name} opened to {1000 * state.width:.0f} mm where {1000 * width:.0f} mm were asked; "
                "look for something between its fingers or at their outer sides"
            )
        return state

    def close(self, force: float) -> HandState:
        """Closes until the fingers meet something or each other.

        Args:
            force: Force of each finger, newtons.

        Returns:
            The state at rest; ``holding`` tells whether something is between the fingers.

        Raises:
            DeviceError: The hand does not answer, or does not come to rest in time.
            InputError: The force is no positive number.
        """
        if not (math.isfinite(force) and force > 0):
            raise InputError(f"force is {force:g} N; give a positive number")
        return self._move(0.0, force=force) if self.armed else self.state()


class CameraDevice(Device):
    """An RGB-D camera whose depth lies on the colour image's pixels."""

    @abstractmethod
    def read(self, after: float = -math.inf, timeout: float = 2.0) -> Frame:
        """Returns a frame.

        Args:
            after: Time on the cell's clock; the frame was exposed later, for example after the arm came to rest.
            timeout: Longest wait, seconds.

        Raises:
            DeviceError: No such frame came in time.
        """
