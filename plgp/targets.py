"""From sparse grasp labels to the dense maps that the losses want, section IV-B.

Labels travel sparse. The maps are written on the training device, in channels-last memory: the layout in which
the networks' convolutions are fastest, on the CPU and on the GPU.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_NEIGHBOURS = tuple((i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0))


class LabelBatch(NamedTuple):
    """The grasp labels of B images, ragged: G of them in all.

    Attributes:
        image: (G,) int64, which image of the batch, 0 ... B - 1.
        row: (G,) int64, pixels.
        col: (G,) int64, pixels.
        angle_bin: (G,) int64, 0 ... K - 1.
        width: (G,) float32, metres.
        quality: (G,) float32 in (0, 1], what the quality and angle maps shall say there; None is 1 everywhere.
    """

    image: Tensor
    row: Tensor
    col: Tensor
    angle_bin: Tensor
    width: Tensor
    quality: Tensor | None = None


class GraspMaps(NamedTuple):
    """Three maps per image: a network's logits, or the targets.

    Attributes:
        quality: (B, 1, H, W) floating.
        angle: (B, K, H, W) floating.
        width: (B, K, H, W) floating; as a target or after the sigmoid in units of L4, [0, 1].
    """

    quality: Tensor
    angle: Tensor
    width: Tensor

    @classmethod
    def split(cls, channels: Tensor) -> GraspMaps:
        """Returns the maps of (B, 1 + 2K, H, W) channels, without a copy."""
        bins = (channels.shape[1] - 1) // 2
        return cls(*torch.split(channels, [1, bins, bins], dim=1))


def empty_maps(shape: tuple[int, int, int], bins: int, device: torch.device | str = "cpu") -> GraspMaps:
    """Returns float32 zero maps for (B, H, W) images, in channels-last memory."""
    batch, height, width = shape
    sizes = (1, bins, bins)
    return GraspMaps(*(torch.zeros(batch, height, width, n, device=device).permute(0, 3, 1, 2) for n in sizes))


def _neighbours(labels: LabelBatch, shape: tuple[int, int, int], instance_mask: Tensor | None) -> LabelBatch:
    """Returns every label copied to its 8-neighbourhood, as far as image and mask allow."""
    _, height, width = shape
    offsets = torch.tensor(_NEIGHBOURS, device=labels.row.device)
    row = (labels.row[:, None] + offsets[:, 0]).flatten()
    col = (labels.col[:, None] + offsets[:, 1]).flatten()
    copied = [labels.image, labels.angle_bin, labels.width, *([] if labels.quality is None else [labels.quality])]
    image, angle_bin, opening, *quality = (values[:, None].expand(-1, len(_NEIGHBOURS)).flatten() for values in copied)
    keep = (row >= 0) & (row < height) & (col >= 0) & (col < width)
    if instance_mask is not None:
        own = instance_mask[labels.image, labels.row, labels.col]
        there = instance_mask[image, row.clamp(0, height - 1), col.clamp(0, width - 1)]
        keep &= there == own[:, None].expand(-1, len(_NEIGHBOURS)).flatten()
    return LabelBatch(*(values[keep] for values in (image, row, col, angle_bin, opening, *quality)))


def rasterise(
    labels: LabelBatch,
    shape: tuple[int, int, int],
    bins: int = 18,
    max_opening: float = 0.1,
    enhance: bool = True,
    neighbour_quality: float = 0.9,
    instance_mask: Tensor | None = None,
) -> GraspMaps:
    """Returns the training targets of section IV-B on the labels' device.

    Labelled pixels and angles are 1, or the labels' own quality. With ``enhance``, each label is copied to its eight
    neighbours, which become ``neighbour_quality`` times that. A neighbour takes the largest width and quality of the
    labels that reach it, and never replaces a label. Labels that fall on one pixel, or one pixel and angle (after
    augmentation), take the largest of their qualities and widths.

    Args:
        labels: The labels, all inside the images.
        shape: Number, height and width of the images: (B, H, W).
        bins: Number of angle bins, K.
        max_opening: L4, by which widths are divided, metres.
        enhance: Whether labels are copied to their neighbours.
        neighbour_quality: Factor on the quality and angle quality of a neighbour, in (0, 1].
        instance_mask: (B, H, W) integer, which keeps the enhancement from reaching onto another object or the
            background; None lets it, as the paper does.

    Returns:
        float32 maps: quality (B, 1, H, W), angle (B, K, H, W), width (B, K, H, W), all in [0, 1].
    """
    maps = empty_maps(shape, bins, labels.row.device)
    _, height, width = shape
    quality, angle, opening = (m.permute(0, 2, 3, 1).view(-1) for m in maps)

    def write(some: LabelBatch, factor: float) -> None:
        pixel = (some.image * height + some.row) * width + some.col
        cell = pixel * bins + some.angle_bin
        for target, place in ((quality, pixel), (angle, cell)):
            if some.quality is None:
                target[place] = factor
            else:
                target[place] = 0.0
                target.scatter_reduce_(0, place, factor * some.quality, reduce="amax")
        opening[cell] = 0.0
        share = (some.width.float() / max_opening).clamp(0, 1)
        opening.scatter_reduce_(0, cell, share, reduce="amax")

    if enhance:
        write(_neighbours(labels, shape, instance_mask), neighbour_quality)
    write(labels, 1.0)
    return maps
