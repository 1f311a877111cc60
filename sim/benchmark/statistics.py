"""What a table of attempts says: SR, PC and AP with their intervals, paired comparisons, reasons, Fig. 10.

Attempts in one scene are not independent, so every interval resamples scenes, never attempts, and
takes a drawn scene's attempts at all frictions together (design section 6).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]

METRICS = ("SR", "PC", "AP")
_BOUNDS = [f"{metric}_{end}" for metric in METRICS for end in ("low", "high")]
SUMMARY_COLUMNS = ["policy", "category", "friction", *METRICS, "attempts", *_BOUNDS, "scenes", "privileged"]
COMPARISON_COLUMNS = [
    *("policy", "baseline", "category", "friction"),
    *(f"{metric}{end}" for metric in METRICS for end in ("_difference", "_low", "_high", "_p")),
    "scenes",
]
_KEYS = ["policy", "category", "scene", "friction", "protocol", "attempt"]
_NEEDED = [*_KEYS, "privileged", "objects", "success", "lifted", "reason"]
_CONFIDENCE = (0.025, 0.975)
# Okabe and Ito's palette, told apart with any colour vision; its yellow is left out, too pale for a line.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = "osD^vPX"
_NAMES = {"SR": "success rate SR, %", "PC": "objects cleared PC, %", "AP": "average precision AP, %"}


@dataclass(frozen=True)
class _Counts:
    """What SR, PC and AP are ratios of, for one policy and category.

    Attributes:
        hits: (3, S, F) float64: successes while clearing, objects lifted, successes of ranked grasps.
        totals: (3, S, F) float64: attempts while clearing, objects present, ranked grasps.
        scenes: The S scenes' numbers, ascending.
        frictions: The F frictions, ascending.
    """

    hits: FloatArray
    totals: FloatArray
    scenes: list[int]
    frictions: list[float]

    @property
    def labels(self) -> list[str]:
        """The frictions as tables write them, "mean" last."""
        return [*(f"{f:g}" for f in self.frictions), "mean"]

    def percent(self) -> FloatArray:
        """Returns (3, F + 1) float64: SR, PC, AP in percent, pooled over scenes; their mean over frictions last."""
        return _with_mean(self.hits.sum(axis=1), self.totals.sum(axis=1))

    def resampled(self, weights: FloatArray) -> FloatArray:
        """Returns (R, 3, F + 1) float64 percent, as ``percent``, for scenes weighed by ``weights`` (R, S)."""
        hits, totals = (np.einsum("rs,msf->rmf", weights, a) for a in (self.hits, self.totals))
        return _with_mean(hits, totals)


def _with_mean(hits: FloatArray, totals: FloatArray) -> FloatArray:
    """Returns 100 hits / totals (NaN where there is nothing), and its mean over the last axis behind it."""
    with np.errstate(invalid="ignore", divide="ignore"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Mean of empty slice")
        percent = 100 * hits / totals
        return np.concatenate([percent, np.nanmean(percent, axis=-1, keepdims=True)], axis=-1)


def _check(attempts: pd.DataFrame) -> None:
    missing = [c for c in _NEEDED if c not in attempts.columns]
    if missing:
        raise InputError(f"the table of attempts lacks {', '.join(missing)}; take one of run_benchmark")
    if attempts.empty:
        raise InputError("the table of attempts is empty; run the benchmark first")
    twice = attempts.duplicated(_KEYS)
    if twice.any():
        where = ", ".join(f"{key} {attempts.loc[twice, key].iloc[0]}" for key in _KEYS)
        raise InputError(f"an attempt stands twice in the table ({where}); give each run's policy a name of its own")


def _count(rows: pd.DataFrame) -> _Counts:
    """Counts the rows of one policy and category."""
    scenes, frictions = sorted(rows.scene.unique()), sorted(rows.friction.unique())
    keys = ["scene", "friction"]
    cells = pd.MultiIndex.from_product([scenes, frictions], names=keys)
    clear, rank = rows[rows.protocol == "clear"].groupby(keys), rows[rows.protocol == "rank"].groupby(keys)

    def table(series: pd.Series) -> FloatArray:
        counts = series.reindex(cells, fill_value=0).to_numpy(np.float64)
        return counts.reshape(len(scenes), len(frictions))

    present = rows.groupby(keys).objects.first()
    hits = [table(s) for s in (clear.success.sum(), clear.lifted.sum(), rank.success.sum())]
    totals = [table(s) for s in (clear.size(), present, rank.size())]
    return _Counts(np.stack(hits), np.stack(totals), [int(s) for s in scenes], [float(f) for f in frictions])


def _weights(scenes: int, samples: int, seed: int) -> FloatArray:
    """Returns (samples, scenes) float64: how often each resample drew each scene.

    A function of its arguments alone: tables' other policies do not change an interval, and two
    policies on the same scenes are resampled in pairs.
    """
    drawn = np.random.default_rng([seed, scenes]).integers(0, scenes, (samples, scenes))
    cells = drawn + scenes * np.arange(samples)[:, None]
    return np.bincount(cells.ravel(), minlength=samples * scenes).reshape(samples, scenes).astype(np.float64)


def _interval(values: FloatArray, scenes: int) -> FloatArray:
    """Returns (2, ...) float64: the percentile bootstrap's 95 % bounds over axis 0; NaN with one scene."""
    if scenes < 2:
        return np.full((2, *values.shape[1:]), np.nan)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="All-NaN slice")
        return np.nanquantile(values, _CONFIDENCE, axis=0)


def summarise(attempts: pd.DataFrame, samples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Returns SR, PC and AP in percent, per policy, category and friction, and their means: Table II.

    Args:
        attempts: Rows of ``run_benchmark``, of one or more policies.
        samples: Resamples of the bootstrap.
        seed: Of the bootstrap.

    Returns:
        Columns ``policy, category, friction, SR, PC, AP, attempts, SR_low, SR_high, PC_low, PC_high,
        AP_low, AP_high, scenes, privileged``; ``friction`` is text, "mean" for the average over the
        frictions. SR = successes / attempts, pooled over scenes; PC = objects lifted / objects present
        at the start; AP = successes / grasps that AP looks at. ``_low`` and ``_high`` are the 95 %
        bounds of a percentile bootstrap over scenes, those of "mean" with each resample's scenes kept
        over all frictions; NaN with one scene. ``privileged``: it saw more than the camera.

    Raises:
        InputError: The table is empty, lacks columns, or holds an attempt twice.
    """
    _check(attempts)
    result = []
    for (policy, category), rows in attempts.groupby(["policy", "category"], sort=False):
        counts = _count(rows)
        number = len(counts.scenes)
        low, high = _interval(counts.resampled(_weights(number, samples, seed)), number)
        percent = counts.percent()
        sizes = [int((rows.friction == f).sum()) for f in counts.frictions]
        for i, (friction, size) in enumerate(zip(counts.labels, [*sizes, len(rows)], strict=True)):
            row: dict[str, Any] = {"policy": policy, "category": category, "friction": friction, "attempts": size}
            for m, metric in enumerate(METRICS):
                row |= {metric: percent[m, i], f"{metric}_low": low[m, i], f"{metric}_high": high[m, i]}
            result.append(row | {"scenes": number, "privileged": bool(rows.privileged.any())})
    return pd.DataFrame(result)[SUMMARY_COLUMNS]


def compare(attempts: pd.DataFrame, baseline: str, samples: int = 2000, seed: int = 0) -> pd.DataFrame:
    """Compares every other policy with one of them, paired: on the same scenes and frictions.

    Args:
        attempts: Rows of ``run_benchmark`` of at least two policies.
        baseline: The policy that the others are compared with.
        samples: Resamples of the bootstrap.
        seed: Of the bootstrap.

    Returns:
        Columns ``policy, baseline, category, friction``, for SR, PC and AP each ``_difference`` (policy
        minus baseline, percentage points), ``_low, _high`` (95 % bounds of a bootstrap over scenes that
        draws both policies' attempts together) and ``_p`` (share of the resamples in which the policy
        is no better, a one-sided bootstrap p), and ``scenes``. Bounds and p are NaN with one scene.

    Raises:
        InputError: ``baseline`` is unknown or alone, or another policy ran on other categories, scenes,
            objects or frictions.
    """
    _check(attempts)
    names = list(dict.fromkeys(attempts.policy))
    if baseline not in names:
        raise InputError(f"there is no policy '{baseline}' to compare with; choose one of {', '.join(names)}")
    if len(names) == 1:
        raise InputError(f"'{baseline}' is the only policy measured; measure another to compare it with")
    base = attempts[attempts.policy == baseline]
    result: list[dict[str, Any]] = []
    for name in (n for n in names if n != baseline):
        rows = attempts[attempts.policy == name]
        _check_paired(rows, base, name, baseline)
        for category, part in rows.groupby("category", sort=False):
            head = {"policy": name, "baseline": baseline, "category": category}
            pair = _count(part), _count(base[base.category == category])
            result.extend({**head, **row} for row in _differences(*pair, samples, seed))
    return pd.DataFrame(result)[COMPARISON_COLUMNS]


def _differences(ours: _Counts, theirs: _Counts, samples: int, seed: int) -> list[dict[str, Any]]:
    """Returns one row per friction, and the mean's: ours minus theirs."""
    number = len(ours.scenes)
    weights = _weights(number, samples, seed)
    drawn = ours.resampled(weights) - theirs.resampled(weights)
    difference = ours.percent() - theirs.percent()
    low, high = _interval(drawn, number)
    known = (~np.isnan(drawn)).sum(axis=0)
    with np.errstate(invalid="ignore"):
        share = np.where(number > 1, (drawn <= 0).sum(axis=0) / known, np.nan)
    rows = []
    for i, friction in enumerate(ours.labels):
        row: dict[str, Any] = {"friction": friction, "scenes": number}
        for m, metric in enumerate(METRICS):
            values = {"difference": difference, "low": low, "high": high, "p": share}
            row |= {f"{metric}_{end}": value[m, i] for end, value in values.items()}
        rows.append(row)
    return rows


def _check_paired(rows: pd.DataFrame, base: pd.DataFrame, name: str, baseline: str) -> None:
    """Raises InputError where two policies did not run on the same scenes and frictions."""
    keys = ["category", "scene", "friction"]
    ours, theirs = (r.groupby(keys).objects.first() for r in (rows, base))
    for key in keys:
        only = set(rows[key].unique()) ^ set(base[key].unique())
        if only:
            some = ", ".join(str(v) for v in sorted(only)[:5])
            raise InputError(
                f"'{name}' and '{baseline}' cannot be compared: only one of them ran on {key} {some}; "
                "measure both on the same scenes and frictions"
            )
    if not ours.index.equals(theirs.index) or not ours.eq(theirs).all():
        raise InputError(
            f"'{name}' and '{baseline}' cannot be compared: their scenes differ in number, objects or frictions; "
            "measure both on the same scenes and frictions"
        )


def count_reasons(attempts: pd.DataFrame) -> pd.DataFrame:
    """Returns how attempts ended, per policy, category and protocol.

    Args:
        attempts: Rows of ``run_benchmark``.

    Returns:
        Columns ``policy, category, protocol, reason, count, share``: ``reason`` "success" or the reason
        of failure, whatever a policy raised as "policy raised"; ``share`` in percent of the attempts of
        that policy, category and protocol; most frequent first.
    """
    _check(attempts)
    # A policy's own messages (numbers, file names) would give every failure a line of its own.
    reason = attempts.reason.mask(attempts.reason.str.startswith("policy raised"), "policy raised")
    named = attempts.assign(reason=reason.mask(attempts.success.astype(bool), "success"))
    result: list[list[Any]] = []
    for key, rows in named.groupby(["policy", "category", "protocol"], sort=False):
        counts = sorted(rows.reason.value_counts().items(), key=lambda pair: (-pair[1], str(pair[0])))
        result.extend([*key, name, count, 100 * count / len(rows)] for name, count in counts)
    return pd.DataFrame(result, columns=["policy", "category", "protocol", "reason", "count", "share"])


def plot_frictions(attempts: pd.DataFrame, path: str | Path, samples: int = 2000, seed: int = 0) -> Path:
    """Draws Fig. 10: SR, PC and AP over friction, a row of three panels a category, a line a policy.

    Args:
        attempts: Rows of ``run_benchmark``.
        path: Where the picture goes; its suffix says which format.
        samples: Resamples of the bootstrap behind the bands.
        seed: Of the bootstrap.

    Returns:
        The path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    friction_figure(summarise(attempts, samples, seed)).savefig(path, dpi=110)
    return path


def friction_figure(summary: pd.DataFrame) -> Figure:
    """Returns Fig. 10 of a table of ``summarise``: bands are 95 % intervals, privileged policies dashed."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = summary[summary.friction != "mean"]
    categories, policies = list(dict.fromkeys(shown.category)), list(dict.fromkeys(shown.policy))
    columns = min(6, len(policies))
    # The legend has lines of its own above the panels, so that it never covers a curve.
    legend_height = 0.3 * -(-len(policies) // columns) + 0.15
    height = 2.9 * len(categories) + legend_height
    figure = Figure(figsize=(11, height), layout="constrained")
    FigureCanvasAgg(figure)
    grid: Any = figure.subplots(len(categories), len(METRICS), sharex=True, sharey=True, squeeze=False)
    for row, category in zip(grid, categories, strict=True):
        for axes, metric in zip(row, METRICS, strict=True):
            for number, policy in enumerate(policies):
                rows = shown[(shown.category == category) & (shown.policy == policy)]
                if len(rows):
                    _draw_line(axes, rows, metric, number)
            axes.set_title(f"{category}: {_NAMES[metric]}", fontsize=10)
            axes.set_ylim(-2, 102)
            axes.grid(alpha=0.3)
    for axes in grid[-1]:
        axes.set_xlabel("friction of the fingertips")
        axes.set_xticks(sorted({float(f) for f in shown.friction}))
    lines = {line.get_label(): line for axes in grid.flat for line in axes.lines}
    figure.legend(lines.values(), lines.keys(), loc="outside upper center", ncols=columns, fontsize=10, frameon=False)
    return figure


def _draw_line(axes: Axes, rows: pd.DataFrame, metric: str, number: int) -> None:
    """Draws one policy's curve with its band; a single friction's band is a bar."""
    rows = rows.assign(friction=rows.friction.astype(float)).sort_values("friction")
    privileged = bool(rows.privileged.any())
    colour = _COLOURS[number % len(_COLOURS)]
    style: dict[str, Any] = {"color": colour, "marker": _MARKERS[number % len(_MARKERS)], "markersize": 5}
    label = f"{rows.policy.iloc[0]}{' (privileged)' if privileged else ''}"
    axes.plot(rows.friction, rows[metric], label=label, linestyle="--" if privileged else "-", **style)
    low, high = rows[f"{metric}_low"], rows[f"{metric}_high"]
    if len(rows) > 1:
        axes.fill_between(rows.friction, low, high, color=colour, alpha=0.18, linewidth=0)
    else:
        axes.vlines(rows.friction, low, high, color=colour, alpha=0.5)
