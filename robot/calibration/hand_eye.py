"""The calibrated pose of a camera, with its error, and the file that keeps it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from robot.calibration.park import Fit, Views, board_pose, board_scale, fit_jointly, park
from robot.calibration.samples import Sample
from sim.camera import PinholeCamera
from sim.errors import POSITIVE, InputError, Limits, check_numbers
from sim.files import atomic_path, write_error

FloatArray = NDArray[np.float64]
Mount = Literal["flange", "base"]
LEAST = 8  # pictures
USELESS = 0.02  # m of held-out error: poses and pictures do not belong together
AHEAD = (0.0, 0.0, 0.6)  # m, a place in the camera's frame whose standard error is judged
DOUBTFUL, UNKNOWN = 0.002, 0.01  # m of that error: a doubt, no calibration
ONE_AXIS = 0.5  # degrees of tilt about a second axis, root mean square, which the robot's own error gives


@dataclass(frozen=True, kw_only=True)
class CalibrationSettings:
    """What the joint fit believes of its measurements, and how it is tested.

    Attributes:
        corner_px: Error of a corner, pixels.
        robot_position: Error of the flange's position along each axis, metres.
        robot_rotation: Error of the flange's rotation about each axis, radians.
        folds: Parts of the held-out test: each is predicted by a fit to the others.
    """

    corner_px: float = 0.2
    robot_position: float = 0.0005
    robot_rotation: float = 0.001
    folds: int = 5

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        limits = dict.fromkeys(("corner_px", "robot_position", "robot_rotation"), POSITIVE)
        parts = Limits("a whole number from 2 to 8", least=2, most=LEAST, whole=True)
        check_numbers("calibration", self, limits | {"folds": parts})

    @property
    def sigmas(self) -> tuple[float, float, float]:
        """The three errors in the joint fit's order."""
        return self.corner_px, self.robot_position, self.robot_rotation


@dataclass(frozen=True, kw_only=True)
class HandEye:
    """Where a camera sits.

    Attributes:
        mount: "flange" (eye in hand) or "base" (eye to hand).
        pose: (4, 4) float64 T_mount_camera, metres; the camera's optical frame.
        covariance: (6, 6) float64 of ``pose`` in the camera's frame: translation, metres, and rotation vector, radians.
        held_out: (N,) float64 error of each picture's corners, predicted by a fit that has not seen it, metres. It
            holds the robot's error at that pose too; residuals of the fit itself are smaller and prove nothing.
        corner_px: Root mean square of the corners' residuals, pixels.
        names: Names of the pictures, in the order of ``held_out``.
        doubts: Sentences on what makes the result less sure.
        residuals: (C, 2) float64 corners' residuals, pixels; empty where read from a file.
        camera: Size and intrinsics of the pictures; None where a file does not tell them.
    """

    mount: Mount
    pose: FloatArray
    covariance: FloatArray
    held_out: FloatArray
    corner_px: float
    names: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()
    residuals: FloatArray = field(default_factory=lambda: np.empty((0, 2)), repr=False)
    camera: PinholeCamera | None = None

    @classmethod
    def fit(
        cls, samples: Sequence[Sample], mount: Mount = "flange", settings: CalibrationSettings | None = None
    ) -> HandEye:
        """Returns the camera's pose by Park's method and the joint fit.

        Pictures that contradict the others are left out, the worst first, and named in ``doubts``.

        Args:
            samples: Pictures of one board that did not move, from at least 8 poses, tilted by 30 degrees and more.
            mount: What carries the camera; on "base" the flange carries the board.
            settings: Errors of the measurements.

        Raises:
            InputError: Too few pictures, too little tilt or tilt about one axis only, or pictures and poses that do not
                belong together.
        """
        settings = settings or CalibrationSettings()
        kept, doubts = list(samples), []
        if len(kept) < LEAST:
            raise InputError(f"{len(kept)} pictures show the board; give at least {LEAST}, better 20")
        views = _views(kept, mount)
        doubts += _doubts_about_tilt(views)
        if (rough := _disagreement(views)) > 2 * USELESS:
            raise InputError(_misfit(kept, mount, rough))
        held = _held_out(views, settings)
        while held.max() > max(0.01, 6 * float(np.median(held))) and len(kept) > max(LEAST, 0.8 * len(samples)):
            worst = kept.pop(int(held.argmax()))
            doubts.append(f"picture {worst.name} is off by {1000 * held.max():.0f} mm and was left out")
            views = _views(kept, mount)
            held = _held_out(views, settings)
        if np.median(held) > USELESS:
            raise InputError(_misfit(kept, mount, float(np.median(held))))
        found = fit_jointly(views, _start(views), settings.sigmas)
        doubts += _doubts_about_fit(found, views, settings)
        return cls(
            mount=mount,
            pose=found.camera,
            covariance=found.covariance,
            held_out=held,
            corner_px=float(np.sqrt(np.mean(np.sum(found.residuals**2, axis=1)))),
            names=tuple(s.name for s in kept),
            doubts=tuple(doubts),
            residuals=found.residuals,
            camera=replace(kept[0].camera, pose=np.eye(4)),
        )

    def camera_pose(self, flange: FloatArray) -> FloatArray:
        """Returns T_base_camera (4, 4) at a flange pose T_base_flange (4, 4), metres."""
        return flange @ self.pose if self.mount == "flange" else self.pose

    def error_at(self, point: Sequence[float]) -> float:
        """Returns the standard error of a point's place by the covariance.

        Args:
            point: (3,) in the camera's frame, metres; for example (0, 0, 0.6).

        Returns:
            Root of the trace of the point's covariance, metres.
        """
        return _error_at(self.covariance, point)

    def describe(self) -> str:
        """Returns the result in words, several lines."""
        held = 1000 * self.held_out
        x, y, z = 1000 * self.pose[:3, 3]
        lines = [
            f"camera on the {self.mount}: x {x:.1f}, y {y:.1f}, z {z:.1f} mm, from {len(held)} pictures",
            f"held-out error of the board: median {np.median(held):.2f} mm, worst {held.max():.2f} mm (robot included)",
            f"standard error of a point 0.6 m in front of the camera: {1000 * self.error_at(AHEAD):.2f} mm",
            f"residuals of the corners: {self.corner_px:.2f} px",
            *(f"doubt: {text}" for text in self.doubts),
        ]
        return "\n".join(lines)

    def save(self, path: Path) -> Path:
        """Writes the calibration as YAML; raises InputError where the file cannot be written."""
        import yaml

        content: dict[str, Any] = {
            f"T_{self.mount}_camera": self.pose.tolist(),
            "covariance": self.covariance.tolist(),
            "held_out": dict(zip(self.names, self.held_out.tolist(), strict=True)),
            "corner_px": self.corner_px,
            "doubts": list(self.doubts),
        }
        if self.camera is not None:
            c = self.camera
            content["camera"] = {"width": c.width, "height": c.height, "intrinsics": c.intrinsics.tolist()}
        head = (
            "# Pose of the camera's optical frame (x right, y down, z forward), metres; held_out in metres a picture.\n"
        )
        try:
            with atomic_path(path) as temporary:
                temporary.write_text(
                    head + yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=100)
                )
        except OSError as error:
            raise write_error(path, error) from error
        return path

    @classmethod
    def load(cls, path: Path) -> HandEye:
        """Reads what ``save`` has written, or a file with nothing but T_flange_camera or T_base_camera.

        Raises:
            InputError: The file cannot be read or holds no rigid pose.
        """
        content = _read(path)
        mounts: list[Mount] = [m for m in get_args(Mount) if f"T_{m}_camera" in content]
        if len(mounts) != 1:
            raise InputError(
                f"{path} holds no T_flange_camera or T_base_camera; write it with `python -m robot calibrate`"
            )
        pose = rigid(content[f"T_{mounts[0]}_camera"], f"T_{mounts[0]}_camera in {path}")
        held, lens = content.get("held_out") or {}, content.get("camera")
        try:
            return cls(
                mount=mounts[0],
                pose=pose,
                covariance=np.array(content.get("covariance", np.full((6, 6), np.nan)), np.float64).reshape(6, 6),
                held_out=np.array(list(held.values()), np.float64),
                corner_px=float(content.get("corner_px", math.nan)),
                names=tuple(map(str, held)),
                doubts=tuple(map(str, content.get("doubts", ()))),
                camera=None if lens is None else _camera(**lens),
            )
        except (TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{path} is damaged ({error}); calibrate again") from error


def _error_at(covariance: FloatArray, point: Sequence[float]) -> float:
    x, y, z = point
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    part = np.hstack([np.eye(3), -cross])
    return float(np.sqrt(np.trace(part @ covariance @ part.T)))


def rigid(numbers: Any, what: str) -> FloatArray:
    """Returns a pose (4, 4) float64; raises InputError where the numbers are no rigid pose."""
    try:
        pose = np.array(numbers, np.float64)
    except (TypeError, ValueError):
        pose = np.empty(0)
    if pose.shape != (4, 4) or not np.isfinite(pose).all():
        raise InputError(f"{what} is no finite 4x4 matrix; give four rows of four numbers")
    turn = pose[:3, :3]
    if (
        not np.allclose(turn @ turn.T, np.eye(3), atol=1e-3)
        or np.linalg.det(turn) < 0
        or (pose[3] != (0, 0, 0, 1)).any()
    ):
        raise InputError(f"{what} is no rigid pose; its rotation must be orthonormal and its last row 0, 0, 0, 1")
    if np.abs(pose[:3, 3]).max() > 10:
        raise InputError(f"{what} lies {np.abs(pose[:3, 3]).max():.0f} m away; give metres, not millimetres")
    return pose


def _camera(width: int, height: int, intrinsics: Any) -> PinholeCamera:
    return PinholeCamera(int(width), int(height), np.array(intrinsics, np.float64))


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give the file that calibrate wrote") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no YAML; give the file that calibrate wrote") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no calibration; give the file that calibrate wrote")
    return content


def _views(samples: Sequence[Sample], mount: Mount) -> Views:
    flanges = np.stack([s.flange for s in samples])
    carriers = np.asarray(flanges if mount == "flange" else np.linalg.inv(flanges), np.float64)
    return Views(carriers, [s.points for s in samples], [s.pixels for s in samples], [s.camera for s in samples])


def _boards(views: Views) -> FloatArray:
    return np.stack([board_pose(*given) for given in zip(views.points, views.pixels, views.cameras, strict=True)])


def _start(views: Views) -> tuple[FloatArray, FloatArray]:
    return park(views.carriers, _boards(views))


def _held_out(views: Views, settings: CalibrationSettings) -> FloatArray:
    """Returns (N,) errors of the corners, metres: each picture's by a fit to the other folds."""
    boards, errors = _boards(views), np.zeros(len(views.carriers))
    every = np.arange(len(errors))
    for fold in range(settings.folds):
        left = every[every % settings.folds == fold]
        seen = every[every % settings.folds != fold]
        found = fit_jointly(views.take(seen), park(views.carriers[seen], boards[seen]), settings.sigmas)
        for i in left:
            place = views.carriers[i] @ found.camera @ boards[i]
            points = np.c_[views.points[i], np.ones(len(views.points[i]))]
            errors[i] = np.sqrt(np.mean(np.sum((points @ (place - found.board).T)[:, :3] ** 2, axis=1)))
    return errors


def _doubts_about_tilt(views: Views) -> list[str]:
    """Returns a doubt where the views hardly tilt; raises InputError where they do not tilt at all."""
    looks = _boards(views)[:, 2, :3]  # the camera's axis in the board's frame
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
    error = _error_at(found.covariance, AHEAD)
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


def _doubts_about_fit(found: Fit, views: Views, settings: CalibrationSettings) -> list[str]:
    doubts = _doubts_about_covariance(found, views)
    scale, error = board_scale(views.carriers, _boards(views), found.camera[:3, :3])
    if abs(scale - 1) > max(0.01, 3 * error):
        doubts.append(
            f"the robot's poses say that the board's squares are {scale:.3f} times as large as given; "
            "measure them, and check the camera's focal length"
        )
    moved = np.sqrt(np.mean(found.corrections**2, axis=0).reshape(2, 3).mean(1))
    if moved[0] > 2 * settings.robot_position or moved[1] > 2 * settings.robot_rotation:
        doubts.append(
            f"the robot's poses disagree with the pictures by {1000 * moved[0]:.1f} mm and {np.degrees(moved[1]):.2f} "
            "degrees; check that arm and board stood still, and that poses are the flange's"
        )
    residual = float(np.sqrt(np.mean(found.residuals**2)))
    if residual > 5 * settings.corner_px:
        doubts.append(
            f"corners are off by {residual:.1f} px; check the intrinsics, the light and that the board is flat"
        )
    return doubts


def _disagreement(views: Views) -> float:
    """Returns by how much the pictures disagree on the board's place after Park's method, median, metres."""
    boards = _boards(views)
    camera, board = park(views.carriers, boards)
    return float(np.median(np.linalg.norm((views.carriers @ camera @ boards)[:, :3, 3] - board[:3, 3], axis=1)))


def _misfit(samples: Sequence[Sample], mount: Mount, error: float) -> str:
    """Returns the sentence for pictures and poses that do not belong together."""
    other: Mount = "base" if mount == "flange" else "flange"
    views = _views(samples, other)
    head = f"pictures and poses do not fit together (they disagree by {1000 * error:.0f} mm)"
    if _disagreement(views) < error / 4:
        return f"{head}, but they do with mount={other}, or with every pose inverted; poses are T_base_flange"
    return f"{head}; check that poses are the flange's in the base (metres, radians) and belong to their pictures"
