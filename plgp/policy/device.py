"""Where a policy's network runs."""

from __future__ import annotations

import torch

from sim.errors import InputError

AUTO = "auto"  # CUDA where there is a GPU, else the CPU


def device_of(name: str | torch.device) -> torch.device:
    """Returns the device of a name, once something lies on it.

    Args:
        name: "cpu", "cuda", "cuda:1", "mps" ..., or "auto": CUDA where there is a GPU, else the CPU.

    Raises:
        InputError: There is no such device on this machine.
    """
    if name == AUTO:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch without CUDA asserts
        reason = str(error).splitlines()[0].rstrip(".")
        raise InputError(f"device '{name}' cannot be used ({reason}); give device=cpu, or auto") from error
    if device.type == "meta":
        raise InputError(f"device '{name}' computes nothing; give device=cpu, or auto")
    return device
