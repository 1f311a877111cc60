"""What came of one attempt to pick: one row."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# Why an attempt failed, in the order in which things can go wrong.
REASONS = {
    "no grasp": "the policy gave none",
    "unreachable": "no grasp that it gave can be reached",
    "missed": "nothing was between the fingers",
    "slipped": "it was lost while it was lifted",
    "dropped": "it was lost on the way to the receptacle",
    "beside": "it was let go but does not lie in the receptacle",
    "stopped": "the arm was stopped: a limit, a fault, a person",
    "no picture": "the camera gave none",
    "dry run": "the arm is not armed: the pick was planned from where the arm is, and nothing moved",
}


@dataclass
class PickAttempt:
    """One attempt.

    Attributes:
        success: Whether an object lies in the receptacle.
        reason: "" after a success, else a key of ``REASONS``.
        message: What the devices or the planner said.
        objects: Names of the objects that left the tray for the receptacle.
        given: Number of grasps that the policy gave.
        rank: Place of the executed grasp among them, from 0; -1 where none was executed.
        unreachable: Number of grasps that were given up before it, by reason.
        quality: Quality of the executed grasp; NaN where none was.
        grasp: Pose T_world_grasp of the executed grasp, 16 numbers row by row, metres; empty where none was.
        opening: Opening on the way down, metres.
        widths: Width of the hand when closed, lifted, and over the receptacle, metres.
        policy_seconds: Wall time of the policy.
        plan_seconds: Wall time of planning, all grasps together.
        planned: Number of grasps that were planned for.
        duration: Seconds of the cell's clock.
        speed_share: Greatest joint speed over its limit in all trajectories.
        acceleration_share: Greatest joint acceleration over its limit in all trajectories.
        touches: What touched what was not to be touched, with the number of looks that saw it.
    """

    success: bool = False
    reason: str = ""
    message: str = ""
    objects: list[str] = field(default_factory=list)
    given: int = 0
    rank: int = -1
    unreachable: dict[str, int] = field(default_factory=dict)
    quality: float = float("nan")
    grasp: list[float] = field(default_factory=list)
    opening: float = 0.0
    widths: list[float] = field(default_factory=list)
    policy_seconds: float = 0.0
    plan_seconds: float = 0.0
    planned: int = 0
    duration: float = 0.0
    speed_share: float = 0.0
    acceleration_share: float = 0.0
    touches: dict[str, int] = field(default_factory=dict)

    def fail(self, reason: str, message: str = "") -> None:
        """Notes why it failed; the first reason stays."""
        if not self.reason:
            self.reason, self.message = reason, message

    def to_row(self) -> dict[str, Any]:
        """Returns plain values, as files keep them; NaN becomes None."""
        row = dict(vars(self))
        return row | {"quality": None if self.quality != self.quality else self.quality}
