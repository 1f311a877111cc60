"""Sets of procedural objects: names, files, what is refused, rendering, rebuilding by name."""

import json

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.errors import InputError
from sim.identity.objects import digest_meshes
from sim.objects import ObjectSet
from sim.objects.named import named_set, published_objects
from sim.objects.procedural import NOVEL, SEEN, make_shape, weigh
from sim.objects.procedural.naming import choose_families, parse_name, set_name
from sim.objects.urdf import read_base_link
from sim.scene import Scene


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.getbasetemp() / "procedural"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))


def files(objects):
    return {f"{m.name}/{f.name}": f.read_bytes() for m in objects.models for f in sorted(m.urdf.parent.iterdir())}


def test_files_are_the_same_in_any_set_and_number_of_processes(tmp_path):
    one = ObjectSet.procedural(3, 0, 19, cache=tmp_path / "one", workers=1)
    two = ObjectSet.procedural(3, 0, 19, cache=tmp_path / "two", workers=2)
    part = ObjectSet.procedural(3, 5, 7, cache=tmp_path / "three")
    assert one.name == two.name == "procedural-3-0-19"
    assert files(one) == files(two)
    assert files(part).items() <= files(one).items()
    assert part.names == one.names[5:8]
    assert digest_meshes(one.models) == digest_meshes(two.models) != digest_meshes(part.models)


def test_seen_and_novel_sets_are_parts_of_the_whole():
    whole = ObjectSet.procedural(0, 0, 59)
    seen, novel = (ObjectSet.procedural(0, 0, 59, families=share) for share in ("seen", "novel"))
    assert sorted(seen.names + novel.names) == sorted(whole.names)
    assert {n.split("-")[-1] for n in seen.names} <= set(SEEN)
    assert {n.split("-")[-1] for n in novel.names} <= set(NOVEL)


@pytest.mark.parametrize("families", ["seen", "novel", ["mug", "hammer"], "bowl"])
def test_a_set_is_rebuilt_from_its_name(families):
    made = ObjectSet.procedural(1, 0, 80, families=families)
    assert named_set(made.name) == made


def test_other_names_are_no_procedural_sets():
    assert named_set("pybullet-900-901") == ObjectSet.pybullet(900, 901)
    for name in ("procedural-0-5", "procedural-0-0-9-teapot", "mine", "procedural", "procedural--1-0-3"):
        assert parse_name(name) is None
        assert named_set(name) is None


@given(st.integers(0, 10**17), st.integers(0, 10**17), st.lists(st.sampled_from(SEEN + NOVEL), min_size=1))
@settings(max_examples=200, deadline=None)
def test_names_of_sets_go_both_ways(seed, first, families):
    chosen = choose_families(families)
    assert parse_name(set_name(seed, first, first + 9, families=chosen)) == (seed, first, first + 9, chosen)


def test_single_objects_are_found_by_name():
    made = ObjectSet.procedural(4, 0, 3)
    found = published_objects([made.names[2], "random_urdfs/900", "procedural-4/000001-teapot"])
    assert found.model(made.names[2]) == made.models[2]
    assert found.model("random_urdfs/900")
    with pytest.raises(InputError, match="not in the set"):
        found.model("procedural-4/000001-teapot")
    assert published_objects(["random_urdfs/900"]).name == "pybullet-0-999"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"seed": -1}, "objects.seed is -1"),
        ({"seed": 1.5}, "objects.seed is 1.5"),
        ({"first": 5, "last": 2}, "objects.first is 5"),
        ({"last": 10**9}, "give a last of"),
        ({"families": "mugg"}, "did you mean mug"),
        ({"families": ["seen"]}, "'seen', which is no family"),
        ({"families": []}, "is empty"),
        ({"last": 0, "families": "teapot"}, "no family"),
        ({"last": 0, "families": ["hook"]}, "raise last"),
        ({"last": 30, "workers": 0, "cache": "new"}, "workers is 0"),
    ],
)
def test_what_is_refused_is_said_in_a_sentence(options, sentence, tmp_path):
    options = dict(options)
    if "cache" in options:
        options["cache"] = tmp_path / "new"
    with pytest.raises(InputError, match=sentence):
        ObjectSet.procedural(**options)


def test_a_cache_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="XDG_CACHE_HOME"):
        ObjectSet.procedural(0, 0, 1, cache=tmp_path / "file" / "cache")


def test_a_broken_entry_is_made_anew(tmp_path):
    made = ObjectSet.procedural(0, 0, 1, cache=tmp_path)
    before = files(made)
    (made.models[0].urdf.parent / "parts.obj").write_text("v 0 0 0\n")
    assert files(ObjectSet.procedural(0, 0, 1, cache=tmp_path)) == before


def test_the_files_hold_what_was_drawn():
    made = ObjectSet.procedural(0, 0, 29)
    prints = 0
    for i, model in enumerate(made.models):
        shape, mesh = make_shape(0, i), model.mesh()
        weights, body = weigh(shape), trimesh.Trimesh(mesh.vertices, mesh.faces)
        drawn = np.vstack([piece.solid.surface.vertices for piece in shape.pieces]) - weights.centre
        assert body.is_watertight
        assert np.allclose(body.bounds, [drawn.min(0), drawn.max(0)], atol=1e-6)
        assert body.volume == pytest.approx(sum(p.solid.surface.volume for p in shape.pieces), rel=1e-3)
        assert f'<mass value="{weights.mass:.6f}"/>' in model.urdf.read_text()
        assert read_base_link(model.urdf).visuals
        assert len(mesh.textures) <= sum(p.print is not None for p in shape.pieces)
        prints += len(mesh.textures)
        assert json.loads((model.urdf.parent / "entry.json").read_text())["source"].startswith(shape.family)
        plain = [p.colour for p in shape.pieces if p.print is None]
        assert all(np.isclose(mesh.colours, c, atol=3e-3).all(axis=1).any() for c in plain)
    assert prints >= 5


def test_objects_come_to_rest_in_the_tray():
    objects = ObjectSet.procedural(6, 0, 59)
    with Scene(objects) as scene:
        scene.drop(15, np.random.default_rng(2))
        assert scene.settle()
        state = scene.state("own", 2)
    assert len(state.models) == 15
    for model, pose in zip(state.models, state.poses, strict=True):
        lowest = (model.mesh().vertices @ pose[:3, :3].T + pose[:3, 3])[:, 2].min()
        assert lowest > -0.003, f"{model.name} has sunk into the floor"
