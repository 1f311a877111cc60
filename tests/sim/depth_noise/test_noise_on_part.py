"""Noise of a part of an image: the same random numbers give the part of the whole noisy image."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sim.depth_noise.paper
import sim.depth_noise.sensor
from sim.depth_noise import DepthNoise, MixedNoise, SensorNoise
from sim.depth_noise.fields import smooth_field
from sim.depth_noise.mixed import load_preset
from sim.depth_noise.model import noise_on_part

PRESETS = ("paper", "d435", "azure_kinect", "phoxi", "primesense")


def boxes(height, width, seed=0):
    rng = np.random.default_rng(seed)
    image = np.full((height, width), 0.7, np.float32) + np.linspace(0, 0.05, width, dtype=np.float32)
    for _ in range(12):
        row, col = rng.integers(0, height - 10), rng.integers(0, width - 10)
        image[row : row + rng.integers(8, 60), col : col + rng.integers(8, 60)] -= rng.uniform(0.01, 0.12)
    image[rng.random(image.shape) < 0.01] = 0
    return image


class Known:
    """A generator whose normal numbers are those of known grids: the whole's, or a part's cells of them."""

    def __init__(self, shape, grids, part=None, reach=2):
        self.shape, self.grids, self.part, self.reach, self.turn = shape, list(grids), part, reach, 0

    def standard_normal(self, size, dtype):
        grid, self.turn = self.grids[self.turn], self.turn + 1
        whole = tuple(-(-n // grid) for n in self.shape)
        cells = np.random.default_rng(1000 * self.turn + grid).standard_normal(whole, dtype=np.float32)
        if self.part is None:
            assert size == whole
            return cells
        reach = self.reach if grid > 1 else 0
        first = [max(0, s.start // grid - reach) for s in self.part]
        return cells[first[0] : first[0] + size[0], first[1] : first[1] + size[1]]


@given(st.integers(1, 12), st.integers(20, 90), st.integers(20, 90), st.data(), st.booleans())
@settings(max_examples=200, deadline=None)
def test_a_parts_field_is_the_wholes(grid, height, width, data, unit_variance):
    first = [data.draw(st.integers(0, n - 1)) for n in (height, width)]
    part = tuple(slice(a, data.draw(st.integers(a + 1, n))) for a, n in zip(first, (height, width), strict=True))
    whole = smooth_field(Known((height, width), [grid]), (height, width), grid, unit_variance=unit_variance)
    rng = Known((height, width), [grid], part)
    piece = smooth_field(rng, (height, width), grid, unit_variance=unit_variance, part=part)
    np.testing.assert_allclose(piece, whole[part], atol=1e-5)


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize(
    ("size", "part"),
    [
        ((240, 320), (slice(61, 150), slice(70, 201))),
        ((240, 320), (slice(0, 100), slice(0, 77))),
        ((240, 320), (slice(200, 240), slice(150, 320))),
        ((240, 320), (slice(0, 240), slice(0, 320))),
        ((161, 217), (slice(40, 90), slice(50, 120))),
    ],
)
def test_a_part_is_that_of_the_whole(monkeypatch, name, size, part):
    """Shadows, borders, slopes, gradients and blurs that reach into the part from outside are in it."""
    noise, image = load_preset(name), boxes(*size)
    fields = {}

    def known_field(rng, shape, grid, *, unit_variance, part=None):
        key = (len(rng), grid, unit_variance)
        rng.append(key)
        if key not in fields:
            fields[key] = smooth_field(np.random.default_rng(grid), shape, grid, unit_variance=unit_variance)
        return fields[key] if part is None else np.ascontiguousarray(fields[key][part])

    for module in (sim.depth_noise.paper, sim.depth_noise.sensor):
        monkeypatch.setattr(module, "smooth_field", known_field)
    whole, piece = noise(image, []), noise_on_part(noise, image, [], part=part)
    assert (whole[part] == 0).any()
    np.testing.assert_array_equal(piece == 0, whole[part] == 0)
    np.testing.assert_allclose(piece, whole[part], atol=1e-6)


def test_a_shadow_is_thrown_into_the_part_from_far_outside():
    image = np.full((40, 300), 0.7, np.float32)
    image[10:30, 200:220] = 0.2
    noise = SensorNoise(sigma=0.0, baseline=0.06, focal_px=600.0, grazing_low=90.0)
    part = (slice(0, 40), slice(60, 150))
    piece = noise_on_part(noise, image, np.random.default_rng(0), part=part)
    np.testing.assert_array_equal(piece, noise(image, np.random.default_rng(0))[part])
    assert (piece[12:28] == 0).any()


def test_one_of_several_is_drawn_for_a_part_too():
    calm = {f"flat{i}": SensorNoise(sigma=0.0, unit=0.1 * i, grazing_low=90.0) for i in (1, 2)}
    mixed, image = MixedNoise(noises=calm), np.full((20, 30), 0.3, np.float32)
    part = (slice(2, 10), slice(3, 9))
    found = {float(noise_on_part(mixed, image, np.random.default_rng(i), part=part)[0, 0]) for i in range(20)}
    assert sorted(found) == pytest.approx([0.3, 0.4], abs=1e-6)


def test_anyones_noise_is_drawn_for_the_whole():
    image = np.arange(1, 13, dtype=np.float32).reshape(3, 4)
    piece = noise_on_part(
        lambda depth, rng: depth + 1, image, np.random.default_rng(0), part=(slice(1, 3), slice(2, 3))
    )
    np.testing.assert_array_equal(piece, image[1:3, 2:3] + 1)


def test_a_part_in_which_nothing_is_seen_stays_empty():
    image = np.zeros((64, 64), np.float32)
    image[0, 0] = 0.5
    for noise in (DepthNoise(), dataclasses.replace(SensorNoise(), baseline=0.05)):
        part = (slice(40, 60), slice(40, 60))
        assert not noise_on_part(noise, image, np.random.default_rng(0), part=part).any()
