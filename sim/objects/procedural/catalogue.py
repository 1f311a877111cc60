"""The families of shapes, and which of them are held out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from numpy.random import Generator

from sim.objects.procedural import containers, flat, food, frames, tableware, tools, toys
from sim.objects.procedural.shapes import Shape

_MAKERS: tuple[Callable[[Generator], Shape], ...] = (
    *(containers.carton, containers.can, containers.tin, containers.bottle),
    *(containers.jar, containers.canister, containers.bag, containers.sack),
    *(tableware.bowl, tableware.plate, tableware.cup, tableware.mug),
    *(tableware.spoon, tableware.fork, tableware.knife),
    *(tools.hammer, tools.screwdriver, tools.pliers, tools.clamp, tools.wrench, tools.marker, tools.brush),
    *(food.apple, food.citrus, food.banana, food.pear, food.egg),
    *(toys.brick, toys.block, toys.ball, toys.car, toys.animal, toys.dumbbell, toys.top),
    *(flat.card, flat.book, flat.phone, flat.coaster, flat.ruler, flat.cloth),
    *(frames.hoop, frames.tape, frames.frame, frames.link, frames.hook, frames.grid),
)
FAMILIES: Mapping[str, Callable[[Generator], Shape]] = MappingProxyType({make.__name__: make for make in _MAKERS})
# One or two families of each kind are kept out of training.
NOVEL = (
    *("jar", "bag", "cup", "spoon", "pliers", "wrench", "pear"),
    *("car", "dumbbell", "phone", "coaster", "tape", "hook"),
)
SEEN = tuple(name for name in FAMILIES if name not in NOVEL)
