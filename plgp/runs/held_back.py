"""A record that is held back: it replaces a former training's when a checkpoint of its own lies in the folder.

It waits in a hidden file beside config.yaml, with the digests of the checkpoints that lay there. Whoever reads a run's
record or its mark asks ``in_force`` first: a killed training leaves the file behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from sim.files import atomic_path, checksum

RECORD = "config.yaml"
_HELD = ".config.held_back.yaml"


def write_record(folder: Path, settings: Mapping[str, Any]) -> None:
    """Writes a run's record, whole or not at all."""
    _save(folder / RECORD, settings)


def hold_back(folder: Path, settings: Mapping[str, Any]) -> None:
    """Writes settings beside the record of the training whose checkpoints lie in a folder."""
    digests = {name: checksum(path) for name, path in _checkpoints(folder).items()}
    _save(folder / _HELD, {"instead_of": digests, "settings": dict(settings)})


def in_force(folder: Path) -> dict[str, Any] | None:
    """Returns the settings that are held back in a folder if one of its checkpoints was made with them, else None."""
    if not (folder / _HELD).is_file():
        return None
    try:
        held: Any = OmegaConf.to_container(OmegaConf.load(folder / _HELD))
        former, settings = dict(held["instead_of"]), dict(held["settings"])
        new = any(former.get(name) != checksum(path) for name, path in _checkpoints(folder).items())
    except Exception:  # put in force meanwhile, or whatever a broken one leads to
        return None
    return {str(key): value for key, value in settings.items()} if new else None


def let_go(folder: Path) -> None:
    """Removes what is held back."""
    (folder / _HELD).unlink(missing_ok=True)


def stamps(folder: Path) -> dict[str, int]:
    """Returns when each of a folder's checkpoints was written, nanoseconds; empty where it has none."""
    return {name: path.stat().st_mtime_ns for name, path in _checkpoints(folder).items()}


def _checkpoints(folder: Path) -> dict[str, Path]:
    root = folder / "checkpoints"
    return {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*")) if path.is_file()}


def _save(path: Path, content: Mapping[str, Any]) -> None:
    with atomic_path(path) as temporary:
        OmegaConf.save(OmegaConf.create(dict(content)), temporary)
