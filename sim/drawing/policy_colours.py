"""Colours of policies: every chart of the project asks here, so that a policy looks the same everywhere."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from sim.drawing.figures import COLOURS


class PolicyLook(NamedTuple):
    """How a chart draws a policy.

    Attributes:
        colour: Colour, "#rrggbb".
        marker: Marker of matplotlib.
    """

    colour: str
    marker: str


# Paul Tol's muted palette, for the policies that have no colour of their own below.
_OTHERS = ("#332288", "#88CCEE", "#44AA99", "#117733", "#999933", "#DDCC77", "#CC6677", "#882255", "#AA4499")
_MARKERS = "osD^vPX<>h"
_BLUE, _VERMILION, _GREEN, _PINK, _ORANGE, _SKY, _BLACK = COLOURS
_KNOWN = {
    "oracle": PolicyLook(_BLACK, "X"),
    "network": PolicyLook(_BLUE, "o"),
    "pretrained": PolicyLook(_SKY, "P"),
    "antipodal": PolicyLook(_GREEN, "D"),
    "random": PolicyLook(_VERMILION, "s"),
    "random-free": PolicyLook(_ORANGE, "v"),
    "constant": PolicyLook(_PINK, "^"),
    "untrained": PolicyLook("#999999", "<"),
}


def policy_look(name: str) -> PolicyLook:
    """Returns the colour and the marker of a policy: its own where it is known here, else drawn from its name."""
    if name in _KNOWN:
        return _KNOWN[name]
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    return PolicyLook(_OTHERS[number % len(_OTHERS)], _MARKERS[number // len(_OTHERS) % len(_MARKERS)])


def policy_looks(names: Iterable[str]) -> dict[str, PolicyLook]:
    """Returns the looks of the policies of one chart, no two alike in colour as long as the palette lasts.

    A policy keeps the look of ``policy_look``. Only where two unknown names draw the same colour, the later one in
    the alphabet takes the next that is free.
    """
    looks: dict[str, PolicyLook] = {}
    taken: set[str] = set()
    unique = list(dict.fromkeys(names))
    for name in sorted(unique, key=lambda n: (n not in _KNOWN, n)):
        look = policy_look(name)
        free = [c for c in _OTHERS if c not in taken]
        if look.colour in taken and free:
            start = _OTHERS.index(look.colour)
            turn = (*_OTHERS[start:], *_OTHERS[:start])
            look = look._replace(colour=next(c for c in turn if c in free))
        looks[name] = look
        taken.add(look.colour)
    return {name: looks[name] for name in unique}
