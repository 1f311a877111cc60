"""The bootstrap over scenes, on which every interval of this project rests.

Attempts in one scene are not independent, so whole scenes are resampled, never attempts. The intervals are those of
the percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13), at 95 %.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

SAMPLES = 2000  # number of resamples
_BOUNDS = (0.025, 0.975)


def scene_weights(scenes: int, samples: int = SAMPLES, *, seed: int | Sequence[int]) -> FloatArray:
    """Returns how often each resample drew each scene: a function of the arguments alone.

    Args:
        scenes: Number of scenes, S.
        samples: Number of resamples, R; each draws S scenes with replacement.
        seed: Seed of the draw.

    Returns:
        (R, S) float64 counts.
    """
    drawn = np.random.default_rng(seed).integers(0, scenes, (samples, scenes))
    cells = drawn + scenes * np.arange(samples)[:, None]
    return np.bincount(cells.ravel(), minlength=samples * scenes).reshape(samples, scenes).astype(np.float64)


def interval(values: FloatArray, scenes: int) -> FloatArray:
    """Returns the 95 % bounds of resampled values.

    Args:
        values: (R, ...) values, one a resample; NaN where a resample has none.
        scenes: Number of scenes that were resampled.

    Returns:
        (2, ...) float64, lower and upper bound; NaN with fewer than two scenes.
    """
    if scenes < 2:
        return np.full((2, *values.shape[1:]), np.nan)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="All-NaN slice")
        return np.asarray(np.nanquantile(values, _BOUNDS, axis=0), np.float64)


def share_interval(scene: ArrayLike, success: ArrayLike, seed: int = 0) -> list[float] | None:
    """Returns the 95 % interval of a share of trials.

    Args:
        scene: (N,) the scene that each trial belongs to.
        success: (N,) bool.
        seed: Seed of the bootstrap.

    Returns:
        Lower and upper bound in [0, 1], or None with fewer than two scenes.
    """
    trials = pd.DataFrame({"scene": np.asarray(scene), "success": np.asarray(success, bool)})
    counts = trials.groupby("scene").success.agg(["sum", "count"]).to_numpy(np.float64)
    if len(counts) < 2:
        return None
    successes, trials_drawn = (scene_weights(len(counts), seed=seed) @ counts).T
    return [float(bound) for bound in interval(successes / trials_drawn, len(counts))]
