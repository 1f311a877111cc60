"""A RealSense without hardware: librealsense's software device, recorded and played back through the pipeline."""

import time

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from robot import DeviceError
from robot.backends import RealSenseCamera
from robot.backends.realsense import depth_along
from sim.camera import PinholeCamera
from sim.errors import InputError
from sim.geometry import make_pose, transform

try:
    import pyrealsense2 as rs
except ImportError as error:
    pytest.skip(f"pyrealsense2 does not load ({error}): pip install 'plgp[realsense]'", allow_module_level=True)

WIDTH, HEIGHT = 64, 48


def stream(kind, uid, *, form, size, coefficients=(0.0,) * 5):
    one = rs.video_stream()
    one.type, one.uid, one.fmt, one.bpp = kind, uid, form, size
    one.index, one.width, one.height, one.fps = 0, WIDTH, HEIGHT, 30
    lens = rs.intrinsics()
    lens.width, lens.height, lens.fx, lens.fy, lens.ppx, lens.ppy = WIDTH, HEIGHT, 50.0, 50.0, 31.5, 23.5
    lens.model, lens.coeffs = rs.distortion.inverse_brown_conrady, list(coefficients)
    one.intrinsics = lens
    return one


def record(path, frames, *, forward=0.0, coefficients=(0.0,) * 5):
    """A recording of (colour, depth in mm) pairs; the depth camera sits ``forward`` metres before the colour camera."""
    device = rs.software_device()
    depth_sensor, colour_sensor = device.add_sensor("Depth"), device.add_sensor("RGB")
    depth_sensor.add_read_only_option(rs.option.depth_units, 0.001)
    depth = depth_sensor.add_video_stream(stream(rs.stream.depth, 1, form=rs.format.z16, size=2))
    form = {"form": rs.format.rgb8, "size": 3, "coefficients": coefficients}
    colour = colour_sensor.add_video_stream(stream(rs.stream.color, 2, **form))
    between = rs.extrinsics()
    between.rotation, between.translation = np.eye(3).ravel().tolist(), [0.0, 0.0, forward]
    depth.register_extrinsics_to(colour, between)
    recorder = rs.recorder(str(path), device)
    syncer = rs.syncer()
    sensors = recorder.query_sensors()
    for sensor in sensors:
        sensor.open(sensor.get_stream_profiles()[0])
        sensor.start(syncer)
    for number, (rgb, millimetres) in enumerate(frames, 1):
        for sensor, profile, pixels in ((depth_sensor, depth, millimetres), (colour_sensor, colour, rgb)):
            one = rs.software_video_frame()
            one.bpp = pixels.itemsize * (1 if pixels.ndim == 2 else 3)
            one.pixels, one.stride = pixels, WIDTH * one.bpp
            one.timestamp, one.domain, one.frame_number = 33.3 * number, rs.timestamp_domain.system_time, number
            one.profile = profile.as_video_stream_profile()
            if pixels.ndim == 2:
                one.depth_units = 0.001
            sensor.on_video_frame(one)
        time.sleep(0.01)
    for sensor in sensors:
        sensor.stop()
        sensor.close()


def pictures(count):
    for number in range(count):
        rgb = np.full((HEIGHT, WIDTH, 3), 10 * number, np.uint8)
        depth = np.full((HEIGHT, WIDTH), 600 + number, np.uint16)
        depth[:5] = 0
        yield rgb, depth


def test_a_recording_plays_as_a_camera_would(tmp_path):
    record(tmp_path / "tray.db3", pictures(8))
    with RealSenseCamera(recording=tmp_path / "tray.db3") as camera:
        began = time.monotonic()
        frames = [camera.read() for _ in range(3)]
        assert frames[0].camera.intrinsics[0, 0] == 50
        assert all(f.time >= began for f in frames)
        assert frames[0].depth.dtype == np.float32
        steps = [round(1000 * float(f.depth[20, 20])) - 600 for f in frames]
        assert steps == sorted(set(steps))
        assert [int(f.rgb[0, 0, 0]) for f in frames] == [10 * s for s in steps]
        assert (frames[0].depth[:5] == 0).all()
        with pytest.raises(DeviceError, match=r"newer than asked|sent no frame"):
            camera.read(after=time.monotonic() + 100, timeout=0.3)
        time.sleep(0.3)  # the recording is over
        with pytest.raises(DeviceError, match="sent no frame within"):
            camera.read(timeout=0.2)


def test_depth_is_along_the_colour_cameras_axis(tmp_path):
    record(tmp_path / "tray.db3", pictures(4), forward=0.02)
    with RealSenseCamera(recording=tmp_path / "tray.db3") as camera:
        frame = camera.read()
    assert frame.depth[24, 32] - 0.6 == pytest.approx(0.02, abs=0.004)


def test_a_distorted_colour_stream_gives_way_to_depths_pixels(tmp_path):
    record(tmp_path / "tray.db3", pictures(4), forward=0.02, coefficients=(0.1, 0, 0, 0, 0))
    with RealSenseCamera(recording=tmp_path / "tray.db3") as camera:
        frame = camera.read()
    assert frame.depth[24, 32] == pytest.approx(0.6, abs=0.004)


def test_aligned_depth_of_a_turned_camera():
    """A plane seen by a turned and shifted depth camera: the given depths are that camera's."""
    camera = PinholeCamera.from_fov(32, 24, 0.9)
    pose = make_pose(Rotation.from_euler("xyz", [2, -3, 1], degrees=True).as_matrix(), (0.015, 0.001, 0.004))
    rows, cols = np.mgrid[:24, :32]
    true = 0.5 + 0.004 * rows + 0.002 * cols
    seen = transform(np.linalg.inv(pose), camera.deproject(rows.ravel(), cols.ravel(), true.ravel()))[:, 2]
    given = seen.reshape(24, 32)
    given[0, 0] = 0
    found = depth_along(camera, given, pose[:3, :3], shift=pose[:3, 3])
    assert found[0, 0] == 0
    np.testing.assert_allclose(found.ravel()[1:], true.ravel()[1:], rtol=1e-12)


def test_no_camera_and_no_file_are_one_sentence(tmp_path):
    with pytest.raises(DeviceError, match="no RealSense 000 is plugged in"):
        RealSenseCamera(serial="000").connect()
    with pytest.raises(InputError, match="does not exist"):
        RealSenseCamera(recording=tmp_path / "none.db3").connect()
    (tmp_path / "bad.db3").write_text("no")
    with pytest.raises(DeviceError, match="give another file"):
        RealSenseCamera(recording=tmp_path / "bad.db3").connect()
    with pytest.raises(DeviceError, match="is not connected"):
        RealSenseCamera().read()
