"""Depth noise like a real camera's: section III-B, eq. (5) and steps (2), (3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from sim.compiled import compiled
from sim.depth_noise.fields import smooth_field
from sim.depth_noise.part import Part, widen, within
from sim.errors import COUNT, FINITE, NOT_NEGATIVE, SHARE, WHOLE, InputError, check_numbers
from sim.view import check_depth_image

FloatImage = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class DepthNoise:
    """Makes a perfect depth image look like a camera's; the defaults are the authors' tool's.

    Attributes:
        missing_low: Sobel gradient at which ``missing_low_probability`` of the pixels are lost.
        missing_high: Sobel gradient from which all pixels are lost. Gradients are cv2.Sobel's raw sums
            on metres: 1,500 is a step of about 12 mm.
        missing_low_probability: Probability that a pixel is lost at ``missing_low``, [0, 1].
        sobel_size: Side of the Sobel kernel, pixels, odd, at most 31.
        sigma: Standard deviation of the depth error at the points of the coarse grid, metres. Between them it is
            less, and the blur takes a third: 4 mm become 2.45 mm over the image.
        grid: Factor by which the grid of both random fields is coarser than the image.
        blurs: Number of times that the image is scaled down by two and up again.
    """

    missing_low: float = 500.0
    missing_high: float = 1500.0
    missing_low_probability: float = 0.001
    sobel_size: int = 11
    sigma: float = 0.004
    grid: int = 8
    blurs: int = 10

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        limits = dict.fromkeys(("missing_low", "missing_high"), FINITE) | {"missing_low_probability": SHARE}
        limits |= {"sigma": NOT_NEGATIVE, "grid": COUNT, "blurs": WHOLE, "sobel_size": COUNT}
        check_numbers("depth_noise", self, limits)
        if self.sobel_size % 2 == 0 or not 1 <= self.sobel_size <= 31:
            raise InputError(f"depth_noise.sobel_size is {self.sobel_size}; give an odd number from 1 to 31")
        if self.missing_high <= self.missing_low:
            raise InputError(
                f"depth_noise.missing_high is {self.missing_high}; give more than missing_low, {self.missing_low}"
            )

    def __call__(self, depth: FloatImage, rng: np.random.Generator) -> FloatImage:
        """Returns the noisy image, in the paper's order: holes, depth error, blur.

        Args:
            depth: (H, W) float32, metres, 0 = missing.
            rng: Source of all randomness.

        Returns:
            (H, W) float32, metres, 0 = missing. Missing pixels never mix into their neighbours.

        Raises:
            InputError: The image holds NaN, negative depths or nothing.
        """
        check_depth_image(depth)
        return self.on_part(depth, rng, (slice(0, depth.shape[0]), slice(0, depth.shape[1])))

    def on_part(self, depth: FloatImage, rng: np.random.Generator, part: Part) -> FloatImage:
        """Returns a part of the noisy image; see ``noise_on_part``.

        Each blur reaches two pixels farther, the Sobel kernel half its side.

        Args:
            depth: (H, W) float32, the whole image, metres, 0 = missing; not checked.
            rng: Source of all randomness.
            part: Rows and columns that are wanted.

        Returns:
            (h, w) float32, metres, 0 = missing.
        """
        shape = (depth.shape[0], depth.shape[1])
        around = self._reach(part, shape)
        beyond = widen(around, shape, self.sobel_size // 2 + 1)
        field = smooth_field(rng, shape, self.grid, unit_variance=True, part=around)
        probability = self._probability(_fill_missing(depth[beyond], depth.max()))[within(around, beyond)]
        depth = depth[around]
        valid = depth > 0
        doubtful = valid & (probability > 0)  # elsewhere the costly distribution function decides nothing
        valid[doubtful] = ndtr(field[doubtful]) >= probability[doubtful]
        noisy = depth + np.float32(self.sigma) * smooth_field(rng, shape, self.grid, unit_variance=False, part=around)
        noisy = _blur_valid(noisy.astype(np.float32), valid, self.blurs)
        return np.where(valid, np.maximum(noisy, 1e-3), 0).astype(np.float32)[within(part, around)]

    def _reach(self, part: Part, shape: tuple[int, int]) -> Part:
        """Returns the part of the image that decides about a part: halves of pixels must fall together in both."""
        spans = []
        for span, length in zip(part, shape, strict=True):
            if length % 2 and self.blurs:
                spans.append(slice(0, length))  # the halved image's pixels are a little more than two wide
                continue
            first, last = max(0, span.start - 2 * self.blurs), min(length, span.stop + 2 * self.blurs)
            spans.append(slice(first - first % 2, last + last % 2) if self.blurs else slice(first, last))
        return spans[0], spans[1]

    def missing_probability(self, depth: FloatImage) -> FloatImage:
        """Returns f(grad) of eq. (5), linear in the Sobel gradient.

        Args:
            depth: (H, W) float32, metres, 0 = missing.

        Returns:
            (H, W) float32, probability in [0, 1] that a pixel is lost.
        """
        return self._probability(_fill_missing(depth, depth.max()))

    def _probability(self, filled: FloatImage) -> FloatImage:
        dx = cv2.Sobel(filled, cv2.CV_32F, 1, 0, ksize=self.sobel_size)
        dy = cv2.Sobel(filled, cv2.CV_32F, 0, 1, ksize=self.sobel_size)
        share = (np.hypot(dx, dy) - self.missing_low) / (self.missing_high - self.missing_low)
        probability = self.missing_low_probability + (1 - self.missing_low_probability) * share
        return np.clip(probability, 0, 1).astype(np.float32)


def _fill_missing(depth: FloatImage, farthest: float) -> FloatImage:
    """Returns the image with missing pixels set to the farthest depth, so that gradients exist."""
    return np.where(depth > 0, depth, farthest).astype(np.float32)


def _blur_valid(depth: FloatImage, valid: NDArray[np.bool_], times: int) -> FloatImage:
    """Returns the image scaled down by two and up again, ``times`` times, over valid pixels only."""
    if times == 0:
        return depth
    size = (depth.shape[1], depth.shape[0])
    half = (-(-size[0] // 2), -(-size[1] // 2))
    weight = valid.astype(np.float32)
    both: Any = cv2.merge([depth * weight, weight])  # together: OpenCV rounds one channel alone differently
    share = None
    for _ in range(times):
        both = cv2.resize(cv2.resize(both, half, interpolation=cv2.INTER_AREA), size, interpolation=cv2.INTER_LINEAR)
        if share is None:  # the weights are the same before every pass
            share = np.maximum(both[..., 1], np.float32(1e-6))
        _reopen(both, weight, share)
    return np.ascontiguousarray(both[..., 0])


@compiled
def _reopen(both: FloatImage, weight: FloatImage, share: FloatImage) -> None:
    """Re-opens holes after a pass: their depth is never taken from a neighbour twice.

    Args:
        both: (H, W, 2) float32, weighted depth in metres and weight after the pass; becomes what the next one takes.
        weight: (H, W) float32, 1 where a pixel is valid, else 0.
        share: (H, W) float32, weight after a pass, greater than 0.
    """
    for row in range(both.shape[0]):
        for col in range(both.shape[1]):
            both[row, col, 0] = both[row, col, 0] / share[row, col] * weight[row, col]
            both[row, col, 1] = weight[row, col]
