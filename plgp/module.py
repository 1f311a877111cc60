"""The LightningModule, and how a checkpoint is opened again."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from plgp.data.batch import Batch
from plgp.data.input_format import InputFormat
from plgp.data.trained_view import TrainedView
from plgp.losses import GraspLoss, LossTerms
from plgp.metrics import GraspMetrics, WeightedMean
from plgp.networks.base import GraspNetwork, is_finite, select_memory
from plgp.runs.parts import TRUSTED, built, is_trusted
from plgp.runs.resume import check_weights, go_on
from plgp.targets import GraspMaps, LabelBatch, rasterise
from sim.errors import InputError
from sim.files import check_archive
from sim.gripper import GripperGeometry

log = logging.getLogger(__name__)
VIEW = "trained_view"  # a checkpoint's key
ADAM = {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 1e-3}


def _plain(config: Any) -> Any:
    """Returns a configuration as plain dicts, lists and values, which weights_only loading allows."""
    if isinstance(config, DictConfig):
        config = OmegaConf.to_container(config, resolve=True)
    if isinstance(config, Mapping):
        return {str(k): _plain(v) for k, v in config.items()}
    return [_plain(v) for v in config] if isinstance(config, list | tuple) else config


class GraspModule(lightning.LightningModule):
    """Trains one network; every argument is plain, so that checkpoints carry them.

    Args:
        network: ``_target_`` and arguments of a GraspNetwork, without channels and bins.
        gripper: The labels' gripper, as its fields or itself; stored in checkpoints.
        loss: ``_target_`` and arguments; None is the paper's GraspLoss.
        optimizer: ``_target_``, ``_partial_: true`` and arguments; None is Adam, 1e-3.
        scheduler: Keys ``partial`` (as the optimizer) and ``interval`` ("epoch" or "step"); a ``total_steps: null``
            in the partial becomes the run's number of steps. ReduceLROnPlateau watches ``monitor``, "val/loss".
        modality: "depth", "rgb" or "rgbd".
        depth_scale: Factor on the centred depth; see ``InputFormat``.
        window: Side of the training crop, pixels; see ``InputFormat``.
        bins: Number of angle bins, K.
        hit_radius_px: Distance from a label within which the best grasp is a hit, pixels.
        hit_bins: Number of angle bins by which a hit may be off.
        rectangle_angle: Greatest turn of the rectangle metric, radians.
        rectangle_iou: Least intersection over union of the rectangle metric.
    """

    def __init__(
        self,
        network: Mapping[str, Any],
        gripper: Mapping[str, float] | GripperGeometry,
        loss: Mapping[str, Any] | None = None,
        *,
        optimizer: Mapping[str, Any] | None = None,
        scheduler: Mapping[str, Any] | None = None,
        modality: str = "depth",
        depth_scale: float = 1.0,
        window: int = 320,
        bins: int = 18,
        hit_radius_px: int = 2,
        hit_bins: int = 1,
        rectangle_angle: float = np.pi / 6,
        rectangle_iou: float = 0.25,
    ) -> None:
        """Builds network, loss and metrics."""
        super().__init__()
        measures = asdict(gripper) if isinstance(gripper, GripperGeometry) else _plain(gripper)
        measures.pop("_target_", None)
        self.gripper = GripperGeometry(**measures)
        colours = str(_plain(network).get("colours", "centred"))  # a pre-trained encoder's own
        self.input_format = InputFormat(
            modality=modality, depth_scale=float(depth_scale), window=int(window), colours=colours
        )
        self.save_hyperparameters(
            {
                "network": _plain(network),
                "gripper": measures,
                "loss": _plain(loss),
                "optimizer": _plain(optimizer),
                "scheduler": _plain(scheduler),
                "modality": modality,
                "depth_scale": float(depth_scale),
                "window": int(window),
                "bins": int(bins),
                "hit_radius_px": int(hit_radius_px),
                "hit_bins": int(hit_bins),
                "rectangle_angle": float(rectangle_angle),
                "rectangle_iou": float(rectangle_iou),
            }
        )
        self.network = build_network(_plain(network), self.input_format.channels, bins)
        self.trained_view: TrainedView | None = None
        self.whole_steps: int | None = None  # of a run that is resumed
        self.loss: nn.Module = built("loss", lambda: instantiate(_plain(loss))) if loss else GraspLoss()
        self.validation_loss = WeightedMean()  # a network that answers no number has no loss
        self.metrics = GraspMetrics(
            max_opening=self.gripper.max_opening,
            radius_px=hit_radius_px,
            hit_bins=hit_bins,
            finger_width=self.gripper.finger_width,
            rectangle_angle=float(rectangle_angle),
            rectangle_iou=float(rectangle_iou),
        )

    def setup(self, stage: str) -> None:
        """Takes the data's ``TrainedView``. Raises InputError where the data feed another input than the module's."""
        data = getattr(self.trainer, "datamodule", None)
        view = getattr(data, "trained_view", None)
        if isinstance(view, TrainedView):
            own = replace(view, input_format=self.input_format, gripper=self.gripper, bins=self.network.bins)
            differences = view.differences(own)
            if differences:
                raise InputError(
                    f"data and network must agree, or it would train on one input and predict on another, but they "
                    f"have {'; '.join(differences)}; set it once for both, as python train.py does"
                )
            self.trained_view = view

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Saves the trained view. Raises InputError where the training has diverged: earlier checkpoints stay."""
        if not is_finite(self.network):
            raise InputError(
                f"the training has diverged: after step {checkpoint.get('global_step', 0)} the network holds weights "
                "that are not numbers; give a smaller optimizer.lr, or +trainer.gradient_clip_val=1"
            )
        if self.trained_view is not None:
            checkpoint[VIEW] = self.trained_view.to_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Compares the trained view of a run that is resumed with the present data's; raises InputError.

        A schedule over the whole run is that of the run as it is now: with more epochs it is stretched.
        See ``plgp.runs.resume``.
        """
        check_weights(self.network, self.hparams["network"], checkpoint)
        if self.trained_view is None:
            self.whole_steps = go_on(self, checkpoint)
            return
        before = _stated_view(checkpoint, self.trained_view)
        differences = before.differences(self.trained_view)
        if differences:
            raise InputError(
                f"the run to resume was trained with other data: {'; '.join(differences)}; start a new run"
            )
        if before.recipe_hash and before.recipe_hash != self.trained_view.recipe_hash:
            names = f"'{before.data_set}' and goes on with '{self.trained_view.data_set}'"
            log.warning("the run to resume was trained on %s: another recipe", names)
        self.whole_steps = go_on(self, checkpoint)

    def on_fit_start(self) -> None:
        """Keeps the seed that ``lightning.seed_everything`` left."""
        self._seed = torch.initial_seed()

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seeds dropout by (seed, epoch, batch, rank): a resumed run draws what an uninterrupted one does."""
        words = [self._seed, self.current_epoch, batch_idx, self.global_rank]
        torch.manual_seed(int(np.random.SeedSequence(words).generate_state(1)[0]))

    def forward(self, image: Tensor) -> GraspMaps:
        """Returns the three logit maps of images.

        Args:
            image: (B, C, H, W) floating, normalised as in training.
        """
        maps: GraspMaps = self.network(image)
        return maps

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Returns the loss of a batch, and logs its terms.

        Args:
            batch: Images with their dense targets, on the training device.
            batch_index: Number of the batch in its epoch; it does not matter.
        """
        assert batch.target is not None
        terms = self._terms(self.network(batch.image), GraspMaps(*batch.target))
        size = batch.image.shape[0]
        self.log("train/loss", terms.total.detach(), prog_bar=True, batch_size=size)
        parts = {f"train/{name}": value for name, value in terms._asdict().items() if name != "total"}
        self.log_dict(parts, batch_size=size)
        return terms.total

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Updates the metrics of ``val/``."""
        self._measure(batch, "val")

    def test_step(self, batch: Batch, batch_index: int) -> None:
        """Updates the same metrics as ``test/``, for ``trainer.test``."""
        self._measure(batch, "test")

    def _measure(self, batch: Batch, stage: str) -> None:
        """Updates the metrics, with the images that count: under DDP the last round repeats some.

        The metrics' truth are the labels alone, whatever the targets of the loss were enhanced to.
        """
        assert batch.target is not None
        logits = self.network(batch.image)
        counted = batch.image_index >= 0
        size = int(counted.sum())
        truth = rasterise(
            LabelBatch(*batch.labels)._replace(quality=None),
            (len(counted), *batch.image.shape[2:]),
            bins=self.network.bins,
            max_opening=self.gripper.max_opening,
            enhance=False,
        )
        logits, target, truth = (GraspMaps(*(m[counted] for m in maps)) for maps in (logits, batch.target, truth))
        # Lightning's own mean over ranks weighs them alike, however many images each has.
        loss = self._terms(logits, target).total.float() if size else torch.zeros((), device=counted.device)
        self.validation_loss.update(loss, weight=float(size))
        shared: dict[str, Any] = {"on_step": False, "on_epoch": True, "batch_size": size}
        self.log(f"{stage}/loss", self.validation_loss, prog_bar=True, **shared)
        if size:
            self.metrics.update(logits, truth, batch.pixels_per_metre[counted])
        for name, metric in self.metrics.items().items():
            self.log(f"{stage}/{name}", metric, **shared)

    def _terms(self, logits: GraspMaps, target: GraspMaps) -> LossTerms:
        terms = self.loss(logits, target)
        if not (isinstance(terms, tuple) and hasattr(terms, "_asdict") and hasattr(terms, "total")):
            name, kind = type(self.loss).__name__, type(terms).__name__
            raise InputError(f"loss {name} returns a {kind}; return plgp.losses.LossTerms, or a named tuple with total")
        return terms  # type: ignore[return-value]  # a named tuple of one's own may have other parts

    def configure_optimizers(self) -> Any:
        """Returns the optimizer, with its schedule if there is one; a loss may have parameters that are learnt too."""
        parameters = [p for part in (self.network, self.loss) for p in part.parameters() if p.requires_grad]
        optimizer = built("optimizer", lambda: instantiate(self.hparams["optimizer"] or ADAM)(parameters))
        return scheduled(self, optimizer, self.hparams["scheduler"])


def scheduled(module: lightning.LightningModule, optimizer: Any, scheduler: Mapping[str, Any] | None) -> Any:
    """Returns an optimizer for ``configure_optimizers``, with its schedule if there is one.

    Args:
        module: The module that is trained.
        optimizer: The optimizer.
        scheduler: Keys ``partial`` and ``interval``; see ``GraspModule``.

    Raises:
        InputError: The schedule cannot be built, or it is over the whole run, and the run has no end.
    """
    if not scheduler:
        return optimizer
    partial = dict(scheduler["partial"])
    if "total_steps" in partial and partial["total_steps"] is None:
        whole = getattr(module, "whole_steps", None) or module.trainer.estimated_stepping_batches
        if not np.isfinite(whole):
            raise InputError("a schedule over the whole run needs an end; give trainer.max_epochs or trainer.max_steps")
        partial["total_steps"] = max(1, int(whole))
    schedule = {"scheduler": built("scheduler", lambda: instantiate(partial)(optimizer))}
    schedule["interval"] = scheduler.get("interval", "epoch")
    if isinstance(schedule["scheduler"], torch.optim.lr_scheduler.ReduceLROnPlateau):
        schedule["monitor"] = scheduler.get("monitor", "val/loss")
    return {"optimizer": optimizer, "lr_scheduler": schedule}


def build_network(config: Mapping[str, Any], channels: int, bins: int) -> GraspNetwork:
    """Returns the network of a configuration, in channels-last memory.

    Args:
        config: ``_target_`` and arguments.
        channels: Input channels.
        bins: Number of angle bins, K.

    Raises:
        InputError: The ``_target_`` is missing, cannot be found, or its arguments do not fit.
    """
    target = config.get("_target_")
    if not isinstance(target, str):
        raise InputError("the network's configuration has no _target_; choose one of conf/network")
    whole = {**config, "channels": channels, "bins": bins, "_recursive_": False}
    network: GraspNetwork = built(f"network '{target}'", lambda: instantiate(whole))
    return select_memory(network)


def load_module(path: str | Path, weights: bool = True) -> GraspModule:
    """Returns the module of a checkpoint, in evaluation mode on the CPU.

    The file is read with ``weights_only=True``, and only networks of plgp.networks are built, or of packages that the
    environment's ``PLGP_NETWORKS`` names: no checkpoint, wherever it comes from, can run code.

    Args:
        path: The checkpoint.
        weights: False leaves the network as its configuration starts it, untrained.

    Raises:
        InputError: The file is missing, broken, or not one of this project's.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no checkpoint at '{path}'; train one, or give another path")
    try:
        check_archive(path)
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken archive or pickle raises whatever its bytes lead to
        raise InputError(f"checkpoint '{path}' is broken or not a checkpoint; train or download it again") from error
    settings = _network_settings(checkpoint, path)
    if weights and "encoder_weights" in settings["network"]:  # the checkpoint holds them
        settings["network"] = {**settings["network"], "encoder_weights": None}
    try:
        module = GraspModule(**settings)
        if weights:
            own = {k: v for k, v in checkpoint["state_dict"].items() if str(k).startswith("network.")}
            module.network.load_state_dict({k.removeprefix("network."): v for k, v in own.items()})
    except Exception as error:  # settings of any kind reach networks of any kind
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"checkpoint '{path}' does not fit this version of plgp: {first}; train it again") from error
    if not is_finite(module.network):
        raise InputError(f"checkpoint '{path}' holds weights that are not numbers; take an earlier one, or train again")
    module.trained_view = _saved_view(checkpoint, module, path)
    return module.eval()


def _network_settings(checkpoint: Any, path: Path) -> dict[str, Any]:
    """Returns a checkpoint's arguments of ``GraspModule``, those of training left out; raises InputError."""
    settings = checkpoint.get("hyper_parameters") if isinstance(checkpoint, dict) else None
    if not isinstance(settings, dict) or "network" not in settings or "state_dict" not in checkpoint:
        raise InputError(f"checkpoint '{path}' was not written by plgp: it has no network configuration")
    if not isinstance(settings["network"], dict) or not isinstance(checkpoint["state_dict"], Mapping):
        raise InputError(f"checkpoint '{path}' is broken: its network or its weights are none; train it again")
    target = str(settings["network"].get("_target_", ""))
    if target.startswith("plgp.methods.dexnet."):
        name = {"GQCNN": "gqcnn", "FCGQCNN": "fc_gqcnn"}.get(target.rsplit(".", 1)[-1], "gqcnn")
        raise InputError(f"checkpoint '{path}' rates single grasps; measure it by policy={name} weights.{name}={path}")
    if not is_trusted(target):
        raise InputError(
            f"checkpoint '{path}' names a network outside plgp.networks, {target}; if you trust its package, set "
            f"{TRUSTED}={target.partition('.')[0]} in the environment"
        )
    return {k: v for k, v in settings.items() if k not in ("loss", "optimizer", "scheduler")}


def _stated_view(checkpoint: Mapping[str, Any], present: TrainedView) -> TrainedView:
    """Returns the view of a run to resume; of an old one without, the present one with its settings.

    Raises:
        InputError: The checkpoint holds odd values.
    """
    if VIEW in checkpoint:
        return TrainedView.from_dict(checkpoint[VIEW], "resume")
    known = _network_settings(checkpoint, Path("resume"))
    form: dict[str, Any] = {name: known[name] for name in ("modality", "depth_scale", "window") if name in known}
    form["colours"] = known["network"].get("colours", "centred")
    changed = {"gripper": known.get("gripper"), "bins": known.get("bins", 18), "input_format": form}
    return TrainedView.from_dict({**present.to_dict(), **changed, "data_set": "", "recipe_hash": ""}, "resume")


def _saved_view(checkpoint: Mapping[str, Any], module: GraspModule, path: Path) -> TrainedView:
    """Returns a checkpoint's trained view; of an old one without, the paper's world. Raises InputError."""
    if VIEW not in checkpoint:
        log.warning(
            "checkpoint '%s' does not say what it was trained on; taken: the paper's camera, 640x480 from 0.6 m", path
        )
        gripper, bins = module.gripper, module.network.bins
        return TrainedView(input_format=module.input_format, gripper=gripper, bins=bins)
    view = TrainedView.from_dict(checkpoint[VIEW], str(path))
    own = replace(view, input_format=module.input_format, gripper=module.gripper, bins=module.network.bins)
    differences = view.differences(own)
    if differences:
        raise InputError(f"checkpoint '{path}' contradicts itself: {'; '.join(differences)}; train it again")
    return view
