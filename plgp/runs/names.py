"""Names of W&B runs: by what differs between them, and grouped by sweep."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

DEFAULT = "train"  # the name in conf/train.yaml, which says nothing
# Choices that a run's name need not tell: a report says them elsewhere, or they are names, places and speed.
_NOT_TOLD: tuple[str, ...] = ("seed", "network", "modality", "name", "start_from", "output", "group", "tags", "logger")
_NOT_TOLD += ("trainer", "trainer.devices", "trainer.accelerator", "data.seed", "data.workers")

# What broken files of Hydra raise; a run beside them is whole.
BROKEN: tuple[type[Exception], ...] = (YAMLError, OmegaConfBaseException, OSError, UnicodeDecodeError)


def varied(overrides: Sequence[str]) -> list[str]:
    """Returns the keys of a sweep's command line that take more than one value, in its order.

    Args:
        overrides: The command line's overrides, ``seed=0,1`` or ``loss.alpha=range(1,3)`` among them.
    """
    keys = []
    for override in overrides:
        key, sign, value = override.lstrip("+~").partition("=")
        inner = re.sub(r"\[[^\]]*\]|\([^)]*\)|'[^']*'|\"[^\"]*\"", "", value)  # commas in lists are no choices
        if sign and ("," in inner or re.match(r"(choice|range|interval|glob|sort|shuffle)\(", value)):
            keys.append(key)
    return keys


def name_run(config: DictConfig, sweep: Path | None, own: Sequence[str] = ()) -> tuple[str, str | None]:
    """Returns a run's name and group in W&B.

    Args:
        config: The composed conf/train.yaml.
        sweep: Folder of the multirun that the run belongs to; None of a run alone.
        own: Overrides of this run.

    Returns:
        The configuration's name, with what this run has of the keys that the sweep varies. Without a name it is the
        network and its input. The group is the configuration's; without one, a sweep's folder, and of a run alone none.
        W&B's variables WANDB_NAME and WANDB_RUN_GROUP stand in for what the configuration leaves open.
    """
    name, group = str(config.name), config.get("group") or os.environ.get("WANDB_RUN_GROUP")
    if name == DEFAULT and os.environ.get("WANDB_NAME"):
        name = os.environ["WANDB_NAME"]
    elif name == DEFAULT:
        name = f"{str(config.network.get('_target_', '')).rpartition('.')[2].lower()} {config.data.get('modality')}"
    if sweep is None:
        return name, group
    told = [f"{key}={value}" for key, value in chosen_of(sweep, own).items() if not key.startswith("experiment")]
    return " ".join([name, *told]), group or f"{config.name} {sweep.name}"


def chosen_of(sweep: Path, own: Sequence[str]) -> dict[str, str]:
    """Returns what one run of a multirun has of what the multirun varies, by key; nothing where it does not say.

    Args:
        sweep: Folder of the multirun.
        own: Overrides of the run.
    """
    command = sweep / "multirun.yaml"
    hydra = OmegaConf.select(OmegaConf.load(command), "hydra") if command.is_file() else None
    if not isinstance(hydra, DictConfig):
        return {}
    chosen = OmegaConf.select(hydra, "sweeper.params")  # an experiment's own: the command line's stand over them
    params = {str(key): value for key, value in chosen.items()} if isinstance(chosen, DictConfig) else {}
    words = OmegaConf.select(hydra, "overrides.task")
    task = [str(override) for override in words] if isinstance(words, ListConfig) else []
    given = {override.lstrip("+~").partition("=")[0] for override in task}
    keys = [*varied([f"{key}={value}" for key, value in params.items() if key not in given]), *varied(task)]
    values = dict(override.lstrip("+~").partition("=")[::2] for override in own)
    return {key: values[key] for key in keys if key in values}


def sweep_of(run: Path) -> tuple[Path | None, list[str]]:
    """Returns the folder of the multirun that a run belongs to and the run's own overrides; None of a run alone."""
    overrides = run / ".hydra" / "overrides.yaml"
    if not (run.resolve().parent / "multirun.yaml").is_file() or not overrides.is_file():
        return None, []
    return run.resolve().parent, [str(override) for override in OmegaConf.load(overrides)]


def choices_in_words(chosen: Mapping[str, Any]) -> str:
    """Returns what a run has of what its multirun varies, but for what a report says anyway, or need not say.

    Args:
        chosen: Values by key; see ``chosen_of``.
    """
    told = {key: value for key, value in chosen.items() if key not in _NOT_TOLD and not key.startswith("experiment")}
    return " ".join(f"{key}={value}" for key, value in told.items())
