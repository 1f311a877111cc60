"""DANet (Fu et al. 2019) on a deep-stemmed ResNet-50 of stride 8; 47,575,015 parameters for depth."""

from __future__ import annotations

import segmentation_models_pytorch as smp
import torch
from torch import Tensor, nn

from plgp.networks.base import GraspNetwork
from plgp.networks.blocks import TaskHeads, logits, normalised


class PositionAttention(nn.Module):
    """Attention in which every pixel reads from all others by likeness; its memory grows with (H W)^2."""

    def __init__(self, width: int) -> None:
        """Builds 1x1 convolutions for query, key (an eighth of the ``width`` channels) and value, and the gain, 0."""
        super().__init__()
        self.query, self.key = nn.Conv2d(width, width // 8, 1), nn.Conv2d(width, width // 8, 1)
        self.value = nn.Conv2d(width, width, 1)
        self.gain = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Returns x + gain * attended, (B, C, H, W), of (B, C, H, W)."""
        query, key, value = (layer(x).flatten(2) for layer in (self.query, self.key, self.value))
        energy = query.transpose(1, 2) @ key  # (B, reading pixel, read pixel)
        attended = value @ energy.softmax(dim=2).to(value.dtype).transpose(1, 2)
        total: Tensor = x + self.gain * attended.view_as(x)
        return total


class ChannelAttention(nn.Module):
    """Attention in which every channel reads from those that it is least like; it has no convolutions."""

    def __init__(self) -> None:
        """Builds the gain, 0."""
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        """Returns x + gain * attended, (B, C, H, W), of (B, C, H, W)."""
        flat = x.flatten(2)
        energy = 64 * ((flat / 64) @ flat.transpose(1, 2)).float()  # (B, C, C); sums over all pixels overflow fp16
        weights = (energy.amax(dim=2, keepdim=True) - energy).softmax(dim=2)
        return x + self.gain * (weights.to(flat.dtype) @ flat).view_as(x)


def _head(outputs: int, prior: float | None) -> nn.Sequential:
    return nn.Sequential(nn.Dropout2d(0.1), logits(512, outputs, prior))


class DANet(GraspNetwork):
    """Dual attention: position for the angles, channels for the widths, their sum for the quality.

    The paper does not say which output serves which map; the choice is this project's.
    """

    def __init__(self, channels: int = 1, bins: int = 18, prior: float | None = None) -> None:
        """Builds the network with random weights.

        Args:
            channels: Number of input channels: 1 depth, 3 RGB, 4 RGB-D.
            bins: Number of angle bins, K.
            prior: Probability that all maps start at; see ``set_prior``. None is the paper's.
        """
        super().__init__(channels, bins, stride=8)
        self.trunk = smp.encoders.get_encoder("tu-resnet50s", channels, 5, None, 8)
        self.position = nn.Sequential(normalised(2048, 512), PositionAttention(512), normalised(512, 512))
        self.channel = nn.Sequential(normalised(2048, 512), ChannelAttention(), normalised(512, 512))
        self.heads = TaskHeads(*(_head(n, prior) for n in (1, bins, bins)))
        self.up = nn.Upsample(scale_factor=8, mode="bilinear", align_corners=True)

    def features(self, x: Tensor) -> Tensor:
        """Returns (B, 1 + 2K, H, W) logits."""
        deep = self.trunk(x)[5]
        position, channel = self.position(deep), self.channel(deep)
        maps: Tensor = self.up(self.heads(position + channel, position, channel))
        return maps
