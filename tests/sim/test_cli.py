"""The one way in which a command starts and fails."""

import contextlib
import re
import shlex
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Literal

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import InstantiationException, OverrideParseException
from hydra.utils import instantiate
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from sim.cli import (
    FORMER,
    Command,
    call,
    check_choices,
    conf_folder,
    dispatch,
    drop_null_choices,
    guarded,
    run_command,
    run_hydra,
)
from sim.cli.choices import flags_first
from sim.cli.command_line import mendable
from sim.cli.progress import followed, format_seconds
from sim.errors import InputError

GRIPPER = "sim.gripper.GripperGeometry"


def measure(
    dir: Path,
    out: str,
    *,
    count: int = 3,
    frictions: tuple[float, ...] = (0.4,),
    clear: bool = False,
    format: Literal["a", "b"] = "a",
    objects: Path | None = None,
    scene_set: str = "plgp-320",
):
    measure.seen = (dir, out, count, frictions, clear, format, objects, scene_set)
    return count


def test_words_become_the_types_that_parameters_name():
    assert call(measure, ["data", "x"], "p") == 3
    assert measure.seen == (Path("data"), "x", 3, (0.4,), False, "a", None, "plgp-320")
    words = ["data", "x", "count=0", "frictions=[0.2,1]", "clear=True", "format=b", "objects=o", "scene_set=f=g"]
    assert call(measure, words, "p") == 0
    assert measure.seen == (Path("data"), "x", 0, (0.2, 1.0), True, "b", Path("o"), "f=g")
    call(measure, ["data", "x", "objects=null"], "p")
    assert measure.seen[6] is None


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["data"], "`p` needs DIR OUT"),
        (["data", "count=3"], "`p` needs DIR OUT"),
        (["--out", "x"], "`p` needs DIR OUT"),
        (["d", "x", "cuont=3"], r"`p` does not know 'cuont=3'; give count=.*\(did you mean count=\?\)"),
        (["d", "x", "count"], "does not know 'count'"),
        (["d", "x", "scenes=drop"], r"did you mean scene_set=\?"),
        (["d", "x", "count=many"], "count is 'many'; give a whole number"),
        (["d", "x", "frictions=0.2,x"], "frictions is 'x'; give a number, or several with commas"),
        (["d", "x", "clear=yes"], "clear is 'yes'; give true or false"),
        (["d", "x", "format=c"], "format is 'c'; give a or b"),
    ],
)
def test_wrong_words_are_named(words, says):
    with pytest.raises(InputError, match=says):
        call(measure, words, "p")


@given(st.lists(st.text(max_size=12), max_size=5))
def test_any_words_give_a_result_or_one_sentence(words):
    with contextlib.suppress(InputError):
        call(measure, words, "p")


def test_a_required_option_is_asked_for():
    def report(*, runs: tuple[Path, ...]) -> None:
        report.seen = runs

    with pytest.raises(InputError, match=r"runs= is missing; give runs=\.\.\."):
        call(report, [], "p")
    assert call(report, ["runs=a,b"], "p") == 0
    assert report.seen == (Path("a"), Path("b"))


def refuse(dir: Path) -> int:
    raise InputError(f"{dir} is empty; give another")


@pytest.mark.parametrize(
    ("words", "status", "out", "err"),
    [
        ([], None, "usage\n", ""),
        (["--help"], None, "usage\n", ""),
        (["refuse", "--help"], None, "help\n", ""),
        (["refuse", "x"], 2, "", "error: x is empty; give another\n"),
        (["refuse"], 2, "", "error: `p refuse` needs DIR; `p refuse --help` says more\n"),
        (["refute"], 2, "", "error: 'refute' is no command; choose from refuse, raw, stop\n"),
        (["raw", "a=1", "--cfg"], 7, "", ""),
        (["stop"], 130, "", "stopped\n"),
    ],
)
def test_dispatch_says_what_is_wrong_and_exits(words, status, out, err, monkeypatch, capsys):
    def stop() -> None:
        raise KeyboardInterrupt

    commands = {"refuse": Command(run=refuse, help="help\n")}
    commands["raw"] = Command(run=lambda words: 7 if words == ["a=1", "--cfg"] else 1, raw=True)
    commands["stop"] = Command(run=stop)
    monkeypatch.setattr(sys, "argv", ["p", *words])
    if status is None:
        dispatch("p", "usage\n", commands)
    else:
        with pytest.raises(SystemExit) as ended:
            dispatch("p", "usage\n", commands, interrupted="stopped")
        assert ended.value.code == status
    told = capsys.readouterr()
    assert (told.out, told.err) == (out, err)


def pack(*, count: int) -> int:
    return count


def test_a_command_that_needs_no_subcommand(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["p", "-h"])
    run_command("p", "usage\n", refuse)
    assert capsys.readouterr().out == "usage\n"
    monkeypatch.setattr(sys, "argv", ["p"])
    with pytest.raises(SystemExit) as ended:
        run_command("p", "usage\n", refuse)
    assert ended.value.code == 2
    monkeypatch.setattr(sys, "argv", ["p", "pack", "count=7"])
    with pytest.raises(SystemExit) as ended:
        run_command("p", "usage\n", refuse, subcommands={"pack": Command(run=pack)})
    assert ended.value.code == 7


def test_what_cannot_be_mended_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError), guarded():
        1 / 0  # noqa: B018
    with pytest.raises(SystemExit), guarded():
        raise RuntimeError("wrapped") from InputError("mend me")


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path):
    code = "import sys; from sim.cli import guarded\nwith guarded():\n    [print('word') for _ in range(100_000)]\n"
    (tmp_path / "much.py").write_text(code)
    line = f"{sys.executable} {tmp_path / 'much.py'} | head -1"
    done = subprocess.run(line, shell=True, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("word\n", "")


def test_choices_are_checked_early():
    check_choices(["network=ggcnn2", "-m", "seed=0,1", "experiment=demo", "trainer.max_epochs=3", "logger=csv,none"])
    check_choices(["experiment=table2/unet_rgb,table3/bfl", "hydra/launcher=basic", "hydra/job_logging=stdout"])
    for bad in ("trainer=tpu", "loss=paper,papper", "+experiment=dmo", "experiment=table2/ggcnn", "debug=[batch,x]"):
        with pytest.raises(InputError, match="choose one of"):
            check_choices([bad])
    with pytest.raises(InputError, match=r"table3/bfl.*\(did you mean experiment=table2/ggcnn2_depth\?\)"):
        check_choices(["experiment=table2/ggcn2_depth"])


def test_choices_of_ones_own_folder(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "mine.yaml").write_text("# @package _global_\nseed: 3\n")
    with pytest.raises(InputError, match="unknown experiment 'mine'"):
        check_choices(["experiment=mine"])
    check_choices(["experiment=mine", "--config-dir", str(tmp_path)])
    check_choices(["experiment=mine", f"--config-dir={tmp_path}"])


def test_a_wrong_setting_beside_a_choice_of_ones_own_is_named(tmp_path, monkeypatch, capsys):
    """Not the choice, which is right; and the help shows its settings."""
    monkeypatch.setattr("sys.argv", ["plgp.benchmark"])
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    for flag, folder in (("--config-dir", tmp_path / "conf"), ("-cd", tmp_path / "my conf, Jane's")):
        (folder / "gripper").mkdir(parents=True)
        (folder / "gripper/tiny.yaml").write_text("_target_: sim.gripper.GripperGeometry\nmax_opening: 0.0321\n")
        with pytest.raises(SystemExit):
            run_hydra(print, "benchmark", words=[flag, str(folder), "gripper=tiny", "benchmark.cuont=3"])
        assert "no setting 'benchmark.cuont' (did you mean benchmark.count=?)" in capsys.readouterr().err
        run_hydra(print, "benchmark", words=["--help", f"{flag}={folder}", "gripper=tiny"])
        assert "max_opening: 0.0321" in capsys.readouterr().out


def test_a_missing_launcher_is_named(monkeypatch):
    monkeypatch.setattr("sim.cli.choices.find_spec", lambda name: None)
    for launcher in ("cpus", "slurm", "submitit_local"):
        with pytest.raises(InputError, match="pip install"):
            check_choices(["-m", f"hydra/launcher={launcher}"])


def test_a_sweep_whose_settings_are_asked_for_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["sim", "-m", "--cfg", "job"])
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # run_hydra sets both
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(SystemExit) as ended:
        run_hydra(print, "sim", words=["-m", "--cfg", "job"])
    assert ended.value.code == 2
    assert "give one of them" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (
            {"_target_": GRIPPER, "force_n": 3},
            "has no setting 'force_n' (did you mean force?); it has finger_width",
        ),
        ({"a": {"b": {"_target_": GRIPPER, "zzz": 3}}}, f"a.b: {GRIPPER} has no setting 'zzz'; it has finger_w"),
        ({"_target_": "my_module.Mine"}, "there is no module my_module; its folder must be on PYTHONPATH"),
        ({"_target_": "sim.camera.Nope"}, "'sim.camera.Nope' cannot be imported: sim.camera has no 'Nope'"),
        ({"_target_": "sim.benchmark.scene_sets.drop_scene_set"}, "needs 'objects' in its settings"),
        (
            {"_target_": GRIPPER, "finger_width": 17},
            "gripper.finger_width is 17; give a positive length in metres, 1 at",
        ),
        ({"_target_": f"{__name__}.Child", "c": 1}, "Child has no setting 'c'; it has a, b"),
        ({"_target_": f"{__name__}.Bare", "c": 1}, "Bare has no settings"),
    ],
)
def test_a_wrong_target_is_one_sentence(config, says):
    with pytest.raises(InstantiationException) as raised:
        instantiate(OmegaConf.create(config))
    assert says in mendable(raised.value)


@pytest.mark.parametrize(
    "value",
    [
        "/x/dä",
        "/x/a=b",
        "/x/d (1)",
        "it's",
        "a&b",
        "b:c{",
        "/x/$HOME/ä",
        "/x/`id`ä",
        '/x/"ä"',
        "ä\\",
        'ä\\"',
        "range(0,3",
    ],
)
def test_a_word_that_hydra_cannot_read_is_named_with_the_quotes_that_it_wants(value):
    parser = OverridesParser.create()
    with pytest.raises(OverrideParseException) as raised:
        parser.parse_overrides([f"folder={value}"])
    said = mendable(raised.value)
    start = f"'folder={value}' cannot be read; "
    assert said.startswith(f"{start}{'look at its brackets; if it is a text, ' * (value[-1] in '{3')}put what follows")
    (read,) = parser.parse_overrides(shlex.split(said.split("the shell's own: ")[1]))
    assert read.value() == value
    keys = (("földer=/x/y", "'földer' names no setting"), (" folder=a(b)", "' folder' names no setting"))
    for word, cure in (("a=[1,2", "look at its brackets"), ("x y", "give key=value"), *keys):
        with pytest.raises(OverrideParseException) as raised:
            parser.parse_overrides([word])
        assert cure in mendable(raised.value)


def test_a_target_that_fails_for_its_own_reason_keeps_its_traceback(tmp_path, monkeypatch):
    (tmp_path / "needs_more.py").write_text("import not_installed_anywhere\n")
    (tmp_path / "too_old.py").write_text("import numpy as np\nnp.no_such_thing\n")
    monkeypatch.syspath_prepend(tmp_path)
    others = [{"_target_": f"{name}.Mine"} for name in ("needs_more", "too_old")]
    for config in ({"_target_": "json.loads", "s": 3}, {"_target_": f"{__name__}.fails_inside"}, *others):
        with pytest.raises(InstantiationException) as raised:
            instantiate(config)
        assert mendable(raised.value) is None


class Parent:
    def __init__(self, a, b=2):
        pass


class Child(Parent):
    pass


class Bare:
    pass


def fails_inside():
    measure(dir=1, out="", colour=2)


def test_flags_may_stand_between_settings():
    line = ["policy=[random]", "depth_noise=mine", "--config-dir", "my_conf", "limit=2", "-m", "--cfg=job", "a=-3"]
    assert flags_first(line) == ["--config-dir", "my_conf", "-m", "--cfg=job", *line[:2], "limit=2", "a=-3"]
    for line in (["a=1", "--info"], ["--info", "a=1"], ["-i", "a=1"]):
        assert flags_first(line) == ["--info=all", "a=1"]
    assert flags_first(["a=1", "--info", "defaults"]) == ["--info", "defaults", "a=1"]


def test_what_may_be_left_out_says_so_and_what_is_left_out_is_named(monkeypatch, capsys):
    with pytest.raises(InputError, match="choose one of demo, paper, or null for none"):
        check_choices(["final_benchmark=none"])
    monkeypatch.setattr("sys.argv", ["plgp.predict"])
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(SystemExit):
        run_hydra(print, "predict", words=["gripper.max_opening=0.08"])
    assert "gripper is left out, and so has no setting 'max_opening'; choose one first" in capsys.readouterr().err


def test_null_leaves_a_choice_out():
    line = ["experiment=demo", "final_benchmark=null", "resume=null", "trainer.max_time=null", "+experiment=null"]
    assert drop_null_choices(line) == ["experiment=demo", "~final_benchmark", *line[2:]]


@pytest.mark.parametrize(
    ("words", "application", "says"),
    [
        (["dataset=fast"], "generate", "'dataset' is called recipe now; write recipe=fast"),
        (["dataset.object_counts=[5]"], "train", "write recipe.object_counts="),
        (["~evaluation"], "train", "write ~final_benchmark"),
        (["evaluation=null"], "train", "'evaluation' is called final_benchmark now; write final_benchmark=null"),
        (["+evaluation.limit=3"], "train", r"write \+final_benchmark.limit=3"),
        (["scenes=drop"], "benchmark", "'scenes' is called scene_set now; write scene_set=drop"),
        (["scenes.seed=1"], "benchmark", "write scene_set.seed=1"),
        (["scenes=320"], "generate", ""),
        (["callbacks.benchmark.scenes=1"], "train", ""),
    ],
)
def test_former_names_answer_with_todays(words, application, says):
    if not says:
        check_choices(words, application)
        return
    with pytest.raises(InputError, match=says):
        check_choices(words, application)


def test_todays_names_exist():
    assert all((conf_folder() / new).is_dir() and not (conf_folder() / old).exists() for old, new in FORMER.items())


def test_without_a_terminal_long_work_says_now_and_then_how_far_it_is(monkeypatch, capsys):
    """Five scenes of 20 s each: after the second and the fourth more than 30 s have passed."""
    clock = iter([0.0, 20.0, 40.0, 60.0, 80.0, 100.0])
    monkeypatch.setattr("sim.cli.progress.time.monotonic", lambda: next(clock))
    assert list(followed(iter("abcde"), "scenes", 5)) == list("abcde")
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == ["2/5 scenes, 3 a minute, 0:01:00 left", "4/5 scenes, 3 a minute, 0:00:20 left"]


def test_quiet_work_says_nothing_and_nothing_ends_at_once(monkeypatch, capsys):
    monkeypatch.setattr("sim.cli.progress.time.monotonic", iter(range(0, 1000, 40)).__next__)
    assert list(followed(range(3), "scenes", 3, quiet=True)) == [0, 1, 2]
    assert list(followed([], "scenes", 0)) == []
    assert capsys.readouterr().err == ""


def test_durations_carry_over():
    assert [format_seconds(s) for s in (0.4, 59.6, 3599.6)] == ["0:00:00", "0:01:00", "1:00:00"]


def test_a_preset_that_is_no_yaml_is_named_with_its_line(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("force: 5\nframes: {flange: [0, 0\n")
    with pytest.raises(Exception, match="expected") as raised:
        OmegaConf.load(path)
    assert re.search(r"mine.yaml, line 3 is no YAML: expected .*; mend the file", mendable(raised.value))
