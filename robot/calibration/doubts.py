"""What speaks against a calibration, in sentences."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from robot.calibration.park import Fit, Views, park
from robot.calibration.samples import Sample
from robot.calibration.views import Mount, board_poses, views_of
from sim.errors import InputError
from sim.geometry import make_pose

FloatArray = NDArray[np.float64]
AHEAD = (0.0, 0.0, 0.6)  # m, a place in the camera's frame whose standard error is judged
DOUBTFUL, UNKNOWN = 0.002, 0.01  # m of that error: a doubt, no calibration
SIGNIFICANT, SURE = 2.5, 5.0  # standard errors of the board's size: a doubt, no calibration
SHIFTED = 0.001  # m that a wrong size of the board moves the camera and that nobody minds
ONE_AXIS = 0.5  # degrees of tilt about a second axis, root mean square, which the robot's own error gives


def doubts_about_tilt(views: Views) -> list[str]:
    """Returns a doubt where the views hardly tilt; raises InputError where they do not tilt at all."""
    looks = board_poses(views)[:, 2, :3]  # the camera's axis in the board's frame
    tilt = np.degrees(np.arccos(np.clip(looks @ (looks.mean(0) / np.linalg.norm(looks.mean(0))), -1, 1)))
    spread = float(np.sqrt(np.mean(tilt**2)))
    if spread < 4:
        raise InputError(
            f"the pictures look at the board from one direction (tilts of {spread:.1f} degrees); tilt the hand by "
            "30 degrees and more, to every side"
        )
    cure = "tilt the hand by 30 degrees and more, to every side"
    second = _axes_of_tilt(views)[1]
    if second < ONE_AXIS:
        raise InputError(f"the hand was tilted about one axis only ({second:.1f} degrees about a second one); {cure}")
    return [f"the views tilt by {spread:.0f} degrees only, which multiplies the error; {cure}"] if spread < 15 else []


def _axes_of_tilt(views: Views) -> FloatArray:
    """Returns (3,) by how much the hand turned between two pictures about its main axes, degrees, greatest first."""
    first, second = np.triu_indices(len(views.carriers), 1)
    turns = Rotation.from_matrix((np.linalg.inv(views.carriers[second]) @ views.carriers[first])[:, :3, :3])
    sizes = np.linalg.svd(turns.as_rotvec(degrees=True), compute_uv=False)
    return np.asarray(sizes / math.sqrt(len(first)), np.float64)


def _doubts_about_covariance(found: Fit, views: Views) -> list[str]:
    """Returns a doubt where the views place the camera poorly; raises InputError where they do not place it."""
    error = error_at(found.covariance, AHEAD)
    if error <= DOUBTFUL:
        return []
    greatest, second, _ = _axes_of_tilt(views)
    cause = "the hand was tilted about hardly more than one axis" if second < greatest / 5 else "the hand tilted little"
    text = (
        f"{cause}, so that a point {AHEAD[2]:g} m in front of the camera is known to {1000 * error:.0f} mm only; tilt "
        "it by 30 degrees and more, to every side"
    )
    if error > UNKNOWN:
        raise InputError(text)
    return [text]


def doubts_about_fit(
    found: Fit, views: Views, *, board: tuple[float, float], sigmas: tuple[float, float, float]
) -> list[str]:
    """Returns what the fit's own figures say against it.

    Args:
        found: The fit.
        views: The pictures that it was made from.
        board: The board's size by the robot's poses and its error, as of ``board_scale``.
        sigmas: Errors that were claimed, as of ``fit_jointly``.

    Raises:
        InputError: The figures leave no result.
    """
    doubts = _doubts_about_covariance(found, views)
    doubts += _doubts_about_scale(board, views)
    moved = np.sqrt(np.mean(found.corrections**2, axis=0).reshape(2, 3).mean(1))
    if moved[0] > 2 * sigmas[1] or moved[1] > 2 * sigmas[2]:
        doubts.append(
            f"the robot's poses disagree with the pictures by {1000 * moved[0]:.1f} mm and {np.degrees(moved[1]):.2f} "
            "degrees; check that arm and board stood still, and that poses are the flange's"
        )
    residual = float(np.sqrt(np.mean(found.residuals**2)))
    if residual > 5 * sigmas[0]:
        doubts.append(
            f"corners are off by {residual:.1f} px; check the intrinsics, the light and that the board is flat"
        )
    return doubts


def _doubts_about_scale(board: tuple[float, float], views: Views) -> list[str]:
    """Returns a doubt where the squares are of another size; raises InputError where that makes the result useless.

    A camera that looks at the board's middle from one distance fits any size: squares 1 % too small put it 1 % of the
    distance too near, and no residual grows. Only pictures from several distances tell.
    """
    scale, error = board
    shift = abs(scale - 1) * float(np.median(np.linalg.norm(board_poses(views)[:, :3, 3], axis=1)))
    if abs(scale - 1) <= SIGNIFICANT * error or shift < SHIFTED:
        return []
    text = (
        f"the robot's poses say that the board's squares are {scale:.3f} times as large as given, which puts the "
        f"camera {1000 * shift:.0f} mm wrong; measure ten of them in a row, give square= and marker= so, and check the "
        "camera's focal length"
    )
    if shift > UNKNOWN and abs(scale - 1) > SURE * error:
        raise InputError(text)
    return [text]


def error_at(covariance: FloatArray, point: Sequence[float]) -> float:
    """Returns the standard error of a point in the camera's frame, metres; arguments as of ``HandEye.error_at``."""
    x, y, z = point
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    part = np.hstack([np.eye(3), -cross])
    return float(np.sqrt(np.trace(part @ covariance @ part.T)))


def disagreement(views: Views) -> float:
    """Returns by how much the pictures disagree on the board's place after Park's method, median, metres."""
    boards = board_poses(views)
    camera, board = park(views.carriers, boards)
    return float(np.median(np.linalg.norm((views.carriers @ camera @ boards)[:, :3, 3] - board[:3, 3], axis=1)))


def misfit(samples: Sequence[Sample], mount: Mount, error: float) -> str:
    """Returns the sentence for pictures and poses that do not belong together."""
    other: Mount = "base" if mount == "flange" else "flange"
    views = views_of(samples, other)
    head = f"pictures and poses do not fit together (they disagree by {1000 * error:.0f} mm)"
    if disagreement(views) < error / 4:
        return f"{head}, but they do with mount={other}, or with every pose inverted; poses are T_base_flange"
    if disagreement(views_of([_reordered(sample) for sample in samples], mount)) < error / 4:
        return f"{head}, but they do with every quaternion's first number last; give qx, qy, qz, qw"
    return f"{head}; check that poses are the flange's in the base (metres, radians) and belong to their pictures"


def _reordered(sample: Sample) -> Sample:
    """Returns a picture whose quaternion (w, x, y, z) was read as (x, y, z, w), with the pose that was meant."""
    given = Rotation.from_matrix(sample.flange[:3, :3]).as_quat()
    meant = Rotation.from_quat(np.roll(given, -1)).as_matrix()
    return replace(sample, flange=make_pose(meant, sample.flange[:3, 3]))
