"""Which points of a cloud GraspNet-baseline looks at together: balls, and cylinders along an approach."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.compiled import compiled

Points = NDArray[np.float32]
IntArray = NDArray[np.int64]


@compiled
def _ball(points: Points, centres: Points, radius: np.float32, limit: int) -> IntArray:
    result = np.zeros((len(centres), limit), np.int64)
    for i in range(len(centres)):
        found = 0
        for j in range(len(points)):
            dx = points[j, 0] - centres[i, 0]
            dy = points[j, 1] - centres[i, 1]
            dz = points[j, 2] - centres[i, 2]
            if dx * dx + dy * dy + dz * dz < radius * radius:
                if found == 0:
                    result[i] = j
                result[i, found] = j
                found += 1
                if found == limit:
                    break
    return result


def ball_neighbours(points: Points, centres: Points, radius: float, *, limit: int) -> IntArray:
    """Returns the points within a ball around each centre.

    Args:
        points: (N, 3) float32, metres.
        centres: (M, 3) float32, some of the points, metres.
        radius: Radius of the balls, metres; a point on the sphere is outside.
        limit: Number of places.

    Returns:
        (M, limit) int64, the first in the cloud's order; free places repeat the first one.
    """
    return _ball(np.ascontiguousarray(points), np.ascontiguousarray(centres), np.float32(radius), limit)


@compiled
def _cylinder(
    points: Points, centres: Points, axes: Points, radius: np.float32, behind: np.float32, ahead: Points, limit: int
) -> IntArray:
    result = np.zeros((len(centres), len(ahead), limit), np.int64)
    found = np.zeros(len(ahead), np.int64)
    for i in range(len(centres)):
        found[:] = 0
        full = 0
        for j in range(len(points)):
            dx = points[j, 0] - centres[i, 0]
            dy = points[j, 1] - centres[i, 1]
            dz = points[j, 2] - centres[i, 2]
            x = axes[i, 0] * dx + axes[i, 1] * dy + axes[i, 2] * dz
            if not (behind < x and dx * dx + dy * dy + dz * dz - x * x < radius * radius):
                continue
            for k in range(len(ahead)):
                if x < ahead[k] and found[k] < limit:
                    if found[k] == 0:
                        result[i, k] = j
                    result[i, k, found[k]] = j
                    found[k] += 1
                    full += found[k] == limit
            if full == len(ahead):
                break
    return result


def cylinder_neighbours(
    points: Points, centres: Points, axes: Points, *, radius: float, behind: float, ahead: Points, limit: int
) -> IntArray:
    """Returns the points in cylinders of several lengths along an axis of each centre.

    Args:
        points: (N, 3) float32, metres.
        centres: (M, 3) float32, some of the points, metres.
        axes: (M, 3) float32, unit vectors.
        radius: Radius, metres.
        behind: Where the cylinders begin, metres along the axis from the centre; negative.
        ahead: (D,) float32, where they end, metres.
        limit: Number of places.

    Returns:
        (M, D, limit) int64, the first in the cloud's order; free places repeat the first one.
    """
    measures = np.float32(radius), np.float32(behind), np.asarray(ahead, np.float32)
    return _cylinder(np.ascontiguousarray(points), np.ascontiguousarray(centres), axes, *measures, limit)
