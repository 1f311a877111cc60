"""The calibrated pose of a camera, with its error, and the file that keeps it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from robot.calibration.agreement import CONTRADICTS, corner_errors, find_contradictions, listed
from robot.calibration.doubts import AHEAD, disagreement, doubts_about_fit, doubts_about_tilt, error_at, misfit
from robot.calibration.park import Views, board_scale, fit_jointly, park
from robot.calibration.samples import Sample
from robot.calibration.views import Mount, board_poses, views_of
from sim.camera import PinholeCamera
from sim.errors import POSITIVE, InputError, Limits, check_numbers
from sim.files import atomic_path, write_error

FloatArray = NDArray[np.float64]
LEAST = 8  # pictures
USELESS = 0.02  # m of held-out error: poses and pictures do not belong together
AGREEING = 0.6  # share of the pictures that must agree with each other


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
        limits = {
            "corner_px": POSITIVE,
            "robot_position": Limits("metres, at most 0.05", most=0.05, without_least=True),
            "robot_rotation": Limits("radians, at most 0.2", most=0.2, without_least=True),
        }
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
        board_scale: The board's size by the robot's poses as a factor of the given one, and its standard error; NaN
            where a file does not tell them.
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
    board_scale: tuple[float, float] = (math.nan, math.nan)

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
        if len(samples) < LEAST:
            raise InputError(f"{len(samples)} pictures show the board; give at least {LEAST}, better 20")
        views = views_of(samples, mount)
        doubts = doubts_about_tilt(views)
        kept, held, left = _agreeing(samples, mount, settings)
        views = views_of(kept, mount)
        if np.median(held) > USELESS:
            raise InputError(misfit(kept, mount, float(np.median(held))))
        doubts += left
        found = fit_jointly(views, _start(views), settings.sigmas)
        scale = board_scale(views.carriers, board_poses(views), found.camera[:3, :3])
        doubts += doubts_about_fit(found, views, board=scale, sigmas=settings.sigmas)
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
            board_scale=scale,
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
        return error_at(self.covariance, point)

    def describe(self) -> str:
        """Returns the result in words, several lines."""
        held = 1000 * self.held_out
        x, y, z = 1000 * self.pose[:3, 3]
        lines = [
            f"camera on the {self.mount}: x {x:.1f}, y {y:.1f}, z {z:.1f} mm, from {len(held)} pictures",
            f"held-out error of the board: median {np.median(held):.2f} mm, worst {held.max():.2f} mm (robot included)",
            f"standard error of a point 0.6 m in front of the camera: {1000 * self.error_at(AHEAD):.2f} mm",
            f"residuals of the corners: {self.corner_px:.2f} px",
            *self._size_of_the_board(),
            *(f"doubt: {text}" for text in self.doubts),
        ]
        return "\n".join(lines)

    def _size_of_the_board(self) -> list[str]:
        scale, error = self.board_scale
        if math.isnan(scale):
            return []
        return [
            f"size of the board by the robot's poses: {scale:.3f} +- {error:.3f} of the given one; each percent moves "
            "the camera by a percent of its distance, unseen by the errors above"
        ]

    def save(self, path: Path) -> Path:
        """Writes the calibration as YAML; raises InputError where the file cannot be written."""
        import yaml

        content: dict[str, Any] = {
            f"T_{self.mount}_camera": self.pose.tolist(),
            "covariance": self.covariance.tolist(),
            "held_out": dict(zip(self.names, self.held_out.tolist(), strict=True)),
            "corner_px": self.corner_px,
            "board_scale": list(self.board_scale),
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
                board_scale=_pair(content.get("board_scale", (math.nan, math.nan))),
            )
        except (TypeError, ValueError, AttributeError) as error:
            raise InputError(f"{path} is damaged ({error}); calibrate again") from error


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


def _pair(numbers: Any) -> tuple[float, float]:
    scale, error = numbers
    return float(scale), float(error)


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


def _start(views: Views) -> tuple[FloatArray, FloatArray]:
    return park(views.carriers, board_poses(views))


def _held_out(views: Views, settings: CalibrationSettings) -> FloatArray:
    """Returns (N,) errors of the corners, metres: each picture's by a fit to the other folds."""
    boards, errors = board_poses(views), np.zeros(len(views.carriers))
    every = np.arange(len(errors))
    for fold in range(settings.folds):
        left = every[every % settings.folds == fold]
        seen = every[every % settings.folds != fold]
        found = fit_jointly(views.take(seen), park(views.carriers[seen], boards[seen]), settings.sigmas)
        errors[left] = corner_errors(views.take(left), boards[left], camera=found.camera, board=found.board)
    return errors


def _agreeing(
    samples: Sequence[Sample], mount: Mount, settings: CalibrationSettings
) -> tuple[list[Sample], FloatArray, list[str]]:
    """Returns the pictures that agree with each other, their held-out errors, and a doubt for each other one.

    Raises:
        InputError: Too few agree, or pictures and poses do not belong together.
    """
    views = views_of(samples, mount)
    rough = disagreement(views)
    if rough <= 2 * USELESS and (held := _held_out(views, settings)).max() <= CONTRADICTS:
        return list(samples), held, []
    errors, agrees = find_contradictions(views, board_poses(views), settings.sigmas)
    if float(np.median(errors)) > USELESS:
        raise InputError(misfit(samples, mount, rough))
    worst = np.argsort(-errors)
    names = [samples[i].name for i in worst if not agrees[i]]
    kept = [sample for sample, right in zip(samples, agrees, strict=True) if right]
    if names and len(kept) < max(LEAST, AGREEING * len(samples)):
        raise InputError(
            f"only {len(kept)} of {len(samples)} pictures agree with each other, and {listed(names)} "
            f"contradict{'s' if len(names) == 1 else ''} them by up to {1000 * errors.max():.0f} mm; check that arm "
            f"and board stood still and that every pose belongs to its picture, and give at least {LEAST} that agree"
        )
    doubts = [
        f"picture {samples[i].name} is off by {1000 * errors[i]:.0f} mm and was left out"
        for i in worst
        if not agrees[i]
    ]
    return kept, _held_out(views_of(kept, mount), settings), doubts
