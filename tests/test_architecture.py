"""The house: sim -> labeler -> plgp -> robot, one direction, no circles, small rooms, no private names of others."""

import ast
import inspect
import re
import subprocess
import sys
from collections import defaultdict
from functools import cache
from importlib import import_module
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FLOORS = ["sim", "labeler", "plgp", "robot"]
FILES = sorted(path for floor in FLOORS for path in (ROOT / floor).rglob("*.py"))
LINES, FUNCTION, MODULES, POSITIONAL, TWICE = 400, 60, 14, 3, 10
# Public names whose positional parameters others rely on, and values whose fields are their order.
POSITIONAL_BY_CONTRACT = {
    *("attempt", "run_benchmark", "deepest_free_depth", "deproject", "rasterise", "render_view"),
    *("from_fov", "from_folder"),
    "forward",  # of torch
    "on_train_batch_end",  # of Lightning
}


@cache
def tree(path):
    return ast.parse(path.read_text())


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {module_name(path): path for path in FILES}


def imports(node):
    """Yields (package, dotted path and names) of every import in a tree, wherever it stands."""
    for found in ast.walk(node):
        if isinstance(found, ast.Import):
            yield from ((a.name.split(".")[0], a.name.split(".")) for a in found.names)
        elif isinstance(found, ast.ImportFrom) and found.module and found.level == 0:
            for alias in found.names:
                yield found.module.split(".")[0], [*found.module.split("."), alias.name]


@pytest.mark.parametrize("floor", FLOORS)
def test_imports_only_from_below_and_never_private_names(floor):
    above = FLOORS[FLOORS.index(floor) + 1 :]
    files = [p for p in FILES if p.relative_to(ROOT).parts[0] == floor]
    assert files
    for path in files:
        for package, names in imports(tree(path)):
            assert package not in above, f"{path.name} imports {package}, a floor above"
            if package in FLOORS and package != floor:
                private = [n for n in names if n.startswith("_") and not n.startswith("__")]
                assert not private, f"{path.name} imports {private} of {package}"


def strings(node):
    """Yields every string that is no docstring."""
    docs = set()
    for found in ast.walk(node):
        if isinstance(found, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(found, clean=False):
            docs.add(id(found.body[0].value))
        if isinstance(found, ast.Constant) and isinstance(found.value, str) and id(found) not in docs:
            yield found.value


@pytest.mark.parametrize("floor", FLOORS[:-1])
def test_no_floor_names_an_upper_one_in_a_string(floor):
    above = "|".join(FLOORS[FLOORS.index(floor) + 1 :])
    for path in (ROOT / floor).rglob("*.py"):
        named = [text for text in strings(tree(path)) if re.search(rf"(?<![\w-])(?:{above})\.[a-z_]+\b(?!/)", text)]
        assert not named, f"{path.relative_to(ROOT)} names an upper floor: {named[0][:80]}"


def target(names):
    """The module of this house that an import reaches, if any."""
    for end in (len(names), len(names) - 1):
        if ".".join(names[:end]) in NAMES:
            return ".".join(names[:end])
    return None


def test_there_is_no_import_cycle():
    """Typing imports and imports within functions count."""
    graph = {
        name: {t for _, names in imports(tree(path)) if (t := target(names)) and t != name}
        for name, path in NAMES.items()
    }
    done, way = set(), []

    def visit(name):
        assert name not in way, " -> ".join([*way[way.index(name) :], name])
        if name not in done:
            way.append(name)
            for following in sorted(graph[name]):
                visit(following)
            way.pop()
            done.add(name)

    for name in sorted(graph):
        visit(name)
    assert any(graph.values())


@pytest.mark.parametrize("path", FILES, ids=lambda p: module_name(p))
def test_modules_and_functions_are_small(path):
    assert len(path.read_text().splitlines()) <= LINES
    for found in ast.walk(tree(path)):
        if isinstance(found, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert found.end_lineno - found.lineno < FUNCTION, f"{found.name} has more than {FUNCTION} lines"


def test_rooms_are_small():
    counts = defaultdict(list)
    for path in FILES:
        if not path.name.startswith("__"):
            counts[path.parent].append(path.name)
    assert {str(f.relative_to(ROOT)): names for f, names in counts.items() if len(names) > MODULES} == {}


def is_compiled(function):
    names = ("compiled", "uncounted", "njit")
    return any(name in ast.unparse(d) for d in function.decorator_list for name in names)


@pytest.mark.parametrize("path", FILES, ids=lambda p: module_name(p))
def test_parameters_beyond_the_third_are_keyword_only(path):
    for found in ast.walk(tree(path)):
        if not isinstance(found, ast.FunctionDef) or is_compiled(found) or found.name in POSITIONAL_BY_CONTRACT:
            continue
        given = [a.arg for a in (*found.args.posonlyargs, *found.args.args) if a.arg not in ("self", "cls")]
        assert len(given) <= POSITIONAL or found.name.startswith("_"), f"{found.name}({', '.join(given)})"


def settings_classes():
    for name, path in NAMES.items():
        for found in tree(path).body:
            if isinstance(found, ast.ClassDef) and found.name.endswith("Settings"):
                yield pytest.param(name, found.name, id=found.name)


@pytest.mark.parametrize(("module", "name"), settings_classes())
def test_settings_are_given_by_name(module, name):
    kinds = {p.kind for p in inspect.signature(getattr(import_module(module), name)).parameters.values()}
    assert kinds == {inspect.Parameter.KEYWORD_ONLY}


def test_no_ten_lines_stand_twice():
    """Imports, docstrings, comments and lone brackets do not count."""
    seen = defaultdict(list)
    for path in FILES:
        skipped = set()
        for found in ast.walk(tree(path)):
            if isinstance(found, (ast.Import, ast.ImportFrom)) or (
                isinstance(found, ast.Expr) and isinstance(found.value, ast.Constant)
            ):
                skipped |= set(range(found.lineno, found.end_lineno + 1))
        lines = [
            (number, text.strip())
            for number, text in enumerate(path.read_text().splitlines(), 1)
            if number not in skipped and re.search(r"\w{2}", text) and not text.strip().startswith("#")
        ]
        for i in range(len(lines) - TWICE + 1):
            run = lines[i : i + TWICE]
            seen["\n".join(text for _, text in run)].append(f"{path.relative_to(ROOT)}:{run[0][0]}")
    twice = [places for places in seen.values() if len(places) > 1]
    assert not twice, twice[:5]


STUBS = sorted(path for floor in FLOORS for path in (ROOT / floor).rglob("__init__.pyi"))


@pytest.mark.parametrize("stub", STUBS, ids=lambda p: module_name(p.with_suffix(".py")))
def test_every_name_of_a_stub_is_there(stub):
    package = import_module(module_name(stub.with_suffix(".py")))
    names = [a.name for node in tree(stub).body if isinstance(node, ast.ImportFrom) for a in node.names]
    assert names
    for name in names:
        assert getattr(package, name) is not None
    assert set(names) <= set(dir(package))
    imported = [ast.unparse(node) for node in tree(stub).body if isinstance(node, ast.ImportFrom)]
    assert all(a < b for a, b in pairwise(imported)) or imported == sorted(set(imported), key=imported.index)


FORMER = {
    "sim": ["policies.RandomPolicy", "appearance.Appearance", "attempt.AttemptSettings", "meshes.MeshSettings"],
    "labeler": ["generate.DataSetRecipe"],
    "plgp": ["contact_graspnet.ContactGraspNetPolicy", "policy.DecoderSettings", "networks.GGCNN2"],
}
FORMER["sim"] += ["scene_sets.load_scene_set", "benchmark.BenchmarkSettings", "objects.ObjectSet"]


@pytest.mark.parametrize("name", [f"{package}.{name}" for package, names in FORMER.items() for name in names])
def test_names_in_saved_configurations_still_resolve(name):
    from hydra.utils import get_object

    assert get_object(name).__name__ == name.rpartition(".")[2]


def test_the_guards_see_what_is_wrong():
    bad = ast.parse("from plgp.policy import _decode\nimport robot.arm\n'''pkg://plgp.conf'''\nx = 'plgp.conf'\n")
    assert [(p, n[-1]) for p, n in imports(bad)] == [("plgp", "_decode"), ("robot", "arm")]
    assert list(strings(ast.parse('"""Doc of plgp.conf."""\nx = "plgp.conf"'))) == ["plgp.conf"]
    assert is_compiled(ast.parse("@compiled\ndef f(a): ...").body[0])
    assert target(["sim", "camera", "PinholeCamera"]) == "sim.camera"


@pytest.mark.parametrize("package", FLOORS)
def test_importing_a_package_stays_cheap(package):
    heavy = ["pybullet", "torch", "numba", "wandb", "h5py", "pandas", "lightning", "matplotlib", "numpy"]
    code = f"import sys, {package}; print([m for m in {heavy!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "[]"


def test_commands_start_without_what_they_may_not_need():
    """A wrong word, a help or a benchmark of baselines waits for neither torch nor the networks' libraries."""
    doors = ["plgp.benchmark", "plgp.predict", "plgp.report", "plgp.failures", "plgp.train", "robot.commands"]
    heavy = ["torch", "lightning", "segmentation_models_pytorch", "wandb", "albumentations"]
    code = f"import sys, {', '.join(doors)}; print([m for m in {heavy!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "[]"


def test_tests_mirror_the_packages():
    assert not list((ROOT / "tests").rglob("__init__.py"))
    rooms = {p.parent.relative_to(ROOT) for p in FILES}
    folders = {p.parent.relative_to(ROOT / "tests") for f in FLOORS for p in (ROOT / "tests" / f).rglob("test_*.py")}
    assert folders <= rooms
