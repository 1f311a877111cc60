"""Measuring policies side by side: the evaluation at the end of a run, and its command."""

import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from omegaconf import OmegaConf

from plgp.benchmark import default_folder, evaluate, main
from plgp.evaluation.evaluate import _identify
from sim.benchmark import WALL_TIMES
from sim.benchmark.statistics import SUMMARY_COLUMNS
from sim.benchmark.store import read_attempts
from sim.cli import input_error

SMALL = ["limit=1", "frictions=[0.4]", "workers=1", "benchmark.count=3", "benchmark.max_failures=2"]


def composed(*overrides):
    with initialize_config_module("plgp_conf", version_base="1.3"):
        return compose("benchmark", overrides=[*SMALL, *overrides])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """An untrained network's file, as a run would write it."""
    import lightning

    with initialize_config_module("plgp_conf", version_base="1.3"):
        config = compose("train", overrides=["output=unused"])
    module = instantiate(OmegaConf.create(OmegaConf.to_container(config.module, resolve=True)))
    trainer = lightning.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.strategy.connect(module)
    path = tmp_path_factory.mktemp("run") / "network.ckpt"
    trainer.save_checkpoint(path)
    return path


@pytest.mark.parametrize("more", [(), pytest.param(("antipodal", "constant"), marks=pytest.mark.slow)])
def test_evaluation_writes_tables_attempts_and_pictures(checkpoint, tmp_path, capsys, more):
    policies = ["random", "untrained", "network", "oracle", *more]
    choices = [
        f"checkpoint={checkpoint}",
        f"policy=[{','.join(policies)}]",
        "compare=random",
        "gif.count=1",
        "page=true",
        "benchmark.count=1",
        "benchmark.max_failures=1",
    ]
    summary = evaluate(composed(*choices), tmp_path)
    assert list(summary.columns) == SUMMARY_COLUMNS
    assert list(summary.policy.unique()) == policies
    printed = capsys.readouterr().out
    assert "oracle*" in printed  # privileged
    assert "difference from random" in printed
    written = pd.read_csv(tmp_path / "summary.csv", dtype={"friction": str})
    pd.testing.assert_frame_equal(written, summary)
    attempts = pd.read_csv(tmp_path / "attempts.csv")
    assert len(attempts) == summary[summary.friction == "mean"].attempts.sum() == len(read_attempts(tmp_path))
    assert attempts[attempts.policy == "oracle"].privileged.all()
    assert not attempts[attempts.policy == "network"].privileged.any()
    assert set(pd.read_csv(tmp_path / "comparison.csv").policy) == set(policies) - {"random"}
    # Untrained twice: a network that was never trained equals its own untrained start only by its seed.
    assert {p.name for p in (tmp_path / "pictures").iterdir()} == {
        *("scene.png", "network.png", "untrained.png"),
        *(f"{name}.png" for name in more if name == "constant"),
    }
    about = OmegaConf.load(tmp_path / "policies.yaml")
    assert list(about) == policies
    assert (about.network.network, about.network.modality, about.network.parameters) == ("GGCNN2", "depth", 79381)
    assert about.random.policy == "RandomPolicy"
    assert (tmp_path / "frictions.png").stat().st_size > 10_000
    assert len(list((tmp_path / "gifs").glob("*.gif"))) == 1
    assert {p.stem for p in (tmp_path / "pages").glob("*.html")} == set(policies)


def test_no_table_of_former_rows_stays_and_other_scenes_are_told(tmp_path, capsys):
    quick = ["scene_set=drop", "objects.first=900", "objects.last=902", "scene_set.scenes=2", "category=all"]
    quick += ["scene_set.object_counts=[1]", "scene_set.workers=1", "benchmark.count=1", "benchmark.max_failures=1"]
    evaluate(composed("policy=[random,random-free]", "limit=2", "compare=random", *quick), tmp_path)
    (tmp_path / "agreement.csv").write_text("policy\nrandom-free\n")
    assert "stay there" not in capsys.readouterr().out
    evaluate(composed("policy=random", *quick), tmp_path)
    printed = " ".join(capsys.readouterr().out.split())
    assert not (tmp_path / "comparison.csv").exists()
    assert not (tmp_path / "agreement.csv").exists()
    assert f"{tmp_path}/comparison.csv was of a former command's attempts and is removed" in printed
    assert f"{tmp_path}/agreement.csv was of a former command's attempts and is removed" in printed
    assert "this command's 1 scene file alone, and 3 more" in printed
    assert len(read_attempts(tmp_path)) > len(pd.read_csv(tmp_path / "attempts.csv"))


def test_every_choice_of_scenes_and_policy_can_be_made(tmp_path):
    for name in ("random", "random-free", "antipodal", "constant", "oracle"):
        config = composed(f"policy={name}")
        assert list(config.policies) == [name]
        instantiate(config.policies[name], _convert_="all")
    own = composed(
        "scene_set=drop", "objects.first=900", "objects.last=905", "scene_set.scenes=1", "scene_set.object_counts=[2]"
    )
    assert list(instantiate(own.scene_set, _convert_="all")) == ["own-2"]


def line(*arguments):
    return [sys.executable, "-m", "plgp.benchmark", *SMALL, *arguments]


def process(*arguments, cwd):
    return subprocess.run(line(*arguments), cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["policy=network", "checkpoint=nowhere.ckpt"], "nowhere.ckpt"),
        (["policy=network"], "no policy is left"),
        (["policy=pretrained", "policies.pretrained.weights=nobody"], "trained network"),
        (["policy=random", "category=novel-7"], "novel-7"),
        (["policy=random", "limit=0"], "limit is 0"),
        (["policy=random", "compare=oracle"], "compare=oracle"),
        (["policy=random", "backend=abacus"], "abacus"),
        (["policy=random", "scene_set.path=nowhere.json"], "nowhere.json"),
        (["policy=random", "limit=1.5"], "limit is 1.5"),
        (["policy=random", "scene_set=drop", "scene_set.seed=-1"], "scene_set.seed is -1"),
        (["policy=random", "policies.random.seed=-1"], "policies.random.seed is -1"),
        (["policy=random", "gif.count=-1"], "cannot film -1 attempts"),
        (["policy=random", "gif.count=2", "gif.query='foo == 3'"], "'foo' is not defined"),
    ],
)
def test_bad_choices_end_in_one_sentence(tmp_path, arguments, message):
    with pytest.raises(Exception, match=message) as caught:
        evaluate(composed(*arguments), tmp_path / "out")
    cause = input_error(caught.value)
    assert cause is not None
    assert message in str(cause)
    assert "\n" not in str(cause)
    assert not list((tmp_path / "out").rglob("*.parquet"))  # nothing was measured


def test_the_command_says_it_without_a_traceback(tmp_path, command):
    done = command(main, *SMALL, "policy=[random,nobody]", f"out={tmp_path / 'out'}")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_killed_run_goes_on_and_gives_the_same_rows(tmp_path):
    """Kill -9 once a scene is there: no half file, and the same command ends with an uninterrupted run's rows."""
    arguments = ["policy=random", "limit=3", "benchmark.count=2"]
    evaluate(composed(*arguments), tmp_path / "whole")
    out = tmp_path / "killed"
    with subprocess.Popen(
        line(*arguments, f"out={out}"), cwd=tmp_path, start_new_session=True, stderr=subprocess.DEVNULL
    ) as run:
        while not list(out.rglob("*.parquet")) and run.poll() is None:
            time.sleep(0.05)
        os.killpg(run.pid, signal.SIGKILL)
    kept = {f: f.stat().st_mtime_ns for f in out.rglob("*.parquet")}
    assert 1 <= len(kept) < 3
    again = process(*arguments, f"out={out}", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert all(f.stat().st_mtime_ns == time for f, time in kept.items())
    a, b = (read_attempts(tmp_path / name).drop(columns=WALL_TIMES) for name in ("whole", "killed"))
    pd.testing.assert_frame_equal(a, b, check_exact=True)


def test_a_run_that_is_interrupted_says_how_to_go_on(tmp_path):
    with subprocess.Popen(
        line("policy=random", "limit=40", f"out={tmp_path / 'out'}"),
        cwd=tmp_path,
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        while not list((tmp_path / "out").rglob("*.parquet")) and run.poll() is None:
            time.sleep(0.05)
        os.killpg(run.pid, signal.SIGINT)
        message = run.communicate(timeout=60)[1]
    assert run.returncode == 130
    assert "the same command goes on" in message
    assert "Traceback" not in message


OWN = """
from sim.grasp import GraspPoses


class Mine:
    name = "mine"

    def __call__(self, observation, count):
        return GraspPoses.empty()
"""


def test_an_edited_policy_is_measured_anew_or_refused(tmp_path, command, monkeypatch):
    arguments = ["policy=[]", "+policies.mine._target_=edited.Mine", *SMALL, f"out={tmp_path / 'out'}"]
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "edited.py").write_text(OWN)
    first = command(main, *arguments)
    assert first.returncode == 0, first.stderr
    assert command(main, *arguments).returncode == 0
    (tmp_path / "edited.py").write_text(OWN.replace("GraspPoses.empty()", "None"))
    monkeypatch.delitem(sys.modules, "edited")
    again = command(main, *arguments)
    assert again.returncode == 2
    assert "other settings (code: class.source of edited)" in again.stderr
    assert "Traceback" not in again.stderr


@pytest.mark.parametrize(
    ("target", "name"), [("other.place.RandomPolicy", None), ("sim.anywhere.RandomPolicy", "same")]
)
def test_a_shipped_class_counts_by_its_name(target, name):
    ours, theirs = ({"_target_": t, "seed": 0} for t in ("sim.benchmark.baselines.RandomPolicy", target))
    assert (_identify(ours) == _identify(theirs)) == (name == "same")


def test_a_file_of_a_policys_settings_counts_by_its_content(tmp_path):
    files = [tmp_path / name for name in ("a.ckpt", "b.ckpt")]
    for file in files:
        file.write_bytes(b"weights")
    first, moved = (_identify({"inner": [{"path": str(file)}], "name": "x" * 5000}) for file in files)
    files[1].write_bytes(b"others")
    assert first == moved != _identify({"inner": [{"path": str(files[1])}], "name": "x" * 5000})


def test_every_command_has_a_folder_of_its_own():
    one = default_folder(composed("policy=random"))
    assert one == default_folder(composed("policy=random", "workers=2", "page=true"))
    others = [
        default_folder(composed("policy=random", more)) for more in ("limit=2", "frictions=[0.6]", "category=seen-5")
    ]
    others.append(default_folder(composed("policy=[random,antipodal]")))
    assert len({one, *others}) == 5
    assert one.name.startswith("random_novel-5_")


@pytest.mark.parametrize(("policy", "same"), [("random", True), ("oracle", False)])
def test_the_hand_s_labels_count_where_a_policy_asks_for_them(policy, same):
    config = composed(f"policy={policy}", "gripper=robotiq_2f140")
    folder = default_folder(config)
    config.labeler.max_width = 0.09  # what the presets said of every hand
    assert (default_folder(config) == folder) == same
