"""Finished benchmark scenes on disk: one Parquet file a scene, whole or not there."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sim.benchmark import packed
from sim.errors import InputError
from sim.scene import SceneState

_VERSION = 1  # of what an attempt means: raise it when the same settings would give other rows
_KEY = b"plgp"


def identity(about: str, scene: SceneState, frictions: Sequence[float], rules: Any) -> dict[str, str]:
    """Returns what a scene's rows depend on, by parts, each a short text or a hash.

    Args:
        about: What distinguishes the policy.
        scene: The scene; its objects' URDFs count by their content.
        frictions: Sorted.
        rules: The benchmark's settings, a dataclass.
    """
    models = [m.urdf.read_text() for m in scene.models]
    return {
        "version": str(_VERSION),
        "policy": _hash(about),
        "scene": _hash([scene.to_json(), models]),
        "frictions": ", ".join(f"{f:g}" for f in frictions),
        "rules": _hash(asdict(rules)),
    }


def _hash(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, default=lambda a: np.asarray(a).tolist())
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _file(folder: Path, policy: str, category: str, number: int) -> Path:
    return folder / policy / category / f"scene-{number:03d}.parquet"


def write(attempts: pd.DataFrame, folder: Path, policy: str, category: str, number: int, known: dict[str, str]) -> Path:
    """Writes one scene's rows under a temporary name, syncs and renames. Raises InputError on a full disk."""
    import pyarrow
    from pyarrow import parquet

    path = _file(folder, policy, category, number)
    table = pyarrow.Table.from_pandas(attempts, preserve_index=False)
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), _KEY: json.dumps(known).encode()})
    making = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with making.open("wb") as file:
            parquet.write_table(table, file)
            file.flush()
            os.fsync(file.fileno())
        making.rename(path)
    except OSError as error:
        making.unlink(missing_ok=True)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise InputError(f"no space left for {path}; make room and run the same command again") from error
        raise InputError(f"{path} cannot be written ({error.strerror}); give another folder") from error
    return path


def read(folder: Path, policy: str, category: str, number: int, known: dict[str, str]) -> pd.DataFrame | None:
    """Returns one scene's rows, or None if they are not there or the file is broken.

    Raises:
        InputError: They were made with other settings.
    """
    path = _file(folder, policy, category, number)
    found = _load(path) or next(packed.read_scenes(folder, only=(policy, category, number)), None)
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
