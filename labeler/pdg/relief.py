"""The parallel depth image as an integer relief, turned so that closing runs along the rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.compiled import compiled, uncounted
from sim.view import SceneView

UNIT = 1e-5  # metres per step of the integer relief, unless the scene is deeper than 0.65 m
_FARTHEST = 65535
_TILE = 64  # side of the tiles in which the image is turned by a quarter


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
        reach: Reach of the gripper beyond an object's pixel that the crop has room for, metres.
    """

    front: NDArray[np.uint16]
    front_quarter: NDArray[np.uint16]
    back: NDArray[np.uint16]
    mask: NDArray[np.uint16]
    row0: int
    col0: int
    nearest: float
    unit: float
    reach: float


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
    crop = int(row0), int(row1), int(col0), int(col1)
    depth = np.ascontiguousarray(view.parallel_depth, dtype=np.float32)
    nearest, farthest = _depth_range(depth, crop)
    unit = max(UNIT, (farthest - nearest) / (_FARTHEST - 1))
    front = _quantise(depth, crop, nearest, unit)
    back = np.zeros((1, 1), np.uint16)
    if view.parallel_back_depth is not None:
        back = _quantise(np.ascontiguousarray(view.parallel_back_depth, dtype=np.float32), crop, nearest, unit)
    mask = view.parallel_mask[row0:row1, col0:col1].astype(np.uint16)
    return Relief(front, _turn_quarter(front), back, mask, crop[0], crop[2], nearest, unit, reach)


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


# Functions of single lines, here and below, are the ones that the compiler turns into many pixels at a time.
@uncounted
def _widen_range(line: NDArray[np.float32], nearest: NDArray[np.float32], farthest: NDArray[np.float32]) -> None:
    """Takes a line (n,) into the least and greatest known depth of each column, (n,) each; 0 is unknown."""
    for j in range(len(line)):
        z, low, high = line[j], nearest[j], farthest[j]
        nearest[j] = z if 0 < z < low else low
        farthest[j] = z if z > high else high


@compiled
def _depth_range(depth: NDArray[np.float32], crop: tuple[int, int, int, int]) -> tuple[float, float]:
    """Returns the least and greatest known depth of a crop (first row, end row, first column, end column), metres."""
    row0, row1, col0, col1 = crop
    nearest, farthest = np.full(col1 - col0, np.inf, np.float32), np.zeros(col1 - col0, np.float32)
    for i in range(row0, row1):
        _widen_range(depth[i, col0:col1], nearest, farthest)
    return float(nearest.min()), float(farthest.max())


@uncounted
def _line_to_steps(line: NDArray[np.float32], nearest: float, unit: float, result: NDArray[np.uint16]) -> None:
    for j in range(len(line)):
        z = line[j]
        step = (z - nearest) / unit + 1.5
        step = step if step > 1 else 1.0
        step = step if step < _FARTHEST else float(_FARTHEST)
        result[j] = np.uint16(np.int32(step if z > 0 else 0.0))


@compiled
def _quantise(
    depth: NDArray[np.float32], crop: tuple[int, int, int, int], nearest: float, unit: float
) -> NDArray[np.uint16]:
    """Returns a crop of a depth image in steps; see ``Relief.front``."""
    row0, row1, col0, col1 = crop
    result = np.empty((row1 - row0, col1 - col0), np.uint16)
    for i in range(row0, row1):
        _line_to_steps(depth[i, col0:col1], nearest, unit, result[i - row0])
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
