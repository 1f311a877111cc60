"""Grasps as MoveIt's users take them: YAML in the fields of ``moveit_msgs/Grasp`` and ``geometry_msgs/PoseStamped``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sim.errors import InputError
from sim.geometry import make_pose

APPROACH = (0.1, 0.2)  # least and desired distance of the straight way in, metres; the benchmark's is 0.2


def moveit_document(
    poses: NDArray[np.float64],
    width: NDArray[np.float64],
    quality: NDArray[np.float64],
    *,
    reference: str,
    hand_frame: str,
    tips: NDArray[np.float64],
    joints: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Returns the document of a YAML file, plain values only.

    ``grasp_pose`` is the pose of the hand's frame. ``pre_grasp_posture`` opens every finger joint by half the width,
    as prismatic fingers count. Widths stand beside the messages, which have no field for them.

    Args:
        poses: (N, 4, 4) poses of ``hand_frame`` in ``reference``, metres.
        width: (N,) openings, metres.
        quality: (N,) qualities in [0, 1].
        reference: Frame of the poses: "camera" or "world"; it becomes the ``frame_id``.
        hand_frame: Frame of the hand whose poses these are.
        tips: (4, 4) T_F_grasp, the pose of the grasp frame in that frame, metres. Its z is the approach. It stands in
            the document, so that the grasps can be read whatever hand the reader has; the grasp frame needs none.
        joints: Names of the finger joints; without them the posture is left empty.
    """
    quaternions = Rotation.from_matrix(poses[:, :3, :3]).as_quat() if len(poses) else np.zeros((0, 4))
    along = (np.round(tips[:3, 2], 12) + 0.0).tolist()
    grasps = []
    for i, pose in enumerate(poses):
        position = dict(zip("xyz", pose[:3, 3].tolist(), strict=True))
        orientation = dict(zip("xyzw", quaternions[i].tolist(), strict=True))
        posture: dict[str, Any] = {"joint_names": list(joints), "points": []}
        if joints:
            posture["points"] = [{"positions": [float(width[i]) / 2] * len(joints)}]
        grasps.append(
            {
                "id": f"grasp_{i}",
                "grasp_quality": float(quality[i]),
                "grasp_pose": {
                    "header": {"frame_id": reference},
                    "pose": {"position": position, "orientation": orientation},
                },
                "pre_grasp_posture": posture,
                "pre_grasp_approach": {
                    "direction": {
                        "header": {"frame_id": hand_frame},
                        "vector": dict(zip("xyz", along, strict=True)),
                    },
                    "min_distance": APPROACH[0],
                    "desired_distance": APPROACH[1],
                },
            }
        )
    known: dict[str, Any] = {"reference": reference, "hand_frame": hand_frame}
    if hand_frame != "grasp":
        known["T_hand_grasp"] = np.asarray(tips, np.float64).tolist()
    return {**known, "widths": [float(w) for w in width], "grasps": grasps}


def read_moveit_document(
    document: Any, source: str
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None, NDArray[np.float64], str, str]:
    """Returns what a document of ``moveit_document``, or a list of ``moveit_msgs/Grasp``, says.

    Args:
        document: The YAML file's content.
        source: Name of the file in messages.

    Returns:
        (N, 4, 4) poses, (N,) widths or None where the file has none, (N,) qualities, reference and hand's frame.

    Raises:
        InputError: A field is missing or no number.
    """
    known = document if isinstance(document, Mapping) else {"grasps": document}
    try:
        messages = list(known["grasps"] or [])
        poses = [_pose(message["grasp_pose"]["pose"]) for message in messages]
        quality = np.array([float(message.get("grasp_quality", 1.0)) for message in messages], np.float64)
        references = {str(message["grasp_pose"]["header"]["frame_id"] or "") for message in messages}
        widths = None if known.get("widths") is None else np.array(known["widths"], np.float64)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"'{source}' is no list of MoveIt grasps ({type(error).__name__}: {error}); each needs grasp_pose: "
            "{header: {frame_id}, pose: {position: {x, y, z}, orientation: {x, y, z, w}}}"
        ) from None
    if len(references) > 1:
        raise InputError(f"'{source}' mixes frames {', '.join(sorted(references))}; give grasps in one frame")
    reference = str(known.get("reference") or (references.pop() if references else "") or "camera")
    return np.array(poses).reshape(-1, 4, 4), widths, quality, reference, str(known.get("hand_frame", "grasp"))


def _pose(message: Mapping[str, Any]) -> NDArray[np.float64]:
    """Returns the (4, 4) pose of a ``geometry_msgs/Pose``; raises KeyError, TypeError or ValueError."""
    place = [float(message["position"][k]) for k in "xyz"]
    turn = np.array([float(message["orientation"][k]) for k in "xyzw"])
    if not (np.isfinite([*place, *turn]).all() and abs(np.linalg.norm(turn) - 1) < 1e-2):
        raise ValueError(f"position {place} and orientation {turn.tolist()} are no pose")
    return make_pose(Rotation.from_quat(turn).as_matrix(), place)
