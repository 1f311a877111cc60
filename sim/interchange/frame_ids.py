"""Names of frames of reference, as ROS's messages give them: which are a camera's, and which the world's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sim.errors import InputError

_OF_CAMERAS = re.compile(
    r"cam|optical|rgb|depth|colou?r|stereo|infra|sensor|kinect|realsense|phoxi|photoneo|zivid|ensenso|orbbec|astra"
    r"|femto|primesense|(^|_)(zed|ir|oak|tof|[dl][45]\d\d)([_\d]|$)"
)
_BESIDE = re.compile(r"table|mount|stand|bracket|holder")  # optical_table is none
_OF_ARMS = re.compile(r"world|map|odom|base|robot|arm|link_?0|table|origin")


def names_a_camera(frame_id: str) -> bool:
    """Returns whether a frame's name is one that cameras' drivers give, such as camera_color_optical_frame."""
    name = frame_id.lower()
    return _OF_CAMERAS.search(name) is not None and _BESIDE.search(name) is None


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
        "'camera', or 'world' where it is the one of camera.json's pose, and name it so; if it is the camera's, write "
        "'reference: camera' in the file"
    )


def stamped_inverse(names: Mapping[str, Any]) -> str:
    """Returns a sentence where a stamped message holds the pose of the world in a camera's frame, or "".

    A ``TransformStamped`` gives the pose of ``child_frame_id`` in ``header.frame_id``, a ``PoseStamped`` a pose in the
    latter.

    Args:
        names: The message's fields, in small letters.

    Raises:
        InputError: The message gives a pose in a camera's frame, and that is not the world's.
    """
    header = names.get("header")
    frame = header.get("frame_id") if isinstance(header, Mapping) else names.get("frame_id")
    parent, child = str(frame or ""), str(names.get("child_frame_id") or "")
    posed = isinstance(header, Mapping) and isinstance(names.get("pose"), Mapping)
    if not names_a_camera(parent) or not (child or posed):
        return ""
    if _OF_ARMS.search(child.lower()) is None or names_a_camera(child):
        whose = f"the pose of '{child}'" if child else "a pose"
        raise InputError(
            f"the pose's file gives {whose} in the frame '{parent}', a camera's; give the camera's pose in the world, "
            "or call the matrix T_world_camera if it is that"
        )
    return f"it gives the pose of '{child}' in the frame '{parent}', a camera's, and is inverted"
