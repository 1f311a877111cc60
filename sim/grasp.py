"""Grasps in the image and in space, and the one rule for how deep a grasp goes.

Grasp frame: origin midway between the finger tips, x along the closing direction, z along
the approach, y = z x x. Angles are counter-clockwise as the image is seen, in [0, pi).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.camera import PinholeCamera
from sim.depth_image.free_depth import FreeDepth
from sim.errors import InputError
from sim.geometry import transform
from sim.gripper import GripperGeometry
from sim.view import check_depth_image

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def angle_to_bin(angle: ArrayLike, bins: int) -> IntArray:
    """Returns k = round(angle K / pi) mod K: bins are centred on k pi / K; ``angle`` in radians."""
    return np.round(np.asarray(angle, np.float64) * bins / np.pi).astype(np.int64) % bins


def bin_to_angle(angle_bin: ArrayLike, bins: int) -> FloatArray:
    """Returns the centre k pi / K of each angle bin, radians in [0, pi)."""
    return np.asarray(angle_bin, np.float64) * np.pi / bins


def rotations_from_angles(angle: ArrayLike) -> FloatArray:
    """Returns eq. (9): (N, 3, 3) float64, grasp axes as columns in the camera frame; ``angle`` (N,) rad."""
    theta = np.atleast_1d(np.asarray(angle, np.float64))
    rotation = np.zeros((len(theta), 3, 3))
    rotation[:, 0, 0] = rotation[:, 1, 1] = np.cos(theta)
    rotation[:, 0, 1] = np.sin(theta)
    rotation[:, 1, 0] = -np.sin(theta)
    rotation[:, 2, 2] = 1
    return rotation


@dataclass(frozen=True)
class PixelGrasps:
    """N grasps of eq. (7), in one image.

    Attributes:
        row: Rows, (N,) int64, pixels.
        col: Columns, (N,) int64, pixels.
        depth: Distance that the tips go below the surface at the pixel, (N,) float64, metres.
        angle: Angle theta, (N,) float64, radians, taken modulo pi into [0, pi).
        width: Opening between the inner finger faces on the way down, (N,) float64, metres.
        quality: Quality, (N,) float64 in [0, 1].
    """

    row: IntArray
    col: IntArray
    depth: FloatArray
    angle: FloatArray
    width: FloatArray
    quality: FloatArray

    def __post_init__(self) -> None:
        """Converts to the stated dtypes; raises InputError where lengths differ."""
        for f in fields(self):
            dtype = np.int64 if f.name in ("row", "col") else np.float64
            object.__setattr__(self, f.name, np.atleast_1d(np.asarray(getattr(self, f.name), dtype)))
        # A tiny negative angle modulo pi is pi itself in floats: bring it to 0.
        angle = np.mod(self.angle, np.pi)
        object.__setattr__(self, "angle", np.where(angle >= np.pi, 0.0, angle))
        sizes = {f.name: getattr(self, f.name).shape for f in fields(self)}
        if len(set(sizes.values())) != 1:
            raise InputError(f"grasp arrays must have one length, not {sizes}")

    def __len__(self) -> int:
        """Number of grasps."""
        return len(self.row)

    def __getitem__(self, index: Any) -> PixelGrasps:
        """Returns the grasps that a NumPy index, slice or mask picks."""
        return PixelGrasps(**{f.name: np.atleast_1d(getattr(self, f.name)[index]) for f in fields(self)})

    def to_poses(self, depth_image: NDArray[np.floating], camera: PinholeCamera) -> GraspPoses:
        """Returns 6-DOF grasps in the camera frame by eq. (9) and eq. (8), t = I(p) M^-1 [p; 1] + [0, 0, d].

        Eq. (8) as printed divides by I(p).

        Args:
            depth_image: (H, W) floating, metres, 0 = missing.
            camera: Camera that took the image.

        Raises:
            InputError: A grasp lies outside the image or on a pixel without depth.
        """
        check_depth_image(depth_image)
        height, width = depth_image.shape
        inside = (self.row >= 0) & (self.row < height) & (self.col >= 0) & (self.col < width)
        if not inside.all():
            bad = int(np.argmin(inside))
            raise InputError(f"grasp at row {self.row[bad]}, col {self.col[bad]} is outside the {height}x{width} image")
        surface = depth_image[self.row, self.col].astype(np.float64)
        if len(surface) and surface.min() <= 0:
            bad = int(np.argmin(surface))
            raise InputError(f"no depth at the grasp's pixel, row {self.row[bad]}, col {self.col[bad]}")
        translation = camera.deproject(self.row, self.col, surface)
        translation[:, 2] += self.depth
        return GraspPoses(translation, rotations_from_angles(self.angle), self.width, self.quality, "camera")


@dataclass(frozen=True)
class GraspPoses:
    """N grasps of eq. (6).

    Attributes:
        translation: Middle between the finger tips, (N, 3) float64, metres, in ``frame``.
        rotation: Rotation whose columns are the grasp frame's axes in ``frame``, (N, 3, 3) float64.
        width: Opening between the inner finger faces, (N,) float64, metres.
        quality: Quality, (N,) float64 in [0, 1].
        frame: Name of the frame, "camera" or "world".
    """

    translation: FloatArray
    rotation: FloatArray
    width: FloatArray
    quality: FloatArray
    frame: str = "camera"

    def __post_init__(self) -> None:
        """Converts to float64 and checks shapes; raises InputError."""
        for name in ("translation", "rotation", "width", "quality"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float64))
        n = len(self.width)
        for name, shape in (("translation", (n, 3)), ("rotation", (n, 3, 3)), ("width", (n,)), ("quality", (n,))):
            if getattr(self, name).shape != shape:
                raise InputError(f"GraspPoses.{name} has shape {getattr(self, name).shape}, not {shape}")

    def __len__(self) -> int:
        """Number of grasps."""
        return len(self.width)

    def __getitem__(self, index: Any) -> GraspPoses:
        """Returns the grasps that a slice, mask or index array picks."""
        index = [index] if isinstance(index, int | np.integer) else index
        return GraspPoses(
            self.translation[index], self.rotation[index], self.width[index], self.quality[index], self.frame
        )

    @classmethod
    def empty(cls, frame: str = "camera") -> GraspPoses:
        """Returns no grasps."""
        return cls(np.zeros((0, 3)), np.zeros((0, 3, 3)), np.zeros(0), np.zeros(0), frame)

    def transform(self, pose: ArrayLike, frame: str) -> GraspPoses:
        """Returns the grasps in another frame.

        Args:
            pose: (4, 4) pose of the grasps' present frame in the new one, metres.
            frame: Name of the new frame.
        """
        matrix = np.asarray(pose, np.float64)
        translation = transform(matrix, self.translation)
        return GraspPoses(translation, matrix[:3, :3] @ self.rotation, self.width, self.quality, frame)

    def to_graspnet(self) -> FloatArray:
        """Returns (N, 17) float64 rows as graspnetAPI stores them.

        The columns are score, width, height, depth, rotation (9, row-major), translation (3), object id.
        The rotation's columns are approach, closing, and their cross product. The depth is 0,
        so that the translation is the point between the tips. The object id is -1.
        """
        rows = np.zeros((len(self), 17))
        rows[:, 0], rows[:, 1], rows[:, 2] = self.quality, self.width, 0.02
        approach, closing = self.rotation[:, :, 2], self.rotation[:, :, 0]
        rows[:, 4:13] = np.stack([approach, closing, np.cross(approach, closing)], axis=2).reshape(-1, 9)
        rows[:, 13:16] = self.translation
        rows[:, 16] = -1
        return rows

    @classmethod
    def from_graspnet(cls, rows: ArrayLike, frame: str = "camera") -> GraspPoses:
        """Returns the grasps of graspnetAPI rows.

        Args:
            rows: (N, 17) numbers in the order of ``to_graspnet``; their depth is added along the approach.
            frame: Name of the frame that they are given in.

        Raises:
            InputError: The rows do not have 17 columns.
        """
        array = np.asarray(rows, np.float64)
        if array.ndim != 2 or array.shape[1] != 17:
            raise InputError(f"graspnetAPI grasps have shape (N, 17), not {array.shape}")
        stored = array[:, 4:13].reshape(-1, 3, 3)
        approach, closing = stored[:, :, 0], stored[:, :, 1]
        rotation = np.stack([closing, np.cross(approach, closing), approach], axis=2)
        translation = array[:, 13:16] + array[:, 3:4] * approach
        return cls(translation, rotation, array[:, 1], array[:, 0], frame)


def deepest_free_depth(
    depth_image: NDArray[np.floating],
    camera: PinholeCamera,
    gripper: GripperGeometry,
    row: ArrayLike,
    col: ArrayLike,
    angle: ArrayLike,
    width: ArrayLike,
    margin: float = 0.0025,
    depth_margin: float = 0.0,
    *,
    surface: ArrayLike | None = None,
) -> FloatArray:
    """Returns section IV-A's grasp depth: as deep as the opened gripper stays free of the image.

    The fingers' and the palm's footprints are compared with every pixel that deprojects into
    them. Missing pixels are unknown: they neither block nor free. A finger's footprint has no known
    depth where less than a fifth of it is seen: at holes, at the image's border, behind an object.

    Args:
        depth_image: (H, W) floating, metres, 0 = missing.
        camera: Camera that took the image; its skew is taken as 0.
        gripper: Geometry of the gripper.
        row: Grasp rows, (N,) integer, pixels.
        col: Grasp columns, (N,) integer, pixels.
        angle: Angles theta, (N,) radians.
        width: Openings between the inner finger faces, (N,) metres.
        margin: Distance kept free on every side of each finger's footprint, metres.
        depth_margin: Distance kept free under fingers and palm, metres, but never more than half of the way that
            is free. A noisy image shows surfaces too low, and a hand that presses on one cannot close.
        surface: (N,) metres, the depth that each grasp counts from where the image does not tell it, in a hole for
            example. It frees and blocks nothing. None takes the image's.

    Returns:
        (N,) float64, metres below the surface at the pixel, at most ``gripper.finger_length``;
        zero or negative where the fingers cannot pass that surface; NaN where the pixel or the
        ground under a finger is unknown.

    Raises:
        InputError: The image holds NaN, is empty, or a grasp lies outside it.
    """
    rule = FreeDepth(depth_image, camera, gripper)
    return rule(row, col, angle, width, margin=margin, depth_margin=depth_margin, surface=surface)
