"""Scene sets: the published one, dropped ones, files."""

import dataclasses
import json
from functools import partial

import numpy as np
import pytest
from scipy.io import savemat

from sim.benchmark import BenchmarkSettings
from sim.benchmark.scene_sets import (
    PUBLISHED,
    PUBLISHED_SETTINGS,
    drop_scene_set,
    load_scene_files,
    load_scene_set,
    make_household,
    make_published,
    make_scenes,
    make_standing,
    save_scene_set,
)
from sim.benchmark.store import scene_identity
from sim.errors import InputError
from sim.geometry import transform
from sim.objects import ObjectSet
from sim.physics import PhysicsSettings, World, matrix_to_pose
from sim.scene import SceneState, fitting_counts

OBJECTS = ObjectSet.pybullet(900, 909)


@pytest.fixture(scope="module", params=list(PUBLISHED))
def published(request):
    return load_scene_set(request.param)


@pytest.fixture(scope="module")
def dropped():
    return drop_scene_set(OBJECTS, scenes=2, object_counts=(2, 3), seed=4)


def test_the_published_set_is_what_the_paper_says(published):
    assert {c: len(s) for c, s in published.items()} == dict.fromkeys(("seen-5", "seen-15", "novel-5", "novel-15"), 80)
    names = {c: {n for s in scenes for n in s.names} for c, scenes in published.items()}
    for kind, low, high in (("seen", 0, 899), ("novel", 900, 999)):
        assert names[f"{kind}-5"] == names[f"{kind}-15"]
        assert len(names[f"{kind}-5"]) == 77
        assert all(low <= int(n[-3:]) <= high for n in names[f"{kind}-5"])
        for count in (5, 15):
            assert all(len(set(s.names)) == len(s.models) == count for s in published[f"{kind}-{count}"])
    assert all(file.stat().st_size < 1_000_000 for file in PUBLISHED.values())


def test_published_scenes_lie_at_rest_in_the_tray(published):
    for category in ("seen-5", "novel-15"):
        scene = published[category][7]
        assert all(scene.tray.contains(p[:3, 3]) for p in scene.poses)
        world = World(PhysicsSettings(solver_residual=0), scene.tray)
        world.rebuild(list(scene.models), list(scene.poses))
        world.step(240)
        shift = np.linalg.norm(np.array(world.poses())[:, :3, 3] - scene.poses[:, :3, 3], axis=1)
        world.close()
        assert np.median(shift) < 5e-4
        assert shift.max() < 5e-3


@pytest.mark.parametrize("name", list(PUBLISHED))
def test_its_command_makes_the_same_scenes(name):
    """One of the 320: it depends on its category's seed, its number and the 77 objects alone."""
    published = load_scene_set(name)
    names = json.loads(PUBLISHED[name].read_text())["categories"]["novel-5"]["objects"]
    objects = ObjectSet("novel-77", tuple(ObjectSet.pybullet(900, 999).model(n) for n in names))
    seed, settings = published["novel-5"][0].seed, PUBLISHED_SETTINGS[name]
    again = make_scenes(objects, "novel-5", 2, count=5, seed=seed, settings=settings)
    for made, kept in zip(again, published["novel-5"], strict=False):
        assert made.names == kept.names
        np.testing.assert_allclose(made.poses, kept.poses, atol=3e-6)


def test_dropped_sets_repeat_with_any_workers(dropped):
    assert {c: [len(s.models) for s in scenes] for c, scenes in dropped.items()} == {"own-2": [2, 2], "own-3": [3, 3]}
    again = drop_scene_set(OBJECTS, scenes=2, object_counts=(2, 3), seed=4, workers=2)
    for category, scenes in dropped.items():
        for a, b in zip(scenes, again[category], strict=True):
            assert a.names == b.names
            np.testing.assert_array_equal(a.poses, b.poses)


def test_a_set_survives_its_file(dropped, tmp_path):
    save_scene_set(dropped, tmp_path / "set.json", "a test")
    back = load_scene_set(tmp_path / "set.json", OBJECTS)
    assert list(back) == list(dropped)
    for category, scenes in dropped.items():
        for a, b in zip(scenes, back[category], strict=True):
            assert (a.names, a.category, a.tray, a.seed) == (b.names, b.category, b.tray, b.seed)
            np.testing.assert_allclose(a.poses, b.poses, atol=3e-6)


def test_weights_survive_their_files_and_are_scenes_of_their_own(dropped, tmp_path):
    scene = next(iter(dropped.values()))[0]
    models = tuple(dataclasses.replace(model, weight=1.0 + number) for number, model in enumerate(scene.models))
    heavy = dataclasses.replace(scene, models=models)
    objects = ObjectSet("all", scene.models)
    heavy.save(tmp_path / "one.json")
    save_scene_set({scene.category: [scene, heavy]}, tmp_path / "set.json")
    light, read = load_scene_set(tmp_path / "set.json", objects)[scene.category]
    for found in (read, SceneState.load(tmp_path / "one.json", objects)):
        assert [model.weight for model in found.models] == [1.0 + number for number in range(len(models))]
    assert {model.weight for model in light.models} == {1.0}
    about = {"frictions": [0.4], "settings": BenchmarkSettings()}
    assert scene_identity("", scene, **about)["scene"] != scene_identity("", heavy, **about)["scene"]
    assert not any("weight" in row for row in scene.to_json()["objects"])  # scenes of before keep their identity
    for weight in (0.0, float("nan")):
        content = heavy.to_json()
        content["objects"][1]["weight"] = weight
        with pytest.raises(ValueError, match="weights above 0"):
            SceneState.from_json(content, objects)


def test_scene_files_of_ours_and_of_the_authors(dropped, tmp_path):
    for i, scene in enumerate(dropped["own-2"]):
        scene.save(tmp_path / f"{i}.json")
    back = load_scene_files(tmp_path, OBJECTS)
    np.testing.assert_allclose(back["own-2"][1].poses, dropped["own-2"][1].poses, atol=1e-12)
    scene = dropped["own-3"][0]
    poses = [matrix_to_pose(p) for p in scene.poses]
    rows = [[OBJECTS.names.index(n), *xyz, *q] for n, (xyz, q) in zip(scene.names, poses, strict=True)]
    savemat(tmp_path / "00_pose.mat", {"A": np.array(rows)})
    (theirs,) = load_scene_files(tmp_path, OBJECTS, "*_pose.mat").values()
    assert theirs[0].names == scene.names
    np.testing.assert_allclose(theirs[0].poses, scene.poses, atol=1e-9)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ('{"tray": {}, "categories": {"a": {"objects": ["nobody"], "scenes": [], "seed": 0}}}', "nobody"),
        ('{"tray": {"depth": 1}, "categories": {}}', "cannot be read"),
    ],
)
def test_bad_sets_are_named(tmp_path, content, message):
    (tmp_path / "bad.json").write_text(content)
    with pytest.raises(InputError, match=message):
        load_scene_set(tmp_path / "bad.json")


def test_missing_sets_are_named(tmp_path):
    with pytest.raises(InputError, match="plgp-320"):
        load_scene_set("plgp-321")
    with pytest.raises(InputError, match="no scene file"):
        load_scene_files(tmp_path, OBJECTS)
    with pytest.raises(InputError, match=r"scene_set.object_counts is \[11\]; give numbers from 1 to"):
        drop_scene_set(OBJECTS, scenes=1, object_counts=(11,))


@pytest.mark.parametrize(
    ("make", "group"),
    [
        (partial(drop_scene_set, OBJECTS), "scene_set"),
        (partial(make_scenes, OBJECTS, "own-2", count=2, seed=0), "scenes"),
        (make_published, "plgp-320-v2"),
        (make_household, "plgp-household"),
        (make_standing, "plgp-standing"),
    ],
)
@pytest.mark.parametrize(("name", "wrong"), [("seed", -1), ("seed", 0.5), ("scenes", 0), ("scenes", 1.5)])
def test_seeds_and_numbers_that_make_no_scene_are_named(make, group, name, wrong):
    with pytest.raises(InputError, match=f"{group}.{name} is {wrong}; give a whole number"):
        make(**{"scenes": 1, "seed": 0} | {name: wrong})


def test_the_default_counts_are_cut_to_a_small_set_and_said():
    small = ObjectSet("few", OBJECTS.models[:4])
    with pytest.warns(UserWarning, match="'few' has 4 objects: scenes have 4 instead of 5 and 15"):
        assert fitting_counts((5, 15), small, "recipe.object_counts") == (4,)
    assert fitting_counts((1, 4), small, "recipe.object_counts") == (1, 4)
    for wrong in ((), (0,), (5,), (4, 15)):
        with pytest.raises(
            InputError, match=r"recipe\.object_counts is .*; give numbers from 1 to 4, the objects of 'few'"
        ):
            fitting_counts(wrong, small, "recipe.object_counts")


def test_standing_scenes_are_as_their_recipe_says():
    scenes = load_scene_set("plgp-standing")
    assert {c: len(part) for c, part in scenes.items()} == {"upright": 12, "plates": 12, "walls": 12}
    for part in scenes.values():
        for scene in part:
            assert len(scene.models) == 3
            assert (scene.poses[:, 2, 2] > 0.99).all()  # as they were put: upright, or flat
    half = scenes["walls"][0].tray.half_floor
    for scene in scenes["walls"]:
        for model, pose in zip(scene.models, scene.poses, strict=True):
            assert np.abs(transform(pose, model.mesh().vertices)[:, :2]).max() > half - 0.006


def test_the_standing_recipe_makes_the_shipped_scenes_anew():
    shipped = load_scene_set("plgp-standing")["upright"][:1]
    made = make_standing(scenes=1, workers=1)["upright"]
    assert [m.name for m in made[0].models] == [m.name for m in shipped[0].models]
    np.testing.assert_allclose(made[0].poses, shipped[0].poses, atol=2e-6)
