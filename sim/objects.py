"""Object sets: named meshes with a scale, each with its URDF for the physics."""

from __future__ import annotations

import warnings
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sim import InputError
from sim.meshes import MESH_SUFFIXES, MeshSettings, fitting_scale, prepare_meshes
from sim.surface import ObjectMesh, load_surface

PYBULLET_OBJECTS = 1000
# Number 168 is a broken file: a flat speck of half a millimetre.
_BROKEN_PYBULLET_OBJECTS = frozenset({168})


@dataclass(frozen=True)
class ObjectModel:
    """One object: its name in the set, its URDF, and a factor on all its lengths."""

    name: str
    urdf: Path
    scale: float = 1.0

    def mesh(self) -> ObjectMesh:
        """Returns the visible surface; read once, then kept. Raises InputError if it cannot be read."""
        return load_surface(self.urdf, self.scale)


@dataclass(frozen=True)
class ObjectSet:
    """A named list of objects.

    Attributes:
        name: What tables and metadata call the set.
        models: The objects, in a fixed order.
    """

    name: str
    models: tuple[ObjectModel, ...]

    def __post_init__(self) -> None:
        """Raises InputError for an empty set or a name that stands twice."""
        if not self.models:
            raise InputError(f"object set '{self.name}' is empty; give at least one URDF")
        names = self.names
        if len(set(names)) != len(names):
            raise InputError(f"object set '{self.name}' names an object twice")

    def __len__(self) -> int:
        """Number of objects."""
        return len(self.models)

    @property
    def names(self) -> list[str]:
        """The objects' names, in order."""
        return [m.name for m in self.models]

    def model(self, name: str) -> ObjectModel:
        """Returns the object called ``name``; raises InputError if there is none."""
        for m in self.models:
            if m.name == name:
                return m
        raise InputError(f"object '{name}' is not in the set '{self.name}' of {len(self)} objects")

    @classmethod
    def pybullet(cls, first: int = 0, last: int = 899) -> ObjectSet:
        """Returns objects ``first`` ... ``last`` of the 1,000 that come with PyBullet.

        By convention 0-899 are seen (training) and 900-999 novel objects. Number 168 is left out:
        its file is a flat speck of half a millimetre.
        """
        if not 0 <= first <= last < PYBULLET_OBJECTS:
            raise InputError(f"PyBullet's objects are numbered 0-{PYBULLET_OBJECTS - 1}, not {first}-{last}")
        import pybullet_data

        root = Path(pybullet_data.getDataPath()) / "random_urdfs"
        models = (
            ObjectModel(f"random_urdfs/{i:03d}", root / f"{i:03d}" / f"{i:03d}.urdf")
            for i in range(first, last + 1)
            if i not in _BROKEN_PYBULLET_OBJECTS
        )
        return cls(f"pybullet-{first}-{last}", tuple(models))

    @classmethod
    def from_folder(
        cls,
        path: str | Path,
        scale: float = 1.0,
        fit: float | None = None,
        pattern: str = "**/*",
        meshes: MeshSettings | None = None,
        cache: str | Path | None = None,
        workers: int = -1,
    ) -> ObjectSet:
        """Returns every URDF and every bare mesh (OBJ, PLY, STL, GLB, GLTF) below a folder.

        An object is called by its path within the folder: by its subfolder where it is alone in it.
        A mesh that a URDF names, or that lies beside one, is that URDF's. Other meshes are cleaned,
        centred on their centre of mass, weighed and split into convex parts once, see
        ``sim.meshes``; later calls find the result in the cache. Broken ones are skipped, and one
        warning at the end lists them.

        Args:
            path: The folder.
            scale: Factor on all lengths; 0.001 for meshes in millimetres.
            fit: If given, larger objects are made smaller until the second-smallest side of the
                smallest box around them is at most this, metres.
            pattern: Which files to look at, as a glob; ``**/textured.obj`` takes these only.
            meshes: Mass and convex parts of bare meshes.
            cache: Where these are kept; None for ``$XDG_CACHE_HOME/plgp/meshes``, ``~/.cache/...``.
            workers: Meshes prepared at a time; -1 for one per core.

        Raises:
            InputError: The folder is missing or holds no usable object.
        """
        folder = Path(path)
        for name, value in (("scale", scale), ("fit", fit)):
            if value is not None and not (np.isfinite(value) and value > 0):
                raise InputError(f"objects.{name} is {value}; give a positive number")
        if not folder.is_dir():
            raise InputError(f"object folder {folder} does not exist")
        found = _find_objects(folder, pattern)
        bare = [f for f in found if f.suffix.lower() != ".urdf"]
        made, broken = prepare_meshes(bare, scale, fit, meshes, cache, workers) if bare else ({}, {})
        models = []
        for f, name in zip(found, _object_names(folder, found), strict=True):
            if f in made:
                models.append(ObjectModel(name, made[f]))
            elif f not in broken:
                try:
                    size = 1.0 if fit is None else fitting_scale(load_surface(f.resolve(), scale).vertices, fit)
                    models.append(ObjectModel(name, f.resolve(), scale * size))
                except InputError as error:
                    broken[f] = str(error)
        listed = "; ".join(f"{f.relative_to(folder).as_posix()}: {reason}" for f, reason in sorted(broken.items()))
        if not models:
            raise InputError(f"object folder {folder} holds no usable object; mend these: {listed}")
        if broken:
            warnings.warn(f"skipped {len(broken)} of {len(found)} objects in {folder}: {listed}", stacklevel=2)
        return cls(folder.name or folder.resolve().name, tuple(models))


def _find_objects(folder: Path, pattern: str) -> list[Path]:
    """Returns the URDFs and the meshes that belong to none of them, sorted. Raises InputError."""
    try:
        if ".." in Path(pattern).parts:
            raise ValueError("it leads out of it")
        found = sorted(f for f in folder.glob(pattern) if f.is_file() and not f.name.startswith("."))
    except (ValueError, NotImplementedError) as error:
        raise InputError(f"objects.pattern '{pattern}' is no glob within the folder: {error}") from error
    urdfs = [f for f in found if f.suffix.lower() == ".urdf"]
    beside = {f.parent for f in urdfs}
    named = set()
    for urdf in urdfs:
        try:
            tags = list(ElementTree.parse(urdf).getroot().iter("mesh"))
        except (OSError, ElementTree.ParseError):
            continue  # said where the object is used
        named |= {(urdf.parent / tag.get("filename", "")).resolve() for tag in tags}
    bare = [f for f in found if f.suffix.lower() in MESH_SUFFIXES]
    result = sorted(urdfs + [f for f in bare if f.parent not in beside and f.resolve() not in named])
    if not result:
        what = ", ".join(MESH_SUFFIXES[:-1])
        raise InputError(f"object folder {folder} holds no .urdf, {what} or {MESH_SUFFIXES[-1]} file ('{pattern}')")
    return result


def _object_names(folder: Path, found: list[Path]) -> list[str]:
    """Returns a name for each file: its subfolder if alone there, else its path without ending."""
    parents = Counter(f.parent for f in found)
    alone = [parents[f.parent] == 1 and f.parent != folder for f in found]
    paths = [f.parent if a else f.with_suffix("") for f, a in zip(found, alone, strict=True)]
    names = [p.relative_to(folder).as_posix() for p in paths]
    counts = Counter(names)
    return [n if counts[n] == 1 else f.relative_to(folder).as_posix() for n, f in zip(names, found, strict=True)]
