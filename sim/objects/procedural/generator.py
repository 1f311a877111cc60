"""Object i of seed s: its family, its shape, its mass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from sim.objects.convex import mass_properties
from sim.objects.procedural.catalogue import FAMILIES
from sim.objects.procedural.shapes import Shape

MASSES = (0.01, 1.0)  # kg; what comes out lighter or heavier is made so heavy


@dataclass(frozen=True, kw_only=True)
class Weights:
    """How an object resists.

    Attributes:
        mass: Mass, kg.
        centre: Centre of mass (3,), metres, in the shape's frame.
        inertia: Inertia (3, 3) about the centre of mass, kg m^2, along the shape's axes.
    """

    mass: float
    centre: NDArray[np.float64]
    inertia: NDArray[np.float64]


def _draw(seed: int, index: int) -> tuple[str, Generator]:
    """Returns an object's family and the chance that shapes it."""
    rng = np.random.default_rng([seed, index])
    return list(FAMILIES)[int(rng.integers(len(FAMILIES)))], rng


def family_of(seed: int, index: int) -> str:
    """Returns the family of object ``index`` of a seed, without making it."""
    return _draw(seed, index)[0]


def make_shape(seed: int, index: int) -> Shape:
    """Returns the shape of object ``index`` of a seed, a function of these two numbers alone."""
    family, rng = _draw(seed, index)
    return FAMILIES[family](rng)


def weigh(shape: Shape) -> Weights:
    """Returns mass, centre of mass and inertia of pieces and contents, the mass within 10 g and 1 kg."""
    bodies = [(piece.solid.surface, piece.density) for piece in shape.pieces] + list(shape.contents)
    found = [(density, *mass_properties([body])) for body, density in bodies]
    masses = np.array([density * volume for density, volume, _, _ in found])
    centres = np.array([centre for _, _, centre, _ in found])
    centre = masses @ centres / masses.sum()
    inertia = np.zeros((3, 3))
    for mass, (density, _, _, own), arm in zip(masses, found, centres - centre, strict=True):
        inertia += density * own + mass * (arm @ arm * np.eye(3) - np.outer(arm, arm))
    mass = float(np.clip(masses.sum(), *MASSES))
    return Weights(mass=mass, centre=centre, inertia=inertia * mass / masses.sum())
