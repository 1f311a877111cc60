"""Parts of an image: rows and columns, and how they lie in others."""

from __future__ import annotations

Part = tuple[slice, slice]  # rows and columns of an image, with start and stop, without step


def widen(part: Part, shape: tuple[int, ...], by: int) -> Part:
    """Returns a part with so many pixels more on every side, as far as the image goes.

    Args:
        part: Rows and columns.
        shape: (H, W) of the image.
        by: Number of pixels.
    """
    rows, cols = (slice(max(0, s.start - by), min(n, s.stop + by)) for s, n in zip(part, shape, strict=False))
    return rows, cols


def within(part: Part, outer: Part) -> Part:
    """Returns where a part lies within an outer one."""
    rows, cols = (slice(s.start - o.start, s.stop - o.start) for s, o in zip(part, outer, strict=True))
    return rows, cols
