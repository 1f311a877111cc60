"""A user's folder of objects: which of its files are objects, and where they went when it moved."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sysconfig
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from sim.errors import InputError
from sim.objects.collections import object_names
from sim.objects.reading.scenes import MESH_SUFFIXES
from sim.objects.settings import ObjectSource
from sim.objects.urdf import mesh_files

_PLACES = ("path", "root")  # arguments of a loader that are places
_PACKAGE = "package:"  # before the path of files that come with an installed package
_NEAR = 2  # folders that objects and data set may lie below the one that holds both
_NAMED = 8  # objects that are named with what is doubtful about them
_EXPORT = "it is not read; export it as GLB, OBJ or STL"
_SDF = "SDF is not read; give a URDF or the bare mesh"
_MUJOCO = "MuJoCo's models are not read; give a URDF or the bare mesh"
# Files of objects that are not read, with what to do about them.
OTHER = {
    ".xacro": "it is a xacro file; expand it first: xacro FILE > FILE.urdf",
    ".sdf": _SDF,
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


def find_objects(folder: Path, pattern: str) -> tuple[dict[str, Path], dict[str, str]]:
    """Returns the URDFs and the meshes that belong to none of them, by name, and why other files are no objects.

    Objects that are not read (``OTHER``) count where names are given: a data set knows its objects by these names.

    Args:
        folder: Folder of the objects.
        pattern: Glob of the files to look at.

    Returns:
        The files, sorted; and the reasons by the paths of the others within the folder.

    Raises:
        InputError: The pattern leads out of the folder, or there is nothing that could be an object.
    """
    try:
        if ".." in Path(pattern).parts:
            raise ValueError("it leads out of it")
        found = sorted(f for f in _matches(folder, pattern) if not f.name.startswith("."))
    except (ValueError, NotImplementedError) as error:
        raise InputError(f"objects.pattern '{pattern}' is no glob within the folder: {error}") from error
    urdfs = [f for f in found if f.suffix.lower() == ".urdf"]
    beside = {f.parent for f in urdfs}
    named: set[Path] = set()
    for urdf in urdfs:
        with contextlib.suppress(InputError):  # raised again where the object is used
            named |= mesh_files(urdf)
    bare = [f for f in found if f.suffix.lower() in MESH_SUFFIXES]
    bare = [f for f in bare if f.parent not in beside and f.resolve() not in named]
    reasons = {f: reason for f in found if (reason := _unread(f, bare))}
    if not (urdfs or bare or reasons):
        what = ", ".join(MESH_SUFFIXES[:-1])
        raise InputError(f"object folder {folder} holds no .urdf, {what} or {MESH_SUFFIXES[-1]} file ('{pattern}')")
    reasons |= dict.fromkeys(_broken_links(folder, pattern), "it is a link to nothing")
    objects, other = sorted(urdfs + bare), [f for f in found if f.suffix.lower() in OTHER]
    names = object_names(folder, objects + other)[: len(objects)]
    lacking = {f.relative_to(folder).as_posix(): reason for f, reason in reasons.items()}
    return dict(zip(names, objects, strict=True)), lacking


def _unread(file: Path, bare: Sequence[Path]) -> str:
    """Returns why a file is no object; "" for an object, and for what has nothing to do with objects.

    Args:
        file: File.
        bare: Meshes that are taken as objects.
    """
    kind = file.suffix.lower()
    reason = _MUJOCO if kind == ".xml" and _is_mujoco(file) else OTHER.get(kind, "")
    if reason not in (_MUJOCO, _SDF):
        return reason
    parts = [mesh for mesh in bare if file.parent in mesh.parents]
    if not parts:
        return reason
    return (
        f"{reason}; meshes beside it are taken one by one, without the scale and the places that it gives them "
        f"({len(parts)} here); to take only some, give objects.pattern=**/{parts[0].name}"
    )


def _is_mujoco(file: Path) -> bool:
    """Returns whether an XML file is a MuJoCo model, or a part of one."""
    try:
        _, root = next(ElementTree.iterparse(file, events=("start",)))
    except (OSError, ValueError, LookupError, StopIteration, ElementTree.ParseError):
        return False
    return str(root.tag) in ("mujoco", "mujocoinclude")


def _matches(folder: Path, pattern: str) -> set[Path]:
    """Returns the files of a glob, those in linked folders among them, which a glob's "**" leaves out; no loops."""
    seen, places, found = set[Path](), [folder], set[Path]()
    while places:
        place = places.pop()
        if place.resolve() in seen:
            continue
        seen.add(place.resolve())
        hits = list(place.glob(pattern))
        found |= {hit for hit in hits if hit.is_file()}
        if pattern.startswith("**/"):
            places += [link for link in place.rglob("*") if link.is_symlink() and link.is_dir()]
    return found


def _broken_links(folder: Path, pattern: str) -> list[Path]:
    """Returns the meshes and URDFs of a glob in a folder that are links to files that are not there."""
    kinds = (".urdf", *MESH_SUFFIXES)
    return sorted(f for f in folder.glob(pattern) if f.suffix.lower() in kinds and f.is_symlink() and not f.exists())


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


def kept_source(source: ObjectSource, folder: Path) -> ObjectSource:
    """Returns how a set was made as a folder keeps it, so that it opens where both have moved together.

    Places near the folder become relative to it, those in an installed package "package:NAME/..."; foreign ones stay.

    Args:
        source: How the set was made.
        folder: Folder that keeps it, a data set's.
    """
    places = {name: _kept(str(place), folder) for name, place in _places(source).items()}
    return replace(source, arguments={**source.arguments, **places})


def _places(source: ObjectSource) -> dict[str, str]:
    return {n: str(source.arguments[n]) for n in _PLACES if isinstance(source.arguments.get(n), str)}


def _kept(place: str, folder: Path) -> str:
    if not os.path.isabs(place):
        return place
    place, folder = os.path.abspath(place), Path(os.path.abspath(folder))
    real = folder.resolve()
    if Path(os.path.normpath(real / os.path.relpath(place, folder))).resolve() != Path(place).resolve():
        folder = real  # a link to it lies at another depth: what counts is where it lies itself
    for packages in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        if Path(place).is_relative_to(packages):
            return _PACKAGE + Path(place).relative_to(packages).as_posix()
    both = os.path.commonpath([place, folder])
    near = both != os.sep and len(folder.relative_to(both).parts) <= _NEAR
    return Path(os.path.relpath(place, folder)).as_posix() if near else place


def found_sources(source: ObjectSource, folder: Path) -> list[ObjectSource]:
    """Returns how a set was made, its places absolute, as they are found today: the likeliest first.

    There are two where a link leads to the folder and the same words name a place from either end of it: a former plgp
    noted places as seen from the link. A place that is gone is looked for by its last names beside the folder and those
    above it, and where the program runs.

    Args:
        source: How the set was made, as ``folder`` keeps it.
        folder: Folder that keeps it.
    """
    found = {name: _found(place, Path(os.path.abspath(folder))) for name, place in _places(source).items()}
    return [
        replace(source, arguments={**source.arguments, **{n: str(p[min(i, len(p) - 1)]) for n, p in found.items()}})
        for i in range(max(map(len, found.values()), default=1))
    ]


def _found(place: str, folder: Path) -> list[Path]:
    if place.startswith(_PACKAGE):
        name, _, rest = place.removeprefix(_PACKAGE).partition("/")
        spec = importlib.util.find_spec(name) if name.isidentifier() else None
        homes = list(spec.submodule_search_locations or ()) if spec is not None else []
        return [Path(homes[0], rest) if homes else Path(place)]
    first = Path(os.path.normpath(folder / place))
    real = Path(os.path.normpath(folder.resolve() / place))  # where the folder itself lies, not a link to it
    if real.exists() and not (first.exists() and first.samefile(real)):
        return [real, first] if first.exists() else [real]
    names = [part for part in Path(place).parts if part not in ("..", os.sep)]
    above = [folder, *list(folder.parents)[:_NEAR], Path.cwd()]
    guesses = [home.joinpath(*names[start:]) for start in range(len(names)) for home in above]
    return [next((guess for guess in (first, *guesses) if guess.exists()), first)]


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
