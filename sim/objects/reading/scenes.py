"""The one way in which a mesh file becomes a scene."""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh

from sim.errors import InputError
from sim.objects.reading.collada import read_collada
from sim.objects.reading.content import check_content
from sim.objects.reading.gltf import check_gltf
from sim.objects.reading.off import plain_off
from sim.objects.reading.ply import plain_ply
from sim.objects.reading.stl import read_stl
from sim.objects.reading.threemf import read_3mf
from sim.objects.reading.wavefront import plain_obj

logging.getLogger("trimesh").addHandler(logging.NullHandler())  # it would print what it does to each file
_FAR = 1e9  # coordinates beyond are no places, whatever the unit
MESH_SUFFIXES = (".obj", ".ply", ".stl", ".off", ".glb", ".gltf", ".dae", ".3mf")


@dataclass(frozen=True)
class MeshScene:
    """A mesh file as it was read.

    Attributes:
        scene: Meshes with their places, in the file's unit; metres where the format states its unit (DAE, 3MF).
        notes: What is doubtful about the file, each in words that follow its name.
    """

    scene: trimesh.Scene
    notes: tuple[str, ...]


def read_scene(path: Path) -> MeshScene:
    """Returns a mesh file as a scene.

    Raises:
        InputError: It is missing, cannot be read, or holds no triangles.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"mesh {path} does not exist") from error
    except (OSError, ValueError) as error:
        raise InputError(f"mesh {path} cannot be read ({getattr(error, 'strerror', None) or error})") from error
    try:
        read = _read(path, data)
    except InputError as error:
        raise InputError(f"mesh {path} {error}") from error
    except Exception as error:  # trimesh's readers raise whatever the broken file makes them raise
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise InputError(f"mesh {path} cannot be read ({reason}); export it again") from error
    if not any(isinstance(mesh, trimesh.Trimesh) and len(mesh.faces) for mesh in read.scene.geometry.values()):
        raise InputError(f"mesh {path} holds no usable triangles; export it as a mesh of triangles")
    return read


def _read(path: Path, data: bytes) -> MeshScene:
    """Returns a mesh file's content as a scene; raises InputError without the file's name, or what trimesh raises."""
    suffix = path.suffix.lower()
    check_content(data, suffix)
    notes: tuple[str, ...] = ()
    if suffix == ".stl":
        mesh, notes = read_stl(data)
        scene = trimesh.Scene([mesh])
    elif suffix == ".dae":
        scene = read_collada(data, path.parent)
    elif suffix == ".3mf":
        scene = read_3mf(data)
    else:
        scene = _by_trimesh(path, data, suffix)
    for name, geometry in list(scene.geometry.items()):
        if isinstance(geometry, trimesh.Trimesh):
            notes += _check_faces(geometry)
        else:
            scene.delete_geometry(name)  # points and lines
    return MeshScene(scene, tuple(dict.fromkeys(notes)))


def _by_trimesh(path: Path, data: bytes, suffix: str) -> trimesh.Scene:
    """Returns a scene that trimesh reads, of content that was checked or rewritten before."""
    colours: Any = None
    if suffix == ".obj":
        data = plain_obj(data)
    elif suffix == ".ply":
        data = plain_ply(data)
    elif suffix == ".off":
        data, colours = plain_off(data)
    elif suffix in (".glb", ".gltf"):
        data = data.removeprefix(b"\xef\xbb\xbf")
        check_gltf(data, path.parent)
        suffix = ".glb" if data.startswith(b"glTF") else ".gltf"
    resolver = trimesh.resolvers.FilePathResolver(str(path))
    loaded: Any = trimesh.load(io.BytesIO(data), file_type=suffix[1:], resolver=resolver, force="scene", process=False)
    if colours is not None:
        for mesh in loaded.geometry.values():
            mesh.visual = trimesh.visual.ColorVisuals(mesh, vertex_colors=np.rint(255 * colours).astype(np.uint8))
    scene: trimesh.Scene = loaded
    return scene


def _check_faces(mesh: trimesh.Trimesh) -> tuple[str, ...]:
    """Leaves out faces whose places are no finite numbers; returns what to say of them.

    Raises:
        InputError: A face names a vertex that is not there, or no face is left.
    """
    faces, count = np.asarray(mesh.faces), len(mesh.vertices)
    if not len(faces):
        return ()
    if faces.min() < 0 or faces.max() >= count:
        raise InputError(f"has a face of vertex {int(faces.max())}, but {count} vertices; it is cut off or broken")
    vertices = np.array(mesh.vertices, np.float64)
    if vertices.shape[1] != 3:
        raise InputError(f"has vertices of {vertices.shape[1]} coordinates instead of 3; export it again")
    sound = np.max(np.abs(vertices), axis=1) < _FAR  # false for nan
    if sound.all():
        return ()
    kept = sound[faces].all(axis=1)
    if not kept.any():
        raise InputError("has coordinates that are not finite (nan or inf); export it again")
    vertices[~sound] = vertices[faces[kept][0, 0]]
    mesh.vertices = vertices
    mesh.update_faces(kept)
    lost = int((~kept).sum())
    return (f"{lost} of its faces were left out: their coordinates are not finite",) if lost else ()
