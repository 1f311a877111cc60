"""Samples and batches: images stacked, labels ragged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from plgp.data.augmentation import GraspArrays
from plgp.targets import GraspMaps, LabelBatch


class Sample(NamedTuple):
    """One training sample.

    Attributes:
        image: (C, H, W) float32, normalised.
        grasps: The grasps within the image.
        instance_mask: (H, W) uint8, 0 = background.
        image_index: Index of the image in the data set; -1 for one that is repeated and does not count.
        pixels_per_metre: Scale of the image at the distance of the tray's centre (the world's origin).
    """

    image: Tensor
    grasps: GraspArrays
    instance_mask: Tensor
    image_index: int
    pixels_per_metre: float


class Batch(NamedTuple):
    """B samples.

    Attributes:
        image: (B, C, H, W) float32, normalised.
        labels: Ragged labels.
        instance_mask: (B, H, W) uint8, 0 = background.
        image_index: (B,) int64, indices of the images in the data set; -1 for those that do not count.
        pixels_per_metre: (B,) float32, scale of each image at the distance of the tray's centre.
        target: Dense targets; None until the batch is on its device.
    """

    image: Tensor
    labels: LabelBatch
    instance_mask: Tensor
    image_index: Tensor
    pixels_per_metre: Tensor
    target: GraspMaps | None = None


def collate(samples: Sequence[Sample]) -> Batch:
    """Returns the batch of some samples: images stacked, labels one after another."""
    counts = [len(s.grasps.row) for s in samples]
    image = torch.repeat_interleave(torch.arange(len(samples)), torch.tensor(counts))
    names = ["row", "col", "angle_bin", "width"]
    if all(s.grasps.quality is not None for s in samples):
        names.append("quality")
    rest = (torch.from_numpy(np.concatenate([getattr(s.grasps, n) for s in samples])) for n in names)
    return Batch(
        torch.stack([s.image for s in samples]),
        LabelBatch(image, *rest),
        torch.stack([s.instance_mask for s in samples]),
        torch.tensor([s.image_index for s in samples]),
        torch.tensor([s.pixels_per_metre for s in samples], dtype=torch.float32),
    )
