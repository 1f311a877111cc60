"""W&B's panels drawn from its offline files: parallel coordinates, bars by category and friction, pictures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from plgp.evaluation.wandb_files import OfflineRun
from sim.drawing.figures import COLOURS, hide_ticks, panels, save_figure
from sim.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRICS = ("SR", "PC", "AP")
AXES = 7  # axes of the parallel coordinates beside AP; more cannot be read
BESIDE = 4  # pictures in a row
PICTURES = 2 * BESIDE  # of the first runs that have one
MANY = 12  # rows, from which on bars have no numbers: they would lie on each other
SPREAD = 0.1  # of an axis's height, that lines of one value take at most
APART = 0.065  # of an axis's height, between values that are written beside it
NOT_CHOICES = re.compile(
    r"(^|\.)(default_root_dir|folder|dirpath)$"
    r"|^(output|logger|name|group|tags|resume|checkpoint|callbacks|evaluation|final_benchmark|cost)\b"
)
COSTS = {"parameters": "parameters", "milliseconds": "ms an image"}  # of a run's cost, with an axis's name
SCORE = re.compile(r"^test/(?P<category>[^/]+)/friction (?P<friction>[^/]+)/AP$")


def draw_dashboard(runs: Sequence[OfflineRun], path: str | Path) -> Path:
    """Draws the panels of some runs into one picture and returns its path.

    Args:
        runs: Runs, in the order of the legend; runs of one name and group are seeds of one row.
        path: The picture's file; its suffix names the format.

    Raises:
        InputError: No run has been measured, or the picture cannot be written.
    """
    measured = [run for run in runs if last(run, "test/AP") is not None]
    if not measured:
        raise InputError("no run has a final AP (test/AP) to compare; train with final_benchmark=demo or another")
    colours = colours_of(measured)
    pictures = [(run, found) for run in measured if (found := _picture(run)) is not None][:PICTURES]
    rows = [pictures[i : i + BESIDE] for i in range(0, len(pictures), BESIDE)]
    figure, grid = panels(2 + len(rows), 1, (10, 6.6 + 2.9 * len(rows)))
    _draw_coordinates(grid[0, 0], measured, colours)
    _draw_bars(grid[1, 0], measured, colours)
    for panel, row in zip(grid[2:, 0], rows, strict=True):
        _draw_pictures(figure, panel, row)
    groups = ", ".join(dict.fromkeys(run.group for run in measured if run.group))
    left = len(runs) - len(measured)
    note = f"; {left} without a final benchmark left out" if left else ""
    figure.suptitle(f"{len(measured)} runs" + (f" of group {groups}" if groups else "") + note, fontsize=11)
    try:
        return save_figure(figure, path, 100)
    except (OSError, ValueError) as error:
        raise InputError(f"out={path} cannot be written ({error}); give the name of a PNG") from error


def colours_of(runs: Sequence[OfflineRun]) -> dict[str, str]:
    """Returns a colour a name; of more names than there are colours, those that share most of a setting share one."""
    names = list(dict.fromkeys(run.name for run in runs))
    if len(names) > len(COLOURS):
        told = [values for values in choices(runs).values() if len(set(values)) <= len(COLOURS)]
        if told:
            shared = max(told, key=lambda values: len(set(values)))
            kinds = list(dict.fromkeys(shared))
            return {run.name: COLOURS[kinds.index(value)] for run, value in zip(runs, shared, strict=True)}
    return {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(names)}


def last(run: OfflineRun, metric: str) -> float | None:
    """Returns the last finite value of a run's metric, None without one."""
    if metric not in run.history:
        return None
    values = pd.to_numeric(run.history[metric], errors="coerce").dropna()
    return float(values.iloc[-1]) if len(values) else None


def comparable_scores(runs: Sequence[OfflineRun]) -> list[float]:
    """Returns each run's AP over the categories and frictions that all runs were measured on; over its own without."""
    columns = [str(c) for c in runs[0].history if (m := SCORE.match(str(c))) and m["friction"] != "mean"]
    shared = [c for c in columns if all(last(run, c) is not None for run in runs)]
    return [float(np.mean([last(run, c) or 0.0 for c in shared or ["test/AP"]])) for run in runs]


def shown_scores(runs: Sequence[OfflineRun]) -> tuple[list[re.Match[str]], list[str]]:
    """Returns the columns of AP that bars show, and the categories left out: those of one row only, beside others."""
    columns = dict.fromkeys(str(column) for run in runs for column in run.history if SCORE.match(str(column)))
    found = sorted((m for c in columns if (m := SCORE.match(c))), key=lambda m: (m["category"], _order(m["friction"])))
    rows = {m[0]: {run.name for run in runs if last(run, m[0]) is not None} for m in found}
    shared = [m for m in found if len(rows[m[0]]) > 1]
    left = {m["category"] for m in found} - {m["category"] for m in shared}
    return (shared, sorted(left)) if shared else (found, [])


def choices(runs: Sequence[OfflineRun]) -> dict[str, list[str]]:
    """Returns the settings that differ between runs, a value a run; of settings that vary alike only the first.

    Where runs differ in a class, such as the network, arguments that only some of its kinds have are none of them.
    """
    flat = [_flatten(run.config) for run in runs]
    found: dict[str, list[str]] = {}
    for key in sorted(dict.fromkeys(key for config in flat for key in config), key=lambda key: key.count(".") > 0):
        values = [str(config.get(key, "-")).rpartition(".")[2] if "_target_" in key else _text(config.get(key, "-"))
                  for config in flat]  # fmt: skip
        if len(set(values)) > 1 and not NOT_CHOICES.search(key) and not _own_argument(key, flat):
            codes = tuple(values.index(value) for value in values)
            if codes not in {tuple(v.index(x) for x in v) for v in found.values()}:
                found[key.removesuffix("._target_")] = values
    return found


def _own_argument(key: str, flat: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a setting is an argument of a class in which runs differ, and some of these classes do not have it."""
    kind = f"{key.rpartition('.')[0]}._target_"
    return len({str(config.get(kind)) for config in flat}) > 1 and any(key not in config for config in flat)


def costs(runs: Sequence[OfflineRun]) -> dict[str, list[float]]:
    """Returns what the runs' networks cost, a value a run, where all say it and it differs."""
    found = {}
    for key, name in COSTS.items():
        values = [_flatten(run.config).get(f"cost.{key}") for run in runs]
        if all(isinstance(v, (int, float)) and v > 0 for v in values) and len(set(values)) > 1:
            found[name] = [float(v) for v in values if v is not None]
    return found


def _short(value: float) -> str:
    """Returns a number in at most four characters and k or M."""
    for least, unit in ((1e6, " M"), (1e3, " k")):
        if value >= least:
            return f"{value / least:.3g}{unit}"
    return f"{value:.3g}"


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            found |= _flatten(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _draw_coordinates(panel: Any, runs: Sequence[OfflineRun], colours: Mapping[str, str]) -> None:
    """Draws a line a run over the settings that differ and what its network costs, to its AP."""
    heights, names = [], list[str]()
    for name, values in sorted(choices(runs).items(), key=lambda entry: entry[0] == "seed")[:AXES]:
        kinds = sorted(set(values), key=_order)
        places = {kind: (i + 0.5) / len(kinds) for i, kind in enumerate(kinds)}
        heights.append([places[value] for value in values])
        _label(panel, len(names), places)
        names.append(name)
    for name, numbers in costs(runs).items():
        logs = np.log(numbers)
        column = (0.04 + 0.92 * (logs - logs.min()) / np.ptp(logs)).tolist()
        heights.append(column)
        _label(panel, len(names), {_short(value): height for value, height in zip(numbers, column, strict=True)})
        names.append(name)
    scores = comparable_scores(runs)
    low = min(10 * np.floor((min(scores) - 2) / 10), 90.0)
    heights.append([(score - low) / (100 - low) for score in scores])
    for height in np.linspace(0, 1, 6):
        panel.text(len(names) + 0.03, height, f"{low + (100 - low) * height:.3g}", va="center", fontsize=9)
    for number in range(len(names) + 1):
        panel.axvline(number, color="0.7", lw=1, zorder=0)
    for i, run in enumerate(runs):
        step = min(0.012, SPREAD / max(1, len(runs) - 1))
        shift = step * (i - (len(runs) - 1) / 2)  # lines of one value lie side by side
        line = [column[i] + shift for column in heights[:-1]] + [heights[-1][i]]
        label = run.name if run.name not in {other.name for other in runs[:i]} else None
        panel.plot(range(len(line)), line, "o-", color=colours[run.name], ms=4, lw=1.6, alpha=0.85, label=label)
    panel.set_xticks(range(len(names) + 1), [*names, "AP, %"], fontsize=9)
    panel.set(xlim=(-0.6, len(names) + 0.25), ylim=(-0.06, 1.06), yticks=[], title="Settings that differ, cost, and AP")
    panel.spines[:].set_visible(False)
    panel.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=4, frameon=False, fontsize=9)


def _label(panel: Any, axis: int, places: Mapping[str, float]) -> None:
    """Writes an axis's values beside it, at their heights; of those that would lie on each other the lower one."""
    back, written = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}, -1.0
    for text, height in sorted(places.items(), key=lambda entry: entry[1]):
        if height - written < APART:
            continue
        written = height
        panel.text(axis - 0.03, height, text, ha="right", va="center", fontsize=9, bbox=back, zorder=4)


def _order(kind: str) -> tuple[bool, float, str]:
    try:
        return False, float(kind), kind
    except ValueError:
        return True, 0.0, kind


def _draw_bars(panel: Any, runs: Sequence[OfflineRun], colours: Mapping[str, str]) -> None:
    """Draws AP by category and friction with 95 % intervals; SR, PC and AP where runs have only those."""
    found, alone = shown_scores(runs)
    named = {m[0]: "{category}\nfriction {friction}".format(**m.groupdict()) for m in found}
    bars = named or {f"test/{metric}": metric for metric in METRICS}
    width = 0.8 / len(colours)
    for number, (name, colour) in enumerate(colours.items()):
        seeds = [run for run in runs if run.name == name]
        for place, metric in enumerate(bars):
            values = [value for run in seeds if (value := last(run, metric)) is not None]
            if not values:
                continue
            centre, mean = place + (number - (len(colours) - 1) / 2) * width, float(np.mean(values))
            panel.bar(centre, mean, 0.9 * width, color=colour, alpha=0.45)
            panel.scatter([centre] * len(values), values, color=colour, s=18, zorder=3)
            low, high = (last(seeds[0], f"{metric}_{end}") for end in ("low", "high"))
            if len(seeds) == 1 and low is not None and high is not None:
                panel.vlines(centre, low, high, color="0.2", lw=1.2)
            if len(colours) <= MANY:
                turned = 90 if len(colours) > BESIDE else 0
                panel.text(centre, 2, f"{mean:.0f}", ha="center", fontsize=8, rotation=turned)
    panel.set_xticks(range(len(bars)), bars.values())
    spread = "line: 95 % interval over scenes" if named else "mean over categories and frictions"
    title = f"{'AP by category and friction' if named else 'Final benchmark'} (dot: a run, bar: mean; {spread})"
    if alone:
        title += f"\nleft out, of one network only: {', '.join(alone)}"
    panel.set(ylim=(0, 100), ylabel="%", title=title)
    panel.grid(axis="y", alpha=0.3)
    panel.set_axisbelow(True)


def _picture(run: OfflineRun) -> Path | None:
    """Returns the last picture that a run logged and that lies in its folder, None without one.

    W&B logs a picture as a mapping, whose keys become columns: ``<name>/_type`` and ``/filenames`` or ``/path``.
    """
    names = [str(c).removesuffix("/_type") for c in run.history if str(c).endswith("/_type")]
    for name in sorted(names, key=lambda name: name.startswith("test/"), reverse=True):
        for _, row in run.history[run.history[f"{name}/_type"].notna()].iloc[::-1].iterrows():
            if str(row[f"{name}/_type"]).startswith("image"):
                files = row.get(f"{name}/filenames")
                path = run.folder / "files" / str(files[-1] if isinstance(files, list) else row.get(f"{name}/path"))
                if path.is_file():
                    return path
    return None


def _draw_pictures(figure: Figure, panel: Any, pictures: Sequence[tuple[OfflineRun, Path]]) -> None:
    """Puts a row of the runs' pictures side by side into a panel's place."""
    from PIL import Image

    places = panel.get_subplotspec().subgridspec(1, BESIDE)
    panel.remove()
    for column, (run, path) in enumerate(pictures):
        one = figure.add_subplot(places[column])
        with Image.open(path) as image:
            one.imshow(np.asarray(image.convert("RGB")))
        one.set_title(run.name, fontsize=9)
        hide_ticks(one)
