"""The layouts of published object sets, lists of paths, and the authors' scene files."""

import dataclasses
import warnings
from pathlib import Path

import numpy as np
import pytest
import trimesh
import yaml
from hydra.utils import instantiate
from scipy.io import savemat
from scipy.spatial.transform import Rotation

from sim.benchmark.authors_scenes import read_pose_scene
from sim.errors import InputError
from sim.geometry import make_pose
from sim.objects import ObjectSet
from sim.objects.settings import MeshSettings, box_sides
from sim.physics import PhysicsSettings, TraySettings, World, pybullet

CONF = Path(__file__).parents[3] / "conf" / "objects"
BOX = (0.03, 0.04, 0.06)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))


def put(path, sides=BOX):
    path.parent.mkdir(parents=True, exist_ok=True)
    trimesh.creation.box(sides).export(path)


def put_urdf(path, inertial=""):
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = '<geometry><box size="0.03 0.04 0.06"/></geometry>'
    inertia = '<mass value="0.1"/><inertia ixx="1" ixy="0" ixz="0" iyy="1" iyz="0" izz="1"/>'
    path.write_text(
        f'<robot name="r"><link name="l"><inertial>{inertial}{inertia}</inertial>'
        f"<visual>{shape}</visual><collision>{shape}</collision></link></robot>"
    )


def sides(model):
    return np.sort(np.ptp(model.mesh().vertices, axis=0))


def test_ycb_takes_the_best_mesh_of_each_object(tmp_path):
    marks = {"002_master_chef_can": 0.05, "003_cracker_box": 0.06, "072-a_toy_airplane": 0.07}
    put(tmp_path / "002_master_chef_can/google_16k/textured.obj", (0.05, 0.05, 0.05))
    put(tmp_path / "002_master_chef_can/google_16k/nontextured.ply", (0.01, 0.01, 0.01))
    put(tmp_path / "002_master_chef_can/google_64k/textured.obj", (0.01, 0.01, 0.01))
    put(tmp_path / "003_cracker_box/tsdf/nontextured.stl", (0.01, 0.01, 0.01))
    put(tmp_path / "003_cracker_box/poisson/nontextured.ply", (0.06, 0.06, 0.06))
    put(tmp_path / "072-a_toy_airplane/textured.obj", (0.07, 0.07, 0.07))
    (tmp_path / "001_chips_can/clouds").mkdir(parents=True)
    put(tmp_path / "calibration/textured.obj")
    with pytest.warns(UserWarning, match="skipped 1 of 4 objects.*001_chips_can: it has no mesh"):
        objects = ObjectSet.ycb(tmp_path)
    assert {m.name: pytest.approx(sides(m)[0], rel=1e-5) for m in objects.models} == marks
    with pytest.warns(UserWarning, match="001_chips_can"):
        other = ObjectSet.ycb(tmp_path, versions=["google_64k", "tsdf"])
    assert {m.name: round(float(sides(m)[0]), 3) for m in other.models} == {**dict.fromkeys(marks, 0.01)} | {
        "072-a_toy_airplane": 0.07
    }
    assert ObjectSet.ycb(tmp_path / "002_master_chef_can").names == ["002_master_chef_can"]
    with pytest.raises(InputError, match="no YCB object"):
        ObjectSet.ycb(tmp_path / "calibration")


def test_egads_objects_are_as_long_as_the_gripper_opens(tmp_path):
    put(tmp_path / "egad_train_set" / "A00_0.obj", (3, 4, 10))  # no unit at all
    put(tmp_path / "egad_train_set" / "processed_meshes" / "A00_0.obj")
    put(tmp_path / "egad_eval_set" / "B1.obj", (9, 9, 10))
    put(tmp_path / "egad_eval_set" / "B2.stl", (90, 90, 100))
    objects = ObjectSet.egad(tmp_path)
    assert objects.names == ["egad_eval_set/B1", "egad_eval_set/B2", "egad_train_set/A00_0"]
    b1, b2, a = (sides(m) for m in objects.models)
    np.testing.assert_allclose(a, [0.03, 0.04, 0.1], rtol=1e-4)
    np.testing.assert_allclose(b1, [0.08, 0.08, 0.08 / 0.9], rtol=1e-4)
    np.testing.assert_allclose(b1, b2, rtol=1e-4)
    assert ObjectSet.egad(tmp_path, split="train").names == ["egad_train_set/A00_0"]
    own = ObjectSet.egad(tmp_path / "egad_eval_set", length=None, fit=None, scale=0.001)
    assert own.names == ["B1", "B2"]
    np.testing.assert_allclose(sides(own.models[-1]), [0.09, 0.09, 0.1], rtol=1e-4)
    with pytest.raises(InputError, match="split"):
        ObjectSet.egad(tmp_path, split="test")
    with pytest.raises(InputError, match="no EGAD mesh"):
        ObjectSet.egad(tmp_path / "xdg")


def test_shapenetsem_takes_its_units_from_the_table(tmp_path):
    models = tmp_path / "models-OBJ" / "models"
    for name in ("mug", "bottle", "car", "unknown"):
        put(models / f"{name}.obj", (1, 2, 3))
    (tmp_path / "metadata.csv").write_text(
        "fullId,category,wnsynset,up,front,unit,aligned.dims\n"
        'wss.mug,"Mug,_Attributes",1,,,0.01,"1\\,2\\,3"\n'
        "wss.bottle,Bottle,2,,,,\n"
        "wss.car,Car,3,,,1.5,\n"
    )
    objects = ObjectSet.shapenetsem(tmp_path, fit=None, ids=["mug", "wss.bottle", "unknown"])
    found = {m.name: sides(m)[2] for m in objects.models}
    assert found == pytest.approx({"mug": 0.03, "bottle": 3 * 0.0254, "unknown": 3 * 0.0254}, rel=1e-4)
    fitted = ObjectSet.shapenetsem(tmp_path)
    assert fitted.names == ["bottle", "car", "mug", "unknown"]
    np.testing.assert_allclose(sides(fitted.model("car")), [0.04, 0.08, 0.12], rtol=1e-4)
    assert ObjectSet.shapenetsem(tmp_path, categories=["mug"]).names == ["mug"]
    with pytest.warns(UserWarning, match="skipped 1 of 2 objects.*ship: there is no such model"):
        assert ObjectSet.shapenetsem(tmp_path, ids=["mug", "ship"]).names == ["mug"]
    with pytest.raises(InputError, match="categories"):
        ObjectSet.shapenetsem(tmp_path, categories=["Boat"])
    (tmp_path / "metadata.csv").write_text("id,unit\n")
    with pytest.raises(InputError, match="fullId"):
        ObjectSet.shapenetsem(tmp_path)
    (tmp_path / "metadata.csv").unlink()
    assert sides(ObjectSet.shapenetsem(tmp_path, fit=None, unit=0.02).model("car"))[2] == pytest.approx(0.06, rel=1e-4)
    with pytest.raises(InputError, match=r"metadata\.csv"):
        ObjectSet.shapenetsem(tmp_path, categories=["Mug"])
    with pytest.raises(InputError, match="no ShapeNetSem model"):
        ObjectSet.shapenetsem(tmp_path / "xdg")


def put_list(tmp_path):
    """A list of five lines as the authors write them: kinds of slashes, another machine's path, a missing file."""
    root = tmp_path / "obj_models"
    put_urdf(root / "YCB/grasp_models/031_spoon/031_spoon.urdf")
    put_urdf(root / "EGAD/train/X02_0/X02_0.urdf", '<origin xyz="0.01 -0.02 0.03" rpy="0.1 0.2 0.3"/>')
    put(root / "EGAD/train/mesh.obj")
    lines = [
        "YCB/grasp_models\\031_spoon\\031_spoon.urdf",
        "EGAD/train\\gone\\gone.urdf",
        "  D:\\research\\obj_models\\EGAD\\train\\X02_0\\X02_0.urdf \t",
        "",
        "EGAD\\train\\mesh.obj",
        "",
        "",
    ]
    (tmp_path / "eval_seen.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    return root


def from_list(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ObjectSet.from_list(tmp_path / "eval_seen.txt", tmp_path / "obj_models")


def test_a_list_keeps_its_order_and_its_lines(tmp_path):
    root = put_list(tmp_path)
    with pytest.warns(UserWarning, match=r"skipped 1 of 4 objects.*gone\.urdf: there is no such file"):
        objects = ObjectSet.from_list(tmp_path / "eval_seen.txt", root)
    names = ["YCB/grasp_models/031_spoon", "EGAD/train/X02_0", "EGAD/train"]
    assert objects.name == "eval_seen"
    assert objects.names == names
    assert objects.listed == (names[0], None, names[1], None, names[2])
    assert objects.listed_model(4) is objects.models[2]
    assert [m.own_inertia for m in objects.models] == [False, False, True]
    for index, message in ((1, "skipped"), (5, "0-4"), (-1, "0-4")):
        with pytest.raises(InputError, match=message):
            objects.listed_model(index)
    (root / "list.txt").write_text("EGAD/train/mesh.obj\n" * 2)
    twice = ObjectSet.from_list(root / "list.txt")
    assert len(twice) == 1
    assert twice.listed_model(0) is twice.listed_model(1)
    put(root / "loose.obj")
    (root / "list.txt").write_text(f"{root}/EGAD/train/mesh.obj\nloose.obj\nother/loose.obj\n{'x' * 5000}.obj")
    with pytest.warns(UserWarning, match="skipped 2 of 4 objects"):
        strict = ObjectSet.from_list(root / "list.txt", root)
    assert strict.listed == ("EGAD/train", "loose", None, None)
    (root / "list.txt").write_text("\n \n")
    with pytest.raises(InputError, match="empty"):
        ObjectSet.from_list(root / "list.txt")
    with pytest.raises(InputError, match="cannot be read"):
        ObjectSet.from_list(root / "no.txt")
    (root / "list.txt").write_bytes(bytes(range(256)))
    with pytest.raises(InputError, match="no text"):
        ObjectSet.from_list(root / "list.txt")
    (root / "list.txt").write_text("nothing.urdf\n")
    with pytest.raises(InputError, match=r"nothing\.urdf: there is no such file"):
        ObjectSet.from_list(root / "list.txt")


def rows(*indices, seed=0):
    rng = np.random.default_rng(seed)
    return np.array([[i, *rng.uniform(-0.1, 0.1, 3), *Rotation.random(rng=rng).as_quat()] for i in indices])


def test_published_scenes_lie_where_bullet_had_them(tmp_path):
    put_list(tmp_path)
    objects = from_list(tmp_path)
    written = rows(2, 0, 4)
    savemat(tmp_path / "05_pose.mat", {"A": written})
    state = read_pose_scene(tmp_path / "05_pose.mat", objects, category="seen-5")
    assert state.names == ["EGAD/train/X02_0", "YCB/grasp_models/031_spoon", "EGAD/train"]
    assert state.category == "seen-5"
    world = World(PhysicsSettings(), TraySettings())
    world.rebuild(list(state.models), list(state.poses))
    for body, row in zip(world.objects[:2], written, strict=False):
        position, quaternion = pybullet.getBasePositionAndOrientation(body, physicsClientId=world.client)
        np.testing.assert_allclose(position, row[1:4], atol=1e-6)
        assert abs(np.dot(quaternion, row[4:])) == pytest.approx(1, abs=1e-6)
    world.close()
    link = read_pose_scene(tmp_path / "05_pose.mat", objects, "link", floor=0.0043)
    np.testing.assert_allclose(link.poses[:, :3, 3], written[:, 1:4] - [0, 0, 0.0043])
    assert np.linalg.norm(link.poses[0, :3, 3] - state.poses[0, :3, 3]) > 0.01
    np.testing.assert_allclose(link.poses[1:, :3, :3], state.poses[1:, :3, :3])


def test_rows_count_the_objects_of_a_set_without_list(tmp_path):
    savemat(tmp_path / "a_pose.mat", {"A": rows(7, 3)})
    state = read_pose_scene(tmp_path / "a_pose.mat", ObjectSet.pybullet(0, 9))
    assert state.names == ["random_urdfs/007", "random_urdfs/003"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"B": rows(0)}, "no key A but B"),
        ({"A": rows(0)[:, :7]}, r"shape \(1, 7\)"),
        ({"A": np.zeros((0, 8))}, "shape"),
        ({"A": "text"}, "shape"),
        ({"A": rows(0) * np.nan}, "finite"),
        ({"A": rows(0) * 1j}, "finite"),
        ({"A": rows(0.5)}, "whole"),
        ({"A": np.zeros((1, 8))}, "quaternions"),
        ({"A": rows(1)}, "skipped"),
        ({"A": rows(99)}, "0-4"),
        ({"A": rows(-2)}, "0-4"),
    ],
)
def test_broken_scene_files_are_refused(tmp_path, content, message):
    put_list(tmp_path)
    savemat(tmp_path / "x_pose.mat", content)
    with pytest.raises(InputError, match=message):
        read_pose_scene(tmp_path / "x_pose.mat", from_list(tmp_path))


def test_files_that_are_no_scenes_are_refused(tmp_path):
    objects = ObjectSet.pybullet(0, 2)
    (tmp_path / "junk.mat").write_bytes(b"junk")
    for name, message in (("junk.mat", "no MATLAB file"), ("gone.mat", "does not exist")):
        with pytest.raises(InputError, match=message):
            read_pose_scene(tmp_path / name, objects)
    with pytest.raises(InputError, match="inertial or link"):
        read_pose_scene(tmp_path / "junk.mat", objects, frame="base")


@pytest.mark.parametrize("kind", ["ycb", "egad", "shapenetsem", "list"])
def test_the_configs_say_the_defaults(tmp_path, kind):
    put(tmp_path / "001_a" / "google_16k" / "textured.obj")
    put(tmp_path / "b.obj", (1, 2, 3) if kind == "shapenetsem" else BOX)
    (tmp_path / "list.txt").write_text("b.obj\n")
    path = tmp_path / "list.txt" if kind == "list" else tmp_path
    method = getattr(ObjectSet, "from_list" if kind == "list" else kind)
    config = yaml.safe_load((CONF / f"{kind}.yaml").read_text())
    assert instantiate(config["meshes"]) == MeshSettings()
    assert instantiate({**config, "path": str(path)}) == method(path)


@pytest.mark.parametrize("turn", [0.0, 0.7])
def test_a_long_mesh_turns_in_bullet_as_it_should(tmp_path, turn):
    """Bullet's own guess, from the box around it, is wrong for a shape that lies askew in its frame."""
    long = trimesh.creation.box((0.02, 0.03, 0.2))
    long.apply_transform(trimesh.transformations.rotation_matrix(turn, [1, 2, 3]))
    long.export(tmp_path / "long.stl")
    model = ObjectSet.from_folder(tmp_path).models[0]
    assert model.own_inertia
    pose = make_pose(Rotation.from_rotvec([0.3, -0.5, 0.2]).as_matrix(), (0.1, 0.2, 0.3))
    world = World(PhysicsSettings(), TraySettings())
    world.add(model, pose)
    world.add(dataclasses.replace(model, own_inertia=False), pose)
    infos = [pybullet.getDynamicsInfo(b, -1, physicsClientId=world.client) for b in world.objects]
    placed = world.poses()
    world.close()
    mass = infos[0][0]
    true = np.sort(np.linalg.eigvalsh(long.moment_inertia * mass / long.volume))
    np.testing.assert_allclose(np.sort(infos[0][2]), true, rtol=1e-3)
    if turn:
        assert np.abs(np.sort(infos[1][2]) / true - 1).max() > 0.1
    # Whatever frame Bullet keeps the inertia in, the link stays where it was put.
    for found in placed:
        np.testing.assert_allclose(found, pose, atol=1e-6)


def test_the_smallest_box_is_turned_with_the_object():
    turned = trimesh.creation.box((0.1, 0.2, 0.3)).vertices @ Rotation.from_rotvec([1, 2, 3]).as_matrix()
    np.testing.assert_allclose(box_sides(turned), [0.1, 0.2, 0.3], rtol=1e-6)
    with pytest.raises(InputError, match="flat"):
        box_sides(np.linspace([0, 0, 0], [1, 2, 3], 8))


@pytest.mark.parametrize("make", [ObjectSet.from_folder, ObjectSet.ycb, ObjectSet.egad, ObjectSet.shapenetsem])
def test_an_option_that_is_not_known_is_refused(tmp_path, make):
    put(tmp_path / "002_master_chef_can" / "textured.obj", (0.05, 0.05, 0.1))
    put(tmp_path / "models" / "mug.obj", (0.05, 0.05, 0.1))
    put(tmp_path / "A00_0.obj", (3, 4, 10))
    with pytest.raises(TypeError, match="'colour'"):
        make(tmp_path, colour="red")


@pytest.mark.parametrize("unit", [0, -0.0254, float("nan"), float("inf")])
def test_a_unit_that_is_no_length_is_said_first(tmp_path, unit):
    with pytest.raises(InputError, match=r"objects\.unit is .*; give a positive number of metres"):
        ObjectSet.shapenetsem(tmp_path, unit=unit)
