"""Objects of a data set, loaded again as they were: by every loader of conf/objects, also from a moved folder."""

import re
import shutil
import sysconfig
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import trimesh

from labeler.dataset.manifest import Counts, Manifest, read_manifest, write_manifest
from labeler.dataset.recipe import describe_objects
from labeler.truth.execution import find_objects
from sim.errors import InputError
from sim.objects import ObjectSet
from sim.objects.folder import found_sources, kept_source
from sim.objects.settings import MeshSettings, ObjectSource
from sim.scene import SceneState

MILLIMETRES = (30, 40, 60)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))


def box(path, factor=0.001):
    path.parent.mkdir(parents=True, exist_ok=True)
    trimesh.creation.box([side * factor for side in MILLIMETRES]).export(path)


def urdf(path, mesh):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = f'<geometry><mesh filename="{mesh}"/></geometry>'
    path.write_text(f'<robot name="r"><link name="l"><visual>{shape}</visual></link></robot>')


def folder_with_scale(root):
    box(root / "mm" / "a.stl", 1)
    return ObjectSet.from_folder(root / "mm", scale=0.001, meshes=MeshSettings(density=700.0))


def folder_with_pattern_and_fit(root):
    box(root / "a" / "textured.obj")
    box(root / "a" / "other.obj", 0.002)
    return ObjectSet.from_folder(root, pattern="**/textured.obj", fit=0.03)


def urdfs_with_length(root):
    box(root / "things" / "meshes" / "a.obj", 1)
    urdf(root / "things" / "urdf" / "a.urdf", "package://things/meshes/a.obj")  # Bullet needs a copy of it
    return ObjectSet.from_folder(root, length=0.05)


def urdfs_of_several_sizes(root):
    for name, factor in (("a", 0.001), ("b", 0.005)):
        box(root / f"{name}.obj", factor)
        urdf(root / f"{name}.urdf", f"{name}.obj")
    return ObjectSet.from_folder(root, fit=0.06)


def single_mesh(root):
    box(root / "a[1].stl", 1)
    box(root / "b.stl", 1)
    return ObjectSet.from_folder(root / "a[1].stl", scale=0.001)


def ycb(root):
    box(root / "002_can" / "tsdf" / "textured.obj")
    box(root / "002_can" / "google_16k" / "textured.obj", 0.002)
    return ObjectSet.ycb(root, versions=["tsdf"])


def egad(root):
    box(root / "egad_train_set" / "A0.obj", 1)
    box(root / "egad_eval_set" / "B0.obj", 7)
    return ObjectSet.egad(root, split="eval", length=0.08, fit=None)


def shapenetsem(root):
    for name in ("one", "two"):
        box(root / "models" / f"{name}.obj", 0.04)
    (root / "metadata.csv").write_text("fullId,unit,category\nwss.one,0.02,Mug\nwss.two,0.02,Bed\n")
    return ObjectSet.shapenetsem(root, categories=["Mug"])


def list_beside(root):
    box(root / "x" / "a.obj", 1)
    (root / "list.txt").write_text("x\\a.obj\n")
    return ObjectSet.from_list(root / "list.txt", scale=0.001)


def list_elsewhere(root):
    box(root / "x" / "a.obj", 1)
    (root.parent / "lists").mkdir()
    (root.parent / "lists" / "seen.txt").write_text("x/a.obj\n")
    return ObjectSet.from_list(root.parent / "lists" / "seen.txt", root, scale=0.001)


KINDS = [
    folder_with_scale,
    folder_with_pattern_and_fit,
    urdfs_with_length,
    urdfs_of_several_sizes,
    single_mesh,
    ycb,
    egad,
    shapenetsem,
    list_beside,
    list_elsewhere,
]


def data_of(folder, objects, source=True):
    """What ``find_objects`` asks of a data set, written and read back."""
    content = Manifest(
        name="d",
        hash="0",
        recipe={"objects": describe_objects(objects)},
        counts=Counts.of(()),
        shards=(),
        objects=objects.source if source else None,
    )
    folder.mkdir(exist_ok=True)
    write_manifest(folder, content)
    seen = {"objects": [SimpleNamespace(name=m.name, scale=m.scale) for m in objects.models]}
    return SimpleNamespace(folder=folder, manifest=read_manifest(folder), read=lambda *_: seen, scenes=np.zeros(1, int))


def weight(objects):
    return [(m.name, m.scale, m.mesh().vertices.tobytes()) for m in objects.models]


@pytest.mark.parametrize("make", KINDS)
def test_objects_are_loaded_again_as_they_were_also_from_elsewhere(make, tmp_path):
    root = tmp_path / "things here"
    root.mkdir()
    objects = make(root)
    data, known = data_of(tmp_path / "data", objects), weight(objects)
    assert weight(find_objects(data)) == known
    state = SceneState(objects.models[:1], [[[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0.1], [0, 0, 0, 1]]])
    state.save(tmp_path / "scene.json")
    place = (root / "mm", tmp_path / "moved" / "mm") if make is folder_with_scale else (root, tmp_path / "moved")
    shutil.move(root, tmp_path / "moved")
    shutil.rmtree(tmp_path / "xdg", ignore_errors=True)
    if make is not list_elsewhere:  # its list still lies where it lay
        noted = re.escape(str(data.manifest.objects.arguments["path"]))  # as it is written, not what it comes to
        with pytest.raises(InputError, match=f"lay in {noted}, which is gone; give their folder: objects=FOLDER"):
            find_objects(data)
    found = find_objects(data, place[1])
    assert weight(found) == known
    back = SceneState.load(tmp_path / "scene.json", found)
    assert [m.mesh().vertices.tobytes() for m in back.models] == [known[0][2]]


@pytest.mark.parametrize("make", KINDS)
@pytest.mark.parametrize("home", ["data", "sets/data"])
def test_a_data_set_that_moves_with_its_objects_finds_them(make, home, tmp_path):
    """Whatever lies near it is named relative to it, so that the project may go to another machine."""
    root = tmp_path / "project" / "my things"
    root.mkdir(parents=True)
    objects, folder = make(root), tmp_path / "project" / home
    folder.parent.mkdir(exist_ok=True)
    data, known = data_of(folder, objects), weight(objects)
    assert str(tmp_path) not in (folder / "dataset.json").read_text()
    (tmp_path / "cluster").mkdir()
    shutil.move(tmp_path / "project", tmp_path / "cluster" / "project")
    data.folder = tmp_path / "cluster" / "project" / home
    assert weight(find_objects(data)) == known


def test_places_of_objects_near_far_and_in_a_package(tmp_path, monkeypatch):
    packages = sysconfig.get_path("purelib")
    source = ObjectSource(loader="from_list", arguments={"path": f"{packages}/numpy/a.txt", "root": "/usr/share/x"})
    kept = kept_source(source, tmp_path / "a" / "b" / "data")
    assert dict(kept.arguments) == {"path": "package:numpy/a.txt", "root": "/usr/share/x"}
    assert dict(found_sources(kept, tmp_path)[0].arguments) == dict(source.arguments)
    # An older plgp's data set names the folder that its objects had on another machine; a data set alone may move, too.
    old = ObjectSource(loader="from_folder", arguments={"path": "/home/someone/project/meshes/mugs"})
    (tmp_path / "meshes" / "mugs").mkdir(parents=True)
    assert found_sources(old, tmp_path / "data")[0].arguments["path"] == str(tmp_path / "meshes" / "mugs")
    monkeypatch.chdir(tmp_path)
    moved = ObjectSource(loader="from_folder", arguments={"path": "../../meshes/mugs"})
    assert found_sources(moved, Path("/elsewhere/data"))[0].arguments["path"] == str(tmp_path / "meshes" / "mugs")


def test_an_object_that_is_gone_is_named(tmp_path):
    box(tmp_path / "things" / "cup.stl", 1)
    box(tmp_path / "things" / "jug.stl", 2)
    data = data_of(tmp_path / "data", ObjectSet.from_folder(tmp_path / "things", scale=0.001))
    (tmp_path / "things" / "jug.stl").unlink()
    with pytest.raises(InputError, match=r"'jug' is not among them; give the folder .* objects=FOLDER"):
        find_objects(data)


@pytest.mark.parametrize("make", [egad, ycb])
def test_other_objects_are_refused(make, tmp_path):
    root = tmp_path / "things"
    root.mkdir()
    data = data_of(tmp_path / "data", make(root))
    for path in root.rglob("*.obj"):
        box(path, 0.0015)
    if make is egad:  # every length is 0.08: the shape has to differ
        trimesh.creation.box((1, 1, 3)).export(root / "egad_eval_set" / "B0.obj")
    with pytest.raises(InputError, match="are not the 1 that"):
        find_objects(data)


def test_older_data_sets_are_read_by_what_their_names_say(tmp_path):
    box(tmp_path / "t" / "egad_eval_set" / "B0.obj", 7)
    objects = ObjectSet.egad(tmp_path / "t", split="eval")
    data = data_of(tmp_path / "data", objects, source=False)
    assert weight(find_objects(data, tmp_path / "t")) == weight(objects)
    with pytest.raises(InputError, match="give their folder"):
        find_objects(data)


@pytest.mark.parametrize("arguments", [{"meshes": {"weight": 1}}, {"path": 3}])
def test_a_source_that_is_none_says_so(arguments):
    with pytest.raises(InputError, match="cannot be read"):
        ObjectSet.from_source(ObjectSource(loader="from_folder", arguments=arguments))
    with pytest.raises(InputError, match="'__init__' are not known"):
        ObjectSet.from_source(ObjectSource(loader="__init__", arguments=arguments))


def test_objects_of_a_data_set_that_a_link_leads_to(tmp_path):
    root = tmp_path / "objs"
    objects = folder_with_scale(root)
    (tmp_path / "sub").mkdir()
    (tmp_path / "deep" / "er" / "still").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "objs" / "mm").mkdir(parents=True)  # where the path leads from the link
    data = data_of(tmp_path / "sub" / "d", objects)
    link = tmp_path / "deep" / "er" / "still" / "link"
    link.symlink_to(data.folder)
    assert weight(find_objects(SimpleNamespace(**{**vars(data), "folder": link}))) == weight(objects)
    near = tmp_path / "near"
    near.symlink_to(data.folder)
    assert data_of(near, objects).manifest.objects == data.manifest.objects  # written through a link, too


def test_objects_noted_as_seen_from_a_link_are_found_beside_others_of_the_same_place(tmp_path):
    """A former plgp noted ../objs of a data set that was made through a link; seen from its end, that is another."""
    objects = folder_with_scale(tmp_path / "project" / "objs")
    data = data_of(tmp_path / "project" / "made", objects)
    (tmp_path / "disk").mkdir()
    shutil.move(data.folder, tmp_path / "disk" / "made")
    data.folder.symlink_to(tmp_path / "disk" / "made")
    assert "../objs/mm" in (data.folder / "dataset.json").read_text()
    (tmp_path / "disk" / "objs" / "mm").mkdir(parents=True)
    assert weight(find_objects(data)) == weight(objects)
    box(tmp_path / "disk" / "objs" / "mm" / "other.stl", 1)
    assert weight(find_objects(data)) == weight(objects)
