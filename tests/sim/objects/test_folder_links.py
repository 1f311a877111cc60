"""Folders of objects with links, which are followed once, and with files that are no objects, which are named."""

import warnings

import pytest
import trimesh

from sim.objects import ObjectSet
from sim.objects.settings import MeshSettings


def test_links_are_followed_without_end_or_loss(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder, elsewhere = tmp_path / "my öbjects", tmp_path / "else where"
    for place in (folder, elsewhere):
        place.mkdir()
    trimesh.creation.box((0.03, 0.04, 0.06)).export(elsewhere / "CUP.STL", file_type="stl")
    trimesh.creation.box((0.02, 0.04, 0.06)).export(folder / "a b.obj")
    (folder / "linked").symlink_to(elsewhere)
    (folder / "round").symlink_to(folder)
    (folder / "file.stl").symlink_to(elsewhere / "CUP.STL")
    (folder / "gone.stl").symlink_to(tmp_path / "nowhere.stl")
    with pytest.warns(UserWarning, match=r"skipped 1 of 4 objects in .*: gone.stl: it is a link to nothing"):
        found = ObjectSet.from_folder(folder, workers=1, meshes=MeshSettings(resolution=20_000))
    assert found.names == ["a b", "file", "linked"]


def box(file):
    file.parent.mkdir(parents=True, exist_ok=True)
    trimesh.creation.box((0.02, 0.04, 0.06)).export(file)


@pytest.mark.parametrize(
    ("other", "name"), [("textures.zip", "mug/model"), ("model.blend", "mug/model.obj"), ("readme.txt", "mug")]
)
def test_an_object_that_is_not_read_counts_where_the_one_beside_it_is_named(tmp_path, other, name):
    """Data sets and results know their objects by these names."""
    box(tmp_path / "set" / "mug" / "model.obj")
    box(tmp_path / "set" / "box.obj")
    (tmp_path / "set" / "mug" / other).write_bytes(b"PK")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = ObjectSet.from_folder(tmp_path / "set", cache=tmp_path / "cache", workers=1)
    assert found.names == ["box", name]
    words = " ".join(str(warning.message) for warning in told)
    assert (f"skipped 1 of 3 objects in {tmp_path / 'set'}: mug/{other}: " in words) == (name != "mug")


@pytest.mark.parametrize(
    ("file", "text"),
    [("model.xml", '<?xml version="1.0"?><!-- a mug --><mujoco model="mug"/>'), ("model.sdf", "<sdf/>")],
)
def test_meshes_of_a_mujoco_or_sdf_model_are_told_to_be_taken_one_by_one(tmp_path, file, text):
    mug = tmp_path / "set" / "mug"
    for name in ("model.obj", "parts/a.stl", "parts/b.stl"):
        box(mug / name)
    (mug / file).write_text(text)
    (mug / "notes.xml").write_text("<annotation/>")
    box(tmp_path / "set" / "box.obj")
    cure = r"\(3 here\); to take only some, give objects.pattern=\*\*/"
    words = rf"mug/{file}: .* not read; .*; meshes beside it are taken one by one, .*{cure}"
    with pytest.warns(UserWarning, match=f"skipped 1 of 5 objects in .*{words}"):
        found = ObjectSet.from_folder(tmp_path / "set", cache=tmp_path / "cache", workers=1)
    names = ["box", "mug" if file.endswith(".xml") else "mug/model.obj", "mug/parts/a", "mug/parts/b"]
    assert found.names == names
