"""Finished benchmark scenes on disk: one Parquet file a scene, whole or not there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sim.benchmark import packed
from sim.benchmark.protocol import BenchmarkSettings
from sim.errors import InputError
from sim.files import atomic_path, write_error
from sim.scene import SceneState

_VERSION = 1  # of what an attempt means: raise it when the same settings would give other rows
_KEY = b"plgp"


class SceneKey(NamedTuple):
    """Whose rows a file holds: one policy's, in one scene.

    Attributes:
        policy: Name of the policy in tables.
        category: Category of the scene.
        number: Place of the scene in its category, from 0.
    """

    policy: str
    category: str
    number: int

    def file(self, folder: Path) -> Path:
        """Returns the file below a results folder."""
        return folder / self.policy / self.category / f"scene-{self.number:03d}.parquet"


def scene_identity(
    about: str, scene: SceneState, *, frictions: Sequence[float], settings: BenchmarkSettings
) -> dict[str, str]:
    """Returns what a scene's rows depend on, by parts, each a short text or a hash.

    Args:
        about: Text that tells the policy from others of its name.
        scene: The scene; its objects' URDFs count by their content.
        frictions: Frictions of the fingertips, ascending.
        settings: The benchmark's settings.
    """
    models = [m.urdf.read_text() for m in scene.models]
    return {
        "version": str(_VERSION),
        "policy": _hash(about),
        "scene": _hash([scene.to_json(), models]),
        "frictions": ", ".join(f"{f:g}" for f in frictions),
        "rules": _hash(asdict(settings)),
    }


def _hash(content: Any) -> str:
    """Returns the first 16 hexadecimal digits of the SHA-256 of a JSON text."""
    text = json.dumps(content, sort_keys=True, default=lambda a: np.asarray(a).tolist())
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_scene(attempts: pd.DataFrame, folder: Path, key: SceneKey, *, known: dict[str, str]) -> Path:
    """Writes one scene's rows, whole or not at all, and returns the file.

    Args:
        attempts: Rows of one policy and scene.
        folder: Folder of the results.
        key: Whose rows they are.
        known: The scene's ``scene_identity``, kept beside the rows.

    Raises:
        InputError: The disk is full, or the folder cannot be written.
    """
    import pyarrow
    from pyarrow import parquet

    path = key.file(folder)
    table = pyarrow.Table.from_pandas(attempts, preserve_index=False)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), _KEY: json.dumps(known).encode()})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as making:
            parquet.write_table(table, making)
    except OSError as error:
        raise write_error(path, error) from error
    return path


def read_scene(folder: Path, key: SceneKey, known: dict[str, str]) -> pd.DataFrame | None:
    """Returns one scene's rows, or None if they are not there or the file is broken.

    Args:
        folder: Folder of the results.
        key: Whose rows.
        known: The scene's ``scene_identity``, or those of its parts that matter.

    Raises:
        InputError: The rows were made with other settings.
    """
    path = key.file(folder)
    found = _load(path) or next(packed.read_scenes(folder, only=key), None)
    if found is None:
        return None
    attempts, made = found
    differs = [k for k, v in known.items() if made.get(k) != v]
    if differs:
        raise InputError(
            f"{path} was measured with other settings ({', '.join(differs)}); give another out=, or remove {folder}"
        )
    return attempts


def _load(path: Path) -> tuple[pd.DataFrame, dict[str, str]] | None:
    """Returns a file's rows and what they were made with; None for a file that is missing or broken."""
    import pyarrow
    from pyarrow import parquet

    if not path.is_file():
        return None
    try:
        table = parquet.read_table(path, partitioning=None)
        return table.to_pandas(), json.loads(table.schema.metadata[_KEY])
    except (pyarrow.ArrowException, OSError, KeyError, TypeError, ValueError):
        return None


def finished_scenes(folder: str | Path) -> Iterator[tuple[pd.DataFrame, dict[str, str]]]:
    """Yields the rows and the identity of every finished scene below a folder, packed ones first.

    Raises:
        InputError: A file is broken.
    """
    yield from packed.read_scenes(folder)
    for path in sorted(Path(folder).glob("*/*/scene-*.parquet")):
        found = _load(path)
        if found is None:
            raise InputError(f"{path} is broken; remove it and run the same command again")
        yield found


def read_attempts(folder: str | Path) -> pd.DataFrame:
    """Returns the rows of every finished scene below a folder, of all its policies and categories.

    Raises:
        InputError: There is none, or a file is broken.
    """
    tables = [attempts for attempts, _ in finished_scenes(folder)]
    if tables:
        return pd.concat(tables, ignore_index=True)
    kept = packed.find_packed(folder)
    if kept is None:
        raise InputError(f"no finished benchmark scene in {folder}")
    names = ", ".join(str(kept[0].parent / run) for run in packed.runs_of(kept[0]))
    raise InputError(f"no finished benchmark scene in {folder}; {kept[0]} has those of {names}")
