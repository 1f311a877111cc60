"""The lens in a file of intrinsics: read under every name, or refused; never left out without a word."""

import json

import numpy as np
import pytest

from plgp.policy.camera_files import read_calibration
from sim.errors import InputError

SIZE = (480, 640)
FOUR = {"fx": 600, "fy": 610, "cx": 322, "cy": 241}
LENS = [0.1, -0.2, 0.001, 0.002, 0.05]
NAMED = dict(zip(("k1", "k2", "p1", "p2", "k3"), LENS, strict=True))
K6 = {"k1": 0.1, "k2": -0.2, "p1": 0.001, "p2": 0.002, "k3": 0.05, "k4": 0.3, "k5": -0.1, "k6": 0.02}
PARTS = {"radial_distortion": [0.1, -0.2, 0.05], "tangential_distortion": [0.001, 0.002]}
ZIVID = "CameraIntrinsics:\n  CameraMatrix: {CX: 322, CY: 241, FX: 600, FY: 610}\n"
ZIVID += "  Distortion: {K1: 0.1, K2: -0.2, K3: 0.05, P1: 0.001, P2: 0.002}\n"
STREAM = "Width:\t640\nHeight:\t480\nPPX:\t322\nPPY:\t241\nFx:\t600\nFy:\t610\nDistortion:\t{}\nCoeffs:\t{}\n"
ORB = 'Camera.type: "KannalaBrandt8"\nCamera1.fx: 600\nCamera1.fy: 610\nCamera1.cx: 322\nCamera1.cy: 241\n'
ORB += "Camera1.k1: -0.02\nCamera1.k2: 0.05\nCamera1.k3: -0.03\nCamera1.k4: 0.01\n"
NERF = {"fl_x": 600, "fl_y": 610, "cx": 322, "cy": 241, "k1": 0.01, "k2": 0.02, "k3": 0.03, "k4": 0.04}


FLAT = [600, 0, 322, 0, 610, 241, 0, 0, 1]


def read(folder, text, size=SIZE, name="k.yaml", frame=""):
    (folder / name).write_text(text if isinstance(text, str) else json.dumps(text))
    return read_calibration(folder / name, size, frame)


@pytest.mark.parametrize(
    "text",
    [
        ZIVID,
        *(FOUR | {key: LENS} for key in ("dist", "dist_coeff", "distortion_parameters", "intrinsics_distortion")),
        *(FOUR | {"distortion": inner} for inner in (NAMED, {"model": "radtan", "coefficients": LENS})),
        {"intrinsics": FOUR, "Distortion_Coefs": LENS},
        {"depth": FOUR, "depth_distortion": LENS},
        {"mtx": [[600, 0, 322], [0, 610, 241], [0, 0, 1]], "dist": [LENS]},
        {"projection_parameters": FOUR, "distortion_parameters": NAMED, "model_type": "PINHOLE"},
        FOUR | NAMED,
        FOUR | PARTS,
        FOUR | {"distortion": {"radial": [0.1, -0.2, 0.05], "tangential": [0.001, 0.002]}},
        FOUR | {"dist": LENS, "type": "depth", "min_distance": 0.3},
        STREAM.format("Brown Conrady", "0.1 -0.2 0.001 0.002 0.05"),
        {"depth": FOUR, "depth_distortion": NAMED | {"model": 3}},
        {"depth": FOUR, "depth_dist": 0.7, "depth_distortion": LENS},
        FOUR | {"distortion": NAMED | {"name": "front"}},
        FOUR | {"distortion": NAMED | {"model": "Brown Conrady"}},
        FOUR | {"distortion": NAMED | {"model": "OB_DISTORTION_BROWN_CONRADY"}},
        FOUR | NAMED | {"lens_distortion": 1, "s1": "serial"},
        FOUR | NAMED | {"radial_distortion": "yes", "cam_distortion": []},
    ],
)
def test_the_same_lens_under_every_name(tmp_path, text):
    found = read(tmp_path, text)
    assert found.distortion[:5] == pytest.approx(LENS)
    assert not any(found.distortion[5:])
    assert not found.fisheye
    assert found.camera.intrinsics[1, 1] == 610


@pytest.mark.parametrize(
    ("text", "lens", "fisheye"),
    [
        (ORB, (-0.02, 0.05, -0.03, 0.01), True),
        (ORB + "Camera2.fx: 700\nCamera2.k1: 0.5\n", (-0.02, 0.05, -0.03, 0.01), True),
        (NERF | {"camera_model": "OPENCV_FISHEYE", "p1": 0, "p2": 0}, (0.01, 0.02, 0.03, 0.04), True),
        (NERF | {"is_fisheye": True}, (0.01, 0.02, 0.03, 0.04), True),
        (NERF | {"camera_model": "OPENCV"}, (0.01, 0.02, 0, 0, 0.03, 0.04, 0, 0), False),
        (FOUR | {"distortion": {"type": "equidistant", "k1": 0.1, "k2": 0.2}}, (0.1, 0.2, 0, 0), True),
        (FOUR | {"k1": 0.1}, (0.1, 0, 0, 0, 0, 0, 0, 0), False),
        (FOUR | {"k1": 0.1, "s3": 0.01}, (0.1, *[0] * 9, 0.01, 0), False),
        (FOUR | {"radial_distortion": 0.1}, (0.1, 0, 0, 0), False),
        (FOUR | {"distortion": K6 | {"model": "BROWN_CONRADY_K6"}}, tuple(K6.values()), False),
        (FOUR | {"distortion": K6 | {"model": "OB_DISTORTION_BROWN_CONRADY_K6"}}, tuple(K6.values()), False),
        (FOUR | {"distortion": {"name": "Kannala-Brandt", "k1": 0.1, "k2": 0.2}}, (0.1, 0.2, 0, 0), True),
        ("1 FULL_OPENCV 640 480 600 610 322.5 241.5 .1 .2 .3 .4 .5 .6 .7 .8", np.arange(1, 9) / 10, False),
        ("1 OPENCV_FISHEYE 640 480 600 610 322.5 241.5 .1 .2 .3 .4", (0.1, 0.2, 0.3, 0.4), True),
        ("1 RADIAL_FISHEYE 640 480 600 322.5 241.5 .1 .2", (0.1, 0.2, 0, 0), True),
    ],
)
def test_the_model_says_what_the_coefficients_are(tmp_path, text, lens, fisheye):
    found = read(tmp_path, text, name="k.json" if isinstance(text, dict) else "cameras.txt")
    assert found.distortion == pytest.approx(lens)
    assert found.fisheye is fisheye
    np.testing.assert_allclose(found.camera.intrinsics[[0, 0, 1], [0, 2, 2]], [600, 322, 241])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (FOUR | {"my_distortion_numbers": LENS}, "have 'my_distortion_numbers', which is not read as a lens's"),
        (FOUR | {"k2": 0.1}, "have 'k2', which is not read"),
        (FOUR | {"distortion": {"a": 0.1, "b": 0}}, "have 'distortion', which is not read"),
        ({"depth": FOUR, "other_distortion": LENS}, "have 'other_distortion', which is not read"),
        (NERF | {"camera_model": "OPENCV_FISHEYE", "p1": 0.1}, "6 coefficients of a fisheye; give 4"),
        ("1 FOV 640 480 600 610 322 241 0.9", "model 'FOV' of intrinsics .* is not known; rectify"),
        ("1 THIN_PRISM_FISHEYE 640 480 600 610 322 241 .1 0 0 0 0 0 0 0", "model 'THIN_PRISM_FISHEYE'"),
        (STREAM.format("Inverse Brown Conrady", "0.1 0 0 0 0"), "model 'inverse_brown_conrady'"),
        (FOUR | {"distortion": NAMED | {"name": "inverse_brown_conrady"}}, "model 'inverse_brown_conrady'"),
        (FOUR | {"k1": "0,1"}, "distortion or depth scale that is no number"),
        (FOUR | {"k1": 0.1, "k2": "much"}, "distortion or depth scale that is no number"),
        (FOUR | {"k1": "much", "k2": 0.1}, "have 'k2', which is not read"),
        (FOUR | {"cam_dist": "0.1 0.2 0 0"}, "distortion or depth scale that is no number"),
        (FOUR | {"camera_distortion": 0.1}, "have 'camera_distortion', which is not read"),
        ({"depth": FOUR, "color": FOUR, "depth_distortion": 0.1}, "holds the cameras depth, color"),
        ({"K": FLAT, "color_distortion": LENS}, "have 'color_distortion', which is not read"),
        ({"fx_color": 600, "fy_color": 610, "mx_color": 322, "my_color": 241, "color_distortion": LENS}, "color_dist"),
        ({"color_K": FOUR, "color_distortion": LENS}, "have 'color_distortion', which is not read"),
        ({"K": FLAT, "color_K": FLAT, "color_distortion": LENS, "k2": 0.1}, "have 'k2', which is not read"),
    ],
)
def test_what_is_not_read_is_named(tmp_path, text, words):
    with pytest.raises(InputError, match=words):
        read(tmp_path, text)


@pytest.mark.parametrize(
    "more",
    [
        {"distance": 0.6, "dist_unit": "mm", "min_distance": 0.3, "stereo_dist": 0.05},
        {"my_distortion_numbers": [0, 0, 0], "distortion_model": 4, "distortion_center": [320, 240]},
        {"undistorted_matrix": [600, 610, 322, 241], "distortion_enabled": 1, "is_distorted": True},
        {"k1": 0, "k2": 0.0},
        {"distortion": "none"},
        {"dist_coeffs": [0, 0, 0, 0, 0], "rgb_distortion": LENS},
        *({key: 0.7} for key in ("camera_dist", "cam_dist", "depth_dist", "lens_dist")),
        {"k1": "k1.npy"},
        {"s1": "serial", "p1": "left.png", "p2": ""},
        {"distortion_coefficients_valid": 1, "distortion_rectified": 1},
    ],
)
def test_what_is_no_lens_is_let_be(tmp_path, more):
    assert read(tmp_path, FOUR | more).distortion == ()
    assert read(tmp_path, {"depth": FOUR} | more).distortion == ()


def test_another_cameras_lens_is_let_be(tmp_path):
    two = {"depth": FOUR | {"width": 640, "height": 480}, "color": FOUR | {"width": 1280, "height": 960}}
    two["color"]["strange_distortion"] = LENS
    assert read(tmp_path, two | {"color_distortion": LENS}).distortion == ()
    with pytest.raises(InputError, match="'strange_distortion', which is not read"):
        read(tmp_path, two, (960, 1280))


@pytest.mark.parametrize(
    "found",
    [
        {"intrinsics": FOUR, "color_intrinsics": FOUR},
        {"K": FLAT, "K_color": FLAT},
        {"K": FLAT, "color": FOUR},
        {"depth": FOUR, "K_color": FLAT},
        FOUR | {"color_camera_matrix": FLAT},
        {f"{key}_{stream}": value for stream in ("depth", "color") for key, value in zip(
            ("fx", "fy", "mx", "my"), FOUR.values(), strict=True)},
    ],
)  # fmt: skip
def test_the_lens_of_a_camera_beside_the_one_that_is_read(tmp_path, found):
    assert read(tmp_path, found | {"color_distortion": LENS}).distortion == ()
    assert read(tmp_path, found | {"distortion_color": LENS}).distortion == ()


@pytest.mark.parametrize("lens", [LENS, {"a": 0.1}, 0.1])
def test_cameras_that_differ_in_their_lens_alone(tmp_path, lens):
    """A depth image was undistorted with the colours' lens."""
    two = {"rgb": FOUR, "depth": FOUR, "rgb_distortion": lens}
    assert read(tmp_path, two, frame="d.png").distortion == ()
    with pytest.raises(InputError, match="holds the cameras rgb, depth; give the one of this image"):
        read(tmp_path, two)
    with pytest.raises(InputError, match="holds the cameras rgb, left"):
        read(tmp_path, {"rgb": FOUR, "left": FOUR, "rgb_distortion": lens}, frame="d.png")
    own = two | {"depth": FOUR | {"k1": 0.3}}
    assert read(tmp_path, own, frame="d.png").distortion[0] == 0.3


def test_lenses_that_do_the_same_are_one(tmp_path):
    lenses = {"distortion_model": "plumb_bob", "D": [*LENS, 0, 0, 0]}, {"distortion": NAMED}
    same = {"rgb": FOUR | lenses[0], "depth": FOUR | lenses[1]}
    assert read(tmp_path, same).distortion == pytest.approx([*LENS, 0, 0, 0])
    none = {"rgb": FOUR | {"model": "inverse_brown_conrady", "coeffs": [0] * 5}, "depth": FOUR}
    assert read(tmp_path, none).distortion == ()


def test_binning_of_a_part_of_the_sensor(tmp_path):
    roi = {"x_offset": 0, "y_offset": 32, "height": 960, "width": 1280}
    part = {"width": 1280, "height": 1024, "K": [1200, 0, 640, 0, 1200, 512, 0, 0, 1], "roi": roi}
    found = read(tmp_path, part | {"binning_x": 2, "binning_y": 2}).camera.intrinsics
    np.testing.assert_allclose(found, [[600, 0, 319.75], [0, 600, 239.75], [0, 0, 1]])
    for binning in ({}, {"binning_x": 4, "binning_y": 4}):
        with pytest.raises(InputError, match=r"for 1280x960 pixels from \(0, 32\) on"):
            read(tmp_path, part | binning)
