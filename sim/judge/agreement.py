"""Where two engines agree on what came of the same grasps."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pandas as pd

from sim.benchmark.attempt_table import ending
from sim.errors import InputError
from sim.files import write_table

SUCCESS, REASON = "mujoco_success", "mujoco_reason"  # columns of the second engine's outcome


def count_agreement(attempts: pd.DataFrame) -> pd.DataFrame:
    """Returns a table of two by two: how many attempts succeeded and failed in either engine.

    Args:
        attempts: Rows with ``success`` (Bullet) and ``mujoco_success``.

    Returns:
        Numbers of attempts; index "Bullet: lifts", "Bullet: fails", columns the same of MuJoCo.

    Raises:
        InputError: The attempts were not judged.
    """
    if SUCCESS not in attempts.columns:
        raise InputError("these attempts were not executed in MuJoCo; give physics=mujoco")
    ours, theirs = attempts.success.astype(bool), attempts[SUCCESS].astype(bool)
    cells = [[int((a & b).sum()) for b in (theirs, ~theirs)] for a in (ours, ~ours)]
    return pd.DataFrame(cells, index=["Bullet: lifts", "Bullet: fails"], columns=["MuJoCo: lifts", "MuJoCo: fails"])


def describe_agreement(attempts: pd.DataFrame, title: str) -> str:
    """Returns what a command prints: shares in both engines, the table of two by two, and what the two say apart.

    Args:
        attempts: Rows with ``success, reason, mujoco_success, mujoco_reason``.
        title: What was executed, for example "labels".
    """
    table = count_agreement(attempts)
    total = max(1, len(attempts))
    same = int((attempts.success.astype(bool) == attempts[SUCCESS].astype(bool)).sum())
    lines = [
        f"{title}: {100 * attempts.success.mean():.1f} % lift in Bullet, {100 * attempts[SUCCESS].mean():.1f} % in "
        f"MuJoCo; the two agree on {same} of {len(attempts)} ({100 * same / total:.1f} %)",
        table.to_string(),
    ]
    apart = attempts[attempts.success.astype(bool) != attempts[SUCCESS].astype(bool)]
    pairs = Counter(f"{ending(a)} -> {ending(b)}" for a, b in zip(apart.reason, apart[REASON], strict=True))
    if pairs:
        lines.append("apart (Bullet -> MuJoCo): " + ", ".join(f"{n} {pair}" for pair, n in pairs.most_common()))
    return "\n".join(lines)


def write_agreement(attempts: pd.DataFrame, path: str | Path) -> Path:
    """Writes every attempt with both engines' outcomes into a CSV file, those on which the two differ first.

    Args:
        attempts: Rows with ``success, reason, mujoco_success, mujoco_reason``.
        path: The file.

    Returns:
        The path.

    Raises:
        InputError: The file cannot be written.
    """
    apart = attempts.success.astype(bool) != attempts[SUCCESS].astype(bool)
    return write_table(path, pd.concat([attempts[apart], attempts[~apart]]))
