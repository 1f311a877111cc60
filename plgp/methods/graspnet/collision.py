"""GraspNet's collision step: a hand of boxes is compared with the seen cloud, no model of the scene needed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

_FINGER, _LENGTH, _WAY = 0.01, 0.06, 0.05  # metres: a finger's thickness, its length, the way in behind the hand


def thin_cloud(points: FloatArray, voxel: float) -> FloatArray:
    """Returns the mean of the points (N, 3) m in each cube of side ``voxel`` metres, (M, 3) m."""
    if len(points) == 0:
        return points
    cells = np.floor((points - points.min(axis=0)) / voxel).astype(np.int64)
    _, index, count = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    sums = np.zeros((len(count), 3))
    np.add.at(sums, index.ravel(), points)
    means: FloatArray = sums / count[:, None]
    return means


def free_of_cloud(rows: FloatArray, cloud: FloatArray, *, voxel: float, threshold: float) -> NDArray[np.bool_]:
    """Returns which grasps keep their hand out of the cloud.

    The hand is two fingers, the bar behind them and the way in behind that. A grasp is dropped where the number of
    points in it exceeds ``threshold`` of the number of voxels that fill it.

    Args:
        rows: (N, 17) float64 rows of graspnetAPI.
        cloud: (M, 3) float64, camera frame, metres, one point a voxel.
        voxel: Side of a voxel, metres.
        threshold: Share of the hand's volume.

    Returns:
        (N,) bool.
    """
    free = np.ones(len(rows), np.bool_)
    for i, row in enumerate(rows):
        width, height, depth = row[1:4]
        x, y, z = ((cloud - row[13:16]) @ row[4:13].reshape(3, 3)).T
        outer = width / 2 + _FINGER
        slab = (np.abs(z) < height / 2) & (np.abs(y) < outer)
        fingers = slab & (depth - _LENGTH < x) & (x < depth) & (np.abs(y) > width / 2)
        back = slab & (depth - _LENGTH - _FINGER < x) & (x <= depth - _LENGTH)
        way = slab & (depth - _LENGTH - _FINGER - _WAY < x) & (x <= depth - _LENGTH - _FINGER)
        volume = height * (2 * _LENGTH * _FINGER + 2 * outer * (_FINGER + _WAY))
        free[i] = (fingers | back | way).sum() <= threshold * volume / voxel**3
    return free
