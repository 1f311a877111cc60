"""Names of a package that are loaded on first use (PEP 562), so that importing the package stays cheap."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import lazy_loader


def attach_names(
    package: str, file: str, *, former: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Returns a package's ``__getattr__``, ``__dir__`` and ``__all__``.

    Args:
        package: ``__name__`` of the package.
        file: ``__file__`` of the package. The stub beside it (``.pyi``) lists the names and their modules, for this
            function and for type checkers.
        former: Modules that have moved: former name within the package -> full name today. Saved configurations
            and checkpoints name classes by their modules (``_target_: sim.policies.RandomPolicy``), and still load.
    """
    attached, listed, names = lazy_loader.attach_stub(package, file)
    moved = dict(former or {})

    def get(name: str) -> Any:
        """Returns the module that moved, or what the stub names."""
        return import_module(moved[name]) if name in moved else attached(name)

    return get, listed, names
