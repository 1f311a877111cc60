"""Table II's cost columns: parameters and multiply-adds of every network beside the paper's figures."""

from __future__ import annotations

import re
import sys

import torch
from rich.console import Console
from rich.table import Table

import plgp.networks
from plgp.evaluation.paper_tables import COSTS, INPUTS
from plgp.networks.base import GraspNetwork
from plgp.networks.cost import SIZE, Cost, measure_cost
from sim.cli import run_command
from sim.errors import InputError

USAGE = """Parameters and multiply-adds of Table II's networks, the paper's figures beside them.

  python -m plgp.costs                  images of 224x224, as in the paper
  python -m plgp.costs size=480x640     another height x width, in multiples of 32
"""
NOTES = """GMAC: multiply-adds of one image, matrix products and transposed convolutions as executed. The paper's
GFLOPs are multiply-adds too, at 224x224, as thop 0.0.31 counts them: transposed convolutions at output size.
* The paper prints STDC's and DANet's figures in each other's rows; here they stand in their own. Its 26.18 M counts
STDC's trunk twice."""


def unallocated(name: str, channels: int) -> GraspNetwork:
    """Returns a network without memory, on the meta device, in evaluation mode.

    Args:
        name: Name of a class of ``plgp.networks``.
        channels: Number of input channels.
    """
    with torch.device("meta"):
        network: GraspNetwork = getattr(plgp.networks, name)(channels)
    return network.to("meta").eval()  # a trunk's first convolution, adapted to the channels, escapes the line above


def measure(name: str, channels: int, size: tuple[int, int] = SIZE) -> Cost:
    """Returns what a network of Table II costs, without running it.

    Args:
        name: Name of a class of ``plgp.networks``.
        channels: Number of input channels: 1 depth, 3 RGB, 4 RGB-D.
        size: Height and width, multiples of the network's stride.

    Raises:
        InputError: The size does not fit.
    """
    return measure_cost(unallocated(name, channels), size)


def cost_table(size: tuple[int, int] = SIZE) -> Table:
    """Returns the table, with a row for each network and input.

    Args:
        size: Height and width of the image for which the multiply-adds are counted.
    """
    table = Table(title=f"Cost of Table II's networks, images of {size[0]}x{size[1]}")
    for head in ("network", "input"):
        table.add_column(head, no_wrap=True)
    for head in ("parameters", "paper, M", "GMAC", "paper, GFLOPs"):
        table.add_column(head, justify="right", no_wrap=True)
    for name, paper in COSTS.items():
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
