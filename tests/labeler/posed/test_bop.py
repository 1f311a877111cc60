"""Our scenes as a BOP folder and back: the same labels; poses that are off are found."""

import json
import shutil

import numpy as np
import pytest
import trimesh
from PIL import Image
from scipy.io import savemat

from labeler.dataset.generate import generate
from labeler.dataset.validate import find_problems
from labeler.posed.check import CheckSettings
from labeler.posed.data import describe_checks, import_posed
from labeler.posed.export_bop import export_bop
from labeler.posed.models import models_folder
from labeler.posed.views import find_views
from labeler.shards.data_set import DataSet
from labeler.truth.execution import find_objects, rebuild_scene
from sim.camera import PinholeCamera
from sim.errors import InputError

ALL = ("rgb", "depth", "depth_noisy", "instance_mask", "objects")


@pytest.fixture(autouse=True, scope="module")
def own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def original(small_recipe, tmp_path_factory):
    camera = PinholeCamera.from_fov(640, 480)
    recipe = small_recipe(scenes=1, views=2, object_counts=(3,), camera=camera, pixels_per_metre=2000.0, seed=3)
    return generate(recipe, tmp_path_factory.mktemp("posed") / "ours", progress=False)


@pytest.fixture(scope="module")
def exported(original, tmp_path_factory):
    out = tmp_path_factory.mktemp("posed") / "bop"
    assert export_bop(original, out) == {"images": 2, "scenes": 1, "models": 3}
    return out


def keys(frame):
    g = frame["grasps"]
    return set(zip(g.row.tolist(), g.col.tolist(), g.angle_bin.tolist(), np.round(g.depth, 4).tolist(), strict=True))


def same(a, b):
    return len(keys(a) & keys(b)) / len(keys(a) | keys(b))


def test_round_trip(original, exported, tmp_path):
    done = import_posed(exported, tmp_path / "back", check=CheckSettings())
    print(describe_checks(done.poses))
    ours, back = DataSet(original), DataSet(tmp_path / "back")
    assert done.skipped == []
    assert find_problems(tmp_path / "back") == []
    for index in range(2):
        a, b = ours.read(index, ALL), back.read(index, ALL)
        print(len(keys(a)), len(keys(b)), same(a, b), np.abs(a["depth"] - b["depth"]).max())
        np.testing.assert_array_equal(a["rgb"], b["rgb"])
        np.testing.assert_array_equal(a["depth_noisy"], b["depth_noisy"])
        assert len(keys(a)) > 50
        assert same(a, b) > 0.995
        state = rebuild_scene(back.manifest.recipe, find_objects(back), b)
        assert len(state.models) == 3
    assert (done.poses.verdict != "bad").all()


def perturb(folder, view, entry, *, shift, turn):
    """Moves one object of a view, millimetres and degrees."""
    path = folder / "test" / "000000" / "scene_gt.json"
    content = json.loads(path.read_text())
    item = content[view][entry]
    angle = np.deg2rad(turn)
    about_z = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    item["cam_R_m2c"] = (about_z @ np.reshape(item["cam_R_m2c"], (3, 3))).ravel().tolist()
    item["cam_t_m2c"] = (np.array(item["cam_t_m2c"]) + shift).tolist()
    path.write_text(json.dumps(content))


def test_a_bad_pose_is_found(exported, original, tmp_path):
    folder = tmp_path / "bop"
    shutil.copytree(exported, folder)
    perturb(folder, "0", 1, shift=[4.0, 3.0, 0.0], turn=0)
    done = import_posed(folder, tmp_path / "back", check=CheckSettings())
    print(describe_checks(done.poses))
    assert done.poses.verdict.tolist() == ["good", "bad", "good", "good", "good", "good"]
    frame, ours = DataSet(tmp_path / "back").read(0, ALL), DataSet(original).read(0, ALL)
    owners = frame["instance_mask"][frame["grasps"].row, frame["grasps"].col]
    assert 2 not in owners
    assert len(owners) > 0
    header = (tmp_path / "back" / "poses.csv").read_text().splitlines()[0]
    assert header == "view,object,pixels,agree,mean,shift,verdict,reason,table,turn,turn_error,dropped"
    assert np.array_equal(frame["rgb"], ours["rgb"])


def test_a_folder_of_others(exported, original, tmp_path):
    """Without our own file the table is fitted to the depth, and labels away from the walls stay the same."""
    folder = tmp_path / "bop"
    shutil.copytree(exported, folder)
    (folder / "plgp-recipe.json").unlink()
    done = import_posed(folder, tmp_path / "back", every=2, check=None)
    assert done.skipped == []
    frame, ours = DataSet(tmp_path / "back").read(0, ALL), DataSet(original).read(0, ALL)
    shown = ours["instance_mask"] > 0
    assert (frame["instance_mask"] == ours["instance_mask"])[shown].mean() > 0.98
    assert len(frame["grasps"]) > 50


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: (f / "test/000000/scene_gt.json").write_text("{"), "scene_gt.json cannot be read"),
        (lambda f: shutil.rmtree(f / "test"), "holds no scene of the format bop"),
        (lambda f: shutil.rmtree(f / "models"), "give the folder of the meshes"),
        (lambda f: shutil.rmtree(f / "test/000000/depth"), "is missing"),
        (lambda f: (f / "plgp-recipe.json").write_text("{}"), "plgp-recipe.json cannot be read"),
    ],
)
def test_what_is_wrong_is_named(damage, words, exported, tmp_path):
    folder = tmp_path / "bop"
    shutil.copytree(exported, folder)
    damage(folder)
    with pytest.raises(InputError, match=words):
        import_posed(folder, tmp_path / "back", check=None)


def test_an_export_needs_an_empty_folder(original, exported):
    with pytest.raises(InputError, match="not an empty folder"):
        export_bop(original, exported)
    with pytest.raises(InputError, match="give noisy or clean"):
        export_bop(original, exported / "new", depth="loud")


def as_graspnet(exported, folder, sensor="realsense"):
    """Writes the first view in GraspNet's layout: metres, .mat files, classes from 1, and what else lies there."""
    place = folder / "scenes" / "scene_0000" / sensor
    for name in ("rgb", "depth"):
        shutil.copytree(exported / "test/000000" / name, place / name)
    for file in (exported / "models").glob("*.ply"):
        mesh = trimesh.load(file, process=False)
        mesh.vertices = np.asarray(mesh.vertices) / 1000
        own = folder / "models" / f"{int(file.stem[4:]):03d}"
        own.mkdir(parents=True, exist_ok=True)
        mesh.export(own / "nontextured.ply")
        (own / "textured.sdf").write_bytes(b"")
    for name in ("meta", "annotations", "label", "rect"):
        (place / name).mkdir()
    (place / "annotations" / "0000.xml").write_text("<scene/>")
    for name, array in (("cam0_wrt_table", np.eye(4)), ("camera_poses", np.eye(4)[None]), ("camK", np.eye(3))):
        np.save(place / f"{name}.npy", array)
    np.save(place.parent / "rs_wrt_kn.npy", np.eye(4)[None])
    (place.parent / "object_id_list.txt").write_text("0\n1\n2\n")
    poses = json.loads((exported / "test/000000/scene_gt.json").read_text())["0"]
    camera = json.loads((exported / "test/000000/scene_camera.json").read_text())["0"]
    matrices = [np.c_[np.reshape(p["cam_R_m2c"], (3, 3)), np.array(p["cam_t_m2c"]) / 1000] for p in poses]
    meta = {
        "poses": np.stack(matrices, axis=2),
        "cls_indexes": np.array([p["obj_id"] + 1 for p in poses]),
        "intrinsic_matrix": np.reshape(camera["cam_K"], (3, 3)),
        "factor_depth": np.array([[10000]]),
    }
    for name in ("rgb", "depth"):
        (place / name / "000000.png").rename(place / name / "0000.png")
        (place / name / "000001.png").unlink()
    savemat(place / "meta" / "0000.mat", meta)


@pytest.mark.slow
def test_graspnet(exported, original, tmp_path):
    as_graspnet(exported, tmp_path / "gn")
    done = import_posed(tmp_path / "gn", tmp_path / "back", format="graspnet", check=None)
    assert done.skipped == []
    frame, ours = DataSet(tmp_path / "back").read(0, ALL), DataSet(original).read(0, ALL)
    np.testing.assert_array_equal(frame["depth_noisy"], ours["depth_noisy"])
    shown = ours["instance_mask"] > 0
    assert (frame["instance_mask"] == ours["instance_mask"])[shown].mean() > 0.98
    assert len(frame["grasps"]) > 50
    with pytest.raises(InputError, match="choose bop or graspnet"):
        import_posed(tmp_path / "gn", tmp_path / "new", format="linemod")


def test_two_sensors_of_graspnet_saw_one_scene(exported, tmp_path):
    for sensor in ("kinect", "realsense"):
        as_graspnet(exported, tmp_path / "gn", sensor)
    views = list(find_views(tmp_path / "gn", "graspnet"))
    assert [v.name for v in views] == [f"scenes/scene_0000/{sensor}/0000" for sensor in ("kinect", "realsense")]
    assert {v.place for v in views} == {"scenes/scene_0000"}  # training and validation are split by it
    assert len({v.number for v in views}) == 2


def test_folders_as_bop_s_data_sets_have_them(exported, tmp_path):
    """Several scenes and sensors, grey pictures, no masks, T-LESS's and the evaluation's meshes, a depth scale."""
    folder = tmp_path / "tless"
    for split in ("test_primesense", "test_kinect", "train_primesense"):
        for number in (1, 2):
            place = folder / split / f"{number:06d}"
            shutil.copytree(exported / "test/000000", place)
            shutil.rmtree(place / "mask_visib")
            (place / "scene_gt_info.json").write_text("{}")
            if split == "test_kinect":
                (place / "rgb").rename(place / "gray")
    path = folder / "test_kinect/000001/scene_camera.json"
    content = json.loads(path.read_text())
    content["0"]["depth_scale"] *= 2
    del content["1"]
    path.write_text(json.dumps(content))
    shutil.copytree(exported / "models", folder / "models_eval")
    assert models_folder(folder, "bop").name == "models_eval"
    shutil.copytree(exported / "models", folder / "models_cad")
    assert models_folder(folder, "bop") == models_folder(folder / "test_kinect", "bop") == folder / "models_cad"
    views = list(find_views(folder, "bop"))
    assert len(views) == 12
    damaged = [v for v in views if isinstance(v, tuple)]
    assert [name for name, _ in damaged] == ["test_kinect/000001/1"]
    sound = [v for v in views if not isinstance(v, tuple)]
    assert {v.place for v in sound} == {f"{split}/00000{n}" for split in ("test", "train") for n in (1, 2)}
    assert len({(v.place, v.number) for v in sound}) == 11
    kinect = next(v for v in sound if v.name == "test_kinect/000001/0")
    assert kinect.rgb.parent.name == "gray"
    assert kinect.depth_unit == pytest.approx(2 * sound[-1].depth_unit)
    assert kinect.read_rgb().shape == (480, 640, 3)


def as_industrial(exported, folder, sensors=("cam1", "photoneo")):
    """Writes BOP's industrial layout: every sensor's files in one scene folder, 16-bit grey pictures, no world pose."""
    place = folder / "val" / "000000"
    given = exported / "test/000000"
    for sensor in sensors:
        for kind, name in (("depth", "depth"), ("rgb", "rgb" if sensor == "cam1" else "gray")):
            shutil.copytree(given / kind, place / f"{name}_{sensor}")
        for name in ("gt", "camera"):
            content = json.loads((given / f"scene_{name}.json").read_text())
            for entry in content.values():
                if name == "camera":
                    entry.pop("cam_R_w2c", None)
                    entry.pop("cam_t_w2c", None)
            (place / f"scene_{name}_{sensor}.json").write_text(json.dumps(content))
        (place / f"scene_gt_info_{sensor}.json").write_text("[]")
        (place / f"scene_gt_coco_{sensor}.json").write_text("{}")
    for path in place.glob("gray_*/*.png"):
        grey = np.asarray(Image.open(path).convert("L")).astype(np.uint16) * 257
        Image.fromarray(grey).save(path)
    shutil.copytree(exported / "models", folder / "models")
    (folder / "models" / "models_info.json").write_text('{"1": {"diameter": 9.0, "symmetries_discrete": [[1, 0]]}}')
    (folder / "test_targets_bop19.json").write_text("[]")


def test_several_sensors_in_one_scene_folder(exported, tmp_path):
    as_industrial(exported, tmp_path / "ipd")
    views = list(find_views(tmp_path / "ipd", "bop"))
    assert [v.name for v in views] == [f"val/000000/{s}/{k}" for s in ("cam1", "photoneo") for k in (0, 1)]
    assert {v.place for v in views} == {"val/000000"}
    assert len({v.number for v in views}) == 4
    assert [v.rgb.parent.name for v in views] == ["rgb_cam1"] * 2 + ["gray_photoneo"] * 2
    assert [v.depth.parent.name for v in views] == ["depth_cam1"] * 2 + ["depth_photoneo"] * 2
    colours, grey = views[0].read_rgb(), views[2].read_rgb()
    assert grey.shape == colours.shape
    assert abs(float(grey.mean()) - float(colours.mean())) < 15  # 16 bits are scaled, not cut off
    assert views[0].world is None


def test_odd_views_are_named_and_the_others_taken(exported, tmp_path):
    """An object without a mesh, a picture without annotations, and poses that BOP keeps back."""
    folder = tmp_path / "odd"
    as_industrial(exported, folder, sensors=("photoneo",))
    path = folder / "val/000000/scene_gt_photoneo.json"
    content = json.loads(path.read_text())
    content["1"] = []
    path.write_text(json.dumps(content))
    done = import_posed(folder, tmp_path / "one", check=None)
    print(done.skipped)
    assert [sentence.split(":")[0] for sentence in done.skipped] == ["val/000000/photoneo/1"]
    content["0"][0]["obj_id"] = 99
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="obj_000099"):
        import_posed(folder, tmp_path / "two", check=None)
    path.unlink()
    with pytest.raises(InputError, match="take val or train"):
        import_posed(folder, tmp_path / "three", check=None)
