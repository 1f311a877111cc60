"""What a network costs: parameters and multiply-adds without running it, and milliseconds."""

from __future__ import annotations

import copy
import platform
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from plgp.networks.base import GraspNetwork

SIZE = (224, 224)  # height and width of the images that the paper's Table II counts for
TIMED_SIZE = (480, 640)  # height and width of the image that is timed
_LONG = 2.0  # seconds of timed images after which no further one is timed


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


def cost_of(module: Any, size: tuple[int, int] | None = None, repeats: int = 3) -> dict[str, Any]:
    """Returns what a network costs: parameters, multiply-adds at 224x224, and milliseconds an image on this machine.

    Args:
        module: The GraspModule.
        size: Height and width of the timed image, pixels; None is ``TIMED_SIZE``.
        repeats: Greatest number of timed images after one that is not; the shortest time counts. Timing ends after 2 s.

    Returns:
        ``parameters``, ``multiply_adds``, ``milliseconds``, ``image`` (width x height), ``device``; of crops none.
    """
    if not hasattr(module.network, "stride"):  # it takes no whole image
        return {}
    network, cost = module.network, measure_cost(module.network)
    training, device = network.training, next(network.parameters()).device
    stride, size = network.stride, size or TIMED_SIZE
    image = torch.zeros(1, network.channels, *(-(-side // stride) * stride for side in size), device=device)
    seconds = []
    network.eval()
    with torch.inference_mode():
        for _ in range(repeats + 1):
            start = time.perf_counter()
            network(image.contiguous(memory_format=torch.channels_last))
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            seconds.append(time.perf_counter() - start)
            if sum(seconds[1:]) > _LONG:
                break
    network.train(training)
    known = {"parameters": cost.parameters, "multiply_adds": cost.macs}
    machine = f"{device.type}, {platform.machine()}, {torch.get_num_threads()} threads"
    timed = {"milliseconds": round(1000 * min(seconds[1:]), 2), "image": f"{size[1]}x{size[0]}", "device": machine}
    return known | timed
