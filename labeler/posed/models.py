"""The meshes of a data set with posed objects, as objects of ours: centred on their centre of mass, with physics."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sim.errors import InputError
from sim.geometry import FloatArray, make_pose
from sim.objects import ObjectSet
from sim.objects.mesh_file import clean_mesh, read_mesh
from sim.objects.meshes import SIZE_CURE

_MESHES = {"bop": (("obj_*.ply",), 0.001), "graspnet": (("*/nontextured.ply", "*/textured.obj"), 1.0)}
# T-LESS has no plain one; those for evaluation are the coarsest.
_FOLDERS = {"bop": ("models", "models_cad", "models_fine", "models_reconst", "models_eval"), "graspnet": ("models",)}


@dataclass(frozen=True, kw_only=True)
class PosedModels:
    """Objects, and where the frames of their mesh files lie.

    Attributes:
        objects: The objects.
        frames: (4, 4) T_file_link, metres, of every object by its name.
    """

    objects: ObjectSet
    frames: Mapping[str, FloatArray]


def models_folder(source: Path, format: str) -> Path:
    """Returns the folder of a data set's meshes: in it, or beside it where ``source`` is one of its splits.

    Args:
        source: Folder of the data set, or of a split.
        format: "bop" or "graspnet".
    """
    for place in (source, source.parent):
        for name in _FOLDERS[format]:
            if any(any((place / name).glob(pattern)) for pattern in _MESHES[format][0]):
                return place / name
    return source / "models"


def load_posed_models(folder: Path, format: str) -> PosedModels:
    """Loads the meshes of a data set.

    Args:
        folder: Folder of the meshes, the data set's ``models``.
        format: "bop", in millimetres, or "graspnet", in metres.

    Raises:
        InputError: The folder is missing or holds no usable mesh.
    """
    patterns, scale = _MESHES[format]
    pattern = next((p for p in patterns if any(folder.glob(p))), None)
    if pattern is None:
        raise InputError(f"{folder} holds no {' or '.join(patterns)}; give the folder of the meshes: models=FOLDER")
    objects = _load(folder, pattern, scale)
    frames = {}
    for model in objects.models:
        file = next(f for f in folder.glob(pattern) if model.name in (f.stem, f.parent.name))
        mesh = clean_mesh(read_mesh(file)).mesh  # what the object was made of, before it was moved
        link = model.mesh().vertices.min(axis=0) - np.asarray(mesh.vertices).min(axis=0) * scale
        frames[model.name] = make_pose(np.eye(3), -link)
    return PosedModels(objects=objects, frames=frames)


def _load(folder: Path, pattern: str, scale: float) -> ObjectSet:
    """Loads the meshes; what is said of their sizes names the format's unit: an import has no option for it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            objects = ObjectSet.from_folder(folder, pattern=pattern, scale=scale)
        except InputError as error:
            raise InputError(_with_units(str(error))) from error
    for told in caught:
        warnings.warn(_with_units(str(told.message)), told.category, stacklevel=3)
    return objects


def _with_units(told: str) -> str:
    """Returns a sentence on meshes with the cure of a wrong unit in place of options of other commands."""
    sizes = [float(size) for size in re.findall(rf"it is (\S+) m long[^;]*; {re.escape(SIZE_CURE)}", told)]
    if not sizes:
        return told
    told = re.sub(r" \(objects\.scale=[^)]*\)", "", told).replace(f"; {SIZE_CURE}", "")
    factors = " or ".join(f"{factor:g}" for factor in sorted({0.001 if size > 1 else 1000 for size in sizes}))
    return f"{told}; BOP's meshes are in millimetres, GraspNet's in metres: multiply the vertices by {factors}"
