"""From a scene to what the camera sees: RGB, depth, mask, parallel depth, poses, boxes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.camera import ParallelCamera, PinholeCamera
from sim.geometry import transform
from sim.render.appearance import Appearance
from sim.render.rasteriser import rasterise_parallel, rasterise_pinhole
from sim.render.shading import shade
from sim.render.surface import scene_surface
from sim.scene import Scene, SceneState
from sim.view import SceneView, ViewObject

FloatArray = NDArray[np.float64]


def _box(mask: NDArray[np.integer], value: int) -> tuple[int, int, int, int]:
    """Returns (row_min, col_min, row_max, col_max) of a mask value's pixels, inclusive; all -1 where it has none."""
    rows, cols = np.nonzero(mask == value)
    if len(rows) == 0:
        return (-1, -1, -1, -1)
    return (int(rows.min()), int(cols.min()), int(rows.max()), int(cols.max()))


def render_depth(
    state: SceneState, camera: PinholeCamera, appearance: Appearance | None = None
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.uint8]]:
    """Renders what the pinhole camera sees, without the parallel images.

    Args:
        state: Scene.
        camera: Pinhole camera with its pose in the world.
        appearance: Colours and light.

    Returns:
        ``depth`` (H, W) float32 metres, 0 = nothing; ``mask`` (H, W) uint8, 0 = tray and ground, objects
        1 ... N in the state's order; ``rgb`` (H, W, 3) uint8.
    """
    look = appearance or Appearance()
    surface = scene_surface(state, look)
    vertices = _to_camera(surface.vertices, camera)
    depth, face = rasterise_pinhole(camera, vertices, surface.faces)
    ids = np.append(surface.ids, np.uint8(0))
    return depth, ids[face], shade(surface, face, camera, vertices=vertices, depth=depth, appearance=look)


def _to_camera(vertices: FloatArray, camera: PinholeCamera) -> FloatArray:
    """Returns world-frame vertices (V, 3), metres, in the camera frame."""
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
        scene: Scene or its state.
        camera: Pinhole camera with its pose in the world.
        parallel_camera: Parallel camera, in the pinhole camera's frame.
        rgb: Whether the colour picture is made.
        back_layer: Whether the front objects' back surface is rendered.
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
        parallel_camera, vertices, surface.faces, ids=surface.ids, back_layer=back_layer
    )
    to_camera = np.linalg.inv(camera.pose)
    objects = tuple(
        ViewObject(m.name, m.scale, i + 1, to_camera @ p, p, _box(mask, i + 1), *m.mass_properties())
        for i, (m, p) in enumerate(zip(state.models, state.poses, strict=True))
    )
    return SceneView(
        depth=depth,
        instance_mask=mask,
        camera=camera,
        parallel_depth=parallel,
        parallel_mask=parallel_mask,
        parallel_camera=parallel_camera,
        rgb=shade(surface, face, camera, vertices=vertices, depth=depth, appearance=look) if rgb else None,
        parallel_back_depth=back,
        objects=objects,
    )
