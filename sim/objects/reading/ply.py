"""PLY files: the header held against what follows, polygons cut into triangles.

Source: G. Turk, "The PLY Polygon File Format", 1994.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError
from sim.objects.reading.content import check_commas
from sim.objects.reading.triangulate import cut_polygons

_TYPES = {"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4"}
_TYPES |= {"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4", "float32": "f4"}
_TYPES |= {"double": "f8", "float64": "f8", "int64": "i8", "uint64": "u8"}
_LISTS = ("vertex_indices", "vertex_index")


@dataclass(frozen=True)
class _Element:
    """A kind of element in the header.

    Attributes:
        name: Name, such as "vertex".
        count: Number of elements.
        properties: Words of each of its properties, without the first: ("float", "x"), ("list", "uchar", "int", "i").
    """

    name: str
    count: int
    properties: list[tuple[str, ...]]

    @property
    def least(self) -> int:
        """Bytes of one element whose lists are empty."""
        return sum(np.dtype(_type(p[1] if p[0] == "list" else p[0])).itemsize for p in self.properties)

    @property
    def has_lists(self) -> bool:
        """Whether elements may differ in size."""
        return any(p[0] == "list" for p in self.properties)


def plain_ply(data: bytes) -> bytes:
    """Returns a PLY's content with triangles for faces; the same bytes where it has no others.

    Polygons of a file whose faces have more properties than their list lose those.

    Raises:
        InputError: It holds no faces, or less than its header says; the sentence lacks the file's name.
    """
    end = re.search(rb"end_header[ \t]*(\r\n|\n|\r)", data[:100_000])
    if not data.startswith(b"ply") or end is None:
        raise InputError("is no PLY: its header is missing; export it again")
    header, body = data[: end.start()].decode("latin-1"), data[end.end() :]
    elements = _elements(header)
    counts = {element.name: element.count for element in elements}
    if not counts.get("face"):
        if counts.get("tristrips"):
            raise InputError("keeps its triangles as strips; save it with faces, for example with MeshLab")
        raise InputError(f"is a cloud of {counts.get('vertex', 0)} points without faces; make a mesh of it first")
    kind = next((line.split()[1] for line in header.splitlines() if line.split()[:1] == ["format"]), "")
    order = "" if kind == "ascii" else ">" if kind == "binary_big_endian" else "<"
    if not order:
        check_commas(body[:1000].decode("latin-1").split())
    held = len(body) if order else len(body.split())
    wanted = sum(element.count * (element.least if order else len(element.properties)) for element in elements)
    if held < wanted:
        unit = "bytes" if order else "words"
        raise InputError(f"is cut off: its header asks for {wanted} {unit}, it holds {held}; export it again")
    names = [element.name for element in elements]
    if names[:2] != ["vertex", "face"] or elements[0].has_lists:
        return data  # an order that trimesh reads or refuses
    try:
        lists = _binary_lists(body, elements, order) if order else _ascii_lists(body, elements)
        if lists is None:
            return data
        return _with_triangles(header, elements[0], *lists, order=order)
    except (ValueError, IndexError, OverflowError) as error:
        raise InputError(f"is cut off or broken ({error}); export it again") from error


def _elements(header: str) -> list[_Element]:
    """Returns the elements that a header describes; raises InputError."""
    elements: list[_Element] = []
    for words in (line.split() for line in header.splitlines()):
        if words[:1] == ["element"] and len(words) == 3 and words[2].isdigit():
            elements.append(_Element(words[1], int(words[2]), []))
        elif words[:1] == ["property"] and elements:
            if len(words) < 3 or (words[1] == "list" and len(words) < 5):
                raise InputError(f"has a header that is broken ('{' '.join(words)[:80]}'); export it again")
            elements[-1].properties.append(tuple(words[1:]))
    return elements


def _type(word: str) -> str:
    """Returns numpy's name of a PLY's type, without its order of bytes; raises InputError."""
    if word not in _TYPES:
        raise InputError(f"has a property of the type '{word[:40]}', which PLY does not know; export it again")
    return _TYPES[word]


Lists = tuple[
    bytes, NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]
]  # vertices' bytes, counts, corners, places


def _binary_lists(body: bytes, elements: list[_Element], order: str) -> Lists | None:
    """Returns the vertices and the faces of a binary body; None where all faces are triangles. Raises ValueError."""
    vertex, face = elements[:2]
    fields = np.dtype([(p[-1], order + _type(p[0])) for p in vertex.properties])
    start = vertex.count * fields.itemsize
    before, column, after = _around(face)
    if column is None:
        return None
    width = sum(np.dtype(_type(p[0])).itemsize for p in before)
    count_type, type_ = (np.dtype(order + _type(word)) for word in column[1:3])
    step = width + count_type.itemsize + 3 * type_.itemsize + sum(np.dtype(_type(p[0])).itemsize for p in after)
    if start + face.count * step <= len(body):
        rows = np.frombuffer(body, np.uint8, face.count * step, start).reshape(-1, step)
        sizes = rows[:, width : width + count_type.itemsize].copy().view(count_type)
        if (sizes == 3).all():
            return None
    tail = sum(np.dtype(_type(p[0])).itemsize for p in after)
    counts, corners, place = [], [], start
    for _ in range(face.count):
        place += width
        (size,) = np.frombuffer(body, count_type, 1, place)
        place += count_type.itemsize
        corners.append(np.frombuffer(body, type_, int(size), place))
        counts.append(int(size))
        place += int(size) * type_.itemsize + tail
    table = np.frombuffer(body, fields, vertex.count)
    places = np.stack([table[axis].astype(np.float64) for axis in "xyz"], axis=1)
    return body[:start], np.array(counts), np.concatenate(corners).astype(np.int64), places


def _around(face: _Element) -> tuple[list[tuple[str, ...]], tuple[str, ...] | None, list[tuple[str, ...]]]:
    """Returns a face's properties before its list of vertices, the list, and those behind; no list beside others."""
    lists = [i for i, p in enumerate(face.properties) if p[0] == "list"]
    if len(lists) != 1 or face.properties[lists[0]][-1] not in _LISTS:
        return [], None, []
    return face.properties[: lists[0]], face.properties[lists[0]], face.properties[lists[0] + 1 :]


def _ascii_lists(body: bytes, elements: list[_Element]) -> Lists | None:
    """Returns the vertices and the faces of an ASCII body; None where all faces are triangles. Raises ValueError."""
    vertex, face = elements[:2]
    before, column, _ = _around(face)
    lines = [line for line in body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n") if line.strip()]
    if len(lines) < vertex.count + face.count:
        raise ValueError(f"its header asks for {vertex.count + face.count} lines, it holds {len(lines)}")
    rows = [line.split()[len(before) :] for line in lines[vertex.count : vertex.count + face.count]]
    if column is None or all(row[0] == b"3" and len(row) > 3 for row in rows):
        return None
    polygons = [[int(word) for word in row[1 : 1 + int(row[0])]] for row in rows]
    if any(len(polygon) != int(row[0]) for polygon, row in zip(polygons, rows, strict=True)):
        raise ValueError("a face lacks a corner")
    order = [p[-1] for p in vertex.properties]
    table = [[float(line.split()[order.index(axis)]) for axis in "xyz"] for line in lines[: vertex.count]]
    corners = np.array([corner for polygon in polygons for corner in polygon], np.int64)
    counts = np.array([len(polygon) for polygon in polygons], np.int64)
    return b"\n".join(lines[: vertex.count]) + b"\n", counts, corners, np.array(table).reshape(-1, 3)


def _with_triangles(
    header: str,
    vertex: _Element,
    vertices: bytes,
    counts: NDArray[np.int64],
    corners: NDArray[np.int64],
    places: NDArray[np.float64],
    *,
    order: str,
) -> bytes:
    """Returns a PLY of the same vertices whose faces are triangles; raises ValueError."""
    if len(corners) and not 0 <= corners.min() <= corners.max() < len(places):
        raise ValueError(f"a face names vertex {corners.max()} of {len(places)}")
    triangles = corners[cut_polygons(counts, places[corners])]
    lines = [line for line in header.splitlines() if line.split()[:1] in (["ply"], ["format"])]
    lines += [line for line in header.splitlines() if line.startswith("comment TextureFile")]
    lines += [f"element vertex {vertex.count}", *(f"property {' '.join(p)}" for p in vertex.properties)]
    lines += [f"element face {len(triangles)}", "property list uchar int vertex_indices", "end_header\n"]
    head = "\n".join(lines).encode("latin-1")
    if not order:
        return head + vertices + "".join(f"3 {a} {b} {c}\n" for a, b, c in triangles).encode()
    table = np.zeros(len(triangles), [("count", "u1"), ("corners", order + "i4", 3)])
    table["count"], table["corners"] = 3, triangles
    return head + vertices + table.tobytes()
