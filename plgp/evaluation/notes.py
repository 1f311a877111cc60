"""What a table of scores does not show of a policy: broken answers, grasps wider than the hand, other rules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from sim.benchmark.attempt_table import NO_POSE, OTHER_FRAME, RAISED, was_executed
from sim.benchmark.protocol import BenchmarkSettings
from sim.identity.content import describe, differences

RULES = "unusual_rules"  # in ``policies.yaml``: of each policy's measurement

_CURES = {
    OTHER_FRAME: " (a policy answers in the frame 'camera')",
    NO_POSE: " (numbers are finite, rotations right-handed)",
}
_MOST = 2  # differences of one part of the rules that a note names
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


def unusual_rules(rules: BenchmarkSettings | Mapping[str, Any]) -> list[str]:
    """Returns which of a benchmark's rules are not the usual ones, as "max_failures: 2, usually 5".

    A part that differs in much, as another gripper does, stands by its name alone. A setting of a file that one of
    them does not know, because it is of another plgp, does not count.

    Args:
        rules: The settings, or what ``describe`` made of them, as files hold it.
    """
    parts: dict[str, list[str]] = {}
    both = describe(rules), describe(BenchmarkSettings())
    for text in differences(*(both if isinstance(rules, BenchmarkSettings) else _known_to_both(*both))):
        parts.setdefault(text.split(":")[0].split(".")[0], []).append(text.replace(", there ", ", usually "))
    return [said for part, texts in parts.items() for said in (texts if len(texts) <= _MOST else [part])]


def _known_to_both(one: dict[str, Any], other: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns two contents without the keys that the other one lacks.

    Two parts of which each has keys of its own are of two kinds, as two sensors' noise is: they stay whole.
    """
    pairs = {key: _parts_known_to_both(one[key], other[key]) for key in one if key in other}
    return {key: pair[0] for key, pair in pairs.items()}, {key: pair[1] for key, pair in pairs.items()}


def _parts_known_to_both(one: Any, other: Any) -> tuple[Any, Any]:
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return one, other
    alike = one.keys() <= other.keys() or other.keys() <= one.keys()
    return _known_to_both(one, other) if alike else (one, other)


def notes_on(attempts: pd.DataFrame, policies: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Returns by policy and category what a reader of its scores has to know: faults, and rules that are not usual.

    A policy of which there is nothing to say is left out.

    Args:
        attempts: Attempts of any policies.
        policies: What ``policies.yaml`` says of each.
    """
    notes: dict[str, dict[str, str]] = {}
    for (policy, category), rows in attempts.groupby(["policy", "category"], sort=False):
        about = policies.get(str(policy))
        told = about.get(RULES) if isinstance(about, dict) else None
        text = "; ".join(part for part in (faults(rows), _rules(rows, told)) if part)
        if text:
            notes.setdefault(str(policy), {})[str(category)] = text
    return notes


def _rules(attempts: pd.DataFrame, told: Any) -> str:
    """Returns by which unusual rules a policy was measured in a category, "" by none; the rows themselves say AP's."""
    ranked = attempts[attempts.protocol == "rank"].groupby(["scene", "friction"]).size()
    counts = sorted(set(ranked) - {BenchmarkSettings.count})
    said = [f"AP is of the {' or '.join(map(str, counts))} best-ranked grasps"] if counts else []
    others = [str(rule) for rule in told if not str(rule).startswith("count:")] if isinstance(told, list) else []
    if others:
        said.append(f"other rules than the usual ones ({'; '.join(others)})")
    return ", ".join(said)


def sentences(who: str, notes: Mapping[str, str], categories: Iterable[str]) -> str:
    """Returns the notes on a row of a report, a sentence a category, with a space before; "" without any.

    Args:
        who: What the row is called.
        notes: Note of each category that has one.
        categories: Categories that the row shows.
    """
    return "".join(f" {who} on {category} {notes[category]}." for category in categories if category in notes)
