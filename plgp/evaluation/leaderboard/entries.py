"""Entries of the leaderboard: results folders that say whose method was measured, on what, and how."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from plgp.evaluation.runs import read_results
from sim.errors import InputError

ABOUT = "method.yaml"  # beside the attempts
_FOLDER_KEYS = ("scenes", "hardware", "command", "methods")
_METHOD_KEYS = ("method", "data", "by")


@dataclass(frozen=True)
class Entry:
    """One method's results on one category.

    Attributes:
        method: Name of the method, with network and weights.
        data: What it was trained on.
        by: Who measured it.
        scenes: Name of the scene set.
        category: Category of the scenes.
        frictions: Frictions that the means are over, with commas between.
        hardware: Machine of the measurement.
        command: Command that makes the results again.
        folder: Folder of the results.
        means: The means over the frictions and their bounds, one row of ``sim.benchmark.summarise``.
        origin: First scene and rules of the measurement, as text; "" where the results do not remember.
        note: What a reader of the scores has to know, mostly ""; see ``plgp.evaluation.notes``.
    """

    method: str
    data: str
    by: str
    scenes: str
    category: str
    frictions: str
    hardware: str
    command: str
    folder: Path
    means: pd.Series[Any]
    origin: str = ""
    note: str = ""

    @property
    def table(self) -> tuple[str, str, str]:
        """Scene set, category and frictions: what entries of one table share."""
        return self.scenes, self.category, self.frictions


def find_entries(root: str | Path) -> list[Entry]:
    """Returns the entries of all folders at and below ``root`` that hold a ``method.yaml``.

    Args:
        root: Folder.

    Raises:
        InputError: There is no such folder or no entry, one of them lacks something, or two that would stand in one
            table were measured in other scenes or by other rules.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(f"no folder '{root}'; give the folder of the kept results")
    files = sorted(root.rglob(ABOUT))
    if not files:
        raise InputError(f"no {ABOUT} at or below {root}; put one beside each result (docs/how-to/policy.md shows it)")
    entries = [entry for file in files for entry in _read(file)]
    _check_origins(entries)
    return entries


def _check_origins(entries: list[Entry]) -> None:
    """Raises InputError where results that would stand in one table were not measured in the same world."""
    first: dict[tuple[str, str, str], Entry] = {}
    for entry in (e for e in entries if e.origin):
        other = first.setdefault(entry.table, entry)
        if entry.origin != other.origin:
            raise InputError(
                f"{entry.folder / ABOUT} and {other.folder / ABOUT} both say scenes: {entry.scenes}, but were measured "
                f"in other scenes of {entry.category} or by other rules (camera, gripper, noise, physics); measure "
                "again, or give scenes: another name"
            )


def _read(file: Path) -> list[Entry]:
    """Returns the entries of one folder; raises InputError."""
    try:
        about: Any = OmegaConf.to_container(OmegaConf.load(file))
    except Exception as error:  # whatever YAML's parser raises
        raise InputError(f"{file} is no YAML; mend it") from error
    _check(file, about, _FOLDER_KEYS, "")
    if not isinstance(about["methods"], dict) or not about["methods"]:
        raise InputError(f"{file}: methods holds no policy; name those of the results, each with {_listed()}")
    results = read_results(file.parent)
    entries = []
    for policy, told in about["methods"].items():
        _check(file, told, _METHOD_KEYS, f"methods.{policy}.")
        means = results.of(str(policy))
        if means.empty:
            measured = ", ".join(dict.fromkeys(map(str, results.summary.policy)))
            raise InputError(f"{file} names the policy '{policy}', but the results beside it are of {measured}")
        said = {key: str(told[key]) for key in _METHOD_KEYS}
        said |= {key: str(about[key]) for key in ("scenes", "hardware", "command")}
        said["frictions"] = str(results.frictions(str(policy)))
        own, notes = results.origins.get(str(policy), {}), results.notes.get(str(policy), {})
        for category, row in means.iterrows():
            name = str(category)
            said |= {"category": name, "origin": own.get(name, ""), "note": notes.get(name, "")}
            entries.append(Entry(**said, folder=file.parent, means=row))
    return entries


def _check(file: Path, told: Any, keys: tuple[str, ...], prefix: str) -> None:
    """Raises InputError for an entry of the file that lacks one of the keys."""
    missing = [key for key in keys if not isinstance(told, dict) or told.get(key) in (None, "")]
    if missing:
        raise InputError(f"{file} lacks {', '.join(prefix + key for key in missing)}; say it in a few words")


def _listed() -> str:
    return ", ".join(_METHOD_KEYS)
