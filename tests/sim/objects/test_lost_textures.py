"""A bare mesh keeps the texture that its material names, in whatever way, or says that it is lost."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from sim.identity.objects import digest_looks, digest_meshes
from sim.objects import ObjectSet, mesh_file, surfaces
from sim.objects.reading.scenes import read_scene

BOX = trimesh.creation.box((0.03, 0.04, 0.05))
RED = (200, 30, 30)
SEEN = '<visual><geometry><mesh filename="a.obj"/></geometry></visual>'


def write_obj(folder, entry, texture="t.png"):
    """An OBJ of a box whose material names a red texture by ``entry``."""
    folder.mkdir()
    corners = "".join(f"v {x:g} {y:g} {z:g}\n" for x, y, z in BOX.vertices)
    faces = "".join("f " + " ".join(f"{i + 1}/1" for i in face) + "\n" for face in BOX.faces)
    (folder / "a.obj").write_text(f"mtllib a.mtl\n{corners}vt 0.5 0.5\nusemtl m\n{faces}")
    (folder / "a.mtl").write_text(f"newmtl m\nKd 1 1 1\nmap_Kd {entry}\n")
    if texture:
        (folder / texture).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), RED).save(folder / texture)


def load(folder):
    """The surface of the one object in a folder, and what was told."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model = ObjectSet.from_folder(folder, cache=folder.parent / "cache", workers=1).models[0]
    return model.mesh(), " ".join(str(warning.message) for warning in told)


@pytest.mark.parametrize(
    ("entry", "texture"),
    [
        ("tex\\t.png", "tex/t.png"),
        ("-s 1 1 1 t.png", "t.png"),
        ("-clamp on -o 0.5 -bm 1.0 my t.png", "my t.png"),
        ("-s 2.png", "-s 2.png"),
    ],
)
def test_a_texture_is_found_by_its_name(tmp_path, entry, texture):
    write_obj(tmp_path / "set", entry, texture)
    mesh, told = load(tmp_path / "set")
    assert mesh.textures[0][0, 0].tolist() == list(RED)
    assert told == ""


@pytest.mark.parametrize("entry", ["t.png", "C:\\Users\\me\\t.png"])
def test_a_lost_texture_is_named_each_time(tmp_path, entry):
    write_obj(tmp_path / "set", entry, texture="")
    for _ in range(2):
        mesh, told = load(tmp_path / "set")
        assert mesh.textures == ()
        assert "a: its texture t.png is missing or broken" in told


@pytest.mark.parametrize("count", [1, 2])
def test_gltfs_factor_tints_its_texture(tmp_path, count):
    (tmp_path / "set").mkdir()
    parts = []
    for i in range(count):
        part = BOX.copy().apply_translation((0.1 * i, 0, 0))
        white = Image.new("RGB", (8, 8), (255, 255, 255))
        material = trimesh.visual.material.PBRMaterial(baseColorTexture=white, baseColorFactor=[255, 128 * i, 0, 255])
        part.visual = trimesh.visual.TextureVisuals(uv=np.full((len(part.vertices), 2), 0.5), material=material)
        parts.append(part)
    trimesh.Scene(parts).export(tmp_path / "set" / "a.glb")
    mesh, _ = load(tmp_path / "set")
    assert sorted(np.rint(255 * colour).tolist() for colour in np.unique(mesh.colours, axis=0)) == [
        [255, 128 * i, 0] for i in range(count)
    ]


def test_a_picture_that_a_gltf_names_and_that_is_not_there_is_named(tmp_path):
    (tmp_path / "set").mkdir()
    part = BOX.copy()
    material = trimesh.visual.material.PBRMaterial(baseColorTexture=Image.new("RGB", (8, 8), RED))
    part.visual = trimesh.visual.TextureVisuals(uv=np.full((len(part.vertices), 2), 0.5), material=material)
    files = trimesh.exchange.gltf.export_gltf(trimesh.Scene([part]))
    content = json.loads(files.pop("model.gltf"))
    content["images"] = [{"uri": "t.png"}]
    for name, data in {**files, "a.gltf": json.dumps(content).encode()}.items():
        (tmp_path / "set" / name).write_bytes(data)
    assert "a: its texture t.png is missing or broken" in load(tmp_path / "set")[1]


def write_unreadable(folder, entry):
    """A URDF of an OBJ with comments behind its numbers, which Bullet does not read."""
    write_obj(folder, entry, "tex/t.png")
    text = (folder / "a.obj").read_text()
    (folder / "a.obj").write_text(text.replace("\nvt", " # last\nvt"))
    shape = '<geometry><mesh filename="a.obj"/></geometry>'
    inertial = '<inertial><mass value="0.1"/><inertia ixx="1" ixy="0" ixz="0" iyy="1" iyz="0" izz="1"/></inertial>'
    link = f'<link name="a">{inertial}<visual>{shape}</visual><collision>{shape}</collision></link>'
    (folder / "a.urdf").write_text(f'<robot name="r">{link}</robot>')


def test_a_copy_for_bullet_keeps_the_texture_too(tmp_path):
    write_unreadable(tmp_path / "set", "-s 1 1 1 tex\\t.png")
    mesh, told = load(tmp_path / "set")
    assert mesh.textures[0][0, 0].tolist() == list(RED)
    assert told == ""


def test_a_copy_is_known_by_what_it_was_while_its_texture_was_not_found(tmp_path):
    """Data sets of that time are still known; where the texture lies on the mesh is part of the looks."""
    write_unreadable(tmp_path / "set", "tex\\t.png")

    def digests():
        models = ObjectSet.from_folder(tmp_path / "set", cache=tmp_path / "cache", workers=1).models
        return digest_meshes(models), digest_looks(models)

    file, picture = (tmp_path / "set" / name for name in ("a.obj", "tex/t.png"))
    meshes, looks = digests()
    file.write_text(file.read_text().replace("vt 0.5 0.5", "vt 0.7 0.5"))
    assert digests()[0] == meshes
    assert digests()[1] != looks
    picture.rename(picture.with_name("elsewhere.png"))
    with pytest.warns(UserWarning, match="is missing"):
        assert digests()[0] == meshes


def test_surfaces_are_kept_until_they_fill_the_memory(tmp_path, monkeypatch):
    """Each of these has a texture of 192 bytes and some 1 kB of its own."""
    kept = surfaces._Kept()
    monkeypatch.setattr(surfaces, "_KEPT", kept)
    monkeypatch.setattr(surfaces, "_KEPT_BYTES", 5_000)
    write_obj(tmp_path / "set", "t.png")
    urdfs = [tmp_path / "set" / f"{i}.urdf" for i in range(9)]
    for urdf in urdfs:
        urdf.write_text(f'<robot name="r"><link name="a">{SEEN}</link></robot>')
        surface = surfaces.load_surface(urdf, 1.0)
        assert kept.bytes <= 5_000
        assert surfaces.load_surface(urdf, 1.0) is surface
        np.testing.assert_array_equal(surfaces.load_surface(urdf, 2.0).vertices, 2 * surface.vertices)
    assert kept.bytes > 2_000
    again = surfaces.load_surface(urdfs[0], 1.0)
    np.testing.assert_array_equal(again.textures[0], surface.textures[0])


def test_a_scaled_copy_counts_by_its_vertices_alone(tmp_path, monkeypatch):
    kept = surfaces._Kept()
    monkeypatch.setattr(surfaces, "_KEPT", kept)
    write_obj(tmp_path / "set", "t.png")
    urdf = tmp_path / "set" / "a.urdf"
    urdf.write_text(f'<robot name="r"><link name="a">{SEEN}</link></robot>')
    vertices = surfaces.load_surface(urdf, 1.0).vertices.nbytes
    alone = kept.bytes
    for scale in (2.0, 3.0):
        surfaces.load_surface(urdf, scale)
    assert kept.bytes == alone + 2 * vertices
    monkeypatch.setattr(surfaces, "_KEPT_BYTES", 0)
    surfaces.load_surface(urdf, 4.0)
    assert kept.bytes == alone  # of the last one, which holds all that it shared


def test_an_obj_is_read_once_for_the_textures_of_all_its_materials(tmp_path, monkeypatch):
    write_obj(tmp_path / "set", "t.png", texture="")
    file, names = tmp_path / "set" / "a.obj", [f"m{i}" for i in range(6)]
    head, _, faces = file.read_text().partition("usemtl m\n")
    lines = faces.splitlines(keepends=True)
    file.write_text(head + "".join(f"usemtl {name}\n{''.join(lines[i::6])}" for i, name in enumerate(names)))
    (tmp_path / "set" / "a.mtl").write_text("".join(f"newmtl {n}\nmap_Kd {n}.png\nmap_Kd other.png\n" for n in names))
    assert mesh_file.named_textures(file) == {name: tmp_path / "set" / f"{name}.png" for name in names}
    reads, real = [], Path.read_text
    scene = read_scene(file).scene
    monkeypatch.setattr(Path, "read_text", lambda self, **more: reads.append(self) or real(self, **more))
    assert len(mesh_file.resolve_textures(scene, file)) == len(scene.geometry) == 6
    assert reads.count(file) == 1
    reads.clear()
    with pytest.warns(UserWarning, match="is missing"):
        assert len(surfaces._read_parts(file, None)) == 6
    assert reads.count(file) <= 2  # the reader's own, and this one
