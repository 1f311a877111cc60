"""Any architecture and encoder of segmentation-models-pytorch, with the three heads."""

from __future__ import annotations

from typing import Any

import segmentation_models_pytorch as smp
from torch import Tensor, nn

from plgp.networks.base import GraspNetwork, set_prior
from sim import InputError


def _architectures() -> dict[str, type[nn.Module]]:
    found = {name: getattr(smp, name) for name in dir(smp) if isinstance(getattr(smp, name), type)}
    return {name: kind for name, kind in found.items() if issubclass(kind, smp.base.SegmentationModel)}


class SMPNetwork(GraspNetwork):
    """An SMP model whose 1 + 2K output channels are the three heads."""

    def __init__(
        self,
        channels: int = 1,
        bins: int = 18,
        architecture: str = "Unet",
        encoder: str = "resnet18",
        encoder_weights: str | None = None,
        prior: float | None = None,
        stride: int = 32,
    ) -> None:
        """Builds the model.

        Args:
            channels: Input channels: 1 depth, 3 RGB, 4 RGB-D.
            bins: K.
            architecture: "Unet", "FPN", "DeepLabV3Plus" ...: a class of SMP.
            encoder: "resnet18", "timm-tf_efficientnet_lite0", "tu-<any timm model>" ...
            encoder_weights: None starts from random weights; a name downloads them.
            prior: See ``set_prior``.
            stride: Sizes must be multiples of it; 32 fits every SMP encoder.

        Raises:
            InputError: The architecture or the encoder is unknown.
        """
        super().__init__(channels, bins, stride)
        architectures = _architectures()
        if architecture not in architectures:
            known = ", ".join(sorted(architectures))
            raise InputError(f"unknown SMP architecture '{architecture}'; choose one of {known}")
        if not encoder.startswith("tu-") and encoder not in smp.encoders.get_encoder_names():
            raise InputError(
                f"unknown SMP encoder '{encoder}'; choose one of segmentation_models_pytorch's encoders, "
                "such as resnet18 or timm-tf_efficientnet_lite0, or 'tu-' and a timm model's name"
            )
        try:
            self.model = architectures[architecture](
                encoder_name=encoder, encoder_weights=encoder_weights, in_channels=channels, classes=1 + 2 * bins
            )
        except (KeyError, RuntimeError, ValueError, NotImplementedError) as error:
            raise InputError(f"SMP cannot build {architecture} with encoder '{encoder}': {error}") from error
        model: Any = self.model
        if hasattr(model.encoder, "conv_head"):  # EfficientNets carry a classifier's head that is never called
            for part in (model.encoder.conv_head, model.encoder.bn2):
                part.requires_grad_(False)
        last = [layer for layer in model.segmentation_head.modules() if isinstance(layer, nn.Conv2d)][-1]
        set_prior(last, prior)

    def features(self, x: Tensor) -> Tensor:
        """Returns (B, 1 + 2K, H, W) logits."""
        return self.model(x)
