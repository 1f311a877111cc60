"""Fits a sensor's noise to its frames: the numbers that make drawn noise measure as the frames do."""

from __future__ import annotations

import warnings
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from sim.camera import PinholeCamera, overhead_pose
from sim.depth_noise.measure import NoiseMeasures, PlaneMeasures, measure_frame, measure_plane
from sim.depth_noise.outlines import plane_holes
from sim.depth_noise.sensor import SensorNoise
from sim.errors import InputError

FloatImage = NDArray[np.float32]
Scenes = Sequence[Callable[[PinholeCamera], FloatImage]]

_ROUNDS = 5
_DRAWS = 12  # planes drawn in a round, at least
_SHOWN = 16  # frames, spread over the distances, at which drawn noise is measured
_GRIDS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16)  # pixels
_BEND_GRIDS = (32, 48, 64, 96, 128)  # pixels
_CLOSE = 0.1  # of the share that is missing inside: clutter that comes as near needs no change of the noise
_GRAZING = 5.0  # degrees between the angle where pixels go missing and the one where all are


@dataclass(frozen=True, kw_only=True)
class SensorFrame:
    """A frame of a sensor.

    Attributes:
        name: Name in messages.
        depth: (H, W) float32, metres, 0 = missing.
        focal_px: Focal length, pixels.
    """

    name: str
    depth: FloatImage
    focal_px: float


@dataclass(frozen=True, kw_only=True)
class FittedNoise:
    """A fit.

    Attributes:
        noise: The noise.
        measures: Measures of the frames, by their names.
        scenes: Name of the scenes whose clutter stands for the frames'.
        drawn: Measures of the noise drawn at the frames' distances, their mean: scatter, scatter of tiles, share
            missing inside, share missing at the border.
    """

    noise: SensorNoise
    measures: dict[str, NoiseMeasures]
    scenes: str
    drawn: tuple[float, float, float, float]


def fit_noise(frames: Sequence[SensorFrame], clutter: dict[str, Scenes]) -> FittedNoise:
    """Fits the noise of one sensor.

    Shadows, grazing surfaces, steps, slopes and the share that chance takes are read off the frames. Deviations and
    correlation lengths are those with which drawn noise measures alike, plane by plane. On rendered clutter with about
    as many edges as the frames' as much must be missing: where it is not, chance takes more, or shadows are narrower.

    Args:
        frames: Frames that look at a table or a tray's floor.
        clutter: Depth renderers of scenes by the name of their clutter, the barest first; the clutter that loses as
            much as the frames is taken.

    Raises:
        InputError: No frame shows a plane that is large enough.
    """
    measures: dict[str, NoiseMeasures] = {}
    for frame in frames:
        try:
            measures[frame.name] = measure_frame(frame.depth, frame.focal_px, name=frame.name)
        except InputError as error:
            warnings.warn(f"{error}; it is left out", stacklevel=2)
    if not measures:
        raise InputError("no frame shows a plane; give frames that look at a table or a tray's floor")
    taken = sorted((f for f in frames if f.name in measures), key=lambda f: measures[f.name].distance)
    noise = replace(_read_off(list(measures.values())), focal_px=taken[len(taken) // 2].focal_px)
    shown = [taken[i] for i in np.unique(np.linspace(0, len(taken) - 1, min(_SHOWN, len(taken))).astype(int))]
    noise = _match_holes(noise, taken[len(taken) // 2], mean_of(list(measures.values()), "hole_width"))
    noise, scatter, tiles = _match_scatter(noise, shown, measures)
    noise, name, inside = _match_missing(noise, taken[len(taken) // 2], list(measures.values()), clutter)
    return FittedNoise(noise=noise, measures=measures, scenes=name, drawn=(scatter, tiles, inside, noise.border))


def mean_of(measures: Sequence[PlaneMeasures], name: str) -> float:
    """Returns the mean of one of the measures over frames."""
    return float(np.mean([getattr(m, name) for m in measures]))


def _plane_frame(noise: SensorNoise, frame: SensorFrame, distance: float, *, seed: int) -> PlaneMeasures:
    """Returns what noise measures as on a plane that faces the camera; nothing is missing there.

    Args:
        noise: The noise.
        frame: Frame whose size and focal length are taken.
        distance: Distance of the plane, metres.
        seed: Seed of the noise.
    """
    calm = replace(noise, hole_share=0.0, border=0.0, baseline=0.0, grazing_low=90.0, grazing_high=90.0)
    flat = np.full(frame.depth.shape, distance, np.float32)
    noisy = calm.with_focal(frame.focal_px)(flat, np.random.default_rng(seed))
    return measure_plane(noisy, frame.focal_px, name="drawn noise")


def frame_camera(shape: tuple[int, ...], focal_px: float, distance: float) -> PinholeCamera:
    """Returns a camera that looks straight down on the tray.

    Args:
        shape: (H, W) of its images.
        focal_px: Focal length, pixels.
        distance: Height over the tray's floor, metres.
    """
    height, width = shape
    matrix = np.array([[focal_px, 0, (width - 1) / 2], [0, focal_px, (height - 1) / 2], [0, 0, 1]])
    return PinholeCamera(width, height, matrix, overhead_pose(distance))


def missing_in_scenes(noise: SensorNoise, images: Sequence[FloatImage], *, seed: int = 0) -> float:
    """Returns the mean share of the pixels that noise takes from images, [0, 1], its border left aside.

    Args:
        noise: The noise.
        images: (H, W) float32 each, metres, nothing missing, seen by a camera of the noise's focal length.
        seed: Seed of the first image's noise; the next has the next.
    """
    inner = replace(noise, border=0.0)
    return float(
        np.mean([(inner(image, np.random.default_rng(seed + i)) <= 0).mean() for i, image in enumerate(images)])
    )


def _read_off(measures: Sequence[NoiseMeasures]) -> SensorNoise:
    """Returns a first noise: what needs no drawing is final."""
    distances = np.array([m.distance for m in measures])
    tile = np.array([m.tile_scatter for m in measures])
    bend = np.sqrt(np.maximum(np.array([m.scatter for m in measures]) ** 2 - tile**2, 1e-12))
    baselines = [m.baseline for m in measures if m.baseline != 0]
    low = float(np.median([m.grazing_low for m in measures]))
    soft = [m for m in measures if m.soft > 0]
    sigma, bends = _growth(distances, tile), _growth(distances, bend)
    return SensorNoise(
        sigma=sigma[0],
        sigma_square=sigma[1],
        bend=bends[0],
        bend_square=bends[1],
        soft=mean_of(soft, "soft") if 2 * len(soft) >= len(measures) else 0.0,
        soft_step=mean_of(soft, "soft_step") if 2 * len(soft) >= len(measures) else 0.0,
        unit=float(np.median([m.unit for m in measures])),
        inverse_step=float(np.median([m.inverse_step for m in measures])),
        baseline=float(np.median(baselines)) if 2 * len(baselines) >= len(measures) else 0.0,
        border=mean_of(measures, "missing_border"),
        hole_share=mean_of(measures, "hole_share"),
        band=mean_of(measures, "missing_band") > 0.5 * mean_of(measures, "missing_border"),
        grazing_low=low,
        grazing_high=min(90.0, low + _GRAZING),
    )


def _growth(distances: NDArray[np.float64], deviations: NDArray[np.float64]) -> tuple[float, float]:
    """Returns a and b, neither negative, of the deviation a + b distance^2 that fits best.

    Frames of one distance do not tell the two apart: then the error is stereo's, and all of it grows.
    """
    if np.ptp(distances) < 0.2 * distances.mean():
        return 0.0, float(deviations.mean() / np.mean(distances**2))
    found = nnls(np.stack([np.ones_like(distances), distances**2], axis=1), deviations)[0]
    return float(found[0]), float(found[1])


def _match_scatter(
    noise: SensorNoise, frames: Sequence[SensorFrame], measures: dict[str, NoiseMeasures]
) -> tuple[SensorNoise, float, float]:
    """Returns the noise whose planes scatter as the frames', and its scatters, drawn."""
    middle, real = frames[len(frames) // 2], list(measures.values())
    distance = measures[middle.name].distance
    wanted = np.mean([m.correlation for m in real], axis=0)
    bent = np.mean([m.bend_correlation for m in real], axis=0)
    scatter = mean_of([measures[f.name] for f in frames], "scatter")
    tiles = mean_of([measures[f.name] for f in frames], "tile_scatter")

    def unlike(trial: SensorNoise) -> tuple[float, float]:
        drawn = _plane_frame(trial, middle, distance, seed=0)
        return (
            float(np.abs(np.subtract(drawn.correlation, wanted)).sum()),
            float(np.abs(np.subtract(drawn.bend_correlation, bent)).sum()),
        )

    noise = min((replace(noise, grid=grid) for grid in _GRIDS), key=lambda trial: unlike(trial)[0])
    noise = min((replace(noise, bend_grid=grid) for grid in _BEND_GRIDS), key=lambda trial: unlike(trial)[1])
    for number in range(_ROUNDS):
        drawn = [
            _plane_frame(noise, f, measures[f.name].distance, seed=i)
            for f in frames
            for i in range(-(-_DRAWS // len(frames)))
        ]
        whole, part = mean_of(drawn, "scatter"), mean_of(drawn, "tile_scatter")
        fine = tiles / max(part, 1e-6)
        over = (scatter**2 - tiles**2) / max(whole**2 - part**2, 1e-12)
        coarse = float(np.sqrt(np.clip(over, 0.1, 4)))
        if number == _ROUNDS - 1:
            return noise, whole, part
        noise = replace(noise, sigma=noise.sigma * fine, sigma_square=noise.sigma_square * fine)
        noise = replace(noise, bend=noise.bend * coarse, bend_square=noise.bend_square * coarse)
    raise AssertionError("the last round returns")


def _match_holes(noise: SensorNoise, middle: SensorFrame, width: float) -> SensorNoise:
    """Returns the noise whose holes by chance are of a width, pixels of the middle frame."""
    if noise.hole_share == 0 or width == 0:
        return noise
    flat = np.ones(middle.depth.shape, np.float32)

    def unlike(grid: int) -> float:
        holes = replace(SensorNoise(), hole_share=noise.hole_share, hole_grid=grid)(flat, np.random.default_rng(0))
        return abs(float(np.log(max(plane_holes(holes, holes > 0)[1], 0.1) / width)))

    return replace(noise, hole_grid=min(_GRIDS, key=unlike))


def _match_missing(
    noise: SensorNoise, middle: SensorFrame, measures: Sequence[NoiseMeasures], clutter: dict[str, Scenes]
) -> tuple[SensorNoise, str, float]:
    """Returns the noise that loses as much inside as the frames do, the clutter's name, and the share, drawn.

    Clutter is seen from straight above by the camera of the middle frame, at the frames' mean distance. It is drawn
    without a border: a shadow that touches one would count as a part of it in some scenes alone.
    """
    camera = frame_camera(middle.depth.shape, middle.focal_px, mean_of(measures, "distance"))
    images: dict[str, list[FloatImage]] = {}
    inside = mean_of(measures, "missing_inside")

    def share(trial: SensorNoise, name: str) -> float:
        if name not in images:
            images[name] = [render(camera) for render in clutter[name]]
        return missing_in_scenes(trial, images[name])

    if inside + noise.border == 0:  # filled in by whoever recorded the frames
        noise = replace(noise, baseline=0.0, hole_share=0.0, grazing_low=90.0, grazing_high=90.0)
    levels = list(clutter)
    enough = bisect_left(levels, inside, key=lambda n: share(noise, n))
    name = min(levels[max(0, enough - 1) : enough + 1], key=lambda n: abs(share(noise, n) - inside))
    found, eye = share(noise, name), noise.baseline
    if found > (1 + _CLOSE) * inside:  # the barest clutter has more edges than the frames'
        most = (1 + _CLOSE) * inside
        noise = _bisect(noise, lambda n, x: replace(n, baseline=eye * x), 1.0, lambda n: share(n, name) - most)
    elif found < (1 - _CLOSE) * inside:
        least = (1 - _CLOSE) * inside
        noise = _bisect(noise, lambda n, x: replace(n, hole_share=x), 0.5, lambda n: share(n, name) - least)
    return noise, name, share(noise, name)


def _bisect(
    noise: SensorNoise,
    change: Callable[[SensorNoise, float], SensorNoise],
    most: float,
    excess: Callable[[SensorNoise], float],
) -> SensorNoise:
    """Returns the noise changed by the greatest number from 0 to ``most`` that leaves no excess; 0 if all do."""
    low, high = 0.0, most
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (middle, high) if excess(change(noise, middle)) <= 0 else (low, middle)
    return change(noise, low)
