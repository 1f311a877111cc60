"""Runs that go on at another pace, and two trainings that would share a folder."""

import csv
import math
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch
from hydra import compose, initialize_config_module

import labeler.dataset.generate  # noqa: F401
from plgp.data.sampler import EpochSampler
from plgp.module import GraspModule, scheduled
from plgp.runs.resume import resumable
from plgp.train import main, train
from sim.cli import drop_null_choices
from sim.errors import InputError
from sim.files import held_alone

FEW = ["data.recipe=null", "crop=64", "data.val_samples=2", "trainer.log_every_n_steps=1", "callbacks=none"]
FEW += ["logger=csv", "scheduler=onecycle"]


def composed(*overrides):
    with initialize_config_module("plgp_conf", version_base="1.3"):
        return compose("train", overrides=drop_null_choices(list(overrides)))


@pytest.fixture(scope="module")
def half_run(bars_folder, tmp_path_factory):
    """A run of two epochs of 4 batches under OneCycle, and its options."""
    folder = tmp_path_factory.mktemp("half")
    options = [*FEW, f"data.folder={bars_folder}"]
    pace = ["data.batch_size=2", "data.samples_per_epoch=8", "trainer.max_epochs=2"]
    train(composed(*options, *pace, f"output={folder}"))
    return folder, options


@pytest.mark.parametrize(
    ("pace", "batches"),
    [
        (["data.batch_size=4", "data.samples_per_epoch=8"], 2),  # once an error of OneCycle's, which had ended
        pytest.param(["data.batch_size=1", "data.samples_per_epoch=8"], 8, marks=pytest.mark.slow),
    ],
)
def test_another_batch_size_or_epoch_goes_on_with_whole_epochs_and_says_so(half_run, tmp_path, capsys, pace, batches):
    folder, options = half_run
    train(composed(*options, *pace, "trainer.max_epochs=4", f"output={tmp_path}", f"resume={folder}"))
    saved = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    whole = 8 + 2 * batches
    assert saved["epoch"] == 3
    assert saved["global_step"] == whole
    assert saved["lr_schedulers"][0]["total_steps"] == whole
    rows = list(csv.DictReader((tmp_path / "csv" / "metrics.csv").open()))
    assert {row["epoch"] for row in rows if row["epoch"]} == {"2", "3"}
    said = f"had 4 batches and now has {batches} (data.batch_size, data.samples_per_epoch or the data changed)"
    assert said in capsys.readouterr().err


STEPS = ["trainer.max_epochs=-1", "+trainer.max_steps=15"]  # a run whose end is a step: Lightning asks for no data


@pytest.mark.parametrize(
    ("workers", "end"),
    [(0, STEPS), (1, ["trainer.max_epochs=3"]), pytest.param(0, ["trainer.max_epochs=3"], marks=pytest.mark.slow)],
)
def test_a_run_stopped_in_mid_epoch_goes_on_with_what_it_has_not_seen(bars_folder, tmp_path, monkeypatch, workers, end):
    """The epoch's remaining images, as the uninterrupted run sees them; the next epoch is whole again."""
    seen, stop = [], set()
    step = GraspModule.training_step

    def watched(self, batch, index):
        if (self.current_epoch, index) in stop:
            raise KeyboardInterrupt
        seen.append((self.current_epoch, index, batch.image_index.tolist(), batch.image.sum().item()))
        return step(self, batch, index)

    monkeypatch.setattr(GraspModule, "training_step", watched)
    options = [*FEW, f"data.folder={bars_folder}", "data.batch_size=2", "data.samples_per_epoch=10"]
    options += [*end, f"data.workers={workers}"]
    train(composed(*options, f"output={tmp_path / 'whole'}"))
    whole = list(seen)
    assert len(whole) == 15
    seen.clear()
    stop.add((1, 3))
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        train(composed(*options, f"output={tmp_path / 'stopped'}"))
    stop.clear()
    train(composed(*options, f"output={tmp_path / 'stopped'}", "resume=auto"))
    assert seen == whole


def test_the_same_pace_is_not_spoken_of_and_the_order_goes_on_before_the_schedule_asks(
    half_run, tmp_path, capsys, monkeypatch
):
    """A schedule over the whole run counts the batches before Lightning knows the epoch: workers fetched epoch 0's."""
    folder, options = half_run
    first = []
    monkeypatch.setattr(
        EpochSampler, "set_epoch", lambda self, epoch: first.append(epoch) or setattr(self, "epoch", epoch)
    )
    pace = ["data.batch_size=2", "data.samples_per_epoch=8", "trainer.max_epochs=3"]
    train(composed(*options, *pace, f"output={tmp_path}", f"resume={folder}"))
    assert first[0] == 2
    assert (
        torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["lr_schedulers"][0]["total_steps"] == 12
    )
    assert "an epoch had" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            "scheduler=multistep",
            "has scheduler torch.optim.lr_scheduler.OneCycleLR, this run torch.optim.lr_scheduler.Mu",
        ),
        ("optimizer._target_=torch.optim.SGD", "has optimizer torch.optim.Adam, this run torch.optim.SGD; give what"),
    ],
)
def test_the_state_of_another_optimizer_or_schedule_is_no_place_to_go_on(half_run, tmp_path, changed, words):
    folder, options = half_run
    options = [o for o in options if o != "scheduler=onecycle" or "scheduler" not in changed]
    with pytest.raises(InputError, match=words):
        train(composed(*options, changed, "trainer.max_epochs=4", f"output={tmp_path / 'o'}", f"resume={folder}"))


def test_a_learning_rate_that_the_checkpoint_overrules_is_said(half_run, capsys):
    folder, options = half_run
    resumable(composed(*options, "trainer.max_epochs=4", "optimizer.lr=1e-4", f"resume={folder}"))
    said = capsys.readouterr().err
    assert "resume: optimizer.lr stays 0.001, not 0.0001: the checkpoint's state brings it" in said
    assert "resume: scheduler.partial.max_lr stays 0.001, not 0.0001" in said
    options = [o for o in options if o != "scheduler=onecycle"]
    resumable(composed(*options, "trainer.max_epochs=4", "scheduler=null", "optimizer=null", f"resume={folder}"))
    assert "resume: from here on there is no schedule; the learning rate is the checkpoint's" in capsys.readouterr().err


def test_a_second_training_in_a_folder_is_refused_and_touches_nothing(half_run, command, tmp_path):
    folder, options = half_run
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with held_alone(folder / ".training.lock", taken=""):
        done = command(main, *options, f"hydra.run.dir={folder}")
    assert done.returncode == 2
    assert f"belongs to a training that is still running (process {os.getpid()} on " in done.stderr
    assert "wait for it, or give another folder" in done.stderr
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    before.pop(folder / ".training.lock")
    after.pop(folder / ".training.lock")
    assert {path.name for path in set(after) - set(before) if ".hydra" not in path.parts} <= {"train.log"}  # Hydra's
    assert all(after[path] == content for path, content in before.items())


def test_a_schedule_over_a_run_without_an_end_is_refused():
    module = SimpleNamespace(trainer=SimpleNamespace(estimated_stepping_batches=math.inf))
    onecycle = {"partial": {"_target_": "torch.optim.lr_scheduler.OneCycleLR", "total_steps": None}}
    with pytest.raises(InputError, match=r"needs an end; give trainer.max_epochs or trainer.max_steps"):
        scheduled(module, None, onecycle)


def test_a_folder_that_cannot_be_written_is_one_sentence(half_run, tmp_path):
    _, options = half_run
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/run cannot be written \(.*give hydra.run.dir=FOLDER, another one"):
        train(composed(*options, f"output={tmp_path / 'file' / 'run'}"))


@pytest.mark.slow
def test_two_commands_at_once_leave_one_whole_run(half_run, tmp_path):
    _, options = half_run
    words = [sys.executable, "-m", "plgp.train", *options, "trainer.max_epochs=2", "data.samples_per_epoch=16"]
    words += [f"hydra.run.dir={tmp_path / 'run'}"]
    both = [subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    errors = [process.communicate(timeout=300)[1] for process in both]
    assert sorted(process.returncode for process in both) == [0, 2], errors
    steps = [row["step"] for row in csv.DictReader((tmp_path / "run" / "csv" / "metrics.csv").open())]
    assert steps == sorted(steps, key=int)
