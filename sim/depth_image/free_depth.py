"""How deep an opened gripper stays free of a depth image: the kernels of ``sim.grasp.deepest_free_depth``.

A footprint is a rectangle under a finger or the palm. Its pixels are found by their own depth, so it may lie
anywhere between where the nearest and the farthest surface would put it. The range of the depths around it, read
from a coarse image of least and greatest depths, keeps that search short, and drops nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.camera import PinholeCamera
from sim.compiled import compiled
from sim.errors import InputError
from sim.gripper import GripperGeometry
from sim.view import check_depth_image

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Pair = tuple[float, float]
Four = tuple[float, float, float, float]
Bounds = tuple[int, int, int, int]
Blocks = tuple[NDArray[np.float32], NDArray[np.float32]]  # least and greatest depth seen; inf and 0 where nothing is

_BLOCK = 8  # pixels, side of a block of the coarse image
_SLACK = 1e-6  # pixels by which a search is wider than rounding asks
# Least share of a finger's footprint that must be seen; below it the ground counts as unknown.
_MIN_SEEN_SHARE = 0.2


@compiled
def _depth_ranges(depth: NDArray[np.float32]) -> Blocks:
    """Returns the least and the greatest depth seen in each block of the image."""
    height, width = depth.shape
    size = (height + _BLOCK - 1) // _BLOCK, (width + _BLOCK - 1) // _BLOCK
    least, greatest = np.full(size, np.float32(np.inf)), np.zeros(size, np.float32)
    for r in range(height):
        for c in range(width):
            z, i, j = depth[r, c], r // _BLOCK, c // _BLOCK
            if z > 0:
                least[i, j], greatest[i, j] = min(least[i, j], z), max(greatest[i, j], z)
    return least, greatest


@compiled
def _bounds(
    shape: tuple[int, int], focal: Pair, centre: Pair, z_range: Pair, origin: Pair, axes: Four, box: Four
) -> Bounds:
    """Returns the first and last row and column where a footprint can appear; see ``_free_top``."""
    row_min, row_max, col_min, col_max = 1e9, -1e9, 1e9, -1e9
    for i in range(2):
        for j in range(2):
            a, b = box[i], box[2 + j]
            x = origin[0] + a * axes[0] + b * axes[2]
            y = origin[1] + a * axes[1] + b * axes[3]
            for z in z_range:
                row, col = centre[0] + focal[0] * y / z, centre[1] + focal[1] * x / z
                row_min, row_max = min(row_min, row), max(row_max, row)
                col_min, col_max = min(col_min, col), max(col_max, col)
    return (
        max(0, int(np.ceil(row_min - _SLACK))),
        min(shape[0] - 1, int(np.floor(row_max + _SLACK))),
        max(0, int(np.ceil(col_min - _SLACK))),
        min(shape[1] - 1, int(np.floor(col_max + _SLACK))),
    )


@compiled
def _seen_range(blocks: Blocks, bounds: Bounds) -> Pair:
    """Returns a range that holds every depth seen between some rows and columns; (inf, 0) where nothing is."""
    near, far = np.inf, 0.0
    for i in range(bounds[0] // _BLOCK, bounds[1] // _BLOCK + 1):
        for j in range(bounds[2] // _BLOCK, bounds[3] // _BLOCK + 1):
            near, far = min(near, np.float64(blocks[0][i, j])), max(far, np.float64(blocks[1][i, j]))
    return near, far


@compiled
def _free_top(
    depth: NDArray[np.float32],
    focal: Pair,
    centre: Pair,
    z_range: Pair,
    origin: Pair,
    axes: Four,
    box: Four,
) -> Pair:
    """Returns the nearest depth seen inside a footprint, and the share of it that is seen.

    ``box`` = (along min, along max, across min, across max) in metres around ``origin`` (x, y);
    ``axes`` = (closing x, closing y, across x, across y). Pixels are deprojected with their own
    depth, so a tall neighbour counts where it stands, not where it appears. ``z_range`` holds every depth around it.
    """
    first, last, left, right = _bounds(depth.shape, focal, centre, z_range, origin, axes, box)
    top, count = np.inf, 0.0
    for r in range(first, last + 1):
        start, stop = float(left), float(right)
        for k in range(2):
            # A pixel of depth z is inside where low / z <= u + (c - c0) v <= high / z, for both axes.
            v, u = axes[2 * k] / focal[1], (r - centre[0]) / focal[0] * axes[2 * k + 1]
            if abs(v) * focal[1] < 1e-6:
                continue
            middle = origin[0] * axes[2 * k] + origin[1] * axes[2 * k + 1]
            low, high = middle + box[2 * k], middle + box[2 * k + 1]
            one = centre[1] + (min(low / z_range[0], low / z_range[1]) - u) / v
            other = centre[1] + (max(high / z_range[0], high / z_range[1]) - u) / v
            start, stop = max(start, min(one, other) - _SLACK), min(stop, max(one, other) + _SLACK)
        for c in range(int(np.ceil(start)), int(np.floor(stop)) + 1):
            z = depth[r, c]
            if z <= 0:
                continue
            x = (c - centre[1]) / focal[1] * z - origin[0]
            y = (r - centre[0]) / focal[0] * z - origin[1]
            a, b = x * axes[0] + y * axes[1], x * axes[2] + y * axes[3]
            if box[0] <= a <= box[1] and box[2] <= b <= box[3]:
                top = min(top, z)
                # A pixel's area on the surface that it sees, square metres.
                count += z * z / (focal[0] * focal[1])
    return top, count / ((box[1] - box[0]) * (box[3] - box[2]))


@compiled
def _free_depths(
    depth: NDArray[np.float32],
    blocks: Blocks,
    focal: Pair,
    centre: Pair,
    z_range: Pair,
    rows: IntArray,
    cols: IntArray,
    surfaces: FloatArray,
    angles: FloatArray,
    widths: FloatArray,
    measures: tuple[float, float, float, float, float],
    margins: FloatArray,
    depth_margins: FloatArray,
) -> FloatArray:
    """Returns the grasp depths of ``deepest_free_depth``, metres.

    ``focal`` and ``centre`` = (row, column) in pixels; ``surfaces`` = the depth that each grasp counts from, metres,
    0 = unknown; ``z_range`` = (nearest, farthest) depth seen, metres;
    ``measures`` = the gripper's finger thickness, width and length, and its palm's width and thickness.
    """
    thickness, finger_width, length, palm_width, palm_thickness = measures
    result = np.full(len(rows), np.nan)
    for i in range(len(rows)):
        surface = surfaces[i]
        if surface <= 0:
            continue
        origin = (
            (cols[i] - centre[1]) / focal[1] * surface,
            (rows[i] - centre[0]) / focal[0] * surface,
        )
        cosine, sine = np.cos(angles[i]), np.sin(angles[i])
        axes = (cosine, -sine, sine, cosine)
        inner, outer = widths[i] / 2 - margins[i], widths[i] / 2 + thickness + margins[i]
        across = finger_width / 2 + margins[i]
        tops, seen = np.inf, True
        for side in range(2):
            box = (-outer, -inner, -across, across) if side == 0 else (inner, outer, -across, across)
            near = _seen_range(blocks, _bounds(depth.shape, focal, centre, z_range, origin, axes, box))
            if near[1] <= 0:
                seen = False
                break
            top, share = _free_top(depth, focal, centre, near, origin, axes, box)
            tops, seen = min(tops, top), share >= _MIN_SEEN_SHARE
            if not seen:
                break
        if not seen:
            continue
        half, half_across = palm_width / 2, palm_thickness / 2
        box = (-half, half, -half_across, half_across)
        near = _seen_range(blocks, _bounds(depth.shape, focal, centre, z_range, origin, axes, box))
        deepest = min(tops, surface + length)
        if near[0] + length < deepest:  # the palm can only then be in the way
            deepest = min(deepest, _free_top(depth, focal, centre, near, origin, axes, box)[0] + length)
        deepest = deepest - surface
        result[i] = deepest - min(depth_margins[i], max(deepest, 0.0) / 2)
    return result


class FreeDepth:
    """``sim.grasp.deepest_free_depth`` of one image, prepared once for many calls."""

    def __init__(self, depth_image: NDArray[np.floating], camera: PinholeCamera, gripper: GripperGeometry) -> None:
        """Checks the image, and takes its coarse image; see ``deepest_free_depth``."""
        check_depth_image(depth_image)
        if depth_image.shape != (camera.height, camera.width):
            raise InputError(f"depth image is {depth_image.shape}, its camera {(camera.height, camera.width)}")
        m, g = camera.intrinsics, gripper
        self._image = np.ascontiguousarray(depth_image, dtype=np.float32)
        self._blocks = _depth_ranges(self._image)
        z_range = float(self._blocks[0].min()), float(self._blocks[1].max())
        self._optics = (m[1, 1], m[0, 0]), (m[1, 2], m[0, 2]), z_range
        self._measures = g.finger_thickness, g.finger_width, g.finger_length, g.palm_width, g.palm_thickness

    def __call__(
        self,
        row: ArrayLike,
        col: ArrayLike,
        angle: ArrayLike,
        width: ArrayLike,
        *,
        margin: ArrayLike,
        depth_margin: ArrayLike,
        surface: ArrayLike | None = None,
    ) -> FloatArray:
        """Returns what ``deepest_free_depth`` returns of the same arguments; the margins may be (N,), too."""
        places = [np.atleast_1d(np.asarray(a, np.int64)) for a in (row, col)]
        measures = [np.atleast_1d(np.asarray(a, np.float64)) for a in (angle, width, margin, depth_margin)]
        rows, cols, *rest = (np.ascontiguousarray(a) for a in np.broadcast_arrays(*places, *measures))
        height, breadth = self._image.shape
        if len(rows) and not (rows.min() >= 0 and cols.min() >= 0 and rows.max() < height and cols.max() < breadth):
            raise InputError(f"a grasp lies outside the {height}x{breadth} image")
        angles, widths, margins, below = rest
        own = self._image[rows, cols] if surface is None else np.broadcast_to(surface, rows.shape)
        grasps = rows, cols, np.ascontiguousarray(own, np.float64), angles, widths
        return _free_depths(self._image, self._blocks, *self._optics, *grasps, self._measures, margins, below)
