"""An image from a camera: its shapes are checked where it is made; its points and colours belong together."""

import numpy as np
import pytest

from sim.camera import PinholeCamera
from sim.errors import InputError
from sim.view import Observation

CAMERA = PinholeCamera.from_fov(8, 6)


def test_points_and_colours_belong_together():
    depth, rgb = np.zeros((6, 8), np.float32), np.zeros((6, 8, 3), np.uint8)
    depth[2, 5], rgb[2, 5] = 0.5, (1, 2, 3)
    points, colours = Observation(rgb, depth, CAMERA).point_cloud()
    np.testing.assert_allclose(points, CAMERA.deproject([2], [5], [0.5]))
    assert colours.tolist() == [[1, 2, 3]]
    points, colours = Observation(None, depth, CAMERA).point_cloud()
    assert points.shape == (1, 3)
    assert colours is None


@pytest.mark.parametrize(
    ("rgb", "depth", "message"),
    [
        (None, np.zeros((8, 6), np.float32), "depth image is"),
        (np.zeros((6, 8, 4), np.uint8), np.zeros((6, 8), np.float32), "RGB image is uint8"),
        (np.zeros((6, 8, 3)), np.zeros((6, 8), np.float32), "RGB image is float64"),
    ],
)
def test_images_that_do_not_fit_are_refused(rgb, depth, message):
    with pytest.raises(InputError, match=message):
        Observation(rgb, depth, CAMERA)
