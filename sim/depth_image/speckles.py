"""Speckles: a few pixels that a depth camera sees in mid-air, in front of all that lies around them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from sim.camera import PinholeCamera

_LARGEST = 40e-6  # square metres; a pencil's end has 38, a marker's 78
_IN_FRONT = 0.03  # metres, by which a speckle is nearer than what lies around it
_RIM = 0.015  # metres, by which the pixels at its rim still are
_GAP = 5  # pixels; patches with a gap of 4 or less between them are one
_STEP, _MOST = 0.25e-3, 65_535  # metres of a step of depth, and the most steps


def without_speckles(
    depth: NDArray[np.float32], camera: PinholeCamera, *, largest: float = _LARGEST
) -> tuple[NDArray[np.float32], int]:
    """Returns the image with the pixels of speckles set to 0, and how many speckles there were.

    Stereo cameras match a patch wrongly now and then. It then stands alone in the air: no larger than the end of a
    pencil, 30 mm or more in front of everything that is seen around it. To a network it looks like the top of
    something tall. What is thin but long is no speckle, even with gaps of some pixels, nor is what only missing pixels
    surround: nobody knows how far behind it the next surface lies. Found by a morphological closing (what is near and
    narrower than a speckle's side disappears in it), then by the area of each connected patch.

    Args:
        depth: (H, W) float32, metres, 0 = missing.
        camera: The camera of the image; its focal lengths count.
        largest: Area of the largest speckle, square metres.

    Returns:
        The image, (H, W) float32, metres (the very same array where there is no speckle), and the number of speckles.
    """
    seen = depth > 0
    if not seen.any():
        return depth, 0
    focal = float(camera.intrinsics[0, 0]), float(camera.intrinsics[1, 1])
    few = depth[:: max(1, depth.shape[0] // 64), :: max(1, depth.shape[1] // 64)]
    # One side for the whole image: as wide as the nearest speckle, but for one before half the distance of the rest.
    near = max(float(depth[seen].min()), float(np.median(few[few > 0])) / 2 if (few > 0).any() else 0.0)
    side = 1 + 2 * int(np.ceil(np.sqrt(largest) * max(focal) / near / 2))
    side = min(side, 1 + 2 * (min(depth.shape) // 8))
    steps = np.minimum(depth / _STEP, _MOST).astype(np.uint16)  # four times as fast as in metres
    behind = cv2.morphologyEx(steps, cv2.MORPH_CLOSE, np.ones((side, side), np.uint8))
    in_front = np.where(seen, behind - steps, np.uint16(0))
    if not (in_front >= _IN_FRONT / _STEP).any():
        return depth, 0
    patches = in_front >= _RIM / _STEP
    joined = cv2.dilate(patches.astype(np.uint8), np.ones((_GAP, _GAP), np.uint8))
    _, labels, boxes, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    labels[~patches] = 0
    result, speckles = depth.copy(), 0
    for label in np.unique(labels[in_front >= _IN_FRONT / _STEP]):
        left, top, width, height = boxes[label, :4]
        around = slice(top, top + height), slice(left, left + width)
        if _is_speckle(depth[around], labels[around] == label, largest * focal[0] * focal[1]):
            result[around][labels[around] == label] = 0
            speckles += 1
    return result, speckles


def _is_speckle(depth: NDArray[np.float32], patch: NDArray[np.bool_], largest: float) -> bool:
    """Returns whether a patch (h, w) is small and touches nothing of its own depth, as the corner of a thing does.

    ``largest`` is the area of the largest speckle at a depth of 1 m, square pixels.
    """
    if float(np.square(depth[patch], dtype=np.float64).sum()) > largest:
        return False
    beside = cv2.dilate(patch.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(np.bool_) & ~patch & (depth > 0)
    return bool((depth[beside] > np.median(depth[patch]) + _RIM).all())
