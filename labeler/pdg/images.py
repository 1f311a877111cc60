"""The images of one angle: the relief turned so that closing runs along the rows, and where fingers can stand on it.

Everything that the kernels ask is asked of the images of one angle, uint16 in steps of
``labeler.pdg.relief.Relief.unit`` metres, larger = farther from the camera, 0 = unknown (blocks every finger):

* ``turned``: the relief itself, rows across the fingers, columns along the closing direction;
* ``standing``: the nearest surface within a finger's width across the closing direction and its
  thickness along it (with margins): a finger can stand with its near face on a column as deep as
  ``standing`` says;
* ``deepest``: the greatest ``standing`` of each block of columns, to pass over a block at a glance.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from labeler.pdg.limits import BLOCK
from sim.compiled import compiled, uncounted

_FARTHEST = 65535
_TILE = 64  # side of the tiles in which the image is turned


# Functions of single lines are the ones that the compiler turns into many pixels at a time.
@uncounted
def _inside(start: float, step: float, first: int, last: int, size: int) -> tuple[int, int]:
    """Returns the part of [first, last) where 0 <= int(start + step i) < size, a little inside."""
    if abs(step) < 1e-12:
        return (first, last) if 0 <= start < size else (first, first)
    a, b = -start / step, (size - start) / step
    return max(first, int(np.ceil(min(a, b) + 1e-6))), min(last, int(np.floor(max(a, b) - 1e-6)) + 1)


@uncounted
def _places(
    row: float,
    col: float,
    along: tuple[NDArray[np.float64], NDArray[np.float64]],
    width: int,
    result: NDArray[np.int32],
) -> None:
    """Fills ``result`` with the places in a flattened image of the points (row - along[0], col + along[1])."""
    sines, cosines = along
    for j in range(len(sines)):
        result[j] = np.int32(np.floor(row - sines[j]) * width + np.floor(col + cosines[j]))


@uncounted
def _turn_rows(
    source: NDArray[np.uint16],
    geometry: tuple[float, float, float, float, int, int],
    along: tuple[NDArray[np.float64], NDArray[np.float64]],
    first_row: int,
    last_row: int,
    span: tuple[int, int],
    places: NDArray[np.int32],
    result: NDArray[np.uint16],
) -> None:
    """Fills a part of ``result`` with the nearest pixels of the turned source; 0 outside of it.

    Args:
        source: (H, W) uint16.
        geometry: ``cosine`` ... ``top`` of a ``Turn``.
        along: Sine and cosine times the number of each column, (w,) float64 each.
        first_row: First row.
        last_row: Row after the last one.
        span: First column, and column after the last one.
        places: (_TILE,) int32, scratch.
        result: (h, w) uint16.
    """
    cosine, sine, pivot_row, pivot_col, left, top = geometry
    pixels = source.reshape(-1)
    for band in range(first_row, last_row, _TILE):
        for tile in range(span[0], span[1], _TILE):
            end = min(span[1], tile + _TILE)
            for i in range(band, min(last_row, band + _TILE)):
                row = pivot_row + (i - top) * cosine + left * sine + 0.5
                col = pivot_col + (i - top) * sine - left * cosine + 0.5
                first, last = _inside(row, -sine, tile, end, source.shape[0])
                first, last = _inside(col, cosine, first, last, source.shape[1])
                first = min(first, end)  # a row may miss the source beyond the image's end
                last = max(first, last)
                for j in range(tile, first):
                    result[i, j] = 0
                _places(row, col, (along[0][first:last], along[1][first:last]), source.shape[1], places)
                for j in range(first, last):
                    result[i, j] = pixels[np.uint32(places[j - first])]
                for j in range(last, end):
                    result[i, j] = 0


@uncounted
def _lesser(one: NDArray[np.uint16], other: NDArray[np.uint16], result: NDArray[np.uint16]) -> None:
    """Fills ``result`` (n,) with the lesser of two lines' values, pixel by pixel."""
    for j in range(len(result)):
        a, b = one[j], other[j]
        result[j] = a if a < b else b


@uncounted
def _extend(
    line: NDArray[np.uint16], suffix: NDArray[np.uint16], prefix: NDArray[np.uint16], result: NDArray[np.uint16]
) -> None:
    """Takes ``line`` (n,) into the minimum ``prefix``, and fills ``result`` with the lesser of that and ``suffix``."""
    for j in range(len(result)):
        a, b, c = line[j], prefix[j], suffix[j]
        b = a if a < b else b
        prefix[j] = b
        result[j] = c if c < b else b


@uncounted
def _stand(line: NDArray[np.uint16], length: int, lines: NDArray[np.uint16], result: NDArray[np.uint16]) -> None:
    """Fills ``result`` with the minimum over columns j ... j + length - 1 of a line, by doubling windows.

    The last ``length - 1`` columns take what is left of the line.

    Args:
        line: (w,) uint16.
        length: Number of columns.
        lines: (at least 2, w) uint16, scratch.
        result: (w,) uint16, filled.
    """
    width = len(line)
    window, turn = 1, 0
    while 2 * window <= length:
        _lesser(line[: width - window], line[window:], lines[turn, : width - window])
        for j in range(width - window, width):
            lines[turn, j] = line[j]
        line = lines[turn]
        window, turn = 2 * window, 1 - turn
    rest = length - window
    _lesser(line[: width - rest], line[rest:], result[: width - rest])
    for j in range(width - rest, width):
        result[j] = line[j]


@uncounted
def _find_deepest(line: NDArray[np.uint16], result: NDArray[np.uint16]) -> None:
    """Fills ``result`` (at least ceil(w / BLOCK),) with the maximum of each block of a line (w,)."""
    whole = len(line) // BLOCK
    for block in range(whole):
        top = line[block * BLOCK]
        for j in range(1, BLOCK):
            value = line[block * BLOCK + j]
            top = value if value > top else top
        result[block] = top
    for j in range(whole * BLOCK, len(line)):
        result[whole] = max(line[j], result[whole] if j > whole * BLOCK else 0)


@uncounted
def _stand_rows(
    turned: NDArray[np.uint16],
    start: int,
    span: tuple[int, int],
    half: int,
    length: int,
    suffix: NDArray[np.uint16],
    lines: NDArray[np.uint16],
    standing: NDArray[np.uint16],
    deepest: NDArray[np.uint16],
) -> None:
    """Fills the rows of ``standing`` and ``deepest`` whose fingers begin within one finger's width from ``start`` on.

    Across the fingers it is van Herk's running minimum: three comparisons a pixel, whatever the window.

    Args:
        turned: (h, w) uint16.
        start: First row of the first finger.
        span: First column, a multiple of BLOCK, and column after the last one.
        half: Half of a finger's rows, pixels.
        length: Number of columns that a finger needs.
        suffix: (2 half + 1, w) uint16, scratch.
        lines: (4, w) uint16, scratch.
        standing: (h, w) uint16.
        deepest: (h, ceil(w / BLOCK)) uint16.
    """
    window = 2 * half + 1
    first, end = span
    count = end - first
    prefix, line = lines[2, :count], lines[3, :count]
    for j in range(count):
        suffix[window - 1, j] = turned[start + window - 1, first + j]
        prefix[j] = _FARTHEST
    for k in range(window - 2, -1, -1):
        _lesser(turned[start + k, first:end], suffix[k + 1, :count], suffix[k, :count])
    for k in range(min(window, len(turned) - window + 1 - start)):
        if k > 0:
            _extend(turned[start + window + k - 1, first:end], suffix[k, :count], prefix, line)
        row = standing[start + k + half, first:end]
        _stand(line if k > 0 else suffix[0, :count], length, lines, row)
        _find_deepest(row, deepest[start + k + half, first // BLOCK :])


@compiled
def make_images(
    source: NDArray[np.uint16],
    geometry: tuple[float, float, float, float, int, int],
    spans: NDArray[np.int64],
    half: int,
    length: int,
    turned: NDArray[np.uint16],
    standing: NDArray[np.uint16],
    deepest: NDArray[np.uint16],
) -> None:
    """Fills the images of one angle, ``standing`` and ``deepest`` on the rows that have a whole finger around them.

    A finger's width of rows is done at a time, so that what is turned lies in the processor's cache when it is eroded:
    on large images the way to the memory takes longer than the work.

    Args:
        source: (H, W) uint16, the relief or its quarter turn.
        geometry: ``cosine``, ``sine``, ``pivot_row``, ``pivot_col``, ``left``, ``top`` of a ``Turn``.
        spans: Columns that are needed, of ``find_spans``.
        half: Half of a finger's rows, pixels.
        length: Number of columns that a finger needs.
        turned: (h, w) uint16, filled.
        standing: (h, w) uint16, filled.
        deepest: (h, ceil(w / BLOCK)) uint16, filled.
    """
    height, width = turned.shape
    window = 2 * half + 1
    suffix, lines = np.empty((window, width), np.uint16), np.empty((4, width), np.uint16)
    steps = np.arange(width).astype(np.float64)
    along, places = (steps * geometry[1], steps * geometry[0]), np.empty(_TILE, np.int32)
    for number in range(len(spans)):
        start, span = number * window, (spans[number, 0], spans[number, 1])
        _turn_rows(source, geometry, along, start, min(height, start + window), span, places, turned)
        # The rows before have all that their fingers reach now; behind the last ones there is nothing more to wait for.
        for ready in range(max(0, number - 1), number + (number == len(spans) - 1)):
            span = spans[ready, 0], spans[ready, 1]
            if span[0] < span[1]:
                _stand_rows(turned, ready * window, span, half, length, suffix, lines, standing, deepest)


@compiled
def find_spans(
    rows: NDArray[np.int64], cols: NDArray[np.int64], reach: tuple[int, int], shape: tuple[int, int], half: int
) -> NDArray[np.int64]:
    """Returns which columns of an angle's images can matter, per finger's width of rows.

    Args:
        rows: (N,) int64, rows of the candidates in the images.
        cols: (N,) int64, their columns.
        reach: Pixels needed around a candidate along and across the closing direction.
        shape: Rows and columns of the images.
        half: Half of a finger's rows, pixels.

    Returns:
        (n, 2) int64, first column, a multiple of BLOCK, and column after the last one of each 2 half + 1 rows; the same
        number twice where none matters.
    """
    window = 2 * half + 1
    spans = np.zeros((-(-shape[0] // window), 2), np.int64)
    spans[:, 0] = shape[1]
    for i in range(len(rows)):
        low, high = cols[i] - reach[0], cols[i] + reach[0] + 1
        for number in range(
            max(0, (rows[i] - reach[1]) // window), min(len(spans), (rows[i] + reach[1]) // window + 1)
        ):
            spans[number, 0], spans[number, 1] = min(spans[number, 0], low), max(spans[number, 1], high)
    for number in range(len(spans)):
        first = max(0, spans[number, 0]) // BLOCK * BLOCK
        spans[number, 0], spans[number, 1] = first, max(first, min(shape[1], spans[number, 1]))
    return spans
