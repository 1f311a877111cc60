"""Are a data set's labels true? Random labels, executed in physics in scenes rebuilt from the shards."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from rich.console import Console
from rich.progress import track

from labeler.dataset.recipe import digest_objects
from labeler.labels import GraspLabels
from labeler.shards import DataSet, Frame, write_json
from sim.benchmark.grasp_attempt import attempt
from sim.camera import PinholeCamera
from sim.errors import InputError
from sim.grasp import GraspPoses, PixelGrasps
from sim.gripper import GripperGeometry
from sim.objects import ObjectSet
from sim.physics import PhysicsSettings, TraySettings, World
from sim.scene import SceneState

_RESAMPLES = 2000  # of the scenes, for the bootstrap interval
_GROUPS = {  # column of the attempts, its unit's factor, edges of its bins in that unit
    "depth": ("mm", 1e3, (0, 10, 20, 30, 40, np.inf)),
    "width": ("mm", 1e3, (0, 20, 30, 40, 50, 60, 70, np.inf)),
    "tilt": ("deg", 1.0, (0, 5, 10, 15, 20, np.inf)),
}


def verify(
    folder: str | Path,
    attempts: int = 500,
    friction: float = 0.4,
    seed: int = 0,
    workers: int = 1,
    objects: str | Path | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Executes random labels of a data set, all labels equally likely, and keeps the figure in dataset.json.

    The figure stands under "truth" and the friction; the recipe and its hash stay as they are.

    Args:
        folder: A finished data set.
        attempts: How many labels; all of them if it has fewer.
        friction: Of the fingertips.
        seed: Draws the labels and the bootstrap.
        workers: Processes; the result does not depend on them.
        objects: The folder of URDFs that the data set was made from, where they are not PyBullet's.
        progress: Whether to show a progress bar.

    Returns:
        One row per attempt: ``image, scene, row, col, angle_bin, depth, width`` (metres), ``tilt``
        (degrees between approach and plumb line), ``object`` (name), ``success, reason``, ``held``
        (name of the object that was lifted, "" if none).

    Raises:
        InputError: An argument is out of range, or the data set's objects are not found.
    """
    check_arguments("verify", {"attempts": attempts, "workers": workers}, seed, friction)
    data = DataSet(folder)
    models = find_objects(data, objects)
    picked = draw_labels(data.grasp_counts(), attempts, seed)
    if not picked:
        raise InputError(f"{data.folder} holds no labels to verify")
    frame = execute_all(_jobs(data, models, picked), friction, workers, len(picked), progress)
    frame = frame.sort_values(["image", "row", "col", "angle_bin"], ignore_index=True)
    truth = {**data.info.get("truth", {}), f"{friction:g}": {**summarise_truth(frame, seed), "seed": seed}}
    write_json(data.folder / "dataset.json", {**data.info, "truth": truth})
    return frame


def check_arguments(command: str, counts: dict[str, int], seed: int, friction: float) -> None:
    """Raises InputError where a count is below 1, the seed negative or the friction not positive."""
    for name, value, least in (*((name, value, 1) for name, value in counts.items()), ("seed", seed, 0)):
        if value < least:
            raise InputError(f"{command}: {name} is {value}; give at least {least}")
    if not (np.isfinite(friction) and friction > 0):
        raise InputError(f"{command}: friction is {friction}; give a positive number")


def find_objects(data: DataSet, folder: str | Path | None = None) -> ObjectSet:
    """Returns the object set that a data set was made from.

    Args:
        data: The data set.
        folder: Where its URDFs lie; not needed for PyBullet's objects.

    Raises:
        InputError: They are not found, or are not the same files.
    """
    recipe = data.info["recipe"]["objects"]
    if "imported" in data.info:
        raise InputError(f"{data.folder} was imported: its objects are not known, so its scenes cannot be rebuilt")
    name = str(recipe["name"])
    if folder is not None:
        found = ObjectSet.from_folder(folder, scale=data.read(0, ("objects",))["objects"][0].scale)
    elif match := re.fullmatch(r"pybullet-(\d+)-(\d+)", name):
        found = ObjectSet.pybullet(int(match[1]), int(match[2]))
    else:
        raise InputError(f"{data.folder} was made from the objects '{name}'; give their folder: objects=FOLDER")
    if digest_objects(found) != recipe["sha256"]:
        raise InputError(
            f"the {len(found)} objects of '{found.name}' are not the {recipe['count']} that {data.folder} was made "
            f"from ('{name}'): files, names or scale differ; give the folder that it was made from: objects=FOLDER"
        )
    return found


def summarise_truth(attempts: pd.DataFrame, seed: int = 0) -> dict[str, Any]:
    """Returns the figures of some attempts as JSON can hold them.

    Args:
        attempts: Rows of ``verify``.
        seed: Of the bootstrap.

    Returns:
        ``attempts``, ``scenes``, ``objects`` (counts); ``lifted`` (share), ``interval`` (95 %, scenes
        resampled; None with fewer than two scenes), ``macro`` (mean of the objects' shares),
        ``by_tilt`` (``lifted`` and ``attempts`` of each band, degrees).
    """
    by_object = attempts.groupby("object").success.mean()
    tilts = attempts.success.groupby(_bands(attempts, "tilt"), observed=True).agg(["mean", "count"])
    return {
        "attempts": len(attempts),
        "scenes": int(attempts.scene.nunique()),
        "objects": len(by_object),
        "lifted": float(attempts.success.mean()),
        "interval": bootstrap_share(attempts.scene, attempts.success, seed),
        "macro": float(by_object.mean()),
        "by_tilt": {
            str(band): {"lifted": float(r["mean"]), "attempts": int(r["count"])} for band, r in tilts.iterrows()
        },
    }


def bootstrap_share(scene: ArrayLike, success: ArrayLike, seed: int = 0) -> list[float] | None:
    """Returns the 95 % interval of a share, whole scenes resampled: grasps of one scene are not independent.

    Args:
        scene: (N,) which scene each trial belongs to.
        success: (N,) bool.
        seed: Of the resampling.

    Returns:
        Lower and upper end, or None with fewer than two scenes.
    """
    trials = pd.DataFrame({"scene": np.asarray(scene), "success": np.asarray(success, bool)})
    scenes = trials.groupby("scene").success.agg(["sum", "count"]).to_numpy()
    if len(scenes) < 2:
        return None
    pick = np.random.default_rng(seed).integers(len(scenes), size=(_RESAMPLES, len(scenes)))
    successes, counts = scenes[pick].sum(axis=1).T
    return [float(x) for x in np.quantile(successes / counts, (0.025, 0.975))]


def describe_truth(attempts: pd.DataFrame, friction: float, seed: int = 0) -> str:
    """Returns what the command prints: the figures, what failed, and tables by angle, depth, width and tilt.

    Args:
        attempts: Rows of ``verify``.
        friction: That they were executed with.
        seed: Of the bootstrap.
    """
    figures = summarise_truth(attempts, seed)
    interval = "no interval: one scene only"
    if figures["interval"] is not None:
        interval = "95 % interval over scenes {:.1f} to {:.1f} %".format(*(100 * x for x in figures["interval"]))
    failures = attempts.reason[~attempts.success].value_counts()
    reasons = ", ".join(f"{count} {reason}" for reason, count in failures.items()) or "none"
    lines = [
        f"{attempts.success.sum()} of {len(attempts)} labels lift at friction {friction:g}: "
        f"{100 * figures['lifted']:.1f} % ({interval})",
        f"mean over {figures['objects']} objects: {100 * figures['macro']:.1f} %; "
        f"{figures['scenes']} scenes; failures: {reasons}",
    ]
    groups = {"angle bin": attempts.angle_bin.astype(str)}
    groups |= {f"{name} ({unit})": _bands(attempts, name) for name, (unit, _, _) in _GROUPS.items()}
    for title, group in groups.items():
        table = attempts.success.groupby(group, observed=True, sort=title != "angle bin").agg(["mean", "count"])
        if title == "angle bin":
            table = table.sort_index(key=lambda index: index.astype(int))
        cells = [f"{key}: {100 * row['mean']:.0f} % of {row['count']:.0f}" for key, row in table.iterrows()]
        lines += [f"by {title}", *("  " + "   ".join(cells[i : i + 6]) for i in range(0, len(cells), 6))]
    return "\n".join(lines)


def describe_tilts(truth: dict[str, dict[str, Any]]) -> str:
    """Returns a table of tilt and friction from what ``verify`` keeps in dataset.json under "truth"."""
    columns = {f"friction {friction}": truth[friction].get("by_tilt", {}) for friction in sorted(truth, key=float)}
    bands = sorted({band for column in columns.values() for band in column}, key=lambda band: float(band.split("-")[0]))
    cells = {
        name: [f"{100 * b['lifted']:.1f} % of {b['attempts']}" if (b := column.get(band)) else "-" for band in bands]
        for name, column in columns.items()
    }
    return pd.DataFrame(cells, index=pd.Index(bands, name="tilt (deg)")).to_string()


def _bands(attempts: pd.DataFrame, name: str) -> pd.Series:
    """Returns the band of ``_GROUPS`` that each row's depth, width or tilt lies in."""
    _, factor, edges = _GROUPS[name]
    labels = [f"{a:g}-{b:g}" if np.isfinite(b) else f"{a:g}-" for a, b in pairwise(edges)]
    # A hair up, so that float32's 0.02 and a tilt of -0 fall where they belong.
    return pd.cut(attempts[name] * factor + 1e-3, edges, labels=labels, right=False)


def draw_labels(counts: NDArray[np.int64], attempts: int, seed: int) -> dict[int, NDArray[np.int64]]:
    """Returns, per image, which of its labels are drawn; all labels of all images are equally likely.

    Args:
        counts: (N,) how many labels each image has.
        attempts: How many to draw, without replacement; all if there are fewer.
        seed: Of the draw.
    """
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    drawn = np.sort(np.random.default_rng(seed).choice(total, min(attempts, total), replace=False))
    images = np.searchsorted(ends, drawn, side="right")
    starts = np.concatenate([[0], ends[:-1]])
    return {int(image): drawn[images == image] - starts[image] for image in np.unique(images)}


def _jobs(data: DataSet, objects: ObjectSet, picked: dict[int, NDArray[np.int64]]) -> Iterator[Job]:
    """Yields, per image, the labels that were drawn, ready to be executed."""
    recipe = data.info["recipe"]
    for image, index in picked.items():
        frame = data.read(image, ("depth", "instance_mask", "objects"))
        yield make_label_job(recipe, objects, frame, image, frame["grasps"][index], recipe["labels"]["angles"])


class Job(NamedTuple):
    """Grasps of one image, to be executed in its scene.

    Attributes:
        state: The rebuilt scene.
        physics: Its physics.
        gripper: The gripper.
        grasps: In the world frame.
        heads: What is known of each grasp before it is executed.
        names: The objects' names, in the state's order.
    """

    state: SceneState
    physics: PhysicsSettings
    gripper: GripperGeometry
    grasps: GraspPoses
    heads: pd.DataFrame
    names: list[str]


def rebuild_scene(recipe: dict[str, Any], objects: ObjectSet, frame: Frame) -> SceneState:
    """Returns the scene of an image that was read with its ``objects``; ``recipe`` is the data set's."""
    models = tuple(replace(objects.model(o.name), scale=o.scale) for o in frame["objects"])
    poses = np.array([o.pose_world for o in frame["objects"]])
    return SceneState(models, poses, TraySettings(**recipe["scene"]["tray"]))


def make_job(
    recipe: dict[str, Any], objects: ObjectSet, frame: Frame, image: int, grasps: PixelGrasps, heads: pd.DataFrame
) -> Job:
    """Returns grasps of one image as a job; its heads get ``image, scene, tilt, object``.

    Args:
        recipe: The data set's.
        objects: Its objects.
        frame: The image, read with depth, instance_mask and objects.
        image: Its number.
        grasps: N grasps on object pixels of it.
        heads: N rows of whatever else is known of them.
    """
    depth = frame["depth"]
    camera = PinholeCamera(depth.shape[1], depth.shape[0], frame["intrinsics"], frame["pose"])
    poses = grasps.to_poses(depth, camera).transform(frame["pose"], "world")
    names = {o.mask_value: o.name for o in frame["objects"]}
    owners = frame["instance_mask"][grasps.row, grasps.col]
    heads = heads.assign(
        image=image,
        scene=frame["scene"],
        tilt=np.degrees(np.arccos(np.clip(-poses.rotation[:, 2, 2], -1, 1))),
        object=[names[int(value)] for value in owners],
    )
    state = rebuild_scene(recipe, objects, frame)
    physics, gripper = PhysicsSettings(**recipe["scene"]["physics"]), GripperGeometry(**recipe["gripper"])
    return Job(state, physics, gripper, poses, heads, [o.name for o in frame["objects"]])


def make_label_job(
    recipe: dict[str, Any], objects: ObjectSet, frame: Frame, image: int, labels: GraspLabels, angles: int
) -> Job:
    """Returns labels of one image as a job: ``make_job`` with the labels as heads; ``angles`` is K."""
    heads = pd.DataFrame({name: getattr(labels, name) for name in ("row", "col", "angle_bin", "depth", "width")})
    return make_job(recipe, objects, frame, image, labels.to_pixel_grasps(angles), heads)


def execute_all(jobs: Iterable[Job], friction: float, workers: int, count: int, progress: bool) -> pd.DataFrame:
    """Executes jobs in processes; returns their heads with ``success, reason, held`` (object lifted, or "").

    Args:
        jobs: The jobs.
        friction: Of the fingertips.
        workers: Processes; the rows do not depend on them, their order may.
        count: Number of jobs, for the progress bar.
        progress: Whether to show one.
    """
    calls = (joblib.delayed(_execute)(job, friction) for job in jobs)
    parts = joblib.Parallel(n_jobs=workers, return_as="generator")(calls)
    console = Console(stderr=True, quiet=not progress)
    return pd.concat(list(track(parts, "attempts by image", count, console=console)), ignore_index=True)


def _execute(job: Job, friction: float) -> pd.DataFrame:
    """Executes grasps of one scene, each in the scene as it was; runs in a worker."""
    world = World(job.physics, job.state.tray)
    try:
        results = [attempt(world, job.state, job.grasps[i], job.gripper, friction) for i in range(len(job.grasps))]
    finally:
        world.close()
    return job.heads.assign(
        success=[r.success for r in results],
        reason=[r.reason for r in results],
        held=[job.names[r.object_index] if r.success else "" for r in results],
    )
