"""Wrong units, splits, levels, files that changed, poses that cannot be true: each is told, with its own cure."""

import copy
import hashlib
import json
import os
import shutil
import warnings

import h5py
import numpy as np
import pytest
import trimesh
from PIL import Image

from labeler.dataset.manifest import STAKE, read_manifest
from labeler.formats.authors_data import size_of
from labeler.posed.check import CheckSettings
from labeler.posed.data import _digest, describe_checks, import_posed
from labeler.posed.models import load_posed_models
from labeler.posed.twin import TwinSettings
from labeler.posed.views import find_views
from sim.errors import InputError
from sim.physics import TraySettings

HALF = 20.0  # half the side of the cube, millimetres
SIZE = (96, 128)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write_scene(folder, kind="png"):
    """A BOP scene: a cube on a table 600 mm below the camera."""
    for name in ("rgb", "depth"):
        (folder / name).mkdir(parents=True)
    focal, middle = float(SIZE[1]), ((SIZE[1] - 1) / 2, (SIZE[0] - 1) / 2)
    u, v = np.meshgrid(np.arange(SIZE[1]) - middle[0], np.arange(SIZE[0]) - middle[1])
    top = 600 - 2 * HALF
    depth = np.where((abs(u * top / focal) < HALF) & (abs(v * top / focal) < HALF), top, 600)
    Image.fromarray(np.full((*SIZE, 3), 90, np.uint8)).save(folder / "rgb/000000.png")
    Image.fromarray(depth.astype(np.uint16)).save(folder / f"depth/000000.{kind}")
    camera = {"cam_K": [focal, 0, middle[0], 0, focal, middle[1], 0, 0, 1], "depth_scale": 1.0}
    (folder / "scene_camera.json").write_text(json.dumps({"0": camera}))
    pose = {"cam_R_m2c": np.eye(3).ravel().tolist(), "cam_t_m2c": [0, 0, 600 - HALF], "obj_id": 1}
    (folder / "scene_gt.json").write_text(json.dumps({"0": [pose]}))


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "bop"
    write_models(folder, 1)
    return folder


def write_models(folder, scale):
    (folder / "models").mkdir(parents=True, exist_ok=True)
    trimesh.creation.box((2 * HALF * scale,) * 3).export(folder / "models" / "obj_000001.ply")


def change(path, key, value):
    content = json.loads(path.read_text())
    entry = content["0"][0] if isinstance(content["0"], list) else content["0"]
    entry[key] = value
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("file", "key", "value", "words"),
    [
        (
            "scene_camera.json",
            "depth_scale",
            10.0,
            "10 times farther than its poses .* 0.1 times depth_scale .* 10 times factor_depth",
        ),
        (
            "scene_camera.json",
            "depth_scale",
            0.1,
            "10 times nearer than its poses .* 10 times depth_scale .* 0.1 times factor_depth",
        ),
        ("scene_gt.json", "cam_t_m2c", [0, 0, 0.58], "1000 times farther .* see cam_t_m2c, which is in millimetres"),
    ],
)
def test_depth_and_poses_in_different_units(file, key, value, words, source, tmp_path):
    write_scene(source / "test" / "000001")
    change(source / "test" / "000001" / file, key, value)
    with pytest.raises(InputError, match=words):
        import_posed(source, tmp_path / "data", check=CheckSettings())


def test_a_pose_that_is_merely_wrong_is_not_called_a_unit(source, tmp_path):
    write_scene(source / "test" / "000001")
    change(source / "test" / "000001" / "scene_gt.json", "cam_t_m2c", [80, 0, 540])
    with pytest.raises(InputError, match="of its 1 poses are bad") as told:
        import_posed(source, tmp_path / "data", check=CheckSettings())
    assert "times" not in str(told.value)


@pytest.mark.parametrize(("scale", "factor"), [(0.001, 1000), (1000, 0.001)])
def test_meshes_in_another_unit(scale, factor, source):
    write_models(source, scale)
    with pytest.raises(InputError, match=f"GraspNet's in metres: multiply the vertices by {factor}") as told:
        load_posed_models(source / "models", "bop")
    assert "`scale`" not in str(told.value)
    trimesh.creation.box((30, 40, 50)).export(source / "models" / "obj_000002.ply")
    with pytest.warns(UserWarning, match=f"skipped 1 of 2 .* multiply the vertices by {factor}"):
        assert load_posed_models(source / "models", "bop").objects.names == ["obj_000002"]


def test_graspnet_s_meshes_in_millimetres(tmp_path):
    (tmp_path / "000").mkdir()
    trimesh.creation.box((30, 40, 50)).export(tmp_path / "000" / "nontextured.ply")
    with pytest.raises(InputError, match=r"multiply the vertices by 0\.001") as told:
        load_posed_models(tmp_path, "graspnet")
    assert "objects.scale" not in str(told.value)


def test_files_that_changed_are_another_import(source, tmp_path):
    """Even where their sizes are what they were; a copy of the same files is the same import."""
    write_scene(source / "test" / "000001", kind="tif")
    import_posed(source, tmp_path / "data", check=None)
    shutil.copytree(source, tmp_path / "copy" / "bop")
    os.utime(tmp_path / "copy/bop/test/000001/depth/000000.tif", (1, 1))
    import_posed(tmp_path / "copy" / "bop", tmp_path / "data", check=None)
    path = source / "test/000001/depth/000000.tif"
    size = path.stat().st_size
    Image.fromarray(np.asarray(Image.open(path)) + np.uint16(4)).save(path)
    assert path.stat().st_size == size
    with pytest.raises(InputError, match="holds another data set"):
        import_posed(source, tmp_path / "data", check=None)


def test_a_folder_of_an_older_import_goes_on(source, tmp_path):
    """It knew files by their sizes, and no limit of turns: its hash stays, and newer files are named."""
    write_scene(source / "test" / "000001")
    data = tmp_path / "data"
    import_posed(source, data, check=CheckSettings())
    recipe = copy.deepcopy(read_manifest(data).recipe)
    recipe["source_sha256"] = _digest(list(find_views(source, "bop")), size_of)
    del recipe["check"]["turn"]
    former = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
    for name in (STAKE, "dataset.json"):
        content = json.loads((data / name).read_text())
        (data / name).write_text(json.dumps(content | {"hash": former, "recipe": recipe}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        import_posed(source, data, check=CheckSettings())
    assert read_manifest(data).hash == former
    os.utime(source / "test/000001/depth/000000.png", (2e9, 2e9))
    with pytest.warns(UserWarning, match="000000.png is newer than its shards"):
        import_posed(source, data, check=CheckSettings())


def test_poses_that_cannot_be_true(source, tmp_path):
    write_scene(source / "test" / "000001")
    path = source / "test" / "000001" / "scene_gt.json"
    content = json.loads(path.read_text())
    first = content["0"][0]
    content["0"] += [first, first | {"cam_t_m2c": [0, 0, -600]}]
    path.write_text(json.dumps(content))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        done = import_posed(source, tmp_path / "data", check=CheckSettings())
    words = " ".join(str(w.message) for w in told)
    assert "behind their camera, where they are not seen (1): test/000001/0 obj_000001" in words
    assert "listed twice in their view (1): test/000001/0 obj_000001" in words
    assert describe_checks(done.poses).endswith("poses: 3, 1 good, 2 unchecked; all in poses.csv")


def test_splits_are_scenes_of_their_own_and_sensors_are_not(source):
    for split in ("train_pbr", "train_real", "test_primesense", "test_canon", "val_kinect2", "val"):
        write_scene(source / split / "000000")
    places = [view.place for view in find_views(source, "bop")]
    assert places == [f"{p}/000000" for p in ("test", "test", "train_pbr", "train_real", "val", "val")]


def test_trays_of_scenes_that_are_no_numbers(source):
    """And of those whose sensors have files of their own."""
    write_scene(source / "test" / "kitchen")
    write_scene(source / "test" / "000007")
    for name in ("rgb", "depth"):
        (source / "test/000007" / name).rename(source / "test/000007" / f"{name}_cam1")
    for path in (*(source / "test").glob("*/scene_camera.json"),):
        change(path, "cam_R_w2c", np.eye(3).ravel().tolist())
        change(path, "cam_t_w2c", [0, 0, 600])
    for name in ("scene_gt", "scene_camera"):
        (source / f"test/000007/{name}.json").rename(source / f"test/000007/{name}_cam1.json")
    tray = TraySettings()
    settings = TwinSettings(trays={"7": tray.to_saved()})
    sensor, kitchen = find_views(source, "bop")
    assert sensor.scene == "test/000007/cam1"
    assert settings.tray(sensor) == tray
    assert settings.tray(kitchen) is None


@pytest.mark.parametrize(
    ("place", "start", "format", "words"),
    [
        ("test/000001", ".", "graspnet", "this looks like format=bop"),
        ("scenes/scene_0000/kinect/meta", ".", "bop", "this looks like format=graspnet"),
        ("train_1/scene_0000/kinect/meta", ".", "graspnet", "its scenes lie in train_1, not in scenes"),
        ("scenes/scene_0000/kinect/meta", "scenes", "graspnet", "give the folder .*below"),
        ("ycbv/test/000001", ".", "graspnet", "this looks like format=bop"),
        ("a/ycbv/test/000001", ".", "bop", "its scenes lie below .*a/ycbv; give that folder"),
    ],
)
def test_another_format_or_level_is_named(place, start, format, words, tmp_path):
    folder = tmp_path / "below"
    (folder / place).mkdir(parents=True)
    if not place.endswith("meta"):
        (folder / place / "scene_gt.json").write_text("{}")
    with pytest.raises(InputError, match=words):
        list(find_views(folder / start, format))


def test_shards_of_an_older_plgp_say_so(source, tmp_path):
    """They lack the poses' last column, and keep labels that are left out today."""
    write_scene(source / "test" / "000001")
    import_posed(source, tmp_path / "data", check=CheckSettings())
    with h5py.File(tmp_path / "data" / "shard-00000.h5", "r+") as shard:
        shard.attrs["poses"] = json.dumps([row[:-1] for row in json.loads(shard.attrs["poses"])])
    with pytest.warns(UserWarning, match="older plgp, which kept labels under things without a pose"):
        done = import_posed(source, tmp_path / "data", check=CheckSettings())
    assert done.poses.dropped.isna().all()
    assert describe_checks(done.poses).endswith("poses: 1, 1 good; all in poses.csv")
