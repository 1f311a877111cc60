"""What the pages say is so: links, paths, names and commands exist, and the recipes of CONTRIBUTING can be followed."""

import ast
import functools
import importlib
import importlib.util
import re
import shlex
import sys
import tomllib
import unicodedata
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate

from sim.cli import call, check_choices, conf_folder, drop_null_choices
from sim.errors import InputError

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    p
    for pattern in ("*.md", "*/README.md", "docs/**/*.md")
    for p in ROOT.glob(pattern)
    if not {"outputs", "data", ".venv", "site"} & set(p.relative_to(ROOT).parts)
)
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
FENCE = re.compile(r"^(`{3,})(\w*) *([^\n]*)\n(.*?)^\1 *$", re.MULTILINE | re.DOTALL)
FLOORS = "sim|labeler|plgp|robot"
# Hydra applications: the command without `python` -> its YAML in conf/.
HYDRA = {("train.py",): "train", ("-m", "plgp.benchmark"): "benchmark", ("-m", "plgp.predict"): "predict"}
HYDRA |= {("-m", "labeler", "generate"): "generate", ("-m", "sim", "objects"): "sim"}
HYDRA |= {("-m", "robot", name): name for name in ("pick", "table5", "check", "capture")}
# Other commands: module -> its function, where it has no subcommands.
PLAIN = {f"plgp.{name}": name for name in ("report", "failures", "export", "costs")}


class Fence(NamedTuple):
    language: str
    title: str
    text: str


@functools.cache
def fences(page):
    found = FENCE.findall(page.read_text())
    return [Fence(f[1], (re.findall(r'title="(.*?)"', f[2]) or [""])[0], f[3]) for f in found]


@functools.cache
def prose(page):
    """A page without its fences."""
    return FENCE.sub("", page.read_text())


def spans(page):
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", prose(page))


def commands(page):
    """Every command line of a page, without its comment: in fences without a language, and in code spans."""
    lines = [line for f in fences(page) if f.language in ("", "bash") for line in f.text.splitlines()]
    for line in (*lines, *spans(page)):
        if re.match(r"(?:python|make|plgp-[a-z]+)(?: |$)", line):
            yield re.sub(r" +#.*", "", line)


def anchors(page):
    for heading in re.findall(r"^#+ (.*?)\s*$", prose(page), re.MULTILINE):
        text = unicodedata.normalize("NFKD", re.sub(r"[`*]", "", heading)).encode("ascii", "ignore").decode()
        yield re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower())


@each_page
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        place = (page.parent / path).resolve() if path else page
        assert place.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in set(anchors(place)), f"{page.name} links to {target}"


@each_page
def test_paths_exist(page):
    for span in spans(page):
        kept = re.fullmatch(r"(results/\w+)/.*", span)  # what lies below is packed: its runs are no folders
        path = kept[1] if kept else span
        inside = re.fullmatch(rf"(?:{FLOORS}|conf|docs|tests|notebooks|results|\.ci|\.github)/[\w./-]*", path)
        if inside and not path.startswith(("docs/my", "conf/my")):
            assert (ROOT / path).exists() or path in recipe_files(), f"{page.name} names {span}"


def resolve(name):
    """The object of a dotted name."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        module = ".".join(parts[:end])
        try:
            found = importlib.import_module(module)
        except ModuleNotFoundError as error:
            if error.name is None or not module.startswith(error.name):
                raise
            continue
        return functools.reduce(getattr, parts[end:], found)
    raise AttributeError(name)


@each_page
def test_dotted_names_exist(page):
    for span in spans(page):
        if re.fullmatch(rf"(?:{FLOORS})(?:\.\w+)+", span):
            resolve(span)


@each_page
def test_python_examples_parse_and_import_what_exists(page):
    for fence in fences(page):
        if fence.language == "python" and "--8<--" not in fence.text:
            for node in ast.walk(ast.parse(fence.text)):
                if isinstance(node, ast.ImportFrom) and re.match(FLOORS, node.module):
                    for alias in node.names:
                        getattr(importlib.import_module(node.module), alias.name)


def composed(config_name, words):
    """Composes a Hydra application as a command line asks; of each sweep the first value."""
    if config_name == "predict":
        from plgp.predict import quoted

        words = quoted(words)
    check_choices(words, config_name)
    if config_name != "predict" and "-m" in words:
        words = [re.sub(r"=([^\[,'\"]+),.*", r"=\1", w) for w in words if w != "-m"]
    words = [w for w in drop_null_choices(words) if not w.startswith(("hydra", "--"))]
    GlobalHydra.instance().clear()
    with initialize_config_module("plgp_conf", version_base="1.3"):
        return compose(config_name, words)


def plain_function(module, words):
    """The function behind a command that is no Hydra application, and the words after its name."""
    if module == "plgp.report" and words[0] in ("dashboard", "leaderboard", "pack", "wandb"):
        return getattr(importlib.import_module(module), words[0]), words[1:]
    if module in PLAIN:
        return getattr(importlib.import_module(module), PLAIN[module]), words
    function = getattr(importlib.import_module(f"{module}.__main__"), words[0].replace("-", "_"))
    return function, words[1:]


def check_command(line):
    program, *words = shlex.split(line)
    if program == "make":
        targets = re.findall(r"^([\w.-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert words[0] in targets, line
        return
    if program != "python":
        assert program in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"], line
        return
    if words[:2] == ["-m", "sim"] and "=" in "".join(words[2:3]):
        words.insert(2, "objects")
    for start, config_name in HYDRA.items():
        if tuple(words[: len(start)]) == start:
            rest = words[len(start) :]
            if rest != ["--help"]:
                composed(config_name, rest)
            return
    if words[0] != "-m":
        assert (ROOT / words[0]).exists(), line
    elif not re.match(rf"(?:{FLOORS})\b", words[1]):
        assert importlib.util.find_spec(words[1]), line
    elif words[2:] not in ([], ["--help"]):
        function, rest = plain_function(words[1], words[2:])
        if rest not in ([], ["--help"]):
            call(functools.wraps(function)(lambda *_, **__: 0), rest, line)
    else:
        assert importlib.util.find_spec(words[1]), line


def of_results(page):
    """Pages of figures: their many commands were run when they were written, and are read again by slow tests."""
    return page.parent.name == "results" or page.name == "CHANGELOG.md"


@pytest.mark.parametrize(
    "page",
    [pytest.param(p, marks=pytest.mark.slow) if of_results(p) else p for p in PAGES],
    ids=lambda p: p.relative_to(ROOT).as_posix(),
)
def test_commands_are_understood(page):
    if page == ROOT / "results/README.md":
        pytest.skip("its commands are those of the time")
    for line in commands(page):
        if re.search(r"=\[?my_(?!module)|=tiny", line):
            continue  # recipes: followed below
        try:
            check_command(line)
        except Exception as error:
            raise AssertionError(f"{page.name}: {line}: {error}") from error


@each_page
def test_choices_exist(page):
    if page == ROOT / "results/README.md":
        pytest.skip("its choices are those of the time")
    for span in spans(page):
        match = re.fullmatch(r"(\w+)=([\w./-]+)", span)
        if match and (conf_folder() / match[1]).is_dir() and not match[2].isupper():
            known = {p.relative_to(conf_folder() / match[1]).with_suffix("").as_posix() for p in groups(match[1])}
            assert match[2] in known | {"null"}, f"{page.name} says {span}"


def groups(name):
    return (conf_folder() / name).rglob("*.yaml")


def test_the_checks_see_what_is_wrong():
    for line in ("make nothing", "python -m labeler vanish data", "python -m labeler stats d oot=x", "plgp-nothing x"):
        with pytest.raises((AssertionError, AttributeError, InputError)):
            check_command(line)
    for line in ("python train.py network=none_such", "python -m plgp.benchmark scenes=drop", "python none.py"):
        with pytest.raises((AssertionError, InputError)):
            check_command(line)
    with pytest.raises(Exception, match="no_such_key"):
        check_command("python -m plgp.benchmark no_such_key=3")
    with pytest.raises(AttributeError):
        resolve("sim.camera.Nothing")


API = {n for p in (ROOT / "docs/api").glob("*.md") for n in re.findall(r"^::: (\S+)", p.read_text(), re.MULTILINE)}


@pytest.mark.parametrize("name", sorted(API))
def test_names_of_the_api_pages_exist(name):
    resolve(name)


@pytest.mark.parametrize("floor", ["sim", "labeler", "plgp"])
def test_every_public_name_of_a_floor_has_its_place_in_the_api(floor):
    documented = [resolve(name) for name in API]
    inside = [getattr(m, n) for m in documented if hasattr(m, "__path__") or hasattr(m, "__spec__") for n in dir(m)]
    package = importlib.import_module(floor)
    missing = [n for n in package.__all__ if not any(getattr(package, n) is d for d in (*documented, *inside))]
    assert not missing


def test_the_front_page_is_short_and_pictures_are_small():
    assert len((ROOT / "README.md").read_text().split()) <= 900
    shown = {t for p in PAGES for t in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", p.read_text())}
    assert {Path(t).name for t in shown} >= {"scene.png", "frames.png", "rays.png"}
    for picture in (ROOT / "docs").rglob("*.png"):
        assert picture.stat().st_size < 300_000, picture.name
        assert picture.name in {Path(t).name for t in shown}, f"no page shows {picture.name}"


def test_every_page_of_the_site_stands_in_its_navigation():
    listed = re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert set(listed) == {p.relative_to(ROOT / "docs").as_posix() for p in (ROOT / "docs").rglob("*.md")}


def test_the_software_is_cited_by_its_version_and_ci_runs_what_it_says():
    import plgp

    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert cited["version"] == plgp.__version__
    assert len(cited["preferred-citation"]["authors"]) == 6
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    assert {"run": ".ci/run"} in workflow["jobs"]["ci"]["steps"]
    assert "make docs" in (ROOT / ".ci/run").read_text()
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert {h["entry"].split()[0] for h in hooks} == {"ruff", "mypy"}


# The recipes of CONTRIBUTING.md, followed as they stand there.


@functools.cache
def recipe_files():
    return {f.title: f.text for f in fences(ROOT / "CONTRIBUTING.md") if f.title}


@pytest.fixture
def recipes(tmp_path, monkeypatch):
    """A folder that holds the recipes' files, in which one works."""
    for name, text in recipe_files().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def follow(folder, config_name, *words):
    """Composes with the recipes' YAML files beside those of conf/."""
    GlobalHydra.instance().clear()
    with initialize_config_module("plgp_conf", version_base="1.3"):
        return compose(config_name, [f"hydra.searchpath=[file://{folder / 'conf'}]", *words])


def module_of(path, name):
    """The module of a recipe's file, under the name that it would have in the repository."""
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_gripper_is_added(recipes):
    config = follow(recipes, "benchmark", "policy=antipodal", "gripper=my_hand")
    gripper = instantiate(config.gripper)
    assert (gripper.finger_width, gripper.max_opening) == (0.020, 0.090)
    settings = instantiate(config.settings, _convert_="all")
    assert settings.gripper == gripper


def test_an_object_set_is_added(recipes):
    import trimesh

    (recipes / "my_meshes").mkdir()
    trimesh.creation.box((40, 30, 20)).export(recipes / "my_meshes/box.stl")
    words = ["objects=my_objects", "objects.meshes.resolution=20000", "objects.workers=1"]
    objects = instantiate(follow(recipes, "sim", *words).objects)
    assert len(objects) == 1
    corners = objects.models[0].mesh().vertices
    assert sorted(corners.max(0) - corners.min(0)) == pytest.approx([0.02, 0.03, 0.04], abs=1e-3)


def test_a_depth_cameras_noise_is_added(recipes):
    noise = instantiate(follow(recipes, "generate", "depth_noise=my_camera").recipe.depth_noise)
    assert (noise.sigma, noise.blurs) == (0.002, 3)


def test_a_policy_is_measured_in_one_scene(recipes):
    from plgp.evaluation.evaluate import evaluate

    words = ["policy=my_policy", "limit=1", "frictions=[0.4]", "workers=1", "benchmark.count=2"]
    config = follow(recipes, "benchmark", *words, "benchmark.max_failures=1")
    summary = evaluate(config, recipes / "out")
    assert set(summary.policy) == {"my_policy"}
    assert summary.attempts.min() >= 3


def test_a_network_is_added(recipes, monkeypatch):
    import torch

    import plgp.networks
    from plgp.module import build_network

    module = module_of(recipes / "plgp/networks/tiny.py", "plgp.networks.tiny")
    monkeypatch.setitem(sys.modules, "plgp.networks.tiny", module)
    monkeypatch.setattr(plgp.networks, "TinyNet", module.TinyNet, raising=False)
    config = follow(recipes, "train", "network=tiny")
    maps = build_network(config.network, channels=1, bins=18)(torch.zeros(1, 1, 32, 48))
    assert [m.shape[1] for m in maps] == [1, 18, 18]


def test_a_command_is_added(recipes, monkeypatch, capsys):
    module = module_of(recipes / "count.py", "count")
    monkeypatch.setattr(sys, "argv", ["count", "count", str(recipes), "pattern=*.py"])
    with pytest.raises(SystemExit) as end:
        module.main()
    assert end.value.code == 0
    assert capsys.readouterr().out == "2\n"


def test_a_file_format_is_added(recipes):
    import numpy as np

    from labeler import GraspLabels

    module = module_of(recipes / "labeler/formats/table.py", "labeler.formats.table")
    pixels, reals = np.array([3, 5], np.uint16), np.array([0.02, 0.04], np.float32)
    module.write_table(GraspLabels(pixels, pixels, pixels.astype(np.uint8), reals, reals, reals), recipes / "x.txt")
    assert np.loadtxt(recipes / "x.txt")[:, 4] == pytest.approx(reals)
