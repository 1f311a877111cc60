"""Polygons that are not convex, cut into triangles that stay within them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Triangles = list[tuple[int, int, int]]

_CORNERS = 2000  # a polygon of more corners is cut as if it were convex: cutting ears takes the square of them


def split_polygon(corners: NDArray[np.float64]) -> Triangles:
    """Returns the triangles of a plane polygon as places in its list of corners, wound as it is.

    A convex polygon is a fan around its first corner. Of others, ears are cut: a corner that turns the polygon's way
    and whose triangle holds no other corner.

    Args:
        corners: (N, 3), in order around the polygon, any unit.

    Source:
        G. H. Meisters, "Polygons have ears", American Mathematical Monthly 82, 1975.
    """
    fan = [(0, i, i + 1) for i in range(1, len(corners) - 1)]
    following = np.roll(corners, -1, axis=0)
    normal = np.cross(corners, following).sum(axis=0)  # Newell's
    if len(fan) < 2 or len(corners) > _CORNERS or not np.isfinite(normal).all() or not normal.any():
        return fan
    drop = int(np.abs(normal).argmax())
    flat = np.delete(corners, drop, axis=1)
    if (normal[drop] > 0) == (drop == 1):  # without y the other two are left-handed
        flat = flat[:, ::-1]
    if (_turns(np.roll(flat, 1, axis=0), flat, np.roll(flat, -1, axis=0)) >= 0).all():
        return fan
    left = list(range(len(flat)))
    found: Triangles = []
    while len(left) > 3:
        ear = _find_ear(flat, left)
        if ear is None:  # it crosses itself
            return fan
        found.append((left[ear - 1], left[ear], left[(ear + 1) % len(left)]))
        del left[ear]
    return [*found, (left[0], left[1], left[2])]


def cut_polygons(counts: NDArray[np.int64], places: NDArray[np.float64]) -> NDArray[np.int64]:
    """Returns polygons as triangles within them: (T, 3) places in the list of all their corners.

    Args:
        counts: Numbers of the corners of each polygon, (P,).
        places: (C, 3) corners of all polygons, one behind the other, any unit.

    Raises:
        ValueError: The counts ask for more corners than there are.
    """
    if len(counts) and (counts.min() < 0 or counts.sum() > len(places)):
        raise ValueError(f"its faces have {counts.sum()} corners, {len(places)} are there")
    starts = np.cumsum(counts) - counts
    result = [(starts[counts == 3][:, None] + [0, 1, 2]).reshape(-1, 3)]
    order = [np.flatnonzero(counts == 3)]
    for polygon in np.flatnonzero(counts > 3):
        start = starts[polygon]
        triangles = np.array(split_polygon(places[start : start + counts[polygon]]))
        result.append(triangles + start)
        order.append(np.full(len(triangles), polygon))
    cut: NDArray[np.int64] = np.concatenate(result)[np.argsort(np.concatenate(order), kind="stable")]
    return cut


def _find_ear(flat: NDArray[np.float64], left: list[int]) -> int | None:
    """Returns the place in ``left`` of a corner that can be cut off; None where there is none."""
    rest = flat[left]
    for place, corner in enumerate(rest):
        before, after = rest[place - 1], rest[(place + 1) % len(rest)]
        if _turns(before, corner, after) <= 0:
            continue
        others = np.ones(len(rest), bool)
        others[[place - 1, place, (place + 1) % len(rest)]] = False
        points = rest[others]
        inside = (_turns(before, corner, points) >= 0) & (_turns(corner, after, points) >= 0)
        inside &= _turns(after, before, points) >= 0
        same = (points == before).all(axis=1) | (points == corner).all(axis=1) | (points == after).all(axis=1)
        if not (inside & ~same).any():
            return place
    return None


def _turns(a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns twice the signed area of the triangles a, b, c; positive where they turn to the left."""
    u, v = np.asarray(b) - a, np.asarray(c) - a
    area: NDArray[np.float64] = u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]
    return area
