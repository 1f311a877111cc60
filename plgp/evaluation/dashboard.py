"""What a W&B dashboard shows of a comparison, drawn from W&B's offline files: no account, no network."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from plgp.evaluation.wandb_files import OfflineRun
from sim.drawing.figures import COLOURS, panels, save_figure
from sim.errors import InputError

SCORES = ("SR", "PC", "AP")
# Settings that say where a run lies or what it is called, not what it does.
_PLACES = re.compile(
    r"(^|\.)(output|name|group|tags|seed|\w*dir\w*|folder|save_dir|resume|checkpoint)$|^logger\.|^cost\."
)
_AXES = 5  # settings that are drawn at most


def flatten(values: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yields the settings of a nested configuration under dotted names."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def differing_settings(runs: Sequence[OfflineRun]) -> pd.DataFrame:
    """Returns the settings that differ between runs: a row a run, a column a setting, as text.

    Of settings that differ in the same way (a network's and its copy in the module's), one that every run has stays,
    and of these the one with the shortest name. Names of places and the seed are left out.
    """
    table = pd.DataFrame([{k: _short(v) for k, v in flatten(run.config) if not _PLACES.search(k)} for run in runs])
    table = table.fillna("-")
    patterns: dict[tuple[int, ...], str] = {}
    for name in sorted(table.columns, key=lambda n: ((table[n] == "-").any(), len(n), n)):
        codes = tuple(pd.factorize(table[name])[0].tolist())
        if len(set(codes)) > 1:
            patterns.setdefault(codes, name)
    return table[list(patterns.values())[:_AXES]]


def _short(value: Any) -> str:
    """Returns a setting as the short text of an axis: of a class its name."""
    text = str(value)
    return text.rpartition(".")[2] if re.fullmatch(r"[a-z_]+(\.\w+)+", text) else text


def last_scores(run: OfflineRun) -> dict[str, float]:
    """Returns a run's last SR, PC and AP: the final benchmark's, else those at epoch ends; NaN where neither is."""
    found = {}
    for score in SCORES:
        names = [n for n in (f"test/{score}", f"benchmark/{score}") if n in run.history]
        values = [run.history[name].dropna() for name in names]
        found[score] = next((float(v.iloc[-1]) for v in values if len(v)), float("nan"))
    return found


def draw_dashboard(runs: Sequence[OfflineRun], path: str | Path) -> Path:
    """Draws parallel coordinates, bars and curves of some runs.

    The parallel coordinates lead from the settings that differ to the AP. The bars show SR, PC and AP of the runs of
    one name: their mean, and each run as a point. The curves are the validation losses.

    Args:
        runs: Runs of ``read_offline_runs``.
        path: PNG file.

    Raises:
        InputError: There are fewer than two runs, or none has a score.
    """
    scores = pd.DataFrame([last_scores(run) for run in runs], columns=SCORES)
    if len(runs) < 2 or scores.AP.isna().all():
        measured = int(scores.AP.notna().sum()) if len(runs) else 0
        raise InputError(f"a dashboard compares runs with scores: {len(runs)} given, {measured} of them measured")
    settings = differing_settings(runs)
    labels = [" ".join(row) for row in settings.to_numpy()] if len(settings.columns) else [run.name for run in runs]
    kinds = list(dict.fromkeys(run.name for run in runs))
    colour = {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(kinds)}
    figure, axes = panels(1, 3, (15, 4.6), dpi=80, width_ratios=(1.3, 1.2, 1))
    _draw_parallel(axes[0, 0], settings, scores.AP, [colour[run.name] for run in runs])
    _draw_bars(axes[0, 1], runs, scores, kinds)
    _draw_curves(axes[0, 2], runs, colour)
    figure.suptitle(f"{len(runs)} runs, {len(set(labels))} configurations: {runs[0].group or 'no group'}", fontsize=11)
    return save_figure(figure, path, 80)


def _draw_parallel(axes: Any, settings: pd.DataFrame, ap: pd.Series, colours: Sequence[str]) -> None:
    """Draws one line a run over an axis a setting, and the AP as the last axis."""
    count = len(settings.columns)
    places = np.empty((len(settings), count + 1))
    for j, name in enumerate(settings.columns):
        values = sorted(settings[name].unique())
        heights = np.linspace(0.05, 0.95, len(values)) if len(values) > 1 else np.array([0.5])
        places[:, j] = settings[name].map(dict(zip(values, heights, strict=True)))
        for value, height in zip(values, heights, strict=True):
            axes.text(j + 0.03, height + 0.02, value, fontsize=8, ha="left", va="bottom")
    places[:, count] = ap.to_numpy() / 100
    for row, colour in zip(places, colours, strict=True):
        axes.plot(range(count + 1), row, color=colour, lw=1.8, alpha=0.8)
    for j in range(count + 1):
        axes.axvline(j, color="0.6", lw=0.8, zorder=0)
    for tick in (0, 25, 50, 75, 100):
        axes.text(count + 0.03, tick / 100, str(tick), fontsize=8, va="center")
    names = [n.replace("element.", "").replace("_target_", "kind") for n in settings.columns]
    axes.set_xticks(range(count + 1), [*names, "AP, %"], fontsize=8)
    axes.set_xlim(-0.1, count + 0.3)
    axes.set_ylim(0, 1.05)
    axes.set_yticks([])
    axes.set_title("settings that differ, and the AP", fontsize=10)


def _draw_bars(axes: Any, runs: Sequence[OfflineRun], scores: pd.DataFrame, kinds: Sequence[str]) -> None:
    """Draws SR, PC and AP of each name: the mean of its runs, and each run as a point."""
    names = np.array([run.name for run in runs])
    for k, score in enumerate(SCORES):
        means = [scores[score][names == name].mean() for name in kinds]
        place = np.arange(len(kinds)) + (k - 1) * 0.27
        axes.bar(place, means, 0.25, color=COLOURS[k], label=score, alpha=0.75)
        for x, name in zip(place, kinds, strict=True):
            values = scores[score][names == name]
            axes.plot(np.full(len(values), x), values, "k.", ms=5)
    axes.set_xticks(range(len(kinds)), kinds, fontsize=8, rotation=15, ha="right")
    axes.set_ylim(0, 118)
    axes.set_yticks(range(0, 101, 20))
    axes.set_ylabel("percent")
    axes.legend(fontsize=8, ncols=3, loc="upper left")
    axes.set_title("bars: mean of the seeds; points: each run", fontsize=10)


def _draw_curves(axes: Any, runs: Sequence[OfflineRun], colour: Mapping[str, str]) -> None:
    """Draws the validation losses over the steps; runs of one name share a colour."""
    seen: set[str] = set()
    for run in runs:
        if "val/loss" not in run.history or "trainer/global_step" not in run.history:
            continue
        part = run.history[["trainer/global_step", "val/loss"]].dropna()
        label = run.name if run.name not in seen else None
        seen.add(run.name)
        axes.plot(part["trainer/global_step"], part["val/loss"], color=colour[run.name], lw=1.4, label=label, alpha=0.8)
    axes.set_xlabel("step")
    axes.set_ylabel("val/loss")
    axes.set_yscale("log")
    if seen:
        axes.legend(fontsize=8)
    axes.set_title("validation loss", fontsize=10)
