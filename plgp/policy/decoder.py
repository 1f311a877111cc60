"""From dense maps to ranked grasps that a gripper can execute: one score, and the shared depth rule."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from plgp.policy.candidates import Candidates, Places
from plgp.policy.settings import DecoderSettings
from plgp.targets import GraspMaps
from sim.camera import PinholeCamera
from sim.compiled import compiled
from sim.grasp import PixelGrasps
from sim.gripper import GripperGeometry

_WIDENINGS = (0.02, 0.04, 0.06, 0.08)  # metres
_LOOKS = 128  # candidates that get a quick look at once
_FIRST, _MOST = 8, 32  # candidates that are tried at once, doubled from batch to batch


def decode(
    maps: GraspMaps,
    depth: NDArray[np.floating],
    camera: PinholeCamera,
    *,
    gripper: GripperGeometry,
    count: int,
    settings: DecoderSettings | None = None,
    allowed: NDArray[np.bool_] | None = None,
    logits: bool = False,
    weight: NDArray[np.float32] | None = None,
    corner: tuple[int, int] = (0, 0),
    width_unit: float | None = None,
) -> PixelGrasps:
    """Returns up to ``count`` executable grasps, best first; a shorter list is the beginning of a longer one.

    One score ranks them: quality x angle's quality x min(1, d / full_depth) / (1 + (e / edge_spread)^2), where d is
    the depth that ``deepest_free_depth`` allows and e the spread of the object's edges under the fingers
    (``edge_spread``): an edge that is not straight across the closing direction lets the object slip. The formula was
    chosen on scenes of seen objects. The next grasp is always the one of the greatest score, after each chosen grasp
    has lowered those near it by ``repeat``. So distinct places come first, near neighbours of a good grasp before
    far places that are worse, and flat objects last, but not never.

    A pixel's angle is its best one, and its width is that angle's. Among equal scores, a fixed shuffle of the pixels
    decides. Candidates without a known depth, or with too little, are dropped.

    Args:
        maps: One image's maps: (1, 1, H, W), (1, K, H, W), (1, K, H, W).
        depth: (H, W) floating, metres, 0 = missing.
        camera: The camera of the depth image.
        gripper: The gripper that will go down.
        count: Number of grasps wanted.
        settings: Settings of the decoding; None is the default.
        allowed: (H, W) bool, where grasps may lie; None is everywhere.
        logits: Whether the maps are a network's logits; the sigmoid is taken of those few values that are needed.
        weight: (H, W) float32 in [0, 1], factor on the pixels' scores; None is 1.
        corner: Row and column of the maps' first pixel in the image, where they show only a part of it. Grasps may
            lie only there.
        width_unit: Opening that the width map calls 1, metres; None is the gripper's L4. No grasp opens wider than L4.

    Returns:
        The grasps; their quality is the score by which they were chosen, and falls along the list.
    """
    settings = settings or DecoderSettings()
    usable = depth > 0 if allowed is None else (depth > 0) & allowed
    if not usable.any():
        return PixelGrasps(*np.zeros((6, 0)))
    candidates = Candidates(
        maps, depth, camera, gripper=gripper, settings=settings, usable=usable, logits=logits, corner=corner
    )
    if width_unit is not None:
        candidates.width_unit = width_unit
    if weight is not None:
        candidates.score *= weight[candidates.inner]
    search = _Search(candidates)
    while len(search.chosen) < count and search.advance():
        pass
    return search.grasps()


_NEW, _BOUNDED, _TRIED = 0, 1, 2  # how much is known of a candidate


class _Ways:
    """Ways of going down that are tried one after the other; all are arrays over the ways.

    Attributes:
        widening: Opening beyond the usual one, metres.
        margin: Space beside the fingers, metres; none where they pass closer.
        below: Space under the fingers, metres.
        least: Least depth, metres.
        factor: Factor on the score: a later way is less sure. Two more follow the last, 0: there is no further way.
    """

    def __init__(self, settings: DecoderSettings, max_opening: float) -> None:
        """Lists the ways: as predicted, opened wider, with fingers that pass closer."""
        s, wider = settings, [w for w in _WIDENINGS if w < max_opening]
        n = 1 + len(wider)
        self.widening = np.array([0.0, *wider, 0.0])
        self.margin = np.array([s.margin] * n + [0.0])
        self.below = np.array([s.depth_margin] * n + [s.close_depth_margin])
        self.least = np.maximum([s.min_depth] * n + [s.close_depth], 1e-6)
        self.factor = np.array([1.0] + [0.7] * len(wider) + [0.3, 0.0, 0.0])


class _Search:
    """Candidates, each with the most that its score can be; what is unknown is found out for those on top only.

    A candidate goes through three states for each way in which it is tried: new, bounded by a quick look at its edges
    and at what lies under its fingers, tried by the whole depth rule. Where it cannot go down, the next way is on.
    """

    def __init__(self, candidates: Candidates) -> None:
        """Collects the candidates; the best score comes first, and a fixed shuffle decides among equal ones."""
        self.candidates, self.settings = candidates, candidates.settings
        self.opening = candidates.gripper.max_opening
        self.ways = _Ways(self.settings, self.opening)
        pixels, peaks = candidates.pool()
        self.row, self.col, self.angle, self.width = candidates.seats(pixels)
        self.score = candidates.score.ravel()[pixels].astype(np.float64)
        self.share = np.where(np.arange(len(pixels)) < peaks, 1.0, self.settings.repeat)
        self.most = self.score * self.share  # or the score itself, of those that were tried
        self.lowered, self.free = np.ones(len(pixels)), np.zeros(len(pixels))
        self.visited = np.zeros(len(pixels), np.bool_)
        self.state, self.way = np.zeros(len(pixels), np.int8), np.zeros(len(pixels), np.int64)
        self.chosen: list[int] = []
        self.qualities: list[float] = []
        self.batch = _FIRST

    def advance(self) -> bool:
        """Chooses the candidate on top, or finds out more of it and of those behind it; returns False at the end."""
        if not self.most.any():
            return False
        top = int(self.most.argmax())
        if self.state[top] == _TRIED:
            self._choose(top)
        elif self.state[top] == _BOUNDED:
            some = self._top(_BOUNDED, self.batch)
            self.batch = min(2 * self.batch, _MOST)
            self._know(some, self.candidates.free_depths(self._places(some)), _TRIED)
        else:
            some = self._top(_NEW, _LOOKS)
            places, first = self._places(some), self.way[some] == 0
            if first.any():
                self.share[some[first]] *= self.candidates.straightness(Places(*(a[first] for a in places)))
            self._know(some, self.candidates.depth_bounds(places), _BOUNDED)
        return True

    def _top(self, state: int, number: int) -> NDArray[np.int64]:
        """Returns the best of those in a state, at most ``number``."""
        some = np.flatnonzero((self.state == state) & (self.most > 0))
        if len(some) > number:
            some = some[np.argpartition(-self.most[some], number)[:number]]
        return some

    def _places(self, some: NDArray[np.int64]) -> Places:
        """Returns candidates in the ways that are on."""
        ways, way = self.ways, self.way[some]
        width = np.clip(self.width[some] + self.settings.extra_opening + ways.widening[way], 0, self.opening)
        at = self.row[some], self.col[some], self.angle[some], width
        return Places(*at, ways.margin[way], ways.below[way], ways.least[way])

    def _know(self, some: NDArray[np.int64], depth: NDArray[np.float64], state: int) -> None:
        """Takes depths, or bounds of them, of candidates; those at -inf are in for the next way."""
        stuck = np.isneginf(depth)
        self.way[some] += stuck
        self.state[some] = np.where(stuck, _NEW, state)
        self.free[some] = depth
        way = self.way[some]
        factor, after = self.ways.factor[way], self.ways.factor[way + 1]
        deep = np.where(stuck, 1.0, np.minimum(1, depth / self.settings.full_depth))
        if state == _BOUNDED:  # the depth rule may yet refuse this way, and allow more in the next
            deep = np.maximum(deep, after / np.maximum(factor, 1e-9))
        self.most[some] = self.score[some] * deep * (self.share[some] * factor) * self.lowered[some]

    def _choose(self, index: int) -> None:
        """Takes a candidate, and lowers those near it."""
        self.chosen.append(index)
        self.qualities.append(float(self.most[index]))
        self.most[index] = 0.0
        s, camera = self.settings, self.candidates.camera
        row, col = self.row[index], self.col[index]
        place = s.place * min(camera.intrinsics[0, 0], camera.intrinsics[1, 1]) / self.candidates.image[row, col]
        near = float(s.suppression_px) ** 2, float(s.spacing_angle), float(s.repeat)
        seats = self.row, self.col, self.angle
        _lower_near(self.most, self.lowered, self.visited, index, seats, near, (float(place) ** 2, float(s.revisit)))

    def grasps(self) -> PixelGrasps:
        """Returns the chosen grasps, in order."""
        some = np.array(self.chosen, np.int64)
        places = self._places(some)
        return PixelGrasps(
            places.row, places.col, self.free[some], places.angle, places.width, np.array(self.qualities)
        )


@compiled
def _lower_near(
    most: NDArray[np.float64],
    lowered: NDArray[np.float64],
    visited: NDArray[np.bool_],
    index: int,
    seats: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]],
    near: tuple[float, float, float],
    place: tuple[float, float],
) -> None:
    """Lowers the scores of candidates near a chosen one.

    ``near`` = (squared distance, angle, factor) counts each time, ``place`` = (squared distance, factor) the first.
    """
    rows, cols, angles = seats
    for i in range(len(most)):
        apart = (rows[i] - rows[index]) ** 2 + (cols[i] - cols[index]) ** 2
        factor = 1.0
        if apart <= place[0] and not visited[i]:
            visited[i] = True
            factor = place[1]
        if apart <= near[0] and abs((angles[i] - angles[index] + np.pi / 2) % np.pi - np.pi / 2) < near[1]:
            factor *= near[2]
        if factor != 1:
            most[i] *= factor
            lowered[i] *= factor
