"""UNet (Ronneberger, Fischer, Brox 2015) with batch norm; 34,528,229 parameters for depth."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plgp.networks.base import GraspNetwork
from plgp.networks.blocks import logits, normalised

_WIDTHS = (64, 128, 256, 512, 1024)


def _pair(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(*normalised(inputs, outputs, bias=True), *normalised(outputs, outputs, bias=True))


class UNet(GraspNetwork):
    """UNet of five levels and stride 16. The three 1x1 heads are one convolution."""

    def __init__(self, channels: int = 1, bins: int = 18, prior: float | None = None) -> None:
        """Builds the network with random weights.

        Args:
            channels: Number of input channels: 1 depth, 3 RGB, 4 RGB-D.
            bins: Number of angle bins, K.
            prior: Probability that all maps start at; see ``set_prior``. None is the paper's.
        """
        super().__init__(channels, bins, stride=16)
        self.down = nn.ModuleList(_pair(a, b) for a, b in pairwise((channels, *_WIDTHS)))
        narrowing = list(pairwise(_WIDTHS[::-1]))
        self.up = nn.ModuleList(
            nn.Sequential(nn.Upsample(scale_factor=2), *normalised(a, b, bias=True)) for a, b in narrowing
        )
        self.merge = nn.ModuleList(_pair(a, b) for a, b in narrowing)
        self.heads = logits(_WIDTHS[0], 1 + 2 * bins, prior)

    def features(self, x: Tensor) -> Tensor:
        """Returns (B, 1 + 2K, H, W) logits."""
        skips: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if level else x)
            skips.append(x)
        skips.pop()
        for up, merge in zip(self.up, self.merge, strict=True):
            x = merge(torch.cat([skips.pop(), up(x)], dim=1))
        maps: Tensor = self.heads(x)
        return maps
