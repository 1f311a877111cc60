"""What may be otherwise at the next run ends this one, and is never taken for a scene's own failure."""

import json
import os
import signal

import pytest
import trimesh

import labeler.dataset.staging as staging
from labeler.dataset.generate import generate
from labeler.dataset.manifest import Truth, keep_figures
from labeler.shards.data_set import DataSet
from sim.errors import InputError
from sim.objects import ObjectSet


@pytest.fixture
def own(small_recipe, tmp_path):
    """A recipe of two scenes of one bare mesh, whose cache is a folder of its own."""
    (tmp_path / "objects").mkdir()
    trimesh.creation.box((0.04, 0.03, 0.03)).export(tmp_path / "objects" / "box.stl")
    objects = ObjectSet.from_folder(tmp_path / "objects", cache=tmp_path / "cache", workers=1)
    return small_recipe(objects=objects, object_counts=(1,), scenes=2, views=1)


def shards(folder):
    return [path.read_bytes() for path in sorted(folder.glob("shard*.h5"))]


def test_objects_that_are_away_for_a_while_end_the_run_and_fail_no_scene(own, tmp_path, monkeypatch):
    whole, folder, cache, away = (tmp_path / name for name in ("whole", "broken", "cache", "away"))
    generate(own, whole, progress=False)
    real = staging.make_frames

    def make_frames(recipe, scene):
        if scene == 1:
            cache.rename(away)
        return real(recipe, scene)

    with monkeypatch.context() as patch:
        patch.setattr(staging, "make_frames", make_frames)
        with pytest.raises(InputError, match=r"scene 1 cannot be made now: .*No such file.* the same command goes on"):
            generate(own, folder, progress=False)
    with pytest.raises(InputError, match=r"model.urdf cannot be read \(No such file or directory\); put it back"):
        generate(own, folder, progress=False)
    assert (folder / "staging" / "scene-000000.h5").is_file()
    away.rename(cache)
    data = DataSet(generate(own, folder, progress=False))
    assert data.manifest.failed_scenes == ()
    assert shards(folder) == shards(whole)


def failing_at(scene, error, real):
    def make_frames(recipe, number):
        if number == scene:
            raise error
        return real(recipe, number)

    return make_frames


def test_memory_that_runs_short_ends_the_run_but_not_for_ever(own, tmp_path, monkeypatch):
    """The third time it is the scene's own fault."""
    error = InputError("mesh cannot be read")
    error.__cause__ = MemoryError()
    monkeypatch.setattr(staging, "make_frames", failing_at(0, error, staging.make_frames))
    for _ in range(3):
        with pytest.raises(InputError, match=r"memory ran out at scene 0 .*; free some memory and run"):
            generate(own, tmp_path / "data", progress=False)
    data = DataSet(generate(own, tmp_path / "data", progress=False))
    assert [failed.scene for failed in data.manifest.failed_scenes] == [0]
    assert data.scenes.tolist() == [1]


def test_a_scene_that_kills_the_only_process_is_skipped_at_the_fourth_run(own, tmp_path, monkeypatch, capsys):
    """A death of this process, played by a fork of it; Ctrl-C between them does not count."""
    folder, real = tmp_path / "data", staging.make_frames

    def deadly(recipe, scene):
        os._exit(9) if scene == 1 else None
        return real(recipe, scene)

    for _ in range(3):
        with monkeypatch.context() as patch:
            patch.setattr(staging, "make_frames", failing_at(1, KeyboardInterrupt(), real))
            with pytest.raises(KeyboardInterrupt):
                generate(own, folder, progress=False)
    monkeypatch.setattr(staging, "make_frames", deadly)
    for _ in range(3):
        child = os.fork()
        if not child:
            generate(own, folder, progress=False)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    data = DataSet(generate(own, folder))
    assert "scene 1 (seed [5, 1]) skipped: its process died 3 times" in " ".join(capsys.readouterr().err.split())
    assert data.scenes.tolist() == [0]


def test_what_was_measured_stays_when_a_lost_shard_is_made_again(own, tmp_path):
    folder = generate(own, tmp_path / "data", progress=False)
    keep_figures(folder, 0.4, Truth(attempts=500, scenes=2, objects=1, lifted=0.99, macro=0.99))
    before = json.loads((folder / "dataset.json").read_text())
    (folder / "shard-00000.h5").unlink()
    generate(own, folder, progress=False)
    assert json.loads((folder / "dataset.json").read_text()) == before
    assert not (folder / "staging").exists()


def test_a_texture_that_is_repainted_between_two_runs_is_another_recipe(small_recipe, tmp_path):
    """Data of the time when looks did not count is kept."""
    folder = tmp_path / "objects"
    folder.mkdir()
    box = trimesh.creation.box((0.04, 0.03, 0.03)).export(file_type="obj")
    (folder / "box.obj").write_text(f"mtllib a.mtl\nusemtl m\n{box}")
    shape = '<geometry><mesh filename="box.obj"/></geometry>'
    inertial = '<inertial><mass value="0.1"/><inertia ixx="1" ixy="0" ixz="0" iyy="1" iyz="0" izz="1"/></inertial>'
    link = f'<link name="a">{inertial}<visual>{shape}</visual><collision>{shape}</collision></link>'
    (folder / "box.urdf").write_text(f'<robot name="r">{link}</robot>')

    def recipe(colour):
        (folder / "a.mtl").write_text(f"newmtl m\nKd {colour}\n")
        return small_recipe(objects=ObjectSet.from_folder(folder), object_counts=(1,), scenes=1, views=1)

    data = generate(recipe("1 0 0"), tmp_path / "data", progress=False)
    blue = recipe("0 0 1")
    with pytest.raises(InputError, match=r"another recipe \(objects.looks\)"):
        generate(blue, data, progress=False)
    content = json.loads((data / "dataset.json").read_text())
    content["hash"] = blue.former_hashes[0]  # as an older plgp noted it
    (data / "dataset.json").write_text(json.dumps(content))
    assert generate(blue, data, progress=False) == data


def test_memory_that_runs_short_asks_for_fewer_workers_only_where_there_are_several(own, tmp_path, monkeypatch):
    monkeypatch.setattr(staging, "make_frames", failing_at(0, MemoryError(), staging.make_frames))
    again = "run the same command again"
    for workers, cure in ((1, f"free some memory and {again}"), (2, f"{again} with fewer workers")):
        with pytest.raises(InputError, match=rf"\(none is left\); {cure}, it goes on"):
            staging._stage_scene(own, tmp_path, 0, workers)


@pytest.mark.parametrize(("first", "deaths"), [((1, "loky"), 2), ((8, "loky"), 0), ((1, "dask"), 0), (None, 0)])
def test_marks_count_only_from_one_process_to_the_next(tmp_path, first, deaths):
    """Those of several workers, of a cluster and of an older plgp are no deaths of a single process."""
    if first is not None:
        list(staging.stage_all(None, tmp_path, (), workers=first[0], backend=first[1]))
    (tmp_path / "scene-000003.begun").write_bytes(b"..")
    staging.clear_leftovers(tmp_path, tmp_path, workers=1)
    assert staging._deaths(tmp_path, 3) == deaths


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_the_only_process_is_no_scenes_fault(own, tmp_path, monkeypatch, number):
    """A fork of this process gets it in mid-scene, as from a scheduler or a closed terminal."""
    real = staging.make_frames

    def ended(recipe, scene):
        assert staging._deaths(tmp_path, scene) == 1
        os.kill(os.getpid(), number)
        return real(recipe, scene)

    monkeypatch.setattr(staging, "make_frames", ended)
    child = os.fork()
    if not child:
        signal.signal(number, signal.SIG_DFL)
        staging._stage_scene(own, tmp_path, 0, 1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -number
    assert staging._deaths(tmp_path, 0) == 0


def test_what_a_program_does_at_a_signal_stays(tmp_path):
    seen, before = [], signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, lambda *_: seen.append(1))
    try:
        with staging._removed_at_the_end(tmp_path / "mark"):
            os.kill(os.getpid(), signal.SIGTERM)
        assert seen == [1]
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with staging._removed_at_the_end(tmp_path / "mark"):
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)
