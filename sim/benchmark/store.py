"""Finished benchmark scenes on disk: one Parquet file a scene, whole or not there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from sim.benchmark import packed
from sim.benchmark.protocol import BenchmarkSettings
from sim.benchmark.provenance import remember
from sim.errors import InputError
from sim.files import atomic_path, write_error
from sim.identity.code import is_shipped, package_version
from sim.identity.content import describe, differences, digest
from sim.identity.objects import digest_meshes
from sim.scene import SceneState

_VERSION = 1  # of what an attempt means: raise it when the same settings would give other rows
_KEY = b"plgp"
_ROWS = b"plgp rows"  # as many as the file was written with
_CONTENT = b"plgp content"  # of the parts that can name what differs in them


# Parts of the identity that all scenes of a policy and category share in one measurement, and the words for them.
_SHARED = {"rules": "rules (camera, gripper, noise, physics)", "frictions": "frictions", "policy": "settings of it"}


class SceneContent(NamedTuple):
    """What a scene's rows depend on.

    Attributes:
        identity: A short text or a hash for each part.
        content: Canonical content of some parts (``sim.identity.content.describe``), to say what differs in them.
    """

    identity: dict[str, str]
    content: dict[str, Any]


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
        scene: The scene; its objects' URDFs and meshes count by their content.
        frictions: Frictions of the fingertips, ascending.
        settings: The benchmark's settings.
    """
    models = [(m.original or m.urdf).read_text() for m in scene.models]
    numpy = ".".join(np.__version__.split(".")[:2])  # a patch draws the same numbers
    return {
        "version": str(_VERSION),
        "versions": f"plgp {package_version('plgp')}, pybullet {package_version('pybullet')}, numpy {numpy}",
        "policy": _hash(about),
        "scene": _hash([scene.to_json(), models]),
        "meshes": digest_meshes(scene.models)[:16] or "none",
        "frictions": ", ".join(f"{f:g}" for f in frictions),
        "rules": _hash(asdict(settings)) if _only_shipped(settings) else digest(describe(settings)),
    }


def _only_shipped(value: Any) -> bool:
    """Returns whether a value's dataclasses are all plgp's: then their numbers say it all, else their code counts."""
    if is_dataclass(value):
        return is_shipped(type(value)) and all(_only_shipped(getattr(value, f.name)) for f in fields(value))
    if isinstance(value, Mapping):
        return all(map(_only_shipped, value.values()))
    return all(map(_only_shipped, value)) if isinstance(value, (list, tuple)) else True


def describe_scene(
    policy: Any, about: str, scene: SceneState, *, frictions: Sequence[float], settings: BenchmarkSettings
) -> SceneContent:
    """Returns what a scene's rows depend on, the policy's own code and state among it.

    Args:
        policy: The policy, or what ``describe`` made of it.
        about: Text that tells the policy from others of its name.
        scene: The scene.
        frictions: Frictions of the fingertips, ascending.
        settings: The benchmark's settings.
    """
    content = {"rules": describe(settings), "code": describe(policy)}
    identity = scene_identity(about, scene, frictions=frictions, settings=settings)
    return SceneContent({**identity, "code": digest(content["code"])}, content)


def _hash(content: Any) -> str:
    """Returns the first 16 hexadecimal digits of the SHA-256 of a JSON text."""
    text = json.dumps(content, sort_keys=True, default=describe)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_scene(
    attempts: pd.DataFrame,
    folder: Path,
    key: SceneKey,
    *,
    known: dict[str, str],
    content: Mapping[str, Any] | None = None,
) -> Path:
    """Writes one scene's rows, whole or not at all, and returns the file.

    Args:
        attempts: Rows of one policy and scene.
        folder: Folder of the results.
        key: Whose rows they are.
        known: The scene's ``scene_identity``, kept beside the rows.
        content: Content of some of its parts, kept there too.

    Raises:
        InputError: The disk is full, or the folder cannot be written.
    """
    import pyarrow
    from pyarrow import parquet

    path = key.file(folder)
    table = pyarrow.Table.from_pandas(attempts, preserve_index=False)
    about = {_KEY: json.dumps(known).encode(), _CONTENT: json.dumps(content or {}).encode()}
    about[_ROWS] = str(table.num_rows).encode()
    table = table.replace_schema_metadata({**(table.schema.metadata or {}), **about})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as making:
            parquet.write_table(table, making)
    except OSError as error:
        raise write_error(path, error) from error
    return path


def read_scene(
    folder: Path, key: SceneKey, known: dict[str, str], *, content: Mapping[str, Any] | None = None
) -> pd.DataFrame | None:
    """Returns one scene's rows, or None if they are not there or the file is broken.

    Args:
        folder: Folder of the results.
        key: Whose rows.
        known: The scene's ``scene_identity``, or those of its parts that matter.
        content: Content of some of its parts, to name what differs in them.

    Raises:
        InputError: The rows were made with other settings.
    """
    path = key.file(folder)
    found = _load(path) or next(packed.read_scenes(folder, only=key), None)
    if found is None:
        return None
    attempts, made = found
    differs = [k for k, v in known.items() if k in made and made[k] != v]
    if differs:
        said = ", ".join(_explain(part, known, made, ours=content or {}, theirs=_content(path)) for part in differs)
        raise InputError(f"{path} was measured with other settings ({said}); give another out=, or remove {folder}")
    lacking = [k for k in known if k not in made]
    if lacking:
        raise InputError(
            f"{path} was measured by an older plgp, which did not note its {', '.join(lacking)}; "
            f"give another out=, or remove {folder}"
        )
    return attempts


def _explain(
    part: str, known: Mapping[str, str], made: Mapping[str, str], *, ours: Mapping[str, Any], theirs: Mapping[str, Any]
) -> str:
    """Returns the name of a part of the identity that differs, and what in it if that is known."""
    if part in ours and part in theirs:
        found = list(differences(ours[part], theirs[part]))[:3]
        return f"{part}: {'; '.join(found)}" if found else part
    return f"{part}: {known[part]}, there {made[part]}" if part in ("versions", "frictions") else part


def _content(path: Path) -> dict[str, Any]:
    """Returns the content of parts that a file keeps; none where it is of an older plgp, or packed."""
    import pyarrow
    from pyarrow import parquet

    try:
        found: dict[str, Any] = json.loads(parquet.read_schema(path).metadata[_CONTENT])
    except (pyarrow.ArrowException, OSError, KeyError, TypeError, ValueError):
        return {}
    return found


def rules_in_files(folder: str | Path) -> dict[str, list[dict[str, Any]]]:
    """Returns by policy the rules that the files of its scenes keep, as ``describe`` gives them, of each category.

    Packed scenes and those of an older plgp keep none. All of a policy and category have the same.

    Args:
        folder: Folder of the results.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for category in sorted(path for path in Path(folder).glob("*/*") if path.is_dir()):
        file = next(iter(sorted(category.glob("scene-*.parquet"))), None)
        rules = None if file is None else _content(file).get("rules")
        if isinstance(rules, dict):
            found.setdefault(category.parent.name, []).append(rules)
    return found


def _load(path: Path) -> tuple[pd.DataFrame, dict[str, str]] | None:
    """Returns a file's rows and what they were made with; None for a file that is missing, broken or lacks rows."""
    import pyarrow
    from pyarrow import parquet

    if not path.is_file():
        return None
    try:
        table = parquet.read_table(path, partitioning=None)
        about = table.schema.metadata
        if int(about.get(_ROWS, table.num_rows)) != table.num_rows:
            return None
        return table.to_pandas(), json.loads(about[_KEY])
    except (pyarrow.ArrowException, OSError, KeyError, TypeError, ValueError):
        return None


def finished_scenes(folder: str | Path) -> Iterator[tuple[pd.DataFrame, dict[str, str]]]:
    """Yields the rows and the identity of every finished scene below a folder, packed ones first.

    Raises:
        InputError: A file is broken, has another scene's name, or was measured otherwise than others of its policy.
    """
    first: dict[tuple[str, str], tuple[int, dict[str, str]]] = {}
    for rows, identity in chain(packed.read_scenes(folder), _scenes_in_files(Path(folder))):
        if len(rows):
            head = rows.iloc[0]
            policy, category, number = str(head["policy"]), str(head["category"]), int(head["scene"])
            other, made = first.setdefault((policy, category), (number, identity))
            differs = [word for part, word in _SHARED.items() if len({identity.get(part), made.get(part), None}) > 2]
            if differs:
                raise InputError(
                    f"scenes {other} and {number} of '{policy}' in '{category}' in {folder} were measured with other "
                    f"{' and '.join(differs)}; keep measurements that differ in folders of their own"
                )
        yield rows, identity


def _scenes_in_files(folder: Path) -> Iterator[tuple[pd.DataFrame, dict[str, str]]]:
    """Yields the scenes that have files of their own; raises InputError as ``finished_scenes``."""
    for path in sorted(folder.glob("*/*/scene-*.parquet")):
        found = _load(path)
        if found is None:
            raise InputError(f"{path} is broken; remove it and run the same command again")
        for policy, category, number in found[0][["policy", "category", "scene"]].drop_duplicates().to_numpy():
            right = SceneKey(str(policy), str(category), int(number)).file(folder)
            if right != path:
                raise InputError(f"{path} holds what belongs into {right}; give it its name back")
        yield found


def read_attempts(folder: str | Path) -> pd.DataFrame:
    """Returns the rows of every finished scene below a folder, of all its policies and categories.

    Raises:
        InputError: There is none, or a file is broken.
    """
    scenes = list(finished_scenes(folder))
    if scenes:
        heads = [(rows.iloc[0], identity) for rows, identity in scenes if len(rows)]
        origin = {(str(r["policy"]), str(r["category"]), int(r["scene"])): identity for r, identity in heads}
        return remember(pd.concat([rows for rows, _ in scenes], ignore_index=True), origin)
    kept = packed.find_packed(folder)
    if kept is None:
        raise InputError(f"no finished benchmark scene in {folder}")
    names = ", ".join(str(kept[0].parent / run) for run in packed.runs_of(kept[0]))
    raise InputError(f"no finished benchmark scene in {folder}; {kept[0]} has those of {names}")
