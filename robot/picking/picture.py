"""The picture of a pick: taken at rest, by the calibrated camera, with depth in it, without the arm's own hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from robot.devices import Arm, CameraDevice, read_state
from robot.errors import DeviceError
from robot.picking.settings import PickSettings
from robot.values import FloatArray, Frame
from sim.camera import PinholeCamera
from sim.depth_image.speckles import without_speckles
from sim.errors import InputError
from sim.geometry import transform
from sim.view import Observation

HIDDEN = 0.5  # share of the pixels that arm and hand may cover
LEAST_DEPTH = 0.01  # share of the pixels that must have depth
TIMES = 4.0  # times that the picture's median depth may be nearer or farther than the tray's floor
OTHER = 0.03  # share by which focal length and principal point may differ from those of the calibration
LOW = 0.03  # metres over the floor; what lies lower is left to the fingers
TALL = 0.06  # metres over the floor; of what stands higher every pixel counts ...
EVERY = 3  # ... and of what lies between, every third pixel of every third row
MARGIN = 0.02  # share of the picture's width by which the hand's outline is widened: depth is blurred there


NEAR = (0.05, 10.0)  # metres, degrees: a camera that stands so near to the view sees the tray as from there


@dataclass(frozen=True, kw_only=True)
class Photographer:
    """What takes a pick's pictures.

    Attributes:
        arm: The arm, which comes to rest first.
        camera: The wrist's camera.
        pose: (N,) joint angles -> (4, 4) T_world_camera as the calibration found it, metres.
        outline: (camera with its pose, (N,) joint angles) -> (H, W) bool, the pixels that show arm or hand.
        calibrated: The camera that was calibrated, None where nobody knows.
        floor: Height of the tray's floor, world frame, metres.
    """

    arm: Arm
    camera: CameraDevice
    pose: Callable[[FloatArray], FloatArray]
    outline: Callable[[PinholeCamera, FloatArray], NDArray[np.bool_]]
    calibrated: PinholeCamera | None = None
    floor: float = 0.0

    def take(self, settings: PickSettings) -> Observation:
        """Returns what the camera sees, in a picture that was taken after the arm came to rest.

        Pixels that show arm or hand have no depth in it: a policy must not grasp its own fingers. Nor have speckles in
        mid-air; see ``without_speckles``.

        Args:
            settings: How long arm and camera may need.

        Raises:
            DeviceError: The arm does not come to rest, no picture comes in time, it has no depth of a tray, or shows
                little but arm and hand.
            InputError: The picture has another size than its camera.
        """
        state = self._rest(settings)
        frame = self.camera.read(after=state, timeout=settings.picture_timeout)
        q = read_state(self.arm).q
        camera = replace(frame.camera, pose=self.pose(q))
        own = self.outline(camera, q)
        if own.mean() > HIDDEN:
            raise DeviceError(
                f"arm and hand cover {100 * own.mean():.0f} % of {self.camera.name}'s picture; turn the hand on its "
                "flange (frames.flange of its preset) or move the camera (cell.camera)"
            )
        if own.any() and own.shape == frame.depth.shape:
            size = 2 * round(MARGIN * camera.width) + 1
            wide = cv2.dilate(own.astype(np.uint8), np.ones((size, size), np.uint8))
            frame = replace(frame, depth=np.where(wide > 0, np.float32(0), frame.depth))
        depth = _checked_depth(frame, float(camera.pose[2, 3]) - self.floor, self.camera.name)
        return Observation(frame.rgb, without_speckles(depth, camera)[0], camera)

    def _rest(self, settings: PickSettings) -> float:
        """Waits until the arm is at rest; returns since when, on the cell's clock. Raises DeviceError."""
        ends = time.monotonic() + settings.rest_timeout
        state = read_state(self.arm)
        while np.abs(state.dq).max() > settings.rest_speed:
            if time.monotonic() > ends:
                raise DeviceError(
                    f"{self.arm.name} does not come to rest within {settings.rest_timeout:g} s; look at it"
                )
            time.sleep(0.01)
            state = read_state(self.arm)
        return state.time

    def distance_from(self, view: FloatArray) -> tuple[float, float]:
        """Returns how far the camera is from where it is at a view, metres, and how far it is turned, degrees.

        Args:
            view: (N,) joint angles, radians.

        Raises:
            DeviceError: The arm does not answer, or its angles are no numbers.
        """
        here, there = self.pose(read_state(self.arm).q), self.pose(view)
        turn = Rotation.from_matrix(here[:3, :3].T @ there[:3, :3]).magnitude()
        return float(np.linalg.norm(here[:3, 3] - there[:3, 3])), float(np.degrees(turn))

    def check_camera(self, seen: PinholeCamera) -> None:
        """Raises InputError where a picture's camera is not the one that was calibrated.

        Args:
            seen: Camera of the picture. One of another shape (4:3, 16:9) is not compared.
        """
        known = self.calibrated
        if known is None or abs(seen.width * known.height - known.width * seen.height) > seen.width:
            return
        scale = seen.width / known.width
        there, here = scale * known.intrinsics, seen.intrinsics
        focal = max(abs(here[i, i] / there[i, i] - 1) for i in (0, 1))
        shift = float(np.abs(here[:2, 2] - there[:2, 2]).max()) / seen.width
        if max(focal, shift) > OTHER:
            raise InputError(
                f"{self.camera.name} has a focal length of {here[0, 0]:.0f} px and its middle at {here[0, 2]:.0f}, "
                f"{here[1, 2]:.0f}; the calibrated camera has {there[0, 0]:.0f} px and {there[0, 2]:.0f}, "
                f"{there[1, 2]:.0f} in pictures of this size: give calibration.file= of this camera"
            )


def things_seen(seen: Observation, floor: float) -> FloatArray:
    """Returns points of what stands on the tray's floor, (N, 3) float64, world frame, metres.

    Args:
        seen: The picture, with the camera's pose in the world.
        floor: Height of the tray's floor, world frame, metres.
    """
    rows, cols = np.nonzero(seen.depth > 0)
    points = transform(seen.camera.pose, seen.camera.deproject(rows, cols, seen.depth[rows, cols]))
    height = points[:, 2] - floor
    thin = (rows % EVERY == 0) & (cols % EVERY == 0)
    things: FloatArray = points[(height > TALL) | thin & (height > LOW)]
    return things


def _checked_depth(frame: Frame, height: float, name: str) -> NDArray[np.float32]:
    """Returns a frame's depth with 0 for what is no number; raises DeviceError where no tray can be in it.

    Args:
        frame: The frame.
        height: Height of the camera over the tray's floor, metres.
        name: Name of the camera.
    """
    depth = frame.depth
    valid = np.isfinite(depth) & (depth > 0)
    share = float(valid.mean())
    if share < LEAST_DEPTH:
        raise DeviceError(
            f"{name} gave a picture with depth in {100 * share:.1f} % of its pixels; "
            "look for something before the lens, for sunlight, and restart it"
        )
    middle = float(np.median(depth[valid]))
    if not height / TIMES < middle < height * TIMES:
        raise DeviceError(
            f"{name} sees things {middle:.3g} m away where the tray's floor is {height:.3g} m away; "
            "give its depth in metres, and look at what is before it"
        )
    return np.where(valid, depth, np.float32(0)).astype(np.float32)
