"""Scenes in the making: each is staged as one small file by a worker, until its shard can be packed.

A file with its final name is whole, so a killed run loses at most the scenes in hand. A scene that fails leaves a note
in place of its file. A scene whose process dies leaves a mark behind, and is given up after the third death. What may
be otherwise at the next run, a disk that is away or memory that runs short, is no scene's failure: it ends the run.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numba
from rich.console import Console

from labeler.dataset.frames import make_frames
from labeler.dataset.recipe import DataSetRecipe
from labeler.shards.frame import Frame
from labeler.shards.reader import ShardReader
from labeler.shards.writer import ShardWriter
from sim.errors import InputError
from sim.files import FULL, locked, write_error, write_json
from sim.jobs import WorkerLost, run_jobs

STAGING, LOCK = "staging", "lock"  # the folder in a data set's, and a file in it
_DEATHS = 3  # deaths of the process that makes a scene, before the scene is given up
_ALONE = "alone"  # empty file of the staging folder: the last run made its scenes in its own process
_ENDINGS = ("SIGTERM", "SIGHUP")  # a scheduler's time limit, a closed terminal; Windows lacks one


@dataclass(frozen=True, kw_only=True)
class StagedScene:
    """What a worker says of its scene.

    Attributes:
        scene: Number of the scene.
        images: Number of images staged.
        labels: Number of their labels.
        failure: The reason why there are none, or "".
    """

    scene: int
    images: int = 0
    labels: int = 0
    failure: str = ""


@contextlib.contextmanager
def open_staging(folder: Path, console: Console) -> Iterator[Path]:
    """Yields the data set's folder of unfinished work, once no other run works in it.

    Args:
        folder: Folder of the data set; made if it does not exist.
        console: Where a run says that it waits for another one.

    Raises:
        InputError: The folder cannot be made.
    """
    staging = folder / STAGING

    def tell() -> None:
        console.print(f"{folder} is being made by another run; waiting for it", soft_wrap=True)

    with contextlib.ExitStack() as stack:
        try:
            staging.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(staging / LOCK, waiting=tell))
        except OSError as error:
            raise write_error(folder, error, cure="choose another folder") from error
        yield staging


def clear_leftovers(folder: Path, staging: Path, *, workers: int) -> None:
    """Removes what killed runs left half-written in the data set's folder and in its staging folder.

    Args:
        folder: Folder of the data set.
        staging: The folder of ``open_staging``.
        workers: Number of processes. Of several, the run itself outlives those that die and counts their deaths; what
            ended such a run says nothing about its scenes. A single one is the run, and its marks stay for the next,
            if that is of a single one as well.
    """
    clear_parts(folder)
    clear_parts(staging)
    if workers > 1 or not (staging / _ALONE).exists():  # an older plgp did not say so
        for mark in staging.glob("scene-*.begun"):
            mark.unlink(missing_ok=True)
    for path in staging.glob("scene-*.h5"):
        if not _is_readable(path):  # by a disk's fault: under its final name a file was whole
            path.unlink(missing_ok=True)


def clear_parts(folder: Path) -> None:
    """Removes the half-written files of a folder whose processes are gone; one that lives may still be writing."""
    for leftover in folder.glob(".*.part"):
        if not _is_running(leftover.name.split(".")[-2]):
            leftover.unlink(missing_ok=True)


def stage_all(
    recipe: DataSetRecipe, staging: Path, scenes: Sequence[int], *, workers: int, backend: str
) -> Generator[StagedScene, None, None]:
    """Stages scenes on workers; those in hand when a worker died are tried again, each alone.

    Args:
        recipe: The recipe.
        staging: The folder of ``open_staging``.
        scenes: Numbers of the scenes.
        workers: Number of processes, one thread each; a single one takes as many threads as numba has.
        backend: Backend of ``sim.jobs.run_jobs``.

    Yields:
        Each scene that is staged or has failed, as it comes.

    Raises:
        InputError: The objects' files or the memory are away, which no scene is to blame for.
        WorkerLost: Workers die without having begun a scene.
    """
    if workers == 1 and backend not in ("dask", "ray"):
        (staging / _ALONE).touch()
    else:
        (staging / _ALONE).unlink(missing_ok=True)
    missing, lost = set(scenes), 0
    while missing:
        deaths = {scene: _deaths(staging, scene) for scene in sorted(missing)}
        batch = [scene for scene in deaths if deaths[scene]][:1] or list(deaths)
        jobs = ((recipe, staging, scene, workers) for scene in batch)
        try:
            with contextlib.closing(run_jobs(_stage_scene, jobs, workers, backend=backend)) as made:
                for staged in made:
                    missing.discard(staged.scene)
                    yield staged
        except WorkerLost:
            lost += deaths == {scene: _deaths(staging, scene) for scene in deaths}  # it died between two scenes
            if lost >= _DEATHS:
                raise


def is_staged(staging: Path, scene: int) -> bool:
    """Tells whether a scene's file, or the note of its failure, is there."""
    return scene_path(staging, scene).is_file() or _failure_path(staging, scene).is_file()


def scene_path(staging: Path, scene: int) -> Path:
    """Returns the file of a staged scene: a shard of its own."""
    return staging / f"scene-{scene:06d}.h5"


def read_failure(staging: Path, scene: int) -> dict[str, Any]:
    """Returns the note of a failed scene: ``scene`` and ``failure``."""
    path = _failure_path(staging, scene)
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({error}); delete it, and the scene is tried again") from error


def remove_staged(staging: Path, scene: int) -> None:
    """Removes a scene's file and note."""
    scene_path(staging, scene).unlink(missing_ok=True)
    _failure_path(staging, scene).unlink(missing_ok=True)


def _stage_scene(recipe: DataSetRecipe, staging: Path, scene: int, workers: int) -> StagedScene:
    """Makes one scene's file, or a note of its failure; runs in a worker, or in the run itself where that is alone.

    Raises:
        InputError: What it ran into may be otherwise at the next run.
    """
    if _deaths(staging, scene) >= _DEATHS:
        return _stage_failure(staging, scene, f"its process died {_DEATHS} times (killed, crashed or out of memory)")
    mark = _mark_path(staging, scene)
    with _removed_at_the_end(mark) if workers == 1 else contextlib.nullcontext():
        with mark.open("ab") as file:  # stays behind if the process dies
            file.write(b".")
        try:
            frames = _frames(recipe, scene, workers)
            if isinstance(frames, str):
                return _stage_failure(staging, scene, frames)
            with ShardWriter(scene_path(staging, scene), recipe.canvas, scores=recipe.scores) as writer:
                for frame in frames:
                    writer.add(frame)
        except BaseException as error:  # Ctrl-C, a full disk
            if not isinstance(error.__cause__, MemoryError):
                mark.unlink(missing_ok=True)
            raise
        mark.unlink(missing_ok=True)
    return StagedScene(scene=scene, images=len(frames), labels=sum(len(f["grasps"]) for f in frames))


@contextlib.contextmanager
def _removed_at_the_end(mark: Path) -> Iterator[None]:
    """Lets a signal that ends this process from outside, which is no scene's fault, remove a mark first.

    A program's own handlers stay. Outside the main thread no handler can be set, and none is.
    """

    def end(number: int, _: FrameType | None) -> None:
        mark.unlink(missing_ok=True)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    mine = threading.current_thread() is threading.main_thread()
    numbers = [getattr(signal, name) for name in _ENDINGS if mine and hasattr(signal, name)]
    taken = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in taken:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _frames(recipe: DataSetRecipe, scene: int, workers: int) -> list[Frame] | str:
    """Returns a scene's frames, or why it fails; raises InputError for what may be otherwise at the next run."""
    before = numba.get_num_threads()
    numba.set_num_threads(before if workers == 1 else 1)
    try:
        return list(make_frames(recipe, scene))
    except Exception as error:  # what a scene itself runs into costs that scene, never the run
        away = _system_error(error)
        if away is None:
            return f"{type(error).__name__}: {error}"
        if isinstance(away, MemoryError):
            again = "run the same command again"
            cure = f"free some memory and {again}" if workers == 1 else f"{again} with fewer workers"
            what = f"memory ran out at scene {scene} ({str(away) or 'none is left'})"
            raise InputError(f"{what}; {cure}, it goes on where it stopped") from away
        if away.errno in FULL:
            raise away from None
        cure = "when the files can be read again, the same command goes on where it stopped"
        raise InputError(f"scene {scene} cannot be made now: {error}; {cure}") from error
    finally:
        numba.set_num_threads(before)


def _system_error(error: BaseException) -> OSError | MemoryError | None:
    """Returns what the system lacks behind an exception, a file, a disk or memory; None where it lacks nothing."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, MemoryError) or (isinstance(found, OSError) and found.errno is not None):
            return found
        found = found.__cause__
    return None


def _stage_failure(staging: Path, scene: int, failure: str) -> StagedScene:
    write_json(_failure_path(staging, scene), {"scene": scene, "failure": failure})
    _mark_path(staging, scene).unlink(missing_ok=True)
    return StagedScene(scene=scene, failure=failure)


def _failure_path(staging: Path, scene: int) -> Path:
    return staging / f"scene-{scene:06d}.failed.json"


def _mark_path(staging: Path, scene: int) -> Path:
    """Returns the file that counts, in bytes, how often making the scene was begun and not ended."""
    return staging / f"scene-{scene:06d}.begun"


def _deaths(staging: Path, scene: int) -> int:
    path = _mark_path(staging, scene)
    return path.stat().st_size if path.is_file() else 0


def _is_readable(path: Path) -> bool:
    reader = ShardReader(path)
    try:
        return len(reader) > 0
    except InputError:
        return False
    finally:
        reader.close()


def _is_running(process: str) -> bool:
    """Tells whether a process of this number lives: it may still be writing."""
    try:
        os.kill(int(process), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return int(process) != os.getpid()
