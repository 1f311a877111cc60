"""STDC2 (Fan et al. 2021) with a BiSeNet-style neck; 16,835,680 parameters for depth."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plgp.networks.base import GraspNetwork, set_prior
from plgp.networks.blocks import TaskHeads, doubled, normalised


class _Concatenation(nn.Module):
    """Short-term dense concatenation: four convolutions in sequence, whose four outputs are concatenated."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        half, quarter, eighth = outputs // 2, outputs // 4, outputs // 8
        self.first = normalised(inputs, half, 1)
        self.down: nn.Module = nn.Identity()
        self.around: nn.Module = nn.Identity()
        if stride == 2:
            depthwise = nn.Conv2d(half, half, 3, 2, 1, groups=half, bias=False)
            self.down = nn.Sequential(depthwise, nn.BatchNorm2d(half))
            self.around = nn.AvgPool2d(3, 2, 1)
        self.rest = nn.ModuleList([normalised(half, quarter), normalised(quarter, eighth), normalised(eighth, eighth)])

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        outputs, x = [self.around(first)], self.down(first)
        for convolution in self.rest:
            x = convolution(x)
            outputs.append(x)
        return torch.cat(outputs, dim=1)


class _Attention(nn.Module):
    """Attention refinement: a 3x3 convolution, whose channels are weighed by their means over the image."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = normalised(inputs, outputs)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Conv2d(outputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolution(x)
        refined: Tensor = x * self.gate(x)
        return refined


class _Fusion(nn.Module):
    """Feature fusion: merges detail and context at stride 8, and adds what a gate lets through."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.merge = normalised(inputs, outputs, 1)
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(outputs, outputs // 4, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs // 4, outputs, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, detail: Tensor, context: Tensor) -> Tensor:
        x: Tensor = self.merge(torch.cat([detail, context], dim=1))
        fused: Tensor = x * self.gate(x) + x
        return fused


def _stage(inputs: int, outputs: int, blocks: int) -> nn.Sequential:
    first = _Concatenation(inputs, outputs, stride=2)
    return nn.Sequential(first, *(_Concatenation(outputs, outputs, stride=1) for _ in range(blocks - 1)))


def _head(outputs: int, prior: float | None) -> nn.Sequential:
    last = nn.Conv2d(256, outputs, 1, bias=prior is not None)
    set_prior(last, prior)
    return nn.Sequential(
        *normalised(256, 256),
        *doubled(256),
        *normalised(256, 256),
        *doubled(256),
        last,
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True),
    )


class STDC(GraspNetwork):
    """STDC2 of stride 32. Training needs batches of 2 or more, because batch norms follow global pools."""

    pools = True

    def __init__(self, channels: int = 1, bins: int = 18, prior: float | None = None) -> None:
        """Builds the network with random weights.

        Args:
            channels: Number of input channels: 1 depth, 3 RGB, 4 RGB-D.
            bins: Number of angle bins, K.
            prior: Probability that all maps start at; see ``set_prior``. None is the paper's, whose last convolutions
                have no biases.
        """
        super().__init__(channels, bins, stride=32)
        self.stem = nn.Sequential(normalised(channels, 32, stride=2), normalised(32, 64, stride=2))
        self.stage8, self.stage16, self.stage32 = _stage(64, 256, 4), _stage(256, 512, 5), _stage(512, 1024, 3)
        self.pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), *normalised(1024, 128, 1))
        self.attention32, self.attention16 = _Attention(1024, 128), _Attention(512, 128)
        self.smooth32, self.smooth16 = normalised(128, 128), normalised(128, 128)
        self.fusion = _Fusion(256 + 128, 256)
        self.heads = TaskHeads(*(_head(n, prior) for n in (1, bins, bins)))

    def features(self, x: Tensor) -> Tensor:
        """Returns (B, 1 + 2K, H, W) logits."""
        detail = self.stage8(self.stem(x))
        middle = self.stage16(detail)
        deep = self.stage32(middle)
        context = self.attention32(deep) + self.pooled(deep)  # one value a channel, the same at every pixel
        context = self.smooth32(F.interpolate(context, scale_factor=2.0))
        context = self.smooth16(F.interpolate(context + self.attention16(middle), scale_factor=2.0))
        logits: Tensor = self.heads(self.fusion(detail, context))
        return logits
