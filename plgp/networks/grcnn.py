"""GR-ConvNet (Kumra, Joshi, Sahin 2020), 32 base channels; 1,897,381 parameters for depth."""

from __future__ import annotations

from torch import Tensor, nn

from plgp.networks.base import GraspNetwork, set_prior
from plgp.networks.blocks import TaskHeads


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
            nn.BatchNorm2d(width),
        )

    def forward(self, x: Tensor) -> Tensor:
        total: Tensor = x + self.branch(x)
        return total


def _head(inputs: int, outputs: int, prior: float | None) -> nn.Sequential:
    layer = nn.Conv2d(inputs, outputs, 2)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    set_prior(layer, prior)
    return nn.Sequential(nn.Dropout(0.1), layer)


class GRCNN(GraspNetwork):
    """GR-ConvNet of stride 4: an encoder, five residual blocks, transposed convolutions. All layers have biases."""

    def __init__(self, channels: int = 1, bins: int = 18, prior: float | None = None) -> None:
        """Builds the network with Xavier weights and zero biases.

        Args:
            channels: Number of input channels: 1 depth, 3 RGB, 4 RGB-D.
            bins: Number of angle bins, K.
            prior: Probability that all maps start at; see ``set_prior``. None is the paper's.
        """
        super().__init__(channels, bins, stride=4)
        self.trunk = nn.Sequential(
            *self._normalised(nn.Conv2d(channels, 32, 9, 1, 4)),
            *self._normalised(nn.Conv2d(32, 64, 4, 2, 1)),
            *self._normalised(nn.Conv2d(64, 128, 4, 2, 1)),
            *(_Residual(128) for _ in range(5)),
            *self._normalised(nn.ConvTranspose2d(128, 64, 4, 2, 1, output_padding=1)),  # n/4 -> n/2 + 1
            *self._normalised(nn.ConvTranspose2d(64, 32, 4, 2, 2, output_padding=1)),  # -> n + 1
            nn.ConvTranspose2d(32, 32, 9, 1, 4),
        )
        for layer in self.trunk.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        self.heads = TaskHeads(*(_head(32, n, prior) for n in (1, bins, bins)))  # unpadded 2x2: n + 1 -> n

    @staticmethod
    def _normalised(layer: nn.Conv2d | nn.ConvTranspose2d) -> list[nn.Module]:
        return [layer, nn.BatchNorm2d(layer.out_channels), nn.ReLU(inplace=True)]

    def features(self, x: Tensor) -> Tensor:
        """Returns (B, 1 + 2K, H, W) logits."""
        logits: Tensor = self.heads(self.trunk(x))
        return logits
