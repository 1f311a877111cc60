"""Bare meshes made into objects: cleaned, scaled, weighed, split into convex parts, and cached.

A cache entry is a folder named by the hash of all that went into it. It holds ``model.urdf``,
``parts.obj`` (convex parts, for the physics), ``visual.obj`` (what cameras see, with its texture
or colours), and ``entry.json`` with the checksums of these files.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import trimesh
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from trimesh.exchange.obj import export_obj

from sim.errors import InputError
from sim.objects.convex import check_method, close_holes, convex_parts, mass_properties

FloatArray = NDArray[np.float64]

MESH_SUFFIXES = (".obj", ".ply", ".stl", ".glb", ".gltf")
_VERSION = 1  # of the cache's content: raise it when the same mesh would give another object
_MANIFEST = "entry.json"
_SIZES = (0.005, 1.0)  # metres: a largest side outside is a matter of units


@dataclass(frozen=True)
class MeshSettings:
    """How a bare mesh becomes an object.

    Attributes:
        density: kg/m^3; 500 lies between hollow plastic and solid wood.
        min_mass: kg; lighter objects jump in the solver.
        max_mass: kg; heavier ones slip from a hand of 30 N at low friction.
        method: What splits it into convex parts: "vhacd" comes with PyBullet, "coacd" is an extra.
        resolution: vhacd: voxels in which the parts are sought. With a million, parts stand some 0.4 mm
            off a surface of 10 cm and a hollow object takes 5-15 s, once; with 50,000 1 mm and 1 s.
        concavity: vhacd: how hollow a part may stay, as a share; smaller gives more parts.
        coacd_threshold: coacd: how hollow a part may stay, 0.01 ... 1; smaller gives more parts and takes longer.
        part_vertices: At most as many corners a part.
        seconds: A mesh whose split takes longer is skipped.
    """

    density: float = 500.0
    min_mass: float = 0.02
    max_mass: float = 0.5
    method: str = "vhacd"
    resolution: int = 1_000_000
    concavity: float = 0.0025
    coacd_threshold: float = 0.05
    part_vertices: int = 64
    seconds: float = 600.0

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        for name, value in asdict(self).items():
            if name != "method" and not (np.isfinite(value) and value > 0):
                raise InputError(f"objects.meshes.{name} is {value}; give a positive number")
        if self.min_mass > self.max_mass:
            raise InputError(f"objects.meshes: min_mass {self.min_mass} is more than max_mass {self.max_mass}")
        check_method(self.method)

    def shaping(self) -> dict[str, Any]:
        """Returns what decides about the result: all but the time limit and the other method's options."""
        others = {"vhacd": {"coacd_threshold"}, "coacd": {"resolution", "concavity"}}[self.method]
        return {k: v for k, v in asdict(self).items() if k not in others | {"seconds"}}


def default_cache() -> Path:
    """Returns ``$XDG_CACHE_HOME/plgp/meshes``, or ``~/.cache/plgp/meshes`` where that is not set."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "plgp" / "meshes"


def read_mesh(path: Path) -> trimesh.Trimesh:
    """Returns a mesh file as one mesh, its vertices as they stand in the file.

    Raises:
        InputError: It is missing, cannot be read, or holds no triangles.
    """
    if not path.is_file():
        raise InputError(f"mesh {path} does not exist")
    try:
        mesh = trimesh.load(path, force="mesh", process=False)
    except Exception as error:  # trimesh's readers raise whatever the broken file makes them raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"mesh {path} cannot be read ({reason})") from error
    if not isinstance(mesh, trimesh.Trimesh) or len(mesh.faces) == 0 or not np.isfinite(mesh.vertices).all():
        raise InputError(f"mesh {path} holds no usable triangles")
    return mesh


def face_colours(mesh: trimesh.Trimesh) -> NDArray[np.float32] | None:
    """Returns the mesh's own colours, (F, 3) float32 RGB in [0, 1]; None if it has none.

    A texture is read at the middle of each face; a corner colour is averaged over the face.
    """
    visual: Any = mesh.visual
    if visual.kind == "texture":
        material = _simple_material(visual)
        image = getattr(material, "image", None)
        if image is not None and visual.uv is not None and len(visual.uv) == len(mesh.vertices):
            middle = np.asarray(visual.uv, np.float64)[mesh.faces].mean(axis=1)
            rgba = trimesh.visual.color.uv_to_color(middle, image)
        elif material is not None:
            rgba = np.tile(np.asarray(material.main_color), (len(mesh.faces), 1))
        else:
            return None
    elif visual.kind in ("vertex", "face"):
        corners = visual.kind == "vertex"
        rgba = np.asarray(visual.vertex_colors)[mesh.faces].mean(axis=1) if corners else visual.face_colors
    else:
        return None
    return np.asarray(rgba, np.float32)[:, :3] / np.float32(255)


def _simple_material(visual: Any) -> Any:
    material = visual.material
    return material.to_simple() if hasattr(material, "to_simple") else material


@dataclass(frozen=True)
class SizeRule:
    """Which size objects get, by three rules one after the other.

    Attributes:
        scale: Factor on all lengths; 0.001 for meshes in millimetres.
        length: If given, every object is made as long as this, metres: for meshes whose unit means nothing.
        fit: If given, larger objects are made smaller until the second-smallest side of the smallest
            box around them is at most this, metres. Lying on its largest face, an object then shows
            the gripper a side that fits.
    """

    scale: float = 1.0
    length: float | None = None
    fit: float | None = None

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        for name, value in vars(self).items():
            if value is not None and not (np.isfinite(value) and value > 0):
                raise InputError(f"objects.{name} is {value}; give a positive number")

    @property
    def measures(self) -> bool:
        """Whether the rule needs to know how large the object is."""
        return self.length is not None or self.fit is not None

    def factor(self, vertices: FloatArray) -> float:
        """Returns the factor on all lengths that gives an object its size.

        Args:
            vertices: (V, 3), in the file's unit.

        Raises:
            InputError: A rule asks for the smallest box around the object, and it is flat.
        """
        if not self.measures:
            return self.scale
        sides = box_sides(vertices)
        factor = self.scale if self.length is None else self.length / sides[2]
        return float(factor if self.fit is None else min(factor, self.fit / sides[1]))


def box_sides(vertices: FloatArray) -> FloatArray:
    """Returns the sides (3,) of the smallest box around points (V, 3), turned as it may be; smallest first.

    Raises:
        InputError: The points are flat.
    """
    try:
        with np.errstate(divide="ignore", invalid="ignore"):  # trimesh divides by the volume of flat sets
            sides = np.sort(trimesh.bounds.oriented_bounds(vertices)[1])
    except Exception as error:  # qhull, on points of a line
        raise InputError("it is flat: it has no volume") from error
    if not sides[1] > 0:
        raise InputError("it is flat: it has no volume")
    return sides


def clean_mesh(mesh: trimesh.Trimesh) -> tuple[trimesh.Trimesh, trimesh.Trimesh]:
    """Returns (visual, solid): the mesh without useless triangles, all wound the same way.

    The solid has no colours, its seams are closed, and so are small holes.
    Raises InputError where nothing is left.
    """
    mesh = mesh.copy()
    mesh.merge_vertices()
    mesh.update_faces(mesh.nondegenerate_faces() & mesh.unique_faces())
    mesh.remove_unreferenced_vertices()
    if len(mesh.faces) < 4:
        raise InputError("it holds no usable triangles")
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    solid.merge_vertices(merge_tex=True, merge_norm=True)
    before = solid.faces.copy()
    trimesh.repair.fix_normals(solid)
    turned = (before != solid.faces).any(axis=1)
    faces = mesh.faces.copy()
    faces[turned] = faces[turned][:, ::-1]
    mesh.faces = faces
    return mesh, close_holes(solid)


def _write_visual(mesh: trimesh.Trimesh, folder: Path) -> str:
    """Writes ``visual.obj`` with texture or corner colours; returns the URDF's <material>, or ""."""
    visual: Any = mesh.visual
    material = ""
    if visual.kind == "face":  # OBJ colours corners: give each face its own
        colours = np.repeat(visual.face_colors, 3, axis=0)
        corners = np.arange(3 * len(mesh.faces)).reshape(-1, 3)
        mesh = trimesh.Trimesh(mesh.triangles.reshape(-1, 3), corners, vertex_colors=colours, process=False)
    elif visual.kind == "texture" and getattr(_simple_material(visual), "image", None) is None:
        colour = face_colours(mesh)
        mesh = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
        if colour is not None:
            rgb = " ".join(f"{c:.4f}" for c in colour[0])
            material = f'<material name="own"><color rgba="{rgb} 1"/></material>'
    text, files = export_obj(mesh, include_normals=False, return_texture=True, header=None, mtl_name="visual.mtl")
    (folder / "visual.obj").write_text(text)
    for name, content in files.items():
        (folder / Path(name).name).write_bytes(content)
    return material


def _write_parts(parts: Sequence[trimesh.Trimesh], path: Path) -> None:
    """Writes one OBJ with an ``o`` for each part: PyBullet makes a compound of convex shapes of it."""
    lines, start = [], 1
    for i, part in enumerate(parts):
        lines.append(f"o part_{i}")
        lines += [f"v {x:.8f} {y:.8f} {z:.8f}" for x, y, z in part.vertices]
        lines += [f"f {a} {b} {c}" for a, b, c in part.faces + start]
        start += len(part.vertices)
    path.write_text("\n".join(lines) + "\n")


def _write_entry(path: Path, folder: Path, key: str, size: SizeRule, settings: MeshSettings) -> None:
    """Makes one object of a mesh file, in an empty folder. Raises InputError."""
    mesh, solid = clean_mesh(read_mesh(path))
    factor = size.factor(np.asarray(solid.vertices))
    largest = float(np.ptp(solid.vertices, axis=0).max()) * factor
    if not _SIZES[0] <= largest <= _SIZES[1]:
        raise InputError(
            f"it is {largest:.3g} m long; give `scale` if its unit is not the metre, or `length`, or `fit`"
        )
    middle = (solid.vertices.min(axis=0) + solid.vertices.max(axis=0)) / 2
    for m in (mesh, solid):
        m.vertices = (np.asarray(m.vertices) - middle) * factor
    with tempfile.TemporaryDirectory() as work:
        parts = convex_parts(solid, Path(work), settings)
    exact = solid.is_watertight and solid.volume > 0
    volume, centre, inertia = mass_properties([solid] if exact else parts)
    for m in (mesh, *parts):
        m.vertices = np.asarray(m.vertices) - centre
    mass = float(np.clip(settings.density * volume, settings.min_mass, settings.max_mass))
    inertia *= mass / volume
    moments = " ".join(
        f'i{"xyz"[i]}{"xyz"[j]}="{inertia[i, j]:.6e}"' for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    )
    material = _write_visual(mesh, folder)
    _write_parts(parts, folder / "parts.obj")
    (folder / "model.urdf").write_text(
        f'<?xml version="1.0"?>\n<robot name="mesh-{key}">\n<link name="object">\n'
        f'<inertial><mass value="{mass:.6f}"/><inertia {moments}/></inertial>\n'
        f'<visual><geometry><mesh filename="visual.obj"/></geometry>{material}</visual>\n'
        '<collision><geometry><mesh filename="parts.obj"/></geometry></collision>\n</link>\n</robot>\n'
    )
    sums = {f.name: hashlib.sha256(f.read_bytes()).hexdigest() for f in sorted(folder.iterdir())}
    (folder / _MANIFEST).write_text(json.dumps({"source": str(path), "files": sums}, indent=1) + "\n")


def _companions(path: Path, data: bytes) -> list[Path]:
    """Returns the material and texture files that a mesh file names."""
    names: list[bytes] = []
    if path.suffix.lower() == ".obj":
        names = re.findall(rb"^mtllib\s+(.+?)\s*$", data, re.MULTILINE)
        for name in list(names):
            library = path.parent / os.fsdecode(name)
            text = library.read_bytes() if library.is_file() else b""
            names += re.findall(rb"^\s*map_\w+\s.*?(\S+)\s*$", text, re.MULTILINE)
    elif path.suffix.lower() == ".gltf":
        names = re.findall(rb'"uri"\s*:\s*"([^"]{1,500})"', data)
    elif path.suffix.lower() == ".ply":
        names = re.findall(rb"^comment TextureFile (.+?)\s*$", data[:10_000], re.MULTILINE)
    return [path.parent / os.fsdecode(n) for n in names]


def _key(path: Path, size: SizeRule, settings: MeshSettings) -> str:
    """Returns the hash of all that shapes the object: the files' content and the options."""
    try:
        data = path.read_bytes()
        beside = [f.read_bytes() for f in _companions(path, data) if f.is_file()]
    except OSError as error:
        raise InputError(f"mesh {path} cannot be read ({error.strerror})") from error
    options = [_VERSION, path.suffix.lower(), asdict(size), settings.shaping()]
    digest = hashlib.sha256(json.dumps(options).encode())
    for content in (data, *beside):
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:32]


def _is_whole(entry: Path) -> bool:
    """Returns whether a cache entry is there with every file as it was written."""
    try:
        sums = json.loads((entry / _MANIFEST).read_text())["files"]
        return "model.urdf" in sums and all(
            hashlib.sha256((entry / name).read_bytes()).hexdigest() == value for name, value in sums.items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def _publish(made: Path, entry: Path) -> None:
    """Gives a whole entry its final name, in place of a broken one; another process may be quicker."""
    try:
        if entry.exists() and not _is_whole(entry):
            os.rename(entry, made.parent / "broken")
        os.rename(made, entry)
    except OSError:
        if not _is_whole(entry):
            raise


def _make(path: Path, entry: Path, size: SizeRule, settings: MeshSettings) -> tuple[Path, str]:
    """Makes a cache entry; returns the mesh and why it failed, or ""."""
    try:
        quiet = np.errstate(divide="ignore", invalid="ignore")  # trimesh divides by the volume of flat meshes
        with quiet, tempfile.TemporaryDirectory(dir=entry.parent, prefix=".making-") as work:
            made = Path(work) / "entry"
            made.mkdir()
            _write_entry(path, made, entry.name, size, settings)
            _publish(made, entry)
    except InputError as error:
        return path, str(error)
    except Exception as error:  # whatever a wild mesh makes trimesh raise costs this mesh only
        return path, f"{type(error).__name__}: {' '.join(str(error).split())}"
    return path, ""


def prepare_meshes(
    sizes: Mapping[Path, SizeRule],
    settings: MeshSettings | None = None,
    cache: str | Path | None = None,
    workers: int = -1,
) -> tuple[dict[Path, Path], dict[Path, str]]:
    """Makes an object of every mesh, or finds it in the cache.

    Args:
        sizes: Mesh files, each with the rule of its size.
        settings: Mass and convex parts.
        cache: Folder; None for ``default_cache()``.
        workers: Meshes at a time; -1 for one per core.

    Returns:
        The URDF of each mesh, and the reason for each that is broken.
    """
    settings = settings or MeshSettings()
    folder = Path(cache).expanduser().resolve() if cache else default_cache()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cache folder {folder} cannot be made ({error.strerror}); set XDG_CACHE_HOME") from error
    entries, failed = {}, {}
    for path, size in sizes.items():
        try:
            entries[path] = folder / _key(path, size, settings)
        except InputError as error:
            failed[path] = str(error)
    missing = [p for p, entry in entries.items() if not _is_whole(entry)]
    if missing and not os.access(folder, os.W_OK):
        raise InputError(f"cache folder {folder} cannot be written; set XDG_CACHE_HOME to one that can")
    console = Console(stderr=True)
    columns = (TextColumn("meshes"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not (missing and console.is_terminal)) as progress:
        task = progress.add_task("meshes", total=len(missing))
        # Threads do: the long part, the split, runs in a process of its own.
        pool = joblib.Parallel(n_jobs=workers, backend="threading", return_as="generator_unordered")
        for path, reason in pool(joblib.delayed(_make)(p, entries[p], sizes[p], settings) for p in missing):
            if reason:
                failed[path] = reason
            progress.advance(task)
    return {p: e / "model.urdf" for p, e in entries.items() if p not in failed}, failed
