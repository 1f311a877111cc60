"""Generation: repeatable, resumable, and honest about what failed."""

import errno
import io
import json
import os
import shutil
import subprocess
import sys

import h5py
import hdf5plugin  # noqa: F401  (registers Blosc)
import numpy as np
import pytest
import trimesh
from rich.console import Console

import labeler.dataset.frames as frames
import labeler.dataset.generate as generation
import labeler.dataset.staging as staging
from labeler.dataset.generate import generate, make_scene
from labeler.dataset.progress import SceneProgress
from labeler.dataset.validate import find_problems
from labeler.settings import LabelSettings
from labeler.shards.data_set import DataSet
from labeler.truth.execution import find_objects
from sim.errors import InputError
from sim.files import checksum
from sim.objects import ObjectSet
from sim.scene import Scene


@pytest.fixture(autouse=True)
def two_scenes_a_shard(monkeypatch):
    monkeypatch.setattr(generation, "SCENES_PER_SHARD", 2)


@pytest.fixture(scope="module")
def uninterrupted(small_recipe, tmp_path_factory):
    """The small recipe's data set, made in one go by one process."""
    folder = tmp_path_factory.mktemp("data") / "one"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generation, "SCENES_PER_SHARD", 2)
        return generate(small_recipe(), folder, workers=1, progress=False)


def contents(folder):
    """Everything but the part that may differ: nothing may."""
    return {p.name: p.read_bytes() for p in sorted(folder.iterdir())}


def test_data_set_is_what_was_asked_for(small_recipe, uninterrupted):
    data = DataSet(uninterrupted)
    assert len(data) == 8
    assert data.scenes.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert data.manifest.counts.grasps > 0
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


@pytest.mark.parametrize(
    "backend",
    ["loky", "threading", *(pytest.param(b, marks=pytest.mark.slow) for b in ("multiprocessing", "dask", "ray"))],
)
def test_two_workers_of_any_kind_write_the_same_bytes_as_one(small_recipe, uninterrupted, tmp_path, backend):
    if backend in ("dask", "ray"):
        pytest.importorskip({"dask": "distributed", "ray": "ray"}[backend])
    folder = generate(small_recipe(), tmp_path / "two", workers=2, progress=False, backend=backend)
    assert contents(folder) == contents(uninterrupted)


@pytest.mark.parametrize(
    ("change", "words"), [({"backend": "abacus"}, "'abacus' is not known"), ({"workers": 0}, "workers is 0")]
)
def test_impossible_workers_are_named(small_recipe, tmp_path, change, words):
    with pytest.raises(InputError, match=words):
        generate(small_recipe(), tmp_path / "data", progress=False, **change)


def stage_some(small_recipe, folder, monkeypatch, scenes):
    """Runs until so many scenes are staged; the disk is full then, for the next one's file."""
    synced = []
    real = os.fsync

    def fsync(file):
        if len(synced) == scenes:
            raise OSError(errno.ENOSPC, "No space left on device")
        name = os.readlink(f"/proc/self/fd/{file}")
        synced.extend([name] if "scene-" in name else [])
        real(file)

    with monkeypatch.context() as patch:
        patch.setattr("sim.files.os.fsync", fsync)
        with pytest.raises(InputError, match=r"no space left for .* make room and run the same command again"):
            generate(small_recipe(), folder, progress=False)
    return folder


def test_full_disk_loses_nothing_finished(small_recipe, uninterrupted, tmp_path, monkeypatch, capsys):
    folder = stage_some(small_recipe, tmp_path / "full", monkeypatch, 1)
    assert not [*folder.rglob("*.part")]
    kept = {p: p.stat().st_mtime_ns for p in [*folder.glob("staging/scene-*.h5"), *folder.glob("shard-*.h5")]}
    assert kept
    generate(small_recipe(), folder)
    assert "1 of 4 scenes are already there" in capsys.readouterr().err
    assert contents(folder) == contents(uninterrupted)


@pytest.mark.parametrize("damage", ["truncated", "empty", "schema"])
def test_broken_staged_file_is_made_again(small_recipe, uninterrupted, tmp_path, monkeypatch, damage):
    folder = stage_some(small_recipe, tmp_path / "broken", monkeypatch, 1)
    (path,) = folder.glob("staging/scene-*.h5")
    if damage == "schema":
        with h5py.File(path, "a") as file:
            file.attrs["schema_version"] = 99
    else:
        path.write_bytes(path.read_bytes()[: 3000 if damage == "truncated" else 0])
    generate(small_recipe(), folder, progress=False)
    assert contents(folder) == contents(uninterrupted)


def test_broken_shard_of_an_unfinished_run_is_named_and_can_be_made_again(small_recipe, uninterrupted, tmp_path):
    folder = generate(small_recipe(), tmp_path / "broken", progress=False)
    (folder / "dataset.json").unlink()
    path = folder / "shard-00000.h5"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match=r"shard .*shard-00000\.h5 is truncated .* delete it"):
        generate(small_recipe(), folder, progress=False)
    path.unlink()
    generate(small_recipe(), folder, progress=False)
    assert contents(folder) == contents(uninterrupted)


def test_lost_shard_is_made_again(small_recipe, uninterrupted, tmp_path):
    folder = generate(small_recipe(), tmp_path / "lost", progress=False)
    (folder / "shard-00001.h5").unlink()
    generate(small_recipe(), folder, progress=False)
    assert contents(folder) == contents(uninterrupted)


def test_finished_data_set_is_returned_at_once(small_recipe, uninterrupted, monkeypatch):
    monkeypatch.setattr(staging, "_stage_scene", None)
    assert generate(small_recipe(), uninterrupted, progress=False) == uninterrupted


def test_another_recipe_is_never_used_silently(small_recipe, uninterrupted):
    for change in ({"seed": 6}, {"labels": LabelSettings(angles=6, max_width=0.08)}, {"views": 3}):
        with pytest.raises(InputError, match="another recipe"):
            generate(small_recipe(**change), uninterrupted, progress=False)
    assert small_recipe(name="other").hash == small_recipe().hash


def test_failing_scene_is_reported_and_skipped(small_recipe, tmp_path, monkeypatch, capsys):
    real = staging.make_frames

    def make_frames(recipe, scene):
        if scene == 1:
            raise RuntimeError("the roof fell in")
        return real(recipe, scene)

    monkeypatch.setattr(staging, "make_frames", make_frames)
    folder = generate(small_recipe(scenes=3), tmp_path / "data")
    shown = " ".join(capsys.readouterr().err.split())
    assert "scene 1 (seed [5, 1]) skipped" in shown
    assert "the roof fell in" in shown
    data = DataSet(folder)
    assert data.scenes.tolist() == [0, 0, 2, 2]
    assert data.manifest.counts.failed_scenes == 1
    assert find_problems(folder) == []


def test_scene_that_does_not_come_to_rest_is_skipped(small_recipe, tmp_path, monkeypatch, capsys):
    """Scenes of six objects that never come to rest in the tray."""
    monkeypatch.setattr(frames, "_TRIES", 4)
    settle = Scene.settle
    monkeypatch.setattr(Scene, "settle", lambda scene: settle(scene) and len(scene.models) == 1)
    recipe = small_recipe(object_counts=(1, 6), scenes=2, views=1)
    data = DataSet(generate(recipe, tmp_path / "data"))
    shown = " ".join(capsys.readouterr().err.split())
    assert "scene 1 (seed [5, 1]) skipped: InputError: scene 1 (seed 5) never came to rest in the tray" in shown
    assert data.scenes.tolist() == [0]
    assert data.manifest.failed_scenes[0].scene == 1


def test_progress_tells_speed_and_time_left(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("labeler.dataset.progress.time.monotonic", lambda: now[0])
    shown = io.StringIO()
    with SceneProgress("name", 10, 4, console=Console(file=shown, width=120)) as display:
        for _ in range(2):
            now[0] += 40.0
            display.show(5, 1000)
        display.show(0, 0, "scene 7 (seed [0, 7]) skipped: [Errno 5] no")
    assert shown.getvalue().splitlines() == [
        "4 of 10 scenes are already there",
        "5/10 scenes, 0.12 images/s, 200 labels an image, 0:03:20 left",
        "6/10 scenes, 0.12 images/s, 200 labels an image, 0:02:40 left",
        "scene 7 (seed [0, 7]) skipped: [Errno 5] no",
        "7/10 scenes, 0.12 images/s, 200 labels an image, 0:01:20 left",
    ]


def test_no_scene_at_all_is_an_error(small_recipe, tmp_path, monkeypatch):
    def make_frames(recipe, scene):
        raise RuntimeError("no roof")

    monkeypatch.setattr(staging, "make_frames", make_frames)
    with pytest.raises(InputError, match="none of the 2 scenes"):
        generate(small_recipe(scenes=2), tmp_path / "data", progress=False)


def test_damaged_shard_is_named(small_recipe, tmp_path):
    folder = generate(small_recipe(scenes=2), tmp_path / "data", progress=False)
    path = folder / "shard-00000.h5"
    path.write_bytes(path.read_bytes()[:-1000])
    problems = find_problems(folder)
    assert len(problems) == 2
    assert all("shard-00000.h5" in p for p in problems)


def set_values(name, value, rows=slice(None)):
    def change(file):
        file[name][rows] = value

    return change


def narrow(file):
    depth = file["depth"][:, :, 1:]
    del file["depth"]
    file["depth"] = depth


def drop_last(name):
    return lambda file: file[name].resize(len(file[name]) - 1, axis=0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (set_values("grasps/row", 200), "a grasp lies outside the image"),
        (set_values("instance_mask", 0), "a grasp lies on the background"),
        (set_values("instance_mask", 77, 0), "image 0: its mask shows an object that is not listed"),
        (set_values("grasps/angle_bin", 6), "an angle bin is out of range"),
        (set_values("grasps/width", 0.2), "a grasp's width is out of range"),
        (set_values("grasps/depth", np.nan), "a grasp's depth is out of range"),
        (set_values("grasps/offsets", 3), "grasps/offsets do not fit the grasps"),
        (set_values("objects/offsets", 9, -1), "objects/offsets do not fit the objects"),
        (set_values("camera/pose", 2 * np.eye(4), 1), "image 1: a pose is no rigid motion"),
        (set_values("scene", 7, 0), "holds other scenes than dataset.json says"),
        (narrow, "image 0: its images are not of one size"),
        (drop_last("rgb"), "rgb has 3 rows for 4 images"),
        (lambda file: file.__delitem__("objects/box"), "is damaged at image 0"),
        (lambda file: file.__delitem__("objects"), "lacks objects/offsets"),
        (lambda file: file.attrs.modify("schema_version", 99), "has schema 99, not 1"),
    ],
)
def test_wrong_contents_are_named(uninterrupted, tmp_path, change, words):
    """Even where the checksum is that of the wrong file: schema and ranges are looked at by themselves."""
    folder = tmp_path / "wrong"
    shutil.copytree(uninterrupted, folder)
    path = folder / "shard-00001.h5"
    with h5py.File(path, "a") as file:
        change(file)
    info = json.loads((folder / "dataset.json").read_text())
    info["shards"][1]["sha256"] = checksum(path)
    (folder / "dataset.json").write_text(json.dumps(info))
    problems = find_problems(folder)
    assert any(words in p for p in problems), problems
    assert all("shard-00001.h5" in p for p in problems)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scenes": 0}, "scenes"),
        ({"object_counts": (5, 50)}, "object_counts"),
        ({"seed": -1}, "seed"),
    ],
)
def test_impossible_recipes_are_named(small_recipe, change, words):
    with pytest.raises(InputError, match=words):
        small_recipe(**change)


def run(*arguments, cwd):
    command = [sys.executable, "-m", "labeler", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)


def test_command_line_generates_and_explains(tmp_path, command_line):
    small = ["recipe.object_counts=[1]", "recipe.pixels_per_metre=1000", "scenes=1", "views=1", "labeler.angles=4"]
    made = run("generate", "name=tiny", "workers=1", "labeler=paper", *small, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    info = json.loads((tmp_path / "data" / "tiny" / "dataset.json").read_text())
    assert info["recipe"]["labels"]["undercut"] is False
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data"]
    assert "all whole" in command_line("labeler", "validate", "data/tiny").stdout
    assert "1 images of 1 scenes" in command_line("labeler", "stats", "data/tiny").stdout
    other = command_line("labeler", "generate", "name=tiny", "workers=1", "seed=9", *small)
    assert other.returncode == 2
    assert other.stderr.strip().splitlines()[-1].startswith("error: data/tiny holds data of another recipe")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["generate", "recipe.views=0"], "views is 0"),
        (["generate", "objects=folder", "objects.path=/nowhere"], "/nowhere"),
        (["stats", "/nowhere"], "no finished data set"),
        (["stats"], "needs DIR"),
        (["dance"], "'dance' is no command"),
    ],
)
def test_command_line_mistakes_are_one_sentence(command_line, arguments, words):
    result = command_line("labeler", *arguments)
    assert result.returncode == 2, result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert words in last
    assert "Traceback" not in result.stderr


def test_help_reads_well(command_line):
    assert "generate" in command_line("labeler", "--help").stdout
    text = command_line("labeler", "generate", "--help").stdout
    assert "python -m labeler generate name=small" in text
    assert "labeler: held, paper, true" in text


@pytest.mark.parametrize("backend", ["threading", pytest.param("multiprocessing", marks=pytest.mark.slow)])
def test_any_backend_makes_the_same_and_leaves_the_output_alone(small_recipe, uninterrupted, tmp_path, capfd, backend):
    folder = generate(small_recipe(), tmp_path / backend, workers=2, progress=False, backend=backend)
    print("still here")
    assert "still here" in capfd.readouterr().out
    assert contents(folder) == contents(uninterrupted)


def test_what_differs_in_another_recipe_is_named(small_recipe, uninterrupted):
    with pytest.raises(InputError, match=r"another recipe \(views: 3, there \d\); choose"):
        generate(small_recipe(views=3), uninterrupted, progress=False)


def test_a_replaced_mesh_is_another_recipe_and_an_older_data_set_is_kept(small_recipe, tmp_path):
    objects = tmp_path / "objects"
    objects.mkdir()
    shape = '<geometry><mesh filename="box.obj"/></geometry>'
    (objects / "box.urdf").write_text(
        '<robot name="box"><link name="l"><inertial><mass value="0.1"/><inertia ixx="1e-4" iyy="1e-4" izz="1e-4" '
        f'ixy="0" ixz="0" iyz="0"/></inertial><visual>{shape}</visual><collision>{shape}</collision></link></robot>'
    )
    recipes = []
    for sides in ((0.03, 0.03, 0.05), (0.09, 0.02, 0.02)):
        trimesh.creation.box(sides).export(objects / "box.obj")
        made = small_recipe(objects=ObjectSet.from_folder(objects), object_counts=(1,), scenes=1, views=1)
        recipes.append((made.hash, made.former_hashes[1]))
        if len(recipes) == 1:
            generate(made, tmp_path / "own", progress=False)
    assert recipes[0][0] != recipes[1][0]
    assert recipes[0][1] == recipes[1][1]
    with pytest.raises(InputError, match=r"another recipe \(objects.meshes\)"):
        generate(made, tmp_path / "own", progress=False)
    with pytest.raises(InputError, match="are not the 1 that"):
        find_objects(DataSet(tmp_path / "own"), objects)
    content = json.loads((tmp_path / "own" / "dataset.json").read_text())
    content["hash"] = recipes[0][1]  # as an older plgp noted it
    (tmp_path / "own" / "dataset.json").write_text(json.dumps(content))
    assert generate(made, tmp_path / "own", progress=False) == tmp_path / "own"
