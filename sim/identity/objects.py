"""The meshes, materials and textures of objects by content: what a URDF names, but does not hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from sim.files import checksum
from sim.objects.mesh_file import companions
from sim.objects.object_set import ObjectModel
from sim.objects.urdf import mesh_files, read_base_link
from sim.objects.urdf_copy import known_mesh

Stamp = tuple[int, int, int]  # state of a file: time, size, node


def digest_meshes(models: Sequence[ObjectModel]) -> str:
    """Returns the SHA-256 of the mesh files that the objects' URDFs name, hexadecimal; "" where none of them decides.

    PyBullet's own objects do not count: they change with PyBullet's version alone. An object made of a bare mesh counts
    by that mesh and by how it was made. A file that is not there counts as such. Names of files do not count.
    A copy that was made for Bullet counts as it was while some textures were not found (``known_mesh``): data sets and
    results of that time are still known.

    Args:
        models: Objects, in an order that counts.

    Raises:
        InputError: A URDF cannot be read.
    """
    return _digest([_contents(model) for model in models])


def digest_looks(models: Sequence[ObjectModel]) -> str:
    """Returns the SHA-256 of the materials and textures that the objects' URDFs and their meshes name, hexadecimal.

    It is "" where there are none. PyBullet's own objects and those made of bare meshes do not count, as
    ``digest_meshes`` says; a file that is not there does not either.

    Args:
        models: Objects, in an order that counts.

    Raises:
        InputError: A URDF cannot be read.
    """
    return _digest([_looks(model) for model in models])


def _digest(found: list[list[str]]) -> str:
    """Returns the SHA-256 of what was found of each object, hexadecimal; "" where nothing was."""
    return hashlib.sha256(json.dumps(found).encode()).hexdigest() if any(found) else ""


def _looks(model: ObjectModel) -> list[str]:
    """Returns what tells an object's materials and textures from others."""
    if model.own_inertia or _comes_with_pybullet(model.urdf):
        return []
    urdf = model.original or model.urdf
    named = {part.texture for part in read_base_link(urdf).visuals if part.texture is not None}
    named.update(file for mesh in mesh_files(urdf) for file in _named(mesh))
    if any(known_mesh(mesh) != mesh for mesh in mesh_files(model.urdf)):  # which says nothing of where textures lie
        named |= mesh_files(urdf)
    return [_content(file) for file in sorted(named) if file.is_file()]  # two that change places count


def _named(mesh: Path) -> tuple[Path, ...]:
    """Returns the files that a mesh names, kept until the mesh and these change."""
    try:
        beside = _companions(mesh, _stamp(mesh))
        return _companions(mesh, _stamp(mesh), tuple(_stamp(file) for file in beside if file.is_file()))
    except OSError:
        return ()


@lru_cache(maxsize=10_000)
def _companions(mesh: Path, stamp: Stamp, beside: tuple[Stamp, ...] = ()) -> tuple[Path, ...]:
    return tuple(companions(mesh, mesh.read_bytes()))


def _stamp(path: Path) -> Stamp:
    about = path.stat()
    return about.st_mtime_ns, about.st_size, about.st_ino


def _contents(model: ObjectModel) -> list[str]:
    """Returns what tells an object's meshes from others."""
    if _comes_with_pybullet(model.urdf):
        return []
    if model.own_inertia:  # made of a bare mesh; the folder in the cache is named by all that shaped it
        return [model.urdf.parent.name]
    return sorted(_content(known_mesh(path)) for path in mesh_files(model.urdf))


def _content(path: Path) -> str:
    """Returns the checksum of a file, kept until the file changes."""
    try:
        return _checksum(path, _stamp(path))
    except OSError:
        return "not there"


@lru_cache(maxsize=10_000)
def _checksum(path: Path, stamp: Stamp) -> str:
    return checksum(path)


def _comes_with_pybullet(urdf: Path) -> bool:
    import pybullet_data

    return Path(pybullet_data.getDataPath()) in urdf.parents
