"""Object sets: named meshes with a scale, each with its URDF for the physics."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sim import InputError

PYBULLET_OBJECTS = 1000
# Number 168 is a broken file: a flat speck of half a millimetre.
_BROKEN_PYBULLET_OBJECTS = frozenset({168})


@dataclass(frozen=True)
class ObjectMesh:
    """An object's visible surface.

    Attributes:
        vertices: (V, 3) float64, metres, frame of the URDF's base link.
        faces: (F, 3) int32 vertex indices, counter-clockwise seen from outside.
        colours: (F, 3) float32 RGB in [0, 1], one a face.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int32]
    colours: NDArray[np.float32]


@dataclass(frozen=True)
class ObjectModel:
    """One object: its name in the set, its URDF, and a factor on all its lengths."""

    name: str
    urdf: Path
    scale: float = 1.0

    def mesh(self) -> ObjectMesh:
        """Returns the visible surface; read once, then kept. Raises InputError if it cannot be read."""
        return _load_mesh(self.urdf, self.scale)


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
    def from_folder(cls, path: str | Path, scale: float = 1.0) -> ObjectSet:
        """Returns every URDF below a folder, named by its path within it.

        Args:
            path: The folder.
            scale: Factor on all lengths.

        Raises:
            InputError: The folder is missing or holds no URDF.
        """
        folder = Path(path)
        if not folder.is_dir():
            raise InputError(f"object folder {folder} does not exist")
        found = sorted(folder.rglob("*.urdf"))
        if not found:
            raise InputError(f"object folder {folder} holds no .urdf file")
        folders = [f.parent for f in found]
        models = []
        for f in found:
            alone = folders.count(f.parent) == 1 and f.parent != folder
            relative = (f.parent if alone else f.with_suffix("")).relative_to(folder)
            models.append(ObjectModel(relative.as_posix(), f.resolve(), scale))
        return cls(folder.name, tuple(models))


def _numbers(element: ElementTree.Element | None, attribute: str, default: str) -> NDArray[np.float64]:
    text = default if element is None else element.get(attribute, default)
    return np.array([float(x) for x in text.split()])


def _pose(element: ElementTree.Element | None) -> NDArray[np.float64]:
    pose = np.eye(4)
    pose[:3, 3] = _numbers(element, "xyz", "0 0 0")
    pose[:3, :3] = Rotation.from_euler("xyz", _numbers(element, "rpy", "0 0 0")).as_matrix()
    return pose


def _geometry(visual: ElementTree.Element, folder: Path) -> trimesh.Trimesh:
    """Returns one <visual>'s surface in the link frame, metres."""
    geometry = visual.find("geometry")
    shape = geometry[0] if geometry is not None and len(geometry) else None
    if shape is None:
        raise InputError("has a <visual> without geometry")
    if shape.tag == "mesh":
        mesh = _read_mesh(folder / shape.get("filename", ""))
        mesh.apply_transform(np.diag([*_numbers(shape, "scale", "1 1 1"), 1.0]))
    elif shape.tag == "box":
        mesh = trimesh.creation.box(_numbers(shape, "size", "1 1 1"))
    elif shape.tag == "sphere":
        mesh = trimesh.creation.icosphere(subdivisions=3, radius=float(shape.get("radius", "1")))
    elif shape.tag == "cylinder":
        mesh = trimesh.creation.cylinder(float(shape.get("radius", "1")), float(shape.get("length", "1")))
    else:
        raise InputError(f"has a <{shape.tag}> shape, which is not known here")
    mesh.apply_transform(_pose(visual.find("origin")))
    return mesh


def _read_mesh(path: Path) -> trimesh.Trimesh:
    if not path.is_file():
        raise InputError(f"names the mesh {path}, which does not exist")
    try:
        mesh = trimesh.load(path, force="mesh", process=False)
    except Exception as error:  # trimesh's readers raise whatever the broken file makes them raise
        raise InputError(f"names the mesh {path}, which cannot be read ({error})") from error
    if not isinstance(mesh, trimesh.Trimesh) or len(mesh.faces) == 0 or not np.isfinite(mesh.vertices).all():
        raise InputError(f"names the mesh {path}, which holds no usable triangles")
    return mesh


@lru_cache(maxsize=2000)
def _load_mesh(urdf: Path, scale: float) -> ObjectMesh:
    try:
        root = ElementTree.parse(urdf).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise InputError(f"object file {urdf} cannot be read: {error}") from error
    named = {m.get("name"): m for m in root.iter("material") if m.find("color") is not None}
    vertices: list[NDArray[np.float64]] = []
    faces: list[NDArray[np.int32]] = []
    colours: list[NDArray[np.float32]] = []
    link = root.find("link")
    for visual in [] if link is None else link.findall("visual"):
        try:
            mesh = _geometry(visual, urdf.parent)
        except InputError as error:
            raise InputError(f"object file {urdf} {error}; mend or remove it") from error
        material = visual.find("material")
        if material is not None and material.find("color") is None:
            material = named.get(material.get("name"))
        colour = _numbers(None if material is None else material.find("color"), "rgba", "0.6 0.6 0.6 1")[:3]
        faces.append(np.asarray(mesh.faces, np.int32) + sum(len(v) for v in vertices))
        vertices.append(np.asarray(mesh.vertices, np.float64) * scale)
        colours.append(np.tile(np.asarray(colour, np.float32), (len(mesh.faces), 1)))
    if not faces:
        raise InputError(f"object file {urdf} has no visual mesh on its first link")
    return ObjectMesh(np.concatenate(vertices), np.concatenate(faces).astype(np.int32), np.concatenate(colours))
