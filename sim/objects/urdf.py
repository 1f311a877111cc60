"""URDF files, read once for all who ask: the shapes, colours, and inertial frame of an object's one rigid body.

Links that fixed joints hold together are one body, see ``merge_links``.
"""

from __future__ import annotations

import os
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import trimesh
from numpy.typing import NDArray

from sim.errors import InputError
from sim.files import atomic_path
from sim.objects.fixed_links import collide_as_seen, merge_links
from sim.objects.urdf_values import read_numbers, read_pose

FloatArray = NDArray[np.float64]

Replaced = dict[tuple[str, Path], Path]  # by the name of the shape's element and the resolved path of its mesh

_WORLD = "world"  # a link of this name has no mass in Bullet unless its file gives it one


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A ``<geometry>``: a mesh file or a primitive. What its kind does not use has its default.

    Attributes:
        kind: Name of its element: "mesh", "box", "sphere", "cylinder", or what else the file says.
        file: Path of the mesh; None for a primitive.
        scale: (3,) float64 factor on the mesh's lengths along its axes.
        size: (3,) float64 sides of the box, metres.
        radius: Radius of the sphere, cylinder or capsule, metres.
        length: Length of the cylinder, or of a capsule's straight part, along its z, metres.
    """

    kind: str
    file: Path | None
    scale: FloatArray
    size: FloatArray
    radius: float
    length: float

    def primitive(self, kind: str = "") -> trimesh.Trimesh:
        """Returns a box, a sphere, a cylinder or a capsule as a mesh, metres, in its own frame.

        Args:
            kind: Primitive to make of the shape's numbers; its own kind where left out.

        Raises:
            InputError: The kind is none of the four.
        """
        kind = kind or self.kind
        mesh: trimesh.Trimesh
        if kind == "box":
            mesh = trimesh.creation.box(self.size)
        elif kind == "sphere":
            mesh = trimesh.creation.icosphere(subdivisions=3, radius=self.radius)
        elif kind == "cylinder":
            mesh = trimesh.creation.cylinder(self.radius, self.length)
        elif kind == "capsule":
            mesh = trimesh.creation.capsule(height=self.length, radius=self.radius)
        else:
            raise InputError(f"a <{kind}> shape is not known here")
        return mesh


@dataclass(frozen=True, kw_only=True)
class Part:
    """A ``<visual>`` or a ``<collision>`` of a link.

    Attributes:
        pose: (4, 4) float64 T_link_shape, metres.
        shape: Shape; None where the file gives no geometry.
        colour: (3,) float64 RGB in [0, 1] of its material; None where that has none.
        texture: Path of its material's texture; None where that has none.
    """

    pose: FloatArray
    shape: Shape | None
    colour: FloatArray | None
    texture: Path | None


@dataclass(frozen=True, kw_only=True)
class Link:
    """A ``<link>``.

    Attributes:
        visuals: Parts that cameras see.
        collisions: Parts that collide.
        inertial: (4, 4) float64 T_link_inertial, metres: the frame of the centre of mass.
    """

    visuals: tuple[Part, ...]
    collisions: tuple[Part, ...]
    inertial: FloatArray


def read_base_link(path: Path) -> Link:
    """Returns a URDF's body as one link; one without visuals and collisions where the file has no link.

    Raises:
        InputError: The file cannot be read, a number in it is none, or its links are no rigid body.
    """
    root = _root(path)
    _merge(root, path)
    materials = {m.get("name"): m for m in root.iter("material") if len(m)}
    link = root.find("link")
    if link is None:
        return Link(visuals=(), collisions=(), inertial=np.eye(4))
    try:
        return Link(
            visuals=tuple(_part(e, path.parent, materials) for e in link.findall("visual")),
            collisions=tuple(_part(e, path.parent, materials) for e in link.findall("collision")),
            inertial=read_pose(link.find("inertial/origin")),
        )
    except ValueError as error:
        raise InputError(f"object file {path}: {error}; mend or remove it") from error


def read_mass(path: Path) -> tuple[float, FloatArray]:
    """Returns mass and centre of mass of a URDF's body, of all its links together, as Bullet takes them.

    A file that changed is read again.

    Returns:
        Kilograms, 1 where the file says nothing; and (3,) float64, metres, in the frame of its first link.

    Raises:
        InputError: The file cannot be read, or a number in it is none.
    """
    try:
        return _read_mass(path, path.stat().st_mtime_ns)
    except (OSError, ValueError) as error:
        raise InputError(f"object file {path}: {error}; mend or remove it") from error


@lru_cache(maxsize=10_000)
def _read_mass(path: Path, stamp: int) -> tuple[float, FloatArray]:
    root = _root(path)
    _merge(root, path)
    mass = root.find("link/inertial/mass")
    kilograms = 1.0 if mass is None else float(read_numbers(mass, "value", "0")[0])
    return kilograms, read_pose(root.find("link/inertial/origin"))[:3, 3]


def mesh_files(path: Path) -> set[Path]:
    """Returns the meshes that a URDF names, of all its links, as absolute paths.

    Raises:
        InputError: The file cannot be read.
    """
    return {find_file(path.parent, mesh.get("filename", "")).resolve() for mesh in _root(path).iter("mesh")}


def find_file(folder: Path, name: str) -> Path:
    """Returns the file that a URDF means by a name; where there is none, the path at which it was looked for last.

    ``package://`` and ``model://`` names are looked for in the folders above the URDF: in the package's
    folder, and then in a folder of another name that holds the rest of the path. ``file://`` names are absolute.

    Args:
        folder: Folder of the URDF.
        name: Name in the URDF.
    """
    plain = folder / name
    if plain.is_file():
        return plain
    scheme, mark, rest = name.replace("\\", "/").partition("://")
    if not mark:
        return folder / scheme
    if scheme == "file":
        local = unquote(rest.removeprefix("localhost"))
        return folder / (local[1:] if local[2:3] == ":" else local)
    if scheme in ("package", "model"):
        above = [folder.resolve(), *folder.resolve().parents]
        for inner in (rest, rest.partition("/")[2]):
            for start in above:
                if inner and (start / inner).is_file():
                    return start / inner
    return folder / rest


def check_urdf(path: Path) -> None:
    """Checks that a URDF is one rigid body with a mass, and that all the meshes it names are there.

    Raises:
        InputError: It is no URDF, its links are no rigid body, or something in it is missing.
    """
    root = _root(path)
    if any("xacro" in str(element.tag) for element in root.iter()):
        raise InputError("it is a xacro file; expand it first: xacro FILE > FILE.urdf")
    if root.tag != "robot":
        raise InputError(f"it is no URDF: its root is <{root.tag}>, not <robot>")
    try:
        merge_links(root)
    except ValueError as error:
        raise InputError(str(error)) from error
    links = root.findall("link")
    if not links:
        raise InputError("it has 0 links; an object is one rigid body: give it a link")
    link = read_base_link(path)
    for part in (*link.visuals, *link.collisions):
        if part.shape is not None and part.shape.file is not None and not part.shape.file.is_file():
            raise InputError(f"mesh {part.shape.file} does not exist")
    inertial, mass = links[0].find("inertial"), links[0].find("inertial/mass")
    if inertial is not None and mass is None:
        raise InputError("its <inertial> has no <mass>")
    try:
        weighs = mass is None or 0 < read_numbers(mass, "value", "0")[0] < np.inf
    except ValueError:
        weighs = False
    if mass is not None and not weighs:
        raise InputError(f'its mass "{mass.get("value")}" is no positive number: it would not move')


def needs_copy(path: Path) -> bool:
    """Returns whether Bullet needs a copy of a URDF, see ``write_copy``. Raises InputError."""
    root = _root(path)
    links = root.findall("link")
    unnamed = any(not (path.parent / mesh.get("filename", "")).is_file() for mesh in root.iter("mesh"))
    return len(links) > 1 or unnamed or any(_lacks(link) for link in links)


def _lacks(link: ElementTree.Element) -> bool:
    """Returns whether a link lacks collisions, a name that lets it move, or the <inertia> that Bullet wants."""
    inertial = link.find("inertial")
    return (
        link.get("name") == _WORLD
        or link.find("collision") is None
        or (inertial is not None and inertial.find("inertia") is None)
    )


def write_copy(path: Path, copy: Path, replaced: Replaced | None = None) -> None:
    """Writes a URDF that Bullet reads as its author meant it.

    Links that fixed joints hold together become one. A link called world, which Bullet may nail down, is renamed.
    Meshes and textures are named relative to the copy's folder. A link without collisions collides as it looks.
    An <inertial> without <inertia> gets one: Bullet wants it there, and computes its own from the shape.

    Args:
        path: The author's URDF.
        copy: File to write.
        replaced: OBJ that stands for a mesh that Bullet does not read.

    Raises:
        InputError: The URDF cannot be read.
    """
    root, replaced = _root(path), replaced or {}
    _merge(root, path)
    for element in (*root.iter("mesh"), *root.iter("texture")):
        found = find_file(path.parent, element.get("filename", ""))
        element.set("filename", os.path.relpath(found.resolve(), copy.parent.resolve()))
    for link in root.findall("link"):
        inertial = link.find("inertial")
        if inertial is not None and inertial.find("inertia") is None:
            zero = dict.fromkeys(("ixy", "ixz", "iyz"), "0")
            ElementTree.SubElement(inertial, "inertia", dict.fromkeys(("ixx", "iyy", "izz"), "1") | zero)
        collide_as_seen(link)
        if link.get("name") == _WORLD:
            link.set("name", "body")
    shapes = [(kind, mesh) for kind in ("visual", "collision") for mesh in root.findall(f".//{kind}//mesh")]
    for kind, mesh in shapes:
        file = (copy.parent / mesh.get("filename", "")).resolve()
        if (kind, file) in replaced:
            mesh.set("filename", os.path.relpath(replaced[kind, file], copy.parent.resolve()))
    with atomic_path(copy) as part:
        ElementTree.ElementTree(root).write(part)


def _merge(root: ElementTree.Element, path: Path) -> None:
    """Merges the file's links into one; raises InputError."""
    try:
        merge_links(root)
    except ValueError as error:
        raise InputError(f"object file {path}: {error}; mend or remove it") from error


def _root(path: Path) -> ElementTree.Element:
    """Returns the root of the file's XML; raises InputError."""
    try:
        return ElementTree.parse(path).getroot()
    except (OSError, ValueError, LookupError, ElementTree.ParseError) as error:
        if "unbound prefix" in str(error):
            raise InputError(f"object file {path} is a xacro file; expand it first: xacro FILE > FILE.urdf") from error
        raise InputError(f"object file {path} cannot be read: {error}") from error


def _part(element: ElementTree.Element, folder: Path, materials: dict[str | None, ElementTree.Element]) -> Part:
    """Returns a <visual> or <collision>; raises ValueError.

    Args:
        element: The element.
        folder: Folder to which its files are relative.
        materials: The file's materials by name; a <material> without content refers to one of them.
    """
    material = element.find("material")
    if material is not None and not len(material):
        material = materials.get(material.get("name"))
    colour = None if material is None else material.find("color")
    texture = None if material is None else material.find("texture")
    geometry = element.find("geometry")
    return Part(
        pose=read_pose(element.find("origin")),
        shape=None if geometry is None or not len(geometry) else _shape(geometry[0], folder),
        colour=None if colour is None or not colour.get("rgba") else read_numbers(colour, "rgba", "0 0 0 1")[:3],
        texture=None if texture is None else find_file(folder, texture.get("filename", "")),
    )


def _shape(element: ElementTree.Element, folder: Path) -> Shape:
    """Returns the shape of a <geometry>'s child; raises ValueError."""
    return Shape(
        kind=element.tag,
        file=find_file(folder, element.get("filename", "")) if element.tag == "mesh" else None,
        scale=read_numbers(element, "scale", "1 1 1"),
        size=read_numbers(element, "size", "1 1 1"),
        radius=float(read_numbers(element, "radius", "1")[0]),
        length=float(read_numbers(element, "length", "1")[0]),
    )
