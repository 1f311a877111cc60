"""The parallel depth image as an integer relief, turned so that closing runs along the rows.

Everything that the kernels ask is asked of three images of one angle, uint16 in steps of
``Relief.unit`` metres, larger = farther from the camera, 0 = unknown (blocks every finger):

* ``turned``: the relief itself, rows across the fingers, columns along the closing direction;
* ``eroded``: the nearest surface within a finger's width (with margins) across the closing
  direction: the first thing that a finger would meet;
* ``standing``: the nearest ``eroded`` value over one finger's thickness: a finger can stand
  with its near face on a column as deep as ``standing`` says.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.compiled import compiled
from sim.view import SceneView

UNIT = 1e-5  # metres per step of the integer relief, unless the scene is deeper than 0.65 m
_FARTHEST = 65535
_COLUMNS = 128  # columns eroded at a time: they stay in the processor's cache
_TILE = 64  # side of the tiles in which the image is turned


@dataclass(frozen=True)
class Relief:
    """The part of the parallel image that the labels of a view can depend on.

    Attributes:
        front: (H, W) uint16, steps of ``unit`` beyond ``nearest``, plus 1; 0 = unknown.
        front_quarter: (W, H) uint16, ``front`` turned clockwise by 90 degrees.
        back: (H, W) uint16, the back layer in the same steps, or (1, 1) if the view has none.
        mask: (H, W) uint16, mask values; 0 = background.
        row0: First row of the crop in the parallel image, pixels.
        col0: First column of the crop in the parallel image, pixels.
        nearest: Depth of step 1, metres.
        unit: Length of a step, metres.
    """

    front: NDArray[np.uint16]
    front_quarter: NDArray[np.uint16]
    back: NDArray[np.uint16]
    mask: NDArray[np.uint16]
    row0: int
    col0: int
    nearest: float
    unit: float


def make_relief(view: SceneView, reach: float) -> Relief | None:
    """Returns the view's relief around its objects, or None if the parallel image shows none.

    Args:
        view: The view.
        reach: Greatest reach of the gripper beyond an object's pixel, metres.
    """
    eta = view.parallel_camera.pixels_per_metre
    rows = np.flatnonzero(view.parallel_mask.any(axis=1))
    cols = np.flatnonzero(view.parallel_mask.any(axis=0))
    if not len(rows):
        return None
    border = int(np.ceil(reach * eta)) + 2
    height, width = view.parallel_depth.shape
    row0, row1 = max(0, rows[0] - border), min(height, rows[-1] + border + 1)
    col0, col1 = max(0, cols[0] - border), min(width, cols[-1] + border + 1)
    crop = (slice(row0, row1), slice(col0, col1))
    depth = np.ascontiguousarray(view.parallel_depth[crop], dtype=np.float32)
    nearest, farthest = _depth_range(depth)
    unit = max(UNIT, (farthest - nearest) / (_FARTHEST - 1))
    front = _quantise(depth, nearest, unit)
    back = np.zeros((1, 1), np.uint16)
    if view.parallel_back_depth is not None:
        back = _quantise(np.ascontiguousarray(view.parallel_back_depth[crop], dtype=np.float32), nearest, unit)
    mask = view.parallel_mask[crop].astype(np.uint16)
    return Relief(front, _turn_quarter(front), back, mask, int(row0), int(col0), nearest, unit)


@dataclass(frozen=True)
class Turn:
    """How one angle's images lie over the crop.

    Column ``u + left`` and row ``v + top`` of the turned image show the crop's point
    ``col = pivot_col + u cos + v sin``, ``row = pivot_row - u sin + v cos``; for a ``quarter``
    turn the crop has first been turned clockwise by 90 degrees.

    Attributes:
        quarter: Whether the quarter-turned crop is the source.
        cosine: Cosine of the rest of the angle, which lies in [-45, 45] degrees.
        sine: Sine of the rest of the angle.
        pivot_row: Row of the source that stays in place, pixels; whole, so that 0 and 90 degrees resample nothing.
        pivot_col: Column of the source that stays in place, pixels; whole.
        left: Column of the turned image that shows the pivot.
        top: Row of the turned image that shows the pivot.
        height: Number of rows of the turned image.
        width: Number of columns of the turned image.
    """

    quarter: bool
    cosine: float
    sine: float
    pivot_row: float
    pivot_col: float
    left: int
    top: int
    height: int
    width: int

    @classmethod
    def around(
        cls,
        relief: Relief,
        angle: float,
        *,
        rows: NDArray[np.float64],
        cols: NDArray[np.float64],
        reach: tuple[int, int],
    ) -> Turn:
        """Returns the turn whose image covers the candidates and the gripper's reach around them.

        Args:
            relief: The relief.
            angle: Angle theta, radians in [0, pi).
            rows: (N,) float64, rows of the candidates in the crop, pixels.
            cols: (N,) float64, columns of the candidates in the crop, pixels.
            reach: Pixels needed around a candidate along and across the closing direction.
        """
        # Half a turn leaves a parallel gripper as it was: angles beyond 135 degrees turn the other way.
        quarter = bool(np.pi / 4 < angle <= 3 * np.pi / 4)
        rest = angle - np.pi / 2 if quarter else angle - np.pi * (angle > np.pi / 2)
        height, width = relief.front_quarter.shape if quarter else relief.front.shape
        draft = cls(quarter, float(np.cos(rest)), float(np.sin(rest)), height // 2, width // 2, 0, 0, 0, 0)
        v, u = draft.place(relief, rows, cols)
        left, top = reach[0] + 1 - int(u.min()), reach[1] + 1 - int(v.min())
        size = (int(v.max()) + top + reach[1] + 2, int(u.max()) + left + reach[0] + 2)
        return cls(quarter, draft.cosine, draft.sine, draft.pivot_row, draft.pivot_col, left, top, *size)

    def place(
        self, relief: Relief, rows: NDArray[np.float64], cols: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns the pixels of the turned image that points of the crop fall on.

        Args:
            relief: The relief.
            rows: (N,) float64, rows of the points in the crop, pixels.
            cols: (N,) float64, columns of the points in the crop, pixels.

        Returns:
            Rows and columns, (N,) int64 each.
        """
        r, c = (cols, relief.front.shape[0] - 1 - rows) if self.quarter else (rows, cols)
        r, c = r - self.pivot_row, c - self.pivot_col
        v, u = c * self.sine + r * self.cosine, c * self.cosine - r * self.sine
        return np.rint(v).astype(np.int64) + self.top, np.rint(u).astype(np.int64) + self.left


@compiled
def _depth_range(depth: NDArray[np.float32]) -> tuple[float, float]:
    nearest, farthest = np.inf, 0.0
    for i in range(depth.shape[0]):
        for j in range(depth.shape[1]):
            z = depth[i, j]
            if z > 0:
                nearest, farthest = min(nearest, z), max(farthest, z)
    return nearest, farthest


@compiled
def _quantise(depth: NDArray[np.float32], nearest: float, unit: float) -> NDArray[np.uint16]:
    result = np.empty(depth.shape, np.uint16)
    for i in range(depth.shape[0]):
        for j in range(depth.shape[1]):
            z = depth[i, j]
            step = (z - nearest) / unit + 1.5
            result[i, j] = np.uint16(min(max(step, 1.0), 65535.0)) if z > 0 else np.uint16(0)
    return result


@compiled
def _turn_quarter(image: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Returns the image turned clockwise by 90 degrees: (r, c) goes to (c, H - 1 - r)."""
    height, width = image.shape
    result = np.empty((width, height), image.dtype)
    for tile in range((width + _TILE - 1) // _TILE):
        for left in range(0, height, _TILE):
            for i in range(tile * _TILE, min(width, tile * _TILE + _TILE)):
                for j in range(left, min(height, left + _TILE)):
                    result[i, j] = image[height - 1 - j, i]
    return result


@compiled
def _inside(start: float, step: float, first: int, last: int, size: int) -> tuple[int, int]:
    """Returns the part of [first, last) where 0 <= int(start + step i) < size, a little inside."""
    if abs(step) < 1e-12:
        return (first, last) if 0 <= start < size else (first, first)
    a, b = -start / step, (size - start) / step
    return max(first, int(np.ceil(min(a, b) + 1e-6))), min(last, int(np.floor(max(a, b) - 1e-6)) + 1)


@compiled
def turn_image(
    source: NDArray[np.uint16],
    cosine: float,
    sine: float,
    pivot_row: float,
    pivot_col: float,
    left: int,
    top: int,
    result: NDArray[np.uint16],
) -> None:
    """Fills ``result`` (h, w) uint16 with the nearest pixels of the turned ``source``; 0 outside of it."""
    height, width = result.shape
    for band in range((height + _TILE - 1) // _TILE):
        for tile in range(0, width, _TILE):
            end = min(width, tile + _TILE)
            for i in range(band * _TILE, min(height, band * _TILE + _TILE)):
                row = pivot_row + (i - top) * cosine + left * sine + 0.5
                col = pivot_col + (i - top) * sine - left * cosine + 0.5
                first, last = _inside(row, -sine, tile, end, source.shape[0])
                first, last = _inside(col, cosine, first, last, source.shape[1])
                first = min(first, end)  # a row may miss the source beyond the image's end
                last = max(first, last)
                for j in range(tile, first):
                    result[i, j] = 0
                for j in range(first, last):
                    result[i, j] = source[np.uint32(row - j * sine), np.uint32(col + j * cosine)]
                for j in range(last, end):
                    result[i, j] = 0


@compiled
def erode_rows(image: NDArray[np.uint16], half: int, result: NDArray[np.uint16]) -> None:
    """Fills ``result`` with the minimum over rows i - half ... i + half, for rows that have them all.

    Van Herk's running minimum: three comparisons a pixel, whatever the window.
    """
    height, width = image.shape
    window = 2 * half + 1
    for block in range((width + _COLUMNS - 1) // _COLUMNS):
        first = block * _COLUMNS
        count = min(_COLUMNS, width - first)
        suffix = np.empty((window, _COLUMNS), np.uint16)
        prefix = np.empty(_COLUMNS, np.uint16)
        for start in range(0, height - window + 1, window):
            for j in range(count):
                suffix[window - 1, j] = image[start + window - 1, first + j]
            for k in range(window - 2, -1, -1):
                for j in range(count):
                    a, b = image[start + k, first + j], suffix[k + 1, j]
                    suffix[k, j] = a if a < b else b
            for j in range(count):
                prefix[j] = _FARTHEST
                result[start + half, first + j] = suffix[0, j]
            for k in range(1, min(window, height - window + 1 - start)):
                for j in range(count):
                    a, b = image[start + window + k - 1, first + j], prefix[j]
                    a = a if a < b else b
                    prefix[j] = a
                    b = suffix[k, j]
                    result[start + k + half, first + j] = a if a < b else b


@compiled
def erode_ahead(
    image: NDArray[np.uint16], first_row: int, last_row: int, length: int, result: NDArray[np.uint16]
) -> None:
    """Fills ``result`` with the minimum over columns j ... j + length - 1 of rows [first_row, last_row).

    By doubling windows; the last ``length - 1`` columns take what is left of the row.
    """
    width = image.shape[1]
    for i in range(first_row, last_row):
        line = image[i].copy()
        window = 1
        while 2 * window <= length:
            for j in range(width - window):
                a, b = line[j], line[j + window]
                line[j] = a if a < b else b
            window *= 2
        rest = length - window
        for j in range(width - rest):
            a, b = line[j], line[j + rest]
            result[i, j] = a if a < b else b
        for j in range(width - rest, width):
            result[i, j] = line[j]
