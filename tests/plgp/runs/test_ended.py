"""Trainings that end by themselves before their last epoch: they count as whole, and are not trained on."""

import csv

import pytest
import torch
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

import labeler.dataset.generate  # noqa: F401
from plgp.evaluation.run_folders import read_settings
from plgp.runs.ended import begin, ended_after, last_metrics, mark
from plgp.runs.record import Record
from plgp.train import train
from sim.cli import drop_null_choices
from sim.errors import InputError

EARLY = "+callbacks.early={_target_: lightning.pytorch.callbacks.EarlyStopping, monitor: val/loss, patience: 1}"


def composed(*overrides):
    with initialize_config_module("plgp_conf", version_base="1.3"):
        return compose("train", overrides=drop_null_choices(["callbacks=none", *overrides]))


def test_a_run_has_ended_by_what_ends_it_now(tmp_path):
    config = composed("trainer.max_epochs=6", EARLY, f"output={tmp_path}")
    assert ended_after(tmp_path, config) is None
    mark(tmp_path, config, epochs=2, steps=4)
    assert ended_after(tmp_path, config) == 2
    assert ended_after(tmp_path, composed("trainer.max_epochs=6", EARLY, "seed=1")) == 2
    for other in (["trainer.max_epochs=7", EARLY], ["trainer.max_epochs=6"], ["+trainer.max_steps=9", EARLY]):
        assert ended_after(tmp_path, composed(*other)) is None
    assert ended_after(tmp_path, composed("trainer.max_epochs=6", f"{EARLY[:-2]}3}}")) is None
    (tmp_path / "ended.yaml").write_text("[")
    assert ended_after(tmp_path, config) is None
    begin(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_limits_that_are_objects_end_a_run_as_well(tmp_path):
    hour, two = "trainer.max_time={_target_: datetime.timedelta, hours: 1}", "trainer.max_epochs=2"
    mark(tmp_path, composed(hour, two), epochs=2, steps=4, metrics={"val/loss": 0.5})
    assert ended_after(tmp_path, composed(hour, two)) == 2
    assert ended_after(tmp_path, composed(hour.replace("1}", "2}"), two)) is None
    assert last_metrics(tmp_path) == {"val/loss": 0.5}
    assert last_metrics(tmp_path / "none") == {}


def test_a_mark_that_cannot_be_written_is_said_and_loses_nothing(tmp_path, capsys):
    (tmp_path / "file").touch()
    unknown = composed("+callbacks.early={_target_: EarlyStopping, patience: '${nowhere}'}")
    for folder, config in ((tmp_path / "file", composed()), (tmp_path, unknown)):
        mark(folder, config, epochs=2, steps=4)
        assert "ended.yaml (" in capsys.readouterr().err
        assert ended_after(folder, config) is None


@pytest.mark.parametrize("fault", ["data.folder=none", "optimizer._target_=torch.optim.SDG"])
def test_a_training_that_does_not_begin_leaves_mark_record_and_curves(fault, bars_folder, tmp_path):
    """It fails before the trainer has started, or in it."""
    options = ["data.recipe=null", f"data.folder={bars_folder}", f"output={tmp_path}", "logger=csv", "crop=64"]
    config = composed(*options, fault)
    mark(tmp_path, config, epochs=2, steps=4)
    (tmp_path / "csv").mkdir()
    (tmp_path / "config.yaml").write_text("seed: 7\n")
    (tmp_path / "csv" / "metrics.csv").write_text("step,val/loss\n3,0.5\n")
    with pytest.raises(InputError):
        train(config)
    assert ended_after(tmp_path, config) == 2
    assert (tmp_path / "config.yaml").read_text() == "seed: 7\n"
    assert (tmp_path / "csv" / "metrics.csv").read_text() == "step,val/loss\n3,0.5\n"


def test_the_record_is_of_what_was_trained(tmp_path, capsys):
    former = composed(f"output={tmp_path}")
    record = Record(former, first=True)
    assert OmegaConf.load(tmp_path / "config.yaml").seed == 0  # a new folder has one at once
    other = composed(f"output={tmp_path}", "seed=1", "loss=bce", "data.workers=2", "final_benchmark=demo")
    record = Record(other, first=True)
    assert record.of_ended()["seed"] == 0
    said = capsys.readouterr().err
    assert "seed 0, not 1" in said
    assert "loss.element._target_" in said
    assert "BinaryCrossEntropyLoss" in said
    assert "workers" not in said
    assert "policies" not in said
    record.add_benchmark()
    stored = OmegaConf.load(tmp_path / "config.yaml")
    assert (stored.seed, "policies" in stored.final_benchmark) == (0, True)
    record.on_train_start(None, None)
    assert OmegaConf.load(tmp_path / "config.yaml").seed == 1
    Record(other, first=True).of_ended()
    assert capsys.readouterr().err == ""


def had_ended(folder, seed=0):
    """Leaves a training in a folder that has ended; returns its configuration."""
    config = composed(f"output={folder}", f"seed={seed}", "trainer.max_epochs=3", "+trainer.max_steps=2")
    Record(config, first=True).on_train_start(None, None)
    (folder / "checkpoints").mkdir()
    known = OmegaConf.to_container(config.module, resolve=True)
    torch.save({"hyper_parameters": known, "seed": seed}, folder / "checkpoints" / "last.ckpt")
    mark(folder, config, epochs=1, steps=2, metrics={"val/loss": 0.5})
    return config


def told(folder):
    """Returns the seed that reports read, and after how many epochs a training of it has ended for them."""
    return read_settings(folder, "config")["seed"], (read_settings(folder, "ended") or {}).get("epochs")


def test_a_training_that_leaves_no_checkpoint_leaves_record_and_mark(tmp_path, capsys):
    former = had_ended(tmp_path)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    other = composed(f"output={tmp_path}", "seed=7", "loss=bce")
    record = Record(other, first=True)
    record.on_train_start(None, None)
    assert told(tmp_path) == (0, 1)
    record.close()
    assert not record.takes_mark(other)
    assert "no checkpoint was written" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files
    Record(other, first=True).on_train_start(None, None)  # killed
    assert told(tmp_path) == (0, 1)
    assert ended_after(tmp_path, former) == 1
    Record(former, first=True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files


@pytest.mark.parametrize("killed", [False, True])
def test_record_and_mark_change_when_the_first_checkpoint_is_there(killed, tmp_path):
    former = had_ended(tmp_path)
    other = composed(f"output={tmp_path}", "seed=7", "loss=bce")
    record = Record(other, first=True)
    record.on_train_start(None, None)
    torch.save({"seed": 7}, tmp_path / "checkpoints" / "best.ckpt")
    assert told(tmp_path) == (7, None)
    assert ended_after(tmp_path, former) is None
    assert last_metrics(tmp_path) == {}
    if killed:
        assert Record(former, first=True).former["seed"] == 7
    else:
        record.on_train_epoch_start(None, None)
        assert record.takes_mark(other)
    assert OmegaConf.load(tmp_path / "config.yaml").seed == 7
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoints", "config.yaml"]


def test_a_command_that_trains_nothing_marks_only_what_ends_as_it_says(tmp_path):
    config = had_ended(tmp_path)
    for overrides, takes in ((["resume=auto"], True), (["resume=auto", "trainer.max_epochs=2"], False), ([], False)):
        now = composed(f"output={tmp_path}", "+trainer.max_steps=2", "trainer.max_epochs=3", *overrides)
        assert Record(now, first=True).takes_mark(now) is takes
    assert ended_after(tmp_path, config) == 1
    fresh = composed(f"output={tmp_path / 'fresh'}", "resume=auto")
    (tmp_path / "fresh").mkdir()
    assert not Record(fresh, first=True).takes_mark(fresh)


def test_a_record_that_is_not_of_its_checkpoint_is_corrected(tmp_path, capsys):
    """A former plgp wrote the settings of a training that failed at once."""
    former = had_ended(tmp_path)
    right = OmegaConf.load(tmp_path / "config.yaml")
    again = OmegaConf.merge(former, {"resume": "auto"})
    Record(again, first=True)
    assert capsys.readouterr().err == ""
    wrong = composed(f"output={tmp_path}", "loss=bce", "trainer.max_epochs=3", "+trainer.max_steps=2")
    OmegaConf.save(wrong, tmp_path / "config.yaml", resolve=True)
    Record(again, first=True)
    said = capsys.readouterr().err
    assert "had loss.element._target_ plgp.losses.BinaryCrossEntropyLoss, not plgp.losses.BinaryFocalLoss" in said
    assert "last.ckpt' was trained with the latter" in said
    assert OmegaConf.load(tmp_path / "config.yaml") == right


def test_early_stopping_ends_a_run_for_good_until_its_end_is_moved(bars_folder, tmp_path, capsys):
    """With a curve of train/loss in every epoch of two steps, though a point is asked for every tenth step."""
    options = ["data.recipe=null", "crop=64", "data.val_samples=2", "data.batch_size=2", "data.samples_per_epoch=4"]
    options += [f"data.folder={bars_folder}", "logger=csv", f"output={tmp_path}", "trainer.precision=32-true"]
    stops = f"{EARLY[:-1]}, min_delta: 100}}"

    def steps():
        return torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]

    first = train(composed(*options, stops, "trainer.max_epochs=6"))
    assert steps() == 4
    rows = list(csv.DictReader((tmp_path / "csv" / "metrics.csv").open()))
    assert [row["epoch"] for row in rows if row["train/loss"]] == ["0", "1"]
    again = train(composed(*options, stops, "trainer.max_epochs=6", "resume=auto"))
    assert steps() == 4
    assert again == first  # a sweeper asks a job that had ended for its objective, too
    record, _ = (tmp_path / "config.yaml").read_bytes(), capsys.readouterr()
    assert (
        train(composed(*options, stops, "trainer.max_epochs=6", "loss=bce", "optimizer.lr=0.1", "resume=auto")) == first
    )
    said = capsys.readouterr().err
    assert "nothing of it is trained again: it had loss.element._target_" in said
    assert "from here on" not in said
    assert "checkpoint's state" not in said
    assert (tmp_path / "config.yaml").read_bytes() == record
    train(composed(*options, "trainer.max_epochs=3", "resume=auto"))
    assert steps() == 6
    assert OmegaConf.load(tmp_path / "config.yaml").trainer.max_epochs == 3
    train(composed(*options, "seed=3", "trainer.max_epochs=3", f"resume={tmp_path}"))  # by its name
    assert "nothing was trained: the run to resume has its epochs" in capsys.readouterr().err
    assert OmegaConf.load(tmp_path / "config.yaml").seed == 0
