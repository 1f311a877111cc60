"""Measuring policies side by side: the evaluation at the end of a run, and its command."""

import subprocess
import sys

import pandas as pd
import pytest
from hydra import compose, initialize_config_module
from hydra.utils import instantiate

from plgp.benchmark import evaluate
from sim.results import SUMMARY_COLUMNS

SMALL = ["evaluation.scenes=1", "evaluation.frictions=[0.4]", "evaluation.workers=1", "benchmark.count=3"]
SMALL += ["evaluation.object_count=2", "benchmark.max_failures=2"]


def composed(*overrides):
    with initialize_config_module("plgp.conf", version_base="1.3"):
        return compose("evaluate", overrides=[*SMALL, *overrides])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """An untrained network's file, as a run would write it."""
    import lightning
    from omegaconf import OmegaConf

    with initialize_config_module("plgp.conf", version_base="1.3"):
        config = compose("train", overrides=["output=unused"])
    module = instantiate(OmegaConf.create(OmegaConf.to_container(config.module, resolve=True)))
    trainer = lightning.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.strategy.connect(module)
    path = tmp_path_factory.mktemp("run") / "network.ckpt"
    trainer.save_checkpoint(path)
    return path


def test_evaluation_writes_table_attempts_and_pictures(checkpoint, tmp_path, capsys):
    summary = evaluate(composed(f"checkpoint={checkpoint}"), tmp_path)
    assert list(summary.columns) == SUMMARY_COLUMNS
    assert list(summary.policy.unique()) == ["random", "random-free", "untrained", "network", "oracle"]
    assert "oracle" in capsys.readouterr().out
    written = pd.read_csv(tmp_path / "summary.csv", dtype={"friction": str})
    pd.testing.assert_frame_equal(written, summary)
    attempts = pd.read_csv(tmp_path / "attempts.csv")
    assert len(attempts) == summary[summary.friction == "mean"].attempts.sum()
    assert attempts[attempts.policy == "oracle"].privileged.all()
    assert not attempts[attempts.policy == "network"].privileged.any()
    # Untrained twice: a network that was never trained equals its own untrained start only by its seed.
    assert {p.name for p in (tmp_path / "pictures").iterdir()} == {"scene.png", "network.png", "untrained.png"}


def command(*arguments, cwd):
    line = [sys.executable, "-m", "plgp.benchmark", *SMALL, *arguments]
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, check=False)


def test_command_without_a_network_and_with_a_missing_one(tmp_path):
    done = command(f"output={tmp_path / 'out'}", "~evaluation.policies.oracle", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "left out" in done.stdout
    assert (tmp_path / "out" / "summary.csv").is_file()
    lost = command("checkpoint=nowhere.ckpt", cwd=tmp_path)
    assert lost.returncode == 2
    assert "nowhere.ckpt" in lost.stderr
    assert "Traceback" not in lost.stderr
