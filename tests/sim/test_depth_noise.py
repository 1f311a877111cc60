import numpy as np
import pytest

from sim import InputError
from sim.depth_noise import DepthNoise

FLAT = np.full((480, 640), 0.6, np.float32)


def test_same_seed_same_noise():
    a, b = (DepthNoise()(FLAT, np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    assert (a != DepthNoise()(FLAT, np.random.default_rng(2))).any()


def test_sigma_is_the_deviation_on_the_grid():
    noise = DepthNoise(blurs=0)
    rng = np.random.default_rng(0)
    error = np.stack([noise(FLAT, rng) - FLAT for _ in range(20)])[:, 4::8, 4::8]
    assert error.mean() == pytest.approx(0, abs=2e-4)
    # Between the grid's points the bicubic weights take some of it away.
    assert 0.6 * 0.004 < error.std() < 1.05 * 0.004


def test_holes_come_with_the_stated_probability():
    ramp = np.tile(np.linspace(0.3, 0.3 + 0.002 * 639, 640, dtype=np.float32), (480, 1))
    noise = DepthNoise()
    probability = noise.missing_probability(ramp)[100:-100, 100:-100]
    assert probability.std() < 1e-3  # a ramp has one gradient
    rng = np.random.default_rng(0)
    lost = np.mean([(noise(ramp, rng) == 0)[100:-100, 100:-100].mean() for _ in range(30)])
    assert 0.2 < probability.mean() < 0.8
    assert lost == pytest.approx(probability.mean(), abs=0.03)


def test_a_steep_edge_is_lost_and_flat_ground_is_not():
    step = FLAT.copy()
    step[:, 320:] = 0.5
    probability = DepthNoise().missing_probability(step)
    assert probability[:, 318:322].min() == 1
    assert probability[:, :300].max() == 0


def test_missing_pixels_never_bleed():
    image = FLAT.copy()
    image[100:200, 100:200] = 0
    noisy = DepthNoise(sigma=0.0, missing_low=1e9, missing_high=2e9, missing_low_probability=0)(
        image, np.random.default_rng(0)
    )
    assert (noisy[100:200, 100:200] == 0).all()
    np.testing.assert_allclose(noisy[image > 0], 0.6, atol=1e-5)


def test_blur_takes_away_small_steps():
    rough = FLAT.copy()
    rough[::2] += 0.004
    calm = DepthNoise(sigma=0, missing_low=1e9, missing_high=2e9, missing_low_probability=0)
    assert calm(rough, np.random.default_rng(0)).std() < 0.2 * rough.std()


def test_nan_is_named():
    with pytest.raises(InputError, match="NaN"):
        DepthNoise()(np.full((10, 10), np.nan, np.float32), np.random.default_rng(0))
