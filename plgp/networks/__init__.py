"""Networks: (B, C, H, W) images in, three logit maps of the same size out."""

from importlib import import_module
from typing import Any

_HOMES = {
    "GraspNetwork": "plgp.networks.base",
    "GGCNN2": "plgp.networks.ggcnn2",
    "SMPNetwork": "plgp.networks.smp",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'plgp.networks' has no attribute '{name}'")
