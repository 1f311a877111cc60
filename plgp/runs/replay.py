"""Runs that were logged as CSV alone, told to W&B afterwards: a cluster's machines may have none."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from plgp.runs.held_back import in_force
from sim.errors import InputError


def replay(folder: str | Path, *, offline: bool | None = None, cost: Mapping[str, Any] | None = None) -> Path:
    """Logs a run to W&B as its training would have done: settings, costs, curves, the final table and its pictures.

    W&B's own clock shows when the run was told, not when it ran.

    Args:
        folder: Folder of the run, with ``config.yaml`` and ``csv/metrics.csv``.
        offline: Whether the run stays on this machine; None as for ``plgp.loggers.wandb_logger``.
        cost: What the network costs, with the names of ``plgp.networks.cost.cost_of``; None measures it here.

    Returns:
        Folder with W&B's files.

    Raises:
        InputError: The folder holds no such run, or one that W&B knows already.
    """
    import wandb
    from hydra.utils import instantiate

    from plgp.evaluation.wandb_files import await_end
    from plgp.loggers import final_scores, last_run, log_table
    from plgp.networks.cost import cost_of
    from plgp.runs.names import BROKEN, name_run, sweep_of

    run = Path(folder)
    if last_run(run) is not None:
        raise InputError(f"'{run}' holds a W&B run already; wandb sync sends it")
    config, rows = _config_of(run), _rows_of(run / "csv" / "metrics.csv")
    settings = config.copy()
    settings.logger = OmegaConf.load(str(files("plgp_conf") / "logger" / "wandb.yaml"))
    try:
        name, group = name_run(settings, *sweep_of(run))
    except BROKEN:
        name, group = name_run(settings, None)
    own = {"save_dir": str(run), "keep": None, "name": name, "group": group, "offline": offline}
    logger = instantiate(settings.logger.wandb, **own)
    try:
        plain: Any = OmegaConf.to_container(config, resolve=True)
        known = cost_of(instantiate(config.module)) if cost is None else dict(cost)
        logger.log_hyperparams({**{str(key): value for key, value in plain.items()}, "cost": known})
        for step, numbers in rows:
            logger.log_metrics(numbers, step=step)
        if (run / "summary.csv").is_file():
            summary, last = pd.read_csv(run / "summary.csv"), max((step for step, _ in rows), default=0)
            log_table(logger, summary, run, step=last)
            logger.log_metrics(final_scores(summary), step=last)
        logger.save()
    except BaseException:  # Ctrl-C too: half a run would pass for a whole one
        wandb.finish(exit_code=1)
        shutil.rmtree(run / "wandb", ignore_errors=True)
        raise
    wandb.finish()  # the next run is one of its own
    await_end(run)
    return run / "wandb"


def csv_runs(roots: tuple[Path, ...]) -> list[Path]:
    """Returns the folders at and below some folders that hold a run's CSV file, in order.

    Raises:
        InputError: There is none.
    """
    found = sorted({path.parent.parent for root in roots for path in root.rglob("csv/metrics.csv")})
    if not found:
        raise InputError(f"no csv/metrics.csv below {', '.join(map(str, roots))}; give folders of runs: runs=FOLDER")
    return found


def _config_of(run: Path) -> DictConfig:
    try:
        config = OmegaConf.create(in_force(run) or OmegaConf.load(run / "config.yaml"))
    except (OSError, OmegaConfBaseException, ValueError) as error:
        raise InputError(f"'{run / 'config.yaml'}' cannot be read; give the folder of a training") from error
    if not isinstance(config, DictConfig) or "module" not in config:
        raise InputError(f"'{run / 'config.yaml'}' is no training's; give the folder of one")
    return config


def _rows_of(path: Path) -> list[tuple[int, dict[str, float]]]:
    """Returns the steps and the numbers of a CSV log, in its order."""
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        return [
            (int(float(row["step"])), {name: float(text) for name, text in row.items() if name != "step" and text})
            for row in rows
        ]
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"'{path}' is no run's CSV log, or is broken; give the folder of a training") from error
