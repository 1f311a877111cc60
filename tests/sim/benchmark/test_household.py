"""The published scenes of procedural objects: what they hold, that they rest, that they can be made again."""

import json
from pathlib import Path

import numpy as np
import pytest

from sim.benchmark import scene_sets
from sim.benchmark.scene_sets import HOUSEHOLD, load_scene_set, make_household
from sim.objects.procedural import NOVEL, SEEN
from sim.objects.procedural.naming import parse_object
from sim.physics import PhysicsSettings, World

FILE = Path(scene_sets.__file__).parent / f"{HOUSEHOLD}.json"
CONTENT = json.loads(FILE.read_text())["categories"]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "procedural"))


def some(category, count):
    """A scene set file of a category's first scenes alone, so that not every object has to be made."""
    part = CONTENT[category]
    scenes = part["scenes"][:count]
    used = sorted({row[0] for rows in scenes for row in rows})
    rows = [[[used.index(row[0]), *row[1:]] for row in rows] for rows in scenes]
    return {**part, "objects": [part["objects"][i] for i in used], "scenes": rows}


@pytest.fixture
def few(tmp_path):
    content = json.loads(FILE.read_text())
    content["categories"] = {"seen-5": some("seen-5", 2), "novel-15": some("novel-15", 1)}
    (tmp_path / "few.json").write_text(json.dumps(content))
    return load_scene_set(tmp_path / "few.json")


def test_it_holds_forty_scenes_a_category_of_families_held_apart():
    assert {c: len(p["scenes"]) for c, p in CONTENT.items()} == dict.fromkeys(
        ("seen-5", "seen-15", "novel-5", "novel-15"), 40
    )
    for category, part in CONTENT.items():
        half, count = category.split("-")
        assert all(len({row[0] for row in rows}) == len(rows) == int(count) for rows in part["scenes"])
        seeds = {parse_object(name)[0] for name in part["objects"]}
        assert seeds == {0 if half == "seen" else 1}
        families = {name.split("-")[-1] for name in part["objects"]}
        assert families <= set(SEEN if half == "seen" else NOVEL)
        assert len(families) >= 12
    assert FILE.stat().st_size < 300_000


def test_its_scenes_lie_at_rest_in_the_tray(few):
    for scene in (few["seen-5"][0], few["novel-15"][0]):
        assert all(scene.tray.contains(p[:3, 3]) for p in scene.poses)
        assert scene.tray.friction == 0.5
        world = World(PhysicsSettings(solver_residual=0), scene.tray)
        world.rebuild(list(scene.models), list(scene.poses))
        world.step(240)
        shift = np.linalg.norm(np.array(world.poses())[:, :3, 3] - scene.poses[:, :3, 3], axis=1)
        world.close()
        assert np.median(shift) < 5e-4
        assert shift.max() < 5e-3


@pytest.mark.slow
def test_its_command_makes_the_same_scenes():
    again, kept = make_household(scenes=1, counts=(5,)), load_scene_set(HOUSEHOLD)
    for category in ("seen-5", "novel-5"):
        assert again[category][0].names == kept[category][0].names
        np.testing.assert_allclose(again[category][0].poses, kept[category][0].poses, atol=3e-6)
