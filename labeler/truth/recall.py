"""What do a data set's labels miss? Random grasps on objects, executed; which of those that lift has a label?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from labeler.dataset.manifest import Recall, check_keeping, keep_figures
from labeler.labels import GraspLabels
from labeler.shards.data_set import DataSet
from labeler.shards.frame import Frame
from labeler.truth.execution import Job, check_arguments, execute_all, find_objects, make_job
from sim.benchmark.baselines.random_grasps import random_grasps
from sim.benchmark.bootstrap import share_interval
from sim.camera import PinholeCamera
from sim.grasp import angle_to_bin
from sim.objects import ObjectSet

RADIUS_PX = 5.0  # a label stands for the grasps so near to it,
BINS = 1  # and within so many angle bins


def measure_recall(
    folder: str | Path,
    grasps: int = 200,
    friction: float = 0.4,
    *,
    seed: int = 0,
    workers: int = 1,
    objects: str | Path | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Executes random grasps on a data set's objects and keeps the figures in dataset.json.

    The figures stand under "recall" and the friction; the recipe and its hash stay as they are.

    Args:
        folder: Folder of a finished data set.
        grasps: Number of grasps in each scene, spread evenly over its views.
        friction: Friction of the fingertips.
        seed: Seed of the grasps and of the bootstrap.
        workers: Number of processes; the result does not depend on it.
        objects: Folder of the objects that the data set was made from, where they no longer lie where they lay.
        progress: Whether to show a progress bar.

    Returns:
        One row per grasp: ``image, scene, row, col, angle`` (radians), ``angle_bin, depth, width``
        (metres), ``tilt`` (degrees), ``object`` (name, of the pixel), ``success, reason``, ``held``
        (name of the object that was lifted, "" if none), ``labelled`` (whether a label stands for it).

    Raises:
        InputError: An argument is out of range, the data set's objects are not found, or its folder is read-only.
    """
    check_arguments("recall", {"grasps": grasps, "workers": workers}, seed=seed, friction=friction)
    data = DataSet(folder)
    models = find_objects(data, objects)
    check_keeping(data.folder)
    rows = execute_random(data, models, grasps, friction=friction, seed=seed, workers=workers, progress=progress)
    rows["labelled"] = False
    carriers = []
    for image in range(len(data)):
        frame = data.read(image, ("instance_mask", "objects"))
        own = rows.index[rows.image == image]
        rows.loc[own, "labelled"] = match_labels(rows.loc[own], frame, data.manifest.angles)
        carriers.append(label_carriers(frame, image))
    keep_figures(data.folder, friction, summarise_recall(rows, pd.concat(carriers, ignore_index=True), seed))
    return rows


def execute_random(
    data: DataSet,
    models: ObjectSet,
    grasps: int,
    *,
    friction: float,
    seed: int,
    workers: int,
    progress: bool = False,
) -> pd.DataFrame:
    """Executes random grasps on a data set's objects.

    Args:
        data: The data set.
        models: Objects of the data set.
        grasps: Number of grasps in each scene, spread evenly over its views.
        friction: Friction of the fingertips.
        seed: Seed of the grasps.
        workers: Number of processes; the result does not depend on it.
        progress: Whether to show a progress bar.

    Returns:
        The rows of ``measure_recall`` without ``labelled``.
    """
    views = pd.Series(data.scenes).groupby(data.scenes).cumcount().to_numpy()
    counts = np.bincount(data.scenes)[data.scenes]
    # The first views of a scene take what an even split leaves over.
    shares = grasps // counts + (views < grasps % counts)
    jobs = _jobs(data, models, shares, seed=seed)
    rows = execute_all(jobs, friction, workers, count=int((shares > 0).sum()), progress=progress)
    return rows.sort_values(["image", "row", "col", "angle"], ignore_index=True)


def find_labels(
    labels: GraspLabels,
    mask: NDArray[np.integer],
    *,
    row: ArrayLike,
    col: ArrayLike,
    angle_bin: ArrayLike,
    angles: int,
) -> NDArray[np.bool_]:
    """Tells for which grasps a label stands: on the same object, within 5 px and one angle bin, cyclic.

    Args:
        labels: Labels of one image.
        mask: (H, W) integer, instance mask of the image.
        row: (N,) integer, rows of the grasps, pixels.
        col: (N,) integer, columns of the grasps, pixels.
        angle_bin: (N,) integer, angle bins of the grasps.
        angles: K, number of angle bins.

    Returns:
        (N,) bool.
    """
    rows, cols, bins = (np.atleast_1d(np.asarray(a, np.int64)) for a in (row, col, angle_bin))
    own = (labels.row, labels.col, labels.angle_bin)
    label_rows, label_cols, label_bins = (a.astype(np.int64) for a in own)
    owners = mask[label_rows, label_cols]
    found = np.zeros(len(rows), bool)
    for i in range(len(rows)):  # one grasp against all labels at a time: no large matrices
        near = (label_rows - rows[i]) ** 2 + (label_cols - cols[i]) ** 2 <= RADIUS_PX**2
        turn = np.abs(label_bins - bins[i])
        found[i] = np.any(near & (np.minimum(turn, angles - turn) <= BINS) & (owners == mask[rows[i], cols[i]]))
    return found


def match_labels(grasps: pd.DataFrame, frame: Frame, angles: int) -> NDArray[np.bool_]:
    """Returns ``find_labels`` for rows of one image; ``frame`` holds ``grasps`` and ``instance_mask``."""
    places = {name: grasps[name].to_numpy() for name in ("row", "col", "angle_bin")}
    return find_labels(frame["grasps"], frame["instance_mask"], **places, angles=angles)


def label_carriers(frame: Frame, image: int) -> pd.DataFrame:
    """Returns the objects that carry a label in one image: rows of ``image, scene, object``."""
    labels, names = frame["grasps"], {o.mask_value: o.name for o in frame["objects"]}
    values = np.unique(frame["instance_mask"][labels.row, labels.col])
    return pd.DataFrame({"image": image, "scene": frame["scene"], "object": [names[int(v)] for v in values]})


def summarise_recall(grasps: pd.DataFrame, carriers: pd.DataFrame, seed: int = 0) -> Recall:
    """Returns the figures of executed random grasps.

    Args:
        grasps: Rows of ``measure_recall``.
        carriers: Rows of ``label_carriers``, all images.
        seed: Seed of the bootstrap.
    """
    lifted = grasps[grasps.success]
    in_scene, in_image = (_covered(lifted, carriers, key) for key in ("scene", "image"))
    return Recall(
        attempts=len(grasps),
        scenes=int(grasps.scene.nunique()),
        lifted_grasps=len(lifted),
        lifted=float(grasps.success.mean()) if len(grasps) else None,
        recall=float(lifted.labelled.mean()) if len(lifted) else None,
        interval=_interval(lifted.scene, lifted.labelled, seed),
        objects=len(in_scene),
        coverage=float(in_scene.covered.mean()) if len(in_scene) else None,
        coverage_interval=_interval(in_scene.scene, in_scene.covered, seed),
        coverage_by_image=float(in_image.covered.mean()) if len(in_image) else None,
        seed=seed,
    )


def _covered(lifted: pd.DataFrame, carriers: pd.DataFrame, key: str) -> pd.DataFrame:
    """Returns the pairs of (``key``, object) that a grasp lifts, and whether each is among the carriers."""
    pairs = lifted[["scene", "image", "held"]].drop_duplicates([key, "held"])
    labelled = set(zip(carriers[key], carriers.object, strict=True))
    covered = [pair in labelled for pair in zip(pairs[key], pairs.held, strict=True)]
    return pairs.assign(covered=np.array(covered, bool))


def _interval(scene: ArrayLike, success: ArrayLike, seed: int) -> tuple[float, float] | None:
    limits = share_interval(scene, success, seed)
    return None if limits is None else (limits[0], limits[1])


def describe_recall(figures: Recall, friction: float) -> str:
    """Returns what the command prints of ``summarise_recall``'s figures."""
    if not figures.lifted_grasps:
        return f"none of {figures.attempts} random grasps lifts at friction {friction:g}: no recall to tell"

    def percent(share: float | None) -> str:
        return f"{100 * (share or 0):.1f} %"

    def ends(interval: tuple[float, float] | None) -> str:
        return "one scene only" if interval is None else "{:.1f} to {:.1f} %".format(*(100 * x for x in interval))

    return "\n".join(
        [
            f"{figures.lifted_grasps} of {figures.attempts} random grasps on objects lift at friction "
            f"{friction:g}: {percent(figures.lifted)} ({figures.scenes} scenes)",
            f"a label stands for {percent(figures.recall)} of them, same object, within {RADIUS_PX:g} px and "
            f"{BINS} bin (95 % interval over scenes: {ends(figures.interval)})",
            f"of {figures.objects} objects that they lift, {percent(figures.coverage)} carry a label in a "
            f"view of their scene (95 % interval over scenes: {ends(figures.coverage_interval)}); "
            f"in the same image {percent(figures.coverage_by_image)}",
        ]
    )


def _jobs(data: DataSet, models: ObjectSet, shares: NDArray[np.int64], *, seed: int) -> Iterator[Job]:
    """Yields, per image, the rebuilt scene, its random grasps and their rows' heads."""
    recipe, gripper, angles = data.manifest.recipe, data.manifest.gripper, data.manifest.angles
    for image in np.flatnonzero(shares).tolist():
        frame = data.read(image, ("depth", "instance_mask", "objects"))
        depth, mask = frame["depth"], frame["instance_mask"]
        camera = PinholeCamera(depth.shape[1], depth.shape[0], frame["intrinsics"], frame["pose"])
        rng, on_objects = np.random.default_rng([seed, image]), (mask > 0) & (depth > 0)
        grasps, _ = random_grasps(depth, camera, gripper, where=on_objects, count=int(shares[image]), rng=rng)
        bins = angle_to_bin(grasps.angle, angles)
        columns = {"row": grasps.row, "col": grasps.col, "angle": grasps.angle, "angle_bin": bins}
        heads = pd.DataFrame({**columns, "depth": grasps.depth, "width": grasps.width})
        yield make_job(recipe, models, frame, image=image, grasps=grasps, heads=heads)
