"""The leaderboard: rows of one table met the same scenes, the best comes first, and what lacks is named."""

import contextlib
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plgp.evaluation.leaderboard import find_entries, write_leaderboard
from plgp.evaluation.leaderboard.page import markdown
from plgp.report import pack
from sim.errors import InputError

ROOT = Path(__file__).parents[4]
METHOD = {"method": "Theirs | v2", "data": "their data", "by": "them"}


def write_about(folder, methods, **more):
    about = {"scenes": "plgp-320-v2", "hardware": "one core", "command": "python -m plgp.benchmark", "methods": methods}
    (folder / "method.yaml").write_text(yaml.safe_dump(about | more))


@pytest.fixture
def kept(tmp_path, write_scenes):
    root = tmp_path / "results"
    for folder, policy, category, good in (("a", "ours", "novel-5", 2), ("b", "theirs", "novel-5", 3)):
        write_scenes(root / folder, policy, category, good)
        write_about(root / folder, {policy: METHOD | {"method": policy.title()}})
    write_scenes(root / "b", "theirs", "novel-15", 1)
    write_scenes(root / "b", "unnamed", "novel-5", 4)  # not told of: not on the board
    write_scenes(root / "c", "oracle", "novel-5", 4, privileged=True)
    write_about(root / "c", {"oracle": METHOD}, scenes="plgp-320")
    write_scenes(root / "d", "silent", "novel-5", 4)  # no method.yaml
    return root


def test_results_of_another_world_are_refused_in_one_table(tmp_path, write_scenes):
    for folder, policy, world in (("a", "ours", "r"), ("b", "theirs", "r"), ("c", "others", "another gripper")):
        write_scenes(tmp_path / folder, policy, "novel-5", 2, world=world)
        write_about(tmp_path / folder, {policy: METHOD})
    with pytest.raises(InputError, match=r"both say scenes: plgp-320-v2, but were measured in other scenes"):
        find_entries(tmp_path)
    write_about(tmp_path / "c", {"others": METHOD}, scenes="plgp-320-v2, another gripper")
    assert len(find_entries(tmp_path)) == 3


def test_rows_of_one_table_met_the_same_scenes_and_the_best_comes_first(kept, tmp_path):
    entries = find_entries(kept)
    page, table = write_leaderboard(entries, tmp_path / "out" / "board.md")
    text = page.read_text()
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## novel-5 of plgp-320, frictions 0.4",
        "## novel-15 of plgp-320-v2, frictions 0.4",
        "## novel-5 of plgp-320-v2, frictions 0.4",
        "## Commands",
    ]
    last = text.split("## novel-5 of plgp-320-v2")[1]
    assert last.index("| Theirs |") < last.index("| Ours |")
    assert "| Theirs \\| v2\\* | their data |" in text
    assert "unnamed" not in text
    assert "silent" not in text
    assert "| 75.0 (75-75) |" in last
    data = pd.read_csv(table)
    assert len(data) == len(entries) == 4
    assert set(data[(data.method == "Theirs") & (data.category == "novel-5")].AP) == {75}


@pytest.mark.parametrize(
    ("methods", "more", "message"),
    [
        ({"ours": {"method": "a", "data": "b"}}, {}, "lacks methods.ours.by"),
        ({"ours": METHOD}, {"hardware": ""}, "lacks hardware"),
        ({"ours": "a"}, {}, "lacks methods.ours.method"),
        ({"wrong": METHOD}, {}, "names the policy 'wrong', but the results beside it are of ours"),
        ([], {}, "methods holds no policy"),
    ],
)
def test_what_an_entry_lacks_is_named(tmp_path, methods, more, message, write_scenes):
    write_scenes(tmp_path, "ours", "novel-5", 2)
    write_about(tmp_path, methods, **more)
    with pytest.raises(InputError, match=message):
        find_entries(tmp_path)


def test_a_row_is_the_same_from_the_run_and_packed(kept, tmp_path):
    """Attempts and method.yaml go together into the few files that Git keeps."""
    pack(runs=(kept / "b",), out=tmp_path / "packed")
    before, after = (find_entries(root) for root in (kept / "b", tmp_path / "packed"))
    assert len(before) == len(after) == 2
    for ours, theirs in zip(before, after, strict=True):
        assert (ours.method, ours.category, ours.command) == (theirs.method, theirs.category, theirs.command)
        pd.testing.assert_series_equal(ours.means, theirs.means)
    assert {p.name for p in (tmp_path / "packed").iterdir()} == {"attempts.parquet", "runs.json", "method.yaml"}


def test_no_folder_no_entry_and_no_yaml_are_named(tmp_path):
    with pytest.raises(InputError, match="no folder"):
        find_entries(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"no method\.yaml"):
        find_entries(tmp_path)
    (tmp_path / "method.yaml").write_text("a: [")
    with pytest.raises(InputError, match="is no YAML"):
        find_entries(tmp_path)


TOLD = st.none() | st.floats() | st.text(max_size=6) | st.lists(st.text(max_size=3), max_size=2)
ABOUT = st.dictionaries(
    st.sampled_from(["scenes", "hardware", "command", "methods"]),
    TOLD | st.dictionaries(st.sampled_from(["ours", "x", "${y}"]), TOLD | st.just(METHOD), max_size=2),
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(about=ABOUT.map(yaml.safe_dump) | st.text(st.characters(codec="utf-8"), max_size=40), whole=st.booleans())
def test_any_file_is_an_entry_or_one_sentence(measured, about, whole):
    """With ``whole`` what the file lacks stands before it."""
    head = yaml.safe_dump({"scenes": "a", "hardware": "b", "command": "c | d", "methods": {"ours": METHOD}})
    (measured / "method.yaml").write_text(head + about if whole else about, encoding="utf-8")
    with contextlib.suppress(InputError):
        entries = find_entries(measured)
        page, _ = write_leaderboard(entries, measured / "board.md")
        assert "## novel-5 of " in page.read_text()


@pytest.fixture
def measured(tmp_path, write_scenes):
    """Folder of one measured policy, "ours"."""
    write_scenes(tmp_path, "ours", "novel-5", 2)
    return tmp_path


def test_the_page_of_the_documentation_is_that_of_the_kept_results():
    assert (ROOT / "docs/results/leaderboard.md").read_text() == markdown(find_entries(ROOT / "results"))


def test_the_command(kept, tmp_path, command_line):
    done = command_line("plgp.report", f"leaderboard={kept}", f"out={tmp_path / 'page.md'}", cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "page.md").read_text() == markdown(find_entries(kept))
