"""Angle and width maps that share one filter, turned to each bin."""

import numpy as np
import pytest
import torch

from plgp.networks import RotatedFilterNetwork
from plgp.networks.rotated_filters import turning_weights
from plgp.targets import GraspMaps
from sim.errors import InputError
from sim.grasp import rotations_from_angles


def assert_close(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        assert (a - b).abs().max() <= 1e-5 * (b.std() + b.abs().max())


def rotated(**settings):
    """A network of rotated filters over GGCNN2 in evaluation mode."""
    return RotatedFilterNetwork(**{"base": {"_target_": "plgp.networks.GGCNN2"}, **settings}).eval()


def test_rotated_filters_see_a_turned_picture_at_the_turned_angle():
    """A quarter turn of the features turns the maps, and moves them by half of the bins."""
    network = rotated(channels=5, bins=6, features=2, side=5)
    network.base.features = lambda x: x  # the pictures below are the features
    picture = torch.randn(1, 5, 12, 12)
    with torch.no_grad():
        upright, turned = network(picture), network(torch.rot90(picture, 1, (-2, -1)))
    for before, after in zip(upright[1:], turned[1:], strict=True):
        assert_close([torch.rot90(before, 1, (-2, -1)).roll(3, dims=1)], [after])


@pytest.mark.parametrize("k", range(6))
def test_a_turned_filter_lies_along_the_closing_axis_of_its_bin(k):
    """A bar along the closing axis lies as the grasps of bin k close: the first axis of their rotation."""
    side, theta = 15, k * np.pi / 6
    bar = np.zeros((side, side))
    bar[side // 2] = 1
    turned = (turning_weights(6, side)[k] @ bar.ravel()).reshape(side, side)
    row, col = np.mgrid[:side, :side] - side // 2
    x, y = rotations_from_angles(theta)[0, :2, 0]  # in columns and rows
    off = np.abs(x * row - y * col)  # pixels beside the axis
    assert turned[off > 1].max(initial=0) < 1e-6
    assert turned[(off < 0.3) & (np.hypot(row, col) < 6)].min() > 0.6


def test_rotated_filters_start_at_their_prior_and_say_what_does_not_fit():
    network = rotated(bins=4, prior=0.05)
    with torch.no_grad():
        network.filters.zero_()
        _, angle, width = network(torch.zeros(1, 1, 32, 32))
    assert torch.allclose(torch.sigmoid(torch.cat([angle, width])), torch.tensor(0.05))
    for wrong, said in (
        ({"side": 4}, "odd side"),
        ({"features": 0}, "features"),
        ({"prior": 1.0}, "network.prior"),
        ({"base": {"_target_": "os.system"}}, "network.base is 'os.system'"),
    ):
        with pytest.raises(InputError, match=said):
            rotated(**wrong)


def test_rotated_filters_read_a_window_as_the_whole():
    network = rotated(bins=4)
    picture = torch.randn(1, 1, 48, 64)
    window = (slice(3, 40), slice(0, 30))
    with torch.no_grad():
        whole, part = network(picture), network.forward_window(picture, window)
    assert_close([m[..., *window] for m in whole], part)
    assert isinstance(part, GraspMaps)
