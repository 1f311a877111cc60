"""One filter for all angles: the angle and width of each bin are read by the same filter, turned to that bin."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from torch import Tensor, nn

from plgp.networks.base import GraspNetwork
from plgp.targets import GraspMaps
from sim.errors import InputError
from sim.grasp import bin_to_angle


class RotatedFilterNetwork(GraspNetwork):
    """A network whose angle and width maps share their weights over the angle bins and over half-turns.

    The base network yields ``features`` feature maps for the angle and as many for the width, in place of its 2K maps;
    its quality map stays as it is. One square filter a task reads them, turned by k pi / K for bin k
    (``turned_filters``). So a grasp that is learned at one angle is learned at all of them as far as the features
    allow: Marcos et al., Rotation Equivariant Vector Field Networks (2017), section 3.1, with the filters in the last
    layer only.

    Attributes:
        base: The base network, whose angle bins are the feature maps.
        filters: (2, features, side, side) float, the unturned filters of angle and width.
        offset: (3,) float, added to the logits of quality, angle and width.
        turn: (K, side * side, side * side) float, the weights by which a turned filter is mixed of the unturned one.
    """

    base: GraspNetwork
    turn: Tensor

    def __init__(
        self,
        channels: int = 1,
        bins: int = 18,
        *,
        base: Mapping[str, Any],
        features: int = 8,
        side: int = 9,
        prior: float | None = None,
    ) -> None:
        """Builds the base network and the filters.

        Args:
            channels: Number of input channels: 1 depth, 3 RGB, 4 RGB-D.
            bins: Number of angle bins, K.
            base: ``_target_`` and arguments of another network of plgp.networks, without channels and bins.
            features: Number of feature maps that a filter reads.
            side: Side of the square filters, pixels, odd.
            prior: Probability that all maps start at; see ``plgp.networks.base.set_prior``. None is the base's start.

        Raises:
            InputError: A number does not fit, or ``base`` is no network of plgp.networks.
        """
        target = str(base.get("_target_"))
        if not target.startswith("plgp.networks."):
            raise InputError(f"network.base is '{target}'; give the _target_ of a network of plgp.networks")
        if features < 1 or side < 3 or side % 2 == 0:
            raise InputError(f"rotated filters need features >= 1 and an odd side >= 3, not {features} and {side}")
        if prior is not None and not 0 < prior < 1:
            raise InputError(f"network.prior is {prior}; give a probability between 0 and 1, or null")
        network = instantiate({**base, "channels": channels, "bins": features, "_recursive_": False})
        super().__init__(channels, bins, network.stride)
        self.base, self.pools = network, network.pools
        self.title = f"{network.title}, rotated filters"
        self.filters = nn.Parameter(torch.empty(2, features, side, side))
        nn.init.normal_(self.filters, std=math.sqrt(1 / (features * side * side)))
        start = 0.0 if prior is None else math.log(prior / (1 - prior))
        self.offset = nn.Parameter(torch.full((3,), start))
        self.register_buffer("turn", torch.from_numpy(turning_weights(bins, side)), persistent=False)

    def features(self, x: Tensor) -> Tensor:
        """Returns (B, 1 + 2K, H, W) logits."""
        return self._read(self.base.features(x))

    def window_features(self, x: Tensor, window: tuple[slice, slice]) -> Tensor:
        """Returns ``features`` of some rows and columns, of the base network's that are wider by half a filter."""
        reach = self.filters.shape[-1] // 2
        rows, cols = (slice(max(0, part.start - reach), part.stop + reach) for part in window)
        read = self._read(self.base.window_features(x, (rows, cols)))
        inner = [slice(p.start - w.start, p.stop - w.start) for p, w in zip(window, (rows, cols), strict=True)]
        return read[..., inner[0], inner[1]]

    def turned_filters(self) -> Tensor:
        """Returns the filters of all bins, (2, K, features, side, side): half-turns of a filter are averaged first."""
        both = (self.filters + self.filters.flip(-1, -2)) / 2
        turned = torch.einsum("kpq,tfq->tkfp", self.turn, both.flatten(-2))
        return turned.reshape(*turned.shape[:-1], *both.shape[-2:])

    def _read(self, maps: Tensor) -> Tensor:
        quality, *tasks = GraspMaps.split(maps)
        turned, padding = self.turned_filters(), self.filters.shape[-1] // 2
        read = [F.conv2d(torch.relu(task), part, padding=padding) for task, part in zip(tasks, turned, strict=True)]
        return torch.cat([part + at for part, at in zip((quality, *read), self.offset, strict=True)], dim=1)


def turning_weights(bins: int, side: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Returns the weights that turn a filter to each angle bin, (K, side * side, side * side) float32.

    Pixel p of the turned filter is the bilinear mean of the unturned filter's pixels q around p's place in the grasp's
    frame: its columns go along the closing axis (cos theta, -sin theta), its rows along (sin theta, cos theta), both in
    columns and rows of the image, as ``sim.grasp`` has them.
    Pixels beyond the circle that fits into the square are 0, so that every angle sees the same disc.

    Args:
        bins: Number of angle bins, K.
        side: Side of the filter, pixels, odd.
    """
    reach = side // 2
    dy, dx = (part.ravel() for part in np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float64))
    inside = dx**2 + dy**2 <= (reach + 0.5) ** 2
    theta = bin_to_angle(np.arange(bins), bins)[:, None]
    closing = np.cos(theta) * dx - np.sin(theta) * dy + reach
    beside = np.sin(theta) * dx + np.cos(theta) * dy + reach
    weights = np.zeros((bins, side * side, side * side))
    row, col = np.floor(beside), np.floor(closing)
    k, p = np.broadcast_to(np.arange(bins)[:, None], row.shape), np.broadcast_to(np.arange(side * side), row.shape)
    for r, share_r in ((row, 1 - (beside - row)), (row + 1, beside - row)):
        for c, share_c in ((col, 1 - (closing - col)), (col + 1, closing - col)):
            good = inside & (r >= 0) & (r < side) & (c >= 0) & (c < side)
            q = (r * side + c).astype(np.int64)
            weights[k[good], p[good], q[good]] += (share_r * share_c)[good]
    return weights.astype(np.float32)
