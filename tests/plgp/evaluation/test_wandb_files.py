"""W&B's offline files, read back: the kept runs of Table III say the same as the curves kept beside them."""

import tarfile
import time
from pathlib import Path

import pandas as pd
import pytest

from plgp.evaluation.run_folders import read_curves
from plgp.evaluation.wandb_files import read_offline_run, read_offline_runs
from plgp.loggers import wandb_logger
from sim.errors import InputError

KEPT = Path(__file__).parents[3] / "results" / "table3"
METRICS = ["train/loss", "val/loss", "val/width_error", "test/SR", "test/AP"]


@pytest.fixture(scope="module")
def offline(tmp_path_factory):
    """The kept offline runs, unpacked."""
    if not KEPT.is_dir():
        pytest.skip("results/ is not here: plgp without its repository")
    folder = tmp_path_factory.mktemp("wandb")
    with tarfile.open(KEPT / "wandb.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


def test_offline_runs_say_what_the_curves_say(offline):
    runs = read_offline_runs(offline)
    names = sorted(path.name for path in offline.iterdir())
    assert len(runs) == len(names) == 8
    for run, name in zip(runs, names, strict=True):
        assert run.name == name[2:]
        assert run.config["seed"] == int(name[0]) % 2
        assert (run.group, run.tags) == ("table3", ("table3",))
        curves = read_curves(KEPT / name)
        for metric in METRICS:  # W&B keeps the steps in its own order of columns and rows
            ours, theirs = curves[metric].dropna(), run.history[metric].dropna()
            pd.testing.assert_series_equal(theirs, ours, check_index=False)


def test_a_killed_run_is_read_up_to_its_last_whole_record(offline, tmp_path):
    path = sorted(offline.rglob("*.wandb"))[0]
    whole = read_offline_run(path).history
    short = tmp_path / "run-short.wandb"
    short.write_bytes(path.read_bytes()[:200_000])  # in the middle of a record, several blocks of 32 KiB in
    history = read_offline_run(short).history
    assert 0 < len(history) < len(whole)
    pd.testing.assert_frame_equal(history, whole.iloc[: len(history)][history.columns])


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="no offline run"):
        read_offline_runs(tmp_path)
    (tmp_path / "run-other.wandb").write_bytes(b"something else")
    with pytest.raises(InputError, match="is no offline file"):
        read_offline_runs(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        read_offline_run(tmp_path / "run-none.wandb")


def test_a_run_that_was_stopped_and_went_on_is_one(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    for step in (0, 1):
        logger = wandb_logger(tmp_path / "a", name="twice", keep="auto")
        logger.log_metrics({"val/loss": 1.0 - step}, step=step)
        logger.experiment.finish()
        time.sleep(1.1)  # folders are named by the second
    assert len(list(tmp_path.rglob("run-*.wandb"))) == 2
    (run,) = read_offline_runs(tmp_path)
    assert run.name == "twice"
    assert run.history["val/loss"].tolist() == [1.0, 0.0]
