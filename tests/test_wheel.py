"""The wheel carries everything: its commands work from any folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_installed_wheel_runs_elsewhere(tmp_path):
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, cwd=tmp_path)
    wheel = next(tmp_path.glob("plgp-*.whl"))
    site = tmp_path / "site"
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)], check=True)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    for module in ("plgp.train", "plgp.benchmark", "sim", "labeler"):
        line = [sys.executable, "-m", module, *(["generate"] if module == "labeler" else []), "--help"]
        done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
        assert done.returncode == 0, done.stderr
        assert "Settings" in done.stdout
    where = (
        "import plgp, plgp_conf, sim.benchmark.scene_sets as s; from plgp.policy import pretrained_checkpoint as p; "
        "print(plgp.__file__, p().stat().st_size > 1e5, len(s.load_scene_set('plgp-320')))"
    )
    line = [sys.executable, "-c", where]
    done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, env=environment, check=True)
    assert done.stdout.startswith(str(site))
    assert done.stdout.endswith("True 4\n")
