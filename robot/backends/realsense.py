"""Intel RealSense cameras through ``pyrealsense2`` (extra ``realsense``), live or from a recording."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from robot.devices import CameraDevice
from robot.errors import DeviceError, load_backend
from robot.values import Frame
from sim.camera import PinholeCamera
from sim.errors import InputError

FloatArray = NDArray[np.float64]
STRAIGHT = 1e-3  # greatest coefficient of a lens that counts as none


class RealSenseCamera(CameraDevice):
    """A D400 camera; both pictures lie on the pixels of the colour stream, or of depth where colour is distorted."""

    def __init__(
        self,
        *,
        serial: str = "",
        recording: str | Path | None = None,
        width: int = 640,
        height: int = 480,
        fps: int = 30,
        warm_up: int = 15,
    ) -> None:
        """Keeps the settings; connects to nothing.

        Args:
            serial: Serial number, as ``rs-enumerate-devices`` tells it; any camera where it is empty.
            recording: A .db3 or .bag file that is played back in place of a camera.
            width: Width of both streams, pixels.
            height: Height of both streams, pixels.
            fps: Frames a second.
            warm_up: Frames that are left aside after connecting, while the exposure settles.
        """
        self.name = f"the RealSense {serial}".strip() if recording is None else f"the recording {recording}"
        self.serial, self.fps, self.warm_up = serial, fps, warm_up
        self.recording = None if recording is None else Path(recording)
        self.size = (width, height)
        self._library: Any = None
        self._pipeline: Any = None
        self._align: Any = None
        self._target: Literal["color", "depth"] = "color"
        self._last = -1  # number of the last frame: a frozen camera repeats it

    def connect(self) -> None:
        """Starts both streams."""
        if self._pipeline is not None:
            return
        rs = self._library = load_backend(
            "pyrealsense2", extra="realsense", needs="it needs libusb: apt-get install libusb-1.0-0"
        )
        config = rs.config()
        if self.recording is not None:
            if not self.recording.is_file():
                raise InputError(f"{self.recording} does not exist; give a .db3 or .bag file")
            config.enable_device_from_file(str(self.recording), repeat_playback=False)
        else:
            found = [d.get_info(rs.camera_info.serial_number) for d in rs.context().query_devices()]
            if not found or (self.serial and self.serial not in found):
                there = f"found {', '.join(found)}" if found else "found none; check the cable and USB 3"
                raise DeviceError(f"no RealSense {self.serial} is plugged in ({there})".replace("  ", " "))
            if self.serial:
                config.enable_device(self.serial)
            config.enable_stream(rs.stream.depth, *self.size, rs.format.z16, self.fps)
            config.enable_stream(rs.stream.color, *self.size, rs.format.rgb8, self.fps)
        pipeline = rs.pipeline()
        try:
            profile = pipeline.start(config)
        except RuntimeError as error:
            cure = (
                "give another file" if self.recording else "plug it into USB 3, close other programs, check its serial"
            )
            raise DeviceError(f"{self.name} does not start ({error}); {cure}") from error
        self._pipeline = pipeline
        try:
            self._choose_target(profile)
            for _ in range(self.warm_up if self.recording is None else 0):
                pipeline.wait_for_frames(2000)
        except RuntimeError as error:
            self.disconnect()
            raise DeviceError(f"{self.name} starts but sends no pair of colour and depth ({error})") from error

    def _choose_target(self, profile: Any) -> None:
        """Takes the pixels of the stream that has no distortion, colour first."""
        rs = self._library
        for target in ("color", "depth"):
            stream = profile.get_stream(getattr(rs.stream, target)).as_video_stream_profile()
            if max(map(abs, stream.get_intrinsics().coeffs)) <= STRAIGHT:
                self._target, self._align = target, rs.align(getattr(rs.stream, target))
                return
        raise InputError(f"{self.name} distorts both colour and depth; use a stream that the camera rectifies")

    def disconnect(self) -> None:
        """Stops the streams."""
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            pipeline.stop()

    def read(self, after: float = -math.inf, timeout: float = 2.0) -> Frame:
        """Returns a frame, both pictures undistorted, depth along the optical axis of the stream that they lie on.

        Args:
            after: Time on the cell's clock, seconds; the frame was exposed later.
            timeout: Longest wait, seconds.

        Raises:
            DeviceError: The camera is not connected, or no such frame came in time.
        """
        if self._pipeline is None:
            raise DeviceError(f"{self.name} is not connected")
        end = time.monotonic() + timeout
        while True:
            left = end - time.monotonic()
            try:
                frames = self._pipeline.wait_for_frames(max(1, round(1000 * left)))
                arrived = self.clock()
                pair = self._align.process(frames)
            except RuntimeError as error:
                raise DeviceError(
                    f"{self.name} sent no frame within {timeout:g} s; check its cable ({error})"
                ) from error
            colour, depth = pair.get_color_frame(), pair.get_depth_frame()
            number, last = int(frames.get_frame_number()), self._last
            if colour and depth and number != last:
                self._last = number
                exposed = min(self._exposed(f, arrived) for f in (colour, depth))
                if exposed > after:
                    return self._frame(colour, depth, frames.get_depth_frame(), time=exposed)
            if time.monotonic() > end:
                raise DeviceError(f"{self.name} sent no frame newer than asked within {timeout:g} s; its frames lag")

    def _exposed(self, frame: Any, arrived: float) -> float:
        """Returns when a frame was exposed, on the cell's clock; frames of a recording count as of their arrival."""
        if self.recording is not None:
            return arrived
        domains = self._library.timestamp_domain
        if frame.get_frame_timestamp_domain() in (domains.system_time, domains.global_time):
            return float(arrived - max(0.0, time.time() - frame.get_timestamp() / 1000))
        return arrived - 2 / self.fps  # the camera's own clock says nothing here

    def _frame(self, colour: Any, depth: Any, raw: Any, *, time: float) -> Frame:
        lens = (colour if self._target == "color" else depth).get_profile().as_video_stream_profile().get_intrinsics()
        matrix = np.array([[lens.fx, 0, lens.ppx], [0, lens.fy, lens.ppy], [0, 0, 1]])
        camera = PinholeCamera(lens.width, lens.height, matrix)
        metres = np.asanyarray(depth.get_data()).astype(np.float64) * raw.get_units()
        if self._target == "color":
            between = raw.get_profile().get_extrinsics_to(colour.get_profile())
            turn, shift = np.array(between.rotation).reshape(3, 3).T, np.array(between.translation)
            metres = depth_along(camera, metres, turn, shift=shift)
        rgb = np.ascontiguousarray(np.asanyarray(colour.get_data()), np.uint8).copy()
        return Frame(rgb=rgb, depth=metres.astype(np.float32), camera=camera, time=time)


def depth_along(camera: PinholeCamera, depth: FloatArray, turn: FloatArray, *, shift: FloatArray) -> FloatArray:
    """Returns depth along a camera's own axis from aligned depth, which keeps the depth camera's.

    A pixel's ray r (z = 1) meets the surface at z r; its depth in the depth camera, (R^T (z r - t))_z, is given.

    Args:
        camera: The camera on whose pixels the depth lies.
        depth: (H, W) float64 along the depth camera's axis, metres; 0 = missing.
        turn: (3, 3) R, the depth camera's axes in the camera's frame.
        shift: (3,) t, the depth camera's place in the camera's frame, metres.

    Returns:
        (H, W) float64 z, metres; 0 = missing.
    """
    rows, cols = np.mgrid[: camera.height, : camera.width]
    rays = camera.deproject(rows.ravel(), cols.ravel(), np.ones(rows.size))
    axis = turn[:, 2]
    along = (rays @ axis).reshape(depth.shape)
    return np.where(depth > 0, (depth + axis @ shift) / along, 0.0)
