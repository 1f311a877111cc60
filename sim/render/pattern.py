"""Patterns on tables, trays and the ground: tiles, planks, cloth, stains. Depth does not know of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from sim.camera import PinholeCamera
from sim.errors import POSITIVE, WHOLE, InputError, check_numbers
from sim.geometry import transform
from sim.render.appearance import Appearance, Colour, RandomAppearance, check_colour

FloatArray = NDArray[np.float64]
PatternKind = Literal["tiles", "planks", "cloth", "stains"]

KINDS: tuple[PatternKind, ...] = get_args(PatternKind)
_CELLS = 64  # random cells along a side, after which stains and planks repeat
_GRAINS = 9  # lines of the grain across a plank


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """A pattern of two colours, the surface's own and another.

    Attributes:
        kind: "tiles", "planks", "cloth" or "stains".
        size: Length of a tile, the width of a plank, of a thread or of a stain, metres.
        turn: Direction in which it runs, about the world's z, radians.
        colour: The other colour, RGB in [0, 1].
        seed: Seed of what is random in it.
    """

    kind: PatternKind = "tiles"
    size: float = 0.05
    turn: float = 0.0
    colour: Colour = (0.3, 0.3, 0.3)
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        if self.kind not in KINDS:
            raise InputError(f"appearance.pattern.kind is '{self.kind}'; choose one of {', '.join(KINDS)}")
        check_numbers("appearance.pattern", self, {"size": POSITIVE, "seed": WHOLE})
        object.__setattr__(self, "colour", check_colour("pattern.colour", self.colour))

    def share(self, points: FloatArray) -> FloatArray:
        """Returns how much of the other colour points have, (N,) in [0, 1].

        Args:
            points: (N, 3) float64, world frame, metres. Along walls the pattern goes on upwards.
        """
        x, y = points[:, 0] + points[:, 2], points[:, 1] + points[:, 2]
        u = (np.cos(self.turn) * x + np.sin(self.turn) * y) / self.size
        v = (np.cos(self.turn) * y - np.sin(self.turn) * x) / self.size
        if self.kind == "tiles":
            return np.asarray((np.floor(u) + np.floor(v)) % 2, np.float64)
        if self.kind == "cloth":
            return np.asarray((1 + np.sin(2 * np.pi * u) * np.sin(2 * np.pi * v)) / 2, np.float64)
        cells = np.random.default_rng(self.seed).random((_CELLS, _CELLS))
        if self.kind == "planks":
            own = cells[0, np.floor(v).astype(np.int64) % _CELLS]
            grain = np.sin(2 * np.pi * (_GRAINS * v + np.sin(u + 9 * own)))
            return np.asarray(np.clip(0.7 * own + 0.15 + 0.15 * grain, 0, 1), np.float64)
        return _between(cells, u, v)


def _between(cells: FloatArray, u: FloatArray, v: FloatArray) -> FloatArray:
    """Returns values between those of a grid that repeats, bilinearly; u and v count cells."""
    i, j = np.floor(u).astype(np.int64), np.floor(v).astype(np.int64)
    a, b = u - i, v - j
    i, j, n = i % _CELLS, j % _CELLS, _CELLS
    low = (1 - a) * cells[i, j] + a * cells[(i + 1) % n, j]
    return np.asarray((1 - b) * low + b * ((1 - a) * cells[i, (j + 1) % n] + a * cells[(i + 1) % n, (j + 1) % n]))


@dataclass(frozen=True, kw_only=True)
class PatternedAppearance(Appearance):
    """Colours and light, with a pattern on tray and ground.

    Attributes:
        pattern: The pattern; None leaves tray and ground plain.
    """

    pattern: Pattern | None = None


@dataclass(frozen=True, kw_only=True)
class RandomPatterns(RandomAppearance):
    """Domain randomisation with patterns: what ``RandomAppearance`` draws, and tables that are not plain.

    Attributes:
        patterned: Share of the views in which tray and ground have a pattern, [0, 1].
        sizes: Limits of ``Pattern.size``, metres; small ones are as frequent as large ones on a logarithmic scale.
    """

    patterned: float = 0.7
    sizes: tuple[float, float] = (0.004, 0.15)

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        super().__post_init__()
        sizes = tuple(float(x) for x in self.sizes)
        if len(sizes) != 2 or not 0 < sizes[0] <= sizes[1] < np.inf:
            raise InputError(f"appearance.sizes is {list(sizes)}; give two lengths in metres, the smaller one first")
        object.__setattr__(self, "sizes", sizes)
        if not 0 <= self.patterned <= 1:
            raise InputError(f"appearance.patterned is {self.patterned}; give a share from 0 to 1")

    def draw(self, rng: np.random.Generator, objects: int) -> Appearance:
        """Returns one look, with a colour for each of ``objects`` objects."""
        look = super().draw(rng, objects)
        if rng.uniform() >= self.patterned:
            return look
        red, green, blue = rng.uniform(*self.tray).tolist()
        pattern = Pattern(
            kind=KINDS[int(rng.integers(len(KINDS)))],
            size=float(np.exp(rng.uniform(*np.log(self.sizes)))),
            turn=float(rng.uniform(0, np.pi)),
            colour=(red, green, blue),
            seed=int(rng.integers(2**31)),
        )
        return PatternedAppearance(**vars(look), pattern=pattern)


def lay_pattern(
    rgb: NDArray[np.uint8],
    depth: NDArray[np.float32],
    camera: PinholeCamera,
    *,
    where: NDArray[np.bool_],
    pattern: Pattern,
    brightness: FloatArray,
) -> None:
    """Mixes a pattern into a picture.

    Args:
        rgb: (H, W, 3) uint8, changed in place.
        depth: (H, W) float32, metres.
        camera: The camera with its pose in the world.
        where: (H, W) bool, the pixels of tray and ground.
        pattern: The pattern.
        brightness: (N,) float64 light on these pixels, row by row, [0, 1].
    """
    rows, cols = np.nonzero(where)
    points = transform(camera.pose, camera.deproject(rows, cols, depth[rows, cols]))
    share = pattern.share(points)[:, None]
    other = 255 * brightness[:, None] * np.array(pattern.colour)
    rgb[rows, cols] = np.clip((1 - share) * rgb[rows, cols] + share * other, 0, 255).astype(np.uint8)
