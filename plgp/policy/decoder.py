"""From dense maps to ranked grasps that a gripper can execute: one score, and the shared depth rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from plgp.policy.candidates import Candidates
from plgp.policy.peaks import best_peaks, shuffle
from plgp.policy.settings import DecoderSettings
from plgp.targets import GraspMaps
from sim.camera import PinholeCamera
from sim.grasp import PixelGrasps
from sim.gripper import GripperGeometry

_WIDENINGS = (0.02, 0.04, 0.06, 0.08)  # metres
_FIRST, _MOST = 32, 256  # candidates that are tried at once, doubled from batch to batch


class _Way(NamedTuple):
    """A way of going down for a grasp that is tried.

    Attributes:
        widening: Opening beyond the usual one, metres.
        close: Whether the fingers pass closer: without margin beside them and with ``close_depth_margin`` below.
        factor: Factor on the score: the way is less sure.
    """

    widening: float
    close: bool
    factor: float


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
        gripper: The gripper, whose L4 is the unit of the width map.
        count: Number of grasps wanted.
        settings: Settings of the decoding; None is the default.
        allowed: (H, W) bool, where grasps may lie; None is everywhere.
        logits: Whether the maps are a network's logits, not probabilities: the sigmoid is then taken only of
            those values that are needed, a few of each pixel's 37.
        weight: (H, W) float32 in [0, 1], factor on the pixels' scores; None is 1.

    Returns:
        The grasps; their quality is the score by which they were chosen, and falls along the list.
    """
    settings = settings or DecoderSettings()
    search = Candidates(maps, depth, camera, gripper=gripper, settings=settings, allowed=allowed, logits=logits)
    if weight is not None:
        search.score *= weight[search.inner]
    ways = [_Way(0.0, False, 1.0), *(_Way(w, False, 0.7) for w in _WIDENINGS if w < gripper.max_opening)]
    ranking = _Ranking(settings)
    if not search.score.any():
        return ranking.grasps()
    queue = _Queue(search, [*ways, _Way(0.0, True, 0.3)])
    batch = _FIRST
    while len(ranking.chosen) < count:
        if ranking.best_value() >= queue.bound() and ranking.best_value() > 0:
            ranking.choose()
        elif queue.bound() > 0:
            ranking.add(*queue.try_next(batch))
            batch = min(2 * batch, _MOST)
        else:
            break
    return ranking.grasps()


class _Queue:
    """Candidates in the order of the most that their score can be; each is tried in one way after the other."""

    def __init__(self, search: Candidates, ways: Sequence[_Way]) -> None:
        self.search, self.ways = search, ways
        score, settings = search.score, search.settings
        # The local maxima come first: beside one, a grasp is as good as a repetition of it.
        peaks = best_peaks(score, 1, settings.pool)
        others = best_peaks(score, 0, settings.pool)
        others = others[~np.isin(others, peaks)][: settings.pool // 4]
        pixels = np.concatenate([peaks, others])
        share = np.where(np.arange(len(pixels)) < len(peaks), 1.0, settings.repeat) * search.straightness(pixels)
        self.pixel, self.way = np.tile(pixels, len(ways)), np.repeat(np.arange(len(ways)), len(pixels))
        self.share = np.concatenate([share * way.factor for way in ways])
        self.most = np.tile(score.ravel()[pixels], len(ways)) * self.share
        self.order = np.lexsort((shuffle(self.pixel), -self.most))
        self.done = np.zeros(score.size, dtype=bool)
        self.next = 0

    def bound(self) -> float:
        """Returns the most that the score of any candidate can be that was not tried yet; 0 after the last."""
        while self.next < len(self.order) and self.done[self.pixel[self.order[self.next]]]:
            self.next += 1
        return float(self.most[self.order[self.next]]) if self.next < len(self.order) else 0.0

    def try_next(self, number: int) -> tuple[PixelGrasps, NDArray[np.float64]]:
        """Returns the executable ones of the next candidates, and their scores.

        Args:
            number: Number of candidates that are tried.
        """
        some = self.order[self.next : self.next + number]
        self.next += len(some)
        found, scores = [], []
        close = np.array([way.close for way in self.ways])[self.way[some]]
        for entries, closely in ((some[~close], False), (some[close], True)):
            # Of a pixel's ways in one batch, the surest that is executable counts: they are in that order.
            entries = entries[~self.done[self.pixel[entries]]]
            widening = np.array([way.widening for way in self.ways])[self.way[entries]]
            grasps, kept = self.search.executable(self.pixel[entries], widening, closely)
            entries = entries[kept]
            first = np.sort(np.unique(self.pixel[entries], return_index=True)[1])
            self.done[self.pixel[entries]] = True
            found.append(grasps[first])
            scores.append(grasps.quality[first] * self.share[entries[first]])
        return _joined(found), np.concatenate(scores)


class _Ranking:
    """Executable grasps and those chosen of them, in order."""

    def __init__(self, settings: DecoderSettings) -> None:
        self.settings = settings
        self.tried = _joined([])
        self.value = np.zeros(0)
        self.chosen: list[int] = []
        self.qualities: list[float] = []

    def best_value(self) -> float:
        """Returns the greatest score among those not chosen; 0 where there is none."""
        return float(self.value.max(initial=0.0))

    def add(self, grasps: PixelGrasps, scores: NDArray[np.float64]) -> None:
        """Takes more grasps; those near chosen ones are lowered at once."""
        start = len(self.tried)
        self.tried = _joined([self.tried, grasps])
        self.value = np.concatenate([self.value, scores])
        for index in self.chosen:
            self._lower(index, start)

    def choose(self) -> None:
        """Takes the grasp of the greatest score; among equals, the first in the fixed shuffle."""
        best = np.flatnonzero(self.value == self.value.max())
        place = self.tried.row[best] * 65536 + self.tried.col[best]
        index = int(best[np.argmin(shuffle(place))])
        self.chosen.append(index)
        self.qualities.append(float(self.value[index]))
        self.value[index] = 0.0
        self._lower(index, 0)

    def _lower(self, index: int, start: int) -> None:
        """Lowers the scores from ``start`` on of grasps near a chosen one."""
        all_, reach = self.tried, self.settings.suppression_px
        near = (all_.row[start:] - all_.row[index]) ** 2 + (all_.col[start:] - all_.col[index]) ** 2 <= reach**2
        turn = np.abs((all_.angle[start:] - all_.angle[index] + np.pi / 2) % np.pi - np.pi / 2)
        self.value[start:][near & (turn < self.settings.spacing_angle)] *= self.settings.repeat

    def grasps(self) -> PixelGrasps:
        """Returns the chosen grasps, in order."""
        return replace(self.tried[self.chosen], quality=np.array(self.qualities, np.float64))


def _joined(parts: Sequence[PixelGrasps]) -> PixelGrasps:
    """Returns some grasps after others."""
    return PixelGrasps(
        *(np.concatenate([np.zeros(0), *(getattr(part, f.name) for part in parts)]) for f in fields(PixelGrasps))
    )
