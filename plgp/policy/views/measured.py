"""Grasps whose opening and middle are measured in the depth, not predicted: what lies between the fingers decides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from plgp.policy.settings import DecoderSettings
from sim.depth_image.free_depth import FreeDepth
from sim.depth_image.overhead_view import OverheadView
from sim.grasp import PixelGrasps
from sim.gripper import GripperGeometry

_STEP = 0.0025  # metres by which openings are tried
_SHALLOWER = 0.001  # metres that a grasp at another opening may be less deep
_ASIDE = 0.004  # metres that a grasp may be moved to the middle between its fingers
_AS_GOOD = 0.9  # share of a score from which on another grasp at the place is as good ...
_AT = 0.010  # ... within these metres ...
_NARROWER = 0.005  # ... and comes first if it opens by this much less

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]


def measured_grasps(
    grasps: PixelGrasps,
    view: OverheadView,
    *,
    gripper: GripperGeometry,
    decoder: DecoderSettings,
    allowed: BoolArray | None = None,
) -> PixelGrasps:
    """Returns a view's grasps in the middle of what lies between their fingers, none opened wider than it asks for.

    The narrowest opening at which the fingers still go as deep is what they must span; ``extra_opening`` beyond that is
    enough. Each finger is moved in by itself, and the grasp to the middle between them: so both touch at once, and
    neither the pixel of the greatest score nor a predicted width, which differ by several pixels and by up to 20 mm
    between two images of one thing, decides where the hand goes down. It is moved by up to 4 mm: where what the camera
    did not see stops a finger, nobody knows where the thing ends. No grasp is opened wider than it was. One that
    cannot go as deep from the middle keeps its place, and one with fingers that pass closer stays as it is.

    Args:
        grasps: The grasps in the view's image.
        view: The view.
        gripper: The gripper.
        decoder: The decoder's settings; its margins and ``extra_opening`` count.
        allowed: (H, W) bool, where grasps may lie; None is everywhere.
    """
    if not len(grasps):
        return grasps
    fit, every = _Fit(grasps, view, gripper, decoder), np.arange(len(grasps))
    width, shift = _moved_in(fit, grasps.width, np.zeros(len(grasps)), side=0)
    spanned = np.minimum(grasps.width, width + decoder.extra_opening)
    for side in (1, -1):
        width, shift = _moved_in(fit, width, shift, side=side)
    centred = np.minimum(grasps.width, width + decoder.extra_opening)
    row, col = fit.pixels(every, shift)
    depth = grasps.depth + view.seen.depth[grasps.row, grasps.col] - view.seen.depth[row, col]
    moved = (shift != 0) & fit(every, centred, shift) & (depth >= decoder.close_depth)
    if allowed is not None:
        moved &= allowed[row, col]
    return replace(
        grasps,
        row=np.where(moved, row, grasps.row),
        col=np.where(moved, col, grasps.col),
        depth=np.where(moved, depth, grasps.depth),
        width=np.where(moved, centred, spanned),
    )


def _moved_in(fit: _Fit, width: FloatArray, shift: FloatArray, *, side: int) -> tuple[FloatArray, FloatArray]:
    """Returns openings and shifts after fingers moved in as far as the grasps still go as deep: one, or both for 0."""
    width, shift = width.copy(), shift.copy()
    going = np.flatnonzero(fit(np.arange(len(width)), width, shift))
    while len(going):
        narrower, aside = width[going] - _STEP, shift[going] + side * _STEP / 2
        passes = (narrower > 0) & (np.abs(aside) <= _ASIDE) & fit(going, np.maximum(narrower, 0.0), aside)
        width[going[passes]], shift[going[passes]] = narrower[passes], aside[passes]
        going = going[passes]
    return width, shift


def narrow_side_first(grasps: PixelGrasps, view: OverheadView, *, decoder: DecoderSettings) -> PixelGrasps:
    """Returns a view's grasps, each place's first one across the thing's narrow side where another is as good.

    Between directions across a thing that are as good, noise decides, and another picture of it decides otherwise. How
    far the hand must open is the thing's own measure, and the way that the fingers close is the shortest.

    Args:
        grasps: The grasps in the view's image, best first, as ``measured_grasps`` returns them.
        view: The view.
        decoder: The decoder's settings, by which the scores were lowered; ``place`` and ``revisit`` count.
    """
    points = view.seen.camera.deproject(grasps.row, grasps.col, view.seen.depth[grasps.row, grasps.col])
    order, taken = np.arange(len(grasps)), np.zeros(len(grasps), np.bool_)
    for i in range(len(grasps)):
        if taken[i]:  # another grasp at its place has come first
            continue
        away = np.linalg.norm(points - points[i], axis=1)
        good = (away < _AT) & ~taken & (grasps.quality >= _AS_GOOD * decoder.revisit * grasps.quality[i])
        good &= grasps.width < grasps.width[i] - _NARROWER
        good[: i + 1] = False
        taken |= away <= decoder.place
        if good.any():
            best = int(np.flatnonzero(good)[0])
            order[[i, best]] = best, i
    return replace(grasps[order], quality=grasps.quality)


class _Fit:
    """Whether grasps go as deep with another opening, and moved along their closing direction."""

    def __init__(
        self, grasps: PixelGrasps, view: OverheadView, gripper: GripperGeometry, decoder: DecoderSettings
    ) -> None:
        """Prepares the depth rule."""
        self._grasps, self._image, self._decoder = grasps, view.seen.depth, decoder
        self._rule = FreeDepth(view.ceiling, view.seen.camera, gripper)
        self._surface = self._image[grasps.row, grasps.col].astype(np.float64)
        self._pixel = self._surface / view.seen.camera.intrinsics[0, 0]
        self._deep = self._surface + grasps.depth - _SHALLOWER

    def pixels(self, some: NDArray[np.int64], shift: FloatArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Returns the row and the column of some grasps after a shift along the closing direction, metres."""
        g, away = self._grasps[some], shift / self._pixel[some]
        row = np.round(g.row - away * np.sin(g.angle)).astype(np.int64)
        col = np.round(g.col + away * np.cos(g.angle)).astype(np.int64)
        height, width = self._image.shape
        return np.clip(row, 0, height - 1), np.clip(col, 0, width - 1)

    def __call__(self, some: NDArray[np.int64], width: FloatArray, shift: FloatArray) -> BoolArray:
        """Returns whether some grasps, opened by ``width`` and moved by ``shift``, go as deep as they did."""
        row, col = self.pixels(some, shift)
        margins = {"margin": self._decoder.margin, "depth_margin": self._decoder.depth_margin}
        free = self._rule(row, col, self._grasps.angle[some], width, **margins)
        deep = np.nan_to_num(self._image[row, col] + free, nan=-1.0) >= self._deep[some]
        return np.asarray(deep & (self._image[row, col] > 0), np.bool_)
