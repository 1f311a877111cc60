"""One image shown to a network from several sides: logits averaged over turns by 90 degrees and mirrored images.

A gripper has no up or down in the image, and labels turn with the image; a convolutional network's maps do not quite.
Their mean over the square's symmetries does exactly.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from plgp.networks.base import GraspNetwork
from plgp.policy.candidates import Window
from plgp.targets import GraspMaps
from sim.errors import InputError

_ROWS, _COLUMNS = 2, 3  # dimensions of (B, C, H, W)


class Side(NamedTuple):
    """How an image is turned before a network sees it.

    Attributes:
        quarters: Turns by 90 degrees, counterclockwise as ``torch.rot90`` counts, after the mirror.
        mirrored: Whether left and right are exchanged first.
    """

    quarters: int
    mirrored: bool


SIDES = {
    1: (Side(0, False),),
    2: (Side(0, False), Side(2, False)),
    4: tuple(Side(q, False) for q in range(4)),
    8: tuple(Side(q, m) for m in (False, True) for q in range(4)),
}


def check_turns(turns: int, bins: int) -> None:
    """Raises InputError where a network with so many angle bins cannot be averaged over so many sides."""
    if turns not in SIDES:
        raise InputError(f"policy.turns is {turns}; choose one of {', '.join(map(str, SIDES))}")
    if turns > 2 and bins % 2:
        raise InputError(
            f"policy.turns is {turns}, but the network's {bins} angle bins do not map onto themselves by a turn of 90 "
            "degrees; choose 1 or 2"
        )


def averaged_logits(network: GraspNetwork, image: Tensor, window: Window, *, turns: int) -> GraspMaps:
    """Returns a network's logits of some rows and columns, averaged over the sides that an image is shown from.

    Args:
        network: The network, in evaluation mode.
        image: (1, C, H, W) floating, as the network sees it, of any size. Padding to the network's stride lies below
            and to the right of the image as it is shown, and is 0, as missing pixels are.
        window: Rows and columns that are wanted.
        turns: Number of sides: 1 is the image as it is, 2 adds the one turned by 180 degrees, 4 those by 90, 8 the
            mirrored ones.

    Returns:
        (1, 1, h, w), (1, K, h, w) and (1, K, h, w) logits.
    """
    total = _padded(network, image, window)
    for side in SIDES[turns][1:]:
        total = GraspMaps(*(a.add_(b) for a, b in zip(total, _seen_from(network, image, window, side), strict=True)))
    return total if turns == 1 else GraspMaps(*(m.div_(turns) for m in total))


def _padded(network: GraspNetwork, shown: Tensor, window: Window) -> GraspMaps:
    """Returns the logits of a window of an image of any size."""
    high, wide = shown.shape[-2:]
    shown = F.pad(shown, (0, -wide % network.stride, 0, -high % network.stride))
    return network.forward_window(shown.contiguous(memory_format=torch.channels_last), window)


def _seen_from(network: GraspNetwork, image: Tensor, window: Window, side: Side) -> list[Tensor]:
    """Returns the logits of one side, brought back into the image's own rows, columns and angles."""
    height, width = image.shape[-2:]
    shown = image.flip(_COLUMNS) if side.mirrored else image
    shown = shown.rot90(side.quarters, (_ROWS, _COLUMNS))
    maps = _padded(network, shown, _turned_window(window, (height, width), side))
    back = [m.rot90(-side.quarters, (_ROWS, _COLUMNS)) for m in maps]
    back = [m.flip(_COLUMNS) if side.mirrored else m for m in back]
    return [back[0], *(_turned_angles(m, side) for m in back[1:])]


def _turned_window(window: Window, size: tuple[int, int], side: Side) -> Window:
    """Returns where a window of an (H, W) image lies as the image is shown."""
    (rows, columns), (height, width) = window, size
    if side.mirrored:
        columns = slice(width - columns.stop, width - columns.start)
    for _ in range(side.quarters):  # row i, column j comes to row W - 1 - j, column i
        rows, columns = slice(width - columns.stop, width - columns.start), rows
        height, width = width, height
    return rows, columns


def _turned_angles(maps: Tensor, side: Side) -> Tensor:
    """Returns (1, K, h, w) maps whose channels are the angles in the image, k pi / K, instead of those shown."""
    bins = maps.shape[1]
    if side.quarters % 2:
        maps = maps.roll(bins // 2, 1)
    return maps[:, [-k % bins for k in range(bins)]] if side.mirrored else maps
