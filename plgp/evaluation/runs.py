"""Run folders of ``train.py`` and result folders of ``plgp.benchmark``, as ``plgp.report`` reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from plgp.evaluation.notes import notes_on
from plgp.evaluation.paper_tables import METRICS, Scores
from plgp.evaluation.run_folders import (
    find_runs,
    has_config,
    has_scenes,
    read_choices,
    read_curves,
    read_policies,
    read_settings,
)
from plgp.networks.titles import smp_title
from plgp.runs.ended import NAME as ENDED
from plgp.runs.ended import is_mark_of, time_is_its_end
from plgp.runs.names import choices_in_words
from plgp.runs.what_was_trained import is_paper_loss, loss_text, start_of, what_was_trained
from sim.benchmark.provenance import origins
from sim.benchmark.statistics import summarise
from sim.benchmark.store import read_attempts
from sim.cli import failed_jobs
from sim.errors import InputError

TRAINED = "network"  # what evaluations call the network that was trained


@dataclass(frozen=True)
class Results:
    """Results of a benchmark.

    Attributes:
        folder: Folder of the results.
        summary: Rows of ``sim.benchmark.statistics.summarise`` for all policies, categories and frictions.
        policies: What ``plgp.benchmark`` wrote of each policy: network, modality, parameters, macs.
        seconds: Median time in which each policy planned an observation, wall seconds of its machine.
        origins: Where each policy was measured, by category; see ``sim.benchmark.provenance.origins``.
        notes: What a reader of a policy's scores has to know, by category; see ``plgp.evaluation.notes``.
    """

    folder: Path
    summary: pd.DataFrame
    policies: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    origins: dict[str, dict[str, str]] = field(default_factory=dict)
    notes: dict[str, dict[str, str]] = field(default_factory=dict)

    def of(self, policy: str) -> pd.DataFrame:
        """Returns a policy's means over the frictions, a row a category, indexed by category."""
        rows = self.summary[(self.summary.policy == policy) & (self.summary.friction == "mean")]
        return rows.set_index("category")

    def frictions(self, policy: str) -> str:
        """Returns the frictions that a policy's means are over, with commas between."""
        rows = self.summary[(self.summary.policy == policy) & (self.summary.friction != "mean")]
        return ", ".join(sorted(set(rows.friction), key=float))


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        folder: Folder of the run.
        config: Configuration that it ran with.
        curves: Rows of its metrics.csv.
        results: Results of the benchmark at its end, or None.
        choices: What it has of what its multirun varies, by key; empty of a run alone.
    """

    folder: Path
    config: DictConfig
    curves: pd.DataFrame
    results: Results | None
    choices: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Name of the run in its configuration."""
        return str(self.config.get("name", self.folder.name))

    @property
    def label(self) -> str:
        """Name of the run with what its multirun varies, as W&B has it."""
        return " ".join(part for part in (self.name, choices_in_words(self.choices)) if part)

    @property
    def seed(self) -> int:
        """Seed of the training."""
        return int(self.config.get("seed", 0))

    @property
    def network(self) -> str:
        """Title of the network: its class, or architecture and encoder of an ``SMPNetwork``."""
        chosen = self.config.module.network
        name = str(chosen["_target_"]).rsplit(".", 1)[-1]
        parts = {k: str(chosen[k]) for k in ("architecture", "encoder") if k in chosen}
        return smp_title(**parts) if name == "SMPNetwork" else name

    @property
    def modality(self) -> str:
        """Input of the network: "depth", "rgb" or "rgbd"."""
        return str(OmegaConf.select(self.config, "module.modality", default="depth"))

    @property
    def enhance(self) -> bool:
        """Whether labels were copied to their neighbours."""
        return bool(OmegaConf.select(self.config, "data.enhance", default=True))

    @property
    def focal(self) -> bool:
        """Whether the loss is the binary focal loss."""
        loss = self._loss()
        return "BinaryFocalLoss" in str(loss) or not loss

    @property
    def other_loss(self) -> str:
        """Name of the loss after a comma, where it is none of the two that Table III compares, else ""."""
        loss = self._loss()
        return "" if is_paper_loss(loss.get("element")) else f", {loss_text(loss)}"

    @property
    def groups(self) -> set[str]:
        """W&B group and tags of the run."""
        tags = self.config.get("tags") or []
        return {str(self.config.get("group")), *([tags] if isinstance(tags, str) else map(str, tags))}

    @property
    def epochs(self) -> int:
        """Number of epochs that were validated."""
        validated = self.curves.dropna(subset=["val/loss"])
        return int(validated.epoch.max()) + 1 if len(validated) else 0

    def _loss(self) -> dict[str, Any]:
        """Returns the loss of the configuration as plain values; empty where it is the network's own."""
        chosen = self.config.module.get("loss")
        loss: Any = OmegaConf.to_container(chosen) if chosen else {}
        return {str(key): value for key, value in loss.items()}

    def recipe(self) -> str:
        """Returns how targets, loss and start differ from the paper's, or ""; of GQ-CNN who supervised it."""
        supervision = OmegaConf.select(self.config, "data.examples.supervision")
        if supervision is not None:
            start = OmegaConf.select(self.config, "module.weights_file")
            return f"supervision {supervision}, from {'scratch' if start is None else Path(str(start)).name}"
        bins = OmegaConf.select(self.config, "module.loss.bin_weight", default=0) or 0
        rectangles = OmegaConf.select(self.config, "data.rectangles")
        parts = [] if rectangles is None else [f"{rectangles} rectangles an image"]
        parts += [] if self.enhance or rectangles is not None else ["no enhancement"]
        parts += [said for said in (loss_text(self._loss()), start_of(self.config)) if said]
        return ", ".join([*parts, f"angle term {bins:g}"] if bins else parts)

    def settings(self, *, ablated: bool = False) -> str:
        """Returns what was trained, on what and for how long, as text. Runs of one text are seeds of one row.

        Args:
            ablated: Whether to leave out what Table III varies; see ``what_was_trained``.
        """
        return json.dumps(what_was_trained(self.config, ablated=ablated), sort_keys=True, default=str)

    @property
    def origin(self) -> dict[str, str]:
        """Where the trained network was measured, by category; empty where it was not."""
        return {} if self.results is None else self.results.origins.get(TRAINED, {})

    @property
    def notes(self) -> dict[str, str]:
        """What a reader of the trained network's scores has to know, by category; mostly nothing."""
        return {} if self.results is None else self.results.notes.get(TRAINED, {})

    def scores(self, category: str) -> Scores | None:
        """Returns the trained network's scores on a category, means over frictions; None where it was not measured."""
        if self.results is None or category not in self.results.of(TRAINED).index:
            return None
        rows = self.results.of(TRAINED)
        return Scores(*(float(rows[m][category]) for m in METRICS))

    def validation(self) -> Scores | None:
        """Returns the scores of the benchmark at epoch ends in the epoch whose weights are kept, or None without such.

        It is that of the best AP, and the last one of equally good ones, as ``BenchmarkCallback`` keeps them.
        """
        columns = [f"benchmark/{m}" for m in METRICS]
        if not set(columns) <= set(self.curves.columns) or self.curves["benchmark/AP"].isna().all():
            return None
        precision = self.curves["benchmark/AP"]
        best = self.curves[precision == precision.max()].iloc[-1]
        return Scores(*(float(best[c]) for c in columns))


@dataclass(frozen=True)
class Gathered:
    """Runs and results found below some folders.

    Attributes:
        runs: Trainings, in order of their folders.
        results: Benchmark results, including those of the trainings.
        skipped: Folders that were left out, each with the reason.
        failed: Jobs of multiruns that failed, each with its sentence.
    """

    runs: list[Run]
    results: list[Results]
    skipped: list[tuple[Path, str]]
    failed: list[tuple[Path, str]] = field(default_factory=list)


def gather(roots: Iterable[str | Path], *, incomplete: bool = False) -> Gathered:
    """Returns the runs and results in some folders and below them.

    Args:
        roots: Folders as for ``find_runs``: a run, a multirun, a packed folder, or one that holds several.
        incomplete: Whether trainings that stopped before their last epoch or step count too.

    Raises:
        InputError: A folder does not exist, or nothing at all was found.
    """
    found = Gathered([], [], [])
    for root in dict.fromkeys(Path(r) for r in roots):
        failed = failed_jobs(root)
        for folder in find_runs(root):
            if folder not in failed:
                _take(folder, incomplete, found)
        found.failed.extend(failed.items())
    if not found.runs and not found.results:
        reasons = "; ".join(f"{p}: {why}" for p, why in (*found.failed, *found.skipped))
        raise InputError("no finished run or benchmark result found" + (f" ({reasons})" if reasons else ""))
    return found


def _take(folder: Path, incomplete: bool, found: Gathered) -> None:
    """Adds what a folder holds, or the reason why it is left out, to ``found``."""
    results = None
    if has_scenes(folder):
        try:
            results = read_results(folder)
            found.results.append(results)
        except InputError as error:
            found.skipped.append((folder, f"benchmark results: {error}"))
    if has_config(folder):
        try:
            found.runs.append(read_run(folder, results, incomplete=incomplete))
        except InputError as error:
            found.skipped.append((folder, f"training: {error}"))


def read_results(folder: Path) -> Results:
    """Returns the benchmark results of a run's folder, packed or not.

    Raises:
        InputError: There are none, or a file is broken.
    """
    attempts = read_attempts(folder)
    # The 50 ranked attempts of a scene share one plan; each of those that clear it has its own.
    planned = attempts[attempts.protocol == "clear"].groupby("policy").plan_seconds.median()
    seconds = {str(policy): float(value) for policy, value in planned.items()}
    about = read_policies(folder)
    return Results(folder, summarise(attempts), about, seconds, origins(attempts), notes_on(attempts, about))


def read_run(folder: Path, results: Results | None = None, *, incomplete: bool = False) -> Run:
    """Returns a training from its folder, packed or not.

    Args:
        folder: Folder of the run.
        results: Results of the benchmark at its end.
        incomplete: Whether a training that stopped before its last epoch or step counts too.

    Raises:
        InputError: A file is missing, broken or not of ``train.py``, or the training stopped early.
    """
    config = OmegaConf.create(read_settings(folder, "config") or {})
    target = OmegaConf.select(config, "module.network._target_")
    if target is None:
        raise InputError("its config.yaml is not one of train.py")
    curves = read_curves(folder)
    if not {"epoch", "step", "val/loss"} <= set(curves.columns):
        raise InputError("its csv/metrics.csv has no finished epoch (columns epoch, step, val/loss)")
    curves = curves.replace([np.inf, -np.inf], np.nan)
    run = Run(folder, config, curves, results, read_choices(folder))
    _check_complete(run, incomplete)
    return run


def _check_complete(run: Run, incomplete: bool) -> None:
    try:
        wanted, steps, time = (run.config.trainer.get(f"max_{name}") for name in ("epochs", "steps", "time"))
    except OmegaConfBaseException as error:
        raise InputError("its config.yaml has no trainer") from error
    measured = run.results is not None and len(run.results.of(TRAINED))
    ended = is_mark_of(read_settings(run.folder, ENDED) or {}, run.config)  # by early stopping or a number of steps
    bounded = wanted not in (None, -1)  # by a last epoch
    whole = run.epochs >= int(wanted) if bounded else time is None or time_is_its_end(run.config)
    if incomplete or measured or ended or whole:
        return
    behind = f"{run.epochs} of {wanted} epochs" if bounded else f"{run.epochs} epochs, before the last of {steps} steps"
    raise InputError(f"it stopped after {behind}; go on with resume=, or give incomplete=true")
