"""A run that was logged as CSV is told to W&B as its training would have told it."""

import shutil
import sys

import pandas as pd
import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from plgp.evaluation.wandb_files import read_offline_runs
from plgp.report import main
from plgp.runs.replay import csv_runs, replay
from plgp.train import train
from sim.errors import InputError


def options(folder, output, *more):
    settings = ["data.recipe=null", f"data.folder={folder}", "crop=96", "data.translate_px=10", "data.batch_size=2"]
    settings += ["data.samples_per_epoch=4", "data.val_samples=2", "callbacks=none", "trainer.max_epochs=1"]
    with initialize_config_module("plgp_conf", version_base="1.3"):
        return compose("train", overrides=[*settings, f"output={output}", "group=g", "tags=[t]", *more])


def table(folder):
    rows = [["network", "novel-5", f, s, 100.0, 90.0, 80.0, 99.0] for f, s in (("0.2", 50.0), ("mean", 70.0))]
    rows.append(["random", "novel-5", "mean", 1.0, 1.0, 1.0, 1.0, 1.0])
    heads = ["policy", "category", "friction", "SR", "PC", "AP", "AP_low", "AP_high"]
    pd.DataFrame(rows, columns=heads).to_csv(folder / "summary.csv", index=False)


def test_a_replayed_run_is_the_one_that_w_and_b_would_have_held(bars_folder, tmp_path):
    train(options(bars_folder, tmp_path / "csv-and-wandb", "logger=csv_wandb"))
    train(options(bars_folder, tmp_path / "csv-alone", "logger=csv"))
    moved = (tmp_path / "csv-alone").rename(tmp_path / "moved")
    assert csv_runs((moved,)) == [moved]
    (moved / "summary.csv").write_text("policy\n")
    with pytest.raises(AttributeError):
        replay(moved, offline=True)
    assert not (moved / "wandb").exists()  # half a run is none
    table(moved)
    assert replay(moved, offline=True) == moved / "wandb"
    (direct,), (later,) = (read_offline_runs(tmp_path / name) for name in ("csv-and-wandb", "moved"))
    assert (later.name, later.group, later.tags) == (direct.name, "g", ("t",))
    same = [name for name in direct.history if name.startswith(("train/", "val/"))]
    assert len(same) > 5
    for name in same:
        expected = direct.history[name].dropna().tolist()
        assert later.history[name].dropna().tolist() == pytest.approx(expected, rel=1e-6), name
    assert later.config["network"] == direct.config["network"]
    assert later.config["cost"]["parameters"] == direct.config["cost"]["parameters"]
    last = later.history.ffill().iloc[-1]
    assert (last["test/SR"], last["test/AP"], last["test/novel-5/friction 0.2/SR"]) == (70.0, 90.0, 50.0)


def test_a_multiruns_runs_keep_their_names_and_group(bars_folder, tmp_path):
    """As ``plgp.train`` names them while they train: by what the sweep varies, with the sweep's group."""
    sweep = tmp_path / "2026-01-01"
    for seed in (0, 1):
        config = options(bars_folder, sweep / str(seed), "logger=csv", f"seed={seed}", "group=null")
        run = sweep / str(seed)
        (run / "csv").mkdir(parents=True)
        (run / ".hydra").mkdir()
        (run / "csv" / "metrics.csv").write_text("epoch,step,train/loss\n0,1,0.5\n")
        OmegaConf.save(config, run / "config.yaml")
        OmegaConf.save([f"seed={seed}", "logger=csv"], run / ".hydra" / "overrides.yaml")
    OmegaConf.save({"hydra": {"overrides": {"task": ["seed=0,1", "logger=csv"]}}}, sweep / "multirun.yaml")
    for seed in (0, 1):
        replay(sweep / str(seed), offline=True, cost={})
        (found,) = read_offline_runs(sweep / str(seed))
        assert (found.name, found.group) == (f"ggcnn2 depth seed={seed}", "train 2026-01-01")
    shutil.rmtree(run / "wandb")
    (run / ".hydra" / "overrides.yaml").write_text("- a: [")
    replay(run, offline=True, cost={})
    assert read_offline_runs(run)[0].name == "ggcnn2 depth"


def test_what_is_no_run_or_is_there_already_is_said(tmp_path, monkeypatch, capsys):
    with pytest.raises(InputError, match=r"no csv/metrics.csv below"):
        csv_runs((tmp_path,))
    (tmp_path / "csv").mkdir()
    (tmp_path / "csv" / "metrics.csv").write_text("step,train/loss\n1,x\n")
    with pytest.raises(InputError, match=r"config.yaml' cannot be read; give the folder of a training"):
        replay(tmp_path)
    OmegaConf.save({"a": 1}, tmp_path / "config.yaml")
    with pytest.raises(InputError, match=r"config.yaml' is no training's"):
        replay(tmp_path)
    OmegaConf.save({"module": {}}, tmp_path / "config.yaml")
    with pytest.raises(InputError, match=r"metrics.csv' is no run's CSV log, or is broken"):
        replay(tmp_path)
    (tmp_path / "wandb" / "offline-run-20260101_000000-abcd").mkdir(parents=True)
    monkeypatch.setattr(sys, "argv", ["report", "wandb", f"runs={tmp_path}"])
    with pytest.raises(SystemExit):
        main()
    assert "holds a W&B run already; wandb sync sends it" in capsys.readouterr().err
