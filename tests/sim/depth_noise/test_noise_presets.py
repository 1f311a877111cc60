"""A sensor's preset scatters and loses as the real frames do that it was fitted to, within 20 %.

The numbers are `sim.depth_noise.measure.measure_frame`'s of the frames that each YAML names, their means.
"""

from dataclasses import replace

import numpy as np
import pytest

from sim.depth_noise import SensorNoise
from sim.depth_noise.clutter import reference_clutter
from sim.depth_noise.fit import frame_camera, missing_in_scenes
from sim.depth_noise.measure import measure_frame
from sim.depth_noise.mixed import load_preset

# distance m, (H, W), focal length px, scatter mm, tile scatter mm, missing inside, missing at the border, clutter,
# second eye m by the shadows' width
REAL = {
    "d435": (0.542, (480, 640), 612.9, 2.08, 0.93, 0.0204, 0.0670, "4.5 objects", 0.0688),
    "azure_kinect": (0.462, (720, 1280), 631.5, 2.29, 1.44, 0.0119, 0.0928, "10 objects", -0.0542),
    "phoxi": (0.812, (386, 516), 552.5, 2.25, 0.49, 0.0651, 0.2539, "10 objects", -0.2327),
    "primesense": (0.713, (480, 640), 525.0, 1.10, 0.10, 0.0, 0.0, "1 object", 0.0),
}


@pytest.fixture(scope="module")
def clutter():
    return reference_clutter()


@pytest.fixture(scope="module")
def seen(clutter):
    """Each preset's clutter as the camera of its frames sees it."""
    found = {}
    for name, (distance, shape, focal, *_, scenes, _) in REAL.items():
        camera = frame_camera(shape, focal, distance)
        found[name] = [render(camera) for render in clutter[scenes]]
    return found


def test_lengths_in_pixels_are_those_of_the_frames_camera():
    assert {name: load_preset(name).focal_px for name in REAL} == {name: real[2] for name, real in REAL.items()}


@pytest.mark.parametrize("name", REAL)
def test_planes_scatter_as_in_the_real_frames(name):
    distance, shape, focal, scatter, tiles, *_ = REAL[name]
    calm = replace(load_preset(name), baseline=0.0, border=0.0, hole_share=0.0)
    flat = np.full(shape, distance, np.float32)
    drawn = [measure_frame(calm(flat, np.random.default_rng(100 + i)), focal) for i in range(4)]
    assert 1000 * np.mean([m.scatter for m in drawn]) == pytest.approx(scatter, rel=0.2)
    assert 1000 * np.mean([m.tile_scatter for m in drawn]) == pytest.approx(tiles, rel=0.2)


@pytest.mark.parametrize("name", REAL)
def test_as_much_is_missing_as_in_the_real_frames(name, seen):
    _, shape, *_, inside, border, _, _ = REAL[name]
    noise = load_preset(name)
    assert missing_in_scenes(noise, seen[name], seed=100) == pytest.approx(inside, rel=0.2)
    only = SensorNoise(border=noise.border, band=noise.band, baseline=np.sign(noise.baseline) * 1e-9)
    assert (only(np.ones(shape, np.float32), np.random.default_rng(0)) == 0).mean() == pytest.approx(border, rel=0.2)
    whole = [noise(depth, np.random.default_rng(100 + i)) == 0 for i, depth in enumerate(seen[name])]
    assert np.mean(whole) == pytest.approx(inside + border, rel=0.2)


@pytest.mark.parametrize("name", REAL)
def test_shadows_fall_on_the_side_of_the_real_frames(name, seen):
    eye = REAL[name][-1]
    noise = load_preset(name)
    assert noise.baseline == pytest.approx(eye, rel=0.1)
    if eye:
        noise = replace(noise, hole_share=0.0, border=0.0, grazing_low=90.0, grazing_high=90.0)
        for depth in seen[name][1:2]:
            lost = (noise(depth, np.random.default_rng(0)) == 0) & (depth > 0)
            again = (replace(noise, baseline=-noise.baseline)(depth, np.random.default_rng(0)) == 0) & (depth > 0)
            assert lost.sum() > 500
            assert (lost & again).sum() < 0.5 * lost.sum()
