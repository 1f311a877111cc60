"""A depth image as another camera would have taken it: from above a plane, at a given distance, straight or leaning.

The image's grid of points is a mesh without the faces that would bridge a step of the depth. A z-buffer draws it: what
is near hides what is far, there are no cracks, and what the first camera did not see is missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sim.camera import PinholeCamera
from sim.compiled import compiled
from sim.depth_image.edges import fill_nearest
from sim.depth_image.main_plane import MainPlane
from sim.geometry import make_pose
from sim.view import Observation

FloatArray = NDArray[np.float64]
FloatImage = NDArray[np.float32]
Optics = tuple[float, float, float, float, float]  # fx, fy, cx, cy, skew

_STEP = 0.008  # metres, least step of the depth between neighbours that counts as an edge ...
_SLOPE = 5.0  # ... and the least as a multiple of the distance between them: a surface that leans by 79 degrees
_BELOW = 0.10  # metres below the plane from which on a point belongs to another world: the floor beyond a table
_FARTHEST = 3.0  # times the distance from the plane up to which a leaning camera sees
_CLOSE = 0.10  # metres before the overhead camera within which nothing is drawn
_THIN = 0.01  # share of the depth within which a block's pixels show one surface
_ROUNDING = 1e-6  # pixels; neighbours share the pixels on their common edge


@dataclass(frozen=True)
class OverheadView:
    """What a camera above a plane would have seen of another camera's image.

    Attributes:
        seen: The image. The pose of its camera is the overhead camera's in the world.
        pose: (4, 4) float64, pose of the overhead camera in the first camera's frame, metres.
        source: (H, W) int32, flat pixel of the first image that each pixel shows, -1 where nothing is seen.
        plane: The plane, in the first camera's frame.
        ceiling: (H, W) float32, metres: the image with what was not seen taken as full, as far as the first camera's
            rays leave it open. A hand that stays above it meets nothing that hides. 0 where even that is unknown.
    """

    seen: Observation
    pose: FloatArray
    source: NDArray[np.int32]
    plane: MainPlane
    ceiling: FloatImage

    def heights(self) -> FloatImage:
        """Returns how far each pixel's surface lies above the plane, (H, W) float32, metres; NaN where missing."""
        return self.in_view(self.plane).heights(self.seen.depth, self.seen.camera)

    def in_view(self, plane: MainPlane) -> MainPlane:
        """Returns a plane of the first camera's frame in the overhead camera's frame."""
        return replace(plane, normal=self.pose[:3, :3].T @ plane.normal, distance=plane.distance_from(self.pose[:3, 3]))


def overhead_pose(plane: MainPlane, height: float, *, tilt: float = 0.0, azimuth: float = 0.0) -> FloatArray:
    """Returns the pose of a camera that looks down at a plane, in the first camera's frame.

    It looks at the point at which the first camera looks, and is rolled as that camera is.

    Args:
        plane: The plane, in the first camera's frame.
        height: Distance from that point, metres.
        tilt: Angle of its optical axis against the plane's normal, radians; 0 looks straight down.
        azimuth: Side to which it then stands, radians: 0 is the right of the image of the camera that looks straight
            down, a quarter turn is its lower border.

    Returns:
        (4, 4) float64, metres.
    """
    normal = plane.normal
    foot = np.array([0.0, 0.0, plane.distance / -normal[2]])
    right = np.array([1.0, 0.0, 0.0]) - normal[0] * normal
    right /= np.linalg.norm(right)
    turn = np.stack([right, np.cross(-normal, right), -normal], axis=1)
    if tilt:
        turn = turn @ Rotation.from_rotvec([tilt * np.sin(azimuth), -tilt * np.cos(azimuth), 0.0]).as_matrix()
        return make_pose(turn, foot - height * turn[:, 2])
    return make_pose(turn, foot + height * normal)


def overhead_views(
    seen: Observation,
    plane: MainPlane,
    *,
    height: float,
    focal: float,
    most: tuple[int, int],
    least: tuple[int, int] = (320, 320),
    tilt: float = 0.0,
    azimuths: Sequence[float] = (0.0,),
) -> list[OverheadView]:
    """Returns one image as cameras above a plane, which lean alike, would have taken it; a view for each azimuth.

    An image that is finer than the wanted ones is thinned first, which also averages its noise. A view's size is that
    of what is seen, within bounds. A leaning camera sees surfaces from the side from which the first camera saw them.

    Args:
        seen: The image.
        plane: The plane, in the image's camera frame.
        height: Distance of the overhead cameras from the plane along their optical axes, metres.
        focal: Their focal length, pixels.
        most: Greatest height and width of their images, pixels.
        least: Least height and width of their images, pixels.
        tilt: Angle of their optical axes against the plane's normal, radians; 0 looks straight down.
        azimuths: Sides to which they then stand, radians; see ``overhead_pose``.
    """
    some = seen.depth[::8, ::8]
    distance = float(np.median(some[some > 0])) if (some > 0).any() else plane.distance
    step = min(max(1, round(seen.camera.intrinsics[0, 0] / distance * height / focal)), *seen.depth.shape)
    depth = np.ascontiguousarray(seen.depth, np.float32)
    range_ = (_CLOSE, height + _BELOW)
    if tilt:  # the far end of the plane is farther off than the floor beyond it may be
        depth = np.where(np.nan_to_num(plane.heights(depth, seen.camera)) < -_BELOW, np.float32(0), depth)
        range_ = (_CLOSE, _FARTHEST * height)
    mesh = _mesh(depth, seen.camera, step)
    views = []
    for azimuth in azimuths:
        pose = overhead_pose(plane, height, tilt=tilt, azimuth=azimuth)
        points = _points(mesh, 8, np.asarray(np.linalg.inv(pose), np.float64))
        camera = _camera(points[points[:, 2] > _CLOSE], focal=focal, most=most, least=least)
        camera = PinholeCamera(camera.width, camera.height, camera.intrinsics, seen.camera.pose @ pose)
        image, source, ceiling = _drawn(mesh, camera, pose, range_=range_, leaning=tilt > 0)
        rgb = None if seen.rgb is None else _coloured(np.ascontiguousarray(seen.rgb), source)
        views.append(OverheadView(Observation(rgb, image, camera), pose, source, plane, ceiling))
    return views


class _Mesh(NamedTuple):
    """An image's grid of points.

    Attributes:
        depth: (H, W) float32, metres, 0 = missing.
        filled: The same, each missing pixel that of the nearest seen one.
        optics: Optics of the grid.
        pixels: (H, W) int32, flat pixel of the first image that each stands for; None where the grid is that image's.
    """

    depth: FloatImage
    filled: FloatImage
    optics: Optics
    pixels: NDArray[np.int32] | None


def _mesh(depth: FloatImage, camera: PinholeCamera, step: int) -> _Mesh:
    """Returns the grid of every block of ``step`` x ``step`` pixels of an image."""
    m, middle = camera.intrinsics, (step - 1) / 2
    depth, pixels = _thinned(depth, step) if step > 1 else (depth, None)
    optics = (m[0, 0] / step, m[1, 1] / step, (m[0, 2] - middle) / step, (m[1, 2] - middle) / step, m[0, 1] / step)
    return _Mesh(depth, fill_nearest(depth) if (depth > 0).any() else depth, optics, pixels)


def _drawn(
    mesh: _Mesh, camera: PinholeCamera, pose: FloatArray, *, range_: tuple[float, float], leaning: bool
) -> tuple[FloatImage, NDArray[np.int32], FloatImage]:
    """Returns the depth image, the source and the ceiling of ``OverheadView``."""
    new = (camera.intrinsics[0, 0], *camera.intrinsics[:2, 2].tolist())
    projected = _projected(mesh.filled, mesh.optics, np.asarray(np.linalg.inv(pose), np.float64), new, range_)
    keys = np.zeros((camera.height, camera.width), np.float32)
    source, full = np.full(keys.shape, -1, np.int32), np.zeros_like(keys)
    _draw(mesh.filled, mesh.depth > 0, projected, 1 / mesh.optics[0], leaning, keys, source, full)
    if mesh.pixels is not None:
        source = np.where(source >= 0, mesh.pixels.ravel()[source], np.int32(-1))
    image = np.divide(1, keys, out=np.zeros_like(keys), where=keys > 0)
    # A leaning camera's ray may pass through what the first did not see before it meets a surface.
    hides = full > keys if leaning else (keys == 0) & (full > 0)
    return image, source, np.divide(1, full, out=image.copy(), where=hides)


def _points(mesh: _Mesh, step: int, to_view: FloatArray) -> FloatArray:
    """Returns (N, 3) points of every ``step``-th seen pixel in the overhead camera's frame, metres."""
    fx, fy, cx, cy, skew = mesh.optics
    rows, cols = (step * places for places in np.nonzero(mesh.depth[::step, ::step] > 0))
    y = (rows - cy) / fy
    rays = np.stack([(cols - cx - skew * y) / fx, y, np.ones(len(rows))], axis=1)
    points: FloatArray = rays * mesh.depth[rows, cols, None] @ to_view[:3, :3].T + to_view[:3, 3]
    return points


def _camera(points: FloatArray, *, focal: float, most: tuple[int, int], least: tuple[int, int]) -> PinholeCamera:
    """Returns a camera whose image holds the points, its axis in the middle."""
    size = list(least)
    if len(points):
        for i, axis in enumerate((1, 0)):
            reach = np.percentile(np.abs(points[:, axis] / points[:, 2]), 99.5) * focal
            size[i] = int(np.clip(2 * np.ceil(reach) + 1, least[i], most[i]))
    matrix = np.array([[focal, 0, (size[1] - 1) / 2], [0, focal, (size[0] - 1) / 2], [0, 0, 1]])
    return PinholeCamera(size[1], size[0], matrix)


@compiled
def _thinned(depth: FloatImage, step: int) -> tuple[FloatImage, NDArray[np.int32]]:
    """Returns an image of one pixel for each block of ``step`` x ``step``, and the flat pixel that stands for it.

    A block's depth is the mean over the pixels near its median: noise is averaged, and no point floats between two
    surfaces. It is missing where most of the block is. The pixel is the one of the median.
    """
    height, width = depth.shape[0] // step, depth.shape[1] // step
    result, pixels = np.zeros((height, width), np.float32), np.zeros((height, width), np.int32)
    values, places = np.empty(step * step, np.float32), np.empty(step * step, np.int32)
    for r in range(height):
        for c in range(width):
            count = 0
            for i in range(r * step, (r + 1) * step):
                for j in range(c * step, (c + 1) * step):
                    z = depth[i, j]
                    if z > 0:
                        k = count
                        while k > 0 and values[k - 1] > z:
                            values[k], places[k] = values[k - 1], places[k - 1]
                            k -= 1
                        values[k], places[k] = z, i * depth.shape[1] + j
                        count += 1
            if 2 * count < step * step:
                continue
            middle = values[(count - 1) // 2]
            pixels[r, c] = places[(count - 1) // 2]
            total, near = 0.0, 0
            for k in range(count):
                if abs(values[k] - middle) < _THIN * middle:
                    total += values[k]
                    near += 1
            result[r, c] = total / near
    return result, pixels


@compiled
def _projected(
    depth: FloatImage, optics: Optics, to_view: FloatArray, new: tuple[float, float, float], range_: tuple[float, float]
) -> tuple[FloatImage, FloatImage, FloatImage]:
    """Returns each pixel's column, row and inverse depth in the overhead image; 0 inverse depth is nothing."""
    height, width = depth.shape
    fx, fy, cx, cy, skew = optics
    u, v = np.empty((height, width), np.float32), np.empty((height, width), np.float32)
    key = np.zeros((height, width), np.float32)
    t = to_view
    for r in range(height):
        y = (r - cy) / fy
        for c in range(width):
            d = np.float64(depth[r, c])
            if d <= 0:
                continue
            x = (c - cx - skew * y) / fx
            z = d * (t[2, 0] * x + t[2, 1] * y + t[2, 2]) + t[2, 3]
            if z < range_[0] or z > range_[1]:
                continue
            u[r, c] = new[0] * (d * (t[0, 0] * x + t[0, 1] * y + t[0, 2]) + t[0, 3]) / z + new[1]
            v[r, c] = new[0] * (d * (t[1, 0] * x + t[1, 1] * y + t[1, 2]) + t[1, 3]) / z + new[2]
            key[r, c] = 1 / z
    return u, v, key


@compiled
def _draw(
    depth: FloatImage,
    seen: NDArray[np.bool_],
    projected: tuple[FloatImage, FloatImage, FloatImage],
    spread: float,
    facing: bool,
    keys: FloatImage,
    source: NDArray[np.int32],
    full: FloatImage,
) -> None:
    """Draws an image's triangles into ``full``, those whose corners are seen and no step apart into ``keys``.

    ``spread`` is the distance between neighbours at one metre, metres. ``facing`` leaves triangles that are seen from
    behind out of ``keys``. The greatest inverse depth wins, and with it in ``source`` the flat pixel of the triangle's
    corner that is nearest.
    """
    u, v, key = projected
    height, width = depth.shape
    for r in range(height - 1):
        for c in range(width - 1):
            k1, k2 = np.float64(key[r, c + 1]), np.float64(key[r + 1, c])
            if k1 == 0 or k2 == 0:
                continue
            b, d = depth[r, c + 1], depth[r + 1, c]
            most = max(_STEP, _SLOPE * spread * min(b, d))
            both = seen[r, c + 1] and seen[r + 1, c]
            u1, v1 = np.float64(u[r, c + 1]), np.float64(v[r, c + 1])
            u2, v2 = np.float64(u[r + 1, c]), np.float64(v[r + 1, c])
            for half in range(2):
                k0, a = np.float64(key[r + half, c + half]), depth[r + half, c + half]
                if k0 == 0:
                    continue
                u0, v0 = np.float64(u[r + half, c + half]), np.float64(v[r + half, c + half])
                top = max(0, int(np.ceil(min(v0, v1, v2) - _ROUNDING)))
                bottom = min(keys.shape[0] - 1, int(np.floor(max(v0, v1, v2) + _ROUNDING)))
                left = max(0, int(np.ceil(min(u0, u1, u2) - _ROUNDING)))
                right = min(keys.shape[1] - 1, int(np.floor(max(u0, u1, u2) + _ROUNDING)))
                area = (u1 - u0) * (v2 - v0) - (u2 - u0) * (v1 - v0)
                if top > bottom or left > right or area == 0:
                    continue
                whole = both and seen[r + half, c + half] and max(a, b, d) - min(a, b, d) <= most
                whole = whole and not (facing and (area < 0) != (half == 1))
                su, sv = (v2 - v0) / area, -(u2 - u0) / area
                tu, tv = -(v1 - v0) / area, (u1 - u0) / area
                for row in range(top, bottom + 1):
                    for col in range(left, right + 1):
                        s, t = (col - u0) * su + (row - v0) * sv, (col - u0) * tu + (row - v0) * tv
                        if s < -_ROUNDING or t < -_ROUNDING or s + t > 1 + _ROUNDING:
                            continue
                        value = np.float32(k0 + s * (k1 - k0) + t * (k2 - k0))
                        full[row, col] = max(full[row, col], value)
                        if whole and value > keys[row, col]:
                            keys[row, col] = value
                            here = (r + half) * width + c + half
                            if max(s, t) >= 1 - s - t:
                                here = r * width + c + 1 if s >= t else (r + 1) * width + c
                            source[row, col] = here


@compiled
def _coloured(rgb: NDArray[np.uint8], source: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Returns the colour of each pixel's source, (H, W, 3); black where there is none."""
    height, width = source.shape
    result = np.zeros((height, width, 3), np.uint8)
    for r in range(height):
        for c in range(width):
            if source[r, c] >= 0:
                row, col = source[r, c] // rgb.shape[1], source[r, c] % rgb.shape[1]
                for channel in range(3):
                    result[r, c, channel] = rgb[row, col, channel]
    return result
