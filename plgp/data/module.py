"""The DataModule: data set folder -> augmented images and ragged labels -> dense targets on the device."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import cv2
import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from labeler.shards import DataSet
from plgp.data.transforms import Augmentation, AugmentationSettings, Frame, GraspArrays, InputFormat
from plgp.targets import GraspMaps, LabelBatch, rasterise
from sim.depth_noise import DepthNoise
from sim.errors import InputError

if TYPE_CHECKING:
    from labeler.dataset.generate import DataSetRecipe

Key = tuple[int, int]  # (epoch, index of the image)


class Sample(NamedTuple):
    """One training sample: ``image`` (C, H, W) float32, its grasps, ``instance_mask`` (H, W) uint8.

    ``pixels_per_metre`` is the scale at the distance of the tray's centre (the world's origin).
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
        instance_mask: (B, H, W) uint8.
        image_index: (B,) int64, which images of the data set.
        pixels_per_metre: (B,) float32, the scale at the distance of the tray's centre.
        target: Dense targets; None until the batch is on its device.
    """

    image: Tensor
    labels: LabelBatch
    instance_mask: Tensor
    image_index: Tensor
    pixels_per_metre: Tensor
    target: GraspMaps | None = None


class FrameSource(Protocol):
    """What is read from: ``labeler.shards.DataSet``, or anything like it."""

    def read(self, index: int, keys: Sequence[str]) -> Any:
        """Returns a mapping with the keys asked for, and "grasps", "intrinsics", "pose"."""
        ...


@dataclass
class GraspFrames(Dataset[Sample]):
    """Reads, augments and normalises one image; randomness is a function of (seed, epoch, index)."""

    source: FrameSource
    augmentation: Augmentation
    input_format: InputFormat
    seed: int = 0
    depth_key: str = "depth_noisy"
    fresh_noise: DepthNoise | None = None

    def __getitem__(self, key: Key) -> Sample:
        """Returns the sample of image ``index`` as epoch ``epoch`` sees it."""
        epoch, index = key
        use_rgb, use_depth = self.input_format.modality != "depth", self.input_format.modality != "rgb"
        depth_key = self.depth_key if self.fresh_noise is None else "depth"
        keys = ["instance_mask"] + ["rgb"] * use_rgb + [depth_key] * use_depth
        read = self.source.read(index, keys)
        labels = read["grasps"]
        grasps = GraspArrays(
            np.asarray(labels.row, np.int64),
            np.asarray(labels.col, np.int64),
            np.asarray(labels.angle_bin, np.int64),
            np.asarray(labels.width, np.float32),
        )
        depth = read[depth_key] if use_depth else None
        if depth is not None and self.fresh_noise is not None:
            depth = self.fresh_noise(depth, np.random.default_rng([self.seed, epoch, index]))
        frame = Frame(read["rgb"] if use_rgb else None, depth, read["instance_mask"], grasps)
        draw = int(np.random.SeedSequence([self.seed, epoch, index]).generate_state(1)[0])
        frame = self.augmentation(frame, draw)
        mask = frame.instance_mask
        assert mask is not None
        image = torch.from_numpy(self.input_format(frame.rgb, frame.depth))
        scale = float(read["intrinsics"][0, 0] / np.linalg.norm(read["pose"][:3, 3]))
        return Sample(image, frame.grasps, torch.from_numpy(np.ascontiguousarray(mask)), index, scale)


def collate(samples: Sequence[Sample]) -> Batch:
    """Returns the batch of some samples: images stacked, labels one after another."""
    counts = [len(s.grasps.row) for s in samples]
    image = torch.repeat_interleave(torch.arange(len(samples)), torch.tensor(counts))
    names = ("row", "col", "angle_bin", "width")
    rest = (torch.from_numpy(np.concatenate([getattr(s.grasps, n) for s in samples])) for n in names)
    return Batch(
        torch.stack([s.image for s in samples]),
        LabelBatch(image, *rest),
        torch.stack([s.instance_mask for s in samples]),
        torch.tensor([s.image_index for s in samples]),
        torch.tensor([s.pixels_per_metre for s in samples], dtype=torch.float32),
    )


def _start_worker(worker: int) -> None:
    """Loader workers are parallel already: OpenCV's own threads would only wait for each other.

    A worker ends with the training process. Torch's own watch looks at the parent, which under forkserver is the
    server, and that stays as long as it has workers: those of a killed training would stay for ever.
    """
    cv2.setNumThreads(0)
    threading.Thread(target=_end_with_training, daemon=True).start()


def _end_with_training() -> None:
    training = multiprocessing.parent_process()
    if training is not None:
        training.join()
        os._exit(1)


class EpochSampler(Sampler[Key]):
    """Yields (epoch, index): workers that outlive an epoch still learn which one it is.

    Shuffles by (seed, epoch); under torch.distributed each rank takes its share, all of one length.
    """

    def __init__(
        self, indices: Sequence[int], seed: int = 0, shuffle: bool = True, samples_per_epoch: int | None = None
    ) -> None:
        """``samples_per_epoch`` shortens an epoch, or lengthens it by going round again; None is all."""
        self.indices, self.seed, self.shuffle = list(indices), seed, shuffle
        self.total = len(self.indices) if samples_per_epoch is None else samples_per_epoch
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning at the start of every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        """Samples of this rank."""
        return -(-self.total // _world()[1]) if self.indices else 0

    def __iter__(self) -> Iterator[Key]:
        """Yields this rank's keys of the present epoch."""
        if not self.indices:
            return
        rank, world = _world()
        rng = np.random.default_rng([self.seed, self.epoch])
        wanted = len(self) * world
        order: list[int] = []
        while len(order) < wanted:
            part = rng.permutation(self.indices).tolist() if self.shuffle else self.indices
            order.extend(part)
        for index in order[rank:wanted:world]:
            yield (self.epoch if self.shuffle else 0, index)


def _world() -> tuple[int, int]:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


class PLGPDataModule(lightning.LightningDataModule):
    """Generates the data set if it is not there, splits it by scene, feeds the trainer."""

    source: DataSet | None

    def __init__(
        self,
        folder: str | Path,
        recipe: DataSetRecipe | None = None,
        generate_workers: int = 1,
        modality: str = "depth",
        depth_scale: float = 1.0,
        depth_key: str = "depth_noisy",
        colours: str = "centred",
        crop: int = 320,
        translate_px: int = 30,
        rotate_deg: float = 30.0,
        flip: float = 0.5,
        jitter: float = 0.0,
        fresh_noise: DepthNoise | None = None,
        bins: int = 18,
        max_opening: float = 0.1,
        enhance: bool = True,
        neighbour_quality: float = 0.9,
        guard: bool = True,
        batch_size: int = 8,
        samples_per_epoch: int | None = None,
        val_samples: int | None = None,
        overfit: int | None = None,
        workers: int = 0,
        splits: Sequence[float] = (0.8, 0.1, 0.1),
        seed: int = 0,
    ) -> None:
        """Sets up; nothing is read before ``prepare_data`` and ``setup``.

        Args:
            folder: The data set's folder.
            recipe: What to generate there if it is missing; None takes the folder as it is.
            generate_workers: Processes that generate.
            modality: "depth", "rgb" or "rgbd".
            depth_scale: See InputFormat.
            depth_key: "depth_noisy", or "depth" for the clean images.
            colours: How RGB is normalised; see InputFormat. A pre-trained encoder's configuration names its own.
            crop: Side of the crop, pixels.
            translate_px: Greatest random shift, pixels.
            rotate_deg: Greatest random rotation, degrees.
            flip: Probability of a horizontal flip.
            jitter: Colour jitter of RGB; see AugmentationSettings.
            fresh_noise: Drawn anew each epoch over the clean depth, in place of ``depth_key``'s images.
            bins: K.
            max_opening: L4, metres: the unit of the width targets.
            enhance: Whether labels are copied to their neighbours.
            neighbour_quality: Of those copies.
            guard: Keep the copies on the label's own object; the paper's enhancement has no guard.
            batch_size: Images a batch.
            samples_per_epoch: Images a training epoch; None is all of the training split.
            val_samples: Images of a validation run; None is all of the validation split.
            overfit: So many images of the training split, unaugmented, for training and for validation:
                a network that cannot learn these is broken. None is off.
            workers: Loader processes; 0 loads in the training process.
            splits: Shares of the scenes for training, validation and test.
            seed: Of order and augmentation.
        """
        super().__init__()
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; give at least 1")
        if overfit is not None and overfit < 1:
            raise InputError(f"overfit is {overfit}; give at least 1 image, or null")
        self.folder, self.recipe, self.generate_workers = Path(folder), recipe, generate_workers
        self.input_format = InputFormat(modality, float(depth_scale), crop, colours)
        self.settings = AugmentationSettings(crop, translate_px, float(rotate_deg), flip, float(jitter))
        self.fresh_noise = fresh_noise
        self.depth_key, self.bins, self.max_opening = depth_key, bins, float(max_opening)
        self.enhance, self.neighbour_quality, self.guard = enhance, float(neighbour_quality), guard
        self.batch_size, self.workers, self.seed = batch_size, workers, seed
        self.samples_per_epoch, self.val_samples = samples_per_epoch, val_samples
        self.overfit, self.splits, self.source = overfit, tuple(splits), None

    def prepare_data(self) -> None:
        """Generates the data set if the folder does not hold it yet; runs in one process."""
        if self.recipe is None:
            if not (self.folder / "dataset.json").exists():
                raise InputError(f"no data set in '{self.folder}'; generate it, or choose data=... with a recipe")
            return
        if self.recipe.labels.angles != self.bins:
            raise InputError(f"the recipe's labels have {self.recipe.labels.angles} angles, bins is {self.bins}")
        from labeler.dataset.generate import generate  # brings the simulator: loader workers do without

        generate(self.recipe, self.folder, workers=self.generate_workers)

    def setup(self, stage: str | None = None) -> None:
        """Opens the data set and splits it by scene."""
        if self.source is None:
            self.source = DataSet(self.folder)
            angles = self.source.manifest.recipe.get("labels", {}).get("angles", self.bins)
            if angles != self.bins:
                raise InputError(f"data set '{self.folder}' has labels of {angles} angles, bins is {self.bins}")
            self.indices = dict(zip(("train", "val", "test"), self.source.splits(*self.splits), strict=True))
            if not self.indices["train"]:
                raise InputError(
                    f"data set '{self.folder}' has too few scenes for a training split of {self.splits[0]}"
                )
            if self.overfit is not None:
                few = self.indices["train"][: self.overfit]
                self.indices |= {"train": few, "val": few}

    def frames(self, train: bool) -> GraspFrames:
        """Returns the images as training (augmented) or evaluation (centre crop) sees them."""
        assert self.source is not None, "setup() comes first"
        augmentation = Augmentation(self.settings, self.bins, train)
        return GraspFrames(self.source, augmentation, self.input_format, self.seed, self.depth_key, self.fresh_noise)

    def train_dataloader(self) -> DataLoader[Any]:
        """Shuffled, augmented."""
        sampler = EpochSampler(self.indices["train"], self.seed, True, self.samples_per_epoch)
        if self.trainer is not None:  # a resumed run's workers fetch before Lightning calls set_epoch
            progress = self.trainer.fit_loop.epoch_progress.current
            sampler.set_epoch(progress.processed)  # type: ignore[attr-defined]
        return self._loader(self.frames(self.overfit is None), sampler, drop_last=len(sampler) >= self.batch_size)

    def val_dataloader(self) -> DataLoader[Any]:
        """Centre crops in fixed order."""
        indices = self.indices["val"] or self.indices["train"]
        return self._loader(self.frames(train=False), EpochSampler(indices[: self.val_samples], shuffle=False))

    def test_dataloader(self) -> DataLoader[Any]:
        """Centre crops in fixed order."""
        return self._loader(self.frames(train=False), EpochSampler(self.indices["test"], shuffle=False))

    def _loader(self, frames: GraspFrames, sampler: EpochSampler, drop_last: bool = False) -> DataLoader[Any]:
        return DataLoader(
            frames,
            batch_size=self.batch_size,
            sampler=sampler,
            num_workers=self.workers,
            collate_fn=collate,
            drop_last=drop_last,
            pin_memory=torch.cuda.is_available(),
            multiprocessing_context="forkserver" if self.workers else None,  # numba and HDF5 do not survive a fork
            persistent_workers=self.workers > 0,
            worker_init_fn=_start_worker,
        )

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int = 0) -> Batch:
        """Writes the dense targets on the device that the batch is on."""
        shape = (batch.image.shape[0], batch.image.shape[2], batch.image.shape[3])
        target = rasterise(
            LabelBatch(*batch.labels),
            shape,
            self.bins,
            self.max_opening,
            self.enhance,
            self.neighbour_quality,
            batch.instance_mask if self.guard else None,
        )
        image = batch.image.contiguous(memory_format=torch.channels_last)
        return batch._replace(image=image, target=target)
