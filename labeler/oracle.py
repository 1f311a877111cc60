"""The labels themselves as a grasp policy: what perfect learning would give."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from labeler.labels import GraspLabels, label_view
from labeler.settings import LabelSettings, check_hand
from sim.grasp import GraspPoses
from sim.gripper import GripperGeometry
from sim.view import SceneView


class LabelOracle:
    """A privileged policy: it is handed the noiseless SceneView, labels it and ranks the labels.

    Attributes:
        name: Name of the policy in tables.
        privileged: Whether the benchmark hands over the SceneView, and says so in its rows; True.
    """

    name = "oracle"
    privileged = True

    def __init__(
        self,
        gripper: GripperGeometry | None = None,
        settings: LabelSettings | None = None,
        spacing: float = 0.015,
    ) -> None:
        """Sets the policy up.

        Args:
            gripper: The gripper; default GripperGeometry().
            settings: The label settings; default preset ``truest``.
            spacing: Distance within which a grasp is tried only after all others, metres.
        """
        self.gripper, self.spacing = gripper or GripperGeometry(), spacing
        self.settings = settings or LabelSettings.for_hand(self.gripper)
        check_hand(self.settings, self.gripper)

    def __call__(self, view: SceneView, count: int) -> GraspPoses:
        """Returns up to ``count`` grasps in the camera frame, best first, spread over the scene.

        Args:
            view: The view.
            count: Greatest number of grasps; fewer only where there are fewer labels.
        """
        labels = label_view(view, self.gripper, self.settings)
        if not len(labels):
            return GraspPoses.empty()
        points = view.camera.deproject(labels.row, labels.col, view.depth[labels.row, labels.col])
        chosen = labels[rank_labels(labels, points, count, spacing=self.spacing)]
        poses = chosen.to_pixel_grasps(self.settings.angles).to_poses(view.depth, view.camera)
        # Later rounds may hold better scores than the end of earlier ones: the ranking is what counts.
        quality = np.minimum.accumulate(poses.quality)
        return GraspPoses(poses.translation, poses.rotation, poses.width, quality, poses.frame)


def rank_labels(labels: GraspLabels, points: NDArray[np.float64], count: int, *, spacing: float) -> NDArray[np.int64]:
    """Returns the indices of the best labels: rounds of non-maximum suppression.

    In each round the best label left is taken and its neighbours wait for the next round, so that
    all places are visited once before any is visited twice.

    Args:
        labels: N labels.
        points: (N, 3) float64, surface points of the labels, metres.
        count: Greatest number of indices.
        spacing: Distance within which labels are neighbours, metres.

    Returns:
        (M,) int64, best first.
    """
    order = np.lexsort((np.arange(len(labels)), -labels.score))
    result: list[int] = []
    while len(order) and len(result) < count:
        waiting = []
        while len(order) and len(result) < count:
            best = order[0]
            result.append(int(best))
            near = ((points[order[1:]] - points[best]) ** 2).sum(axis=1) < spacing**2
            waiting.append(order[1:][near])
            order = order[1:][~near]
        order = np.concatenate(waiting) if waiting else order[:0]
        order = order[np.lexsort((order, -labels.score[order]))]
    return np.array(result, np.int64)
