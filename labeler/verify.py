"""Are a data set's labels true? Random labels, executed in physics in scenes rebuilt from the shards."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from labeler.recipe import digest_objects
from labeler.shards import DataSet, Frame, write_json
from sim import InputError
from sim.attempt import attempt
from sim.camera import PinholeCamera
from sim.grasp import GraspPoses
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
        (degrees between approach and plumb line), ``object`` (name), ``success, reason``.

    Raises:
        InputError: An argument is out of range, or the data set's objects are not found.
    """
    for name, value, least in (("attempts", attempts, 1), ("workers", workers, 1), ("seed", seed, 0)):
        if value < least:
            raise InputError(f"verify: {name} is {value}; give at least {least}")
    if not (np.isfinite(friction) and friction > 0):
        raise InputError(f"verify: friction is {friction}; give a positive number")
    data = DataSet(folder)
    models = find_objects(data, objects)
    picked = _draw(data, attempts, seed)
    jobs = (joblib.delayed(_execute)(*job, friction) for job in _jobs(data, models, picked))
    parts = joblib.Parallel(n_jobs=workers, return_as="generator")(jobs)
    console = Console(stderr=True, quiet=not progress)
    rows = [row for part in track(parts, "attempts by image", len(picked), console=console) for row in part]
    frame = pd.DataFrame(rows).sort_values(["image", "row", "col", "angle_bin"], ignore_index=True)
    truth = {**data.info.get("truth", {}), f"{friction:g}": {**summarise_truth(frame, seed), "seed": seed}}
    write_json(data.folder / "dataset.json", {**data.info, "truth": truth})
    return frame


def find_objects(data: DataSet, folder: str | Path | None = None) -> ObjectSet:
    """Returns the object set that a data set was made from.

    Args:
        data: The data set.
        folder: Where its URDFs lie; not needed for PyBullet's objects.

    Raises:
        InputError: They are not found, or are not the same files.
    """
    recipe = data.info["recipe"]["objects"]
    name = str(recipe["name"])
    if folder is not None:
        found = ObjectSet.from_folder(folder, data.read(0, ("objects",))["objects"][0].scale)
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
        resampled; None with fewer than two scenes), ``macro`` (mean of the objects' shares).
    """
    scenes = attempts.groupby("scene").success.agg(["sum", "count"])
    by_object = attempts.groupby("object").success.mean()
    interval = None
    if len(scenes) > 1:
        pick = np.random.default_rng(seed).integers(len(scenes), size=(_RESAMPLES, len(scenes)))
        shares = scenes["sum"].to_numpy()[pick].sum(axis=1) / scenes["count"].to_numpy()[pick].sum(axis=1)
        interval = [float(x) for x in np.quantile(shares, (0.025, 0.975))]
    return {
        "attempts": len(attempts),
        "scenes": len(scenes),
        "objects": len(by_object),
        "lifted": float(attempts.success.mean()),
        "interval": interval,
        "macro": float(by_object.mean()),
    }


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
    for name, (unit, factor, edges) in _GROUPS.items():
        labels = [f"{a:g}-{b:g}" if np.isfinite(b) else f"{a:g}-" for a, b in pairwise(edges)]
        # A hair up, so that float32's 0.02 and a tilt of -0 fall where they belong.
        groups[f"{name} ({unit})"] = pd.cut(attempts[name] * factor + 1e-3, edges, labels=labels, right=False)
    for title, group in groups.items():
        table = attempts.success.groupby(group, observed=True, sort=title != "angle bin").agg(["mean", "count"])
        if title == "angle bin":
            table = table.sort_index(key=lambda index: index.astype(int))
        cells = [f"{key}: {100 * row['mean']:.0f} % of {row['count']:.0f}" for key, row in table.iterrows()]
        lines += [f"by {title}", *("  " + "   ".join(cells[i : i + 6]) for i in range(0, len(cells), 6))]
    return "\n".join(lines)


def _draw(data: DataSet, attempts: int, seed: int) -> dict[int, NDArray[np.int64]]:
    """Returns, per image, which of its labels were drawn; all labels of the data set are equally likely."""
    ends = np.cumsum(data.grasp_counts())
    if not len(ends) or ends[-1] == 0:
        raise InputError(f"{data.folder} holds no labels to verify")
    rng, total = np.random.default_rng(seed), int(ends[-1])
    drawn = np.sort(rng.choice(total, min(attempts, total), replace=False))
    images = np.searchsorted(ends, drawn, side="right")
    starts = np.concatenate([[0], ends[:-1]])
    return {int(image): drawn[images == image] - starts[image] for image in np.unique(images)}


def _jobs(
    data: DataSet, objects: ObjectSet, picked: dict[int, NDArray[np.int64]]
) -> Iterator[tuple[SceneState, PhysicsSettings, GripperGeometry, GraspPoses, list[dict[str, Any]]]]:
    """Yields, per image, the rebuilt scene, the grasps that were drawn and their rows' heads."""
    recipe = data.info["recipe"]
    scene = recipe["scene"]
    tray, physics = TraySettings(**scene["tray"]), PhysicsSettings(**scene["physics"])
    gripper = GripperGeometry(**recipe["gripper"])
    for image, index in picked.items():
        frame = data.read(image, ("depth", "instance_mask", "objects"))
        poses, rows = _grasps(frame, image, index, recipe)
        models = tuple(replace(objects.model(o.name), scale=o.scale) for o in frame["objects"])
        state = SceneState(models, np.array([o.pose_world for o in frame["objects"]]), tray)
        yield state, physics, gripper, poses, rows


def _grasps(
    frame: Frame, image: int, index: NDArray[np.int64], recipe: dict[str, Any]
) -> tuple[GraspPoses, list[dict[str, Any]]]:
    """Returns the labels of one image in the world frame, and what is known of each."""
    depth, labels = frame["depth"], frame["grasps"][index]
    camera = PinholeCamera(depth.shape[1], depth.shape[0], frame["intrinsics"], frame["pose"])
    grasps = labels.to_pixel_grasps(recipe["labels"]["angles"]).to_poses(depth, camera)
    poses = grasps.transform(frame["pose"], "world")
    tilt = np.degrees(np.arccos(np.clip(-poses.rotation[:, 2, 2], -1, 1)))
    names = {o.mask_value: o.name for o in frame["objects"]}
    owners = frame["instance_mask"][labels.row, labels.col]
    return poses, [
        {
            "image": image,
            "scene": frame["scene"],
            "row": int(labels.row[i]),
            "col": int(labels.col[i]),
            "angle_bin": int(labels.angle_bin[i]),
            "depth": float(labels.depth[i]),
            "width": float(labels.width[i]),
            "tilt": float(tilt[i]),
            "object": names[int(owners[i])],
        }
        for i in range(len(labels))
    ]


def _execute(
    state: SceneState,
    physics: PhysicsSettings,
    gripper: GripperGeometry,
    grasps: GraspPoses,
    rows: list[dict[str, Any]],
    friction: float,
) -> list[dict[str, Any]]:
    """Executes grasps of one scene, each in the scene as it was; runs in a worker."""
    world = World(physics, state.tray)
    try:
        results = [attempt(world, state, grasps[i], gripper, friction) for i in range(len(grasps))]
    finally:
        world.close()
    return [{**row, "success": r.success, "reason": r.reason} for row, r in zip(rows, results, strict=True)]
