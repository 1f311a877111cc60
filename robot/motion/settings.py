"""How motions are planned, and why one cannot be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sim.errors import COUNT, NOT_NEGATIVE, POSITIVE, check_numbers


@dataclass(frozen=True, kw_only=True)
class MotionSettings:
    """How an arm moves to a grasp and away.

    Attributes:
        approach: Distance back along the approach at which the straight descent starts, metres.
        lift: Height of the straight lift, metres.
        clearance: Least distance of arm, hand and camera from tray, receptacle and ground, metres.
        finger_clearance: That distance for palm and fingers on the way down and up, metres.
        waypoint: Distance between the points of a straight path at which joint angles are computed, metres.
        branches: Number of joint solutions of a grasp that are tried, nearest first.
        tip_acceleration: Acceleration of the tip on straight paths, m/s^2.
        tip_jerk: Change of that acceleration, m/s^3.
    """

    approach: float = 0.1
    lift: float = 0.2
    clearance: float = 0.01
    finger_clearance: float = 0.001
    waypoint: float = 0.02
    branches: int = 6
    tip_acceleration: float = 0.5
    tip_jerk: float = 5.0

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        limits = dict.fromkeys(("approach", "lift", "waypoint", "tip_acceleration", "tip_jerk"), POSITIVE)
        limits |= dict.fromkeys(("clearance", "finger_clearance"), NOT_NEGATIVE) | {"branches": COUNT}
        check_numbers("motion", self, limits)


@dataclass(frozen=True)
class Unreachable:
    """Why there is no motion.

    Attributes:
        reason: "reach" (no joint angles give the pose), "branch" (a straight path would need a jump of the joints or
            leave their limits), "collision" (something is in the way), "box" (the tip would leave the safety box).
        message: One sentence that says what is where.
    """

    reason: Literal["reach", "branch", "collision", "box"]
    message: str
