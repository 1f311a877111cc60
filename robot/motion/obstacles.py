"""What stands in a cell: boxes that arm, hand and camera keep clear of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.geometry import make_pose
from sim.physics import TraySettings, matrix_to_pose, pybullet

FloatArray = NDArray[np.float64]

_GROUND = 3.0  # metres: side of the ground, or of the table
_PEDESTAL = 0.16  # metres: side of the arm's pedestal


@dataclass(frozen=True)
class Obstacle:
    """A thing made of boxes.

    Attributes:
        name: Name in messages, for example "the tray".
        boxes: (size (3,) m, T_world_box (4, 4)) pairs.
        carries_arm: Whether the arm's base stands on it: base and first link may touch it.
    """

    name: str
    boxes: tuple[tuple[FloatArray, FloatArray], ...]
    carries_arm: bool = False

    def put_in(self, client: int) -> int:
        """Puts the thing into a PyBullet client as one body that never moves; returns PyBullet's number of it."""
        poses = [matrix_to_pose(pose) for _, pose in self.boxes]
        shape = pybullet.createCollisionShapeArray(
            shapeTypes=[pybullet.GEOM_BOX] * len(self.boxes),
            halfExtents=[(size / 2).tolist() for size, _ in self.boxes],
            collisionFramePositions=[position for position, _ in poses],
            collisionFrameOrientations=[quaternion for _, quaternion in poses],
            physicsClientId=client,
        )
        body: int = pybullet.createMultiBody(0, shape, physicsClientId=client)
        return body


def tray_obstacle(tray: TraySettings) -> Obstacle:
    """Returns floor and walls of the tray."""
    return Obstacle("the tray", tuple(tray.boxes()))


def ground_obstacle(tray: TraySettings) -> Obstacle:
    """Returns the table on which the tray stands."""
    pose = make_pose(np.eye(3), (0, 0, -tray.thickness - 0.05))
    return Obstacle("the table", ((np.array([_GROUND, _GROUND, 0.1]), pose),), carries_arm=True)


def pedestal_obstacle(base: FloatArray, tray: TraySettings) -> Obstacle | None:
    """Returns what the arm stands on, from the table to its base; None where the base is on the table.

    Args:
        base: (4, 4) T_world_base, metres.
        tray: The tray, for the height of the table.
    """
    height = float(base[2, 3] + tray.thickness)
    if height < 0.01:
        return None
    middle = (base[0, 3], base[1, 3], base[2, 3] - height / 2)
    return Obstacle(
        "the pedestal", ((np.array([_PEDESTAL, _PEDESTAL, height]), make_pose(np.eye(3), middle)),), carries_arm=True
    )
