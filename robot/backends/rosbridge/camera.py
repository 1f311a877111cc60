"""ROS cameras: colour, depth aligned to it, and CameraInfo."""

from __future__ import annotations

import base64
import math
import threading
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot.backends.rosbridge.connection import Message, RosConnection
from robot.backends.rosbridge.stamps import read_stamp
from robot.devices import CameraDevice
from robot.errors import DeviceError
from robot.values import Frame
from sim.camera import PinholeCamera
from sim.errors import InputError

PAIR = 0.02  # s that colour and depth of one frame may lie apart
CHANNELS = {"rgb8": (0, 1, 2), "bgr8": (2, 1, 0), "rgba8": (0, 1, 2), "bgra8": (2, 1, 0), "mono8": (0, 0, 0)}


class RosCamera(CameraDevice):
    """A camera whose depth is aligned to colour by its driver, for example with ``align_depth.enable:=true``.

    Websockets carry pictures slowly: the topics are subscribed for the length of a ``read`` only.
    """

    def __init__(
        self,
        link: RosConnection,
        *,
        colour: str = "/camera/color/image_raw",
        depth: str = "/camera/aligned_depth_to_color/image_raw",
        info: str = "/camera/color/camera_info",
    ) -> None:
        """Keeps the settings; connects to nothing.

        Args:
            link: Connection to rosbridge.
            colour: Topic of the colour image.
            depth: Topic of the depth image on the colour image's pixels.
            info: Topic of the colour camera's CameraInfo.
        """
        self.link, self.name, self._topics = link, f"the camera at {colour} of {link.name}", (colour, depth, info)
        self._ros: Any = None

    def connect(self) -> None:
        """Connects."""
        if self._ros is None:
            self._ros = self.link.open()

    def disconnect(self) -> None:
        """Disconnects."""
        if self._ros is not None:
            self._ros = None
            self.link.close()

    def read(self, after: float = -math.inf, timeout: float = 2.0) -> Frame:
        """Returns a frame.

        Messages of ROS carry the clock of another computer, so a frame's time is when it arrived. The first picture of
        each kind is left aside: it may have waited in a queue since before the call.
        """
        if self._ros is None or not self._ros.is_connected:
            raise DeviceError(f"{self.name} is not connected")
        time.sleep(max(0.0, min(after - self.clock(), timeout)))
        seen: dict[str, tuple[float, Message]] = {}
        changed = threading.Event()
        kinds = ("Image", "Image", "CameraInfo")
        kind = self.link.type
        topics = [self.link.topic(t, kind("sensor_msgs", "msg", k)) for t, k in zip(self._topics, kinds, strict=True)]

        def note(place: str, message: Message) -> None:
            seen[place] = (read_stamp(message), message)
            changed.set()

        for name, topic in zip(("colour", "depth", "info"), topics, strict=True):
            topic.subscribe(lambda message, name=name: note(name, message))
        try:
            self._wait_for_pair(seen, changed, timeout=timeout)
        finally:
            for topic in topics:
                topic.unsubscribe()
        size, matrix = _camera_of(seen["info"][1], self._topics[2])
        rgb, depth = _colour_of(seen["colour"][1]), _depth_of(seen["depth"][1])
        return Frame(rgb=rgb, depth=depth, camera=PinholeCamera(*size, matrix), time=self.clock())

    def _wait_for_pair(
        self, seen: dict[str, tuple[float, Message]], changed: threading.Event, *, timeout: float
    ) -> None:
        """Waits until all three topics have spoken and the second picture of each kind belongs to one moment."""
        end, first = time.monotonic() + timeout, dict[str, float]()
        while True:
            if {"colour", "depth", "info"} <= seen.keys():
                for place in ("colour", "depth"):
                    first.setdefault(place, seen[place][0])
                # The first picture may have lain in a queue since before the call.
                fresh = all(seen[place][0] > first[place] for place in first)
                if fresh and abs(seen["colour"][0] - seen["depth"][0]) <= PAIR:
                    return
            changed.clear()
            if not changed.wait(max(0.0, min(0.1, end - time.monotonic()))) and time.monotonic() > end:
                missing = [t for n, t in zip(("colour", "depth", "info"), self._topics, strict=True) if n not in seen]
                what = f"nothing on {', '.join(missing)}" if missing else "no new pair of colour and depth"
                raise DeviceError(f"{self.name} sent {what} within {timeout:g} s; check its driver")


def _pixels(message: Message, kind: Any, channels: int) -> NDArray[Any]:
    """Returns (H, W, channels) of an Image; its rows may be padded."""
    data = message["data"]
    raw = base64.b64decode(data) if isinstance(data, str) else bytes(data)
    order = ">" if message.get("is_bigendian") else "<"
    kind = np.dtype(kind).newbyteorder(order)
    height, width, step = int(message["height"]), int(message["width"]), int(message["step"])
    if len(raw) != height * step or step < width * channels * kind.itemsize:
        raise DeviceError(f"an image of {width}x{height} pixels holds {len(raw)} bytes; check the camera's driver")
    rows = np.frombuffer(raw, np.uint8).reshape(height, step)[:, : width * channels * kind.itemsize]
    pixels: NDArray[Any] = np.ascontiguousarray(rows).view(kind).reshape(height, width, channels)
    return pixels


def _colour_of(message: Message) -> NDArray[np.uint8]:
    encoding = str(message["encoding"])
    if encoding not in CHANNELS:
        raise InputError(f"colour images are encoded as {encoding}; let the driver send {', '.join(CHANNELS)}")
    count = 1 if encoding == "mono8" else len(encoding) - 1
    return np.ascontiguousarray(_pixels(message, np.uint8, count)[..., CHANNELS[encoding]])


def _depth_of(message: Message) -> NDArray[np.float32]:
    encoding = str(message["encoding"])
    if encoding in ("16UC1", "mono16"):
        return _pixels(message, np.uint16, 1)[..., 0].astype(np.float32) * np.float32(0.001)
    if encoding == "32FC1":
        return np.nan_to_num(_pixels(message, np.float32, 1)[..., 0].astype(np.float32), posinf=0.0, neginf=0.0)
    raise InputError(f"depth images are encoded as {encoding}; let the driver send 16UC1 (mm) or 32FC1 (m)")


def _camera_of(message: Message, topic: str) -> tuple[tuple[int, int], NDArray[np.float64]]:
    """Returns (width, height) and the intrinsics of a CameraInfo without distortion."""
    lens = message.get("d", message.get("D")) or ()
    if any(abs(float(v)) > 1e-3 for v in lens):
        raise InputError(f"{topic} tells of a lens's distortion; subscribe to rectified images (image_rect_color)")
    numbers = message.get("k", message.get("K"))
    if numbers is None or len(numbers) != 9:
        raise DeviceError(f"{topic} tells no intrinsics (k has nine numbers); let the camera's driver send CameraInfo")
    return (int(message["width"]), int(message["height"])), np.array(numbers, np.float64).reshape(3, 3)
