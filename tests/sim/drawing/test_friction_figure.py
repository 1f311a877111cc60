"""Fig. 10 shows the summary's numbers and its intervals."""

import numpy as np
import pandas as pd
import pytest

from sim.benchmark.statistics import summarise
from sim.drawing.friction_figure import friction_figure, plot_frictions


@pytest.fixture(scope="module")
def table():
    """Attempts in four scenes of two categories whose chance grows with the friction."""
    rng, rows = np.random.default_rng(0), []
    runs = [(p, c) for p in ("random", "network") for c in ("novel-5", "novel-15")] + [("oracle", "novel-5")]
    for policy, category in runs:
        for scene, friction, attempt in np.ndindex(4, 2, 12):
            success = bool(rng.uniform() < 0.4 + 0.4 * friction)
            row = {"policy": policy, "privileged": policy == "oracle", "category": category, "scene": scene}
            row |= {"objects": 5, "friction": (0.2, 1.0)[friction], "protocol": ("clear", "rank")[attempt % 2]}
            rows.append(row | {"attempt": attempt, "success": success, "reason": "", "lifted": int(success)})
    return pd.DataFrame(rows)


def test_the_figure_draws_the_summarys_numbers(table, tmp_path):
    summary = summarise(table)
    figure = friction_figure(summary)
    assert len(figure.axes) == 6
    first = figure.axes[0]
    drawn = {line.get_label(): line for line in first.lines}
    assert list(drawn) == ["random", "network", "oracle (privileged)"]
    mine = summary[(summary.policy == "network") & (summary.category == "novel-5") & (summary.friction != "mean")]
    np.testing.assert_array_equal(drawn["network"].get_xdata(), [0.2, 1.0])
    np.testing.assert_array_equal(drawn["network"].get_ydata(), mine.SR)
    band = first.collections[1].get_paths()[0].vertices
    assert {*mine.SR_low, *mine.SR_high} <= set(band[:, 1])
    colours = [line.get_color() for line in first.lines]
    assert len(set(colours)) == 3
    path = plot_frictions(table, tmp_path / "deep" / "frictions.png")
    assert path.stat().st_size > 10_000
    single = friction_figure(summarise(table[table.friction == 0.2]))
    assert single.axes[0].get_lines()[0].get_xdata() == [0.2]
