"""Noise of real sensors: shadows, holes, errors, steps; one of several drawn for each image."""

import dataclasses
import json

import numpy as np
import pytest
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.cli import conf_folder
from sim.depth_noise import DepthNoise, MixedNoise, SensorNoise, describe_noise, noise_for_camera
from sim.depth_noise.mixed import load_preset, mix_presets
from sim.errors import InputError

FLAT = np.full((480, 640), 0.6, np.float32)
CALM = SensorNoise(sigma=0.0, grazing_low=90.0, grazing_high=90.0)
PRESETS = ("d435", "azure_kinect", "phoxi", "primesense")


def box_image():
    image = FLAT.copy()
    image[100:200, 300:400] = 0.5
    return image


@pytest.mark.parametrize("baseline", [0.05, -0.05])
def test_a_shadow_falls_on_the_side_away_from_the_second_eye_and_is_as_wide_as_the_disparities_differ(baseline):
    noise = dataclasses.replace(CALM, baseline=baseline, focal_px=600.0)
    lost = noise(box_image(), np.random.default_rng(0)) == 0
    width = 600 * 0.05 * (1 / 0.5 - 1 / 0.6)  # 10 pixels
    counts = lost.sum(1)
    assert set(counts[100:200]) <= {round(width) - 1, round(width), round(width) + 1}
    assert not np.delete(counts, np.s_[100:200]).any()
    cols = np.flatnonzero(lost[150])
    assert cols.max() == 299 if baseline > 0 else cols.min() == 400


def hidden_slowly(row, shift):
    """A pixel is hidden where any other on the second eye's side comes to stand at or before it."""
    lost = []
    for x, z in enumerate(row):
        side = range(x + 1, len(row)) if shift > 0 else range(x)
        place = x - shift / z if z > 0 else 0
        others = [y - shift / row[y] for y in side if row[y] > 0]
        lost.append(z > 0 and any(place >= p if shift > 0 else place <= p for p in others))
    return np.array(lost)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(-0.3, 0.3).filter(lambda b: abs(b) > 1e-3))
def test_shadows_are_those_of_a_slow_twin(seed, baseline):
    rng = np.random.default_rng(seed)
    row = rng.choice([0.0, 0.51, 0.63, 0.78, 0.97], size=(1, 60)).astype(np.float32)
    row[0, 0] = 0.63
    lost = (dataclasses.replace(CALM, baseline=baseline, focal_px=331.7)(row, rng) == 0) & (row > 0)
    np.testing.assert_array_equal(lost[0], hidden_slowly(row[0].astype(float), 331.7 * baseline))


def test_shadows_grow_with_the_focal_length_of_the_camera():
    noise = dataclasses.replace(CALM, baseline=0.05)
    narrow, wide = (
        (noise_for_camera(noise, focal)(box_image(), np.random.default_rng(0)) == 0).sum() for focal in (300.0, 900.0)
    )
    assert wide == pytest.approx(3 * narrow, rel=0.1)
    assert noise_for_camera(DepthNoise(), 900.0) == DepthNoise()


@pytest.mark.parametrize("grid", [1, 3, 8])
def test_the_error_has_the_deviation_asked_for_at_every_depth(grid):
    noise = dataclasses.replace(CALM, sigma=0.001, sigma_square=0.004, grid=grid)
    for z in (0.5, 1.0):
        error = np.concatenate([noise(z / 0.6 * FLAT, np.random.default_rng(i)) - z for i in range(4)])
        assert error.std() == pytest.approx(0.001 + 0.004 * z**2, rel=0.05)
        assert abs(error.mean()) < 2e-4


def test_planes_bend_over_the_length_asked_for():
    noise = dataclasses.replace(CALM, bend=0.002, bend_square=0.001, bend_grid=64)
    error = np.stack([noise(FLAT, np.random.default_rng(i)) for i in range(12)]) - 0.6
    assert error.std() == pytest.approx(0.00236, rel=0.1)
    near = (error[:, :, 8:] * error[:, :, :-8]).mean() / error.var()
    far = (error[:, :, 256:] * error[:, :, :-256]).mean() / error.var()
    assert near > 0.9
    assert abs(far) < 0.2


def test_depths_are_rounded_to_the_sensors_steps():
    noisy = SensorNoise(sigma=0.002, unit=0.001)(FLAT, np.random.default_rng(0))
    np.testing.assert_allclose(noisy * 1000, np.round(noisy * 1000), atol=1e-4)
    inverse = 1 / SensorNoise(sigma=0.002, inverse_step=0.002)(FLAT, np.random.default_rng(0)).astype(float)
    np.testing.assert_allclose(inverse / 0.002, np.round(inverse / 0.002), atol=1e-3)


def test_low_steps_become_slopes_and_high_ones_stay():
    image = FLAT.copy()
    image[100:200, 300:400] = 0.58
    image[300:400, 300:400] = 0.5
    soft = dataclasses.replace(CALM, soft=7.0, soft_step=0.03)(image, np.random.default_rng(0))
    np.testing.assert_allclose(soft[150, 296:304], 0.6 - 0.02 * np.arange(1, 9).clip(max=7) / 7 + 0.02 / 7, atol=0.003)
    assert (np.diff(soft[150, 296:304]) < 0).all()
    np.testing.assert_array_equal(soft[250:], image[250:])


def test_steps_are_not_softened_across_what_is_lost():
    image = FLAT.copy()
    image[:, 300:400] = 0.58
    image[:, 400:410] = 0
    noise = dataclasses.replace(CALM, soft=9.0, soft_step=0.05, baseline=0.3)
    soft = noise(image, np.random.default_rng(0))
    assert (soft[:, 295:300] == 0).all()
    np.testing.assert_allclose(soft[:, 300:304], 0.58, atol=1e-6)
    np.testing.assert_allclose(soft[:, 410:], 0.6, atol=1e-6)


def test_lengths_in_pixels_are_those_of_the_cameras():
    noise = dataclasses.replace(CALM, grid=12, bend_grid=96, hole_grid=1, soft=7.0, focal_px=900.0)
    half = noise_for_camera(noise, 450.0)
    assert (half.grid, half.bend_grid, half.hole_grid, half.soft, half.focal_px) == (6, 48, 1, 3.5, 450.0)
    assert noise_for_camera(noise, 900.0) is noise


@pytest.mark.parametrize("share", [0.01, 0.1])
def test_chance_takes_its_share_in_blobs(share):
    noise = dataclasses.replace(CALM, hole_share=share, hole_grid=8)
    lost = np.stack([noise(FLAT, np.random.default_rng(i)) == 0 for i in range(6)])
    assert lost.mean() == pytest.approx(share, rel=0.15)
    assert lost[:, :, 1:][lost[:, :, :-1]].mean() > 0.6  # a neighbour of a hole is mostly one


def test_steep_surfaces_are_lost_the_more_the_steeper():
    def share(degrees):
        slope = np.tan(np.radians(degrees)) / 415.692
        z = 0.6 * np.exp(slope * (np.arange(200) - 100)).astype(np.float32)  # the same incidence everywhere
        noise = dataclasses.replace(CALM, grazing_low=60.0, grazing_high=80.0)
        return np.mean([noise(np.tile(z, (200, 1)), np.random.default_rng(i)) == 0 for i in range(5)])

    assert share(50) == 0
    assert share(70) == pytest.approx(0.5, abs=0.07)
    assert share(82) == 1


@pytest.mark.parametrize(("band", "baseline"), [(False, 0.0), (True, 1e-9), (True, -1e-9)])
def test_the_border_takes_its_share_and_leaves_the_middle(band, baseline):
    noise = dataclasses.replace(CALM, border=0.2, band=band, baseline=baseline)
    lost = noise(FLAT, np.random.default_rng(0)) == 0
    assert lost.mean() == pytest.approx(0.2, rel=0.1)
    assert not lost[80:400, 180:460].any()
    assert lost[:, 0].all() == (not band or baseline > 0)
    assert lost[:, -1].all() == (not band or baseline < 0)


def test_missing_pixels_stay_missing_and_touch_nothing():
    image = box_image()
    holed = image.copy()
    holed[300:350, 100:200] = 0
    noise = SensorNoise(sigma=0.002, bend=0.002, hole_share=0.02)
    whole, part = (noise(i, np.random.default_rng(3)) for i in (image, holed))
    np.testing.assert_array_equal(part, np.where(holed > 0, whole, 0))


NUMBERS = [f for f in dataclasses.fields(SensorNoise) if f.name != "band"]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_settings_give_an_image_or_one_sentence(data):
    wild = st.one_of(
        st.floats(-1, 1), st.integers(-2, 200), st.floats(0, 100), st.floats(), st.sampled_from([None, "1", True, [1]])
    )
    chosen = data.draw(st.dictionaries(st.sampled_from([f.name for f in dataclasses.fields(SensorNoise)]), wild))
    image = np.random.default_rng(0).choice([0, 0.4, 0.9, 3.0], size=(31, 45)).astype(np.float32)
    image[0, 0] = 0.5
    try:
        noisy = SensorNoise(**chosen)(image, np.random.default_rng(1))
    except InputError as error:
        said = str(error)
    else:
        said = "; give"
        assert (noisy.shape, noisy.dtype) == (image.shape, np.float32)
        assert (np.isfinite(noisy) & (noisy >= 0)).all()
        assert not noisy[image == 0].any()
    assert "; give" in said
    assert "\n" not in said


def test_images_that_are_none_are_refused():
    for image in (np.full((4, 4), np.nan, np.float32), np.zeros((4, 4), np.float32), np.zeros((2, 3, 4), np.float32)):
        for noise in (SensorNoise(), MixedNoise(noises={"a": SensorNoise()})):
            with pytest.raises(InputError):
                noise(image, np.random.default_rng(0))


def test_a_mixture_draws_each_of_its_cameras_for_whole_images():
    parts = {"near": dataclasses.replace(CALM, unit=0.5), "exact": CALM, "far": dataclasses.replace(CALM, unit=1.0)}
    mixed, rng = MixedNoise(noises=parts), np.random.default_rng(0)
    values = [np.unique(mixed(FLAT[:64, :64], rng)) for _ in range(300)]
    assert all(len(v) == 1 for v in values)
    counts = np.unique([round(float(v[0]), 3) for v in values], return_counts=True)
    assert list(counts[0]) == [0.5, 0.6, 1.0]
    assert counts[1].min() > 70
    backwards = MixedNoise(noises=dict(reversed(parts.items())))
    np.testing.assert_array_equal(*(m(FLAT, np.random.default_rng(5)) for m in (mixed, backwards)))


@pytest.mark.parametrize("noises", [{}, None, [], {"a": None}, {"a": "d435"}])
def test_a_mixture_of_nothing_is_refused(noises):
    with pytest.raises(InputError, match=r"depth_noise\.noises"):
        MixedNoise(noises=noises)


@pytest.mark.parametrize("names", [[], None, [1], "d436", ["d435", "d435"], ["d436"], [""], ["../camera/paper"]])
def test_presets_that_are_none_are_refused(names):
    with pytest.raises(InputError, match="depth_noise"):
        mix_presets(names)


def test_one_preset_needs_no_list():
    assert mix_presets("d435") == mix_presets(["d435"]) == load_preset("d435")
    assert set(mix_presets(["mixed", "none"]).noises) == {"mixed", "none"}


def test_the_mixed_preset_holds_the_sensors_presets_however_it_is_loaded():
    with initialize_config_module("plgp_conf", version_base="1.3"):
        config = compose("generate", overrides=["depth_noise=mixed"])
    noise = instantiate(config.depth_noise)
    assert noise == mix_presets(PRESETS) == load_preset("mixed")
    assert set(noise.noises) == set(PRESETS)


def test_a_description_names_the_kind_and_fits_into_json_and_the_papers_stays_as_it_was():
    assert describe_noise(DepthNoise()) == dataclasses.asdict(DepthNoise())
    told = json.loads(json.dumps(describe_noise(mix_presets(["d435", "phoxi"]).with_focal(600))))
    assert told["kind"] == "MixedNoise"
    assert told["noises"]["phoxi"]["kind"] == "SensorNoise"
    assert told["noises"]["phoxi"]["baseline"] < -0.2

    def own(depth, rng):
        return depth

    assert describe_noise(own) == {"kind": "function"}


def test_every_preset_is_listed_with_where_it_is_from():
    for name in PRESETS:
        assert "Fitted by" in (conf_folder() / "depth_noise" / f"{name}.yaml").read_text().splitlines()[0]
