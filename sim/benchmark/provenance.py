"""Tables of attempts that remember in which scenes and by which rules they were measured.

The columns are those of any table of attempts. What a table remembers stands in its ``attrs``, and goes with it through
pandas' selections, assignments and concatenations.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from sim.errors import InputError

# Parts of a scene's identity in which compared policies must agree, and the words for them.
_WORDS = {"scene": "objects or poses", "meshes": "meshes", "rules": "rules (camera, gripper, noise, physics)"}
_KEPT = "made_with"

Place = tuple[str, str, int]  # policy, category, number of the scene
Known = dict[Place, frozenset[tuple[str, str]]]  # parts of the identity with their hashes, of each place


class AttemptTable(pd.DataFrame):
    """A table of attempts whose origin survives ``pandas.concat``."""

    @property
    def _constructor(self) -> type[AttemptTable]:
        """Class of what pandas makes of such a table."""
        return AttemptTable

    def __finalize__(self, other: Any, method: str | None = None, **options: Any) -> AttemptTable:
        """Takes over what the tables before remember; after a concatenation, all of them."""
        super().__finalize__(other, method, **options)  # type: ignore[misc]  # pandas-stubs leave it out
        if method == "concat":
            merged: Known = {}
            for part in _joined(other):
                for place, parts in _known(part).items():
                    merged[place] = merged.get(place, frozenset()) | parts
            _keep(self, merged)
        return self


def _joined(other: Any) -> Iterable[Any]:
    """Returns the tables of a concatenation; pandas 3 calls them otherwise than pandas 2."""
    tables: Iterable[Any] = getattr(other, "objs", None) or getattr(other, "input_objs", None) or ()
    return tables


def remember(attempts: pd.DataFrame, made_with: Mapping[Place, Mapping[str, str]]) -> pd.DataFrame:
    """Returns a table that remembers the identity of its scenes, by policy, category and number of the scene."""
    table = AttemptTable(attempts)
    parts = {
        place: frozenset((part, identity[part]) for part in _WORDS if part in identity)
        for place, identity in made_with.items()
    }
    _keep(table, parts)
    return table


def _keep(table: pd.DataFrame, known: Known) -> None:
    """Makes a table remember; as one text, which pandas copies at no cost and Parquet can hold."""
    table.attrs[_KEPT] = json.dumps([[*place, sorted(parts)] for place, parts in known.items()])


def _known(table: Any) -> Known:
    """Returns what a table remembers."""
    rows = json.loads(table.attrs.get(_KEPT, "[]"))
    return {(policy, category, scene): frozenset((p, h) for p, h in parts) for policy, category, scene, parts in rows}


def origins(attempts: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Returns where each policy was measured: by category a text of its first scene's objects, meshes and rules.

    Two texts are equal where ``check_same_origin`` has nothing to say. What a table does not remember is left out.

    Args:
        attempts: Rows of ``run_benchmark`` or ``read_attempts``.
    """
    found: dict[str, dict[str, str]] = {}
    for (policy, category, _), parts in sorted(_known(attempts).items(), reverse=True):  # the first scene comes last
        if parts:
            found.setdefault(policy, {})[category] = ", ".join(f"{part} {text}" for part, text in sorted(parts))
    return found


def same_origin(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Returns whether two policies' origins, of ``origins``, agree in every category that both were measured in."""
    return all(one[category] == other[category] for category in one.keys() & other.keys())


def check_same_origin(attempts: pd.DataFrame, policies: Iterable[str]) -> None:
    """Raises InputError where policies were measured in other scenes of one number, or by other rules.

    A policy that was renamed since is looked for among the names that the table holds no longer. Nothing is said of
    tables that remember nothing.

    Args:
        attempts: Rows of ``run_benchmark`` or ``read_attempts``.
        policies: Names of the policies that are compared.
    """
    known = _known(attempts)
    names, remembered = list(dict.fromkeys(policies)), {place[0] for place in known}
    wanted = set(names)
    if not wanted <= remembered:
        wanted |= remembered - {str(name) for name in attempts.policy.unique()}
    found: dict[tuple[str, int], set[tuple[str, str]]] = {}
    for (policy, category, scene), parts in known.items():
        if policy in wanted:
            found.setdefault((category, scene), set()).update(parts)
    measured = set(zip(attempts.category, attempts.scene, strict=True))
    for (category, scene), both_parts in sorted(found.items()):
        differs = [part for part in _WORDS if sum(name == part for name, _ in both_parts) > 1]
        if differs and (category, scene) in measured:
            both = " and ".join(f"'{name}'" for name in names)
            raise InputError(
                f"{both} cannot be compared: scene {scene} of '{category}' was measured with other "
                f"{_WORDS[differs[0]]}; measure both in the same scenes by the same rules"
            )
