"""Folders of objects with links: followed once, and named where they lead nowhere."""

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
