"""Fig. 10: SR, PC and AP over the friction of the fingertips."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from sim.benchmark.bootstrap import SAMPLES
from sim.benchmark.statistics import METRICS, summarise
from sim.drawing.figures import panels, save_figure
from sim.drawing.policy_colours import PolicyLook, policy_looks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAMES = {"SR": "success rate SR, %", "PC": "objects cleared PC, %", "AP": "average precision AP, %"}


def plot_frictions(attempts: pd.DataFrame, path: str | Path, *, samples: int = SAMPLES, seed: int = 0) -> Path:
    """Draws Fig. 10 of a table of attempts into a file.

    Args:
        attempts: Rows of ``run_benchmark``.
        path: File of the picture; its suffix names the format.
        samples: Number of resamples of the bootstrap behind the bands.
        seed: Seed of the bootstrap.

    Returns:
        The path.
    """
    return save_figure(friction_figure(summarise(attempts, samples, seed)), path, dpi=110)


def friction_figure(summary: pd.DataFrame) -> Figure:
    """Returns Fig. 10 of a table of ``summarise``: a row of three panels a category, a line a policy.

    Bands are 95 % intervals over scenes. Lines of privileged policies are dashed.
    """
    shown = summary[summary.friction != "mean"]
    categories, policies = list(dict.fromkeys(shown.category)), list(dict.fromkeys(shown.policy))
    columns = min(6, len(policies))
    # The legend has lines of its own above the panels, so that it never covers a curve.
    legend_height = 0.3 * -(-len(policies) // columns) + 0.15
    height = 2.9 * len(categories) + legend_height
    figure, grid = panels(len(categories), len(METRICS), (11, height), sharex=True, sharey=True)
    for row, category in zip(grid, categories, strict=True):
        for axes, metric in zip(row, METRICS, strict=True):
            for policy, look in policy_looks(policies).items():
                rows = shown[(shown.category == category) & (shown.policy == policy)]
                if len(rows):
                    _draw_line(axes, rows, metric, look=look)
            axes.set_title(f"{category}: {_NAMES[metric]}", fontsize=10)
            axes.set_ylim(-2, 102)
            axes.grid(alpha=0.3)
    for axes in grid[-1]:
        axes.set_xlabel("friction of the fingertips")
        axes.set_xticks(sorted({float(f) for f in shown.friction}))
    lines = {line.get_label(): line for axes in grid.flat for line in axes.lines}
    figure.legend(lines.values(), lines.keys(), loc="outside upper center", ncols=columns, fontsize=10, frameon=False)
    return figure


def _draw_line(axes: Axes, rows: pd.DataFrame, metric: str, *, look: PolicyLook) -> None:
    """Draws one policy's curve with its band; a single friction's band is a bar."""
    rows = rows.assign(friction=rows.friction.astype(float)).sort_values("friction")
    privileged = bool(rows.privileged.any())
    colour = look.colour
    style: dict[str, Any] = {"color": colour, "marker": look.marker, "markersize": 5}
    label = f"{rows.policy.iloc[0]}{' (privileged)' if privileged else ''}"
    axes.plot(rows.friction, rows[metric], label=label, linestyle="--" if privileged else "-", **style)
    low, high = rows[f"{metric}_low"], rows[f"{metric}_high"]
    if len(rows) > 1:
        axes.fill_between(rows.friction, low, high, color=colour, alpha=0.18, linewidth=0)
    else:
        axes.vlines(rows.friction, low, high, color=colour, alpha=0.5)
