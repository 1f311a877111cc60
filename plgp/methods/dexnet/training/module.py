"""The LightningModule of GQ-CNN and FC-GQ-CNN."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import lightning
import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from torch import Tensor, nn
from torchmetrics.classification import BinaryAveragePrecision, MulticlassAccuracy

from plgp.callbacks import BenchmarkCallback, PictureCallback
from plgp.data.trained_view import TrainedView
from plgp.methods.dexnet.network import FCGQCNN, GQCNN
from plgp.methods.dexnet.training.data import CropBatch, DexNetDataModule
from plgp.methods.dexnet.weights import load_fc_gqcnn, load_gqcnn
from plgp.metrics import WeightedMean
from plgp.module import scheduled
from plgp.runs.parts import built
from plgp.runs.resume import go_on
from sim.errors import InputError

SGD = {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4}


class DexNetModule(lightning.LightningModule):
    """Trains GQ-CNN or FC-GQ-CNN; ``policy=gqcnn`` and ``policy=fc_gqcnn`` read its checkpoints.

    The loss is the published one: the cross-entropy of failure and success, of FC-GQ-CNN at the grasp's own angle bin.

    Args:
        network: ``_target_`` and arguments of ``plgp.methods.dexnet``'s GQCNN or FCGQCNN.
        weights_file: Weights to start from, as the policies take them; None starts at random, with constants that are
            taken from the training split.
        dense_only: Whether the convolutions keep the weights that they start from, as in the published fine-tuning.
        optimizer: ``_target_``, ``_partial_: true`` and arguments; None is the published SGD.
        scheduler: See ``plgp.module.GraspModule``.
    """

    network: GQCNN | FCGQCNN

    def __init__(
        self,
        network: Mapping[str, Any],
        weights_file: str | Path | None = None,
        *,
        dense_only: bool = False,
        optimizer: Mapping[str, Any] | None = None,
        scheduler: Mapping[str, Any] | None = None,
    ) -> None:
        """Builds the network and loads its weights; raises InputError."""
        super().__init__()
        known = {"network": network, "optimizer": optimizer, "scheduler": scheduler}
        plain: dict[str, Any] = {name: dict(value) if value else None for name, value in known.items()}
        source = None if weights_file is None else str(weights_file)
        self.save_hyperparameters({**plain, "weights_file": source, "dense_only": dense_only})
        self.scratch, self.dense_only = weights_file is None, dense_only
        self.network = _built(plain["network"], source)
        if dense_only and self.scratch:
            raise InputError("module.dense_only needs weights to start from; give module.weights_file=..., or false")
        self.precision_metric, self.accuracy = BinaryAveragePrecision(), MulticlassAccuracy(2, average="macro")
        self.validation_loss = WeightedMean()
        self.trained_view: TrainedView | None = None
        self.whole_steps: int | None = None

    def setup(self, stage: str) -> None:
        """Takes the constants of a training from scratch. Raises InputError where the data's crops do not fit."""
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, DexNetDataModule):
            raise InputError("GQ-CNN is trained on crops around grasps; choose experiment=gqcnn or experiment=fc_gqcnn")
        if data.aligned != isinstance(self.network, GQCNN):
            wanted = str(not data.aligned).lower()
            raise InputError(f"{type(self.network).__name__} needs crops of the other kind; give data.aligned={wanted}")
        callbacks = self.trainer.callbacks  # type: ignore[attr-defined]  # Lightning sets it from elsewhere
        if any(isinstance(callback, BenchmarkCallback | PictureCallback) for callback in callbacks):
            raise InputError("GQ-CNN has no maps to draw or to grasp by at epoch ends; give callbacks=none")
        self.trained_view = data.trained_view
        if self.scratch and stage == "fit":
            _take_constants(self.network, data.looked_at())

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Brings a run that is resumed to the present run's pace; see ``plgp.runs.resume``."""
        self.whole_steps = go_on(self, checkpoint)

    def forward(self, batch: CropBatch) -> Tensor:
        """Returns the logits of failure and success, (N, 2)."""
        if isinstance(self.network, GQCNN):
            return self.network.logits(batch.image, batch.depth)
        return self.network.logits(batch.image, batch.depth, batch.angle)

    def training_step(self, batch: CropBatch, batch_index: int) -> Tensor | None:
        """Returns the loss of a batch; None for one without grasps."""
        if not len(batch.success):
            return None
        loss = F.cross_entropy(self(batch), batch.success)
        self.log("train/loss", loss.detach(), prog_bar=True, batch_size=len(batch.success))
        return loss

    def validation_step(self, batch: CropBatch, batch_index: int) -> None:
        """Updates loss, average precision and balanced accuracy of ``val/``."""
        self._measure(batch, "val")

    def test_step(self, batch: CropBatch, batch_index: int) -> None:
        """Updates the same metrics as ``test/``, for ``trainer.test``."""
        self._measure(batch, "test")

    def _measure(self, batch: CropBatch, stage: str) -> None:
        size = len(batch.success)
        if not size:
            return
        logits = self(batch).float()
        shared: dict[str, Any] = {"on_step": False, "on_epoch": True, "batch_size": size}
        self.validation_loss.update(F.cross_entropy(logits, batch.success), size)  # over all ranks, by grasps
        self.log(f"{stage}/loss", self.validation_loss, prog_bar=True, **shared)
        self.precision_metric.update(logits.softmax(dim=1)[:, 1], batch.success)
        self.accuracy.update(logits.argmax(dim=1), batch.success)
        self.log(f"{stage}/average_precision", self.precision_metric, **shared)
        self.log(f"{stage}/balanced_accuracy", self.accuracy, **shared)

    def configure_optimizers(self) -> Any:
        """Returns the optimizer, with its schedule if there is one."""
        frozen = [m for name, m in self.network.named_children() if name.startswith("conv")] if self.dense_only else []
        kept = {id(p) for module in frozen for p in module.parameters()}
        parameters = [p for p in self.network.parameters() if id(p) not in kept]
        optimizer = built("optimizer", lambda: instantiate(self.hparams["optimizer"] or SGD)(parameters))
        return scheduled(self, optimizer, self.hparams["scheduler"])


def _built(network: Mapping[str, Any], weights_file: str | None) -> GQCNN | FCGQCNN:
    """Returns the network with its weights, or at a random start; raises InputError."""
    name = str(network.get("_target_", "")).rsplit(".", 1)[-1]
    if name not in ("GQCNN", "FCGQCNN"):
        raise InputError(f"module.network is '{name}'; choose GQCNN or FCGQCNN of plgp.methods.dexnet")
    if weights_file is not None:
        loaded: GQCNN | FCGQCNN = load_gqcnn(weights_file) if name == "GQCNN" else load_fc_gqcnn(weights_file)
        return loaded.train()
    made = cast(GQCNN | FCGQCNN, instantiate(dict(network)))
    for module in made.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return made


@torch.no_grad()
def _take_constants(network: GQCNN | FCGQCNN, shown: CropBatch) -> None:
    """Sets the numbers by which images and depths are standardised to those of some crops; raises InputError."""
    if len(shown.success) < 2:
        raise InputError("the training split has no examples; give a data set with labels, or more data.images")
    if isinstance(network, GQCNN):
        network.im_mean.copy_(shown.image.mean())
        network.im_std.copy_(shown.image.std())
        network.pose_mean.copy_(shown.depth.mean())
        network.pose_std.copy_(shown.depth.std())
    else:
        below = shown.image - shown.depth[:, None, None]
        network.im_depth_sub_mean.copy_(below.mean())
        network.im_depth_sub_std.copy_(below.std())
