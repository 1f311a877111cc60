"""Shapes of an arm with its hand where its joints put them: to be drawn, and to be known in pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import trimesh
from numpy.typing import NDArray

from robot.arms.assembly import Assembly
from robot.arms.hulls import Hull, read_hull
from sim.camera import PinholeCamera
from sim.geometry import transform
from sim.physics import pose_to_matrix, pybullet
from sim.render.rasteriser import rasterise_pinhole
from sim.render.shading import lambert

FloatArray = NDArray[np.float64]
RGBImage = NDArray[np.uint8]

_LIGHT, _AMBIENT = np.array([0.35, -0.5, 0.8]), 0.55


class Part(NamedTuple):
    """A rigid part.

    Attributes:
        vertices: (V, 3) float64 corners, world frame, metres.
        faces: (F, 3) int32 corners of each triangle.
        colour: Red, green and blue, 0 to 255.
    """

    vertices: FloatArray
    faces: NDArray[np.int32]
    colour: tuple[int, int, int]


def box_part(size: FloatArray, pose: FloatArray, colour: tuple[int, int, int]) -> Part:
    """Returns a box of a size (3,), metres, at T_world_box (4, 4)."""
    mesh = trimesh.creation.box(size)
    return Part(transform(pose, np.asarray(mesh.vertices)), np.asarray(mesh.faces, np.int32), colour)


class LinkShape(NamedTuple):
    """A box, sphere, cylinder, capsule or convex hull of a link.

    Attributes:
        link: PyBullet's number of the link; the base is -1.
        kind: PyBullet's number of the kind of shape.
        size: Metres: the sides of a box; the radius of a sphere; a cylinder's length and radius; a capsule's length
            between its caps, and radius. A hull's says nothing.
        pose: (4, 4) T_link_shape, or T_world_shape where the joints put it, metres.
        colour: Red, green and blue, 0 to 255.
        hull: The hull of a mesh, metres, in the frame of the shape; None for the other kinds.
    """

    link: int
    kind: int
    size: tuple[float, ...]
    pose: FloatArray
    colour: tuple[int, int, int]
    hull: Hull | None = None

    @property
    def reach(self) -> float:
        """Greatest distance of its surface from the origin of its frame, metres."""
        if self.hull is not None:
            return float(np.linalg.norm(self.hull.vertices, axis=1).max())
        if self.kind == pybullet.GEOM_CYLINDER:
            return float(np.hypot(self.size[0] / 2, self.size[1]))
        if self.kind == pybullet.GEOM_BOX:
            return float(np.linalg.norm(self.size)) / 2
        return self.size[0] if self.kind == pybullet.GEOM_SPHERE else self.size[0] / 2 + self.size[1]

    @property
    def thickness(self) -> float:
        """Least extent, metres; of a hull, that along its frame's axes."""
        if self.hull is not None:
            return float(np.ptp(self.hull.vertices, axis=0).min())
        if self.kind == pybullet.GEOM_BOX:
            return min(self.size)
        if self.kind == pybullet.GEOM_CYLINDER:
            return min(self.size[0], 2 * self.size[1])
        return 2 * (self.size[0] if self.kind == pybullet.GEOM_SPHERE else self.size[1])

    def depth_inside(self, points: FloatArray) -> FloatArray:
        """Returns how far points (N, 3), world frame, lie inside the shape, (N,) metres; negative outside."""
        local = transform(np.linalg.inv(self.pose), points)
        depth: FloatArray
        if self.hull is not None:
            depth = self.hull.depth_inside(local)
        elif self.kind == pybullet.GEOM_CYLINDER:
            around = self.size[1] - np.hypot(local[:, 0], local[:, 1])
            depth = np.minimum(around, self.size[0] / 2 - np.abs(local[:, 2]))
        elif self.kind == pybullet.GEOM_BOX:
            depth = (np.array(self.size) / 2 - np.abs(local)).min(axis=1)
        elif self.kind == pybullet.GEOM_SPHERE:
            depth = self.size[0] - np.linalg.norm(local, axis=1)
        else:
            local[:, 2] -= np.clip(local[:, 2], -self.size[0] / 2, self.size[0] / 2)  # to the axis's nearest place
            depth = self.size[1] - np.linalg.norm(local, axis=1)
        return depth


def own_shapes(body: Assembly) -> list[LinkShape]:
    """Returns the links' shapes, each with its pose in the frame of its link: asked of PyBullet, where they stand once.

    Args:
        body: The arm with its hand.
    """
    shapes = []
    for shape in pybullet.getVisualShapeData(body.body, physicsClientId=body.client):
        red, green, blue = (int(255 * c) for c in shape[7][:3])
        pose = pose_to_matrix(shape[5], shape[6])
        hull = read_hull(shape[4].decode()) if shape[2] == pybullet.GEOM_MESH else None
        shapes.append(LinkShape(shape[1], shape[2], tuple(shape[3]), pose, (red, green, blue), hull))
    return shapes


def placed_shapes(body: Assembly, shapes: Sequence[LinkShape]) -> Iterator[LinkShape]:
    """Yields shapes of ``own_shapes`` where the joints put their links, with T_world_shape."""
    for shape in shapes:
        if shape.link < 0:
            where = pybullet.getBasePositionAndOrientation(body.body, physicsClientId=body.client)
        else:
            where = pybullet.getLinkState(body.body, shape.link, 0, 1, physicsClientId=body.client)[4:6]
        yield shape._replace(pose=pose_to_matrix(*where) @ shape.pose)


def body_parts(body: Assembly, *, camera: bool = True) -> list[Part]:
    """Returns the links' shapes where they are, as meshes.

    Args:
        body: The arm with its hand.
        camera: Whether the camera's own body is among them.
    """
    parts = []
    for shape in placed_shapes(body, own_shapes(body)):
        if camera or shape.link != body.links.get("camera"):
            vertices, faces = _shape(shape.kind, shape.size) if shape.hull is None else shape.hull[:2]
            parts.append(Part(transform(shape.pose, vertices), faces, shape.colour))
    return parts


@lru_cache(maxsize=256)
def _shape(kind: int, size: tuple[float, ...]) -> tuple[FloatArray, NDArray[np.int32]]:
    """Returns corners, metres, and faces of a shape of PyBullet's in its own frame."""
    if kind == pybullet.GEOM_BOX:
        mesh = trimesh.creation.box(size)
    elif kind == pybullet.GEOM_SPHERE:
        mesh = trimesh.creation.icosphere(subdivisions=2, radius=size[0])
    elif kind == pybullet.GEOM_CYLINDER:
        mesh = trimesh.creation.cylinder(radius=size[1], height=size[0])
    else:
        mesh = trimesh.creation.capsule(height=size[0], radius=size[1], count=(16, 16))
        mesh.apply_translation(-mesh.bounds.mean(axis=0))
    return np.asarray(mesh.vertices, np.float64), np.asarray(mesh.faces, np.int32)


def _joined(parts: list[Part]) -> tuple[FloatArray, NDArray[np.int32]]:
    starts = np.cumsum([0] + [len(p.vertices) for p in parts[:-1]])
    faces = np.concatenate([p.faces + start for p, start in zip(parts, starts, strict=True)]).astype(np.int32)
    return np.concatenate([p.vertices for p in parts]), faces


def outline(parts: list[Part], camera: PinholeCamera) -> NDArray[np.bool_]:
    """Returns the pixels, (H, W) bool, that parts would cover in a camera's picture.

    Args:
        parts: The parts.
        camera: The camera with its pose in the world.
    """
    vertices, faces = _joined(parts)
    found = rasterise_pinhole(camera, transform(np.linalg.inv(camera.pose), vertices), faces)[1] >= 0
    return np.asarray(found, np.bool_)


def draw_over(
    depth: NDArray[np.float32], rgb: RGBImage, parts: list[Part], *, camera: PinholeCamera
) -> tuple[NDArray[np.float32], RGBImage]:
    """Returns a picture with parts before and among what it shows.

    Args:
        depth: (H, W) float32 metres; 0 = nothing.
        rgb: (H, W, 3) uint8.
        parts: The parts.
        camera: Camera of the picture with its pose in the world.

    Returns:
        Depth and colours, new arrays.
    """
    vertices, faces = _joined(parts)
    seen, face = rasterise_pinhole(camera, transform(np.linalg.inv(camera.pose), vertices), faces)
    colours = np.concatenate([np.tile(p.colour, (len(p.faces), 1)) for p in parts]).astype(np.float64)
    brightness = lambert(vertices, faces, camera, light=_LIGHT, ambient=_AMBIENT)
    palette = (colours * brightness[:, None]).astype(np.uint8)
    in_front = (face >= 0) & ((seen < depth) | (depth == 0))
    depth, rgb = depth.copy(), rgb.copy()
    depth[in_front], rgb[in_front] = seen[in_front], palette[face[in_front]]
    return depth, rgb
