"""URDFs of the wild made fit for PyBullet: copies in the cache."""

from __future__ import annotations

import hashlib
from pathlib import Path

from sim.errors import InputError
from sim.files import checksum
from sim.objects.surfaces import load_surface
from sim.objects.urdf import check_urdf, needs_copy, write_copy


def usable_urdf(urdf: Path, cache: Path) -> Path:
    """Returns a URDF that is whole and whose files Bullet finds: itself, or its copy in the cache.

    Args:
        urdf: File of the object.
        cache: Folder of the copies.

    Raises:
        InputError: The file is no single rigid body, or one of its meshes is missing or broken.
    """
    check_urdf(urdf)
    load_surface(urdf, 1.0)
    if not needs_copy(urdf):
        return urdf
    name = hashlib.sha256(f"{urdf}\n{checksum(urdf)}".encode()).hexdigest()[:32]
    copy = cache / f"urdf-{name}" / urdf.name
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        write_copy(urdf, copy)
    except OSError as error:
        raise InputError(f"its copy for the physics cannot be written to {copy} ({error.strerror})") from error
    return copy
