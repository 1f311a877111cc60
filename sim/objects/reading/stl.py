"""STL files, binary and ASCII, also those whose header lies about their length."""

from __future__ import annotations

import re

import numpy as np
import trimesh
from numpy.typing import NDArray

from sim.errors import InputError
from sim.files import decoded
from sim.objects.reading.content import check_commas

_HEADER = 84  # bytes: 80 of text, 4 of the number of triangles
_FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_CORNER = re.compile(r"\bvertex\s+([-+\w.,]*\d[-+\w.,]*|[-+]?(?:nan|inf)\w*)\s+(\S+)\s+(\S+)")


def read_stl(data: bytes) -> tuple[trimesh.Trimesh, tuple[str, ...]]:
    """Returns an STL's triangles and what is doubtful about the file.

    A file is binary where its length fits its header, or where it holds no ASCII facets. Solids that follow each
    other become one mesh.

    Raises:
        InputError: It is cut off, holds no facets, or has decimal commas; the sentence lacks the file's name.
    """
    solids = _binary_solids(data)
    if solids is None and re.search(rb"\bfacet\b.{0,400}?\bvertex\b", data[:5000].lower(), re.DOTALL):
        return _read_ascii(decoded(data).lower())
    notes: tuple[str, ...] = ()
    if solids is None:
        solids, notes = _binary_without_count(data)
    triangles = np.concatenate(solids).astype(np.float64)
    return _mesh(triangles), notes


def bullet_reads_stl(data: bytes) -> bool:
    """Returns whether Bullet reads an STL as it is meant: one binary solid, its header true, its numbers finite."""
    solids = _binary_solids(data)
    exact = solids is not None and len(solids) == 1 and len(data) == _HEADER + len(solids[0]) * _FACET.itemsize
    return exact and solids is not None and bool(np.isfinite(solids[0]).all())


def _binary_solids(data: bytes) -> list[NDArray[np.float32]] | None:
    """Returns the (F, 3, 3) corners of each solid of a binary file, None unless the headers fit its length."""
    solids, start = [], 0
    while start + _HEADER <= len(data):
        count = int.from_bytes(data[start + 80 : start + _HEADER], "little")
        start += _HEADER
        if not count or start + count * _FACET.itemsize > len(data):
            return None
        solids.append(np.frombuffer(data, _FACET, count, start)["corners"])
        start += count * _FACET.itemsize
    if not solids or (len(data) - start and any(data[start:].strip(b"\0 \r\n"))):
        return None
    return solids


def _binary_without_count(data: bytes) -> tuple[list[NDArray[np.float32]], tuple[str, ...]]:
    """Returns all triangles of a binary file whose header says another number; raises InputError."""
    if b"\0" not in data:
        raise InputError("holds no STL facets; export it again")
    said = int.from_bytes(data[80:_HEADER], "little")
    count, rest = divmod(max(len(data) - _HEADER, 0), _FACET.itemsize)
    if not count and not said:
        raise InputError("holds no triangles; export it again")
    if rest or not count:
        raise InputError(f"is cut off or broken: its header counts {said} triangles, it holds {count}; export it again")
    note = f"its header counts {said} triangles, the {count} that it holds were read"
    return [np.frombuffer(data, _FACET, count, _HEADER)["corners"]], (note,)


def _read_ascii(text: str) -> tuple[trimesh.Trimesh, tuple[str, ...]]:
    """Returns an ASCII file's triangles and what is doubtful about it; raises InputError."""
    text = re.sub(r"^\s*solid\b(?:(?!facet\s+normal)[^\n])*", "", text, flags=re.MULTILINE)  # its name may be any words
    words = [word for corner in _CORNER.findall(text) for word in corner]
    check_commas(words)
    try:
        numbers = np.array([float(word) for word in words])
    except ValueError as error:
        raise InputError(f"has a vertex that is no number ({error}); export it again") from error
    facets, whole = len(re.findall(r"\bfacet\s+normal\b", text)), len(numbers) // 9
    if len(numbers) % 9 or facets > whole:
        raise InputError(f"is cut off: facet {whole + 1} lacks a corner; export it again")
    ended = "endsolid" in text[-500:]
    return _mesh(numbers.reshape(-1, 3, 3)), () if ended else ("it ends without endsolid and may be cut off",)


def _mesh(triangles: NDArray[np.float64]) -> trimesh.Trimesh:
    """Returns (F, 3, 3) corners as a mesh whose triangles share no vertices."""
    return trimesh.Trimesh(triangles.reshape(-1, 3), np.arange(3 * len(triangles)).reshape(-1, 3), process=False)
