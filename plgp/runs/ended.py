"""The mark of a training that came to its end: early stopping ends one before its last epoch, a crash does too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from sim.files import atomic_path

NAME = "ended"
_FILE = f"{NAME}.yaml"  # beside config.yaml; JSON is YAML
_LIMITS = ("max_epochs", "max_steps", "max_time", "min_epochs", "min_steps")
_STOPPING = ("EarlyStopping", "Timer")


def begin(folder: Path) -> None:
    """Takes the mark of an earlier training away, before a training in its folder begins."""
    (folder / _FILE).unlink(missing_ok=True)


def mark(folder: Path, config: DictConfig, *, epochs: int, steps: int) -> None:
    """Marks a training as one that has ended by itself.

    Args:
        folder: Folder of the run.
        config: Its configuration.
        epochs: Number of epochs behind it.
        steps: Number of steps behind it.
    """
    with atomic_path(folder / _FILE) as temporary:
        temporary.write_text(json.dumps({"epochs": epochs, "steps": steps, "ends": _ends(config)}) + "\n")


def ended_after(folder: Path, config: DictConfig) -> int | None:
    """Returns after how many epochs a run has ended, None where there is more to train.

    There is more where it was stopped, or has another last epoch by now, or another callback that stops.

    Args:
        folder: Folder of the run.
        config: The configuration of now.
    """
    now = json.loads(json.dumps(_ends(config)))
    try:
        known = json.loads((folder / _FILE).read_text())
        return int(known["epochs"]) if known["ends"] == now else None
    except (OSError, ValueError, KeyError, TypeError):  # no mark, as of runs that stopped or are older than marks
        return None


def _ends(config: DictConfig) -> dict[str, Any]:
    """Returns what ends a training: its trainer's limits, and its callbacks that stop."""
    ends = {f"trainer.{name}": config.trainer.get(name) for name in _LIMITS}
    for name, callback in (config.get("callbacks") or {}).items():
        if isinstance(callback, DictConfig) and str(callback.get("_target_")).endswith(_STOPPING):
            ends[f"callbacks.{name}"] = OmegaConf.to_container(callback, resolve=True)
    return {key: value for key, value in ends.items() if value is not None}
