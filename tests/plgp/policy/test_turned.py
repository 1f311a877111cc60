"""Logits averaged over the sides of an image: exact symmetry, and a slow twin."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from plgp.networks import GGCNN2
from plgp.networks.base import GraspNetwork
from plgp.policy import NetworkPolicy
from plgp.policy.turned import averaged_logits
from plgp.targets import GraspMaps
from sim.errors import InputError
from sim.grasp import angle_to_bin

WHOLE = (slice(0, 48), slice(0, 64))


class Edges(GraspNetwork):
    """A network whose quality is the depth and whose angle maps are its slopes along each angle, exactly."""

    def __init__(self, bins: int = 18, stride: int = 16) -> None:
        super().__init__(1, bins, stride)

    def features(self, x: Tensor) -> Tensor:
        down, right = torch.gradient(x[:, 0], dim=(1, 2))
        angles = torch.arange(self.bins) * torch.pi / self.bins
        # Closing along the image's angle theta: column cos(theta), row sin(theta); turned by pi it is the same.
        slopes = [(torch.cos(a) * right + torch.sin(a) * down).abs() for a in angles]
        return torch.stack([x[:, 0], *slopes, *slopes], dim=1)


def turned(maps: GraspMaps, quarters: int, mirrored: bool) -> list[Tensor]:
    """The slow twin: each channel's angle is turned as a direction, then sorted into bins."""
    out = []
    for n, m in enumerate(maps):
        bins = m.shape[1]
        result = torch.zeros_like(m)
        for k in range(bins):
            theta = k * np.pi / bins
            direction = np.array([np.cos(theta), np.sin(theta)])  # columns, rows
            if mirrored:
                direction[0] *= -1
            for _ in range(quarters):  # counterclockwise: columns become rows upwards
                direction = np.array([direction[1], -direction[0]])
            result[:, angle_to_bin(np.arctan2(direction[1], direction[0]), bins) if n else k] = m[:, k]
        result = result.flip(3) if mirrored else result
        out.append(result.rot90(quarters, (2, 3)))
    return out


def untrained(bins: int = 18) -> GraspNetwork:
    torch.manual_seed(0)
    return GGCNN2(channels=1, bins=bins).eval()


@pytest.mark.parametrize("turns", [2, 4, 8])
def test_a_turned_image_gives_turned_maps(turns: int) -> None:
    network, image = untrained(), torch.randn(1, 1, 48, 48)
    square = (slice(0, 48), slice(0, 48))
    with torch.inference_mode():
        maps = averaged_logits(network, image, square, turns=turns)
        one = averaged_logits(network, image, square, turns=1)
        for quarters, mirrored in [(2, False), (1, False), (3, True), (0, True)]:
            if (turns < 8 and mirrored) or (turns == 2 and quarters % 2):
                continue
            shown = (image.flip(3) if mirrored else image).rot90(quarters, (2, 3))
            other = averaged_logits(network, shown, square, turns=turns)
            alone = averaged_logits(network, shown, square, turns=1)
            for a, b, c, d in zip(
                turned(maps, quarters, mirrored), other, turned(one, quarters, mirrored), alone, strict=True
            ):
                torch.testing.assert_close(b, a, atol=1e-5, rtol=1e-4)
                assert (c - d).abs().max() > 1e-3  # the network by itself is not symmetric


@pytest.mark.parametrize("turns", [1, 2, 4, 8])
@pytest.mark.parametrize("size", [(48, 64), (33, 50)])
def test_what_is_symmetric_stays(turns: int, size: tuple[int, int]) -> None:
    """A rule that looks the same from each side is its own mean: places, angles and padding come back right."""
    network = Edges().eval()
    image = torch.rand(1, 1, *size)
    whole = (slice(0, size[0]), slice(0, size[1]))
    maps, one = (averaged_logits(network, image, whole, turns=n) for n in (turns, 1))
    inner = (..., slice(1, size[0] - 1), slice(1, size[1] - 1))  # at borders padding has slopes of its own
    for a, b in zip(maps, one, strict=True):
        torch.testing.assert_close(a[inner], b[inner], atol=1e-5, rtol=1e-4)


@settings(max_examples=10, deadline=None)
@given(st.sampled_from([2, 4, 8]), st.integers(0, 40), st.integers(1, 8), st.integers(0, 50), st.integers(1, 14))
def test_a_window_is_a_piece_of_the_whole(turns: int, top: int, height: int, left: int, width: int) -> None:
    network, image = untrained(), torch.linspace(0, 1, 48 * 64).reshape(1, 1, 48, 64).sin()
    window = (slice(top, top + height), slice(left, left + width))
    with torch.inference_mode():
        whole, part = (
            averaged_logits(network, image, WHOLE, turns=turns),
            averaged_logits(network, image, window, turns=turns),
        )
    for a, b in zip(whole, part, strict=True):
        torch.testing.assert_close(b, a[..., *window], atol=1e-4, rtol=1e-4)


def test_a_policy_says_its_turns() -> None:
    policy = NetworkPolicy.pretrained("ggcnn2_depth", turns=2)
    assert policy.describe()["turns"] == 2
    assert "turns" not in NetworkPolicy.pretrained("ggcnn2_depth").describe()


def test_bad_numbers_are_said() -> None:
    with pytest.raises(InputError, match=r"policy.turns is 3; choose one of 1, 2, 4, 8"):
        NetworkPolicy.pretrained(turns=3)
    policy = NetworkPolicy.pretrained()
    with pytest.raises(InputError, match="9 angle bins do not map onto themselves"):
        NetworkPolicy(untrained(9), policy.input_format, policy.gripper, turns=4)
    NetworkPolicy(untrained(9), policy.input_format, policy.gripper, turns=2)
