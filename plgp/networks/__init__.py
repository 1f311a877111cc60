"""Networks: (B, C, H, W) images in, three logit maps of the same size out."""

from importlib import import_module
from typing import Any

_HOMES = {
    "GraspNetwork": "plgp.networks.base",
    "AFFGANet": "plgp.networks.affga",
    "DANet": "plgp.networks.danet",
    "DeepLabV3Plus": "plgp.networks.deeplabv3plus",
    "GGCNN2": "plgp.networks.ggcnn2",
    "GRCNN": "plgp.networks.grcnn",
    "SMPNetwork": "plgp.networks.smp",
    "STDC": "plgp.networks.stdc",
    "SegNet": "plgp.networks.segnet",
    "UNet": "plgp.networks.unet",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'plgp.networks' has no attribute '{name}'")
