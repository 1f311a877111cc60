"""Every experiment of conf/ through training, validation and benchmark; several runs at once; debugging choices."""

import math
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pandas as pd
import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from plgp.module import GraspModule
from plgp.train import train

NETWORKS = ["ggcnn2", "grcnn", "unet", "segnet", "deeplabv3plus", "stdc", "danet", "affga"]
TABLE2 = [f"table2/{network}_{modality}" for network in NETWORKS for modality in ("depth", "rgb", "rgbd")]
BACKBONES = [row.replace("table2", "backbones") for row in TABLE2]
EXPERIMENTS = Path(str(files("plgp_conf"))) / "experiment"
ROWS = ["baseline", "enhance", "bfl", "enhance_bfl"]


def composed(*overrides):
    with initialize_config_module("plgp_conf", version_base="1.3"):
        return compose("train", overrides=list(overrides))


def experiments(heavy):
    """All experiments of the paper; those of large networks are slow."""
    for name in [*TABLE2, *(f"table3/{row}" for row in ROWS)]:
        if ("ggcnn2" not in name) == heavy:
            yield name


def check(experiment, options, folder, *more):
    """Runs an experiment on the bars: two batches, validation, one attempted grasp."""
    metrics = train(composed(f"experiment={experiment}", "~final_benchmark", *options, f"output={folder}", *more))
    assert math.isfinite(metrics["val/loss"])
    assert 0 <= metrics["benchmark/AP"] <= 100
    assert len((folder / "benchmark" / "attempts-epoch-000.csv").read_text().splitlines()) > 1
    return OmegaConf.load(folder / "config.yaml")


@pytest.mark.parametrize(
    "experiment",
    [pytest.param(e, marks=[pytest.mark.slow] * (not e.endswith("rgbd"))) for e in experiments(heavy=False)],
)
def test_experiment(experiment, bars_folder, tmp_path, small, one_attempt):
    config = check(experiment, [*small, *one_attempt, f"data.folder={bars_folder}"], tmp_path, "logger=csv")
    assert config.modality == experiment.rpartition("_")[2]
    assert config.name == experiment.replace("/", "-").replace("_", "-")


@pytest.mark.slow
@pytest.mark.parametrize("experiment", experiments(heavy=True))
def test_experiment_of_a_large_network(experiment, bars_folder, tmp_path, small, one_attempt):
    # A checkpoint of 67 million parameters and Adam's state is 800 MB.
    options = [*small, *one_attempt, f"data.folder={bars_folder}", "callbacks.checkpoint=null", "callbacks.last=null"]
    check(experiment, options, tmp_path, "logger=csv")


def test_rectangles_are_trained_on(bars_folder, tmp_path, small, one_attempt):
    config = check("rectangles", [*small, *one_attempt, f"data.folder={bars_folder}"], tmp_path, "logger=csv")
    assert (config.data.rectangles, config.data.enhance) == (100, False)


def test_the_experiments_are_the_papers():
    present = sorted(p.relative_to(EXPERIMENTS).with_suffix("").as_posix() for p in EXPERIMENTS.rglob("*.yaml"))
    others = ("any", "small", "demo", "gqcnn", "fc_gqcnn", "rectangles")
    ours = [name for name in present if not name.startswith(others)]
    assert ours == sorted([*TABLE2, *BACKBONES, *(f"table3/{row}" for row in ROWS), "table2", "table3", "backbones"])
    for experiment in [*TABLE2, *BACKBONES]:
        table, _, row = experiment.partition("/")
        network, _, modality = row.rpartition("_")
        text = OmegaConf.load(EXPERIMENTS / f"{experiment}.yaml")
        assert text.defaults == [f"/experiment/{table}", {"override /network": network}]
        assert (text.modality, text.name) == (modality, f"{table}-{network}-{modality}")
    config, standard = composed("experiment=table2/unet_rgb"), composed("network=unet")
    assert (config.network, config.loss, config.optimizer) == (standard.network, standard.loss, standard.optimizer)
    assert config.optimizer == {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 1e-3}
    assert (config.trainer.max_epochs, list(config.scheduler.partial.milestones)) == (100, [70])
    assert (config.group, config.crop, config.modality) == ("table2", 320, "rgb")
    rows = {row: composed(f"experiment=table3/{row}") for row in ROWS}
    assert [rows[row].data.enhance for row in ROWS] == [False, True, False, True]
    assert rows["bfl"].loss == rows["enhance_bfl"].loss == standard.loss
    assert rows["baseline"].loss == rows["enhance"].loss != standard.loss
    for row in rows.values():
        assert (row.network._target_, row.modality, row.group) == ("plgp.networks.AFFGANet", "depth", "table3")
        assert row.final_benchmark.category == "novel-15"


def test_a_budget_leaves_an_experiment_its_question():
    """Cheaper, but the four rows differ in what Table III varies and in nothing else."""
    rows = [composed(f"experiment=table3/{row}", "network=ggcnn2", "budget=small") for row in ROWS]
    assert [row.data.enhance for row in rows] == [False, True, False, True]
    assert rows[0].loss == rows[1].loss != rows[2].loss == rows[3].loss
    for row in rows:
        assert (row.trainer.max_epochs, row.data.samples_per_epoch, row.final_benchmark.limit) == (8, 500, 10)
        row.data.enhance, row.loss, row.name = None, None, None
    assert all(row == rows[0] for row in rows)


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.slow)])
def test_backbones_differ_in_their_network_and_input_alone(every):
    rows = [composed(f"experiment={experiment}") for experiment in BACKBONES[::every]]
    assert len({(row.network._target_, row.modality) for row in rows}) == 24 // every
    assert {(row.group, row.crop, row.network.prior, row.trainer.max_epochs) for row in rows} == {
        ("backbones", 160, 0.05, 8)
    }
    for row in rows:
        row.network, row.modality, row.name = None, None, None
    assert all(row == rows[0] for row in rows)


def run(*arguments, cwd, timeout=300):
    """Runs the program in another process; a failure shows what it said."""
    environment = os.environ | {"WANDB_MODE": "offline", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "plgp.train", *arguments]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, timeout=timeout, env=environment
    )


def sweep(options, folder, *more, measures=("~final_benchmark",), timeout=300):
    """Runs table3's four rows on GGCNN2 and the bars; returns the four folders."""
    quick = ["network=ggcnn2", "callbacks=none", *measures, *options]
    where = f"hydra.sweep.dir={folder / 'sweep'}"
    result = run("-m", "experiment=table3", *quick, where, *more, cwd=folder, timeout=timeout)
    assert result.returncode == 0, result.stderr
    folders = sorted(p for p in (folder / "sweep").iterdir() if (p / "config.yaml").is_file())
    assert [p.name for p in folders] == [f"{number}-table3-{row}" for number, row in enumerate(ROWS)]
    return folders


def check_runs(folders, wandb_run):
    """Four separate W&B runs, each finished, in one group, of different settings."""
    runs = [wandb_run(folder) for folder in folders]
    assert [r["name"] for r in runs] == [f"table3-{row}" for row in ROWS]
    assert all((r["group"], r["project"], r["finished"]) == ("table3", "plgp", True) for r in runs)
    assert all("table3" in r["tags"] for r in runs)
    assert all(len(r["history"]["train/loss"]) == 2 for r in runs)
    assert len({tuple(r["history"]["train/loss"]) for r in runs}) == 4
    configs = [OmegaConf.load(folder / "config.yaml") for folder in folders]
    assert [c.data.enhance for c in configs] == [False, True, False, True]
    assert configs[0].loss != configs[2].loss


@pytest.mark.slow
def test_table3_in_one_process(bars_folder, tmp_path, wandb_run, small, one_attempt):
    """And it ends with one report whose Table III holds the four rows, each measured in simulation."""
    measured = ["final_benchmark.category=novel-5", "final_benchmark.limit=1", "final_benchmark.frictions=[1.0]"]
    measured += ["final_benchmark.workers=1", *one_attempt[1:5]]
    folders = sweep([*small, f"data.folder={bars_folder}"], tmp_path, measures=measured)
    check_runs(folders, wandb_run)
    report = tmp_path / "sweep" / "report"
    table = pd.read_csv(report / "table3.csv")
    assert list(zip(table.enhance, table.focal, strict=True)) == [(e, f) for f in (False, True) for e in (False, True)]
    assert set(table.measured_on) == {"novel-5"}
    for folder, score in zip(folders, table.AP, strict=True):
        ours = pd.read_csv(folder / "summary.csv").query("policy == 'network' and friction == 'mean'")
        assert ours.AP.tolist() == [pytest.approx(score)]
    assert all(f"| table3-{row} |" in (report / "report.md").read_text() for row in ROWS)
    assert (report / "report.html").stat().st_size > 10_000


@pytest.mark.slow
def test_table3_by_joblib(bars_folder, tmp_path, wandb_run, small):
    check_runs(sweep([*small, f"data.folder={bars_folder}"], tmp_path, "hydra/launcher=cpus"), wandb_run)


@pytest.mark.slow
def test_table3_by_submitit(bars_folder, tmp_path, wandb_run, small):
    more = ["hydra/launcher=submitit_local", "hydra.launcher.timeout_min=10"]
    check_runs(sweep([*small, f"data.folder={bars_folder}"], tmp_path, *more, timeout=1200), wandb_run)
    logs = list((tmp_path / "sweep" / ".submitit").rglob("*_result.pkl"))
    assert len(logs) == 4


def test_debug_batch(bars_folder, tmp_path, wandb_run, small, one_attempt):
    """One batch of everything; W&B's summary holds the best, not the last; the folder is whole for `wandb sync`."""
    options = ["experiment=demo", "debug=batch", *small[:4], *one_attempt[:-1], f"data.folder={bars_folder}"]
    more = ["+trainer.enable_progress_bar=false", "callbacks.pictures.images=1", "group=checks", f"output={tmp_path}"]
    metrics = train(composed(*options, *more))
    assert math.isfinite(metrics["benchmark/AP"])
    found = wandb_run(tmp_path)
    assert (found["name"], found["group"], found["tags"]) == ("debug", "checks", ["demo"])
    assert len(found["history"]["train/loss"]) == 1
    assert found["metrics"]["benchmark/AP"] == ["max"]
    assert found["metrics"]["val/loss"] == ["min"]
    assert found["finished"]
    (folder,) = tmp_path.glob("wandb/offline-run-*")
    assert all((folder / "files" / name).stat().st_size > 0 for name in found["files"])
    command = [sys.executable, "-m", "wandb", "sync", "--dry-run", str(folder)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stderr
    assert folder.name in result.stdout + result.stderr


def test_debug_overfit_uses_the_same_images(bars_folder, tmp_path, monkeypatch, small):
    seen = {"training_step": set(), "validation_step": set()}
    for name, step in [(name, getattr(GraspModule, name)) for name in seen]:

        def noting(self, batch, *place, name=name, step=step):
            seen[name] |= set(batch.image_index.tolist())
            return step(self, batch, *place)

        monkeypatch.setattr(GraspModule, name, noting)
    options = ["debug=overfit", *small[:4], f"data.folder={bars_folder}", "data.samples_per_epoch=16", "logger=csv"]
    more = ["trainer.max_epochs=2", "+trainer.enable_progress_bar=false", "data.overfit=2", f"output={tmp_path}"]
    train(composed(*options, *more, "callbacks.pictures=null"))
    assert len(seen["training_step"]) == 2
    assert seen["training_step"] == seen["validation_step"]


def test_debug_profile_writes_a_table(bars_folder, tmp_path, small):
    options = ["debug=profile", *small, f"data.folder={bars_folder}", "logger=none", f"output={tmp_path}"]
    train(composed(*options, "callbacks.pictures=null"))
    assert "optimizer_step" in (tmp_path / "fit-profile.txt").read_text()


def test_wandb_is_online_for_who_is_logged_in(tmp_path, monkeypatch):
    from plgp.loggers import wandb_logger

    for name in ("WANDB_MODE", "WANDB_API_KEY", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert wandb_logger(tmp_path)._offline
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    assert not wandb_logger(tmp_path)._offline
    assert wandb_logger(tmp_path, offline=True)._offline
    (tmp_path / ".netrc").unlink()
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    assert not wandb_logger(tmp_path)._offline
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert wandb_logger(tmp_path)._offline


def test_summary_of_wandb_is_the_best_value(tmp_path, monkeypatch, wandb_run):
    """The greatest AP and the smallest loss; a NaN (before the first benchmark) does not stick."""
    import wandb

    from plgp.loggers import wandb_logger

    monkeypatch.setenv("WANDB_MODE", "offline")
    logger = wandb_logger(tmp_path, name="best", summary={"benchmark/AP": "max", "val/loss": "min"})
    rows = [(float("nan"), 3.0), (40.0, 1.0), (20.0, 2.0)]
    for step, (precision, loss) in enumerate(rows):
        logger.log_metrics({"benchmark/AP": precision, "val/loss": loss}, step=step)
    summary = dict(logger.experiment.summary)
    wandb.finish()
    found = wandb_run(tmp_path)
    assert found["history"]["benchmark/AP"] == [40.0, 20.0]
    assert found["history"]["val/loss"] == [3.0, 1.0, 2.0]
    assert summary["benchmark/AP"]["max"] == 40.0
    assert summary["val/loss"]["min"] == 1.0


def test_tensorboard_holds_what_was_logged(bars_folder, tmp_path, small):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    options = [*small, "callbacks=none", "logger=tensorboard", f"data.folder={bars_folder}", f"output={tmp_path}"]
    metrics = train(composed(*options))
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert events.Scalars("val/loss")[-1].value == pytest.approx(metrics["val/loss"])
    assert len(events.Scalars("train/loss")) == 2
