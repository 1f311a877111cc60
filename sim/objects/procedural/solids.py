"""Solids with a closed surface and the convex parts that fill it: lofts, turned profiles, vessels, rings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import trimesh
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Solid:
    """A body whose decomposition is known.

    Attributes:
        surface: Watertight mesh, metres, wound counter-clockwise seen from outside.
        parts: Convex watertight meshes, metres, which together fill the surface.
    """

    surface: trimesh.Trimesh
    parts: tuple[trimesh.Trimesh, ...]

    def moved(self, offset: ArrayLike = (0, 0, 0), turn: ArrayLike | None = None) -> Solid:
        """Returns the solid turned, then shifted.

        Args:
            offset: Shift (3,), metres.
            turn: Rotation matrix (3, 3); None for none.
        """
        rotation = np.eye(3) if turn is None else np.asarray(turn, np.float64)
        shift = np.asarray(offset, np.float64)

        def place(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
            return trimesh.Trimesh(mesh.vertices @ rotation.T + shift, mesh.faces, process=False)

        return Solid(place(self.surface), tuple(place(part) for part in self.parts))


def hull(points: ArrayLike) -> trimesh.Trimesh:
    """Returns the convex hull of points (N, 3), metres, wound outwards."""
    found: trimesh.Trimesh = trimesh.convex.convex_hull(np.asarray(points, np.float64).reshape(-1, 3))
    return found


def convex(points: ArrayLike) -> Solid:
    """Returns the solid that is the convex hull of points (N, 3), metres."""
    surface = hull(points)
    return Solid(surface, (surface,))


def circle(radius: float, facets: int, *, squash: float = 1.0) -> FloatArray:
    """Returns a polygon (facets, 2), metres, counter-clockwise, on an ellipse.

    Args:
        radius: Half axis along x, metres.
        facets: Number of corners.
        squash: Half axis along y over that along x.
    """
    angle = 2 * np.pi * (np.arange(facets) + 0.5) / facets
    return radius * np.stack([np.cos(angle), squash * np.sin(angle)], axis=1)


def rectangle(length: float, width: float, radius: float = 0.0) -> FloatArray:
    """Returns a rectangle with rounded corners, (N, 2), metres, counter-clockwise.

    Args:
        length: Side along x, metres.
        width: Side along y, metres.
        radius: Radius of the corners, metres; 0 gives four sharp ones.
    """
    half = np.array([length, width]) / 2
    signs = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]])
    if radius <= 0:
        return signs * half
    arcs = []
    for quarter, sign in enumerate(signs):
        angle = np.pi / 2 * (quarter + np.array([0.0, 1 / 3, 2 / 3, 1.0]))
        arcs.append(sign * (half - radius) + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1))
    return np.concatenate(arcs)


def prism(outline: FloatArray, height: float, *, bevel: float = 0.0) -> Solid:
    """Returns a convex outline (N, 2) raised to a height about z = 0, metres.

    Args:
        outline: Convex polygon, metres.
        height: Height, metres.
        bevel: Width of the bevel along the upper and the lower edge, metres.
    """
    shrink = 1 - bevel / np.abs(outline).max(axis=0) if bevel else np.ones(2)
    low = np.full((len(outline), 1), height / 2)
    inner = [np.hstack([outline * shrink, z * low]) for z in (-1, 1)]
    outer = [np.hstack([outline, z * (low - bevel)]) for z in (-1, 1)] if bevel else []
    return convex(np.concatenate(inner + outer))


def _skin(rings: FloatArray, *, closed: bool) -> trimesh.Trimesh:
    """Returns the surface over rings (N, K, 3), capped at both ends or closed to a loop."""
    count, corners = rings.shape[:2]
    index = np.arange(count * corners).reshape(count, corners)
    lower = index if closed else index[:-1]
    upper = np.roll(index, -1, axis=0) if closed else index[1:]
    a, b, c, d = lower, np.roll(lower, -1, axis=1), np.roll(upper, -1, axis=1), upper
    faces = [np.stack([a, b, c], axis=-1).reshape(-1, 3), np.stack([a, c, d], axis=-1).reshape(-1, 3)]
    vertices = rings.reshape(-1, 3)
    if not closed:
        first, last = len(vertices), len(vertices) + 1
        vertices = np.vstack([vertices, rings[0].mean(axis=0), rings[-1].mean(axis=0)])
        faces.append(np.stack([np.roll(index[0], -1), index[0], np.full(corners, first)], axis=-1))
        faces.append(np.stack([index[-1], np.roll(index[-1], -1), np.full(corners, last)], axis=-1))
    skin = trimesh.Trimesh(vertices, np.concatenate(faces), process=False)
    if skin.volume < 0:
        skin = trimesh.Trimesh(vertices, skin.faces[:, ::-1], process=False)
    return skin


def loft(rings: Sequence[FloatArray] | FloatArray, *, closed: bool = False) -> Solid:
    """Returns the body over convex rings of equally many corners; each pair of neighbours spans one convex part.

    Args:
        rings: Rings (N, K, 3), metres, in order.
        closed: Whether the last ring joins the first.
    """
    stack = np.asarray(rings, np.float64)
    following = np.roll(stack, -1, axis=0) if closed else stack[1:]
    return Solid(_skin(stack, closed=closed), tuple(hull(pair) for pair in zip(stack, following, strict=False)))


def spin(profile: ArrayLike, facets: int) -> FloatArray:
    """Returns the rings (M, facets, 3) that a profile (M, 2) of radius and height, metres, draws about z."""
    unit = circle(1.0, facets)
    return np.stack([np.hstack([r * unit, np.full((facets, 1), z)]) for r, z in np.asarray(profile, np.float64)])


def turned(profile: ArrayLike, facets: int = 24) -> Solid:
    """Returns a solid turned about z. A stretch of the profile that bulges outwards makes one convex part.

    Args:
        profile: Radius (positive) and height of each station, (M, 2), metres, heights growing.
        facets: Number of corners of a ring.
    """
    stations = np.asarray(profile, np.float64)
    rings = spin(stations, facets)
    slopes = np.diff(stations[:, 0]) / np.diff(stations[:, 1])
    starts = [0, *(np.flatnonzero(np.diff(slopes) > 1e-9) + 1), len(stations) - 1]
    parts = tuple(_skin(rings[a : b + 1], closed=False) for a, b in pairwise(starts))
    return Solid(_skin(rings, closed=False), parts)


def filling(profile: ArrayLike, level: float, *, wall: float = 0.001) -> trimesh.Trimesh:
    """Returns what stands in a turned container up to a level.

    Args:
        profile: Outside of the container, as for ``turned``.
        level: Height of the filling as a share of the container's, 0 ... 1.
        wall: Thickness of the wall, metres.
    """
    stations = np.asarray(profile, np.float64)
    low, high = stations[0, 1], stations[-1, 1]
    heights = np.linspace(low, low + level * (high - low), 6)
    radii = np.maximum(np.interp(heights, stations[:, 1], stations[:, 0]) - wall, 0.001)
    return _skin(spin(np.stack([radii, heights], axis=1), 16), closed=False)


def vessel(outer: ArrayLike, inner: ArrayLike, facets: int = 24) -> Solid:
    """Returns an open vessel turned about z; its wall is split into as many sectors as it has facets.

    Args:
        outer: Outside, (M, 2) of radius and height from the foot to the rim, metres.
        inner: Inside, (M, 2), station by station; its first is the edge of the floor.
        facets: Number of sectors.
    """
    outside, inside = spin(outer, facets), spin(inner, facets)
    parts = [hull([outside[0], inside[0]])]
    for low in range(len(outside) - 1):
        wall = np.stack([outside[low], outside[low + 1], inside[low + 1], inside[low]], axis=1)
        parts += [hull(pair) for pair in zip(wall, np.roll(wall, -1, axis=0), strict=True)]
    return Solid(_skin(np.concatenate([outside, inside[::-1]]), closed=False), tuple(parts))


def ring(section: ArrayLike, facets: int = 24, *, stretch: tuple[float, float] = (1.0, 1.0)) -> Solid:
    """Returns a ring about z: a convex section carried around, split into as many sectors as it has facets.

    Args:
        section: Radius and height of the section's corners, (K, 2), metres.
        facets: Number of sectors; 4 make a frame.
        stretch: Factors on x and y.
    """
    rings = np.swapaxes(spin(section, facets), 0, 1) * np.array([*stretch, 1.0])
    return loft(rings, closed=True)


def swept(path: ArrayLike, section: FloatArray, *, sizes: ArrayLike = 1.0) -> Solid:
    """Returns a convex section carried along a path in the plane y = 0.

    Args:
        path: Points (N, 3), metres, y = 0.
        section: Polygon (K, 2), metres: along y, and across the path in its plane.
        sizes: Factor on the section at each point, (N,) or one for all.
    """
    points = np.asarray(path, np.float64)
    along = np.gradient(points, axis=0)
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    across = np.stack([-along[:, 2], np.zeros(len(along)), along[:, 0]], axis=1)
    factors = np.broadcast_to(np.asarray(sizes, np.float64), (len(points),))
    side = np.array([0.0, 1.0, 0.0])
    rings = [
        p + f * (section[:, :1] * side + section[:, 1:] * n) for p, f, n in zip(points, factors, across, strict=True)
    ]
    return loft(rings)


def rounded(radii: ArrayLike, *, power: float = 2.0, facets: int = 16) -> Solid:
    """Returns a superellipsoid, which is convex.

    Args:
        radii: Half axes (3,), metres.
        power: Exponent; 2 is an ellipsoid, larger ones come near a box.
        facets: Number of corners round the middle.
    """
    angle = 2 * np.pi * np.arange(facets) / facets
    around = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    around = np.sign(around) * np.abs(np.round(around, 12)) ** (2 / power)
    latitude = np.linspace(-0.49 * np.pi, 0.49 * np.pi, facets // 2 + 1)
    reach, height = np.cos(latitude) ** (2 / power), np.sign(latitude) * np.abs(np.sin(latitude)) ** (2 / power)
    rings = [np.hstack([r * around, np.full((facets, 1), z)]) for r, z in zip(reach, height, strict=True)]
    surface = _skin(np.asarray(rings) * np.asarray(radii, np.float64), closed=False)
    return Solid(surface, (surface,))


def joined(solids: Iterable[Solid]) -> Solid:
    """Returns several solids as one; where they overlap, the surface runs inside."""
    found = list(solids)
    surface: Any = trimesh.util.concatenate([s.surface for s in found])
    return Solid(surface, tuple(part for s in found for part in s.parts))
