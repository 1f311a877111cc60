"""Callbacks: the benchmark at epoch ends, and pictures of fixed validation images."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import WandbLogger

from plgp.data.datamodule import PLGPDataModule
from plgp.evaluation.map_figures import attempt_picture, draw_prediction
from plgp.loggers import clock_time, epoch_of
from plgp.module import GraspModule
from plgp.policy.network import NetworkPolicy
from plgp.policy.settings import DecoderSettings
from plgp.policy.workspace import Workspace, allowed_pixels
from sim.benchmark.attempt_table import recorded_grasp
from sim.benchmark.observation import observe
from sim.benchmark.protocol import BenchmarkSettings
from sim.benchmark.runner import number_scenes, run_benchmark
from sim.benchmark.scene_sets import SceneSet, make_scenes
from sim.benchmark.statistics import summarise
from sim.camera import PinholeCamera
from sim.errors import InputError
from sim.objects import ObjectSet
from sim.scene import SceneSettings, SceneState
from sim.view import Observation

log = logging.getLogger(__name__)
SCORES = ("SR", "PC", "AP")
# Columns of W&B's table of attempts.
COLUMNS = ["category", "scene", "friction", "protocol", "attempt", "success", "reason", "object", "quality", "width"]
_PATIENCE = timedelta(days=2)  # for which the other ranks wait for rank zero's benchmark


class BenchmarkCallback(lightning.Callback):
    """Lets the network grasp in simulation every n epochs and logs SR, PC and AP.

    The scores are logged as ``benchmark/SR`` ..., before ModelCheckpoint looks, so that AP can be its monitor. In
    epochs without a benchmark, loggers get no point; the checkpoint's monitor keeps the last scores (NaN before the
    first). Of two checkpoints with an equal score the later one is kept: few scenes often tie, at an AP of 100 always.
    A run that ends otherwise than by its last epoch (max_steps, max_time) has its benchmark at the end, and what is
    best is decided with it. Rank zero grasps while the others wait. A failure is logged and never ends the training.
    Where W&B is a logger, the attempts go there as a table, with pictures of the first ones.
    """

    def __init__(
        self,
        objects: ObjectSet,
        settings: BenchmarkSettings | None = None,
        scene: SceneSettings | None = None,
        *,
        category: str = "novel-5",
        scenes: int = 2,
        object_count: int = 5,
        frictions: Sequence[float] = (0.4,),
        every_n_epochs: int = 10,
        seed: int = 1000,
        workers: int = 1,
        decoder: DecoderSettings | None = None,
        workspace: Workspace | None = None,
        folder: str | Path | None = None,
        scene_set: Callable[[], SceneSet] | None = None,
        pictures: int = 8,
    ) -> None:
        """Keeps the settings; scenes are made at the first benchmark.

        Args:
            objects: Objects that lie in the scenes.
            settings: The benchmark's settings; their gripper must be the network's.
            scene: Tray and dropping.
            category: Name of the scenes in tables.
            scenes: Number of scenes.
            object_count: Number of objects in a scene.
            frictions: Frictions of the finger tips.
            every_n_epochs: Number of epochs from one benchmark to the next; the last epoch always has one.
            seed: Seed of the scenes; take another than the final benchmark's.
            workers: Number of processes.
            decoder: Settings by which maps become grasps; None is the default.
            workspace: Region where grasps may lie; None is anywhere.
            folder: Folder into which each epoch's attempts are written as CSV; None writes none.
            scene_set: Function that makes the scenes, of every category in it, in place of ``category``,
                ``object_count`` and ``seed``; ``scenes`` is then the greatest number taken of each.
            pictures: Number of each scene's best-ranked grasps that are pictured in W&B's table.

        Raises:
            InputError: A number is out of range.
        """
        if pictures < 0:
            raise InputError(f"BenchmarkCallback: pictures is {pictures}; give 0 or more")
        if every_n_epochs < 1 or scenes < 1:
            raise InputError("BenchmarkCallback needs every_n_epochs and scenes of at least 1")
        self.objects, self.settings, self.scene = objects, settings, scene
        self.category, self.scenes, self.object_count = category, scenes, object_count
        self.frictions, self.every_n_epochs = [float(f) for f in frictions], every_n_epochs
        self.seed, self.workers, self.decoder, self.workspace = seed, workers, decoder, workspace
        self.folder = None if folder is None else Path(folder)
        self.scene_set, self.pictures = scene_set, pictures
        self.attempts: pd.DataFrame | None = None  # of the last benchmark; None after a failure
        self._states: list[SceneState] | None = None
        self._scores = dict.fromkeys(SCORES, float("nan"))
        self._measured = -1  # step of the last benchmark
        self._group: Any = None

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Runs the benchmark if its epoch has come."""
        if trainer.sanity_checking or not isinstance(pl_module, GraspModule):
            return
        number = trainer.current_epoch + 1
        due = number % self.every_n_epochs == 0 or number == trainer.max_epochs
        if due:
            self._run(trainer, pl_module)
        values = {f"benchmark/{name}": value for name, value in self._scores.items()}
        # The monitor wants a value in every epoch, the loggers a point only where one was measured.
        pl_module.log_dict(values, logger=False, rank_zero_only=False)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Saves weights that were just measured as well as the best ones; ModelCheckpoint would keep the earlier."""
        if self._measured != trainer.global_step or trainer.sanity_checking:
            return
        for saved in _judged_by_benchmark(trainer):
            own_name = "{" not in (saved.filename or "{epoch}")  # else the earlier weights' file would be overwritten
            if saved.best_model_score is not None and saved.save_top_k == 1 and own_name:
                _offer(trainer, saved, at_most=float(saved.best_model_score))

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Runs the benchmark where the training has ended before its epoch came.

        By now an average of the weights has taken their place, so those are measured that a checkpoint holds.
        """
        if self._measured == trainer.global_step or not isinstance(pl_module, GraspModule) or not trainer.global_step:
            return
        self._run(trainer, pl_module)
        values = {f"benchmark/{name}": value for name, value in self._scores.items()}
        trainer.callback_metrics.update({name: torch.tensor(value) for name, value in values.items()})
        for saved in _judged_by_benchmark(trainer):
            _offer(trainer, saved)

    def _run(self, trainer: lightning.Trainer, module: GraspModule) -> None:
        """Measures on rank zero, and hands the scores to all ranks."""
        group = self._waiting_group()
        if trainer.is_global_zero:
            self.attempts = None
            self._scores = self.measure(module, trainer.current_epoch)
            self._log_attempts(trainer)
        self._scores = _from_rank_zero(self._scores, group)
        self._measured = trainer.global_step
        values = {f"benchmark/{name}": value for name, value in self._scores.items()}
        for logger in trainer.loggers:  # Lightning's own values of an epoch stand at the step before the next
            logger.log_metrics({**values, "epoch": trainer.current_epoch}, step=max(0, trainer.global_step - 1))
            logger.save()

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Forgets the process group: the next fit has another."""
        self._group = None

    def _waiting_group(self) -> Any:
        """Returns a group of all ranks that waits for days; None without ranks. All ranks must call it."""
        from torch import distributed

        if self._group is None and distributed.is_available() and distributed.is_initialized():
            # The training's own group gives up after minutes, and with NCCL takes the whole run with it.
            self._group = distributed.new_group(backend="gloo", timeout=_PATIENCE)
        return self._group

    def measure(self, module: GraspModule, epoch: int) -> dict[str, float]:
        """Returns SR, PC, AP in percent, averaged over the frictions; NaN after a failure."""
        try:
            states = self._make_states()
            policy = NetworkPolicy.from_module(module, decoder=self.decoder, workspace=self.workspace)
            attempts = run_benchmark(policy, states, self.frictions, self.settings, self.workers)
            table = summarise(attempts)
            if self.folder is not None:
                self.folder.mkdir(parents=True, exist_ok=True)
                attempts.to_csv(self.folder / f"attempts-epoch-{epoch:03d}.csv", index=False)
            means = table[table.friction == "mean"]
            self.attempts = attempts
            return {name: float(means[name].mean()) for name in SCORES}
        except Exception:  # whatever goes wrong in the simulator, the training is worth more
            log.exception("the benchmark of epoch %d failed; training goes on without it", epoch)
            return dict.fromkeys(SCORES, float("nan"))

    def _make_states(self) -> list[SceneState]:
        """Returns the scenes, made at the first call."""
        if self._states is None and self.scene_set is not None:
            self._states = [state for part in self.scene_set().values() for state in part[: self.scenes]]
        elif self._states is None:
            self._states = make_scenes(
                self.objects,
                self.category,
                self.scenes,
                count=self.object_count,
                seed=self.seed,
                settings=self.scene,
            )
        return self._states

    def _log_attempts(self, trainer: lightning.Trainer) -> None:
        """Logs ``benchmark/attempts`` to W&B; a failure is logged and no more."""
        loggers = [logger for logger in trainer.loggers if isinstance(logger, WandbLogger)]
        if not loggers or self.attempts is None:
            return
        try:
            data = self.table_rows(self.attempts)
            for logger in loggers:
                logger.log_table("benchmark/attempts", [*COLUMNS, "picture"], data, step=trainer.global_step)
        except Exception:  # a table is not worth a training run
            log.exception("the table of attempts of epoch %d failed; training goes on", trainer.current_epoch)

    def table_rows(self, attempts: pd.DataFrame) -> list[list[Any]]:
        """Returns W&B's rows: ``COLUMNS`` (None for what is not known) and a picture, or None.

        Each scene's first ``pictures`` ranked grasps at the least friction are pictured: all of these are tried in
        the scene as it was before anything moved.
        """
        import wandb

        settings, scenes = self.settings or BenchmarkSettings(), number_scenes(self._make_states())
        seen: dict[tuple[str, int], Observation] = {}
        rows = []
        for row in ({str(k): v for k, v in r.items()} for r in attempts.to_dict("records")):
            cells = [None if row[c] != row[c] else row[c] for c in COLUMNS]
            key, picture = (str(row["category"]), int(row["scene"])), None
            pictured = row["protocol"] == "rank" and int(row["attempt"]) < self.pictures
            grasp = recorded_grasp(row) if pictured and row["friction"] == min(self.frictions) else None
            if grasp is not None:
                if key not in seen:
                    seen[key] = observe(scenes[key], settings, [settings.seed, key[1], 0])
                picture = wandb.Image(attempt_picture(seen[key], grasp, success=bool(row["success"])))
            rows.append([*cells, picture])
        return rows


def _judged_by_benchmark(trainer: lightning.Trainer) -> list[ModelCheckpoint]:
    """Returns the callbacks that keep the weights with the best score of the benchmark."""
    every = [saved for saved in trainer.checkpoint_callbacks if isinstance(saved, ModelCheckpoint)]
    return [saved for saved in every if (saved.monitor or "").startswith("benchmark/")]


def _offer(trainer: lightning.Trainer, saved: ModelCheckpoint, at_most: float = float("inf")) -> None:
    """Saves the present weights as the best ones where their score is not below the best so far, nor above a bound."""
    score = trainer.callback_metrics[str(saved.monitor)]
    best = saved.best_model_score
    known = best is not None and bool(torch.isfinite(best))
    if torch.isnan(score) or score > at_most or (known and best is not None and bool(score < best)):
        return
    path = saved.best_model_path or str(Path(saved.dirpath or trainer.default_root_dir) / f"{saved.filename}.ckpt")
    saved.best_model_path, saved.best_model_score = path, score
    trainer.save_checkpoint(path)


def _from_rank_zero(scores: dict[str, float], group: Any) -> dict[str, float]:
    """Returns rank zero's scores on every rank; ``group`` None is a training without ranks."""
    if group is None:
        return scores
    from torch import distributed

    box = [scores]
    distributed.broadcast_object_list(box, src=0, group=group)
    return box[0]


class EpochReport(lightning.Callback):
    """Prints one line an epoch where there is no terminal for a progress bar: speed, time left, losses, scores."""

    def __init__(self) -> None:
        """Starts the clock: a validation may come before any training."""
        self._start = self._began = time.perf_counter()
        self._seconds: float | None = None
        self._images = self._epochs = 0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Starts the run's clock."""
        self._began, self._epochs = time.perf_counter(), 0

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Starts the epoch's clock."""
        self._start, self._seconds, self._images = time.perf_counter(), None, 0

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Counts images, of this process."""
        self._images += len(batch.image)

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Stops the clock: the seconds of a validation, which not every epoch ends with, do not count."""
        self._seconds = time.perf_counter() - self._start

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Prints the line, on rank zero; what is left counts validations and benchmarks as they came so far."""
        self._epochs += 1
        if sys.stdout.isatty() or not trainer.is_global_zero:
            return
        shown = {k: float(v) for k, v in trainer.callback_metrics.items() if k.startswith(("val/", "benchmark/"))}
        text = ", ".join(f"{k} {v:.3g}" for k, v in sorted(shown.items()) if v == v)
        seconds = time.perf_counter() - self._start if self._seconds is None else self._seconds
        speed = self._images * trainer.world_size / max(seconds, 1e-9)
        batches = f"{trainer.num_training_batches} batches in {seconds:.0f} s, {speed:.1f} images/s"
        left = (trainer.max_epochs or -1) - trainer.current_epoch - 1
        if left > 0:
            batches += f", {clock_time(left * (time.perf_counter() - self._began) / self._epochs)} left"
        print(f"epoch {epoch_of(trainer)}: {batches}; {text}", flush=True)


class PictureCallback(lightning.Callback):
    """Draws fixed validation images with the network's maps and top grasps, to files and W&B."""

    def __init__(
        self,
        folder: str | Path,
        *,
        images: int = 2,
        every_n_epochs: int = 10,
        grasps: int = 10,
        max_opening: float = 0.1,
        workspace: Workspace | None = None,
        decoder: DecoderSettings | None = None,
    ) -> None:
        """Keeps the settings.

        Args:
            folder: Folder of the PNG files.
            images: Number of images, spread over the validation split.
            every_n_epochs: Number of epochs from one drawing to the next; the last epoch always has one.
            grasps: Number of the best grasps that are drawn.
            max_opening: L4, metres.
            workspace: Region where the drawn grasps may lie; None is anywhere.
            decoder: Settings by which the maps become the drawn grasps; None is the default.

        Raises:
            InputError: ``every_n_epochs`` is out of range.
        """
        if every_n_epochs < 1:
            raise InputError("PictureCallback needs every_n_epochs of at least 1")
        self.folder, self.images, self.every_n_epochs = Path(folder), images, every_n_epochs
        self.grasps, self.max_opening, self.workspace, self.decoder = grasps, max_opening, workspace, decoder

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Draws, on rank zero, if its epoch has come."""
        number = trainer.current_epoch + 1
        due = number % self.every_n_epochs == 0 or number == trainer.max_epochs
        if trainer.sanity_checking or not due or not trainer.is_global_zero:
            return
        try:
            paths = [str(path) for path in self.draw(trainer, pl_module)]
            for logger in trainer.loggers:
                if isinstance(logger, WandbLogger):
                    logger.log_image("pictures/validation", paths, step=trainer.global_step)
        except Exception:  # a picture is not worth a training run
            log.exception("the pictures of epoch %d failed; training goes on without them", trainer.current_epoch)

    def draw(self, trainer: lightning.Trainer, module: lightning.LightningModule) -> list[Path]:
        """Draws the pictures and returns their files."""
        data = getattr(trainer, "datamodule", None)
        if not isinstance(data, PLGPDataModule) or not isinstance(module, GraspModule) or data.source is None:
            return []
        indices = data.indices["val"] or data.indices["train"]
        chosen = np.unique(np.linspace(0, len(indices) - 1, self.images).astype(int))
        policy = NetworkPolicy.from_module(module, decoder=self.decoder, workspace=self.workspace)
        self.folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for number in chosen:
            read = data.source.read(indices[number], ("rgb", data.depth_key))
            depth = read[data.depth_key]  # type: ignore[literal-required]
            camera = PinholeCamera(depth.shape[1], depth.shape[0], read["intrinsics"], read["pose"])
            seen = Observation(read["rgb"], depth, camera)
            maps, best = policy.predict(seen.rgb, seen.depth), policy.pixel_grasps(seen, self.grasps)
            path = self.folder / f"epoch-{trainer.current_epoch:03d}-image-{indices[number]:05d}.png"
            labels = read["grasps"].to_pixel_grasps(data.bins)
            area = allowed_pixels(self.workspace, depth, camera)
            opening = self.max_opening
            draw_prediction(seen, maps, best, path=path, labels=labels, max_opening=opening, allowed=area)
            paths.append(path)
        return paths
