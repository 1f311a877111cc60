"""The names of procedural sets: which objects they mean."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from sim.errors import InputError
from sim.objects.procedural.catalogue import FAMILIES, NOVEL, SEEN
from sim.objects.procedural.generator import family_of

_SHARES = {"all": tuple(FAMILIES), "seen": SEEN, "novel": NOVEL}
_NAME = re.compile(r"procedural-(\d{1,18})-(\d{1,18})-(\d{1,18})(?:-([a-z+]+))?")


def choose_families(families: str | Sequence[str]) -> tuple[str, ...]:
    """Returns the families that a setting means, in the catalogue's order.

    Args:
        families: "all", "seen", "novel", or names of families.

    Raises:
        InputError: There is no such family, or none is named.
    """
    names = _SHARES.get(families, (families,)) if isinstance(families, str) else tuple(families)
    for name in names:
        if name not in FAMILIES:
            close = difflib.get_close_matches(str(name), [*_SHARES, *FAMILIES], 1)
            advice = f"did you mean {close[0]}?" if close else f"choose all, seen, novel, or of {', '.join(FAMILIES)}"
            raise InputError(f"objects.families names '{name}', which is no family; {advice}")
    if not names:
        raise InputError("objects.families is empty; give all, seen, novel, or names of families")
    return tuple(name for name in FAMILIES if name in names)


def set_name(seed: int, first: int, last: int, *, families: tuple[str, ...]) -> str:
    """Returns the name that ``parse_name`` reads back."""
    short = next((share for share, members in _SHARES.items() if families == members), "+".join(families))
    return f"procedural-{seed}-{first}-{last}" + ("" if short == "all" else f"-{short}")


def parse_name(name: str) -> tuple[int, int, int, tuple[str, ...]] | None:
    """Returns seed, first and last number, and families of a set's name; None for the name of another set."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    chosen = match[4] or "all"
    try:
        families = choose_families(chosen if chosen in _SHARES else chosen.split("+"))
    except InputError:  # a set of another's that happens to be called so
        return None
    return int(match[1]), int(match[2]), int(match[3]), families


def object_name(seed: int, index: int) -> str:
    """Returns the name of an object, for example ``procedural-0/000017-mug``."""
    return f"procedural-{seed}/{index:06d}-{family_of(seed, index)}"


def parse_object(name: str) -> tuple[int, int] | None:
    """Returns seed and number of the object that ``object_name`` called so; None for another's name."""
    match = re.fullmatch(r"procedural-(\d{1,18})/(\d{6,18})-[a-z]+", name)
    found = (int(match[1]), int(match[2])) if match else None
    return found if found and object_name(*found) == name else None
