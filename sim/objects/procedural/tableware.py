"""What stands on a table: bowls, plates, cups, mugs and cutlery."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from sim.objects.procedural.shapes import (
    CERAMIC,
    GLASS,
    METAL,
    PLASTIC,
    STEEL,
    WOOD,
    Colour,
    Piece,
    Shape,
    bright,
    pale,
    plain,
    printed,
    wooden,
)
from sim.objects.procedural.solids import Solid, circle, joined, loft, prism, rectangle, swept, vessel


def _ware(rng: Generator) -> tuple[float, Colour]:
    """Draws china, glass, plastic or wood; returns density, kg/m^3, and colour."""
    density = float(rng.choice([CERAMIC, GLASS, PLASTIC, WOOD], p=[0.45, 0.1, 0.35, 0.1]))
    return density, wooden(rng) if density == WOOD else (pale(rng) if rng.random() < 0.5 else bright(rng))


def bowl(rng: Generator) -> Shape:
    """Draws a bowl; a hand takes it by its rim."""
    radius, height, wall = rng.uniform(0.045, 0.075), rng.uniform(0.035, 0.06), rng.uniform(0.0025, 0.0045)
    t = np.linspace(0, 1, 4)
    foot = rng.uniform(0.35, 0.6) * radius
    outer = np.stack([foot + (radius - foot) * np.sin(t * np.pi / 2), height * t**1.4], axis=1)
    inner = outer + np.array([-wall, 0.0])
    inner[:, 1] += np.linspace(1.3 * wall, 0, 4)
    density, colour = _ware(rng)
    piece = Piece(solid=vessel(outer, inner, 20), density=density, colour=colour)
    return Shape(family="bowl", pieces=(piece,))


def plate(rng: Generator) -> Shape:
    """Draws a plate or a saucer; flat, it can be taken at its rim alone."""
    radius, height, wall = rng.uniform(0.055, 0.09), rng.uniform(0.012, 0.022), rng.uniform(0.003, 0.0045)
    foot = rng.uniform(0.55, 0.7) * radius
    outer = np.array([(foot, 0), (1.15 * foot, 0.45 * height), (radius, height - wall)])
    inner = outer + np.array([(-wall, 1.2 * wall), (-0.8 * wall, wall), (0, wall)])
    density, colour = _ware(rng)
    piece = Piece(solid=vessel(outer, inner, 20), density=density, colour=colour, print=printed(rng, colour, share=0.3))
    return Shape(family="plate", pieces=(piece,))


def _beaker(rng: Generator, family: str, *, wide: tuple[float, float]) -> tuple[Piece, float, float]:
    """Draws a cup without a handle; returns it, its radius at half height and its height, metres."""
    radius, height = rng.uniform(*wide), rng.uniform(0.065, 0.105)
    wall, taper = rng.uniform(0.0025, 0.004), rng.uniform(0.75, 1.0)
    outer = np.array([(taper * radius, 0), (radius, height)])
    inner = outer + np.array([(-wall, 1.5 * wall), (-wall, 0)])
    density, colour = _ware(rng)
    piece = Piece(
        solid=vessel(outer, inner),
        density=density,
        colour=colour,
        print=printed(rng, colour, share=0.5),
        wrapped=True,
    )
    return piece, (1 + taper) / 2 * radius, height


def cup(rng: Generator) -> Shape:
    """Draws a beaker without a handle."""
    return Shape(family="cup", pieces=(_beaker(rng, "cup", wide=(0.028, 0.042))[0],))


def mug(rng: Generator) -> Shape:
    """Draws a mug with a handle."""
    body, radius, height = _beaker(rng, "mug", wide=(0.033, 0.044))
    reach, thick = rng.uniform(0.022, 0.034), rng.uniform(0.0035, 0.006)
    angle = np.linspace(0.5 * np.pi, -0.5 * np.pi, 8)
    half = rng.uniform(0.26, 0.34) * height
    start = 0.97 * radius
    path = np.stack([start + reach * np.cos(angle), np.zeros(len(angle)), 0.5 * height + half * np.sin(angle)], axis=1)
    handle = swept(path, circle(thick, 8, squash=0.7))
    return Shape(family="mug", pieces=(body, plain(handle, body.density, body.colour)))


def _handle(rng: Generator, length: float) -> Solid:
    """Returns a flat handle along x from 0, which swells to its end."""
    thick, wide = rng.uniform(0.004, 0.008), rng.uniform(0.012, 0.018)
    x = np.array([0, 0.35, 0.8, 1.0]) * length
    sizes = np.array([(0.45, 0.8), (0.55, 0.9), (1.0, 1.0), (0.75, 0.8)])
    section = rectangle(1.0, 1.0, 0.3)
    rings = [
        np.stack([np.full(len(section), at), w * wide * section[:, 0], t * thick * section[:, 1]], axis=1)
        for at, (w, t) in zip(x, sizes, strict=True)
    ]
    return loft(rings)


def _cutlery(rng: Generator) -> tuple[float, Colour, float]:
    """Draws steel, plastic or wood; returns density, colour and the length of the handle, metres."""
    density = float(rng.choice([STEEL, PLASTIC, WOOD], p=[0.6, 0.25, 0.15]))
    colour = {STEEL: METAL, PLASTIC: bright(rng), WOOD: wooden(rng)}[density]
    return density, colour, rng.uniform(0.09, 0.13)


def spoon(rng: Generator) -> Shape:
    """Draws a spoon with a shallow bowl."""
    density, colour, length = _cutlery(rng)
    handle = _handle(rng, length)
    long, wide, deep, wall = rng.uniform(0.022, 0.03), rng.uniform(0.7, 0.85), rng.uniform(0.006, 0.01), 0.0022
    outer = np.array([(0.45 * long, -deep), (0.8 * long, -0.55 * deep), (long, 0)])
    inner = outer + np.array([(-0.5 * wall, wall), (-wall, 0.8 * wall), (-wall, 0)])
    head = vessel(outer, inner, 16)
    squash = np.diag([1.0, wide, 1.0])
    head = head.moved((-0.93 * long, 0, 0.001), squash)
    return Shape(family="spoon", pieces=(plain(joined([handle, head]), density, colour),))


def fork(rng: Generator) -> Shape:
    """Draws a fork of three or four tines."""
    density, colour, length = _cutlery(rng)
    tines, wide, long, thick = int(rng.integers(3, 5)), 0.022, rng.uniform(0.035, 0.05), 0.0028
    palm = prism(np.array([(-0.022, -wide / 2), (0.004, -0.004), (0.004, 0.004), (-0.022, wide / 2)]), thick)
    solids = [_handle(rng, length), palm]
    for y in np.linspace(-wide / 2 + 0.0016, wide / 2 - 0.0016, tines):
        tip = np.array([(-0.02, -0.0016), (-0.02, 0.0016), (-0.018 - long, 0.0009), (-0.018 - long, -0.0009)])
        solids.append(prism(tip + np.array([0, y]), thick))
    return Shape(family="fork", pieces=(plain(joined(solids), density, colour),))


def knife(rng: Generator) -> Shape:
    """Draws a table or kitchen knife."""
    density, colour, length = _cutlery(rng)
    blade = rng.uniform(0.09, 0.13)
    wide, thick = rng.uniform(0.018, 0.026), rng.uniform(0.002, 0.003)
    outline = np.array([(0.01, 0), (0.01, -wide / 2), (-0.75 * blade, -wide / 2), (-blade, 0.2 * wide), (0, wide / 2)])
    steel = plain(prism(outline, thick), STEEL if density == STEEL else density, METAL)
    return Shape(
        family="knife",
        pieces=(
            plain(
                _handle(rng, length),
                density if density != STEEL else 2500.0,
                bright(rng) if density == STEEL else colour,
            ),
            steel,
        ),
    )
