"""Names and groups of W&B runs, and what each run of a comparison of backbones holds, read from W&B's own files."""

import json
import os
import shutil

import pytest
from omegaconf import OmegaConf

from plgp.loggers import logged_in, wandb_logger
from plgp.runs.names import choices_in_words, chosen_of, name_run, varied
from plgp.train import main


@pytest.mark.parametrize(
    ("overrides", "keys"),
    [
        (["network=ggcnn2,grcnn", "seed=0"], ["network"]),
        (["seed=0,1", "+a.b=3,4", "x=[1,2]"], ["seed", "a.b"]),
        (["loss.alpha=choice(0.1,0.2)", "seed=range(0,3)", "name='a,b'"], ["loss.alpha", "seed"]),
        (["~callbacks", "data.splits=[0.8,0.1,0.1]"], []),
    ],
)
def test_what_a_sweep_varies(overrides, keys):
    assert varied(overrides) == keys


def config(**values):
    known = {"name": "train", "group": None, "network": {"_target_": "plgp.networks.GGCNN2"}}
    return OmegaConf.create({**known, "data": {"modality": "depth"}, **values})


def test_names_and_groups(tmp_path):
    assert name_run(config(), None) == ("ggcnn2 depth", None)
    assert name_run(config(name="mine", group="g"), None) == ("mine", "g")
    sweep = tmp_path / "2026-01-01"
    sweep.mkdir()
    command = {"hydra": {"overrides": {"task": ["network=ggcnn2,grcnn", "seed=0,1", "crop=64"]}}}
    OmegaConf.save(OmegaConf.create(command), sweep / "multirun.yaml")
    own = ["network=grcnn", "seed=1", "crop=64"]
    assert name_run(config(name="two"), sweep, own) == ("two network=grcnn seed=1", "two 2026-01-01")


def test_a_sweep_that_its_experiment_names_tells_its_runs_apart(tmp_path):
    """``hydra.sweeper.params`` of an experiment's file; the command line's values stand over them."""
    params = {"optimizer.lr": "1e-3,1e-4", "experiment/table3@_global_": "bfl,enhance", "crop": "64", "seed": "0,1"}
    command = {"sweeper": {"params": params}, "overrides": {"task": ["experiment=mine", "seed=3"]}}
    OmegaConf.save(OmegaConf.create({"hydra": command}), tmp_path / "multirun.yaml")
    own = ["optimizer.lr=0.001", "experiment/table3@_global_=bfl", "experiment=mine", "seed=3", "crop=64"]
    chosen = chosen_of(tmp_path, own)
    assert chosen == {"optimizer.lr": "0.001", "experiment/table3@_global_": "bfl"}
    assert name_run(config(name="mine"), tmp_path, own)[0] == "mine optimizer.lr=0.001"
    assert choices_in_words(chosen | {"seed": "3", "network": "unet", "data.workers": "2"}) == "optimizer.lr=0.001"


@pytest.mark.parametrize(("tags", "words"), [(None, None), ([], None), ("one", ["one"]), (["a", "b"], ["a", "b"])])
def test_tags_may_be_left_out_or_a_single_word(tmp_path, tags, words):
    assert wandb_logger(tmp_path, tags=tags, offline=True)._wandb_init["tags"] == words


def test_wandbs_variables_stand_in_for_what_is_left_open(tmp_path, monkeypatch, capsys):
    for name, value in {"PROJECT": "mine", "RUN_GROUP": "g", "NAME": "n", "DIR": str(tmp_path / "else")}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    logger = wandb_logger(tmp_path / "run", offline=True)
    assert logger._wandb_init["project"] == "mine"
    assert f"its own folder, {tmp_path / 'run' / 'wandb'}" in capsys.readouterr().err
    assert wandb_logger(tmp_path, project="other", offline=True)._wandb_init["project"] == "other"
    assert name_run(config(), None) == ("n", "g")
    assert name_run(config(name="two", group="ours"), None) == ("two", "ours")


def test_a_run_that_goes_on_keeps_its_id(tmp_path):
    for name in ("run-20260101_000000-older111", "offline-run-20260102_000000-newer222", "latest-run"):
        (tmp_path / "wandb" / name).mkdir(parents=True)
    assert wandb_logger(tmp_path, offline=True, keep="auto")._wandb_init["id"] == "newer222"
    online = wandb_logger(tmp_path, offline=False, keep="auto")._wandb_init
    assert (online["id"], online["resume"]) == ("newer222", "allow")
    assert wandb_logger(tmp_path, offline=True)._wandb_init["id"] is None
    assert wandb_logger(tmp_path / "new", offline=True, keep="auto")._wandb_init["id"] is None


@pytest.mark.slow
def test_two_networks_side_by_side_in_wandb(bars_folder, tmp_path, wandb_run, small, one_attempt, command, monkeypatch):
    """Runs named by what differs, one group; costs, scores by category and friction, table and pictures in files."""
    out = tmp_path / "sweep"
    monkeypatch.setenv("WANDB_MODE", "offline")
    words = ["-m", "network=ggcnn2,grcnn", "name=two", *small]
    words += [f"data.folder={bars_folder}", "callbacks=none", f"hydra.sweep.dir={out}", *one_attempt[:5]]
    words += ["final_benchmark=demo", "final_benchmark.limit=1", "final_benchmark.frictions=[1.0]"]
    words += ["final_benchmark.workers=1", "final_benchmark.compare=null"]
    words += [f"~final_benchmark.policies.{name}" for name in ("random", "random-free", "antipodal", "constant")]
    words += [f"~final_benchmark.policies.{name}" for name in ("untrained", "oracle")]
    result = command(main, *words)
    assert result.returncode == 0, result.stdout + result.stderr
    folders = sorted(p for p in out.iterdir() if (p / "config.yaml").is_file())
    moved = tmp_path / "elsewhere"
    shutil.move(out, moved)
    runs = [wandb_run(moved / folder.name) for folder in folders]
    assert [run["name"] for run in runs] == ["two network=ggcnn2", "two network=grcnn"]
    assert {run["group"] for run in runs} == {"two sweep"}
    for run, folder in zip(runs, folders, strict=True):
        assert {"test/novel-5/friction 1/AP", "test/novel-5/friction mean/SR"} <= set(run["history"])
        assert run["config"]["cost"]["parameters"] > 10_000
        assert run["config"]["cost"]["milliseconds"] > 0
        files = next((moved / folder.name).glob("wandb/offline-run-*/files"))
        media = [name for name in run["files"] if name.startswith("media/")]
        assert any("table" in name for name in media)
        assert any("images" in name for name in media)
        for name in media:
            assert (files / name).stat().st_size > 0
    assert runs[0]["config"]["cost"]["parameters"] < runs[1]["config"]["cost"]["parameters"]


def test_wandb_mode_counts(tmp_path, monkeypatch):
    for mode, offline in (("offline", True), ("dryrun", True), ("online", False), ("disabled", False)):
        monkeypatch.setenv("WANDB_MODE", mode)
        assert wandb_logger(tmp_path)._offline is offline
        assert offline or os.environ["WANDB_MODE"] == mode


def test_a_key_for_a_server_of_ones_own(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_text("machine wandb.example.org\n  login user\n  password 0123\n")
    (tmp_path / ".netrc").chmod(0o600)
    assert not logged_in()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert logged_in()
    monkeypatch.setenv("WANDB_API_KEY", json.dumps("0" * 40))
    assert logged_in()


def test_wandbs_history_does_not_stand_over_the_results(tmp_path, monkeypatch):
    assert wandb_logger(tmp_path, offline=True)._wandb_init["settings"].quiet
    monkeypatch.setenv("WANDB_QUIET", "false")  # its user's word counts
    assert "settings" not in wandb_logger(tmp_path, offline=True)._wandb_init
