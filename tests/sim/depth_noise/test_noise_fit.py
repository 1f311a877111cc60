"""`python -m sim fit-noise`: what is measured of frames, the fit, the command."""

import dataclasses
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.depth_noise import SensorNoise
from sim.depth_noise.fit import SensorFrame, fit_noise
from sim.depth_noise.frame_files import read_frames, write_preset
from sim.depth_noise.measure import depth_steps, grazing_angle, measure_frame, missing_shares, shadow_baseline
from sim.depth_noise.mixed import load_preset
from sim.depth_noise.outlines import plane_holes, soft_steps
from sim.errors import InputError

FLAT = np.full((480, 640), 0.6, np.float32)
CALM = SensorNoise(sigma=0.0, grazing_low=90.0, grazing_high=90.0)
REAL = Path("/work/shared/real_frames")


def boxes(distance=0.6):
    """A plane with nine boxes of 40 to 100 mm on it."""
    image = np.full((480, 640), distance, np.float32)
    for i in range(9):
        row, col = 60 + 140 * (i // 3), 100 + 190 * (i % 3)
        image[row : row + 60, col : col + 70] = distance - 0.04 - 0.0075 * i
    return image


def test_the_measures_of_drawn_noise_are_those_it_was_drawn_with():
    noise = SensorNoise(sigma=0.0012, grid=4, bend=0.0015, unit=0.001, baseline=0.06, hole_share=0.01, border=0.05)
    noise = dataclasses.replace(noise, band=True, focal_px=600.0)
    found = measure_frame(noise(boxes(), np.random.default_rng(0)), 600.0)
    assert found.distance == pytest.approx(0.6, abs=0.002)
    assert found.scatter == pytest.approx(np.hypot(0.0012, 0.0015), rel=0.15)
    assert found.tile_scatter == pytest.approx(0.0012, rel=0.1)
    assert found.correlation[0] > 0.8 > 0.3 > found.correlation[2]
    assert found.unit == pytest.approx(0.001)
    assert found.baseline == pytest.approx(0.06, rel=0.15)
    assert found.missing_border == pytest.approx(0.05, rel=0.15)
    assert found.missing_band == pytest.approx(found.missing_border, rel=0.1)


@pytest.mark.parametrize("baseline", [0.05, -0.2, 0.0])
def test_the_baseline_is_read_off_the_shadows(baseline):
    image = dataclasses.replace(CALM, baseline=baseline, focal_px=500.0)(boxes(), np.random.default_rng(0))
    assert shadow_baseline(image, 500.0) == pytest.approx(baseline, rel=0.1)


def test_a_tilted_plane_scatters_no_more_than_a_straight_one():
    rows, cols = np.indices((480, 640))
    normal = np.array([0.3, 0.4, 1.0])
    ray = (cols - 319.5) / 600 * normal[0] + (rows - 239.5) / 600 * normal[1] + normal[2]
    depth = (0.6 * np.linalg.norm(normal) / ray).astype(np.float32)
    found = measure_frame(depth, 600.0)
    assert found.distance == pytest.approx(0.6, abs=1e-4)
    assert found.scatter < 1e-5


def test_holes_at_the_border_are_told_from_those_inside():
    image = FLAT.copy()
    image[:, :64] = 0
    image[200:248, 300:364] = 0
    assert missing_shares(image) == (pytest.approx(0.01), pytest.approx(0.1))
    assert missing_shares(FLAT) == (0.0, 0.0)


def test_even_steps_are_told_from_those_of_disparities():
    depth = np.linspace(0.4, 2.0, 480 * 640).reshape(480, 640).astype(np.float32)
    assert depth_steps(dataclasses.replace(CALM, unit=0.001)(depth, np.random.default_rng(0))) == (
        pytest.approx(0.001),
        0,
    )
    unit, inverse = depth_steps(dataclasses.replace(CALM, inverse_step=0.004)(depth, np.random.default_rng(0)))
    assert unit == 0
    assert inverse == pytest.approx(0.004, rel=0.15)
    assert depth_steps(FLAT) == (0, 0)


def test_surfaces_that_go_missing_by_their_slope_are_found():
    rows, cols = np.indices((480, 640))
    across = (rows - 240) ** 2 + (cols - 320) ** 2
    ball = (0.6 - 0.1 * np.sqrt(np.maximum(1 - across / 200**2, 0))).astype(np.float32)
    noise = dataclasses.replace(CALM, grazing_low=45.0, grazing_high=50.0, focal_px=1000.0, hole_grid=2)
    assert 40 <= grazing_angle(noise(ball, np.random.default_rng(0)), 1000.0) <= 55
    assert grazing_angle(ball, 1000.0) == 90


@pytest.mark.parametrize(("soft", "most"), [(5.0, 0.05), (7.0, 0.1), (0.0, 0.0)])
def test_low_steps_that_are_slopes_are_told_from_high_ones_that_are_steps(soft, most):
    image = np.full((480, 640), 0.6, np.float32)
    for i, height in enumerate((0.012, 0.018, 0.025, 0.04, 0.07, 0.15)):
        image[100:380, 60 + 95 * i : 110 + 95 * i] -= height
    noise = dataclasses.replace(CALM, soft=soft, soft_step=most)
    width, highest = soft_steps(noise(image, np.random.default_rng(0)))
    assert width == pytest.approx(soft, rel=0.15)
    assert highest == most


@pytest.mark.parametrize("grid", [2, 8])
def test_holes_amid_a_plane_are_measured_beside_shadows(grid):
    noise = dataclasses.replace(CALM, baseline=0.06, hole_share=0.02, hole_grid=grid)
    image = noise(boxes(), np.random.default_rng(0))
    share, width = plane_holes(image, image == np.float32(0.6))
    assert share == pytest.approx(0.02, rel=0.3)
    assert 0.7 * grid < width < 1.5 * grid
    assert plane_holes(boxes(), boxes() > 0.59) == (0, 0)


@pytest.mark.slow
def test_a_fit_finds_the_noise_again(tmp_path):
    true = SensorNoise(sigma_square=0.002, sigma=0.0004, grid=6, bend=0.002, baseline=0.05, unit=0.001, border=0.04)
    true = dataclasses.replace(true, grazing_low=80.0, hole_share=0.01, band=True, soft=5.0, soft_step=0.05)
    frames = [
        SensorFrame(name=f"{z}", depth=true(boxes(z), np.random.default_rng(i)), focal_px=true.focal_px)
        for i, z in enumerate((0.45, 0.6, 0.75))
    ]
    fitted = fit_noise(frames, {"boxes": [lambda camera: boxes(0.6)]})
    noise = fitted.noise
    assert noise.baseline == pytest.approx(0.05, rel=0.2)
    assert noise.sigma + noise.sigma_square * 0.36 == pytest.approx(0.0004 + 0.002 * 0.36, rel=0.15)
    assert noise.grid in (5, 6, 7)
    assert noise.unit == pytest.approx(0.001)
    assert noise.soft == pytest.approx(5, rel=0.2)
    real = [np.mean([getattr(m, n) for m in fitted.measures.values()]) for n in ("scatter", "tile_scatter")]
    assert fitted.drawn[:2] == pytest.approx(real, rel=0.1)
    write_preset(fitted, tmp_path / "own.yaml", "boxes")
    assert "Fitted by" in (tmp_path / "own.yaml").read_text()


def test_frames_without_a_plane_are_named():
    with (
        pytest.warns(UserWarning, match="nothing.png has hardly a pixel"),
        pytest.raises(InputError, match="no frame shows a plane"),
    ):
        fit_noise([SensorFrame(name="nothing.png", depth=np.zeros((99, 99), np.float32), focal_px=500.0)], {})


def test_frames_are_read_with_the_focal_length_beside_them(tmp_path):
    image = np.full((20, 30), 5000, np.uint16)
    cv2.imwrite(str(tmp_path / "a_depth.png"), image)
    cv2.imwrite(str(tmp_path / "a_color.png"), np.zeros((20, 30, 3), np.uint8))
    (tmp_path / "a_intrinsics.json").write_text(json.dumps({"fx": 612.5}))
    np.save(tmp_path / "b_depth.npy", np.where(np.eye(20, 30) > 0, np.nan, 0.5).astype(np.float32))
    (tmp_path / "b_intrinsics.json").write_text(json.dumps({"intrinsics": np.diag([500.0, 500, 1]).tolist()}))
    a, b = (
        read_frames(tmp_path / "a_depth.png", depth_scale=0.0001, focal_px=None)[0],
        read_frames(tmp_path / "b_*.npy", depth_scale=None, focal_px=None)[0],
    )
    assert (a.focal_px, b.focal_px) == (612.5, 500.0)
    assert a.depth == pytest.approx(0.5)
    assert b.depth[0, 0] == 0
    assert b.depth[0, 1] == 0.5
    with pytest.raises(InputError, match=r"depth_scale=0\.0001"):
        read_frames(tmp_path / "a_depth.png", depth_scale=0.1, focal_px=None)
    (tmp_path / "a_intrinsics.json").unlink()
    with pytest.raises(InputError, match="focal_px="):
        read_frames(tmp_path / "a_depth.png", depth_scale=0.0001, focal_px=None)
    assert read_frames(tmp_path / "a_depth.png", depth_scale=0.0001, focal_px=9.0)[0].focal_px == 9


DTYPES = [np.uint8, np.uint16, np.int32, np.float16, np.float32, np.float64, np.bool_, np.complex64, "U3"]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(DTYPES),
    st.lists(st.integers(0, 5), max_size=4),
    st.sampled_from([0, 1, 500, 65000, -3]),
    st.one_of(st.none(), st.floats()),
    st.one_of(st.none(), st.floats()),
)
def test_any_file_gives_a_frame_or_one_sentence(tmp_path, dtype, shape, value, scale, focal):
    with np.errstate(all="ignore"):
        np.save(tmp_path / "x.npy", np.full(shape, value).astype(dtype))
    try:
        (frame,) = read_frames(tmp_path / "x.npy", depth_scale=scale, focal_px=focal)
    except InputError as error:
        said = str(error)
    else:
        said = "; give"
        assert np.isfinite(frame.depth).all()
        assert (frame.depth >= 0).all()
    assert "\n" not in said
    assert ";" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "needs FRAMES"),
        (["nowhere"], "holds no depth image"),
        (["nowhere", "out=x.txt"], r"ends in \.yaml"),
        (["nowhere", "focal_px=-1"], "focal_px is -1"),
        (["nowhere", "depth=1"], "does not know"),
    ],
)
def test_a_wrong_line_is_one_sentence(command_line, words, said):
    done = command_line("sim", "fit-noise", *words)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
    assert re.search(said, done.stderr)


@pytest.mark.skipif(not REAL.is_dir(), reason="the real frames are not in the repository")
def test_a_real_frame_measures_as_its_preset_says():
    (frame,) = read_frames(REAL / "gqcnn_010_depth.png", depth_scale=0.0001, focal_px=None)
    found = measure_frame(frame.depth, frame.focal_px)
    assert found.baseline == pytest.approx(load_preset("phoxi").baseline, rel=0.1)
    assert found.missing_inside + found.missing_border == pytest.approx(0.314, abs=0.001)
