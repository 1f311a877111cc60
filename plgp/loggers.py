"""Loggers that need more than a constructor."""

from __future__ import annotations

import netrc
import os
from collections.abc import Sequence
from pathlib import Path

from lightning.pytorch.loggers import WandbLogger


def logged_in() -> bool:
    """Returns whether W&B would find a key: in WANDB_API_KEY or in the user's netrc."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):
        return False


def wandb_logger(
    save_dir: str | Path,
    project: str = "plgp",
    name: str | None = None,
    group: str | None = None,
    tags: Sequence[str] = (),
    offline: bool | None = None,
) -> WandbLogger:
    """Returns a W&B logger whose files lie under ``save_dir``.

    Args:
        save_dir: The run's output folder; W&B makes ``wandb/`` in it.
        project: W&B project.
        name: The run's name.
        group: Runs that belong together.
        tags: Free words.
        offline: None is offline unless the user is logged in; ``wandb sync`` sends offline runs later.
    """
    folder = Path(save_dir)
    folder.mkdir(parents=True, exist_ok=True)
    if offline is None:
        offline = os.environ.get("WANDB_MODE") == "offline" or not logged_in()
    return WandbLogger(
        save_dir=str(folder), project=project, name=name, group=group, tags=list(tags), offline=offline, log_model=False
    )
