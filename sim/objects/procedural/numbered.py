"""Sets of procedural objects: by the numbers of a seed, or by their own names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sim.errors import InputError
from sim.objects.procedural.generator import family_of
from sim.objects.procedural.naming import choose_families, object_name, parse_object, set_name
from sim.objects.procedural.writing import prepare_shapes

_MOST = 1_000_000  # objects of a set


def procedural_set(
    seed: int,
    first: int,
    last: int,
    *,
    families: str | Sequence[str] = "all",
    cache: str | Path | None = None,
    workers: int = -1,
) -> tuple[str, dict[str, Path]]:
    """Makes the objects ``first`` ... ``last`` of a seed, or finds them in the cache.

    Object i of a seed is the same in every set. A choice of families leaves the others' numbers out.

    Args:
        seed: Seed of the objects, at least 0.
        first: Number of the first object, at least 0.
        last: Number of the last object.
        families: "all", "seen", "novel" (the families held out of training), or names of families.
        cache: Folder of the objects; None for ``$XDG_CACHE_HOME/plgp/meshes``, or ``~/.cache/plgp/meshes``.
        workers: Number of processes that make them; -1 for one per core.

    Returns:
        The set's name, and the URDF of each object by the object's name.

    Raises:
        InputError: A number or a family is wrong, or no object of these numbers is of these families.
    """
    for name, value in (("seed", seed), ("first", first), ("last", last)):
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**18:
            raise InputError(f"objects.{name} is {value}; give a whole number of at least 0")
    if not first <= last < first + _MOST:
        raise InputError(f"objects.first is {first} and last {last}; give a last of {first} to {first + _MOST - 1}")
    chosen = choose_families(families)
    indices = [i for i in range(first, last + 1) if family_of(seed, i) in chosen]
    if not indices:
        raise InputError(f"none of the objects {first}-{last} of seed {seed} is a {' or '.join(chosen)}; raise last")
    urdfs = prepare_shapes(seed, indices, cache=cache, workers=workers)
    found = {object_name(seed, i): urdf for i, urdf in zip(indices, urdfs, strict=True)}
    return set_name(seed, first, last, families=chosen), found


def procedural_objects(names: Sequence[str]) -> dict[str, Path]:
    """Makes single objects by their names, or finds them in the cache; returns the URDF of each.

    Args:
        names: Names of objects; those of other sets' objects are passed over.
    """
    known = {name: number for name in names if (number := parse_object(name)) is not None}
    found: dict[str, Path] = {}
    for seed in sorted({seed for seed, _ in known.values()}):
        mine = [name for name, (s, _) in known.items() if s == seed]
        found |= dict(zip(mine, prepare_shapes(seed, [known[name][1] for name in mine]), strict=True))
    return found
