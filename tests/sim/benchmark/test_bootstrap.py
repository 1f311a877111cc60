"""The bootstrap draws whole scenes, the same ones for the same seed."""

import numpy as np
import pytest

from sim.benchmark.bootstrap import interval, scene_weights, share_interval


def test_every_resample_draws_as_many_scenes_as_there_are():
    weights = scene_weights(7, 100, seed=[3, 7])
    assert weights.shape == (100, 7)
    assert (weights.sum(axis=1) == 7).all()
    assert weights.max() > 1
    np.testing.assert_array_equal(weights, scene_weights(7, 100, seed=[3, 7]))
    assert (weights != scene_weights(7, 100, seed=[4, 7])).any()


def test_bounds_are_quantiles_of_what_is_known():
    values = np.stack([np.arange(1001.0), np.full(1001, np.nan)], axis=1)
    np.testing.assert_allclose(interval(values, 2), [[25, np.nan], [975, np.nan]])
    assert np.isnan(interval(values, 1)).all()


def test_interval_resamples_whole_scenes():
    """A slow twin: the same scenes drawn one by one, their trials counted."""
    rng = np.random.default_rng(0)
    scene, success = rng.integers(4, size=60), rng.random(60) < 0.7
    success[scene == 2] = False
    draws = np.random.default_rng(7).integers(4, size=(2000, 4))
    shares = []
    for draw in draws:
        trials = np.concatenate([success[scene == number] for number in draw])
        shares.append(trials.mean())
    assert share_interval(scene, success, 7) == pytest.approx(np.quantile(shares, [0.025, 0.975]).tolist())
    low, high = share_interval(scene, success, 7)
    naive = 1.96 * np.sqrt(success.mean() * (1 - success.mean()) / 60)
    assert high - low > 2 * naive  # trials of one scene are not independent
    assert share_interval(np.zeros(3), [True, False, True]) is None
    assert share_interval([], []) is None
