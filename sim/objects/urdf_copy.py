"""URDFs of the wild made fit for PyBullet: copies in the cache."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

import trimesh

from sim.errors import InputError
from sim.files import checksum
from sim.objects.mesh_file import companions, face_colours, one_mesh, resolve_textures, write_parts, write_visual
from sim.objects.reading.for_bullet import bullet_reads, solid_parts
from sim.objects.reading.scenes import read_scene
from sim.objects.surfaces import load_surface
from sim.objects.urdf import Replaced, check_urdf, needs_copy, read_base_link, write_copy

_LOOK = 3  # version of the meshes that are seen, to be raised when the same file would look otherwise
_BARE = "visual.bare.obj"  # beside ``visual.obj``: the mesh as it was written when its textures were not found


def usable_urdf(urdf: Path, cache: Path) -> Path:
    """Returns a URDF that is whole and whose files Bullet finds and reads: itself, or its copy in the cache.

    Args:
        urdf: File of the object.
        cache: Folder of the copies.

    Raises:
        InputError: The file is no single rigid body, or one of its meshes is missing or broken.
    """
    check_urdf(urdf)
    load_surface(urdf, 1.0)
    try:
        replaced = _replace_meshes(urdf, cache)
        if not needs_copy(urdf) and not replaced:
            return urdf
        name = hashlib.sha256(f"{urdf}\n{checksum(urdf)}".encode()).hexdigest()[:32]
        copy = cache / f"urdf-{name}" / urdf.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        write_copy(urdf, copy, replaced)
    except OSError as error:
        raise InputError(f"its copy for the physics cannot be written to {cache} ({error.strerror})") from error
    return copy


def _replace_meshes(urdf: Path, cache: Path) -> Replaced:
    """Writes an OBJ for each mesh of a URDF that Bullet does not read as it is meant; returns them.

    Raises:
        InputError: A mesh is missing or broken.
    """
    link = read_base_link(urdf)
    seen = {part.shape.file for part in link.visuals if part.shape is not None and part.shape.file is not None}
    solid = {part.shape.file for part in link.collisions if part.shape is not None and part.shape.file is not None}
    replaced: Replaced = {}
    for file in sorted(file for file in seen if not bullet_reads(file)):
        replaced["visual", file.resolve()] = _convert(file, cache, seen=True)
    for file in sorted(solid if link.collisions else seen):
        read_scene(file)  # Bullet makes nothing of a broken one, and says nothing
        if not bullet_reads(file):
            replaced["collision", file.resolve()] = _convert(file, cache, seen=False)
    return replaced


def _convert(file: Path, cache: Path, *, seen: bool) -> Path:
    """Returns the OBJ in the cache that stands for a mesh file.

    Args:
        file: Mesh file.
        cache: Folder of the copies.
        seen: Whether the mesh is to be seen, with its colours, or to collide with, part by part.
    """
    data = file.read_bytes()
    beside = [f.read_bytes() for f in companions(file, data) if f.is_file()]
    digest = hashlib.sha256(f"{file.suffix.lower()} {_LOOK if seen else False}".encode())
    for content in (data, *beside):
        digest.update(hashlib.sha256(content).digest())
    folder, name = cache / f"obj-{digest.hexdigest()[:32]}", "visual.obj" if seen else "parts.obj"
    if not (folder / name).is_file():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".making-") as work:
            made = Path(work) / "obj"
            made.mkdir()
            if seen:
                _write_seen(file, made)
            else:
                write_parts(solid_parts(file), made / name)
            with contextlib.suppress(OSError):  # another process was quicker
                os.rename(made, folder)
    return folder / name


def _write_seen(file: Path, folder: Path) -> None:
    """Writes ``visual.obj`` of a mesh file; and what it was before its textures were found, where that is another."""
    visual, bare = folder / "visual.obj", folder / _BARE
    write_visual(_with_face_colours(one_mesh(read_scene(file).scene)), folder)
    visual.rename(bare)
    scene = read_scene(file).scene
    resolve_textures(scene, file)  # of one that is lost, the surface has warned
    write_visual(_with_face_colours(one_mesh(scene)), folder)
    if visual.read_bytes() == bare.read_bytes():
        bare.unlink()


def known_mesh(mesh: Path) -> Path:
    """Returns the file by which a mesh of a URDF is known: of a copy, what it was while its textures were not found."""
    bare = mesh.with_name(_BARE)
    return bare if mesh.name == "visual.obj" and bare.is_file() else mesh


def _with_face_colours(mesh: trimesh.Trimesh) -> trimesh.Trimesh:
    """Returns a mesh whose material without a texture is a colour of its faces."""
    visual: Any = mesh.visual
    colours = face_colours(mesh) if visual.kind == "texture" else None
    material = getattr(visual, "material", None)
    if colours is not None and not (getattr(material, "image", None) or getattr(material, "baseColorTexture", None)):
        mesh.visual = trimesh.visual.ColorVisuals(mesh, face_colors=(255 * colours).round().astype("uint8"))
    return mesh
