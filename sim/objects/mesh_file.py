"""Mesh files: read as one mesh, cleaned, and written as the OBJ files of an object."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from trimesh.exchange.obj import export_obj

from sim.errors import InputError
from sim.objects.reading import bodies
from sim.objects.reading.scenes import read_scene

_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".tga", ".tif", ".tiff", ".webp")
# Options before a texture's name in a material file: words, switches and numbers.
_OPTIONS = re.compile(
    r"\A(-(imfchan|type)\s+\w+\s+|-[a-zA-Z]+\s+((on|off|[-+]?[\d.]+(e[-+]?\d+)?)\s+)*)+", re.IGNORECASE
)
_HOLE = 0.3  # widest hole, as a share of the mesh's largest side; a wider opening belongs to the shape

_OVERLAP = 0.02  # share of its space that a mesh may fill twice without a word

FloatArray = NDArray[np.float64]

# trimesh's writer of OBJ files, which has no types of its own.
obj_text: Callable[..., Any] = export_obj


@dataclass(frozen=True)
class CleanMesh:
    """A mesh without useless triangles, wound one way.

    Attributes:
        mesh: The mesh to be seen, with its colours.
        solid: The mesh to be weighed: its seams and small holes are closed, its bodies look outwards.
        notes: What was mended or stays doubtful, each in words that follow the file's name.
    """

    mesh: trimesh.Trimesh
    solid: trimesh.Trimesh
    notes: tuple[str, ...]


def read_mesh(path: Path) -> trimesh.Trimesh:
    """Returns a mesh file as one mesh, its vertices as they stand in the file.

    Raises:
        InputError: It is missing, cannot be read, or holds no triangles.
    """
    return one_mesh(read_scene(path).scene)


def one_mesh(scene: trimesh.Scene) -> trimesh.Trimesh:
    """Returns all meshes of a scene as one, each where the scene places it."""
    mesh: trimesh.Trimesh = scene.to_mesh()
    return mesh


def named_textures(path: Path) -> dict[str, Path]:
    """Returns the colour texture of each material for which an OBJ's material files name one; none for other files."""
    if path.suffix.lower() != ".obj":
        return {}
    textures: dict[str, Path] = {}
    for library in re.findall(r"^\s*mtllib\s+(.+?)\s*$", path.read_text(errors="replace"), re.MULTILINE):
        text = (path.parent / library).read_text(errors="replace") if (path.parent / library).is_file() else ""
        current = ""
        for key, value in re.findall(r"^\s*(newmtl|map_Kd)\s+(.+?)\s*$", text, re.MULTILINE | re.IGNORECASE):
            if key.lower() == "newmtl":
                current = value
            elif current not in textures:
                whole = path.parent / str(value).replace("\\", "/")
                bare = path.parent / _OPTIONS.sub("", value, count=1).replace("\\", "/")
                textures[current] = whole if whole.is_file() else bare
    return textures


def tinted(texture: Any, factor: Any) -> Any:
    """Returns a texture times glTF's factor on it, (3,) or (4,) in [0, 255], as a PIL image in RGB."""
    from PIL import Image

    share = np.asarray(factor, np.float32)[:3] / np.float32(255)
    return Image.fromarray(np.rint(np.asarray(texture.convert("RGB")) * share).astype(np.uint8))


def resolve_textures(scene: trimesh.Scene, path: Path) -> tuple[str, ...]:
    """Gives materials the textures that trimesh does not find, and textures glTF's factor on them, in place.

    Args:
        scene: What was read of the file.
        path: Mesh file.

    Returns:
        Textures that cannot be read, each in words that follow the file's name.
    """
    from PIL import Image

    lost: list[str] = []
    if path.suffix.lower() in (".gltf", ".ply"):
        beside = [f for f in companions(path, path.read_bytes()) if f.suffix.lower() in _PICTURES]
        lost += [f.name for f in beside if not f.is_file()]
    found = (getattr(mesh, "visual", None) for mesh in scene.geometry.values())
    visuals: list[Any] = [v for v in found if isinstance(v, trimesh.visual.TextureVisuals) and v.uv is not None]
    textures = named_textures(path) if visuals else {}
    for visual in visuals:
        material: Any = visual.material
        factor, own = getattr(material, "baseColorFactor", None), getattr(material, "baseColorTexture", None)
        if own is not None and factor is not None and min(factor[:3]) < 255:
            material = material.copy()  # meshes may share it
            material.baseColorTexture, material.baseColorFactor = tinted(own, factor), None
            visual.material = material
        named = textures.get(str(getattr(material, "name", "")))
        if named is None or own is not None or getattr(material, "image", None) is not None:
            continue
        try:
            image = Image.open(named).convert("RGB")
        except Exception:  # PIL raises whatever the broken file makes it raise
            lost.append(named.name)
            continue
        material = material.copy()
        material.image = image
        visual.material = material
    return tuple(f"its texture {name} is missing or broken" for name in dict.fromkeys(lost))


def companions(path: Path, data: bytes) -> list[Path]:
    """Returns the material, texture and buffer files that a mesh file names; not all of them need be there."""
    names: list[bytes] = []
    if path.suffix.lower() == ".obj":
        # A line may name several libraries, or one with spaces; a texture may follow options.
        lines = re.findall(rb"^\s*mtllib\s+(.+?)\s*$", data, re.MULTILINE)
        names = [name for line in lines for name in (line, *line.split())]
        for library in dict.fromkeys(_beside(path, names)):
            text = library.read_bytes() if library.is_file() else b""
            lines = re.findall(rb"^\s*map_\w+\s+(.+?)\s*$", text, re.MULTILINE | re.IGNORECASE)
            names += [name for line in lines for name in (line, line.split()[-1])]
    elif path.suffix.lower() == ".gltf":
        names = [unquote_to_bytes(uri) for uri in re.findall(rb'"uri"\s*:\s*"([^"]{1,500})"', data)]
    elif path.suffix.lower() == ".dae":
        named = re.findall(rb"<init_from>\s*(?:<ref>)?\s*([^<]{1,500}?)\s*<", data)
        names = [unquote_to_bytes(name.removeprefix(b"file://")) for name in named]
    elif path.suffix.lower() == ".ply":
        names = re.findall(rb"^comment TextureFile (.+?)\s*$", data[:10_000], re.MULTILINE)
    return list(dict.fromkeys(_beside(path, names)))


def _beside(path: Path, names: list[bytes]) -> list[Path]:
    """Returns the files that a mesh file means by names with either slash."""
    files = [name for name in names if b"\0" not in name and not name.startswith(b"data:")]
    return [path.parent / os.fsdecode(name.replace(b"\\", b"/")) for name in files]


def face_colours(mesh: trimesh.Trimesh) -> NDArray[np.float32] | None:
    """Returns the mesh's own colours, (F, 3) float32 RGB in [0, 1]; None if it has none.

    A texture is read at the middle of each face; a corner colour is averaged over the face.
    """
    visual: Any = mesh.visual
    if visual.kind == "texture":
        material = _simple_material(visual)
        image = getattr(material, "image", None)
        if image is not None and visual.uv is not None and len(visual.uv) == len(mesh.vertices):
            middle = np.asarray(visual.uv, np.float64)[mesh.faces].mean(axis=1)
            rgba = trimesh.visual.color.uv_to_color(middle, image)
        elif material is not None:
            rgba = np.tile(np.asarray(material.main_color), (len(mesh.faces), 1))
        else:
            return None
    elif visual.kind in ("vertex", "face"):
        corners = visual.kind == "vertex"
        rgba = np.asarray(visual.vertex_colors)[mesh.faces].mean(axis=1) if corners else visual.face_colors
    else:
        return None
    return np.asarray(rgba, np.float32)[:, :3] / np.float32(255)


def _simple_material(visual: Any) -> Any:
    """Returns a textured visual's material without glTF's extras; None where it has none."""
    material = visual.material
    return material.to_simple() if hasattr(material, "to_simple") else material


def clean_mesh(mesh: trimesh.Trimesh) -> CleanMesh:
    """Returns a mesh cleaned, to be seen and to be weighed.

    Raises:
        InputError: Fewer than four triangles are left.
    """
    mesh = mesh.copy()
    mesh.merge_vertices()
    mesh.update_faces(mesh.nondegenerate_faces() & mesh.unique_faces())
    mesh.remove_unreferenced_vertices()
    if len(mesh.faces) < 4:
        raise InputError("it holds no usable triangles")
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    solid.merge_vertices(merge_tex=True, merge_norm=True)
    if not solid.is_watertight:
        bodies.join_close_vertices(solid)
    before = np.array(solid.faces)
    inverted = bodies.turn_outwards(solid)
    turned = (before != solid.faces).any(axis=1)
    faces = np.array(mesh.faces)
    faces[turned] = faces[turned][:, ::-1]
    mesh.faces = faces
    bodies.drop_flat_faces(solid)
    bodies.drop_inner_bodies(solid)
    if len(solid.faces) < 4:
        raise InputError("it holds no usable triangles")
    closed = close_holes(solid)
    return CleanMesh(mesh, closed, tuple(_doubts(solid, closed, inverted=inverted)))


def _doubts(solid: trimesh.Trimesh, closed: trimesh.Trimesh, *, inverted: int) -> Iterator[str]:
    """Yields what is doubtful about a mesh.

    Args:
        solid: Mesh before its holes were closed.
        closed: Mesh with its holes closed.
        inverted: Number of bodies that were inside out.
    """
    if inverted:
        yield "it was inside out and was turned"
    if not closed.is_watertight:
        yield "its surface is open, so its convex parts say how heavy it is"
    else:
        if closed is not solid:
            yield "its holes were closed"
        if closed.volume > 0 and bodies.overlap(closed) > _OVERLAP:
            yield "its parts overlap, so what overlaps weighs twice; unite them, or give its mass in a URDF"
    apart = bodies.count_apart(closed)
    if apart > 1:
        yield f"its {apart} parts do not touch but move as one; split the file if they are several objects"


def close_holes(solid: trimesh.Trimesh) -> trimesh.Trimesh:
    """Returns the mesh with its small holes closed by a fan around each hole's middle; itself where it has none.

    The inside of a mesh with a hole would count as outside: a shell without weight. Openings wider
    than 0.3 of the mesh's largest side stay: a bowl without thickness is meant to be hollow.
    """
    edges = np.asarray(solid.edges)
    _, index, count = np.unique(np.sort(edges, axis=1), axis=0, return_inverse=True, return_counts=True)
    open_edges = edges[count[index.ravel()] == 1]
    if not len(open_edges):
        return solid
    vertices = np.asarray(solid.vertices, np.float64)
    links = coo_array((np.ones(len(open_edges)), open_edges.T), shape=(len(vertices), len(vertices)))
    label = connected_components(links, directed=False)[1][open_edges[:, 0]]
    middles: list[FloatArray] = []
    fans: list[NDArray[np.int64]] = []
    for hole in np.unique(label):
        rim = open_edges[label == hole]
        corners = vertices[np.unique(rim)]
        if np.ptp(corners, axis=0).max() > _HOLE * np.ptp(vertices, axis=0).max():
            continue
        middle = np.full(len(rim), len(vertices) + len(middles))
        fans.append(np.stack([rim[:, 1], rim[:, 0], middle], axis=1))
        middles.append(corners.mean(axis=0))
    if not fans:
        return solid
    return trimesh.Trimesh(np.vstack([vertices, *middles]), np.vstack([solid.faces, *fans]), process=False)


def write_visual(mesh: trimesh.Trimesh, folder: Path) -> str:
    """Writes ``visual.obj`` with texture or corner colours; returns the URDF's <material>, or ""."""
    visual: Any = mesh.visual
    material = ""
    if visual.kind == "face":  # OBJ colours corners: give each face its own
        colours = np.repeat(visual.face_colors, 3, axis=0)
        corners = np.arange(3 * len(mesh.faces)).reshape(-1, 3)
        mesh = trimesh.Trimesh(mesh.triangles.reshape(-1, 3), corners, vertex_colors=colours, process=False)
    elif visual.kind == "texture" and getattr(_simple_material(visual), "image", None) is None:
        colour = face_colours(mesh)
        mesh = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
        if colour is not None:
            rgb = " ".join(f"{c:.4f}" for c in colour[0])
            material = f'<material name="own"><color rgba="{rgb} 1"/></material>'
    text, files = obj_text(mesh, include_normals=False, return_texture=True, header=None, mtl_name="visual.mtl")
    (folder / "visual.obj").write_text(text)
    for name, content in files.items():
        (folder / Path(name).name).write_bytes(content)
    return material


def write_parts(parts: Sequence[trimesh.Trimesh], path: Path) -> None:
    """Writes one OBJ with an ``o`` for each part: PyBullet makes a compound of convex shapes of it."""
    lines, start = [], 1
    for i, part in enumerate(parts):
        lines.append(f"o part_{i}")
        lines += [f"v {x:.8f} {y:.8f} {z:.8f}" for x, y, z in part.vertices]
        lines += [f"f {a} {b} {c}" for a, b, c in part.faces + start]
        start += len(part.vertices)
    path.write_text("\n".join(lines) + "\n")
