"""Truth is bought with coverage: a data set's views labelled with several settings, executed, and drawn as a curve."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from importlib import resources
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from labeler.dataset.manifest import Manifest
from labeler.labels import GraspLabels, label_view
from labeler.settings import LabelSettings
from labeler.shards.data_set import DataSet
from labeler.shards.frame import Frame
from labeler.truth.execution import (
    Job,
    check_arguments,
    draw_labels,
    execute_all,
    find_objects,
    make_label_job,
    rebuild_view,
)
from labeler.truth.recall import execute_random, label_carriers, match_labels, summarise_recall
from labeler.truth.verify import summarise_truth
from sim.cli.progress import followed
from sim.drawing.figures import panels
from sim.errors import InputError
from sim.gripper import GripperGeometry
from sim.objects import ObjectSet


def load_settings(path: str | Path | None = None, gripper: GripperGeometry | None = None) -> dict[str, LabelSettings]:
    """Returns named label settings from a YAML such as conf/tradeoff.yaml.

    Args:
        path: YAML file with a mapping of names to what each changes in its ``preset`` (default ``truest``);
            default conf/tradeoff.yaml.
        gripper: The hand that the presets are for; default GripperGeometry().

    Raises:
        InputError: The file is not readable, names no preset or setting that exists, or is out of range.
    """
    conf = resources.files("plgp_conf")
    source = conf / "tradeoff.yaml" if path is None else Path(path)
    hand = gripper or GripperGeometry()
    try:
        rows = OmegaConf.to_container(OmegaConf.create(source.read_text()))
        if not isinstance(rows, dict) or not rows:
            raise TypeError("it holds no named settings")
    except (OSError, TypeError, ValueError, OmegaConfBaseException, YAMLError) as error:
        raise InputError(f"the settings in {source} cannot be used ({error}); see conf/tradeoff.yaml") from error
    found = {}
    for name, changes in ((str(key), value) for key, value in rows.items()):
        try:
            found[name] = _changed(changes, hand)
        except (TypeError, ValueError, OmegaConfBaseException) as error:
            raise InputError(f"'{name}' in {source} cannot be used: {error}") from error
    return found


def _changed(changes: Any, hand: GripperGeometry) -> LabelSettings:
    """Returns a preset's settings for a hand with some of them changed; raises InputError."""
    if not isinstance(changes, dict | None):
        raise InputError(f"it is {changes!r}; give what it changes in its preset, such as {{friction: 0.3}}")
    own = dict(changes or {})
    preset = str(own.pop("preset", "truest"))
    files = (resources.files("plgp_conf") / "labeler").iterdir()
    presets = sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml"))
    if preset not in presets:
        raise InputError(f"there is no preset '{preset}'; choose from {', '.join(presets)}")
    known = [f.name for f in fields(LabelSettings)]
    for key in own:
        if key not in (*known, "_target_", "gripper"):  # a copy of a preset's file has these two
            close = difflib.get_close_matches(str(key), known, n=1)
            guess = f" (did you mean {close[0]}?)" if close else ""
            raise InputError(f"there is no setting '{key}'{guess}; there are preset, {', '.join(known)}")
    merged = OmegaConf.merge(_preset(preset), {"gripper": {"max_opening": hand.max_opening}})
    base: Any = OmegaConf.to_container(merged, resolve=True)
    return LabelSettings(**{k: v for k, v in {**base, **own}.items() if k in known})


def _preset(name: str) -> Any:
    """Returns a file of conf/labeler, with those that it builds on below it."""
    own: Any = OmegaConf.create((resources.files("plgp_conf") / "labeler" / f"{name}.yaml").read_text())
    below = [_preset(other) for other in own.pop("defaults", []) if other != "_self_"]
    return OmegaConf.merge(*below, own)


def measure_tradeoff(
    folder: str | Path,
    settings: Mapping[str, LabelSettings],
    attempts: int = 120,
    *,
    frictions: tuple[float, ...] = (0.4, 0.2),
    grasps: int = 100,
    seed: int = 0,
    workers: int = 1,
    objects: str | Path | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Labels a data set's views anew with each of several settings, and measures truth and coverage.

    Args:
        folder: Folder of a finished data set; it is left as it is.
        settings: Label settings by their names.
        attempts: Number of random labels executed per setting and friction.
        frictions: Frictions of the fingertips; the random grasps are executed at the first.
        grasps: Number of random grasps on objects executed per scene, once for all settings.
        seed: Seed of labels, grasps and bootstrap.
        workers: Number of processes; the result does not depend on it.
        objects: Folder of the objects that the data set was made from, where they no longer lie where they lay.
        progress: Whether to show progress bars.

    Returns:
        One row per setting: ``setting, labels`` (a view), ``coverage`` (share of the objects that a
        random grasp lifts which carry a label), ``coverage_low, coverage_high`` (95 %, scenes
        resampled; NaN with one scene), ``recall``, and per friction ``truth_F, truth_F_low,
        truth_F_high``; NaN where there is nothing to take a share of.

    Raises:
        InputError: An argument is out of range, or the data set's objects are not found.
    """
    counts = {"attempts": attempts, "grasps": grasps, "workers": workers}
    for friction in frictions:
        check_arguments("tradeoff", counts, seed=seed, friction=friction)
    if len({s.angles for s in settings.values()}) > 1:
        raise InputError("tradeoff: give all settings the same number of angles")
    data = DataSet(folder)
    models = find_objects(data, objects)
    frames = [data.read(i, ("depth", "instance_mask", "objects")) for i in range(len(data))]
    calls = (joblib.delayed(_relabel)(data.manifest, models, frame, list(settings.values())) for frame in frames)
    parts = joblib.Parallel(n_jobs=workers, return_as="generator")(calls)
    labels = list(followed(parts, "views labelled", len(frames), quiet=not progress))
    shared: dict[str, Any] = {"workers": workers, "progress": progress}
    random = execute_random(data, models, grasps, friction=frictions[0], seed=seed, **shared)
    rows = []
    for number, (name, chosen) in enumerate(settings.items()):
        own = [part[number] for part in labels]
        row = {"setting": name, "labels": float(np.mean([len(part) for part in own]))}
        row |= _coverage(frames, own, random, angles=chosen.angles, seed=seed)
        picked = draw_labels(np.array([len(part) for part in own]), attempts, seed)
        for friction in frictions if picked else ():
            jobs = _jobs(data.manifest, models, frames, labels=own, picked=picked, angles=chosen.angles)
            truth = summarise_truth(execute_all(jobs, friction, count=len(picked), **shared), seed)
            row |= _share(f"truth_{friction:g}", truth.lifted, truth.interval)
        rows.append(row)
    return pd.DataFrame(rows)


def draw_tradeoff(table: pd.DataFrame, title: str = "") -> Figure:
    """Draws truth against labels a view and against coverage, one point per setting and friction.

    Args:
        table: Rows of ``measure_tradeoff``.
        title: Title of the picture.

    Returns:
        The figure, drawn off screen.
    """
    figure, grid = panels(1, 2, (12, 5.6), sharey=True)
    figure.suptitle(title)
    left, right = grid[0]
    frictions = [c.removeprefix("truth_") for c in map(str, table) if c.startswith("truth_") and c.count("_") == 1]
    for axes, column, factor in ((left, "labels", 1), (right, "coverage", 100)):
        x = table[column].to_numpy() * factor
        for friction, marker, filled in zip(frictions, "osD^v", (True, False, True, False, True), strict=False):
            for i in range(len(table)):
                share, low, high = (100 * table[f"truth_{friction}{end}"].iloc[i] for end in ("", "_low", "_high"))
                look: dict[str, Any] = {"color": f"C{i}", "mfc": f"C{i}" if filled else "white", "marker": marker}
                bars = None if np.isnan(low) else [[max(share - low, 0)], [max(high - share, 0)]]
                axes.errorbar(x[i], share, bars, **look, ms=8, elinewidth=0.6, capsize=2, ls="none")
        axes.grid(alpha=0.3)
    left.set(xlabel="labels a view", ylabel="labels that lift their object (%)")
    right.set(xlabel="objects that a random grasp lifts which carry a label (%)")
    handles: list[Any] = [left.plot([], [], "o", color=f"C{i}", label=name)[0] for i, name in enumerate(table.setting)]
    for friction, marker, filled in zip(frictions, "osD^v", (True, False, True, False, True), strict=False):
        look = {"color": "black", "mfc": "black" if filled else "white", "ls": "none"}
        handles += left.plot([], [], marker=marker, label=f"friction {friction}", **look)
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=8)
    return figure


def describe_tradeoff(table: pd.DataFrame) -> str:
    """Returns the table as text, shares in percent."""
    shown = table[["setting"]].assign(labels=table.labels.round().astype(int))
    for column in map(str, table):
        if column not in shown and not column.endswith(("_low", "_high")):
            shown[column] = (100 * table[column]).round(1)
    return shown.to_string(index=False)


def _relabel(
    manifest: Manifest, models: ObjectSet, frame: Frame, settings: Sequence[LabelSettings]
) -> list[GraspLabels]:
    """Returns one view's labels by each of the settings; runs in a worker."""
    view = rebuild_view(manifest.recipe, models, frame)
    return [label_view(view, manifest.gripper, chosen) for chosen in settings]


def _coverage(
    frames: Sequence[Frame], labels: Sequence[GraspLabels], random: pd.DataFrame, *, angles: int, seed: int
) -> dict[str, Any]:
    """Returns the columns of coverage and recall of one setting's labels."""
    labelled = np.zeros(len(random), bool)
    carriers = []
    for image, (frame, own) in enumerate(zip(frames, labels, strict=True)):
        relabelled: Frame = {**frame, "grasps": own}
        places = np.flatnonzero(random.image == image)
        labelled[places] = match_labels(random.iloc[places], relabelled, angles)
        carriers.append(label_carriers(relabelled, image))
    figures = summarise_recall(random.assign(labelled=labelled), pd.concat(carriers, ignore_index=True), seed)
    return {**_share("coverage", figures.coverage, figures.coverage_interval), "recall": figures.recall}


def _share(name: str, share: float | None, interval: tuple[float, float] | None) -> dict[str, float]:
    low, high = (np.nan, np.nan) if interval is None else interval
    return {name: np.nan if share is None else share, f"{name}_low": low, f"{name}_high": high}


def _jobs(
    manifest: Manifest,
    models: ObjectSet,
    frames: Sequence[Frame],
    *,
    labels: Sequence[GraspLabels],
    picked: Mapping[int, NDArray[np.int64]],
    angles: int,
) -> Iterator[Job]:
    """Yields, per image, the labels that were drawn, ready to be executed."""
    for image, index in picked.items():
        drawn = labels[image][index]
        yield make_label_job(manifest.recipe, models, frames[image], image=image, labels=drawn, angles=angles)
