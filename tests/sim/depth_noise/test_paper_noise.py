from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from sim.depth_noise import DepthNoise
from sim.errors import InputError

CONF = Path(__file__).parents[3] / "conf" / "depth_noise"
FLAT = np.full((480, 640), 0.6, np.float32)


def test_same_seed_same_noise():
    a, b = (DepthNoise()(FLAT, np.random.default_rng(1)) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    assert (a != DepthNoise()(FLAT, np.random.default_rng(2))).any()


def bicubic_weights(grid):
    """(grid, 5): OpenCV's cubic kernel (Keys, a = -0.75) at each pixel of a cell, for grid points -2 ... 2."""
    a = -0.75
    t = np.abs(((np.arange(grid) + 0.5) / grid - 0.5)[:, None] - np.arange(-2, 3))
    near = (a + 2) * t**3 - (a + 3) * t**2 + 1
    far = a * t**3 - 5 * a * t**2 + 8 * a * t - 4 * a
    return np.where(t <= 1, near, np.where(t < 2, far, 0))


@pytest.mark.parametrize(("grid", "sigma"), [(8, 0.004), (4, 0.002)])
def test_sigma_is_the_deviation_on_the_grid(grid, sigma):
    """Next to a grid point almost all of sigma, between them what bicubic weights leave of it."""
    noise = DepthNoise(blurs=0, sigma=sigma, grid=grid)
    rng = np.random.default_rng(0)
    error = np.stack([noise(FLAT, rng) - FLAT for _ in range(40)])[:, 32:-32, 32:-32]
    assert error.mean() == pytest.approx(0, abs=sigma / 50)
    share = np.sqrt((bicubic_weights(grid) ** 2).sum(axis=1))
    cells = error.reshape(40, error.shape[1] // grid, grid, -1, grid)
    np.testing.assert_allclose(cells.std(axis=(0, 1, 3)), sigma * np.outer(share, share), rtol=0.02)
    assert cells.std(axis=(0, 1, 3)).max() == pytest.approx(sigma, rel=0.05)


def test_depth_error_is_alike_over_a_cell_and_independent_beyond_four():
    noise = DepthNoise(blurs=0)
    rng = np.random.default_rng(1)
    error = np.stack([noise(FLAT, rng) - FLAT for _ in range(40)])[:, 32:-32, 32:-32]
    # Pixel x of a cell weighs grid point k by w[x, k]: the products at a lag say what two pixels share.
    weights = bicubic_weights(8)
    for lag in (1, 4, 8, 16, 24, 40):
        cells, phase = np.divmod(np.arange(8) + lag, 8)
        shared = [
            sum(weights[x, k] * weights[p, k - c] for k in range(5) if 0 <= k - c < 5)
            for x, (c, p) in enumerate(zip(cells, phase, strict=True))
        ]
        expected = np.mean(shared) / np.mean((weights**2).sum(axis=1))
        for found in (
            np.vdot(error[:, lag:], error[:, :-lag]) / error[:, lag:].size / error.var(),
            np.vdot(error[:, :, lag:], error[:, :, :-lag]) / error[:, :, lag:].size / error.var(),
        ):
            assert found == pytest.approx(expected, abs=0.02), lag


@pytest.mark.parametrize("per_pixel", [0.0, 0.0009, 0.0010, 0.0014, 0.0020, 0.0027])
def test_holes_come_with_the_probability_of_equation_5(per_pixel):
    """Ramps of one slope each: cv2's 11x11 Sobel sums 524,288 times a slope of 1 m per pixel."""
    ramp = np.tile((0.3 + per_pixel * np.arange(640)).astype(np.float32), (480, 1))
    stated = 0.001 + 0.999 * (524_288 * per_pixel - 500) / 1000
    noise = DepthNoise(blurs=0)  # holes do not depend on the blur
    inner = np.s_[100:-100, 100:-100]
    np.testing.assert_allclose(noise.missing_probability(ramp)[inner], np.clip(stated, 0, 1), atol=2e-3)
    np.testing.assert_allclose(noise.missing_probability(ramp.T.copy()).T[inner], np.clip(stated, 0, 1), atol=2e-3)
    rng = np.random.default_rng(0)
    lost = np.mean([(noise(ramp, rng) == 0)[inner].mean() for _ in range(30)])
    assert lost == pytest.approx(np.clip(stated, 0, 1), abs=0.02)
    assert (lost == 0) == (stated <= 0)


def test_a_steep_edge_is_lost_and_flat_ground_is_not():
    step = FLAT.copy()
    step[:, 320:] = 0.5
    probability = DepthNoise().missing_probability(step)
    assert probability[:, 318:322].min() == 1
    assert probability[:, :300].max() == 0


CALM = DepthNoise(sigma=0.0, missing_low=1e9, missing_high=2e9, missing_low_probability=0)


def test_missing_pixels_never_bleed():
    image = FLAT.copy()
    image[100:200, 100:200] = 0
    noisy = CALM(image, np.random.default_rng(0))
    assert (noisy[100:200, 100:200] == 0).all()
    np.testing.assert_allclose(noisy[image > 0], 0.6, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.05, 0.95))
def test_scattered_holes_neither_close_nor_mix_in(seed, share):
    """Every pixel stays missing or present, and within the depths that were there."""
    rng = np.random.default_rng(seed)
    image = rng.uniform(0.5, 0.7, (61, 83)).astype(np.float32)
    image[rng.random(image.shape) < share] = 0
    noisy = CALM(image, rng)
    np.testing.assert_array_equal(noisy == 0, image == 0)
    assert noisy[noisy > 0].min() >= image[image > 0].min() - 1e-5
    assert noisy[noisy > 0].max() <= image[image > 0].max() + 1e-5


def blur_twin(image, times):
    """Down by two and up again, pixel by pixel: the mean of four, then bilinear, over valid pixels."""
    height, width = image.shape
    valid = image > 0
    for _ in range(times):
        total, weight = np.zeros((height // 2, width // 2)), np.zeros((height // 2, width // 2))
        for r in range(height):
            for c in range(width):
                total[r // 2, c // 2] += image[r, c] / 4
                weight[r // 2, c // 2] += valid[r, c] / 4
        image = image.copy()
        for r, c in zip(*np.nonzero(valid), strict=True):
            rows = [(r // 2, 0.75), (r // 2 + (1 if r % 2 else -1), 0.25)]
            cols = [(c // 2, 0.75), (c // 2 + (1 if c % 2 else -1), 0.25)]
            above = below = 0.0
            for i, p in rows:
                for j, q in cols:
                    i, j = np.clip(i, 0, height // 2 - 1), np.clip(j, 0, width // 2 - 1)
                    above, below = above + p * q * total[i, j], below + p * q * weight[i, j]
            image[r, c] = above / below
    return image


def test_blur_equals_its_twin():
    rng = np.random.default_rng(5)
    image = rng.uniform(0.5, 0.7, (26, 32)).astype(np.float32)
    image[8:14, 5:11] = 0
    image[rng.random(image.shape) < 0.1] = 0
    for times in (1, 10):
        noisy = replace(CALM, blurs=times)(image, rng)
        np.testing.assert_allclose(noisy, blur_twin(image.astype(np.float64), times), atol=1e-5)


@pytest.mark.parametrize(("period", "low", "high"), [(2, 0, 0.01), (8, 0.03, 0.2), (16, 0.4, 0.55), (32, 0.75, 0.9)])
def test_blur_takes_away_small_steps_and_keeps_large_ones(period, low, high):
    wave = np.tile(0.6 + 0.004 * np.sin(2 * np.pi * np.arange(640) / period + 0.3), (480, 1)).astype(np.float32)
    for image in (wave, np.ascontiguousarray(wave.T)):
        left = CALM(image, np.random.default_rng(0)).std() / image.std()
        assert low <= left <= high


@pytest.mark.parametrize("preset", ["none", "paper"])
def test_presets(preset):
    noise = instantiate(OmegaConf.load(CONF / f"{preset}.yaml"))
    step = FLAT.copy()
    step[:, 320:] = 0.5
    noisy = noise(step, np.random.default_rng(0))
    if preset == "none":
        np.testing.assert_array_equal(noisy, step)
    else:
        assert noise == DepthNoise()
        assert (noisy == 0).any()


def test_nan_is_named():
    with pytest.raises(InputError, match="NaN"):
        DepthNoise()(np.full((10, 10), np.nan, np.float32), np.random.default_rng(0))


@pytest.mark.parametrize(
    "wrong", [{"sobel_size": 4}, {"sigma": -0.1}, {"grid": 0}, {"blurs": -1}, {"missing_high": 1.0}, {"sobel_size": 33}]
)
def test_settings_out_of_range_are_named(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        DepthNoise(**wrong)
