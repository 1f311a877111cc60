"""Smooth random fields, the stuff of depth errors and of holes in blobs."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

FloatImage = NDArray[np.float32]


def smooth_field(rng: np.random.Generator, shape: tuple[int, ...], grid: int, *, unit_variance: bool) -> FloatImage:
    """Returns a smooth Gaussian field: a standard normal grid, bicubically upsampled.

    Args:
        rng: Source of randomness.
        shape: (H, W) of the field.
        grid: Factor by which the grid is coarser than the image, pixels.
        unit_variance: Whether each pixel is divided by its standard deviation, which the upsampling lowers.

    Returns:
        (H, W) float32, no unit.
    """
    height, width = shape
    coarse = rng.standard_normal((-(-height // grid), -(-width // grid)), dtype=np.float32)
    if grid == 1 and unit_variance:
        return coarse
    size = (coarse.shape[1] * grid, coarse.shape[0] * grid)
    fine = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)[:height, :width]
    if unit_variance:
        fine = np.divide(fine, _interpolation_deviation(coarse.shape, grid)[:height, :width])
    return np.asarray(fine, np.float32)


@lru_cache(maxsize=8)
def _interpolation_deviation(coarse: tuple[int, int], grid: int) -> FloatImage:
    """Returns each pixel's standard deviation after bicubic upsampling of a unit normal grid."""
    deviations = []
    for n in coarse:
        weights = cv2.resize(np.eye(n, dtype=np.float32), (n, n * grid), interpolation=cv2.INTER_CUBIC)
        deviations.append(np.sqrt((weights**2).sum(axis=1)))
    return np.outer(deviations[0], deviations[1]).astype(np.float32)
