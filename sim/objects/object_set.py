"""Object sets: named meshes with a scale, each with its URDF for the physics."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from glob import escape
from pathlib import Path
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError
from sim.objects import collections
from sim.objects.folder import find_objects, moved, told_doubts
from sim.objects.meshes import default_cache, density_doubt, prepare_meshes, read_notes, size_doubt
from sim.objects.procedural.numbered import procedural_set
from sim.objects.settings import LoadOptions, MeshOptions, MeshSettings, ObjectSource, SizeRule
from sim.objects.surfaces import ObjectMesh, load_surface
from sim.objects.urdf import read_mass
from sim.objects.urdf_copy import usable_urdf

PYBULLET_OBJECTS = 1000
_BROKEN_PYBULLET_OBJECTS = frozenset({168})  # a flat speck of half a millimetre

_LOADERS = ("pybullet", "from_folder", "ycb", "egad", "shapenetsem", "from_list", "procedural")


@dataclass(frozen=True)
class ObjectModel:
    """One object.

    Attributes:
        name: Name in the set.
        urdf: File that describes the object.
        scale: Factor on all of the file's lengths.
        own_inertia: Whether the URDF's inertia is right, as it is for objects made here of bare meshes. Files in
            the wild hold nonsense; for them Bullet takes the inertia of the bounding box, times the file's
            ``inertia_scaling``, which is 3 in PyBullet's own objects.
        original: The author's URDF, where ``urdf`` is a copy of it made for Bullet; None where it is the author's.
        weight: Factor on the file's mass and inertia.
    """

    name: str
    urdf: Path
    scale: float = 1.0
    own_inertia: bool = False
    original: Path | None = field(default=None, compare=False)
    weight: float = 1.0

    @property
    def described(self) -> bytes:
        """Content of the author's URDF, by which the object is known wherever it lies; raises InputError."""
        file = self.original or self.urdf
        try:
            return file.read_bytes()
        except OSError as error:
            raise InputError(f"object file {file} cannot be read ({error.strerror}); put it back") from error

    def mesh(self) -> ObjectMesh:
        """Returns the visible surface; read once, then kept. Raises InputError if it cannot be read."""
        return load_surface(self.urdf, self.scale)

    def mass_properties(self) -> tuple[float, NDArray[np.float64]]:
        """Returns the mass, kg, and the centre of mass in the object's frame, (3,) metres; raises InputError."""
        mass, centre = read_mass(self.urdf)
        return mass * self.weight, centre * self.scale


@dataclass(frozen=True)
class ObjectSet:
    """A named list of objects.

    Attributes:
        name: Name of the set in tables and metadata.
        models: Objects, in a fixed order.
        listed: Name of the object on each line of the list from which the set was read, None where that object
            is missing or broken; empty for a set without a list. Scene files refer to objects by these lines.
        source: How the set was made; None for one that was put together by hand.
    """

    name: str
    models: tuple[ObjectModel, ...]
    listed: tuple[str | None, ...] = ()
    source: ObjectSource | None = field(default=None, compare=False)

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
        """Returns the object on line ``index`` of the set's list, from 0; object ``index`` of a set without a list.

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

        By convention 0-899 are seen (training) and 900-999 novel objects. Number 168 is left out: its file is broken.
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
        source = ObjectSource.of("pybullet", first=first, last=last)
        return cls(f"pybullet-{first}-{last}", tuple(models), source=source)

    @classmethod
    def procedural(
        cls,
        seed: int = 0,
        first: int = 0,
        last: int = 999,
        *,
        families: str | Sequence[str] = "all",
        cache: str | Path | None = None,
        workers: int = -1,
    ) -> ObjectSet:
        """Returns household-like objects ``first`` ... ``last`` of a seed; see ``procedural_set``."""
        name, found = procedural_set(seed, first, last, families=families, cache=cache, workers=workers)
        models = tuple(ObjectModel(n, urdf, own_inertia=True) for n, urdf in found.items())
        source = ObjectSource.of("procedural", seed=seed, first=first, last=last, families=families)
        return cls(name, models, source=source)

    @classmethod
    def from_folder(cls, path: str | Path, *, pattern: str = "**/*", **options: Unpack[LoadOptions]) -> ObjectSet:
        """Returns every URDF and every bare mesh (``MESH_SUFFIXES``) below a folder.

        An object is called by its subfolder where no other object lies in it, else by its path within the folder.
        Objects that are not read count here, too: an archive, or a ``.blend``. A mesh that a URDF names, or that
        lies beside one, is that URDF's. Other meshes are cleaned, centred on their centre of mass, weighed and split
        into convex parts once, see ``sim.objects.meshes``; later calls find the result in the cache. Broken objects
        are skipped, and one warning at the end lists them.

        Args:
            path: Folder of the objects, or one URDF or mesh.
            pattern: Glob of the files to look at; ``**/textured.obj`` takes these only.
            **options: Size, convex parts and cache; see ``sim.objects.settings.LoadOptions``.

        Raises:
            InputError: The folder is missing or holds no usable object.
        """
        if Path(path).is_file():
            path, pattern = Path(path).parent, escape(Path(path).name)
        folder = collections.check_folder(path)
        found, lacking = find_objects(folder, pattern)
        models = load_models(folder, found, lacking=lacking, **options)
        source = ObjectSource.of("from_folder", path=folder, pattern=pattern, **options)
        return cls(folder.name or folder.resolve().name, tuple(models.values()), source=source)

    @classmethod
    def ycb(
        cls,
        path: str | Path,
        *,
        versions: Sequence[str] = collections.YCB_VERSIONS,
        **options: Unpack[LoadOptions],
    ) -> ObjectSet:
        """Returns the YCB objects below a folder, ``002_master_chef_can/google_16k/textured.obj`` and so on.

        An object has one mesh and is called by its folder. The meshes are in metres. An object without a mesh
        is skipped and named in the warning.

        Args:
            path: Folder of the objects.
            versions: Names of the scans, best first. The first that is there is taken, textured if it can be had.
            **options: See ``from_folder``.

        Raises:
            InputError: The folder is missing or holds no usable object.
        """
        folder = collections.check_folder(path)
        found, lacking = collections.ycb_files(folder, versions)
        models = load_models(folder, found, lacking=lacking, **options)
        source = ObjectSource.of("ycb", path=folder, versions=versions, **options)
        return cls("ycb", tuple(models.values()), source=source)

    @classmethod
    def egad(
        cls,
        path: str | Path,
        *,
        split: str = "all",
        length: float | None = 0.1,
        fit: float | None = 0.08,
        **options: Unpack[MeshOptions],
    ) -> ObjectSet:
        """Returns EGAD's objects: ``egad_train_set/*.obj``, ``egad_eval_set/*.obj``, or the folder of both.

        EGAD's meshes have no unit. Its own tool (scripts/prepare_meshes.py) makes each as long as the gripper
        opens, then smaller until its smallest side is 0.8 of that. The defaults here do so for an opening of
        0.1 m, with the second-smallest side, which is the stricter rule.
        Meshes that were given a size already need ``length=None``, ``fit=None`` and ``scale``.

        Args:
            path: Folder of the objects.
            split: Part of a folder that holds both sets: "train", "eval" or "all".
            length: Length that every object gets, metres; None keeps their own.
            fit: Largest second-smallest side of an object, metres; None keeps sizes.
            **options: See ``from_folder``.

        Raises:
            InputError: The folder is missing or holds no usable object, or the split is not known.
        """
        folder = collections.check_folder(path)
        found = collections.egad_files(folder, split)
        models = load_models(folder, found, length=length, fit=fit, **options)
        source = ObjectSource.of("egad", path=folder, split=split, length=length, fit=fit, **options)
        return cls(f"egad-{split}", tuple(models.values()), source=source)

    @classmethod
    def shapenetsem(
        cls,
        path: str | Path,
        *,
        categories: Sequence[str] | None = None,
        ids: Sequence[str] | None = None,
        unit: float = 0.0254,
        fit: float | None = 0.08,
        **options: Unpack[MeshOptions],
    ) -> ObjectSet:
        """Returns ShapeNetSem's models, ``models-OBJ/models/<id>.obj``, called by their ids.

        ``metadata.csv`` says how many metres a unit of each model is. By default larger models are made to fit
        the gripper: among the 12,000 are cars and beds.

        Args:
            path: Folder of ``models-OBJ`` and ``metadata.csv``.
            categories: Categories of the models to take, for example ["Mug", "Bottle"]; None for all.
            ids: Ids of the models to take; None for all.
            unit: Metres in a unit of the models of which the metadata says nothing: the inch, in which most
                were drawn.
            fit: Largest second-smallest side of a model, metres; None keeps sizes.
            **options: See ``from_folder``; ``scale`` comes on top of the unit.

        Raises:
            InputError: The folder is missing, or holds none of what is asked or nothing usable.
        """
        folder = collections.check_folder(path)
        found, units, lacking = collections.shapenetsem_files(folder, unit=unit, categories=categories, ids=ids)
        models = load_models(folder, found, units=units, lacking=lacking, fit=fit, **options)
        asked = {"categories": categories, "ids": ids, "unit": unit, "fit": fit}
        source = ObjectSource.of("shapenetsem", path=folder, **asked, **options)
        return cls("shapenetsem", tuple(models.values()), source=source)

    @classmethod
    def from_list(cls, path: str | Path, root: str | Path | None = None, **options: Unpack[LoadOptions]) -> ObjectSet:
        """Returns the objects that a text file lists, as the authors publish theirs (``eval_seen.txt``).

        A line is the path of a URDF or a mesh, relative to ``root``; slashes and back-slashes are the same.
        A missing file is skipped and named like a broken one. ``models`` keeps the list's order without
        the skipped; ``listed`` and ``listed_model`` keep its lines, to which scene files refer.

        Args:
            path: File that lists the objects.
            root: Folder to which its paths are relative; None for the list's own.
            **options: See ``from_folder``.

        Raises:
            InputError: The list cannot be read, the root is missing, or nothing usable is listed.
        """
        source = Path(path)
        folder = collections.check_folder(source.parent if root is None else root)
        lines = collections.list_files(source, folder)
        lacking = {line: "there is no such file" for line, file in lines if line and file is None}
        files = list(dict.fromkeys(file for _, file in lines if file is not None))
        named = dict(zip(collections.object_names(folder, files), files, strict=True))
        models = load_models(folder, named, lacking=lacking, **options)
        names = {file: name for name, file in named.items() if name in models}
        listed = tuple(None if file is None else names.get(file) for _, file in lines)
        made_by = ObjectSource.of("from_list", path=source, root=None if root is None else folder, **options)
        return cls(source.stem, tuple(models.values()), listed, made_by)

    @classmethod
    def from_source(cls, source: ObjectSource, folder: str | Path | None = None) -> ObjectSet:
        """Returns the set that a source describes, made again.

        Args:
            source: How the set was made.
            folder: Folder of the objects where they no longer lie where they lay; of a list, the folder to which
                its paths are relative.

        Raises:
            InputError: The source is damaged, or its files are not found.
        """
        arguments = dict(source.arguments)
        if source.loader not in _LOADERS:
            raise InputError(f"objects made by '{source.loader}' are not known to this plgp; choose {_LOADERS}")
        if folder is not None and "path" in arguments:
            arguments |= moved(source, Path(folder))
        try:
            if "meshes" in arguments:
                arguments["meshes"] = MeshSettings(**arguments["meshes"])
            made: ObjectSet = getattr(cls, source.loader)(**arguments)
        except (TypeError, AttributeError) as error:
            raise InputError(f"how the objects were made cannot be read ({error}); give objects=FOLDER") from error
        return made


def load_models(
    folder: Path,
    found: Mapping[str, Path],
    *,
    units: Mapping[Path, float] | None = None,
    lacking: Mapping[str, str] | None = None,
    scale: float = 1.0,
    length: float | None = None,
    fit: float | None = None,
    meshes: MeshSettings | None = None,
    cache: str | Path | None = None,
    workers: int = -1,
) -> dict[str, ObjectModel]:
    """Returns the models by name, in the order of ``found``; warns of what is skipped.

    Args:
        folder: Source of the objects for messages, whose paths are relative to it.
        found: URDF or mesh of each object.
        units: Metres in a unit of each mesh; 1 where left out.
        lacking: Reasons why objects have no file at all, by name.
        scale: Factor on all lengths, see ``LoadOptions``.
        length: Length of every object, see ``LoadOptions``.
        fit: Largest second-smallest side, see ``LoadOptions``.
        meshes: Mass and convex parts, see ``LoadOptions``.
        cache: Folder of the objects, see ``LoadOptions``.
        workers: Number of meshes at a time, see ``LoadOptions``.

    Raises:
        InputError: Nothing usable is left, or a number is out of range.
    """
    units, lacking, size = units or {}, lacking or {}, SizeRule(scale=scale, length=length, fit=fit)
    sizes = {f: replace(size, scale=scale * units[f]) if f in units else size for f in found.values()}
    bare = {f: rule for f, rule in sizes.items() if f.suffix.lower() != ".urdf"}
    made, broken = prepare_meshes(bare, meshes, cache=cache, workers=workers) if bare else ({}, {})
    models, notes = {}, {name: read_notes(made[f].parent) for name, f in found.items() if f in made}
    for name, f in found.items():
        if f in made:
            models[name] = ObjectModel(name, made[f], own_inertia=True)
        elif f not in broken:
            try:
                urdf = usable_urdf(f.resolve(), default_cache() if cache is None else Path(cache))
                original = None if urdf == f.resolve() else f.resolve()
                models[name] = ObjectModel(name, urdf, _factor(urdf, sizes[f]), original=original)
                seen, mass = models[name].mesh().vertices, models[name].mass_properties()[0]
                notes[name] = [size_doubt(seen, scaled=models[name].scale != 1) or density_doubt(seen, mass)]
            except InputError as error:
                broken[f] = str(error)
    reasons = {f.relative_to(folder).as_posix() if f.is_relative_to(folder) else str(f): r for f, r in broken.items()}
    skipped = "; ".join(f"{name}: {reason}" for name, reason in sorted((reasons | dict(lacking)).items()))
    if not models:
        raise InputError(f"object folder {folder} holds no usable object; mend these: {skipped}")
    if skipped:
        count, total = len(reasons | dict(lacking)), len(found) + len(lacking)
        warnings.warn(f"skipped {count} of {total} objects in {folder}: {skipped}", stacklevel=3)
    doubts = told_doubts(notes)
    if doubts:
        warnings.warn(f"doubtful objects in {folder}: {doubts}", stacklevel=3)
    return models


def _factor(urdf: Path, size: SizeRule) -> float:
    """Returns the factor on a URDF's lengths; reads the surface only where the rule asks for its size."""
    return size.factor(load_surface(urdf, 1.0).vertices) if size.measures else size.scale
