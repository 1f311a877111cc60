"""3MF files, read in metres.

Source: 3MF Core Specification 1.3, 3MF Consortium, chapters 3 (document) and 4 (objects).
"""

from __future__ import annotations

import io
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from sim.errors import InputError
from sim.objects.reading.xml_tree import numbers, parse_xml

FloatArray = NDArray[np.float64]

_UNITS = {"micron": 1e-6, "millimeter": 1e-3, "centimeter": 0.01, "inch": 0.0254, "foot": 0.3048, "meter": 1.0}
_LARGEST = 256 * 2**20  # bytes of a model once it is unpacked; a few kilobytes can claim any number
_DEPTH = 32  # components within components
_INSTANCES = 10_000  # meshes placed


def read_3mf(data: bytes) -> trimesh.Scene:
    """Returns the meshes that a 3MF file builds, each where it is placed, metres.

    Raises:
        InputError: It cannot be read; the sentence lacks the file's name.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            models = {name.strip("/").lower(): name for name in archive.namelist() if name.lower().endswith(".model")}
            if not models:
                raise ValueError("it holds no .model")
            main = next((name for name in models if name.endswith("3dmodel.model")), next(iter(models)))
            trees = {name: parse_xml(_unpacked(archive, models[name]), "3MF") for name in (main, *models)}
        unit = trees[main].get("unit", "millimeter").strip().lower()
        if unit not in _UNITS:
            raise ValueError(f"its unit '{unit}' is not one of {', '.join(_UNITS)}")
        scene = trimesh.Scene()
        for count, (mesh, pose) in enumerate(_built(trees, main)):
            if count >= _INSTANCES:
                raise ValueError(f"it places more than {_INSTANCES} meshes")
            scene.add_geometry(mesh.apply_transform(np.diag([_UNITS[unit]] * 3 + [1.0]) @ pose))
    except InputError:
        raise
    except Exception as error:  # zipfile raises whatever the broken file makes it raise
        raise InputError(f"is no 3MF that can be read ({' '.join(str(error).split())}); export it again") from error
    return scene


def _unpacked(archive: zipfile.ZipFile, name: str) -> bytes:
    """Returns a file of the archive; raises ValueError where it is too large."""
    with archive.open(name) as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ValueError(f"{name} is larger than {_LARGEST // 2**20} MB once it is unpacked")
    return data


def _built(trees: dict[str, ElementTree.Element], main: str) -> Iterator[tuple[trimesh.Trimesh, FloatArray]]:
    """Yields each mesh that the <build> asks for and its pose, in the file's unit; all where there is no <build>."""
    items = trees[main].findall("build/item")
    if not items:
        for element in trees[main].iterfind("resources/object/mesh"):
            yield _mesh(element, None, trees[main]), np.eye(4)
    for item in items:
        yield from _placed(trees, _path(item, main), item, depth=0)


def _placed(
    trees: dict[str, ElementTree.Element], path: str, reference: ElementTree.Element, *, depth: int
) -> Iterator[tuple[trimesh.Trimesh, FloatArray]]:
    """Yields the meshes of the object that an <item> or a <component> names, with their poses in its frame."""
    if depth > _DEPTH:
        raise ValueError("its components lie too deep in each other")
    wanted, tree = reference.get("objectid"), trees[path]
    found = next((e for e in tree.iterfind("resources/object") if e.get("id") == wanted), None)
    if found is None:
        raise ValueError(f"it builds object {wanted}, which it does not define")
    pose = _pose(reference.get("transform"))
    element = found.find("mesh")
    if element is not None:
        yield _mesh(element, found, tree), pose
    for component in found.iterfind("components/component"):
        for mesh, inner in _placed(trees, _path(component, path), component, depth=depth + 1):
            yield mesh, pose @ inner


def _path(reference: ElementTree.Element, current: str) -> str:
    """Returns the model file in which an object is defined: the current one unless ``path`` says another."""
    path = reference.get("path")
    return current if path is None else path.strip("/").lower()


def _pose(text: str | None) -> FloatArray:
    """Returns the (4, 4) matrix of a transform: 12 numbers, for rows from the left; raises ValueError."""
    pose = np.eye(4)
    if text:
        pose[:3] = numbers(text).reshape(4, 3).T
    return pose


def _mesh(
    element: ElementTree.Element, parent: ElementTree.Element | None, tree: ElementTree.Element
) -> trimesh.Trimesh:
    """Returns a <mesh> in the file's unit, with the colour of its <object>; raises ValueError."""
    vertices = [[float(v.attrib[axis]) for axis in "xyz"] for v in element.iterfind("vertices/vertex")]
    faces = [[int(t.attrib[corner]) for corner in ("v1", "v2", "v3")] for t in element.iterfind("triangles/triangle")]
    table = np.array(faces, np.int64).reshape(-1, 3)
    if len(table) and (table.min() < 0 or table.max() >= len(vertices)):
        raise ValueError(f"a triangle names vertex {table.max()} of {len(vertices)}")
    mesh = trimesh.Trimesh(np.array(vertices, np.float64).reshape(-1, 3), table, process=False)
    colour = None if parent is None else _colour(parent, tree)
    if colour is not None and len(table):
        visual: Any = mesh.visual
        visual.face_colors = np.tile(colour, (len(table), 1))
    return mesh


def _colour(element: ElementTree.Element, tree: ElementTree.Element) -> NDArray[np.uint8] | None:
    """Returns the (4,) RGBA of an <object>'s material; None where it has none."""
    for group in tree.iterfind("resources/*"):
        if group.get("id") == element.get("pid") and group.tag in ("basematerials", "colorgroup"):
            entries = list(group)
            text = [e.get("displaycolor") or e.get("color") or "" for e in entries]
            index = int(element.get("pindex", "0"))
            digits = text[index].lstrip("#") if 0 <= index < len(text) else ""
            if len(digits) in (6, 8):
                return np.frombuffer(bytes.fromhex(digits.ljust(8, "f")), np.uint8)
    return None
