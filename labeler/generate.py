"""Data set generation: scenes -> views -> labels -> shards, in processes, resumable.

Each scene is staged as one small file; fixed ranges of scenes are packed into shards. A file
with its final name is whole, so a killed run goes on where it stopped.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numba
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from labeler.labels import label_view
from labeler.recipe import DataSetRecipe
from labeler.shards import SCHEMA_VERSION, Frame, ShardReader, ShardWriter, checksum, write_json
from sim import InputError
from sim.camera import ParallelCamera, PinholeCamera, random_view_pose
from sim.render import render_view
from sim.scene import Scene, SceneState

__all__ = ["DataSetRecipe", "generate"]

SCENES_PER_SHARD = 20
_TRIES = 10  # scenes that do not come to rest are dropped anew, so often
_LINE_SECONDS = 30  # between progress lines where there is no terminal
_PACKAGES = ("numpy", "numba", "pybullet", "h5py", "hdf5plugin", "opencv-python-headless", "plgp")


@dataclass(frozen=True)
class _Staged:
    """What a worker says about its scene: images and labels, or why it failed."""

    scene: int
    images: int = 0
    labels: int = 0
    failure: str = ""


def generate(recipe: DataSetRecipe, folder: str | Path, workers: int = 1, progress: bool = True) -> Path:
    """Generates a data set, or what is missing of it.

    Returns at once if the folder holds the finished data set of the same recipe; goes on where
    an interrupted run stopped. A scene that fails is reported with its seed and skipped.

    Args:
        recipe: What to make.
        folder: Where; made if it does not exist.
        workers: Processes, one thread each.
        progress: Whether to show a progress bar.

    Returns:
        The folder.

    Raises:
        InputError: The folder holds another recipe's data, cannot be written, or no scene could be made.
    """
    folder = Path(folder)
    if workers < 1:
        raise InputError(f"workers is {workers}; give at least 1")
    if _is_complete(recipe, folder):
        return folder
    staging = _prepare(recipe, folder)
    console = Console(stderr=True, quiet=not progress)
    try:
        _pack_all(recipe, folder, staging)
        missing = [i for i in range(recipe.scenes) if not _is_made(folder, staging, i)]
        with _Display(recipe, recipe.scenes - len(missing), console) as display:
            for staged in _stage_all(recipe, staging, missing, workers):
                display.show(staged, (recipe.seed, staged.scene))
                _pack(recipe, folder, staging, staged.scene // SCENES_PER_SHARD)
        _finish(recipe, folder)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(f"no space left for {folder}; make room and run the same command again") from error
        raise
    shutil.rmtree(staging, ignore_errors=True)
    return folder


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
    raise InputError(f"scene {scene} (seed {recipe.seed}) never came to rest; take smaller objects or fewer")


def _stage_scene(recipe: DataSetRecipe, staging: Path, scene: int, threads: int) -> _Staged:
    """Makes one scene's file, or a note of its failure; runs in a worker."""
    before = numba.get_num_threads()
    numba.set_num_threads(min(threads, before))
    try:
        frames = list(make_frames(recipe, scene))
    except Exception as error:  # whatever a scene runs into costs that scene, never the run
        failure = f"{type(error).__name__}: {error}"
        write_json(_failure_path(staging, scene), {"scene": scene, "failure": failure})
        return _Staged(scene, failure=failure)
    finally:
        numba.set_num_threads(before)
    with ShardWriter(_scene_path(staging, scene)) as writer:
        for frame in frames:
            writer.add(frame)
    return _Staged(scene, len(frames), sum(len(f["grasps"]) for f in frames))


def _stage_all(recipe: DataSetRecipe, staging: Path, scenes: list[int], workers: int) -> Iterator[_Staged]:
    if workers == 1 or len(scenes) <= 1:
        for scene in scenes:
            yield _stage_scene(recipe, staging, scene, numba.get_num_threads())
        return
    import joblib

    # loky starts fresh interpreters: nothing of this process's numba threads is forked.
    with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
        parallel = joblib.Parallel(n_jobs=workers, return_as="generator_unordered", pre_dispatch="2*n_jobs")
        yield from parallel(joblib.delayed(_stage_scene)(recipe, staging, scene, 1) for scene in scenes)


def _scene_path(staging: Path, scene: int) -> Path:
    return staging / f"scene-{scene:06d}.h5"


def _failure_path(staging: Path, scene: int) -> Path:
    return staging / f"scene-{scene:06d}.failed.json"


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


def _prepare(recipe: DataSetRecipe, folder: Path) -> Path:
    """Makes the folder, stakes it for the recipe and clears away what a killed run left half-written."""
    staging = folder / "staging"
    try:
        staging.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made ({error.strerror}); choose another folder") from error
    stake = folder / "recipe.json"
    if stake.is_file():
        _check_hash(recipe, folder, _read_json(stake).get("hash"))
    else:
        write_json(stake, {"hash": recipe.hash, "recipe": recipe.describe()})
    for leftover in [*folder.glob(".*.part"), *staging.glob(".*.part")]:
        if not _is_running(leftover.name.split(".")[-2]):
            leftover.unlink(missing_ok=True)
    return staging


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


class _Display:
    """A bar with images per second and time left; plain lines now and then where there is no terminal."""

    def __init__(self, recipe: DataSetRecipe, done: int, console: Console) -> None:
        self.console, self.recipe = console, recipe
        self.done, self.images, self.labels = done, 0, 0
        self.start = self.last_line = time.monotonic()
        self.bar = Progress(
            TextColumn(f"[bold]{recipe.name}[/] {{task.completed:.0f}}/{{task.total:.0f}} scenes"),
            BarColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self.task = self.bar.add_task("", total=recipe.scenes, completed=done, rate="")

    def __enter__(self) -> _Display:
        if self.done:
            self.console.print(f"{self.done} of {self.recipe.scenes} scenes are already there")
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()
        self.console.print(f"{self.done}/{self.recipe.scenes} scenes, {self._rate()}")

    def _rate(self) -> str:
        seconds = max(time.monotonic() - self.start, 1e-9)
        per_image = f", {self.labels / self.images:.0f} labels an image" if self.images else ""
        return f"{self.images / seconds:.2f} images/s{per_image}"

    def show(self, staged: _Staged, seed: tuple[int, int]) -> None:
        self.done, self.images, self.labels = self.done + 1, self.images + staged.images, self.labels + staged.labels
        self.bar.update(self.task, completed=self.done, rate=self._rate())
        if staged.failure:
            self.console.print(f"[yellow]scene {staged.scene} (seed {list(seed)}) skipped:[/] {staged.failure}")
        if not self.console.is_terminal and time.monotonic() - self.last_line > _LINE_SECONDS:
            self.last_line = time.monotonic()
            self.console.print(f"{self.done}/{self.recipe.scenes} scenes, {self._rate()}")
