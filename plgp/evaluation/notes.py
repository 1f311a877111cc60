"""What a table of scores does not show of a policy: broken answers, grasps wider than the hand."""

from __future__ import annotations

import pandas as pd

from sim.benchmark.attempt_table import NO_POSE, OTHER_FRAME, RAISED, was_executed

_CURES = {
    OTHER_FRAME: " (a policy answers in the frame 'camera')",
    NO_POSE: " (numbers are finite, rotations right-handed)",
}
_SLACK = 1e-6  # metres by which a width is no wider than the hand: rounding
_METRE = 1.0  # no hand opens so wide: a greater width is in another unit


def faults(attempts: pd.DataFrame) -> str:
    """Returns in how many attempts a policy raised or gave nothing to execute, and why most often; "" of none.

    Args:
        attempts: One policy's attempts, with the column reason.
    """
    reasons = attempts.reason
    raised, broken = reasons.str.startswith(RAISED), reasons.str.startswith((OTHER_FRAME, NO_POSE))
    said = []
    for what, those in (("raised", raised), ("gave nothing to execute", broken)):
        if those.any():
            most = str(reasons[those].value_counts().index[0])
            cure = next((text for start, text in _CURES.items() if most.startswith(start)), "")
            count = f"{those.sum()} of {len(reasons)} attempts"
            most = most.removeprefix(f"{RAISED} ")
            said.append(f"{what} in {count}, which count as failures; most often: {most}{cure}")
    return ", and ".join(said)


def widths(attempts: pd.DataFrame, widest: float) -> str:
    """Returns how many of a policy's grasps are wider than the hand opens, or negative; "" where none is.

    Args:
        attempts: One policy's attempts.
        widest: Greatest opening of the hand, metres.
    """
    asked = attempts.width[was_executed(attempts)]
    wide, negative = asked[asked > widest + _SLACK], asked[asked < 0]
    said = []
    if len(wide):
        unit = "; widths are in metres, and these look like millimetres" if wide.median() > _METRE else ""
        said.append(
            f"gave {len(wide)} of {len(asked)} grasps a width beyond the hand's opening of {widest:g} m "
            f"(up to {wide.max():g}), for which the hand opened fully{unit}"
        )
    if len(negative):
        said.append(f"gave {len(negative)} of {len(asked)} grasps a negative width, for which the hand stayed closed")
    return ", and ".join(said)


def warnings_of(attempts: pd.DataFrame, widest: float) -> list[str]:
    """Returns a sentence on each policy whose answers were broken or do not fit the hand.

    Args:
        attempts: Attempts of any policies.
        widest: Greatest opening of the hand, metres.
    """
    return [
        f"policy '{name}' {what}"
        for name, rows in attempts.groupby("policy", sort=False)
        for what in (faults(rows), widths(rows, widest))
        if what
    ]
