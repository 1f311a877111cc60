"""Parts that several networks are built of."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plgp.networks.base import set_prior


class TaskHeads(nn.Module):
    """Three heads of one shape, each with its own weights, on one feature or on one feature for each task."""

    def __init__(self, quality: nn.Module, angle: nn.Module, width: nn.Module) -> None:
        """Takes the heads of the three maps."""
        super().__init__()
        self.quality, self.angle, self.width = quality, angle, width

    def forward(self, quality: Tensor, angle: Tensor | None = None, width: Tensor | None = None) -> Tensor:
        """Returns the concatenated logits; angle and width read ``quality``'s feature unless they have their own."""
        angle = quality if angle is None else angle
        width = quality if width is None else width
        return torch.cat([self.quality(quality), self.angle(angle), self.width(width)], dim=1)


def normalised(
    inputs: int, outputs: int, kernel: int = 3, *, stride: int = 1, dilation: int = 1, bias: bool = False
) -> nn.Sequential:
    """Returns a convolution (same padding), batch norm and ReLU."""
    padding = dilation * (kernel - 1) // 2
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=bias),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def doubled(width: int) -> list[nn.Module]:
    """Returns a biased transposed 2x2 convolution of stride 2 and its ReLU: twice the size, the same channels."""
    return [nn.ConvTranspose2d(width, width, 2, stride=2), nn.ReLU(inplace=True)]


def logits(inputs: int, outputs: int, prior: float | None) -> nn.Conv2d:
    """Returns a biased 1x1 convolution that starts at ``prior``; see ``set_prior``."""
    layer = nn.Conv2d(inputs, outputs, 1)
    set_prior(layer, prior)
    return layer


def resize(x: Tensor, size: torch.Size | tuple[int, int]) -> Tensor:
    """Returns (B, C, *, *) features at ``size`` = (height, width), bilinear, corners aligned."""
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=True)


def resnet101(channels: int, output_stride: int, dilations: tuple[int, int, int]) -> nn.Module:
    """Returns a ResNet-101 trunk with random weights.

    Args:
        channels: Number of input channels.
        output_stride: Stride of the last stage, 8 or 16; later stages dilate instead of striding.
        dilations: Dilations of the 3x3 convolutions of stage 4's three blocks (multi-grid).

    Returns:
        A module (B, C, H, W) -> list of six features; [2] has 256 channels at stride 4, [5] has 2048 at the
        output stride.
    """
    import segmentation_models_pytorch as smp  # takes seconds

    trunk: nn.Module = smp.encoders.get_encoder("resnet101", channels, 5, None, output_stride)
    stage: Any = trunk.layer4
    for block, dilation in zip(stage, dilations, strict=True):
        block.conv2.dilation = block.conv2.padding = (dilation, dilation)
    return trunk
