"""Depth noise of a real sensor, whose numbers are fitted to its frames (``python -m sim fit-noise``)."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from sim.depth_noise.fields import smooth_field
from sim.depth_noise.part import Part, widen, within
from sim.depth_noise.shadow import disturb, hide_shadow, lose_border, lose_pixels
from sim.depth_noise.soften import soften_steps
from sim.errors import COUNT, FINITE, NOT_NEGATIVE, POSITIVE, SHARE, InputError, Limits, check_numbers
from sim.view import check_depth_image

FloatImage = NDArray[np.float32]
_ANGLE = Limits("degrees between 0 and 90", most=90.0)
_WINDOW = Limits("a number of pixels between 0 and 99", most=99.0)


@dataclass(frozen=True, kw_only=True)
class SensorNoise:
    """Makes a perfect depth image look like that of a stereo or structured-light camera.

    The sensor has a second eye beside the camera: a stereo pair's other camera, or a projector. What that eye does not
    see is missing, so shadows fall on one side of things. Lengths in pixels are those of a camera of ``focal_px``; for
    another camera ``noise_for_camera`` scales them.

    Attributes:
        sigma: Standard deviation of the depth error from pixel to pixel, metres, at any depth.
        sigma_square: Growth of that deviation with the squared depth, 1/m: stereo's.
        grid: Correlation length of that error, pixels.
        bend: Standard deviation of the error that bends planes, metres, at any depth.
        bend_square: Growth of that deviation with the squared depth, 1/m.
        bend_grid: Correlation length of that error, pixels.
        unit: Step of the depth, metres; 0 rounds nothing.
        soft: Width of the slopes that low steps of the depth become, pixels; up to 1 they stay steps.
        soft_step: Height of the highest step that becomes a slope, metres.
        inverse_step: Step of the inverse depth, 1/m: that of the disparity over focal length and baseline; 0 rounds
            nothing.
        baseline: Place of the second eye along the camera's x, metres; 0 throws no shadow. Shadows fall to the left of
            things where it is positive.
        border: Share of the frame that is missing along its border, [0, 1]: what the second eye does not look at.
        band: Whether that border is one band on the side to which shadows fall, as stereo's is, or a frame.
        hole_share: Share of the pixels that is missing by chance, in blobs, [0, 1].
        hole_grid: Correlation length of those blobs, pixels.
        grazing_low: Angle of incidence from which pixels are lost, degrees. A step that stays one is a steep surface.
        grazing_high: Angle of incidence from which all are lost, degrees.
        focal_px: Focal length of the camera, pixels. The paper's camera has 415.692.
    """

    sigma: float = 0.001
    sigma_square: float = 0.0
    grid: int = 2
    bend: float = 0.0
    bend_square: float = 0.0
    bend_grid: int = 64
    soft: float = 0.0
    soft_step: float = 0.0
    unit: float = 0.0
    inverse_step: float = 0.0
    baseline: float = 0.0
    border: float = 0.0
    band: bool = False
    hole_share: float = 0.0
    hole_grid: int = 8
    grazing_low: float = 80.0
    grazing_high: float = 90.0
    focal_px: float = 415.692

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        limits = dict.fromkeys(("sigma", "sigma_square", "bend", "bend_square", "soft_step"), NOT_NEGATIVE)
        limits |= dict.fromkeys(("unit", "inverse_step"), NOT_NEGATIVE)
        limits |= dict.fromkeys(("grid", "bend_grid", "hole_grid"), COUNT)
        limits |= {"baseline": FINITE, "border": SHARE, "hole_share": SHARE, "focal_px": POSITIVE}
        limits |= {"soft": _WINDOW, "grazing_low": _ANGLE, "grazing_high": _ANGLE}
        check_numbers("depth_noise", self, limits)
        if not isinstance(self.band, bool):
            raise InputError(f"depth_noise.band is {self.band!r}; give true or false")
        if self.grazing_high < self.grazing_low:
            raise InputError(
                f"depth_noise.grazing_high is {self.grazing_high}; give at least grazing_low, {self.grazing_low}"
            )

    def __call__(self, depth: FloatImage, rng: np.random.Generator) -> FloatImage:
        """Returns the noisy image: shadows, holes and border are lost, low steps soften, the rest errs and is rounded.

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

        Shadows come from as far as they are thrown. Slopes and steepness look a little beyond the part.

        Args:
            depth: (H, W) float32, the whole image, metres, 0 = missing; not checked.
            rng: Source of all randomness.
            part: Rows and columns that are wanted.

        Returns:
            (h, w) float32, metres, 0 = missing.
        """
        shape = (depth.shape[0], depth.shape[1])
        rows, cols = around = widen(part, shape, round((self.soft - 1) / 2) + 2)
        clean = np.ascontiguousarray(depth[around], np.float32)
        holes, bend, fine = (
            smooth_field(rng, shape, grid, unit_variance=True, part=around)
            for grid in (self.hole_grid, self.bend_grid, self.grid)
        )
        lost = np.zeros(clean.shape, np.bool_)
        if self.border > 0:
            side = 0 if not self.band else 1 if self.baseline >= 0 else -1
            lose_border(fine, self.border, (side, rows.start, cols.start), shape, lost)
        if self.baseline != 0:  # rows whole towards the second eye
            reach = slice(cols.start, shape[1]) if self.baseline > 0 else slice(0, cols.stop)
            shadow = np.zeros((len(clean), reach.stop - reach.start), np.bool_)
            row = np.ascontiguousarray(depth[rows, reach], np.float32)
            hide_shadow(row, float(self.focal_px * self.baseline), shadow)
            lost |= shadow[:, cols.start - reach.start : cols.stop - reach.start]
        low, high = np.radians(self.grazing_low), np.radians(self.grazing_high)
        chance = float(ndtri(self.hole_share))
        soft = soften_steps(clean, lost, width=self.soft, most=self.soft_step)
        lose_pixels(soft, holes, np.array([self.focal_px, low, max(high, low + 1e-6), chance]), lost)
        growth = np.array([self.sigma, self.sigma_square, self.bend, self.bend_square], np.float64)
        noisy = disturb(soft, lost, fine, bend, np.append(growth, [self.inverse_step, self.unit]))
        return noisy[within(part, around)]

    def with_focal(self, focal_px: float) -> SensorNoise:
        """Returns the noise for a camera of that focal length, pixels."""
        scale = focal_px / self.focal_px
        if scale == 1:
            return self
        grid, bend_grid, hole_grid = (max(1, round(scale * n)) for n in (self.grid, self.bend_grid, self.hole_grid))
        soft = min(scale * self.soft, 99.0)
        return replace(self, grid=grid, bend_grid=bend_grid, hole_grid=hole_grid, soft=soft, focal_px=float(focal_px))
