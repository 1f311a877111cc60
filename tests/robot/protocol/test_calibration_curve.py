"""A camera that is off costs success: the same scenes, error by error."""

import numpy as np
import pytest
from PIL import Image

from robot.protocol.calibration_curve import check_errors, draw_curve, measure_curve
from robot.protocol.scenes import ProtocolSettings
from sim.errors import InputError
from sim.scene import SceneSettings


@pytest.mark.parametrize("given", [[], "many", [0, 0], [-1], [60], [float("nan")], None, [None]])
def test_errors_that_are_none_are_named(given):
    with pytest.raises(InputError, match=r"calibration_error_mm is .*for example \[0,1,2,3,4,5\]"):
        check_errors(given)
    assert check_errors(2) == [2.0]


def test_a_camera_that_is_far_off_misses(station, boxes, highest, tmp_path):
    rules = ProtocolSettings(objects=1, sizes=(1,), rounds=1, max_failures=1)
    asked = {"settings": rules, "out": tmp_path, "scene": SceneSettings()}
    curve = measure_curve(station, highest(), boxes, errors_mm=[0, 50], directions=1, **asked)
    assert curve["error_mm"].tolist() == [0, 50]
    assert curve["sr"].tolist() == [100, 0]
    assert curve["pc"].tolist() == [100, 0]
    assert (tmp_path / "0mm-0/scene-01-0000.json").is_file()
    picture = np.asarray(Image.open(draw_curve(curve, tmp_path / "curve.png")))
    assert picture.shape[0] > 300
    again = measure_curve(station, highest(), boxes, errors_mm=[0, 50], directions=1, **asked)  # from its files
    assert again.equals(curve)
