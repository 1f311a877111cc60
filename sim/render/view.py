"""From a scene to what the camera sees: RGB, depth, mask, parallel depth, poses, boxes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trimesh
from numpy.typing import NDArray

from sim.camera import ParallelCamera, PinholeCamera
from sim.errors import InputError
from sim.geometry import transform
from sim.objects.surfaces import ObjectMesh
from sim.physics import TraySettings
from sim.render.appearance import Appearance as Appearance
from sim.render.rasteriser import paint_within_faces, rasterise_parallel, rasterise_pinhole
from sim.scene import Scene, SceneState
from sim.view import SceneView, ViewObject

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Surface:
    """All triangles of a scene, world frame.

    Attributes:
        vertices: (V, 3) float64, metres.
        faces: (F, 3) int32.
        ids: (F,) uint8: 0 = tray and ground, else the object's mask value.
        colours: (F, 3) float32 RGB in [0, 1].
        graded: (index of its first face, mesh) of every object whose colour varies within faces.
    """

    vertices: FloatArray
    faces: NDArray[np.int32]
    ids: NDArray[np.uint8]
    colours: NDArray[np.float32]
    graded: tuple[tuple[int, ObjectMesh], ...] = ()


def _ground(height: float, side: float = 4.0, cells: int = 32) -> trimesh.Trimesh:
    """Returns the ground as many small triangles: those behind the camera can be left out."""
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
    parts = [(_ground(-tray.thickness), appearance.ground)]
    for size, pose in tray.boxes():
        parts.append((trimesh.creation.box(size, transform=pose), appearance.tray))
    return parts


def scene_surface(state: SceneState, appearance: Appearance | None = None) -> Surface:
    """Returns all triangles of a scene, ground and tray first."""
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


def _shade(
    surface: Surface, vertices: FloatArray, face: NDArray[np.int32], camera: PinholeCamera, appearance: Appearance
) -> NDArray[np.uint8]:
    """Returns (H, W, 3) uint8: Lambert shading by face, lit from both sides; black where nothing is.

    Args:
        surface: All triangles, world frame.
        vertices: (V, 3) float64, the same in the camera frame, metres.
        face: (H, W) int32 index of the face seen, -1 = none.
        camera: The camera with its pose in the world.
        appearance: The light.
    """
    a, b, c = (surface.vertices[surface.faces[:, i]] for i in range(3))
    normal = np.cross(b - a, c - a)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    # Meshes in the wild are not wound consistently: turn every normal towards the camera.
    towards = camera.pose[:3, 3] - a
    normal *= np.sign(np.sum(normal * towards, axis=1, keepdims=True))
    light = np.asarray(appearance.light) / np.linalg.norm(appearance.light)
    brightness = appearance.ambient + (1 - appearance.ambient) * np.clip(normal @ light, 0, 1)
    palette = np.clip(surface.colours * brightness[:, None] * 255, 0, 255).astype(np.uint8)
    palette = np.concatenate([palette, np.zeros((1, 3), np.uint8)])
    rgb = palette[face]
    for first, mesh in surface.graded:
        paint_within_faces(rgb, camera, vertices, surface.faces, face, brightness, first, mesh)
    return rgb


def _box(mask: NDArray[np.integer], value: int) -> tuple[int, int, int, int]:
    rows, cols = np.nonzero(mask == value)
    if len(rows) == 0:
        return (-1, -1, -1, -1)
    return (int(rows.min()), int(cols.min()), int(rows.max()), int(cols.max()))


def render_depth(
    state: SceneState, camera: PinholeCamera, appearance: Appearance | None = None
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint8]]:
    """Returns only the pinhole camera's ``depth`` (H, W) m, ``mask`` (H, W) and ``rgb`` (H, W, 3)."""
    look = appearance or Appearance()
    surface = scene_surface(state, look)
    vertices = _to_camera(surface.vertices, camera)
    depth, face = rasterise_pinhole(camera, vertices, surface.faces)
    ids = np.append(surface.ids, np.uint8(0))
    return depth, ids[face], _shade(surface, vertices, face, camera, look)


def _to_camera(vertices: FloatArray, camera: PinholeCamera) -> FloatArray:
    return transform(np.linalg.inv(camera.pose), vertices)


def render_view(
    scene: Scene | SceneState,
    camera: PinholeCamera,
    parallel_camera: ParallelCamera,
    rgb: bool = True,
    back_layer: bool = True,
    appearance: Appearance | None = None,
) -> SceneView:
    """Renders one view; all images are consistent with each other to the pixel.

    Args:
        scene: The scene or its state.
        camera: The pinhole camera with its pose in the world.
        parallel_camera: The parallel camera, in the pinhole camera's frame.
        rgb: Whether to shade the colour picture.
        back_layer: Whether to render the front objects' back surface.
        appearance: Colours and light.

    Returns:
        The view: the tray and the ground are 0 in the masks, objects 1 ... N in the state's order.
    """
    state = scene.state() if isinstance(scene, Scene) else scene
    look = appearance or Appearance()
    surface = scene_surface(state, look)
    vertices = _to_camera(surface.vertices, camera)
    depth, face = rasterise_pinhole(camera, vertices, surface.faces)
    mask = np.append(surface.ids, np.uint8(0))[face]
    parallel, parallel_mask, back = rasterise_parallel(
        parallel_camera, vertices, surface.faces, surface.ids, back_layer
    )
    to_camera = np.linalg.inv(camera.pose)
    objects = tuple(
        ViewObject(m.name, m.scale, i + 1, to_camera @ p, p, _box(mask, i + 1))
        for i, (m, p) in enumerate(zip(state.models, state.poses, strict=True))
    )
    return SceneView(
        depth=depth,
        instance_mask=mask,
        camera=camera,
        parallel_depth=parallel,
        parallel_mask=parallel_mask,
        parallel_camera=parallel_camera,
        rgb=_shade(surface, vertices, face, camera, look) if rgb else None,
        parallel_back_depth=back,
        objects=objects,
    )
