"""The DataModule: data set folder -> augmented images and ragged labels -> dense targets on the device."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import lightning
import torch
from torch.utils.data import DataLoader, Dataset

from labeler.dataset.manifest import parse
from labeler.shards.data_set import DataSet
from plgp.data.augmentation import Augmentation, AugmentationSettings
from plgp.data.batch import Batch, collate
from plgp.data.frames import GraspFrames
from plgp.data.input_format import InputFormat
from plgp.data.joined import JoinedDataSets, first_images
from plgp.data.rectangles import FewLabels, paint_rectangles
from plgp.data.sampler import EpochSampler
from plgp.data.trained_view import TrainedView
from plgp.targets import LabelBatch, rasterise
from sim.depth_noise.mixed import mix_presets
from sim.depth_noise.model import Noise, describe_noise
from sim.errors import InputError

if TYPE_CHECKING:
    from labeler.dataset.generate import DataSetRecipe


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h


def _start_worker(worker: int) -> None:
    """Readies a loader worker.

    Workers are parallel already: OpenCV's own threads would only wait for each other. Memory that a sample frees stays
    with the worker for the next one: fresh pages cost a quarter of a sample's time. A worker ends with the
    training process. Torch's own watch looks at the parent, which under forkserver is the server, and the server
    stays as long as it has workers: those of a killed training would never end.
    """
    cv2.setNumThreads(0)
    _keep_memory()
    threading.Thread(target=_end_with_training, daemon=True).start()


def _keep_memory() -> None:
    """Asks glibc to keep what is freed, up to 256 MB; other C libraries do as they do."""
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_TRIM_THRESHOLD, 256 << 20)
        libc.mallopt(_MMAP_THRESHOLD, 32 << 20)


def _end_with_training() -> None:
    training = multiprocessing.parent_process()
    if training is not None:
        training.join()
        os._exit(1)


def _check_sizes(data: DataSet, crop: int) -> None:
    """Raises InputError where a data set of images of several sizes has one that is smaller than the crop."""
    recipe = data.manifest.recipe  # an import has sizes of its own, a random world those that it draws
    known = recipe.get("sizes") or (recipe.get("world") or {}).get("sizes", [])
    sizes = parse(tuple[tuple[int, int], ...], known, f"{data.folder}: recipe.sizes or recipe.world.sizes")
    width, height = min(sizes, key=min, default=(crop, crop))
    if min(width, height) < crop:
        raise InputError(
            f"crop {crop} is larger than the {height}x{width} images of '{data.folder}'; make it at most "
            f"{min(width, height)}"
        )


class PLGPDataModule(lightning.LightningDataModule):
    """Generates the data set if it is not there, splits it by scene, feeds the trainer.

    Args:
        folder: Folder of the data set.
        also: Folders of further data sets, finished ones, whose images are mixed with its images: real beside
            simulated, one kind of objects beside another. Each is split by itself; the network's world is the first's,
            under all their names.
        recipe: Recipe of the data set, which is generated where it is missing; None takes the folder as it is.
        generate_workers: Number of processes that generate.
        modality: "depth", "rgb" or "rgbd".
        depth_scale: Factor on the centred depth; see ``InputFormat``.
        depth_key: Name of the depth images: "depth_noisy", or "depth" for the clean ones.
        colours: Normalisation of RGB; see ``InputFormat``. A pre-trained encoder's configuration names its own.
        crop: Side of the crop, pixels.
        translate_px: Greatest random shift, pixels.
        rotate_deg: Greatest random rotation, degrees.
        flip: Probability of a horizontal flip.
        jitter: Colour jitter of RGB; see ``AugmentationSettings``.
        fresh_noise: Noise drawn anew in each epoch over the clean depth, in place of ``depth_key``'s images.
        depth_noise: Preset of conf/depth_noise, or several of which each image draws one, anew in each epoch, over the
            clean depth. None leaves it to ``fresh_noise``.
        bins: Number of angle bins, K.
        max_opening: L4, the unit of the width targets, metres; None is that of the data set's gripper, and no other
            fits.
        enhance: Whether labels are copied to their neighbours.
        neighbour_quality: Factor on the quality of those copies, in (0, 1].
        quality_floor: Target of the quality at a label of score 0, in (0, 1]: labels with more free space around the
            fingers and more contact have more, up to 1. It wants a data set made with ``recipe.scores=true``; 1 is
            the paper's, 1 for every label.
        guard: Whether the copies stay on the label's own object; the paper's enhancement has no guard.
        rectangles: Number of labels of an image that are kept, drawn as GG-CNN draws rectangles
            (``plgp.data.rectangles``); it wants ``enhance=False``. None takes all labels, each at its pixel.
        batch_size: Number of images in a batch.
        samples_per_epoch: Number of images in a training epoch; None takes all of the training split.
        val_samples: Number of images in a validation run, of each joined data set by its share; None takes all of the
            validation split.
        overfit: Number of images of the training split that are taken, unaugmented, for training and for
            validation: a network that cannot learn these is broken. None trains as usual.
        workers: Number of loader processes; 0 loads in the training process.
        splits: Shares of the scenes for training, validation and test. Without a scene for validation the images of
            training stand in, which is warned about.
        seed: Seed of order and augmentation.

    Raises:
        InputError: A setting is out of range.
    """

    source: DataSet | JoinedDataSets | None
    _trained_view: TrainedView
    collate: Callable[[Sequence[Any]], Any] = staticmethod(collate)  # makes a batch of samples

    def __init__(
        self,
        folder: str | Path,
        recipe: DataSetRecipe | None = None,
        generate_workers: int = 1,
        *,
        also: Sequence[str | Path] = (),
        modality: str = "depth",
        depth_scale: float = 1.0,
        depth_key: str = "depth_noisy",
        colours: str = "centred",
        crop: int = 320,
        translate_px: int = 30,
        rotate_deg: float = 30.0,
        flip: float = 0.5,
        jitter: float = 0.0,
        fresh_noise: Noise | None = None,
        depth_noise: str | Sequence[str] | None = None,
        bins: int = 18,
        max_opening: float | None = None,
        enhance: bool = True,
        neighbour_quality: float = 0.9,
        quality_floor: float = 1.0,
        guard: bool = True,
        rectangles: int | None = None,
        batch_size: int = 8,
        samples_per_epoch: int | None = None,
        val_samples: int | None = None,
        overfit: int | None = None,
        workers: int = 0,
        splits: Sequence[float] = (0.8, 0.1, 0.1),
        seed: int = 0,
    ) -> None:
        """Keeps the settings; nothing is read before ``prepare_data`` and ``setup``."""
        super().__init__()
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; give at least 1")
        if overfit is not None and overfit < 1:
            raise InputError(f"overfit is {overfit}; give at least 1 image, or null")
        self.folder, self.recipe, self.generate_workers = Path(folder), recipe, generate_workers
        self.input_format = InputFormat(modality=modality, depth_scale=float(depth_scale), window=crop, colours=colours)
        self.settings = AugmentationSettings(
            crop=crop, translate_px=translate_px, rotate_deg=float(rotate_deg), flip=flip, jitter=float(jitter)
        )
        if depth_noise is not None and fresh_noise is not None:
            raise InputError("data.depth_noise and data.fresh_noise are both set; leave one of them null")
        self.fresh_noise = fresh_noise if depth_noise is None else mix_presets(depth_noise)
        self.depth_key, self.bins, self.max_opening = depth_key, bins, max_opening
        if not 0 < quality_floor <= 1:
            raise InputError(f"data.quality_floor is {quality_floor}; give more than 0 and at most 1")
        _check_rectangles(rectangles, enhance)
        self.enhance, self.guard, self.rectangles = enhance, guard, rectangles
        self.neighbour_quality, self.quality_floor = float(neighbour_quality), float(quality_floor)
        self.batch_size, self.workers, self.seed = batch_size, workers, seed
        self.samples_per_epoch, self.val_samples = samples_per_epoch, val_samples
        self.also = tuple(Path(folder) for folder in also)
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
        """Opens the data set and splits it by scene.

        Raises:
            InputError: The data set has other bins, another gripper, or too few scenes.
        """
        if self.source is None:
            parts = [DataSet(self.folder), *map(DataSet, self.also)]
            for part in parts:
                _check_sizes(part, self.settings.crop)
                if self.quality_floor < 1:
                    _check_scores(part)
            self.source = JoinedDataSets(parts) if self.also else parts[0]
            key = self.depth_key if self.fresh_noise is None else "depth"
            view = TrainedView.of_data_set(self.source.manifest, self.input_format, depth_key=key)
            if "angles" not in self.source.manifest.recipe.get("labels", {}):
                view = replace(view, bins=self.bins)  # the data set does not say
            if view.bins != self.bins:
                raise InputError(f"data set '{self.folder}' has labels of {view.bins} angles, bins is {self.bins}")
            if isinstance(self.source, JoinedDataSets):
                view = replace(view, data_set=self.source.name)
            if self.fresh_noise is not None:
                view = replace(view, depth_noise=describe_noise(self.fresh_noise))
            self._trained_view, opening = view, view.gripper.max_opening
            if self.max_opening is not None and abs(self.max_opening - opening) > 1e-6:
                raise InputError(
                    f"data.max_opening is {self.max_opening} m, but the labels of '{self.folder}' are for a gripper "
                    f"that opens {opening} m; leave data.max_opening out"
                )
            self.indices = dict(zip(("train", "val", "test"), self.source.splits(*self.splits), strict=True))
            if not self.indices["train"]:
                raise InputError(
                    f"data set '{self.folder}' has too few scenes: none of them is left for training with "
                    f"data.splits={list(self.splits)}; generate more, or give other shares"
                )
            if self.overfit is not None:
                few = self.indices["train"][: self.overfit]
                self.indices |= {"train": few, "val": few}

    @property
    def trained_view(self) -> TrainedView:
        """What a network's world is that trains on this data; after ``setup``."""
        assert self.source is not None, "setup() comes first"
        return self._trained_view

    def frames(self, train: bool) -> GraspFrames:
        """Returns the images as training (augmented) or evaluation (centre crop) sees them."""
        assert self.source is not None, "setup() comes first"
        return GraspFrames(
            source=self.source if self.rectangles is None else FewLabels(self.source, self.rectangles),
            augmentation=Augmentation(self.settings, self.bins, train),
            input_format=self.input_format,
            seed=self.seed,
            depth_key=self.depth_key,
            fresh_noise=self.fresh_noise,
            quality_floor=self.quality_floor,
        )

    def train_dataloader(self) -> DataLoader[Any]:
        """Returns the loader of the training split: shuffled, augmented."""
        sampler = EpochSampler(self.indices["train"], seed=self.seed, samples_per_epoch=self.samples_per_epoch)
        if self.trainer is not None:  # a resumed run's workers fetch before Lightning calls set_epoch
            progress = self.trainer.fit_loop.epoch_progress.current
            sampler.set_epoch(progress.processed)  # type: ignore[attr-defined]
        return self._loader(self.frames(self.overfit is None), sampler, drop_last=len(sampler) >= self.batch_size)

    def val_dataloader(self) -> DataLoader[Any]:
        """Returns the loader of the validation split, or of the training split: centre crops in fixed order."""
        if not self.indices["val"]:  # told here, not in setup: a trainer without validation does not ask for it
            warnings.warn(
                f"data set '{self.folder}' has no scene for validation with data.splits={list(self.splits)}: val/ "
                "and the best checkpoint by it are of images that are trained on; give more scenes, or a share",
                stacklevel=2,
            )
        indices = self.indices["val"] or self.indices["train"]
        assert self.source is not None, "setup() comes first"
        few = first_images(self.source, indices, self.val_samples)
        return self._loader(self.frames(train=False), EpochSampler(few, shuffle=False))

    def test_dataloader(self) -> DataLoader[Any]:
        """Returns the loader of the test split: centre crops in fixed order."""
        return self._loader(self.frames(train=False), EpochSampler(self.indices["test"], shuffle=False))

    def _loader(self, frames: Dataset[Any], sampler: EpochSampler, drop_last: bool = False) -> DataLoader[Any]:
        return DataLoader(
            frames,
            batch_size=self.batch_size,
            sampler=sampler,
            num_workers=self.workers,
            collate_fn=self.collate,
            drop_last=drop_last,
            pin_memory=torch.cuda.is_available(),
            multiprocessing_context="forkserver" if self.workers else None,  # numba and HDF5 do not survive a fork
            persistent_workers=self.workers > 0,
            worker_init_fn=_start_worker,
        )

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int = 0) -> Batch:
        """Writes the dense targets on the device that the batch is on."""
        shape = (batch.image.shape[0], batch.image.shape[2], batch.image.shape[3])
        image = batch.image.contiguous(memory_format=torch.channels_last)
        gripper, labels = self.trained_view.gripper, LabelBatch(*batch.labels)
        units: dict[str, Any] = {"bins": self.bins, "max_opening": gripper.max_opening}
        if self.rectangles is not None:
            scale = batch.pixels_per_metre
            target = paint_rectangles(labels, shape, scale, jaw=gripper.finger_width, **units)
            return batch._replace(image=image, target=target)
        target = rasterise(
            labels,
            shape,
            **units,
            enhance=self.enhance,
            neighbour_quality=self.neighbour_quality,
            instance_mask=batch.instance_mask if self.guard else None,
        )
        return batch._replace(image=image, target=target)


def _check_rectangles(count: Any, enhance: bool) -> None:
    """Raises InputError for a number of rectangles that is none, or labels that are both drawn and enhanced."""
    whole = isinstance(count, int) and not isinstance(count, bool) and count >= 1
    if count is not None and (enhance or not whole):
        raise InputError(f"data.rectangles is {count}; give at least 1 and data.enhance=false, or null")


def _check_scores(data: DataSet) -> None:
    """Raises InputError where a data set's labels have no scores."""
    if not data.manifest.recipe.get("scores"):
        raise InputError(
            f"data.quality_floor wants labels with scores, and those of '{data.folder}' have none; generate it "
            "with recipe.scores=true, or leave data.quality_floor=1"
        )
