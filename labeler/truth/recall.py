"""What do a data set's labels miss? Random grasps on objects, executed; which of those that lift has a label?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from labeler.labels import GraspLabels
from labeler.shards import DataSet, Frame, write_json
from labeler.truth.verify import Job, check_arguments, execute_all, find_objects, make_job
from sim.benchmark.baselines.random_grasps import random_grasps
from sim.benchmark.bootstrap import share_interval
from sim.camera import PinholeCamera
from sim.grasp import angle_to_bin
from sim.gripper import GripperGeometry
from sim.objects import ObjectSet

RADIUS_PX = 5.0  # a label stands for the grasps so near to it,
BINS = 1  # and within so many angle bins


def measure_recall(
    folder: str | Path,
    grasps: int = 200,
    friction: float = 0.4,
    seed: int = 0,
    workers: int = 1,
    objects: str | Path | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Executes random grasps on a data set's objects and keeps the figures in dataset.json.

    They stand under "recall" and the friction; the recipe and its hash stay as they are.

    Args:
        folder: A finished data set.
        grasps: Of each scene, spread evenly over its views.
        friction: Of the fingertips.
        seed: Draws the grasps and the bootstrap.
        workers: Processes; the result does not depend on them.
        objects: The folder of URDFs that the data set was made from, where they are not PyBullet's.
        progress: Whether to show a progress bar.

    Returns:
        One row per grasp: ``image, scene, row, col, angle`` (radians)``, angle_bin, depth, width``
        (metres), ``tilt`` (degrees), ``object`` (name, of the pixel), ``success, reason``, ``held``
        (name of the object that was lifted, "" if none), ``labelled`` (whether a label stands for it).

    Raises:
        InputError: An argument is out of range, or the data set's objects are not found.
    """
    check_arguments("recall", {"grasps": grasps, "workers": workers}, seed, friction)
    data = DataSet(folder)
    frame = execute_random(data, find_objects(data, objects), grasps, friction, seed, workers, progress)
    frame["labelled"] = False
    carriers = []
    for image, index in frame.groupby("image").groups.items():
        view = data.read(int(image), ("instance_mask", "objects"))  # type: ignore[call-overload]
        frame.loc[index, "labelled"] = match_labels(frame.loc[index], view, data.info["recipe"]["labels"]["angles"])
    for image in range(len(data)):
        carriers.append(label_carriers(data.read(image, ("instance_mask", "objects")), image))
    figures = summarise_recall(frame, pd.concat(carriers, ignore_index=True), seed)
    recall = {**data.info.get("recall", {}), f"{friction:g}": {**figures, "seed": seed}}
    write_json(data.folder / "dataset.json", {**data.info, "recall": recall})
    return frame


def execute_random(
    data: DataSet, models: ObjectSet, grasps: int, friction: float, seed: int, workers: int, progress: bool = False
) -> pd.DataFrame:
    """Returns the rows of ``measure_recall`` without ``labelled``; a function of (data set, grasps, friction, seed)."""
    views = pd.Series(data.scenes).groupby(data.scenes).cumcount().to_numpy()
    counts = np.bincount(data.scenes)[data.scenes]
    # The first views of a scene take what an even split leaves over.
    shares = grasps // counts + (views < grasps % counts)
    frame = execute_all(_jobs(data, models, shares, seed), friction, workers, int((shares > 0).sum()), progress)
    return frame.sort_values(["image", "row", "col", "angle"], ignore_index=True)


def find_labels(
    labels: GraspLabels,
    mask: NDArray[np.integer],
    row: ArrayLike,
    col: ArrayLike,
    angle_bin: ArrayLike,
    angles: int,
) -> NDArray[np.bool_]:
    """Tells for which grasps a label stands: on the same object, within 5 px and one angle bin, cyclic.

    Args:
        labels: Of one image.
        mask: (H, W) integer, its instance mask.
        row: (N,) integer pixels.
        col: (N,) integer pixels.
        angle_bin: (N,) integer.
        angles: K.

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
    row, col, angle_bin = (grasps[name].to_numpy() for name in ("row", "col", "angle_bin"))
    return find_labels(frame["grasps"], frame["instance_mask"], row, col, angle_bin, angles)


def label_carriers(frame: Frame, image: int) -> pd.DataFrame:
    """Returns the objects that carry a label in one image: rows of ``image, scene, object``."""
    labels, names = frame["grasps"], {o.mask_value: o.name for o in frame["objects"]}
    values = np.unique(frame["instance_mask"][labels.row, labels.col])
    return pd.DataFrame({"image": image, "scene": frame["scene"], "object": [names[int(v)] for v in values]})


def summarise_recall(grasps: pd.DataFrame, carriers: pd.DataFrame, seed: int = 0) -> dict[str, Any]:
    """Returns the figures of executed random grasps as JSON can hold them.

    Args:
        grasps: Rows of ``measure_recall``.
        carriers: Rows of ``label_carriers``, all images.
        seed: Of the bootstrap.

    Returns:
        ``attempts, scenes, lifted_grasps`` (counts); ``lifted`` (share); ``recall``: of the grasps
        that lift, the share for which a label stands; ``objects``: how many (scene, object) any
        grasp lifts; ``coverage``: the share of them with at least one label in a view of the scene;
        ``coverage_by_image``: the same of (image, object), both in one image; ``interval`` and
        ``coverage_interval`` (95 %, scenes resampled). None for a share of nothing.
    """
    lifted = grasps[grasps.success]
    figures: dict[str, Any] = {
        "attempts": len(grasps),
        "scenes": int(grasps.scene.nunique()),
        "lifted_grasps": len(lifted),
        "lifted": float(grasps.success.mean()) if len(grasps) else None,
        "recall": float(lifted.labelled.mean()) if len(lifted) else None,
        "interval": share_interval(lifted.scene, lifted.labelled, seed),
    }
    for name, key in (("coverage", "scene"), ("coverage_by_image", "image")):
        pairs = lifted[["scene", "image", "held"]].drop_duplicates([key, "held"])
        labelled = set(zip(carriers[key], carriers.object, strict=True))
        covered = np.array([pair in labelled for pair in zip(pairs[key], pairs.held, strict=True)], bool)
        figures[name] = float(covered.mean()) if len(covered) else None
        if key == "scene":
            figures["objects"] = len(pairs)
            figures["coverage_interval"] = share_interval(pairs.scene, covered, seed)
    return figures


def describe_recall(figures: dict[str, Any], friction: float) -> str:
    """Returns what the command prints of ``summarise_recall``'s figures."""
    if not figures["lifted_grasps"]:
        return f"none of {figures['attempts']} random grasps lifts at friction {friction:g}: no recall to tell"

    def interval(name: str) -> str:
        limits = figures[name]
        return "one scene only" if limits is None else "{:.1f} to {:.1f} %".format(*(100 * x for x in limits))

    return "\n".join(
        [
            f"{figures['lifted_grasps']} of {figures['attempts']} random grasps on objects lift at friction "
            f"{friction:g}: {100 * figures['lifted']:.1f} % ({figures['scenes']} scenes)",
            f"a label stands for {100 * figures['recall']:.1f} % of them, same object, within {RADIUS_PX:g} px and "
            f"{BINS} bin (95 % interval over scenes: {interval('interval')})",
            f"of {figures['objects']} objects that they lift, {100 * figures['coverage']:.1f} % carry a label in a "
            f"view of their scene (95 % interval over scenes: {interval('coverage_interval')}); "
            f"in the same image {100 * figures['coverage_by_image']:.1f} %",
        ]
    )


def _jobs(data: DataSet, models: ObjectSet, shares: NDArray[np.int64], seed: int) -> Iterator[Job]:
    """Yields, per image, the rebuilt scene, its random grasps and their rows' heads."""
    recipe = data.info["recipe"]
    gripper = GripperGeometry(**recipe["gripper"])
    for image in np.flatnonzero(shares).tolist():
        frame = data.read(image, ("depth", "instance_mask", "objects"))
        depth, mask = frame["depth"], frame["instance_mask"]
        camera = PinholeCamera(depth.shape[1], depth.shape[0], frame["intrinsics"], frame["pose"])
        rng, on_objects = np.random.default_rng([seed, image]), (mask > 0) & (depth > 0)
        grasps, _ = random_grasps(depth, camera, gripper, where=on_objects, count=int(shares[image]), rng=rng)
        bins = angle_to_bin(grasps.angle, recipe["labels"]["angles"])
        columns = {"row": grasps.row, "col": grasps.col, "angle": grasps.angle, "angle_bin": bins}
        heads = pd.DataFrame({**columns, "depth": grasps.depth, "width": grasps.width})
        yield make_job(recipe, models, frame, image, grasps, heads)
