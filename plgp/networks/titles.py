"""Names of networks in tables; they need no torch, which takes seconds to import."""

from __future__ import annotations


def smp_title(architecture: str = "Unet", encoder: str = "resnet18") -> str:
    """Returns what tables call a network of segmentation-models-pytorch: "Unet/efficientnet_lite0"."""
    return f"{architecture}/{encoder.removeprefix('tu-').removeprefix('timm-').removeprefix('tf_')}"
