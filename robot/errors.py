"""What goes wrong with a device, in one sentence for the operator."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sim.errors import InputError


class DeviceError(InputError):
    """A device that does not answer, answers nonsense, or reports a fault that it cannot clear itself."""


def load_backend(module: str, *, extra: str, needs: str = "") -> Any:
    """Returns a driver's module.

    Args:
        module: Its full name, for example "rtde_control".
        extra: Extra of this package that installs it, for example "ur".
        needs: What else it wants of the system, for the message.

    Raises:
        InputError: The package is not installed, or a library of the system is missing.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise InputError(
            f"the package '{error.name or module}' is missing; install it with: pip install 'plgp[{extra}]'"
        ) from error
    except ImportError as error:
        raise InputError(f"{module} does not load ({error}); {needs or 'reinstall it'}") from error
