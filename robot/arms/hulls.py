"""Meshes of an arm's links as their convex hulls, which PyBullet keeps clear of things and cameras know."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, HalfspaceIntersection, QhullError

from sim.errors import InputError
from sim.files import temporary_file
from sim.objects.reading.collada import read_collada
from sim.objects.reading.scenes import read_scene

FloatArray = NDArray[np.float64]

_LONGEST = 5.0  # metres: no link of an arm is longer
_THIN = 0.0005  # metres that a flat mesh, which has no hull, is thickened to each side
_SAME = 6  # decimals to which two triangles of the hull lie in one plane
_MANY = 200  # sides of a hull above which the least of them are left out
_LOOSE = 0.001  # metres by which the hull may grow thereby, and ...
_SHARE = 1 / 16  # ... the share of its least extent
_BLOCK = 16  # sides that points are compared with at once


class Hull(NamedTuple):
    """A convex body.

    Attributes:
        vertices: (V, 3) float64 corners, metres.
        faces: (F, 3) int32 corners of each triangle, counter-clockwise seen from outside.
        planes: (P, 4) float64: each side's outward unit normal, and minus its distance from the origin, metres. Of
            many sides those stand here that hold the body within 1 mm.
    """

    vertices: FloatArray
    faces: NDArray[np.int32]
    planes: FloatArray

    def depth_inside(self, points: FloatArray) -> FloatArray:
        """Returns how far points (N, 3) lie inside, (N,) metres; negative outside."""
        low, high = self.vertices.min(axis=0), self.vertices.max(axis=0)
        depth: FloatArray = np.minimum(points - low, high - points).min(axis=1)
        near = np.flatnonzero(depth > 0)  # of the points outside the bounds that is all there is to know
        depth[near] = np.inf
        for first in range(0, len(self.planes), _BLOCK):  # points outside a side go no further
            planes = self.planes[first : first + _BLOCK]
            depth[near] = np.minimum(depth[near], -(planes[:, :3] @ points[near].T + planes[:, 3:]).max(axis=0))
            near = near[depth[near] > 0]
        return depth


def hull_file(mesh: Path, scale: FloatArray) -> Path:
    """Returns an OBJ with a mesh's convex hull, metres, that lasts as long as this process.

    Args:
        mesh: File of the mesh.
        scale: (3,) factor on its lengths along its axes.

    Raises:
        InputError: The mesh is missing, cannot be read, or is too long for a link.
    """
    points = _points(mesh) * scale
    longest = float(np.ptp(points, axis=0).max())
    if longest > _LONGEST:
        raise InputError(
            f"mesh {mesh} is {longest:.3g} m long, as if in millimetres; give the <mesh> its scale, "
            'for example scale="0.001 0.001 0.001"'
        )
    hull = _hull(points)
    lines = [f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in hull.vertices]
    lines += [f"f {a} {b} {c}" for a, b, c in hull.faces + 1]
    return temporary_file("\n".join(lines) + "\n", "hull.obj")


@lru_cache(maxsize=256)
def read_hull(file: str) -> Hull:
    """Returns the hull that ``hull_file`` wrote, with few planes."""
    rows = [line.split()[1:] for line in Path(file).read_text().splitlines() if line.startswith("v ")]
    hull = _hull(np.array(rows, np.float64))
    return hull._replace(planes=_main_sides(hull))


def _main_sides(hull: Hull) -> FloatArray:
    """Returns the planes of sides that hold a hull, and nothing farther than ``_LOOSE`` beyond any other side.

    Those of its bounds are the first. Where the body between the sides so far has a corner too far beyond another
    side, that side is added.

    Args:
        hull: A hull with all its planes.

    Returns:
        (P, 4) float64, the coarsest first; all the hull's planes where these are few.
    """
    planes, low, high = hull.planes, hull.vertices.min(axis=0), hull.vertices.max(axis=0)
    allowed = min(_LOOSE, _SHARE * float((high - low).min()))
    sides = np.concatenate([np.c_[np.eye(3), -high], np.c_[-np.eye(3), low]])
    if len(planes) <= _MANY:
        return planes
    while True:
        try:
            corners = HalfspaceIntersection(sides, hull.vertices.mean(axis=0)).intersections
        except QhullError:
            return planes
        beyond = (planes[:, :3] @ corner + planes[:, 3] for corner in corners)
        missed = {int(far.argmax()) for far in beyond if far.max() > allowed}
        if not missed:
            return sides
        sides = np.concatenate([sides, planes[sorted(missed)]])


def _hull(points: FloatArray) -> Hull:
    """Returns the convex hull of points (N, 3), metres; that of a flat set is a thin plate around it."""
    try:
        found = ConvexHull(points)
    except (QhullError, ValueError):
        corners = np.array(np.meshgrid(*[(-_THIN, _THIN)] * 3)).reshape(3, 8).T
        points = (np.unique(points, axis=0)[:, None] + corners).reshape(-1, 3)
        found = ConvexHull(points)
    first, second, third = (points[found.simplices[:, i]] for i in range(3))
    outward = np.cross(second - first, third - first)
    turned = (outward * found.equations[:, :3]).sum(axis=1) < 0
    faces = np.where(turned[:, None], found.simplices[:, ::-1], found.simplices)
    used, numbers = np.unique(faces, return_inverse=True)
    planes = found.equations[np.unique(found.equations.round(_SAME), axis=0, return_index=True)[1]]
    return Hull(np.asarray(points[used], np.float64), numbers.reshape(-1, 3).astype(np.int32), planes)


def _points(mesh: Path) -> FloatArray:
    """Returns the corners of a mesh file's triangles, (N, 3), in its unit, metres of a DAE; raises InputError.

    A DAE's up axis is not looked at, as RViz and MoveIt do not: the author of an arm's URDF has seen it there.
    """
    if mesh.suffix.lower() == ".dae" and mesh.is_file():
        data = re.sub(rb"<asset(\s[^>/]*)?>", rb"\g<0><up_axis>Z_UP</up_axis>", mesh.read_bytes(), count=1)
        try:
            scene = read_collada(data, mesh.parent)
        except InputError as error:
            raise InputError(f"mesh {mesh} {error}") from error
    else:
        scene = read_scene(mesh).scene
    parts = [np.asarray(m.vertices)[np.unique(m.faces)] for m in scene.dump() if isinstance(m, trimesh.Trimesh)]
    points: FloatArray = np.concatenate([np.zeros((0, 3)), *(p for p in parts if len(p))])
    points = np.unique(points[np.isfinite(points).all(axis=1)], axis=0)
    if not len(points):
        raise InputError(f"mesh {mesh} holds no usable triangles; export it as a mesh of triangles")
    return points
