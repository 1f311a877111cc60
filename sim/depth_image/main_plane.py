"""The plane that things stand on in a depth image: found by RANSAC and fitted by least squares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from sim.camera import PinholeCamera
from sim.view import Observation

FloatArray = NDArray[np.float64]
Drawn: TypeAlias = tuple[FloatArray, FloatArray, NDArray[np.int64]]  # planes: normals, offsets, numbers of points

_SAMPLES = 4000  # points that vote
_DRAWS = 250, 750  # planes that are drawn, each through three points; and how many more where none holds ALONE
_NEAR = 0.006  # metres from a plane within which a point supports it, at _AT; a sensor's noise grows with the distance
_AT = 0.6  # metres
_MOST = 1.5  # times that distance up to which the noise is followed
_REFINED = 4  # rounds of least squares
_SAME = np.deg2rad(2), 0.006  # between two planes that are one: their normals, and their distances, metres
_STEEPEST = np.deg2rad(75)  # a plane that leans more is seen as a line: a wall, or a table from its edge
LEVEL = float(np.deg2rad(12))  # of gravity, that a plane may lean where gravity is known
ALONE = 0.45  # share from which on a plane is the main one without a look at others
_APART = np.deg2rad(20)  # between the normals of two sides of a bin
_RIVAL = 0.5  # least share of a bin's other side, of the largest side's
_SIDES = 5  # of a bin, its floor among them
_UNDER = (0.02, 0.15), 0.05  # metres below a side, and the most of what is seen that may lie there
_NEARER = np.deg2rad(5)  # by which the floor's normal is nearer to the others' than a wall's is


@dataclass(frozen=True)
class MainPlane:
    """A plane in the camera's frame.

    Attributes:
        normal: (3,) float64, unit vector towards the camera's side.
        distance: Distance of the camera from the plane, metres.
        scatter: Root mean square of the supporting points' distances from it, metres.
        share: Share of the seen pixels that support it, in [0, 1].
    """

    normal: FloatArray
    distance: float
    scatter: float
    share: float

    @property
    def tilt(self) -> float:
        """Angle between the optical axis and the plane's normal, radians."""
        return float(np.arccos(np.clip(-self.normal[2], -1, 1)))

    def distance_from(self, point: FloatArray) -> float:
        """Returns how far a point (3,) of the camera's frame lies above the plane, metres."""
        return float(point @ self.normal + self.distance)

    def rays(self, camera: PinholeCamera) -> FloatArray:
        """Returns how far each pixel's point at depth 1 lies along the normal, (H, W) float64; negative, away from it.

        A pixel's height over the plane is this times its depth, plus ``distance``, metres.
        """
        m, n = camera.intrinsics, self.normal
        y = (np.arange(camera.height)[:, None] - m[1, 2]) / m[1, 1]
        x = (np.arange(camera.width)[None] - m[0, 2] - m[0, 1] * y) / m[0, 0]
        return np.asarray(n[0] * x + n[1] * y + n[2], np.float64)

    def heights(self, depth: NDArray[np.floating], camera: PinholeCamera) -> NDArray[np.float32]:
        """Returns how far each pixel's point lies above the plane.

        Args:
            depth: (H, W) floating, metres, 0 = missing.
            camera: The camera of the depth image.

        Returns:
            (H, W) float32, metres, negative below the plane; NaN where the depth is missing.
        """
        ray = self.rays(camera).astype(np.float32)
        height = ray * np.where(depth > 0, depth, np.nan).astype(np.float32) + np.float32(self.distance)
        return np.asarray(height, np.float32)


def find_main_plane(
    depth: NDArray[np.floating], camera: PinholeCamera, *, up: FloatArray | None = None, seed: int = 0
) -> MainPlane | None:
    """Returns the plane that most of a depth image shows, as a camera over a table sees it.

    Planes through three random points compete for the points within 6 mm (at 0.6 m, more in proportion to the
    squared distance beyond); the winner is fitted to its points. Planes steeper than 75 degrees against the image do
    not compete, nor do those that lean by more than 12 degrees against gravity, where gravity is known. Where it is
    unknown and no plane holds 45 %, more are drawn, of which only another plane counts; and if the winner is one side
    of a bin, whose walls may show more than its floor, the floor is taken.

    Args:
        depth: (H, W) floating, metres, 0 = missing.
        camera: The camera of the depth image; its pose is not used.
        up: (3,) unit vector against gravity in the camera's frame; None where it is unknown.
        seed: Seed of the random points: an image has one main plane.

    Returns:
        The plane, or None where no plane holds three points.
    """
    rng = np.random.default_rng(seed)
    rows, cols = _some_seen(depth, rng)
    if len(rows) < 3:
        return None
    points = camera.deproject(rows, cols, depth[rows, cols])
    near = _NEAR * np.clip(points[:, 2] / _AT, 1, _MOST) ** 2
    drawn = _drawn(points, near, rng, count=_DRAWS[0], up=up)
    largest = _largest(points, near, drawn)
    if up is not None or (largest is not None and largest.share >= ALONE):
        return largest
    few = None if largest is None else _floor(_sides(largest, points, near, drawn=drawn), points)
    # Three points fall on a side that holds a fifth of a bin once in a hundred draws.
    more = _drawn(points, near, rng, count=_DRAWS[1], up=None)
    normals, offsets, votes = (np.concatenate(pair) for pair in zip(drawn, more, strict=True))
    largest = _largest(points, near, (normals, offsets, votes))
    if largest is None:
        return None
    many = _floor(_sides(largest, points, near, drawn=(normals, offsets, votes)), points)
    return few if few is not None and _are_one(few, many) else many


def _drawn(
    points: FloatArray, near: FloatArray, rng: np.random.Generator, *, count: int, up: FloatArray | None
) -> Drawn:
    """Returns planes through three random points each: normals (K, 3), offsets (K,), numbers of points near them (K,).

    Those that may not compete are left out, so that K is at most ``count``.
    """
    a, b, c = points[rng.integers(len(points), size=(3, count))]
    normals = np.cross(b - a, c - a)
    lengths = np.linalg.norm(normals, axis=1)
    sound = lengths > 1e-9
    normals, a = normals[sound] / lengths[sound, None], a[sound]
    normals *= -np.sign(np.einsum("ij,ij->i", normals, a))[:, None]  # towards the camera
    sound = -normals[:, 2] > np.cos(_STEEPEST)
    if up is not None:
        sound &= normals @ up > np.cos(LEVEL)
    normals, a = normals[sound], a[sound]
    offsets = np.einsum("ij,ij->i", normals, a)
    votes, columns = np.zeros(len(normals), np.int64), points.astype(np.float32).T
    for some in np.array_split(np.arange(len(normals)), max(1, len(normals) // 32)):  # what stays in the cache
        off = normals[some].astype(np.float32) @ columns - offsets[some, None].astype(np.float32)
        votes[some] = np.count_nonzero(np.abs(off) < near, axis=1)
    return normals, offsets, votes


def _are_one(a: MainPlane, b: MainPlane) -> bool:
    return bool(a.normal @ b.normal > np.cos(_SAME[0]) and abs(a.distance - b.distance) < _SAME[1])


def _largest(points: FloatArray, near: FloatArray, drawn: Drawn) -> MainPlane | None:
    """Returns the drawn plane with the most points, fitted to them; None if none was drawn."""
    normals, offsets, votes = drawn
    if not len(votes):
        return None
    best = int(votes.argmax())
    return _refined(points, near, normals[best], float(-offsets[best]))


def main_plane(seen: Observation, least_share: float) -> MainPlane | None:
    """Returns the main plane of an image, across gravity where that is known and such a plane is seen.

    Args:
        seen: The image. Gravity is known where the pose of its camera is not the identity.
        least_share: Share of the seen pixels that a plane across gravity must hold, or any plane is taken.
    """
    pose = seen.camera.pose
    if not np.allclose(pose, np.eye(4)):
        level = find_main_plane(seen.depth, seen.camera, up=pose[2, :3])
        if level is not None and level.share >= least_share:
            return level
    return find_main_plane(seen.depth, seen.camera)


def _sides(largest: MainPlane, points: FloatArray, near: FloatArray, *, drawn: Drawn) -> list[MainPlane]:
    """Returns the largest plane and those that lean against it and each other, and hold half as much or more."""
    normals, offsets, votes = drawn
    sides, votes = [largest], np.where(normals @ largest.normal < np.cos(_APART), votes, 0)
    while len(sides) < _SIDES and votes.max() >= _RIVAL * largest.share * len(points) / 2:  # fitting adds points
        best = int(votes.argmax())
        side = _refined(points, near, normals[best], float(-offsets[best]))
        votes = np.where((normals @ side.normal < np.cos(_APART)) & (np.arange(len(votes)) != best), votes, 0)
        own = all(side.normal @ other.normal < np.cos(_APART) for other in sides)
        if own and side.share >= _RIVAL * largest.share:
            sides.append(side)
    return sides


def _floor(sides: list[MainPlane], points: FloatArray) -> MainPlane:
    """Returns a bin's floor among its sides, the largest first; or the largest, if they are no bin's.

    Nothing lies below a side of a bin. Walls lean against each other by more than each leans against the floor.
    """
    (least, most), share = _UNDER
    under = [points @ side.normal + side.distance for side in sides]
    bare = [bool(np.mean((-height > least) & (-height < most)) < share) for height in under]
    if not bare[0] or sum(bare) < 3:
        return sides[0]
    sides = [side for side, alone in zip(sides, bare, strict=True) if alone]
    normals = np.array([side.normal for side in sides])
    angles = np.arccos(np.clip(normals @ normals.T, -1, 1)).sum(axis=1) / (len(sides) - 1)
    best = int(angles.argmin())
    return sides[best] if angles[best] < angles[0] - _NEARER else sides[0]


def _refined(points: FloatArray, near: FloatArray, normal: FloatArray, distance: float) -> MainPlane:
    """Returns the plane after rounds of least squares over the points that support it."""
    for i in range(_REFINED):
        inside = np.abs(points @ normal + distance) < near * (1.5 if i == 0 else 1.0)
        if inside.sum() < 3:
            break
        chosen = points[inside]
        middle = chosen.mean(axis=0)
        axis = np.linalg.svd((chosen - middle).T @ (chosen - middle))[0][:, 2]
        if axis @ normal < 0:
            axis = -axis
        normal, distance = axis, float(-axis @ middle)
    off = points @ normal + distance
    inside = np.abs(off) < near
    scatter = float(np.sqrt(np.mean(off[inside] ** 2))) if inside.any() else 0.0
    return MainPlane(normal, distance, scatter, float(inside.mean()))


def _some_seen(depth: NDArray[np.floating], rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns rows and columns of random seen pixels, few enough to vote quickly."""
    if depth.size > 4 * _SAMPLES:
        flat = rng.integers(depth.size, size=8 * _SAMPLES)
        flat = flat[depth.ravel()[flat] > 0][:_SAMPLES]
    if depth.size <= 4 * _SAMPLES or len(flat) < _SAMPLES // 8:
        flat = np.flatnonzero(depth > 0)
        flat = rng.permutation(flat)[:_SAMPLES] if len(flat) > _SAMPLES else flat
    rows, cols = np.divmod(flat, depth.shape[1])
    return rows.astype(np.int64), cols.astype(np.int64)
