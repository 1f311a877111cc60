"""OBJ files of every dialect, rewritten as the plain OBJ that all readers agree on."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError
from sim.files import decoded
from sim.objects.reading.content import check_commas
from sim.objects.reading.triangulate import split_polygon

# What trimesh or Bullet read wrongly or not at all: marks, lone returns, continued lines, tabs, leading blanks,
# comments behind data, capital or old keywords, counts backwards or from 0, slashes without a number, commas,
# Fortran's exponents, a fourth coordinate, and polygons, which trimesh cuts as if they were convex.
_ODD = re.compile(
    rb"\A(\xef\xbb\xbf|\xff\xfe|\xfe\xff)|\r(?!\n)|\\\r?\n|\t|^ |^[^\s#][^\n#]*#|^(V|VN|VT|F|fo) "
    rb"|^f .*(?<![\w.])-\d|^f (.* )?0\b|^f .*/(\s|$)|^v .*(,|;|\d[dD])|^v( +[^\s]+){4}\s*$|^f( +[^\s]+){4}",
    re.MULTILINE,
)
# The part of it that Bullet reads wrongly: some of the shape is lost, or all of it, without a word.
_BULLET_ODD = re.compile(
    rb"\A(\xef\xbb\xbf|\xff\xfe|\xfe\xff)|\r(?!\n)|\\\r?\n|^[ \t]*[^\s#][^\n#]*#|^[ \t]*(V|VN|VT|F|fo)[ \t]"
    rb"|^[ \t]*f .*/(\s|$)|^[ \t]*v\s.*(\d[dD]|nan|inf|NaN|Inf|NAN|INF)|^[ \t]*v([ \t]+[^\s]+){4}\s*$",
    re.MULTILINE,
)
_KEYWORDS = {"fo": "f"}
_NAMES = frozenset(("mtllib", "usemtl", "o", "g"))


def bullet_reads_obj(data: bytes) -> bool:
    """Returns whether Bullet reads an OBJ as it is meant."""
    return not _BULLET_ODD.search(data)


def plain_obj(data: bytes) -> bytes:
    """Returns an OBJ's content as plain OBJ; the same bytes where it is plain already.

    Indices count forwards, each line stands alone, and comments behind data are gone. Groups, objects and materials
    keep their order. A vertex's fourth coordinate divides the others, as the format says. Polygons that are not
    convex are cut into triangles within them.

    Raises:
        InputError: Coordinates have decimal commas, or faces name vertices that are not there; the sentence lacks the
            file's name.
    """
    if not _ODD.search(data):
        return data
    lines = re.sub(r"\\\n", " ", decoded(data)).split("\n")
    counts, result = {"v": 0, "vt": 0, "vn": 0}, []
    rows = [line.partition("#")[0].split()[1:] for line in lines if line.split(None, 1)[:1] in (["v"], ["V"])]
    rows = [_coordinates(row) for row in rows]
    places = _places(rows)
    for line in lines:
        keyword, _, rest = line.strip().replace("\t", " ").partition(" ")
        low = _KEYWORDS.get(keyword.lower(), keyword.lower())
        words = rest.partition("#")[0].split()
        if low in _NAMES:  # a name may hold a number sign
            result.append(f"{low} {rest.strip()}")
        elif low == "v":
            result.append("v " + " ".join(rows[counts["v"]]))
        elif low in counts:
            result.append(f"{low} " + " ".join(words))
        elif low == "f":
            corners = [_corner(word, counts, len(rows)) for word in words]
            result += [f"f {' '.join(face)}" for face in _convex_faces(corners, places)]
        if low in counts:
            counts[low] += 1
    return ("\n".join(result) + "\n").encode()


def _places(rows: list[list[str]]) -> NDArray[np.float64]:
    """Returns the (V, 3) places of vertices; zeros where one of them is no place, which the reader will say."""
    try:
        return np.array([row[:3] for row in rows], np.float64).reshape(-1, 3)
    except ValueError:
        return np.zeros((len(rows), 3))


def _convex_faces(corners: list[str], places: NDArray[np.float64]) -> list[list[str]]:
    """Returns a face as it is, or as triangles where it is not convex; nothing of a face of fewer than 3 corners."""
    if len(corners) <= 3:
        return [corners] if len(corners) == 3 else []
    around = places[[int(corner.partition("/")[0]) - 1 for corner in corners]]
    triangles = split_polygon(around)
    if triangles == [(0, i, i + 1) for i in range(1, len(corners) - 1)]:
        return [corners]
    return [[corners[i] for i in triangle] for triangle in triangles]


def _coordinates(words: list[str]) -> list[str]:
    """Returns a vertex's numbers, divided by its fourth coordinate where it has one. Raises InputError."""
    check_commas(words)
    words = [re.sub("[dD]", "e", word) for word in words]
    if len(words) == 4:
        try:
            *place, weight = (float(word) for word in words)
        except ValueError:
            return words
        if weight not in (0.0, 1.0):
            return [repr(value / weight) for value in place]
        return words[:3]
    return words


def _corner(word: str, counts: dict[str, int], total: int) -> str:
    """Returns a corner of a face with indices that count forwards; raises InputError.

    Args:
        word: Corner, v, v/vt, v//vn or v/vt/vn.
        counts: Numbers of vertices, texture coordinates and normals so far; indices below 0 count back from here.
        total: Number of vertices in the whole file.
    """
    parts = word.split("/")
    numbers = []
    for part, count in zip(parts, counts.values(), strict=False):
        try:
            number = int(part) if part else None
        except ValueError as error:
            raise InputError(f"has a face with the corner '{word}', which is no index; export it again") from error
        numbers.append("" if number is None else str(number if number >= 0 else count + 1 + number))
    if numbers[0] == "0":
        raise InputError("counts its vertices from 0; OBJ counts from 1: export it again")
    if not numbers[0] or not 0 < int(numbers[0]) <= total:
        raise InputError(f"has a face of vertex {parts[0]}, but {total} vertices; it is cut off or broken")
    return "/".join(numbers).rstrip("/")
