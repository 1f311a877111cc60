"""The meshes of objects by content."""

import numpy as np
import pytest
import trimesh

from sim.identity.objects import digest_looks, digest_meshes
from sim.objects import ObjectSet

URDF = """<robot name="box"><link name="l"><inertial><mass value="0.1"/>
<inertia ixx="1e-4" iyy="1e-4" izz="1e-4" ixy="0" ixz="0" iyz="0"/></inertial>
<visual><geometry><mesh filename="parts/box.obj"/></geometry></visual>
<collision><geometry><mesh filename="parts/box.obj"/></geometry></collision></link></robot>"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "set" / "parts").mkdir(parents=True)
    (tmp_path / "set" / "box.urdf").write_text(URDF)
    trimesh.creation.box((0.03, 0.03, 0.05)).export(tmp_path / "set" / "parts" / "box.obj")
    return tmp_path / "set"


def test_a_replaced_mesh_is_another_object_and_a_moved_one_is_not(folder):
    first = digest_meshes(ObjectSet.from_folder(folder).models)
    moved = folder.rename(folder.with_name("moved"))
    assert digest_meshes(ObjectSet.from_folder(moved).models) == first != ""
    trimesh.creation.box((0.09, 0.02, 0.02)).export(moved / "parts" / "box.obj")
    assert digest_meshes(ObjectSet.from_folder(moved).models) != first


def test_pybullets_own_objects_need_no_note():
    assert digest_meshes(ObjectSet.pybullet(0, 3).models) == ""
    assert digest_looks(ObjectSet.pybullet(0, 3).models) == ""


def test_a_repainted_urdf_looks_otherwise_and_is_the_same_body(folder, tmp_path):
    mesh = folder / "parts" / "box.obj"
    plain = ObjectSet.from_folder(folder, cache=tmp_path / "cache").models
    assert digest_looks(plain) == ""
    before = digest_meshes(plain)
    mesh.write_text("mtllib box.mtl\nusemtl m\n" + mesh.read_text())
    (folder / "own.png").write_bytes(b"one")
    material = '</geometry><material name="m"><texture filename="own.png"/></material></visual>'
    (folder / "box.urdf").write_text(URDF.replace("</geometry></visual>", material))
    seen = [digest_looks(plain)]
    for name, content in (
        ("parts/box.mtl", b"newmtl m\nmap_Kd a.png\n"),
        ("parts/a.png", b"one"),
        ("parts/a.png", b"two"),
        ("own.png", b"two"),
        ("parts/box.mtl", b"newmtl m\nmap_Kd b.png\n"),
    ):
        (folder / name).write_bytes(content)
        seen.append(digest_looks(plain))
    assert len({"", *seen}) == 7
    assert digest_meshes(plain) != before  # the mesh's own bytes


def test_objects_of_bare_meshes_look_as_their_entry_says(tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.obj").write_text(
        "mtllib a.mtl\n" + trimesh.creation.box((0.03,) * 3).export(file_type="obj")
    )
    (tmp_path / "set" / "a.mtl").write_text("newmtl m\nKd 1 0 0\n")
    assert digest_looks(ObjectSet.from_folder(tmp_path / "set", cache=tmp_path / "cache").models) == ""
    assert digest_looks(ObjectSet.procedural(0, 0, 1, cache=tmp_path / "cache").models) == ""


def test_a_bare_mesh_counts_by_itself_and_by_how_it_is_made(tmp_path):
    for name, size in (("a", 0.03), ("b", 0.04)):
        (tmp_path / name).mkdir()
        trimesh.creation.box(np.full(3, size)).export(tmp_path / name / "box.stl")
    sets = [ObjectSet.from_folder(tmp_path / n, cache=tmp_path / c) for n, c in (("a", "x"), ("a", "y"), ("b", "x"))]
    one, elsewhere, other = (digest_meshes(s.models) for s in sets)
    assert one == elsewhere != other
