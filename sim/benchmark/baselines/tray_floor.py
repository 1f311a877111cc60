"""The floor of the tray in which the baselines grasp, as their depth rule knows it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.benchmark.protocol import Observation
from sim.depth_image.known_floor import DepthMargins, floor_lowered
from sim.geometry import transform


def within_square(seen: Observation, half_side: float) -> NDArray[np.bool_]:
    """Returns which pixels show a point in a square around the world's vertical axis, (H, W) bool.

    Args:
        seen: The image.
        half_side: Half the side of the square, metres.
    """
    result = np.zeros(seen.depth.shape, np.bool_)
    rows, cols = np.nonzero(seen.depth > 0)
    points = transform(seen.camera.pose, seen.camera.deproject(rows, cols, seen.depth[rows, cols]))
    result[rows, cols] = (np.abs(points[:, :2]) < half_side).all(axis=1)
    return result


def relief_of(seen: Observation, half_side: float, margins: DepthMargins) -> NDArray[np.float32]:
    """Returns the depth image (H, W), metres, that the depth rule gets: with the tray's floor as it is known.

    Args:
        seen: The image.
        half_side: Half the side of the square on the floor in which grasps lie, metres.
        margins: What the depth rule keeps free.
    """
    return floor_lowered(seen, within_square(seen, half_side), margins)
