"""Poses and points: 4x4 ``T_a_b`` is the pose of frame b in frame a, so ``p_a = T_a_b @ p_b``."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]


def make_pose(rotation: ArrayLike, translation: ArrayLike) -> FloatArray:
    """Returns the pose with the given rotation and translation.

    Args:
        rotation: (3, 3), whose columns are the axes of frame b in frame a.
        translation: (3,) origin of frame b in frame a, metres.

    Returns:
        (4, 4) float64 T_a_b.
    """
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation, translation
    return pose


def transform(pose: NDArray[np.floating], points: NDArray[np.floating]) -> FloatArray:
    """Returns points in another frame: p_a = R p_b + t.

    Args:
        pose: (4, 4) T_a_b, float64.
        points: (N, 3) floating, frame b, metres.

    Returns:
        (N, 3) float64, frame a, metres.
    """
    moved: FloatArray = points @ pose[:3, :3].T + pose[:3, 3]
    return moved


def look_at(eye: ArrayLike, target: ArrayLike, *, up: ArrayLike = (0.0, 0.0, 1.0)) -> FloatArray:
    """Returns the pose of a camera that looks at a point.

    Args:
        eye: (3,) place of the camera, world frame, metres.
        target: (3,) point on the camera's optical axis, world frame, metres.
        up: (3,) direction that points upwards in the image, world frame; not parallel to the view.

    Returns:
        (4, 4) float64 T_world_camera: x right, y down, z forward.
    """
    forward = np.asarray(target, np.float64) - np.asarray(eye, np.float64)
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, np.asarray(up, np.float64))
    right /= np.linalg.norm(right)
    return make_pose(np.stack([right, np.cross(forward, right), forward], axis=1), eye)
