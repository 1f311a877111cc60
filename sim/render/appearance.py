"""Light and colours of the RGB picture: fixed, or drawn at random for every view (domain randomisation)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sim.errors import InputError

Colour = tuple[float, float, float]
ColourRange = tuple[Colour, Colour]


def check_colour(name: str, value: Sequence[float]) -> Colour:
    """Returns an RGB colour in [0, 1] as plain floats; raises InputError."""
    numbers = tuple(float(x) for x in value)
    if len(numbers) != 3 or not all(0 <= x <= 1 for x in numbers):
        raise InputError(f"appearance.{name} is {list(numbers)}; give three numbers from 0 to 1 (red, green, blue)")
    return (numbers[0], numbers[1], numbers[2])


def _colour_range(name: str, value: Sequence[Sequence[float]]) -> ColourRange:
    """Returns (darkest, brightest) per channel; raises InputError."""
    if len(value) != 2:
        raise InputError(f"appearance.{name} needs two colours, the lower and the upper limit of each channel")
    low, high = (check_colour(name, v) for v in value)
    if any(a > b for a, b in zip(low, high, strict=True)):
        raise InputError(f"appearance.{name}: the lower limit {list(low)} exceeds the upper {list(high)}")
    return (low, high)


@dataclass(frozen=True, kw_only=True)
class Appearance:
    """Colours and light of the RGB picture.

    Attributes:
        tray: Colour of the tray, RGB in [0, 1].
        ground: Colour of the ground, RGB in [0, 1].
        light: Direction towards the light, world frame; its length does not matter.
        ambient: Share of light that reaches every face, [0, 1].
        objects: Colours of the objects of one plain colour, taken in turn, RGB in [0, 1]; empty leaves them
            their own. Objects with a texture or several colours keep theirs.
    """

    tray: Colour = (0.75, 0.75, 0.72)
    ground: Colour = (0.45, 0.45, 0.45)
    light: tuple[float, float, float] = (0.4, 0.3, 1.0)
    ambient: float = 0.45
    objects: tuple[Colour, ...] = ()

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        object.__setattr__(self, "tray", check_colour("tray", self.tray))
        object.__setattr__(self, "ground", check_colour("ground", self.ground))
        object.__setattr__(self, "objects", tuple(check_colour("objects", c) for c in self.objects))
        light = tuple(float(x) for x in self.light)
        if len(light) != 3 or not np.isfinite(light).all() or not any(light):
            raise InputError(f"appearance.light is {list(light)}; give a direction: three numbers, not all zero")
        object.__setattr__(self, "light", light)
        if not 0 <= self.ambient <= 1:
            raise InputError(f"appearance.ambient is {self.ambient}; give a share from 0 to 1")

    def draw(self, rng: np.random.Generator, objects: int) -> Appearance:
        """Returns itself; ``rng`` is left as it is."""
        return self


@dataclass(frozen=True, kw_only=True)
class RandomAppearance:
    """Domain randomisation: each view has its own light and colours, uniform within these ranges.

    Attributes:
        tray: Limits (lower, upper) of each RGB channel of the tray, [0, 1].
        ground: Limits of the ground's colour, as ``tray``.
        max_tilt: Largest angle of the light from straight above, radians, [0, pi/2); its direction is uniform
            over that part of the sphere.
        ambient: Limits (lower, upper) of the share of light that reaches every face, [0, 1].
        objects: Limits of the colours of objects of one plain colour, as ``tray``; None leaves them their own.
    """

    tray: ColourRange = ((0.2, 0.2, 0.2), (0.95, 0.95, 0.95))
    ground: ColourRange = ((0.1, 0.1, 0.1), (0.9, 0.9, 0.9))
    max_tilt: float = 1.0
    ambient: tuple[float, float] = (0.25, 0.7)
    objects: ColourRange | None = ((0.05, 0.05, 0.05), (1.0, 1.0, 1.0))

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        object.__setattr__(self, "tray", _colour_range("tray", self.tray))
        object.__setattr__(self, "ground", _colour_range("ground", self.ground))
        if self.objects is not None:
            object.__setattr__(self, "objects", _colour_range("objects", self.objects))
        if not 0 <= self.max_tilt < np.pi / 2:
            raise InputError(f"appearance.max_tilt is {self.max_tilt}; give radians from 0 to less than pi/2")
        share = tuple(float(x) for x in self.ambient)
        if len(share) != 2 or not 0 <= share[0] <= share[1] <= 1:
            raise InputError(f"appearance.ambient is {list(share)}; give two shares from 0 to 1, the lower one first")
        object.__setattr__(self, "ambient", share)

    def draw(self, rng: np.random.Generator, objects: int) -> Appearance:
        """Returns one look, with a colour for each of ``objects`` objects."""

        def colour(limits: ColourRange) -> Colour:
            red, green, blue = rng.uniform(limits[0], limits[1]).tolist()
            return (red, green, blue)

        height = rng.uniform(np.cos(self.max_tilt), 1.0)  # equal heights cut equal areas off a sphere
        around, aside = rng.uniform(0, 2 * np.pi), np.sqrt(1 - height**2)
        return Appearance(
            tray=colour(self.tray),
            ground=colour(self.ground),
            light=(float(aside * np.cos(around)), float(aside * np.sin(around)), float(height)),
            ambient=float(rng.uniform(*self.ambient)),
            objects=() if self.objects is None else tuple(colour(self.objects) for _ in range(objects)),
        )
