"""Numbers beside points of a picture, placed so that no two cover each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation

_DIRECTIONS = 32
_STEP = 4.0  # pixels from one ring of places to the next
_RINGS = 150


def number_points(axes: Axes, points: ArrayLike, *, size: float = 8.0) -> list[Annotation]:
    """Writes 1 ... N beside points, each in a dark box; a line leads to a box that lies apart from its point.

    The figure is laid out for it: draw everything else before.

    Args:
        axes: Panel that shows an image; its limits are set.
        points: (N, 2) columns and rows, data coordinates of the panel.
        size: Height of the digits, points.

    Returns:
        The boxes, in the points' order. No two overlap, and none leaves the panel while there is room.
    """
    places = np.asarray(points, np.float64).reshape(-1, 2)
    figure = axes.figure
    figure.draw_without_rendering()  # type: ignore[union-attr]  # panels here never lie in a subfigure
    scale = 72.0 / float(figure.dpi)  # points a pixel
    look = {"boxstyle": "round,pad=0.15", "facecolor": "black", "edgecolor": "none", "alpha": 0.75}
    centres = axes.transData.transform(places)
    panel = axes.get_window_extent()
    inner = np.array([[panel.x0, panel.y0], [panel.x1, panel.y1]])
    taken = np.zeros((0, 2, 2))
    boxes = []
    for number, (place, centre) in enumerate(zip(places, centres, strict=True), start=1):
        text = axes.annotate(
            str(number),
            xy=(float(place[0]), float(place[1])),
            xytext=(0, 0),
            textcoords="offset points",
            ha="center",
            va="center",
            color="white",
            fontsize=size,
            bbox=look,
            zorder=6,
            annotation_clip=False,
        )
        drawn = text.get_window_extent()
        half = np.array([len(str(number)) * 0.62 * size / scale, drawn.height]) / 2 + 0.2 * size / scale
        shift = _free_shift(centre, half, taken, inner)
        text.set_position((float(shift[0] * scale), float(shift[1] * scale)))
        lead = axes.transData.inverted().transform(np.stack([centre, centre + shift]))
        axes.plot(*lead.T, color="white", linewidth=0.7, zorder=5)  # below every box
        taken = np.concatenate([taken, np.stack([centre + shift - half, centre + shift + half])[None]])
        boxes.append(text)
    return boxes


def _free_shift(
    centre: NDArray[np.float64], half: NDArray[np.float64], taken: NDArray[np.float64], inner: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Returns the shortest shift (2,) pixels at which a box covers neither its point nor one of ``taken``.

    Args:
        centre: (2,) place of the point, pixels.
        half: (2,) half of the box's sides, pixels.
        taken: (M, 2, 2) corners of the boxes so far, least first.
        inner: (2, 2) corners of the panel.
    """
    turns = np.pi / 4 + 2 * np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS
    ring = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    radii = float(np.hypot(*half)) + 2 + _STEP * np.arange(_RINGS)
    shifts = (radii[:, None, None] * ring).reshape(-1, 2)
    low, high = centre + shifts - half, centre + shifts + half
    free = ~((low[:, None] < taken[:, 1] + 1) & (high[:, None] > taken[:, 0] - 1)).all(axis=2).any(axis=1)
    inside = (low >= inner[0]).all(axis=1) & (high <= inner[1]).all(axis=1)
    good = np.flatnonzero(free & inside) if (free & inside).any() else np.flatnonzero(free)
    chosen: NDArray[np.float64] = shifts[good[0] if len(good) else 0]
    return chosen
