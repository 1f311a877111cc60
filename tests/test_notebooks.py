"""Every notebook and example runs from its first line to its last, wherever Jupyter was started."""

import ast
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


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_can_be_run_again_in_any_order(path):
    """What the first cell makes, no later cell makes anew: cells between would mix the two."""
    cells = [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    first, *others = [set(stored_names(source)) for source in cells]
    assert [first & names for names in others] == [set()] * len(others)


def stored_names(source):
    """Yields the names that a cell gives a value, those within comprehensions left out."""
    waiting = [ast.parse("\n".join(line for line in source.splitlines() if not line.startswith("%")))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        waiting += [n for n in ast.iter_child_nodes(node) if not isinstance(n, ast.comprehension)]


@pytest.mark.slow
def test_the_notebook_of_labels_goes_through_with_a_few_labels():
    """One object, and a hand that opens 16 mm."""
    changes = {"scene.drop(8, rng)": "scene.drop(1, rng)", "GripperGeometry()": "GripperGeometry(max_opening=0.016)"}
    names = {"__name__": "notebook"}
    for cell in nbformat.read(NOTEBOOKS[0].parent / "labels.ipynb", as_version=4).cells:
        source = cell.source if cell.cell_type == "code" else ""
        for old, new in changes.items():
            source = source.replace(old, new)
        exec(source, names)
    assert 0 < len(names["labels"]) < 10
    assert len(names["results"]) == len(names["labels"])


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
