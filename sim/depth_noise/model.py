"""What every noise is to those who draw it."""

from __future__ import annotations

from dataclasses import asdict, is_dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from sim.depth_noise.part import Part

FloatImage = NDArray[np.float32]


class Noise(Protocol):
    """A camera's noise: ``DepthNoise``, ``SensorNoise``, ``MixedNoise``, or anyone's."""

    def __call__(self, depth: FloatImage, rng: np.random.Generator, /) -> FloatImage:
        """Returns the noisy image.

        Args:
            depth: (H, W) float32, metres, 0 = missing.
            rng: Source of all randomness.

        Returns:
            (H, W) float32, metres, 0 = missing.
        """
        ...


@runtime_checkable
class _ScaledNoise(Protocol):
    """Noise whose shadows depend on the camera's focal length."""

    def with_focal(self, focal_px: float) -> Noise:
        """Returns the noise for a camera of that focal length, pixels."""
        ...


@runtime_checkable
class _PartNoise(Protocol):
    """Noise that can be drawn for a part of an image at less cost."""

    def on_part(self, depth: FloatImage, rng: np.random.Generator, part: Part) -> FloatImage:
        """Returns the noisy part; see ``noise_on_part``."""
        ...


def noise_on_part(noise: Noise, depth: FloatImage, rng: np.random.Generator, *, part: Part) -> FloatImage:
    """Returns a part of an image with noise: distributed as that part of the whole noisy image is.

    Args:
        noise: The noise; one that cannot be drawn for a part is drawn for the whole.
        depth: (H, W) float32, the whole image, metres, 0 = missing.
        rng: Source of all randomness. Its draws are others than the whole image's.
        part: Rows and columns that are wanted, within the image.

    Returns:
        (h, w) float32, metres, 0 = missing.
    """
    return noise.on_part(depth, rng, part) if isinstance(noise, _PartNoise) else noise(depth, rng)[part]


def noise_for_camera(noise: Noise, focal_px: float) -> Noise:
    """Returns the noise as a camera of a focal length shows it; a noise that does not depend on it comes back as is.

    Args:
        noise: The noise.
        focal_px: Focal length along the rows of the image, fx of eq. (1), pixels.
    """
    return noise.with_focal(focal_px) if isinstance(noise, _ScaledNoise) else noise


def describe_noise(noise: Noise) -> dict[str, Any]:
    """Returns a noise's settings as JSON can hold them, with its kind.

    The paper's ``DepthNoise`` is written without a kind: data sets and checkpoints are named by that form.

    Args:
        noise: The noise.
    """
    from sim.depth_noise.paper import DepthNoise

    kind = type(noise).__name__
    parts = getattr(noise, "noises", None)
    if isinstance(parts, dict):
        return {"kind": kind, "noises": {name: describe_noise(part) for name, part in parts.items()}}
    settings: dict[str, Any] = asdict(noise) if is_dataclass(noise) and not isinstance(noise, type) else {}
    return settings if type(noise) is DepthNoise else {"kind": kind, **settings}
