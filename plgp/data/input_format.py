"""What a network is fed: which channels, normalised how. Training, policies and exported files share it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError

FloatImage = NDArray[np.float32]
CHANNELS = {"depth": 1, "rgb": 3, "rgbd": 4}
# Fixed normalisations of RGB in [0, 1], (value - mean) / deviation, that pre-trained encoders expect.
COLOURS = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "lite": ((127 / 255,) * 3, (128 / 255,) * 3),  # EfficientNet-Lite: (x - 127) / 128 of 8-bit values
}


@dataclass(frozen=True, kw_only=True)
class InputFormat:
    """What a network is fed, and how it is normalised; stored in every checkpoint.

    Attributes:
        modality: "depth" (1 channel), "rgb" (3) or "rgbd" (4: red, green, blue, depth).
        depth_scale: Factor on the depth after its mean is subtracted; the paper's is 1.
        window: Side of the centred square over which means are taken, pixels. It is the training crop's
            side, so that a whole image is centred as its crop was.
        colours: Normalisation of RGB: "centred" subtracts the image's mean, as in the paper; a key of ``COLOURS``
            is what a pre-trained encoder expects.
    """

    modality: str = "depth"
    depth_scale: float = 1.0
    window: int = 320
    colours: str = "centred"

    def __post_init__(self) -> None:
        """Checks the values; raises InputError."""
        if self.colours != "centred" and self.colours not in COLOURS:
            raise InputError(f"unknown colours '{self.colours}'; choose one of centred, {', '.join(COLOURS)}")
        if self.modality not in CHANNELS:
            raise InputError(f"unknown modality '{self.modality}'; choose one of {', '.join(CHANNELS)}")
        if not (self.depth_scale > 0 and self.window > 0):
            raise InputError(f"depth_scale {self.depth_scale} and window {self.window} must be positive")

    @property
    def channels(self) -> int:
        """Number of input channels."""
        return CHANNELS[self.modality]

    @property
    def uses_rgb(self) -> bool:
        """Whether colours are among the channels."""
        return self.modality != "depth"

    @property
    def uses_depth(self) -> bool:
        """Whether depth is among the channels."""
        return self.modality != "rgb"

    def __call__(self, rgb: NDArray[np.uint8] | None, depth: FloatImage | None) -> FloatImage:
        """Returns the network's input.

        The mean over valid pixels is subtracted from the depth, and missing pixels become 0. RGB is scaled
        to [0, 1] and normalised as ``colours`` says.

        Args:
            rgb: (H, W, 3) uint8; None if the modality does without.
            depth: (H, W) float32, metres, 0 = missing; None if the modality does without.

        Returns:
            (C, H, W) float32.

        Raises:
            InputError: An image that the modality needs is None.
        """
        given = rgb if self.uses_rgb else depth
        if rgb is None and self.uses_rgb:
            raise InputError(f"modality '{self.modality}' needs an RGB image")
        if depth is None and self.uses_depth:
            raise InputError(f"modality '{self.modality}' needs a depth image")
        assert given is not None
        image = np.empty((self.channels, *given.shape[:2]), np.float32)
        if rgb is not None and self.uses_rgb:
            self._write_colours(rgb, image[:3])
        if depth is not None and self.uses_depth:
            self._write_depth(depth, image[-1])
        return image

    def _write_colours(self, rgb: NDArray[np.uint8], out: FloatImage) -> None:
        """Writes the normalised (3, H, W) channels."""
        channels = rgb.transpose(2, 0, 1)
        np.multiply(channels, np.float32(1 / 255), out=out)
        if self.colours == "centred":
            out -= np.float32(self._centre(channels).mean() / 255)
        else:
            mean, deviation = (np.array(v, np.float32)[:, None, None] for v in COLOURS[self.colours])
            out[:] = (out - mean) / deviation

    def _write_depth(self, depth: FloatImage, out: FloatImage) -> None:
        """Writes the normalised (H, W) channel."""
        seen = depth > 0
        middle = self._centre(depth)
        middle = middle[middle > 0] if (middle > 0).any() else depth[seen]
        np.subtract(depth, middle.mean() if len(middle) else np.float32(0), out=out)
        out *= np.float32(self.depth_scale)
        out[~seen] = 0

    def _centre(self, image: NDArray[Any]) -> NDArray[Any]:
        """Returns the centred window of an image (..., H, W)."""
        top, left = (max(0, (size - self.window) // 2) for size in image.shape[-2:])
        return image[..., top : top + self.window, left : left + self.window]
