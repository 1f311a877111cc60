"""A training that its time ends, ``trainer.max_time`` or a Timer's: it is no end, and goes on where it stopped."""

from __future__ import annotations

from typing import Any

import lightning
from lightning.pytorch.callbacks import EarlyStopping, Timer


class TimeAnew(lightning.Callback):
    """Counts the time of each command anew, and keeps the place in the epoch that the time cut.

    Lightning's Timer counts the time of all commands together: one that goes on would end at once. And it has an
    epoch that it cuts count as a whole one, of which the rest would not be trained.
    """

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Sets the timers back, which a checkpoint has just set, before they look themselves."""
        for timer in _timers(trainer):
            timer.load_state_dict({})

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Has a checkpoint of an epoch that was cut say that the epoch is not at its end."""
        if not (trainer.should_stop and cut_by_time(trainer) and _in_mid_epoch(trainer)):
            return
        epochs = checkpoint["loops"]["fit_loop"]["epoch_progress"]
        for progress in (epochs["total"], epochs["current"]):
            progress["processed"] = progress["completed"] = progress["ready"] - 1


def cut_by_time(trainer: lightning.Trainer) -> bool:
    """Returns whether its time ended a training before the last epoch or step that it was to have.

    What has no last epoch or step ends by its time for good.
    """
    left = [timer.time_remaining() for timer in _timers(trainer)]
    if not any(seconds is not None and seconds <= 0 for seconds in left):
        return False
    stopping = [callback for callback in trainer.callbacks if isinstance(callback, EarlyStopping)]  # type: ignore[attr-defined]
    last = trainer.current_epoch - 1  # a former command's stop stays in the callback
    early = any(_has_stopped(callback) and callback.stopped_epoch >= last for callback in stopping)
    done = (_whole_epochs(trainer), trainer.global_step)
    wanted = (-1 if trainer.max_epochs is None else trainer.max_epochs, trainer.max_steps)
    limits = [(behind, limit) for behind, limit in zip(done, wanted, strict=True) if limit != -1]
    return bool(limits) and not early and all(behind < limit for behind, limit in limits)


def told_of_time(trainer: lightning.Trainer, goes_on: str) -> str:
    """Returns the sentence of a training that its time ended.

    Args:
        trainer: The trainer, when it has ended.
        goes_on: What goes on with the training, in words.
    """
    last, most = trainer.max_epochs, trainer.max_steps
    steps = f"{trainer.global_step}{f' of {most}' if most != -1 else ''} steps"
    epochs = f" and {_whole_epochs(trainer)} of {last} epochs" if last not in (None, -1) else ""
    return f"its time is over (trainer.max_time, or a Timer's) after {steps}{epochs}; {goes_on}, with that time anew"


def _has_stopped(callback: EarlyStopping) -> bool:
    """Returns whether early stopping ever ended it; before Lightning 2.6 only an epoch other than 0 says so."""
    reason = getattr(callback, "stopping_reason", None)
    return callback.stopped_epoch > 0 if reason is None else bool(reason.value)


def _in_mid_epoch(trainer: lightning.Trainer) -> bool:
    """Returns whether the batch that was trained last is not its epoch's last one."""
    return not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch


def _whole_epochs(trainer: lightning.Trainer) -> int:
    """Returns how many whole epochs a training has behind it when it has ended; Lightning counts one that was cut."""
    progress: Any = trainer.fit_loop.epoch_progress.current
    return max(0, int(progress.processed) - _in_mid_epoch(trainer))


def _timers(trainer: lightning.Trainer) -> list[Timer]:
    return [callback for callback in trainer.callbacks if isinstance(callback, Timer)]  # type: ignore[attr-defined]
