"""Grasps moved along a thing towards its middle, as far as they are as good there: the weight then turns it least."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from plgp.policy.map_policy import ShownMaps
from plgp.policy.settings import DecoderSettings
from sim.compiled import compiled
from sim.depth_image.free_depth import FreeDepth
from sim.depth_image.overhead_view import OverheadView
from sim.grasp import PixelGrasps, angle_to_bin
from sim.gripper import GripperGeometry

_AS_GOOD = 0.9  # share of a score from which on another place along the thing is as good
_SHALLOWER = 0.001  # metres that a grasp there may be less deep
_EDGE = 0.004  # metres, step of the depth between neighbours at which a thing ends ...
_HOLE = 4  # ... and pixels in a row that show none of it
_FARTHEST = 0.10  # metres that a grasp may be moved
_SAME = 0.02  # metres within which the middles of two grasps' things are one thing's ...
_NEARER = 0.005  # ... and the one comes first that is nearer to it by so much

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def nearer_the_middle(
    grasps: PixelGrasps,
    view: OverheadView,
    maps: ShownMaps,
    *,
    gripper: GripperGeometry,
    decoder: DecoderSettings,
    allowed: BoolArray,
) -> PixelGrasps:
    """Returns a view's grasps, each place's first one as near to the middle of its thing as it is as good.

    Along a rod many places are as good, and noise decides between them: another picture of it decides otherwise. A
    thing that is held off its middle also swings about the closing axis. The thing is followed from the grasp across
    the closing direction, to both sides, until the depth steps or grasps are forbidden. A place on that line is as
    good where the network's score is within a tenth, at the same angle, and the fingers go as deep at the same opening.
    Of grasps on one thing whose scores are within a tenth, the nearest to its middle comes first.

    Args:
        grasps: The grasps in the view's image, best first.
        view: The view.
        maps: The network's maps of the view.
        gripper: The gripper.
        decoder: The decoder's settings; its margins and ``place`` count.
        allowed: (H, W) bool, where grasps may lie.
    """
    if not len(grasps):
        return grasps
    camera, image = view.seen.camera, view.seen.depth
    places = camera.deproject(grasps.row, grasps.col, image[grasps.row, grasps.col])
    rule = FreeDepth(view.ceiling, camera, gripper)
    row, col, depth = grasps.row.copy(), grasps.col.copy(), grasps.depth.copy()
    middles, off = np.full((len(grasps), 2), np.inf), np.zeros(len(grasps))  # metres
    for i in range(len(grasps)):
        if (np.linalg.norm(places[:i] - places[i], axis=1) <= decoder.place).any():
            continue  # another grasp at its place comes first
        one = grasps[i : i + 1]
        pixel = float(image[one.row, one.col][0] / camera.intrinsics[0, 0])
        r, c = _towards_the_middle(one, image, allowed)
        if len(r) * pixel > _FARTHEST:
            continue
        margins = {"margin": decoder.margin, "depth_margin": decoder.depth_margin}
        free = rule(r, c, np.full(len(r), one.angle[0]), np.full(len(r), one.width[0]), **margins)
        deep = np.nan_to_num(view.ceiling[r, c] + free - image[r, c], nan=-1.0)
        score = _scores(maps, r, c, one.angle[0])
        good = allowed[r, c] & (deep >= one.depth[0] - _SHALLOWER) & (score >= _AS_GOOD * score[-1])
        best = int(good.argmax()) if good.any() else len(r) - 1
        middles[i], off[i] = (r[0] * pixel, c[0] * pixel), best * pixel
        if best < len(r) - 1:  # the last is where it is
            row[i], col[i], depth[i] = r[best], c[best], deep[best]
    order = _nearest_first(middles, off, grasps.quality)
    now = camera.deproject(row, col, image[row, col])
    for n, i in enumerate(order):  # no place is taken twice
        if (np.linalg.norm(now[order[:n]] - now[i], axis=1) <= decoder.place).any():
            row[i], col[i], depth[i], now[i] = grasps.row[i], grasps.col[i], grasps.depth[i], places[i]
    return replace(replace(grasps, row=row, col=col, depth=depth)[order], quality=grasps.quality)


def _nearest_first(middles: FloatArray, off: FloatArray, quality: FloatArray) -> IntArray:
    """Returns an order of grasps: of those on one thing that are as good, the one nearest to its middle is first.

    Args:
        middles: (N, 2) float64, their things' middles, metres; infinite where a grasp keeps its place in the order.
        off: (N,) float64, their distances from them, metres.
        quality: (N,) float64, their scores, best first.
    """
    order = np.arange(len(quality))
    for i in range(len(quality)):
        if np.isinf(middles[i, 0]):
            continue
        same = np.linalg.norm(middles - middles[i], axis=1) < _SAME
        same &= (quality >= _AS_GOOD * quality[i]) & (np.arange(len(quality)) > i)
        same &= off < off[i] - _NEARER
        if same.any():
            best = int(np.flatnonzero(same)[off[same].argmin()])
            order[[i, best]] = order[[best, i]]
            middles[[i, best]], off[[i, best]] = middles[[best, i]], off[[best, i]]
    return order


def _towards_the_middle(
    grasp: PixelGrasps, image: NDArray[np.float32], allowed: BoolArray
) -> tuple[IntArray, IntArray]:
    """Returns the rows and columns from the middle of a thing to one grasp on it, the middle first."""
    at, step = (int(grasp.row[0]), int(grasp.col[0])), (float(np.cos(grasp.angle[0])), float(np.sin(grasp.angle[0])))
    before, after = (_way(image, allowed, at, (side * step[0], side * step[1])) for side in (-1, 1))
    away = (after - before) / 2  # pixels
    along = np.sign(away) * np.arange(round(abs(away)), -1, -1)
    return np.round(at[0] + along * step[0]).astype(np.int64), np.round(at[1] + along * step[1]).astype(np.int64)


@compiled
def _way(image: NDArray[np.float32], allowed: BoolArray, at: tuple[int, int], step: tuple[float, float]) -> int:
    """Returns how many steps of a pixel a thing goes on from a pixel."""
    last, seen, n = image[at[0], at[1]], 0, 0
    while n - seen <= _HOLE:
        n += 1
        r, c = int(np.floor(at[0] + n * step[0] + 0.5)), int(np.floor(at[1] + n * step[1] + 0.5))
        if r < 0 or c < 0 or r >= image.shape[0] or c >= image.shape[1]:
            break
        if image[r, c] <= 0 or not allowed[r, c]:
            continue
        if abs(image[r, c] - last) > _EDGE * (n - seen):
            break
        last, seen = image[r, c], n
    return seen


def _scores(maps: ShownMaps, row: IntArray, col: IntArray, angle: float) -> FloatArray:
    """Returns the network's score of grasps at one angle, (N,): the best of the pixels and the angle bins around."""
    quality, angles = maps.maps.quality[0, 0], maps.maps.angle[0]
    bins = len(angles)
    around = np.array([-1, 0, 1])
    r = np.clip(row[:, None] - maps.corner[0] + np.repeat(around, 3), 0, quality.shape[0] - 1)
    c = np.clip(col[:, None] - maps.corner[1] + np.tile(around, 3), 0, quality.shape[1] - 1)
    k = (int(angle_to_bin(np.array([angle]), bins)[0]) + around) % bins
    q = quality[r, c].float()
    a = angles[k[:, None, None], r[None], c[None]].float().amax(dim=0)
    if maps.logits:
        q, a = torch.sigmoid(q), torch.sigmoid(a)
    result: FloatArray = (q * a).amax(dim=1).cpu().numpy().astype(np.float64)
    return result
