"""DeepLabv3+ (Chen et al. 2018) on a ResNet-101 of stride 8; 62,018,629 parameters for depth."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from plgp.networks.base import GraspNetwork
from plgp.networks.blocks import TaskHeads, doubled, logits, normalised, resize, resnet101


class _Pyramid(nn.Module):
    """Atrous spatial pyramid pooling with image pooling, from 2048 to 256 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.branches = nn.ModuleList([normalised(2048, 256, 1)])
        self.branches.extend(normalised(2048, 256, dilation=d) for d in (12, 24, 36))
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), *normalised(2048, 256, 1))
        self.fuse = nn.Sequential(*normalised(5 * 256, 256, 1), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        parts = [branch(x) for branch in self.branches]
        parts.append(resize(self.pooled(x), x.shape[2:]))
        fused: Tensor = self.fuse(torch.cat(parts, dim=1))
        return fused


def _head(outputs: int, prior: float | None) -> nn.Sequential:
    return nn.Sequential(
        *normalised(304, 256),
        nn.Dropout(0.5),
        *doubled(256),
        *normalised(256, 128),
        nn.Dropout(0.1),
        *doubled(128),
        logits(128, outputs, prior),
    )


class DeepLabV3Plus(GraspNetwork):
    """DeepLabv3+ of stride 8, whose stage 4 dilates by 4, 8, 16, with one head for each map.

    Training needs batches of 2 or more, because of the image pooling.
    """

    pools = True

    def __init__(self, channels: int = 1, bins: int = 18, prior: float | None = None) -> None:
        """Builds the network with random weights.

        Args:
            channels: Number of input channels: 1 depth, 3 RGB, 4 RGB-D.
            bins: Number of angle bins, K.
            prior: Probability that all maps start at; see ``set_prior``. None is the paper's.
        """
        super().__init__(channels, bins, stride=8)
        self.trunk = resnet101(channels, 8, (4, 8, 16))
        self.pyramid = _Pyramid()
        self.skip = normalised(256, 48, 1)
        self.heads = TaskHeads(*(_head(n, prior) for n in (1, bins, bins)))

    def features(self, x: Tensor) -> Tensor:
        """Returns (B, 1 + 2K, H, W) logits."""
        stages = self.trunk(x)
        skip = self.skip(stages[2])
        deep = resize(self.pyramid(stages[5]), skip.shape[2:])
        maps: Tensor = self.heads(torch.cat([deep, skip], dim=1))
        return maps
