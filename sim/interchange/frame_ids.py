"""Names of frames of reference, as ROS's messages give them: which are a camera's, and which the world's."""

from __future__ import annotations

import re

from sim.errors import InputError

_OF_CAMERAS = re.compile(r"cam|optical|rgb|depth|colou?r|stereo|infra|kinect|realsense|phoxi|(^|_)(zed|ir)([_\d]|$)")


def names_a_camera(frame_id: str) -> bool:
    """Returns whether a frame's name is one that cameras' drivers give, such as camera_color_optical_frame."""
    return _OF_CAMERAS.search(frame_id.lower()) is not None


def reference_of(frame_id: str, source: str) -> str:
    """Returns "camera" or "world" for the frame of a file's grasps; no name means the camera's.

    Args:
        frame_id: Name of the frame in the file.
        source: Name of the file in messages.

    Raises:
        InputError: The name is neither "world" nor a camera's: where an arm's base stands, no file here says.
    """
    name = frame_id.strip().strip("/")
    if name.lower() == "world":
        return "world"
    if not name or names_a_camera(name):
        return "camera"
    raise InputError(
        f"'{source}' gives its grasps in the frame '{name}', which is not known here; bring them into the frame "
        "'camera', or 'world' where it is the one of camera.json's pose, and name it so"
    )
