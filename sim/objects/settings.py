"""How objects are loaded: their size, and how a bare mesh gets its mass and its convex parts."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import trimesh
from numpy.typing import NDArray

from sim.errors import InputError

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class MeshSettings:
    """How a bare mesh becomes an object.

    Attributes:
        density: Density, kg/m^3; 500 lies between hollow plastic and solid wood.
        min_mass: Least mass, kg; lighter objects jump in the solver.
        max_mass: Largest mass, kg; at friction 0.2 a hand of 60 N holds 2.4 kg at most, 2 mu F / g.
        method: Program that splits the mesh into convex parts: "vhacd" comes with PyBullet, "coacd" is an extra.
        resolution: Number of voxels in which vhacd seeks the parts. With a million, parts stand some 0.4 mm
            off a surface of 10 cm and a hollow object takes 5-15 s, once; with 50,000 it is 1 mm and 1 s.
        concavity: Share of hollowness that vhacd leaves in a part; a smaller share gives more parts.
        coacd_threshold: Hollowness that coacd leaves in a part, 0.01 ... 1; less gives more parts and takes longer.
        part_vertices: Largest number of corners of a part.
        seconds: Time limit of one mesh's split, seconds; a mesh that takes longer is skipped.
    """

    density: float = 500.0
    min_mass: float = 0.02
    max_mass: float = 1.0
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
        _check_method(self.method)

    def shaping(self) -> dict[str, Any]:
        """Returns the settings that shape the result: all but the time limit and the other method's options."""
        others = {"vhacd": {"coacd_threshold"}, "coacd": {"resolution", "concavity"}}[self.method]
        return {k: v for k, v in asdict(self).items() if k not in others | {"seconds"}}


def _check_method(method: str) -> None:
    """Raises InputError unless ``method`` is a way to split meshes that is installed."""
    if method not in ("vhacd", "coacd"):
        raise InputError(f"objects.meshes.method is '{method}'; choose vhacd or coacd")
    if method == "coacd" and importlib.util.find_spec("coacd") is None:
        raise InputError(
            "objects.meshes.method is coacd, which is not installed; pip install 'plgp[coacd]' or take vhacd"
        )


@dataclass(frozen=True, kw_only=True)
class SizeRule:
    """Size of an object, by three rules one after the other.

    Attributes:
        scale: Factor on all lengths; 0.001 for meshes in millimetres.
        length: Length that every object gets, metres, for meshes whose unit means nothing; None keeps their own.
        fit: Largest second-smallest side of the smallest box around an object, metres; larger objects are made
            smaller. Lying on its largest face, an object then shows the gripper a side that fits. None keeps sizes.
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
    """Returns the sides of the smallest box around points, in whatever direction it is turned.

    Args:
        vertices: (V, 3), metres.

    Returns:
        (3,) float64, metres, smallest first.

    Raises:
        InputError: The points are flat.
    """
    try:
        with np.errstate(divide="ignore", invalid="ignore"):  # trimesh divides by the volume of flat sets
            bounds: Any = trimesh.bounds
            sides: FloatArray = np.sort(bounds.oriented_bounds(vertices)[1])
    except Exception as error:  # qhull, on points of a line
        raise InputError("it is flat: it has no volume") from error
    if not sides[1] > 0:
        raise InputError("it is flat: it has no volume")
    return sides


@dataclass(frozen=True, kw_only=True)
class ObjectSource:
    """How an object set was made: all that is needed to make it again.

    Attributes:
        loader: Name of the ``ObjectSet`` method that made it, such as "from_folder".
        arguments: Its arguments as JSON holds them; ``path`` and ``root`` are absolute. Those that shape no object
            (cache, workers) are left out.
    """

    loader: str
    arguments: Mapping[str, Any]

    @classmethod
    def of(cls, loader: str, **arguments: Any) -> ObjectSource:
        """Returns the source of a set with the arguments of its loader."""
        shaping = {k: v for k, v in arguments.items() if k not in ("cache", "workers")}
        if "path" in shaping:  # today's defaults are written out: another plgp may have others
            shaping["meshes"] = shaping.get("meshes") or MeshSettings()
        return cls(loader=loader, arguments={k: _plain(v) for k, v in shaping.items()})


def _plain(value: Any) -> Any:
    """Returns an argument as JSON holds it."""
    if isinstance(value, MeshSettings):
        return asdict(value)
    if isinstance(value, Path):
        return str(value.expanduser().absolute())
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else value


class MeshOptions(TypedDict, total=False):
    """Keyword arguments that every ``ObjectSet`` made of files takes; ``load_models`` has their defaults.

    Attributes:
        scale: Factor on all lengths; 0.001 for meshes in millimetres.
        meshes: Mass and convex parts of bare meshes.
        cache: Folder of the objects made of bare meshes; None for ``$XDG_CACHE_HOME/plgp/meshes``, or
            ``~/.cache/plgp/meshes``.
        workers: Number of meshes prepared at a time; -1 for one per core.
    """

    scale: float
    meshes: MeshSettings | None
    cache: str | Path | None
    workers: int


class LoadOptions(MeshOptions, total=False):
    """Keyword arguments of an ``ObjectSet`` whose objects keep their size by default.

    Attributes:
        length: Length that every object gets, see ``SizeRule``.
        fit: Largest second-smallest side of an object, see ``SizeRule``.
    """

    length: float | None
    fit: float | None
