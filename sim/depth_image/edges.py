"""Edges of a depth image: holes filled, slopes, and the thin lines where the slope is steepest."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from sim.camera import PinholeCamera

FloatImage = NDArray[np.float32]


def fill_nearest(depth: NDArray[np.floating]) -> FloatImage:
    """Returns the image with each missing pixel set to the depth of the nearest seen one.

    A camera loses both sides of a step. Filled in this way, the step stands in the middle of the hole, and the hole's
    borders make no edges of their own.

    Args:
        depth: (H, W) floating, metres, 0 = missing, at least one pixel seen.
    """
    missing = (depth <= 0).astype(np.uint8)
    _, labels = cv2.distanceTransformWithLabels(missing, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    values = np.zeros(int(labels.max()) + 1, np.float32)
    seen = missing == 0
    values[labels[seen]] = depth[seen]
    filled: FloatImage = values[labels]
    return filled


def surface_slope(filled: NDArray[np.floating], camera: PinholeCamera, sigma: float) -> tuple[FloatImage, FloatImage]:
    """Returns the slope of the depth along x and along y, (H, W) float32 each, metres per metre.

    Args:
        filled: (H, W) floating, metres, nothing missing.
        camera: The camera that took it; its skew is taken as 0.
        sigma: Standard deviation of the Gaussian that smooths the depth first, pixels.
    """
    smooth: FloatImage = np.asarray(filled, np.float32)
    if sigma > 0:
        smooth = np.asarray(cv2.GaussianBlur(smooth, (0, 0), sigma), np.float32)
    # Sobel's kernel sums to 8 for a rise of one a pixel.
    fx, fy = camera.intrinsics[0, 0] / 8, camera.intrinsics[1, 1] / 8
    return (
        cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3) * np.float32(fx) / smooth,
        cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3) * np.float32(fy) / smooth,
    )


def thin_edges(slope_x: FloatImage, slope_y: FloatImage, threshold: float) -> NDArray[np.bool_]:
    """Returns the edges: steep pixels that are no less steep than their neighbours up and down the slope (Canny 1986).

    Args:
        slope_x: (H, W) slope of the depth along x, metres per metre.
        slope_y: (H, W) slope of the depth along y, metres per metre.
        threshold: Least steepness of an edge, metres per metre.

    Returns:
        (H, W) bool.
    """
    steepness = np.hypot(slope_x, slope_y)
    edge = steepness >= threshold
    edge[[0, -1]] = edge[:, [0, -1]] = False
    rows, cols = np.nonzero(edge)
    here = steepness[rows, cols]
    # One of the eight neighbours: the diagonal one for slopes between 30 and 60 degrees.
    dr = np.rint(slope_y[rows, cols] / here).astype(np.int64)
    dc = np.rint(slope_x[rows, cols] / here).astype(np.int64)
    edge[rows, cols] = (here >= steepness[rows - dr, cols - dc]) & (here > steepness[rows + dr, cols + dc])
    return edge
