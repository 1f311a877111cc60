"""Every file that a mesh depends on makes another object of it; a capsule is seen as one."""

import numpy as np
import pytest
import trimesh

from sim.objects import ObjectSet

NAMES = {
    "a plain name": ("mtllib a.mtl", "a.mtl", "map_Kd t.png", "t.png"),
    "a library with a space": ("mtllib my mat.mtl", "my mat.mtl", "map_Kd t.png", "t.png"),
    "two libraries": ("mtllib none.mtl a.mtl", "a.mtl", "map_Kd t.png", "t.png"),
    "a texture with a space": ("mtllib a.mtl", "a.mtl", "map_Kd my t.png", "my t.png"),
    "a texture after an option": ("mtllib a.mtl", "a.mtl", "map_Kd -s 1 1 1 t.png", "t.png"),
    "a back-slash": ("mtllib a.mtl", "a.mtl", "map_Kd tex\\t.png", "tex/t.png"),
    "lower case": ("mtllib a.mtl", "a.mtl", "map_kd t.png", "t.png"),
}


@pytest.mark.parametrize("case", NAMES)
def test_a_changed_texture_or_library_makes_another_object(tmp_path, case):
    line, library, entry, texture = NAMES[case]
    folder = tmp_path / "set"
    (folder / texture).parent.mkdir(parents=True)
    box = trimesh.creation.box((0.03, 0.04, 0.05)).export(file_type="obj")
    (folder / "a.obj").write_text(f"{line}\n{box}")
    (folder / library).write_text(f"newmtl m\n{entry}\n")
    (folder / texture).write_bytes(b"one")

    def made():
        return ObjectSet.from_folder(folder, cache=tmp_path / "cache", workers=1).models[0].urdf.parent.name

    first = made()
    assert made() == first
    (folder / texture).write_bytes(b"two")
    second = made()
    (folder / library).write_text(f"newmtl m\nKd 1 0 0\n{entry}\n")
    assert len({first, second, made()}) == 3


def test_a_capsule_is_as_long_as_its_middle_and_its_ends(tmp_path):
    shape = '<geometry><capsule radius="0.02" length="0.05"/></geometry>'
    inertial = '<inertial><mass value="0.1"/><inertia ixx="1" ixy="0" ixz="0" iyy="1" iyz="0" izz="1"/></inertial>'
    link = f'<link name="a">{inertial}<visual>{shape}</visual><collision>{shape}</collision></link>'
    (tmp_path / "a.urdf").write_text(f'<robot name="r">{link}</robot>')
    mesh = ObjectSet.from_folder(tmp_path, cache=tmp_path / "cache").models[0].mesh()
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), (0.04, 0.04, 0.09), atol=1e-3)
    np.testing.assert_allclose(mesh.vertices.mean(axis=0), 0, atol=1e-3)
