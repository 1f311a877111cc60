"""Where grasps may lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sim.camera import PinholeCamera
from sim.errors import InputError

if TYPE_CHECKING:  # a camera's frames need no simulator
    from sim.physics import TraySettings

_BELOW, _ABOVE = 0.1, 0.4  # metres below and above the tray's floor that the workspace reaches


@dataclass(frozen=True)
class Workspace:
    """A box outside of which no grasp's surface point may lie: tray walls attract grasps.

    Attributes:
        minimum: Least x, y, z, metres.
        maximum: Greatest x, y, z, metres.
        frame: "world" (through the observation's camera pose) or "camera".
    """

    minimum: tuple[float, float, float]
    maximum: tuple[float, float, float]
    frame: str = "world"

    def mask(self, depth: NDArray[np.floating], camera: PinholeCamera) -> NDArray[np.bool_]:
        """Returns which pixels show a surface point in the box.

        Args:
            depth: (H, W) floating, metres, 0 = missing.
            camera: The camera of the depth image.

        Returns:
            (H, W) bool; False where the depth is missing.

        Raises:
            InputError: ``frame`` is unknown.
        """
        if self.frame not in ("world", "camera"):
            raise InputError(f"workspace.frame is '{self.frame}'; choose world or camera")
        m = camera.intrinsics
        y = (np.arange(depth.shape[0])[:, None] - m[1, 2]) / m[1, 1]
        x = (np.arange(depth.shape[1])[None] - m[0, 2] - m[0, 1] * y) / m[0, 0]
        pose = camera.pose if self.frame == "world" else np.eye(4)
        result = depth > 0
        for axis in range(3):
            ray = (pose[axis, 0] * x + pose[axis, 1] * y + pose[axis, 2]).astype(np.float32)
            place = ray * depth + np.float32(pose[axis, 3])
            result &= (place >= self.minimum[axis]) & (place <= self.maximum[axis])
        return result


def tray_workspace(
    tray: TraySettings,
    minimum: tuple[float, float, float] | None = None,
    maximum: tuple[float, float, float] | None = None,
) -> Workspace:
    """Returns the box over a tray's floor.

    Args:
        tray: The tray.
        minimum: Least x, y, z in the world instead, metres.
        maximum: Greatest x, y, z in the world instead, metres.
    """
    half = tray.half_floor
    low = (-half, -half, -_BELOW) if minimum is None else minimum
    return Workspace(low, (half, half, _ABOVE) if maximum is None else maximum)


Area = Workspace | NDArray[np.bool_] | None  # a box, an (H, W) mask, or None: anywhere


def allowed_pixels(area: Area, depth: NDArray[np.floating], camera: PinholeCamera) -> NDArray[np.bool_] | None:
    """Returns the pixels of an image at which grasps may lie.

    Args:
        area: A box, an (H, W) bool mask, or None for anywhere.
        depth: (H, W) floating, metres, 0 = missing.
        camera: The camera of the depth image.

    Returns:
        (H, W) bool, or None for anywhere.

    Raises:
        InputError: The mask has another size than the image.
    """
    if isinstance(area, Workspace):
        return area.mask(depth, camera)
    if area is not None and area.shape != depth.shape:
        raise InputError(f"workspace mask is {area.shape}, the image {depth.shape}")
    return area
