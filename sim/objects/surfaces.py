"""Visible surfaces of objects: from a URDF, or a mesh file, to triangles with colours and textures."""

from __future__ import annotations

import warnings
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from sim.errors import InputError
from sim.objects.mesh_file import companions, face_colours, named_textures, tinted
from sim.objects.reading.scenes import read_scene
from sim.objects.urdf import Part, read_base_link

Stamp = tuple[int, int, int] | None  # state of a file: time, size, node; None where there is none

_KEPT_BYTES = 256 * 2**20  # of surfaces that are kept; 80 textures of the largest size
_TEXTURE_SIDE = 1024  # texels; a camera pixel covers some 1 mm, so finer ones would only fill the memory


@dataclass(frozen=True)
class ObjectMesh:
    """An object's visible surface.

    Attributes:
        vertices: Vertices, (V, 3) float64, metres, frame of the URDF's base link.
        faces: Vertex indices of each face, (F, 3) int32, counter-clockwise seen from outside.
        colours: Colour of each face, or of its middle where it has several, (F, 3) float32 RGB in [0, 1].
        corner_colours: Colours at each face's corners, to be interpolated, (F, 3, 3) float32 RGB in [0, 1]; a
            texture is multiplied by them. None where every face has one colour.
        uv: Texture coordinates at each face's corners, (F, 3, 2) float32, v upwards, repeating with
            period 1; None without textures.
        texture: Index of each face's texture, (F,) int16, -1 = none; None without textures.
        textures: Textures, each (height, width, 3) uint8 RGB, its first row at v = 1.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int32]
    colours: NDArray[np.float32]
    corner_colours: NDArray[np.float32] | None = None
    uv: NDArray[np.float32] | None = None
    texture: NDArray[np.int16] | None = None
    textures: tuple[NDArray[np.uint8], ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether the whole surface has one colour."""
        return self.corner_colours is None and bool((self.colours == self.colours[0]).all())


@dataclass(frozen=True)
class _Faces:
    """Faces of one material; colours, uv and image as in ObjectMesh, ``own`` None where they have no colour."""

    mesh: trimesh.Trimesh
    own: NDArray[np.float32] | None
    corners: NDArray[np.float32] | None = None
    uv: NDArray[np.float32] | None = None
    image: NDArray[np.uint8] | None = None


def _read_parts(path: Path, beside: Path | None) -> list[trimesh.Trimesh]:
    """Returns a mesh file as one mesh per material, each with its own readable texture or none.

    Args:
        path: Mesh file.
        beside: Texture for materials that name none, or None.

    Raises:
        InputError: It is missing, cannot be read, or holds no triangles.
    """
    scene: Any = read_scene(path).scene
    try:
        found = scene.geometry.values()
        dressed = [m for m in found if isinstance(getattr(m, "visual", None), trimesh.visual.TextureVisuals)]
        textures = named_textures(path) if dressed else {}
        for mesh in dressed:
            named = textures.get(str(getattr(mesh.visual.material, "name", "")))
            _simplify_material(mesh, path, named=named, beside=beside)
        return [part for part in scene.dump() if isinstance(part, trimesh.Trimesh) and len(part.faces)]
    except Exception as error:  # trimesh's readers raise whatever the broken file makes them raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"mesh {path} cannot be read ({reason}); export it again") from error


def _geometry(part: Part) -> list[trimesh.Trimesh]:
    """Returns a <visual>'s surface in the link frame, metres, one mesh per material; raises InputError."""
    if part.shape is None:
        raise InputError("a <visual> has no geometry")
    if part.shape.file is None:
        meshes = [part.shape.primitive()]
    else:
        meshes = _read_parts(part.shape.file, part.texture)
        for mesh in meshes:
            mesh.apply_transform(np.diag([*part.shape.scale, 1.0]))
    for mesh in meshes:
        mesh.apply_transform(part.pose)
    return meshes


def _texture(image: Any, named: Path | None, path: Path) -> Any:
    """Returns a texture as a PIL image in RGB, or None; one that cannot be read is warned of by name.

    Args:
        image: PIL image, perhaps not read yet, or None.
        named: File of the image, if that is known.
        path: Mesh file.
    """
    from PIL import Image

    if image is None and named is None:
        return None
    try:
        if image is None and named is not None:
            image = Image.open(named)
        image = image.convert("RGB")
    except Exception:  # PIL raises whatever the broken file makes it raise
        warnings.warn(f"texture {named or path} is missing or broken; its material's colour is used", stacklevel=2)
        return None
    if max(image.size) > _TEXTURE_SIDE:
        image.thumbnail((_TEXTURE_SIDE, _TEXTURE_SIDE))
    return image


def _simplify_material(mesh: trimesh.Trimesh, path: Path, *, named: Path | None, beside: Path | None) -> None:
    """Leaves a mesh's material its colour and its colour texture; takes away what trimesh made up.

    Args:
        mesh: Mesh with trimesh.visual.TextureVisuals; changed in place.
        path: Mesh file.
        named: Texture that the material names, where that is known, or None.
        beside: Texture for materials that name none, or None.
    """
    visual: Any = mesh.visual
    material = visual.material
    image = getattr(material, "image", None) or getattr(material, "baseColorTexture", None)
    # trimesh gives coordinates without a material a grey picture of four pixels.
    made_up = image is not None and image.size == (2, 2) and np.unique(image).tolist() == [100, 255]
    mapped = visual.uv is not None and len(visual.uv) == len(mesh.vertices)
    image = None if made_up else image
    texture = _texture(image, named or (beside if image is None else None), path) if mapped else None
    if texture is None and made_up:
        mesh.visual = trimesh.visual.ColorVisuals(mesh)
        return
    factor = getattr(material, "baseColorFactor", None)  # glTF multiplies its texture by it
    if texture is not None and factor is not None:
        texture = tinted(texture, factor)
    materials: Any = trimesh.visual.material
    visual.material = materials.SimpleMaterial(image=texture, diffuse=material.main_color)


def _coloured(mesh: trimesh.Trimesh) -> _Faces:
    """Returns a mesh of one material with its own colours."""
    visual: Any = mesh.visual
    own = face_colours(mesh)
    if visual.kind == "vertex":
        corners = np.asarray(visual.vertex_colors, np.float32)[mesh.faces][..., :3] / np.float32(255)
        return _Faces(mesh, own, None if (corners == corners[:, :1]).all() else corners)
    if visual.kind != "texture" or visual.material.image is None:
        return _Faces(mesh, own)
    uv = np.nan_to_num(np.asarray(visual.uv, np.float32))[mesh.faces]
    return _Faces(mesh, own, np.ones((len(mesh.faces), 3, 3), np.float32), uv, np.asarray(visual.material.image))


def _assemble(parts: list[tuple[_Faces, NDArray[np.float32]]]) -> ObjectMesh:
    """Returns all parts, each with its URDF colour, as one surface."""
    vertices, faces, colours, corners, uv, texture = [], [], [], [], [], []
    textures: dict[Any, NDArray[np.uint8]] = {}
    start = 0
    for part, tint in parts:
        key = None if part.image is None else (part.image.shape, part.image.tobytes())
        if key is not None and part.image is not None:
            textures.setdefault(key, part.image)
        count = len(part.mesh.faces)
        own = np.tile(tint, (count, 1)) if part.own is None else part.own * tint
        faces.append(np.asarray(part.mesh.faces, np.int32) + start)
        vertices.append(np.asarray(part.mesh.vertices, np.float64))
        colours.append(own)
        corners.append(np.repeat(own[:, None], 3, axis=1) if part.corners is None else part.corners * tint)
        uv.append(np.zeros((count, 3, 2), np.float32) if part.uv is None else part.uv)
        texture.append(np.full(count, -1 if key is None else list(textures).index(key), np.int16))
        start += len(part.mesh.vertices)
    graded = any(part.corners is not None for part, _ in parts)
    return ObjectMesh(
        np.concatenate(vertices),
        np.concatenate(faces).astype(np.int32),
        np.concatenate(colours),
        np.concatenate(corners) if graded else None,
        np.concatenate(uv) if textures else None,
        np.concatenate(texture) if textures else None,
        tuple(textures.values()),
    )


def _read_surface(urdf: Path) -> ObjectMesh:
    """Returns what cameras see of a URDF's body, in its own size; raises InputError."""
    parts: list[tuple[_Faces, NDArray[np.float32]]] = []
    for visual in read_base_link(urdf).visuals:
        try:
            meshes = _geometry(visual)
        except InputError as error:
            raise InputError(f"object file {urdf}: {error}; mend or remove it") from error
        for faces in map(_coloured, meshes):
            # As Bullet does: the URDF's colour tints the mesh's own; grey where there is neither.
            neither = (0.6, 0.6, 0.6) if faces.own is None else (1.0, 1.0, 1.0)
            tint = neither if visual.colour is None else visual.colour
            parts.append((faces, np.asarray(tint, np.float32)))
    if not parts:
        raise InputError(f"object file {urdf} has no visual mesh on its first link")
    return _assemble(parts)


def load_surface(urdf: Path, scale: float) -> ObjectMesh:
    """Returns what cameras see of a URDF's body, its lengths times ``scale``; raises InputError.

    Textures are read once a URDF, whatever the scale; one that is missing or broken is warned of by
    name, and its material's colour stands in for it. A file that changed is read again.
    """
    stamps = _stamps(urdf)
    surface = _KEPT.get((urdf, 1.0, stamps), lambda: _read_surface(urdf))
    if scale == 1:
        return surface
    return _KEPT.get((urdf, scale, stamps), lambda: replace(surface, vertices=surface.vertices * scale))


class _Kept:
    """Surfaces that are kept until they fill ``_KEPT_BYTES``; then the longest unused go."""

    def __init__(self) -> None:
        """Keeps nothing yet."""
        self._surfaces: OrderedDict[tuple[Path, float, tuple[Stamp, ...]], ObjectMesh] = OrderedDict()
        self._users: Counter[int] = Counter()  # of each array, by its id: it lives as long as they are kept
        self._lock, self.bytes = Lock(), 0

    def get(self, key: tuple[Path, float, tuple[Stamp, ...]], make: Callable[[], ObjectMesh]) -> ObjectMesh:
        """Returns a surface that is kept, or makes and keeps it.

        Args:
            key: Its file, its scale, and the state of the file and of all that it names: another state is made anew.
            make: Function that makes it.
        """
        with self._lock:
            if key in self._surfaces:
                self._surfaces.move_to_end(key)
                return self._surfaces[key]
        made = make()
        with self._lock:
            if key not in self._surfaces:
                self._surfaces[key] = made
                self._count(made, 1)
            while self.bytes > _KEPT_BYTES and len(self._surfaces) > 1:
                self._count(self._surfaces.popitem(last=False)[1], -1)
            return made

    def _count(self, surface: ObjectMesh, change: int) -> None:
        """Counts the arrays of a surface that comes (1) or goes (-1); one that several share, by scale, counts once."""
        for array in _arrays(surface):
            before = self._users[id(array)]
            self._users[id(array)] += change
            if not before or not self._users[id(array)]:
                self.bytes += change * array.nbytes
            if not self._users[id(array)]:
                del self._users[id(array)]


_KEPT = _Kept()


def _arrays(surface: ObjectMesh) -> list[NDArray[Any]]:
    """Returns a surface's arrays."""
    values = (getattr(surface, field.name) for field in fields(surface))
    arrays = [part for value in values for part in (value if isinstance(value, tuple) else (value,))]
    return [array for array in arrays if array is not None]


def _stamps(urdf: Path) -> tuple[Stamp, ...]:
    """Returns the state of a URDF, of the files that it names, and of the files that these name."""
    own = _stamp(urdf)
    named = [(file, _stamp(file)) for file in _named_files(urdf, own)]
    beside = [_stamp(other) for file, stamp in named for other in _companion_files(file, stamp)]
    return (own, *(stamp for _, stamp in named), *beside)


def _stamp(path: Path) -> Stamp:
    """Returns time, size and node of a file; None where there is none."""
    try:
        about = path.stat()
    except (OSError, ValueError):
        return None
    return about.st_mtime_ns, about.st_size, about.st_ino


@lru_cache(maxsize=10_000)
def _named_files(urdf: Path, stamp: Stamp) -> tuple[Path, ...]:
    """Returns the meshes and textures that a URDF's visuals name, none where it cannot be read."""
    try:
        visuals = read_base_link(urdf).visuals
    except InputError:
        return ()
    files = [file for v in visuals for file in (v.shape.file if v.shape else None, v.texture) if file is not None]
    return tuple(dict.fromkeys(files))


@lru_cache(maxsize=10_000)
def _companion_files(mesh: Path, stamp: Stamp) -> tuple[Path, ...]:
    """Returns the material and texture files that a mesh names, none where it cannot be read."""
    if mesh.suffix.lower() not in (".obj", ".gltf", ".ply", ".dae"):
        return ()
    try:
        return tuple(companions(mesh, mesh.read_bytes()))
    except OSError:
        return ()
