"""The parallel-jaw gripper's measures."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from sim.errors import InputError


@dataclass(frozen=True)
class GripperGeometry:
    """A parallel-jaw gripper as boxes, Fig. 3 (c); all lengths in metres.

    In the grasp frame (x closing, z approach, y = z x x, origin between the tips) a finger's
    box is ``finger_thickness`` along x, ``finger_width`` along y, ``finger_length`` along z.

    Attributes:
        finger_width: Width L1 of a finger, along y.
        finger_thickness: Thickness L2 of a finger, along x.
        finger_length: Length L3 of a finger, from the palm to the tip; also the greatest grasp depth.
        max_opening: Greatest distance L4 between the inner finger faces.
        palm_width: Extent of the palm along x.
        palm_thickness: Extent of the palm along y.
    """

    finger_width: float = 0.017
    finger_thickness: float = 0.005
    finger_length: float = 0.050
    max_opening: float = 0.100
    palm_width: float = 0.130
    palm_thickness: float = 0.030

    def __post_init__(self) -> None:
        """Checks that all lengths are positive and finite; raises InputError."""
        for name, value in asdict(self).items():
            if not (np.isfinite(value) and value > 0):
                raise InputError(f"gripper.{name} is {value}; give a positive length in metres")
