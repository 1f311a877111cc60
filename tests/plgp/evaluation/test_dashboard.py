"""The dashboard of offline runs: which settings differ, which scores count, and the picture of the kept ones."""

import tarfile
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from plgp.evaluation.dashboard import differing_settings, draw_dashboard, last_scores
from plgp.evaluation.wandb_files import OfflineRun, read_offline_runs
from sim.errors import InputError

KEPT = Path(__file__).resolve().parents[3] / "results" / "table3" / "wandb.tar.xz"


def offline(name, config, **history):
    return OfflineRun(name=name, group="g", tags=(), config=config, history=pd.DataFrame(history))


def test_settings_that_differ_once_each():
    runs = [
        offline(
            n, {"network": {"_target_": f"plgp.networks.{n}"}, "module": {"network": f"plgp.networks.{n}"}, "seed": s}
        )
        for s, n in enumerate(("GGCNN2", "GRCNN"))
    ]
    table = differing_settings(runs)
    assert list(table.columns) == ["module.network"]
    assert table["module.network"].tolist() == ["GGCNN2", "GRCNN"]


def test_the_final_benchmarks_scores_count_before_those_at_epoch_ends():
    run = offline("a", {}, **{"benchmark/AP": [10.0, None], "test/AP": [None, 90.0], "benchmark/SR": [5.0, None]})
    scores = last_scores(run)
    assert (scores["AP"], scores["SR"]) == (90.0, 5.0)
    assert scores["PC"] != scores["PC"]


def test_the_kept_runs_of_table3(tmp_path):
    with tarfile.open(KEPT) as archive:
        archive.extractall(tmp_path, filter="data")
    runs = read_offline_runs(tmp_path)
    assert len(runs) == 8
    assert "data.enhance" in differing_settings(runs).columns
    with Image.open(draw_dashboard(runs, tmp_path / "d.png")) as image:
        assert image.size == (1200, 368)


def test_nothing_to_compare_is_said(tmp_path):
    with pytest.raises(InputError, match="0 given"):
        draw_dashboard([], tmp_path / "d.png")
    with pytest.raises(InputError, match="2 given, 0 of them measured"):
        draw_dashboard([offline("a", {}), offline("b", {})], tmp_path / "d.png")
