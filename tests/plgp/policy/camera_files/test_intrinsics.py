"""Intrinsics as other tools write them: read with the right value, or refused in one sentence."""

import contextlib
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from plgp.policy.camera_files import read_calibration, read_intrinsics
from sim.errors import InputError

MATRIX = np.array([[600.0, 0, 322], [0, 610, 241], [0, 0, 1]])
SIZE = (480, 640)
FLAT = MATRIX.ravel().tolist()
COLUMNS = MATRIX.T.ravel().tolist()
FOUR = {"fx": 600, "fy": 610, "cx": 322, "cy": 241}
OPENCV = "<?xml version='1.0'?><opencv_storage><image_Width>640</image_Width><image_Height>480</image_Height>"
OPENCV += (
    "<Camera_Matrix type_id='opencv-matrix'><rows>3</rows><cols>3</cols><dt>d</dt><data>600. 0. 322. 0. 610. 241. "
)
OPENCV += "0. 0. 1.</data></Camera_Matrix></opencv_storage>"
ECHO = "header: \n  frame_id: cam\nheight: 480\nwidth: 640\ndistortion_model: plumb_bob\nD: [0.0, 0.0, 0.0, 0.0, 0.0]\n"
ECHO += f"K: {FLAT}\nroi: \n  x_offset: 0\n  y_offset: 0\n  height: 0\n  width: 0\n  do_rectify: False\n---\n"
ENUMERATED = ' Intrinsic of "Depth" / 640x480 / {Z16}\n  Width:  \t640\n  Height: \t480\n  PPX:  \t322\n  PPY:  \t241\n'
ENUMERATED += "  Fx:  \t600\n  Fy:  \t610\n  Distortion: \tBrown Conrady\n  Coeffs: \t0  \t0  \t0  \t0  \t0  \n"
OST = (
    "# oST version 5.0 parameters\n\n[image]\n\nwidth\n640\n\nheight\n480\n\n[cam]\n\ncamera matrix\n600.0 0.0 322.0\n"
)
OST += "0.0 610.0 241.0\n0.0 0.0 1.0\n\ndistortion\n0 0 0 0 0\n\nrectification\n1 0 0\n0 1 0\n0 0 1\n"
ZIVID = "CameraIntrinsics:\n  CameraMatrix: {CX: 322, CY: 241, FX: 600, FY: 610}\n"
ZIVID += "  Distortion: {K1: 0, K2: 0, P1: 0, P2: 0}\n"
PARAMETERS = {"class_name": "PinholeCameraParameters", "extrinsic": np.eye(4).ravel().tolist(), "version_major": 1}
PARAMETERS["intrinsic"] = {"height": 480, "width": 640, "intrinsic_matrix": COLUMNS}
RESOLUTION = "camera_matrix: {rows: 3, cols: 3, data: [600, 0, 322, 0, 610, 241, 0, 0, 1]}\n"


MATLAB_MATRIX = np.add(MATRIX, [[0, 0, 1], [0, 0, 1], [0, 0, 0]])  # its pixels count from 1
MATLAB = {"IntrinsicMatrix": MATLAB_MATRIX.T.tolist(), "RadialDistortion": [0, 0], "ImageSize": [480, 640]}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("bop.json", json.dumps(FOUR | {"width": 640, "height": 480, "depth_scale": 0.1})),
        ("scene_camera.json", json.dumps({"0": {"cam_K": FLAT, "depth_scale": 1.0}})),
        ("open3d.json", json.dumps({"width": 640, "height": 480, "intrinsic_matrix": COLUMNS})),
        ("realsense.json", json.dumps({"ppx": 322, "ppy": 241, "fx": 600, "fy": 610, "model": "x", "coeffs": [0] * 5})),
        ("perception.intr", json.dumps({f"_{key}": v for key, v in FOUR.items()} | {"_frame": "c", "_K": 0})),
        ("flat.json", json.dumps(FLAT)),
        ("projection.json", json.dumps({"P": [600, 0, 322, 0, 0, 610, 241, 0, 0, 0, 1, 0]})),
        ("ros1.yaml", "K: " + str(FLAT)),
        ("ros2.yaml", "k: " + str(FLAT)),
        ("info.yaml", "image_width: 640\nimage_height: 480\n" + RESOLUTION),
        ("opencv.yml", "%YAML:1.0\n---\n" + RESOLUTION.replace("{", "!!opencv-matrix {")),
        ("opencv.xml", OPENCV.replace("'", '"')),
        ("orb_slam.yaml", "Camera.fx: 600\nCamera.fy: 610\nCamera.cx: 322\nCamera.cy: 241\n"),
        ("kalibr.yaml", "cam0: {intrinsics: [600, 610, 322, 241], resolution: [640, 480], distortion_model: radtan}"),
        ("nerf.json", json.dumps({"fl_x": 600, "fl_y": 610, "cx": 322, "cy": 241, "w": 640, "h": 480})),
        ("scannet.txt", "fx_depth = 600\nfy_depth = 610\nmx_depth = 322\nmy_depth = 241\n"),
        ("table.txt", "600 0 322\n0 610 241\n0 0 1\n"),
        ("table4.txt", "600 0 322 0\n0 610 241 0\n0 0 1 0\n0 0 0 1\n"),
        ("four.txt", "600 610 322 241\n"),
        ("rostopic_echo.yaml", ECHO),
        ("rostopic_echo_twice.txt", ECHO + ECHO),
        ("rs_enumerate_devices.txt", ENUMERATED),
        ("librealsense.txt", "[ 640x480  p[322 241]  f[600 610]  Inverse Brown Conrady [0 0 0 0 0] ]\n"),
        ("zivid.yml", ZIVID),
        ("open3d_parameters.json", json.dumps(PARAMETERS)),
        ("colmap.txt", "# Camera list\n1 PINHOLE 640 480 600 610 322.5 241.5\n"),
        ("ost.txt", OST),
        (
            "twice_the_size.json",
            json.dumps({"K": [1200, 0, 644.5, 0, 1220, 482.5, 0, 0, 1], "image_size": [1280, 960]}),
        ),
        ("twice_the_size.yaml", "intrinsics: [1200, 1220, 644.5, 482.5]\nresolution: 1280x960\n"),
        ("list.json", json.dumps([FOUR])),
        ("capitals.JSON", json.dumps({key.upper(): value for key, value in FOUR.items()})),
        ("pairs.json", json.dumps({"focal_length": [600, 610], "principal_point": [322, 241]})),
        ("json.txt", json.dumps(FOUR)),
        ("zed.conf", "[LEFT_CAM_VGA]\nfx=600\nfy=610\ncx=322\ncy=241\nk1=0\nk2=0\n"),
        ("tabs.txt", "fx\t600\nfy\t610\ncx\t322\ncy\t241\n"),
        ("table.csv", "camera,fx,fy,cx,cy,width,height\ndepth,600,610,322,241,640,480\n"),
        ("tables.csv", "camera;fx;fy;cx;cy;width;height\na;600;610;322;241;640;480\nb;900;915;480;361;960;720\n"),
        ("record3d.json", json.dumps({"K": COLUMNS, "w": 640, "h": 480})),
        ("matlab.json", json.dumps(MATLAB)),
        (
            "matlab_k.json",
            json.dumps({"K": MATLAB_MATRIX.tolist(), "RadialDistortion": [0, 0, 0], "ImageSize": [480, 640]}),
        ),
        ("values.toml", "fx = 600.0\nfy = 610.0\ncx = 322.0\ncy = 241.0\n"),
    ],
)
def test_formats_of_other_tools(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    np.testing.assert_allclose(read_intrinsics(tmp_path / name, SIZE).intrinsics, MATRIX)


def test_a_part_of_the_sensor_has_its_own_centre(tmp_path):
    part = ECHO.replace(
        "x_offset: 0\n  y_offset: 0\n  height: 0\n  width: 0",
        "x_offset: 100\n  y_offset: 50\n  height: 240\n  width: 320",
    )
    (tmp_path / "roi.yaml").write_text(part)
    found = read_intrinsics(tmp_path / "roi.yaml", (240, 320)).intrinsics
    np.testing.assert_allclose(found, [[600, 0, 222], [0, 610, 191], [0, 0, 1]])
    np.testing.assert_allclose(read_intrinsics(tmp_path / "roi.yaml", SIZE).intrinsics, MATRIX)
    with pytest.raises(InputError, match=r"for 320x240 pixels from \(100, 50\) on, which is not the 160x120 image"):
        read_intrinsics(tmp_path / "roi.yaml", (120, 160))


def test_a_file_that_powershell_wrote_and_a_camera_that_is_not_calibrated(tmp_path):
    (tmp_path / "k.json").write_bytes(json.dumps(FOUR).encode("utf-16"))
    np.testing.assert_allclose(read_intrinsics(tmp_path / "k.json", SIZE).intrinsics, MATRIX)
    (tmp_path / "zero.yaml").write_text(ECHO.replace(str(FLAT), str([0.0] * 9)))
    with pytest.raises(InputError, match="are all 0: the camera is not calibrated"):
        read_intrinsics(tmp_path / "zero.yaml", SIZE)


def test_binary_formats_and_the_unit_in_the_file(tmp_path):
    savemat(tmp_path / "meta.mat", {"intrinsic_matrix": MATRIX, "factor_depth": 5000})
    np.save(tmp_path / "camK.npy", MATRIX)
    np.savez(tmp_path / "k.npz", camera_matrix=MATRIX, dist_coeffs=np.zeros(5))
    for name in ("meta.mat", "camK.npy", "k.npz"):
        np.testing.assert_allclose(read_intrinsics(tmp_path / name, SIZE).intrinsics, MATRIX)
    assert read_calibration(tmp_path / "meta.mat", SIZE).unit == pytest.approx(0.0002)


@pytest.mark.parametrize(
    ("key", "stated", "metres"),
    [
        ("depth_scale", 0.1, 1e-4),
        ("depth_scale", 1.0, 1e-3),
        ("depth_scale", 0.00025, 2.5e-4),
        ("depth_scale", 1000.0, 1e-3),
        ("factor_depth", 10000, 1e-4),
        ("DepthMapFactor", 5000.0, 2e-4),
    ],
)
def test_a_unit_counts(tmp_path, key, stated, metres):
    (tmp_path / "k.json").write_text(json.dumps(FOUR | {key: stated}))
    assert read_calibration(tmp_path / "k.json", SIZE).unit == pytest.approx(metres)


def test_a_lens_beside_its_camera_or_in_two_parts_counts(tmp_path):
    """Orbbec's parameters and MATLAB's: the lens was left out without a word."""
    lens = {"k1": 0.1, "k2": -0.2, "k3": 0.05, "p1": 0.001, "p2": 0.002}
    other = {"rgbIntrinsic": FOUR | {"width": 1920, "height": 1080}, "rgbDistortion": {"k1": 0.5, "k2": 0}}
    orbbec = {"depthIntrinsic": FOUR | {"width": 640, "height": 480}, "depthDistortion": lens} | other
    matlab = MATLAB | {"RadialDistortion": [0.1, -0.2, 0.05], "TangentialDistortion": [0.001, 0.002]}
    for document in (orbbec, matlab):
        (tmp_path / "k.json").write_text(json.dumps(document))
        found = read_calibration(tmp_path / "k.json", SIZE)
        assert found.distortion[:5] == pytest.approx((0.1, -0.2, 0.001, 0.002, 0.05))
        np.testing.assert_allclose(found.camera.intrinsics, MATRIX)


def test_what_stands_around_a_camera_counts_for_it(tmp_path):
    (tmp_path / "k.json").write_text(json.dumps({"depth": FOUR, "depth_scale": 0.00025, "width": 640, "height": 480}))
    found = read_calibration(tmp_path / "k.json", (240, 320))
    assert found.unit == pytest.approx(0.00025)
    assert found.camera.intrinsics[0, 0] == 300


def test_the_image_chooses_in_a_file_of_several(tmp_path):
    other = {"cam_K": [700.0, 0, 322, 0, 700, 241, 0, 0, 1], "depth_scale": 0.1}
    path = tmp_path / "scene_camera.json"
    path.write_text(json.dumps({"0": {"cam_K": FLAT, "depth_scale": 1.0}, "7": other}))
    assert read_calibration(path, SIZE, "000007.png").camera.intrinsics[0, 0] == 700
    assert read_calibration(path, SIZE, "000000.png").camera.intrinsics[0, 0] == 600
    with pytest.raises(InputError, match="holds the cameras 0, 7"):
        read_calibration(path, SIZE, "000003.png")


ZED = "".join(
    f"[{side}_CAM_{mode}]\nfx={fx}\nfy={fx}\ncx={cx}\ncy={cy}\nk1=0\nk2=0\n\n"
    for side in ("LEFT", "RIGHT")
    for mode, fx, cx, cy in (("2K", 1060, 1100, 620), ("HD", 530, 640, 360), ("VGA", 265, 336, 188))
)
ZED += "[STEREO]\nBaseline=119.9\nTY=0.02\n"


def streams(*blocks):
    return "Intrinsic parameters:\n" + "".join(
        ENUMERATED.replace('"Depth" / 640x480', f'"{name}" / {w}x{h}')
        .replace("640\n", f"{w}\n").replace("480\n", f"{h}\n").replace("\t600\n", f"\t{fx}\n").replace("610", str(fx))
        .replace("322", str(w // 2)).replace("241", str(h // 2))
        for name, w, h, fx in blocks
    )  # fmt: skip


def test_the_size_chooses_among_the_sections_of_a_text(tmp_path):
    """The last section was taken, whatever the image."""
    (tmp_path / "zed.conf").write_text(ZED)
    assert read_intrinsics(tmp_path / "zed.conf", (376, 672)).intrinsics[0, 0] == 265
    assert read_intrinsics(tmp_path / "zed.conf", (720, 1280)).intrinsics[0, 0] == 530
    with pytest.raises(InputError, match="holds the cameras left_cam_2k, left_cam_hd"):
        read_intrinsics(tmp_path / "zed.conf", (480, 640))
    path = tmp_path / "rs.txt"
    path.write_text(streams(("Depth", 1280, 720, 640), ("Depth", 640, 480, 380), ("Color", 1920, 1080, 1360)))
    assert read_intrinsics(path, (480, 640)).intrinsics[0, 0] == 380
    assert read_intrinsics(path, (1080, 1920)).intrinsics[0, 0] == 1360
    path.write_text(streams(("Depth", 640, 480, 380), ("Color", 640, 480, 610)))
    with pytest.raises(InputError, match="holds the cameras depth 640x480, color 640x480; give the one of this image"):
        read_intrinsics(path, (480, 640))


def test_another_size_is_scaled_at_pixel_centres_or_refused(tmp_path):
    path = tmp_path / "k.json"
    path.write_text(json.dumps({"fx": 1200, "fy": 1200, "cx": 639.5, "cy": 479.5, "width": 1280, "height": 960}))
    expected = [[600, 0, 319.5], [0, 600, 239.5], [0, 0, 1]]
    np.testing.assert_allclose(read_intrinsics(path, SIZE).intrinsics, expected)
    with pytest.raises(InputError, match="1280x960 pixels, which is not in proportion to the 640x360"):
        read_intrinsics(path, (360, 640))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("600,600,240,320", "cx and cy swapped"),
        ("600,600,160,240", "cx=160 does not fit"),
        ("600,600,320,360", "cy=360 does not fit"),
        ("3.6,3.6,320,240", "millimetres"),
        ("0.94,1.25,0.5,0.5", "normalised"),
        ("60000,60000,320,240", "too large"),
        ("600,1200,320,240", "differs between the axes"),
        ("nan,600,320,240", "NaN or infinite"),
    ],
)
def test_numbers_that_do_not_fit_are_named(text, message):
    with pytest.raises(InputError, match=message):
        read_intrinsics(text, SIZE)


@pytest.mark.parametrize(("centre", "taken"), [((-3, 241), 1), ((322, 500), 1), ((640, 360), 0), ((-700, 241), 0)])
def test_a_crop_from_beside_the_axis_is_taken_and_intrinsics_of_a_larger_image_are_not(tmp_path, capsys, centre, taken):
    path = tmp_path / "crop.json"
    path.write_text(json.dumps({**FOUR, "cx": centre[0], "cy": centre[1], "width": 640, "height": 480}))
    if taken:
        assert tuple(read_intrinsics(path, SIZE).intrinsics[:2, 2]) == centre
        assert "taken for a crop from beside the camera's axis" in capsys.readouterr().err
    else:
        with pytest.raises(InputError, match="outside the 640x480 image; give the intrinsics of this resolution"):
            read_intrinsics(path, SIZE)


@pytest.mark.parametrize(("model", "count"), [("plumb_bob", 5), ("rational_polynomial", 8), ("", 4), ("fisheye", 4)])
def test_a_lens_is_undone(tmp_path, model, count):
    lens = [-0.2, 0.05, 0.001, -0.002, 0.01, 0.02, 0.01, 0.003][:count]
    if model == "fisheye":
        lens = [-0.05, 0.01, 0.002, -0.001]
    found = FOUR | {"distortion_model": model, "D": lens}
    (tmp_path / "k.json").write_text(json.dumps(found))
    calibration = read_calibration(tmp_path / "k.json", SIZE)
    cv2 = pytest.importorskip("cv2")
    ramp = np.tile(np.linspace(0, 200, 640), (480, 1)).astype(np.float32) + 1
    size = (640, 480)
    if model == "fisheye":
        maps = cv2.fisheye.initUndistortRectifyMap(MATRIX, np.array(lens), np.eye(3), MATRIX, size, cv2.CV_32FC1)
    else:
        maps = cv2.initUndistortRectifyMap(MATRIX, np.array(lens), None, MATRIX, size, cv2.CV_32FC1)
    expected = cv2.remap(ramp, *maps, cv2.INTER_LINEAR)
    ours = calibration.rectify(ramp, order=1)
    inside = (expected > 1) & (ours > 1)
    assert inside.mean() > 0.8
    assert abs(expected - ours)[inside].max() < 0.05
    assert set(np.unique(calibration.rectify(ramp > 100))) <= {False, True}
    with pytest.raises(InputError, match="rectify"):
        read_intrinsics(tmp_path / "k.json", SIZE)


def test_lenses_without_effect_and_unknown_ones(tmp_path):
    path = tmp_path / "k.json"
    path.write_text(json.dumps(FOUR | {"model": "inverse_brown_conrady", "coeffs": [0.0] * 5}))
    assert read_calibration(path, SIZE).distortion == ()
    path.write_text(json.dumps(FOUR | {"model": "inverse_brown_conrady", "coeffs": [0.1, 0, 0, 0, 0]}))
    with pytest.raises(InputError, match="'inverse_brown_conrady'"):
        read_calibration(path, SIZE)


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=9)
        | st.dictionaries(
            st.sampled_from(
                [
                    "K",
                    "fx",
                    "fy",
                    "cx",
                    "cy",
                    "D",
                    "data",
                    "width",
                    "height",
                    "0",
                    "7",
                    "RadialDistortion",
                    "depthIntrinsic",
                    "depthDistortion",
                    "distortion",
                    "k1",
                    "binning_x",
                    "type",
                ]
            ),
            inner,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60) | VALUES, st.sampled_from([".json", ".yaml", ".txt", ".xml", ".mat", ".npz", ".npy"]))
def test_any_file_is_read_or_refused_in_one_sentence(tmp_path, content, suffix):
    path = tmp_path / f"k{suffix}"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with contextlib.suppress(InputError):
        assert read_calibration(path, SIZE, "7.png").camera.width == 640
