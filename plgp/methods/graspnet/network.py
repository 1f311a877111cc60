"""GraspNet-baseline's network, written anew, and its weights."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from plgp.methods.contact_graspnet.sampling import farthest_points
from plgp.methods.graspnet.grouping import Points, ball_neighbours, cylinder_neighbours
from plgp.networks.base import is_finite
from sim.errors import InputError
from sim.files import check_archive

LEAST = 2048  # points that the first level samples
VIEWS, ANGLES = 300, 12  # directions of approach, and turns about one
DEPTHS = (0.01, 0.02, 0.03, 0.04)  # metres that the tips go beyond a seed

# Of each level: number of centres, radius in metres, neighbours, widths of its layers.
_LEVELS = (
    (2048, 0.04, 64, (3, 64, 64, 128)),
    (1024, 0.1, 32, (131, 128, 128, 256)),
    (512, 0.2, 16, (259, 128, 128, 256)),
    (256, 0.3, 16, (259, 128, 128, 256)),
)
_SEEDS = 1  # the level whose centres are the seeds
_PROPAGATION = (512, 256, 256)
_CROP, _CROP_RADIUS, _CROP_BEHIND, _CROP_POINTS = (3, 64, 128, 256), 0.05, -0.02, 64


class Heads(NamedTuple):
    """The network's raw answers at S seeds.

    Attributes:
        seeds: (S, 3) float32, metres.
        objectness: (S, 2) float32 logits: no object, object.
        views: (S, 300) float32, score of each view.
        rotation: (S, 3, 3) float32, frame of the best view at angle 0: approach, closing, their product.
        operation: (S, 4, 36) float32: of every depth 12 scores, 12 logits of the angle, 12 widths in metres.
        tolerance: (S, 4, 12) float32, metres.
    """

    seeds: NDArray[np.float32]
    objectness: Tensor
    views: Tensor
    rotation: NDArray[np.float32]
    operation: Tensor
    tolerance: Tensor


def _layers(widths: Sequence[int]) -> nn.Sequential:
    """Returns linear layers, each followed by batch normalisation and ReLU."""
    parts = [nn.Sequential(nn.Linear(a, b, bias=False), nn.BatchNorm1d(b), nn.ReLU()) for a, b in pairwise(widths)]
    return nn.Sequential(*parts)


def _head(widths: Sequence[int]) -> nn.Sequential:
    """Returns two linear layers, each followed by batch normalisation and ReLU, and a bare one."""
    first, second, third, last = widths
    hidden = [nn.Linear(first, second), nn.BatchNorm1d(second), nn.ReLU()]
    return nn.Sequential(*hidden, nn.Linear(second, third), nn.BatchNorm1d(third), nn.ReLU(), nn.Linear(third, last))


class GraspNet(nn.Module):
    """PointNet++ with four set abstractions, a net of approaches, and two nets on cylinders: 1,025,964 parameters."""

    def __init__(self) -> None:
        """Builds the layers; weights are random until a checkpoint is loaded."""
        super().__init__()
        self.abstraction = nn.ModuleList(_layers(widths) for *_, widths in _LEVELS)
        self.propagation = nn.ModuleList(_layers(_PROPAGATION) for _ in range(2))
        self.approach = _head((256, 256, 2 + VIEWS, 2 + VIEWS))
        self.crop = _layers(_CROP)
        self.operation = _head((256, 128, 128, 3 * ANGLES))
        self.tolerance = _head((256, 128, 128, ANGLES))

    def forward(self, points: Points, allowed: NDArray[np.bool_] | None = None) -> Heads:
        """Predicts at the seeds: 1,024 farthest points of a cloud.

        Args:
            points: (N, 3) float32, camera frame, metres, in random order; N >= 2,048.
            allowed: (300,) bool, views among which the best one is taken; None takes all.
        """
        device = next(self.parameters()).device
        seeds, features = self._encode(points, device)
        answer: Tensor = self.approach(features)
        views = answer[:, 2:]
        ranked = views if allowed is None else views.masked_fill(~torch.from_numpy(allowed).to(device), -torch.inf)
        towards = -fibonacci_views(VIEWS)[ranked.argmax(dim=1).cpu().numpy()]
        rotation = view_frames(towards)
        ends = np.asarray(DEPTHS, np.float32)
        extent = {"radius": _CROP_RADIUS, "behind": _CROP_BEHIND}
        near = cylinder_neighbours(points, seeds, towards, **extent, ahead=ends, limit=_CROP_POINTS)
        crops = []
        for depth in range(len(DEPTHS)):
            offset = (points[near[:, depth]] - seeds[:, None]) @ rotation
            crops.append(_pooled(self.crop, torch.from_numpy(offset).to(device)))
        shown = torch.stack(crops, dim=1).flatten(0, 1)
        told = [_told(head, shown) for head in (self.operation, self.tolerance)]
        return Heads(seeds, answer[:, :2], views, rotation, *told)

    def _encode(self, points: Points, device: torch.device) -> tuple[Points, Tensor]:
        """Returns the seeds (S, 3) and their features (S, 256)."""
        first = np.ascontiguousarray(points[farthest_points(points, _LEVELS[0][0])])
        place, features = points, torch.zeros(len(points), 0, device=device)
        levels: list[tuple[Points, Tensor]] = []
        for layers, (count, radius, limit, _) in zip(self.abstraction, _LEVELS, strict=True):
            centres = first[:count]  # farthest points of farthest points are their first ones
            near = ball_neighbours(place, centres, radius, limit=limit)
            offset = (place[near] - centres[:, None]) / np.float32(radius)
            grouped = torch.cat(
                [torch.from_numpy(offset).to(device), features[torch.from_numpy(near).to(device)]], dim=2
            )
            place, features = centres, _pooled(cast(nn.Sequential, layers), grouped)
            levels.append((place, features))
        for layers, (fine, skip) in zip(self.propagation, (levels[2], levels[_SEEDS]), strict=True):
            spread = interpolate(features, torch.from_numpy(place).to(device), torch.from_numpy(fine).to(device))
            place, features = fine, layers(torch.cat([spread, skip], dim=1))
        return place, features


def _pooled(layers: nn.Sequential, grouped: Tensor) -> Tensor:
    """Returns the maximum over the neighbours (M, C) of layers on (M, neighbours, inputs)."""
    answer: Tensor = layers(grouped.flatten(0, 1))
    return answer.view(*grouped.shape[:2], -1).amax(dim=1)


def _told(head: nn.Sequential, crops: Tensor) -> Tensor:
    """Returns what a head tells of (S * depths, C) crops, (S, depths, outputs)."""
    answer: Tensor = head(crops)
    return answer.view(-1, len(DEPTHS), answer.shape[1])


def interpolate(features: Tensor, coarse: Tensor, fine: Tensor) -> Tensor:
    """Returns features at other points: the means of the three nearest, weighed by 1 / distance.

    Args:
        features: (N, C) floating.
        coarse: (N, 3) floating, where the features are known, metres.
        fine: (M, 3) floating, where they are wanted, metres.

    Returns:
        (M, C) floating.
    """
    distance = (fine[:, None] - coarse[None]).square().sum(dim=2).sqrt()
    nearest, index = distance.topk(3, dim=1, largest=False)
    weight = 1 / (nearest + 1e-8)
    mixed: Tensor = (features[index] * (weight / weight.sum(dim=1, keepdim=True))[..., None]).sum(dim=1)
    return mixed


def fibonacci_views(count: int) -> NDArray[np.float32]:
    """Returns unit vectors spread evenly over the sphere, a Fibonacci lattice, (count, 3) float32."""
    i = np.arange(count)
    z = (2 * i + 1) / count - 1
    turn = 2 * np.pi * i * (np.sqrt(5) - 1) / 2
    radius = np.sqrt(1 - z * z)
    return np.column_stack([radius * np.cos(turn), radius * np.sin(turn), z]).astype(np.float32)


def view_frames(approach: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns the frames of approaches at angle 0.

    Args:
        approach: (N, 3) float32, unit vectors, camera frame.

    Returns:
        (N, 3, 3) float32, whose columns are the approach, the closing direction (level in x and y), their product.
    """
    closing = np.column_stack([-approach[:, 1], approach[:, 0], np.zeros(len(approach), np.float32)])
    closing[np.linalg.norm(closing, axis=1) == 0] = (0, 1, 0)
    closing /= np.linalg.norm(closing, axis=1, keepdims=True)
    return np.stack([approach, closing, np.cross(approach, closing)], axis=2).astype(np.float32)


def load_network(weights_file: str | Path) -> GraspNet:
    """Returns the network with its weights, in evaluation mode.

    Args:
        weights_file: The authors' ``checkpoint-*.tar``, or a bare file of parameters.

    Raises:
        InputError: There is no such file, or it does not hold GraspNet-baseline's weights.
    """
    path = Path(weights_file).expanduser()
    if not path.is_file():
        raise InputError(f"GraspNet's weights {path} do not exist; give the authors' checkpoint-rs.tar, as downloaded")
    network = GraspNet()
    try:
        check_archive(path)
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
        state = content.get("model_state_dict", content)
        own = {_own_name(name.removeprefix("module.")): value for name, value in state.items()}
        shapes = {name: value.shape for name, value in network.state_dict().items()}
        network.load_state_dict({name: value.reshape(shapes.get(name, value.shape)) for name, value in own.items()})
    except Exception as error:  # torch raises whatever the broken file makes it raise
        raise InputError(
            f"{path} is no checkpoint of GraspNet-baseline; give the authors' checkpoint-rs.tar"
        ) from error
    if not is_finite(network):
        raise InputError(f"{path} holds NaN or infinite numbers; download the weights anew")
    return network.eval()


_HEADS = {"view_estimator.vpmodule": "approach", "grasp_generator.operation": "operation"}
_HEADS |= {"grasp_generator.tolerance": "tolerance"}
_PLACES = {"conv1": 0, "bn1": 1, "conv2": 3, "bn2": 4, "conv3": 6}


def _own_name(name: str) -> str:
    """Returns what a parameter of the checkpoint is called here."""
    if match := re.fullmatch(r"(\w+\.\w+)\.(conv\d|bn\d)\.(\w+)", name):
        return f"{_HEADS[match[1]]}.{_PLACES[match[2]]}.{match[3]}"
    match = re.fullmatch(r"\w+\.(?:backbone\.(sa|fp)(\d)\.\w+|crop\.mlps)\.layer(\d)\.(?:(conv)|bn\.bn)\.(\w+)", name)
    if match is None:
        return name
    rooms = {"sa": "abstraction", "fp": "propagation"}
    room = f"{rooms[match[1]]}.{int(match[2]) - 1}" if match[1] else "crop"
    return f"{room}.{match[3]}.{0 if match[4] else 1}.{match[5]}"
