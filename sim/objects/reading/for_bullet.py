"""Meshes that a URDF collides with, written as the OBJ that Bullet reads.

Bullet reads OBJ, binary STL and DAE. Of an ASCII STL, or an OBJ with a byte order mark, it makes a body without any
shape, and says nothing; a PLY ends the program that loads it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trimesh

from sim.objects.reading.scenes import read_scene
from sim.objects.reading.stl import bullet_reads_stl
from sim.objects.reading.wavefront import bullet_reads_obj

_PARTS = 64  # convex shapes of one file; of more, all become one


def bullet_reads(path: Path) -> bool:
    """Returns whether Bullet reads a mesh file as it is meant.

    A DAE does not count: Bullet's reader of it is another than the cameras'.
    """
    data, suffix = path.read_bytes(), path.suffix.lower()
    return (suffix == ".stl" and bullet_reads_stl(data)) or (suffix == ".obj" and bullet_reads_obj(data))


def solid_parts(path: Path) -> list[trimesh.Trimesh]:
    """Returns the meshes that a file places, of which Bullet makes each convex.

    Args:
        path: Mesh file.

    Raises:
        InputError: It is missing, cannot be read, or holds no triangles.
    """
    scene = read_scene(path).scene
    joined: Any = trimesh.util.concatenate
    parts: Any = [part for part in scene.dump() if isinstance(part, trimesh.Trimesh) and len(part.faces)]
    if path.suffix.lower() == ".obj":  # its groups are lost with its materials: what hangs together is a part
        parts = list(joined(parts).split(only_watertight=False))
    return list(parts) if len(parts) <= _PARTS else [joined(parts)]
