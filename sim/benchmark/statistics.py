"""What a table of attempts says: SR, PC and AP with their intervals, paired comparisons, reasons.

SR = successes / attempts while the scene is cleared, pooled over scenes. PC = objects lifted / objects present at the
start. AP = successes / ranked grasps; a missing grasp is a failure. Each is taken per category and friction, then
averaged over the frictions. Intervals resample scenes and take a drawn scene's attempts at all frictions together.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sim.benchmark.attempt_table import check_attempts, endings
from sim.benchmark.bootstrap import SAMPLES, interval, scene_weights
from sim.benchmark.provenance import check_same_origin
from sim.errors import InputError

FloatArray = NDArray[np.float64]

METRICS = ("SR", "PC", "AP")
_BOUNDS = [f"{metric}_{end}" for metric in METRICS for end in ("low", "high")]
SUMMARY_COLUMNS = ["policy", "category", "friction", *METRICS, "attempts", *_BOUNDS, "scenes", "privileged"]
COMPARISON_COLUMNS = [
    *("policy", "baseline", "category", "friction"),
    *(f"{metric}{end}" for metric in METRICS for end in ("_difference", "_low", "_high", "_p")),
    "scenes",
]


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


def _count(rows: pd.DataFrame) -> _Counts:
    """Counts the rows of one policy and category."""
    scenes, frictions = sorted(rows.scene.unique()), sorted(rows.friction.unique())
    keys = ["scene", "friction"]
    cells = pd.MultiIndex.from_product([scenes, frictions], names=keys)
    clear, rank = rows[rows.protocol == "clear"].groupby(keys), rows[rows.protocol == "rank"].groupby(keys)

    def table(series: pd.Series) -> FloatArray:
        counts = series.reindex(cells, fill_value=0).to_numpy(np.float64)
        return counts.reshape(len(scenes), len(frictions))

    present = rows.groupby(keys).objects.first()[clear.size().index]  # where nothing was cleared, PC is unknown
    hits = [table(s) for s in (clear.success.sum(), clear.lifted.sum(), rank.success.sum())]
    totals = [table(s) for s in (clear.size(), present, rank.size())]
    return _Counts(np.stack(hits), np.stack(totals), [int(s) for s in scenes], [float(f) for f in frictions])


def summarise(attempts: pd.DataFrame, samples: int = SAMPLES, seed: int = 0) -> pd.DataFrame:
    """Returns SR, PC and AP in percent, per policy, category and friction, and their means: Table II.

    Args:
        attempts: Rows of ``run_benchmark``, of one or more policies.
        samples: Number of resamples of the bootstrap.
        seed: Seed of the bootstrap.

    Returns:
        Columns ``policy, category, friction, SR, PC, AP, attempts, SR_low, SR_high, PC_low, PC_high,
        AP_low, AP_high, scenes, privileged``; ``friction`` is text, "mean" for the average over the
        frictions. SR = successes / attempts, pooled over scenes; PC = objects lifted / objects present
        at the start; AP = successes / grasps that AP looks at. ``_low`` and ``_high`` are the 95 %
        bounds of a percentile bootstrap over scenes, those of "mean" with each resample's scenes kept
        over all frictions; NaN with one scene. ``privileged``: it saw more than the camera.

    Raises:
        InputError: The table is empty, lacks columns, holds an attempt twice, or not every scene of a policy and
            category was measured at the same frictions.
    """
    check_attempts(attempts)
    result = []
    for (policy, category), rows in attempts.groupby(["policy", "category"], sort=False):
        _check_frictions(rows)
        counts = _count(rows)
        number = len(counts.scenes)
        low, high = interval(counts.resampled(scene_weights(number, samples, seed=[seed, number])), number)
        percent = counts.percent()
        sizes = [int((rows.friction == f).sum()) for f in counts.frictions]
        for i, (friction, size) in enumerate(zip(counts.labels, [*sizes, len(rows)], strict=True)):
            row: dict[str, Any] = {"policy": policy, "category": category, "friction": friction, "attempts": size}
            for m, metric in enumerate(METRICS):
                row |= {metric: percent[m, i], f"{metric}_low": low[m, i], f"{metric}_high": high[m, i]}
            result.append(row | {"scenes": number, "privileged": bool(rows.privileged.any())})
    return pd.DataFrame(result)[SUMMARY_COLUMNS]


def _check_frictions(rows: pd.DataFrame) -> None:
    """Raises InputError where a scene of one policy and category lacks a friction that another has.

    The mean over the frictions would be one over other scenes at each, and so would its interval.
    """
    cells = pd.crosstab(rows.scene, rows.friction) > 0
    if not cells.to_numpy().all():
        scene = cells.index[~cells.all(axis=1)][0]
        head = rows.iloc[0]
        raise InputError(
            f"'{head.policy}' was not measured at the same frictions in every scene of '{head.category}': scene "
            f"{scene} lacks {', '.join(f'{f:g}' for f in cells.columns[~cells.loc[scene]])}; take the scenes or "
            "frictions that are complete, or measure the rest"
        )


def compare(attempts: pd.DataFrame, baseline: str, samples: int = SAMPLES, *, seed: int = 0) -> pd.DataFrame:
    """Compares every other policy with one of them, paired: on the same scenes and frictions.

    Args:
        attempts: Rows of ``run_benchmark`` of at least two policies.
        baseline: The policy that the others are compared with.
        samples: Number of resamples of the bootstrap.
        seed: Seed of the bootstrap.

    Returns:
        Columns ``policy, baseline, category, friction``, for SR, PC and AP each ``_difference`` (policy
        minus baseline, percentage points), ``_low, _high`` (95 % bounds of a bootstrap over scenes that
        draws both policies' attempts together) and ``_p`` (share of the resamples in which the policy
        is no better, a one-sided bootstrap p), and ``scenes``. Bounds and p are NaN with one scene.

    Raises:
        InputError: ``baseline`` is unknown or alone, or another policy ran on other categories, scenes,
            objects or frictions, or by other rules, as far as the tables remember it.
    """
    check_attempts(attempts)
    names = list(dict.fromkeys(attempts.policy))
    if baseline not in names:
        raise InputError(f"there is no policy '{baseline}' to compare with; choose one of {', '.join(names)}")
    if len(names) == 1:
        raise InputError(f"'{baseline}' is the only policy measured; measure another to compare it with")
    base = attempts[attempts.policy == baseline]
    result: list[dict[str, Any]] = []
    for name in (n for n in names if n != baseline):
        rows = attempts[attempts.policy == name]
        _check_paired(rows, base, (name, baseline))
        check_same_origin(attempts, (name, baseline))
        for category, part in rows.groupby("category", sort=False):
            head = {"policy": name, "baseline": baseline, "category": category}
            pair = _count(part), _count(base[base.category == category])
            result.extend({**head, **row} for row in _differences(*pair, samples, seed=seed))
    return pd.DataFrame(result)[COMPARISON_COLUMNS]


def _differences(ours: _Counts, theirs: _Counts, samples: int, *, seed: int) -> list[dict[str, Any]]:
    """Returns one row per friction, and the mean's: ours minus theirs."""
    number = len(ours.scenes)
    weights = scene_weights(number, samples, seed=[seed, number])
    drawn = ours.resampled(weights) - theirs.resampled(weights)
    difference = ours.percent() - theirs.percent()
    low, high = interval(drawn, number)
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


def _check_paired(rows: pd.DataFrame, base: pd.DataFrame, names: tuple[str, str]) -> None:
    """Raises InputError where two policies did not run on the same scenes and frictions."""
    name, baseline = names
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
    check_attempts(attempts)
    named = attempts.assign(reason=endings(attempts))
    result: list[list[Any]] = []
    for key, rows in named.groupby(["policy", "category", "protocol"], sort=False):
        counts = sorted(rows.reason.value_counts().items(), key=lambda pair: (-pair[1], str(pair[0])))
        result.extend([*key, name, count, 100 * count / len(rows)] for name, count in counts)
    return pd.DataFrame(result, columns=["policy", "category", "protocol", "reason", "count", "share"])
