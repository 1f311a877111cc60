"""Learning: targets, transforms, networks, losses, training, policies.

Third floor of the house: may import sim and labeler. Names below are loaded on first use
(PEP 562), so that ``import plgp`` stays cheap.
"""

from importlib import import_module
from typing import Any

_HOMES = {
    "BenchmarkCallback": "plgp.callbacks",
    "BinaryFocalLoss": "plgp.losses",
    "GraspLoss": "plgp.losses",
    "GraspModule": "plgp.module",
    "NetworkPolicy": "plgp.policy",
    "PLGPDataModule": "plgp.data",
    "rasterise": "plgp.targets",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'plgp' has no attribute '{name}'")
