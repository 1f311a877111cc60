"""Table II's cost columns: parameters and multiply-adds of every network beside the paper's figures."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

import plgp.networks
from plgp.networks.base import GraspNetwork, parameter_count
from sim.cli import run_command
from sim.errors import InputError

INPUTS = {"depth": 1, "RGB": 3, "RGB-D": 4}
SIZE = (224, 224)
USAGE = """Parameters and multiply-adds of Table II's networks, the paper's figures beside them.

  python -m plgp.costs                  images of 224x224, as in the paper
  python -m plgp.costs size=480x640     another height x width, in multiples of 32
"""
NOTES = """GMAC: multiply-adds of one image, matrix products and transposed convolutions as executed. The paper's
GFLOPs are multiply-adds too, at 224x224, as thop 0.0.31 counts them: transposed convolutions at output size.
* The paper prints STDC's and DANet's figures in each other's rows; here they stand in their own. Its 26.18 M counts
STDC's trunk twice."""


@dataclass(frozen=True)
class Published:
    """What Table II prints for one network.

    Attributes:
        title: Its name in the table.
        parameters: M, for depth, RGB, RGB-D.
        flops: "GFLOPs", likewise.
    """

    title: str
    parameters: tuple[str, str, str]
    flops: tuple[str, str, str]


PAPER = {
    "GGCNN2": Published("GGCNN2", ("0.079", "0.083", "0.085"), ("1.36", "1.56", "1.66")),
    "GRCNN": Published("GRCNN", ("1.90", "1.90", "1.91"), ("13.38", "13.64", "13.77")),
    "UNet": Published("UNet", ("34.53", "34.53", "34.53"), ("50.18", "50.24", "50.27")),
    "SegNet": Published("SegNet", ("29.54", "29.54", "29.54"), ("35.41", "35.46", "35.49")),
    "DeepLabV3Plus": Published("DeepLabv3+", ("62.02", "62.02", "62.03"), ("83.45", "83.53", "83.57")),
    "STDC": Published("STDC", ("26.18*", "26.19*", "26.19*"), ("25.33*", "25.36*", "25.37*")),
    "DANet": Published("DANet", ("47.58*", "47.58*", "47.58*"), ("39.25*", "39.26*", "39.27*")),
    "AFFGANet": Published("AFFGA-Net", ("67.59", "67.60", "67.60"), ("29.58", "29.67", "29.70")),
}


@dataclass(frozen=True)
class Cost:
    """What one network costs.

    Attributes:
        parameters: Their number.
        macs: Multiply-adds of one image: convolutions, transposed ones as executed, matrix products.
    """

    parameters: int
    macs: int


def unallocated(name: str, channels: int) -> GraspNetwork:
    """Returns a network without memory, on the meta device, in evaluation mode.

    Args:
        name: A class of ``plgp.networks``.
        channels: Input channels.
    """
    with torch.device("meta"):
        network: GraspNetwork = getattr(plgp.networks, name)(channels)
    return network.to("meta").eval()  # a trunk's first convolution, adapted to the channels, escapes the line above


def measure(name: str, channels: int, size: tuple[int, int] = SIZE) -> Cost:
    """Returns what a network of Table II costs, without running it.

    Args:
        name: A class of ``plgp.networks``.
        channels: Input channels: 1 depth, 3 RGB, 4 RGB-D.
        size: Height and width, multiples of the network's stride.

    Raises:
        InputError: The size does not fit.
    """
    network = unallocated(name, channels)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.empty(1, channels, *size, device="meta"))
    return Cost(parameter_count(network), counter.get_total_flops() // 2)


def cost_table(size: tuple[int, int] = SIZE) -> Table:
    """Returns the table, a row for each network and input.

    Args:
        size: Height and width of the image that the multiply-adds are counted for.
    """
    table = Table(title=f"Cost of Table II's networks, images of {size[0]}x{size[1]}")
    for head in ("network", "input"):
        table.add_column(head, no_wrap=True)
    for head in ("parameters", "paper, M", "GMAC", "paper, GFLOPs"):
        table.add_column(head, justify="right", no_wrap=True)
    for name, paper in PAPER.items():
        for index, (modality, channels) in enumerate(INPUTS.items()):
            cost = measure(name, channels, size)
            ours = f"{cost.parameters:,}", f"{cost.macs / 1e9:.2f}"
            title = "" if index else paper.title
            table.add_row(title, modality, ours[0], paper.parameters[index], ours[1], paper.flops[index])
        table.add_section()
    return table


def costs(*, size: str = "x".join(map(str, SIZE))) -> None:
    """Prints the table for images of ``size``, HEIGHTxWIDTH."""
    match = re.fullmatch(r"(\d+)x(\d+)", size)
    if match is None:
        raise InputError(f"size is '{size}'; give HEIGHTxWIDTH, for example 480x640")
    table = cost_table((int(match[1]), int(match[2])))
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    print(NOTES)


def main() -> None:
    """Runs the command line."""
    run_command("python -m plgp.costs", USAGE, costs)


if __name__ == "__main__":
    main()
