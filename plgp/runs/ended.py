"""The mark of a training that came to its end: early stopping ends one before its last epoch, a crash does too."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from plgp.runs.held_back import in_force
from sim.files import atomic_path

NAME = "ended"
_FILE = f"{NAME}.yaml"  # beside config.yaml; JSON is YAML
_LIMITS = ("max_epochs", "max_steps", "max_time", "min_epochs", "min_steps")
_STOPPING = ("EarlyStopping", "Timer")


def begin(folder: Path) -> None:
    """Takes the mark of an earlier training away, before a training in its folder begins."""
    (folder / _FILE).unlink(missing_ok=True)


def mark(
    folder: Path, config: DictConfig, *, epochs: int, steps: int, metrics: Mapping[str, float] | None = None
) -> None:
    """Marks a training as one that has ended by itself; says on stderr where it cannot, for the training is there.

    Args:
        folder: Folder of the run.
        config: Its configuration.
        epochs: Number of epochs behind it.
        steps: Number of steps behind it.
        metrics: Last value of every metric that it logged.
    """
    try:
        known = {"epochs": epochs, "steps": steps, "ends": _ends(config), "metrics": dict(metrics or {})}
        with atomic_path(folder / _FILE) as temporary:
            temporary.write_text(json.dumps(known) + "\n")
    except (OSError, ValueError, TypeError, OmegaConfBaseException) as error:
        print(f"no {folder / _FILE} ({error}): resume=auto may train this run on", file=sys.stderr)


def ended_after(folder: Path, config: DictConfig) -> int | None:
    """Returns after how many epochs a run has ended, None where there is more to train.

    There is more where it was stopped, or has another last epoch by now, or another callback that stops.

    Args:
        folder: Folder of the run.
        config: The configuration of now.
    """
    known = _read(folder)
    try:
        return int(known["epochs"]) if is_mark_of(known, config) else None
    except (ValueError, KeyError, TypeError):  # no mark, as of runs that stopped or are older than marks
        return None


def is_mark_of(known: Mapping[str, Any], config: DictConfig) -> bool:
    """Returns whether a mark, as plain values, is of a training that ends as a configuration says."""
    try:
        return "ends" in known and bool(known["ends"] == _ends(config)) and not _time_cut_it(known)
    except (ValueError, TypeError, OmegaConfBaseException):  # a setting that does not resolve
        return False


def _time_cut_it(known: Mapping[str, Any]) -> bool:
    """Returns whether a mark is of a training that its time alone can have ended before its last epoch or step.

    A former plgp marked these, too.
    """
    ends = known["ends"]
    if ends.get("trainer.max_time") is None or any(name.startswith("callbacks.") for name in ends):
        return False
    last = _last(ends)
    return bool(last) and all(known.get(name) < limit for name, limit in last.items())


def time_is_its_end(config: DictConfig) -> bool:
    """Returns whether a training ends by its time for good: it has a time, and no last epoch or step."""
    limits = _limits(config)
    return "trainer.max_time" in limits and not _last(limits)


def ends_alike(one: DictConfig, other: DictConfig) -> bool:
    """Returns whether two configurations end their trainings in the same way."""
    try:
        return _ends(one) == _ends(other)
    except (ValueError, TypeError, AttributeError, OmegaConfBaseException):  # one is no training's, or no resolved one
        return False


def last_metrics(folder: Path) -> dict[str, float]:
    """Returns the last value of every metric that a run had logged when it ended; empty where that is not known."""
    try:
        return {str(name): float(value) for name, value in _read(folder)["metrics"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _read(folder: Path) -> dict[str, Any]:
    try:
        known = json.loads((folder / _FILE).read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) and in_force(folder) is None else {}  # else of the training before


def _limits(config: DictConfig) -> dict[str, Any]:
    """Returns the limits of a configuration's trainer, as it has them; what it lacks is left out."""
    limits = {f"trainer.{name}": config.trainer.get(name) for name in _LIMITS}
    return {key: value for key, value in limits.items() if value is not None}


def _last(ends: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the last epoch and step that a training is to have, by "epochs" and "steps", without those it lacks."""
    limits = {name: ends.get(f"trainer.max_{name}", -1) for name in ("epochs", "steps")}
    return {name: limit for name, limit in limits.items() if limit != -1}


def _ends(config: DictConfig) -> dict[str, Any]:
    """Returns what ends a training, as JSON holds it: its trainer's limits, and its callbacks that stop."""
    ends = _limits(config)
    for name, callback in (config.get("callbacks") or {}).items():
        if isinstance(callback, DictConfig) and str(callback.get("_target_")).endswith(_STOPPING):
            ends[f"callbacks.{name}"] = callback
    plain = {k: OmegaConf.to_container(v, resolve=True) if OmegaConf.is_config(v) else v for k, v in ends.items()}
    said: dict[str, Any] = json.loads(json.dumps(plain, default=str))
    return {key: value for key, value in said.items() if value is not None}
