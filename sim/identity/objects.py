"""The meshes of objects by content: what a URDF names, but does not hold."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from sim.files import checksum
from sim.objects.object_set import ObjectModel
from sim.objects.urdf import mesh_files


def digest_meshes(models: Sequence[ObjectModel]) -> str:
    """Returns the SHA-256 of the mesh files that the objects' URDFs name, hexadecimal; "" where none of them decides.

    PyBullet's own objects do not count: they change with PyBullet's version alone. An object made of a bare mesh counts
    by that mesh and by how it was made. A file that is not there counts as such. Names of files do not count.

    Args:
        models: Objects, in an order that counts.

    Raises:
        InputError: A URDF cannot be read.
    """
    found = [_contents(model) for model in models]
    return hashlib.sha256(json.dumps(found).encode()).hexdigest() if any(found) else ""


def _contents(model: ObjectModel) -> list[str]:
    """Returns what tells an object's meshes from others."""
    if _comes_with_pybullet(model.urdf):
        return []
    if model.own_inertia:  # made of a bare mesh; the folder in the cache is named by all that shaped it
        return [model.urdf.parent.name]
    return sorted(_content(path) for path in mesh_files(model.urdf))


def _content(path: Path) -> str:
    """Returns the checksum of a file, kept until the file changes."""
    try:
        about = path.stat()
        return _checksum(path, about.st_mtime_ns, about.st_size, about.st_ino)
    except OSError:
        return "not there"


@lru_cache(maxsize=10_000)
def _checksum(path: Path, changed: int, size: int, node: int) -> str:
    return checksum(path)


def _comes_with_pybullet(urdf: Path) -> bool:
    import pybullet_data

    return Path(pybullet_data.getDataPath()) in urdf.parents
