"""How the other processes of ``trainer=ddp`` are started where a launcher runs the job of a multirun."""

import sys
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
from hydra import compose, initialize_config_module
from hydra.conf import ConfigSourceInfo
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.fabric.strategies.launchers.subprocess_script import _hydra_subprocess_cmd
from omegaconf import open_dict

import labeler.dataset.generate  # noqa: F401
from plgp.runs.processes import clean_end

LOKY = "joblib.externals.loky.backend.popen_loky_posix"


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Job 1 of a multirun, as a launcher's process has it composed."""
    with initialize_config_module("plgp_conf", version_base="1.3"):
        config = compose("train", return_hydra_config=True)
    with open_dict(config):
        config.hydra.mode = RunMode.MULTIRUN
        config.hydra.overrides.hydra, config.hydra.overrides.task = ["hydra/launcher=cpus"], ["seed=1"]
        config.hydra.runtime.cwd, config.hydra.runtime.output_dir = str(tmp_path), str(tmp_path / "1")
        config.hydra.runtime.config_sources = [ConfigSourceInfo("/own", "file", "command-line")]
        config.hydra.job.num = 1
    monkeypatch.setattr(HydraConfig.instance(), "cfg", config)
    return tmp_path / "1"


@pytest.mark.parametrize(
    ("spec", "program"),
    [
        (find_spec(LOKY), ["-m", "plgp.train"]),
        (SimpleNamespace(name="submitit.core._submit"), ["-m", "plgp.train"]),
        (SimpleNamespace(name="own.training"), ["-m", "own.training"]),
        (None, ["/there/train.py"]),
    ],
    ids=["joblib", "submitit", "a module", "a file"],
)
def test_other_processes_run_the_training_not_the_launchers_program(spec, program, job, monkeypatch):
    """Lightning's own words for the second process."""
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", spec)
    monkeypatch.setattr(sys, "argv", ["/there/train.py", "-m", "seed=0,1", "--pipe"])
    with clean_end():
        command, cwd = _hydra_subprocess_cmd(local_rank=1)
    assert command[:-5] == [sys.executable, *program]
    assert command[-5:-2] == ["--config-dir=/own", "seed=1", f'hydra.run.dir="{job}"']
    assert cwd == str(job.parent)
    assert sys.argv[1:] == ["-m", "seed=0,1", "--pipe"]
    assert sys.modules["__main__"].__spec__ is spec
