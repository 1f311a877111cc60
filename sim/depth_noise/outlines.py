"""What a frame of a real sensor says of its outlines: how wide its steps of the depth are, and its holes."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from sim.depth_image.edges import fill_nearest

FloatImage = NDArray[np.float32]
BoolImage = NDArray[np.bool_]

_REACH = 12  # pixels on both sides of a step
_FLAT = 0.15  # of the step: change of the depth beside it, up to which the sides are flat
_HEIGHTS = (0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2)  # metres: steps are told apart by these
_LEAST_STEPS = 50
_SOFT = 2.0  # pixels: a narrower slope is a step
_LEAST_HOLES = 20


def soft_steps(depth: FloatImage) -> tuple[float, float]:
    """Returns how wide low steps of the depth are seen, pixels, and how high the highest of these, metres.

    A step's width is its height over the greatest change from pixel to pixel. Steps with a hole nearby do not count.

    Args:
        depth: (H, W) float32, metres, 0 = missing.

    Returns:
        The median width over the heights where it is more than 2 pixels, from the lowest on; (0, 0) if there is none.
    """
    found = [_step_widths(np.ascontiguousarray(image)) for image in (depth, depth.T)]
    heights, widths = (np.concatenate(part) for part in zip(*found, strict=True))
    soft, highest = [], 0.0
    for low, high in pairwise(_HEIGHTS):
        taken = widths[(heights > low) & (heights <= high)]
        if len(taken) >= _LEAST_STEPS:
            if np.median(taken) < _SOFT:
                break
            soft.append(taken)
            highest = high
    return (float(np.median(np.concatenate(soft))), highest) if soft else (0.0, 0.0)


def plane_holes(depth: FloatImage, on_plane: BoolImage) -> tuple[float, float]:
    """Returns how much of a plane is missing by chance, and how wide its holes are: no shadow, no border.

    Args:
        depth: (H, W) float32, metres, 0 = missing, at least one pixel seen.
        on_plane: (H, W) bool, pixels seen that lie on the plane. A hole is the plane's if all about it are.

    Returns:
        The share of the plane, [0, 1], and the root of a hole's area, pixels, such that half of what is missing lies
        in smaller holes; (0, 0) for fewer than 20 holes.
    """
    labels = _holes(depth)
    count = int(labels.max()) + 1
    about = fill_nearest(np.where(depth > 0, np.where(on_plane, 1, 2), 0).astype(np.float32))
    others = np.bincount(labels.reshape(-1), weights=about.reshape(-1) > 1, minlength=count)
    areas = np.bincount(labels.reshape(-1), minlength=count)
    inner = others == 0
    inner[0] = False
    inner[labels[missing_at_border(depth)]] = False
    areas = np.sort(areas[inner])
    if len(areas) < _LEAST_HOLES:
        return 0.0, 0.0
    width = np.sqrt(areas[np.searchsorted(np.cumsum(areas), areas.sum() / 2)])
    return float(areas.sum() / (areas.sum() + on_plane.sum())), float(width)


def missing_at_border(depth: FloatImage) -> BoolImage:
    """Returns the missing pixels whose hole reaches the frame's border, (H, W) bool.

    Args:
        depth: (H, W) float32, metres, 0 = missing.
    """
    labels = _holes(depth)
    rim = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    at_border: BoolImage = np.isin(labels, np.unique(rim[rim > 0]))
    return at_border


def _holes(depth: FloatImage) -> NDArray[np.int32]:
    """Returns the number of each missing pixel's hole, from 1 on; 0 where a pixel is seen."""
    return np.asarray(cv2.connectedComponents((depth <= 0).astype(np.uint8), connectivity=4)[1], np.int32)


def _step_widths(depth: FloatImage) -> tuple[FloatImage, FloatImage]:
    """Returns the heights, metres, and the widths, pixels, of the steps along the rows."""
    span = 2 * _REACH
    if depth.shape[1] <= span + 1:
        return np.zeros(0, np.float32), np.zeros(0, np.float32)
    height = np.abs(depth[:, span:] - depth[:, :-span])
    change = np.abs(np.diff(depth, axis=1))
    middle = np.s_[:, _REACH - 1 : _REACH - 1 + height.shape[1]]
    steepest = cv2.dilate(change, np.ones((1, 2 * span + 1), np.uint8))[middle]
    whole = cv2.erode(depth, np.ones((1, 2 * span + 1), np.uint8))[:, _REACH:-_REACH] > 0
    side = _REACH // 2
    left = np.abs(depth[:, :-span] - depth[:, side : side - span]) < _FLAT * height
    right = np.abs(depth[:, span:] - depth[:, span - side : -side]) < _FLAT * height
    taken = whole & left & right & (change[middle] >= steepest) & (height > _HEIGHTS[0])
    return height[taken], height[taken] / change[middle][taken]
