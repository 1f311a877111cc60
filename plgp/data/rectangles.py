"""Labels as the rectangles of off-policy data sets, and the dense targets that GG-CNN draws from them.

Cornell and Jacquard give an image some tens of rectangles. ``labeler.formats.rectangles`` writes this project's labels
as such; here a network is trained on just these, so that a handful of rectangles and a label for every pixel can be
compared on the same images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plgp.data.frames import FrameSource
from plgp.targets import GraspMaps, LabelBatch, empty_maps
from sim.errors import InputError

_THIRD = 3.0  # GG-CNN draws the middle third of a rectangle, along the closing direction


@dataclass(frozen=True)
class FewLabels:
    """The images of a source with some of their labels, those that ``labeler.export_rectangles`` writes.

    Attributes:
        source: Source of images and labels.
        per_image: Greatest number of labels of an image, drawn without replacement.
        seed: Seed of the draw; image i draws from ``default_rng([seed, i])``.
    """

    source: FrameSource
    per_image: int
    seed: int = 0

    def read(self, index: int, keys: Sequence[str]) -> Mapping[str, Any]:
        """Returns image ``index`` with the images named in ``keys`` and at most ``per_image`` labels."""
        frame = dict(self.source.read(index, keys))
        labels = frame["grasps"]
        if len(labels) > self.per_image:
            rng = np.random.default_rng([self.seed, index])
            frame["grasps"] = labels[np.sort(rng.choice(len(labels), self.per_image, replace=False))]
        return frame


def paint_rectangles(
    labels: LabelBatch,
    shape: tuple[int, int, int],
    pixels_per_metre: Tensor,
    *,
    jaw: float,
    bins: int = 18,
    max_opening: float = 0.1,
) -> GraspMaps:
    """Returns the targets that GG-CNN draws: every rectangle's middle third, filled.

    A rectangle is as long as its label's opening, and as broad as a jaw. Its middle third along the closing direction
    has the label's quality, its angle bin and its width. Where rectangles overlap, the label that comes later in
    ``labels`` is drawn over the others, so a pixel has one angle (Morrison et al. 2018, section III-B, and its code).
    The scale is that of the tray's floor: on an object 50 mm high a rectangle is drawn some 8 % too small.

    Args:
        labels: The labels, all inside the images.
        shape: Number, height and width of the images: (B, H, W).
        pixels_per_metre: (B,) float32, scale of each image.
        jaw: Breadth of a jaw, across the closing direction, metres.
        bins: Number of angle bins, K.
        max_opening: L4, by which widths are divided, metres.

    Returns:
        float32 maps: quality (B, 1, H, W), angle (B, K, H, W), width (B, K, H, W), all in [0, 1].

    Raises:
        InputError: The scale of an image is not known.
    """
    if not bool(torch.isfinite(pixels_per_metre).all()):
        raise InputError("data.rectangles needs the images' scale, but they have neither pose nor depth; leave it out")
    maps = empty_maps(shape, bins, labels.row.device)
    if not len(labels.row):
        return maps
    pixel, number = _pixels_inside(labels, shape, pixels_per_metre, jaw=jaw, bins=bins)
    top = torch.full((math.prod(shape),), -1, dtype=torch.int64, device=labels.row.device)
    top.scatter_reduce_(0, pixel, number, reduce="amax")
    painted = torch.nonzero(top >= 0).squeeze(1)
    label = top[painted]
    quality, angle, opening = (m.permute(0, 2, 3, 1).view(-1) for m in maps)
    cell = painted * bins + labels.angle_bin[label]
    said = 1.0 if labels.quality is None else labels.quality[label].float()
    quality[painted] = said
    angle[cell] = said
    opening[cell] = (labels.width[label].float() / max_opening).clamp(0, 1)
    return maps


def _pixels_inside(
    labels: LabelBatch, shape: tuple[int, int, int], scale: Tensor, *, jaw: float, bins: int
) -> tuple[Tensor, Tensor]:
    """Returns the pixels of all middle thirds, as flat indices into (B, H, W), and whose each is."""
    _, height, width = shape
    metres = scale[labels.image]
    # Half a pixel at least: the label's own pixel is always drawn.
    along_half = (labels.width.float() * metres / (2 * _THIRD)).clamp(min=0.5)
    across_half = (jaw * metres / 2).clamp(min=0.5)
    reach = math.ceil(float(torch.hypot(along_half, across_half).max()))
    steps = torch.arange(-reach, reach + 1, device=labels.row.device)
    down, right = (g.flatten() for g in torch.meshgrid(steps, steps, indexing="ij"))
    theta = (labels.angle_bin * (math.pi / bins))[:, None]
    along = right * torch.cos(theta) - down * torch.sin(theta)
    across = right * torch.sin(theta) + down * torch.cos(theta)
    row, col = labels.row[:, None] + down, labels.col[:, None] + right
    inside = (along.abs() <= along_half[:, None]) & (across.abs() <= across_half[:, None])
    inside &= (row >= 0) & (row < height) & (col >= 0) & (col < width)
    number, place = torch.nonzero(inside, as_tuple=True)
    return (labels.image[number] * height + row[number, place]) * width + col[number, place], number
