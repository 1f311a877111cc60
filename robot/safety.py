"""Limits of a cell, asked before and during every motion.

Software is no emergency stop: these limits catch mistakes of programs, not failures of machines.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from robot.values import ArmState, FloatArray, Trajectory
from sim.errors import POSITIVE, InputError, Limits, check_numbers

SAMPLE = 0.01  # s between the checked points of a trajectory
START = 0.02  # rad that a trajectory's first point may lie from the arm
REST = 1e-3  # rad/s that count as rest
MEASURED = 1.25  # measured speeds overshoot planned ones; a planned one keeps to the limit itself
NOISE = 0.02  # m/s by which a measured speed of the tip may be wrong besides
EDGE = 0.002  # m by which the measured tip may lie outside the box
FARTHEST = 10.0  # m; numbers beyond it are millimetres
# Greater values are another unit's, and would switch the limit off.
SPEED = Limits("metres a second, more than 0 and at most 2", most=2.0, without_least=True)
RANGES = {
    "tip_speed": SPEED,
    "approach_speed": SPEED,
    "joint_speed": Limits("radians a second, more than 0 and at most 7", most=7.0, without_least=True),
    "force": POSITIVE,
    "effort": POSITIVE,
    "state_age": Limits("seconds, more than 0 and at most 1", most=1.0, without_least=True),
    "arrival": Limits("metres, more than 0 and at most 0.05", most=0.05, without_least=True),
}


@dataclass(frozen=True, kw_only=True)
class SafetyLimits:
    """What no motion may break.

    Attributes:
        box_low: Least x, y, z of the tip, base frame, metres.
        box_high: Greatest x, y, z of the tip, base frame, metres.
        tip_speed: Greatest speed of the tip, metres a second, at most 2.
        approach_speed: Greatest speed of the tip in motions that may meet things, metres a second, at most
            ``tip_speed``.
        joint_speed: Greatest speed of a joint, radians a second, at most 7.
        force: Greatest change of the force on the tip since the motion began, newtons.
        effort: Greatest change of a joint's torque (N m) or current (A) since the motion began, in the arm's own
            unit. It is the contact stop of an arm that does not measure force.
        state_age: Greatest age of the arm's state, seconds, at most 1.
        arrival: Greatest distance of the tip from the end of a motion that may meet things, metres, at most 0.05: the
            hand closes only where it arrived.
    """

    box_low: tuple[float, float, float] = (-0.8, -0.8, 0.0)
    box_high: tuple[float, float, float] = (0.8, 0.8, 1.0)
    tip_speed: float = 0.25
    approach_speed: float = 0.1
    joint_speed: float = 1.5
    force: float = 30.0
    effort: float = 15.0
    state_age: float = 0.1
    arrival: float = 0.005

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        check_numbers("safety", self, RANGES)
        if self.approach_speed > self.tip_speed:
            raise InputError(
                f"safety.approach_speed is {self.approach_speed:g} m/s, faster than tip_speed with "
                f"{self.tip_speed:g} m/s; give at most that"
            )
        low, high = (np.asarray(c, np.float64) for c in (self.box_low, self.box_high))
        if low.shape != (3,) or high.shape != (3,) or not (np.isfinite([low, high]).all() and (low < high).all()):
            raise InputError(
                f"safety.box_low is {self.box_low} and box_high {self.box_high}; "
                "give x, y, z in metres, each low below its high"
            )
        if np.abs([low, high]).max() > FARTHEST:
            raise InputError(
                f"safety.box_low is {self.box_low} and box_high {self.box_high}, up to "
                f"{np.abs([low, high]).max():g} m away; give metres, not millimetres"
            )


class Violation(NamedTuple):
    """A broken limit.

    Attributes:
        reason: What kind of end it is; the same words as in ``Execution``.
        message: One sentence that names the limit and the value.
    """

    reason: Literal["contact", "limit", "stale", "fault"]
    message: str


class Guard:
    """Limits of one arm, asked before a motion (``admit``) and at every state of it (``check``)."""

    def __init__(
        self,
        limits: SafetyLimits,
        tip: Callable[[FloatArray], FloatArray],
        *,
        lower: FloatArray | None = None,
        upper: FloatArray | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keeps the limits.

        Args:
            limits: What no motion may break.
            tip: (N,) joint angles -> (4, 4) T_base_tip, metres; the tip is the grasp frame's origin.
            lower: (N,) least joint angles, radians; None where nothing limits them.
            upper: (N,) greatest joint angles, radians; None where nothing limits them.
            clock: Seconds of the cell's clock.
        """
        self.limits, self.tip, self.clock = limits, tip, clock
        self.lower, self.upper = lower, upper
        self._contact = False
        self._start: ArmState | None = None

    def admit(self, trajectory: Trajectory, state: ArmState) -> Violation | None:
        """Checks a whole trajectory before anything moves, and takes the state as the contact stop's zero.

        Args:
            trajectory: Motion to be executed.
            state: Where the arm is.

        Returns:
            What speaks against it, or None.
        """
        self._contact, self._start = trajectory.contact, state
        found = self._check_health(state)
        if found:
            return found
        first = trajectory.positions[0]
        if first.shape != state.q.shape:
            return Violation("limit", f"the trajectory moves {len(first)} joints, the arm has {len(state.q)}")
        far = float(np.abs(first - state.q).max())
        if far > START:
            return Violation("limit", f"the trajectory starts {far:.3f} rad from where the arm is; plan it again")
        if np.abs(trajectory.velocities[-1]).max() > REST:
            return Violation("limit", "the trajectory does not end at rest; plan it again")
        grid = np.union1d(np.arange(0, trajectory.duration, SAMPLE), trajectory.times)
        angles, speeds = trajectory.at(grid)
        for at, q, dq in zip(grid, angles, speeds, strict=True):
            broken = self._check_joints(q, dq, 1 + 1e-3) or self._check_tip(q, dq, 1 + 1e-3, edge=1e-6)
            if broken:
                return Violation("limit", f"{broken} at {at:.2f} s of the trajectory")
        return None

    def check(self, state: ArmState) -> Violation | None:
        """Checks a state of the motion.

        Args:
            state: Measured now.

        Returns:
            What is broken, or None. "contact" only in a motion that may meet things.
        """
        found = self._check_health(state) or self._check_contact(state)
        if found:
            return found
        broken = self._check_joints(state.q, state.dq, MEASURED) or self._check_tip(
            state.q, state.dq, MEASURED, edge=EDGE
        )
        return Violation("limit", broken) if broken else None

    def distance_left(self, trajectory: Trajectory, state: ArmState) -> str:
        """Returns how far an arm is from a trajectory's end, for a message; empty where it has arrived.

        The next motion is planned from there: no joint may be farther off than that motion's start. Where the hand may
        meet things, the tip has to be there too.

        Args:
            trajectory: Motion that has ended.
            state: Where the arm is.
        """
        end, limit = trajectory.positions[-1], self.limits.arrival
        far = float(np.abs(state.q - end).max())
        gap = float(np.linalg.norm(self.tip(state.q)[:3, 3] - self.tip(end)[:3, 3]))
        if far <= START and (gap <= limit or not trajectory.contact):
            return ""
        allowed = f"{START:g} rad" + f" and {1000 * limit:g} mm (safety.arrival)" * trajectory.contact
        return f"{far:.3f} rad from the trajectory's end, the tip {1000 * gap:.1f} mm, allowed {allowed}"

    def _check_health(self, state: ArmState) -> Violation | None:
        if state.fault:
            return Violation("fault", f"the arm reports: {state.fault}")
        if not (np.isfinite(state.q).all() and np.isfinite(state.dq).all()):
            return Violation("fault", "the arm reports joint angles that are not finite")
        age = self.clock() - state.time
        if age > self.limits.state_age:
            return Violation(
                "stale", f"the arm's state is {1000 * age:.0f} ms old, limit {1000 * self.limits.state_age:.0f}"
            )
        return None

    def _check_contact(self, state: ArmState) -> Violation | None:
        start = self._start
        kind: Literal["contact", "limit"] = "contact" if self._contact else "limit"
        if start is None:
            return None
        if state.force is not None and start.force is not None:
            force = float(np.linalg.norm(state.force - start.force))
            if not force <= self.limits.force:
                return Violation(kind, f"the force on the tip is {force:.0f} N, limit {self.limits.force:g}")
        if state.effort is not None and start.effort is not None:
            change = np.abs(state.effort - start.effort)
            joint = int(change.argmax())
            if not change[joint] <= self.limits.effort:
                return Violation(
                    kind,
                    f"the effort of joint {joint + 1} changed by {change[joint]:.1f}, limit {self.limits.effort:g}",
                )
        return None

    def _check_joints(self, q: FloatArray, dq: FloatArray, slack: float) -> str:
        for sign, bound, word in ((1, self.lower, "least"), (-1, self.upper, "greatest")):
            outside = sign * (q - bound) < -1e-6 if bound is not None else np.zeros(len(q), bool)
            if bound is not None and outside.any():
                joint = int(outside.argmax())
                return f"joint {joint + 1} is at {q[joint]:.3f} rad, {word} {bound[joint]:.3f}"
        joint = int(np.abs(dq).argmax())
        if abs(dq[joint]) > self.limits.joint_speed * slack:
            return f"joint {joint + 1} turns at {abs(dq[joint]):.2f} rad/s, limit {self.limits.joint_speed:g}"
        return ""

    def _check_tip(self, q: FloatArray, dq: FloatArray, slack: float, *, edge: float) -> str:
        place = self.tip(q)[:3, 3]
        low, high = np.asarray(self.limits.box_low), np.asarray(self.limits.box_high)
        outside = (place < low - edge) | (place > high + edge)
        if outside.any():
            axis = int(outside.argmax())
            return (
                f"the tip's {'xyz'[axis]} is {place[axis]:.3f} m, the box reaches from {low[axis]:g} to {high[axis]:g}"
            )
        h = 1e-4  # s, for a central difference along the motion
        speed = float(np.linalg.norm(self.tip(q + h * dq)[:3, 3] - self.tip(q - h * dq)[:3, 3])) / (2 * h)
        limit = self.limits.approach_speed if self._contact else self.limits.tip_speed
        allowed = limit * slack + (NOISE if slack == MEASURED else 0.0)
        return f"the tip moves at {speed:.3f} m/s, limit {limit:g}" if speed > allowed else ""
