"""Random worlds: trays, bins and bare tables of many sizes, seen from near and far, at tilts, through many lenses.

The paper's world is one tray and one camera. A network that knows only these fails where a user's table or camera is
another. ``RandomWorld`` draws where a scene is made and from where each view of it is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.camera import PinholeCamera
from sim.errors import InputError
from sim.geometry import make_pose, transform
from sim.objects import ObjectModel
from sim.scene import SceneSettings

Range = tuple[float, float]
Size = tuple[int, int]

_EDGE = 0.001  # metres: height of a bare table's rim, since a tray needs walls
_BESIDE = 0.08  # metres around the objects that a parallel view shows: half an opened hand and its fingers
_DENSITY = 20 / 0.36**2  # objects per square metre of floor, at most: more do not come to rest
_WIDTH = 640  # pixels: width of the images for which ``RandomWorld.focal`` is given
_LEAST, _MOST = 32, 4096  # pixels: sides of an image
# Width and height that cameras deliver: RealSense, Kinect and PrimeSense; RealSense by default; its 1280x720 binned by
# two; Kinect 2; Azure Kinect.
_SIZES = ((640, 480), (848, 480), (640, 360), (512, 424), (640, 576))
_LATER = ("sizes", "still")  # recipes of former random worlds know nothing of these
_ROUND = 6  # decimals of lengths: files name them without noise


@dataclass(frozen=True, kw_only=True)
class RandomWorld:
    """Ranges from which the place of a scene and the cameras of its views are drawn, uniformly unless stated.

    Attributes:
        tables: Share of the scenes that stand on a bare table.
        table: Side of a bare table, metres.
        floor: Side of the floor of a tray or bin, metres.
        wall_height: Height of its walls, metres.
        wall_lean: Distance of the walls' upper edge outside their foot, metres.
        near_walls: Share of the trays where objects fall up to the walls, so that some lean on them.
        counts: Number of objects; small trays hold fewer. Few and many are as frequent on a logarithmic scale.
        distance: Distance of a camera from the point that it looks at, metres.
        max_tilt: Greatest angle between a view and the plumb line, radians; small ones are as frequent as large ones.
        shown: Width of what a view shows at that point, metres; it decides the focal length.
        focal: Least and greatest focal length, pixels of an image that is 640 wide; others in proportion.
        beside: Greatest distance of the point that a camera looks at from the tray's centre, as a share of half the
            floor.
        sizes: Sizes of the images, each (width, height), pixels, of which every view draws one, each as likely as the
            others; empty leaves every image the size of the recipe's camera.
        still: Largest shift in a quarter of a second that counts as rest, metres; 0 leaves it to the scene's settings.
            Piles of things of many parts creep by some tenths of a millimetre for as long as one looks.
    """

    tables: float = 0.3
    table: float = 0.9
    floor: Range = (0.28, 0.6)
    wall_height: Range = (0.03, 0.14)
    wall_lean: Range = (0.0, 0.08)
    near_walls: float = 0.3
    counts: tuple[int, int] = (1, 30)
    distance: Range = (0.35, 1.0)
    max_tilt: float = np.pi / 4
    shown: Range = (0.4, 1.2)
    focal: Range = (300.0, 1400.0)
    beside: float = 0.3
    sizes: tuple[Size, ...] = _SIZES
    still: float = 1e-3

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        object.__setattr__(self, "sizes", _check_sizes(self.sizes))
        for f in fields(self):
            value = getattr(self, f.name)
            if f.name == "sizes":
                continue
            if isinstance(f.default, tuple):
                pair = tuple(value) if isinstance(value, Sequence) and len(value) == 2 else (1.0, 0.0)
                if not all(np.isfinite(pair)) or not 0 <= pair[0] <= pair[1]:
                    raise InputError(f"world.{f.name} is {value}; give the least and the greatest value, [a, b]")
                object.__setattr__(self, f.name, pair)
            elif not (np.isfinite(value) and value >= 0):
                raise InputError(f"world.{f.name} is {value}; give a number that is not negative")
        if max(self.tables, self.near_walls, self.beside) > 1 or self.max_tilt >= np.pi / 2:
            raise InputError("world: tables, near_walls and beside are shares up to 1, max_tilt is below pi / 2")
        if min(self.counts[0], self.floor[0], self.wall_height[0], self.distance[0], self.shown[0], self.table) <= 0:
            raise InputError("world: counts, floor, table, wall_height, distance and shown must be greater than 0")

    @property
    def largest(self) -> Size | None:
        """Greatest width and greatest height among ``sizes``, pixels; None where they are the camera's alone."""
        return (max(w for w, _ in self.sizes), max(h for _, h in self.sizes)) if self.sizes else None

    def describe(self) -> dict[str, Any]:
        """Returns the fields as a recipe holds them; those of ``_LATER`` that do nothing are not among them."""
        return {name: value for name, value in asdict(self).items() if name not in _LATER or value}

    def draw_scene(self, rng: np.random.Generator, base: SceneSettings, most: int) -> tuple[SceneSettings, int]:
        """Returns where a scene is made.

        Args:
            rng: Source of randomness.
            base: What is not drawn: physics, friction, how objects fall.
            most: Number of objects that there are.

        Returns:
            The scene's settings and its number of objects.
        """
        bare = rng.uniform() < self.tables
        floor, height, lean = (rng.uniform(*r) for r in (self.floor, self.wall_height, self.wall_lean))
        spread = rng.uniform(0.2, 0.45) if rng.uniform() < self.near_walls else rng.uniform(0.1, 0.25)
        few, many = self.counts
        count = int(np.exp(rng.uniform(np.log(few), np.log(many + 1))))
        if bare:
            tray = replace(base.tray, floor=self.table, wall_height=_EDGE, wall_lean=0.0)
            area = rng.uniform(0.08, 0.2)
        else:
            sides = (round(value, _ROUND) for value in (floor, height, lean))
            tray = replace(base.tray, **dict(zip(("floor", "wall_height", "wall_lean"), sides, strict=True)))
            area = spread * floor
            count = min(count, int(_DENSITY * floor**2))
        still = self.still or base.still
        return replace(base, tray=tray, drop_area=round(area, _ROUND), still=still), max(1, min(count, most))

    def draw_camera(self, rng: np.random.Generator, base: PinholeCamera, floor: float) -> PinholeCamera:
        """Returns the camera of a view.

        Args:
            rng: Source of randomness.
            base: Principal point, as a share of the image; size of the image where ``sizes`` is empty.
            floor: Side of the tray's floor, metres.

        Returns:
            The camera, with its pose in the world.
        """
        distance, shown = rng.uniform(*self.distance), rng.uniform(*self.shown)
        tilt, turn, roll = rng.uniform(0, self.max_tilt), *rng.uniform(0, 2 * np.pi, 2)
        half = min(floor, self.floor[1]) / 2 * self.beside
        target = np.array([*rng.uniform(-half, half, 2), 0.0])
        width, height = base.width, base.height
        if self.sizes:  # drawn last: without sizes everything else is drawn as ever
            width, height = self.sizes[int(rng.integers(len(self.sizes)))]
        limits = np.array(self.focal) * width / _WIDTH
        intrinsics = base.intrinsics.copy()
        intrinsics[0, 0] = intrinsics[1, 1] = float(np.clip(width * distance / shown, *limits))
        if (width, height) != (base.width, base.height):
            scale = np.array([width / base.width, height / base.height])
            intrinsics[:2, 2] = (intrinsics[:2, 2] + 0.5) * scale - 0.5
        return PinholeCamera(width, height, intrinsics, _look_at(target, distance, (tilt, turn, roll)))


def _check_sizes(sizes: Any) -> tuple[Size, ...]:
    """Returns sizes of images as pairs of whole numbers; raises InputError."""
    checked = []
    for size in sizes if isinstance(sizes, Sequence) and not isinstance(sizes, str) else [sizes]:
        pair = tuple(size) if isinstance(size, Sequence) and not isinstance(size, str) else ()
        if len(pair) != 2 or not all(
            isinstance(n, int) and not isinstance(n, bool) and _LEAST <= n <= _MOST for n in pair
        ):
            raise InputError(
                f"world.sizes is {sizes}; give pairs of width and height from {_LEAST} to {_MOST} pixels, "
                "[[640,480],[512,424]] for example"
            )
        checked.append((pair[0], pair[1]))
    return tuple(checked)


def _look_at(target: NDArray[np.float64], distance: float, angles: tuple[float, float, float]) -> NDArray[np.float64]:
    """Returns (4, 4) T_world_camera: a camera that looks at a point (3,) from a distance, metres.

    Args:
        target: The point.
        distance: The distance.
        angles: Tilt against the plumb line, direction in which the camera stands, roll about its axis; radians.
    """
    tilt, turn, roll = angles
    away = np.array([np.sin(tilt) * np.cos(turn), np.sin(tilt) * np.sin(turn), np.cos(tilt)])
    side = np.array([-np.sin(turn), np.cos(turn), 0.0])
    down = np.cross(-away, side)
    right = np.cos(roll) * side + np.sin(roll) * down
    return make_pose(np.stack([right, np.cross(-away, right), -away], axis=1), target + distance * away)


def parallel_side(models: Sequence[ObjectModel], poses: Any, camera: PinholeCamera) -> float:
    """Returns the side of the square around a camera's axis that shows every object and room for a hand, metres.

    Args:
        models: N objects.
        poses: (N, 4, 4) T_world_link, metres.
        camera: The camera with its pose.
    """
    to_camera = np.linalg.inv(camera.pose)
    reach = max(
        (
            float(np.abs(transform(to_camera @ pose, model.mesh().vertices)[:, :2]).max())
            for model, pose in zip(models, poses, strict=True)
        ),
        default=0.1,
    )
    return round(2 * (reach + _BESIDE), 3)
