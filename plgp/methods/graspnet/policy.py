"""GraspNet-baseline as a grasp policy."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from plgp.methods.graspnet.collision import free_of_cloud, thin_cloud
from plgp.methods.graspnet.decoding import Answers, decode, thin_out, to_poses
from plgp.methods.graspnet.network import LEAST, GraspNet, load_network
from plgp.policy.workspace import Workspace
from sim.errors import NOT_NEGATIVE, POSITIVE, WHOLE, InputError, check_numbers
from sim.grasp import GraspPoses
from sim.gripper import GripperGeometry
from sim.view import Observation

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class GraspNetPolicy:
    """GraspNet-baseline as a ``sim.benchmark.GraspPolicy``; grasps are ranked by its own score.

    Attributes:
        weights_file: The authors' ``checkpoint-rs.tar``, or a bare file of the same parameters.
        gripper: Geometry of the gripper, which bounds the opening.
        workspace: Box of the points that are shown to the network; None shows all.
        seed: Seed of the cloud's random sample; an image always gives the same grasps.
        samples: Number of points shown to the network; it was trained on 20,000.
        nms_distance: Distance below which the worse of two grasps is dropped, metres.
        nms_angle: Angle below which it is, radians.
        collision: Whether grasps that touch the seen cloud come behind all others: GraspNet's own results are with
            this step, the PLGP authors ran it without.
        voxel: Side of the collision step's voxels, metres.
        collision_threshold: Share of the hand's volume that may be filled.
        top_down_max_angle: Greatest angle of the approach from straight down, radians; None keeps all directions.
        device: Device that the network runs on.
        name: Name of the policy in tables.
    """

    weights_file: str | Path
    gripper: GripperGeometry = field(default_factory=GripperGeometry)
    workspace: Workspace | None = None
    seed: int = 0
    samples: int = 20_000
    nms_distance: float = 0.03
    nms_angle: float = np.pi / 6
    collision: bool = True
    voxel: float = 0.01
    collision_threshold: float = 0.01
    top_down_max_angle: float | None = None
    device: str = "cpu"
    name: str = "graspnet"
    network: GraspNet = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Checks ranges and loads the network; raises InputError."""
        check_numbers("policies.graspnet", self, {"seed": WHOLE, "voxel": POSITIVE})
        limits = dict.fromkeys(("nms_distance", "nms_angle", "collision_threshold"), NOT_NEGATIVE)
        limits |= {} if self.top_down_max_angle is None else {"top_down_max_angle": POSITIVE}
        check_numbers("policies.graspnet", self, limits)
        if not isinstance(self.samples, int) or self.samples < LEAST:
            raise InputError(f"policies.graspnet.samples is {self.samples}; give at least {LEAST}")
        object.__setattr__(self, "network", load_network(self.weights_file).to(self.device))

    def cloud(self, observation: Observation) -> FloatArray:
        """Returns all points of the workspace, (N, 3) float64, camera frame, metres."""
        seen = observation
        if self.workspace is not None:
            inside = self.workspace.mask(seen.depth, seen.camera)
            seen = replace(seen, depth=np.where(inside, seen.depth, np.float32(0)))
        return seen.point_cloud()[0]

    @torch.inference_mode()
    def answers(self, observation: Observation) -> Answers | None:
        """Returns what the network thinks best at each seed, or None where nothing is seen."""
        cloud = self.cloud(observation)
        if len(cloud) == 0:
            return None
        rng = np.random.default_rng([self.seed, zlib.crc32(observation.depth.tobytes())])
        chosen = rng.choice(len(cloud), self.samples, replace=len(cloud) < self.samples)
        return decode(self.network(cloud[chosen].astype(np.float32)))

    def __call__(self, observation: Observation, count: int) -> GraspPoses:
        """Returns up to ``count`` grasps in the camera frame, best first; those that collide behind all others."""
        answers = self.answers(observation)
        if answers is None:
            return GraspPoses.empty()
        rows = answers.to_rows()
        if self.top_down_max_angle is not None:
            rows = rows[self._steepness(rows, observation) >= np.cos(self.top_down_max_angle)]
        rows = thin_out(rows, distance=self.nms_distance, turn=self.nms_angle)
        if self.collision:
            thinned = thin_cloud(self.cloud(observation), self.voxel)
            free = free_of_cloud(rows, thinned, voxel=self.voxel, threshold=self.collision_threshold)
            rows = np.concatenate([rows[free], rows[~free]])
        return to_poses(rows[:count], self.gripper.max_opening)

    def _steepness(self, rows: FloatArray, observation: Observation) -> FloatArray:
        """Returns the cosine of each approach with straight down; without a pose the camera looks straight down."""
        pose = observation.camera.pose
        down = np.array([0.0, 0.0, 1.0]) if np.array_equal(pose, np.eye(4)) else -pose[2, :3]
        steepness: FloatArray = rows[:, 4:13].reshape(-1, 3, 3)[:, :, 0] @ down
        return steepness
