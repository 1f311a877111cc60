"""How GraspNet-baseline's answers become grasps, and which of neighbouring ones stays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plgp.methods.graspnet.network import ANGLES, DEPTHS, Heads
from sim.grasp import GraspPoses

FloatArray = NDArray[np.float64]

GRASP_HEIGHT = 0.02  # metres, of the fingers in the rows and in the collision step
_MOST_WIDTH, _WIDER, _MOST_TOLERANCE = 0.1, 1.2, 0.05


@dataclass(frozen=True)
class Answers:
    """One grasp at each of N seeds, camera frame.

    Attributes:
        seed: (N, 3) float64, metres.
        rotation: (N, 3, 3) float64, columns: approach, closing, their product.
        depth: (N,) float64, distance of the tips beyond the seed, metres.
        width: (N,) float64, opening, metres.
        score: (N,) float64, predicted score times tolerance; it may exceed 1.
        is_object: (N,) bool, whether the seed lies on an object.
    """

    seed: FloatArray
    rotation: FloatArray
    depth: FloatArray
    width: FloatArray
    score: FloatArray
    is_object: NDArray[np.bool_]

    def to_rows(self) -> FloatArray:
        """Returns (M, 17) float64 rows of graspnetAPI of the M seeds on objects, best first."""
        rows = np.zeros((len(self.score), 17))
        rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3] = self.score, self.width, GRASP_HEIGHT, self.depth
        rows[:, 4:13], rows[:, 13:16], rows[:, 16] = self.rotation.reshape(-1, 9), self.seed, -1
        rows = rows[self.is_object]
        return rows[np.argsort(-rows[:, 0], kind="stable")]


def decode(heads: Heads) -> Answers:
    """Returns the grasp that the network thinks best at each seed.

    Of every depth the angle with the greatest logit counts; of the depths the one with the greatest score there. Then
    the score is multiplied by the tolerance as a share of its greatest value.
    """
    operation, tolerance = (t.double().cpu().numpy() for t in (heads.operation, heads.tolerance))
    score, logits, width = np.split(operation, 3, axis=2)
    angle = logits.argmax(axis=2)[..., None]
    score, width, tolerance = (np.take_along_axis(a, angle, 2)[..., 0] for a in (score, width, tolerance))
    depth = score.argmax(axis=1)[:, None]
    score, width, tolerance, angle = (
        np.take_along_axis(a, depth, 1)[:, 0] for a in (score, width, tolerance, angle[..., 0])
    )
    return Answers(
        seed=heads.seeds.astype(np.float64),
        rotation=heads.rotation.astype(np.float64) @ _turns(angle * np.pi / ANGLES),
        depth=np.array(DEPTHS)[depth[:, 0]],
        width=np.clip(_WIDER * width, 0, _MOST_WIDTH),
        score=score * tolerance / _MOST_TOLERANCE,
        is_object=(heads.objectness[:, 1] > heads.objectness[:, 0]).cpu().numpy(),
    )


def _turns(angle: FloatArray) -> FloatArray:
    """Returns (N, 3, 3) turns about the first axis by (N,) radians."""
    turns = np.tile(np.eye(3), (len(angle), 1, 1))
    turns[:, 1, 1] = turns[:, 2, 2] = np.cos(angle)
    turns[:, 1, 2], turns[:, 2, 1] = -np.sin(angle), np.sin(angle)
    return turns


def thin_out(rows: FloatArray, *, distance: float, turn: float) -> FloatArray:
    """Returns the rows that are not near a better one.

    Args:
        rows: (N, 17) float64 rows of graspnetAPI, best first.
        distance: Distance below which two grasps are near, metres.
        turn: Angle of the rotation between them below which they are near, radians. A gripper that is turned by
            half a turn about its approach is the same.
    """
    rotation, place = rows[:, 4:13].reshape(-1, 3, 3), rows[:, 13:16]
    free = np.ones(len(rows), np.bool_)
    for i in range(len(rows)):
        if not free[i]:
            continue
        cosines = np.einsum("ji,njk->nik", rotation[i], rotation)[:, range(3), range(3)]
        traces = np.maximum(cosines.sum(axis=1), cosines @ [1.0, -1.0, -1.0])
        near = np.arccos(np.clip((traces - 1) / 2, -1, 1)) < turn
        near &= np.linalg.norm(place - place[i], axis=1) < distance
        free &= ~near
        free[i] = True
    return rows[free]


def to_poses(rows: FloatArray, widest: float) -> GraspPoses:
    """Returns rows (N, 17) of graspnetAPI as poses in the camera frame, no wider than ``widest`` metres."""
    poses = GraspPoses.from_graspnet(rows)
    return GraspPoses(poses.translation, poses.rotation, np.minimum(poses.width, widest), poses.quality, poses.frame)
