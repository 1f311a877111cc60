"""Poses in files, as robots' programs and calibrations write them."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sim.errors import InputError
from sim.files import decoded
from sim.geometry import FloatArray
from sim.interchange.frame_ids import stamped_inverse
from sim.interchange.hand_frames import read_pose
from sim.interchange.trajectories import PLACE_COLUMNS, Trajectory, read_trajectory

# Names of T_world_camera and of its inverse, whose capitals do not count.
_POSES: tuple[str, ...] = ("t_world_camera", "pose", "camera_pose", "camera_to_world", "cam2world", "cam_to_world")
_POSES += ("cam_pose", "t_base_camera", "t_robot_camera", "t_world_cam", "t_base_cam", "c2w", "transform_matrix")
_POSES += ("transform", "transformation", "matrix")
_OF_MESSAGES = ("pose", "transform")  # ROS's names for any pose: header and child_frame_id say of what
_INVERSES: tuple[str, ...] = ("t_camera_world", "world_to_camera", "world_to_cam", "world2cam", "world2camera", "w2c")
_PLACES: tuple[str, ...] = ("translation", "position", "t", "xyz", "trans", "p", "cam_t_c2w")
_TURNS: tuple[str, ...] = ("rotation", "orientation", "quaternion", "r", "rotation_matrix", "quat", "q", "rot")
_TURNS += ("rotation_quaternion", "cam_r_c2w", "xyzw", "wxyz")
_UNCLEAR = {
    "extrinsic": "T_world_camera to some programs and T_camera_world to others; call it by one of these names",
    "extrinsics": "T_world_camera to some programs and T_camera_world to others; call it by one of these names",
    "rvec": "OpenCV's, the world in the camera's frame; give its inverse, T_world_camera",
    "rpy": "angles, whose order programs do not agree on; give a quaternion or a matrix",
    "euler": "angles, whose order programs do not agree on; give a quaternion or a matrix",
}
_WANTED = "give npy, npz, JSON, YAML, or numbers as text: 16 row by row, or x,y,z,qx,qy,qz,qw in metres"
_ECHO = r"Translation: \[([^\]]*)\]\s*- Rotation: in Quaternion[^\[]*\[([^\]]*)\]"  # what ROS's tf2_echo prints
_FAR = 5.0  # metres from the world's origin, as a rule an arm's base: farther off, the unit is doubted
_DOWN = 0.1  # of a unit vector: less is about level


def pose_of(text: str, name: str, frame: str = "") -> FloatArray:
    """Returns a camera's pose from a file, or from numbers; see ``read_pose``.

    A quaternion whose parts have no names is read as x, y, z, w. Where only w, x, y, z gives a camera that looks down,
    or the camera looks anywhere but down, or stands more than 5 m from the origin, a sentence on stderr says so.

    Args:
        text: The path of a folder of one file an image, or of a npy, npz, mat, JSON, YAML, CSV or text file, or the
            numbers. A file holds a 4x4 or 3x4 matrix or its numbers; or a matrix called T_world_camera, pose,
            camera_to_world ..., or T_camera_world, w2c ...; or a translation and a rotation (3x3 numbers or a
            quaternion), as ROS prints transforms; or a pose a line, as TUM's (time, x, y, z, qx, qy, qz, qw), KITTI's,
            Open3D's and COLMAP's trajectories have it. Where a ROS message says that it is the world's pose in the
            camera's frame, it is inverted, and that is said.
        name: Name of the pose in messages.
        frame: Name of the depth image, which chooses in a file of several poses: by time, number or name.

    Returns:
        (4, 4) float64, metres.

    Raises:
        InputError: The file cannot be read, or there is no pose in it.
    """
    path = _file_of(Path(text), name, frame)
    try:
        if not os.path.isfile(path):
            found = _Found(text, name=name, named=len(text.replace(",", " ").split()) != 7)
        else:
            found = _find(_content(path), frame)._replace(name=f"{name} '{path}'")
    except InputError:
        raise
    except Exception as error:  # whatever a broken file leads to
        raise InputError(f"{name} '{path}' cannot be read ({type(error).__name__}); {_WANTED}") from error
    pose = read_pose(found.numbers, found.name)
    if found.inverse:
        pose = np.asarray(np.linalg.inv(pose), np.float64)
    doubt = doubt_about_camera(pose, None if found.named or found.inverse else found.numbers)
    for sentence in filter(None, (found.note, doubt, _doubt_about_unit(pose))):
        print(f"{found.name}: {sentence}", file=sys.stderr)
    return pose


def _file_of(path: Path, name: str, frame: str) -> Path:
    """Returns a folder's file of an image: of its last number, or of its name; any other path as it is."""
    if not os.path.isdir(path):  # Path.is_dir raises where 16 numbers are too long for a name
        return path
    stem, numbers = Path(frame).stem.split(".")[0], re.findall(r"\d+", frame)
    files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
    found = [file for file in files if file.name.split(".")[0] == stem]
    if not found and numbers:
        found = [file for file in files if [int(n) for n in re.findall(r"\d+", file.name)][-1:] == [int(numbers[-1])]]
    if len(found) != 1:
        raise InputError(
            f"{name} '{path}' has {len(found) or 'no'} files for '{frame}'; give one an image, of its number"
        )
    return found[0]


class _Found(NamedTuple):
    """Numbers of a pose.

    Attributes:
        numbers: 16 or 7 numbers, or their text.
        inverse: Whether they are T_camera_world.
        named: Whether the parts of a quaternion are named, or there is none.
        name: Name of the pose in messages.
        note: Sentence on how they were read, or "".
    """

    numbers: Any
    inverse: bool = False
    named: bool = True
    name: str = ""
    note: str = ""


def doubt_about_camera(pose: FloatArray, unnamed: Any = None) -> str:
    """Returns a sentence where a camera's pose would not let it look down on things in a world whose z is up, or "".

    Args:
        pose: (4, 4), T_world_camera.
        unnamed: The 7 numbers that were read, or their text, if the order of the quaternion's parts is not known.
    """
    if unnamed is not None:
        words = unnamed.replace(",", " ").split() if isinstance(unnamed, str) else unnamed
        numbers = np.asarray(words, np.float64).ravel()
        other = read_pose(np.concatenate([numbers[:3], np.roll(numbers[3:], -1)]))
        if _looks_down(other) and not _looks_down(pose):
            return (
                "the quaternion is read as x,y,z,w, by which the camera does not look down; as w,x,y,z it would: if "
                "that is meant, give a file that names qw, qx, qy, qz"
            )
        if _looks_down(other):
            return "the quaternion is read as x,y,z,w; a file that names qw, qx, qy, qz leaves no doubt"
    if _looks_down(pose):
        return ""
    along_x, along_back = -pose[2, 0], pose[2, 2]  # how far down it looks if its x axis, or -z, is the one that looks
    if along_x > max(_DOWN, along_back):
        return (
            "the camera's x axis looks down, as that of ROS's camera_link; give the optical frame, whose z looks ahead"
        )
    if along_back > _DOWN:
        return (
            "the camera looks up in a world whose z is up; if it is OpenGL's or Blender's, which looks along -z, turn "
            "it about its x axis by half a turn"
        )
    return ""


def _doubt_about_unit(pose: FloatArray) -> str:
    """Returns a sentence where a camera is so far from the world's origin that its pose may be in inches, or ""."""
    far = float(np.linalg.norm(pose[:3, 3]))
    if far <= _FAR:
        return ""
    return f"the camera is {far:.3g} m from the world's origin; if that is not meant, give its pose in metres"


def _looks_down(pose: FloatArray) -> bool:
    return bool(pose[2, 2] < -_DOWN)


def _content(path: Path) -> Any:
    """Returns what a file holds: an array, a list, a mapping, or several poses in the order of their lines."""
    import yaml

    if path.suffix.lower() == ".npy":
        return np.load(path, allow_pickle=False)
    if path.suffix.lower() == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            found = dict(arrays)
        return next(iter(found.values())) if len(found) == 1 else found
    if path.suffix.lower() == ".mat":
        from scipy.io import loadmat

        return {name: value for name, value in loadmat(path).items() if not name.startswith("__")}
    text = decoded(path.read_bytes())
    printed = re.search(_ECHO, text)
    if printed:
        return {"translation": _words(printed[1]), "quaternion_xyzw": _words(printed[2])}
    several = read_trajectory(text)
    if several is not None:
        return several
    try:
        return [float(word) for word in _words(re.sub(r"#.*", "", text))]
    except ValueError:
        pass
    if path.suffix.lower() == ".json":
        return json.loads(text)
    # OpenCV's own tags and head line are no plain YAML.
    plain = re.sub(r"\A%YAML:?[ \d.]*", "", text).replace("!!opencv-matrix", "")
    return next((document for document in yaml.safe_load_all(plain) if document is not None), None)


def _words(text: str) -> list[str]:
    return re.sub(r"[\[\](),;]", " ", text).split()


def _find(content: Any, frame: str, depth: int = 0) -> _Found:
    """Returns the pose of a file's content; raises InputError where it names another one, or several."""
    if isinstance(content, Trajectory):
        return _Found(content.numbers_of(frame), inverse=content.inverse)
    if isinstance(content, list) and len(content) == 1 and isinstance(content[0], Mapping):
        content = content[0]
    if isinstance(content, Mapping) and {"rows", "cols", "data"} <= set(content):
        content = content["data"]
    if not isinstance(content, Mapping):
        values = np.asarray(content, np.float64)
        values = np.append(values.ravel(), (0, 0, 0, 1)) if values.size == 12 else values
        return _Found(values, named=values.size != 7)
    names = {str(key).lower(): value for key, value in content.items()}
    said = any(key in names for key in (*_POSES, *_INVERSES) if key not in _OF_MESSAGES)
    note = "" if said else stamped_inverse(names)
    found = _find_named(content, names, frame, depth)
    return found._replace(inverse=not found.inverse, note=note) if note else found


def _find_named(content: Mapping[Any, Any], names: dict[str, Any], frame: str, depth: int) -> _Found:
    """Returns the pose of a mapping, whose keys ``names`` has in small letters, by what its keys are called."""
    if isinstance(names.get("parameters"), Mapping) and names["parameters"].get("eye_on_hand"):
        raise InputError("the pose's file is of a camera on the hand; give T_world_camera, which is T_base_hand @ it")
    parts = _by_part(names)
    if parts is not None:
        return _Found(parts)
    inverse = "cam_r_w2c" in names  # BOP's, in millimetres
    if inverse and "cam_t_w2c" in names:
        return _Found(_joined(_parts(names["cam_t_w2c"]) / 1000, _parts(names["cam_r_w2c"])), inverse=True)
    place = next((names[key] for key in _PLACES if key in names), None)
    turn = next((key for key in names if re.sub(r"_(wxyz|xyzw)$", "", key) in _TURNS), None)
    if place is not None and turn is not None:
        turned = _parts(names[turn])
        named = isinstance(names[turn], Mapping) or turned.size != 4 or turn.endswith(("wxyz", "xyzw"))
        if turn.endswith("wxyz") and turned.size == 4:
            turned = np.roll(turned, -1)
        return _Found(_joined(_parts(place), turned), named=named)
    for keys, inverse in ((_POSES, False), (_INVERSES, True)):
        value = next((names[key] for key in keys if key in names), None)
        if value is not None and depth < 3:
            found = _find(value, frame, depth + 1)
            return found._replace(inverse=found.inverse != inverse)
    return _find_elsewhere(content, names, frame, depth)


def _find_elsewhere(content: Mapping[Any, Any], names: dict[str, Any], frame: str, depth: int) -> _Found:
    """Returns the pose of Open3D's camera, or of one image of several (BOP); raises InputError where there is none."""
    if str(names.get("class_name", "")).startswith("PinholeCamera") and np.size(names.get("extrinsic", ())) == 16:
        return _Found(np.asarray(names["extrinsic"], np.float64).reshape(4, 4).T, inverse=True)
    if isinstance(names.get("transforms"), list) and len(names["transforms"]) == 1 and depth < 3:
        return _find(names["transforms"], frame, depth + 1)
    if isinstance(names.get("frames"), list):
        return _find_nerf(names["frames"], frame)
    digits = re.findall(r"\d+", Path(frame).stem)
    images = [key for key in names if key.isdigit() and isinstance(names[key], Mapping)]
    if images and len(images) == len(names) and depth < 3:
        chosen = [key for key in images if digits and int(key) == int(digits[-1])] or images
        if len(chosen) > 1:
            raise InputError(f"the pose's file holds those of the images {', '.join(images[:6])}; give this image's")
        return _find(names[chosen[0]], frame, depth + 1)
    unclear = next((key for key in _UNCLEAR if key in names), None)
    if unclear is not None:
        raise InputError(f"the pose's file holds '{unclear}', which is {_UNCLEAR[unclear]}")
    other = next((str(key) for key in content if re.match(r"T_\w+_\w+$", str(key))), "")
    keys = ", ".join(str(key) for key in list(content)[:6])
    if other:
        raise InputError(
            f"the pose's file holds {other}; give T_world_camera, for a camera on an arm T_world_flange @ it"
        )
    raise InputError(f"the pose's file holds no pose (keys {keys}); call the matrix T_world_camera")


def _find_nerf(frames: list[Any], frame: str) -> _Found:
    """Returns an image's pose of NeRF's transforms.json, whose cameras are OpenGL's: y up, z backwards."""
    stem = Path(frame).stem
    found = [one for one in frames if Path(str(one["file_path"])).stem == stem]
    found = found or (frames if len(frames) == 1 else [])
    if len(found) != 1:
        raise InputError(f"the pose's file holds {len(frames)} frames, none of '{frame}'; give its own")
    return _Found(np.asarray(found[0]["transform_matrix"], np.float64) @ np.diag([1.0, -1, -1, 1]))


def _by_part(names: Mapping[str, Any]) -> FloatArray | None:
    """Returns the 7 numbers of a mapping that names each of them, qx, qy, qz and qw among them, or None."""
    turn = ("qx", "qy", "qz", "qw")
    place = next((keys for keys in PLACE_COLUMNS if set(keys) <= set(names)), None)
    if place is None or not set(turn) <= set(names):
        return None
    return np.asarray([names[key] for key in (*place, *turn)], np.float64).ravel()


def _parts(value: Any) -> FloatArray:
    """Returns the numbers of a vector, a quaternion or a matrix, given as a list or by the names of its parts."""
    if isinstance(value, Mapping):
        names = {str(key).lower().removeprefix("q"): number for key, number in value.items()}
        value = [names[name] for name in ("xyzw" if "w" in names else "xyz")]
    return np.asarray(value, np.float64)


def _joined(place: FloatArray, turn: FloatArray) -> FloatArray:
    if turn.size == 9:
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = turn.reshape(3, 3), place.ravel()
        return pose
    return np.concatenate([place.ravel(), turn.ravel()])
