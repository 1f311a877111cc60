"""The wheel carries everything: its commands work from any folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
FLOORS = ("sim", "labeler", "plgp", "robot")
HELP = """
import runpy, sys
for words in ("plgp.train", "plgp.benchmark", "sim objects", "labeler generate"):
    sys.argv[1:] = [*words.split()[1:], "--help"]
    try:
        runpy.run_module(words.split()[0], run_name="__main__", alter_sys=True)
        print("status 0")
    except SystemExit as end:
        print("status", end.code or 0)
"""


def test_installed_wheel_runs_elsewhere(tmp_path):
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    source = tmp_path / "source"  # a build leaves its own folder behind, whose stale files a next one would take
    for name in (*FLOORS, "conf"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [*pip, "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(source)]
    subprocess.run(build, check=True, cwd=tmp_path)
    wheel = next(tmp_path.glob("plgp-*.whl"))
    site = tmp_path / "site"
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)], check=True)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    packages = {p.parent.relative_to(source) for f in FLOORS for p in (source / f).rglob("*.py")}
    assert all((site / package / "__init__.py").is_file() for package in packages)
    done = subprocess.run(
        [sys.executable, "-c", HELP], capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Settings (") == done.stdout.count("status 0") == 4
    line = [sys.executable, "-m", "sim", "objects", "objects.last=1"]
    done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, env=environment, check=True)
    assert "2 objects, 2 of them fit" in done.stdout
    where = (
        "import plgp, plgp_conf, sim.benchmark.scene_sets as s; from plgp.policy import pretrained_checkpoint as p; "
        "print(plgp.__file__, p().stat().st_size > 1e5, len(s.load_scene_set('plgp-320-v2')))"
    )
    line = [sys.executable, "-c", where]
    done = subprocess.run(line, capture_output=True, text=True, cwd=tmp_path, env=environment, check=True)
    assert done.stdout.startswith(str(site))
    assert done.stdout.endswith("True 4\n")
