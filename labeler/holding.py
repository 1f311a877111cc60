"""Can the pads hold what an object weighs? Weight and its torque about the closing axis, against the pads' friction."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from labeler.settings import LabelSettings
from sim.errors import InputError
from sim.grasp import PixelGrasps
from sim.gripper import GripperGeometry
from sim.view import SceneView, ViewObject

_GRAVITY = 9.81  # m/s^2
_LIFTED = 1.3  # weights that a pad bears: the benchmark's lift accelerates by 0.3 g


def can_hold(
    grasps: PixelGrasps, view: SceneView, *, gripper: GripperGeometry, settings: LabelSettings
) -> NDArray[np.bool_]:
    """Tells which grasps the pads' friction holds, however the object hangs between them.

    The two pads press with F each and touch over a patch of radius a. They bear a force W across the closing axis
    and a torque T about it while ``(W / (2 mu F))^2 + (T / (2 tau))^2 <= 1`` with ``tau = 2/3 a mu F``: the limit
    surface as an ellipse (Howe and Cutkosky, 1996). W is 1.3 m g, and T its lever about the grasp's closing axis.

    Args:
        grasps: N grasps on the view's depth image.
        view: View whose objects have a mass and a centre of mass.
        gripper: Gripper, whose force is F.
        settings: Label settings, whose ``hold_friction`` is mu and ``pad_radius`` a.

    Returns:
        (N,) bool.

    Raises:
        InputError: The mass of an object with a grasp is unknown, as in views made of arrays alone.
    """
    held = np.zeros(len(grasps), bool)
    if not len(grasps):
        return held
    poses = grasps.to_poses(view.depth, view.camera)
    known = {seen.mask_value: seen for seen in view.objects}
    owner = view.instance_mask[grasps.row, grasps.col]
    down = view.camera.pose[:3, :3].T @ np.array([0.0, 0.0, -1.0])
    bearable = 2 * settings.hold_friction * gripper.force
    for value in np.unique(owner):
        own = owner == value
        mass, centre = _mass_properties(known.get(int(value)), int(value))
        weight = _LIFTED * mass * _GRAVITY * down
        closing = poses.rotation[own, :, 0]
        torque = np.einsum("ij,ij->i", np.cross(centre - poses.translation[own], weight), closing)
        across = np.linalg.norm(weight - (closing @ weight)[:, None] * closing, axis=1)
        twist = bearable * 2 / 3 * settings.pad_radius
        held[own] = (across / bearable) ** 2 + (torque / twist) ** 2 <= 1
    return held


def _mass_properties(seen: ViewObject | None, value: int) -> tuple[float, NDArray[np.float64]]:
    """Returns an object's mass, kg, and its centre of mass in the camera's frame, (3,) metres; raises InputError."""
    if seen is None or seen.mass is None or seen.centre_of_mass is None:
        name = f"object {value}" if seen is None else f"'{seen.name}'"
        raise InputError(
            f"labeler.hold_friction wants the mass of {name}, which this view does not know; render the view from a "
            "scene, or set labeler.hold_friction=0"
        )
    return seen.mass, seen.pose_camera[:3, :3] @ seen.centre_of_mass + seen.pose_camera[:3, 3]
