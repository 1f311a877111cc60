"""Data set generation, in processes and resumable: scenes are staged, packed into shards, and described as a whole.

``labeler.dataset.frames`` makes the images and labels of a scene, ``labeler.dataset.staging`` keeps scenes that are
not packed yet. Fixed ranges of scenes become shards. A killed run goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from rich.console import Console

from labeler.dataset.frames import make_frames, make_scene
from labeler.dataset.manifest import (
    ASIDE,
    MANIFEST,
    MANIFEST_LOCK,
    STAKE,
    Counts,
    FailedScene,
    Manifest,
    ShardLine,
    find_hash,
    find_recipe,
    parse,
    read_manifest,
    stake,
    write_manifest,
)
from labeler.dataset.progress import SceneProgress
from labeler.dataset.recipe import DataSetRecipe
from labeler.dataset.staging import (
    STAGING,
    clear_leftovers,
    is_staged,
    open_staging,
    read_failure,
    remove_staged,
    scene_path,
    stage_all,
)
from labeler.shards.reader import ShardReader
from labeler.shards.writer import ShardWriter
from sim.camera import warn_unseen
from sim.errors import InputError
from sim.files import FULL, locked, write_error
from sim.identity.content import describe, differences

__all__ = ["DataSetRecipe", "generate", "make_frames", "make_scene"]

SCENES_PER_SHARD = 20
_PACKAGES = ("numpy", "numba", "pybullet", "h5py", "hdf5plugin", "opencv-python-headless", "plgp")


def generate(
    recipe: DataSetRecipe, folder: str | Path, workers: int = 1, *, progress: bool = True, backend: str = "loky"
) -> Path:
    """Generates a data set, or what is missing of it.

    Returns at once if the folder holds the finished data set of the same recipe; goes on where
    an interrupted run stopped. A scene that fails is reported with its seed and skipped. If another
    run is making the same folder (two jobs of a multirun, say), it waits for that one.

    Args:
        recipe: The recipe.
        folder: Folder of the data set; made if it does not exist.
        workers: Number of processes, one thread each; a single one takes as many threads as numba has.
        progress: Whether to show a progress bar.
        backend: Backend of ``sim.jobs.run_jobs``; on a cluster, every machine must see the folder.

    Returns:
        The folder.

    Raises:
        InputError: The folder holds another recipe's data, cannot be written, the disk is full, the
            backend is not there, the objects' files cannot be read, or no scene could be made.
    """
    folder, console = Path(folder), Console(stderr=True, quiet=not progress)
    if _is_complete(recipe, folder):
        return folder
    warn_unseen(recipe.camera, recipe.camera_height, recipe.scene.tray.floor)
    with open_staging(folder, console) as staging:
        if not _is_complete(recipe, folder):  # by the run that this one waited for
            if not _is_ours(recipe, folder, STAKE):
                stake(folder, recipe.hash, recipe.describe())
            clear_leftovers(folder, staging, workers=workers)
            _make_missing(recipe, folder, staging, console=console, workers=workers, backend=backend)
        shutil.rmtree(staging, ignore_errors=True)
    return folder


def _make_missing(
    recipe: DataSetRecipe, folder: Path, staging: Path, *, console: Console, workers: int, backend: str
) -> None:
    """Makes the scenes that are not there yet, packs them into shards and describes the whole."""
    try:
        for shard in _shards(recipe):
            _pack(recipe, folder, staging, shard)
        missing = [i for i in range(recipe.scenes) if not _is_made(folder, staging, i)]
        with (
            SceneProgress(recipe.name, recipe.scenes, recipe.scenes - len(missing), console=console) as display,
            contextlib.closing(stage_all(recipe, staging, missing, workers=workers, backend=backend)) as made,
        ):
            for staged in made:
                what = f"scene {staged.scene} (seed [{recipe.seed}, {staged.scene}]) skipped: {staged.failure}"
                display.show(staged.images, staged.labels, what if staged.failure else "")
                _pack(recipe, folder, staging, staged.scene // SCENES_PER_SHARD)
        _finish(recipe, folder, staging)
    except OSError as error:
        if error.errno in FULL:
            clear_leftovers(folder, staging, workers=workers)  # a worker that was ended while it wrote left its part
            raise write_error(folder, error) from error
        raise


def _is_complete(recipe: DataSetRecipe, folder: Path) -> bool:
    """Tells whether the folder holds the recipe's finished data; a lost shard makes it unfinished again."""
    if not _is_ours(recipe, folder, MANIFEST):
        return False
    if all((folder / line.file).is_file() for line in read_manifest(folder).shards):
        return True
    staging = folder / STAGING
    staging.mkdir(exist_ok=True)
    with locked(folder / MANIFEST_LOCK):  # a verification may be writing its figures
        (folder / MANIFEST).replace(folder / ASIDE)  # what was measured of the same shards is still true of them
    return False


def _is_ours(recipe: DataSetRecipe, folder: Path, file: str) -> bool:
    """Tells whether a file of the folder names the recipe; raises InputError if it names another one."""
    found = find_hash(folder, file)
    if found not in (None, recipe.hash, *recipe.former_hashes):
        differs = list(differences(describe(recipe.describe()), find_recipe(folder, file)))[:3]
        raise InputError(
            f"{folder} holds data of another recipe ({'; '.join(differs) or f'hash {str(found)[:8]}'}); "
            "choose another name or folder, or delete it"
        )
    return found is not None


def _shards(recipe: DataSetRecipe) -> range:
    return range(-(-recipe.scenes // SCENES_PER_SHARD))


def _shard_path(folder: Path, shard: int) -> Path:
    return folder / f"shard-{shard:05d}.h5"


def _is_made(folder: Path, staging: Path, scene: int) -> bool:
    return _shard_path(folder, scene // SCENES_PER_SHARD).is_file() or is_staged(staging, scene)


def _pack(recipe: DataSetRecipe, folder: Path, staging: Path, shard: int) -> None:
    """Packs a shard once all its scenes are staged; then their files go."""
    members = range(shard * SCENES_PER_SHARD, min(recipe.scenes, (shard + 1) * SCENES_PER_SHARD))
    path = _shard_path(folder, shard)
    if not path.is_file():
        if not all(is_staged(staging, scene) for scene in members):
            return
        failed = []
        with ShardWriter(path, scores=recipe.scores) as writer:
            for scene in members:
                if scene_path(staging, scene).is_file():
                    reader = ShardReader(scene_path(staging, scene))
                    writer.add_all(reader)
                    reader.close()
                else:
                    failed.append(read_failure(staging, scene))
            writer.set_note("failed_scenes", failed)
    for scene in members:
        remove_staged(staging, scene)


def _finish(recipe: DataSetRecipe, folder: Path, staging: Path) -> None:
    """Writes dataset.json, with what was measured of the same shards before: from here on the data set is whole."""
    lines: list[ShardLine] = []
    failed: list[FailedScene] = []
    for shard in _shards(recipe):
        reader = ShardReader(_shard_path(folder, shard))
        failed += parse(tuple[FailedScene, ...], reader.note("failed_scenes"), f"{reader.path}: failed_scenes")
        lines.append(reader.describe())
        reader.close()
    if not any(line.images for line in lines):
        for line in lines:  # nothing worth keeping: the next run tries again
            (folder / line.file).unlink()
        raise InputError(f"none of the {recipe.scenes} scenes could be made; the first: {failed[0].failure}")
    manifest = Manifest(
        name=recipe.name,
        hash=recipe.hash,
        recipe=recipe.describe(),
        seed=recipe.seed,
        counts=Counts.of(lines, len(failed)),
        failed_scenes=tuple(failed),
        versions={name: _version(name) for name in _PACKAGES},
        shards=tuple(lines),
        objects=recipe.objects.source,
    )
    if not (staging / MANIFEST).is_file():
        write_manifest(folder, manifest)
        return
    with locked(folder / MANIFEST_LOCK):
        former = read_manifest(staging)
        if former.shards == manifest.shards:
            manifest = replace(manifest, truth=former.truth, recall=former.recall)
        write_manifest(folder, manifest)
        (folder / MANIFEST_LOCK).unlink(missing_ok=True)  # the folder is as one that never lost anything


def _version(package: str) -> str:
    try:
        return version(package)
    except ModuleNotFoundError:
        return "unknown"
