"""Bare meshes made into objects: cleaned, scaled, weighed, split into convex parts, and cached.

A cache entry is a folder named by the hash of all that went into it. It holds ``model.urdf``,
``parts.obj`` (convex parts, for the physics), ``visual.obj`` (what cameras see, with its texture
or colours), and ``entry.json`` with the checksums of these files.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

import joblib
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from scipy.spatial import ConvexHull, QhullError

from sim.errors import InputError
from sim.files import checksum
from sim.objects.convex import convex_parts, mass_properties
from sim.objects.mesh_file import clean_mesh, companions, one_mesh, resolve_textures, write_parts, write_visual
from sim.objects.reading.scenes import read_scene
from sim.objects.settings import MeshSettings, SizeRule

FloatArray = NDArray[np.float64]

_VERSION = 1  # version of the cache's content, to be raised when the same mesh would give another object
_READER = 3  # version of the reading of meshes: an older entry is made anew, under its name
_MANIFEST = "entry.json"
SIZE_CURE = "give `scale` if its unit is not the metre, or `length`, or `fit`"
_SIZES = (0.005, 1.0)  # metres; a largest side outside says that the unit is wrong
_DENSITIES = (20.0, 25_000.0)  # kg/m^3 of the convex hull, from foam to more than gold: others are doubted


def default_cache() -> Path:
    """Returns ``$XDG_CACHE_HOME/plgp/meshes``, or ``~/.cache/plgp/meshes`` where that is not set."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "plgp" / "meshes"


def _write_entry(path: Path, folder: Path, key: str, *, size: SizeRule, settings: MeshSettings) -> None:
    """Makes one object of a mesh file, in an empty folder. Raises InputError."""
    read = read_scene(path)
    textures = resolve_textures(read.scene, path)
    clean = clean_mesh(one_mesh(read.scene))
    mesh, solid = clean.mesh, clean.solid
    factor = size.factor(np.asarray(solid.vertices))
    doubt = size_doubt(np.asarray(solid.vertices) * factor, scaled=factor != 1)
    if doubt:
        raise InputError(doubt)
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
    material = write_visual(mesh, folder)
    write_parts(parts, folder / "parts.obj")
    (folder / "model.urdf").write_text(urdf_text(f"mesh-{key}", mass, inertia, material=material))
    seal(folder, str(path), notes=(*read.notes, *textures, *clean.notes), reader=_READER)


def urdf_text(name: str, mass: float, inertia: FloatArray, *, material: str = "") -> str:
    """Returns the URDF of an entry whose files are ``visual.obj`` and ``parts.obj``, centred on the centre of mass.

    Args:
        name: Name of the robot.
        mass: Mass, kg.
        inertia: Inertia (3, 3) about the centre of mass, kg m^2.
        material: Colour as a <material>, or "".
    """
    moments = " ".join(
        f'i{"xyz"[i]}{"xyz"[j]}="{inertia[i, j]:.6e}"' for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    )
    return (
        f'<?xml version="1.0"?>\n<robot name="{name}">\n<link name="object">\n'
        f'<inertial><mass value="{mass:.6f}"/><inertia {moments}/></inertial>\n'
        f'<visual><geometry><mesh filename="visual.obj"/></geometry>{material}</visual>\n'
        '<collision><geometry><mesh filename="parts.obj"/></geometry></collision>\n</link>\n</robot>\n'
    )


def seal(folder: Path, source: str, **about: object) -> None:
    """Notes the checksums of an entry's files, by which ``is_whole`` knows it, and where it comes from.

    Args:
        folder: The entry.
        source: What it was made of.
        **about: What else to note, as JSON takes it.
    """
    sums = {f.name: checksum(f) for f in sorted(folder.iterdir())}
    (folder / _MANIFEST).write_text(json.dumps({"source": source, "files": sums, **about}, indent=1) + "\n")


def read_notes(entry: Path) -> list[str]:
    """Returns what is doubtful about the mesh of an entry, each in words that follow the file's name."""
    return list(map(str, json.loads((entry / _MANIFEST).read_text()).get("notes", [])))


def _is_current(entry: Path) -> bool:
    """Returns whether an entry is whole and was made by today's reader of meshes."""
    return is_whole(entry) and json.loads((entry / _MANIFEST).read_text()).get("reader") == _READER


def size_doubt(vertices: FloatArray, *, scaled: bool) -> str:
    """Returns a sentence on an object that is too large or too small for its unit to be the metre; "" for others.

    Args:
        vertices: (V, 3), as they are read, metres.
        scaled: Whether a scale was given.
    """
    largest = float(np.ptp(vertices, axis=0).max())
    if _SIZES[0] <= largest <= _SIZES[1]:
        return ""
    hint = "" if scaled else _likely_unit(largest)
    return f"it is {largest:.3g} m long{hint}; {SIZE_CURE}"


def density_doubt(vertices: FloatArray, mass: float) -> str:
    """Returns a sentence on an object whose mass and size do not go together; "" for others.

    Args:
        vertices: (V, 3), of its surface, metres.
        mass: Its mass, kg.
    """
    try:
        density = mass / float(ConvexHull(vertices).volume)
    except (QhullError, ValueError, ZeroDivisionError):  # a flat surface has no hull
        return ""
    if _DENSITIES[0] <= density <= _DENSITIES[1]:
        return ""
    bound = f"less than {_DENSITIES[0]:g}" if density < _DENSITIES[0] else f"more than {_DENSITIES[1]:,g}"
    return f"its mass is {bound} kg/m^3 of its convex hull; if that is not meant, mend <mass>, in kilograms"


def _likely_unit(largest: float) -> str:
    """Returns a hint at the unit of a mesh whose largest side is too long for metres, or ""."""
    units = (("millimetres", 0.001), ("inches", 0.0254), ("centimetres", 0.01))
    fitting = [
        f"objects.scale={factor} if it is in {name}" for name, factor in units if 0.02 <= largest * factor <= 0.5
    ]
    return f" ({', '.join(fitting)})" if largest > _SIZES[1] and fitting else ""


def _key(path: Path, size: SizeRule, settings: MeshSettings) -> str:
    """Returns the hash of all that shapes the object: the files' content and the options."""
    try:
        data = path.read_bytes()
        beside = [f.read_bytes() for f in companions(path, data) if f.is_file()]
    except OSError as error:
        raise InputError(f"mesh {path} cannot be read ({error.strerror})") from error
    options = [_VERSION, path.suffix.lower(), asdict(size), settings.shaping()]
    digest = hashlib.sha256(json.dumps(options).encode())
    for content in (data, *beside):
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:32]


def is_whole(entry: Path) -> bool:
    """Returns whether a cache entry is there with every file as it was written."""
    try:
        sums = json.loads((entry / _MANIFEST).read_text())["files"]
        return "model.urdf" in sums and all(checksum(entry / name) == value for name, value in sums.items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False


def publish(made: Path, entry: Path, *, usable: Callable[[Path], bool] = is_whole) -> None:
    """Gives a whole entry its final name, in place of one that is not usable; another process may be quicker."""
    try:
        if entry.exists() and not usable(entry):
            os.rename(entry, made.parent / "broken")
        os.rename(made, entry)
    except OSError:
        if not is_whole(entry):
            raise


def _make(path: Path, entry: Path, *, size: SizeRule, settings: MeshSettings) -> tuple[Path, str]:
    """Makes a cache entry; returns the mesh and why it failed, or ""."""
    try:
        quiet = np.errstate(divide="ignore", invalid="ignore")  # trimesh divides by the volume of flat meshes
        with quiet, tempfile.TemporaryDirectory(dir=entry.parent, prefix=".making-") as work:
            made = Path(work) / "entry"
            made.mkdir()
            _write_entry(path, made, entry.name, size=size, settings=settings)
            publish(made, entry, usable=_is_current)
    except InputError as error:
        return path, str(error)
    except Exception as error:  # whatever a wild mesh makes trimesh raise costs this mesh only
        return path, f"{type(error).__name__}: {' '.join(str(error).split())}"
    return path, ""


def prepare_meshes(
    sizes: Mapping[Path, SizeRule],
    settings: MeshSettings | None = None,
    *,
    cache: str | Path | None = None,
    workers: int = -1,
) -> tuple[dict[Path, Path], dict[Path, str]]:
    """Makes an object of every mesh, or finds it in the cache.

    Args:
        sizes: Mesh files, each with the rule of its size.
        settings: Settings of mass and convex parts; the defaults where left out.
        cache: Folder of the objects; ``default_cache()`` where left out.
        workers: Number of meshes prepared at a time; -1 for one per core.

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
    missing = [p for p, entry in entries.items() if not _is_current(entry)]
    if missing and not os.access(folder, os.W_OK):
        raise InputError(f"cache folder {folder} cannot be written; set XDG_CACHE_HOME to one that can")
    console = Console(stderr=True)
    columns = (TextColumn("meshes"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not (missing and console.is_terminal)) as progress:
        task = progress.add_task("meshes", total=len(missing))
        # Threads are enough: the long part, the split, runs in a process of its own.
        pool = joblib.Parallel(n_jobs=workers, backend="threading", return_as="generator_unordered")
        calls = (joblib.delayed(_make)(p, entries[p], size=sizes[p], settings=settings) for p in missing)
        for path, reason in pool(calls):
            if reason:
                failed[path] = reason
            progress.advance(task)
    return {p: e / "model.urdf" for p, e in entries.items() if p not in failed}, failed
