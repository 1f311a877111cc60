"""Figures drawn off screen: the one place that sets matplotlib up.

Importing this module does not load matplotlib; the first figure does.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette, told apart with any colour vision. Its yellow is left out, too pale for a line.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def panels(
    rows: int, columns: int, size: tuple[float, float], *, dpi: float | None = None, **options: Any
) -> tuple[Figure, NDArray[Any]]:
    """Returns a figure off screen with a grid of panels.

    Args:
        rows: Number of rows of the grid.
        columns: Number of columns of the grid.
        size: Width and height of the figure, inches.
        dpi: Pixels per inch; None for matplotlib's default.
        options: Further arguments of ``Figure.subplots``, for example ``sharey=True`` or ``width_ratios=(1, 2)``.

    Returns:
        The figure and its (rows, columns) array of ``Axes``.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def hide_ticks(*axes: Any) -> None:
    """Removes the ticks of panels that show an image."""
    for one in axes:
        one.set_xticks([])
        one.set_yticks([])


def save_figure(figure: Figure, path: str | Path, dpi: float) -> Path:
    """Writes a figure, makes its folder where that is missing, and returns the path.

    Args:
        figure: The figure.
        path: The file; its suffix names the format.
        dpi: Pixels per inch.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=dpi)
    return path


def to_png(figure: Figure, dpi: float) -> bytes:
    """Returns a figure as the bytes of a PNG; they do not name the version of matplotlib."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()
