"""Every notebook and example runs from its first line to its last, wherever Jupyter was started."""

import runpy
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
LONG = ("data_set", "network_maps", "compare_runs", "labels")  # for what they generate, label and train
MARKED = [pytest.param(p, id=p.stem, marks=[pytest.mark.slow] if p.stem in LONG else []) for p in NOTEBOOKS]


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", MARKED)
def test_notebook_runs(path, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "commit notebooks without their outputs"
    elsewhere = {"metadata": {"path": str(tmp_path)}}
    done = NotebookClient(notebook, timeout=300, kernel_name="python3", resources=elsewhere).execute()
    outputs = [o for cell in done.cells if cell.cell_type == "code" for o in cell.outputs]
    assert any("image/png" in o.get("data", {}) for o in outputs)


def test_the_newcomers_policy_is_measured():
    """notebooks/own_policy.py with fewer grasps; its main part takes half a minute."""
    from sim.benchmark import BenchmarkSettings, run_benchmark
    from sim.benchmark.scene_sets import load_scene_set

    path = Path(__file__).parents[1] / "notebooks" / "own_policy.py"
    assert len(path.read_text().splitlines()) <= 30
    policy = runpy.run_path(str(path))["HighestPoint"]()
    scenes = load_scene_set("plgp-320-v2")["novel-5"][:1]
    attempts = run_benchmark(policy, scenes, [0.4], BenchmarkSettings(count=10, max_failures=2))
    ranked = attempts[attempts.protocol == "rank"]
    assert (ranked.given == 10).all()
    assert ranked.success.any()
