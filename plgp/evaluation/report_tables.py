"""The report's tables: this project's runs in the shape of Tables II and IV, the paper's numbers beside them.

Table III is in ``plgp.evaluation.ablation_table``.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from plgp.evaluation.notes import sentences
from plgp.evaluation.paper_tables import CATEGORIES, COSTS, INPUTS, METRICS, TABLE_II, TABLE_IV, Scores
from plgp.evaluation.runs import TRAINED, Gathered, Results, Run
from plgp.runs.names import choices_in_words
from plgp.runs.what_was_trained import resumed_from
from sim.benchmark.provenance import same_origin
from sim.benchmark.statistics import SUMMARY_COLUMNS

MODALITIES = {"depth": "depth", "rgb": "RGB", "rgbd": "RGB-D"}


@dataclass(frozen=True)
class Section:
    """One table of the report.

    Attributes:
        name: Name of its CSV file, without the suffix.
        title: Heading of the table.
        note: Sentences that say what the numbers are.
        heads: Heads of the columns.
        rows: Cells as text, a list a row; the paper's rows start with "paper".
        data: Same numbers for a CSV, in percent, unrounded.
    """

    name: str
    title: str
    note: str
    heads: list[str]
    rows: list[list[str]]
    data: pd.DataFrame


@dataclass(frozen=True)
class _Entry:
    """One measurement of a trained network.

    Attributes:
        network: Class of the network.
        modality: Input of the network: "depth", "rgb" or "rgbd".
        name: Name of the measurement.
        seed: Seed of the training; None where plgp.benchmark measured a checkpoint, which knows no training.
        parameters: Number of parameters, None if unknown.
        macs: Multiply-adds of a 224x224 image, None if unknown.
        means: Means over the frictions, indexed by category.
        frictions: Frictions that the means are over, with commas between.
        source: Folder of the measurement.
        settings: What was trained, as text; runs of one text are seeds of one row.
        origin: Where it was measured, by category.
        notes: What a reader of the scores has to know, by category.
        recipe: How the training differs from the paper's; see ``Run.recipe``.
        choices: What the training has of what its multirun varies, by key.
    """

    network: str
    modality: str
    name: str
    seed: int | None
    parameters: int | None
    macs: int | None
    means: pd.DataFrame
    frictions: str
    source: str
    settings: str = ""
    origin: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    recipe: str = ""
    choices: Mapping[str, Any] = field(default_factory=dict)


_NOTHING = _Entry("", "", "", None, None, None, pd.DataFrame(), "", "")


def table_ii(found: Gathered, ablation: str = "") -> Section:
    """Returns the networks in the shape of Table II.

    There is a row for each network, input and recipe. The paper's row stands below those of its network and input.
    Runs count as seeds of one row where their settings, the benchmark's frictions, scenes and rules are the same.

    Args:
        found: Runs and results.
        ablation: W&B group or tag of the runs that are left to Table III.
    """
    groups = _grouped(_entries(found, ablation))
    order = {name: i for i, name in enumerate(COSTS)}
    notes = ""
    rows: list[list[str]] = []
    data: list[dict[str, object]] = []
    keys = sorted(groups, key=lambda k: (order.get(k[0], len(order)), list(MODALITIES).index(k[1]), k[2]))
    for number, key in enumerate(keys):
        entries = groups[key]
        records = [_network_record(key, entries, c) for c in CATEGORIES]
        data += [r for r in records if r["runs"]]
        rows.append(_network_row(key, entries, records))
        notes += "".join(sentences(f"{key[2]} ({e.source})", e.notes, CATEGORIES) for e in entries)
        if key[:2] in TABLE_II and [k[:2] for k in keys[number + 1 : number + 2]] != [key[:2]]:
            rows.append(_paper_row(key[0], key[1]))
    heads = ["network", "input", "run", "parameters", "GMAC", *CATEGORIES, "frictions; scenes"]
    note = (
        "SR / PC / AP in percent, mean over the frictions named; in brackets the 95 % interval over scenes of one run, "
        "or ± the standard deviation over seeds. GMAC: true multiply-adds of a 224x224 image; the paper's "
        "GFLOPs are thop's (see plgp.costs). The paper: its own objects and gripper, frictions 0.2 to 1.0, "
        "80 scenes a category." + notes
    )
    if not rows:
        unmeasured = len([run for run in found.runs if ablation not in run.groups])
        note = f"No run was measured at its end ({unmeasured} trained): train with final_benchmark=demo or paper."
    columns = list(_network_record(("", "", ""), [_NOTHING], CATEGORIES[0]))  # a table without rows has its heads, too
    return Section("table2", "Networks (the paper's Table II)", note, heads, rows, pd.DataFrame(data, columns=columns))


def _grouped(entries: Sequence[_Entry]) -> dict[tuple[str, str, str], list[_Entry]]:
    """Returns the entries of each row by network, input and label. Equal labels are told apart by the folder."""
    rows: list[list[_Entry]] = []
    for entry in entries:
        some = next((row for row in rows if all(_seeds_of_one_row(entry, other) for other in row)), None)
        if some is None:
            rows.append([entry])
        else:
            some.append(entry)
    keys = [(row[0].network, row[0].modality, _label(row)) for row in rows]
    groups: dict[tuple[str, str, str], list[_Entry]] = {}
    for key, row in zip(keys, rows, strict=True):
        label = key[2] if keys.count(key) == 1 else f"{key[2]} in {row[0].source}"
        groups.setdefault((*key[:2], label), []).extend(row)
    return groups


def _label(row: Sequence[_Entry]) -> str:
    """Returns what a row is called: its name, what all its entries have of what their multiruns vary, its recipe."""
    first = row[0]
    shared = {k: v for k, v in first.choices.items() if all(e.choices.get(k) == v for e in row)}
    name = " ".join(part for part in (first.name, choices_in_words(shared)) if part)
    return ", ".join(part for part in (name, first.recipe) if part)


def _seeds_of_one_row(one: _Entry, other: _Entry) -> bool:
    first, second = ((e.network, e.modality, e.name, e.recipe, e.settings, e.frictions) for e in (one, other))
    return first == second and same_origin(one.origin, other.origin)


def _entries(found: Gathered, ablation: str) -> list[_Entry]:
    """Returns every measurement of a trained network, at the end of a run or by plgp.benchmark."""
    entries = []
    trainings = {run.folder for run in found.runs}
    for run in found.runs:
        if run.results is None or not len(run.results.of(TRAINED)) or ablation in run.groups:
            continue
        parameters, macs = _cost(run.network, run.modality, run.results)
        means, frictions = run.results.of(TRAINED), run.results.frictions(TRAINED)
        known = (run.network, run.modality, run.name, run.seed, parameters, macs, means, frictions, str(run.folder))
        entries.append(_Entry(*known, run.settings(), run.origin, run.notes, run.recipe(), run.choices))
    for results in (r for r in found.results if r.folder not in trainings):
        for policy, about in results.policies.items():
            if _is_trained(policy, results):
                network, modality = str(about["network"]), str(about["modality"])
                parameters, macs = _cost(network, modality, results, policy)
                label, frictions = f"{policy} in {results.folder.name}", results.frictions(policy)
                means, source = results.of(policy), str(results.folder)
                own, notes = results.origins.get(policy, {}), results.notes.get(policy, {})
                measured = (network, modality, label, None, parameters, macs, means, frictions, source)
                entries.append(_Entry(*measured, "", own, notes))
    return entries


def _is_trained(policy: str, results: Results) -> bool:
    """Returns whether a policy belongs in Table II: a trained network, measured on its categories."""
    known = {"network", "modality"} <= set(results.policies.get(policy) or {})
    return known and not policy.startswith("untrained") and bool(results.of(policy).index.isin(CATEGORIES).any())


def _cost(network: str, modality: str, results: Results, policy: str = TRAINED) -> tuple[int | None, int | None]:
    """Returns the numbers of parameters and of multiply-adds at 224x224, None where they are unknown."""
    if network in COSTS:
        from plgp.costs import measure  # imports torch, which takes seconds

        cost = measure(network, list(INPUTS.values())[list(MODALITIES).index(modality)])
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
        values = [mean(some) for some in by_seed.values()]
        record |= {metric: mean(values), f"{metric}_sd": spread(values)}
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
    title = COSTS[key[0]].title if key[0] in COSTS else key[0]
    return [title, MODALITIES[key[1]], key[2] + seeds, *cost, *(_cell(r) for r in records), about]


def _scene_counts(scenes: dict[str, int]) -> str:
    """Returns how many scenes there were: one number where it is the same in every category."""
    if len(set(scenes.values())) == 1:
        return str(next(iter(scenes.values())))
    return ", ".join(f"{category}: {count}" for category, count in sorted(scenes.items()))


def _paper_row(network: str, modality: str) -> list[str]:
    index = list(MODALITIES).index(modality)
    printed, scores = COSTS[network], TABLE_II[network, modality]
    cost = [f"{printed.parameters[index]} M", printed.flops[index]]
    return [
        "paper",
        MODALITIES[modality],
        "Table II",
        *cost,
        *(scores_text(scores[c], 2) for c in CATEGORIES),
        "0.2-1.0; 80",
    ]


def scores_text(scores: Scores | None, digits: int = 1) -> str:
    """Returns "SR / PC / AP", or "-" where there are none."""
    return "-" if scores is None else " / ".join(f"{getattr(scores, m):.{digits}f}" for m in METRICS)


def _cell(record: dict[str, object]) -> str:
    """Returns SR / PC / AP with their spread over seeds, or with their intervals over scenes."""
    if not record["runs"]:
        return "-"
    numbers = {name: float(str(record[name])) for name in record if name.startswith(METRICS)}
    text = " / ".join(f"{numbers[m]:.1f}" for m in METRICS)
    if not math.isnan(numbers["AP_sd"]):
        return text + " (± " + " / ".join(f"{numbers[f'{m}_sd']:.1f}" for m in METRICS) + ")"
    if not math.isnan(numbers["AP_low"]):
        return text + " (" + " / ".join(f"{numbers[f'{m}_low']:.0f}-{numbers[f'{m}_high']:.0f}" for m in METRICS) + ")"
    return text


def mean(values: Sequence[float]) -> float:
    """Returns the mean, NaN of no value."""
    return statistics.fmean(values) if values else math.nan


def spread(values: Sequence[float]) -> float:
    """Returns the sample standard deviation, NaN of fewer than two values."""
    return statistics.stdev(values) if len(values) > 1 else math.nan


def table_iv(found: Gathered) -> Section:
    """Returns all methods that were not trained here, controls included, in the shape of Table IV.

    A trained network that was measured beside others, in one folder, has its row there, too.
    """
    rows: list[list[str]] = []
    data: list[dict[str, object]] = []
    notes = ""
    trainings = {run.folder for run in found.runs}
    for results in found.results:
        measured = list(dict.fromkeys(results.summary.policy))
        alone = all(_is_trained(policy, results) for policy in measured)
        for policy in measured:
            means = results.of(policy)
            if alone or (results.folder in trainings and policy == TRAINED):
                continue
            if not means.index.isin(CATEGORIES).any():  # measured on other scenes alone
                continue
            rows.append(_method_row(policy, results, means))
            notes += _notes(policy, results, CATEGORIES)
            kept = means.reset_index().assign(source=str(results.folder), frictions=results.frictions(policy))
            kept["seconds"] = results.seconds.get(policy, math.nan)
            data += [{str(k): v for k, v in r.items()} for r in kept.drop(columns="friction").to_dict("records")]
    for (method, modality), scores in TABLE_IV.items():
        cells = [scores_text(scores.get(c), 2) for c in CATEGORIES]
        rows.append([f"paper: {method}", MODALITIES.get(modality, modality), *cells, "0.2-1.0; 80", "-"])
    heads = ["method", "measured in, or input", *CATEGORIES, "frictions; scenes", "s a frame"]
    note = (
        "SR / PC / AP in percent with the 95 % interval over scenes. The controls (random, constant, untrained) say "
        "what gripper, depth rule and decoder do by themselves; privileged policies see the noiseless scene. "
        "The paper's rows differ in more than the method: its own novel objects, 80 scenes a category, frictions 0.2 "
        "to 1.0, and no word on how it fed the other methods (opening, table's distance, masks, collision step). "
        "Seconds a frame: median wall time of planning, on the machine of the measurement and whatever else ran there."
        + notes
    )
    columns = ["category", *(c for c in SUMMARY_COLUMNS if c not in ("category", "friction"))]
    table = pd.DataFrame(data, columns=[*columns, "source", "frictions", "seconds"])
    return Section("methods", "Other methods and controls (the paper's Table IV)", note, heads, rows, table)


def _notes(policy: str, results: Results, categories: Iterable[str]) -> str:
    """Returns the notes on a policy's row, with a space before each; mostly ""."""
    return sentences(f"{policy} in {results.folder.name}", results.notes.get(policy, {}), categories)


def _method_row(policy: str, results: Results, means: pd.DataFrame) -> list[str]:
    star = " (privileged)" if bool(means.privileged.any()) else ""
    single = {"runs": 1, "AP_sd": math.nan}  # one run: intervals over scenes, no spread over seeds
    cells = [
        _cell({**single, **{str(k): v for k, v in means.loc[c].items()}}) if c in means.index else "-"
        for c in CATEGORIES
    ]
    about = f"{results.frictions(policy)}; {_scene_counts({str(c): int(n) for c, n in means.scenes.items()})}"
    seconds = results.seconds.get(policy, math.nan)
    return [f"{policy}{star}", results.folder.name, *cells, about, "-" if math.isnan(seconds) else f"{seconds:.2f}"]


def table_of_other_scenes(found: Gathered) -> Section:
    """Returns what was measured on scenes that are none of the paper's, a row a policy and category."""
    rows: list[list[str]] = []
    data: list[dict[str, object]] = []
    notes, single = "", {"runs": 1, "AP_sd": math.nan}
    for results in found.results:
        for policy in dict.fromkeys(results.summary.policy):
            means = results.of(policy)
            star = " (privileged)" if bool(means.privileged.any()) else ""
            for category, line in means[~means.index.isin(CATEGORIES)].iterrows():
                known = {str(k): v for k, v in line.items()}
                notes += _notes(policy, results, [str(category)])
                about = [results.frictions(policy), str(int(line.scenes))]
                rows.append([f"{policy}{star}", results.folder.name, str(category), _cell(known | single), *about])
                record: dict[str, object] = {"policy": policy, "category": str(category), "source": str(results.folder)}
                data.append(record | {**known, "friction": results.frictions(policy)})
    heads = ["policy", "measured in", "category", "SR / PC / AP", "frictions", "scenes"]
    note = "Scenes of your own objects or counts: the paper has no numbers for them. Percent, as above." + notes
    return Section("other_scenes", "Other scenes", note, heads, rows, pd.DataFrame(data))


def _few_scenes(run: Run) -> str:
    """Returns " (1 scene, no interval)" where the validation's benchmark has a single scene, else ""."""
    chosen = OmegaConf.select(run.config, "callbacks.benchmark")
    single = chosen is not None and chosen.get("scenes") == 1 and chosen.get("scene_set") is None
    return " (1 scene, no interval)" if single else ""


def table_of_runs(found: Gathered) -> Section:
    """Returns the trainings, a row a run: what was trained, how, and how well it did in validation."""
    heads = ["run", "network", "input", "recipe", "seed", "epochs", "batch", "validation AP", "folder"]
    rows, data = [], []
    for run in found.runs:
        best = run.validation()
        row = [
            run.label,
            COSTS[run.network].title if run.network in COSTS else run.network,
            MODALITIES[run.modality],
            ", ".join(said for said in (run.recipe() or "the paper's", resumed_from(run.config)) if said),
            str(run.seed),
            str(run.epochs),
            str(run.config.data.get("batch_size", "-")),
            "-" if best is None else f"{best.AP:.1f}{_few_scenes(run)}",
            str(run.folder),
        ]
        rows.append(row)
        data.append(dict(zip(heads, row, strict=True)))
    note = (
        "Recipe: targets and loss, the paper's with enhancement and focal loss unless it says otherwise. "
        "Validation AP: of the benchmark at epoch ends, best epoch; no interval is known of a single scene."
    )
    return Section("runs", "Trainings", note, heads, rows, pd.DataFrame(data, columns=heads))
