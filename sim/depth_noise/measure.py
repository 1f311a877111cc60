"""What a frame of a real sensor says of its noise: scatter of planes, holes, shadows, steps."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import LinearNDInterpolator
from scipy.spatial import QhullError

from sim.camera import PinholeCamera
from sim.depth_image.edges import fill_nearest, surface_slope
from sim.depth_noise.outlines import missing_at_border, plane_holes, soft_steps
from sim.errors import InputError

FloatImage = NDArray[np.float32]
BoolImage = NDArray[np.bool_]

TILE = 32  # pixels: side of the tiles on which a plane is taken for flat
LAGS = (1, 2, 4, 8)  # pixels
_INLIER = 0.006  # metres: distance to the main plane within which a pixel is the plane's
_TRIES = 300
_SAMPLED = 5000  # pixels that the main plane is sought by
_LEAST_PLANE = 0.05  # share of the pixels seen that a main plane has
_STRIDE = 16  # pixels between the corners of neighbouring tiles, which overlap
_LEAST_TILES = 4
_LEAST_JUMP = 0.015  # metres: step of the depth that throws a shadow worth measuring
_LEAST_WIDTH = 3  # pixels: narrower holes stand at every step, on both sides
_LEAST_RUNS = 30
_LEAST_ANGLES = 100  # pixels of an angle, below which it says nothing
_GRAZING = (30, 90, 5)  # degrees: angles looked at
_MANY = 0.1  # share missing, over that of flat surfaces, from which an angle counts as grazing


@dataclass(frozen=True, kw_only=True)
class PlaneMeasures:
    """Measures of a frame's main plane alone.

    Attributes:
        distance: Distance of the main plane, metres.
        scatter: RMS distance to the main plane of the pixels within 6 mm of it, metres.
        tile_scatter: Median RMS of the depth about tiles of the plane, 32x32 pixels, metres.
        correlation: Correlation of the tiles' error at 1, 2, 4 and 8 pixels.
        bend_correlation: Correlation of the tiles' means at one tile and at two.
    """

    distance: float
    scatter: float
    tile_scatter: float
    correlation: tuple[float, ...]
    bend_correlation: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class NoiseMeasures(PlaneMeasures):
    """Measures of one frame, or of several.

    Attributes:
        missing_inside: Share of the frame's pixels missing in holes that do not reach its border.
        missing_border: Share of the frame's pixels missing in holes that do.
        missing_band: Share of the frame's pixels missing at its border, on the side to which shadows fall.
        unit: Step of the depth, metres; 0 where it grows with the squared depth.
        inverse_step: Step of the inverse depth, 1/m; 0 where the depth's step is the same everywhere.
        soft: Width of the slopes that low steps of the depth are seen as, pixels; 0 where they are steps.
        soft_step: Height of the highest step that is seen as a slope, metres; 0 if none is.
        hole_share: Share of the main plane's pixels missing in holes amid it.
        hole_width: Width of these holes, the root of their area, pixels; 0 for too few.
        grazing_low: Angle of incidence from which surfaces go missing, degrees; 90 if none do.
        baseline: Place of the second eye along the camera's x, metres, by the shadows' width; 0 if none shows.
    """

    missing_inside: float
    missing_border: float
    missing_band: float
    unit: float
    inverse_step: float
    soft: float
    soft_step: float
    hole_share: float
    hole_width: float
    grazing_low: float
    baseline: float


def measure_frame(depth: FloatImage, focal_px: float, *, name: str = "frame") -> NoiseMeasures:
    """Measures a frame that shows a large plane: a table, a tray's floor.

    Args:
        depth: (H, W) float32, metres, 0 = missing.
        focal_px: Focal length, pixels.
        name: Name of the frame in messages.

    Raises:
        InputError: The frame shows no plane that is large enough.
    """
    plane, on_plane = _measure_plane(depth, focal_px, name)
    inside, border = missing_shares(depth)
    baseline = shadow_baseline(depth, focal_px)
    unit, inverse_step = depth_steps(depth)
    soft, soft_step = soft_steps(depth)
    hole_share, hole_width = plane_holes(depth, on_plane)
    return NoiseMeasures(
        **vars(plane),
        missing_inside=inside,
        missing_border=border,
        missing_band=_band_share(depth, baseline),
        unit=unit,
        inverse_step=inverse_step,
        soft=soft,
        soft_step=soft_step,
        hole_share=hole_share,
        hole_width=hole_width,
        grazing_low=grazing_angle(depth, focal_px),
        baseline=baseline,
    )


def measure_plane(depth: FloatImage, focal_px: float, *, name: str = "frame") -> PlaneMeasures:
    """Measures no more than the main plane of a frame, in a fraction of the time; see ``measure_frame``."""
    return _measure_plane(depth, focal_px, name)[0]


def _measure_plane(depth: FloatImage, focal_px: float, name: str) -> tuple[PlaneMeasures, BoolImage]:
    """Returns the measures of the main plane, and which pixels, (H, W) bool, are the plane's; raises InputError."""
    plane, distance = _main_plane(depth, focal_px, name)
    with np.errstate(divide="ignore"):
        off = np.where(depth > 0, (depth * plane - 1) * distance, np.inf).astype(np.float32)
    on_plane = np.abs(off) < _INLIER
    tiles = _flat_tiles(off, on_plane)
    if len(tiles) < _LEAST_TILES:
        raise InputError(f"{name} shows too little of a flat plane; give frames that look at a table or a tray's floor")
    flat = _without_slope(np.stack([off[tile] for tile in tiles]))
    means = {(tile[0].start // _STRIDE, tile[1].start // _STRIDE): float(off[tile].mean()) for tile in tiles}
    measures = PlaneMeasures(
        distance=distance,
        scatter=float(np.sqrt(np.mean(off[on_plane] ** 2))),
        tile_scatter=float(np.median(np.sqrt(np.mean(flat**2, axis=(1, 2))))),
        correlation=tuple(_correlation(flat, lag) for lag in LAGS),
        bend_correlation=tuple(_mean_correlation(means, lag) for lag in (2, 4)),
    )
    return measures, on_plane


def missing_shares(depth: FloatImage) -> tuple[float, float]:
    """Returns the share of the frame missing inside it, and in holes that reach its border, [0, 1] each.

    Args:
        depth: (H, W) float32, metres, 0 = missing.
    """
    border = float(missing_at_border(depth).mean())
    return float((depth <= 0).mean()) - border, border


def shadow_baseline(depth: FloatImage, focal_px: float) -> float:
    """Returns where the second eye stands along the camera's x, metres, by the shadows beside steps of the depth.

    A shadow between a near and a far pixel of a row is ``focal baseline (1/near - 1/far)`` pixels wide. It lies left
    of the near one where the second eye stands on the right.

    Args:
        depth: (H, W) float32, metres, 0 = missing.
        focal_px: Focal length, pixels.

    Returns:
        The median over the side with more shadows; 0 where neither side has many more than the other.
    """
    found = []
    for row in depth:
        missing = np.concatenate([[False], row <= 0, [False]])
        edges = np.flatnonzero(missing[1:] != missing[:-1])
        starts, ends = edges[::2], edges[1::2]
        inner = (starts > 0) & (ends < len(row))
        left, right = row[starts[inner] - 1], row[ends[inner]]
        width = (ends - starts)[inner]
        step = (np.abs(left - right) > _LEAST_JUMP) & (width >= _LEAST_WIDTH)
        nearness = (1 / right - 1 / left)[step]
        found.append(width[step] / (focal_px * nearness))
    values = np.concatenate(found) if found else np.zeros(0)
    right_eye, left_eye = values[values > 0], values[values < 0]
    more, fewer = sorted((right_eye, left_eye), key=len, reverse=True)
    if len(more) < _LEAST_RUNS or len(more) < 1.5 * len(fewer):
        return 0.0
    return float(np.median(more))


def _main_plane(depth: FloatImage, focal_px: float, name: str) -> tuple[NDArray[np.float64], float]:
    """Returns the main plane's inverse depth at each pixel, (H, W) 1/m, and its distance, metres.

    The inverse depth of a plane is linear over a pinhole image.
    """
    height, width = depth.shape
    rows, cols = np.nonzero(depth > 0)
    if len(rows) < TILE * TILE:
        raise InputError(f"{name} has hardly a pixel that is not missing; give frames of a sensor that saw something")
    x, y = ((np.arange(n) - (n - 1) / 2) / focal_px for n in (width, height))
    rng = np.random.default_rng(0)
    some = rng.choice(len(rows), min(len(rows), _SAMPLED), replace=False)
    rays = np.stack([x[cols[some]], y[rows[some]], np.ones(len(some))], axis=1)
    z = depth[rows[some], cols[some]].astype(np.float64)
    best, most = None, 0
    for _ in range(_TRIES):
        three = rng.choice(len(some), 3, replace=False)
        try:
            normal = np.linalg.solve(rays[three], 1 / z[three])
        except np.linalg.LinAlgError:
            continue
        off = np.abs(z * (rays @ normal) - 1) / np.linalg.norm(normal)
        count = int((off < _INLIER).sum())
        if count > most:
            best, most = normal, count
    if best is None or most < _LEAST_PLANE * len(some):
        raise InputError(f"{name} shows no plane; give frames that look at a table or a tray's floor")
    for _ in range(5):
        inlier = np.abs(z * (rays @ best) - 1) / np.linalg.norm(best) < _INLIER
        weight = z[inlier, None]  # what is minimised is the distance in metres
        best = np.linalg.lstsq(rays[inlier] * weight, np.ones(int(inlier.sum())), rcond=None)[0]
    plane: NDArray[np.float64] = best[0] * x[None] + best[1] * y[:, None] + best[2]
    return plane, float(1 / np.linalg.norm(best))


def _flat_tiles(off: FloatImage, on_plane: BoolImage) -> list[tuple[slice, slice]]:
    """Returns the tiles that lie on the plane with every pixel."""
    height, width = off.shape
    corners = [(r, c) for r in range(0, height - TILE + 1, _STRIDE) for c in range(0, width - TILE + 1, _STRIDE)]
    tiles = [(slice(r, r + TILE), slice(c, c + TILE)) for r, c in corners]
    return [tile for tile in tiles if on_plane[tile].all()]


def _without_slope(tiles: FloatImage) -> NDArray[np.float64]:
    """Returns the distances of (N, 32, 32) tiles to their own best planes."""
    rows, cols = np.indices(tiles.shape[1:]).reshape(2, -1)
    terms = np.stack([rows, cols, np.ones_like(rows)], axis=1).astype(np.float64)
    values = tiles.reshape(len(tiles), -1).astype(np.float64)
    flat: NDArray[np.float64] = (values - values @ np.linalg.pinv(terms).T @ terms.T).reshape(tiles.shape)
    return flat


def _correlation(flat: NDArray[np.float64], lag: int) -> float:
    """Returns the correlation of (N, 32, 32) errors at a lag, along rows and columns alike."""
    both = (flat[:, :, lag:] * flat[:, :, :-lag]).mean() + (flat[:, lag:] * flat[:, :-lag]).mean()
    return float(both / 2 / max((flat**2).mean(), 1e-18))


def _mean_correlation(means: dict[tuple[int, int], float], lag: int) -> float:
    """Returns the correlation of tiles' means at a lag of so many strides."""
    pairs = [
        value * means[near]
        for (row, col), value in means.items()
        for near in ((row + lag, col), (row, col + lag))
        if near in means
    ]
    power = float(np.mean([value**2 for value in means.values()]))
    return float(np.mean(pairs) / max(power, 1e-18)) if pairs else 0.0


def depth_steps(depth: FloatImage) -> tuple[float, float]:
    """Returns the step of the depth, metres, and that of the inverse depth, 1/m; one of them is 0.

    A sensor that counts disparities has steps that grow with the squared depth. They are told from even ones by the
    far third of the values and the near third.

    Args:
        depth: (H, W) float32, metres, 0 = missing.
    """
    values = np.asarray(np.unique(np.round(depth[depth > 0].astype(np.float64), 6)), np.float64)
    if len(values) < 2:
        return 0.0, 0.0
    near, far = values[: len(values) // 3 + 1], values[-len(values) // 3 :]
    steps = [_common_step(part) for part in (near, far)]
    squares = [float(np.median(part)) ** 2 for part in (near, far)]
    growth, expected = steps[1] / max(steps[0], 1e-9), squares[1] / squares[0]
    if min(steps) > 0 and expected > 1.5 and abs(np.log(growth / expected)) < abs(np.log(growth)):
        return 0.0, float(np.median(np.diff(1 / values[::-1])))
    return _common_step(values), 0.0


def _common_step(values: NDArray[np.float64]) -> float:
    """Returns the gap that most neighbouring values have, metres; 0 for less than two values."""
    steps, counts = np.unique(np.round(np.diff(values), 5), return_counts=True)
    return float(steps[np.argmax(counts)]) if len(steps) else 0.0


def grazing_angle(depth: FloatImage, focal_px: float) -> float:
    """Returns the angle of incidence from which surfaces go missing, degrees; 90 if none do.

    A missing pixel has no slope: what counts is that of the surface drawn straight across its hole, smoothed. Angles
    from 30 degrees on are looked at, in steps of 5. The first at which a tenth more of the pixels is missing than of
    flatter surfaces is taken. Slopes along the image's columns alone count: the others have shadows.

    Args:
        depth: (H, W) float32, metres, 0 = missing.
        focal_px: Focal length, pixels.
    """
    camera = PinholeCamera(depth.shape[1], depth.shape[0], np.diag([focal_px, focal_px, 1.0]))
    across, along = surface_slope(_bridge_holes(depth), camera, 1.5)
    angle = np.degrees(np.arctan(np.hypot(across, along)))
    inside = ~missing_at_border(depth) & (np.abs(along) > 2 * np.abs(across))
    flat = inside & (angle < _GRAZING[0])
    usual = float((depth[flat] <= 0).mean()) if flat.any() else 0.0
    for low in range(*_GRAZING):
        taken = inside & (angle >= low) & (angle < low + _GRAZING[2])
        if taken.sum() >= _LEAST_ANGLES and (depth[taken] <= 0).mean() > usual + _MANY:
            return float(low)
    return 90.0


def _bridge_holes(depth: FloatImage) -> FloatImage:
    """Returns the image with its holes filled by straight surfaces between their rims, (H, W) float32, metres."""
    missing = depth <= 0
    rim = ~missing & (cv2.dilate(missing.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)
    filled = fill_nearest(depth)
    with contextlib.suppress(QhullError, ValueError):  # rims on one line span no surface
        straight = LinearNDInterpolator(np.argwhere(rim), depth[rim])(np.argwhere(missing))
        filled[missing] = np.where(np.isfinite(straight), straight, filled[missing])
    return filled


def _band_share(depth: FloatImage, baseline: float) -> float:
    """Returns the share of the frame missing at the border, in the fifth of it to which shadows fall."""
    if baseline == 0:
        return 0.0
    fifth = depth.shape[1] // 5
    side = np.s_[:, :fifth] if baseline > 0 else np.s_[:, -fifth:]
    return float(missing_at_border(depth)[side].sum() / depth.size)
