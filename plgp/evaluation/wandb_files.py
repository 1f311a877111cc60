"""W&B's offline files read back as tables, without an account and without a network.

A file ``run-<id>.wandb`` is a log in LevelDB's format: a header of 7 bytes, then blocks of 32 KiB. A block holds
chunks, each of a checksum (4 bytes), a length (2 bytes), a kind (1 byte: whole, first, middle or last part of a
record) and its content. Where fewer than 7 bytes of a block are left, they are padding. A record is a message of
``wandb.proto``, little-endian throughout.
"""

from __future__ import annotations

import json
import lzma
import struct
import tarfile
import tempfile
import time
import warnings
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from sim.errors import InputError

_MAGIC = b":W&B"
_HEADER = 7  # bytes before the first chunk, and bytes of a chunk before its content
_BLOCK = 32768
_WHOLE, _LAST = 1, 4


@dataclass(frozen=True, kw_only=True)
class OfflineRun:
    """A run as its offline file tells it.

    Attributes:
        name: Name of the run.
        group: Group of the run, "" if it has none.
        tags: Tags of the run.
        config: Configuration that was logged, nested as it was.
        history: Logged metrics, a row a step, in order; columns are the metrics' names.
        folder: Folder of the offline file; media lie in its ``files/``.
    """

    name: str
    group: str
    tags: tuple[str, ...]
    config: dict[str, Any]
    history: pd.DataFrame
    folder: Path = Path()


def read_offline_runs(folder: str | Path) -> list[OfflineRun]:
    """Returns the runs of all offline files below a folder, in order of their paths.

    The files of a run that was stopped and went on are one run.

    Raises:
        InputError: There is none, or a file is none of W&B's.
    """
    paths = sorted(Path(folder).rglob("run-*.wandb"))
    if not paths:
        raise InputError(f"no offline run of W&B (run-*.wandb) below {folder}; train with logger=csv_wandb")
    parts: dict[tuple[Path, str], list[OfflineRun]] = {}
    for path in paths:
        parts.setdefault((path.parent.parent, path.stem), []).append(read_offline_run(path))
    return [_joined(run) for run in parts.values()]


def await_end(folder: str | Path, seconds: float = 30.0) -> None:
    """Waits until the offline files below a folder hold their runs' ends: W&B's own process writes them, and may lag.

    Args:
        folder: Folder of runs that have ended in this process.
        seconds: Greatest time to wait for each; a longer one is warned about.
    """
    for path in Path(folder).rglob("run-*.wandb"):
        last = time.monotonic() + seconds
        while not _has_ended(path):
            if time.monotonic() > last:
                warnings.warn(f"W&B is still writing {path}; wait before it is copied or read", stacklevel=2)
                break
            time.sleep(0.2)


def _has_ended(path: Path) -> bool:
    messages: Any = import_module("wandb.proto.wandb_internal_pb2")
    try:
        return any(messages.Record.FromString(c).WhichOneof("record_type") == "exit" for c in _records(path))
    except InputError:  # not even its first bytes are there
        return False


def _joined(parts: list[OfflineRun]) -> OfflineRun:
    """Returns a run whose files are several, the latest last; its media are those of the last file with metrics."""
    told = [part for part in parts if len(part.history)] or parts[-1:]
    config = {name: value for part in parts for name, value in part.config.items()}
    history = pd.concat([part.history for part in told], ignore_index=True)
    return replace(told[-1], config=config, history=history)


@contextmanager
def opened_runs(source: str | Path) -> Iterator[list[OfflineRun]]:
    """Yields the runs below a folder, or those of an archive (``.tar.xz``) as ``results/table3/`` has it.

    An archive's media lie in a folder of their own until the context ends.

    Raises:
        InputError: There is none, or a file cannot be read.
    """
    if not Path(source).is_file():
        yield read_offline_runs(source)
        return
    with tempfile.TemporaryDirectory() as folder:
        try:
            with tarfile.open(source) as archive:
                archive.extractall(folder, filter="data")
        except (tarfile.TarError, OSError, EOFError, lzma.LZMAError, zlib.error) as error:
            raise InputError(
                f"{source} is no archive that can be read ({error}); give a folder or a .tar.xz"
            ) from error
        yield read_offline_runs(folder)


def read_offline_run(path: str | Path) -> OfflineRun:
    """Returns the run of one offline file. A run that was killed is read up to its last whole record.

    Raises:
        InputError: The file is missing, or none of W&B's.
    """
    messages: Any = import_module("wandb.proto.wandb_internal_pb2")  # its names are made when it is imported
    name, group, tags = "", "", ()
    config: dict[str, Any] = {}
    history: list[dict[str, Any]] = []
    for content in _records(Path(path)):
        record = messages.Record.FromString(content)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            name, group = record.run.display_name, record.run.run_group
            tags = tuple(record.run.tags)
            config |= _values(record.run.config.update)
        elif kind == "config":
            config |= _values(record.config.update)
        elif kind == "history":
            history.append(_values(record.history.item))
    config.pop("_wandb", None)
    table = pd.DataFrame(history)
    return OfflineRun(name=name, group=group, tags=tags, config=config, history=table, folder=Path(path).parent)


def _records(path: Path) -> Iterator[bytes]:
    """Yields the content of the log's records."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give a run-*.wandb file") from error
    if content[:4] != _MAGIC:
        raise InputError(f"{path} is no offline file of W&B; give a run-*.wandb file")
    place, record = _HEADER, b""
    while place + _HEADER <= len(content):
        left = _BLOCK - place % _BLOCK
        if left < _HEADER:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", content, place)
        place += _HEADER
        if place + length > len(content):
            return
        record += content[place : place + length]
        place += length
        if kind in (_WHOLE, _LAST):
            yield record
            record = b""


def _values(entries: Iterable[Any]) -> dict[str, Any]:
    """Returns what W&B's key and JSON pairs say; the parts of a nested key are joined by "/"."""
    return {entry.key or "/".join(entry.nested_key): json.loads(entry.value_json) for entry in entries}
