"""A pixel's score, and whether a grasp there can be executed: what the decoder ranks."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from plgp.policy.contact_edges import edge_slopes, edge_spread
from plgp.policy.peaks import best_peaks
from plgp.policy.settings import DecoderSettings
from plgp.targets import GraspMaps
from sim.camera import PinholeCamera
from sim.compiled import compiled
from sim.depth_image.free_depth import FreeDepth
from sim.grasp import bin_to_angle
from sim.gripper import GripperGeometry

# A score of 0 would not be told from a forbidden pixel's.
_LEAST_SCORE = 1e-12
_ACROSS = np.array([-0.9, 0.0, 0.9])  # probes over half of a finger's width ...
_ALONG = np.array([0.1, 0.5, 0.9])  # ... and over its thickness
Window = tuple[slice, slice]
Seats = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]


class Places(NamedTuple):
    """N grasps without their depth, each with the way in which it is tried.

    Attributes:
        row: (N,) int64, pixels of the image.
        col: (N,) int64, pixels of the image.
        angle: (N,) float64, radians.
        width: (N,) float64, opening, metres.
        margin: (N,) float64, space beside the fingers, metres.
        below: (N,) float64, space under the fingers, metres.
        least: (N,) float64, least depth, metres.
    """

    row: NDArray[np.int64]
    col: NDArray[np.int64]
    angle: NDArray[np.float64]
    width: NDArray[np.float64]
    margin: NDArray[np.float64]
    below: NDArray[np.float64]
    least: NDArray[np.float64]


class Candidates:
    """One image's scores, and how its pixels are tried; the arguments are those of ``plgp.policy.decode``.

    Attributes:
        inner: Rows and columns of the window of the pixels where grasps may lie.
        outer: Window that is wider by what fingers can reach.
        score: (h, w) float32, quality times angle's quality in the inner window; 0 where no grasp may lie.
        width_unit: Opening that the width map calls 1, metres: the gripper's L4, unless it is set.
    """

    def __init__(
        self,
        maps: GraspMaps,
        depth: NDArray[np.floating],
        camera: PinholeCamera,
        *,
        gripper: GripperGeometry,
        settings: DecoderSettings,
        usable: NDArray[np.bool_],
        logits: bool,
        corner: tuple[int, int],
    ) -> None:
        """Takes the maps apart; ``usable`` (H, W) bool says where grasps may lie, and is true somewhere."""
        self.depth, self.camera, self.gripper, self.settings = depth, camera, gripper, settings
        self.width_unit = gripper.max_opening
        self.inner, self.outer = search_windows(usable, depth, camera, gripper=gripper)
        shown = [slice(part.start - at, part.stop - at) for part, at in zip(self.inner, corner, strict=True)]
        quality = maps.quality[:, :, *shown].float()
        quality = torch.sigmoid(quality) if logits else quality
        best, angle_bin = maps.angle[0][:, *shown].max(dim=0)
        best = torch.sigmoid(best.float()) if logits else best.float()
        score = (_smooth(quality, settings.smoothing_px)[0, 0] * best).clamp(min=_LEAST_SCORE).cpu().numpy()
        self.score: NDArray[np.float32] = np.where(usable[self.inner], score, np.float32(0))
        self.angle_bin, self.bins = angle_bin.cpu().numpy(), maps.angle.shape[1]
        self.width, self.logits = maps.width[0][:, *shown], logits
        self.image = np.ascontiguousarray(depth, np.float32)
        self.surface = np.ascontiguousarray(self.image[self.outer])
        self.slopes = edge_slopes(self.surface, camera)
        self.rule = FreeDepth(depth, camera, gripper)

    def pool(self) -> tuple[NDArray[np.int64], int]:
        """Returns the flat pixels of ``score`` that are tried, and how many of them are local maxima: they come first.

        Beside a local maximum, a grasp is as good as a repetition of it.
        """
        limit = self.settings.pool
        peaks, best = best_peaks(self.score, 1, limit), best_peaks(self.score, 0, limit)
        is_peak = np.zeros(self.score.size, np.bool_)
        is_peak[peaks] = True
        return np.concatenate([peaks, best[~is_peak[best]][: limit // 4]]), len(peaks)

    def seats(self, pixels: NDArray[np.int64]) -> Seats:
        """Returns row, column, angle and predicted width of the grasps at some flat pixels of the score."""
        row, col = np.divmod(pixels, self.score.shape[1])
        k = self.angle_bin[row, col]
        predicted = self.width[k, row, col].float()
        predicted = torch.sigmoid(predicted) if self.logits else predicted
        width = np.minimum(predicted.cpu().numpy().astype(np.float64) * self.width_unit, self.gripper.max_opening)
        return row + self.inner[0].start, col + self.inner[1].start, bin_to_angle(k, self.bins), width

    def straightness(self, places: Places) -> NDArray[np.float64]:
        """Returns the score's factor for the edges under the fingers at some places, in [0, 1]."""
        spread = edge_spread(
            self.slopes,
            self.surface,
            self.camera,
            gripper=self.gripper,
            row=places.row - self.outer[0].start,
            col=places.col - self.outer[1].start,
            angle=places.angle,
            width=places.width,
        )
        factor: NDArray[np.float64] = 1 / (1 + (spread / self.settings.edge_spread) ** 2)
        return factor

    def depth_bounds(self, places: Places) -> NDArray[np.float64]:
        """Returns (N,) depths that ``free_depths`` does not exceed, metres; less than the least counts as -inf."""
        bound = depth_bound(self.image, self.camera, places, gripper=self.gripper)
        bound -= np.minimum(places.below, np.maximum(bound, 0) / 2)
        return np.where(bound >= places.least, bound, -np.inf)

    def free_depths(self, places: Places) -> NDArray[np.float64]:
        """Returns (N,) depths that the shared rule allows, metres; less than the least counts as -inf."""
        free = self.rule(*places[:4], margin=places.margin, depth_margin=places.below)
        return np.where(free >= places.least, free, -np.inf)  # NaN is what is unknown


def window_of(usable: NDArray[np.bool_]) -> Window:
    """Returns the rows and columns that hold all usable pixels; the image's first pixel where there are none."""
    if not usable.any():
        return slice(0, 1), slice(0, 1)
    rows, cols = (np.flatnonzero(usable.any(axis=axis))[[0, -1]] for axis in (1, 0))
    return slice(int(rows[0]), int(rows[1]) + 1), slice(int(cols[0]), int(cols[1]) + 1)


def search_windows(
    usable: NDArray[np.bool_], depth: NDArray[np.floating], camera: PinholeCamera, *, gripper: GripperGeometry
) -> tuple[Window, Window]:
    """Returns the window of the usable pixels, and one that is wider by what fingers can reach, rows and columns."""
    inner = window_of(usable)
    if not usable.any():
        return inner, inner
    nearest = float(depth[inner][usable[inner]].min())
    reach = int(max(camera.intrinsics[0, 0], camera.intrinsics[1, 1]) * gripper.max_opening / nearest) + 8
    outer = slice(max(0, inner[0].start - reach), inner[0].stop + reach)
    return inner, (outer, slice(max(0, inner[1].start - reach), inner[1].stop + reach))


def _smooth(quality: Tensor, sigma: float) -> Tensor:
    """Returns a (1, 1, H, W) map after a Gaussian of ``sigma`` pixels."""
    if sigma <= 0:
        return quality
    reach = int(np.ceil(3 * sigma))
    steps = torch.arange(-reach, reach + 1, device=quality.device, dtype=quality.dtype)
    kernel = torch.exp(-(steps**2) / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    padded = F.pad(quality, (reach, reach, reach, reach), mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))


@compiled
def _depth_bound(
    depth: NDArray[np.float32],
    focal: tuple[float, float],
    centre: tuple[float, float],
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
    angles: NDArray[np.float64],
    widths: NDArray[np.float64],
    thickness: float,
    half_width: float,
    margins: NDArray[np.float64],
    along: NDArray[np.float64],
    sideways: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Returns ``depth_bound`` at probes ``along`` a finger's thickness and ``sideways`` over its half width."""
    result = np.full(len(rows), np.inf)
    for i in range(len(rows)):
        surface = depth[rows[i], cols[i]]
        x0 = (cols[i] - centre[1]) / focal[1] * surface
        y0 = (rows[i] - centre[0]) / focal[0] * surface
        cosine, sine = np.cos(angles[i]), np.sin(angles[i])
        inner, outer = widths[i] / 2 - margins[i], widths[i] / 2 + thickness + margins[i]
        across = half_width + margins[i]
        for probe in range(2 * len(along) * len(sideways)):
            side = 2 * (probe % 2) - 1
            j, k = (probe // 2) % len(along), probe // (2 * len(along))
            a, b = side * (inner + along[j] * (outer - inner)), sideways[k] * across
            c = int(np.floor(centre[1] + focal[1] * (x0 + a * cosine + b * sine) / surface + 0.5))
            r = int(np.floor(centre[0] + focal[0] * (y0 - a * sine + b * cosine) / surface + 0.5))
            if r < 0 or c < 0 or r >= depth.shape[0] or c >= depth.shape[1]:
                continue
            z = depth[r, c]
            if z <= 0 or z - np.float64(surface) >= result[i]:
                continue
            # As the depth rule does: where the pixel's own depth puts it, not where it appears.
            x, y = (c - centre[1]) / focal[1] * z - x0, (r - centre[0]) / focal[0] * z - y0
            a, b = x * cosine - y * sine, x * sine + y * cosine
            if inner <= side * a <= outer and -across <= b <= across:
                result[i] = z - np.float64(surface)
    return result


def depth_bound(
    depth: NDArray[np.float32], camera: PinholeCamera, places: Places, *, gripper: GripperGeometry
) -> NDArray[np.float64]:
    """Returns depths that ``deepest_free_depth`` without depth margin does not exceed, (N,) float64, metres.

    18 pixels under the fingers are looked at, in place of the hundreds that ``deepest_free_depth`` looks at.
    Each is judged as that rule would judge it, so no grasp that the rule would keep is dropped by its bound.

    Args:
        depth: (H, W) float32, metres, 0 = missing.
        camera: The camera of the depth image.
        places: The grasps, N; their margin beside the fingers counts.
        gripper: The gripper; the measures of its fingers count.
    """
    m = camera.intrinsics
    optics = (m[1, 1], m[0, 0]), (m[1, 2], m[0, 2])
    measures = gripper.finger_thickness, gripper.finger_width / 2
    row, col, angle, width, margin, _, _ = places
    bound = _depth_bound(depth, *optics, row, col, angle, width, *measures, margin, _ALONG, _ACROSS)
    return np.minimum(bound, gripper.finger_length)
