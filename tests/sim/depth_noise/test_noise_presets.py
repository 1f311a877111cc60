"""A sensor's preset scatters and loses as the real frames do that it was fitted to, within 20 %.

The numbers are `sim.depth_noise.measure.measure_frame`'s of the frames that each YAML names, their means.
"""

from dataclasses import replace

import numpy as np
import pytest

from sim.camera import PinholeCamera, overhead_pose
from sim.depth_noise.clutter import reference_clutter
from sim.depth_noise.measure import measure_frame, missing_shares, shadow_baseline
from sim.depth_noise.mixed import load_preset

# distance m, scatter mm, tile scatter mm, missing inside, missing at the border, clutter, second eye m
REAL = {
    "d435": (0.542, 2.08, 0.93, 0.0204, 0.0670, "novel-15", 0.066),
    "azure_kinect": (0.462, 2.29, 1.43, 0.0119, 0.0928, "novel-5", -0.038),
    "phoxi": (0.812, 2.25, 0.49, 0.0651, 0.2539, "novel-15", -0.233),
    "primesense": (0.713, 1.10, 0.10, 0.0, 0.0, "novel-5", 0.0),
}


@pytest.fixture(scope="module")
def clutter():
    return reference_clutter()


@pytest.mark.parametrize("name", REAL)
def test_planes_scatter_as_in_the_real_frames(name):
    distance, scatter, tiles, *_ = REAL[name]
    calm = replace(load_preset(name), baseline=0.0, border=0.0, hole_share=0.0)
    flat = np.full((480, 640), distance, np.float32)
    drawn = [measure_frame(calm(flat, np.random.default_rng(100 + i)), 415.692) for i in range(4)]
    assert 1000 * np.mean([m.scatter for m in drawn]) == pytest.approx(scatter, rel=0.2)
    assert 1000 * np.mean([m.tile_scatter for m in drawn]) == pytest.approx(tiles, rel=0.2)


@pytest.mark.parametrize("name", REAL)
def test_as_much_is_missing_as_in_the_real_frames(name, clutter):
    distance, _, _, inside, border, scenes, _ = REAL[name]
    camera = replace(PinholeCamera.from_fov(), pose=overhead_pose(distance))
    noise = load_preset(name)
    images = [render(camera) for render in clutter[scenes]]
    shares = [missing_shares(noise(d, np.random.default_rng(100 + i))) for i, d in enumerate(images)]
    found = np.mean(shares, axis=0)
    assert found == pytest.approx((inside, border), rel=0.2)
    assert found.sum() == pytest.approx(inside + border, rel=0.2)


@pytest.mark.parametrize("name", REAL)
def test_shadows_fall_on_the_side_of_the_real_frames(name, clutter):
    distance, *_, scenes, eye = REAL[name]
    camera = replace(PinholeCamera.from_fov(), pose=overhead_pose(distance))
    noise = replace(load_preset(name), hole_share=0.0, border=0.0, grazing_low=90.0, grazing_high=90.0)
    depth = clutter[scenes][0](camera)
    found = shadow_baseline(noise(depth, np.random.default_rng(0)), camera.intrinsics[0, 0])
    assert np.sign(found) in (np.sign(eye), 0)
    if eye:
        lost = (noise(depth, np.random.default_rng(0)) == 0) & (depth > 0)
        again = (replace(noise, baseline=-noise.baseline)(depth, np.random.default_rng(0)) == 0) & (depth > 0)
        assert lost.sum() > 500
        assert (lost & again).sum() < 0.5 * lost.sum()
