"""Loggers that need more than a constructor, and what a terminal sees of a run."""

from __future__ import annotations

import csv
import math
import netrc
import os
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import lightning
import pandas as pd
from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.callbacks import RichProgressBar
from lightning.pytorch.loggers import CSVLogger, WandbLogger
from lightning.pytorch.utilities.exceptions import SIGTERMException


def logged_in() -> bool:
    """Returns whether W&B would find a key: in WANDB_API_KEY, or in the user's netrc for W&B's server or their own."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    server = urlsplit(os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai").hostname or "api.wandb.ai"
    try:
        return netrc.netrc().authenticators(server) is not None
    except (OSError, netrc.NetrcParseError):
        return False


class SummaryWandbLogger(WandbLogger):
    """Lightning's W&B logger; a run's summary holds the best value of the metrics named, not the last."""

    def __init__(self, summary: Mapping[str, str], **options: Any) -> None:
        """Sets up; the run starts at the first use.

        Args:
            summary: "max" or "min" by metric.
            options: Options of WandbLogger.
        """
        super().__init__(**options)
        self._summary = dict(summary)
        self._defined = False

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The W&B run."""
        run = super().experiment
        if not self._defined:
            self._defined = True
            for metric, best in self._summary.items():
                run.define_metric(metric, step_metric="trainer/global_step", step_sync=True, summary=best)
        return run

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Logs the metrics that are numbers: a NaN (no benchmark yet) would stay the greatest value for ever."""
        numbers = {name: value for name, value in metrics.items() if not _is_nan(value)}
        if numbers:
            super().log_metrics(numbers, step)


class ResumableCSVLogger(CSVLogger):
    """Lightning's CSV logger; a run that is resumed in its folder keeps the curves up to where it goes on."""

    def __init__(
        self, save_dir: str | Path, *, keep: Any = None, name: str = "csv", version: str = "", **options: Any
    ) -> None:
        """Sets up.

        Args:
            save_dir: Folder of the run.
            keep: Whether rows that are there already stay; anything that counts as true.
            name: Name of the folder in it.
            version: Name of the folder in that one; "" for none.
            options: Options of CSVLogger.
        """
        super().__init__(save_dir, name=name, version=version, **options)
        self._earlier: list[dict[str, str]] = []
        path = Path(self.log_dir) / "metrics.csv"
        # Lightning deletes the file before the first row; a run that starts anew and fails before that brings it back.
        self._replaced = path.read_bytes() if path.is_file() and not keep else None
        if keep and path.is_file():
            with path.open(newline="") as file:
                self._earlier = list(csv.DictReader(file))

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Logs a row; before the first one, the earlier rows of smaller steps."""
        self._replaced = None
        self._put_back(step)
        super().log_metrics(dict(metrics), step)

    def finalize(self, status: str) -> None:
        """Saves; a run that logged nothing, because it had ended before or did not begin, keeps all its rows."""
        self._put_back(None)
        super().finalize(status)
        if self._replaced is not None and self._experiment is not None:
            (Path(self.log_dir) / "metrics.csv").write_bytes(self._replaced)

    def _put_back(self, step: int | None) -> None:
        """Logs the earlier rows of smaller steps, once; all of them where there is no step."""
        earlier, self._earlier = self._earlier, []
        for row in earlier:
            if step is None or int(float(row["step"])) < step:
                known: dict[str, Any] = {
                    name: int(value) if value.isdigit() else float(value)
                    for name, value in row.items()
                    if name != "step" and value
                }
                super().log_metrics(known, int(float(row["step"])))


def wandb_logger(
    save_dir: str | Path,
    *,
    project: str | None = None,
    name: str | None = None,
    group: str | None = None,
    tags: str | Sequence[str] | None = (),
    offline: bool | None = None,
    summary: Mapping[str, str] | None = None,
    keep: Any = None,
) -> WandbLogger:
    """Returns a W&B logger whose files lie under ``save_dir``.

    Args:
        save_dir: The run's output folder; W&B makes ``wandb/`` in it.
        project: Name of the W&B project; None goes by the variable WANDB_PROJECT, and without it is "plgp".
        name: Name of the run; None goes by the variable WANDB_NAME.
        group: Name that runs which belong together share; None goes by the variable WANDB_RUN_GROUP.
        tags: Free words, or a single one; None or none go by the variable WANDB_TAGS.
        offline: Whether the run stays on this machine until ``wandb sync`` sends it; None goes by the variable
            WANDB_MODE, and without it is yes unless the user is logged in.
        summary: "max" or "min" by metric, which W&B's tables of runs show of it; None shows the last value of all.
        keep: Whether the run goes on that the folder holds already, under its id; anything that counts as true.
    """
    import wandb

    folder = Path(save_dir)
    folder.mkdir(parents=True, exist_ok=True)
    if offline is None:
        mode = os.environ.get("WANDB_MODE")  # its user's word counts: online, offline, disabled
        offline = mode in ("offline", "dryrun") if mode else not logged_in()
    elsewhere = os.environ.get("WANDB_DIR")
    if elsewhere and Path(elsewhere).absolute() != folder.absolute():
        print(f"WANDB_DIR is not used: a run's W&B files lie in its own folder, {folder / 'wandb'}", file=sys.stderr)
    earlier = last_run(folder) if keep else None
    more: dict[str, Any] = {} if earlier is None else {"id": earlier} | ({} if offline else {"resume": "allow"})
    if not os.environ.get("WANDB_QUIET"):  # its history and summary would stand over the run's own results
        more["settings"] = wandb.Settings(quiet=True)
    return SummaryWandbLogger(
        summary or {},
        save_dir=str(folder),
        project=project or os.environ.get("WANDB_PROJECT") or "plgp",
        name=name,
        group=group,
        tags=[tags] if isinstance(tags, str) else list(tags or ()) or None,
        offline=offline,
        log_model=False,
        **more,
    )


def final_scores(summary: pd.DataFrame) -> dict[str, float]:
    """Returns ``test/SR``, ``test/PC`` and ``test/AP`` of the network, percent, means over categories and frictions.

    Args:
        summary: A final benchmark's table, as ``plgp.evaluation.evaluate`` makes it.
    """
    means = summary[(summary.friction == "mean") & (summary.policy == "network")]
    return {f"test/{name}": float(means[name].mean()) for name in ("SR", "PC", "AP")} if len(means) else {}


def log_table(logger: WandbLogger, summary: pd.DataFrame, output: Path, *, step: int) -> None:
    """Logs a final benchmark to W&B: as a table, as numbers by category and friction, and its pictures.

    Args:
        logger: The run's logger.
        summary: The table.
        output: Folder of the run, where its pictures lie.
        step: The training's last step.
    """
    numbers = {
        f"test/{row.category}/friction {row.friction}/{name}": float(getattr(row, name))
        for row in summary[summary.policy == "network"].itertuples()
        for name in ("SR", "PC", "AP", "AP_low", "AP_high")
    }
    pictures = [str(p) for p in (output / "frictions.png", output / "pictures" / "network.png") if p.is_file()]
    logger.log_metrics(numbers, step=step)
    logger.log_table("test/table", dataframe=summary, step=step)
    if pictures:
        logger.log_image("test/pictures", pictures, step=step)


def last_run(folder: Path) -> str | None:
    """Returns the id of the last W&B run in a run's folder, None where there is none: ``run-<time>-<id>``."""
    runs = [re.fullmatch(r"(?:offline-)?run-(\d+_\d+)-(\w+)", path.name) for path in folder.glob("wandb/*run-*")]
    found = sorted((run[1], run[2]) for run in runs if run)
    return found[-1][1] if found else None


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


class PointEveryEpoch(lightning.Callback):
    """Gives the curves of ``train/`` a point in every epoch, also where an epoch has few steps."""

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Lowers ``log_every_n_steps`` to the steps of an epoch; longer epochs have their points as they are."""
        batches = trainer.num_training_batches
        if math.isfinite(batches) and batches:
            steps = math.ceil(batches / trainer.accumulate_grad_batches)
            trainer.log_every_n_steps = min(trainer.log_every_n_steps, steps)  # type: ignore[attr-defined]


class RunProgress(RichProgressBar):
    """Lightning's bar on a terminal, with epochs counted from 1, images a second and the whole run's time left."""

    def __init__(self) -> None:
        """Starts the clock: a validation may come before any training."""
        super().__init__()
        self._began, self._first, self._images = time.perf_counter(), 0, 0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Starts the clock."""
        super().on_train_start(trainer, pl_module)
        self._began, self._first, self._images = time.perf_counter(), trainer.global_step, 0

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """Counts images."""
        self._images += len(batch.image)
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def get_metrics(self, trainer: Any, pl_module: Any) -> dict[str, Any]:
        """Returns the metrics with images a second, of all that takes time, and what is left of the run."""
        seconds, shown = time.perf_counter() - self._began, dict(super().get_metrics(trainer, pl_module))
        shown["images/s"] = round(self._images / max(seconds, 1e-9), 1)
        done, whole = trainer.global_step - self._first, trainer.estimated_stepping_batches
        if done and math.isfinite(whole):
            shown["run left"] = clock_time(seconds / done * max(0, whole - trainer.global_step))
        return shown

    def _get_train_description(self, current_epoch: int) -> str:
        return f"Epoch {epoch_of(self.trainer)}".ljust(len(self.validation_description))


def epoch_of(trainer: lightning.Trainer) -> str:
    """Returns "n/N", counted from 1; "n" of a run without a last epoch."""
    last = trainer.max_epochs
    return f"{trainer.current_epoch + 1}" + (f"/{last}" if last is not None and last > 0 else "")


def clock_time(seconds: float) -> str:
    """Returns a time as h:mm:ss, or m:ss below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"


def what_goes_on(folder: Path, sweep: Path | None = None) -> str:
    """Returns in words what goes on with a training that stopped.

    Args:
        folder: Folder of the run.
        sweep: Folder of the multirun that it belongs to; None of a run alone.
    """
    if sweep is not None:
        return f"the same command with hydra.sweep.dir={sweep} resume=auto goes on"
    return f"resume={folder} goes on"


@contextmanager
def told_when_stopped(trainer: lightning.Trainer, folder: Path, sweep: Path | None = None) -> Iterator[None]:
    """Ends a training after Ctrl-C or SIGTERM with a sentence and the status 130 or 143; Lightning says neither.

    Args:
        trainer: The trainer.
        folder: Folder of the run.
        sweep: Folder of the multirun that it belongs to; None of a run alone.
    """
    try:
        yield
    except SystemExit as stop:
        by_signal = isinstance(stop, SIGTERMException)
        if not by_signal and not isinstance(stop.__context__, KeyboardInterrupt):
            raise
        if trainer.is_global_zero:
            goes_on = (folder / "checkpoints" / "last.ckpt").is_file()
            what = what_goes_on(folder, sweep) if goes_on or sweep else "no step was done, there is nothing to resume"
            print(f"{'ended by SIGTERM' if by_signal else 'interrupted'}; {what}", file=sys.stderr, flush=True)
        raise SystemExit(143 if by_signal else 130) from None
