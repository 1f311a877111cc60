"""Toys: bricks, balls, cars, animals, dumbbells, spinning tops."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from sim.objects.procedural.shapes import FOAM, PLASTIC, RUBBER, WOOD, Piece, Shape, bright, plain, printed
from sim.objects.procedural.solids import joined, prism, rectangle, rounded, turned

_ACROSS = np.array([[1, 0, 0], [0, 0, -1.0], [0, 1, 0]])  # turns y into z, z into -y
_LIE = np.array([[0, 0, 1.0], [0, 1, 0], [-1, 0, 0]])  # turns z into x


def brick(rng: Generator) -> Shape:
    """Draws a building brick with studs."""
    unit = rng.uniform(0.016, 0.026)
    long, wide, tall = int(rng.integers(2, 5)), int(rng.integers(1, 3)), rng.uniform(0.6, 1.2) * unit
    body = prism(rectangle(long * unit, wide * unit), tall)
    stud = turned([(0.3 * unit, tall / 2 - 0.001), (0.3 * unit, tall / 2 + 0.22 * unit)], 12)
    spots = [((i - (long - 1) / 2) * unit, (j - (wide - 1) / 2) * unit, 0) for i in range(long) for j in range(wide)]
    solid = joined([body, *(stud.moved(spot) for spot in spots)])
    return Shape(family="brick", pieces=(plain(solid, rng.uniform(300, PLASTIC), bright(rng)),))


def block(rng: Generator) -> Shape:
    """Draws a wooden block: cube, wedge, cylinder or half round."""
    a, b, c = rng.uniform(0.02, 0.06, 3)
    kind = rng.integers(4)
    if kind == 0:
        solid = prism(rectangle(a, a, 0.002), a, bevel=0.0015)
    elif kind == 1:
        solid = prism(np.array([(-a / 2, -b / 3), (a / 2, -b / 3), (-a / 2, 2 * b / 3)]), c)
    elif kind == 2:
        solid = turned([(a / 2, 0), (a / 2, c)])
    else:
        angle = np.linspace(0, np.pi, 11)
        solid = prism(a * np.stack([np.cos(angle), np.sin(angle)], axis=1), c)
    colour = bright(rng)
    piece = Piece(solid=solid, density=WOOD, colour=colour, print=printed(rng, colour, share=0.4))
    return Shape(family="block", pieces=(piece,))


def ball(rng: Generator) -> Shape:
    """Draws a ball: from a table tennis ball's size to more than the hand takes."""
    radius = rng.uniform(0.018, 0.055)
    colour = bright(rng)
    density = rng.uniform(80, 900) if radius < 0.035 else rng.uniform(60, 300)
    piece = Piece(
        solid=rounded((radius,) * 3, facets=20),
        density=density,
        colour=colour,
        print=printed(rng, colour),
        wrapped=True,
    )
    return Shape(family="ball", pieces=(piece,))


def car(rng: Generator) -> Shape:
    """Draws a toy car: a body, a cabin, four wheels."""
    length, width = rng.uniform(0.065, 0.12), rng.uniform(0.03, 0.05)
    tall, wheel = rng.uniform(0.013, 0.022), rng.uniform(0.008, 0.013)
    body = prism(rectangle(length, width, 0.005), tall, bevel=0.002)
    side = np.array([(-0.3, 0), (0.25, 0), (0.12, 1), (-0.2, 1)]) * np.array([length, rng.uniform(0.7, 1.0) * tall])
    cabin = prism(side, 0.86 * width).moved((0, 0, tall / 2 - 0.001), _ACROSS)
    disc = turned([(wheel, -0.004), (wheel, 0.004)], 14)
    wheels = joined(disc.moved((x * length, y * (width / 2), -tall / 2), _ACROSS) for x in (-0.3, 0.3) for y in (-1, 1))
    colour, density = bright(rng), rng.uniform(400, 1600)
    pieces = (plain(body, density, colour), plain(cabin, density, bright(rng)), plain(wheels, RUBBER, (0.1, 0.1, 0.1)))
    return Shape(family="car", pieces=pieces)


def animal(rng: Generator) -> Shape:
    """Draws an animal of plush or plastic: a body, a head, four legs."""
    long, wide, tall = rng.uniform(0.03, 0.05), rng.uniform(0.016, 0.026), rng.uniform(0.016, 0.026)
    leg, thick = rng.uniform(0.02, 0.035), rng.uniform(0.006, 0.009)
    body = rounded((long, wide, tall))
    size = rng.uniform(0.6, 0.95) * tall
    head = rounded((1.15 * size, size, size)).moved((0.95 * long, 0, 0.9 * tall))
    limb = turned([(thick, -tall / 2 - leg), (thick, 0)], 10)
    limbs = [limb.moved((x * long, y * wide, 0)) for x in (-0.55, 0.5) for y in (-0.55, 0.55)]
    ears = [rounded((0.3 * size, 0.25 * size, 0.6 * size), facets=8) for _ in range(2)]
    ears = [e.moved((0.9 * long, s * 0.6 * size, 0.9 * tall + size)) for e, s in zip(ears, (-1, 1), strict=True)]
    solid = joined([body, head, *limbs, *ears])
    return Shape(family="animal", pieces=(plain(solid, rng.uniform(FOAM, PLASTIC), bright(rng)),))


def dumbbell(rng: Generator) -> Shape:
    """Draws a rattle or a small dumbbell: two weights on a bar."""
    length, bar, radius = rng.uniform(0.08, 0.13), rng.uniform(0.007, 0.012), rng.uniform(0.018, 0.03)
    grip = turned([(bar, 0), (bar, length)], 14)
    weight = rounded((radius, radius, rng.uniform(0.5, 0.9) * radius), power=rng.uniform(2, 4))
    weights = joined([weight, weight.moved((0, 0, length))]).moved(turn=_LIE)
    density = rng.uniform(300, 2500)
    pieces = (plain(grip.moved(turn=_LIE), density, bright(rng)), plain(weights, density, bright(rng)))
    return Shape(family="dumbbell", pieces=pieces)


def top(rng: Generator) -> Shape:
    """Draws a spinning top, a chess piece or a knob: a turned form of several swells."""
    height, radius = rng.uniform(0.05, 0.1), rng.uniform(0.014, 0.03)
    z = np.linspace(0, height, 7)
    widths = np.concatenate([[1.0, 0.9], rng.uniform(0.35, 0.8, 3), rng.uniform(0.5, 0.8, 1), [0.35]])
    solid = turned(np.stack([radius * widths, z], axis=1), 18)
    colour = bright(rng)
    piece = Piece(solid=solid, density=WOOD, colour=colour, print=printed(rng, colour, share=0.4), wrapped=True)
    return Shape(family="top", pieces=(piece,))
