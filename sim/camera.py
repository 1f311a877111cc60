"""Pinhole and parallel cameras, and where the pinhole camera stands.

Optical frame: x right, y down, z forward. Pixel (row, col), pixel centres at integers.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from sim.errors import COUNT, POSITIVE, InputError, check_numbers
from sim.geometry import make_pose

FloatArray = NDArray[np.float64]


def intrinsics_from_fov(width: int, height: int, fov: float) -> FloatArray:
    """Returns the intrinsic matrix of eq. (1).

    Args:
        width: Image width, pixels.
        height: Image height, pixels.
        fov: Vertical field of view, radians, in (0, pi).

    Returns:
        (3, 3) float64; the principal point is ((width - 1) / 2, (height - 1) / 2).

    Raises:
        InputError: ``fov`` is out of range.
    """
    if not 0 < fov < np.pi:
        raise InputError(f"field of view is {fov} rad; give radians between 0 and pi")
    focal = height / 2 / np.tan(fov / 2)
    return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])


@dataclass(frozen=True)
class PinholeCamera:
    """A pinhole camera without distortion.

    Attributes:
        width: Image width, pixels.
        height: Image height, pixels.
        intrinsics: Intrinsic matrix of eq. (1), (3, 3) float64, pixels.
        pose: Pose T_world_camera, (4, 4) float64, metres.
    """

    width: int
    height: int
    intrinsics: FloatArray
    pose: FloatArray = field(default_factory=lambda: np.eye(4))

    def __post_init__(self) -> None:
        """Checks shapes; raises InputError."""
        check_numbers("camera", self, {"width": COUNT, "height": COUNT})
        intrinsics = np.array(self.intrinsics, dtype=np.float64)
        pose = np.array(self.pose, dtype=np.float64)
        if intrinsics.shape != (3, 3) or not np.isfinite(intrinsics).all():
            raise InputError(f"intrinsics must be a finite 3x3 matrix, not shape {intrinsics.shape}")
        if intrinsics[0, 0] <= 0 or intrinsics[1, 1] <= 0:
            raise InputError("intrinsics must have positive focal lengths")
        if pose.shape != (4, 4) or not np.isfinite(pose).all():
            raise InputError(f"camera pose must be a finite 4x4 matrix, not shape {pose.shape}")
        object.__setattr__(self, "intrinsics", intrinsics)
        object.__setattr__(self, "pose", pose)

    @classmethod
    def from_fov(
        cls, width: int = 640, height: int = 480, fov: float = np.pi / 3, pose: ArrayLike | None = None
    ) -> PinholeCamera:
        """Returns the camera of eq. (1).

        Args:
            width: Image width, pixels.
            height: Image height, pixels.
            fov: Vertical field of view, radians, in (0, pi).
            pose: (4, 4) T_world_camera, metres; the identity where left out.

        Raises:
            InputError: ``fov`` is out of range, or the pose is no finite 4x4 matrix.
        """
        matrix = np.eye(4) if pose is None else np.asarray(pose, dtype=np.float64)
        return cls(width, height, intrinsics_from_fov(width, height, fov), matrix)

    def deproject(self, rows: ArrayLike, cols: ArrayLike, depth: ArrayLike) -> FloatArray:
        """Returns the points seen by pixels by eq. (12), t = depth * M^-1 [col, row, 1].

        Eq. (12) as printed divides by the depth.

        Args:
            rows: (N,) pixel rows, may be fractional.
            cols: (N,) pixel columns, may be fractional.
            depth: (N,) depth along the optical axis, metres.

        Returns:
            (N, 3) float64, camera frame, metres.
        """
        r, c, z = np.broadcast_arrays(
            np.asarray(rows, np.float64), np.asarray(cols, np.float64), np.asarray(depth, np.float64)
        )
        m = self.intrinsics
        y = (r - m[1, 2]) / m[1, 1]
        x = (c - m[0, 2] - m[0, 1] * y) / m[0, 0]
        return np.stack([x * z, y * z, z], axis=-1).reshape(-1, 3)

    def project(self, points: ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Returns where points appear in the image.

        Args:
            points: (N, 3), camera frame, metres, z > 0.

        Returns:
            ``rows``, ``cols`` (N,) float64 pixels, and ``depth`` (N,) float64 metres.
        """
        p = np.asarray(points, np.float64).reshape(-1, 3)
        q = p @ self.intrinsics.T
        return q[:, 1] / q[:, 2], q[:, 0] / q[:, 2], p[:, 2].copy()


@dataclass(frozen=True)
class ParallelCamera:
    """The parallel (orthographic) camera of eqs. (11), (13), in the pinhole camera's frame.

    Attributes:
        pixels_per_metre: Resolution eta, pixels per metre; the paper's is 5,000.
        height: Image height, pixels.
        width: Image width, pixels.
    """

    pixels_per_metre: float = 5000.0
    height: int = 3000
    width: int = 3000

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        limits = {"pixels_per_metre": POSITIVE, "height": COUNT, "width": COUNT}
        check_numbers("parallel camera", self, limits)

    @classmethod
    def covering(cls, pixels_per_metre: float, side: float = 0.6) -> ParallelCamera:
        """Returns a square camera around the optical axis.

        Args:
            pixels_per_metre: Resolution eta.
            side: Side of the square that it sees, metres.
        """
        pixels = round(pixels_per_metre * side)
        return cls(pixels_per_metre, pixels, pixels)

    def project(self, points: ArrayLike) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Returns where points appear in the image, by eq. (11).

        Args:
            points: (N, 3), camera frame, metres.

        Returns:
            ``rows``, ``cols`` (N,) float64 pixels, and ``depth`` (N,) float64 metres.
        """
        p = np.asarray(points, np.float64).reshape(-1, 3)
        eta = self.pixels_per_metre
        return eta * p[:, 1] + (self.height - 1) / 2, eta * p[:, 0] + (self.width - 1) / 2, p[:, 2].copy()

    def deproject(self, rows: ArrayLike, cols: ArrayLike, depth: ArrayLike) -> FloatArray:
        """Returns the points seen by pixels, by eq. (13).

        Args:
            rows: (N,) pixel rows, may be fractional.
            cols: (N,) pixel columns, may be fractional.
            depth: (N,) depth along the optical axis, metres.

        Returns:
            (N, 3) float64, camera frame, metres.
        """
        r, c, z = np.broadcast_arrays(
            np.asarray(rows, np.float64), np.asarray(cols, np.float64), np.asarray(depth, np.float64)
        )
        eta = self.pixels_per_metre
        x = (c - (self.width - 1) / 2) / eta
        y = (r - (self.height - 1) / 2) / eta
        return np.stack([x, y, z], axis=-1).reshape(-1, 3)


def warn_unseen(camera: PinholeCamera, height: float, floor: float) -> None:
    """Warns where a camera straight above a tray's centre does not see all of its floor.

    Args:
        camera: Size and intrinsics of the camera; its pose does not matter.
        height: Height of the camera over the floor, metres.
        floor: Side of the tray's floor, metres.
    """
    m = camera.intrinsics
    beside = min(m[0, 2] + 0.5, camera.width - 0.5 - m[0, 2]) / m[0, 0]
    half = height * min(beside, min(m[1, 2] + 0.5, camera.height - 0.5 - m[1, 2]) / m[1, 1])
    if 0 < half < floor / 2:
        enough = np.ceil(100 * height * floor / 2 / half) / 100
        warnings.warn(
            f"the camera at {height:g} m sees {2 * half:.2f} m of the tray's floor of {floor:g} m; what lies beyond "
            f"gets no grasps and no labels: give camera_height={enough:g}, or a wider camera.fov",
            stacklevel=3,
        )


def overhead_pose(height: float) -> FloatArray:
    """Returns T_i of eq. (2): (4, 4) T_world_camera, straight above the tray's centre.

    Args:
        height: Height of the camera over the tray's floor, metres.

    Returns:
        (4, 4) float64; image right is world x, image down is world -y.
    """
    return make_pose(np.diag([1.0, -1.0, -1.0]), (0, 0, height))


def offset_pose(height: float, offset: ArrayLike) -> FloatArray:
    """Returns T = T_i T_o of eq. (2): shifted as in eq. (3), then turned onto the tray's centre.

    Eq. (4) as printed misses the centre by 21 cm. Here the shortest rotation that puts the
    optical axis exactly through the centre is taken, which adds no roll.

    Args:
        height: Height of the camera over the tray's floor, metres.
        offset: (2,) shift along the camera's x and y, eq. (3)'s 2 l alpha - l, metres.

    Returns:
        (4, 4) float64 T_world_camera.
    """
    shift = np.asarray(offset, np.float64)
    to_centre = np.array([-shift[0], -shift[1], height])
    to_centre /= np.linalg.norm(to_centre)
    axis = np.cross([0.0, 0.0, 1.0], to_centre)
    sine = np.linalg.norm(axis)
    angle = np.arctan2(sine, to_centre[2])
    turn = Rotation.from_rotvec(axis / sine * angle).as_matrix() if sine > 0 else np.eye(3)
    return overhead_pose(height) @ make_pose(turn, (*shift, 0.0))


def random_view_pose(rng: np.random.Generator, height: float, max_offset: float) -> FloatArray:
    """Returns a random view of eqs. (2)-(4).

    Args:
        rng: Source of randomness.
        height: Height of the camera over the tray's floor, metres.
        max_offset: Largest offset l along the camera's x and along its y, both uniform, metres.

    Returns:
        (4, 4) float64 T_world_camera.
    """
    return offset_pose(height, rng.uniform(-max_offset, max_offset, 2))
