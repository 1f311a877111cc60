"""Examples on disk: one Parquet file an image, whole or not there, so that a stopped preparation goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.progress import track

from labeler.shards import DataSet
from labeler.truth.execution import find_objects
from plgp.methods.dexnet.training.examples import COLUMNS, ExampleSettings, make_examples
from sim.errors import InputError
from sim.files import atomic_path, check_writable, write_error
from sim.identity.content import digest
from sim.jobs import run_jobs
from sim.objects import ObjectSet

_VERSION = 2  # of what an example means: raise it when the same settings would give others


def examples_folder(data: DataSet, settings: ExampleSettings, place: str | Path | None = None) -> Path:
    """Returns the folder of a data set's examples, one for each supervision and settings.

    Args:
        data: The data set.
        settings: Which grasps, and who says what comes of them.
        place: Folder that holds the folders of all settings; None is ``examples`` in the data set's own.
    """
    known = digest([_VERSION, data.hash, asdict(settings)])[:10]
    return Path(place or data.folder / "examples") / f"{settings.supervision}-{known}"


def prepare_examples(
    data: DataSet,
    images: Sequence[int],
    settings: ExampleSettings,
    *,
    place: str | Path | None = None,
    workers: int = 1,
    progress: bool = False,
) -> Path:
    """Makes the examples of some images that are not there yet.

    Args:
        data: The data set.
        images: Numbers of the images.
        settings: Which grasps, and who says what comes of them.
        place: See ``examples_folder``.
        workers: Number of processes.
        progress: Whether to show a progress bar.

    Returns:
        The folder of the examples.

    Raises:
        InputError: The folder cannot be written, or the data set's objects are not found.
    """
    folder = examples_folder(data, settings, place)
    missing = [image for image in images if not _file(folder, image).is_file()]
    if missing:
        check_writable(folder, cure="give another data.examples_folder")
        objects = find_objects(data) if settings.supervision != "all" else None
        jobs = ((data.folder, image, settings, objects, folder) for image in missing)
        done = run_jobs(_make, jobs, workers)
        console = Console(stderr=True, quiet=not progress)
        for _ in track(done, f"examples, {settings.supervision}", len(missing), console=console):
            pass
    return folder


def read_examples(folder: Path, image: int) -> pd.DataFrame:
    """Returns the examples of one image; raises InputError where the file is missing or broken."""
    path = _file(folder, image)
    try:
        rows = pd.read_parquet(path)
        return rows[list(COLUMNS)]
    except Exception as error:  # pyarrow raises whatever the broken file makes it raise
        raise InputError(f"{path} is missing or broken; remove it and run the same command again") from error


def _make(source: Path, image: int, settings: ExampleSettings, objects: ObjectSet | None, folder: Path) -> None:
    """Makes and writes the examples of one image; runs in a worker."""
    rows = make_examples(DataSet(source), image, settings, objects=objects)
    path = _file(folder, image)
    try:
        with atomic_path(path) as temporary:
            rows.to_parquet(temporary, index=False)
    except OSError as error:
        raise write_error(path, error, cure="give another data.examples_folder") from error


def _file(folder: Path, image: int) -> Path:
    return folder / f"image-{image:06d}.parquet"
