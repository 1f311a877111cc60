"""Runs that can be trusted: ends before the first benchmark, resumes of every kind, failing jobs of a sweep."""

import csv
import math
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import torch
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

import labeler.dataset.generate  # noqa: F401
from plgp.callbacks import BenchmarkCallback
from plgp.evaluation.runs import gather
from plgp.loggers import RunProgress, clock_time
from plgp.module import load_module
from plgp.report import write_report
from plgp.runs.resume import resumable
from plgp.train import main, train
from sim.cli import drop_null_choices, setting_names
from sim.cli.choices import OPTIONAL, check_choices
from sim.errors import InputError


def composed(*overrides):
    with initialize_config_module("plgp_conf", version_base="1.3"):
        return compose("train", overrides=drop_null_choices(list(overrides)))


def curves(folder):
    return list(csv.DictReader((folder / "csv" / "metrics.csv").open()))


@pytest.fixture
def scored(monkeypatch):
    """Benchmarks with scores from a list, in place of attempts; the list."""
    scores = []
    monkeypatch.setattr(
        BenchmarkCallback, "measure", lambda self, module, epoch: {"SR": 1.0, "PC": 2.0, "AP": scores.pop(0)}
    )
    return scores


@pytest.fixture
def options(small, bars_folder):
    return [*small, f"data.folder={bars_folder}", "callbacks.pictures=null", "logger=csv"]


def test_a_run_that_ends_before_its_first_benchmark_has_it_at_the_end(options, scored, tmp_path):
    scored.append(40.0)
    run = ["trainer.max_epochs=9", "+trainer.max_steps=3", f"output={tmp_path}"]
    metrics = train(composed(*options, *run, "callbacks.benchmark.every_n_epochs=5"))
    assert scored == []
    assert metrics["benchmark/AP"] == 40.0
    assert torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)["global_step"] == 3
    assert [row["benchmark/AP"] for row in curves(tmp_path) if row.get("benchmark/AP")] == ["40.0"]


@pytest.mark.slow
def test_a_late_benchmark_that_is_worse_leaves_the_best(options, scored, tmp_path):
    scored += [50.0, 40.0]
    run = ["trainer.max_epochs=9", "+trainer.max_steps=5", f"output={tmp_path}"]
    train(composed(*options, *run, "callbacks.benchmark.every_n_epochs=2"))
    assert scored == []
    assert torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)["global_step"] == 4


@pytest.mark.parametrize(("scores", "step"), [([100.0, 100.0, 90.0], 8), ([100.0, 50.0, 60.0], 4)])
def test_of_equal_scores_the_later_weights_are_kept(options, scored, tmp_path, scores, step):
    """Epochs 2, 4 and 5 of 2 steps each are measured; the third repeats a score that is not its own."""
    scored += scores
    train(composed(*options, "trainer.max_epochs=5", f"output={tmp_path}", "callbacks.benchmark.every_n_epochs=2"))
    assert scored == []
    assert torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)["global_step"] == step


def test_a_late_benchmark_measures_the_average_that_it_saves(options, monkeypatch, tmp_path):
    measured = []

    def measure(self, module, epoch):
        measured.append({name: value.clone() for name, value in module.state_dict().items()})
        return {"SR": 1.0, "PC": 2.0, "AP": 30.0}

    monkeypatch.setattr(BenchmarkCallback, "measure", measure)
    run = ["callbacks=ema", "callbacks.pictures=null", "callbacks.ema.decay=0.5", "trainer.max_epochs=9"]
    run += ["+trainer.max_steps=3", f"output={tmp_path}", "callbacks.benchmark.every_n_epochs=5"]
    train(composed(*options, *run))
    saved = torch.load(tmp_path / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    (state,) = measured
    assert all(torch.equal(state[name], value) for name, value in saved.items() if name in state)


def test_a_skipped_epoch_is_no_point(options, scored, tmp_path):
    scored += [10.0, 30.0]
    run = ["trainer.max_epochs=4", f"output={tmp_path}"]
    train(composed(*options, *run, "callbacks.benchmark.every_n_epochs=2"))
    points = [(row["epoch"], row["benchmark/AP"]) for row in curves(tmp_path) if row.get("benchmark/AP")]
    assert points == [("1", "10.0"), ("3", "30.0")]


@pytest.fixture(scope="module")
def half_run(small_options, tmp_path_factory):
    """A run of one epoch under OneCycle, with its options."""
    folder = tmp_path_factory.mktemp("half")
    options = [*small_options, "callbacks=none", "logger=csv", "scheduler=onecycle"]
    train(composed(*options, f"output={folder}"))
    return folder, options


@pytest.fixture(scope="module")
def small_options(request, bars_folder):
    return [*request.getfixturevalue("small_module"), f"data.folder={bars_folder}"]


@pytest.fixture(scope="module")
def small_module():
    data = ["data.recipe=null", "crop=64", "data.batch_size=2", "data.samples_per_epoch=4", "data.val_samples=2"]
    return [*data, "trainer.max_epochs=1", "trainer.log_every_n_steps=1"]


@pytest.mark.slow
def test_more_epochs_under_onecycle_in_the_old_folder(half_run, tmp_path):
    folder, options = half_run
    before = curves(folder)
    train(composed(*options, "trainer.max_epochs=3", f"output={folder}", f"resume={folder}"))
    after = curves(folder)
    losses = [[row["train/loss"] for row in rows if row.get("train/loss")] for rows in (before, after)]
    assert len(losses[1]) == 3 * len(losses[0])
    assert losses[1][: len(losses[0])] == losses[0]
    assert {row["epoch"] for row in after if row["epoch"]} == {"0", "1", "2"}
    saved = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["epoch"] == 2
    assert saved["lr_schedulers"][0]["total_steps"] == 6


def test_a_run_in_an_old_folder_without_resume_starts_its_curves_anew(small_options, tmp_path):
    options = [*small_options, "callbacks=none", "logger=csv", f"output={tmp_path}"]
    train(composed(*options))
    first = len(curves(tmp_path))
    train(composed(*options))
    assert len(curves(tmp_path)) == first


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("missing", "no checkpoint at"),
        ("broken", "broken or not one of plgp's"),
        ("foreign", "broken or not one of plgp's"),
        ("weights only", "holds weights only"),
        ("network", "has network plgp.networks.GGCNN2, this run plgp.networks.GRCNN"),
        ("modality", "has modality depth, this run rgbd"),
        ("epochs", "has 1 epochs behind it"),
    ],
)
def test_what_cannot_be_resumed_is_one_sentence_before_anything_starts(half_run, tmp_path, what, words):
    folder, options = half_run
    path = tmp_path / "a.ckpt"
    saved = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
    if what == "broken":
        path.write_bytes(b"PK\x03\x04 half a file")
    elif what == "foreign":
        torch.save({"model": {}}, path)
    elif what == "weights only":
        torch.save({k: saved[k] for k in ("state_dict", "hyper_parameters")}, path)
    elif what != "missing":
        torch.save(saved | {"epoch": 0}, path)
    more = {"network": ["network=grcnn"], "modality": ["modality=rgbd"], "epochs": ["trainer.max_epochs=0"]}.get(
        what, []
    )
    out = tmp_path / "out"
    with pytest.raises(InputError, match=words) as caught:
        train(composed(*options, f"output={out}", f"resume={path}", *more))
    assert "\n" not in str(caught.value)
    assert not out.exists()


def test_a_sweep_with_a_bad_job_runs_the_others_and_names_it(small_options, tmp_path, command):
    words = ["-m", "data.batch_size=2,0", "seed=0", "callbacks=none", "logger=csv"]
    options = [o for o in small_options if not o.startswith("data.batch_size")]
    result = command(main, *words, *options, f"hydra.sweep.dir={tmp_path / 'sweep'}")
    assert result.returncode == 2, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    assert "1 of the jobs failed" in result.stderr
    assert "batch_size is 0" in result.stderr
    report = (tmp_path / "sweep" / "report" / "report.md").read_text()
    assert "## Failed jobs" in report
    assert "batch_size is 0; give a whole number of at least 1 (data.batch_size=0)" in report
    assert "No run was measured at its end (1 trained): train with final_benchmark=demo" in report
    assert (tmp_path / "sweep" / "0" / "checkpoints" / "last.ckpt").is_file()
    found = gather([tmp_path / "sweep"])  # as `python -m plgp.report` does, days later
    assert [job.name for job, _ in found.failed] == ["1"]
    assert [run.folder.name for run in found.runs] == ["0"]
    assert "## Failed jobs" in write_report(found, tmp_path / "later")[0].read_text()


def test_a_setting_that_one_network_of_a_sweep_lacks_is_said_before_the_first_job(tmp_path, command):
    result = command(main, "-m", "network=ggcnn2,grcnn", "network.width=1")
    assert result.returncode == 2
    assert "not every job has the setting 'network.width': leave out network=ggcnn2 or network=grcnn" in result.stderr
    assert "Traceback" not in result.stderr
    assert not list(tmp_path.rglob("checkpoints"))


def test_a_run_goes_on_in_its_own_folder_and_one_that_has_ended_is_not_trained_again(small_options, tmp_path):
    options = [*small_options, f"output={tmp_path}", "callbacks=none", "logger=csv", "resume=auto"]
    train(composed(*options, "trainer.max_epochs=1"))
    first = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    rows = len(curves(tmp_path))
    train(composed(*options, "trainer.max_epochs=1"))
    again = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert again["global_step"] == first["global_step"]
    assert all(torch.equal(again["state_dict"][name], value) for name, value in first["state_dict"].items())
    assert len(curves(tmp_path)) == rows
    train(composed(*options, "trainer.max_epochs=2"))
    more = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert more["global_step"] == 2 * first["global_step"]


@pytest.mark.slow
def test_a_multirun_killed_in_its_second_job_goes_on_by_its_command(small_options, tmp_path):
    """SIGKILL: the job that had ended is left as it is, the second goes on from its last epoch, the third starts."""
    sweep = tmp_path / "sweep"
    options = [o for o in small_options if not o.startswith(("data.samples_per_epoch", "trainer.max_epochs"))]
    options += ["callbacks=none", "logger=csv", "data.samples_per_epoch=40", "trainer.max_epochs=3", "resume=auto"]
    command = [sys.executable, "-m", "plgp.train", "-m", "seed=0,1,2", *options, f"hydra.sweep.dir={sweep}"]
    saved = sweep / "1" / "checkpoints" / "last.ckpt"
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        while not saved.is_file() and process.poll() is None:
            time.sleep(0.1)
        process.kill()
    epochs = torch.load(saved, weights_only=True)["epoch"]
    assert epochs < 2, "it was killed in the second job"
    ended = {path: path.read_bytes() for path in (sweep / "0").rglob("*") if path.suffix in (".ckpt", ".csv")}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stderr
    assert all(path.read_bytes() == content for path, content in ended.items())
    assert [done.stdout.count(f"epoch {n}/3: ") for n in (1, 2, 3)] == [1, 2 - epochs, 2]
    for job in ("0", "1", "2"):
        assert torch.load(sweep / job / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 2
        steps = [row["step"] for row in curves(sweep / job) if row.get("train/loss")]
        assert sorted(steps, key=int) == steps
        assert len(set(steps)) == len(steps) == 60
    assert "| 3 |" in (sweep / "report" / "report.md").read_text()


# Where a choice that is left out is used: what takes its place there is nothing.
USED = {
    "loss": ["module.loss"],
    "optimizer": ["module.optimizer"],
    "scheduler": ["module.scheduler"],
    "decoder": ["callbacks.benchmark.decoder", "callbacks.pictures.decoder"],
    "workspace": ["callbacks.benchmark.workspace", "callbacks.pictures.workspace"],
}


@pytest.mark.parametrize("group", sorted(OPTIONAL - {"hydra/launcher", "recipe", "final_benchmark", "comparison"}))
def test_every_choice_that_may_be_left_out_resolves(group, tmp_path):
    config = composed(f"{group}=null", f"output={tmp_path}")
    assert config.get(group) is None
    whole = OmegaConf.create(OmegaConf.to_container(config, resolve=True))
    assert [OmegaConf.select(whole, name) for name in USED.get(group, [])] == [None] * len(USED.get(group, []))


@pytest.mark.parametrize("group", ["network", "data", "gripper", "trainer", "objects", "camera", "scene", "labeler"])
def test_a_choice_that_is_needed_says_so(group):
    with pytest.raises(InputError, match=f"{group}=null leaves nothing"):
        check_choices([f"{group}=null"])


def test_no_scheduler_no_loss_no_optimizer_train_with_the_papers(small_options, tmp_path):
    nulls = ["scheduler=null", "loss=null", "optimizer=null", "workspace=null", "decoder=null", "depth_noise=null"]
    metrics = train(composed(*small_options, *nulls, "callbacks=none", "logger=null", f"output={tmp_path}"))
    assert math.isfinite(metrics["val/loss"])
    assert load_module(tmp_path / "checkpoints" / "last.ckpt").trained_view is not None


def test_setting_names_follow_the_choices():
    assert "scheduler.partial.max_lr" in setting_names(["scheduler=onecycle"], "train")
    assert "scheduler.partial.max_lr" not in setting_names([], "train")


def test_resume_takes_a_runs_folder(half_run):
    folder, options = half_run
    last = str(folder / "checkpoints" / "last.ckpt")
    assert resumable(composed(*options, f"resume={folder}", "trainer.max_epochs=9")) == last
    assert resumable(composed(*options)) is None


@pytest.mark.slow
@pytest.mark.parametrize(("name", "status", "words"), [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "SIGTERM")])
def test_a_run_stopped_in_mid_epoch_leaves_a_checkpoint_and_goes_on(small_options, tmp_path, name, status, words):
    """Ctrl-C and SIGTERM (Slurm's, a container's) end with a sentence and their status; resume goes on."""
    out = tmp_path / "run"
    options = [o for o in small_options if not o.startswith(("data.samples_per_epoch", "trainer.max_epochs"))]
    options += ["callbacks=none", "logger=csv", "data.samples_per_epoch=2000", "trainer.max_epochs=3"]
    command = [sys.executable, "-m", "plgp.train", *options, f"hydra.run.dir={out}"]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=tmp_path,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:  # fmt: skip
        metrics, end = out / "csv" / "metrics.csv", time.monotonic() + 200
        while not (metrics.is_file() and len(metrics.read_text().splitlines()) > 3) and time.monotonic() < end:
            time.sleep(0.2)
        process.send_signal(getattr(signal, name))
        _, errors = process.communicate(timeout=100)
    assert process.returncode == status, errors
    assert words in errors
    assert f"resume={out} goes on" in errors
    assert "Traceback" not in errors
    done = torch.load(out / "checkpoints" / "last.ckpt", weights_only=True)["global_step"]
    assert 0 < done < 1000
    small = [o.replace("=2000", "=4").replace("max_epochs=3", "max_epochs=1") for o in options]
    assert resumable(composed(*small, f"resume={out}")) == str(out / "checkpoints" / "last.ckpt")
    train(composed(*options, f"+trainer.max_steps={done + 2}", f"output={out}", f"resume={out}"))
    assert torch.load(out / "checkpoints" / "last.ckpt", weights_only=True)["global_step"] == done + 2


def test_lines_of_epochs_count_from_one_and_say_what_is_left(small_options, tmp_path, capsys):
    train(composed(*small_options, "trainer.max_epochs=2", "callbacks=none", "logger=null", f"output={tmp_path}"))
    first, second = (line for line in capsys.readouterr().out.splitlines() if line.startswith("epoch "))
    assert re.match(r"epoch 1/2: 2 batches in \d+ s, [\d.]+ images/s, \d+:\d\d left; ", first)
    assert re.match(r"epoch 2/2: 2 batches in \d+ s, [\d.]+ images/s; ", second)


def test_the_bar_counts_from_one_too():
    bar = RunProgress()
    bar._trainer = SimpleNamespace(current_epoch=0, max_epochs=1)
    assert bar._get_train_description(0).startswith("Epoch 1/1")
    assert [clock_time(s) for s in (0, 61, 3725)] == ["0:00", "1:01", "1:02:05"]
