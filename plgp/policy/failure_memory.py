"""What a policy remembers of a tray that it is clearing: where its grasps have changed nothing."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.grasp import PixelGrasps

# A camera's noise differs between two images of the same scene by some 6 mm (sigma 4 mm twice), smooth over 8 pixels.
MOVED = 0.012  # metres, median change of the depth from which something has moved
WINDOW_PX = 10  # half the side of the window that is compared
REACH_PX = 8  # distance from a failed grasp within which others count less
FACTOR = 0.3  # ... by this factor, once for each failure


class FailureMemory:
    """Keeps the grasps that were handed out for execution and after which the depth image looks as before.

    A policy in the benchmark or on an arm is told nothing of what became of its grasp. It sees the next image: where
    the object still lies as it lay, the grasp has failed, and another place is tried first. Where something has
    changed, the entry is dropped. So a new tray clears the memory by itself.
    """

    def __init__(self) -> None:
        """Starts empty."""
        self._failed: list[tuple[int, int]] = []
        self._before: NDArray[np.float32] | None = None

    def weight(self, depth: NDArray[np.floating]) -> NDArray[np.float32] | None:
        """Returns the factors on the pixels' scores, (H, W) float32 in (0, 1]; None where nothing is remembered.

        Args:
            depth: (H, W) floating, metres, 0 = missing: the image now.
        """
        before = self._before
        if before is None or before.shape != depth.shape:
            self._failed.clear()
            return None
        self._failed = [place for place in self._failed if _unchanged(before, depth, place)]
        if not self._failed:
            return None
        factor = np.ones(depth.shape, np.float32)
        rows, cols = np.ogrid[: depth.shape[0], : depth.shape[1]]
        for row, col in self._failed:
            factor[(rows - row) ** 2 + (cols - col) ** 2 <= REACH_PX**2] *= FACTOR
        return factor

    def keep(self, grasps: PixelGrasps, depth: NDArray[np.floating]) -> None:
        """Remembers the grasp that is going to be executed, and the image that it was found in.

        Args:
            grasps: One grasp, or none.
            depth: (H, W) floating, metres, 0 = missing.
        """
        self._failed += [(int(row), int(col)) for row, col in zip(grasps.row, grasps.col, strict=True)]
        self._before = np.array(depth, np.float32)


def _unchanged(before: NDArray[np.float32], depth: NDArray[np.floating], place: tuple[int, int]) -> bool:
    """Returns whether two images show the same depths around a pixel."""
    row, col = place
    window = slice(max(0, row - WINDOW_PX), row + WINDOW_PX + 1), slice(max(0, col - WINDOW_PX), col + WINDOW_PX + 1)
    both = (before[window] > 0) & (depth[window] > 0)
    return bool(both.any() and np.median(np.abs(before[window][both] - depth[window][both])) < MOVED)
