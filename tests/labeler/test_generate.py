"""Generation: repeatable, resumable, and honest about what failed."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

import labeler.generate as generation
from labeler.generate import DataSetRecipe, generate, make_scene
from labeler.labels import LabelSettings
from labeler.shards import DataSet
from labeler.validate import find_problems
from sim import InputError
from sim.camera import PinholeCamera
from sim.objects import ObjectSet


def small_recipe(**changes):
    recipe = DataSetRecipe(
        objects=ObjectSet.pybullet(0, 20),
        camera=PinholeCamera.from_fov(160, 120),
        pixels_per_metre=1000.0,
        labels=LabelSettings(angles=6),
        scenes=4,
        views=2,
        object_counts=(1, 2),
        seed=5,
    )
    return replace(recipe, **changes)


@pytest.fixture(autouse=True)
def two_scenes_a_shard(monkeypatch):
    monkeypatch.setattr(generation, "SCENES_PER_SHARD", 2)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """The small recipe's data set, made in one go by one process."""
    folder = tmp_path_factory.mktemp("data") / "one"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation, "SCENES_PER_SHARD", 2)
        return generate(small_recipe(), folder, workers=1, progress=False)


def contents(folder):
    """Everything but the part that may differ: nothing may."""
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def test_data_set_is_what_was_asked_for(uninterrupted):
    data = DataSet(uninterrupted)
    assert len(data) == 8
    assert data.scenes.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert data.info["counts"]["grasps"] > 0
    assert sorted(p.name for p in uninterrupted.iterdir()) == [
        "dataset.json",
        "recipe.json",
        "shard-00000.h5",
        "shard-00001.h5",
    ]
    counts = [len(data.read(i, ("objects",))["objects"]) for i in range(8)]
    assert counts == [1, 1, 2, 2, 1, 1, 2, 2]
    assert find_problems(uninterrupted) == []
    frame = data.read(3, ("depth", "depth_noisy", "instance_mask", "objects"))
    assert (frame["instance_mask"][frame["grasps"].row, frame["grasps"].col] > 0).all()
    assert not np.array_equal(frame["depth"], frame["depth_noisy"])
    # The stored poses are the scene's: it can be rebuilt from them.
    poses = [o.pose_world for o in frame["objects"]]
    np.testing.assert_allclose(poses, make_scene(small_recipe(), 1).poses, atol=1e-12)


def test_two_workers_write_the_same_bytes_as_one(uninterrupted, tmp_path):
    folder = generate(small_recipe(), tmp_path / "two", workers=2, progress=False)
    assert contents(folder) == contents(uninterrupted)


RUN = """
import pickle, sys
import labeler.generate as generation
generation.SCENES_PER_SHARD = 2
generation.generate(pickle.load(open(sys.argv[1], "rb")), sys.argv[2], workers=2, progress=False)
"""


def test_killed_and_resumed_is_the_same_as_uninterrupted(uninterrupted, tmp_path):
    import pickle

    (tmp_path / "recipe.pkl").write_bytes(pickle.dumps(small_recipe()))
    folder = tmp_path / "killed"
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, str(tmp_path / "recipe.pkl"), str(folder)], start_new_session=True
    )
    while process.poll() is None and not [*folder.glob("staging/scene-*.h5"), *folder.glob("shard-*.h5")]:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (folder / "staging").mkdir(exist_ok=True)
    (folder / "staging" / ".scene-000003.h5.999999999.part").write_bytes(b"half")
    generate(small_recipe(), folder, workers=1, progress=False)
    assert contents(folder) == contents(uninterrupted)


def test_lost_shard_is_made_again(uninterrupted, tmp_path):
    folder = generate(small_recipe(), tmp_path / "lost", progress=False)
    (folder / "shard-00001.h5").unlink()
    generate(small_recipe(), folder, progress=False)
    assert contents(folder) == contents(uninterrupted)


def test_finished_data_set_is_returned_at_once(uninterrupted, monkeypatch):
    monkeypatch.setattr(generation, "_stage_scene", None)
    assert generate(small_recipe(), uninterrupted, progress=False) == uninterrupted


def test_another_recipe_is_never_used_silently(uninterrupted):
    for change in ({"seed": 6}, {"labels": LabelSettings(angles=6, max_width=0.08)}, {"views": 3}):
        with pytest.raises(InputError, match="another recipe"):
            generate(small_recipe(**change), uninterrupted, progress=False)
    assert small_recipe(name="other").hash == small_recipe().hash


def test_failing_scene_is_reported_and_skipped(tmp_path, monkeypatch, capsys):
    real = generation.make_frames

    def make_frames(recipe, scene):
        if scene == 1:
            raise RuntimeError("the roof fell in")
        return real(recipe, scene)

    monkeypatch.setattr(generation, "make_frames", make_frames)
    folder = generate(small_recipe(scenes=3), tmp_path / "data")
    shown = " ".join(capsys.readouterr().err.split())
    assert "scene 1 (seed [5, 1]) skipped" in shown
    assert "the roof fell in" in shown
    data = DataSet(folder)
    assert data.scenes.tolist() == [0, 0, 2, 2]
    assert data.info["counts"]["failed_scenes"] == 1
    assert find_problems(folder) == []


def test_no_scene_at_all_is_an_error(tmp_path, monkeypatch):
    def make_frames(recipe, scene):
        raise RuntimeError("no roof")

    monkeypatch.setattr(generation, "make_frames", make_frames)
    with pytest.raises(InputError, match="none of the 2 scenes"):
        generate(small_recipe(scenes=2), tmp_path / "data", progress=False)


def test_full_disk_is_one_clear_error(tmp_path, monkeypatch):
    import errno

    def full(recipe, staging, scene, threads):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(generation, "_stage_scene", full)
    with pytest.raises(InputError, match="make room"):
        generate(small_recipe(), tmp_path / "data", progress=False)


def test_damaged_shard_is_named(tmp_path):
    folder = generate(small_recipe(scenes=2), tmp_path / "data", progress=False)
    path = folder / "shard-00000.h5"
    path.write_bytes(path.read_bytes()[:-1000])
    problems = find_problems(folder)
    assert len(problems) == 2
    assert all("shard-00000.h5" in p for p in problems)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scenes": 0}, "scenes"),
        ({"object_counts": (5, 50)}, "object_counts"),
        ({"seed": -1}, "seed"),
    ],
)
def test_impossible_recipes_are_named(change, words):
    with pytest.raises(InputError, match=words):
        small_recipe(**change)


def run(*arguments, cwd):
    command = [sys.executable, "-m", "labeler", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)


def test_command_line_generates_and_explains(tmp_path):
    small = ["dataset.object_counts=[1]", "dataset.pixels_per_metre=1000", "scenes=1", "views=1", "labeler.angles=4"]
    made = run("generate", "name=tiny", "workers=1", "labeler=paper", *small, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    info = json.loads((tmp_path / "data" / "tiny" / "dataset.json").read_text())
    assert info["recipe"]["labels"]["undercut"] is False
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data"]
    assert "all whole" in run("validate", "data/tiny", cwd=tmp_path).stdout
    assert "1 images of 1 scenes" in run("stats", "data/tiny", cwd=tmp_path).stdout
    other = run("generate", "name=tiny", "workers=1", "seed=9", *small, cwd=tmp_path)
    assert other.returncode == 2
    assert other.stderr.strip().splitlines()[-1].startswith("error: data/tiny holds data of another recipe")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["generate", "dataset.views=0"], "views is 0"),
        (["generate", "objects=folder", "objects.path=/nowhere"], "/nowhere"),
        (["stats", "/nowhere"], "no finished data set"),
        (["stats"], "takes one data set folder"),
        (["dance"], "'dance' is no command"),
    ],
)
def test_command_line_mistakes_are_one_sentence(tmp_path, arguments, words):
    result = run(*arguments, cwd=tmp_path)
    assert result.returncode == 2, result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert words in last
    assert "Traceback" not in result.stderr


def test_help_reads_well(tmp_path):
    assert "generate" in run("--help", cwd=tmp_path).stdout
    text = run("generate", "--help", cwd=tmp_path).stdout
    assert "python -m labeler generate name=small" in text
    assert "labeler: paper, true" in text
