"""Contact-GraspNet's network, written anew, and the public weights."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from plgp.methods.contact_graspnet.sampling import Points, ball_neighbours, farthest_points
from plgp.networks.base import is_finite
from sim.errors import InputError
from sim.files import check_archive

INSTALL = "pip install --no-deps cgn-pytorch==0.4.3"

# The architecture that the checkpoint was trained with: number of centres of each level; radii (metres) and layer
# widths of each of its three scales; layer widths of each step back up.
CENTRES = (2048, 512, 128)
RADII = ((0.02, 0.04, 0.08), (0.04, 0.08, 0.16), (0.08, 0.16, 0.32))
_SCALES = (
    ((32, 32, 64), (64, 64, 128), (64, 96, 128)),
    ((64, 64, 128), (128, 128, 256), (128, 128, 256)),
    ((64, 64, 128), (128, 128, 256), (128, 128, 256)),
)
_PROPAGATION = ((256, 256), (256, 128), (128, 128, 128))
_HEADS = (1, 3, 3, 1)  # score, baseline, approach, width
_NEAREST = 3  # number of coarse points that a fine one interpolates between


def _layers(widths: Sequence[int]) -> nn.Sequential:
    """Returns linear layers, each followed by ReLU and, after it, batch normalisation."""
    parts = [nn.Sequential(nn.Linear(a, b), nn.ReLU(), nn.BatchNorm1d(b)) for a, b in pairwise(widths)]
    return nn.Sequential(*parts)


class ContactGraspNet(nn.Module):
    """PointNet++ with three set abstractions of three scales each, three propagations and four heads.

    The checkpoint's network differs from the paper's in two ways. It has no global layer over all 128 coarsest
    points: the port computes one and does not use it. Its width is one regressed number.
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
            (M, 3) float32 points, M = min(N, 2048), and the heads' raw answers there, float32: (M, 1) score as
            logit, (M, 3) baseline, (M, 3) approach, (M, 1) width in metres.
        """
        device = self.heads[0][0].weight.device  # type: ignore[index]
        positions, features = points, torch.zeros(len(points), 0, device=device)
        levels: list[tuple[Tensor, Tensor]] = []
        for scales, radii, count in zip(self.abstraction, RADII, CENTRES, strict=True):
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
    """Returns features at other points: the means of the three nearest, weighed by 1 / squared distance.

    Args:
        features: (N, C) floating.
        coarse: (N, 3) floating, where the features are known, metres.
        fine: (M, 3) floating, where they are wanted, metres.

    Returns:
        (M, C) floating.
    """
    squared = (fine[:, None] - coarse[None]).square().sum(dim=2)
    nearest, index = squared.topk(_NEAREST, dim=1, largest=False)
    weight = 1 / nearest.clamp(min=1e-16)
    return (features[index] * weight[..., None]).sum(dim=1) / weight.sum(dim=1, keepdim=True)


def load_network(weights_file: str | Path | None = None) -> ContactGraspNet:
    """Returns the network with the public weights, in evaluation mode.

    Args:
        weights_file: The checkpoint file; None takes that of the installed ``cgn-pytorch``.

    Raises:
        InputError: There is no such file, or it does not hold Contact-GraspNet's weights.
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
        check_archive(weights_file)
        state = torch.load(weights_file, map_location="cpu", weights_only=True)["state_dict"]
        own = {_own_name(name): value for name, value in state.items() if not name.startswith("set_abstract_final")}
        network.load_state_dict(own)
    except Exception as error:  # torch raises whatever the broken file makes it raise
        raise InputError(f"{weights_file} is no checkpoint of cgn-pytorch 0.4.3; run: {INSTALL}") from error
    if not is_finite(network):
        raise InputError(f"{weights_file} holds NaN or infinite numbers; run: {INSTALL}")
    return network.eval()


def _own_name(name: str) -> str:
    """Returns what a parameter of the checkpoint is called here."""
    for theirs, ours in (("set_abstract_msg", "abstraction"), ("feat_prop", "propagation"), ("multihead", "heads")):
        name = name.replace(theirs, ours)
    return name.replace(".conv.local_nn.", ".").replace(".nn.", ".")
