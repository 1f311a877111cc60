"""The report's ablation: enhancement and focal loss, each with and without, as in the paper's Table III."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from plgp.evaluation.notes import sentences
from plgp.evaluation.paper_tables import CATEGORIES, METRICS, TABLE_III, Scores
from plgp.evaluation.report_tables import MODALITIES, Section, mean, scores_text, spread
from plgp.evaluation.runs import TRAINED, Gathered, Run
from sim.benchmark.provenance import same_origin

_ROWS = [(False, False), (True, False), (False, True), (True, True)]  # enhancement, focal loss
_Groups = dict[tuple[bool, bool], list[tuple[Run, Scores]]]


def table_iii(found: Gathered, ablation: str, category: str) -> Section:
    """Returns the ablation in the shape of Table III: means over seeds, their spread, differences from the baseline.

    Networks, inputs, losses but the table's two, frictions and whatever else two trainings differ in are never
    averaged: each has its four rows.

    Args:
        found: Runs and results.
        ablation: W&B group or tag of the runs that count.
        category: Category that the scores are of. Where not all runs were measured on it, a category that all were
            measured on takes its place; where there is none, the benchmark at epoch ends does.
    """
    runs = [r for r in found.runs if ablation in r.groups]
    shared = [c for c in (category, *reversed(CATEGORIES)) if runs and all(r.scores(c) is not None for r in runs)]
    category, final = (shared or [category])[0], bool(shared)
    scored = [(r, r.scores(category) if final else r.validation()) for r in runs]
    rows: list[list[str]] = []
    data: list[dict[str, object]] = []
    orders: list[str] = []
    for net, some in _ablations(scored, final).items():
        groups: _Groups = {row: [(r, s) for r, s in some if (r.enhance, r.focal) == row] for row in _ROWS}
        orders.append(f"{net}: {_order(groups)}")
        for row in (r for r in _ROWS if groups[r]):
            record = {"network": net, **_ablation_record(row, groups)}
            data.append({**record, "measured_on": category if final else "validation"})
            rows.append(_ablation_row(row, record))
            printed = scores_text(TABLE_III[row], 2), _paper_difference(row)
            rows.append(["paper", "AFFGA-Net", *_marks(row), "", *printed])
    measured = f"the last benchmark, {category}" if final else "the benchmark at epoch ends, best epoch (seen objects)"
    note = (
        f"Measured by {measured}. SR / PC / AP in percent, mean over seeds ± standard deviation; "
        "differences from the first row, of the same seeds where there are such. The paper: AFFGA-Net on novel-15. "
        + " ".join(orders)
        + "".join(sentences(f"{run.name} ({run.folder})", run.notes, [category]) for run in runs if final)
        if runs
        else f"No run has the group or tag '{ablation}'."
    )
    heads = ["", "network", "enhance", "BFL", "seeds", "SR / PC / AP", "difference from the baseline"]
    nothing: _Groups = {row: [] for row in _ROWS}  # a table without rows has its heads, too
    columns = ["network", *_ablation_record(_ROWS[0], nothing), "measured_on"]
    table = pd.DataFrame(data, columns=columns)
    return Section("table3", "Enhancement and focal loss (the paper's Table III)", note, heads, rows, table)


def _ablations(scored: Sequence[tuple[Run, Scores | None]], final: bool) -> dict[str, list[tuple[Run, Scores]]]:
    """Returns the scored runs that differ in nothing but seed, enhancement and focal loss, by their network.

    Another loss than the table's two, and the focal loss of another alpha or gamma, is an ablation of its own.
    """
    alike: list[tuple[tuple[str, str, str], list[tuple[Run, Scores]]]] = []
    for run, scores in scored:
        if scores is not None:
            frictions = run.results.frictions(TRAINED) if final and run.results is not None else ""
            key = (f"{run.network} {MODALITIES[run.modality]}{run.other_loss}", frictions, run.settings(ablated=True))
            groups = (some for other, some in alike if other == key)
            fitting = (some for some in groups if not final or same_origin(run.origin, some[0][0].origin))
            some = next(fitting, None)
            if some is None:
                alike.append((key, [(run, scores)]))
            else:
                some.append((run, scores))
    names = [net for (net, *_), _ in alike]
    return {net if names.count(net) == 1 else f"{net} ({some[0][0].folder} ...)": some for (net, *_), some in alike}


def _values(group: Sequence[tuple[Run, Scores]], metric: str) -> dict[int, float]:
    """Returns a metric by seed; runs of one seed are averaged."""
    by_seed: dict[int, list[float]] = {}
    for run, scores in group:
        by_seed.setdefault(run.seed, []).append(getattr(scores, metric))
    return {seed: mean(values) for seed, values in by_seed.items()}


def _ablation_record(row: tuple[bool, bool], groups: _Groups) -> dict[str, object]:
    """Returns one line of table3.csv."""
    record: dict[str, object] = {"enhance": row[0], "focal": row[1], "runs": len(groups[row])}
    record["seeds"] = " ".join(str(s) for s in sorted({r.seed for r, _ in groups[row]}))
    for metric in METRICS:
        ours, base = _values(groups[row], metric), _values(groups[_ROWS[0]], metric)
        shared = sorted(set(ours) & set(base))
        paired = [ours[s] - base[s] for s in shared]
        difference = mean(paired) if paired else mean([*ours.values()]) - mean([*base.values()])
        record |= {metric: mean([*ours.values()]), f"{metric}_sd": spread([*ours.values()])}
        record |= {f"{metric}_difference": difference, f"{metric}_difference_sd": spread(paired)}
        record[f"paper_{metric}"] = getattr(TABLE_III[row], metric)
    return record


def _ablation_row(row: tuple[bool, bool], record: dict[str, object]) -> list[str]:
    cells = []
    for metric in METRICS:
        spread = float(str(record[f"{metric}_sd"]))
        cells.append(f"{record[metric]:.1f}" + ("" if math.isnan(spread) else f" ± {spread:.1f}"))
    apart = [float(str(record[f"{m}_difference"])) for m in METRICS]
    known = row != _ROWS[0] and not math.isnan(apart[0])
    difference = " / ".join(f"{d:+.1f}" for d in apart) if known else "-"
    seeds, runs = str(record["seeds"]), int(str(record["runs"]))
    seeds += f" ({runs} runs)" if runs != len(seeds.split()) else ""
    return ["ours", str(record["network"]), *_marks(row), seeds, " / ".join(cells), difference]


def _marks(row: tuple[bool, bool]) -> list[str]:
    return ["yes" if on else "no" for on in row]


def _paper_difference(row: tuple[bool, bool]) -> str:
    if row == _ROWS[0]:
        return "-"
    base = TABLE_III[_ROWS[0]]
    return " / ".join(f"{getattr(TABLE_III[row], m) - getattr(base, m):+.2f}" for m in METRICS)


def _order(groups: _Groups) -> str:
    """Returns whether the paper's order of APs holds, as a sentence."""
    means = {row: mean([*_values(group, "AP").values()]) for row, group in groups.items() if group}
    if len(means) < len(_ROWS):
        return f"{len(means)} of the four rows were measured."
    base, enhance, focal, both = (means[row] for row in _ROWS)
    holds = both > max(enhance, focal) and min(enhance, focal) > base
    verdict = "holds" if holds else "does not hold"
    numbers = f"{base:.1f}, {enhance:.1f} (enhancement), {focal:.1f} (focal loss), {both:.1f} (both)"
    return f"The paper's order on AP (both > either alone > baseline) {verdict}: {numbers}."
