"""Smooth random fields, the stuff of depth errors and of holes in blobs."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from sim.depth_noise.part import Part

FloatImage = NDArray[np.float32]
_COARSE = 16  # pixels: grids from here on


def smooth_field(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    grid: int,
    *,
    unit_variance: bool,
    part: Part | None = None,
) -> FloatImage:
    """Returns a smooth Gaussian field: a standard normal grid, bicubically upsampled.

    Args:
        rng: Source of randomness.
        shape: (H, W) of the field.
        grid: Factor by which the grid is coarser than the image, pixels.
        unit_variance: Whether each pixel is divided by its standard deviation, which the upsampling lowers.
        part: Part that is wanted, (h, w) pixels; its field is distributed as the whole's is there. None is the whole.

    Returns:
        (H, W) float32, or (h, w) of a part; no unit.
    """
    whole = slice(0, shape[0]), slice(0, shape[1])
    rows, cols = part or whole
    down, across = _cells(rows, shape[0], grid), _cells(cols, shape[1], grid)
    coarse = rng.standard_normal((len(down), len(across)), dtype=np.float32)
    if grid >= _COARSE and (rows, cols) != whole:
        # A part of a few cells would be upsampled to more than the whole: products of small matrices are quicker.
        # They are OpenCV's: NumPy's would start threads in every loader worker.
        above, beside = (
            _weights(-(-n // grid), grid, unit_variance)[span, cells.start : cells.stop]
            for n, span, cells in zip(shape, (rows, cols), (down, across), strict=True)
        )
        half = cv2.gemm(np.ascontiguousarray(above), coarse, 1.0, None, 0.0)  # type: ignore[call-overload]
        fine = cv2.gemm(half, np.ascontiguousarray(beside), 1.0, None, 0.0, flags=cv2.GEMM_2_T)  # type: ignore[call-overload]
        return np.asarray(fine, np.float32)
    here = _shift(rows, -grid * down.start), _shift(cols, -grid * across.start)
    if grid == 1 and unit_variance:
        return coarse[here]
    size = (coarse.shape[1] * grid, coarse.shape[0] * grid)
    fine = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)[here]
    if unit_variance:
        deviations = (_deviation(-(-n // grid), grid)[span] for n, span in zip(shape, (rows, cols), strict=True))
        fine = np.divide(fine, np.outer(*deviations))
    return np.asarray(fine, np.float32)


def _cells(span: slice, length: int, grid: int) -> range:
    """Returns the cells of the grid on which a stretch of the image depends: bicubic upsampling reaches for two more.

    At the image's border the upsampling repeats the last cell, for a part as for the whole.
    """
    reach = 2 if grid > 1 else 0
    return range(max(0, span.start // grid - reach), min(-(-length // grid), -(-span.stop // grid) + reach))


def _shift(span: slice, by: int) -> slice:
    return slice(span.start + by, span.stop + by)


@lru_cache(maxsize=64)
def _weights(cells: int, grid: int, unit_variance: bool) -> FloatImage:
    """Returns the weight of each cell in each pixel along one side, (cells * grid, cells), by bicubic upsampling."""
    weights = cv2.resize(np.eye(cells, dtype=np.float32), (cells, cells * grid), interpolation=cv2.INTER_CUBIC)
    return np.asarray(weights / _deviation(cells, grid)[:, None] if unit_variance else weights, np.float32)


@lru_cache(maxsize=64)
def _deviation(cells: int, grid: int) -> FloatImage:
    """Returns each pixel's standard deviation along one side after bicubic upsampling of unit normal cells."""
    return np.asarray(np.sqrt((_weights(cells, grid, False) ** 2).sum(axis=1)), np.float32)
