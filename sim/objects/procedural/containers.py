"""Packages: cartons, cans, tins, bottles, jars, canisters and bags."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from sim.objects.procedural.shapes import (
    ALUMINIUM,
    CARD,
    PLASTIC,
    WATER,
    Piece,
    Shape,
    bright,
    pale,
    plain,
    printed,
)
from sim.objects.procedural.solids import Solid, filling, loft, prism, rectangle, rounded, turned


def carton(rng: Generator) -> Shape:
    """Draws a box of cereal, tea, soap or juice, filled to some height."""
    length, width, height = rng.uniform(0.05, 0.19), rng.uniform(0.03, 0.085), rng.uniform(0.025, 0.12)
    colour = bright(rng) if rng.random() < 0.7 else pale(rng)
    body = prism(rectangle(length, width, 0.002), height, bevel=0.001)
    level = rng.uniform(0.5, 1.0)
    stuff = prism(rectangle(0.96 * length, 0.96 * width), 0.96 * level * height)
    below = stuff.moved((0, 0, -0.48 * (1 - level) * height)).surface
    piece = Piece(solid=body, density=60.0, colour=colour, print=printed(rng, colour, share=0.85))
    return Shape(family="carton", pieces=(piece,), contents=((below, rng.uniform(80, 700)),))


def can(rng: Generator) -> Shape:
    """Draws a drink or food can, full or empty."""
    radius, height = rng.uniform(0.024, 0.045), rng.uniform(0.07, 0.15)
    neck = radius * rng.uniform(0.8, 1.0)
    profile = [(0.9 * radius, 0), (radius, 0.006), (radius, height - 0.012), (neck, height - 0.003), (neck, height)]
    colour = bright(rng)
    piece = Piece(
        solid=turned(profile),
        density=70.0 + 0.04 * ALUMINIUM,
        colour=colour,
        print=printed(rng, colour, share=0.8),
        wrapped=True,
    )
    full = rng.random() < 0.6
    return Shape(family="can", pieces=(piece,), contents=((filling(profile, 0.95), WATER),) if full else ())


def tin(rng: Generator) -> Shape:
    """Draws a flat tin of fish, cream or sweets."""
    radius, height = rng.uniform(0.025, 0.05), rng.uniform(0.02, 0.045)
    lip = 0.0015
    profile = [
        *((radius + lip, 0), (radius + lip, 0.002), (radius, 0.003)),
        *((radius, height - 0.003), (radius + lip, height - 0.002), (radius + lip, height)),
    ]
    colour = bright(rng)
    piece = Piece(solid=turned(profile), density=250.0, colour=colour, print=printed(rng, colour))
    return Shape(family="tin", pieces=(piece,), contents=((filling(profile, 0.9), rng.uniform(200, 1000)),))


def bottle(rng: Generator) -> Shape:
    """Draws a bottle with shoulder, neck and cap, filled to some height."""
    radius, height = rng.uniform(0.022, 0.04), rng.uniform(0.12, 0.22)
    neck, shoulder = rng.uniform(0.009, 0.015), rng.uniform(0.55, 0.75) * height
    curve = np.linspace(0, 1, 5)[1:]
    bend = [(radius + (neck - radius) * (3 * t**2 - 2 * t**3), shoulder + t * 0.2 * height) for t in curve]
    top = shoulder + 0.2 * height
    profile = [(0.92 * radius, 0), (radius, 0.005), (radius, shoulder), *bend, (neck, max(height, top + 0.012))]
    end = profile[-1][1]
    colour = bright(rng)
    cap = turned([(neck + 0.002, end - 0.008), (neck + 0.003, end + 0.006), (neck + 0.002, end + 0.009)], 16)
    body = Piece(
        solid=turned(profile), density=90.0, colour=colour, print=printed(rng, colour, share=0.5), wrapped=True
    )
    level = rng.uniform(0.0, 0.75)
    contents = ((filling(profile, level), WATER),) if level > 0.15 else ()
    return Shape(family="bottle", pieces=(body, plain(cap, PLASTIC, bright(rng))), contents=contents)


def jar(rng: Generator) -> Shape:
    """Draws a jar of jam or cream with a wide lid."""
    radius, height = rng.uniform(0.024, 0.042), rng.uniform(0.05, 0.11)
    mouth, lid = radius * rng.uniform(0.78, 0.95), rng.uniform(0.01, 0.018)
    profile = [
        *((0.9 * radius, 0), (radius, 0.006), (radius, 0.75 * height), (0.97 * radius, 0.82 * height)),
        *((mouth, 0.9 * height), (mouth, height)),
    ]
    colour = pale(rng) if rng.random() < 0.5 else bright(rng)
    body = Piece(
        solid=turned(profile), density=330.0, colour=colour, print=printed(rng, colour, share=0.6), wrapped=True
    )
    cap = turned([(mouth + 0.002, height - 0.004), (mouth + 0.003, height + lid - 0.006), (mouth, height + lid)], 24)
    contents = ((filling(profile, rng.uniform(0.3, 0.9), wall=0.003), rng.uniform(600, 1200)),)
    return Shape(family="jar", pieces=(body, plain(cap, 600.0, bright(rng))), contents=contents)


def canister(rng: Generator) -> Shape:
    """Draws a spray can or a shaker: a long body, a narrower cap."""
    radius, height = rng.uniform(0.018, 0.033), rng.uniform(0.1, 0.19)
    profile = [(radius, 0), (radius, 0.78 * height), (0.85 * radius, 0.82 * height)]
    colour = bright(rng)
    body = Piece(
        solid=turned(profile), density=250.0, colour=colour, print=printed(rng, colour, share=0.8), wrapped=True
    )
    cap = turned([(0.84 * radius, 0.8 * height), (0.84 * radius, 0.96 * height), (0.6 * radius, height)])
    contents = ((filling(profile, rng.uniform(0.2, 0.9)), 700.0),)
    return Shape(family="canister", pieces=(body, plain(cap, 200.0, pale(rng))), contents=contents)


def _pillow(length: float, width: float, thickness: float) -> Solid:
    """Returns a pouch: thick in the middle, flat at both seams."""
    rings = []
    for t in np.linspace(-1, 1, 9):
        bulge = max(thickness / 2 * (1 - abs(t) ** 2.2), 0.0012)
        across = width / 2 * (1 - 0.12 * (1 - t**2))
        angle = 2 * np.pi * np.arange(12) / 12
        ring = np.stack([np.full(12, t * length / 2), across * np.cos(angle), bulge * np.sin(angle)], axis=1)
        rings.append(ring)
    return loft(rings)


def bag(rng: Generator) -> Shape:
    """Draws a bag of crisps, sweets or coffee: a pillow with two seams."""
    length, width = rng.uniform(0.08, 0.17), rng.uniform(0.05, 0.1)
    colour = bright(rng)
    solid = _pillow(length, width, rng.uniform(0.02, 0.045))
    piece = Piece(solid=solid, density=rng.uniform(120, 700), colour=colour, print=printed(rng, colour, share=0.9))
    return Shape(family="bag", pieces=(piece,))


def sack(rng: Generator) -> Shape:
    """Draws a bean bag or a small sack: rounded on all sides."""
    radii = rng.uniform(0.03, 0.055), rng.uniform(0.025, 0.042), rng.uniform(0.015, 0.025)
    colour = pale(rng) if rng.random() < 0.5 else bright(rng)
    solid = rounded(radii, power=rng.uniform(2.3, 3.5))
    piece = Piece(solid=solid, density=rng.uniform(250, CARD), colour=colour, print=printed(rng, colour, share=0.4))
    return Shape(family="sack", pieces=(piece,))
