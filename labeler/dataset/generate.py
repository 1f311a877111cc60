"""Data set generation: scenes -> views -> labels -> shards, in processes, resumable.

Each scene is staged as one small file; fixed ranges of scenes are packed into shards. A file
with its final name is whole, so a killed run goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numba
import numpy as np
from rich.console import Console

from labeler.dataset.progress import SceneProgress
from labeler.dataset.recipe import DataSetRecipe
from labeler.labels import label_view
from labeler.shards import SCHEMA_VERSION, Frame, ShardReader, ShardWriter, checksum, write_json
from sim.camera import ParallelCamera, PinholeCamera, random_view_pose
from sim.errors import InputError
from sim.jobs import WorkerLost, run_jobs
from sim.render import render_view
from sim.scene import Scene, SceneState

__all__ = ["DataSetRecipe", "generate"]

SCENES_PER_SHARD = 20
_TRIES = 10  # scenes that do not come to rest are dropped anew, so often
_DEATHS = 3  # of the process that makes a scene, before the scene is given up
_FULL = (errno.ENOSPC, errno.EDQUOT)
_PACKAGES = ("numpy", "numba", "pybullet", "h5py", "hdf5plugin", "opencv-python-headless", "plgp")


@dataclass(frozen=True)
class _Staged:
    """What a worker says about its scene: images and labels, or why it failed."""

    scene: int
    images: int = 0
    labels: int = 0
    failure: str = ""


def generate(
    recipe: DataSetRecipe, folder: str | Path, workers: int = 1, progress: bool = True, backend: str = "loky"
) -> Path:
    """Generates a data set, or what is missing of it.

    Returns at once if the folder holds the finished data set of the same recipe; goes on where
    an interrupted run stopped. A scene that fails is reported with its seed and skipped. If another
    run is making the same folder (two jobs of a multirun, say), it waits for that one.

    Args:
        recipe: What to make.
        folder: Where; made if it does not exist.
        workers: Processes, one thread each; a single one takes as many threads as numba has.
        progress: Whether to show a progress bar.
        backend: See ``sim.jobs.run_jobs``; with a cluster, every machine must see the folder.

    Returns:
        The folder.

    Raises:
        InputError: The folder holds another recipe's data, cannot be written, the disk is full, the
            backend is not there, or no scene could be made.
    """
    folder, console = Path(folder), Console(stderr=True, quiet=not progress)
    if _is_complete(recipe, folder):
        return folder
    with _staging(folder, console) as staging:
        if not _is_complete(recipe, folder):  # by the run that this one waited for
            _prepare(recipe, folder, staging)
            _make_missing(recipe, folder, staging, console, workers, backend)
        shutil.rmtree(staging, ignore_errors=True)
    return folder


def _make_missing(
    recipe: DataSetRecipe, folder: Path, staging: Path, console: Console, workers: int, backend: str
) -> None:
    """Makes the scenes that are not there yet, packs them into shards and describes the whole."""
    try:
        _pack_all(recipe, folder, staging)
        missing = [i for i in range(recipe.scenes) if not _is_made(folder, staging, i)]
        with (
            SceneProgress(recipe.name, recipe.scenes, recipe.scenes - len(missing), console) as display,
            contextlib.closing(_stage_all(recipe, staging, missing, workers, backend)) as made,
        ):
            for staged in made:
                what = f"scene {staged.scene} (seed [{recipe.seed}, {staged.scene}]) skipped: {staged.failure}"
                display.show(staged.images, staged.labels, what if staged.failure else "")
                _pack(recipe, folder, staging, staged.scene // SCENES_PER_SHARD)
        _finish(recipe, folder)
    except OSError as error:
        if error.errno in _FULL:
            raise InputError(f"no space left for {folder}; make room and run the same command again") from error
        raise


def make_scene(recipe: DataSetRecipe, scene: int) -> SceneState:
    """Returns scene number ``scene`` at rest, a function of (recipe, number) alone.

    Raises:
        InputError: It did not come to rest with all its objects.
    """
    return _make_scene(recipe, scene, np.random.default_rng([recipe.seed, scene]))


def make_frames(recipe: DataSetRecipe, scene: int) -> Iterator[Frame]:
    """Yields the views of scene number ``scene`` with their labels, a function of (recipe, number) alone."""
    rng = np.random.default_rng([recipe.seed, scene])
    state = _make_scene(recipe, scene, rng)
    parallel = ParallelCamera.covering(recipe.pixels_per_metre, recipe.parallel_side)
    for number in range(recipe.views):
        pose = random_view_pose(rng, recipe.camera_height, recipe.max_offset)
        camera = PinholeCamera(recipe.camera.width, recipe.camera.height, recipe.camera.intrinsics, pose)
        # Colours have a generator of their own: whatever they draw, poses and noise stay the same.
        colours = np.random.default_rng(np.random.SeedSequence([recipe.seed, scene], spawn_key=(number,)))
        look = recipe.appearance.draw(colours, len(state.models))
        view = render_view(state, camera, parallel, back_layer=recipe.labels.undercut, appearance=look)
        if view.rgb is None:
            raise ValueError("the renderer gave no RGB image")
        yield {
            "rgb": view.rgb,
            "depth": view.depth,
            "depth_noisy": recipe.depth_noise(view.depth, rng),
            "instance_mask": view.instance_mask.astype(np.uint8),
            "grasps": label_view(view, recipe.gripper, recipe.labels),
            "intrinsics": camera.intrinsics,
            "pose": pose,
            "objects": view.objects,
            "scene": scene,
            "view": number,
        }


def _make_scene(recipe: DataSetRecipe, scene: int, rng: np.random.Generator) -> SceneState:
    count = recipe.object_counts[scene % len(recipe.object_counts)]
    for _ in range(_TRIES):
        with Scene(recipe.objects, recipe.scene) as world:
            world.drop(count, rng)
            if world.settle() and len(world.models) == count:
                return world.state(f"{recipe.objects.name}-{count}", recipe.seed)
    raise InputError(
        f"scene {scene} (seed {recipe.seed}) never came to rest in the tray; take smaller objects or fewer"
    )


def _stage_scene(recipe: DataSetRecipe, staging: Path, scene: int, threads: int) -> _Staged:
    """Makes one scene's file, or a note of its failure; runs in a worker."""
    if _deaths(staging, scene) >= _DEATHS:
        return _stage_failure(staging, scene, f"its process died {_DEATHS} times (killed, crashed or out of memory)")
    with _mark_path(staging, scene).open("ab") as mark:  # stays behind if the process dies
        mark.write(b".")
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, before))
    try:
        frames = list(make_frames(recipe, scene))
    except Exception as error:  # whatever a scene runs into costs that scene, never the run
        if isinstance(error, OSError) and error.errno in _FULL:
            raise
        return _stage_failure(staging, scene, f"{type(error).__name__}: {error}")
    finally:
        numba.set_num_threads(before)
    with ShardWriter(_scene_path(staging, scene)) as writer:
        for frame in frames:
            writer.add(frame)
    _mark_path(staging, scene).unlink(missing_ok=True)
    return _Staged(scene, len(frames), sum(len(f["grasps"]) for f in frames))


def _stage_failure(staging: Path, scene: int, failure: str) -> _Staged:
    write_json(_failure_path(staging, scene), {"scene": scene, "failure": failure})
    _mark_path(staging, scene).unlink(missing_ok=True)
    return _Staged(scene, failure=failure)


def _stage_all(
    recipe: DataSetRecipe, staging: Path, scenes: list[int], workers: int, backend: str
) -> Generator[_Staged, None, None]:
    """Stages scenes on workers; those in hand when a worker died are tried again, each alone."""
    threads = numba.get_num_threads() if workers == 1 else 1
    missing, lost = set(scenes), 0
    while missing:
        deaths = {scene: _deaths(staging, scene) for scene in sorted(missing)}
        batch = [scene for scene in deaths if deaths[scene]][:1] or list(deaths)
        jobs = ((recipe, staging, scene, threads) for scene in batch)
        try:
            with contextlib.closing(run_jobs(_stage_scene, jobs, workers, backend=backend)) as made:
                for staged in made:
                    missing.discard(staged.scene)
                    yield staged
        except WorkerLost:
            lost += deaths == {scene: _deaths(staging, scene) for scene in deaths}  # it died between two scenes
            if lost >= _DEATHS:
                raise


def _scene_path(staging: Path, scene: int) -> Path:
    return staging / f"scene-{scene:06d}.h5"


def _failure_path(staging: Path, scene: int) -> Path:
    return staging / f"scene-{scene:06d}.failed.json"


def _mark_path(staging: Path, scene: int) -> Path:
    """Returns the file that counts, in bytes, how often making the scene was begun and not ended."""
    return staging / f"scene-{scene:06d}.begun"


def _deaths(staging: Path, scene: int) -> int:
    path = _mark_path(staging, scene)
    return path.stat().st_size if path.is_file() else 0


def _shard_path(folder: Path, shard: int) -> Path:
    return folder / f"shard-{shard:05d}.h5"


def _is_made(folder: Path, staging: Path, scene: int) -> bool:
    return (
        _shard_path(folder, scene // SCENES_PER_SHARD).is_file()
        or _scene_path(staging, scene).is_file()
        or _failure_path(staging, scene).is_file()
    )


def _is_complete(recipe: DataSetRecipe, folder: Path) -> bool:
    """Whether the folder holds the recipe's finished data; a lost shard makes it unfinished again."""
    path = folder / "dataset.json"
    if not path.is_file():
        return False
    info = _read_json(path)
    _check_hash(recipe, folder, info.get("hash"))
    if all((folder / line["file"]).is_file() for line in info["shards"]):
        return True
    path.unlink()
    return False


@contextlib.contextmanager
def _staging(folder: Path, console: Console) -> Iterator[Path]:
    """The folder of unfinished work, once no other run works in it; the lock ends with its process."""
    staging = folder / "staging"
    try:
        staging.mkdir(parents=True, exist_ok=True)
        lock = (staging / "lock").open("w")
    except OSError as error:
        raise InputError(f"{folder} cannot be made ({error.strerror}); choose another folder") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.print(f"{folder} is being made by another run; waiting for it", soft_wrap=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            pass
        yield staging


def _prepare(recipe: DataSetRecipe, folder: Path, staging: Path) -> None:
    """Stakes the folder for the recipe and clears away what a killed run left half-written."""
    stake = folder / "recipe.json"
    if stake.is_file():
        _check_hash(recipe, folder, _read_json(stake).get("hash"))
    else:
        write_json(stake, {"hash": recipe.hash, "recipe": recipe.describe()})
    for leftover in [*folder.glob(".*.part"), *staging.glob(".*.part")]:
        if not _is_running(leftover.name.split(".")[-2]):
            leftover.unlink(missing_ok=True)
    for mark in staging.glob("scene-*.begun"):  # what ended a run says nothing about its scenes
        mark.unlink(missing_ok=True)
    for path in staging.glob("scene-*.h5"):
        if not _is_readable(path):  # by a disk's fault: under its final name a file was whole
            path.unlink(missing_ok=True)


def _is_readable(path: Path) -> bool:
    reader = ShardReader(path)
    try:
        return len(reader) > 0
    except InputError:
        return False
    finally:
        reader.close()


def _is_running(process: str) -> bool:
    """Whether a process of this number lives: it may still be writing."""
    try:
        os.kill(int(process), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return int(process) != os.getpid()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); delete its folder and generate it again") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is not a data set's description; choose another folder")
    return content


def _check_hash(recipe: DataSetRecipe, folder: Path, found: Any) -> None:
    if found != recipe.hash:
        raise InputError(
            f"{folder} holds data of another recipe (hash {str(found)[:8]}, asked for {recipe.hash[:8]}); "
            "choose another name or folder, or delete it"
        )


def _members(recipe: DataSetRecipe, shard: int) -> range:
    return range(shard * SCENES_PER_SHARD, min(recipe.scenes, (shard + 1) * SCENES_PER_SHARD))


def _pack_all(recipe: DataSetRecipe, folder: Path, staging: Path) -> None:
    for shard in range(-(-recipe.scenes // SCENES_PER_SHARD)):
        _pack(recipe, folder, staging, shard)


def _pack(recipe: DataSetRecipe, folder: Path, staging: Path, shard: int) -> None:
    """Packs a shard once all its scenes are staged; then their files go."""
    members, path = _members(recipe, shard), _shard_path(folder, shard)
    if not path.is_file():
        if not all(_is_made(folder, staging, scene) for scene in members):
            return
        failed = []
        with ShardWriter(path) as writer:
            for scene in members:
                if _scene_path(staging, scene).is_file():
                    reader = ShardReader(_scene_path(staging, scene))
                    writer.add_all(reader)
                    reader.close()
                else:
                    failed.append(_read_json(_failure_path(staging, scene)))
            writer.set_note("failed_scenes", failed)
    for scene in members:
        _scene_path(staging, scene).unlink(missing_ok=True)
        _failure_path(staging, scene).unlink(missing_ok=True)


def _finish(recipe: DataSetRecipe, folder: Path) -> None:
    """Writes dataset.json: from here on the data set is whole."""
    lines: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    for shard in range(-(-recipe.scenes // SCENES_PER_SHARD)):
        reader = ShardReader(_shard_path(folder, shard))
        failed += reader.note("failed_scenes")
        scenes, images = np.unique(reader.file["scene"][...], return_counts=True)
        lines.append(
            {
                "file": reader.path.name,
                "sha256": checksum(reader.path),
                "images": int(images.sum()),
                "grasps": int(reader.file["grasps/offsets"][-1]),
                "scenes": [[int(s), int(n)] for s, n in zip(scenes, images, strict=True)],
            }
        )
        reader.close()
    total = sum(line["images"] for line in lines)
    if total == 0:
        for line in lines:  # nothing worth keeping: the next run tries again
            (folder / line["file"]).unlink()
        raise InputError(f"none of the {recipe.scenes} scenes could be made; the first: {failed[0]['failure']}")
    info = {
        "name": recipe.name,
        "schema_version": SCHEMA_VERSION,
        "hash": recipe.hash,
        "recipe": recipe.describe(),
        "seed": recipe.seed,
        "counts": {
            "images": total,
            "scenes": sum(len(line["scenes"]) for line in lines),
            "grasps": sum(line["grasps"] for line in lines),
            "failed_scenes": len(failed),
        },
        "failed_scenes": failed,
        "versions": {name: _version(name) for name in _PACKAGES},
        "shards": lines,
    }
    write_json(folder / "dataset.json", info)


def _version(package: str) -> str:
    try:
        return version(package)
    except ModuleNotFoundError:
        return "unknown"
