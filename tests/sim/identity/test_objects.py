"""The meshes of objects by content."""

import numpy as np
import pytest
import trimesh

from sim.identity.objects import digest_meshes
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


def test_a_bare_mesh_counts_by_itself_and_by_how_it_is_made(tmp_path):
    for name, size in (("a", 0.03), ("b", 0.04)):
        (tmp_path / name).mkdir()
        trimesh.creation.box(np.full(3, size)).export(tmp_path / name / "box.stl")
    sets = [ObjectSet.from_folder(tmp_path / n, cache=tmp_path / c) for n, c in (("a", "x"), ("a", "y"), ("b", "x"))]
    one, elsewhere, other = (digest_meshes(s.models) for s in sets)
    assert one == elsewhere != other
