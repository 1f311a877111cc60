"""The benchmark at epoch ends: its table in W&B, its validation scenes, the ranks that wait for it."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from PIL import Image

from plgp.callbacks import COLUMNS, BenchmarkCallback, PictureCallback, _from_rank_zero
from plgp.evaluation.map_figures import attempt_picture
from plgp.loggers import wandb_logger
from plgp.module import GraspModule
from plgp.policy.workspace import Workspace
from sim.benchmark import BenchmarkSettings, Observation
from sim.benchmark.scene_sets import load_scene_set
from sim.camera import PinholeCamera, overhead_pose
from sim.errors import InputError
from sim.grasp import GraspPoses

TRAY = Workspace((-0.18, -0.18, -0.1), (0.18, 0.18, 0.4))


def published(category, count):
    """A scene set of the first published scenes of one category."""
    return {category: load_scene_set("plgp-320-v2")[category][:count]}


def small(**options):
    rules = replace(BenchmarkSettings(), count=4, max_failures=1)
    scenes = partial(published, "seen-5", 2)
    return BenchmarkCallback(None, rules, scenes=1, frictions=[0.4], workspace=TRAY, scene_set=scenes, **options)


def network():
    torch.manual_seed(0)
    return GraspModule({"_target_": "plgp.networks.GGCNN2"}, {})


def test_the_table_of_attempts_is_read_back_from_wandbs_files(tmp_path, monkeypatch, wandb_run):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    logger = wandb_logger(tmp_path, offline=True)
    callback = small(pictures=2, folder=tmp_path / "benchmark")
    scores = callback.measure(network(), 0)
    assert all(0 <= value <= 100 for value in scores.values())
    callback._log_attempts(SimpleNamespace(loggers=[logger], global_step=7, current_epoch=0))
    logger.experiment.finish()
    (path,) = tmp_path.glob("wandb/offline-run-*/files/media/table/benchmark/attempts*.table.json")
    table = json.loads(path.read_text())
    assert table["columns"] == [*COLUMNS, "picture"]
    written = pd.read_csv(tmp_path / "benchmark" / "attempts-epoch-000.csv")
    assert len(table["data"]) == len(written)
    frame = pd.DataFrame(table["data"], columns=table["columns"])
    assert frame.success.tolist() == written.success.tolist()
    assert frame.reason.fillna("").tolist() == written.reason.fillna("").tolist()
    pictured = frame[frame.picture.notna()]
    assert set(pictured.protocol) == {"rank"}
    assert set(pictured.attempt) == {0, 1}
    (staged,) = wandb_run(tmp_path)["tables"]
    whole = json.loads(Path(staged["benchmark/attempts.table.json"]).read_text())
    cells = [row[-1] for row in whole["data"] if row[-1] is not None]
    assert len(cells) == 2
    for cell in cells:
        with Image.open(staged[cell["path"]]) as image:
            assert image.size == (160, 160)
            assert np.asarray(image)[..., :3].std() > 5


def test_without_wandb_no_picture_is_made(monkeypatch):
    callback = small()
    callback.attempts = pd.DataFrame({"category": ["seen-5"]})
    monkeypatch.setattr(callback, "table_rows", lambda attempts: pytest.fail("nobody asked for a table"))
    callback._log_attempts(SimpleNamespace(loggers=[], global_step=0, current_epoch=0))


def test_a_table_that_fails_never_kills_training(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("WANDB_MODE", "offline")
    callback = small()
    callback.attempts = pd.DataFrame({"nothing": [1]})
    logger = wandb_logger(tmp_path, offline=True)
    callback._log_attempts(SimpleNamespace(loggers=[logger], global_step=0, current_epoch=3))
    assert "table of attempts of epoch 3 failed; training goes on" in caplog.text


def test_pictures_that_fail_never_kill_training(tmp_path, monkeypatch, caplog):
    def refused(*arguments, **options):
        raise OSError("W&B cannot be reached")

    logger = wandb_logger(tmp_path, offline=True)
    monkeypatch.setattr(logger, "log_image", refused)
    callback = PictureCallback(tmp_path, every_n_epochs=1)
    monkeypatch.setattr(callback, "draw", lambda trainer, module: [tmp_path / "a.png"])
    about = {"current_epoch": 3, "max_epochs": 9, "global_step": 0, "sanity_checking": False, "is_global_zero": True}
    callback.on_validation_epoch_end(SimpleNamespace(loggers=[logger], **about), network())
    assert "pictures of epoch 3 failed; training goes on" in caplog.text
    assert "W&B cannot be reached" in caplog.text


def test_the_picture_shows_the_grasp_where_it_was():
    camera = PinholeCamera.from_fov(pose=overhead_pose(0.6))
    seen = Observation(np.full((480, 640, 3), 90, np.uint8), np.full((480, 640), 0.6, np.float32), camera)
    # Straight down on the floor's centre: 0.1 m at 0.6 m are 69 pixels, along the image's columns.
    grasp = GraspPoses([[0.0, 0.0, 0.0]], camera.pose[None, :3, :3], [0.1], [0.5], "world")
    picture = attempt_picture(seen, grasp, success=True)
    assert picture.shape == (160, 160, 3)
    rows, cols = np.nonzero((picture == (0, 255, 0)).all(axis=-1))
    assert abs(rows.mean() - 80) < 2
    assert abs(cols.mean() - 80) < 2
    assert 69 <= cols.max() - cols.min() <= 69 + 8
    assert ((attempt_picture(seen, grasp, success=False) == (255, 0, 0)).all(axis=-1)).sum() == len(rows)
    aside = GraspPoses([[0.45, 0.0, 0.0]], grasp.rotation, grasp.width, grasp.quality, "world")
    away = attempt_picture(seen, aside, success=True)  # at the image's border: what lies beyond is black
    assert (away == 0).all(axis=-1).any()


def test_the_validation_preset_drops_nothing_before_its_time_and_stays_apart_from_the_test_scenes(tmp_path):
    with initialize_config_module("plgp_conf", version_base="1.3"):
        config = compose("train", overrides=["callbacks=validation", f"output={tmp_path}"])
    callback = instantiate(config.callbacks.benchmark)
    assert callable(callback.scene_set)
    assert callback.scene_set.keywords["object_counts"] == [5, 15]
    used = {state.seed for part in load_scene_set("plgp-320-v2").values() for state in part}
    assert callback.scene_set.keywords["seed"] not in used
    assert config.callbacks.benchmark.seed not in used
    names = set(callback.scene_set.keywords["objects"].names)
    novel = load_scene_set("plgp-320-v2")["novel-5"]
    assert not names & {name for state in novel for name in state.names}
    assert config.callbacks.checkpoint.monitor == "benchmark/AP"


def test_a_scene_set_gives_its_first_scenes_of_every_category():
    sets = {**published("seen-5", 3), **published("seen-15", 3)}
    callback = BenchmarkCallback(None, scenes=2, scene_set=lambda: sets)
    assert [s.category for s in callback._make_states()] == ["seen-5"] * 2 + ["seen-15"] * 2


def test_settings_are_checked():
    with pytest.raises(InputError, match="pictures is -1"):
        BenchmarkCallback(None, pictures=-1)


def _rank(rank, address, folder):
    from torch import distributed

    distributed.init_process_group("gloo", init_method=f"file://{address}", rank=rank, world_size=2)
    callback = BenchmarkCallback(None)
    group = callback._waiting_group()
    assert callback._waiting_group() is group
    scores = _from_rank_zero({"AP": 10.0 + rank}, group)
    (Path(folder) / str(rank)).write_text(str(scores["AP"]))
    distributed.destroy_process_group()


@pytest.mark.slow
def test_every_rank_gets_rank_zeros_scores(tmp_path):
    torch.multiprocessing.spawn(_rank, (str(tmp_path / "meet"), str(tmp_path)), nprocs=2)
    assert [(tmp_path / r).read_text() for r in "01"] == ["10.0", "10.0"]


def test_alone_nobody_waits():
    assert _from_rank_zero({"AP": 3.0}, None) == {"AP": 3.0}
