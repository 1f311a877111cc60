"""Single images of a data set: read, augmented, normalised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from plgp.data.augmentation import Augmentation, GraspArrays, LabelledImage
from plgp.data.batch import Sample
from plgp.data.input_format import InputFormat
from plgp.data.sampler import REPEATED, Key
from sim.depth_noise.model import Noise, noise_for_camera, noise_on_part


class FrameSource(Protocol):
    """Where images are read from: ``labeler.shards.DataSet``, or anything like it."""

    def read(self, index: int, keys: Sequence[str]) -> Any:
        """Returns a mapping with the keys asked for, and with "grasps", "intrinsics" and "pose"."""
        ...


@dataclass(kw_only=True)
class GraspFrames(Dataset[Sample]):
    """Reads, augments and normalises one image; randomness is a function of (seed, epoch, index).

    Attributes:
        source: Source of images and labels.
        augmentation: Crop and movement of an image together with its grasps.
        input_format: Format of the network's input.
        seed: Seed of augmentation and noise.
        depth_key: Name of the depth images: "depth_noisy", or "depth" for the clean ones.
        fresh_noise: Noise drawn anew in each epoch over the clean depth, in place of ``depth_key``'s images.
        quality_floor: Target of the quality at a label of score 0, in (0, 1]; one of score 1 has 1.
    """

    source: FrameSource
    augmentation: Augmentation
    input_format: InputFormat
    seed: int = 0
    depth_key: str = "depth_noisy"
    fresh_noise: Noise | None = None
    quality_floor: float = 1.0

    def __getitem__(self, key: Key) -> Sample:
        """Returns the sample of image ``index`` as epoch ``epoch`` sees it; a repeated one has the index -1.

        Args:
            key: (epoch, index), or (epoch, index, round) of an image that the epoch shows again.
        """
        index, words = key[1], [self.seed, max(key[0], 0), *key[1:]]
        depth_key = self.depth_key if self.fresh_noise is None else "depth"
        use_rgb, use_depth = self.input_format.uses_rgb, self.input_format.uses_depth
        read = self.source.read(index, ["instance_mask"] + ["rgb"] * use_rgb + [depth_key] * use_depth)
        labels = read["grasps"]
        grasps = GraspArrays(
            np.asarray(labels.row, np.int64),
            np.asarray(labels.col, np.int64),
            np.asarray(labels.angle_bin, np.int64),
            np.asarray(labels.width, np.float32),
            None if self.quality_floor == 1 else self.quality_floor + (1 - self.quality_floor) * labels.score,
        )
        depth = read[depth_key] if use_depth else None
        draw = int(np.random.SeedSequence(words).generate_state(1)[0])
        if depth is not None and self.fresh_noise is not None:
            noise = noise_for_camera(self.fresh_noise, float(read["intrinsics"][0, 0]))
            part = self.augmentation.shown(depth.shape, draw)
            spoilt = noise_on_part(noise, depth, np.random.default_rng(words), part=part)
            depth = np.zeros_like(depth)  # noise costs more than all the rest: only what the crop shows gets it
            depth[part] = spoilt
        labelled = LabelledImage(read["rgb"] if use_rgb else None, depth, read["instance_mask"], grasps)
        labelled = self.augmentation(labelled, draw)
        mask = labelled.instance_mask
        assert mask is not None
        image = torch.from_numpy(self.input_format(labelled.rgb, labelled.depth))
        shown = REPEATED if key[0] == REPEATED else index
        scale = _pixels_per_metre(read["intrinsics"], read["pose"], depth)
        return Sample(image, labelled.grasps, torch.from_numpy(np.ascontiguousarray(mask)), shown, scale)


def _pixels_per_metre(
    intrinsics: NDArray[np.float64], pose: NDArray[np.float64], depth: NDArray[np.floating] | None
) -> float:
    """Returns the pixels that a metre takes at the world's origin.

    Imported images without a pose have the identity, which puts the camera at the origin: the median depth counts
    there. Without depth the scale is NaN.
    """
    distance = float(np.linalg.norm(pose[:3, 3]))
    if not distance > 0 and depth is not None and (depth > 0).any():
        distance = float(np.median(depth[depth > 0]))
    return float(intrinsics[0, 0]) / distance if distance > 0 else float("nan")
