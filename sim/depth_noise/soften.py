"""Steps of the depth that a sensor draws as slopes: its matching window, or its pixel's own width."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

FloatImage = NDArray[np.float32]
_FAR = np.float32(1e6)  # metres: a missing pixel where the nearest of a window is sought


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
    side = 2 * round((width - 1) / 2) + 1
    if side < 2 or most <= 0:
        return depth
    seen = ((depth > 0) & ~lost).astype(np.float32)
    window = np.ones((side, side), np.uint8)
    farthest = cv2.dilate(depth * seen, window)
    nearest = cv2.erode(np.where(seen > 0, depth, _FAR), window)
    total, count = (
        cv2.boxFilter(part, cv2.CV_32F, (side, side), normalize=False, borderType=cv2.BORDER_CONSTANT)
        for part in (depth * seen, seen)
    )
    low = (seen > 0) & (farthest - nearest <= np.float32(most))
    return np.where(low, total / np.maximum(count, 1), depth)
