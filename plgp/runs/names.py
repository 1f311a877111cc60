"""Names of W&B runs: by what differs between them, and grouped by sweep."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

DEFAULT = "train"  # the name in conf/train.yaml, which says nothing


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
    command = sweep / "multirun.yaml"
    keys = varied(OmegaConf.load(command).hydra.overrides.task) if command.is_file() else []
    chosen = dict(o.lstrip("+~").partition("=")[::2] for o in own)
    told = [f"{key}={chosen[key]}" for key in keys if key in chosen and key != "experiment"]
    return " ".join([name, *told]), group or f"{config.name} {sweep.name}"
