"""The report's tables: this project's runs in the shape of Tables II, III and IV, the paper's numbers beside them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from plgp import costs
from plgp.evaluation.paper_tables import CATEGORIES, METRICS, TABLE_II, TABLE_III, TABLE_IV, Scores
from plgp.evaluation.runs import TRAINED, Gathered, Results, Run

MODALITIES = {"depth": "depth", "rgb": "RGB", "rgbd": "RGB-D"}
_ROWS = [(False, False), (True, False), (False, True), (True, True)]  # Table III: enhancement, focal loss


@dataclass(frozen=True)
class Section:
    """One table of the report.

    Attributes:
        name: Of its CSV file.
        title: Heading.
        note: What its numbers are.
        heads: Column heads.
        rows: Cells as text; the paper's rows start with "paper".
        data: The same numbers for a CSV, in percent, unrounded.
    """

    name: str
    title: str
    note: str
    heads: list[str]
    rows: list[list[str]]
    data: pd.DataFrame


@dataclass(frozen=True)
class _Entry:
    """One measured network: where, how, its rows of means by category."""

    network: str
    modality: str
    label: str
    seed: int | None  # None: measured by plgp.benchmark, which knows no training
    parameters: int | None
    macs: int | None
    means: pd.DataFrame
    frictions: str
    source: str
    settings: str = ""


def table_ii(found: Gathered, ablation: str = "") -> Section:
    """Returns Table II's shape: a row a network, input and recipe, and below those of one the paper's row.

    Runs count as seeds of one row where their settings and the benchmark's frictions are the same.

    Args:
        found: The runs and results.
        ablation: W&B group or tag of runs that are left to Table III.
    """
    groups = _grouped(_entries(found, ablation))
    order = {name: i for i, name in enumerate(costs.PAPER)}
    rows: list[list[str]] = []
    data: list[dict[str, object]] = []
    keys = sorted(groups, key=lambda k: (order.get(k[0], len(order)), list(MODALITIES).index(k[1]), k[2]))
    for number, key in enumerate(keys):
        entries = groups[key]
        records = [_network_record(key, entries, c) for c in CATEGORIES]
        data += [r for r in records if r["runs"]]
        rows.append(_network_row(key, entries, records))
        if key[:2] in TABLE_II and [k[:2] for k in keys[number + 1 : number + 2]] != [key[:2]]:
            rows.append(_paper_row(key[0], key[1]))
    heads = ["network", "input", "run", "parameters", "GMAC", *CATEGORIES, "frictions; scenes"]
    note = (
        "SR / PC / AP in percent, mean over the frictions named; in brackets the 95 % interval over scenes of one run, "
        "or ± the standard deviation over seeds. GMAC: true multiply-adds of a 224x224 image; the paper's "
        "GFLOPs are thop's (see plgp.costs). The paper: its own objects and gripper, frictions 0.2 to 1.0, "
        "80 scenes a category."
    )
    return Section("table2", "Networks (the paper's Table II)", note, heads, rows, pd.DataFrame(data))


def _grouped(entries: Sequence[_Entry]) -> dict[tuple[str, str, str], list[_Entry]]:
    """Returns the entries of each row, by network, input and label; the folder tells equal labels apart."""
    alike: dict[tuple[str, str, str], dict[tuple[str, str], list[_Entry]]] = {}
    for entry in entries:
        key = (entry.network, entry.modality, entry.label)
        alike.setdefault(key, {}).setdefault((entry.settings, entry.frictions), []).append(entry)
    groups: dict[tuple[str, str, str], list[_Entry]] = {}
    for key, variants in alike.items():
        for some in variants.values():
            label = key[2] if len(variants) == 1 else f"{key[2]} in {some[0].source}"
            groups.setdefault((*key[:2], label), []).extend(some)
    return groups


def _entries(found: Gathered, ablation: str) -> list[_Entry]:
    """Returns every measurement of a trained network: at the end of a run, or by plgp.benchmark."""
    entries = []
    trainings = {run.folder for run in found.runs}
    for run in found.runs:
        if run.results is None or not len(run.results.of(TRAINED)) or ablation in run.groups:
            continue
        parameters, macs = _cost(run.network, run.modality, run.results)
        label = ", ".join(p for p in (run.name, run.recipe()) if p)
        means, frictions = run.results.of(TRAINED), run.results.frictions(TRAINED)
        known = (run.network, run.modality, label, run.seed, parameters, macs, means, frictions, str(run.folder))
        entries.append(_Entry(*known, run.settings()))
    for results in (r for r in found.results if r.folder not in trainings):
        for policy, about in results.policies.items():
            if _is_trained(policy, results):
                network, modality = str(about["network"]), str(about["modality"])
                parameters, macs = _cost(network, modality, results, policy)
                label, frictions = f"{policy} in {results.folder.name}", results.frictions(policy)
                means, source = results.of(policy), str(results.folder)
                entries.append(_Entry(network, modality, label, None, parameters, macs, means, frictions, source))
    return entries


def _is_trained(policy: str, results: Results) -> bool:
    """Returns whether a policy is a network whose row belongs in Table II: on its scenes, not the untrained control."""
    known = {"network", "modality"} <= set(results.policies.get(policy) or {})
    return known and not policy.startswith("untrained") and bool(results.of(policy).index.isin(CATEGORIES).any())


def _cost(network: str, modality: str, results: Results, policy: str = TRAINED) -> tuple[int | None, int | None]:
    """Returns parameters and multiply-adds at 224x224, None where nothing tells them."""
    if network in costs.PAPER:
        cost = costs.measure(network, list(costs.INPUTS.values())[list(MODALITIES).index(modality)])
        return cost.parameters, cost.macs
    about = results.policies.get(policy) or {}
    return about.get("parameters"), about.get("macs")


def _network_record(key: tuple[str, str, str], entries: Sequence[_Entry], category: str) -> dict[str, object]:
    """Returns one line of table2.csv."""
    there = [e for e in entries if category in e.means.index]
    record: dict[str, object] = dict(zip(("network", "modality", "run"), key, strict=True))
    record |= {
        "category": category,
        "runs": len(there),
        "seeds": " ".join(str(e.seed) for e in there if e.seed is not None),
    }
    record |= {"parameters": entries[0].parameters, "macs": entries[0].macs}
    for metric in METRICS:
        by_seed: dict[int | None, list[float]] = {}
        for e in there:
            by_seed.setdefault(e.seed, []).append(float(e.means[metric][category]))
        values = [_mean(some) for some in by_seed.values()]
        record |= {metric: _mean(values), f"{metric}_sd": _spread(values)}
        for end in ("low", "high"):
            record[f"{metric}_{end}"] = (
                float(there[0].means[f"{metric}_{end}"][category]) if len(there) == 1 else math.nan
            )
    printed = TABLE_II.get(key[:2], {}).get(category)
    record |= {f"paper_{m}": getattr(printed, m) if printed else math.nan for m in METRICS}
    record["scenes"] = min((int(e.means["scenes"][category]) for e in there), default=0)
    record["frictions"] = there[0].frictions if there else ""
    record["source"] = " ".join(e.source for e in there)
    return record


def _network_row(key: tuple[str, str, str], entries: Sequence[_Entry], records: list[dict[str, object]]) -> list[str]:
    first = entries[0]
    seeds = "" if len(entries) == 1 else f" ({len(entries)} runs)"
    cost = f"{first.parameters:,}" if first.parameters else "-", f"{first.macs / 1e9:.2f}" if first.macs else "-"
    measured = [r for r in records if r["runs"]]
    scenes = {str(r["category"]): int(str(r["scenes"])) for r in measured}
    about = f"{first.frictions}; {_scene_counts(scenes)}" if measured else "-"
    title = costs.PAPER[key[0]].title if key[0] in costs.PAPER else key[0]
    return [title, MODALITIES[key[1]], key[2] + seeds, *cost, *(_cell(r) for r in records), about]


def _scene_counts(scenes: dict[str, int]) -> str:
    """Returns how many scenes there were: one number where it is the same in every category."""
    if len(set(scenes.values())) == 1:
        return str(next(iter(scenes.values())))
    return ", ".join(f"{category}: {count}" for category, count in sorted(scenes.items()))


def _paper_row(network: str, modality: str) -> list[str]:
    index = list(MODALITIES).index(modality)
    printed, scores = costs.PAPER[network], TABLE_II[network, modality]
    cost = [f"{printed.parameters[index]} M", printed.flops[index]]
    return [
        "paper",
        MODALITIES[modality],
        "Table II",
        *cost,
        *(_scores(scores[c], 2) for c in CATEGORIES),
        "0.2-1.0; 80",
    ]


def _scores(scores: Scores | None, digits: int = 1) -> str:
    return "-" if scores is None else " / ".join(f"{getattr(scores, m):.{digits}f}" for m in METRICS)


def _cell(record: dict[str, object]) -> str:
    """Returns SR / PC / AP with their spread over seeds, or their intervals over scenes."""
    if not record["runs"]:
        return "-"
    numbers = {name: float(str(record[name])) for name in record if name.startswith(METRICS)}
    text = " / ".join(f"{numbers[m]:.1f}" for m in METRICS)
    if not math.isnan(numbers["AP_sd"]):
        return text + " (± " + " / ".join(f"{numbers[f'{m}_sd']:.1f}" for m in METRICS) + ")"
    if not math.isnan(numbers["AP_low"]):
        return text + " (" + " / ".join(f"{numbers[f'{m}_low']:.0f}-{numbers[f'{m}_high']:.0f}" for m in METRICS) + ")"
    return text


def _mean(values: Sequence[float]) -> float:
    return statistics.fmean(values) if values else math.nan


def _spread(values: Sequence[float]) -> float:
    """Returns the sample standard deviation, NaN of fewer than two values."""
    return statistics.stdev(values) if len(values) > 1 else math.nan


def table_iii(found: Gathered, ablation: str, category: str) -> Section:
    """Returns Table III's shape: enhancement x focal loss, mean over seeds, its spread, differences.

    Networks, inputs, frictions and whatever else two trainings differ in are never averaged: each has its four rows.

    Args:
        found: The runs.
        ablation: W&B group or tag of those that count.
        category: What they were measured on; where not all were, another category that all were measured on counts,
            and where there is none, the benchmark at epoch ends.
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
            printed = _scores(TABLE_III[row], 2), _paper_difference(row)
            rows.append(["paper", "AFFGA-Net", *_marks(row), "", *printed])
    measured = f"the last benchmark, {category}" if final else "the benchmark at epoch ends, best epoch (seen objects)"
    note = (
        f"Measured by {measured}. SR / PC / AP in percent, mean over seeds ± standard deviation; "
        "differences from the first row, of the same seeds where there are such. The paper: AFFGA-Net on novel-15. "
        + " ".join(orders)
        if runs
        else f"No run has the group or tag '{ablation}'."
    )
    heads = ["", "network", "enhance", "BFL", "seeds", "SR / PC / AP", "difference from the baseline"]
    return Section(
        "table3", "Enhancement and focal loss (the paper's Table III)", note, heads, rows, pd.DataFrame(data)
    )


_Groups = dict[tuple[bool, bool], list[tuple[Run, Scores]]]


def _ablations(scored: Sequence[tuple[Run, Scores | None]], final: bool) -> dict[str, list[tuple[Run, Scores]]]:
    """Returns the scored runs that differ in nothing but seed, enhancement and focal loss, by their network."""
    alike: dict[tuple[str, str, str], list[tuple[Run, Scores]]] = {}
    for run, scores in scored:
        if scores is not None:
            frictions = run.results.frictions(TRAINED) if final and run.results is not None else ""
            net = f"{run.network} {MODALITIES[run.modality]}"
            alike.setdefault((net, frictions, run.settings(ablated=True)), []).append((run, scores))
    names = [net for net, _, _ in alike]
    return {
        net if names.count(net) == 1 else f"{net} ({some[0][0].folder} ...)": some
        for (net, _, _), some in alike.items()
    }


def _values(group: Sequence[tuple[Run, Scores]], metric: str) -> dict[int, float]:
    """Returns a metric by seed; runs of one seed are averaged."""
    by_seed: dict[int, list[float]] = {}
    for run, scores in group:
        by_seed.setdefault(run.seed, []).append(getattr(scores, metric))
    return {seed: _mean(values) for seed, values in by_seed.items()}


def _ablation_record(row: tuple[bool, bool], groups: _Groups) -> dict[str, object]:
    """Returns one line of table3.csv."""
    record: dict[str, object] = {"enhance": row[0], "focal": row[1], "runs": len(groups[row])}
    record["seeds"] = " ".join(str(s) for s in sorted({r.seed for r, _ in groups[row]}))
    for metric in METRICS:
        ours, base = _values(groups[row], metric), _values(groups[_ROWS[0]], metric)
        shared = sorted(set(ours) & set(base))
        paired = [ours[s] - base[s] for s in shared]
        difference = _mean(paired) if paired else _mean([*ours.values()]) - _mean([*base.values()])
        record |= {metric: _mean([*ours.values()]), f"{metric}_sd": _spread([*ours.values()])}
        record |= {f"{metric}_difference": difference, f"{metric}_difference_sd": _spread(paired)}
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
    return ["ours", str(record["network"]), *_marks(row), str(record["seeds"]), " / ".join(cells), difference]


def _marks(row: tuple[bool, bool]) -> list[str]:
    return ["yes" if on else "no" for on in row]


def _paper_difference(row: tuple[bool, bool]) -> str:
    if row == _ROWS[0]:
        return "-"
    base = TABLE_III[_ROWS[0]]
    return " / ".join(f"{getattr(TABLE_III[row], m) - getattr(base, m):+.2f}" for m in METRICS)


def _order(groups: _Groups) -> str:
    """Returns whether the paper's order of APs holds, as a sentence."""
    means = {row: _mean([*_values(group, "AP").values()]) for row, group in groups.items() if group}
    if len(means) < len(_ROWS):
        return f"{len(means)} of the four rows were measured."
    base, enhance, focal, both = (means[row] for row in _ROWS)
    holds = both > max(enhance, focal) and min(enhance, focal) > base
    verdict = "holds" if holds else "does not hold"
    numbers = f"{base:.1f}, {enhance:.1f} (enhancement), {focal:.1f} (focal loss), {both:.1f} (both)"
    return f"The paper's order on AP (both > either alone > baseline) {verdict}: {numbers}."


def table_iv(found: Gathered) -> Section:
    """Returns Table IV's shape: the methods that were not trained here, controls included, on novel objects."""
    rows: list[list[str]] = []
    data: list[dict[str, object]] = []
    trainings = {run.folder for run in found.runs}
    for results in found.results:
        for policy in dict.fromkeys(results.summary.policy):
            means = results.of(policy)
            if _is_trained(policy, results) or (results.folder in trainings and policy == TRAINED):
                continue
            if not means.index.isin(CATEGORIES).any():  # measured on other scenes alone
                continue
            star = " (privileged)" if bool(means.privileged.any()) else ""
            cells = [
                _cell({"runs": 1, "AP_sd": math.nan, **{str(k): v for k, v in means.loc[c].items()}})
                if c in means.index
                else "-"
                for c in CATEGORIES
            ]
            about = f"{results.frictions(policy)}; {_scene_counts({str(c): int(n) for c, n in means.scenes.items()})}"
            rows.append([f"{policy}{star}", results.folder.name, *cells, about])
            kept = means.reset_index().assign(source=str(results.folder), frictions=results.frictions(policy))
            data += [{str(k): v for k, v in r.items()} for r in kept.drop(columns="friction").to_dict("records")]
    for (method, modality), scores in TABLE_IV.items():
        cells = [_scores(scores.get(c), 2) for c in CATEGORIES]
        rows.append([f"paper: {method}", MODALITIES.get(modality, modality), *cells, "0.2-1.0; 80"])
    heads = ["method", "measured in, or input", *CATEGORIES, "frictions; scenes"]
    note = (
        "SR / PC / AP in percent with the 95 % interval over scenes. The controls (random, constant, untrained) say "
        "what gripper, depth rule and decoder do by themselves; privileged policies see the noiseless scene."
    )
    return Section(
        "methods", "Other methods and controls (the paper's Table IV)", note, heads, rows, pd.DataFrame(data)
    )


def table_of_runs(found: Gathered) -> Section:
    """Returns what was trained: the recipe of each run."""
    heads = ["run", "network", "input", "recipe", "seed", "epochs", "batch", "validation AP", "folder"]
    rows, data = [], []
    for run in found.runs:
        best = run.validation()
        batch = str(run.config.data.get("batch_size", "-"))
        recipe, score = run.recipe() or "the paper's", "-" if best is None else f"{best.AP:.1f}"
        network, numbers = (
            costs.PAPER[run.network].title if run.network in costs.PAPER else run.network,
            (run.seed, run.epochs),
        )
        row = [run.name, network, MODALITIES[run.modality], recipe, *map(str, numbers), batch, score, str(run.folder)]
        rows.append(row)
        data.append(dict(zip(heads, row, strict=True)))
    note = (
        "Recipe: targets and loss, the paper's with enhancement and focal loss unless it says otherwise. "
        "Validation AP: of the benchmark at epoch ends, best epoch."
    )
    return Section("runs", "Trainings", note, heads, rows, pd.DataFrame(data))
