"""URDFs as other programs write them: read as their authors mean them, or skipped by name."""

import warnings

import numpy as np
import pytest
import trimesh

from sim.errors import InputError
from sim.objects import ObjectSet
from sim.objects.urdf import check_urdf, find_file
from sim.physics import PhysicsSettings, TraySettings, World, pybullet

SIDES = (0.03, 0.04, 0.05)


def box_file(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    trimesh.creation.box(SIDES).export(path)
    return path


def link(mesh, name="object", mass="0.1"):
    shape = f'<geometry><mesh filename="{mesh}"/></geometry>'
    inertial = f'<inertial><mass value="{mass}"/></inertial>'
    return f'<link name="{name}">{inertial}<visual>{shape}</visual><collision>{shape}</collision></link>'


def put(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'<robot name="r">{content}</robot>')
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def names_of_the_mesh(root):
    return {
        "package": "package://things/meshes/a.obj",
        "package of another folder": "package://renamed/meshes/a.obj",
        "model": "model://things/meshes/a.obj",
        "file": f"file://{root}/things/meshes/a.obj",
        "file of this host": f"file://localhost{root}/things/meshes/a.obj",
        "back-slashes": "..\\meshes\\a.obj",
        "relative": "../meshes/a.obj",
        "absolute": f"{root}/things/meshes/a.obj",
    }


@pytest.mark.parametrize("form", names_of_the_mesh(""))
def test_a_mesh_is_found_by_every_form_of_its_name_for_cameras_and_physics(tmp_path, form):
    root = tmp_path / "my folder"
    box_file(root / "things" / "meshes" / "a.obj")
    put(root / "things" / "urdf" / "a.urdf", link(names_of_the_mesh(root)[form]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        objects = ObjectSet.from_folder(root)
    assert len(objects) == 1, "the mesh entered the set a second time"
    model = objects.models[0]
    np.testing.assert_allclose(np.ptp(model.mesh().vertices, axis=0), SIDES, atol=1e-6)
    world = World(PhysicsSettings(), TraySettings())
    body = pybullet.loadURDF(str(model.urdf), physicsClientId=world.client)
    low, high = pybullet.getAABB(body, physicsClientId=world.client)
    world.close()
    np.testing.assert_allclose(np.subtract(high, low), np.add(SIDES, 0.006), atol=1e-4)  # 3 mm margin a side


def test_a_link_without_collisions_collides_as_it_looks(tmp_path):
    visual = '<visual><geometry><box size="0.03 0.04 0.05"/></geometry></visual>'
    put(tmp_path / "set" / "a.urdf", f'<link name="a">{visual}</link>')
    model = ObjectSet.from_folder(tmp_path / "set").models[0]
    world = World(PhysicsSettings(), TraySettings())
    body = pybullet.loadURDF(str(model.urdf), physicsClientId=world.client)
    (shape,) = pybullet.getCollisionShapeData(body, -1, physicsClientId=world.client)
    world.close()
    np.testing.assert_allclose(shape[3], SIDES)


def test_a_file_name_may_hold_escapes_and_a_drive(tmp_path):
    box_file(tmp_path / "my folder" / "a.obj")
    assert find_file(tmp_path, f"file://{tmp_path}/my%20folder/a.obj").is_file()
    assert str(find_file(tmp_path, "file:///C:/a.obj")).endswith("C:/a.obj")


BAD = {
    "a mesh that is not there": (link("package://none/gone.obj"), "gone.obj does not exist"),
    "a joint that moves": (
        link("box.obj") + link("box.obj", "lid") + '<joint name="hinge" type="revolute"/>',
        "joint 'hinge' moves",
    ),
    "two links": (link("box.obj") + link("box.obj", "lid"), "2 links that do not hang"),
    "no link": ("", "0 links"),
    "no mass": (link("box.obj", mass="0"), "mass"),
    "mass that is no number": (link("box.obj", mass="heavy"), "heavy"),
    "infinite mass": (link("box.obj", mass="inf"), "mass"),
    "an inertial without mass": ('<link name="a"><inertial/></link>', "no <mass>"),
    "a mesh that is broken": (link("broken.obj"), "broken.obj"),
    "xacro": ("<xacro:macro/>", "xacro"),
    "broken XML": ("<link", "cannot be read"),
}


@pytest.mark.parametrize("case", BAD)
def test_one_bad_urdf_is_skipped_by_name(tmp_path, case):
    content, reason = BAD[case]
    for folder in ("good", "bad"):
        box_file(tmp_path / "set" / folder / "box.obj")
    (tmp_path / "set" / "bad" / "broken.obj").write_text("v 0 0 0\n")
    put(tmp_path / "set" / "good" / "good.urdf", link("box.obj"))
    put(tmp_path / "set" / "bad" / "bad.urdf", content)
    with pytest.warns(UserWarning, match="skipped 1 of 2 objects") as caught:
        objects = ObjectSet.from_folder(tmp_path / "set")
    assert objects.names == ["good"]
    assert "bad/bad.urdf" in str(caught[0].message)
    assert reason in str(caught[0].message)


def test_files_of_other_formats_are_named(tmp_path):
    box_file(tmp_path / "set" / "a" / "box.obj")
    put(tmp_path / "set" / "a" / "a.urdf", link("box.obj"))
    put(tmp_path / "set" / "b" / "b.urdf.xacro", "")
    put(tmp_path / "set" / "c" / "model.sdf", "")
    with pytest.warns(UserWarning, match=r"skipped 2 of 3 .*xacro FILE.*SDF is not read"):
        assert len(ObjectSet.from_folder(tmp_path / "set")) == 1
    (tmp_path / "set" / "c" / "sdf.urdf").write_text("<sdf/>")
    with pytest.raises(InputError, match="its root is <sdf>"):
        check_urdf(tmp_path / "set" / "c" / "sdf.urdf")
