"""What a network is fed: centred, scaled, holes at 0."""

import numpy as np
import pytest

from plgp.data.input_format import InputFormat
from sim.errors import InputError


def test_input_format():
    depth = np.array([[0.5, 0.7], [0.0, 0.6]], np.float32)
    rgb = np.zeros((2, 2, 3), np.uint8)
    rgb[0] = 255
    x = InputFormat(modality="rgbd", depth_scale=2.0)(rgb, depth)
    np.testing.assert_allclose(x[3], [[-0.2, 0.2], [0, 0]], atol=1e-6)
    np.testing.assert_allclose(x[0], [[0.5, 0.5], [-0.5, -0.5]])
    with pytest.raises(InputError, match="modality 'grey'"):
        InputFormat(modality="grey")
    with pytest.raises(InputError, match="needs an RGB"):
        InputFormat(modality="rgb")(None, depth)


def test_means_are_taken_over_the_window_alone():
    depth = np.full((8, 8), 2.0, np.float32)
    depth[2:6, 2:6] = 0.5
    np.testing.assert_array_equal(InputFormat(window=4)(None, depth)[0, 2:6, 2:6], 0)
    assert InputFormat(window=8)(None, depth)[0, 3, 3] < -1
