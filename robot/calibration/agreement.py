"""Which pictures of a calibration agree with each other, where some have a wrong pose."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from robot.calibration.park import Views, fit_jointly, park

FloatArray = NDArray[np.float64]
CONTRADICTS = 0.01  # m, an error of the board's corners that a picture with a right pose never has
_TIMES = 6.0  # as many times the better half's error, where the robot itself is not better than that
_DRAWS, _DRAWN = 300, 4  # with two wrong pictures in five every eighth draw has right ones only


def corner_errors(views: Views, boards: FloatArray, *, camera: FloatArray, board: FloatArray) -> FloatArray:
    """Returns (N,) by how far a camera's and a board's pose put the corners of each picture wrong, metres.

    Args:
        views: The pictures.
        boards: (N, 4, 4) T_camera_board of each.
        camera: (4, 4) T_mount_camera.
        board: (4, 4) T_carrier_board.

    Returns:
        Root mean squares over the corners.
    """
    return _errors([_homogeneous(points) for points in views.points], views.carriers @ camera @ boards - board)


def _homogeneous(points: FloatArray) -> FloatArray:
    return np.asarray(np.c_[points, np.ones(len(points))])


def _errors(corners: Sequence[FloatArray], off: FloatArray) -> FloatArray:
    """Returns ``corner_errors`` of (C, 4) homogeneous corners a picture and (N, 4, 4) differences of the places."""
    errors = [((each @ one.T)[:, :3] ** 2).sum(axis=1).mean() for each, one in zip(corners, off, strict=True)]
    return np.asarray(np.sqrt(errors))


def find_contradictions(
    views: Views, boards: FloatArray, sigmas: tuple[float, float, float]
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Finds the pictures that contradict the others by least median of squares.

    The pose that suits the better half of the pictures best is sought among those that four pictures give (P. J.
    Rousseeuw, "Least median of squares regression", Journal of the American Statistical Association 79, 1984). A
    picture contradicts where it lies over 10 mm and six times that half's error away.

    Args:
        views: N pictures, at least 6.
        boards: (N, 4, 4) T_camera_board of each.
        sigmas: As of ``fit_jointly``.

    Returns:
        (N,) errors of the corners, metres, and (N,) bool, True where a picture agrees.
    """
    rng, best, least = np.random.default_rng(0), np.empty(0), np.inf
    corners = [_homogeneous(points) for points in views.points]
    for _ in range(_DRAWS):
        drawn = rng.choice(len(boards), _DRAWN, replace=False)
        camera, board = park(views.carriers[drawn], boards[drawn])
        errors = _errors(corners, views.carriers @ camera @ boards - board)
        if (middle := _of_the_better_half(errors)) < least:
            best, least = errors, middle
    for _ in range(2):
        half = np.flatnonzero(best <= max(CONTRADICTS, least))
        found = fit_jointly(views.take(half), park(views.carriers[half], boards[half]), sigmas)
        best = corner_errors(views, boards, camera=found.camera, board=found.board)
        least = _of_the_better_half(best)
    return best, best <= max(CONTRADICTS, _TIMES * least)


def _of_the_better_half(errors: FloatArray) -> float:
    """Returns the greatest error of the better half, but of two pictures more than were drawn at least."""
    place = max((len(errors) - 1) // 2, _DRAWN + 1)
    return float(np.partition(errors, place)[place])


def listed(names: Sequence[str], most: int = 6) -> str:
    """Returns names in one line, the first few of many."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
