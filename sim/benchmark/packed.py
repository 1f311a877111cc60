"""Finished scenes of many runs in one Parquet file: a folder's ``attempts.parquet``.

Its rows are the attempts of ``sim.benchmark.store``, in front of them a column ``run``, and behind them what each scene
was measured with, a column ``made_with_<part>`` for every part of the scene's identity. A run in such a folder is named
as a path below it: ``results/table2/baselines`` is the run ``baselines`` of ``results/table2/attempts.parquet``, though
there is no folder of that name. The run ``.`` is the packed folder itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from sim.errors import InputError
from sim.files import atomic_path, write_error

FILE = "attempts.parquet"
_IDENTITY = "made_with_"
_KEYS = ["policy", "category", "scene"]
_RANDOM = ("quality", "x", "y", "z", "qx", "qy", "qz", "qw", "width", "seconds", "plan_seconds")

Scene = tuple[pd.DataFrame, dict[str, str]]  # a scene's attempts, and the parts of its identity


def write_packed(path: Path, runs: Iterable[tuple[str, Iterable[Scene]]]) -> None:
    """Writes the finished scenes of some runs, whole or not at all.

    Args:
        path: File that is written.
        runs: Name and scenes of each run.

    Raises:
        InputError: The file cannot be written.
    """
    tables = [
        rows.assign(**{_IDENTITY + part: value for part, value in identity.items()}).assign(run=run)
        for run, scenes in runs
        for rows, identity in scenes
    ]
    attempts = pd.concat(tables, ignore_index=True)
    attempts.insert(0, "run", attempts.pop("run"))
    write_table(path, attempts)


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Writes a table as a small Parquet file, whole or not at all. Raises InputError where it cannot be written."""
    import pyarrow
    from pyarrow import parquet

    repeated = [str(c) for c in table.columns if c not in _RANDOM]  # a dictionary of random numbers only takes space
    content = pyarrow.Table.from_pandas(table, preserve_index=False)
    try:
        with atomic_path(path) as temporary:
            parquet.write_table(content, temporary, compression="zstd", compression_level=19, use_dictionary=repeated)
    except OSError as error:
        raise write_error(path, error) from error


def read_table(path: Path) -> pd.DataFrame:
    """Returns a Parquet file's table, kept in memory until the file changes. Do not change it in place.

    Raises:
        InputError: The file is broken.
    """
    return _read(path.absolute(), path.stat().st_mtime_ns)


@lru_cache(maxsize=16)
def _read(path: Path, changed: int) -> pd.DataFrame:
    import pyarrow
    from pyarrow import parquet

    try:
        table: pd.DataFrame = parquet.read_table(path, partitioning=None).to_pandas()
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{path} is broken; pack the runs again, or take it from Git") from error
    return table


def find_packed(folder: str | Path, name: str = FILE) -> tuple[Path, str] | None:
    """Returns the packed file that a run may lie in and the run's name there, or None.

    Args:
        folder: Folder of the run, which need not exist.
        name: Name of the packed file.
    """
    folder = Path(folder)
    for parent in (folder, *folder.parents):
        if (parent / name).is_file() and "run" in read_table(parent / name):
            return parent / name, folder.relative_to(parent).as_posix()
    return None


def rows_of_run(folder: str | Path, name: str = FILE) -> pd.DataFrame | None:
    """Returns a run's rows of a packed table without the column ``run``, or None where it has none.

    Args:
        folder: Folder of the run, which need not exist.
        name: Name of the packed file.
    """
    found = find_packed(folder, name)
    if found is None:
        return None
    table = read_table(found[0])
    rows = table[table["run"] == found[1]].drop(columns="run").reset_index(drop=True)
    return rows if len(rows) else None


def runs_of(path: Path) -> list[str]:
    """Returns the names of a packed file's runs, in the order in which they were packed."""
    return [str(name) for name in read_table(path)["run"].unique()]


def read_scenes(folder: str | Path, *, only: tuple[str, str, int] | None = None) -> Iterator[Scene]:
    """Yields the finished scenes of a run in a packed folder: none where it is not packed.

    Args:
        folder: Folder of the run, which need not exist.
        only: Policy, category and number of the one scene that is asked for.
    """
    rows = rows_of_run(folder)
    if rows is None:
        return
    for key, value in zip(_KEYS, only or (), strict=False):
        rows = rows[rows[key] == value]
    parts = [str(c) for c in rows.columns if str(c).startswith(_IDENTITY)]
    for _, scene in rows.groupby(_KEYS, sort=False):
        values: Any = scene[parts].iloc[0].dropna().to_dict()
        identity = {str(part).removeprefix(_IDENTITY): str(value) for part, value in values.items()}
        yield scene.drop(columns=parts).reset_index(drop=True), identity
