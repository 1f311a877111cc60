"""The DataModule of GQ-CNN and FC-GQ-CNN: data set folder -> examples -> crops around grasps."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from labeler.shards import DataSet
from plgp.data.datamodule import PLGPDataModule
from plgp.data.sampler import REPEATED, Key
from plgp.methods.dexnet.image import TRAINED_TABLE, aligned_crops, see
from plgp.methods.dexnet.network import FCGQCNN, GQCNN
from plgp.methods.dexnet.training.examples import ExampleSettings, observation_of
from plgp.methods.dexnet.training.store import examples_folder, prepare_examples, read_examples
from sim.errors import COUNT, POSITIVE, InputError, check_numbers

if TYPE_CHECKING:
    from labeler.dataset.generate import DataSetRecipe

_LOOKED_AT = 40  # images from which the constants of a training from scratch are taken


class CropBatch(NamedTuple):
    """N grasps with what is held to come of them.

    Attributes:
        image: (N, 96, 96) float32, crops in metres, the grasp's centre at pixel (48, 48).
        depth: (N,) float32, camera's z of the centre, metres.
        angle: (N,) float32, theta, radians.
        success: (N,) int64, 0 or 1.
    """

    image: Tensor
    depth: Tensor
    angle: Tensor
    success: Tensor


@dataclass(kw_only=True)
class CropFrames(Dataset[CropBatch]):
    """The crops of one image; which ones is a function of (seed, epoch, index), and of the round in an epoch.

    Attributes:
        source: The data set.
        folder: Folder of its examples.
        settings: How the examples were made.
        aligned: Whether crops are turned so that the grasp's axis lies along the rows, as GQ-CNN sees them.
        per_image: Number of crops of an image, a third of them successes where there are enough; None takes all, as
            they are, for validation.
        table: Camera's z of the table to which images are shifted, metres.
        seed: Seed of the draws.
    """

    source: DataSet
    folder: Path
    settings: ExampleSettings
    aligned: bool
    per_image: int | None
    table: float = TRAINED_TABLE
    seed: int = 0

    def __getitem__(self, key: Key) -> CropBatch:
        """Returns the crops of image ``index`` as epoch ``epoch`` sees them; a repeated one has none."""
        epoch, index = key[:2]
        rng = np.random.default_rng([self.seed, max(epoch, 0), *key[1:]])
        rows = read_examples(self.folder, index)[: None if epoch != REPEATED else 0]
        success = rows.success.to_numpy(bool)
        chosen = np.arange(len(rows)) if self.per_image is None else _balanced(success, self.per_image, rng)
        rows, success = rows.iloc[chosen], success[chosen]
        frame = self.source.read(index, [self.settings.depth_key])
        seen = see(observation_of(frame, self.settings.depth_key), None, min_height=self.settings.min_height)
        if seen is None or not len(rows):
            return CropBatch(torch.zeros(0, 96, 96), torch.zeros(0), torch.zeros(0), torch.zeros(0, dtype=torch.int64))
        shift = self.table - seen.floor
        angle = rows.angle.to_numpy(np.float64)
        turn = angle if self.aligned else np.zeros(len(rows))
        crops = aligned_crops(seen.depth, rows[["row", "col"]].to_numpy(), turn) + np.float32(shift)
        if self.aligned and self.per_image is not None:
            crops = _mirrored(crops, rng)
        numbers = (rows.depth.to_numpy() + shift, angle)
        depth, theta = (torch.from_numpy(np.asarray(x, np.float32)) for x in numbers)
        return CropBatch(torch.from_numpy(crops), depth, theta, torch.from_numpy(success.astype(np.int64)))


def _balanced(success: NDArray[np.bool_], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Returns ``count`` indices at most, a third of them successes where there are enough of both."""
    good, bad = (rng.permutation(np.flatnonzero(kind)) for kind in (success, ~success))
    wanted = max(count // 3, count - len(bad))
    return np.concatenate([good[:wanted], bad[: count - min(wanted, len(good))]])


def _mirrored(crops: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Returns crops that are mirrored in either direction, each with probability 1/2: the same grasp for the hand.

    The centre comes to pixel 47 of a mirrored direction, as in Dex-Net's own trainings: 96 pixels have no middle one.
    """
    for axis in (1, 2):
        chosen = rng.random(len(crops)) < 0.5
        crops[chosen] = np.flip(crops[chosen], axis=axis)
    return crops


def collate_crops(samples: Sequence[CropBatch]) -> CropBatch:
    """Returns the crops of several images one after another."""
    return CropBatch(*(torch.cat(part) for part in zip(*samples, strict=True)))


class DexNetDataModule(PLGPDataModule):
    """Generates data set and examples if they are not there, splits by scene, feeds the trainer.

    Args:
        folder: Folder of the data set.
        recipe: Recipe of the data set, which is generated where it is missing; None takes the folder as it is.
        generate_workers: Number of processes that generate the data set and make the examples.
        examples: Which grasps are learnt from, and who says what comes of them; None is the default.
        validated_on: Supervision of the validation's examples, so that networks of different ones can be compared;
            "outcomes" is what really comes of grasps. None is that of the training.
        examples_folder: Folder of the examples; None is ``examples`` in the data set's own.
        aligned: Whether crops are turned as GQ-CNN sees them; FC-GQ-CNN sees them as they are.
        per_image: Number of crops of an image in an epoch, a third of them successes.
        images: Greatest number of images of the training split; None takes all.
        table: Camera's z of the table to which images are shifted, metres: what the policy takes.
        batch_size: Number of images in a batch; of crops there are ``per_image`` times as many.
        samples_per_epoch: Number of images in a training epoch; None takes each once.
        val_samples: Greatest number of images of the validation split; None takes all.
        overfit: Number of images for training and validation both; see ``PLGPDataModule``.
        workers: Number of loader processes; 0 loads in the training process.
        splits: Shares of the scenes for training, validation and test.
        seed: Seed of order and draws.

    Raises:
        InputError: A setting is out of range.
    """

    collate = staticmethod(collate_crops)

    def __init__(
        self,
        folder: str | Path,
        recipe: DataSetRecipe | None = None,
        generate_workers: int = 1,
        *,
        examples: ExampleSettings | None = None,
        validated_on: str | None = None,
        examples_folder: str | Path | None = None,
        aligned: bool = True,
        per_image: int = 32,
        images: int | None = None,
        table: float = TRAINED_TABLE,
        batch_size: int = 2,
        samples_per_epoch: int | None = None,
        val_samples: int | None = None,
        overfit: int | None = None,
        workers: int = 0,
        splits: Sequence[float] = (0.8, 0.1, 0.1),
        seed: int = 0,
    ) -> None:
        """Keeps the settings; nothing is read before ``prepare_data`` and ``setup``."""
        self.examples = examples or ExampleSettings()
        self.validation = replace(self.examples, supervision=validated_on or self.examples.supervision)
        shared: dict[str, Any] = {"samples_per_epoch": samples_per_epoch, "val_samples": val_samples}
        shared |= {"overfit": overfit, "workers": workers, "splits": splits, "seed": seed, "batch_size": batch_size}
        super().__init__(folder, recipe, generate_workers, depth_key=self.examples.depth_key, **shared)
        self.per_image, self.images, self.table = per_image, images, table
        self.aligned, self.place = aligned, examples_folder
        check_numbers("data", self, {"per_image": COUNT, "table": POSITIVE})
        if images is not None:
            check_numbers("data", self, {"images": COUNT})

    def prepare_data(self) -> None:
        """Generates the data set and makes the examples where they are missing; runs in one process."""
        super().prepare_data()
        self.setup()
        validated = (self.indices["val"] or self.indices["train"])[: self.val_samples]
        for images, settings in ((self.indices["train"], self.examples), (validated, self.validation)):
            self._prepare(images, settings)

    def _prepare(self, images: Sequence[int], settings: ExampleSettings) -> None:
        shared: dict[str, Any] = {"place": self.place, "workers": self.generate_workers}
        prepare_examples(self._data, images, settings, **shared, progress=sys.stderr.isatty())

    def setup(self, stage: str | None = None) -> None:
        """Opens the data set and splits it by scene.

        Raises:
            InputError: As ``PLGPDataModule.setup`` does, or another network than GQ-CNN or FC-GQ-CNN is trained.
        """
        trained = None if self.trainer is None else getattr(self.trainer.lightning_module, "network", None)
        if trained is not None and not isinstance(trained, GQCNN | FCGQCNN):
            raise InputError("data=crops feeds GQ-CNN and FC-GQ-CNN; choose experiment=gqcnn or experiment=fc_gqcnn")
        first = self.source is None
        super().setup(stage)
        if first:
            self.indices["train"] = self.indices["train"][: self.images]

    @property
    def _data(self) -> DataSet:
        if not isinstance(self.source, DataSet):
            raise InputError("GQ-CNN is trained on one data set; leave data.also out")
        return self.source

    def frames(self, train: bool) -> CropFrames:  # type: ignore[override]
        """Returns the images as training (balanced, mirrored) or evaluation (all examples) sees them."""
        settings = self.examples if train or self.overfit is not None else self.validation
        folder = examples_folder(self._data, settings, self.place)
        per_image = self.per_image if train else None
        shared: dict[str, Any] = {"aligned": self.aligned, "per_image": per_image, "table": self.table}
        return CropFrames(source=self._data, folder=folder, settings=settings, **shared, seed=self.seed)

    def looked_at(self) -> CropBatch:
        """Returns some crops of the training split, from which a training from scratch takes its constants."""
        frames = self.frames(train=True)
        return collate_crops([frames[0, index] for index in self.indices["train"][:_LOOKED_AT]])

    def test_dataloader(self) -> DataLoader[Any]:
        """Returns the loader of the test split; its examples are made where they are missing."""
        self._prepare(self.indices["test"], self.validation)
        return super().test_dataloader()

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int = 0) -> Any:
        """Returns the batch as it is: crops need no dense targets."""
        return batch
