"""What a training's settings are looked at for before a data set is made or a run is opened."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from plgp.runs.monitors import check_monitors, known_names, nearest
from sim.cli import conf_folder
from sim.errors import InputError

# Least values of numbers that Lightning and torch would look at late, or not at all.
_LEAST = {"optimizer.lr": 0.0, "data.workers": 0, "data.generate_workers": 1, "data.batch_size": 1, "seed": 0}
_LEAST |= {"trainer.max_epochs": -1, "trainer.check_val_every_n_epoch": 1, "trainer.accumulate_grad_batches": 1}
_LEAST |= {"data.samples_per_epoch": 1, "data.val_samples": 1, "data.flip": 0.0}
_MOST = {"data.flip": 1.0}
_TRAINER = ("accelerator", "devices", "precision", "max_epochs", "max_steps", "max_time")
_OBJECTIVE = "benchmark/AP"  # conf/train.yaml's, which nobody has asked for
_GRID = "BasicSweeper"  # does not look at what a run returns


def check_settings(config: DictConfig) -> None:
    """Looks at a training's settings before a data set is made or a run is opened.

    Args:
        config: The composed conf/train.yaml.

    Raises:
        InputError: A number is none, too small or too great, nothing would be trained, a callback or logger has no
            ``_target_``, a monitor is misspelt or watched the wrong way round, or the trainer does not take its
            settings on this machine.
    """
    from lightning import Trainer
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    if config.get("checkpoint") is not None:
        raise InputError(
            f"checkpoint={config.checkpoint} is for other commands; start_from= begins a training with its weights, "
            "resume= goes on with its run"
        )
    _check_numbers(config)
    _check_steps(config)
    _check_parts(config)
    if config.trainer.get("overfit_batches"):
        raise InputError(
            "trainer.overfit_batches would show other images in each epoch; give data.overfit=8, a number of images, "
            "or debug=overfit"
        )
    check_monitors(config)
    _check_objective(config)
    given = {name: config.trainer.get(name) for name in _TRAINER}
    chosen: dict[str, Any] = {n: value for n, value in given.items() if isinstance(value, (int, float, str))}
    if (chosen.get("accelerator"), str(chosen.get("precision"))) == ("cpu", "16-true"):
        raise InputError("trainer.precision=16-true does not train on a CPU; give bf16-mixed or 32-true")
    try:
        Trainer(**chosen, logger=False, enable_checkpointing=False, enable_progress_bar=False)
    except (MisconfigurationException, ValueError, TypeError) as error:
        text = ", ".join(f"trainer.{name}={value}" for name, value in chosen.items())
        reason = " ".join(str(error).split()).rstrip(".")
        raise InputError(f"this machine's trainer does not take {text}: {reason}") from error


def _check_numbers(config: DictConfig) -> None:
    for name, least in _LEAST.items():
        value, kind = OmegaConf.select(config, name), (int, float) if isinstance(least, float) else int
        if value is None:
            continue
        most = _MOST.get(name, float("inf"))
        if isinstance(value, bool) or not isinstance(value, kind) or not least <= value <= most:
            number = "a number" if isinstance(least, float) else "a whole number"
            bound = f"of at least {least:g}" if name not in _MOST else f"from {least:g} to {most:g}"
            raise InputError(f"{name} is {value}; give {number} {bound}")


def _check_steps(config: DictConfig) -> None:
    """Raises InputError where the trainer's limits leave nothing to train; the run to resume knows its own epochs."""
    for name in ("max_epochs", "max_steps", "limit_train_batches"):
        value = config.trainer.get(name)
        if (
            value == 0
            and not isinstance(value, bool)
            and (name != "max_epochs" or config.get("resume") in (None, "auto"))
        ):
            raise InputError(f"trainer.{name} is {value}, by which nothing is trained; give more, or leave it out")


def _check_parts(config: DictConfig) -> None:
    """Raises InputError for a callback or logger without a ``_target_``, which would be none.

    An experiment may set a value of one of conf/callbacks that another choice (callbacks=none) leaves out.
    """
    for group in ("callbacks", "logger"):
        for name, part in (config.get(group) or {}).items():
            if part is None or (isinstance(part, DictConfig) and "_target_" in part):
                continue
            keys = [str(key) for key in part] if isinstance(part, DictConfig) else []
            near = difflib.get_close_matches("_target_", keys, n=1, cutoff=0.8)
            if group == "callbacks" and name in _names_of(group) and not near:
                continue
            cure = (
                f"write +{group}.{name}._target_=CLASS"
                if group == "callbacks"
                else "name several as logger=[csv,wandb]"
            )
            cure = f"it has {near[0]}, did you mean _target_?" if near else cure
            raise InputError(f"{group}.{name} has no _target_, and so is no {group.removesuffix('s')}; {cure}")


def _names_of(group: str) -> set[str]:
    """Returns the names of the parts that the choices of a group have, those of ``--config-dir`` among them."""
    paths = [path for root in (conf_folder(), *_own_roots()) for path in (root / group).rglob("*.yaml")]
    files = [OmegaConf.load(path) for path in paths]
    return {str(key) for file in files if isinstance(file, DictConfig) for key in file if key != "defaults"}


def _own_roots() -> list[Path]:
    """Returns the folders of choices beside conf/ that the running command has."""
    if not HydraConfig.initialized():
        return []
    sources = HydraConfig.get().runtime.config_sources
    return [Path(source.path) for source in sources if source.schema == "file"]


def _check_objective(config: DictConfig) -> None:
    """Raises InputError where an objective that was asked for is surely none of a training's metrics."""
    objective, names = config.get("objective"), known_names(config)
    if objective in (None, _OBJECTIVE) or names is None:
        return
    if "policies" in (config.get("final_benchmark") or {}):
        names |= {"test/SR", "test/PC", "test/AP"}
    if str(objective) not in names and not str(objective).startswith("lr-"):
        raise InputError(
            f"objective={objective} is no metric of this training{nearest(str(objective), names)}; "
            f"it logs {', '.join(sorted(names))}"
        )


def doubt_about_objective(config: DictConfig, metrics: Mapping[str, float], sweeper: str | None) -> str:
    """Returns a sentence where a training has no value of its objective for whoever asked for it, else "".

    Args:
        config: The composed conf/train.yaml.
        metrics: Last value of every logged metric.
        sweeper: ``_target_`` of the multirun's sweeper; None of a run alone.
    """
    objective = config.get("objective")
    asked = objective != _OBJECTIVE or (sweeper is not None and not sweeper.endswith(_GRID))
    trained = any(not name.startswith("test/") for name in metrics)  # else a run of old was only opened
    if objective is None or objective in metrics or not asked or not trained:
        return ""
    return f"objective={objective} has no value, it was not logged; logged were {', '.join(sorted(metrics))}"
