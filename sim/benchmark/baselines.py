"""Baseline policies that need no learning: random grasps, and antipodal ones on the depth's edges."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from sim.benchmark import Observation
from sim.camera import PinholeCamera
from sim.errors import InputError
from sim.geometry import transform
from sim.grasp import GraspPoses, PixelGrasps, deepest_free_depth
from sim.gripper import GripperGeometry

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
FloatImage = NDArray[np.float32]


class RandomPolicy:
    """Random grasps on what stands above the tray's floor: the anchor of every table.

    A random pixel higher than ``min_height`` over the floor and within the tray's floor, a random
    angle, the smallest opening with which the shared depth rule reaches ``min_depth`` (the full
    opening where none does), and that rule's depth. With ``redraw`` a pixel and angle for which
    no opening fits are thrown away and drawn again: a collision check by rejection, and a much
    stronger anchor.
    """

    def __init__(
        self,
        gripper: GripperGeometry | None = None,
        seed: int = 0,
        redraw: bool = False,
        min_height: float = 0.01,
        min_depth: float = 0.01,
        half_side: float = 0.18,
        depth_margin: float = 0.007,
    ) -> None:
        """All lengths in metres; ``half_side`` is half of the tray floor's side, ``depth_margin`` the depth rule's."""
        self.gripper = gripper or GripperGeometry()
        self.seed, self.redraw = seed, redraw
        self.min_height, self.min_depth, self.half_side = min_height, min_depth, half_side
        self.depth_margin = depth_margin
        self.name = "random-free" if redraw else "random"

    def __call__(self, observation: Observation, count: int) -> GraspPoses:
        """Returns ``count`` random grasps, or fewer where the scene has no room for them."""
        depth, camera, gripper = observation.depth, observation.camera, self.gripper
        # The same picture gives the same grasps, in whatever process and order it is shown.
        rng = np.random.default_rng([self.seed, zlib.crc32(depth.tobytes())])
        rows, cols = np.nonzero(depth > 0)
        points = transform(camera.pose, camera.deproject(rows, cols, depth[rows, cols]))
        good = (points[:, 2] > self.min_height) & (np.abs(points[:, :2]) < self.half_side).all(axis=1)
        rows, cols = rows[good], cols[good]
        if len(rows) == 0:
            return GraspPoses.empty()
        pick = rng.integers(len(rows), size=20 * count if self.redraw else count)
        angle = rng.uniform(0, np.pi, len(pick))
        row, col = rows[pick], cols[pick]
        width = np.full(len(pick), gripper.max_opening)
        rule = partial(deepest_free_depth, depth, camera, gripper, row, col, angle, depth_margin=self.depth_margin)
        free = np.nan_to_num(rule(width), nan=0.0)
        fits = np.zeros(len(pick), bool)
        for opening in np.arange(0.02, gripper.max_opening + 1e-9, 0.01):
            reach = rule(opening)
            first = ~fits & (np.nan_to_num(reach, nan=-1.0) >= self.min_depth)
            width[first], free[first] = opening, reach[first]
            fits |= first
        chosen = np.nonzero(fits)[0][:count] if self.redraw else np.arange(len(pick))
        quality = np.linspace(1, 0, len(chosen), endpoint=False)
        grasps = PixelGrasps(
            row[chosen], col[chosen], np.maximum(free[chosen], 0), angle[chosen], width[chosen], quality
        )
        return grasps.to_poses(depth, camera)


@dataclass(frozen=True)
class _Pairs:
    """Pairs of opposite contacts on edges, all in the camera frame.

    Attributes:
        first: (N, 2) float64, x and y of one contact, metres.
        second: (N, 2) float64, x and y of the other, metres.
        top: (N, 2) float64, depth of the surface beside each contact, metres.
        off_axis: (N,) float64, the greater angle between the line and a contact's normal, radians.
    """

    first: FloatArray
    second: FloatArray
    top: FloatArray
    off_axis: FloatArray


def fill_nearest(depth: NDArray[np.floating]) -> FloatImage:
    """Returns the image with each missing pixel set to the depth of the nearest seen one.

    A camera loses both sides of a step; filled in this way the step stands in the middle of the
    hole, and the hole's borders make no edges of their own.

    Args:
        depth: (H, W) floating, metres, 0 = missing, at least one pixel seen.
    """
    missing = (depth <= 0).astype(np.uint8)
    _, labels = cv2.distanceTransformWithLabels(missing, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    values = np.zeros(int(labels.max()) + 1, np.float32)
    seen = missing == 0
    values[labels[seen]] = depth[seen]
    return values[labels]


def surface_slope(filled: NDArray[np.floating], camera: PinholeCamera, sigma: float) -> tuple[FloatImage, FloatImage]:
    """Returns the rise of the depth over the way along x and along y, (H, W) float32 each, m/m.

    Args:
        filled: (H, W) floating, metres, nothing missing.
        camera: The camera that took it; its skew is taken as 0.
        sigma: Standard deviation of the Gaussian that smooths the depth first, pixels.
    """
    smooth: FloatImage = np.asarray(filled, np.float32)
    if sigma > 0:
        smooth = np.asarray(cv2.GaussianBlur(smooth, (0, 0), sigma), np.float32)
    # Sobel's kernel sums to 8 for a rise of one a pixel.
    fx, fy = camera.intrinsics[0, 0] / 8, camera.intrinsics[1, 1] / 8
    return (
        cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3) * np.float32(fx) / smooth,
        cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3) * np.float32(fy) / smooth,
    )


def thin_edges(slope_x: FloatImage, slope_y: FloatImage, threshold: float) -> NDArray[np.bool_]:
    """Returns (H, W) bool: pixels at least as steep as ``threshold`` (m/m) and steepest along their slope.

    The usual non-maximum suppression: each pixel against its two neighbours (of eight) up and down the slope.
    """
    steepness = np.hypot(slope_x, slope_y)
    edge = steepness >= threshold
    edge[[0, -1]] = edge[:, [0, -1]] = False
    rows, cols = np.nonzero(edge)
    here = steepness[rows, cols]
    # One of the eight neighbours: the diagonal one for slopes between 30 and 60 degrees.
    dr = np.rint(slope_y[rows, cols] / here).astype(np.int64)
    dc = np.rint(slope_x[rows, cols] / here).astype(np.int64)
    edge[rows, cols] = (here >= steepness[rows - dr, cols - dc]) & (here > steepness[rows + dr, cols + dc])
    return edge


def suppress(place: FloatArray, angle: FloatArray, count: int, spacing: float, turn: float) -> IntArray:
    """Returns the first ``count`` grasps that keep their distance from all chosen before, as indices.

    Two grasps are neighbours where (distance / spacing)^2 + (turn between them / turn)^2 < 1, the
    turn taken modulo half a turn. Only where too few remain are both limits halved, up to three
    times, and given up at last, so that a scene of few objects still gets its ``count``.

    Args:
        place: (N, 2) grasp centres, metres, best first.
        angle: (N,) radians.
        count: How many.
        spacing: Metres.
        turn: Radians.
    """
    chosen: list[int] = []
    free = np.ones(len(angle), bool)
    for share in (1.0, 0.5, 0.25, 0.125):
        reach, bend = max(share * spacing, 1e-9), max(share * turn, 1e-9)
        allowed, seen = free.copy(), 0
        while True:
            for index in chosen[seen:]:
                between = np.abs((angle - angle[index] + np.pi / 2) % np.pi - np.pi / 2)
                distance = ((place - place[index]) ** 2).sum(axis=1)
                allowed &= distance / reach**2 + (between / bend) ** 2 >= 1
            seen = len(chosen)
            if seen >= count or not allowed.any():
                break
            chosen.append(int(np.argmax(allowed)))
            free[chosen[-1]] = False
    chosen += np.nonzero(free)[0][: count - len(chosen)].tolist()
    return np.sort(np.array(chosen, np.int64))


@dataclass(frozen=True)
class AntipodalPolicy:
    """Edge-based antipodal sampling on the depth image, as Dex-Net samples its candidates.

    Mahler et al., Dex-Net 2.0 (RSS 2017): edges of the depth image are where fingers
    may touch; pairs of them whose line lies in both friction cones are grasps that close the
    force in the image's plane. Dex-Net ranks them by its network, this policy by a score made by
    hand, in [0, 1]: the product of

    - exp(-(a / angle_scale)^2 / 2), a the greater angle between the line and a contact's normal,
    - min(1, r / reach_scale), r how far the tips go below all that is seen between the contacts,
    - exp(-(h / level_scale)^2 / 2), h the difference in height of the surfaces at the contacts.

    The last two keep off pairs that span a gap between objects or end on two of them. Closeness to
    the object's middle did not tell good grasps from bad ones on scenes of seen objects, and is
    left out. The depth is the shared rule's, with the smallest opening for which r reaches
    ``min_depth``; where none fits, the pair is dropped, as a real system's collision check would.
    The depth of a grasp counts from the nearest seen pixel to its centre.

    Attributes:
        gripper: The gripper's geometry.
        seed: Of the sampling; the same image gives the same grasps in any order and process.
        friction: Coefficient mu of the cones, atan(mu) wide on either side.
        edge_slope: Least rise of the smoothed depth over the way that is an edge, m/m.
        smoothing_px: Standard deviation of the Gaussian over the depth, pixels.
        top_px: The surface beside a contact is the nearest depth within so many pixels.
        edges: At most so many edge pixels are paired, drawn at random.
        samples: At most so many pairs are tried, drawn at random.
        min_width: Pairs closer than this are noise, metres.
        clearance: The opening is at least so much wider than the pair, both sides together, metres.
        widening: Step by which wider openings are tried, metres.
        min_depth: The tips go at least so far below all that is seen between the contacts, metres.
        angle_scale: See above, radians.
        reach_scale: See above, metres.
        level_scale: See above, metres.
        spacing: Ranked grasps keep this distance where there are enough of them, metres.
        spacing_angle: Or turn by this against each other, radians.
        half_side: Half of the tray floor's side, metres: contacts lie within.
        depth_margin: The depth rule's, metres.
        name: What tables call it.
    """

    gripper: GripperGeometry = field(default_factory=GripperGeometry)
    seed: int = 0
    friction: float = 0.4
    edge_slope: float = 1.0
    smoothing_px: float = 1.5
    top_px: int = 4
    edges: int = 1500
    samples: int = 1000
    min_width: float = 0.008
    clearance: float = 0.016
    widening: float = 0.010
    min_depth: float = 0.005
    angle_scale: float = 0.4
    reach_scale: float = 0.030
    level_scale: float = 0.010
    spacing: float = 0.020
    spacing_angle: float = 0.5
    half_side: float = 0.18
    depth_margin: float = 0.007
    name: str = "antipodal"

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        for f in fields(self):
            value = getattr(self, f.name)
            if isinstance(value, int | float) and not (np.isfinite(value) and value >= 0):
                raise InputError(f"policy.{f.name} is {value}; give a number that is not negative")
        for name in ("edge_slope", "widening", "angle_scale", "reach_scale", "level_scale"):
            if getattr(self, name) == 0:
                raise InputError(f"policy.{name} is 0; give a number above 0")

    def __call__(self, observation: Observation, count: int) -> GraspPoses:
        """Returns up to ``count`` grasps in the camera frame, best first."""
        depth, camera = observation.depth, observation.camera
        if not (depth > 0).any():
            return GraspPoses.empty()
        rng = np.random.default_rng([self.seed, zlib.crc32(depth.tobytes())])
        filled = fill_nearest(depth)
        slopes = surface_slope(filled, camera, self.smoothing_px)
        pairs = self._sample_pairs(filled, slopes, camera, rng)
        grasps, image, reach, pairs = self._executable(depth, filled, pairs, camera)
        if len(grasps) == 0:
            return GraspPoses.empty()
        score = self._score(pairs, reach)
        order = np.argsort(-score, kind="stable")
        grasps = replace(grasps, quality=score)[order]
        place = (pairs.first + pairs.second)[order] / 2
        return grasps[suppress(place, grasps.angle, count, self.spacing, self.spacing_angle)].to_poses(image, camera)

    def _sample_pairs(
        self,
        filled: FloatImage,
        slopes: tuple[FloatImage, FloatImage],
        camera: PinholeCamera,
        rng: np.random.Generator,
    ) -> _Pairs:
        """Returns at most ``samples`` antipodal pairs of edge pixels that fit the gripper.

        With n the unit normal of a contact (down the slope, out of the object) and d the line to
        the other one: -n . d >= |d| cos(atan(mu)) at both.
        """
        rows, cols = np.nonzero(thin_edges(*slopes, self.edge_slope))
        size = 2 * self.top_px + 1
        top = cv2.erode(filled, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))[rows, cols]
        points = camera.deproject(rows, cols, top)
        world = transform(camera.pose, points)
        inside = np.nonzero((np.abs(world[:, :2]) < self.half_side).all(axis=1))[0]
        if len(inside) > self.edges:
            inside = np.sort(rng.choice(inside, self.edges, replace=False))
        place = points[inside, :2]
        normal = np.stack([s[rows[inside], cols[inside]] for s in slopes], axis=1).astype(np.float64)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        offset = place[None] - place[:, None]
        distance = np.sqrt((offset**2).sum(axis=2))
        # cosine[i, j]: between contact i's inward normal and its line to contact j.
        along = (normal * place).sum(axis=1)[:, None] - normal @ place.T
        cosine = along / np.maximum(distance, 1e-9)
        both = np.minimum(cosine, cosine.T)
        fits = (distance >= self.min_width) & (distance + self.clearance <= self.gripper.max_opening)
        i, j = np.nonzero(np.triu(fits & (both >= np.cos(np.arctan(self.friction))), 1))
        if len(i) > self.samples:
            pick = np.sort(rng.choice(len(i), self.samples, replace=False))
            i, j = i[pick], j[pick]
        tops = top[inside].astype(np.float64)
        return _Pairs(place[i], place[j], np.stack([tops[i], tops[j]], axis=1), np.arccos(np.minimum(both[i, j], 1)))

    def _executable(
        self, depth: FloatImage, filled: FloatImage, pairs: _Pairs, camera: PinholeCamera
    ) -> tuple[PixelGrasps, FloatImage, FloatArray, _Pairs]:
        """Returns the pairs that the gripper can take, as grasps.

        Returns:
            The grasps; the image from whose surface their depths count: ``depth`` with a filled
            pixel under each grasp's centre; (N,) how far the tips go below all that is seen
            between the contacts, metres; their pairs.
        """
        middle = (pairs.first + pairs.second) / 2
        row, col = _pixel(middle, pairs.top.mean(axis=1), camera)
        # The middle's pixel depends on the depth there: once more with that depth.
        row, col = _pixel(middle, filled[row, col], camera)
        image = depth.copy()
        image[row, col] = filled[row, col]
        surface = image[row, col].astype(np.float64)
        line = pairs.second - pairs.first
        angle = np.arctan2(-line[:, 1], line[:, 0])
        least = np.linalg.norm(line, axis=1) + self.clearance
        width, free = least.copy(), np.zeros(len(least))
        lower = _deepest_between(filled, pairs, camera) - surface
        found = np.zeros(len(least), bool)
        for step in range(1 + int(self.gripper.max_opening / self.widening)):
            todo = np.nonzero(~found & (least + step * self.widening <= self.gripper.max_opening))[0]
            if len(todo) == 0:
                break
            opening = least[todo] + step * self.widening
            some = row[todo], col[todo], angle[todo], opening
            reach = deepest_free_depth(image, camera, self.gripper, *some, depth_margin=self.depth_margin)
            fits = np.nan_to_num(reach - np.maximum(lower[todo], 0), nan=-1.0) >= self.min_depth
            width[todo[fits]], free[todo[fits]], found[todo[fits]] = opening[fits], reach[fits], True
        grasps = PixelGrasps(row, col, free, angle, width, np.zeros(len(row)))[found]
        kept = _Pairs(*(getattr(pairs, f.name)[found] for f in fields(_Pairs)))
        return grasps, image, (free - lower)[found], kept

    def _score(self, pairs: _Pairs, reach: FloatArray) -> FloatArray:
        """Returns the class's score, (N,) in [0, 1]; ``reach`` (N,) metres is its r."""
        uneven = np.diff(pairs.top, axis=1)[:, 0]
        exponent = (pairs.off_axis / self.angle_scale) ** 2 + (uneven / self.level_scale) ** 2
        return cast(FloatArray, np.exp(-exponent / 2) * np.clip(reach / self.reach_scale, 0, 1))


def _deepest_between(filled: FloatImage, pairs: _Pairs, camera: PinholeCamera) -> FloatArray:
    """Returns the greatest depth seen between each pair's contacts, theirs included, (N,) metres."""
    share = np.linspace(0.1, 0.9, 17)[:, None, None]
    line = (pairs.first + share * (pairs.second - pairs.first)).reshape(-1, 2)
    row, col = _pixel(line, np.tile(pairs.top.mean(axis=1), 17), camera)
    return np.maximum(filled[row, col].reshape(17, -1).max(axis=0), pairs.top.max(axis=1)).astype(np.float64)


def _pixel(place: FloatArray, depth: NDArray[np.floating], camera: PinholeCamera) -> tuple[IntArray, IntArray]:
    """Returns the rows and columns where points (N, 2) m at depths (N,) m appear, clipped to the image."""
    rows, cols, _ = camera.project(np.column_stack([place, depth]))
    return (
        np.clip(np.rint(rows), 0, camera.height - 1).astype(np.int64),
        np.clip(np.rint(cols), 0, camera.width - 1).astype(np.int64),
    )
