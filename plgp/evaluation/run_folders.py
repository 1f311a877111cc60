"""Folders of trainings and benchmark results: which there are, what their files say, and ``pack`` for Git.

A run is a folder of ``train.py``, one of ``plgp.benchmark``, or a path below a packed folder. A packed folder holds up
to four files:

- ``attempts.parquet``: the attempts of all its runs (``sim.benchmark.packed``),
- ``curves.parquet``: the rows of their ``csv/metrics.csv``,
- ``validation.parquet``: the attempts of the benchmarks at epoch ends,
- ``runs.json``: the command, the versions, the settings that all trainings share, and by run its own settings and what
  its policies are.
"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from omegaconf import OmegaConf

from plgp.evaluation.common_settings import common_part, joined, own_part
from plgp.evaluation.notes import RULES, unusual_rules
from plgp.runs.ended import NAME as ENDED
from plgp.runs.held_back import in_force
from plgp.runs.names import BROKEN, chosen_of, sweep_of
from sim.benchmark import packed
from sim.benchmark.store import finished_scenes, rules_in_files
from sim.errors import InputError
from sim.files import atomic_path, write_error

SETTINGS = "runs.json"
CURVES = "curves.parquet"
VALIDATION = "validation.parquet"
_SCHEMA = 2  # 1 kept every configuration whole
_DEPTH = 4  # folders below a root that are looked into
_PACKAGES = ("plgp", "pybullet", "numpy", "numba", "torch", "lightning", "wandb")


def find_runs(root: str | Path) -> list[Path]:
    """Returns the runs in a folder and below it, packed ones too, in order of their paths.

    A packed run's path names no folder. What lies inside a run is part of it; hidden folders are left out.

    Args:
        root: A run, a multirun, a packed folder, or a folder that holds several.

    Raises:
        InputError: There is no such folder, or the settings of a packed one are broken.
    """
    root = Path(root)
    packed_there = _packed_below(root)
    if not root.is_dir() and not packed_there:
        raise InputError(f"no folder '{root}'; give runs=FOLDER, or several with commas between")
    return list(dict.fromkeys([*packed_there, *(_walk(root, _DEPTH) if root.is_dir() else ())]))


def _packed_below(root: Path) -> list[Path]:
    for parent in (root, *root.parents):
        if (parent / SETTINGS).is_file():
            runs = [parent / name for name in _settings(parent / SETTINGS)["runs"]]
            return [run for run in runs if root in (run, *run.parents)]
    return []


def _walk(folder: Path, depth: int) -> Iterator[Path]:
    if has_config(folder) or has_scenes(folder):
        yield folder
        return
    if (folder / SETTINGS).is_file():
        yield from _packed_below(folder)
    if depth:
        for path in sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")):
            yield from _walk(path, depth - 1)


def has_config(folder: Path) -> bool:
    """Returns whether a run is a training: it has a config.yaml, or a configuration in the packed folder."""
    return (folder / "config.yaml").is_file() or bool((_packed_settings(folder) or {}).get("config"))


def has_scenes(folder: Path) -> bool:
    """Returns whether a run has finished benchmark scenes."""
    loose = next(folder.glob("*/*/scene-*.parquet"), None)
    return loose is not None or packed.rows_of_run(folder) is not None


def read_settings(folder: Path, name: str) -> dict[str, Any] | None:
    """Returns the ``config``, the ``policies`` or the end's mark of a run, from its own file or the packed folder.

    Args:
        folder: Folder of the run, which need not exist.
        name: "config", "policies" or "ended".

    Raises:
        InputError: The file is broken.
    """
    held = in_force(folder) if name in ("config", ENDED) else None  # of a training that was killed, or has begun anew
    if held is not None:
        return held if name == "config" else None
    path = folder / f"{name}.yaml"
    if path.is_file():
        try:
            content: Any = OmegaConf.to_container(OmegaConf.load(path))
        except Exception as error:  # whatever YAML's parser raises
            raise InputError(f"{path} is broken; remove it") from error
        return {str(k): v for k, v in content.items()} if isinstance(content, dict) else {}
    return (_packed_settings(folder) or {}).get(name)


def read_policies(folder: Path) -> dict[str, Any]:
    """Returns what is known of a run's policies: what was noted, and the unusual rules that only the scenes' files say.

    A policy's folder that was copied has its files alone.

    Args:
        folder: Folder of the run, which need not exist.

    Raises:
        InputError: The note is broken.
    """
    known = read_settings(folder, "policies") or {}
    for policy, rules in rules_in_files(folder).items():
        about = known.get(policy) or {}
        unusual = list(dict.fromkeys(text for content in rules for text in unusual_rules(content)))
        if unusual and isinstance(about, dict) and RULES not in about:
            known = {**known, policy: {**about, RULES: unusual}}
    return known


def read_choices(folder: Path) -> dict[str, Any]:
    """Returns what a run has of what its multirun varies, by key, from their own files or from the packed folder."""
    try:
        sweep, own = sweep_of(folder)
        if sweep is not None:
            return dict(chosen_of(sweep, own))
    except BROKEN:
        return {}
    return dict((_packed_settings(folder) or {}).get("choices") or {})


def _packed_settings(folder: Path) -> dict[str, Any] | None:
    """Returns what the nearest packed folder says of a run, or None."""
    for parent in (folder, *folder.parents):
        if (parent / SETTINGS).is_file():
            content = _settings(parent / SETTINGS)
            settings: dict[str, Any] | None = content["runs"].get(folder.relative_to(parent).as_posix())
            if settings and "config" in settings:
                return {**settings, "config": joined(content.get("config", {}), settings["config"])}
            return settings
    return None


def read_curves(folder: Path) -> pd.DataFrame:
    """Returns the logged metrics of a run, from its own ``csv/metrics.csv`` or from the packed folder.

    Raises:
        InputError: There are none, or the file is broken.
    """
    path = folder / "csv" / "metrics.csv"
    if path.is_file():
        try:
            return pd.read_csv(path)
        except (ValueError, OSError) as error:
            raise InputError(f"{path} is empty or broken; remove the run") from error
    rows = packed.rows_of_run(folder, CURVES)
    if rows is None:
        raise InputError(f"there is no {path}: nothing was logged; train with logger=csv or csv_wandb")
    return rows.dropna(axis="columns", how="all")


def read_validation(folder: Path) -> pd.DataFrame | None:
    """Returns the attempts of a run's benchmarks at epoch ends with a column ``epoch``, or None if there were none."""
    tables = [
        pd.read_csv(path).assign(epoch=int(number[1]))
        for path in sorted((folder / "benchmark").glob("attempts-epoch-*.csv"))
        if (number := re.search(r"(\d+)$", path.stem))
    ]
    return pd.concat(tables, ignore_index=True) if tables else packed.rows_of_run(folder, VALIDATION)


class Packed(NamedTuple):
    """What ``pack`` has done.

    Attributes:
        written: Files of the packed folder.
        skipped: Runs that were left out, each with the reason.
    """

    written: list[Path]
    skipped: list[tuple[Path, str]]


class _Content(NamedTuple):
    """One run's part of a packed folder."""

    settings: dict[str, Any]
    scenes: list[packed.Scene]
    curves: pd.DataFrame | None
    validation: pd.DataFrame | None


def pack(roots: Sequence[str | Path], *, out: str | Path, command: str = "") -> Packed:
    """Packs the trainings and benchmark results below some folders into one folder of at most four files.

    ``plgp.report`` makes the same tables from the packed folder, and ``plgp.failures`` the same page, with a run named
    as a path below the folder. Checkpoints, pictures and W&B's files are left out. Broken runs are left out too.

    Args:
        roots: Folders as for ``find_runs``. A run is named by its path below its root; with several roots, the root's
            name stands in front.
        out: Folder that the files go to.
        command: Command that made the runs, kept in runs.json.

    Raises:
        InputError: There is no whole run, two have one name, or a file cannot be written.
    """
    found: dict[str, _Content] = {}
    skipped = []
    target = Path(out)
    for name, folder in _named(roots, target).items():
        try:
            found[name] = _content(folder)
        except InputError as error:
            skipped.append((folder, str(error)))
    if not found:
        reasons = "; ".join(f"{folder}: {why}" for folder, why in skipped)
        raise InputError(f"no whole run in {', '.join(map(str, roots))}" + (f" ({reasons})" if reasons else ""))
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(target, error) from error
    written = _write_tables(found, target)
    _write_settings(target / SETTINGS, command, found)
    return Packed([*written, target / SETTINGS], skipped)


def _content(folder: Path) -> _Content:
    settings = {part: read_settings(folder, part) for part in ("config", ENDED)}
    settings = {"policies": read_policies(folder), **settings}
    known = {part: value for part, value in (settings | {"choices": read_choices(folder)}).items() if value}
    scenes = list(finished_scenes(folder))
    if not has_config(folder):
        return _Content(known, scenes, None, None)
    return _Content(known, scenes, read_curves(folder), read_validation(folder))


def _write_tables(found: dict[str, _Content], target: Path) -> list[Path]:
    """Writes the Parquet files; returns their paths."""
    written = []
    if any(content.scenes for content in found.values()):
        written.append(target / packed.FILE)
        packed.write_packed(written[-1], [(name, content.scenes) for name, content in found.items()])
    curves = {name: content.curves for name, content in found.items()}
    validation = {name: content.validation for name, content in found.items()}
    for file, tables in ((CURVES, curves), (VALIDATION, validation)):
        there = [table.assign(run=name) for name, table in tables.items() if table is not None]
        if there:
            written.append(target / file)
            packed.write_table(written[-1], pd.concat(there, ignore_index=True))
    return written


def _write_settings(path: Path, command: str, found: dict[str, _Content]) -> None:
    shared = common_part([content.settings["config"] for content in found.values() if "config" in content.settings])
    head = {"schema": _SCHEMA, "command": command, "versions": _versions(), "config": shared}
    lines = []  # one a run, unsorted: the report's rows keep the order
    for name, content in found.items():
        settings = dict(content.settings)
        if "config" in settings:
            settings["config"] = own_part(settings["config"], shared)
        lines.append(f"{json.dumps(name)}: {json.dumps(settings)}")
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(head)[:-1] + ', "runs": {\n' + ",\n".join(lines) + "\n}}\n")


def _named(roots: Sequence[str | Path], target: Path) -> dict[str, Path]:
    """Returns the folders of all runs by their names in the packed folder; what it held before is no run to pack."""
    runs: dict[str, Path] = {}
    for root in dict.fromkeys(Path(r) for r in roots):
        for folder in find_runs(root):
            if root != target and target in (folder, *folder.parents):
                continue
            name = (Path(root.name if len(roots) > 1 else "") / folder.relative_to(root)).as_posix()
            if name in runs:
                raise InputError(f"{runs[name]} and {folder} would have one name, '{name}'; pack them one by one")
            runs[name] = folder
    return runs


def _versions() -> dict[str, str]:
    """Returns the versions of Python and of the packages that results depend on, as installed here."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _settings(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        schema = content["schema"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is broken; pack the runs again, or take it from Git") from error
    if schema not in (1, _SCHEMA):
        raise InputError(f"{path} is of schema {schema}, later than this plgp's {_SCHEMA}; install a later plgp")
    return content
