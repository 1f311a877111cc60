"""How PointNet++ thins out a cloud and groups what lies near: farthest points, and balls around them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.compiled import compiled
from sim.errors import InputError

Points = NDArray[np.float32]
IntArray = NDArray[np.int64]

NEIGHBOURS = 64  # greatest number of points taken from a ball


@compiled
def _farthest(points: Points, count: int, first: int) -> IntArray:
    chosen = np.empty(count, np.int64)
    nearest = np.full(len(points), np.inf, np.float32)
    last = first
    for i in range(count):
        chosen[i] = last
        x, y, z = points[last, 0], points[last, 1], points[last, 2]
        best, last = np.float32(-1.0), 0
        for j in range(len(points)):
            dx, dy, dz = points[j, 0] - x, points[j, 1] - y, points[j, 2] - z
            distance = min(nearest[j], dx * dx + dy * dy + dz * dz)
            nearest[j] = distance
            if distance > best:
                best, last = distance, j
    return chosen


def farthest_points(points: Points, count: int, first: int = 0) -> IntArray:
    """Returns the indices of a farthest-point sampling.

    Args:
        points: (N, 3) float32, metres.
        count: Number of points wanted, at most N.
        first: Index of the point to start with.

    Returns:
        (count,) int64; each is the point farthest from all before it, the lowest index among equals.

    Raises:
        InputError: ``count`` exceeds N, or ``first`` is no index.
    """
    if not (0 < count <= len(points) and 0 <= first < len(points)):
        raise InputError(f"cannot sample {count} of {len(points)} points, starting with number {first}")
    return _farthest(np.ascontiguousarray(points, np.float32), count, first)


@compiled
def _ball(points: Points, centres: IntArray, radius: np.float32, limit: int) -> IntArray:
    result = np.empty((len(centres), limit + 1), np.int64)
    for i in range(len(centres)):
        result[i] = i
        found = 0
        for j in range(len(points)):
            dx = points[j, 0] - points[centres[i], 0]
            dy = points[j, 1] - points[centres[i], 1]
            dz = points[j, 2] - points[centres[i], 2]
            if dx * dx + dy * dy + dz * dz < radius * radius:
                result[i, found] = j
                found += 1
                if found == limit:
                    break
    return result


def ball_neighbours(points: Points, centres: IntArray, radius: float, *, limit: int = NEIGHBOURS) -> IntArray:
    """Returns the points within a ball around each centre, as the checkpoint's training grouped them.

    The first ``limit`` in the cloud's (random) order are taken. Point number i joins those of centre number i,
    wherever it lies: the port's convolution adds "self-loops" although points and centres are numbered apart, and
    the weights were trained with them.

    Args:
        points: (N, 3) float32, metres.
        centres: (M,) int64, indices of points, M <= N.
        radius: Radius of the balls, metres.
        limit: Greatest number of points in a ball.

    Returns:
        (M, limit + 1) int64 indices; free places repeat number i, which a maximum over the group does not see.
    """
    return _ball(np.ascontiguousarray(points, np.float32), centres, np.float32(radius), limit)
