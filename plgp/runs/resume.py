"""A training that goes on from a checkpoint: whether it can, and at which step of the present run it stands."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig, OmegaConf

from plgp.data.sampler import EpochSampler
from plgp.runs.ended import ended_after
from plgp.runs.held_back import RECORD, in_force
from plgp.runs.parts import network_differences, same_sizes
from sim.errors import InputError

if TYPE_CHECKING:
    import torch

# Settings of the data that change the pace or the machine, not what is learnt; go_on speaks of the former.
# Another recipe is warned about where the data is at hand.
_PACE: tuple[str, ...] = ("data.workers", "data.generate_workers", "data.recipe", "data.val_samples")
_PACE += ("data.batch_size", "data.samples_per_epoch")
AUTO = "auto"  # resume=auto: from the run's own folder


def resumable(config: DictConfig) -> str | None:
    """Returns the checkpoint to go on from, looked at before anything is started; None starts a new run.

    Args:
        config: The composed conf/train.yaml; ``resume`` is a checkpoint, the folder of a run, whose last one counts, or
            "auto": the run's own folder, if it has one already.

    Raises:
        InputError: There is none, it is broken, holds weights only, or is of another network or input.
    """
    import torch

    if config.resume is None:
        return None
    own = str(config.resume) == AUTO
    path = Path(str(config.output if own else config.resume))
    if own and not (path / "checkpoints" / "last.ckpt").is_file():
        return None
    path = path / "checkpoints" / "last.ckpt" if (path / "checkpoints").is_dir() else path
    if not path.is_file():
        raise InputError(f"no checkpoint at '{path}' to resume from; give another path, or resume=null")
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        known = saved["hyper_parameters"]
        before = (known["network"]["_target_"], known.get("modality"), known.get("bins"))
    except Exception as error:  # whatever a broken file leads to
        raise InputError(
            f"checkpoint '{path}' cannot be resumed: it is broken or not one of plgp's; give another, or resume=null"
        ) from error
    if not saved.get("optimizer_states") or "loops" not in saved:
        raise InputError(f"checkpoint '{path}' holds weights only, nothing to go on from; give checkpoints/last.ckpt")
    now = (config.network.get("_target_"), config.data.get("modality"), config.data.get("bins"))
    for name, old, new in zip(("network", "modality", "bins"), before, now, strict=True):
        if old != new:
            raise InputError(f"checkpoint '{path}' has {name} {old}, this run {new}; give what it had, or resume=null")
    if any(bool(value.isnan().any()) for value in saved["state_dict"].values() if isinstance(value, torch.Tensor)):
        raise InputError(f"checkpoint '{path}' holds weights that are not numbers: that run diverged; start a new one")
    goes_on = not own or ended_after(Path(str(config.output)), config) is None
    _check_state(path, known, config, goes_on=goes_on)
    if goes_on:
        _say_changes(path, known, config)
    done, wanted = int(saved.get("epoch", 0)) + 1, config.trainer.get("max_epochs")
    if isinstance(wanted, int) and 0 <= wanted < done:
        raise InputError(f"checkpoint '{path}' has {done} epochs behind it; give trainer.max_epochs of more than that")
    return str(path)


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a run's settings of the optimizer and its schedule, whose state a checkpoint brings, by their names."""
    optimizer, scheduler = settings.get("optimizer") or {}, settings.get("scheduler") or {}
    found = {f"optimizer.{key}": value for key, value in optimizer.items()}
    return found | {f"scheduler.partial.{key}": value for key, value in (scheduler.get("partial") or {}).items()}


def _check_state(path: Path, known: Mapping[str, Any], config: DictConfig, *, goes_on: bool) -> None:
    """Compares the optimizer and the schedule of a run to resume with the present run's.

    Args:
        path: The checkpoint.
        known: Its settings.
        config: The configuration of now.
        goes_on: Whether the run has more to train, so that it is said what it takes from the checkpoint.

    Raises:
        InputError: One is of another class, for which the checkpoint's state means nothing.
    """
    module: Any = OmegaConf.to_container(config.module, resolve=True) if config.get("module") else {}
    before, now = _flat(known), _flat(module)
    for name in ("optimizer", "scheduler") if "optimizer" in known else ():
        key = f"{name}.{'partial.' * (name == 'scheduler')}_target_"
        old, new = before.get(key), now.get(key)
        left_out = None in (old, new) if name == "optimizer" else new is None  # the default one; none from here on
        if old != new and not left_out:
            raise InputError(f"checkpoint '{path}' has {name} {old}, this run {new}; give what it had, or resume=null")
        if old != new and name == "scheduler" and goes_on:
            print("resume: from here on there is no schedule; the learning rate is the checkpoint's", file=sys.stderr)
    kept = [key for key, value in now.items() if key in before and before[key] != value]
    for key in kept if goes_on else ():
        print(f"resume: {key} stays {before[key]}, not {now[key]}: the checkpoint's state brings it", file=sys.stderr)


def _say_changes(path: Path, known: Mapping[str, Any], config: DictConfig) -> None:
    """Says on stderr in which of its loss and data a run that goes on differs: its epochs so far had the former."""
    module: Any = OmegaConf.to_container(config.module, resolve=True) if config.get("module") else {}
    before, now = {"loss": known.get("loss")}, {"loss": module.get("loss")}
    run = path.parent.parent
    try:
        former = OmegaConf.select(OmegaConf.create(in_force(run) or OmegaConf.load(run / RECORD)), "data")
    except Exception:  # no file, or whatever a broken one leads to: nothing is known of its data
        former = None
    if isinstance(former, DictConfig):
        data: Any = OmegaConf.to_container(config.data, resolve=True)
        before["data"], now["data"] = OmegaConf.to_container(former), data
    for key, old, new in _changes(before, now):
        if not key.startswith(_PACE):
            print(f"resume: {key} was {old} and is {new} from here on; reports name the last", file=sys.stderr)


def _changes(old: Any, new: Any, name: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yields whole name, former and present value of what two settings both have and do not have alike."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in old:
            if key in new:
                yield from _changes(old[key], new[key], f"{name}.{key}".lstrip("."))
    elif old != new:
        yield name, old, new


def check_weights(network: torch.nn.Module, settings: Mapping[str, Any], checkpoint: Mapping[str, Any]) -> None:
    """Compares the weights of a run that is resumed with the present network's.

    Args:
        network: The present network.
        settings: Its ``_target_`` and arguments.
        checkpoint: The checkpoint.

    Raises:
        InputError: They are of other sizes; the sentence names the arguments that differ.
    """
    saved = {str(k).removeprefix("network."): v for k, v in checkpoint["state_dict"].items()}
    if same_sizes(saved, network.state_dict()):
        return
    before = (checkpoint.get("hyper_parameters") or {}).get("network") or {}
    told = "; ".join(network_differences(before, settings)) or "weights of other sizes"
    raise InputError(f"the run to resume has {told}; give what it had, or resume=null")


def steps_of(checkpoint: str | None) -> int:
    """Returns how many steps a checkpoint has behind it; -1 without one."""
    import torch

    if checkpoint is None:
        return -1
    return int(torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["global_step"])


def go_on(module: lightning.LightningModule, checkpoint: Mapping[str, Any]) -> int | None:
    """Brings a run that is resumed to the present run's pace, and says so where an epoch now has more or fewer batches.

    The place in the epoch becomes the same share of the new number of batches, and the data goes on from there:
    Lightning itself counts on, but would show the epoch's first images again. A schedule over the whole run ends where
    the run ends now. The data's order is that of the epoch to come, also where a schedule asks for the data before
    Lightning has put the epoch back.

    Args:
        module: The module; without a trainer that fits it, only the schedules are changed.
        checkpoint: The checkpoint, whose loops and schedules are changed in place.

    Returns:
        Number of steps of the whole run, those behind it included; None of a run without an end.
    """
    for schedule in checkpoint.get("lr_schedulers", ()):
        for name in ("total_steps", "_schedule_phases"):  # OneCycleLR's: that of the run as it is now
            schedule.pop(name, None)
    try:
        trainer = module.trainer
    except RuntimeError:  # it is loaded by itself
        return None
    if trainer.state.fn != TrainerFn.FITTING or "loops" not in checkpoint:
        return None
    loops = checkpoint["loops"]["fit_loop"]
    epochs, batches = loops["epoch_progress"], loops["epoch_loop.batch_progress"]
    trainer.fit_loop.epoch_progress.load_state_dict(epochs)
    trainer.fit_loop.setup_data()
    now, accumulated = trainer.num_training_batches, trainer.accumulate_grad_batches
    if not math.isfinite(now):
        return None
    done, current = int(epochs["current"]["processed"]), batches["current"]
    ended = int(epochs["current"]["ready"]) == done  # the checkpoint is of an epoch's end
    # What is completed counts: a batch that was under way when the run was stopped is made again.
    before, whole_epochs = current["completed"], done - 1 if ended else done
    if not batches["is_last_batch"]:
        before = round((batches["total"]["completed"] - before) / whole_epochs) if whole_epochs else 0
    if before and before != now:
        moved = int(now) if batches["is_last_batch"] else min(int(now) - 1, round(current["completed"] / before * now))
        shift = moved - current["completed"]
        for name in current:
            current[name] = max(0, current[name] + shift)
    loader: Any = trainer.train_dataloader
    if not ended and not batches["is_last_batch"] and isinstance(getattr(loader, "sampler", None), EpochSampler):
        loader.sampler.skip = current["completed"] * loader.batch_size
        if loader.num_workers:  # they have begun to fetch what is behind
            fetcher: Any = trainer.fit_loop._data_fetcher
            iter(fetcher)
    if not math.isfinite(trainer.estimated_stepping_batches):
        return None
    steps, epoch_steps = int(checkpoint["global_step"]), math.ceil(now / accumulated)
    behind = done * epoch_steps + (0 if ended else min(int(now), current["completed"]) // accumulated)
    whole = steps + max(0, epoch_steps * max(1, int(trainer.max_epochs or 1)) - behind)
    if trainer.max_steps != -1:
        whole = trainer.max_steps if trainer.max_epochs == -1 else min(whole, trainer.max_steps)
    if before and before != now:
        _say_pace(before, int(now), f"at step {steps} of {whole}")
    return max(1, whole)


@rank_zero_only
def _say_pace(before: int, now: int, where: str) -> None:
    """Says on stderr what another size of the batch or the epoch means."""
    print(
        f"resume: an epoch had {before} batches and now has {now} (data.batch_size, data.samples_per_epoch or the data "
        f"changed); the run goes on {where}, where a schedule over the whole run ends",
        file=sys.stderr,
    )
