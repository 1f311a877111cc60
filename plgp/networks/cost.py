"""What a network costs, without running it: parameters and multiply-adds."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from plgp.networks.base import GraspNetwork

SIZE = (224, 224)  # height and width of the images that the paper's Table II counts for


@dataclass(frozen=True)
class Cost:
    """What one network costs.

    Attributes:
        parameters: Number of parameters.
        macs: Number of multiply-adds for one image: convolutions, transposed ones as executed, matrix products.
    """

    parameters: int
    macs: int


def parameter_count(network: nn.Module) -> int:
    """Returns the number of parameters."""
    return sum(p.numel() for p in network.parameters())


def measure_cost(network: GraspNetwork, size: tuple[int, int] = SIZE) -> Cost:
    """Returns what a network costs; the network itself is left as it is, wherever it lies.

    Args:
        network: The network; one on the meta device will do.
        size: Height and width of the image, multiples of the network's stride.

    Raises:
        InputError: The size does not fit.
    """
    outline = copy.deepcopy(network).to("meta").eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        outline(torch.empty(1, network.channels, *size, device="meta"))
    return Cost(parameter_count(network), counter.get_total_flops() // 2)
