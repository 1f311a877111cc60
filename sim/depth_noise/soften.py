"""Steps of the depth that a sensor draws as slopes: its matching window, or its pixel's own width."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from sim.compiled import compiled

FloatImage = NDArray[np.float32]
_LEAST = 0.002  # metres from pixel to pixel: what is flatter all over a window is left as it is


def soften_steps(depth: FloatImage, lost: NDArray[np.bool_], *, width: float, most: float) -> FloatImage:
    """Returns the image with its lower steps drawn as slopes; higher ones stay steps.

    Stereo matches windows, and prefers neighbours of like disparity: a low step becomes a slope as wide as the window,
    a high one is kept (Hirschmueller 2008, the two penalties). Pixels seen mix with pixels seen alone.

    Args:
        depth: (H, W) float32, metres, 0 = missing.
        lost: (H, W) bool, pixels that the sensor loses.
        width: Width of the slopes, pixels; taken as the nearest odd number.
        most: Height of the highest step that is softened, metres.

    Returns:
        (H, W) float32, metres. Lost pixels keep their depth.
    """
    reach = round((width - 1) / 2)
    if reach < 1 or most <= 0:
        return depth
    uneven = np.zeros(depth.shape, np.uint8)
    _mark_steps(depth, lost, _LEAST, uneven)
    side = 2 * reach + 1
    near = np.asarray(cv2.dilate(uneven, np.ones((side, side), np.uint8)), np.uint8)
    return _average(depth, lost, near, reach, most)


@compiled
def _mark_steps(depth: FloatImage, lost: NDArray[np.bool_], least: float, out: NDArray[np.uint8]) -> None:
    """Marks the pixels seen whose right or lower neighbour, seen too, is nearer or farther by a depth, metres."""
    height, width = depth.shape
    for row in range(height):
        for col in range(width):
            z = depth[row, col]
            if z <= 0 or lost[row, col]:
                continue
            if col < width - 1 and depth[row, col + 1] > 0 and abs(depth[row, col + 1] - z) > least:
                out[row, col] = 1
            if row < height - 1 and depth[row + 1, col] > 0 and abs(depth[row + 1, col] - z) > least:
                out[row, col] = 1


def _average(
    depth: FloatImage, lost: NDArray[np.bool_], uneven: NDArray[np.uint8], reach: int, most: float
) -> FloatImage:
    """Returns the image with the mean of the window's pixels seen where they span no more than a depth, metres."""
    near, seen = np.empty_like(depth), np.empty(depth.shape, np.float32)
    far = np.empty_like(depth)
    _split(depth, lost, near, far, seen)
    size = (2 * reach + 1, 2 * reach + 1)
    window = np.ones(size, np.uint8)
    nearest, farthest = cv2.erode(near, window), cv2.dilate(far, window)
    total = cv2.boxFilter(far, cv2.CV_64F, size, normalize=False, borderType=cv2.BORDER_CONSTANT)
    count = cv2.boxFilter(seen, cv2.CV_32F, size, normalize=False, borderType=cv2.BORDER_CONSTANT)
    soft = depth.copy()
    chosen = (seen > 0) & (uneven > 0) & (farthest - nearest <= most)
    _mix(chosen, np.asarray(total, np.float64), np.asarray(count, np.float32), soft)
    return soft


@compiled
def _split(depth: FloatImage, lost: NDArray[np.bool_], near: FloatImage, far: FloatImage, seen: FloatImage) -> None:
    """Fills in the depth with infinity where it is not seen, with 0 there, and 1 where it is seen."""
    for row in range(depth.shape[0]):
        for col in range(depth.shape[1]):
            here = depth[row, col] > 0 and not lost[row, col]
            near[row, col] = depth[row, col] if here else np.float32(np.inf)
            far[row, col] = depth[row, col] if here else np.float32(0)
            seen[row, col] = np.float32(1) if here else np.float32(0)


@compiled
def _mix(chosen: NDArray[np.bool_], total: NDArray[np.float64], count: FloatImage, out: FloatImage) -> None:
    """Fills in total over count where a pixel is chosen."""
    for row in range(out.shape[0]):
        for col in range(out.shape[1]):
            if chosen[row, col]:
                out[row, col] = total[row, col] / count[row, col]
