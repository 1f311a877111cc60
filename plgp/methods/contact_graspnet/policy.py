"""Contact-GraspNet as a grasp policy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from numpy.typing import NDArray

from plgp.methods.contact_graspnet.grasps import BASE_TO_TIP, TRAINED_OPENING, ContactGrasps, read_heads
from plgp.methods.contact_graspnet.network import CENTRES, load_network
from plgp.policy.device import device_of
from plgp.policy.workspace import Workspace
from sim.errors import WHOLE, InputError, check_numbers
from sim.geometry import transform
from sim.grasp import GraspPoses
from sim.gripper import GripperGeometry
from sim.view import Observation


class ContactGraspNetPolicy:
    """Contact-GraspNet as a ``sim.benchmark.GraspPolicy``; grasps are ranked by its own score."""

    def __init__(
        self,
        gripper: GripperGeometry | None = None,
        *,
        workspace: Workspace | None = None,
        weights_file: str | Path | None = None,
        seed: int = 0,
        samples: int = 20_000,
        min_height: float = 0.01,
        extra_opening: float = TRAINED_OPENING,
        base_to_tip: float = BASE_TO_TIP,
        top_down_max_angle: float | None = None,
        device: str = "cpu",
    ) -> None:
        """Loads the network.

        Args:
            gripper: The gripper, which bounds the opening; None is the default one.
            workspace: Box of the points that are shown to the network; None shows all.
            weights_file: The checkpoint file; None takes that of the installed ``cgn-pytorch``.
            seed: Seed of the cloud's random sample; an image always gives the same grasps.
            samples: Greatest number of points shown to the network; it was trained on 20,000.
            min_height: Height over the world's ground below which contacts are dropped, metres. It stands in for
                the object masks that the authors recommend.
            extra_opening: Opening beyond the predicted width, metres; never wider than the Franka hand of the
                training, 80 mm. The default always opens fully, as the port's own trials do: the width head tells
                where the hand's middle lies, but hardly how wide the object is.
            base_to_tip: Distance from the hand's base frame to the finger tips, metres.
            top_down_max_angle: Greatest angle of the approach from straight down, radians; grasps beyond are
                dropped. None keeps all directions.
            device: Device that the network runs on.

        Raises:
            InputError: ``samples`` is too small, the seed is negative, or the weights cannot be read.
        """
        drawn = SimpleNamespace(seed=seed, samples=samples)
        check_numbers("contact_graspnet", drawn, {"seed": WHOLE, "samples": WHOLE})
        if samples < CENTRES[-1]:
            raise InputError(f"contact_graspnet.samples is {samples}; give at least {CENTRES[-1]}")
        self.gripper, self.workspace = gripper or GripperGeometry(), workspace
        self.network = load_network(weights_file).to(device_of(device))
        self.seed, self.samples, self.min_height = seed, samples, min_height
        self.extra_opening, self.base_to_tip = extra_opening, base_to_tip
        self.top_down_max_angle = top_down_max_angle
        self.name = "contact_graspnet" if top_down_max_angle is None else "contact_graspnet_topdown"

    def points(self, observation: Observation) -> NDArray[np.float64]:
        """Returns (N, 3) float64 points of the workspace, world frame, metres: at most ``samples``, in random order."""
        seen, pose = observation, world_pose(observation)
        if self.workspace is not None:
            inside = self.workspace.mask(seen.depth, seen.camera)
            seen = replace(seen, depth=np.where(inside, seen.depth, np.float32(0)))
        cloud = seen.point_cloud()[0]
        rng = np.random.default_rng(self.seed)
        chosen = rng.choice(len(cloud), min(len(cloud), self.samples), replace=False)
        return transform(pose, cloud[chosen])

    @torch.inference_mode()
    def contact_grasps(self, observation: Observation) -> ContactGrasps:
        """Returns all grasps that the network predicts, unfiltered, world frame; at most 2,048."""
        points = self.points(observation)
        if len(points) < CENTRES[-1]:
            return ContactGrasps(*(np.zeros((0, 3)),) * 3, np.zeros(0), np.zeros(0))
        mean = points.mean(axis=0)
        grasps = read_heads(*self.network((points - mean).astype(np.float32)))
        return replace(grasps, contact=grasps.contact + mean)

    def __call__(self, observation: Observation, count: int) -> GraspPoses:
        """Returns up to ``count`` grasps in the camera frame, best first."""
        grasps = self.contact_grasps(observation)
        grasps = grasps[grasps.contact[:, 2] >= self.min_height]
        if self.top_down_max_angle is not None:
            grasps = grasps[-grasps.approach[:, 2] >= np.cos(self.top_down_max_angle)]
        grasps = grasps[np.argsort(-grasps.score, kind="stable")[:count]]
        widest = min(self.gripper.max_opening, TRAINED_OPENING)
        poses = grasps.to_grasp_poses(widest, self.extra_opening, base_to_tip=self.base_to_tip)
        return poses.transform(np.linalg.inv(world_pose(observation)), "camera")


def world_pose(observation: Observation) -> NDArray[np.float64]:
    """Returns T_world_camera, (4, 4), metres: in the camera's own frame the network finds hardly a grasp that lifts.

    Without a pose the camera looks straight down, and the table is the farthest that is seen.
    """
    pose, depth = observation.camera.pose, observation.depth
    if not np.array_equal(pose, np.eye(4)) or not (depth > 0).any():
        return pose
    above = np.diag([1.0, -1.0, -1.0, 1.0])
    above[2, 3] = np.percentile(depth[depth > 0], 99)
    return above
