"""Rings and open frames: rings, rolls of tape, picture frames, links, hooks, baskets' handles."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from sim.objects.procedural.shapes import CARD, PLASTIC, RUBBER, STEEL, WOOD, Shape, bright, plain, wooden
from sim.objects.procedural.solids import circle, joined, prism, rectangle, ring, swept


def hoop(rng: Generator) -> Shape:
    """Draws a ring, a bracelet or a teether of round section."""
    radius, thick = rng.uniform(0.022, 0.05), rng.uniform(0.004, 0.009)
    solid = ring(circle(thick, 8, squash=rng.uniform(0.7, 1.2)) + np.array([radius, 0]), 20)
    return Shape(family="hoop", pieces=(plain(solid, rng.uniform(600, 1500), bright(rng)),))


def tape(rng: Generator) -> Shape:
    """Draws a roll of tape on its core."""
    inner, thick, high = rng.uniform(0.016, 0.036), rng.uniform(0.004, 0.014), rng.uniform(0.012, 0.045)

    def tube(start: float, wall: float, tall: float) -> np.ndarray:
        return np.array([(start, -tall / 2), (start + wall, -tall / 2), (start + wall, tall / 2), (start, tall / 2)])

    core = ring(tube(inner, 0.002, high), 20)
    roll = ring(tube(inner + 0.002, thick, 0.98 * high), 20)
    return Shape(family="tape", pieces=(plain(core, CARD, (0.75, 0.62, 0.45)), plain(roll, PLASTIC, bright(rng))))


def frame(rng: Generator) -> Shape:
    """Draws a picture frame without its picture, or a window of a toy house."""
    side, bar, thick = rng.uniform(0.07, 0.13), rng.uniform(0.01, 0.018), rng.uniform(0.008, 0.016)
    outer = side / np.sqrt(2)
    inner = (side - 2 * bar) / np.sqrt(2)
    section = [(inner, -thick / 2), (outer, -thick / 2), (0.97 * outer, thick / 2), (inner, thick / 2)]
    solid = ring(section, 4, stretch=(1.0, rng.uniform(0.65, 1.0)))
    wood = rng.random() < 0.6
    return Shape(
        family="frame", pieces=(plain(solid, WOOD if wood else PLASTIC, wooden(rng) if wood else bright(rng)),)
    )


def link(rng: Generator) -> Shape:
    """Draws a link of a chain, a carabiner or a handle: a ring drawn out."""
    radius, thick, long = rng.uniform(0.014, 0.024), rng.uniform(0.0045, 0.007), rng.uniform(0.015, 0.05)
    solid = ring(circle(thick, 8) + np.array([radius, 0]), 20)
    for mesh in (solid.surface, *solid.parts):
        mesh.vertices = mesh.vertices + np.sign(mesh.vertices[:, :1]) * np.array([long / 2, 0, 0])
    density = float(rng.choice([STEEL, PLASTIC, RUBBER]))
    return Shape(family="link", pieces=(plain(solid, 0.6 * density, bright(rng)),))


def hook(rng: Generator) -> Shape:
    """Draws a hook, an S or a bracket of round bar."""
    radius, thick, stem = rng.uniform(0.018, 0.03), rng.uniform(0.0045, 0.007), rng.uniform(0.03, 0.08)
    angle = np.linspace(np.pi, rng.uniform(-0.6, 0.2), 11)
    bend = np.stack([radius * np.cos(angle), np.zeros(11), -radius * np.sin(angle)], axis=1)
    path = np.vstack([[-radius, 0, stem], [-radius, 0, stem / 2], bend])
    flat = np.array([[1, 0, 0], [0, 0, -1.0], [0, 1, 0]])
    solid = swept(path, circle(thick, 8)).moved(turn=flat)
    return Shape(family="hook", pieces=(plain(solid, rng.uniform(900, 4000), bright(rng)),))


def grid(rng: Generator) -> Shape:
    """Draws a rack, a trivet or a ladder: rails with bars across."""
    length, width, side = rng.uniform(0.09, 0.14), rng.uniform(0.05, 0.09), rng.uniform(0.006, 0.01)
    rail = prism(rectangle(length, side), side)
    bar = prism(rectangle(side, width - side), 0.8 * side)
    count = int(rng.integers(2, 5))
    rails = [rail.moved((0, s * (width - side) / 2, 0)) for s in (-1, 1)]
    bars = [bar.moved((x, 0, 0)) for x in np.linspace(-0.5, 0.5, count) * (length - 2 * side)]
    return Shape(family="grid", pieces=(plain(joined([*rails, *bars]), rng.uniform(500, 2000), bright(rng)),))
