"""Tools: hammers, screwdrivers, pliers, clamps, wrenches, brushes and markers."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from sim.objects.procedural.shapes import METAL, PLASTIC, RUBBER, STEEL, WOOD, Shape, bright, plain, wooden
from sim.objects.procedural.solids import FloatArray, Solid, circle, joined, loft, prism, rectangle, swept, turned

_LIE = np.array([[0, 0, 1.0], [0, 1, 0], [-1, 0, 0]])  # turns z into x


def _box(x: tuple[float, float], y: tuple[float, float], z: tuple[float, float]) -> Solid:
    """Returns a box between two corners, metres."""
    solid = prism(rectangle(x[1] - x[0], y[1] - y[0]), z[1] - z[0])
    return solid.moved((sum(x) / 2, sum(y) / 2, sum(z) / 2))


def hammer(rng: Generator) -> Shape:
    """Draws a hammer of 150 to 600 g: a handle along x, a head across it."""
    length, radius = rng.uniform(0.15, 0.23), rng.uniform(0.009, 0.014)
    handle = turned([(0.85 * radius, 0), (radius, 0.1 * length), (0.7 * radius, 0.6 * length), (0.7 * radius, length)])
    side, long = rng.uniform(0.015, 0.024), rng.uniform(0.06, 0.095)
    at = length - 0.5 * side
    face = turned([(0.55 * side, 0), (0.6 * side, 0.004), (0.6 * side, 0.016), (0.45 * side, 0.02)], 16)
    block = _box((at - side / 2, at + side / 2), (-0.25 * long, 0.35 * long), (-side / 2, side / 2))
    up = np.array([[1, 0, 0], [0, 0, 1.0], [0, -1, 0]])  # z into y
    face = face.moved((at, 0.32 * long, 0), up)
    wedge = np.array([(at - side / 2, -0.24 * long), (at + side / 2, -0.24 * long), (at, -0.6 * long)])
    claw = prism(wedge, side)
    soft = rng.random() < 0.25
    head = plain(
        joined([block, face, claw]), RUBBER if soft else rng.uniform(0.6, 1.0) * STEEL, bright(rng) if soft else METAL
    )
    return Shape(family="hammer", pieces=(plain(handle.moved(turn=_LIE), WOOD, wooden(rng)), head))


def screwdriver(rng: Generator) -> Shape:
    """Draws a screwdriver: a thick grip, a thin blade."""
    grip, radius = rng.uniform(0.07, 0.11), rng.uniform(0.011, 0.018)
    profile = [
        *((0.7 * radius, 0), (radius, 0.12 * grip), (radius, 0.5 * grip)),
        *((0.75 * radius, 0.75 * grip), (0.85 * radius, 0.9 * grip), (0.6 * radius, grip)),
    ]
    blade, thin = rng.uniform(0.06, 0.11), rng.uniform(0.0025, 0.004)
    shaft = turned([(thin, grip - 0.01), (thin, grip + 0.9 * blade), (0.6 * thin, grip + blade)], 10)
    pieces = plain(turned(profile, 16).moved(turn=_LIE), PLASTIC, bright(rng))
    return Shape(family="screwdriver", pieces=(pieces, plain(shaft.moved(turn=_LIE), STEEL, METAL)))


def pliers(rng: Generator) -> Shape:
    """Draws pliers, a little open: two bowed grips, a joint, two jaws."""
    length, spread = rng.uniform(0.09, 0.13), rng.uniform(0.018, 0.028)
    thick, wide = rng.uniform(0.008, 0.011), rng.uniform(0.0045, 0.006)
    flat = np.array([[1, 0, 0], [0, 0, -1.0], [0, 1, 0]])  # the plane y = 0 into z = 0
    t = np.linspace(0, 1, 8)
    tip = rng.uniform(0.04, 0.055)
    grips, jaws = [], []
    for sign in (-1, 1):
        bow = sign * (0.004 + spread * np.sin(0.6 * np.pi * t))
        path = np.stack([t * length, np.zeros(8), bow], axis=1)
        grips.append(swept(path, rectangle(thick, 2 * wide, 0.003), sizes=np.linspace(0.8, 1.0, 8)).moved(turn=flat))
        jaw = np.array([(0.008, sign * 0.0005), (0.008, sign * 0.011), (-tip, sign * 0.004), (-tip, sign * 0.0005)])
        jaws.append(prism(jaw, thick))
    joint = prism(circle(0.011, 16), thick * 1.15)
    colour = bright(rng)
    return Shape(
        family="pliers", pieces=(plain(joined(grips), 2500.0, colour), plain(joined([joint, *jaws]), STEEL, METAL))
    )


def clamp(rng: Generator) -> Shape:
    """Draws a C-clamp: a bow, a screw through its lower arm, a bar across the screw."""
    depth, high, side = rng.uniform(0.035, 0.055), rng.uniform(0.05, 0.085), rng.uniform(0.008, 0.012)
    back = _box((-side, 0), (-side / 2, side / 2), (0, high))
    at = (0.02 * side, high - 0.98 * side)
    arms = [_box((-0.5 * side, depth), (-0.48 * side, 0.48 * side), (z, z + 0.96 * side)) for z in at]
    screw = turned([(0.004, -0.03), (0.004, 0.4 * high)], 10).moved((depth - 0.006, 0, 0))
    pad = turned([(0.008, 0.39 * high), (0.008, 0.39 * high + 0.005)], 12).moved((depth - 0.006, 0, 0))
    bar = _box((depth - 0.026, depth + 0.014), (-0.0025, 0.0025), (-0.03, -0.025))
    return Shape(
        family="clamp",
        pieces=(
            plain(joined([back, *arms]), rng.uniform(0.35, 0.9) * STEEL, bright(rng)),
            plain(joined([screw, pad, bar]), STEEL, METAL),
        ),
    )


def _jaw(radius: float, mouth: float, thick: float) -> Solid:
    """Returns an open-ended wrench's head about the origin, open towards -x."""
    angle = np.linspace(-np.pi + 0.75, np.pi - 0.75, 11)
    outer = radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    inner = mouth * np.stack([np.cos(angle), np.sin(angle)], axis=1)

    def at(points: FloatArray) -> FloatArray:
        return np.stack([np.hstack([points, np.full((len(points), 1), z)]) for z in (-thick / 2, thick / 2)], axis=1)

    low_high = np.concatenate([at(outer), at(inner)[:, ::-1]], axis=1)
    return loft(low_high)


def wrench(rng: Generator) -> Shape:
    """Draws an open-ended wrench."""
    length, radius, thick = rng.uniform(0.11, 0.18), rng.uniform(0.013, 0.02), rng.uniform(0.005, 0.008)
    heads = [_jaw(radius, 0.55 * radius, thick)]
    small = 0.8 * radius
    heads.append(_jaw(small, 0.55 * small, thick).moved((length, 0, 0), np.diag([-1.0, -1.0, 1.0])))
    wide = rng.uniform(0.45, 0.6) * radius
    shaft = _box((0.7 * radius, length - 0.7 * small), (-wide, wide), (-0.4 * thick, 0.4 * thick))
    return Shape(family="wrench", pieces=(plain(joined([*heads, shaft]), STEEL, METAL),))


def marker(rng: Generator) -> Shape:
    """Draws a marker, a pen or a glue stick with its cap."""
    length, radius = rng.uniform(0.1, 0.15), rng.uniform(0.006, 0.012)
    body = turned([(0.9 * radius, 0), (radius, 0.004), (radius, 0.68 * length)], 16)
    cap = turned([(1.08 * radius, 0.62 * length), (1.08 * radius, 0.9 * length), (0.75 * radius, length)], 16)
    density = rng.uniform(500, 1100)
    pieces = (
        plain(body.moved(turn=_LIE), density, (0.92, 0.92, 0.9)),
        plain(cap.moved(turn=_LIE), density, bright(rng)),
    )
    return Shape(family="marker", pieces=pieces)


def brush(rng: Generator) -> Shape:
    """Draws a paint brush or a hand brush: a handle that narrows, a block of bristles."""
    length, wide, thick = rng.uniform(0.09, 0.13), rng.uniform(0.02, 0.045), rng.uniform(0.01, 0.016)
    handle = turned([(0.007, 0), (0.01, 0.25 * length), (0.006, 0.7 * length), (0.006, length)], 14)
    ferrule = _box((length - 0.008, length + 0.015), (-wide / 2, wide / 2), (-thick / 2, thick / 2))
    hair = _box((length + 0.014, length + 0.05), (-0.47 * wide, 0.47 * wide), (-0.4 * thick, 0.4 * thick))
    pieces = (
        plain(handle.moved(turn=_LIE), WOOD, wooden(rng)),
        plain(ferrule, 2000.0, METAL),
        plain(hair, 400.0, bright(rng)),
    )
    return Shape(family="brush", pieces=pieces)
