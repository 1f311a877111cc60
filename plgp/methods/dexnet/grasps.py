"""Grasps as Dex-Net describes them, and what the gripper makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plgp.methods.dexnet.image import DexNetImage
from plgp.policy.workspace import Workspace
from sim.benchmark.baselines.antipodal import suppress
from sim.camera import PinholeCamera
from sim.depth_image.known_floor import FLOOR_MARGIN, DepthMargins, floor_lowered
from sim.errors import NOT_NEGATIVE, POSITIVE, InputError, check_numbers
from sim.grasp import GraspPoses, deepest_free_depth, rotations_from_angles
from sim.gripper import GripperGeometry

FloatArray = NDArray[np.float64]

DEPTHS = ("own", "shared")


@dataclass(frozen=True)
class CentreGrasps:
    """N grasps of Dex-Net: the middle between the contacts in an image, and its distance from the camera.

    Attributes:
        row: (N,) float64, pixels of the ``DexNetImage``.
        col: (N,) float64, pixels.
        angle: (N,) float64, theta, radians, counter-clockwise as the image is seen. Dex-Net's own angle is -theta.
        depth: (N,) float64, camera's z of the middle, metres.
        quality: (N,) float64 in [0, 1].
    """

    row: FloatArray
    col: FloatArray
    angle: FloatArray
    depth: FloatArray
    quality: FloatArray

    def __len__(self) -> int:
        """Number of grasps."""
        return len(self.row)

    def __getitem__(self, index: Any) -> CentreGrasps:
        """Returns the grasps that a slice, mask or index array picks."""
        return CentreGrasps(*(getattr(self, f.name)[index] for f in fields(self)))


def join(parts: Sequence[CentreGrasps]) -> CentreGrasps:
    """Returns several sets of grasps as one."""
    return CentreGrasps(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(CentreGrasps)))


@dataclass(frozen=True, kw_only=True)
class DexNetSettings:
    """How grasps of Dex-Net are executed and ranked; the same for GQ-CNN and FC-GQ-CNN.

    Attributes:
        gripper: Geometry of the gripper.
        workspace: Box of the grasps: the tray's walls attract them. None for anywhere.
        min_height: Height over the table below which no centre may lie, metres: stands in for the original's masks.
        opening: Opening with which the gripper comes down, metres. Neither network predicts one. The training's gripper
            opens 0.050; the PLGP authors give Dex-Net's grasps 0.080.
        tip_offset: Distance of the finger tips below the middle of the contacts, metres: the training's gripper's.
        depth: "own": the network's depth, but no deeper than the shared rule finds free; "shared": that rule's.
        min_depth: Least depth of the tips below the surface that must be free, metres; grasps with less are dropped.
        depth_margin: Distance kept free under the gripper, metres, as the other policies do.
        floor_margin: The same over the workspace's floor, metres; None is ``depth_margin``.
        spacing: Distance that ranked grasps keep where there are enough of them, metres.
        spacing_angle: Angle that ranked grasps keep instead, radians.
    """

    gripper: GripperGeometry = field(default_factory=GripperGeometry)
    workspace: Workspace | None = None
    min_height: float = 0.010
    opening: float = 0.080
    tip_offset: float = 0.0121
    depth: str = "own"
    min_depth: float = 0.005
    depth_margin: float = 0.007
    floor_margin: float | None = FLOOR_MARGIN
    spacing: float = 0.020
    spacing_angle: float = 0.5

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        self.check("policy")

    def check(self, group: str) -> None:
        """Raises InputError for a value out of its range; ``group`` is the settings' name in the message."""
        limits = dict.fromkeys(("min_height", "tip_offset", "min_depth", "depth_margin"), NOT_NEGATIVE)
        if self.floor_margin is not None:
            limits["floor_margin"] = NOT_NEGATIVE
        check_numbers(group, self, limits | dict.fromkeys(("opening", "spacing", "spacing_angle"), POSITIVE))
        if self.depth not in DEPTHS:
            raise InputError(f"{group}.depth is {self.depth!r}; choose {' or '.join(DEPTHS)}")

    def answer(self, grasps: CentreGrasps, seen: DexNetImage, count: int) -> GraspPoses:
        """Returns up to ``count`` executable grasps in the camera frame, best first, some distance apart.

        Args:
            grasps: The network's grasps, in any order.
            seen: The image in which they lie.
            count: Number of grasps wanted.
        """
        ordered = grasps[np.argsort(-grasps.quality, kind="stable")]
        poses = self.to_poses(ordered, seen)
        angle = np.arctan2(-poses.rotation[:, 1, 0], poses.rotation[:, 0, 0])
        place = poses.translation[:, :2]
        return poses[suppress(place, angle, count, spacing=self.spacing, turn=self.spacing_angle)]

    def to_poses(self, grasps: CentreGrasps, seen: DexNetImage) -> GraspPoses:
        """Returns those grasps that the gripper can reach, in the camera frame and in their order; see ``reach``."""
        kept, poses = self.reach(grasps, seen)
        return poses[kept]

    def reach(self, grasps: CentreGrasps, seen: DexNetImage) -> tuple[NDArray[np.bool_], GraspPoses]:
        """Returns which grasps the gripper can reach, and all of them in the camera frame; the others' depth is none.

        A grasp's place is on the ray of its pixel *at its own depth*. The free depth is asked for at the pixel whose
        surface lies there: at the tray's edge the two are up to 11 mm apart.

        Args:
            grasps: The grasps.
            seen: The image in which they lie.
        """
        centre = seen.camera.deproject(grasps.row, grasps.col, grasps.depth)
        camera, filled = seen.observation.camera, seen.filled
        row, col = surface_pixels(centre, filled, camera)
        inside = None if self.workspace is None else self.workspace.mask(seen.observation.depth, camera)
        margins = DepthMargins(self.depth_margin, self.floor_margin)
        image = floor_lowered(seen.observation, inside, margins)
        opening = min(self.opening, self.gripper.max_opening)
        place = row, col, grasps.angle, np.full(len(row), opening)
        surface = filled[row, col].astype(np.float64)
        margin = {"depth_margin": self.depth_margin}
        free = deepest_free_depth(image, camera, self.gripper, *place, **margin, surface=surface)
        kept = np.nan_to_num(free, nan=-1.0) >= self.min_depth
        lowest = surface + free
        tips = lowest if self.depth == "shared" else np.minimum(grasps.depth + self.tip_offset, lowest)
        tip = np.column_stack([centre[:, :2], tips])
        rotation = rotations_from_angles(grasps.angle)
        return kept, GraspPoses(tip, rotation, np.full(len(row), opening), grasps.quality, "camera")


def surface_pixels(
    points: FloatArray, depth: NDArray[np.floating], camera: PinholeCamera
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the pixels whose surface lies straight above or below points: their x and y, the surface's distance.

    Args:
        points: (N, 3) float64, camera frame, metres.
        depth: (H, W) floating, metres, without holes.
        camera: Camera that took the image.

    Returns:
        Rows and columns, (N,) int64 each, clipped to the image.
    """
    row, col = _pixels(points, camera)
    for _ in range(2):  # the pixel depends on the depth of the surface there
        row, col = _pixels(np.column_stack([points[:, :2], depth[row, col]]), camera)
    return row, col


def _pixels(points: FloatArray, camera: PinholeCamera) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns the rows and columns where points (N, 3) m appear, clipped to the image."""
    rows, cols, _ = camera.project(points)
    return (
        np.clip(np.rint(rows), 0, camera.height - 1).astype(np.int64),
        np.clip(np.rint(cols), 0, camera.width - 1).astype(np.int64),
    )
