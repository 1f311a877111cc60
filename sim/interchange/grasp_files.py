"""Grasp files of this and other programs: our JSON, GraspNet's rows, Contact-GraspNet's npz, MoveIt's YAML, CSV."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from sim.errors import InputError
from sim.files import atomic_path, decoded
from sim.grasp import GraspPoses
from sim.gripper import GripperGeometry
from sim.interchange.frame_ids import reference_of
from sim.interchange.grasp_tables import read_grasp_table
from sim.interchange.hand_frames import frame_of_grasp, from_frame, read_pose, to_frame
from sim.interchange.moveit import moveit_document, read_moveit_document
from sim.interchange.pickled_arrays import read_archive

FORMATS = {
    "graspnet": "_graspnet.npy",
    "contact_graspnet": "_contact_graspnet.npz",
    "moveit": "_moveit.yaml",
}
IN_CAMERA = ("graspnet", "contact_graspnet")  # formats that name no frame: their poses are the camera's
SUFFIXES = (".json", ".npy", ".npz", ".yaml", ".yml", ".csv")
_CONTACT_DEPTH = 0.0088  # metres from the Franka hand's tips back to the pads' middle, where the method's contacts lie


def write_grasps(
    grasps: GraspPoses,
    path: str | Path,
    gripper: GripperGeometry,
    *,
    format: str,
    hand_frame: str = "grasp",
) -> Path:
    """Writes grasps, whole or not at all.

    Args:
        grasps: The grasps, in the camera's frame or, for MoveIt, the world's.
        path: Path of the file.
        gripper: The gripper.
        format: Name of the format: "graspnet" (npy, (N, 17) float64), "contact_graspnet" (npz with ``pred_grasps_cam``,
            ``scores``, ``contact_pts``, ``gripper_openings``, each a dictionary of one segment, -1) or "moveit" (YAML).
        hand_frame: Frame of the hand whose poses MoveIt's file holds; the other two formats fix theirs.

    Returns:
        The path.

    Raises:
        InputError: The format is unknown or means another frame than the grasps', or the hand has no such frame.
    """
    if format not in FORMATS:
        raise InputError(f"grasp format is '{format}'; choose one of {', '.join(FORMATS)}")
    if format in IN_CAMERA and grasps.frame != "camera":
        raise InputError(
            f"{format}'s files hold grasps in the camera's frame, these are in that of the {grasps.frame}; give them "
            "in the camera's, or write moveit, which names its frame"
        )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        if format == "graspnet":
            with temporary.open("wb") as file:
                np.save(file, grasps.to_graspnet())
        elif format == "contact_graspnet":
            with temporary.open("wb") as file:
                np.savez(file, **_contact_arrays(grasps, gripper))
        else:
            poses = to_frame(grasps, hand_frame, gripper)
            told: dict[str, Any] = {"reference": grasps.frame, "hand_frame": hand_frame}
            told["tips"] = frame_of_grasp(hand_frame, gripper)
            document = moveit_document(poses, grasps.width, grasps.quality, **told)
            temporary.write_text(yaml.safe_dump(document, sort_keys=False))
    return path


def _contact_arrays(grasps: GraspPoses, gripper: GripperGeometry) -> dict[str, Any]:
    """Returns Contact-GraspNet's arrays: each a dictionary from a segment's number to its grasps; here one, -1."""
    contacts = grasps.translation - _CONTACT_DEPTH * grasps.rotation[:, :, 2]
    contacts = contacts - grasps.width[:, None] / 2 * grasps.rotation[:, :, 0]
    poses = to_frame(grasps, "contact_graspnet", gripper)
    columns = {
        "pred_grasps_cam": poses,
        "scores": grasps.quality,
        "contact_pts": contacts,
        "gripper_openings": grasps.width,
    }
    return {name: np.array({-1: values}, dtype=object) for name, values in columns.items()}


def read_grasps(path: str | Path, gripper: GripperGeometry) -> GraspPoses:
    """Returns the grasps of a file, best first.

    Args:
        path: A JSON file of ``python -m plgp.predict``; an npy file of GraspNet's rows, (N, 17), or of poses of the
            grasp frame, (N, 4, 4); Contact-GraspNet's npz; MoveIt's YAML; a CSV table (``read_grasp_table``). Those
            without widths get the widest opening.
        gripper: The gripper. Where the JSON or YAML file holds ``T_hand_grasp``, the pose of the grasp frame in the
            frame of the hand whose poses it gives, that counts before the gripper's ``frames``.

    Returns:
        The grasps in the frame that the file states, the world's or a camera's; "camera" where it states none.

    Raises:
        InputError: The file is missing, broken, of another format, in another frame, or holds values that are no
            grasps.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no grasp file at '{path}'; give another path")
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise InputError(f"'{path}' is no grasp file that is known; give one of {', '.join(SUFFIXES)}")
    if kind == ".json":
        grasps = _from_record(_parsed(path, json.loads), path, gripper)
    elif kind == ".npy":
        grasps = _from_array(path, gripper)
    elif kind == ".npz":
        grasps = _from_contact_arrays(read_archive(path), path, gripper)
    elif kind == ".csv":
        found = read_grasp_table(_parsed(path, str), f"'{path}'")
        told: dict[str, Any] = {"width": found.width, "quality": found.quality, "frame": "camera"}
        grasps = _made(path, found.poses, gripper, hand_frame="grasp", **told)
    else:
        document = _parsed(path, yaml.safe_load)
        poses, width, quality, reference, hand_frame = read_moveit_document(document, str(path))
        hand = _hand_of(document, hand_frame, path)
        grasps = _made(path, poses, gripper, hand_frame=hand, width=width, quality=quality, frame=reference)
    return grasps[np.argsort(-grasps.quality, kind="stable")]


def _parsed(path: Path, parse: Any) -> Any:
    """Returns a text file's content; raises InputError where it cannot be read."""
    try:
        return parse(decoded(path.read_bytes()))
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        first = (str(error).splitlines() or [""])[0][:120]
        raise InputError(f"'{path}' cannot be read ({first}); give a sound {path.suffix} file") from None


def _made(
    path: Path,
    poses: NDArray[np.float64],
    gripper: GripperGeometry,
    *,
    hand_frame: str | NDArray[np.float64],
    width: NDArray[np.float64] | None,
    quality: NDArray[np.float64],
    frame: str,
) -> GraspPoses:
    """Returns checked grasps from the poses of a hand's frame; raises InputError."""
    n = len(poses)
    width = np.full(n, gripper.max_opening) if width is None else np.asarray(width, np.float64)
    quality = np.asarray(quality, np.float64)
    if width.shape != (n,) or quality.shape != (n,):
        raise InputError(f"'{path}' holds {n} poses, {width.size} widths and {quality.size} qualities; give one each")
    for name, values in (("pose", poses.reshape(n, 16)), ("width", width), ("quality", quality)):
        if not np.isfinite(values).all():
            bad = int(np.nonzero(~np.isfinite(values))[0][0])
            raise InputError(f"'{path}': the {name} of grasp {bad} is not finite; leave such grasps out")
    turn = np.clip(poses[:, :3, :3], -2, 2)  # farther off is no rotation either
    proper = np.isclose(turn @ turn.transpose(0, 2, 1), np.eye(3), atol=1e-2).all(axis=(1, 2))
    proper &= np.linalg.det(turn) > 0 if n else True
    if not proper.all():
        raise InputError(
            f"'{path}': the rotation of grasp {int(np.argmin(proper))} is none (right-handed, orthonormal)"
        )
    reach = np.abs(poses[:, :3, 3]).max(initial=0.0)
    if reach > 20:
        raise InputError(f"'{path}' holds a place {reach:.0f} m away; give metres, not millimetres")
    if n and (width.min() < 0 or width.max() > 1):
        raise InputError(f"'{path}' holds widths of {width.min():g} to {width.max():g}; give metres")
    frame = reference_of(frame, str(path))
    return from_frame(poses, hand_frame, gripper, width=width, quality=quality, frame=frame)


def _from_array(path: Path, gripper: GripperGeometry) -> GraspPoses:
    """Returns the grasps of an npy file; raises InputError."""
    try:
        array = np.load(path, allow_pickle=False)
        if array.dtype.kind not in "fiu":
            raise ValueError(f"its type is {array.dtype}")
    except Exception as error:  # a broken header raises whatever the damage leads to
        first = (str(error).splitlines() or [""])[0][:120]
        raise InputError(f"'{path}' cannot be read ({first}); give an npy file of numbers") from None
    if array.ndim == 3 and array.shape[1:] == (4, 4):
        poses, quality = array.astype(np.float64), np.linspace(1, 0, len(array), endpoint=False)
        return _made(path, poses, gripper, hand_frame="grasp", width=None, quality=quality, frame="camera")
    if array.ndim != 2 or array.shape[1] != 17:
        raise InputError(f"'{path}' has the shape {array.shape}; give GraspNet's (N, 17) or poses (N, 4, 4)")
    found = GraspPoses.from_graspnet(array)
    poses = to_frame(found, "grasp", gripper)
    return _made(path, poses, gripper, hand_frame="grasp", width=found.width, quality=found.quality, frame="camera")


def _from_contact_arrays(arrays: Mapping[str, Any], path: Path, gripper: GripperGeometry) -> GraspPoses:
    """Returns the grasps of all segments of Contact-GraspNet's arrays; raises InputError."""
    if "pred_grasps_cam" not in arrays or "scores" not in arrays:
        raise InputError(f"'{path}' holds {', '.join(arrays) or 'nothing'}; give pred_grasps_cam and scores")
    columns = {name: _segments(arrays.get(name)) for name in ("pred_grasps_cam", "scores", "gripper_openings")}
    poses, scores, openings = [], [], []
    try:
        for key, some in columns["pred_grasps_cam"].items():
            poses.append(np.asarray(some, np.float64).reshape(-1, 4, 4))
            scores.append(np.asarray(columns["scores"][key], np.float64).ravel())
            if columns["gripper_openings"]:
                openings.append(np.asarray(columns["gripper_openings"][key], np.float64).ravel())
    except (TypeError, ValueError, KeyError) as error:
        raise InputError(f"'{path}': pred_grasps_cam, scores and gripper_openings do not fit ({error})") from None
    width = np.concatenate(openings) if openings else None
    every = np.concatenate([np.zeros((0, 4, 4)), *poses])
    quality = np.concatenate([np.zeros(0), *scores])
    return _made(path, every, gripper, hand_frame="contact_graspnet", width=width, quality=quality, frame="camera")


def _segments(value: Any) -> dict[Any, Any]:
    """Returns a dictionary of segments; an array is one segment."""
    if value is None:
        return {}
    return dict(value) if isinstance(value, Mapping) else {-1: value}


def _from_record(record: Any, path: Path, gripper: GripperGeometry) -> GraspPoses:
    """Returns the grasps of a JSON file of ``python -m plgp.predict``; raises InputError."""
    try:
        rows = record["grasps"]
        poses = np.tile(np.eye(4), (len(rows), 1, 1))
        for pose, row in zip(poses, rows, strict=True):
            pose[:3, :3], pose[:3, 3] = row["rotation"], row["translation"]
        width = np.array([float(row["width"]) for row in rows], np.float64)
        quality = np.array([float(row["quality"]) for row in rows], np.float64)
        hand_frame, frame = str(record.get("hand_frame", "grasp")), str(record.get("reference") or "camera")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"'{path}' is no record of grasps ({type(error).__name__}: {error}); each grasp needs "
            "translation, rotation, width and quality"
        ) from None
    hand = _hand_of(record, hand_frame, path)
    return _made(path, poses, gripper, hand_frame=hand, width=width, quality=quality, frame=frame)


def _hand_of(document: Any, hand_frame: str, path: Path) -> str | NDArray[np.float64]:
    """Returns T_hand_grasp as a file holds it, (4, 4) metres, or else the name of the hand's frame."""
    held = document.get("T_hand_grasp") if isinstance(document, Mapping) else None
    if held is None:
        return hand_frame
    try:
        return read_pose(np.asarray(held, np.float64), f"T_hand_grasp of '{path}'")
    except (TypeError, ValueError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"T_hand_grasp of '{path}' is no pose; give 4 rows of 4 numbers, metres") from None
