"""Training: data -> network -> trainer -> benchmark at epoch ends, all from one configuration."""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf

from plgp.runs.checks import check_settings, doubt_about_objective
from sim.cli import gather_failures, run_hydra
from sim.errors import InputError


def cpu_precision() -> str:
    """Returns "bf16-mixed" where the processor computes in bfloat16, else "32-true": emulated it is slow."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return "32-true"
    return "bf16-mixed" if re.search(r"\b(avx512_bf16|amx_bf16|bf16)\b", flags) else "32-true"


def fast_precision(accelerator: str) -> str:
    """Returns the half precision that an accelerator computes in, or "32-true"; conf/trainer asks."""
    if accelerator == "cpu":
        return cpu_precision()
    import torch

    if not torch.cuda.is_available():
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"


OmegaConf.register_new_resolver("fast_precision", fast_precision, replace=True)


def train(config: DictConfig) -> dict[str, float]:
    """Trains as the configuration says.

    Args:
        config: The composed conf/train.yaml.

    Returns:
        The last value of every logged metric.

    Raises:
        InputError: Something in the configuration, or that it points to, does not fit.
    """
    import lightning
    from hydra.utils import instantiate
    from lightning.pytorch.callbacks import ProgressBar
    from lightning.pytorch.utilities import rank_zero_only

    from plgp.networks.cost import cost_of
    from plgp.runs.processes import clean_end
    from plgp.runs.record import Record
    from plgp.runs.resume import resumable, steps_of
    from plgp.runs.time_limit import TimeAnew

    _quieten(resumes=config.resume is not None)
    output, first = Path(config.output), getattr(rank_zero_only, "rank", 0) == 0
    check_settings(config)
    resume = resumable(config)
    with clean_end() as trainers, _alone_in(output, first):
        lightning.seed_everything(config.seed, workers=True, verbose=False)
        ended = _ended(config, resume)
        clock, record = _Clock(), Record(config, first=first)
        data = instantiate(config.data)
        if first and config.data.get("recipe") is not None:
            data.prepare_data()  # Lightning would do it in fit; here its time counts by itself
            clock.lap("data")
        elif config.data.get("recipe") is None:
            data.prepare_data()
            _take_gripper(config, data)
        module = _module(config, resume)
        record.take(config)
        _name_run(config)
        loggers = [instantiate(c) for c in (config.get("logger") or {}).values() if c is not None]
        callbacks = [record, TimeAnew(), *_callbacks(config, bool(loggers))]
        bar = {"enable_progress_bar": any(isinstance(c, ProgressBar) for c in callbacks)}
        trainer = instantiate(config.trainer, callbacks=callbacks, logger=loggers or False, **bar)
        trainers.append(trainer)
        cost = cost_of(module) if loggers else {}  # once: it takes some seconds of a large network
        told = _plain(config) if ended is None else record.of_ended()
        for logger in loggers:
            logger.log_hyperparams({**told, "cost": cost})
        metrics = _fit(config, trainer, module, data=data, resume=resume, ended=ended, record=record)
        clock.lap("training")
        # An experiment may set a value of a final benchmark that the command line leaves out.
        if trainer.is_global_zero and "policies" in (config.get("final_benchmark") or {}):
            metrics |= _evaluate(config, trainer, output, anew=trainer.global_step != steps_of(resume))
            record.add_benchmark()
            clock.lap("final benchmark")
        if trainer.is_global_zero:
            print(f"wall time: {clock}", flush=True)
        return metrics


def _ended(config: DictConfig, resume: str | None) -> int | None:
    """Returns after how many epochs the run of ``resume=auto`` has ended; None where it has not."""
    from plgp.runs.ended import ended_after
    from plgp.runs.resume import AUTO

    return ended_after(Path(config.output), config) if resume is not None and str(config.resume) == AUTO else None


def _fit(
    config: DictConfig,
    trainer: Any,
    module: Any,
    *,
    data: Any,
    resume: str | None,
    ended: int | None,
    record: Any,
) -> dict[str, float]:
    """Trains, and marks the run as one that has come to its end; one that ``ended`` before is only opened.

    A run that its time ended has no mark: it goes on.

    Returns:
        The last value of every metric, also of one that had ended.
    """
    from plgp.loggers import told_when_stopped, what_goes_on
    from plgp.runs.ended import last_metrics, mark
    from plgp.runs.monitors import told_what_is_logged
    from plgp.runs.time_limit import cut_by_time, told_of_time

    output = Path(config.output)
    former = last_metrics(output)
    if ended is not None:  # by early stopping, say, which would let another epoch be trained
        trainer.fit_loop.max_epochs = ended
    try:
        with told_when_stopped(trainer, output, _sweep_folder()), told_what_is_logged():
            trainer.fit(module, datamodule=data, ckpt_path=resume, **({"weights_only": True} if resume else {}))
    finally:
        record.close()
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    metrics = metrics if record.begun else former | metrics
    if trainer.is_global_zero and ended is None and not trainer.interrupted:
        done, cut = trainer.fit_loop.epoch_progress.current.processed, cut_by_time(trainer)
        if cut:
            print(told_of_time(trainer, what_goes_on(output, _sweep_folder())), file=sys.stderr)
        if record.takes_mark(config) and not cut:
            mark(output, config, epochs=done, steps=trainer.global_step, metrics=metrics)
        if not record.begun:
            why = "the run to resume has its epochs or steps behind it, give more" if resume else "there is no batch"
            print(f"nothing was trained: {why}", file=sys.stderr)
    return metrics


def _module(config: DictConfig, resume: str | None) -> Any:
    """Returns the module, with the weights of ``start_from=``; says on stderr where its checkpoints will not open."""
    from hydra.utils import instantiate

    from plgp.module import GraspModule
    from plgp.runs.fine_tuning import start_from
    from plgp.runs.parts import doubt_about_network

    doubt = doubt_about_network(str(config.network.get("_target_")))
    if doubt and "policies" in (config.get("final_benchmark") or {}):
        raise InputError(doubt)
    if doubt:
        print(doubt, file=sys.stderr)
    module = instantiate(config.module)
    if config.get("start_from") is not None and resume is None:
        if not isinstance(module, GraspModule):
            raise InputError("start_from= is for networks that give maps; GQ-CNN's start by module.weights_file=")
        start_from(module, config.start_from)
    return module


@contextmanager
def _alone_in(output: Path, first: bool) -> Iterator[None]:
    """Makes a run's folder and holds it in the ``first`` process of a training; raises InputError if one is there."""
    from sim.files import check_writable, held_alone

    check_writable(output, cure="give hydra.run.dir=FOLDER, another one")
    if not first:
        yield
        return
    taken = f"'{output}' belongs to a training that is still running ({{holder}}); wait for it, or give another folder"
    with held_alone(output / ".training.lock", taken=taken):
        yield


def _quieten(*, resumes: bool) -> None:
    """Leaves out what Lightning says that is no concern of the user's."""
    from lightning.pytorch.utilities import disable_possible_user_warnings

    disable_possible_user_warnings()
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning's own use of torch
    if resumes:  # in its old folder its files stay
        warnings.filterwarnings("ignore", message=".*exists and is not empty.*")
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)


def _sweep_folder() -> Path | None:
    """Returns the folder of the multirun that this run belongs to; None of a run alone."""
    from hydra.types import RunMode

    chosen = HydraConfig.get() if HydraConfig.initialized() else None
    return Path(chosen.sweep.dir) if chosen is not None and chosen.mode == RunMode.MULTIRUN else None


def _name_run(config: DictConfig) -> None:
    """Puts the run's name and group into W&B's part of the configuration; see ``plgp.runs.names``."""
    from plgp.runs.names import name_run

    logger, sweep = (config.get("logger") or {}).get("wandb"), _sweep_folder()
    if logger is None:
        return
    name, group = name_run(config, sweep, [] if sweep is None else list(HydraConfig.get().overrides.task))
    OmegaConf.update(config, "logger.wandb.name", name)
    OmegaConf.update(config, "logger.wandb.group", group)


def _plain(config: DictConfig) -> dict[str, Any]:
    """Returns a configuration as plain values, its names as text."""
    content: Any = OmegaConf.to_container(config, resolve=True)
    return {str(key): value for key, value in content.items()}


def _take_gripper(config: DictConfig, data: Any) -> None:
    """Puts the gripper that the data set was made for into the configuration; says so where it was another.

    The network, the benchmark and the final table all take theirs from there.
    """
    from dataclasses import asdict

    data.setup("fit")
    own = asdict(data.trained_view.gripper)
    asked = {name: config.gripper.get(name) for name in own}
    if all(isinstance(asked[n], int | float) and abs(asked[n] - own[n]) < 1e-6 for n in own):
        return
    text = ", ".join(f"{name} {own[name]}" for name in own if asked[name] != own[name])
    print(f"gripper: the one that the data set was made for ({text}), not the one of gripper=", file=sys.stderr)
    for name, value in own.items():
        OmegaConf.update(config, f"gripper.{name}", value)


def _callbacks(config: DictConfig, logged: bool) -> list[Any]:
    """Returns the callbacks, in the order of the configuration; last, on a terminal, the progress bar."""
    from hydra.utils import instantiate
    from lightning.pytorch.callbacks import LearningRateMonitor, ProgressBar

    from plgp.loggers import PointEveryEpoch, RunProgress

    # What has no _target_ is an experiment's value of a callback that is left out: others check_settings refuses.
    chosen = [c for c in (config.get("callbacks") or {}).values() if c is not None and "_target_" in c]
    callbacks = [*([PointEveryEpoch()] if logged else []), *(instantiate(c) for c in chosen)]
    if sys.stdout.isatty() and config.trainer.get("enable_progress_bar", True):
        callbacks += [RunProgress()] if not any(isinstance(c, ProgressBar) for c in callbacks) else []
    return [c for c in callbacks if logged or not isinstance(c, LearningRateMonitor)]  # it insists on a logger


class _Clock:
    """Wall time by stage."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.last = time.perf_counter()

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self.stages.append(f"{stage} {now - self.last:.0f} s")
        self.last = now

    def __str__(self) -> str:
        return ", ".join(self.stages)


def _evaluate(config: DictConfig, trainer: Any, output: Path, *, anew: bool) -> dict[str, float]:
    """Measures the best checkpoint beside the other policies; returns its scores, logged as ``test/AP`` ...

    Args:
        config: The composed conf/train.yaml.
        trainer: The trainer, when it has ended.
        output: Folder of the run.
        anew: Whether the weights are others than those of results in the folder.
    """
    from lightning.pytorch.loggers import WandbLogger

    from plgp.evaluation.evaluate import evaluate
    from plgp.loggers import final_scores, log_table

    saved = trainer.checkpoint_callback
    best = (saved.best_model_path or saved.last_model_path) if saved is not None else ""
    OmegaConf.update(config, "checkpoint", best or None)
    for name in config.final_benchmark.policies if anew else ():  # an earlier training's, of other weights
        shutil.rmtree(output / str(name), ignore_errors=True)
    summary = evaluate(config.final_benchmark, output)
    OmegaConf.update(config, "checkpoint", None)  # it is this run's: the same configuration can be trained again
    scores = final_scores(summary)
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            log_table(logger, summary, output, step=trainer.global_step)
        logger.log_metrics(scores, step=trainer.global_step)
        logger.save()
    return scores


class ReportAfterMultirun(Callback):
    """Writes the report of a multirun's runs into its folder when the last one has ended; see plgp.report."""

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Writes report.md, CSV tables and report.html, and prints the first."""
        from plgp.evaluation.runs import gather
        from plgp.report import write_report

        folder = Path(config.hydra.sweep.dir)
        gather_failures(folder)
        try:
            written = write_report(gather([folder]), folder / "report")
        except (InputError, OSError) as error:  # the runs are there; the report can be written again
            print(f"no report of {folder}: {error}", file=sys.stderr)
            return
        print(written[0].read_text() + f"\nwrote {written[0].parent}")


def run(config: DictConfig) -> float | None:
    """Trains, and returns what a sweeper maximises: the last value of ``config.objective``, where it was logged."""
    metrics = train(config)
    if "LOCAL_RANK" not in os.environ:  # not the other processes of trainer=ddp
        print(f"wrote {config.output}")
    sweeper = HydraConfig.get().sweeper if _sweep_folder() is not None else None
    doubt = doubt_about_objective(config, metrics, None if sweeper is None else str(sweeper.get("_target_")))
    if doubt:
        print(doubt, file=sys.stderr)
    return metrics.get(config.objective)


def main() -> None:
    """Runs the command line."""
    # Threads that wait for each other must sleep, not spin: beside another busy process spinning
    # makes a step seven times slower. OpenMP reads this when torch is imported, later.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    run_hydra(run, "train", interrupted="interrupted; resume=FOLDER goes on")


if __name__ == "__main__":
    # Under its own name: launchers send the program to other processes, which know no __main__ of this one.
    import_module("plgp.train").main()
