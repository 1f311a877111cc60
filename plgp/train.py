"""Training: data -> network -> trainer -> benchmark at epoch ends, all from one configuration."""

from __future__ import annotations

import logging
import os
import re
import shutil
import sys
import time
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from sim import InputError


def cpu_precision() -> str:
    """Returns "bf16-mixed" where the processor computes in bfloat16, else "32-true": emulated it is slow."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return "32-true"
    return "bf16-mixed" if re.search(r"\b(avx512_bf16|amx_bf16|bf16)\b", flags) else "32-true"


OmegaConf.register_new_resolver("cpu_precision", cpu_precision, replace=True)  # conf/trainer/cpu.yaml asks


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
    from lightning.pytorch.callbacks import LearningRateMonitor
    from lightning.pytorch.utilities import disable_possible_user_warnings

    disable_possible_user_warnings()
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")  # Lightning's own use of torch
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    output = Path(config.output)
    output.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(config, output / "config.yaml", resolve=True)
    lightning.seed_everything(config.seed, workers=True, verbose=False)
    loggers: list[Any] = []
    try:
        clock = _Clock()
        data = instantiate(config.data)
        if config.data.get("recipe") is not None:
            data.prepare_data()  # Lightning would do it in fit; here its time counts by itself
            clock.lap("data")
        module = instantiate(config.module)
        loggers.extend(instantiate(c) for c in config.logger.values() if c is not None)
        # An experiment may set a value of a callback that another choice (callbacks=none) leaves out.
        callbacks = [instantiate(c) for c in config.callbacks.values() if c is not None and "_target_" in c]
        if not loggers:  # it insists on one
            callbacks = [c for c in callbacks if not isinstance(c, LearningRateMonitor)]
        trainer: lightning.Trainer = instantiate(config.trainer, callbacks=callbacks, logger=loggers or False)
        for logger in loggers:
            logger.log_hyperparams(OmegaConf.to_container(config, resolve=True))
        trainer.fit(module, datamodule=data, ckpt_path=config.resume, **_trust(config.resume))
        clock.lap("training")
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if config.get("evaluation") is not None and trainer.is_global_zero:
            metrics |= _evaluate(config, trainer, output)
            clock.lap("evaluation")
        print(f"wall time: {clock}", flush=True)
        return metrics
    finally:
        if "wandb" in sys.modules:
            sys.modules["wandb"].finish()  # runs of one multirun stay separate runs


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


def _evaluate(config: DictConfig, trainer: Any, output: Path) -> dict[str, float]:
    """Measures the best checkpoint beside the other policies; returns its scores, logged as ``test/AP`` ..."""
    from plgp.benchmark import evaluate

    saved = trainer.checkpoint_callback
    best = (saved.best_model_path or saved.last_model_path) if saved is not None else ""
    OmegaConf.update(config, "checkpoint", best or None)
    for name in config.evaluation.policies:  # an earlier training's, of other weights
        shutil.rmtree(output / str(name), ignore_errors=True)
    summary = evaluate(config.evaluation, output)
    means = summary[(summary.friction == "mean") & (summary.policy == "network")]
    scores = {f"test/{name}": float(means[name].mean()) for name in ("SR", "PC", "AP")} if len(means) else {}
    for logger in trainer.loggers:
        logger.log_metrics(scores, step=trainer.global_step)
        logger.save()
    return scores


def _trust(resume: str | None) -> dict[str, Any]:
    """Returns how to open a checkpoint to go on from: with weights_only, after a look that it is there."""
    if resume is None:
        return {}
    if not Path(resume).is_file():
        raise InputError(f"no checkpoint at '{resume}' to resume from; give another path, or resume=null")
    return {"weights_only": True}


def input_error(error: BaseException | None) -> InputError | None:
    """Returns the InputError behind an exception (Hydra wraps what a constructor raises), or None."""
    while error is not None:
        if isinstance(error, InputError):
            return error
        error = error.__cause__
    return None


def check_choices(arguments: list[str]) -> None:
    """Raises InputError for a choice (``network=...``) that conf/ does not have, before Hydra sees it.

    Args:
        arguments: The command line without the program.
    """
    root = Path(next(iter(import_module("plgp.conf").__path__)))
    for argument in arguments:
        match = re.fullmatch(r"\+{0,2}(\w+)=\[?([\w,\-]+)\]?", argument)
        if not match or not (root / match[1]).is_dir():
            continue
        known = sorted(p.stem for p in (root / match[1]).glob("*.yaml"))
        for name in match[2].split(","):
            if name not in (*known, "null"):
                raise InputError(f"unknown {match[1]} '{name}'; choose one of {', '.join(known)}")


@hydra.main(version_base="1.3", config_path="pkg://plgp.conf", config_name="train")
def _app(config: DictConfig) -> float | None:
    try:
        metrics = train(config)
    except Exception as error:
        cause = input_error(error)
        if cause is None:
            raise
        _stop(cause)
    print(f"wrote {config.output}")
    return metrics.get(config.objective)


def _stop(error: InputError) -> None:
    print(f"error: {error}", file=sys.stderr)
    raise SystemExit(2)


def main() -> None:
    """Runs the command line."""
    # Threads that wait for each other must sleep, not spin: beside another busy process spinning
    # makes a step seven times slower. OpenMP reads this when torch is imported, later.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        check_choices(sys.argv[1:])
    except InputError as error:
        _stop(error)
    _app()


if __name__ == "__main__":
    main()
