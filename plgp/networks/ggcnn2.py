"""GGCNN2 (Morrison, Corke, Leitner 2020) with the paper's three heads; 79,381 parameters for depth."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from plgp.networks.base import GraspNetwork, set_prior


def _convolution(inputs: int, outputs: int, kernel: int, dilation: int = 1) -> list[nn.Module]:
    padding = dilation * (kernel - 1) // 2
    return [nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=dilation), nn.ReLU(inplace=True)]


def _upsample() -> nn.Module:
    return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)


class GGCNN2(GraspNetwork):
    """GGCNN2 of stride 4, fully convolutional and without batch norm.

    The three 1x1 heads are one convolution of 1 + 2K channels: the sums and parameters are the same, the memory
    traffic is a third.
    """

    def __init__(self, channels: int = 1, bins: int = 18, prior: float | None = None, *, width: int = 1) -> None:
        """Builds the network with Xavier weights and zero biases.

        Args:
            channels: Number of input channels: 1 depth, 3 RGB, 4 RGB-D.
            bins: Number of angle bins, K.
            prior: Probability that all maps start at; see ``set_prior``. None is the paper's.
            width: Factor on the number of filters of every convolution but the heads'; 1 is the published network.
        """
        super().__init__(channels, bins, stride=4)
        few, many = 16 * width, 32 * width
        self.trunk = nn.Sequential(
            *_convolution(channels, few, 11),
            *_convolution(few, few, 5),
            nn.MaxPool2d(2),
            *_convolution(few, few, 5),
            *_convolution(few, few, 5),
            nn.MaxPool2d(2),
            *_convolution(few, many, 5, dilation=2),
            *_convolution(many, many, 5, dilation=4),
            _upsample(),
            *_convolution(many, many, 3),
            _upsample(),
            *_convolution(many, many, 3),
        )
        self.heads = nn.Conv2d(many, 1 + 2 * bins, 1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.xavier_uniform_(layer.weight)
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)
        for part in torch.split(self.heads.weight.detach(), [1, bins, bins]):
            nn.init.xavier_uniform_(part)  # each head by its own fan
        set_prior(self.heads, prior)

    def features(self, x: Tensor) -> Tensor:
        """Returns (B, 1 + 2K, H, W) logits."""
        logits: Tensor = self.heads(self.trunk(x))
        return logits

    def window_features(self, x: Tensor, window: tuple[slice, slice]) -> Tensor:
        """Returns ``features`` of some rows and columns: the last convolutions, half of the work, run only there."""
        coarse = self.trunk[:-2](x)
        # The last convolution looks one pixel around; beyond the image it sees zeros, as in the whole.
        wide = [slice(max(0, part.start - 1), part.stop + 1) for part in window]
        inner = [slice(part.start - w.start, part.stop - w.start) for part, w in zip(window, wide, strict=True)]
        fine = self.trunk[-2:](coarse[..., *wide].contiguous(memory_format=torch.channels_last))
        logits: Tensor = self.heads(fine[..., *inner].contiguous(memory_format=torch.channels_last))
        return logits
