"""GLB and glTF files: what they name is there, and what they count they hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from sim.errors import InputError

_PACKED = {"KHR_draco_mesh_compression": "Draco", "EXT_meshopt_compression": "meshopt"}


def check_gltf(data: bytes, folder: Path) -> None:
    """Checks a GLB or glTF file before it is read.

    Args:
        data: Content of the file, without a byte order mark.
        folder: Folder of the files that it names.

    Raises:
        InputError: It is cut off, is compressed, is of the first version, lacks a file that it names, or counts more
            than it holds; the sentence lacks the file's name.
    """
    text, held = _json_of_glb(data) if data.startswith(b"glTF") else (data, 0)
    try:
        content = json.loads(text)
        version = str(content["asset"]["version"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError("is no glTF: its JSON is broken; export it again") from error
    if not version.startswith("2"):
        raise InputError(f"is glTF {version}; export it as glTF 2.0")
    needed = content.get("extensionsRequired") or []
    for extension, name in _PACKED.items():
        if extension in needed:
            raise InputError(f"is compressed by {name}; export it without compression")
    try:
        for buffer in content.get("buffers", []):
            held += _held(buffer.get("uri"), folder)
        _check_counts(content, held)
        _check_nodes(content.get("nodes", []))
    except InputError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        raise InputError("is no glTF: its JSON is broken; export it again") from error


def _json_of_glb(data: bytes) -> tuple[bytes, int]:
    """Returns the JSON of a GLB and the number of bytes behind it; raises InputError."""
    version, length, chunk = (int.from_bytes(data[i : i + 4], "little") for i in (4, 8, 12))
    if version != 2:
        raise InputError(f"is glTF {version}; export it as glTF 2.0")
    if length > len(data) or 20 + chunk > len(data):
        raise InputError(f"is cut off: its header asks for {length} bytes, it holds {len(data)}; export it again")
    return data[20 : 20 + chunk], len(data) - 20 - chunk


def _held(uri: str | None, folder: Path) -> int:
    """Returns the size of a buffer that lies outside of the GLB, bytes; raises InputError where it is missing."""
    if uri is None:
        return 0
    if uri.startswith("data:"):
        return len(uri)
    file = folder / unquote(uri)
    if not file.is_file():
        raise InputError(f"names {unquote(uri)[:200]}, which is not there; copy it beside, or export one GLB")
    return file.stat().st_size


def _check_counts(content: dict[str, Any], held: int) -> None:
    """Raises InputError where accessors count more elements than the buffers have bytes."""
    counts = [accessor["count"] for accessor in content.get("accessors", [])]
    counts += [accessor["sparse"]["count"] for accessor in content.get("accessors", []) if "sparse" in accessor]
    if any(not isinstance(count, int) or not 0 <= count <= held for count in counts):
        raise InputError(f"counts more than the {held} bytes that it holds; export it again")


def _check_nodes(nodes: list[dict[str, Any]]) -> None:
    """Raises InputError where nodes are no forest: a child that is not there, that has two parents, or a circle."""
    parents: dict[int, int] = {}
    for parent, node in enumerate(nodes):
        for child in node.get("children", []):
            if not isinstance(child, int) or not 0 <= child < len(nodes) or child in parents:
                raise InputError("has nodes that are no tree; export it again")
            parents[child] = parent
    rooted: set[int] = set()
    for start in range(len(nodes)):
        way: list[int] = []
        while start in parents and start not in rooted:
            rooted.add(start)
            way.append(start)
            start = parents[start]
        if start in way:
            raise InputError("has nodes that are their own parents; export it again")
