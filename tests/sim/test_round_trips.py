"""What is saved comes back whole: scenes, and sets of them."""

import contextlib
import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.benchmark.scene_sets import load_scene_set, save_scene_set
from sim.errors import InputError
from sim.objects import ObjectSet
from sim.physics import TraySettings
from sim.scene import Scene, SceneSettings, SceneState

OBJECTS = ObjectSet.pybullet(900, 909)
TRAY = TraySettings(floor=0.5, wall_height=0.03)


def make_state(**changes):
    models = tuple(dataclasses.replace(OBJECTS.models[i], scale=s) for i, s in ((3, 1.0), (5, 1.5), (3, 0.7)))
    poses = np.stack([np.eye(4)] * 3)
    poses[:, :3, 3] = [[-0.11, 0.2, 0.031234567], [0.2, -0.05, 0.03], [0, 0, 1 / 30]]
    poses[1, :2, :2] = [[0.6, -0.8], [0.8, 0.6]]
    state = SceneState(models, poses, TRAY, "mine-3", 17, False, (OBJECTS.names[8],))
    return dataclasses.replace(state, **changes)


def same(a, b):
    np.testing.assert_allclose(a.poses, b.poses, atol=1e-14)
    plain = [dataclasses.replace(s, poses=np.zeros((len(s.models), 4, 4))) for s in (a, b)]
    for f in dataclasses.fields(SceneState):
        assert np.array_equal(getattr(plain[0], f.name), getattr(plain[1], f.name)), f.name


def test_a_loaded_scene_is_the_saved_one(tmp_path):
    state = make_state()
    state.save(tmp_path / "scene.json")
    same(SceneState.load(tmp_path / "scene.json", OBJECTS), state)
    with Scene.load(tmp_path / "scene.json", OBJECTS, SceneSettings(drops=7)) as scene:
        same(scene.state(), state)
        assert (scene.settings.tray, scene.settings.drops) == (TRAY, 7)
        assert scene.state("other", 3).category == "other"
        scene.save(tmp_path / "again.json")
    same(SceneState.load(tmp_path / "again.json", OBJECTS), state)


def test_a_loaded_scene_goes_on_in_its_own_tray(tmp_path):
    """An object at 0.2 m lies in this tray, and beside the default one."""
    make_state(category="a").save(tmp_path / "scene.json")
    with Scene.load(tmp_path / "scene.json", OBJECTS) as scene:
        scene.settle()
        assert len(scene.models) == 3


def test_a_set_of_scenes_comes_back_whole(tmp_path):
    made = {
        "mine-3": [make_state(), make_state(seed=4, at_rest=True, fallen=())],
        "plain": [make_state(category="plain", at_rest=True, fallen=(), models=OBJECTS.models[:3])],
    }
    save_scene_set(made, tmp_path / "set.json")
    back = load_scene_set(tmp_path / "set.json", OBJECTS)
    assert {c: len(s) for c, s in back.items()} == {"mine-3": 2, "plain": 1}
    for category, states in made.items():
        for a, b in zip(states, back[category], strict=True):
            same(a, b)
    assert set(json.loads((tmp_path / "set.json").read_text())["categories"]["plain"]) == {"seed", "objects", "scenes"}


@pytest.mark.parametrize(
    ("scenes", "words"),
    [
        ({}, "at least one"),
        ({"a": []}, "at least one"),
        ({"a": [make_state()]}, "listed as 'a'"),
        ({"mine-3": [make_state(), make_state(tray=TraySettings())]}, "one tray"),
    ],
)
def test_a_set_that_a_file_cannot_hold_is_named(tmp_path, scenes, words):
    with pytest.raises(InputError, match=words):
        save_scene_set(scenes, tmp_path / "set.json")
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        make_state().save(tmp_path / "file" / "scene.json")
    with pytest.raises(InputError, match="cannot be written"):
        save_scene_set({"mine-3": [make_state()]}, tmp_path / "file" / "set.json")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
_PLACES = st.sampled_from(["category", "seed", "at_rest", "fallen", "tray", "objects", "pose", "name", "scale"])


@settings(max_examples=200, deadline=None)
@given(_PLACES, _JSON)
def test_a_damaged_scene_file_is_one_sentence(tmp_path_factory, place, value):
    content = make_state().to_json()
    (content["objects"][0] if place in ("pose", "name", "scale") else content)[place] = value
    path = tmp_path_factory.getbasetemp() / "damaged.json"
    path.write_text(json.dumps(content))
    with contextlib.suppress(InputError):
        state = SceneState.load(path, OBJECTS)
        assert np.isfinite(state.poses).all()
        assert all(np.isfinite(m.scale) and m.scale > 0 for m in state.models)
        assert isinstance(state.seed, int)
        assert isinstance(state.category, str)
