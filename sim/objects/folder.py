"""A user's folder of objects: which of its files are objects, and where they went when it moved."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from sim.errors import InputError
from sim.objects.reading.scenes import MESH_SUFFIXES
from sim.objects.settings import ObjectSource
from sim.objects.urdf import mesh_files

_NAMED = 8  # objects that are named with what is doubtful about them
_EXPORT = "it is not read; export it as GLB, OBJ or STL"
# Files of objects that are not read, with what to do about them.
OTHER = {
    ".xacro": "it is a xacro file; expand it first: xacro FILE > FILE.urdf",
    ".sdf": "SDF is not read; give a URDF or the bare mesh",
    ".gz": "it is compressed; unpack it first: gunzip FILE",
    ".zip": "it is an archive; unpack it first: unzip FILE",
    ".step": _EXPORT,
    ".stp": _EXPORT,
    ".iges": _EXPORT,
    ".igs": _EXPORT,
    ".fbx": _EXPORT,
    ".blend": _EXPORT,
    ".3ds": _EXPORT,
    ".wrl": _EXPORT,
    ".x3d": _EXPORT,
    ".usd": _EXPORT,
    ".usda": _EXPORT,
    ".usdc": _EXPORT,
    ".usdz": _EXPORT,
    ".skp": _EXPORT,
    ".f3d": _EXPORT,
    ".sldprt": _EXPORT,
}


def find_objects(folder: Path, pattern: str) -> list[Path]:
    """Returns the URDFs and the meshes that belong to none of them, sorted. Raises InputError."""
    try:
        if ".." in Path(pattern).parts:
            raise ValueError("it leads out of it")
        found = sorted(f for f in folder.glob(pattern) if f.is_file() and not f.name.startswith("."))
    except (ValueError, NotImplementedError) as error:
        raise InputError(f"objects.pattern '{pattern}' is no glob within the folder: {error}") from error
    urdfs = [f for f in found if f.suffix.lower() == ".urdf"]
    beside = {f.parent for f in urdfs}
    named: set[Path] = set()
    for urdf in urdfs:
        with contextlib.suppress(InputError):  # raised again where the object is used
            named |= mesh_files(urdf)
    bare = [f for f in found if f.suffix.lower() in MESH_SUFFIXES]
    other = [f for f in found if f.suffix.lower() in OTHER]
    result = sorted(urdfs + other + [f for f in bare if f.parent not in beside and f.resolve() not in named])
    if not result:
        what = ", ".join(MESH_SUFFIXES[:-1])
        raise InputError(f"object folder {folder} holds no .urdf, {what} or {MESH_SUFFIXES[-1]} file ('{pattern}')")
    return result


def moved(source: ObjectSource, folder: Path) -> dict[str, str]:
    """Returns the arguments of a loader that say where its files are, for another place of them.

    Args:
        source: How the set was made.
        folder: Folder of the objects today, or of an object or a list that is a single file.
    """
    if source.loader != "from_list":
        return {"path": str(folder)}
    name = Path(source.arguments["path"])
    if folder.is_file():
        return {"path": str(folder)}
    lists = [folder / name.name, name]
    path = next((p for p in lists if p.is_file()), lists[0])
    return {"path": str(path), "root": str(folder)}


def told_doubts(notes: Mapping[str, Sequence[str]]) -> str:
    """Returns what is doubtful about objects in one sentence, the same words once; "" where nothing is.

    Args:
        notes: What is doubtful about each object, by name.
    """
    names: dict[str, list[str]] = {}
    for name, told in notes.items():
        for note in filter(None, told):
            names.setdefault(note, []).append(name)
    more = {note: f" and {len(who) - _NAMED} more" if len(who) > _NAMED else "" for note, who in names.items()}
    return "; ".join(f"{', '.join(who[:_NAMED])}{more[note]}: {note}" for note, who in names.items())
