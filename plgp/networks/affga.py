"""AFFGA-Net (Wang et al. 2021) on a ResNet-101 of stride 16; 67,590,469 parameters for depth."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from plgp.networks.base import GraspNetwork
from plgp.networks.blocks import TaskHeads, doubled, logits, normalised, resize, resnet101


class _Scales(NamedTuple):
    small: Tensor
    big: Tensor
    every: Tensor


class _HybridPyramid(nn.Module):
    """Hybrid atrous spatial pyramid: four branches on 2048 channels, fused for small objects, for big ones, for all."""

    def __init__(self) -> None:
        super().__init__()
        self.point = normalised(2048, 512, 1)
        self.near = normalised(2048, 256, dilation=6)
        self.middle = normalised(2048, 512, dilation=12)
        self.far = normalised(2048, 256, dilation=18)
        self.small = nn.Sequential(*normalised(768, 256, 1), nn.Dropout(0.5))
        self.big = nn.Sequential(*normalised(768, 256, 1), nn.Dropout(0.5))
        self.every = nn.Sequential(*normalised(1536, 256, 1), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> _Scales:
        inner = torch.cat([self.point(x), self.near(x)], dim=1)
        outer = torch.cat([self.middle(x), self.far(x)], dim=1)
        return _Scales(self.small(inner), self.big(outer), self.every(torch.cat([inner, outer], dim=1)))


def _head(inputs: int, outputs: int, prior: float | None) -> nn.Sequential:
    return nn.Sequential(
        *normalised(inputs, 256),
        nn.Dropout(0.5),
        *normalised(256, 128),
        nn.Dropout(0.1),
        *doubled(128),
        logits(128, outputs, prior),
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
    )


class AFFGANet(GraspNetwork):
    """AFFGA-Net of stride 16, whose stage 4 dilates by 2, 4, 8.

    The quality head reads the features for small and for big objects apart; angle and width read those for all.
    """

    def __init__(self, channels: int = 1, bins: int = 18, prior: float | None = None) -> None:
        """Builds the network with random weights.

        Args:
            channels: Number of input channels: 1 depth, 3 RGB, 4 RGB-D.
            bins: Number of angle bins, K.
            prior: Probability that all maps start at; see ``set_prior``. None is the paper's.
        """
        super().__init__(channels, bins, stride=16)
        self.trunk = resnet101(channels, 16, (2, 4, 8))
        self.pyramid = _HybridPyramid()
        self.skip = normalised(256, 48, 1)
        self.refine = normalised(304, 256)
        self.heads = TaskHeads(_head(512, 1, prior), _head(304, bins, prior), _head(304, bins, prior))

    def features(self, x: Tensor) -> Tensor:
        """Returns (B, 1 + 2K, H, W) logits."""
        stages = self.trunk(x)
        skip = self.skip(stages[2])
        small, big, every = (resize(scale, skip.shape[2:]) for scale in self.pyramid(stages[5]))
        quality = torch.cat([self.refine(torch.cat([small, skip], dim=1)), big], dim=1)
        rest = torch.cat([every, skip], dim=1)
        maps: Tensor = self.heads(quality, rest, rest)
        return maps
