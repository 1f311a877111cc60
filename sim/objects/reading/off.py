"""OFF files of every dialect, rewritten as plain OFF."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError
from sim.files import decoded
from sim.objects.reading.content import check_commas
from sim.objects.reading.triangulate import cut_polygons

_OFF_EXTRA = {"n": 3, "st": 2}  # numbers of a vertex beside its place and colour: normal, texture coordinates


def plain_off(data: bytes) -> tuple[bytes, NDArray[np.float64] | None]:
    """Returns an OFF's content as plain OFF, and the (V, 3) colours of its vertices in [0, 1] where it has any.

    The first word may be left out, and may say that normals, colours or texture coordinates follow each vertex.

    Raises:
        InputError: It is binary, of another dimension, or cut off; the sentence lacks the file's name.
    """
    text = re.sub(r"#[^\n]*", "", decoded(data))
    match = re.match(r"\s*(st)?(c)?(n)?(4)?(n)?off\b|\s*(st)?(c)?(n)?(4)?(n)?off(?=\d)", text, re.IGNORECASE)
    word = match.group().strip().lower() if match else ""
    rest = text[match.end() :] if match else text
    if rest.lstrip().lower().startswith("binary"):
        raise InputError("is a binary OFF; save it as text OFF, or as PLY")
    if "4" in word or ("noff" in word and word.count("n") > 1):
        raise InputError("is an OFF of more than three dimensions; export it as three")
    lines = [line for line in rest.split("\n") if line.strip()]
    counts = lines[0].split() if lines else []
    if len(counts) < 2 or not all(count.isdigit() for count in counts[:2]):
        raise InputError("is no OFF: the line of its counts is missing; export it again")
    vertices, faces = int(counts[0]), int(counts[1])
    if len(lines) <= vertices + faces:
        said = f"its header asks for {vertices} vertices and {faces} faces"
        raise InputError(f"is cut off: {said}, {len(lines) - 1} lines follow; export it again")
    rows = [line.split() for line in lines[1 : vertices + 1]]
    check_commas([word for row in rows[:100] for word in row])
    triangles = _off_triangles(rows, lines[vertices + 1 : vertices + 1 + faces])
    plain = ["OFF", f"{vertices} {len(triangles)} 0", *(" ".join(row[:3]) for row in rows), *triangles]
    skipped = 3 + sum(count for mark, count in _OFF_EXTRA.items() if mark in word.replace("off", ""))
    return ("\n".join(plain) + "\n").encode(), _off_colours(rows, skipped) if word.startswith(("c", "stc")) else None


def _off_triangles(rows: list[list[str]], faces: list[str]) -> list[str]:
    """Returns an OFF's faces as lines of triangles; raises InputError."""
    try:
        places = np.array([row[:3] for row in rows], np.float64).reshape(-1, 3)
        polygons = [[int(word) for word in words[1 : 1 + int(words[0])]] for words in map(str.split, faces)]
        corners = np.array([corner for polygon in polygons for corner in polygon], np.int64)
        if len(corners) and not 0 <= corners.min() <= corners.max() < len(places):
            raise ValueError(f"a face names vertex {corners.max()} of {len(places)}")
        triangles = cut_polygons(np.array([len(polygon) for polygon in polygons], np.int64), places[corners])
    except (ValueError, OverflowError) as error:
        raise InputError(f"is broken ({error}); export it again") from error
    return [f"3 {a} {b} {c}" for a, b, c in corners[triangles]]


def _off_colours(rows: list[list[str]], skipped: int) -> NDArray[np.float64] | None:
    """Returns the colours in [0, 1] behind the first numbers of each row; None where they are none."""
    try:
        colours = np.array([row[skipped : skipped + 3] for row in rows], np.float64)
    except ValueError:
        return None
    if colours.shape != (len(rows), 3) or not np.isfinite(colours).all():
        return None
    whole = all(word.isdigit() for row in rows for word in row[skipped : skipped + 3])
    return np.clip(colours / 255 if whole and colours.max() > 1 else colours, 0, 1)
