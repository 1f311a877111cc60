"""Where the table is under posed objects, seen by a camera whose place in the world nobody noted."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError

from sim.camera import PinholeCamera
from sim.depth_image.main_plane import find_main_plane
from sim.errors import InputError
from sim.geometry import FloatArray, make_pose

_AROUND = 0.35  # metres from an object's middle: there its table is sought
_RIM = 9  # pixels around objects that are left out: their depth is of both
_LEAST = 400  # pixels of table, for a plane to be fitted
_SUNK, _AFLOAT = 0.02, 0.03  # metres that the lowest object may lie under or over a fitted plane
_TOUCH = 0.005  # metres within which an object touches a plane under all of them


def place_world(
    depth: NDArray[np.float32], shown: NDArray[np.bool_], camera: PinholeCamera, *, surfaces: Sequence[FloatArray]
) -> tuple[FloatArray, str]:
    """Returns a world whose floor is the table: fitted to the depth around the objects, or laid under them.

    Args:
        depth: (H, W) measured depth, metres, 0 = missing.
        shown: (H, W) which pixels show an object.
        camera: The camera; its pose is not used.
        surfaces: Vertices (V, 3) of every object, camera frame, metres.

    Returns:
        (4, 4) T_camera_world, metres: z away from the table, the origin under the objects' middle; and how it was
        found, "fitted" or "lowest points".

    Raises:
        InputError: There is neither a plane around the objects nor one under them.
    """
    points = np.concatenate(surfaces)
    middle = np.mean([p.mean(axis=0) for p in surfaces], axis=0)
    rim = cv2.dilate(shown.astype(np.uint8), np.ones((2 * _RIM + 1, 2 * _RIM + 1), np.uint8)) > 0
    rows, cols = np.nonzero((depth > 0) & ~rim)
    around = camera.deproject(rows, cols, depth[rows, cols])
    centres = np.array([p.mean(axis=0) for p in surfaces])
    near = np.zeros(len(around), bool)
    for centre in centres:
        near |= np.linalg.norm(around - centre, axis=1) < _AROUND
    table = np.zeros_like(depth)
    table[rows[near], cols[near]] = depth[rows[near], cols[near]]
    plane = find_main_plane(table, camera) if near.sum() >= _LEAST else None
    if plane is not None:
        lowest = float((points @ plane.normal + plane.distance).min())
        if -_SUNK <= lowest <= _AFLOAT:
            return _world(plane.normal, plane.distance, middle), "fitted"
    normal, distance = _under(points, surfaces)
    return _world(normal, distance, middle), "lowest points"


def _under(points: FloatArray, surfaces: Sequence[FloatArray]) -> tuple[FloatArray, float]:
    """Returns the plane under all objects that touches most of them: unit normal towards the camera, and distance."""
    try:
        hull = ConvexHull(points)
    except QhullError:
        raise InputError("the table cannot be found: no plane lies around or under its objects") from None
    normals, offsets = -hull.equations[:, :3], -hull.equations[:, 3]
    behind = np.flatnonzero(-normals[:, 2] > 0.25)  # faces turned away from the camera
    if not len(behind):
        raise InputError("the table cannot be found: no plane lies around or under its objects")
    touched = np.array([[(s @ normals[i] + offsets[i]).min() < _TOUCH for s in surfaces] for i in behind]).sum(axis=1)
    corners = points[hull.simplices[behind]]
    areas = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    best = behind[np.lexsort((areas, touched))[-1]]
    return normals[best], float(offsets[best])


def _world(normal: FloatArray, distance: float, middle: FloatArray) -> FloatArray:
    """Returns T_camera_world of a plane, x to the right of the picture, the origin under a point."""
    right = np.array([1.0, 0.0, 0.0]) - normal[0] * normal
    right /= np.linalg.norm(right)
    return make_pose(
        np.stack([right, np.cross(normal, right), normal], axis=1), middle - (middle @ normal + distance) * normal
    )
