"""Grasps as Contact-GraspNet describes them, section III-A of its paper, and how its heads tell them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sim.grasp import GraspPoses

FloatArray = NDArray[np.float64]

# The Franka hand of the training (panda_gripper_coords.yml of its authors), metres along the approach from the
# hand's base frame: to the contacts at the pads' middle, and to the fingers' ends. Then the widest opening, metres.
BASE_TO_CONTACT = 0.1034
BASE_TO_TIP = 0.112204
TRAINED_OPENING = 0.08


@dataclass(frozen=True)
class ContactGrasps:
    """N grasps as Contact-GraspNet describes them, section III-A of its paper.

    Attributes:
        contact: (N, 3) float64, where one finger touches, metres.
        baseline: (N, 3) float64, unit vector from that contact to the other.
        approach: (N, 3) float64, unit vector at right angles to the baseline.
        width: (N,) float64, metres between the contacts, >= 0.
        score: (N,) float64 in [0, 1].
    """

    contact: FloatArray
    baseline: FloatArray
    approach: FloatArray
    width: FloatArray
    score: FloatArray

    def __len__(self) -> int:
        """Number of grasps."""
        return len(self.width)

    def __getitem__(self, index: Any) -> ContactGrasps:
        """Returns the grasps that a mask or index array picks."""
        return ContactGrasps(*(getattr(self, f.name)[index] for f in fields(self)))

    def base_poses(self) -> FloatArray:
        """Returns (N, 4, 4) float64 poses of the Franka hand's base: t = c + w/2 b - d a, R = [b, a x b, a]."""
        poses = np.tile(np.eye(4), (len(self), 1, 1))
        poses[:, :3, 0], poses[:, :3, 2] = self.baseline, self.approach
        poses[:, :3, 1] = np.cross(self.approach, self.baseline)
        middle = self.contact + self.width[:, None] / 2 * self.baseline
        poses[:, :3, 3] = middle - BASE_TO_CONTACT * self.approach
        return poses

    def to_grasp_poses(
        self, max_opening: float, extra_opening: float, *, base_to_tip: float = BASE_TO_TIP, frame: str = "world"
    ) -> GraspPoses:
        """Returns the grasps as poses between the finger tips.

        Args:
            max_opening: Widest opening, metres.
            extra_opening: Opening beyond the contacts' distance with which the gripper comes down, metres.
            base_to_tip: Distance from the hand's base frame to the finger tips, metres.
            frame: Frame that the grasps are given in: "world" or "camera".
        """
        base = self.base_poses()
        tips = base[:, :3, 3] + base_to_tip * self.approach
        opening = np.clip(self.width + extra_opening, 0.0, max_opening)
        return GraspPoses(tips, base[:, :3, :3], opening, self.score, frame)


def read_heads(points: Tensor, heads: Sequence[Tensor]) -> ContactGrasps:
    """Returns the network's raw answers as grasps, in its frame.

    The approach is made orthogonal to the baseline. A negative width is the port's way of saying that the other
    finger lies against the baseline: both signs are turned, which moves no finger.

    Args:
        points: (N, 3) floating, contacts, metres.
        heads: Logits (N, 1), baselines (N, 3), approaches (N, 3), and widths (N, 1) in metres; floating.
    """
    score = torch.sigmoid(heads[0].double()).cpu().numpy()[:, 0]
    first, second, signed = (head.double().cpu().numpy() for head in heads[1:])
    baseline = first / np.linalg.norm(first, axis=1, keepdims=True)
    second = second - (second * baseline).sum(axis=1, keepdims=True) * baseline
    approach = second / np.linalg.norm(second, axis=1, keepdims=True)
    width = np.minimum(np.abs(signed[:, 0]), TRAINED_OPENING)
    baseline = np.where(signed < 0, -baseline, baseline)
    return ContactGrasps(points.double().cpu().numpy(), baseline, approach, width, score)
