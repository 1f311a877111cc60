"""Antipodal grasps on the edges of the depth image, without learning."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, fields, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from sim.benchmark.protocol import Observation
from sim.camera import PinholeCamera
from sim.depth_image.edges import fill_nearest, surface_slope, thin_edges
from sim.depth_image.known_floor import FLOOR_MARGIN, DepthMargins, floor_lowered
from sim.errors import WHOLE, InputError, check_numbers
from sim.geometry import transform
from sim.grasp import GraspPoses, PixelGrasps, deepest_free_depth
from sim.gripper import GripperGeometry
from sim.physics import TraySettings

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
FloatImage = NDArray[np.float32]


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


def suppress(place: FloatArray, angle: FloatArray, count: int, *, spacing: float, turn: float) -> IntArray:
    """Returns the first ``count`` grasps that keep their distance from all chosen before, as indices.

    Two grasps are neighbours where (distance / spacing)^2 + (angle between them / turn)^2 < 1; a gripper is the same
    after half a turn. Where too few grasps remain, both limits are halved, up to three times, and then dropped, so
    that a scene of few objects still gets its ``count``.

    Args:
        place: (N, 2) grasp centres, metres, best first.
        angle: (N,) grasp angles, radians.
        count: Number of grasps to choose.
        spacing: Distance limit, metres.
        turn: Angle limit, radians.
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


@dataclass(frozen=True, kw_only=True)
class AntipodalPolicy:
    """Edge-based antipodal sampling on the depth image, as Dex-Net samples its candidates.

    After Mahler et al., Dex-Net 2.0 (RSS 2017): fingers may touch the edges of the depth image, and a pair of them
    whose line lies in both friction cones is a grasp that closes the force in the image's plane. Dex-Net ranks the
    pairs by its network. This policy ranks them by a score made by hand, in [0, 1], the product of

    - exp(-(a / angle_scale)^2 / 2), a the greater angle between the line and a contact's normal,
    - min(1, r / reach_scale), r how far the tips go below all that is seen between the contacts,
    - exp(-(h / level_scale)^2 / 2), h the difference in height of the surfaces at the contacts.

    The last two keep off pairs that span a gap between objects or end on two of them. Closeness to the object's middle
    did not tell good grasps from bad ones on scenes of seen objects, and is left out.

    The depth is that of the shared rule (``sim.grasp.deepest_free_depth``), with the smallest opening for which r
    reaches ``min_depth``. Where no opening fits, the pair is dropped, as a real system's collision check would. The
    depth of a grasp counts from the seen pixel nearest to its centre. The same image gives the same grasps, in any
    order and process.

    Attributes:
        gripper: Geometry of the gripper.
        seed: Seed of the sampling.
        friction: Coefficient mu of the cones, atan(mu) wide on either side.
        edge_slope: Least slope of the smoothed depth that is an edge, metres per metre.
        smoothing_px: Standard deviation of the Gaussian over the depth, pixels.
        top_px: Radius within which the nearest depth is the surface beside a contact, pixels.
        edges: Greatest number of edge pixels that are paired; more are thinned at random.
        samples: Greatest number of pairs that are tried; more are thinned at random.
        min_width: Least distance of a pair, metres; closer ones are noise.
        clearance: Least room that the opening leaves beside the pair, both sides together, metres.
        widening: Step by which wider openings are tried, metres.
        min_depth: Least distance of the tips below all that is seen between the contacts, metres.
        angle_scale: Scale of the score's angle a, radians.
        reach_scale: Scale of the score's reach r, metres.
        level_scale: Scale of the score's difference in height h, metres.
        spacing: Distance that ranked grasps keep where there are enough of them, metres.
        spacing_angle: Angle that ranked grasps keep instead, radians.
        tray: Tray whose floor bounds the grasps: its walls attract them.
        half_side: Half the side of a square on the floor within which contacts lie, metres; None for the floor.
        depth_margin: Margin of the depth rule, metres.
        floor_margin: Its margin over the tray's floor, metres; None is that of everything else.
        name: Name of the policy in tables.
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
    tray: TraySettings = field(default_factory=TraySettings)
    half_side: float | None = None
    depth_margin: float = 0.007
    floor_margin: float | None = FLOOR_MARGIN
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
        check_numbers("policy", self, dict.fromkeys(("seed", "top_px", "edges", "samples"), WHOLE))

    def __call__(self, observation: Observation, count: int) -> GraspPoses:
        """Returns grasps in the camera frame.

        Args:
            observation: The image; the same image always gives the same grasps.
            count: Number of grasps wanted.

        Returns:
            Up to ``count`` grasps, best first.
        """
        depth, camera = observation.depth, observation.camera
        if not (depth > 0).any():
            return GraspPoses.empty()
        rng = np.random.default_rng([self.seed, zlib.crc32(depth.tobytes())])
        filled = fill_nearest(depth)
        slopes = surface_slope(filled, camera, self.smoothing_px)
        pairs = self._sample_pairs(filled, slopes, camera, rng=rng)
        margins = DepthMargins(self.depth_margin, self.floor_margin)
        relief = floor_lowered(observation, self._over_floor(observation), margins)
        grasps, reach, pairs = self._executable(relief, filled, pairs, camera=camera)
        if len(grasps) == 0:
            return GraspPoses.empty()
        score = self._score(pairs, reach)
        order = np.argsort(-score, kind="stable")
        grasps = replace(grasps, quality=score)[order]
        place = (pairs.first + pairs.second)[order] / 2
        return grasps[suppress(place, grasps.angle, count, spacing=self.spacing, turn=self.spacing_angle)].to_poses(
            filled, camera
        )

    @property
    def _half(self) -> float:
        """Half the side of the square on the floor within which contacts lie, metres."""
        return self.tray.half_floor if self.half_side is None else self.half_side

    def _over_floor(self, seen: Observation) -> NDArray[np.bool_]:
        """Returns which pixels show a point over the square on the floor, (H, W) bool."""
        result = np.zeros(seen.depth.shape, np.bool_)
        rows, cols = np.nonzero(seen.depth > 0)
        points = transform(seen.camera.pose, seen.camera.deproject(rows, cols, seen.depth[rows, cols]))
        result[rows, cols] = (np.abs(points[:, :2]) < self._half).all(axis=1)
        return result

    def _sample_pairs(
        self,
        filled: FloatImage,
        slopes: tuple[FloatImage, FloatImage],
        camera: PinholeCamera,
        *,
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
        inside = np.nonzero((np.abs(world[:, :2]) < self._half).all(axis=1))[0]
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
        self, relief: FloatImage, filled: FloatImage, pairs: _Pairs, *, camera: PinholeCamera
    ) -> tuple[PixelGrasps, FloatArray, _Pairs]:
        """Returns the pairs that the gripper can take, as grasps.

        Their depths count from the surface of ``filled``: the floor's where it was lowered, a hole's neighbours'.

        Returns:
            The grasps; (N,) how far the tips go below all that is seen between the contacts, metres; their pairs.
        """
        middle = (pairs.first + pairs.second) / 2
        row, col = _pixel(middle, pairs.top.mean(axis=1), camera)
        # The middle's pixel depends on the depth there: once more with that depth.
        row, col = _pixel(middle, filled[row, col], camera)
        surface = filled[row, col].astype(np.float64)
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
            reach = deepest_free_depth(
                relief, camera, self.gripper, *some, depth_margin=self.depth_margin, surface=surface[todo]
            )
            fits = np.nan_to_num(reach - np.maximum(lower[todo], 0), nan=-1.0) >= self.min_depth
            width[todo[fits]], free[todo[fits]], found[todo[fits]] = opening[fits], reach[fits], True
        grasps = PixelGrasps(row, col, free, angle, width, np.zeros(len(row)))[found]
        kept = _Pairs(*(getattr(pairs, f.name)[found] for f in fields(_Pairs)))
        return grasps, (free - lower)[found], kept

    def _score(self, pairs: _Pairs, reach: FloatArray) -> FloatArray:
        """Returns the class's score, (N,) in [0, 1]; ``reach`` (N,) metres is its r."""
        uneven = np.diff(pairs.top, axis=1)[:, 0]
        exponent = (pairs.off_axis / self.angle_scale) ** 2 + (uneven / self.level_scale) ** 2
        score: FloatArray = np.exp(-exponent / 2) * np.clip(reach / self.reach_scale, 0, 1)
        return score


def _deepest_between(filled: FloatImage, pairs: _Pairs, camera: PinholeCamera) -> FloatArray:
    """Returns the greatest depth seen between each pair's contacts, theirs included, (N,) metres."""
    share = np.linspace(0.1, 0.9, 17)[:, None, None]
    line = (pairs.first + share * (pairs.second - pairs.first)).reshape(-1, 2)
    row, col = _pixel(line, np.tile(pairs.top.mean(axis=1), 17), camera)
    deepest: FloatArray = np.maximum(filled[row, col].reshape(17, -1).max(axis=0), pairs.top.max(axis=1)).astype(
        np.float64
    )
    return deepest


def _pixel(place: FloatArray, depth: NDArray[np.floating], camera: PinholeCamera) -> tuple[IntArray, IntArray]:
    """Returns the rows and columns where points (N, 2) m at depths (N,) m appear, clipped to the image."""
    rows, cols, _ = camera.project(np.column_stack([place, depth]))
    return (
        np.clip(np.rint(rows), 0, camera.height - 1).astype(np.int64),
        np.clip(np.rint(cols), 0, camera.width - 1).astype(np.int64),
    )
