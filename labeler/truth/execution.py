"""The executing of grasps in physics: the place where a label's truth is measured.

``python -m labeler verify``, its recall and ``tradeoff`` draw grasps, labels or random ones, on the images of a data
set. Here each image's scene is rebuilt from its shard, and every grasp is executed in the scene as it was, by the very
attempt of the benchmark (``sim.benchmark``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from labeler.dataset.recipe import digest_objects
from labeler.labels import GraspLabels
from labeler.shards.data_set import DataSet
from labeler.shards.frame import Frame
from sim.benchmark.grasp_attempt import attempt
from sim.camera import ParallelCamera, PinholeCamera
from sim.cli.progress import followed
from sim.errors import InputError
from sim.grasp import GraspPoses, PixelGrasps
from sim.gripper import GripperGeometry
from sim.identity.objects import digest_meshes
from sim.judge.agreement import REASON, SUCCESS
from sim.judge.mujoco_world import MujocoWorld, load_mujoco
from sim.objects import ObjectSet
from sim.objects.folder import found_sources
from sim.objects.named import named_set
from sim.objects.settings import ObjectSource
from sim.physics import PhysicsSettings, TraySettings, World
from sim.render import render_view
from sim.scene import SceneState
from sim.view import SceneView
from sim.worlds import parallel_side

PHYSICS = ("bullet", "mujoco")
_NAMED = 5  # objects that a sentence names
FORMER_FORCE = 30.0  # newtons: of every hand, in data sets of the time when a recipe did not name it


def check_arguments(command: str, counts: Mapping[str, int], *, seed: int, friction: float) -> None:
    """Checks what the commands of this room share.

    Args:
        command: Name of the command, for the message.
        counts: Numbers that must be at least 1, by their names.
        seed: Seed, at least 0.
        friction: Friction of the fingertips, positive.

    Raises:
        InputError: One of them is out of range.
    """
    for name, value, least in (*((name, value, 1) for name, value in counts.items()), ("seed", seed, 0)):
        if value < least:
            raise InputError(f"{command}: {name} is {value}; give at least {least}")
    if not (np.isfinite(friction) and friction > 0):
        raise InputError(f"{command}: friction is {friction}; give a positive number")


def check_physics(command: str, physics: str) -> None:
    """Raises InputError for an engine that is not known or not installed.

    Args:
        command: Name of the command, for the message.
        physics: "bullet" or "mujoco".
    """
    if physics not in PHYSICS:
        raise InputError(f"{command}: physics is '{physics}'; choose {' or '.join(PHYSICS)}")
    if physics == "mujoco":
        load_mujoco()


def find_objects(data: DataSet, folder: str | Path | None = None) -> ObjectSet:
    """Returns the object set that a data set was made from.

    Args:
        data: The data set.
        folder: Folder of its objects, where they no longer lie where they lay. Data sets of an older plgp do not
            say where; they need it for all but PyBullet's objects.

    Raises:
        InputError: They are not found, or are not the same files.
    """
    recipe = data.manifest.recipe.get("objects")
    if recipe is None:
        raise InputError(f"{data.folder} does not say which objects it was made from: its scenes cannot be rebuilt")
    if data.manifest.imported is not None and data.manifest.objects is None:
        raise InputError(f"{data.folder} was imported: its objects are not known, so its scenes cannot be rebuilt")
    named = named_set(str(recipe["name"])) if folder is None else None
    found = named or _load_objects(data, str(recipe["name"]), folder)
    if not _made_from(data, found):
        gone = _missing(data, found)
        what = f"{gone} is not among them" if gone else "files, names or scale differ"
        raise InputError(
            f"the {len(found)} objects of '{found.name}' are not the {recipe['count']} that {data.folder} was made "
            f"from ('{recipe['name']}'): {what}; give the folder that it was made from: objects=FOLDER"
        )
    return found


def _made_from(data: DataSet, found: ObjectSet) -> bool:
    """Tells whether the objects of a set are those that a data set was made from, by their digests."""
    recipe = data.manifest.recipe["objects"]
    meshes = str(recipe.get("meshes", ""))  # not noted in data sets of an older plgp
    return digest_objects(found) == recipe["sha256"] and not (meshes and digest_meshes(found.models) != meshes)


def _missing(data: DataSet, found: ObjectSet) -> str:
    """Returns the names of objects in a data set's scenes that a set has not, the first few; "" if it has all."""
    firsts = np.unique(data.scenes, return_index=True)[1]
    used = {str(o.name) for image in firsts for o in data.read(int(image), ("objects",))["objects"]}
    gone = sorted(used - set(found.names))
    more = f" and {len(gone) - _NAMED} more" if len(gone) > _NAMED else ""
    return ", ".join(f"'{name}'" for name in gone[:_NAMED]) + more


def _load_objects(data: DataSet, name: str, folder: str | Path | None) -> ObjectSet:
    """Returns the objects of a data set whose name does not say how they are made; raises InputError."""
    kept = data.manifest.objects
    if kept is not None and (folder is None or "path" in kept.arguments):
        sources = found_sources(kept, data.folder)
        place = sources[0].arguments.get("path")
        if folder is None and place is not None and not Path(str(place)).exists():
            noted = kept.arguments["path"]  # as it is written there: what it comes to after a move may never have been
            raise InputError(
                f"{data.folder}: its objects lay in {noted}, which is gone; give their folder: objects=FOLDER"
            )
        return _load_noted(data, sources, folder)
    if folder is None:
        raise InputError(f"{data.folder} was made from the objects '{name}'; give their folder: objects=FOLDER")
    if name == "ycb":
        return ObjectSet.ycb(folder)
    if name == "shapenetsem":
        return ObjectSet.shapenetsem(folder)
    if name.startswith("egad-"):
        return ObjectSet.egad(folder, split=name.removeprefix("egad-"))
    return ObjectSet.from_folder(folder, scale=data.read(0, ("objects",))["objects"][0].scale)


def _load_noted(data: DataSet, sources: list[ObjectSource], folder: str | Path | None) -> ObjectSet:
    """Returns the objects of the first source that a data set was made from; where none is, of the first that loads."""
    loaded: list[ObjectSet] = []
    for source in sources:
        try:
            objects = ObjectSet.from_source(source, folder)
        except InputError:
            if source is sources[-1] and not loaded:
                raise
            continue
        if _made_from(data, objects):
            return objects
        loaded.append(objects)
    return loaded[0]


def draw_labels(counts: NDArray[np.int64], attempts: int, seed: int) -> dict[int, NDArray[np.int64]]:
    """Returns, per image, which of its labels are drawn; all labels of all images are equally likely.

    Args:
        counts: (N,) int64 numbers of labels of the images.
        attempts: Number of labels to draw, without replacement; all if there are fewer.
        seed: Seed of the draw.
    """
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    drawn = np.sort(np.random.default_rng(seed).choice(total, min(attempts, total), replace=False))
    images = np.searchsorted(ends, drawn, side="right")
    starts = np.concatenate([[0], ends[:-1]])
    return {int(image): drawn[images == image] - starts[image] for image in np.unique(images)}


class Job(NamedTuple):
    """Grasps of one image, to be executed in its scene.

    Attributes:
        state: Scene rebuilt from the shard.
        physics: Physics of the scene.
        gripper: Gripper that executes them.
        grasps: N grasps in the world frame.
        heads: N rows with what is known of each grasp before it is executed.
        names: Names of the objects, in the state's order.
    """

    state: SceneState
    physics: PhysicsSettings
    gripper: GripperGeometry
    grasps: GraspPoses
    heads: pd.DataFrame
    names: list[str]


def rebuild_scene(recipe: Mapping[str, Any], objects: ObjectSet, frame: Frame) -> SceneState:
    """Returns the scene of an image.

    Args:
        recipe: Recipe in the data set's manifest.
        objects: Objects of the data set.
        frame: The image, read with ``objects``.
    """
    models = tuple(replace(objects.model(o.name), scale=o.scale) for o in frame["objects"])
    poses = np.array([o.pose_world for o in frame["objects"]])
    return SceneState(models, poses, TraySettings.from_saved(frame.get("tray", recipe["scene"]["tray"])))


def rebuild_view(recipe: Mapping[str, Any], objects: ObjectSet, frame: Frame) -> SceneView:
    """Returns the noiseless view of an image, without RGB, as it was labelled.

    Args:
        recipe: Recipe in the data set's manifest.
        objects: Objects of the data set.
        frame: The image, read with ``instance_mask`` and ``objects``.
    """
    state = rebuild_scene(recipe, objects, frame)
    height, width = frame["instance_mask"].shape
    camera = PinholeCamera(width, height, frame["intrinsics"], frame["pose"])
    drawn = recipe.get("world") is not None  # each view has a camera of its own, which decides
    side = parallel_side(state.models, state.poses, camera) if drawn else recipe["parallel_side"]
    return render_view(state, camera, ParallelCamera.covering(recipe["pixels_per_metre"], side), rgb=False)


def make_job(
    recipe: Mapping[str, Any],
    objects: ObjectSet,
    frame: Frame,
    *,
    image: int,
    grasps: PixelGrasps,
    heads: pd.DataFrame,
) -> Job:
    """Returns grasps of one image as a job; its heads get ``image, scene, tilt, object, mass``.

    Args:
        recipe: Recipe in the data set's manifest.
        objects: Objects of the data set.
        frame: The image, read with ``depth``, ``instance_mask`` and ``objects``.
        image: Number of the image in the data set.
        grasps: N grasps on object pixels of the image.
        heads: N rows of whatever else is known of the grasps.
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
    masses = {o.name: objects.model(o.name).mass_properties()[0] for o in frame["objects"]}
    heads = heads.assign(mass=[masses[name] for name in heads.object])
    return make_pose_job(recipe, objects, frame, poses=poses, heads=heads)


def make_pose_job(
    recipe: Mapping[str, Any], objects: ObjectSet, frame: Frame, *, poses: GraspPoses, heads: pd.DataFrame
) -> Job:
    """Returns grasps anywhere in one image's scene as a job.

    Args:
        recipe: Recipe in the data set's manifest.
        objects: Objects of the data set.
        frame: The image, read with ``objects``.
        poses: N grasps in the world frame.
        heads: N rows of whatever is known of the grasps.
    """
    physics = PhysicsSettings(**recipe["scene"]["physics"])
    gripper = GripperGeometry(**{"force": FORMER_FORCE, **recipe["gripper"]})
    names = [o.name for o in frame["objects"]]
    return Job(rebuild_scene(recipe, objects, frame), physics, gripper, poses, heads, names)


def make_label_job(
    recipe: Mapping[str, Any], objects: ObjectSet, frame: Frame, *, image: int, labels: GraspLabels, angles: int
) -> Job:
    """Returns labels of one image as a job: ``make_job`` with the labels as heads.

    Args:
        recipe: Recipe in the data set's manifest.
        objects: Objects of the data set.
        frame: The image, read with ``depth``, ``instance_mask`` and ``objects``.
        image: Number of the image in the data set.
        labels: Labels of the image.
        angles: K, number of the labels' angle bins.
    """
    heads = pd.DataFrame({name: getattr(labels, name) for name in ("row", "col", "angle_bin", "depth", "width")})
    return make_job(recipe, objects, frame, image=image, grasps=labels.to_pixel_grasps(angles), heads=heads)


def execute_all(
    jobs: Iterable[Job],
    friction: float,
    workers: int,
    *,
    count: int,
    progress: bool = False,
    physics: str = "bullet",
) -> pd.DataFrame:
    """Executes jobs in processes.

    Args:
        jobs: The jobs.
        friction: Friction of the fingertips.
        workers: Number of processes; the rows do not depend on it, their order may.
        count: Number of jobs, for the progress bar.
        progress: Whether to show a progress bar.
        physics: "bullet", or "mujoco" to execute every grasp in MuJoCo as well.

    Returns:
        The jobs' heads with ``success, reason, held`` (name of the object that was lifted, "" if none), and with
        MuJoCo ``mujoco_success, mujoco_reason``.
    """
    calls = (joblib.delayed(_execute)(job, friction, physics) for job in jobs)
    parts = joblib.Parallel(n_jobs=workers, return_as="generator")(calls)
    shown = followed(parts, "images with attempts", count, quiet=not progress)
    rows: pd.DataFrame = pd.concat(list(shown), ignore_index=True)
    return rows


def _execute(job: Job, friction: float, physics: str) -> pd.DataFrame:
    """Executes grasps of one scene, each in the scene as it was; runs in a worker."""
    world = World(job.physics, job.state.tray)
    try:
        results = [attempt(world, job.state, job.grasps[i], job.gripper, friction) for i in range(len(job.grasps))]
    finally:
        world.close()
    rows: pd.DataFrame = job.heads.assign(
        success=[r.success for r in results],
        reason=[r.reason for r in results],
        held=[job.names[r.object_index] if r.success else "" for r in results],
    )
    if physics == "mujoco":
        judge = MujocoWorld(job.state, job.gripper, job.physics)
        second = [judge.attempt(job.grasps[i], friction) for i in range(len(job.grasps))]
        rows[SUCCESS], rows[REASON] = [r.success for r in second], [r.reason for r in second]
    return rows
