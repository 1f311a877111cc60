"""Shading: how bright the light makes each face, and the colour picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.camera import PinholeCamera
from sim.render.appearance import Appearance
from sim.render.pattern import PatternedAppearance, lay_pattern
from sim.render.rasteriser import paint_within_faces
from sim.render.surface import Surface

FloatArray = NDArray[np.float64]


def shade(
    surface: Surface,
    face: NDArray[np.int32],
    camera: PinholeCamera,
    *,
    vertices: FloatArray,
    depth: NDArray[np.float32],
    appearance: Appearance,
) -> NDArray[np.uint8]:
    """Returns the colour picture, shaded face by face; black where nothing is seen.

    Args:
        surface: All triangles, world frame.
        face: (H, W) int32 index of the face seen, -1 = none.
        camera: The camera with its pose in the world.
        vertices: (V, 3) float64, the surface's vertices in the camera frame, metres.
        depth: (H, W) float32, what the camera sees, metres.
        appearance: The light, and the pattern of tray and ground.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    light = np.asarray(appearance.light, np.float64)
    brightness = lambert(surface.vertices, surface.faces, camera, light=light, ambient=appearance.ambient)
    palette = np.clip(surface.colours * brightness[:, None] * 255, 0, 255).astype(np.uint8)
    palette = np.concatenate([palette, np.zeros((1, 3), np.uint8)])
    rgb: NDArray[np.uint8] = palette[face]
    if isinstance(appearance, PatternedAppearance) and appearance.pattern is not None:
        where = np.append(surface.ids == 0, False)[face]
        lay_pattern(rgb, depth, camera, where=where, pattern=appearance.pattern, brightness=brightness[face[where]])
    for first, mesh in surface.graded:
        paint_within_faces(
            rgb, face, mesh, first=first, camera=camera, vertices=vertices, faces=surface.faces, brightness=brightness
        )
    return rgb


def lambert(
    vertices: FloatArray, faces: NDArray[np.int32], camera: PinholeCamera, *, light: FloatArray, ambient: float
) -> FloatArray:
    """Returns Lambert's brightness of each face, lit from both sides: ambient + (1 - ambient) max(n . l, 0).

    Args:
        vertices: (V, 3) float64, world frame, metres.
        faces: (F, 3) int32 vertex indices.
        camera: The camera with its pose in the world.
        light: (3,) float64 direction towards the light, world frame, of any length.
        ambient: Share of light that reaches every face, [0, 1].

    Returns:
        (F,) float64 in [0, 1].
    """
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    normal = np.cross(b - a, c - a)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    # Meshes in the wild are not wound consistently: every normal is turned towards the camera.
    normal *= np.sign(np.sum(normal * (camera.pose[:3, 3] - a), axis=1, keepdims=True))
    brightness: FloatArray = ambient + (1 - ambient) * np.clip(normal @ (light / np.linalg.norm(light)), 0, 1)
    return brightness
