"""Trainings that their time ends: it counts anew in each command, and the same command goes on where it stopped."""

import lightning
import pytest
import torch
from hydra import compose, initialize_config_module
from lightning.pytorch.callbacks import EarlyStopping, Timer
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason

import labeler.dataset.generate  # noqa: F401
from plgp.runs.ended import ended_after, mark
from plgp.runs.time_limit import TimeAnew, cut_by_time, told_of_time
from plgp.train import train
from sim.cli import drop_null_choices

LIMIT = "trainer.max_time=00:01:00:00"


def composed(*overrides):
    with initialize_config_module("plgp_conf", version_base="1.3"):
        return compose("train", overrides=drop_null_choices(["callbacks=none", *overrides]))


def trainer_of(epochs, *callbacks, seconds=60, whole=True, **limits):
    """A trainer with so many epochs behind it, the last one ``whole`` or not, and so many seconds of a minute."""
    timer = Timer({"seconds": 60})
    limits = {"max_epochs": 9, **limits}
    trainer = lightning.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, callbacks=[timer, *callbacks], **limits
    )
    timer.load_state_dict({"time_elapsed": {"train": seconds}})
    progress = trainer.fit_loop.epoch_progress.current
    progress.ready = progress.processed = progress.completed = epochs
    trainer.fit_loop.epoch_loop.batch_progress.is_last_batch = whole
    return trainer


@pytest.mark.parametrize(
    ("epochs", "options", "cut"),
    [
        (3, {}, True),
        (3, {"seconds": 59}, False),
        (9, {}, False),
        (9, {"whole": False}, True),
        (3, {"max_epochs": -1}, False),  # it has no other end
        (3, {"max_epochs": -1, "max_steps": 5}, True),
        (3, {"max_steps": 0}, False),
    ],
)
def test_time_cuts_only_what_has_more_to_train(epochs, options, cut):
    assert cut_by_time(trainer_of(epochs, **options)) is cut


@pytest.mark.parametrize(("stopped", "cut"), [(2, False), (1, True)])
def test_early_stopping_in_the_last_epoch_is_an_end(stopped, cut):
    early = EarlyStopping("val/loss")
    early.stopping_reason, early.stopped_epoch = EarlyStoppingReason.PATIENCE_EXHAUSTED, stopped
    assert cut_by_time(trainer_of(3, early)) is cut


def test_time_counts_anew():
    trainer = trainer_of(3)
    TimeAnew().on_fit_start(trainer, None)
    assert trainer.callbacks[0].time_elapsed() == 0


def test_marks_of_a_former_plgp_do_not_end_what_time_cut(tmp_path):
    for epochs, more, ended in ((29, [], None), (400, [], 400), (29, ["trainer.max_epochs=-1"], 29)):
        config = composed("trainer.max_epochs=400", LIMIT, *more)
        mark(tmp_path, config, epochs=epochs, steps=58)
        assert ended_after(tmp_path, config) == ended
    early = "+callbacks.early={_target_: lightning.pytorch.callbacks.EarlyStopping, monitor: val/loss}"
    mark(tmp_path, composed(LIMIT, early), epochs=29, steps=58)
    assert ended_after(tmp_path, composed(LIMIT, early)) == 29


def test_what_time_cut_goes_on_in_the_middle_of_its_epoch(bars_folder, tmp_path, monkeypatch, capsys):
    """Cut in the second of two epochs of two steps each, it ends as one that was not cut."""
    options = ["data.recipe=null", "crop=64", "data.val_samples=2", "data.batch_size=2", "data.samples_per_epoch=4"]
    options += [f"data.folder={bars_folder}", "logger=null", "trainer.precision=32-true", "trainer.max_epochs=2"]
    train(composed(*options, f"output={tmp_path / 'whole'}"))
    options += [LIMIT, f"output={tmp_path}", "resume=auto"]

    def saved(folder=tmp_path):
        return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)

    def over(timer, trainer, *_):
        if trainer.global_step == 3:
            timer.load_state_dict({"time_elapsed": {"train": 1e6}})
            timer._check_time_remaining(trainer)

    with monkeypatch.context() as patched:
        patched.setattr(Timer, "on_train_batch_end", over)
        train(composed(*options))
    assert saved()["global_step"] == 3
    assert f"after 3 steps and 1 of 2 epochs; resume={tmp_path} goes on, with" in capsys.readouterr().err
    assert not (tmp_path / "ended.yaml").exists()
    train(composed(*options))
    assert "time is over" not in capsys.readouterr().err
    assert (saved()["global_step"], saved()["epoch"]) == (4, 1)
    for name, value in saved(tmp_path / "whole")["state_dict"].items():
        torch.testing.assert_close(saved()["state_dict"][name], value, rtol=1e-4, atol=1e-5)
    assert ended_after(tmp_path, composed(*options)) == 2


def test_the_sentence_names_the_limits_that_there_are():
    trainer = trainer_of(3, max_epochs=-1, max_steps=70)
    assert "after 0 of 70 steps; resume=there goes on" in told_of_time(trainer, "resume=there goes on")
