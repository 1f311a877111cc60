"""COLLADA files (.dae), read in metres with z up, as Bullet and ROS read them.

Source: COLLADA 1.4.1 specification, Khronos Group, chapters 4 (transforms) and 5 (meshes).
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sim.errors import InputError
from sim.geometry import make_pose
from sim.objects.reading.collada_materials import Material, bound_materials
from sim.objects.reading.triangulate import cut_polygons
from sim.objects.reading.xml_tree import indices, numbers, parse_xml

FloatArray = NDArray[np.float64]

_UP = {  # rows: where the file's axes point when z is up
    "X_UP": ((0, -1, 0), (0, 0, -1), (1, 0, 0)),
    "Y_UP": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "Z_UP": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
}
_DEPTH = 64  # nodes within nodes
_INSTANCES = 10_000  # geometries placed; nodes that name each other could ask for any number


@dataclass(frozen=True)
class _Library:
    """A document and its elements by their id."""

    root: ElementTree.Element
    ids: dict[str, ElementTree.Element]

    def find(self, reference: str | None) -> ElementTree.Element:
        """Returns the element that a reference such as "#cup" names; raises ValueError."""
        name = (reference or "").removeprefix("#")
        if name not in self.ids:
            raise ValueError(f"it names '{name}', which it does not define")
        return self.ids[name]


def read_collada(data: bytes, folder: Path) -> trimesh.Scene:
    """Returns a COLLADA file's meshes, each where the file places it, metres, z up.

    Args:
        data: Content of the file.
        folder: Folder of the textures that it names.

    Raises:
        InputError: It cannot be read; the sentence lacks the file's name.
    """
    root = parse_xml(data, "COLLADA")
    library = _Library(root, {e.get("id", ""): e for e in root.iter() if e.get("id")})
    try:
        stated = root.find("asset/unit")
        unit = 1.0 if stated is None else float(stated.get("meter", "1"))
        up = (root.findtext("asset/up_axis") or "Y_UP").strip().upper()
        if not 0 < unit < np.inf or up not in _UP:
            raise ValueError(f"its unit is {unit} m and its up axis {up}")
        world = make_pose(unit * np.array(_UP[up], np.float64), np.zeros(3))
        return trimesh.Scene(list(_placed(library, world, folder)))
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, AttributeError) as error:
        raise InputError(f"is no COLLADA that can be read ({' '.join(str(error).split())}); export it again") from error


def _placed(library: _Library, world: FloatArray, folder: Path) -> Iterator[trimesh.Trimesh]:
    """Yields each geometry where the scene places it; those of a file without a scene as they stand."""
    scene = library.root.find("scene/instance_visual_scene")
    if scene is None:
        instances: Iterator[tuple[ElementTree.Element, FloatArray, Any]] = (
            (geometry, np.eye(4), None) for geometry in library.root.iter("geometry")
        )
    else:
        instances = _instances(library, library.find(scene.get("url")), np.eye(4), depth=0)
    found = list(islice(instances, _INSTANCES + 1))
    if len(found) > _INSTANCES:
        raise ValueError(f"it places more than {_INSTANCES} geometries")
    for geometry, pose, binding in found:
        materials = bound_materials(library.ids, binding, folder)
        for mesh in _meshes(library, geometry, materials):
            mesh.apply_transform(world @ pose)
            yield mesh


def _instances(
    library: _Library, node: ElementTree.Element, pose: FloatArray, *, depth: int
) -> Iterator[tuple[ElementTree.Element, FloatArray, ElementTree.Element]]:
    """Yields each <geometry> below a node, its pose in the scene in the file's unit, and the element that binds it."""
    if depth > _DEPTH:
        raise ValueError("its nodes lie too deep in each other")
    for child in node:
        if child.tag in ("matrix", "translate", "rotate", "scale"):
            pose = pose @ _transform(child)
    for child in node:
        if child.tag == "node":
            yield from _instances(library, child, pose, depth=depth + 1)
        elif child.tag == "instance_node":
            yield from _instances(library, library.find(child.get("url")), pose, depth=depth + 1)
        elif child.tag == "instance_geometry":
            yield library.find(child.get("url")), pose, child
        elif child.tag == "instance_controller":
            skin = library.find(child.get("url")).find("skin")
            if skin is not None:
                yield library.find(skin.get("source")), pose, child


def _transform(element: ElementTree.Element) -> FloatArray:
    """Returns the (4, 4) matrix of a node's transform; raises ValueError."""
    values = numbers(element.text)
    if element.tag == "matrix":
        return values.reshape(4, 4)
    if element.tag == "rotate":
        axis = values[:3] / max(float(np.linalg.norm(values[:3])), 1e-12)
        return make_pose(Rotation.from_rotvec(axis * np.radians(values[3])).as_matrix(), np.zeros(3))
    if element.tag == "scale":
        return make_pose(np.diag(values), np.zeros(3))
    return make_pose(np.eye(3), values)


def _meshes(
    library: _Library, geometry: ElementTree.Element, materials: dict[str | None, Material]
) -> Iterator[trimesh.Trimesh]:
    """Yields a mesh for each list of faces of a <geometry>, in the geometry's frame and the file's unit."""
    for faces in geometry.iterfind("mesh/*"):
        table = _corners(faces)
        inputs = {e.get("semantic"): e for e in reversed(faces.findall("input"))}
        if table is None or "VERTEX" not in inputs:
            continue
        places = library.find(inputs["VERTEX"].get("source"))
        position = next((e for e in places.iter("input") if e.get("semantic") == "POSITION"), None)
        vertices = _source(library, places if position is None else library.find(position.get("source")), 3)
        index = table[:, int(inputs["VERTEX"].get("offset", "0"))]
        triangles = _triangles(faces, _picked(vertices, index), table.shape[1])
        material = materials.get(faces.get("material"), Material())
        if "TEXCOORD" not in inputs or material.image is None:
            mesh = trimesh.Trimesh(vertices, index[triangles], process=False)
            if material.colour is not None:
                mesh.visual = material.visual()
            yield mesh
            continue
        uv = _source(library, library.find(inputs["TEXCOORD"].get("source")), 2)
        turned = _picked(uv, table[:, int(inputs["TEXCOORD"].get("offset", "0"))])
        yield trimesh.Trimesh(_picked(vertices, index), triangles, visual=material.visual(turned), process=False)


def _picked(values: FloatArray, index: NDArray[np.int64]) -> FloatArray:
    """Returns rows by their indices; raises ValueError for one that is not there, also for one below 0."""
    if len(index) and (index.min() < 0 or index.max() >= len(values)):
        raise ValueError(f"a face names row {int(index.max())} of {len(values)}")
    return values[index]


def _corners(faces: ElementTree.Element) -> NDArray[np.int64] | None:
    """Returns the (C, K) indices of all corners of a list of faces; None of an element that is none."""
    if faces.tag not in ("triangles", "polylist", "polygons", "tristrips", "trifans"):
        return None
    width = 1 + max((int(e.get("offset", "0")) for e in faces.iterfind("input")), default=0)
    lists = [indices(p.text) for p in faces.iter("p")]
    if not lists or not 0 < width < 100:
        return None
    return np.concatenate(lists).reshape(-1, width)


def _triangles(faces: ElementTree.Element, places: FloatArray, width: int) -> NDArray[np.int64]:
    """Returns a list of faces as (T, 3) triangles of its corners; raises ValueError.

    Args:
        faces: The list.
        places: (C, 3) places of its corners.
        width: Number of indices of a corner.
    """
    lengths = np.array([len(indices(p.text)) // width for p in faces.iter("p")])
    if faces.tag == "tristrips":
        starts = np.cumsum(lengths) - lengths
        strips = [
            start + np.arange(max(n - 2, 0))[:, None] + [0, 1, 2] for start, n in zip(starts, lengths, strict=True)
        ]
        for strip in strips:  # every other triangle of a strip is wound the other way
            strip[1::2] = strip[1::2][:, [1, 0, 2]]
        return np.concatenate(strips)
    if faces.tag == "triangles":
        return cut_polygons(np.full(len(places) // 3, 3), places)
    return cut_polygons(indices(faces.findtext("vcount")) if faces.tag == "polylist" else lengths, places)


def _source(library: _Library, source: ElementTree.Element, width: int) -> FloatArray:
    """Returns the first numbers of each row of a <source>, (N, width); raises ValueError."""
    array, accessor = source.find("float_array"), source.find("technique_common/accessor")
    if array is None:
        raise ValueError(f"its source '{source.get('id')}' has no numbers")
    stride = int(accessor.get("stride", "1")) if accessor is not None else width
    start = int(accessor.get("offset", "0")) if accessor is not None else 0
    values = numbers(array.text)[max(start, 0) :]
    if stride < width:
        raise ValueError(f"its source '{source.get('id')}' has rows of {stride} numbers")
    rows: FloatArray = values[: len(values) // stride * stride].reshape(-1, stride)[:, :width]
    return rows
