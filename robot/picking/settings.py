"""How the picking loop asks, grasps and gives up."""

from __future__ import annotations

from dataclasses import dataclass

from sim.errors import COUNT, NOT_NEGATIVE, POSITIVE, check_numbers


@dataclass(frozen=True, kw_only=True)
class PickSettings:
    """How a pick is made.

    Attributes:
        count: Number of grasps that the policy is asked for; the best reachable one is taken.
        force: Closing force of each finger, newtons; None for the gripper's own.
        floor_gap: Distance that the finger tips keep from the tray's floor, metres: lower grasps are raised.
        max_raise: Greatest distance by which a grasp is raised for that, metres; lower ones count as unreachable.
        rest_speed: Speed of every joint under which the arm is at rest, rad/s.
        rest_timeout: Seconds within which it must come to rest.
        picture_timeout: Seconds within which a picture must come.
    """

    count: int = 50
    force: float | None = None
    floor_gap: float = 0.0015
    max_raise: float = 0.012
    rest_speed: float = 1e-3
    rest_timeout: float = 2.0
    picture_timeout: float = 2.0

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        limits = dict.fromkeys(("rest_speed", "rest_timeout", "picture_timeout"), POSITIVE) | {"count": COUNT}
        limits |= dict.fromkeys(("floor_gap", "max_raise"), NOT_NEGATIVE)
        check_numbers("pick", self, limits | ({} if self.force is None else {"force": POSITIVE}))
