"""What a family makes: pieces of a material, what they hold, and how they are coloured."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np
import trimesh
from numpy.random import Generator
from numpy.typing import NDArray

from sim.objects.procedural.solids import Solid

Colour = tuple[float, float, float]

# kg/m^3
STEEL, ALUMINIUM, CERAMIC, GLASS, PLASTIC = 7800.0, 2700.0, 2200.0, 2500.0, 1000.0
RUBBER, WOOD, CARD, FOAM, CLOTH, FRUIT, WATER = 1100.0, 650.0, 700.0, 150.0, 300.0, 950.0, 1000.0

METAL: Colour = (0.62, 0.63, 0.65)
_PRINT = (64, 96)  # texels of a print


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A solid of one material.

    Attributes:
        solid: Surface and convex parts.
        density: Mass over the solid's volume, kg/m^3; of a closed package that of its wall, spread over the whole.
        colour: RGB in [0, 1].
        print: Texture (H, W, 3) uint8 RGB, or None for the plain colour.
        wrapped: Whether the print runs round z; else it lies on the faces along each axis.
    """

    solid: Solid
    density: float
    colour: Colour
    print: NDArray[np.uint8] | None = None
    wrapped: bool = False


@dataclass(frozen=True, kw_only=True)
class Shape:
    """An object as a family draws it, in a frame of the family's own.

    Attributes:
        family: Name of the family.
        pieces: Pieces, touching or overlapping.
        contents: Watertight meshes inside, metres, each with its density, kg/m^3.
    """

    family: str
    pieces: tuple[Piece, ...]
    contents: tuple[tuple[trimesh.Trimesh, float], ...] = ()


def bright(rng: Generator) -> Colour:
    """Returns a colour of plastic or paint."""
    return _hsv(rng.random(), rng.uniform(0.45, 0.95), rng.uniform(0.45, 0.95))


def pale(rng: Generator) -> Colour:
    """Returns a colour of china, paper or cloth."""
    return _hsv(rng.random(), rng.uniform(0.0, 0.25), rng.uniform(0.75, 0.97))


def wooden(rng: Generator) -> Colour:
    """Returns a colour of wood."""
    return _hsv(rng.uniform(0.06, 0.11), rng.uniform(0.35, 0.65), rng.uniform(0.4, 0.8))


def near(rng: Generator, hue: float) -> Colour:
    """Returns a full colour near a hue, 0 ... 1."""
    return _hsv((hue + rng.normal(0, 0.015)) % 1, rng.uniform(0.65, 0.9), rng.uniform(0.6, 0.9))


def _hsv(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return red, green, blue


def printed(rng: Generator, base: Colour, *, share: float = 0.6) -> NDArray[np.uint8] | None:
    """Returns a print of bands, blocks, dots and lines of text on a colour, (64, 96, 3) uint8 RGB, or None.

    Args:
        rng: Source of chance.
        base: Colour of the ground.
        share: Probability that there is a print.
    """
    if rng.random() > share:
        return None
    rows, cols = _PRINT
    picture = np.broadcast_to(np.asarray(base), (rows, cols, 3)).copy()
    row, col = np.mgrid[:rows, :cols]
    for _ in range(rng.integers(1, 4)):
        colour, kind = bright(rng), rng.integers(4)
        if kind == 0:
            top = rng.integers(rows - 8)
            picture[top : top + rng.integers(4, 20)] = colour
        elif kind == 1:
            top, left = rng.integers(rows - 16), rng.integers(cols - 24)
            picture[top : top + rng.integers(8, 30), left : left + rng.integers(12, 60)] = colour
        elif kind == 2:
            y, x, radius = rng.integers(rows), rng.integers(cols), rng.uniform(5, 18)
            picture[(row - y) ** 2 + (col - x) ** 2 < radius**2] = colour
        else:
            picture[(row + col) // rng.integers(4, 12) % 2 == 0] = colour
    ink = (0.1, 0.1, 0.12) if sum(base) > 1.2 else (0.95, 0.95, 0.92)
    left, top = rng.integers(4, 30), rng.integers(4, 30)
    for line in range(rng.integers(0, 6)):
        y = top + 5 * line
        words = (rng.random(cols) < 0.8) & (np.arange(cols) >= left) & (np.arange(cols) < left + rng.integers(15, 60))
        picture[y : y + 2, words] = ink
    pixels: NDArray[np.uint8] = np.round(255 * picture).astype(np.uint8)
    return pixels


def plain(solid: Solid, density: float, colour: Colour) -> Piece:
    """Returns a piece of one colour."""
    return Piece(solid=solid, density=density, colour=colour)
