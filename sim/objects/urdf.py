"""URDF files, read once for all who ask: the first link's shapes, colours, and inertial frame.

PyBullet takes a URDF's first link for the object's base; an object to grasp is one link.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sim.errors import InputError
from sim.geometry import make_pose

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A ``<geometry>``: a mesh file or a primitive. What its kind does not use has its default.

    Attributes:
        kind: Name of its element: "mesh", "box", "sphere", "cylinder", or what else the file says.
        file: Path of the mesh; None for a primitive.
        scale: (3,) float64 factor on the mesh's lengths along its axes.
        size: (3,) float64 sides of the box, metres.
        radius: Radius of the sphere or cylinder, metres.
        length: Length of the cylinder along its z, metres.
    """

    kind: str
    file: Path | None
    scale: FloatArray
    size: FloatArray
    radius: float
    length: float

    def primitive(self, kind: str = "") -> trimesh.Trimesh:
        """Returns a box, a sphere or a cylinder as a mesh, metres, in its own frame.

        Args:
            kind: Primitive to make of the shape's numbers; its own kind where left out.

        Raises:
            InputError: The kind is none of the three.
        """
        kind = kind or self.kind
        mesh: trimesh.Trimesh
        if kind == "box":
            mesh = trimesh.creation.box(self.size)
        elif kind == "sphere":
            mesh = trimesh.creation.icosphere(subdivisions=3, radius=self.radius)
        elif kind == "cylinder":
            mesh = trimesh.creation.cylinder(self.radius, self.length)
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
    """Returns a URDF's first link; one without visuals and collisions where the file has no link.

    Raises:
        InputError: The file cannot be read, or a number in the link is none.
    """
    root = _root(path)
    materials = {m.get("name"): m for m in root.iter("material") if len(m)}
    link = root.find("link")
    if link is None:
        return Link(visuals=(), collisions=(), inertial=np.eye(4))
    try:
        return Link(
            visuals=tuple(_part(e, path.parent, materials) for e in link.findall("visual")),
            collisions=tuple(_part(e, path.parent, materials) for e in link.findall("collision")),
            inertial=_pose(link.find("inertial/origin")),
        )
    except ValueError as error:
        raise InputError(f"object file {path}: {error}; mend or remove it") from error


def mesh_files(path: Path) -> set[Path]:
    """Returns the meshes that a URDF names, of all its links, as absolute paths.

    Raises:
        InputError: The file cannot be read.
    """
    return {(path.parent / mesh.get("filename", "")).resolve() for mesh in _root(path).iter("mesh")}


def _root(path: Path) -> ElementTree.Element:
    """Returns the root of the file's XML; raises InputError."""
    try:
        return ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
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
        pose=_pose(element.find("origin")),
        shape=None if geometry is None or not len(geometry) else _shape(geometry[0], folder),
        colour=None if colour is None or not colour.get("rgba") else _numbers(colour, "rgba", "0 0 0 1")[:3],
        texture=None if texture is None else folder / texture.get("filename", ""),
    )


def _shape(element: ElementTree.Element, folder: Path) -> Shape:
    """Returns the shape of a <geometry>'s child; raises ValueError."""
    return Shape(
        kind=element.tag,
        file=folder / element.get("filename", "") if element.tag == "mesh" else None,
        scale=_numbers(element, "scale", "1 1 1"),
        size=_numbers(element, "size", "1 1 1"),
        radius=float(_numbers(element, "radius", "1")[0]),
        length=float(_numbers(element, "length", "1")[0]),
    )


def _pose(origin: ElementTree.Element | None) -> FloatArray:
    """Returns the (4, 4) pose of an <origin>, whose rpy turns about the fixed x, y, z; raises ValueError."""
    if origin is None:
        return np.eye(4)
    rotation = Rotation.from_euler("xyz", _numbers(origin, "rpy", "0 0 0")).as_matrix()
    return make_pose(rotation, _numbers(origin, "xyz", "0 0 0"))


def _numbers(element: ElementTree.Element, attribute: str, default: str) -> FloatArray:
    """Returns an attribute's numbers, as many as the default has; raises ValueError.

    A scale may be a single number for all three axes, as Bullet takes it. A colour may lack its opacity.
    """
    text, count = element.get(attribute) or default, len(default.split())
    try:
        numbers = np.array([float(word) for word in text.split()])
    except ValueError:
        numbers = np.zeros(0)
    if attribute == "scale" and len(numbers) == 1:
        return np.repeat(numbers, count)
    if len(numbers) != count and not (attribute == "rgba" and len(numbers) == 3):
        raise ValueError(f'{attribute}="{text}" of <{element.tag}> is not {count} number{"s" if count > 1 else ""}')
    return numbers
