"""Flat things: cards, books, phones, coasters, rulers, folded cloths."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from sim.objects.procedural.shapes import CARD, CLOTH, PLASTIC, WOOD, Piece, Shape, bright, pale, plain, printed, wooden
from sim.objects.procedural.solids import circle, prism, rectangle


def card(rng: Generator) -> Shape:
    """Draws a pack of cards, a badge or a thick card, 3 to 10 mm high."""
    outline = rectangle(rng.uniform(0.06, 0.1), rng.uniform(0.04, 0.065), rng.uniform(0.002, 0.006))
    colour = pale(rng) if rng.random() < 0.5 else bright(rng)
    solid = prism(outline, rng.uniform(0.003, 0.01))
    piece = Piece(solid=solid, density=PLASTIC, colour=colour, print=printed(rng, colour, share=0.9))
    return Shape(family="card", pieces=(piece,))


def book(rng: Generator) -> Shape:
    """Draws a book or a notebook: pages between two covers."""
    long, wide, thick = rng.uniform(0.1, 0.17), rng.uniform(0.07, 0.12), rng.uniform(0.012, 0.03)
    pages = prism(rectangle(0.96 * long, 0.96 * wide), thick - 0.003)
    colour = bright(rng)
    picture = printed(rng, colour, share=0.9)
    covers = [prism(rectangle(long, wide), 0.002).moved((0, 0, s * (thick / 2 - 0.001))) for s in (-1, 1)]
    pieces = [plain(pages, rng.uniform(500, CARD), (0.93, 0.91, 0.85))]
    pieces += [Piece(solid=cover, density=CARD, colour=colour, print=picture) for cover in covers]
    return Shape(family="book", pieces=tuple(pieces))


def phone(rng: Generator) -> Shape:
    """Draws a telephone, a remote control or a calculator: a slab with a screen or keys."""
    long, wide, thick = rng.uniform(0.11, 0.17), rng.uniform(0.04, 0.075), rng.uniform(0.009, 0.02)
    body = prism(rectangle(long, wide, 0.2 * wide), thick, bevel=0.002)
    dark = (0.12, 0.12, 0.14) if rng.random() < 0.6 else bright(rng)
    pieces = [plain(body, rng.uniform(900, 2000), dark)]
    if rng.random() < 0.5:
        screen = prism(rectangle(0.85 * long, 0.85 * wide, 0.1 * wide), 0.0006).moved((0, 0, thick / 2))
        pieces.append(plain(screen, PLASTIC, (0.3, 0.4, 0.5)))
    else:
        key = prism(rectangle(0.14 * wide, 0.14 * wide), 0.003)
        spots = [(x * long, y * wide, thick / 2) for x in np.linspace(-0.35, 0.1, 4) for y in (-0.27, 0, 0.27)]
        pieces += [plain(key.moved(spot), PLASTIC, (0.75, 0.75, 0.78)) for spot in spots]
    return Shape(family="phone", pieces=tuple(pieces))


def coaster(rng: Generator) -> Shape:
    """Draws a coaster, a lid or a puck: a low disc or polygon."""
    corners = int(rng.choice([6, 8, 24]))
    solid = prism(circle(rng.uniform(0.035, 0.055), corners), rng.uniform(0.005, 0.014), bevel=0.001)
    wood = rng.random() < 0.4
    colour = wooden(rng) if wood else bright(rng)
    piece = Piece(solid=solid, density=WOOD if wood else PLASTIC, colour=colour, print=printed(rng, colour, share=0.4))
    return Shape(family="coaster", pieces=(piece,))


def ruler(rng: Generator) -> Shape:
    """Draws a ruler, a comb or a lolly stick."""
    solid = prism(rectangle(rng.uniform(0.12, 0.2), rng.uniform(0.018, 0.035), 0.003), rng.uniform(0.003, 0.006))
    colour = wooden(rng) if rng.random() < 0.5 else bright(rng)
    piece = Piece(solid=solid, density=WOOD * 1.2, colour=colour, print=printed(rng, colour, share=0.5))
    return Shape(family="ruler", pieces=(piece,))


def cloth(rng: Generator) -> Shape:
    """Draws a folded cloth or a sponge: a soft-edged slab, here stiff."""
    long, wide, thick = rng.uniform(0.07, 0.12), rng.uniform(0.045, 0.085), rng.uniform(0.014, 0.032)
    solid = prism(rectangle(long, wide, 0.3 * thick), thick, bevel=0.25 * thick)
    colour = pale(rng) if rng.random() < 0.4 else bright(rng)
    piece = Piece(solid=solid, density=rng.uniform(100, CLOTH), colour=colour, print=printed(rng, colour, share=0.5))
    return Shape(family="cloth", pieces=(piece,))
