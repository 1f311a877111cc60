"""An Azure Kinect's raw calibration: the SDK's numbers in every mode, or one sentence."""

import contextlib
import copy
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plgp.policy.camera_files import read_calibration
from sim.errors import InputError

MODEL = "CALIBRATION_LensDistortionModelBrownConrady"
LENS = [2.5, -0.6, -0.1, 2.9, -0.2, -0.05]  # k1 to k6
DEPTH = [0.5012, 0.5043, 0.4924, 0.4925, *LENS, 0, 0, -1e-4, 5e-5]  # cx, cy, fx, fy, the lens, its centre, p2, p1
COLOUR = [0.4990, 0.4975, 0.4760, 0.6348, *LENS, 0, 0, 3e-4, -2e-4]


def camera(purpose, parameters, model=MODEL, radius=1.74):
    inner = {"ModelParameterCount": 14, "ModelParameters": parameters, "ModelType": model}
    return {"Intrinsics": inner, "Purpose": f"CALIBRATION_CameraPurpose{purpose}", "MetricRadius": radius}


RAW = {"CalibrationInformation": {"Cameras": [camera("Depth", DEPTH), camera("PhotoVideo", COLOUR, radius=0)]}}


def saved(folder, document=RAW):
    (folder / "calibration.json").write_text(json.dumps(document))
    return folder / "calibration.json"


# Numbers of the SDK (k4a, transformation_get_mode_specific_camera_calibration), worked out by hand.
@pytest.mark.parametrize(
    ("size", "fx", "fy", "cx", "cy"),
    [
        ((576, 640), 504.2176, 504.32, 320.7288, 335.9032),
        ((288, 320), 252.1088, 252.16, 160.1144, 167.7016),
        ((512, 512), 252.1088, 252.16, 256.1144, 257.7016),
        ((1024, 1024), 504.2176, 504.32, 512.7288, 515.9032),
        ((720, 1280), 609.28, 609.408, 638.22, 357.1),
        ((1080, 1920), 913.92, 914.112, 957.58, 535.9),
        ((1536, 2048), 974.848, 975.0528, 1021.452, 763.66),
        ((2160, 3840), 1827.84, 1828.224, 1915.66, 1072.3),
    ],
)
def test_every_mode_is_the_sdks(tmp_path, size, fx, fy, cx, cy):
    found = read_calibration(saved(tmp_path), size)
    np.testing.assert_allclose(found.camera.intrinsics, [[fx, 0, cx], [0, fy, cy], [0, 0, 1]], rtol=1e-6)
    depth = size in ((576, 640), (288, 320), (512, 512), (1024, 1024))
    p1, p2 = (5e-5, -1e-4) if depth else (-2e-4, 3e-4)
    assert found.distortion == pytest.approx((2.5, -0.6, p1, p2, -0.1, 2.9, -0.2, -0.05))
    assert found.radius == (1.74 if depth else 1.7)


def test_nothing_is_seen_beyond_the_metric_radius(tmp_path):
    found = read_calibration(saved(tmp_path), (512, 512))
    seen = found.rectify(np.ones((512, 512), np.uint8))
    rows, cols = np.indices(seen.shape)
    matrix = found.camera.intrinsics
    radius = np.hypot((cols - matrix[0, 2]) / matrix[0, 0], (rows - matrix[1, 2]) / matrix[1, 1])
    narrow = copy.deepcopy(RAW)
    narrow["CalibrationInformation"]["Cameras"][0]["MetricRadius"] = 0.5
    few = read_calibration(saved(tmp_path, narrow), (512, 512)).rectify(np.ones((512, 512), np.uint8))
    assert few[radius < 0.49].all()
    assert not few[radius > 0.51].any()
    assert seen[radius < 0.9].all()


def test_what_does_not_fit_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match=r"whose images have 640x576, 320x288, .* not 640x480; give the image as the"):
        read_calibration(saved(tmp_path), (480, 640))
    cameras = [camera("Depth", DEPTH, model="CALIBRATION_LensDistortionModelRational6KT")]
    with pytest.raises(InputError, match="model CALIBRATION_LensDistortionModelRational6KT, which is not read; give"):
        read_calibration(saved(tmp_path, {"Cameras": cameras}), (576, 640))
    with pytest.raises(InputError, match="has no camera for PhotoVideo, of which 1280x720 pixels are"):
        read_calibration(saved(tmp_path, {"Cameras": cameras}), (720, 1280))
    with pytest.raises(InputError, match="without its 14 parameters; export it again"):
        read_calibration(saved(tmp_path, {"Cameras": [camera("Depth", DEPTH[:9])]}), (576, 640))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_a_camera_or_one_sentence(tmp_path, data):
    document = copy.deepcopy(RAW)
    one = document["CalibrationInformation"]["Cameras"][0]
    odd = st.none() | st.floats() | st.text(max_size=4) | st.lists(st.floats() | st.none(), max_size=15)
    where = data.draw(st.sampled_from([one, one["Intrinsics"], document["CalibrationInformation"], document]))
    where[data.draw(st.sampled_from(sorted(where)))] = data.draw(odd)
    if data.draw(st.booleans()) and isinstance(one.get("Intrinsics"), dict):
        one["Intrinsics"]["ModelParameters"] = data.draw(st.lists(st.floats(), min_size=14, max_size=14))
    size = data.draw(st.sampled_from([(576, 640), (720, 1280), (480, 640)]))
    with contextlib.suppress(InputError):
        assert read_calibration(saved(tmp_path, document), size).camera.width == size[1]
