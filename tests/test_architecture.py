"""The house: sim -> labeler -> plgp -> robot, imports in one direction, no private names of others."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = ["sim", "labeler", "plgp", "robot"]


def imports(path):
    """Yields (package, imported names or dotted path) of every import in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((a.name.split(".")[0], a.name.split(".")) for a in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names = [*node.module.split("."), *(a.name for a in node.names)]
            yield node.module.split(".")[0], names


@pytest.mark.parametrize("floor", FLOORS)
def test_imports_only_from_below_and_never_private_names(floor):
    files = list((ROOT / floor).rglob("*.py"))
    assert files
    above = FLOORS[FLOORS.index(floor) + 1 :]
    for path in files:
        for package, names in imports(path):
            assert package not in above, f"{path.name} imports {package}, a floor above"
            if package in FLOORS and package != floor:
                private = [n for n in names if n.startswith("_")]
                assert not private, f"{path.name} imports {private} of {package}"


def test_the_guard_sees_a_wrong_import(tmp_path):
    bad = tmp_path / "bad.py"
    bad.write_text("from plgp.policy import _decode\nimport robot.arm\n")
    assert [(p, n[-1]) for p, n in imports(bad)] == [("plgp", "_decode"), ("robot", "arm")]


@pytest.mark.parametrize("package", FLOORS)
def test_importing_a_package_stays_cheap(package):
    heavy = ["pybullet", "torch", "numba", "wandb", "h5py", "pandas", "lightning", "matplotlib"]
    code = f"import sys, {package}; print([m for m in {heavy!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "[]"


def test_tests_are_no_packages():
    assert not list((ROOT / "tests").rglob("__init__.py"))
