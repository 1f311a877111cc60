"""Things that the camera saw and no pose explains: what they hide is not known, and the hand must not go through them.

A pixel is foreign where the measured depth is nearer than all that is rendered around it. "Around" is what keeps true
poses free of it: beside an object's rim cameras measure the object a few pixels too far out, and a pose that passes its
check may be off by as much.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from labeler.labels import GraspLabels
from sim.camera import PinholeCamera
from sim.geometry import FloatArray
from sim.gripper import GripperGeometry

_RIM = 0.004  # metres around a rendered surface on which it may be measured
_SPECKLE = 3  # pixels across: what is smaller is noise
_CELL = 0.003  # metres: side of a cell of the map of foreign things
_STEP = 0.002  # metres between a hand's samples: a cell's inner circle holds one, however the hand is turned
_AT_ONCE = 4000  # labels

FloatImage = NDArray[np.float32]


def find_foreign(
    rendered: FloatImage, measured: FloatImage, camera: PinholeCamera, *, within: float
) -> NDArray[np.bool_]:
    """Returns where the camera saw a thing in front of all that is rendered.

    Args:
        rendered: (H, W) rendered depth, metres, 0 = nothing.
        measured: (H, W) measured depth, metres, 0 = missing.
        camera: The camera.
        within: Difference of depth that counts as agreement, metres.

    Returns:
        (H, W) bool.
    """
    if not (rendered > 0).any():
        return np.zeros(rendered.shape, np.bool_)
    rim = max(1, round(_RIM * float(camera.intrinsics[0, 0]) / float(np.median(rendered[rendered > 0]))))
    surface = np.where(rendered > 0, rendered, np.float32(np.inf)).astype(np.float32)
    nearest = cv2.erode(surface, np.ones((2 * rim + 1, 2 * rim + 1), np.uint8))
    nearer = ((measured > 0) & (measured < nearest - within)).astype(np.uint8)
    whole = cv2.morphologyEx(nearer, cv2.MORPH_OPEN, np.ones((_SPECKLE, _SPECKLE), np.uint8))
    return np.asarray(whole > 0)


def meets_foreign(
    labels: GraspLabels,
    foreign: NDArray[np.bool_],
    *,
    rendered: FloatImage,
    measured: FloatImage,
    camera: PinholeCamera,
    gripper: GripperGeometry,
    angles: int,
) -> NDArray[np.bool_]:
    """Returns which labels lie on a foreign thing, or have a hand that meets one on its way down.

    The hand comes along the camera's axis. Fingers and all between them meet what is nearer than the tips, the palm
    what is nearer than the palm.

    Args:
        labels: N labels of the rendered view.
        foreign: (H, W), see ``find_foreign``.
        rendered: (H, W) rendered depth, metres.
        measured: (H, W) measured depth, metres.
        camera: The camera.
        gripper: The hand.
        angles: K, number of angle bins.

    Returns:
        (N,) bool.
    """
    met = np.asarray(foreign[labels.row, labels.col])
    rest = np.flatnonzero(~met)
    if not foreign.any() or not len(rest):
        return met
    grasps = labels[rest].to_pixel_grasps(angles).to_poses(rendered, camera)
    rows, cols = np.nonzero(foreign)
    points = camera.deproject(rows, cols, measured[rows, cols])
    g, tips = gripper, grasps.translation
    fingers = np.stack([grasps.width / 2 + g.finger_thickness, np.full(len(grasps), g.finger_width / 2)], axis=1)
    palm = np.broadcast_to([g.palm_width / 2, g.palm_thickness / 2], fingers.shape)
    axes = grasps.rotation[:, :2, :2]
    for halves, depth in ((fingers, tips[:, 2]), (palm, tips[:, 2] - g.finger_length)):
        met[rest] |= _covers(points, np.column_stack([tips[:, :2], depth]), axes, halves)
    return met


def _covers(points: FloatArray, centres: FloatArray, axes: FloatArray, halves: FloatArray) -> NDArray[np.bool_]:
    """Returns which rectangles, seen along z, have a point in front of them.

    Args:
        points: (P, 3), metres.
        centres: (N, 3) middles of the rectangles, metres.
        axes: (N, 2, 2) unit vectors along their sides, as columns.
        halves: (N, 2) halves of their sides, metres.
    """
    reach = float(np.hypot(*halves.max(axis=0)))
    least = centres[:, :2].min(axis=0) - reach - _CELL
    shape = np.ceil((centres[:, :2].max(axis=0) + reach + _CELL - least) / _CELL).astype(int) + 1
    cells = np.floor((points[:, :2] - least) / _CELL).astype(int)
    inside = ((cells >= 0) & (cells < shape)).all(axis=1)
    nearest = np.full(shape, np.inf)
    np.minimum.at(nearest, tuple(cells[inside].T), points[inside, 2])
    covered = np.zeros(len(centres), np.bool_)
    if not inside.any():
        return covered
    away = cv2.distanceTransform(np.isinf(nearest).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) * _CELL
    own = np.floor((centres[:, :2] - least) / _CELL).astype(int)
    near = np.flatnonzero(away[own[:, 0], own[:, 1]] <= reach + 2 * _CELL)
    sides = [np.linspace(-h, h, int(np.ceil(2 * h / _STEP)) + 1) for h in halves.max(axis=0).tolist()]
    grid = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, 2)
    for some in (near[i : i + _AT_ONCE] for i in range(0, len(near), _AT_ONCE)):
        samples = np.einsum("nij,sj->nsi", axes[some], grid) + centres[some, None, :2]
        at = np.floor((samples - least) / _CELL).astype(int)
        part = (np.abs(grid)[None] <= halves[some, None] + 1e-9).all(axis=2)
        covered[some] = (part & (nearest[at[..., 0], at[..., 1]] < centres[some, None, 2])).any(axis=1)
    return covered
