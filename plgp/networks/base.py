"""What all networks share: the check of the input, the three maps, the prior, the memory layout."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import Tensor, nn

from plgp.targets import GraspMaps
from sim.errors import InputError

Network = TypeVar("Network", bound=nn.Module)


def set_prior(head: nn.Conv2d, prior: float | None) -> None:
    """Sets a head's biases so that its sigmoid starts at ``prior`` where its input is 0.

    Args:
        head: The last convolution, with bias.
        prior: Probability in (0, 1), or None to leave the biases alone. A low prior spares a focal loss the first
            epochs, in which it only learns that most pixels are negative (RetinaNet, section 4.1).

    Raises:
        InputError: ``prior`` is out of range.
    """
    if prior is None:
        return
    if not 0 < prior < 1:
        raise InputError(f"network.prior is {prior}; give a probability between 0 and 1, or null")
    assert head.bias is not None
    nn.init.constant_(head.bias, math.log(prior / (1 - prior)))


def is_finite(network: nn.Module) -> bool:
    """Returns whether all of a network's weights are finite numbers; a buffer, as a mask, may hold infinity."""
    weights = all(bool(torch.isfinite(value).all()) for value in network.parameters())
    return weights and not any(bool(value.isnan().any()) for value in network.buffers())


class GraspNetwork(nn.Module):
    """Base of all networks, which checks the input and splits 1 + 2K channels into the three maps.

    A network defines ``features``: (B, C, H, W) -> (B, 1 + 2K, H, W) logits, in the order quality, angle, width.
    The sigmoid belongs to the loss and to the decoding.

    Attributes:
        channels: Number of input channels, C.
        bins: Number of angle bins, K.
        stride: Number that H and W must be multiples of.
        title: Name in tables.
        pools: Whether a batch norm follows a global pool, so that training needs batches of 2 images or more.
    """

    pools = False

    def __init__(self, channels: int, bins: int, stride: int) -> None:
        """Sets up; see the class. Raises InputError where a number is not positive."""
        super().__init__()
        if min(channels, bins, stride) < 1:
            raise InputError(f"a network needs positive channels, bins and stride, not {channels}, {bins}, {stride}")
        self.channels, self.bins, self.stride = channels, bins, stride
        self.title = type(self).__name__

    def features(self, x: Tensor) -> Tensor:
        """Returns the logits of all maps.

        Args:
            x: (B, C, H, W) floating, normalised as in training; H and W are multiples of the stride.

        Returns:
            (B, 1 + 2K, H, W) floating logits: quality, K angle qualities, K widths.
        """
        raise NotImplementedError

    def forward(self, x: Tensor) -> GraspMaps:
        """Returns the three logit maps.

        Args:
            x: (B, C, H, W) floating, normalised as in training.

        Raises:
            InputError: The number of channels, the size or, in training, the batch does not fit.
        """
        self._check(x)
        return self._split(self.features(x))

    def forward_window(self, x: Tensor, window: tuple[slice, slice]) -> GraspMaps:
        """Returns the logit maps of some rows and columns, (B, 1, h, w), (B, K, h, w), (B, K, h, w).

        They are those of ``forward`` there. What only other pixels need may be left out.

        Args:
            x: (B, C, H, W) floating, normalised as in training.
            window: Rows and columns, from start to stop, inside the image.

        Raises:
            InputError: As ``forward``.
        """
        self._check(x)
        return self._split(self.window_features(x, window))

    def window_features(self, x: Tensor, window: tuple[slice, slice]) -> Tensor:
        """Returns ``features`` of some rows and columns; a network that can save work there does.

        Args:
            x: (B, C, H, W) floating, as for ``features``.
            window: Rows and columns of the image that are wanted.

        Returns:
            (B, 1 + 2K, h, w) floating logits.
        """
        return self.features(x)[..., *window]

    def _split(self, logits: Tensor) -> GraspMaps:
        if logits.ndim != 4 or logits.shape[1] != 1 + 2 * self.bins:
            raise InputError(
                f"{type(self).__name__}.features returns {tuple(logits.shape)}; with {self.bins} bins it must return "
                f"(B, {1 + 2 * self.bins}, H, W): quality, angles, widths"
            )
        return GraspMaps.split(logits)

    def _check(self, x: Tensor) -> None:
        name = type(self).__name__
        if x.ndim != 4 or x.shape[1] != self.channels:
            raise InputError(f"{name} wants (B, {self.channels}, H, W) images, not {tuple(x.shape)}")
        if x.shape[2] % self.stride or x.shape[3] % self.stride or 0 in x.shape:
            raise InputError(
                f"{name} wants image sizes that are multiples of its stride {self.stride}, "
                f"not {x.shape[2]}x{x.shape[3]}; crop or pad the image"
            )
        if self.training and self.pools and x.shape[0] < 2:
            raise InputError(
                f"{name} normalises globally pooled features over the batch and cannot train on one image; "
                "set data.batch_size to 2 or more"
            )


def select_memory(network: Network) -> Network:
    """Returns the network in channels-last memory: 2-3 times faster convolutions on CPUs."""
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # the overload has no dtype to ask for
    return network
