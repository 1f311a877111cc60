"""GGCNN2 (Morrison, Corke, Leitner 2020) with the paper's three heads; 79,381 parameters for depth."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from plgp.networks.base import GraspNetwork, set_prior

Window = tuple[slice, slice]  # rows and columns, from start to stop

_FIRST, _SECOND = 14, 17  # the trunk's layers that upsample
_REACH = 16  # coarsest pixels that features look around: 4 + 8 by the dilated layers, 2 + 2 by those before


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

    def window_features(self, x: Tensor, window: Window) -> Tensor:
        """Returns ``features`` of some rows and columns: every layer computes little more than what they need."""
        height, width = x.shape[-2] // 4, x.shape[-1] // 4
        fine = _grown(window, 1, (4 * height, 4 * width))
        middle = _grown(_below(fine, (2 * height, 2 * width)), 1, (2 * height, 2 * width))
        coarse = _grown(_below(middle, (height, width)), _REACH, (height, width))
        rows, cols = (slice(4 * part.start, 4 * part.stop) for part in coarse)
        shown = x[..., rows, cols]
        result = self.trunk[:_FIRST](shown.contiguous(memory_format=torch.channels_last))
        result = self.trunk[_FIRST + 1 : _SECOND](_upsampled(result, coarse, (height, width), wanted=middle))
        result = self.trunk[_SECOND + 1 :](_upsampled(result, middle, (2 * height, 2 * width), wanted=fine))
        inner = [slice(part.start - f.start, part.stop - f.start) for part, f in zip(window, fine, strict=True)]
        logits: Tensor = self.heads(result[..., *inner].contiguous(memory_format=torch.channels_last))
        return logits


def _grown(window: Window, reach: int, size: tuple[int, int]) -> Window:
    """Returns rows and columns and ``reach`` more on every side, as far as a map of some size goes."""
    rows, cols = (slice(max(0, w.start - reach), min(n, w.stop + reach)) for w, n in zip(window, size, strict=True))
    return rows, cols


def _below(window: Window, size: tuple[int, int]) -> Window:
    """Returns the rows and columns of a map of some size that a window of its upsampled map is made of."""
    rows, cols = (
        slice(w.start * (n - 1) // (2 * n - 1), min(n, (w.stop - 1) * (n - 1) // (2 * n - 1) + 2))
        for w, n in zip(window, size, strict=True)
    )
    return rows, cols


def _upsampled(part: Tensor, shown: Window, size: tuple[int, int], *, wanted: Window) -> Tensor:
    """Returns a window of a map upsampled by two, as ``_upsample`` upsamples the whole map.

    Args:
        part: (B, C, h, w) floating, the map's part ``shown``.
        shown: Rows and columns that the part shows of its map.
        size: Height and width of that map, pixels.
        wanted: Rows and columns of the upsampled map.

    Returns:
        (B, C, H, W) floating, the rows and columns ``wanted``, in channels-last memory.
    """
    if all(have.stop - have.start == n for have, n in zip(shown, size, strict=True)):
        whole = functional.interpolate(part, scale_factor=2, mode="bilinear", align_corners=True)
        return whole[..., *wanted].contiguous(memory_format=torch.channels_last)
    result = part.permute(0, 2, 3, 1)  # in memory as it is
    for axis, (have, n, want) in enumerate(zip(shown, size, wanted, strict=True), 1):
        result = _doubled(result.transpose(1, axis), have.start, n, wanted=want).transpose(1, axis)
    return result.permute(0, 3, 1, 2)


def _doubled(rows: Tensor, start: int, n: int, *, wanted: slice) -> Tensor:
    """Returns some of the 2 ``n`` rows of an upsampled map, given its rows from ``start`` on: (B, m, ...)."""
    result = rows.new_empty(rows.shape[0], wanted.stop - wanted.start, *rows.shape[2:])
    for i in {wanted.start, wanted.stop - 1} & {0, 2 * n - 1}:  # the map's ends lie between no two rows
        result[:, i - wanted.start] = rows[:, i * (n - 1) // (2 * n - 1) - start]
    for first in (max(1, wanted.start), max(1, wanted.start) + 1):
        place = torch.arange(first, min(2 * n - 1, wanted.stop), 2, device=rows.device)
        if not len(place):
            continue
        low = (first - 1) // 2 - start  # of every second row, those below are neighbours
        share = (place * ((n - 1) / (2 * n - 1)) - (place - 1) // 2).to(rows).view(-1, *[1] * (rows.ndim - 2))
        pair = rows[:, low : low + len(place)], rows[:, low + 1 : low + 1 + len(place)]
        torch.lerp(*pair, share, out=result[:, first - wanted.start : place[-1] + 1 - wanted.start : 2])
    return result
