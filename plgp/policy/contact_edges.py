"""How straight an object's edges run under the two fingers, as the depth image shows it.

A finger presses flat on an edge that runs straight across the closing direction; on a corner, a round or a slanted edge
it touches a point, and at low friction the object turns or slips out.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.camera import PinholeCamera
from sim.compiled import compiled
from sim.depth_image.edges import fill_nearest, surface_slope
from sim.gripper import GripperGeometry

SMOOTHING_PX = 1.5  # standard deviation of the Gaussian over the depth, as antipodal sampling takes it
LEAST_SLOPE = 0.7  # metres of depth per metre of way: less is no edge
_LINES = np.array([-0.7, -0.35, 0.0, 0.35, 0.7])  # over half of a finger's width

FloatImage = NDArray[np.float32]


def edge_slopes(depth: NDArray[np.floating], camera: PinholeCamera) -> tuple[FloatImage, FloatImage]:
    """Returns the smoothed depth's slope along x and along y, (H, W) float32 each, metres per metre.

    Args:
        depth: (H, W) floating, metres, 0 = missing, at least one pixel seen.
        camera: The camera of the depth image.
    """
    return surface_slope(fill_nearest(depth), camera, SMOOTHING_PX)


@compiled
def _spread(
    slope_x: NDArray[np.float32],
    slope_y: NDArray[np.float32],
    depth: NDArray[np.float32],
    focal: tuple[float, float],
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
    angles: NDArray[np.float64],
    widths: NDArray[np.float64],
    lines: NDArray[np.float64],
    unknown: float,
) -> NDArray[np.float64]:
    """Returns ``edge_spread``; ``focal`` = (row, column) in pixels, ``lines`` metres across the closing direction."""
    height, width = depth.shape
    result = np.zeros(len(rows))
    for i in range(len(rows)):
        surface = np.float64(depth[rows[i], cols[i]])
        cosine, sine = np.cos(angles[i]), np.sin(angles[i])
        pixel = surface / (0.5 * (focal[0] + focal[1]))
        steps = int(widths[i] / 2 / pixel) + 6
        for side in (-1.0, 1.0):
            count, total, squares = 0, 0.0, 0.0
            for line in lines:
                row = rows[i] + line * cosine / surface * focal[0]
                col = cols[i] + line * sine / surface * focal[1]
                steepest, at = LEAST_SLOPE, -1
                for step in range(steps):
                    c = int(np.floor(col + side * step * cosine + 0.5))
                    r = int(np.floor(row - side * step * sine + 0.5))
                    if r < 0 or c < 0 or r >= height or c >= width:
                        break
                    slope = side * (slope_x[r, c] * cosine - slope_y[r, c] * sine)
                    if slope > steepest:
                        steepest, at = slope, step
                if at >= 0:
                    count += 1
                    total += at
                    squares += at * at
            spread = unknown
            if count >= 2:
                mean = total / count
                spread = np.sqrt(max(squares / count - mean * mean, 0.0)) * pixel
            result[i] = max(result[i], spread)
    return result


def edge_spread(
    slopes: tuple[FloatImage, FloatImage],
    depth: NDArray[np.floating],
    camera: PinholeCamera,
    *,
    gripper: GripperGeometry,
    row: NDArray[np.int64],
    col: NDArray[np.int64],
    angle: NDArray[np.float64],
    width: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Returns how far the edges under each grasp's fingers are from straight.

    Along five lines across a finger's width, the steepest descent of the depth from the grasp point outwards is the
    edge. Its distances' standard deviation on the worse of the two sides is the spread: 0 for an edge that runs
    straight across the closing direction. Compare eq. (14), which asks the same of the parallel image.

    Args:
        slopes: Images of ``edge_slopes``.
        depth: (H, W) floating, metres, 0 = missing.
        camera: The camera of the depth image.
        gripper: The gripper; its finger width counts.
        row: (N,) int64, pixels.
        col: (N,) int64, pixels.
        angle: (N,) float64, radians, counter-clockwise as the image is seen.
        width: (N,) float64, metres between the inner finger faces.

    Returns:
        (N,) float64, metres; the finger's width where fewer than two lines meet an edge.
    """
    m = camera.intrinsics
    image = np.ascontiguousarray(depth, dtype=np.float32)
    lines = _LINES * gripper.finger_width / 2
    return _spread(*slopes, image, (m[1, 1], m[0, 0]), row, col, angle, width, lines, gripper.finger_width)
