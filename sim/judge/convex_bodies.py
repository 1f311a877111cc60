"""The bodies that Bullet simulates, as convex parts and inertias that another engine can take."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError
from sim.geometry import transform
from sim.objects.mesh_file import read_mesh
from sim.objects.object_set import ObjectModel
from sim.objects.urdf import Shape, read_base_link
from sim.physics import World, pose_to_matrix, pybullet

FloatArray = NDArray[np.float64]


class Inertia(NamedTuple):
    """How heavy a body is.

    Attributes:
        mass: Mass, kg.
        diagonal: (3,) float64 moments about the axes of ``frame``, kg m^2.
        frame: (4, 4) float64 T_link_inertial, metres.
    """

    mass: float
    diagonal: FloatArray
    frame: FloatArray


def convex_parts(model: ObjectModel) -> list[FloatArray]:
    """Returns the corners of an object's convex parts, (N, 3) float64 each, link frame, metres.

    As in Bullet, each ``o`` or ``g`` of an OBJ is a part, and so is each whole file of another kind.

    Args:
        model: Object.

    Raises:
        InputError: The object has nothing that collides, or its file is broken.
    """
    parts = []
    for part in read_base_link(model.urdf).collisions:
        if part.shape is None:
            continue
        for corners in _corners(part.shape):
            placed = transform(part.pose, corners) * model.scale
            if len(placed) >= 4 and np.linalg.matrix_rank(placed - placed[0], tol=1e-9) == 3:
                parts.append(placed)
    if not parts:
        raise InputError(f"object '{model.name}' has no <collision> with a volume; give it one")
    return parts


def _corners(shape: Shape) -> list[FloatArray]:
    """Returns the corners of a shape's convex parts, in the shape's frame, metres."""
    if shape.file is None:
        return [np.asarray(shape.primitive().vertices, np.float64)]
    if shape.file.suffix.lower() == ".obj":
        return [corners * shape.scale for corners in _obj_parts(shape.file)]
    return [np.asarray(read_mesh(shape.file).vertices, np.float64) * shape.scale]


_PARTS = ("o ", "o\t", "g ", "g\t")  # beginnings of lines at which Bullet begins a part; a bare letter is none


def _obj_parts(path: Path) -> list[FloatArray]:
    """Returns the corners that the faces of each ``o`` or ``g`` of an OBJ use."""
    corners: list[list[float]] = []
    parts: list[set[int]] = [set()]
    for line in path.read_text(errors="replace").splitlines():
        words = line.split()
        if words[:1] == ["v"]:
            corners.append([float(word) for word in words[1:4]])
        elif line.lstrip()[:2] in _PARTS:
            parts.append(set())
        elif words[:1] == ["f"]:
            numbers = (int(word.partition("/")[0]) for word in words[1:])
            parts[-1] |= {number - 1 if number > 0 else len(corners) + number for number in numbers}
    every = np.array(corners, np.float64).reshape(-1, 3)
    return [every[sorted(part)] for part in parts if part]


def inertias(world: World) -> list[Inertia]:
    """Returns the inertia that Bullet gives each object of a world."""
    found = []
    for body in world.objects:
        info = pybullet.getDynamicsInfo(body, -1, physicsClientId=world.client)
        found.append(Inertia(float(info[0]), np.array(info[2], np.float64), pose_to_matrix(info[3], info[4])))
    return found
