"""Are a data set's labels true? Random labels, executed in physics in scenes rebuilt from the shards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labeler.dataset.manifest import TiltTruth, Truth, check_keeping, keep_figures
from labeler.shards.data_set import DataSet
from labeler.truth.conditions import Conditions
from labeler.truth.coverage import TABLES, group_by
from labeler.truth.execution import (
    Job,
    check_arguments,
    check_physics,
    draw_labels,
    execute_all,
    find_objects,
    make_label_job,
)
from sim.benchmark.bootstrap import share_interval
from sim.errors import InputError
from sim.objects import ObjectSet

_GROUPS = {  # column of the attempts, its unit's factor, edges of its bins in that unit
    "depth": ("mm", 1e3, (0, 10, 20, 30, 40, np.inf)),
    "width": ("mm", 1e3, (0, 20, 30, 40, 50, 60, 70, np.inf)),
    "tilt": ("deg", 1.0, (0, 5, 10, 15, 20, np.inf)),
    "mass": ("g", 1e3, (0, 50, 100, 250, 500, np.inf)),
}
_LIGHT = 0.25  # kg: what any hand should hold


def verify(
    folder: str | Path,
    attempts: int = 500,
    friction: float = 0.4,
    *,
    seed: int = 0,
    workers: int = 1,
    objects: str | Path | None = None,
    progress: bool = False,
    physics: str = "bullet",
    conditions: Conditions | None = None,
) -> pd.DataFrame:
    """Executes random labels of a data set, all labels equally likely, and keeps the figures in dataset.json.

    The figures stand under "truth" and the friction; the recipe and its hash stay as they are. Figures of another
    world than the data set's own are not kept.

    Args:
        folder: Folder of a finished data set.
        attempts: Number of labels; all of them if the data set has fewer.
        friction: Friction of the fingertips.
        seed: Seed of the draw and of the bootstrap.
        workers: Number of processes; the result does not depend on it.
        objects: Folder of the objects that the data set was made from, where they no longer lie where they lay.
        progress: Whether to show a progress bar.
        physics: "bullet", or "mujoco" to execute every label in MuJoCo as well; the figures that are kept are
            Bullet's.
        conditions: World in which they are executed; None is the data set's own.

    Returns:
        One row per attempt: ``image, scene, row, col, angle_bin, depth, width`` (metres), ``tilt``
        (degrees between approach and plumb line), ``object`` (name), ``mass`` (kg), ``success, reason``, ``held``
        (name of the object that was lifted, "" if none), and with MuJoCo ``mujoco_success, mujoco_reason``.

    Raises:
        InputError: An argument is out of range, the data set's objects are not found, or its folder is read-only.
    """
    check_arguments("verify", {"attempts": attempts, "workers": workers}, seed=seed, friction=friction)
    check_physics("verify", physics)
    data = DataSet(folder)
    models = find_objects(data, objects)
    kept = conditions is None or not conditions.describe()
    if kept:
        check_keeping(data.folder)
    picked = draw_labels(data.grasp_counts(), attempts, seed)
    if not picked:
        raise InputError(f"{data.folder} holds no labels to verify")
    jobs = _jobs(data, models, picked)
    if conditions is not None:
        jobs = map(conditions.apply, jobs)
    rows = execute_all(jobs, friction, workers, count=len(picked), progress=progress, physics=physics)
    rows = rows.sort_values(["image", "row", "col", "angle_bin"], ignore_index=True)
    if kept:
        keep_figures(data.folder, friction, summarise_truth(rows, seed))
    return rows


def summarise_truth(attempts: pd.DataFrame, seed: int = 0) -> Truth:
    """Returns the figures of some attempts.

    Args:
        attempts: Rows of ``verify``.
        seed: Seed of the bootstrap.
    """
    by_object = attempts.groupby("object").success.mean()
    tilts = attempts.success.groupby(_bands(attempts, "tilt"), observed=True).agg(["mean", "count"])
    interval = share_interval(attempts.scene, attempts.success, seed)
    return Truth(
        attempts=len(attempts),
        scenes=int(attempts.scene.nunique()),
        objects=len(by_object),
        lifted=float(attempts.success.mean()),
        interval=None if interval is None else (interval[0], interval[1]),
        macro=float(by_object.mean()),
        by_tilt={
            str(band): TiltTruth(lifted=float(r["mean"]), attempts=int(r["count"])) for band, r in tilts.iterrows()
        },
        seed=seed,
    )


def describe_truth(attempts: pd.DataFrame, friction: float, seed: int = 0, *, by: Sequence[str] = ()) -> str:
    """Returns what the command prints: the figures, what failed, and tables by angle, depth, width, tilt and mass.

    Args:
        attempts: Rows of ``verify``.
        friction: Friction that they were executed with.
        seed: Seed of the bootstrap.
        by: Further tables, of ``TABLES``: by object, by family of procedural objects.
    """
    figures = summarise_truth(attempts, seed)
    interval = _describe_interval(figures.interval)
    failures = attempts.reason[~attempts.success].value_counts()
    reasons = ", ".join(f"{count} {reason}" for reason, count in failures.items()) or "none"
    lines = [
        f"{attempts.success.sum()} of {len(attempts)} labels lift at friction {friction:g}: "
        f"{100 * figures.lifted:.1f} % ({interval})",
        f"mean over {figures.objects} objects: {100 * figures.macro:.1f} %; "
        f"{figures.scenes} scenes; failures: {reasons}",
    ]
    groups = {"angle bin": attempts.angle_bin.astype(str)}
    groups |= {f"{name} ({unit})": _bands(attempts, name) for name, (unit, _, _) in _GROUPS.items() if name in attempts}
    for title, group in groups.items():
        table = attempts.success.groupby(group, observed=True, sort=title != "angle bin").agg(["mean", "count"])
        if title == "angle bin":
            table = table.sort_index(key=lambda index: index.astype(int))
        cells = [f"{key}: {100 * row['mean']:.0f} % of {row['count']:.0f}" for key, row in table.iterrows()]
        lines += [f"by {title}", *("  " + "   ".join(cells[i : i + 6]) for i in range(0, len(cells), 6))]
    if "mass" in attempts and (light := attempts[attempts.mass < _LIGHT]).shape[0]:
        found = summarise_truth(light, seed)
        lines.append(
            f"objects under {1e3 * _LIGHT:g} g: {light.success.sum()} of {len(light)} labels lift: "
            f"{100 * found.lifted:.1f} % ({_describe_interval(found.interval)}) on {found.objects} objects"
        )
    return "\n".join(lines + [line for name in by for line in _table(attempts, name)])


def check_tables(by: Sequence[str]) -> None:
    """Raises InputError for a table that there is none of."""
    if unknown := [name for name in by if name not in TABLES]:
        raise InputError(f"verify: by is '{unknown[0]}'; choose of {', '.join(TABLES)}")


def _table(attempts: pd.DataFrame, name: str) -> list[str]:
    """Returns a table's lines: one for each object or family, the least true first, with its mean mass."""
    table = attempts.groupby(group_by(attempts.object, name)).agg(
        lifted=("success", "mean"), count=("success", "size"), mass=("mass", "mean")
    )
    table = table.sort_values(["lifted", "count"], ascending=[True, False])
    width = max(map(len, table.index))
    rows = [
        f"  {key:{width}}  {100 * row['lifted']:5.1f} % of {row['count']:3.0f}   {1e3 * row['mass']:5.0f} g"
        for key, row in table.iterrows()
    ]
    return [f"by {name}, the least true first", *rows]


def _describe_interval(interval: tuple[float, float] | None) -> str:
    if interval is None:
        return "no interval: one scene only"
    return "95 % interval over scenes {:.1f} to {:.1f} %".format(*(100 * x for x in interval))


def describe_tilts(truth: Mapping[str, Truth]) -> str:
    """Returns a table of tilt and friction from the manifest's ``truth``."""
    columns = {f"friction {friction}": truth[friction].by_tilt for friction in sorted(truth, key=float)}
    bands = sorted({band for column in columns.values() for band in column}, key=lambda band: float(band.split("-")[0]))
    cells = {
        name: [f"{100 * b.lifted:.1f} % of {b.attempts}" if (b := column.get(band)) else "-" for band in bands]
        for name, column in columns.items()
    }
    return pd.DataFrame(cells, index=pd.Index(bands, name="tilt (deg)")).to_string()


def _bands(attempts: pd.DataFrame, name: str) -> pd.Series:
    """Returns the band of ``_GROUPS`` that each row's depth, width or tilt lies in."""
    _, factor, edges = _GROUPS[name]
    labels = [f"{a:g}-{b:g}" if np.isfinite(b) else f"{a:g}-" for a, b in pairwise(edges)]
    # A hair up, so that float32's 0.02 and a tilt of -0 fall where they belong.
    return pd.cut(attempts[name] * factor + 1e-3, edges, labels=labels, right=False)


def _jobs(data: DataSet, objects: ObjectSet, picked: Mapping[int, NDArray[np.int64]]) -> Iterator[Job]:
    """Yields, per image, the labels that were drawn, ready to be executed."""
    manifest = data.manifest
    for image, index in picked.items():
        frame = data.read(image, ("depth", "instance_mask", "objects"))
        labels = frame["grasps"][index]
        yield make_label_job(manifest.recipe, objects, frame, image=image, labels=labels, angles=manifest.angles)
