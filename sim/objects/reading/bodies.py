"""The closed bodies of a mesh: joined where they nearly touch, turned outwards, not counted twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import breadth_first_order, connected_components
from scipy.spatial import cKDTree

FloatArray = NDArray[np.float64]
Bodies = list[NDArray[np.int64]]  # the faces of each body

_ROUNDING = 4 * float(np.finfo(np.float32).eps)  # of the largest coordinate: two roundings of one place to 32 bits
_COARSE = 1e-4  # of the largest side: a mesh so far from its origin that rounding eats its shape stays as it is
_MANY = 300  # bodies; of more, none is looked for inside another
_COLUMNS = 20  # a side: columns in which overlapping bodies are looked for
_APART = 0.01  # of the mesh's largest side: bodies that are further apart do not touch


def join_close_vertices(solid: trimesh.Trimesh) -> bool:
    """Joins the vertices of an open mesh that rounding to 32 bits has set apart, where that closes it.

    Args:
        solid: Mesh; changed in place, its faces keep their order. Some may have lost their area.

    Returns:
        Whether the mesh was changed.
    """
    vertices, faces = np.asarray(solid.vertices, np.float64), np.asarray(solid.faces)
    distance = _ROUNDING * float(np.abs(vertices).max())
    if distance > _COARSE * float(np.ptp(vertices, axis=0).max()):
        return False
    pairs = cKDTree(vertices).query_pairs(distance, output_type="ndarray")
    if not 0 < len(pairs) <= 20 * len(vertices):
        return False
    links = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(vertices), len(vertices)))
    count, label = connected_components(links, directed=False)
    joined = np.zeros((count, 3))
    joined[label] = vertices
    candidate = trimesh.Trimesh(joined, label[faces], process=False)
    candidate.update_faces(_has_area(np.asarray(candidate.faces)))
    if len(candidate.faces) < 4 or not candidate.is_watertight:
        return False
    solid.vertices, solid.faces = joined, label[faces]
    return True


def drop_flat_faces(solid: trimesh.Trimesh) -> None:
    """Takes away faces that name a vertex twice, in place."""
    sound = _has_area(np.asarray(solid.faces))
    if not sound.all():
        solid.update_faces(sound)


def _has_area(faces: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Returns which faces name three vertices."""
    three = (faces[:, 0] != faces[:, 1]) & (faces[:, 1] != faces[:, 2]) & (faces[:, 2] != faces[:, 0])
    return np.asarray(three, bool)


def find_bodies(solid: trimesh.Trimesh) -> Bodies:
    """Returns the faces of each body: those that hang together by edges."""
    count = len(solid.faces)
    pairs = np.asarray(solid.face_adjacency).reshape(-1, 2)
    links = coo_array((np.ones(len(pairs)), pairs.T), shape=(count, count))
    number, label = connected_components(links, directed=False)
    order = np.argsort(label, kind="stable")
    return np.split(order, np.cumsum(np.bincount(label, minlength=number))[:-1])


def wind_one_way(solid: trimesh.Trimesh) -> None:
    """Winds the faces of each body one way, in place.

    The result is that of ``trimesh.repair.fix_winding``, which takes minutes over a large mesh of one wrong face.
    """
    if solid.is_winding_consistent:
        return
    pairs, first = np.unique(np.asarray(solid.face_adjacency), axis=0, return_index=True)
    against = _run_alike(solid)
    total = len(solid.faces)
    links = coo_array((1.0 + against[first], pairs.T), shape=(total + 1, total + 1))
    label = connected_components(links, directed=False)[1]
    starts = _starts(np.asarray(solid.face_adjacency), label, against)
    root = coo_array((np.ones(len(starts)), (np.full(len(starts), total), starts)), shape=links.shape)
    whole = (links + links.T + root + root.T).tocsr()  # one search from a face of its own finds every body
    order, before = breadth_first_order(whole, total, directed=False)
    changes = np.asarray(whole[before[order[1:]], order[1:]]).ravel() > 1.5
    turned = [False] * (total + 1)
    for face, ahead, change in zip(order[1:].tolist(), before[order[1:]].tolist(), changes.tolist(), strict=True):
        turned[face] = turned[ahead] != change
    faces, which = np.array(solid.faces), np.array(turned[:total])
    faces[which] = faces[which][:, ::-1]
    left = np.array(solid.face_adjacency)
    if (against != (which[left[:, 0]] != which[left[:, 1]])).any():  # a body of one side, as a Moebius strip is
        wind: Any = trimesh.repair.fix_winding
        wind(solid)
    else:
        solid.faces = faces


def _run_alike(solid: trimesh.Trimesh) -> NDArray[np.bool_]:
    """Returns for each pair of ``face_adjacency`` whether both faces run along their edge the same way."""
    corners = np.asarray(solid.faces)[np.asarray(solid.face_adjacency)]  # (P, 2, 3)
    begin, end = np.asarray(solid.face_adjacency_edges).T[:, :, None, None]
    forward = ((corners == begin) & (np.roll(corners, -1, axis=2) == end)).any(axis=2)
    return np.asarray(forward[:, 0] == forward[:, 1], bool)


def _starts(pairs: NDArray[np.int64], label: NDArray[Any], against: NDArray[np.bool_]) -> list[int]:
    """Returns a face of each inconsistently wound body whose winding is kept, where networkx begins its search."""
    starts = []
    for body in np.unique(label[pairs[against, 0]]):
        members = np.flatnonzero(label == body)
        large = 2 * len(members) >= len(np.unique(pairs))
        starts.append(int(pairs[label[pairs[:, 0]] == body][0, 0]) if large else next(iter(set(members.tolist()))))
    return starts


def turn_outwards(solid: trimesh.Trimesh) -> int:
    """Winds every closed body so that its faces look outwards, in place; a hollow inside a body looks into the hollow.

    A body turned inside out is turned with all that lies within it. Open bodies stay as they are.

    Returns:
        Number of bodies that were wound one way and inside out.
    """
    before = np.array(solid.faces)
    wind_one_way(solid)
    kept = (before == solid.faces).all(axis=1)  # faces wound both ways say nothing about inside and outside
    bodies = [faces for faces in find_bodies(solid) if len(faces) >= 4 and _closed(solid, faces)]
    volumes = [_volume(solid, faces) for faces in bodies]
    outer = _outermost(solid, bodies)
    turned = [i for i, around in enumerate(outer) if volumes[around] < 0]
    if turned:
        faces = np.array(solid.faces)
        which = np.concatenate([bodies[i] for i in turned])
        faces[which] = faces[which][:, ::-1]
        solid.faces = faces
    return sum(1 for i in turned if outer[i] == i and kept[bodies[i]].all())


def drop_inner_bodies(solid: trimesh.Trimesh) -> None:
    """Takes away closed bodies that lie within another and look outwards, in place: what is solid already."""
    bodies = [faces for faces in find_bodies(solid) if len(faces) >= 4 and _closed(solid, faces)]
    outer = _outermost(solid, bodies)
    inner = [bodies[i] for i, around in enumerate(outer) if around != i and _volume(solid, bodies[i]) > 0]
    hollow = any(around != i and _volume(solid, bodies[i]) < 0 for i, around in enumerate(outer))
    if inner and not hollow:  # a ball in a hollow is no part of what is around it
        keep = np.ones(len(solid.faces), bool)
        keep[np.concatenate(inner)] = False
        solid.update_faces(keep)
        solid.remove_unreferenced_vertices()


def count_apart(solid: trimesh.Trimesh) -> int:
    """Returns the number of groups of bodies whose boxes do not touch; 1 for a mesh of very many bodies."""
    bodies = find_bodies(solid)
    if len(bodies) > _MANY:
        return 1
    boxes = [_box(solid, faces) for faces in bodies]
    margin = _APART * float(np.ptp(solid.vertices, axis=0).max())
    touching = np.array([[_touch(a, b, margin) for b in boxes] for a in boxes])
    return int(connected_components(touching, directed=False)[0])


def overlap(solid: trimesh.Trimesh) -> float:
    """Returns how much of a closed mesh's volume counts again, where bodies reach into each other.

    It is a share of the space that the mesh fills, estimated along columns of z.
    """
    found = find_bodies(solid)
    if len(found) < 2:
        return 0.0
    if len(found) <= _MANY:
        low, high = np.moveaxis(np.array([_box(solid, faces) for faces in found]), 1, 0)
        common = (np.minimum(high[:, None], high) - np.maximum(low[:, None], low)).min(axis=2)
        if not (common[~np.eye(len(found), dtype=bool)] > 0).any():
            return 0.0
    corners = np.asarray(solid.vertices, np.float64)[np.asarray(solid.faces)]
    lows, highs = corners.min(axis=1)[:, :2], corners.max(axis=1)[:, :2]
    first, last = lows.min(axis=0), highs.max(axis=0)
    shifts = np.random.default_rng(0).random((_COLUMNS, _COLUMNS, 2))
    filled = again = 0.0
    for row in range(_COLUMNS):
        steps = np.stack([np.arange(_COLUMNS), np.full(_COLUMNS, row)], axis=1)
        places = first + (last - first) * (steps + shifts[row]) / _COLUMNS
        band = (lows[:, 1] <= places[:, 1].max()) & (places[:, 1].min() <= highs[:, 1])
        faces, low, high = corners[band], lows[band], highs[band]
        for place in places:
            near = ((low <= place) & (place <= high)).all(axis=1)
            heights, winding = _column(faces[near], place)
            filled += float(heights[winding > 0.5].sum())
            again += float((heights * np.maximum(winding - 1, 0)).sum())
    return again / filled if filled > 0 else 0.0


def _column(corners: FloatArray, place: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Returns the pieces into which faces cut a line along z: the length of each, and how often it is inside.

    Args:
        corners: (F, 3, 3) corners of the faces.
        place: (2,) x and y of the line.
    """
    ab, ac = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0]
    upright = area == 0
    a, ab, ac, area = (values[~upright] for values in (corners[:, 0], ab, ac, area))
    ap = place - a[:, :2]
    u = (ap[:, 0] * ac[:, 1] - ap[:, 1] * ac[:, 0]) / area
    v = (ab[:, 0] * ap[:, 1] - ab[:, 1] * ap[:, 0]) / area
    hit = (u >= 0) & (v >= 0) & (u + v <= 1)
    heights = a[hit, 2] + u[hit] * ab[hit, 2] + v[hit] * ac[hit, 2]
    order = np.argsort(heights)
    return np.diff(heights[order]), np.cumsum(-np.sign(area[hit][order]))[:-1]


def _box(solid: trimesh.Trimesh, faces: NDArray[np.int64]) -> FloatArray:
    """Returns the lowest and the highest corner of faces, (2, 3)."""
    places = np.asarray(solid.vertices, np.float64)[np.asarray(solid.faces)[faces].ravel()]
    return np.stack([places.min(axis=0), places.max(axis=0)])


def _touch(a: FloatArray, b: FloatArray, margin: float) -> bool:
    return bool((a[0] <= b[1] + margin).all() and (b[0] <= a[1] + margin).all())


def _closed(solid: trimesh.Trimesh, faces: NDArray[np.int64]) -> bool:
    """Returns whether each edge of a body belongs to two of its faces."""
    corners = np.asarray(solid.faces)[faces]
    edges = np.sort(np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]]), axis=1)
    return bool((np.unique(edges, axis=0, return_counts=True)[1] == 2).all())


def _volume(solid: trimesh.Trimesh, faces: NDArray[np.int64]) -> float:
    """Returns the signed volume of a closed body; negative where it looks inwards."""
    corners = np.asarray(solid.vertices, np.float64)[np.asarray(solid.faces)[faces]]
    a, b, c = np.moveaxis(corners - corners.mean(axis=(0, 1)), 1, 0)
    return float((a * np.cross(b, c)).sum() / 6)


def _outermost(solid: trimesh.Trimesh, bodies: Bodies) -> list[int]:
    """Returns for each body the outermost one that it lies in; itself where there is none, or very many bodies."""
    result = list(range(len(bodies)))
    if len(bodies) > _MANY:
        return result
    boxes = [_box(solid, faces) for faces in bodies]
    sizes = [float(np.prod(box[1] - box[0])) for box in boxes]
    for i in result.copy():
        for j in sorted(range(len(bodies)), key=lambda k: -sizes[k]):
            within = i != j and bool((boxes[j][0] < boxes[i][0]).all() and (boxes[i][1] < boxes[j][1]).all())
            if within and _inside(solid, np.asarray(solid.vertices)[solid.faces[bodies[i][0], 0]], bodies[j]):
                result[i] = j
                break
    return result


def _inside(solid: trimesh.Trimesh, point: FloatArray, faces: NDArray[np.int64]) -> bool:
    """Returns whether a closed body winds around a point.

    Source:
        A. van Oosterom and J. Strackee, "The solid angle of a plane triangle", IEEE Trans. Biomed. Eng. 30, 1983.
    """
    corners = np.asarray(solid.vertices, np.float64)[np.asarray(solid.faces)[faces]] - point
    a, b, c = np.moveaxis(corners, 1, 0)
    la, lb, lc = (np.linalg.norm(v, axis=1) for v in (a, b, c))
    top = (a * np.cross(b, c)).sum(axis=1)
    bottom = la * lb * lc + (a * b).sum(axis=1) * lc + (b * c).sum(axis=1) * la + (c * a).sum(axis=1) * lb
    return bool(abs(np.arctan2(top, bottom).sum() / (2 * np.pi)) > 0.5)
