"""Baseline policies that need no learning: the anchors of every table."""

from __future__ import annotations

import zlib

import numpy as np

from sim.benchmark import Observation
from sim.grasp import GraspPoses, PixelGrasps, deepest_free_depth
from sim.gripper import GripperGeometry


class RandomPolicy:
    """Random grasps on what stands above the tray's floor: the anchor of every table.

    A random pixel higher than ``min_height`` over the floor and within the tray's floor, a random
    angle, the smallest opening with which the shared depth rule reaches ``min_depth`` (the full
    opening where none does), and that rule's depth. With ``redraw`` a pixel and angle for which
    no opening fits are thrown away and drawn again: a collision check by rejection, and a much
    stronger anchor.
    """

    def __init__(
        self,
        gripper: GripperGeometry | None = None,
        seed: int = 0,
        redraw: bool = False,
        min_height: float = 0.01,
        min_depth: float = 0.01,
        half_side: float = 0.18,
    ) -> None:
        """All lengths in metres; ``half_side`` is half of the tray floor's side."""
        self.gripper = gripper or GripperGeometry()
        self.seed, self.redraw = seed, redraw
        self.min_height, self.min_depth, self.half_side = min_height, min_depth, half_side
        self.name = "random-free" if redraw else "random"

    def __call__(self, observation: Observation, count: int) -> GraspPoses:
        """Returns ``count`` random grasps, or fewer where the scene has no room for them."""
        depth, camera, gripper = observation.depth, observation.camera, self.gripper
        # The same picture gives the same grasps, in whatever process and order it is shown.
        rng = np.random.default_rng([self.seed, zlib.crc32(depth.tobytes())])
        rows, cols = np.nonzero(depth > 0)
        points = camera.deproject(rows, cols, depth[rows, cols]) @ camera.pose[:3, :3].T + camera.pose[:3, 3]
        good = (points[:, 2] > self.min_height) & (np.abs(points[:, :2]) < self.half_side).all(axis=1)
        rows, cols = rows[good], cols[good]
        if len(rows) == 0:
            return GraspPoses.empty()
        pick = rng.integers(len(rows), size=20 * count if self.redraw else count)
        angle = rng.uniform(0, np.pi, len(pick))
        row, col = rows[pick], cols[pick]
        width = np.full(len(pick), gripper.max_opening)
        free = np.nan_to_num(deepest_free_depth(depth, camera, gripper, row, col, angle, width), nan=0.0)
        fits = np.zeros(len(pick), bool)
        for opening in np.arange(0.02, gripper.max_opening + 1e-9, 0.01):
            reach = deepest_free_depth(depth, camera, gripper, row, col, angle, opening)
            first = ~fits & (np.nan_to_num(reach, nan=-1.0) >= self.min_depth)
            width[first], free[first] = opening, reach[first]
            fits |= first
        chosen = np.nonzero(fits)[0][:count] if self.redraw else np.arange(len(pick))
        quality = np.linspace(1, 0, len(chosen), endpoint=False)
        grasps = PixelGrasps(
            row[chosen], col[chosen], np.maximum(free[chosen], 0), angle[chosen], width[chosen], quality
        )
        return grasps.to_poses(depth, camera)
