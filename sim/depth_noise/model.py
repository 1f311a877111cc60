"""What every noise is to those who draw it."""

from __future__ import annotations

from dataclasses import asdict, is_dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

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
