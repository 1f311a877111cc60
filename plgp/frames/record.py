"""What is written of an image's grasps: a JSON record and a table."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.table import Table
from scipy.spatial.transform import Rotation

from sim.depth_image.overhead_view import OverheadView
from sim.grasp import GraspPoses, PixelGrasps
from sim.gripper import GripperGeometry
from sim.interchange.hand_frames import frame_of_grasp, to_frame
from sim.view import Observation

if TYPE_CHECKING:
    from plgp.policy.network import NetworkPolicy

FRAMES = {
    "camera": "optical frame: x right, y down, z forward",
    "grasp": "origin in the middle between the finger tips; x closing direction, y = z cross x, z approach",
    "translation": "origin of the hand's frame (hand_frame) in the reference frame (reference)",
    "rotation": "3x3, columns are the axes of the hand's frame in the reference frame",
    "T_hand_grasp": "4x4, pose of the grasp frame in the hand's frame (hand_frame), where that is another",
    "angle": "of the closing direction in the image, counter-clockwise as the image is seen, in [0, pi)",
    "depth": "how far the finger tips go below the surface at (row, col), along the approach",
    "view": "what the network was shown; its plane and pose are in the camera's frame",
    "width": "opening between the inner finger faces when the gripper comes down",
    "row, col": "pixel of the grasp point, pixel centres at integers, rows downwards",
}
UNITS = {"length": "metre", "angle": "radian", "row, col": "pixel", "quality": "score in [0, 1], ranks within an image"}


def grasp_record(
    policy: NetworkPolicy,
    seen: Observation,
    grasps: PixelGrasps,
    *,
    poses: GraspPoses,
    sources: dict[str, str],
    hand_frame: str = "grasp",
    view: OverheadView | None = None,
) -> dict[str, Any]:
    """Returns what the JSON file holds: grasps best first, frames, units, camera, gripper, sources.

    Args:
        policy: The policy; the widths are for its gripper.
        seen: The image.
        grasps: The grasps, as pixels.
        poses: The same grasps in the reference frame, "camera" or "world".
        sources: Names of the files that were read.
        view: View that the network was shown; None where it was shown the image as it is.
        hand_frame: Frame of the hand whose poses the record gives; see ``sim.interchange.frame_of_grasp``.

    Raises:
        InputError: The gripper has no such frame.
    """
    given = to_frame(poses, hand_frame, policy.gripper)
    quaternions = Rotation.from_matrix(given[:, :3, :3]).as_quat() if len(poses) else np.zeros((0, 4))
    rows = [
        {
            "rank": i + 1,
            "quality": float(poses.quality[i]),
            "row": int(grasps.row[i]),
            "col": int(grasps.col[i]),
            "angle": float(grasps.angle[i]),
            "depth": float(grasps.depth[i]),
            "width": float(poses.width[i]),
            "translation": given[i, :3, 3].tolist(),
            "rotation": given[i, :3, :3].tolist(),
            "quaternion_xyzw": quaternions[i].tolist(),
        }
        for i in range(len(poses))
    ]
    camera = {
        "width": seen.camera.width,
        "height": seen.camera.height,
        "intrinsics": seen.camera.intrinsics.tolist(),
    }
    if poses.frame == "world":
        camera["pose"] = seen.camera.pose.tolist()
    frames = {"view": _view_record(view, policy.view.approach), "reference": poses.frame}
    frames |= _hand_record(hand_frame, policy.gripper)
    known: dict[str, Any] = {
        "sources": sources,
        "camera": camera,
        "gripper": asdict(policy.gripper),
        "modality": modality(policy),
    }
    if policy.trained_view is not None:
        known["trained_view"] = policy.trained_view.to_dict()
    return {**known, **frames, "frames": FRAMES, "units": UNITS, "grasps": rows}


def _hand_record(hand_frame: str, gripper: GripperGeometry) -> dict[str, Any]:
    """Returns what a record says of the hand's frame: its name, and where the tips are in it."""
    if hand_frame == "grasp":
        return {"hand_frame": hand_frame}
    return {"hand_frame": hand_frame, "T_hand_grasp": frame_of_grasp(hand_frame, gripper).tolist()}


def _view_record(view: OverheadView | None, approach: str) -> dict[str, Any]:
    """Returns what a record says of the view that the network was shown."""
    if view is None:
        return {"shown": "as_is"}
    plane = view.plane
    told = {"normal": plane.normal.tolist(), "distance": plane.distance, "tilt": plane.tilt}
    return {"shown": "trained", "approach": approach, "pose": view.pose.tolist(), "plane": told}


def modality(policy: NetworkPolicy) -> str:
    """Returns what a policy's network looks at: depth, rgb or rgbd."""
    return policy.input_format.modality


def grasp_table(record: dict[str, Any], shown: int) -> Table:
    """Returns the first ``shown`` grasps of a record as a table, in millimetres and degrees."""
    title = f"{Path(record['sources']['depth']).name}: {len(record['grasps'])} grasps, {record['reference']} frame"
    if record["hand_frame"] != "grasp":
        title += f", poses of the hand's '{record['hand_frame']}'"
    table = Table(title=title)
    for head in ("rank", "score", "row", "col", "angle, deg", "width, mm", "depth, mm", "x, mm", "y, mm", "z, mm"):
        table.add_column(head, justify="right")
    for row in record["grasps"][:shown]:
        lengths = [row["width"], row["depth"], *row["translation"]]
        numbers = [f"{row['quality']:.3f}", str(row["row"]), str(row["col"]), f"{np.degrees(row['angle']):.0f}"]
        table.add_row(str(row["rank"]), *numbers, *(f"{1000 * value:.1f}" for value in lengths))
    return table
