"""Z-buffer rasterisers in numba: exact at pixel centres, which lie at integers.

1/z is linear over a pinhole image and z over a parallel one. Each pixel keeps the smallest key,
-1/z or z, so one inner loop serves both cameras. Textures and corner colours are laid on
afterwards, at the pixels seen only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.camera import ParallelCamera, PinholeCamera
from sim.compiled import compiled
from sim.objects.surfaces import ObjectMesh

FloatArray = NDArray[np.float64]
FloatImage = NDArray[np.float32]
IntArray = NDArray[np.int32]

NEAR = 0.01  # metres; triangles that reach nearer to the camera are left out
_LONG = 24  # pixels; a row of at least so many is filled faster by vectors than one by one
_EDGE = 1e-9  # pixels; closes the cracks that rounding leaves between neighbouring triangles


@compiled
def _row_span(u: FloatArray, v: FloatArray, row: int) -> tuple[float, float]:
    """Returns where a triangle's edges cross a pixel row: leftmost and rightmost column."""
    left, right = 1e30, -1e30
    for i in range(3):
        j = (i + 1) % 3
        if (v[i] <= row < v[j]) or (v[j] <= row < v[i]):
            column = u[i] + (row - v[i]) * (u[j] - u[i]) / (v[j] - v[i])
            left, right = min(left, column), max(right, column)
    return left, right


@compiled
def _fill_long(
    keys: FloatImage,
    ids: NDArray[np.integer],
    base: float,
    slope: float,
    first: int,
    lowest: float,
    highest: float,
    identity: int,
) -> None:
    """Keeps the smaller key at each pixel of a row's long part, several pixels at once.

    ``base + slope * column`` is the triangle's plane, and ``first`` the part's first column.
    """
    start = np.int32(first)
    for i in range(len(keys)):
        value: float = base + slope * np.float64(start + np.int32(i))
        value = lowest if value < lowest else value
        value = highest if value > highest else value
        here = np.float32(value)
        # Written whether it changes or not: a branch would forbid the processor's vectors.
        ids[i] = identity if here < keys[i] else ids[i]
        keys[i] = here if here < keys[i] else keys[i]


@compiled
def _fill(
    u: FloatArray,
    v: FloatArray,
    key: FloatArray,
    faces: IntArray,
    ids: NDArray[np.integer],
    keys: FloatImage,
    id_image: NDArray[np.integer],
    only_inside: NDArray[np.bool_],
    farthest: bool,
) -> None:
    """Rasterises triangles into ``keys`` and ``id_image``.

    With ``farthest`` it keeps the largest key of pixels whose ``id_image`` equals the triangle's id.
    """
    height, width = keys.shape
    tu, tv = np.empty(3), np.empty(3)
    for t in range(len(faces)):
        lowest, highest = 1e30, -1e30
        usable = True
        for i in range(3):
            vertex = faces[t, i]
            tu[i], tv[i] = u[vertex], v[vertex]
            lowest, highest = min(lowest, key[vertex]), max(highest, key[vertex])
            usable = usable and only_inside[vertex]
        if not usable:
            continue
        row_first = max(0, int(np.ceil(min(tv[0], tv[1], tv[2]))))
        row_last = min(height - 1, int(np.floor(max(tv[0], tv[1], tv[2]))))
        if row_first > row_last or max(tu[0], tu[1], tu[2]) < 0 or min(tu[0], tu[1], tu[2]) > width - 1:
            continue
        a, b, c = faces[t, 0], faces[t, 1], faces[t, 2]
        area = (tu[1] - tu[0]) * (tv[2] - tv[0]) - (tu[2] - tu[0]) * (tv[1] - tv[0])
        if area == 0:
            continue
        slope_u = ((key[b] - key[a]) * (tv[2] - tv[0]) - (key[c] - key[a]) * (tv[1] - tv[0])) / area
        slope_v = ((key[c] - key[a]) * (tu[1] - tu[0]) - (key[b] - key[a]) * (tu[2] - tu[0])) / area
        identity = ids[t]
        for row in range(row_first, row_last + 1):
            left, right = _row_span(tu, tv, row)
            first, last = max(0, int(np.ceil(left - _EDGE))), min(width - 1, int(np.floor(right + _EDGE)))
            base = key[a] + slope_v * (row - tv[0]) - slope_u * tu[0]
            if not farthest and last - first >= _LONG:
                end = last + 1
                _fill_long(
                    keys[row, first:end], id_image[row, first:end], base, slope_u, first, lowest, highest, identity
                )
                continue
            for column in range(first, last + 1):
                # A needle-thin triangle's plane is steep: never leave its own range of depths.
                value = np.float32(min(max(base + slope_u * column, lowest), highest))
                if farthest:
                    if id_image[row, column] == identity and value > keys[row, column]:
                        keys[row, column] = value
                elif value < keys[row, column]:
                    keys[row, column] = value
                    id_image[row, column] = identity


def rasterise_pinhole(
    camera: PinholeCamera, vertices: NDArray[np.float64], faces: NDArray[np.int32]
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Returns what a pinhole camera sees of triangles.

    Args:
        camera: Pinhole camera; its pose is not used.
        vertices: (V, 3) float64, camera frame, metres.
        faces: (F, 3) int32 vertex indices.

    Returns:
        ``depth`` (H, W) float32 metres, 0 = nothing; ``face`` (H, W) int32 index of the face
        seen, -1 = none.
    """
    in_front = vertices[:, 2] >= NEAR
    z = np.where(in_front, vertices[:, 2], 1.0)
    m = camera.intrinsics
    v = m[1, 1] * vertices[:, 1] / z + m[1, 2]
    u = m[0, 0] * vertices[:, 0] / z + m[0, 1] * vertices[:, 1] / z + m[0, 2]
    keys = np.full((camera.height, camera.width), np.inf, np.float32)
    face = np.full((camera.height, camera.width), -1, np.int32)
    _fill(u, v, -1 / z, faces, np.arange(len(faces), dtype=np.int32), keys, face, in_front, False)
    depth = np.where(face >= 0, -1 / keys, np.float32(0)).astype(np.float32)
    return depth, face


@compiled
def _paint(
    rgb: NDArray[np.uint8],
    face: IntArray,
    first: int,
    inverse: FloatArray,
    vertices: FloatArray,
    faces: IntArray,
    corners: FloatImage,
    uv: FloatImage,
    texture: NDArray[np.int16],
    wanted: int,
    image: NDArray[np.uint8],
    brightness: FloatArray,
) -> None:
    """Colours the pixels of an object's faces whose ``texture`` is ``wanted``; see paint_within_faces."""
    height, width = face.shape
    image_height, image_width = image.shape[0], image.shape[1]
    weight = np.empty(3)
    for row in range(height):
        for column in range(width):
            here = face[row, column] - first
            if here < 0 or here >= len(corners) or texture[here] != wanted:
                continue
            x = inverse[0, 0] * column + inverse[0, 1] * row + inverse[0, 2]
            y = inverse[1, 0] * column + inverse[1, 1] * row + inverse[1, 2]
            total = 0.0
            for i in range(3):
                # The ray meets the triangle at weights in proportion to the volumes that it spans with two corners.
                p, q = vertices[faces[face[row, column], (i + 1) % 3]], vertices[faces[face[row, column], (i + 2) % 3]]
                weight[i] = (
                    x * (p[1] * q[2] - p[2] * q[1]) + y * (p[2] * q[0] - p[0] * q[2]) + p[0] * q[1] - p[1] * q[0]
                )
                total += weight[i]
            inside = 0.0
            for i in range(3):
                # A pixel on an edge may lie outside by rounding; a face seen edge-on has no volume.
                weight[i] = min(max(weight[i] / total, 0.0), 1.0) if total != 0 else 1.0
                inside += weight[i]
            for i in range(3):
                weight[i] /= inside
            texel_row, texel_column = 0, 0
            if wanted >= 0:
                u = weight[0] * uv[here, 0, 0] + weight[1] * uv[here, 1, 0] + weight[2] * uv[here, 2, 0]
                v = weight[0] * uv[here, 0, 1] + weight[1] * uv[here, 1, 1] + weight[2] * uv[here, 2, 1]
                texel_column = min(int((u - np.floor(u)) * image_width), image_width - 1)
                texel_row = image_height - 1 - min(int((v - np.floor(v)) * image_height), image_height - 1)
            light = brightness[face[row, column]]
            for channel in range(3):
                value = weight[0] * corners[here, 0, channel]
                value += weight[1] * corners[here, 1, channel] + weight[2] * corners[here, 2, channel]
                value *= light * image[texel_row, texel_column, channel]
                rgb[row, column, channel] = np.uint8(min(max(value, 0.0), 255.0))


def paint_within_faces(
    rgb: NDArray[np.uint8],
    face: NDArray[np.int32],
    mesh: ObjectMesh,
    *,
    first: int,
    camera: PinholeCamera,
    vertices: NDArray[np.float64],
    faces: NDArray[np.int32],
    brightness: NDArray[np.float64],
) -> None:
    """Colours one object's pixels with its texture and corner colours, correct in perspective.

    The nearest texel is taken, as Bullet's TinyRenderer does; textures repeat.

    Args:
        rgb: (H, W, 3) uint8, changed in place where the object is seen.
        face: (H, W) int32 index of the face seen, -1 = none.
        mesh: Object; nothing is done without corner colours.
        first: Index of the object's first face.
        camera: Pinhole camera; its pose is not used.
        vertices: (V, 3) float64 vertices of the whole scene, camera frame, metres.
        faces: (F, 3) int32 faces of the whole scene.
        brightness: (F,) float64 light on each face, [0, 1].
    """
    if mesh.corner_colours is None:
        return
    count = len(mesh.faces)
    uv = np.zeros((0, 3, 2), np.float32) if mesh.uv is None else mesh.uv
    texture = np.full(count, -1, np.int16) if mesh.texture is None else mesh.texture
    inverse = np.asarray(np.linalg.inv(camera.intrinsics), np.float64)
    white = np.full((1, 1, 3), 255, np.uint8)
    for wanted in np.unique(texture).tolist():
        image = white if wanted < 0 else mesh.textures[wanted]
        _paint(rgb, face, first, inverse, vertices, faces, mesh.corner_colours, uv, texture, wanted, image, brightness)


def rasterise_parallel(
    camera: ParallelCamera,
    vertices: NDArray[np.float64],
    faces: NDArray[np.int32],
    *,
    ids: NDArray[np.uint8],
    back_layer: bool,
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float32] | None]:
    """Returns the parallel depth image of eq. (11), its mask, and the front objects' back surface.

    Args:
        camera: Parallel camera.
        vertices: (V, 3) float64, pinhole camera's frame, metres.
        faces: (F, 3) int32 vertex indices.
        ids: (F,) uint8 mask value of each face.
        back_layer: Whether the third image is made.

    Returns:
        ``depth`` (Hp, Wp) float32 metres, 0 = nothing; ``mask`` (Hp, Wp) uint8; ``back``
        (Hp, Wp) float32 metres: farthest surface of the object seen, 0 on the background; or None.
    """
    rows, cols, z = camera.project(vertices)
    in_front = z >= NEAR
    depth = np.full((camera.height, camera.width), np.inf, np.float32)
    mask = np.zeros((camera.height, camera.width), np.uint8)
    _fill(cols, rows, z, faces, ids, depth, mask, in_front, False)
    np.copyto(depth, np.float32(0), where=np.isinf(depth))
    back = None
    if back_layer:
        back = np.zeros_like(depth)
        of_objects = ids > 0
        _fill(cols, rows, z, faces[of_objects], ids[of_objects], back, mask, in_front, True)
    return depth, mask, back
