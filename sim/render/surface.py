"""All triangles of a scene: ground, tray and objects, where they lie in the world."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh
from numpy.typing import NDArray

from sim.errors import InputError
from sim.geometry import transform
from sim.objects.surfaces import ObjectMesh
from sim.physics import TraySettings
from sim.render.appearance import Appearance
from sim.scene import SceneState

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Surface:
    """All triangles of a scene, world frame.

    Attributes:
        vertices: (V, 3) float64, metres.
        faces: (F, 3) int32 vertex indices.
        ids: (F,) uint8 mask value of each face's object; 0 for tray and ground.
        colours: (F, 3) float32 RGB in [0, 1].
        graded: Objects whose colour varies within faces, each with the index of its first face.
    """

    vertices: FloatArray
    faces: NDArray[np.int32]
    ids: NDArray[np.uint8]
    colours: NDArray[np.float32]
    graded: tuple[tuple[int, ObjectMesh], ...] = ()


def _ground(height: float, side: float = 4.0, cells: int = 32) -> trimesh.Trimesh:
    """Returns the ground as many small triangles, so that those behind the camera can be left out.

    Args:
        height: Height in the world, metres.
        side: Side of the square, metres.
        cells: Number of squares along a side.
    """
    ticks = np.linspace(-side / 2, side / 2, cells + 1)
    x, y = np.meshgrid(ticks, ticks)
    vertices = np.stack([x.ravel(), y.ravel(), np.full(x.size, height)], axis=1)
    corner = (np.arange(cells)[:, None] * (cells + 1) + np.arange(cells)).ravel()
    faces = np.concatenate(
        [
            np.stack([corner, corner + 1, corner + cells + 2], axis=1),
            np.stack([corner, corner + cells + 2, corner + cells + 1], axis=1),
        ]
    )
    return trimesh.Trimesh(vertices, faces, process=False)


def _tray_surface(
    tray: TraySettings, appearance: Appearance
) -> list[tuple[trimesh.Trimesh, tuple[float, float, float]]]:
    """Returns ground, floor and walls as meshes in the world frame, metres, each with its colour."""
    parts = [(_ground(-tray.thickness), appearance.ground)]
    for size, pose in tray.boxes():
        parts.append((trimesh.creation.box(size, transform=pose), appearance.tray))
    return parts


def scene_surface(state: SceneState, appearance: Appearance | None = None) -> Surface:
    """Returns all triangles of a scene, ground and tray first, then the objects in the state's order.

    Args:
        state: Scene.
        appearance: Colours of tray and ground, and of plain objects.

    Raises:
        InputError: The scene has more than 255 objects.
    """
    if len(state.models) > 255:
        raise InputError(f"a scene of {len(state.models)} objects cannot be rendered: masks hold 255 at most")
    look = appearance or Appearance()
    vertices, faces, ids, colours, graded = [], [], [], [], []
    start = 0
    for part, colour in _tray_surface(state.tray, look):
        vertices.append(np.asarray(part.vertices, np.float64))
        faces.append(np.asarray(part.faces, np.int32) + start)
        ids.append(np.zeros(len(part.faces), np.uint8))
        colours.append(np.tile(np.asarray(colour, np.float32), (len(part.faces), 1)))
        start += len(part.vertices)
    for i, (model, pose) in enumerate(zip(state.models, state.poses, strict=True)):
        mesh = model.mesh()
        vertices.append(transform(pose, mesh.vertices))
        faces.append(mesh.faces + start)
        ids.append(np.full(len(mesh.faces), i + 1, np.uint8))
        if look.objects and mesh.is_plain:
            own = np.asarray(look.objects[i % len(look.objects)], np.float32)
            colours.append(np.tile(own, (len(mesh.faces), 1)))
        else:
            colours.append(mesh.colours)
        if mesh.corner_colours is not None:
            graded.append((sum(len(f) for f in faces[:-1]), mesh))
        start += len(mesh.vertices)
    return Surface(
        np.concatenate(vertices),
        np.concatenate(faces).astype(np.int32),
        np.concatenate(ids),
        np.concatenate(colours),
        tuple(graded),
    )
