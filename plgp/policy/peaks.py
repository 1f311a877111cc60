"""Local maxima of a score, and the fixed shuffle that decides among equal ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.compiled import compiled


@compiled
def _shuffled(pixel: int) -> int:
    """Returns a pixel's place in a fixed shuffle (Knuth's multiplicative hash, one to one on 32 bits)."""
    return (pixel * 2654435761) & 0xFFFFFFFF


@compiled
def _local_maxima(score: NDArray[np.float32], radius: int) -> NDArray[np.int64]:
    """Returns the flat pixels of the local maxima above 0, in the image's order; see ``best_peaks``."""
    height, width = score.shape
    found = np.empty(height * width, np.int64)
    count = 0
    for row in range(height):
        for col in range(width):
            value = score[row, col]
            if value <= 0:
                continue
            own, highest = row * width + col, True
            for r in range(max(0, row - radius), min(height, row + radius + 1)):
                for c in range(max(0, col - radius), min(width, col + radius + 1)):
                    other = score[r, c]
                    tied = other == value and _shuffled(r * width + c) < _shuffled(own)
                    if other > value or tied:
                        highest = False
                        break
                if not highest:
                    break
            if highest:
                found[count] = own
                count += 1
    return found[:count]


def best_peaks(score: NDArray[np.float32], radius: int, limit: int) -> NDArray[np.int64]:
    """Returns the best ``limit`` local maxima above 0, best first.

    Among equal scores, the pixel that comes first in a fixed shuffle counts as better. So a flat map favours no
    corner of the image, and is thinned out like any other.

    Args:
        score: (H, W) float32.
        radius: Half the side of the square window, pixels; 0 makes every pixel a maximum.
        limit: Greatest number of maxima.

    Returns:
        (N,) int64 flat pixels, row * W + column.
    """
    pixels = _local_maxima(score, radius) if radius else np.flatnonzero(score > 0)
    values = score.ravel()[pixels]
    if 0 < limit < len(pixels):  # those that stand no chance need not be sorted
        least = np.partition(values, len(values) - limit)[len(values) - limit]
        pixels, values = pixels[values >= least], values[values >= least]
    return pixels[np.lexsort((shuffle(pixels), -values))][:limit]


def shuffle(pixels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns pixels' places in the fixed shuffle of ``best_peaks``."""
    places: NDArray[np.int64] = (pixels * 2654435761) & 0xFFFFFFFF
    return places
