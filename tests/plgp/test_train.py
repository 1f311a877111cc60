"""The Hydra tree and the training program, on the tiny data set."""

import csv
import struct
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from omegaconf import OmegaConf

import labeler.generate  # noqa: F401
from plgp.callbacks import BenchmarkCallback, PictureCallback
from plgp.module import GraspModule, build_network
from plgp.train import check_choices, train
from sim import InputError

CONF = Path(str(files("plgp.conf")))
SMALL = [
    "data.recipe=null",
    "crop=96",
    "data.translate_px=10",
    "data.batch_size=2",
    "data.samples_per_epoch=4",
    "data.val_samples=2",
    "trainer.max_epochs=1",
    "+trainer.enable_progress_bar=false",
    "trainer.log_every_n_steps=1",
]


GROUPS = ["data", "network", "loss", "optimizer", "scheduler", "trainer", "callbacks", "logger"]
GROUPS += ["dataset", "benchmark", "experiment"]


def composed(*overrides):
    with initialize_config_module("plgp.conf", version_base="1.3"):
        return compose("train", overrides=list(overrides))


def choices(group):
    return sorted(p.stem for p in (CONF / group).glob("*.yaml"))


@pytest.mark.parametrize(
    ("group", "name"),
    [(group, name) for group in GROUPS for name in choices(group)],
)
def test_every_choice_instantiates(group, name, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    more = ["trainer.accelerator=cpu", "trainer.devices=1"] if group == "trainer" else []
    config = composed(f"{group}={name}", f"output={tmp_path}", *more)
    OmegaConf.resolve(config)
    if group == "network":
        build_network(OmegaConf.to_container(config.network), 1, 18)
    elif group in ("callbacks", "logger"):
        for part in config[group].values():
            instantiate(part)
    elif group in ("optimizer", "scheduler", "loss", "experiment"):
        module = instantiate(config.module)
        assert isinstance(module, GraspModule)
        module.trainer = type("Steps", (), {"estimated_stepping_batches": 10})()
        monkeypatch.setattr(GraspModule, "trainer", module.trainer, raising=False)
        assert module.configure_optimizers()
    else:
        instantiate(config[group])


def records(path):
    """Yields the records of a W&B file: chunks in blocks of 32 KiB, each with checksum, length and type."""
    data, position, record = path.read_bytes(), 7, b""
    while position + 7 <= len(data):
        room = 32768 - position % 32768
        if room < 7:
            position += room
            continue
        length, kind = struct.unpack("<HB", data[position + 4 : position + 7])
        record += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield record
            record = b""


def offline_history(folder):
    """All logged values of a W&B offline run, read from its own file."""
    from wandb.proto import wandb_internal_pb2

    values = {}
    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    for data in records(path):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        for line in record.history.item:
            values.setdefault(line.key or "/".join(line.nested_key), []).append(line.value_json)
    return values


def test_training_writes_everything_and_wandb_reads_back(bars_folder, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(BenchmarkCallback, "measure", lambda self, module, epoch: {"SR": 1.0, "PC": 2.0, "AP": 37.5})
    metrics = train(composed(*SMALL, f"data.folder={bars_folder}", f"output={tmp_path}", "callbacks.pictures.images=1"))
    assert metrics["benchmark/AP"] == 37.5
    assert {"val/quality_ap", "val/angle_accuracy", "val/width_error", "val/hit_rate"} <= set(metrics)
    rows = list(csv.DictReader((tmp_path / "csv" / "metrics.csv").open()))
    assert any(row.get("train/loss") for row in rows)
    best = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["hyper_parameters"]["network"]["_target_"] == "plgp.networks.GGCNN2"
    assert (tmp_path / "checkpoints" / "last.ckpt").is_file()
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 1
    assert OmegaConf.load(tmp_path / "config.yaml").crop == 96
    history = offline_history(tmp_path)
    assert history["benchmark/AP"] == ["37.5"]
    assert len(history["train/loss"]) == 2


def test_resumed_training_ends_with_the_same_weights(bars_folder, tmp_path):
    options = [*SMALL, f"data.folder={bars_folder}", "callbacks=none", "logger=none", "trainer.precision=32-true"]
    train(composed(*options, "trainer.max_epochs=2", f"output={tmp_path / 'whole'}"))
    train(composed(*options, f"output={tmp_path / 'half'}"))
    resume = tmp_path / "half" / "checkpoints" / "last.ckpt"
    train(composed(*options, "trainer.max_epochs=2", f"output={tmp_path / 'half'}", f"resume={resume}"))
    whole, half = (
        torch.load(tmp_path / n / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for n in ("whole", "half")
    )
    assert all(torch.equal(whole[k], half[k]) for k in whole)


def run(*arguments, cwd):
    return subprocess.run(
        [sys.executable, "-m", "plgp.train", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_multirun_keeps_runs_apart(bars_folder, tmp_path):
    result = run(
        "-m",
        "seed=0,1",
        *SMALL,
        f"data.folder={bars_folder}",
        "callbacks=none",
        f"hydra.sweep.dir={tmp_path}",
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    losses = [offline_history(tmp_path / n)["train/loss"] for n in ("0", "1")]
    assert losses[0] != losses[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["network=resnet"], "unknown network 'resnet'; choose one of affga, danet, deeplabv3plus, ggcnn2"),
        (["data.recipe=null", "data.folder=nowhere"], "no data set in 'nowhere'"),
    ],
)
def test_errors_are_one_line(arguments, message, tmp_path):
    result = run(*arguments, "logger=none", "callbacks=none", f"hydra.run.dir={tmp_path}", cwd=tmp_path)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    (line,) = [text for text in result.stderr.splitlines() if text.startswith("error:")]
    assert message in line


def test_the_demo_without_its_callbacks_and_evaluation(bars_folder, tmp_path):
    """Values that an experiment sets for a callback that is left out do no harm."""
    options = ["experiment=demo", "~evaluation", "callbacks=none", "logger=none", f"data.folder={bars_folder}"]
    metrics = train(composed(*options, *SMALL, f"output={tmp_path}"))
    assert metrics["val/loss"] > 0


def test_choices_are_checked_early():
    check_choices(["network=ggcnn2", "-m", "seed=0,1", "experiment=demo", "trainer.max_epochs=3", "logger=csv,none"])
    for bad in ("trainer=tpu", "loss=paper,papper", "+experiment=dmo"):
        with pytest.raises(InputError, match="choose one of"):
            check_choices([bad])


def test_a_failing_benchmark_never_kills_training(caplog):
    callback = BenchmarkCallback(objects=None, scenes=1)
    scores = callback.measure(GraspModule({"_target_": "plgp.networks.GGCNN2"}, {}), 0)
    assert all(value != value for value in scores.values())
    assert "training goes on" in caplog.text
    with pytest.raises(InputError, match="every_n_epochs"):
        PictureCallback("x", every_n_epochs=0)
