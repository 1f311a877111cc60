"""Poses in files, as robots' programs and calibrations write them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sim.errors import InputError
from sim.files import decoded
from sim.geometry import FloatArray
from sim.interchange.hand_frames import read_pose

# Names of T_world_camera, whose capitals do not count.
_POSES: tuple[str, ...] = ("t_world_camera", "pose", "camera_pose", "camera_to_world", "cam2world", "cam_to_world")
_POSES += ("c2w", "transform_matrix", "transform", "matrix")
_PLACES = ("translation", "position", "t", "xyz")
_TURNS: tuple[str, ...] = ("rotation", "orientation", "quaternion", "r", "rotation_matrix")
_WANTED = "give npy, npz, JSON, YAML, or numbers as text: 16 row by row, or x,y,z,qx,qy,qz,qw in metres"
_ECHO = r"Translation: \[([^\]]*)\]\s*- Rotation: in Quaternion[^\[]*\[([^\]]*)\]"  # what ROS's tf2_echo prints


def pose_of(text: str, name: str) -> FloatArray:
    """Returns a pose from a file, or from numbers; see ``read_pose``.

    Args:
        text: The path of a npy, npz, JSON, YAML or text file, or the numbers. A file holds a 4x4 or 3x4 matrix or its
            numbers; or a matrix called T_world_camera, pose, camera_to_world ...; or a translation and a rotation (3x3
            numbers or a quaternion x, y, z, w), as ROS prints transforms.
        name: Name of the pose in messages.

    Returns:
        (4, 4) float64, metres.

    Raises:
        InputError: The file cannot be read, or there is no pose in it.
    """
    path = Path(text)
    if not path.is_file():
        return read_pose(text, name)
    try:
        return read_pose(_numbers(_content(path)), f"{name} '{path}'")
    except InputError:
        raise
    except Exception as error:  # whatever a broken file leads to
        raise InputError(f"{name} '{path}' cannot be read ({type(error).__name__}); {_WANTED}") from error


def _content(path: Path) -> Any:
    """Returns what a file holds: an array, a list, or a mapping."""
    import yaml

    if path.suffix.lower() == ".npy":
        return np.load(path, allow_pickle=False)
    if path.suffix.lower() == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            found = dict(arrays)
        return next(iter(found.values())) if len(found) == 1 else found
    text = decoded(path.read_bytes())
    printed = re.search(_ECHO, text)
    if printed:
        return {"translation": _words(printed[1]), "rotation": _words(printed[2])}
    try:
        return [float(word) for word in _words(re.sub(r"#.*", "", text))]
    except ValueError:
        pass
    if path.suffix.lower() == ".json":
        return json.loads(text)
    return next((document for document in yaml.safe_load_all(text) if document is not None), None)


def _words(text: str) -> list[str]:
    return re.sub(r"[\[\](),;]", " ", text).split()


def _numbers(content: Any, depth: int = 0) -> FloatArray:
    """Returns 16 or 7 numbers of a file's content; raises InputError where it names another pose."""
    if not isinstance(content, Mapping):
        values = np.asarray(content, np.float64)
        return np.append(values.ravel(), (0, 0, 0, 1)) if values.size == 12 else values
    names = {str(key).lower(): value for key, value in content.items()}
    place = next((names[key] for key in _PLACES if key in names), None)
    turn = next((names[key] for key in _TURNS if key in names), None)
    if place is not None and turn is not None:
        return _joined(_parts(place, "xyz"), _parts(turn, "xyzw"))
    value = next((names[key] for key in _POSES if key in names), None)
    if value is not None and depth < 3:
        return _numbers(value, depth + 1)
    other = next((str(key) for key in content if re.match(r"T_\w+_\w+$", str(key))), "")
    keys = ", ".join(str(key) for key in list(content)[:6])
    if other:
        raise InputError(
            f"the pose's file holds {other}; give T_world_camera, for a camera on an arm T_world_flange @ it"
        )
    raise InputError(f"the pose's file holds no pose (keys {keys}); call the matrix T_world_camera")


def _parts(value: Any, names: str) -> FloatArray:
    """Returns the numbers of a vector, a quaternion or a matrix, given as a list or by the names of its parts."""
    if isinstance(value, Mapping):
        value = [value[name] for name in names]
    return np.asarray(value, np.float64)


def _joined(place: FloatArray, turn: FloatArray) -> FloatArray:
    if turn.size == 9:
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = turn.reshape(3, 3), place.ravel()
        return pose
    return np.concatenate([place.ravel(), turn.ravel()])
