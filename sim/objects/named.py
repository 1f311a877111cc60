"""Object sets by their names: those whose name says how they are made."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sim.objects.object_set import ObjectModel, ObjectSet
from sim.objects.procedural.naming import parse_name
from sim.objects.procedural.numbered import procedural_objects


def named_set(name: str) -> ObjectSet | None:
    """Returns the set of a name such as ``pybullet-0-899`` or ``procedural-0-0-999-seen``; None for other names."""
    if match := re.fullmatch(r"pybullet-(\d+)-(\d+)", name):
        return ObjectSet.pybullet(int(match[1]), int(match[2]))
    if (found := parse_name(name)) is not None:
        seed, first, last, families = found
        return ObjectSet.procedural(seed, first, last, families=families)
    return None


def published_objects(names: Sequence[str]) -> ObjectSet:
    """Returns PyBullet's objects, and with them the procedural ones among the names.

    Args:
        names: Names of objects in a scene set.
    """
    made = procedural_objects(names)
    extra = tuple(ObjectModel(name, urdf, own_inertia=True) for name, urdf in made.items())
    known = ObjectSet.pybullet(0, 999)
    return ObjectSet("published", known.models + extra) if extra else known
