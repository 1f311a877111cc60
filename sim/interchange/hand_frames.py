"""The frames of a hand, in which other programs want grasps: flange, tool0, GraspNet's, Contact-GraspNet's.

A grasp's pose is that of the grasp frame: origin midway between the finger tips, x along the closing direction, z along
the approach, y = z x x. Every other frame F of a hand is fixed to it by T_F_grasp, the pose of the grasp frame in F, so
that T_world_F = T_world_grasp @ inv(T_F_grasp).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sim.errors import InputError
from sim.geometry import make_pose
from sim.grasp import GraspPoses
from sim.gripper import GripperGeometry

FloatArray = NDArray[np.float64]

# The Franka hand's base frame to its finger tips along the approach, metres: the model hand that Contact-GraspNet was
# trained with (panda_gripper_coords.yml of its authors). Its x is the closing direction, unlike panda_hand's.
CONTACT_GRASPNET_TIP = 0.112204
ALIASES = {"tool0": "flange", "tcp": "grasp"}
# Frames that need nothing of the gripper but its finger length.
_FARTHEST = 50.0  # metres: a pose that is farther from the origin is in millimetres
_EVERY_HAND = ("grasp", "palm", "graspnet", "contact_graspnet")


def frame_names(gripper: GripperGeometry) -> list[str]:
    """Returns the names of the frames that are known of a hand; "tool0" stands for its flange."""
    own = [*gripper.frame_origins]
    aliases = [alias for alias, name in ALIASES.items() if name in (*_EVERY_HAND, *own) and alias not in own]
    return [*_EVERY_HAND, *(name for name in own if name not in _EVERY_HAND), *aliases]


def frame_of_grasp(name: str, gripper: GripperGeometry) -> FloatArray:
    """Returns T_F_grasp, the pose of the grasp frame in a frame of the hand.

    Args:
        name: Name of the frame F. Every hand has "grasp"; "palm", in the middle of the palm's front, a finger's length
            behind the tips, with the grasp frame's axes; "graspnet", whose columns are approach, closing and their
            cross product; and "contact_graspnet", the base of the Franka hand of that method, 112 mm behind the tips.
            The others are the gripper's own ``frames``: "flange" and what its maker calls the rest.
        gripper: The gripper.

    Returns:
        (4, 4) float64, metres.

    Raises:
        InputError: The hand has no such frame.
    """
    name = name if name in gripper.frame_origins else ALIASES.get(name, name)
    if name in gripper.frame_origins:
        xyz, rpy = gripper.frame_origins[name]
        return make_pose(Rotation.from_euler("xyz", rpy).as_matrix(), xyz)
    if name == "grasp":
        return np.eye(4)
    if name == "palm":
        return make_pose(np.eye(3), (0.0, 0.0, gripper.finger_length))
    if name == "contact_graspnet":
        return make_pose(np.eye(3), (0.0, 0.0, CONTACT_GRASPNET_TIP))
    if name == "graspnet":  # columns: the grasp frame's x, y, z in GraspNet's (approach, closing, approach x closing)
        return make_pose(np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), np.zeros(3))
    known = ", ".join(frame_names(gripper))
    raise InputError(
        f"this gripper has no frame '{name}'; choose one of {known}, or give gripper=NAME of conf/gripper, whose "
        "'frames' name its flange"
    )


def to_frame(grasps: GraspPoses, name: str, gripper: GripperGeometry) -> FloatArray:
    """Returns the poses of a frame of the hand: T_a_F = T_a_grasp @ inv(T_F_grasp).

    Args:
        grasps: N grasps in any frame a.
        name: Name of the hand's frame F; see ``frame_of_grasp``.
        gripper: The gripper.

    Returns:
        (N, 4, 4) float64 poses in a, metres.

    Raises:
        InputError: The hand has no such frame.
    """
    poses = np.tile(np.eye(4), (len(grasps), 1, 1))
    poses[:, :3, :3], poses[:, :3, 3] = grasps.rotation, grasps.translation
    moved: FloatArray = poses @ np.linalg.inv(frame_of_grasp(name, gripper))
    return moved


def from_frame(
    poses: NDArray[np.floating],
    name: str | FloatArray,
    gripper: GripperGeometry,
    *,
    width: NDArray[np.floating],
    quality: NDArray[np.floating],
    frame: str = "camera",
) -> GraspPoses:
    """Returns grasps from the poses of a frame of the hand; the inverse of ``to_frame``.

    Args:
        poses: (N, 4, 4) T_a_F, metres.
        name: Name of the hand's frame F, see ``frame_of_grasp``, or T_F_grasp itself, (4, 4), metres.
        gripper: The gripper.
        width: (N,) openings between the inner finger faces, metres.
        quality: (N,) qualities in [0, 1].
        frame: Name of the frame a, "camera" or "world".

    Raises:
        InputError: The hand has no such frame.
    """
    fixed = frame_of_grasp(name, gripper) if isinstance(name, str) else name
    moved = np.asarray(poses, np.float64).reshape(-1, 4, 4) @ fixed
    return GraspPoses(moved[:, :3, 3], moved[:, :3, :3], np.asarray(width), np.asarray(quality), frame)


def read_pose(text: str | FloatArray, name: str = "camera_pose") -> FloatArray:
    """Returns a pose from numbers: 16 row by row, x,y,z,qx,qy,qz,qw, or an array.

    Args:
        text: Numbers with commas or blanks between them, or a (4, 4), (16,) or (7,) array. Lengths are metres.
        name: Name of the pose in messages.

    Returns:
        (4, 4) float64, T_world_camera for a camera's pose; its rotation is made orthonormal.

    Raises:
        InputError: The numbers are no pose.
    """
    try:
        values = np.asarray(text.replace(",", " ").split() if isinstance(text, str) else text, np.float64).ravel()
    except ValueError:
        given = " ".join(str(text).split())[:60]
        raise InputError(
            f"{name}={given}: give 16 numbers row by row, x,y,z,qx,qy,qz,qw in metres, or a file"
        ) from None
    if len(values) in (7, 16) and not np.isfinite(values).all():
        raise InputError(f"{name} has NaN or infinite numbers; give finite ones")
    place = values[:3] if len(values) == 7 else values[3::4][:3]
    if len(values) in (7, 16) and np.linalg.norm(place) > _FARTHEST:
        raise InputError(f"{name} lies {np.linalg.norm(place):g} m from the origin, as if in millimetres; give metres")
    if len(values) == 7 and abs(np.linalg.norm(values[3:]) - 1) < 1e-2:
        return make_pose(Rotation.from_quat(values[3:]).as_matrix(), values[:3])
    if len(values) == 7:
        raise InputError(f"{name}: the quaternion {values[3:].tolist()} has not length 1; give x,y,z,qx,qy,qz,qw")
    if len(values) != 16:
        raise InputError(f"{name} has {len(values)} numbers; give 16 row by row, or x,y,z,qx,qy,qz,qw in metres")
    pose = values.reshape(4, 4)
    if not np.allclose(pose[3], (0, 0, 0, 1), atol=1e-6):
        cure = "it looks column-major: give it row by row" if np.allclose(pose[:3, 3], 0) else "give T_world_camera"
        raise InputError(f"{name}: the last row is {pose[3].tolist()}, not 0 0 0 1; {cure}")
    turn = pose[:3, :3]
    if not np.allclose(turn @ turn.T, np.eye(3), atol=1e-2) or np.linalg.det(turn) < 0:
        raise InputError(f"{name}: its upper left 3x3 numbers are no rotation (right-handed, orthonormal)")
    return make_pose(Rotation.from_matrix(turn).as_matrix(), pose[:3, 3])
