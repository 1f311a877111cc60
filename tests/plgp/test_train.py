"""The Hydra tree and the training program, on the tiny data set."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
from importlib.resources import files
from itertools import zip_longest
from pathlib import Path

import lightning
import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from omegaconf import OmegaConf

import labeler.dataset.generate  # noqa: F401
from plgp.callbacks import BenchmarkCallback, PictureCallback
from plgp.methods.dexnet.training import DexNetModule
from plgp.module import GraspModule, build_network, load_module
from plgp.train import main, train
from sim.cli import drop_null_choices
from sim.errors import InputError

CONF = Path(str(files("plgp_conf")))
REPOSITORY = Path(__file__).parents[2]


# Groups whose choices go together, so that one composition tries one of each; and those that set others.
APART = ["data", "optimizer", "scheduler", "loss", "experiment", "experiment/small", "budget", "debug"]
TOGETHER = ["network", "trainer", "callbacks", "logger", "recipe", "benchmark", "scene", "camera", "gripper", "labeler"]
TOGETHER += ["depth_noise", "appearance", "decoder", "workspace"]


def composed(*overrides):
    with initialize_config_module("plgp_conf", version_base="1.3"):
        return compose("train", overrides=list(overrides))


def choices(group):
    return sorted(p.stem for p in (CONF / group).glob("*.yaml"))


@pytest.mark.parametrize("choice", zip_longest(*([(group, name) for name in choices(group)] for group in TOGETHER)))
def test_every_choice_instantiates(choice, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    words = [f"{group}={name}" for group, name in filter(None, choice)]
    config = composed(*words, f"output={tmp_path}", "trainer.accelerator=cpu", "trainer.devices=1")
    OmegaConf.resolve(config)
    for group, _ in filter(None, choice):
        if group == "network":
            assert build_network(OmegaConf.to_container(config.network), 1, 18).channels == 1
        elif group in ("callbacks", "logger"):
            assert all(instantiate(part) is not None for part in config[group].values())
        else:
            assert instantiate(config[group]) is not None


@pytest.mark.parametrize(("group", "name"), [(group, name) for group in APART for name in choices(group)])
def test_every_choice_that_sets_others_instantiates(group, name, tmp_path, monkeypatch):
    more = ["module=dexnet"] if name == "crops" else []
    group, _, part = group.partition("/")  # experiment=small/ggcnn2_depth
    config = composed(f"{group}={part}{'/' * bool(part)}{name}", f"output={tmp_path}", *more)
    OmegaConf.resolve(config)
    if group == "data":
        instantiate(config.data)
        return
    module = instantiate(config.module)
    assert isinstance(module, DexNetModule if "gqcnn" in name else GraspModule)
    module.trainer = type("Steps", (), {"estimated_stepping_batches": 10})()
    monkeypatch.setattr(type(module), "trainer", module.trainer, raising=False)
    assert module.configure_optimizers()


def test_training_writes_everything_and_wandb_reads_back(bars_folder, tmp_path, monkeypatch, wandb_run, small):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(BenchmarkCallback, "measure", lambda self, module, epoch: {"SR": 1.0, "PC": 2.0, "AP": 37.5})
    metrics = train(composed(*small, f"data.folder={bars_folder}", f"output={tmp_path}", "callbacks.pictures.images=1"))
    assert metrics["benchmark/AP"] == 37.5
    assert {"val/quality_ap", "val/angle_accuracy", "val/width_error", "val/hit_rate"} <= set(metrics)
    rows = list(csv.DictReader((tmp_path / "csv" / "metrics.csv").open()))
    assert any(row.get("train/loss") for row in rows)
    best = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)
    assert best["hyper_parameters"]["network"]["_target_"] == "plgp.networks.GGCNN2"
    assert (tmp_path / "checkpoints" / "last.ckpt").is_file()
    assert len(list((tmp_path / "pictures").glob("*.png"))) == 1
    assert OmegaConf.load(tmp_path / "config.yaml").crop == 64
    history = wandb_run(tmp_path)["history"]
    assert history["benchmark/AP"] == [37.5]
    assert len(history["train/loss"]) == 2


@pytest.mark.slow
def test_the_last_epoch_is_kept_though_an_earlier_one_was_better(bars_folder, tmp_path, monkeypatch, small):
    scores = iter([{"SR": 1.0, "PC": 2.0, "AP": 50.0}, {"SR": 1.0, "PC": 2.0, "AP": 40.0}])
    monkeypatch.setattr(BenchmarkCallback, "measure", lambda self, module, epoch: next(scores))
    options = [*small, f"data.folder={bars_folder}", "logger=none", "callbacks.benchmark.every_n_epochs=1"]
    train(composed(*options, "trainer.max_epochs=2", f"output={tmp_path}"))
    saved = {n: torch.load(tmp_path / "checkpoints" / f"{n}.ckpt", weights_only=True) for n in ("best", "last")}
    assert {name: part["epoch"] for name, part in saved.items()} == {"best": 0, "last": 1}
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]


@pytest.mark.parametrize("network", ["ggcnn2", pytest.param("grcnn", marks=pytest.mark.slow)])  # dropout: the second
def test_resumed_training_ends_with_the_same_weights(network, bars_folder, tmp_path, small):
    options = [*small, f"data.folder={bars_folder}", "callbacks=none", "logger=none", "trainer.precision=32-true"]
    options += [f"network={network}", "crop=64"]
    train(composed(*options, "trainer.max_epochs=2", f"output={tmp_path / 'whole'}"))
    train(composed(*options, f"output={tmp_path / 'half'}"))
    resume = tmp_path / "half" / "checkpoints" / "last.ckpt"
    train(composed(*options, "trainer.max_epochs=2", f"output={tmp_path / 'half'}", f"resume={resume}"))
    whole, half = (
        torch.load(tmp_path / n / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for n in ("whole", "half")
    )
    assert all(torch.equal(whole[k], half[k]) for k in whole)


def test_the_moving_average_is_what_is_saved(bars_folder, tmp_path, small):
    options = [*small, f"data.folder={bars_folder}", "callbacks=ema", "logger=none", f"output={tmp_path}"]
    options += ["callbacks.benchmark=null", "callbacks.pictures=null", "callbacks.ema.decay=0.5"]
    train(composed(*options, "callbacks.checkpoint.monitor=val/loss", "callbacks.checkpoint.mode=min"))
    path = tmp_path / "checkpoints" / "best.ckpt"
    saved, module = torch.load(path, weights_only=True), load_module(path)
    trained = saved["current_model_state"]
    assert any(not torch.equal(trained[k], v) for k, v in saved["state_dict"].items())
    assert all(torch.equal(v, saved["state_dict"][k]) for k, v in module.state_dict().items())


def test_epochs_without_validation(bars_folder, tmp_path, capsys, small):
    options = [*small, f"data.folder={bars_folder}", "callbacks=none", "logger=none", f"output={tmp_path}"]
    train(composed(*options, "trainer.max_epochs=3", "trainer.check_val_every_n_epoch=2"))
    printed = capsys.readouterr().out
    assert "epoch 1/3: 2 batches" in printed
    assert "epoch 2/3: 2 batches" in printed
    last = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["epoch"] == 2, "the last epoch is kept, though the one before was the last with a validation"


PROBE = """
import json, os, pathlib, signal
import lightning


class Probe(lightning.Callback):
    def __init__(self, folder, kill_epoch=None):
        self.folder, self.kill_epoch, self.seen = pathlib.Path(folder), kill_epoch, {"train": [], "val": []}

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.seen["train"] += batch.image_index.tolist()
        if trainer.current_epoch == self.kill_epoch and batch_idx == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_validation_batch_end(self, trainer, module, outputs, batch, batch_idx, dataloader_idx=0):
        self.seen["val"] += batch.image_index.tolist()

    def on_train_end(self, trainer, module):
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        weights = sum(float(p.detach().double().sum()) for p in module.parameters())
        found = {"seen": self.seen, "metrics": metrics, "weights": weights}
        (self.folder / f"rank-{trainer.global_rank}.json").write_text(json.dumps(found))
"""


@pytest.fixture
def probe(tmp_path):
    """Folder of a module ``probe``, whose callback writes what a process saw, or kills it."""
    (tmp_path / "probe.py").write_text(PROBE)
    return tmp_path


def run(*arguments, cwd, program=("-m", "plgp.train")):
    return subprocess.run(
        [sys.executable, *program, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
        env=os.environ | {"PYTHONPATH": str(cwd), "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_killed_and_resumed_training_ends_with_the_same_weights(workers, bars_folder, probe, small):
    """SIGKILL in the third of four epochs; the schedule steps in between, and loader workers change nothing."""
    options = [*small, f"data.folder={bars_folder}", "callbacks=none", "logger=none", "trainer.precision=32-true"]
    options += ["trainer.max_epochs=4", "scheduler.partial.milestones=[1,3]"]
    # All three in processes of their own: threads that other tests have set up change the last digits.
    result = run(*options, f"hydra.run.dir={probe / 'whole'}", cwd=probe)
    assert result.returncode == 0, result.stderr
    killed = probe / "killed"
    shoot = f"+callbacks.probe={{_target_: probe.Probe, folder: {probe}, kill_epoch: 2}}"
    result = run(*options, f"data.workers={workers}", shoot, f"hydra.run.dir={killed}", cwd=probe)
    assert result.returncode == -signal.SIGKILL, result.stderr
    resume = killed / "checkpoints" / "last.ckpt"
    assert torch.load(resume, weights_only=True)["epoch"] == 1
    result = run(*options, f"data.workers={workers}", f"hydra.run.dir={killed}", f"resume={resume}", cwd=probe)
    assert result.returncode == 0, result.stderr
    whole, resumed = (
        torch.load(probe / n / "checkpoints" / "last.ckpt", weights_only=True) for n in ("whole", "killed")
    )
    assert whole["global_step"] == resumed["global_step"] == 8
    assert whole["lr_schedulers"] == resumed["lr_schedulers"]
    assert all(torch.equal(whole["state_dict"][k], resumed["state_dict"][k]) for k in whole["state_dict"])


DDP = ["trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu", "trainer.precision=32-true"]


def check_processes(folder, probe, bars_folder, options):
    """Two processes shared the images, agree on weights and metrics, and their metrics are one process's."""
    ranks = [json.loads((probe / f"rank-{rank}.json").read_text()) for rank in (0, 1)]
    images = {"train": 8, "val": int(options[-1].rpartition("=")[2])}
    for part, count in images.items():
        seen = [set(rank["seen"][part]) - {-1} for rank in ranks]  # -1 fills up the last round and does not count
        assert [len(s) for s in seen] == [-(-count // 2), count // 2]
        assert not seen[0] & seen[1]
    assert ranks[0]["weights"] == ranks[1]["weights"]
    assert 0 <= ranks[0]["metrics"]["benchmark/AP"] <= 100
    shared = {k: v for k, v in ranks[0]["metrics"].items() if k.startswith(("val/", "benchmark/"))}
    assert {k: ranks[1]["metrics"][k] for k in shared} == shared
    config = composed(*options, f"output={folder}")
    trainer = lightning.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False)
    module = load_module(folder / "checkpoints" / "last.ckpt")
    (alone,) = trainer.validate(module, datamodule=instantiate(config.data), verbose=False)
    for name, value in alone.items():
        assert value == pytest.approx(shared[name], rel=1e-4), name


@pytest.mark.slow
@pytest.mark.parametrize("multirun", [False, True])
def test_two_processes(multirun, bars_folder, probe, wandb_run, small, one_attempt):
    """trainer=ddp on the CPU, with a benchmark on rank zero; of a multirun, one run after another."""
    options = [*small, *one_attempt, f"data.folder={bars_folder}", "data.samples_per_epoch=8"]
    options += ["data.splits=[0.7,0.3,0.0]", f"data.val_samples={4 if multirun else 3}"]  # of three, one comes twice
    (probe / "0").mkdir()
    (probe / "1").mkdir()
    spy = "+callbacks.probe={_target_: probe.Probe, folder: '${output}/..'}"
    where = ["-m", "seed=0,1", f"hydra.sweep.dir={probe}"] if multirun else [f"hydra.run.dir={probe / '0'}"]
    result = run(*where, *options, *DDP, spy, cwd=probe, program=(str(REPOSITORY / "train.py"),))
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("wrote ") == 1 + 2 * multirun  # two runs and their report
    last = probe / str(int(multirun))
    check_processes(last, probe, bars_folder, options)
    assert len(wandb_run(last)["history"]["train/loss"]) == 2
    if multirun:
        assert sorted(p.name for p in (probe / "outputs").rglob("*")) == []


def test_multirun_keeps_runs_apart(bars_folder, tmp_path, wandb_run, small, command):
    result = command(
        main,
        "-m",
        "seed=0,1",
        *small,
        f"data.folder={bars_folder}",
        "callbacks=none",
        f"hydra.sweep.dir={tmp_path}",
    )
    assert result.returncode == 0, result.stderr
    losses = [wandb_run(tmp_path / n)["history"]["train/loss"] for n in ("0", "1")]
    assert losses[0] != losses[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["network=resnet"], "unknown network 'resnet'; choose one of affga, danet, deeplabv3plus, ggcnn2"),
        (["data.recipe=null", "data.folder=nowhere"], "no data set in 'nowhere'"),
    ],
)
def test_errors_are_one_line(arguments, message, tmp_path, command):
    result = command(main, *arguments, "logger=none", "callbacks=none", f"hydra.run.dir={tmp_path}")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    (line,) = [text for text in result.stderr.splitlines() if text.startswith("error:")]
    assert message in line


def test_the_demo_without_its_callbacks_and_evaluation(bars_folder, tmp_path, small, command):
    """Values that an experiment sets for a callback that is left out do no harm."""
    options = ["experiment=demo", "final_benchmark=null", "callbacks=null", "logger=null", f"data.folder={bars_folder}"]
    result = command(main, *options, *small, f"hydra.run.dir={tmp_path}")
    assert result.returncode == 0, result.stderr
    assert f"wrote {tmp_path}" in result.stdout
    assert "final_benchmark" not in OmegaConf.load(tmp_path / "config.yaml")


def test_null_leaves_a_choice_out():
    for group in ("final_benchmark", "experiment", "debug"):
        composed(*drop_null_choices([f"{group}=null"]))


def test_training_goes_on_without_its_benchmark(bars_folder, tmp_path, monkeypatch, caplog, small):
    def broken(*arguments):
        raise RuntimeError("the simulator fell over")

    monkeypatch.setattr("plgp.callbacks.run_benchmark", broken)
    options = [*small, f"data.folder={bars_folder}", "callbacks.pictures=null", "logger=none", f"output={tmp_path}"]
    metrics = train(composed(*options, "callbacks.benchmark.every_n_epochs=1", "trainer.max_epochs=2"))
    assert caplog.text.count("RuntimeError: the simulator fell over") == 2
    assert metrics["benchmark/AP"] != metrics["benchmark/AP"]
    assert torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 1


def test_accumulated_gradients_in_half_precision(bars_folder, tmp_path, small):
    options = [*small, f"data.folder={bars_folder}", "callbacks=none", "logger=none", f"output={tmp_path}"]
    metrics = train(composed(*options, "trainer.accumulate_grad_batches=2", "trainer.precision=bf16-mixed"))
    assert math.isfinite(metrics["val/loss"])
    saved = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 1  # of two batches
    assert all(value.dtype == torch.float32 for value in saved["state_dict"].values())


def test_a_failing_benchmark_never_kills_training(caplog):
    callback = BenchmarkCallback(objects=None, scenes=1)
    scores = callback.measure(GraspModule({"_target_": "plgp.networks.GGCNN2"}, {}), 0)
    assert all(value != value for value in scores.values())
    assert "training goes on" in caplog.text
    with pytest.raises(InputError, match="every_n_epochs"):
        PictureCallback("x", every_n_epochs=0)
