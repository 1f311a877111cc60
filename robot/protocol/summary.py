"""What Table V says: success rate, objects cleared, attempts and failures, beside the paper's row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich.table import Table

from robot.protocol.contacts import GRASPED
from sim.benchmark.bootstrap import share_interval

# Table V of the paper: SR %, PC %, attempts, failures by objects in the tray.
PAPER = {1: (99.01, 100.0, 404, 4), 5: (98.28, 100.0, 407, 7), 10: (95.92, 100.0, 417, 17)}
HEADS = ("objects", "scenes", "attempts", "failures", "SR %", "95 %", "PC %", "95 %", "paper SR / PC %", "failed by")


def summarise_picks(scenes: Sequence[dict[str, Any]]) -> pd.DataFrame:
    """Returns one row a size.

    Args:
        scenes: Finished scenes as ``robot.protocol.table5`` keeps them.

    Returns:
        Columns size, scenes, attempts, failures, sr, sr_low, sr_high, pc, pc_low, pc_high (percent; 95 % bounds, NaN
        with fewer than two scenes), reasons (text), plan_ms (mean per grasp planned for), policy_ms, seconds
        (mean of the cell's clock an attempt), speed_share, acceleration_share (greatest), touches (attempts in which
        something touched what was not to be touched), pressed (those in which what the fingers held met the hand).
    """
    rows = []
    for size in sorted({s["size"] for s in scenes}):
        part = [s for s in scenes if s["size"] == size]
        tries = [(s["number"], a) for s in part for a in s["attempts"]]
        done = [a["success"] for _, a in tries]
        placed = [(s["number"], i < s["cleared"]) for s in part for i in range(s["size"])]
        sr = trial_interval([n for n, _ in tries], done)
        pc = trial_interval([n for n, _ in placed], [c for _, c in placed])
        why = Counter(a["reason"] for _, a in tries if not a["success"])
        planned = sum(a["planned"] for _, a in tries)
        attempts = len(tries)
        rows.append(
            {
                "size": size,
                "scenes": len(part),
                "attempts": attempts,
                "failures": attempts - sum(done),
                "sr": 100 * sum(done) / attempts if attempts else float("nan"),
                **_bounds("sr", sr),
                "pc": 100 * sum(c for _, c in placed) / len(placed),
                **_bounds("pc", pc),
                "reasons": ", ".join(f"{n} {reason}" for reason, n in why.most_common()),
                "plan_ms": 1000 * sum(a["plan_seconds"] for _, a in tries) / planned if planned else float("nan"),
                "policy_ms": 1000 * sum(a["policy_seconds"] for _, a in tries) / max(attempts, 1),
                "seconds": sum(a["duration"] for _, a in tries) / max(attempts, 1),
                "speed_share": max((a["speed_share"] for _, a in tries), default=0.0),
                "acceleration_share": max((a["acceleration_share"] for _, a in tries), default=0.0),
                "touches": sum(any(GRASPED not in t for t in a["touches"]) for _, a in tries),
                "pressed": sum(any(GRASPED in t for t in a["touches"]) for _, a in tries),
            }
        )
    return pd.DataFrame(rows)


def trial_interval(scene: Sequence[int], success: Sequence[bool]) -> list[float] | None:
    """Returns the 95 % interval of a share of trials, or None with fewer than two scenes.

    The bootstrap over scenes knows no failure that did not happen. Where all trials ended alike the exact bound of
    Clopper and Pearson (1934) is taken instead. Each scene is one trial then, for those in a scene are not independent.

    Args:
        scene: Scene of each trial.
        success: Whether it succeeded.
    """
    bounds = share_interval(list(scene), list(success)) if len(scene) else None
    if bounds is None or bounds[0] < bounds[1]:
        return bounds
    edge = 0.025 ** (1 / len(set(scene)))
    return [edge, 1.0] if all(success) else [0.0, 1 - edge]


def _bounds(name: str, bounds: list[float] | None) -> dict[str, float]:
    low, high = (float("nan"), float("nan")) if bounds is None else bounds
    return {f"{name}_low": 100 * low, f"{name}_high": 100 * high}


def summary_table(summary: pd.DataFrame, title: str) -> Table:
    """Returns the summary as a table for the terminal."""
    table = Table(title=title)
    for head in HEADS:
        table.add_column(head, justify="left" if head == "failed by" else "right")
    for row in summary.to_dict("records"):
        paper = PAPER.get(int(row["size"]))
        table.add_row(
            *(str(row[name]) for name in ("size", "scenes", "attempts", "failures")),
            f"{row['sr']:.2f}",
            f"{row['sr_low']:.1f}-{row['sr_high']:.1f}",
            f"{row['pc']:.2f}",
            f"{row['pc_low']:.1f}-{row['pc_high']:.1f}",
            "-" if paper is None else f"{paper[0]:.2f} / {paper[1]:.0f}",
            str(row["reasons"]),
        )
    return table
