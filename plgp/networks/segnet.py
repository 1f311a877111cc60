"""SegNet (Badrinarayanan, Kendall, Cipolla 2017); 29,537,317 parameters for depth."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plgp.networks.base import GraspNetwork, set_prior
from plgp.networks.blocks import TaskHeads, normalised

_ENCODER = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
_DECODER = ((512, 512, 512), (512, 512, 256), (256, 256, 128), (128, 64))


def _levels(inputs: int, widths: tuple[tuple[int, ...], ...]) -> nn.ModuleList:
    levels = nn.ModuleList()
    for level in widths:
        layers = [part for a, b in pairwise((inputs, *level)) for part in normalised(a, b, bias=True)]
        levels.append(nn.Sequential(*layers))
        inputs = level[-1]
    return levels


def _unpool(x: Tensor, index: Tensor) -> Tensor:
    """Returns (B, C, 2H, 2W): each value of (B, C, H, W) where its maximum was, 0 elsewhere."""
    if not torch.onnx.is_in_onnx_export():
        return F.max_unpool2d(x, index, (2, 2))
    batch, width, rows, columns = x.shape  # ONNX's own unpooling does not know torch's indices: scatter
    empty = torch.zeros(batch, width, 4 * rows * columns, dtype=x.dtype, device=x.device)
    return empty.scatter(2, index.flatten(2), x.flatten(2)).view(batch, width, 2 * rows, 2 * columns)


def _head(outputs: int, prior: float | None) -> nn.Sequential:
    last = nn.Conv2d(64, outputs, 3, padding=1)
    set_prior(last, prior)
    return nn.Sequential(*normalised(64, 64, bias=True), last)


class SegNet(GraspNetwork):
    """SegNet of stride 32: VGG-16's encoder, and a decoder that unpools to where the maxima were."""

    def __init__(self, channels: int = 1, bins: int = 18, prior: float | None = None) -> None:
        """Builds the network with random weights.

        Args:
            channels: Number of input channels: 1 depth, 3 RGB, 4 RGB-D.
            bins: Number of angle bins, K.
            prior: Probability that all maps start at; see ``set_prior``. None is the paper's.
        """
        super().__init__(channels, bins, stride=32)
        self.encoder = _levels(channels, _ENCODER)
        self.decoder = _levels(512, _DECODER)
        self.heads = TaskHeads(*(_head(n, prior) for n in (1, bins, bins)))

    def features(self, x: Tensor) -> Tensor:
        """Returns (B, 1 + 2K, H, W) logits."""
        indices: list[Tensor] = []
        for level in self.encoder:
            x, index = F.max_pool2d(level(x), 2, return_indices=True)
            indices.append(index)
        for level in self.decoder:
            x = level(_unpool(x, indices.pop()))
        logits: Tensor = self.heads(_unpool(x, indices.pop()))
        return logits
