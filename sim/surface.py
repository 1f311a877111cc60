"""Visible surfaces of objects: from a URDF, or a mesh file, to triangles with colours."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sim import InputError
from sim.meshes import face_colours, read_mesh


@dataclass(frozen=True)
class ObjectMesh:
    """An object's visible surface.

    Attributes:
        vertices: (V, 3) float64, metres, frame of the URDF's base link.
        faces: (F, 3) int32 vertex indices, counter-clockwise seen from outside.
        colours: (F, 3) float32 RGB in [0, 1], one a face.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int32]
    colours: NDArray[np.float32]


def _numbers(element: ElementTree.Element | None, attribute: str, default: str) -> NDArray[np.float64]:
    text = default if element is None else element.get(attribute, default)
    return np.array([float(x) for x in text.split()])


def _pose(element: ElementTree.Element | None) -> NDArray[np.float64]:
    pose = np.eye(4)
    pose[:3, 3] = _numbers(element, "xyz", "0 0 0")
    pose[:3, :3] = Rotation.from_euler("xyz", _numbers(element, "rpy", "0 0 0")).as_matrix()
    return pose


def _geometry(visual: ElementTree.Element, folder: Path) -> trimesh.Trimesh:
    """Returns one <visual>'s surface in the link frame, metres."""
    geometry = visual.find("geometry")
    shape = geometry[0] if geometry is not None and len(geometry) else None
    if shape is None:
        raise InputError("a <visual> has no geometry")
    if shape.tag == "mesh":
        mesh = read_mesh(folder / shape.get("filename", ""))
        mesh.apply_transform(np.diag([*_numbers(shape, "scale", "1 1 1"), 1.0]))
    elif shape.tag == "box":
        mesh = trimesh.creation.box(_numbers(shape, "size", "1 1 1"))
    elif shape.tag == "sphere":
        mesh = trimesh.creation.icosphere(subdivisions=3, radius=float(shape.get("radius", "1")))
    elif shape.tag == "cylinder":
        mesh = trimesh.creation.cylinder(float(shape.get("radius", "1")), float(shape.get("length", "1")))
    else:
        raise InputError(f"a <{shape.tag}> shape is not known here")
    mesh.apply_transform(_pose(visual.find("origin")))
    return mesh


@lru_cache(maxsize=2000)
def load_surface(urdf: Path, scale: float) -> ObjectMesh:
    """Returns what cameras see of a URDF's first link, its lengths times ``scale``; raises InputError."""
    try:
        root = ElementTree.parse(urdf).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise InputError(f"object file {urdf} cannot be read: {error}") from error
    named = {m.get("name"): m for m in root.iter("material") if m.find("color") is not None}
    vertices: list[NDArray[np.float64]] = []
    faces: list[NDArray[np.int32]] = []
    colours: list[NDArray[np.float32]] = []
    link = root.find("link")
    for visual in [] if link is None else link.findall("visual"):
        try:
            mesh = _geometry(visual, urdf.parent)
        except InputError as error:
            raise InputError(f"object file {urdf}: {error}; mend or remove it") from error
        material = visual.find("material")
        if material is not None and material.find("color") is None:
            material = named.get(material.get("name"))
        tint = None if material is None else material.find("color")
        own = face_colours(mesh)
        # As Bullet does: the URDF's colour tints the mesh's own; grey where there is neither.
        colour = _numbers(tint, "rgba", "0.6 0.6 0.6 1" if own is None else "1 1 1 1")[:3].astype(np.float32)
        faces.append(np.asarray(mesh.faces, np.int32) + sum(len(v) for v in vertices))
        vertices.append(np.asarray(mesh.vertices, np.float64) * scale)
        colours.append(np.tile(colour, (len(mesh.faces), 1)) if own is None else own * colour)
    if not faces:
        raise InputError(f"object file {urdf} has no visual mesh on its first link")
    return ObjectMesh(np.concatenate(vertices), np.concatenate(faces).astype(np.int32), np.concatenate(colours))
