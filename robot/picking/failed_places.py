"""Where grasps have failed in this tray: other places come first."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.grasp import GraspPoses

FloatArray = NDArray[np.float64]

_NEAR = 0.015  # metres within which a grasp is at a failed place
_ANGLE = np.radians(30)  # between closing directions of grasps that count as one
_FACTOR = 0.3  # on the quality, once for each failure, as plgp.policy's own memory has it
_GONE = 0.08  # metres around a success within which things have moved


class FailedPlaces:
    """Grasps after which the object was still there."""

    def __init__(self) -> None:
        """Starts empty."""
        self._places: list[tuple[FloatArray, FloatArray]] = []

    def __len__(self) -> int:
        """Number of failures that are remembered."""
        return len(self._places)

    def order(self, grasps: GraspPoses) -> NDArray[np.int64]:
        """Returns the indices of grasps, world frame, best first: a failed place counts less.

        Args:
            grasps: The grasps, best first.
        """
        weight = np.ones(len(grasps))
        for place, closing in self._places:
            near = np.linalg.norm(grasps.translation - place, axis=1) < _NEAR
            along = np.abs(grasps.rotation[:, :, 0] @ closing) > np.cos(_ANGLE)
            weight[near & along] *= _FACTOR
        return np.argsort(-grasps.quality * weight, kind="stable").astype(np.int64)

    def failed(self, grasp: FloatArray) -> None:
        """Remembers a grasp, (4, 4) T_world_grasp, metres."""
        self._places.append((grasp[:3, 3].copy(), grasp[:3, 0].copy()))

    def succeeded(self, grasp: FloatArray) -> None:
        """Forgets what lies around a grasp that took an object away, (4, 4) T_world_grasp, metres."""
        self._places = [(p, c) for p, c in self._places if np.linalg.norm(p - grasp[:3, 3]) > _GONE]
