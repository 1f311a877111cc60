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
from plgp.methods.graspnet.network import LEAST, VIEWS, GraspNet, fibonacci_views, load_network
from plgp.policy.device import device_of
from plgp.policy.workspace import Workspace
from sim.errors import FINITE, NOT_NEGATIVE, POSITIVE, WHOLE, InputError, check_numbers
from sim.geometry import transform
from sim.grasp import GraspPoses
from sim.gripper import GripperGeometry
from sim.view import Observation

FloatArray = NDArray[np.float64]

_LEAST_CONE = 0.2  # radians: every direction has one of the 300 views within it


@dataclass(frozen=True, kw_only=True)
class GraspNetPolicy:
    """GraspNet-baseline as a ``sim.benchmark.GraspPolicy``; grasps are ranked by its own score.

    Attributes:
        weights_file: The authors' ``checkpoint-rs.tar``, or a bare file of the same parameters.
        gripper: Geometry of the gripper, which bounds the opening.
        workspace: Box of the points that are shown to the network; None shows all.
        seed: Seed of the cloud's random sample; an image always gives the same grasps.
        samples: Number of points shown to the network; it was trained on 20,000.
        min_height: Height over the table below which no seed counts, metres: depth noise makes objects of bare floor.
            It stands in for the masks of the other methods' originals. A negative one keeps all seeds.
        nms_distance: Distance below which the worse of two grasps is dropped, metres.
        nms_angle: Angle below which it is, radians.
        collision: Whether grasps that touch the seen cloud come behind all others: GraspNet's own results are with
            this step, the PLGP authors ran it without.
        voxel: Side of the collision step's voxels, metres.
        collision_threshold: Share of the hand's volume that may be filled.
        top_down_max_angle: Greatest angle of the approach from straight down, radians: at each seed the best view
            within it counts. None takes the best of all views.
        device: Device that the network runs on.
        name: Name of the policy in tables.
    """

    weights_file: str | Path
    gripper: GripperGeometry = field(default_factory=GripperGeometry)
    workspace: Workspace | None = None
    seed: int = 0
    samples: int = 20_000
    min_height: float = 0.010
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
        check_numbers("policies.graspnet", self, limits | {"min_height": FINITE})
        if self.top_down_max_angle is not None and not self.top_down_max_angle >= _LEAST_CONE:
            angle = self.top_down_max_angle
            raise InputError(f"policies.graspnet.top_down_max_angle is {angle}; give at least {_LEAST_CONE}, or null")
        if not isinstance(self.samples, int) or self.samples < LEAST:
            raise InputError(f"policies.graspnet.samples is {self.samples}; give at least {LEAST}")
        object.__setattr__(self, "device", str(device_of(self.device)))
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
        """Returns what the network thinks best at each seed, or None where nothing is seen.

        Seeds below ``min_height`` are said to be on no object.
        """
        cloud = self.cloud(observation)
        if len(cloud) == 0:
            return None
        rng = np.random.default_rng([self.seed, zlib.crc32(observation.depth.tobytes())])
        chosen = rng.choice(len(cloud), self.samples, replace=len(cloud) < self.samples)
        found = decode(self.network(cloud[chosen].astype(np.float32), self._allowed(observation)))
        high = _heights(found.seed, cloud, observation) >= self.min_height
        return replace(found, is_object=found.is_object & high)

    def __call__(self, observation: Observation, count: int) -> GraspPoses:
        """Returns up to ``count`` grasps in the camera frame, best first; those that collide behind all others."""
        answers = self.answers(observation)
        if answers is None:
            return GraspPoses.empty()
        rows = thin_out(answers.to_rows(), distance=self.nms_distance, turn=self.nms_angle)
        if self.collision:
            thinned = thin_cloud(self.cloud(observation), self.voxel)
            free = free_of_cloud(rows, thinned, voxel=self.voxel, threshold=self.collision_threshold)
            rows = np.concatenate([rows[free], rows[~free]])
        return to_poses(rows[:count], self.gripper.max_opening)

    def _allowed(self, observation: Observation) -> NDArray[np.bool_] | None:
        """Returns which views approach from above; None for all. Without a pose the camera looks straight down."""
        if self.top_down_max_angle is None:
            return None
        pose = observation.camera.pose
        down = np.array([0.0, 0.0, 1.0]) if np.array_equal(pose, np.eye(4)) else -pose[2, :3]
        allowed: NDArray[np.bool_] = -fibonacci_views(VIEWS) @ down >= np.cos(self.top_down_max_angle)
        return allowed


def _heights(points: FloatArray, cloud: FloatArray, observation: Observation) -> FloatArray:
    """Returns the heights of points (N, 3) over the table, metres; without a pose over the farthest of the cloud."""
    pose = observation.camera.pose
    if np.array_equal(pose, np.eye(4)):
        return np.percentile(cloud[:, 2], 99) - points[:, 2]
    heights: FloatArray = transform(pose, points)[:, 2]
    return heights
