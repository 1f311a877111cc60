"""Hand-eye calibration in closed form, and the joint fit that starts from it.

F. C. Park and B. J. Martin, "Robot sensor calibration: solving AX = XB on the Euclidean group", IEEE Transactions on
Robotics and Automation 10(5), 1994.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from sim.camera import PinholeCamera
from sim.geometry import make_pose

FloatArray = NDArray[np.float64]


class Fit(NamedTuple):
    """What the joint fit found.

    Attributes:
        camera: (4, 4) T_mount_camera.
        board: (4, 4) T_carrier_board.
        corrections: (N, 6) float64 corrections of the robot's poses: translation, metres, and rotation vector, radians.
        residuals: (C, 2) float64 corners' residuals, pixels, all pictures after each other.
        covariance: (6, 6) of the camera's pose in its own frame: translation, metres, and rotation vector, radians.
    """

    camera: FloatArray
    board: FloatArray
    corrections: FloatArray
    residuals: FloatArray
    covariance: FloatArray


def board_pose(points: FloatArray, pixels: FloatArray, camera: PinholeCamera) -> FloatArray:
    """Returns the pose of a flat board in the camera by a planar solution and its refinement.

    Args:
        points: (N, 3) corners, board frame, metres; N >= 4, on a plane, not on a line.
        pixels: (N, 2) their columns and rows.
        camera: The camera.

    Returns:
        (4, 4) float64 T_camera_board.
    """
    whole = (np.ascontiguousarray(points), np.ascontiguousarray(pixels))  # OpenCV refuses strides
    given = (whole[0].reshape(-1, 1, 3), whole[1].reshape(-1, 1, 2), camera.intrinsics, None)
    _, turn, shift = cv2.solvePnP(*given, flags=cv2.SOLVEPNP_IPPE)
    turn, shift = cv2.solvePnPRefineLM(*given, turn, shift)
    return make_pose(Rotation.from_rotvec(np.ravel(turn)).as_matrix(), np.ravel(shift))


def park(carriers: FloatArray, boards: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Solves A X = X B over all pairs of poses, rotation first.

    Args:
        carriers: (N, 4, 4) poses of what the camera is mounted on, in the frame in which the board stands still.
        boards: (N, 4, 4) T_camera_board of the same moments.

    Returns:
        T_mount_camera and T_carrier_board (the board in the frame in which it stands still), each (4, 4).
    """
    first, second = np.triu_indices(len(carriers), 1)
    a = np.linalg.inv(carriers[second]) @ carriers[first]
    b = boards[second] @ np.linalg.inv(boards[first])
    alpha = Rotation.from_matrix(a[:, :3, :3]).as_rotvec()
    beta = Rotation.from_matrix(b[:, :3, :3]).as_rotvec()
    u, _, v = np.linalg.svd(alpha.T @ beta)
    turn = u @ np.diag([1, 1, np.linalg.det(u @ v)]) @ v
    rows = (a[:, :3, :3] - np.eye(3)).reshape(-1, 3)
    shift = np.linalg.lstsq(rows, (b[:, :3, 3] @ turn.T - a[:, :3, 3]).ravel(), rcond=None)[0]
    camera = make_pose(turn, shift)
    stands = carriers @ camera @ boards
    middle = Rotation.from_matrix(stands[:, :3, :3]).mean().as_matrix()
    return camera, make_pose(middle, np.median(stands[:, :3, 3], axis=0))


def _moved(pose: FloatArray, steps: FloatArray) -> FloatArray:
    """Returns poses (..., 4, 4) moved by (..., 6) steps in their own frames."""
    change = np.zeros((*steps.shape[:-1], 4, 4))
    change[..., :3, 3], change[..., 3, 3] = steps[..., :3], 1
    change[..., :3, :3] = (
        Rotation.from_rotvec(steps[..., 3:].reshape(-1, 3)).as_matrix().reshape(*steps.shape[:-1], 3, 3)
    )
    return pose @ change


class Views(NamedTuple):
    """Pictures in the form that the joint fit wants.

    Attributes:
        carriers: (N, 4, 4) as of ``park``.
        points: For each picture (C, 3) corners, board frame, metres.
        pixels: For each picture (C, 2) their columns and rows.
        cameras: For each picture its camera.
    """

    carriers: FloatArray
    points: Sequence[FloatArray]
    pixels: Sequence[FloatArray]
    cameras: Sequence[PinholeCamera]

    def take(self, chosen: NDArray[np.int64]) -> Views:
        """Returns some of the pictures."""
        rest = ([kept[i] for i in chosen] for kept in (self.points, self.pixels, self.cameras))
        return Views(self.carriers[chosen], *rest)


def fit_jointly(views: Views, start: tuple[FloatArray, FloatArray], sigmas: tuple[float, float, float]) -> Fit:
    """Fits camera, board and a correction of every robot pose to the corners, each weighted by its error.

    The sum of squares is that of pixels / sigma_px, of the corrections' translations / sigma_t and of their rotation
    vectors / sigma_r. Without corrections the fit would blame the camera for the robot's errors; free corrections
    would leave nothing to fit.

    Args:
        views: The pictures.
        start: T_mount_camera and T_carrier_board to start from, as ``park`` returns them.
        sigmas: Errors of a corner, pixels, of the robot's position along each axis, metres, and of its rotation about
            each axis, radians.
    """
    count = len(views.carriers)
    owner = np.repeat(np.arange(count), [len(p) for p in views.points])
    points, pixels = np.concatenate(views.points), np.concatenate(views.pixels)
    lenses = np.stack([c.intrinsics for c in views.cameras])[owner]
    weights = np.r_[np.full(3, sigmas[1]), np.full(3, sigmas[2])]

    def corners(x: FloatArray) -> FloatArray:
        """Takes (..., 12 + 6 N) and returns (..., C, 2)."""
        camera, board = (_moved(s, x[..., None, k : k + 6]) for s, k in zip(start, (0, 6), strict=True))
        carriers = _moved(views.carriers, x[..., 12:].reshape(*x.shape[:-1], count, 6))
        seen = (np.linalg.inv(carriers @ camera) @ board)[..., owner, :, :]
        there = np.einsum("...nij,nj->...ni", seen[..., :3, :3], points) + seen[..., :3, 3]
        there[..., 2] = np.maximum(there[..., 2], 1e-3)
        shown = np.einsum("nij,...nj->...ni", lenses, there)
        return np.asarray(shown[..., :2] / shown[..., 2:] - pixels)

    def residuals(x: FloatArray) -> FloatArray:
        return np.concatenate([corners(x).ravel() / sigmas[0], (x[12:].reshape(count, 6) / weights).ravel()])

    def jacobian(x: FloatArray) -> FloatArray:
        """Takes differences; a correction moves its own picture's corners only, so all pictures step at once."""
        table = np.zeros((2 * len(points) + 6 * count, len(x)))
        steps, rows = np.zeros((18, len(x))), np.arange(2 * len(points)).reshape(-1, 2)
        for k in range(18):
            steps[k, k if k < 12 else slice(k, None, 6)] = 1e-6
        for k, change in enumerate((corners(x + steps) - corners(x)) / (1e-6 * sigmas[0])):
            table[rows, k if k < 12 else (k + 6 * owner)[:, None]] = change
        table[2 * len(points) :, 12:] = np.diag(np.tile(1 / weights, count))
        return table

    scale = np.tile(weights, 2 + count)
    found = least_squares(residuals, np.zeros(12 + 6 * count), jacobian, x_scale=scale, max_nfev=60)
    table = np.asarray(found.jac, np.float64)
    covariance = np.linalg.pinv(table.T @ table)[:6, :6] * max(1.0, 2 * found.cost / (2 * len(points) - 12))
    x = found.x
    return Fit(
        _moved(start[0], x[:6]),
        _moved(start[1], x[6:12]),
        x[12:].reshape(count, 6),
        corners(x),
        np.asarray(covariance, np.float64),
    )


def board_scale(carriers: FloatArray, boards: FloatArray, turn: FloatArray) -> tuple[float, float]:
    """Returns the board's size as the robot's translations see it, as a factor of the given one, and its error.

    All pairs of pictures share their errors, so the standard error is that of the jackknife over pictures.

    Args:
        carriers: (N, 4, 4) as of ``park``; N >= 5.
        boards: (N, 4, 4) T_camera_board by the given size.
        turn: (3, 3) rotation of the camera on its mount.
    """
    count = len(carriers)
    first, second = np.triu_indices(count, 1)
    a = np.linalg.inv(carriers[second]) @ carriers[first]
    b = boards[second] @ np.linalg.inv(boards[first])
    rows = np.concatenate([a[:, :3, :3] - np.eye(3), -(b[:, :3, 3] @ turn.T)[:, :, None]], axis=2)
    normal = np.einsum("pij,pik->pjk", rows, rows)
    wanted = np.einsum("pij,pi->pj", rows, -a[:, :3, 3])

    def scale(taken: NDArray[np.bool_]) -> float:
        return float((np.linalg.pinv(normal[taken].sum(0)) @ wanted[taken].sum(0))[3])

    without = np.array([scale((first != i) & (second != i)) for i in range(count)])
    error = math.sqrt((count - 1) * float(np.mean((without - without.mean()) ** 2)))
    return scale(np.ones(len(first), bool)), error
