"""What a table of attempts says: SR, PC and AP."""

from __future__ import annotations

import pandas as pd

SUMMARY_COLUMNS = ["policy", "category", "friction", "SR", "PC", "AP", "attempts"]


def summarise(attempts: pd.DataFrame) -> pd.DataFrame:
    """Returns SR, PC and AP in percent, per policy, category and friction, and their means.

    Args:
        attempts: Rows of ``run_benchmark``, of one or more policies.

    Returns:
        Columns ``policy, category, friction, SR, PC, AP, attempts``; ``friction`` is text, "mean"
        for the average over the frictions. SR = successes / attempts, pooled over scenes; PC =
        objects lifted / objects present at the start; AP = successes / grasps that AP looks at.
    """
    rows = []
    for (policy, category), group in attempts.groupby(["policy", "category"], sort=False):
        part = []
        for friction, rows_at in group.groupby("friction"):
            clear, rank = rows_at[rows_at.protocol == "clear"], rows_at[rows_at.protocol == "rank"]
            present = rows_at.groupby("scene").objects.first().sum()
            part.append(
                {
                    "policy": policy,
                    "category": category,
                    "friction": f"{friction:g}",
                    "SR": 100 * clear.success.mean(),
                    "PC": 100 * clear.lifted.sum() / present,
                    "AP": 100 * rank.success.mean(),
                    "attempts": len(rows_at),
                }
            )
        table = pd.DataFrame(part)
        mean = {"policy": policy, "category": category, "friction": "mean", "attempts": int(table.attempts.sum())}
        mean |= {k: table[k].mean() for k in ("SR", "PC", "AP")}
        rows.append(pd.concat([table, pd.DataFrame([mean])]))
    return pd.concat(rows, ignore_index=True)[SUMMARY_COLUMNS]
