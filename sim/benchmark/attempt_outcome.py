"""What came of an attempt: here a success is decided."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


class Touched(NamedTuple):
    """What the hand met on its way.

    Attributes:
        blocked: Whether the hand was held up on its way down.
        gripped: Indices of the objects that both fingers touch when they have closed.
        lifted: Indices of the objects that both fingers touch at the end of the lift.
        held: Indices of the objects that both fingers touch at the drop-off place.
    """

    blocked: bool
    gripped: list[int]
    lifted: list[int]
    held: list[int]


@dataclass(frozen=True)
class AttemptResult:
    """What came of one attempt.

    Attributes:
        success: Whether an object is held by both fingers at the drop-off place, at least half the lift higher than
            before.
        reason: "" after a success, else "blocked" (on the way down), "missed" (nothing between the fingers),
            "slipped" (out of the hand during the lift), "dropped" (while it was carried).
        object_index: Index in the scene of the object held, else of the one that both fingers had gripped, else -1.
        lifted: Indices of the objects that are held or hang at least half the lift higher than before.
        slip: Distance by which the held object moved in the gripper between closing and the end, metres; or NaN.
        poses: (N, 4, 4) float64 T_world_link of all objects at the end, metres.
        seconds: Wall time.
    """

    success: bool
    reason: str
    object_index: int
    lifted: tuple[int, ...]
    slip: float
    poses: FloatArray
    seconds: float


def carried_objects(
    touched: Touched, before: FloatArray, after: FloatArray, *, lift: float
) -> tuple[list[int], list[int]]:
    """Decides which objects an attempt brought to the drop-off place: none of them is a failure.

    Args:
        touched: Contacts of the hand on its way.
        before: (N, 3) places of the objects before the attempt (``sim.scene.object_places``), world frame, metres.
        after: (N, 3) places of the objects at its end.
        lift: Height of the lift, metres.

    Returns:
        Indices of the objects that are held and at least half the lift higher than before, and of all objects that
        are so much higher (what hangs on a held one counts as lifted).
    """
    high = before[:, 2] + lift / 2 < after[:, 2]
    return [i for i in touched.held if high[i]], [int(i) for i in np.nonzero(high)[0]]


def failure_reason(touched: Touched) -> str:
    """Returns why an attempt that carried nothing failed: the first thing that went wrong."""
    if touched.blocked:
        return "blocked"
    if not touched.gripped:
        return "missed"
    return "dropped" if touched.lifted else "slipped"


def attempt_result(
    touched: Touched,
    before: FloatArray,
    after: FloatArray,
    *,
    beside_hand: FloatArray,
    hand: FloatArray,
    poses: FloatArray,
    lift: float,
    seconds: float,
) -> AttemptResult:
    """Returns what came of an attempt, whichever engine executed it.

    Args:
        touched: What the hand met.
        before: (N, 3) places of the objects before the attempt, world frame, metres.
        after: (N, 3) their places at its end.
        beside_hand: (N, 3) their places less the hand's when the fingers had closed.
        hand: (3,) place of the hand at the end.
        poses: (N, 4, 4) T_world_link of the objects at the end, metres.
        lift: Height of the lift, metres.
        seconds: Wall time of the attempt.
    """
    held, lifted = carried_objects(touched, before, after, lift=lift)
    return AttemptResult(
        success=bool(held),
        reason="" if held else failure_reason(touched),
        object_index=(held or touched.gripped or [-1])[0],
        lifted=tuple(lifted),
        slip=float(np.linalg.norm(after[held[0]] - hand - beside_hand[held[0]])) if held else np.nan,
        poses=poses,
        seconds=seconds,
    )
