"""Fruit and bread: apples, citrus, bananas, pears, eggs, rolls."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from sim.objects.procedural.shapes import FRUIT, WOOD, Shape, near, plain
from sim.objects.procedural.solids import circle, rounded, swept, turned


def apple(rng: Generator) -> Shape:
    """Draws an apple or a peach with its stalk."""
    radius, tall = rng.uniform(0.03, 0.042), rng.uniform(0.85, 1.05)
    t = np.linspace(0.12, 0.93, 9)
    profile = np.stack([radius * np.sin(np.pi * t) ** 0.8, -tall * radius * np.cos(np.pi * t)], axis=1)
    stalk = turned([(0.0015, 0.8 * tall * radius), (0.002, 1.2 * tall * radius)], 8)
    hue = float(rng.choice([0.0, 0.07, 0.22, 0.3]))
    return Shape(
        family="apple",
        pieces=(plain(turned(profile, 20), FRUIT, near(rng, hue)), plain(stalk, WOOD, (0.3, 0.2, 0.1))),
    )


def citrus(rng: Generator) -> Shape:
    """Draws an orange, a lemon, a lime or a plum."""
    radius = rng.uniform(0.022, 0.04)
    long = rng.uniform(1.0, 1.4)
    hue = float(rng.choice([0.08, 0.14, 0.25, 0.8]))
    solid = rounded((long * radius, radius, radius * rng.uniform(0.95, 1.0)))
    return Shape(family="citrus", pieces=(plain(solid, FRUIT, near(rng, hue)),))


def banana(rng: Generator) -> Shape:
    """Draws a banana or a cucumber: a bowed body that narrows to both ends."""
    bow, thick = rng.uniform(0.07, 0.16), rng.uniform(0.014, 0.02)
    length = rng.uniform(0.13, 0.19)
    angle = np.linspace(-0.5, 0.5, 9) * length / bow
    path = np.stack([bow * np.sin(angle), np.zeros(9), bow * np.cos(angle) - bow], axis=1)
    sizes = np.array([0.3, 0.62, 0.88, 1.0, 1.0, 1.0, 0.9, 0.6, 0.25])
    solid = swept(path, circle(thick, 8, squash=rng.uniform(0.85, 1.0)), sizes=sizes)
    hue = float(rng.choice([0.14, 0.15, 0.27]))
    flat = np.array([[1, 0, 0], [0, 0, -1.0], [0, 1, 0]])
    return Shape(family="banana", pieces=(plain(solid.moved(turn=flat), FRUIT, near(rng, hue)),))


def pear(rng: Generator) -> Shape:
    """Draws a pear, an avocado or a light bulb's form."""
    radius, tall = rng.uniform(0.027, 0.038), rng.uniform(1.2, 1.7)
    t = np.linspace(0, 1, 11)
    swell = np.sin(np.pi * np.clip(0.07 + 0.9 * t, 0, 1)) ** 0.7 * (1 - 0.5 * t**1.5)
    profile = np.stack([radius * swell / swell.max(), 2 * tall * radius * t], axis=1)
    hue = float(rng.choice([0.16, 0.22, 0.3]))
    return Shape(family="pear", pieces=(plain(turned(profile, 20), FRUIT, near(rng, hue)),))


def egg(rng: Generator) -> Shape:
    """Draws an egg, a potato or a roll."""
    radii = np.array([rng.uniform(0.028, 0.05), rng.uniform(0.02, 0.032), rng.uniform(0.017, 0.03)])
    solid = rounded(radii, power=rng.uniform(1.9, 2.4))
    colour = near(rng, 0.09) if rng.random() < 0.6 else (0.94, 0.9, 0.84)
    return Shape(family="egg", pieces=(plain(solid, rng.uniform(300, 1080), colour),))
