"""Random grasps: the anchor of every table, and the sample by which labels are asked what they miss."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from sim.benchmark.protocol import Observation
from sim.camera import PinholeCamera
from sim.depth_image.known_floor import FLOOR_MARGIN, DepthMargins, floor_lowered
from sim.errors import FINITE, NOT_NEGATIVE, POSITIVE, WHOLE, check_numbers
from sim.geometry import transform
from sim.grasp import GraspPoses, PixelGrasps, deepest_free_depth
from sim.gripper import GripperGeometry
from sim.physics import TraySettings

_OPENINGS = (0.02, 0.01)  # metres: the smallest opening that is tried, and the step to the next
_DRAWS = 20  # draws for each grasp that a collision check may throw away


def random_grasps(
    depth: NDArray[np.floating],
    camera: PinholeCamera,
    gripper: GripperGeometry,
    *,
    where: NDArray[np.bool_],
    count: int,
    rng: np.random.Generator,
    min_depth: float = 0.01,
    depth_margin: float = 0.0,
) -> tuple[PixelGrasps, NDArray[np.bool_]]:
    """Returns grasps at random pixels and random angles.

    A grasp gets the smallest opening with which the shared depth rule (``sim.grasp.deepest_free_depth``) reaches
    ``min_depth``, and that rule's depth. Where no opening does, it gets the full one, and a depth of at least 0.

    Args:
        depth: (H, W) floating, metres, 0 = missing.
        camera: The camera that took it.
        gripper: Geometry of the gripper.
        where: (H, W) bool, the pixels to draw from; each has a depth.
        count: Number of grasps, N; none are drawn where there is no pixel.
        rng: Source of the pixels, then of the angles.
        min_depth: Depth that an opening must reach, metres.
        depth_margin: Margin of the depth rule, metres.

    Returns:
        N grasps of quality 1, and (N,) bool: whether an opening reaches ``min_depth``.
    """
    rows, cols = np.nonzero(where)
    pick = rng.integers(len(rows), size=count if len(rows) else 0)
    angle = rng.uniform(0, np.pi, len(pick))
    row, col = rows[pick], cols[pick]
    width = np.full(len(pick), gripper.max_opening)
    rule = partial(deepest_free_depth, depth, camera, gripper, row, col, angle, depth_margin=depth_margin)
    free = np.nan_to_num(rule(width), nan=0.0)
    fits = np.zeros(len(pick), bool)
    for opening in np.arange(_OPENINGS[0], gripper.max_opening + 1e-9, _OPENINGS[1]):
        reach = rule(opening)
        first = ~fits & (np.nan_to_num(reach, nan=-1.0) >= min_depth)
        width[first], free[first] = opening, reach[first]
        fits |= first
    return PixelGrasps(row, col, np.maximum(free, 0), angle, width, np.ones(len(pick))), fits


@dataclass(frozen=True, kw_only=True)
class RandomPolicy:
    """Random grasps on what stands above the tray's floor: the anchor of every table.

    With ``redraw`` a pixel and angle for which no opening fits are thrown away and drawn again: a collision check by
    rejection, and a much stronger anchor. The same image gives the same grasps, in any order and process.

    Attributes:
        gripper: Geometry of the gripper.
        seed: Seed of the draw.
        redraw: Whether grasps that do not fit are drawn again.
        min_height: Height over the tray's floor above which pixels are drawn, metres.
        min_depth: Depth that an opening must reach to be taken, metres.
        tray: Tray whose floor bounds the grasps: its walls attract them.
        half_side: Half the side of a square on the floor within which pixels lie, metres; None for the floor.
        depth_margin: Margin of the depth rule, metres.
        floor_margin: Its margin over the tray's floor, metres; None is that of everything else.
    """

    gripper: GripperGeometry = field(default_factory=GripperGeometry)
    seed: int = 0
    redraw: bool = False
    min_height: float = 0.01
    min_depth: float = 0.01
    tray: TraySettings = field(default_factory=TraySettings)
    half_side: float | None = None
    depth_margin: float = 0.007
    floor_margin: float | None = FLOOR_MARGIN

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        limits = {"seed": WHOLE, "min_height": FINITE, "min_depth": FINITE, "depth_margin": NOT_NEGATIVE}
        limits |= {} if self.half_side is None else {"half_side": POSITIVE}
        limits |= {} if self.floor_margin is None else {"floor_margin": NOT_NEGATIVE}
        check_numbers(f"policies.{self.name}", self, limits)

    @property
    def name(self) -> str:
        """Name of the policy in tables."""
        return "random-free" if self.redraw else "random"

    def __call__(self, observation: Observation, count: int) -> GraspPoses:
        """Returns random grasps in the camera frame.

        Args:
            observation: The image.
            count: Number of grasps wanted.

        Returns:
            ``count`` grasps, or fewer where the scene has no room for them.
        """
        depth, camera = observation.depth, observation.camera
        rows, cols = np.nonzero(depth > 0)
        points = transform(camera.pose, camera.deproject(rows, cols, depth[rows, cols]))
        half = self.tray.half_floor if self.half_side is None else self.half_side
        over = (np.abs(points[:, :2]) < half).all(axis=1)
        good = over & (points[:, 2] > self.min_height)
        if not good.any():
            return GraspPoses.empty()
        where, floor = np.zeros(depth.shape, bool), np.zeros(depth.shape, bool)
        where[rows[good], cols[good]] = floor[rows[over], cols[over]] = True
        relief = floor_lowered(observation, floor, DepthMargins(self.depth_margin, self.floor_margin))
        grasps, fits = random_grasps(
            relief,
            camera,
            self.gripper,
            where=where,
            count=_DRAWS * count if self.redraw else count,
            rng=np.random.default_rng([self.seed, zlib.crc32(depth.tobytes())]),
            min_depth=self.min_depth,
            depth_margin=self.depth_margin,
        )
        chosen = grasps[np.nonzero(fits)[0][:count]] if self.redraw else grasps
        return replace(chosen, quality=np.linspace(1, 0, len(chosen), endpoint=False)).to_poses(relief, camera)
