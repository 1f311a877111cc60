"""Object sets: named meshes with a scale, each with its URDF for the physics."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sim.errors import InputError
from sim.objects import collections
from sim.objects.meshes import MESH_SUFFIXES, MeshSettings, SizeRule, prepare_meshes
from sim.objects.surfaces import ObjectMesh, load_surface
from sim.objects.urdf import mesh_files

PYBULLET_OBJECTS = 1000
# Number 168 is a broken file: a flat speck of half a millimetre.
_BROKEN_PYBULLET_OBJECTS = frozenset({168})


@dataclass(frozen=True)
class ObjectModel:
    """One object.

    Attributes:
        name: Its name in the set.
        urdf: Its file.
        scale: Factor on all its lengths.
        own_inertia: Whether the URDF's inertia is to be believed. That of objects made of bare meshes is;
            files in the wild hold nonsense, and Bullet then takes that of the bounding box instead.
    """

    name: str
    urdf: Path
    scale: float = 1.0
    own_inertia: bool = False

    def mesh(self) -> ObjectMesh:
        """Returns the visible surface; read once, then kept. Raises InputError if it cannot be read."""
        return load_surface(self.urdf, self.scale)


@dataclass(frozen=True)
class ObjectSet:
    """A named list of objects.

    Attributes:
        name: What tables and metadata call the set.
        models: The objects, in a fixed order.
        listed: Where the set was read from a list: for each of its lines the name of the object that it
            names, None where that is missing or broken. Scene files that count by lines refer to this.
    """

    name: str
    models: tuple[ObjectModel, ...]
    listed: tuple[str | None, ...] = ()

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

    def listed_model(self, index: int) -> ObjectModel:
        """Returns the object of a list's line ``index``, from 0; of a set without list, object ``index``.

        Raises:
            InputError: There is no such line, or its object was skipped.
        """
        listed = self.listed or self.names
        if not 0 <= index < len(listed):
            raise InputError(f"object {index} is not in the list of '{self.name}': it holds 0-{len(listed) - 1}")
        name = listed[index]
        if name is None:
            raise InputError(f"object {index} of the list of '{self.name}' was skipped: it is missing or broken")
        return self.model(name)

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
        length: float | None = None,
    ) -> ObjectSet:
        """Returns every URDF and every bare mesh (OBJ, PLY, STL, GLB, GLTF) below a folder.

        An object is called by its path within the folder: by its subfolder where it is alone in it.
        A mesh that a URDF names, or that lies beside one, is that URDF's. Other meshes are cleaned,
        centred on their centre of mass, weighed and split into convex parts once, see
        ``sim.objects.meshes``; later calls find the result in the cache. Broken ones are skipped, and one
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
            length: If given, every object is made as long as this first, metres, whatever its unit.

        Raises:
            InputError: The folder is missing or holds no usable object.
        """
        folder = collections.check_folder(path)
        size = SizeRule(scale, length, fit)
        found = _find_objects(folder, pattern)
        named = dict(zip(collections.object_names(folder, found), found, strict=True))
        models = _load(folder, named, dict.fromkeys(found, size), meshes, cache, workers)
        return cls(_folder_name(folder), tuple(models.values()))

    @classmethod
    def ycb(
        cls,
        path: str | Path,
        versions: Sequence[str] = collections.YCB_VERSIONS,
        scale: float = 1.0,
        fit: float | None = None,
        meshes: MeshSettings | None = None,
        cache: str | Path | None = None,
        workers: int = -1,
    ) -> ObjectSet:
        """Returns the YCB objects below a folder, ``002_master_chef_can/google_16k/textured.obj`` and so on.

        One mesh an object, called by the object's folder: of the first scan in ``versions`` that is
        there, textured if it can be had. The meshes are in metres. An object without a mesh is skipped
        and named. Other arguments and errors: see ``from_folder``.
        """
        folder, size = collections.check_folder(path), SizeRule(scale, None, fit)
        found, lacking = collections.ycb_files(folder, versions)
        models = _load(folder, found, dict.fromkeys(found.values(), size), meshes, cache, workers, lacking)
        return cls("ycb", tuple(models.values()))

    @classmethod
    def egad(
        cls,
        path: str | Path,
        split: str = "all",
        length: float | None = 0.1,
        fit: float | None = 0.08,
        scale: float = 1.0,
        meshes: MeshSettings | None = None,
        cache: str | Path | None = None,
        workers: int = -1,
    ) -> ObjectSet:
        """Returns EGAD's objects: ``egad_train_set/*.obj``, ``egad_eval_set/*.obj``, or the folder of both.

        EGAD's meshes have no unit: its own tool (scripts/prepare_meshes.py) makes each as long as the
        gripper opens, then smaller until its smallest side is 0.8 of that. So do the defaults here, for
        an opening of 0.1 m, with the second-smallest side, the stricter rule of ``fit``. For meshes that
        were given a size already, ``length=None fit=None`` and ``scale``.
        ``split``: "train", "eval" or "all". Other arguments and errors: see ``from_folder``.
        """
        folder, size = collections.check_folder(path), SizeRule(scale, length, fit)
        found = collections.egad_files(folder, split)
        models = _load(folder, found, dict.fromkeys(found.values(), size), meshes, cache, workers)
        return cls(f"egad-{split}", tuple(models.values()))

    @classmethod
    def shapenetsem(
        cls,
        path: str | Path,
        categories: Sequence[str] | None = None,
        ids: Sequence[str] | None = None,
        unit: float = 0.0254,
        scale: float = 1.0,
        fit: float | None = 0.08,
        meshes: MeshSettings | None = None,
        cache: str | Path | None = None,
        workers: int = -1,
    ) -> ObjectSet:
        """Returns ShapeNetSem's models, ``models-OBJ/models/<id>.obj``, called by their ids.

        ``metadata.csv`` says how many metres a unit of each model is; where it does not, it is ``unit``,
        the inch in which most were drawn. By default larger models are made to fit the gripper: among
        the 12,000 are cars and beds. Other arguments and errors: see ``from_folder``.

        Args:
            path: Where ``models-OBJ`` and ``metadata.csv`` lie.
            categories: Only models of these, for example ["Mug", "Bottle"].
            ids: Only these models.
            unit: Metres.
            scale: Factor on all lengths, besides the unit.
            fit: See ``from_folder``.
            meshes: See ``from_folder``.
            cache: See ``from_folder``.
            workers: See ``from_folder``.
        """
        folder = collections.check_folder(path)
        SizeRule(scale * unit, None, fit)  # wrong numbers are said before anything is read
        found, units, lacking = collections.shapenetsem_files(folder, unit, categories, ids)
        sizes = {f: SizeRule(scale * metres, None, fit) for f, metres in units.items()}
        models = _load(folder, found, sizes, meshes, cache, workers, lacking)
        return cls("shapenetsem", tuple(models.values()))

    @classmethod
    def from_list(
        cls,
        path: str | Path,
        root: str | Path | None = None,
        scale: float = 1.0,
        fit: float | None = None,
        meshes: MeshSettings | None = None,
        cache: str | Path | None = None,
        workers: int = -1,
    ) -> ObjectSet:
        """Returns the objects that a text file lists, as the authors publish theirs (``eval_seen.txt``).

        One path a line, of a URDF or a mesh, relative to ``root``; slashes and back-slashes are the same.
        A missing file is skipped and named like a broken one. ``models`` keeps the list's order without
        the skipped; ``listed`` and ``listed_model`` keep its lines, to which scene files refer.

        Args:
            path: The list.
            root: The folder to which its paths are relative; None for the list's own.
            scale: See ``from_folder``.
            fit: See ``from_folder``.
            meshes: See ``from_folder``.
            cache: See ``from_folder``.
            workers: See ``from_folder``.

        Raises:
            InputError: The list cannot be read, the root is missing, or nothing usable is listed.
        """
        source = Path(path)
        folder = collections.check_folder(source.parent if root is None else root)
        size = SizeRule(scale, None, fit)
        lines = collections.list_files(source, folder)
        lacking = {line: "there is no such file" for line, file in lines if line and file is None}
        files = list(dict.fromkeys(file for _, file in lines if file is not None))
        named = dict(zip(collections.object_names(folder, files), files, strict=True))
        models = _load(folder, named, dict.fromkeys(files, size), meshes, cache, workers, lacking)
        names = {file: name for name, file in named.items() if name in models}
        listed = tuple(None if file is None else names.get(file) for _, file in lines)
        return cls(source.stem, tuple(models.values()), listed)


def _folder_name(folder: Path) -> str:
    return folder.name or folder.resolve().name


def _load(
    folder: Path,
    found: Mapping[str, Path],
    sizes: Mapping[Path, SizeRule],
    meshes: MeshSettings | None,
    cache: str | Path | None,
    workers: int,
    lacking: Mapping[str, str] | None = None,
) -> dict[str, ObjectModel]:
    """Returns the models by name, in the order of ``found``; warns of what is skipped.

    Args:
        folder: What messages call the source; paths in them are relative to it.
        found: URDF or mesh of each object.
        sizes: Rule of size of each file.
        meshes: See ``ObjectSet.from_folder``.
        cache: See ``ObjectSet.from_folder``.
        workers: See ``ObjectSet.from_folder``.
        lacking: Objects that have no file at all, each with the reason.

    Raises:
        InputError: Nothing usable is left.
    """
    bare = {f: sizes[f] for f in found.values() if f.suffix.lower() != ".urdf"}
    made, broken = prepare_meshes(bare, meshes, cache, workers) if bare else ({}, {})
    models = {}
    for name, f in found.items():
        if f in made:
            models[name] = ObjectModel(name, made[f], own_inertia=True)
        elif f not in broken:
            try:
                size = sizes[f]
                # Read only where its size is asked for: the set may be large, and few of it used.
                scale = size.factor(load_surface(f.resolve(), 1.0).vertices) if size.measures else size.scale
                models[name] = ObjectModel(name, f.resolve(), scale)
            except InputError as error:
                broken[f] = str(error)
    reasons = {f.relative_to(folder).as_posix() if f.is_relative_to(folder) else str(f): r for f, r in broken.items()}
    skipped = sorted((reasons | dict(lacking or {})).items())
    listed = "; ".join(f"{name}: {reason}" for name, reason in skipped)
    if not models:
        raise InputError(f"object folder {folder} holds no usable object; mend these: {listed}")
    if skipped:
        total = len(found) + len(lacking or {})
        warnings.warn(f"skipped {len(skipped)} of {total} objects in {folder}: {listed}", stacklevel=3)
    return models


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
    named: set[Path] = set()
    for urdf in urdfs:
        with contextlib.suppress(InputError):  # raised again where the object is used
            named |= mesh_files(urdf)
    bare = [f for f in found if f.suffix.lower() in MESH_SUFFIXES]
    result = sorted(urdfs + [f for f in bare if f.parent not in beside and f.resolve() not in named])
    if not result:
        what = ", ".join(MESH_SUFFIXES[:-1])
        raise InputError(f"object folder {folder} holds no .urdf, {what} or {MESH_SUFFIXES[-1]} file ('{pattern}')")
    return result
