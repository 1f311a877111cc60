"""A pixel's score, and whether a grasp there can be executed: what the decoder ranks."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from plgp.policy.contact_edges import edge_slopes, edge_spread
from plgp.policy.settings import DecoderSettings
from plgp.targets import GraspMaps
from sim.camera import PinholeCamera
from sim.compiled import compiled
from sim.grasp import PixelGrasps, bin_to_angle, deepest_free_depth
from sim.gripper import GripperGeometry

# A score of 0 would not be told from a forbidden pixel's.
_LEAST_SCORE = 1e-12
_ACROSS = np.array([-0.9, 0.0, 0.9])  # probes over half of a finger's width ...
_ALONG = np.array([0.1, 0.5, 0.9])  # ... and over its thickness
Window = tuple[slice, slice]


class Candidates:
    """One image's scores, and how its pixels are tried; the arguments are those of ``plgp.policy.decode``.

    Attributes:
        inner: Rows and columns of the window of the pixels where grasps may lie.
        outer: Window that is wider by what fingers can reach.
        score: (h, w) float32, quality times angle's quality in the inner window; 0 where no grasp may lie.
    """

    def __init__(
        self,
        maps: GraspMaps,
        depth: NDArray[np.floating],
        camera: PinholeCamera,
        *,
        gripper: GripperGeometry,
        settings: DecoderSettings,
        allowed: NDArray[np.bool_] | None,
        logits: bool,
    ) -> None:
        """Takes the maps apart."""
        self.depth, self.camera, self.gripper, self.settings = depth, camera, gripper, settings
        usable = depth > 0 if allowed is None else (depth > 0) & allowed
        self.inner, self.outer = search_windows(usable, depth, camera, gripper=gripper)
        quality = maps.quality[:, :, *self.inner].float()
        quality = torch.sigmoid(quality) if logits else quality
        best, angle_bin = maps.angle[0][:, *self.inner].max(dim=0)
        best = torch.sigmoid(best.float()) if logits else best.float()
        score = (_smooth(quality, settings.smoothing_px)[0, 0] * best).clamp(min=_LEAST_SCORE).cpu().numpy()
        self.score: NDArray[np.float32] = np.where(usable[self.inner], score, np.float32(0))
        self.angle_bin, self.bins = angle_bin.cpu().numpy(), maps.angle.shape[1]
        self.width, self.logits = maps.width[0], logits
        self.slopes = edge_slopes(depth[self.outer], camera) if usable.any() else None

    def straightness(self, pixels: NDArray[np.int64]) -> NDArray[np.float64]:
        """Returns the score's factor for the edges under the fingers at some pixels, in [0, 1]."""
        row, col, angle, width = self._grasps(pixels, np.zeros(len(pixels)))
        assert self.slopes is not None
        spread = edge_spread(
            self.slopes,
            self.depth[self.outer],
            self.camera,
            gripper=self.gripper,
            row=row - self.outer[0].start,
            col=col - self.outer[1].start,
            angle=angle,
            width=width,
        )
        factor: NDArray[np.float64] = 1 / (1 + (spread / self.settings.edge_spread) ** 2)
        return factor

    def _grasps(
        self, pixels: NDArray[np.int64], widening: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Returns row and column in the image, angle and width of the grasps at some pixels of the score."""
        row, col = np.divmod(pixels, self.score.shape[1])
        k = self.angle_bin[row, col]
        row, col = row + self.inner[0].start, col + self.inner[1].start
        predicted = self.width[k, row, col].float()
        predicted = torch.sigmoid(predicted) if self.logits else predicted
        share = predicted.cpu().numpy().astype(np.float64)
        opening = self.gripper.max_opening
        width = np.clip(share * opening + self.settings.extra_opening + widening, 0, opening)
        return row, col, bin_to_angle(k, self.bins), width

    def executable(
        self, pixels: NDArray[np.int64], widening: NDArray[np.float64], close: bool
    ) -> tuple[PixelGrasps, NDArray[np.bool_]]:
        """Returns the grasps at some pixels that can go deep enough, in their order, and which they are.

        Args:
            pixels: (N,) flat pixels of ``score``.
            widening: (N,) openings beyond the usual ones, metres.
            close: Whether the fingers pass closer.
        """
        s = self.settings
        row, col, angle, width = self._grasps(pixels, widening)
        margin, below, least = s.margin, s.depth_margin, s.min_depth
        if close:
            margin, below, least = 0.0, s.close_depth_margin, s.close_depth
        clear = ~blocked(
            self.depth,
            self.camera,
            gripper=self.gripper,
            row=row,
            col=col,
            angle=angle,
            width=width,
            margin=margin,
            min_depth=least,
        )
        free = np.full(len(pixels), np.nan)
        free[clear] = deepest_free_depth(
            self.depth,
            self.camera,
            self.gripper,
            row[clear],
            col[clear],
            angle[clear],
            width[clear],
            margin=margin,
            depth_margin=below,
        )
        deep = np.nan_to_num(free, nan=-1.0) >= max(least, 1e-6)
        row, col, angle, width, free = row[deep], col[deep], angle[deep], width[deep], free[deep]
        score = self.score.ravel()[pixels[deep]] * np.minimum(1, free / s.full_depth)
        return PixelGrasps(row, col, free, angle, width, score), deep


def search_windows(
    usable: NDArray[np.bool_], depth: NDArray[np.floating], camera: PinholeCamera, *, gripper: GripperGeometry
) -> tuple[Window, Window]:
    """Returns the window of the usable pixels, and one that is wider by what fingers can reach, rows and columns."""
    if not usable.any():
        return (slice(0, 1), slice(0, 1)), (slice(0, 1), slice(0, 1))
    ends = [np.flatnonzero(usable.any(axis=axis))[[0, -1]] for axis in (1, 0)]
    inner = slice(int(ends[0][0]), int(ends[0][1]) + 1), slice(int(ends[1][0]), int(ends[1][1]) + 1)
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
def _blocked(
    depth: NDArray[np.float32],
    focal: tuple[float, float],
    centre: tuple[float, float],
    rows: NDArray[np.int64],
    cols: NDArray[np.int64],
    angles: NDArray[np.float64],
    widths: NDArray[np.float64],
    thickness: float,
    across: float,
    margin: float,
    min_depth: float,
    along: NDArray[np.float64],
    sideways: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Returns ``blocked`` at probes ``along`` a finger's thickness and ``sideways`` over its half width."""
    result = np.zeros(len(rows), np.bool_)
    for i in range(len(rows)):
        surface = depth[rows[i], cols[i]]
        x0 = (cols[i] - centre[1]) / focal[1] * surface
        y0 = (rows[i] - centre[0]) / focal[0] * surface
        cosine, sine = np.cos(angles[i]), np.sin(angles[i])
        inner, outer = widths[i] / 2 - margin, widths[i] / 2 + thickness + margin
        for probe in range(2 * len(along) * len(sideways)):
            side = 2 * (probe % 2) - 1
            j, k = (probe // 2) % len(along), probe // (2 * len(along))
            a, b = side * (inner + along[j] * (outer - inner)), sideways[k] * across
            c = int(np.floor(centre[1] + focal[1] * (x0 + a * cosine + b * sine) / surface + 0.5))
            r = int(np.floor(centre[0] + focal[0] * (y0 - a * sine + b * cosine) / surface + 0.5))
            if r < 0 or c < 0 or r >= depth.shape[0] or c >= depth.shape[1]:
                continue
            z = depth[r, c]
            if z <= 0 or z - np.float64(surface) >= min_depth:
                continue
            # As the depth rule does: where the pixel's own depth puts it, not where it appears.
            x, y = (c - centre[1]) / focal[1] * z - x0, (r - centre[0]) / focal[0] * z - y0
            a, b = x * cosine - y * sine, x * sine + y * cosine
            if inner <= side * a <= outer and -across <= b <= across:
                result[i] = True
                break
    return result


def blocked(
    depth: NDArray[np.floating],
    camera: PinholeCamera,
    *,
    gripper: GripperGeometry,
    row: NDArray[np.int64],
    col: NDArray[np.int64],
    angle: NDArray[np.float64],
    width: NDArray[np.float64],
    margin: float,
    min_depth: float,
) -> NDArray[np.bool_]:
    """Returns (N,) bool: grasps of which a few pixels prove that they cannot go ``min_depth`` deep.

    18 pixels under the fingers are looked at, in place of the thousands that ``deepest_free_depth`` looks at.
    Each is judged as that rule would judge it, so no grasp that the rule would keep is dropped.

    Args:
        depth: (H, W) floating, metres, 0 = missing.
        camera: The camera of the depth image.
        gripper: The gripper; its finger width and thickness count.
        row: (N,) int64, pixels.
        col: (N,) int64, pixels.
        angle: (N,) float64, radians, counter-clockwise as the image is seen.
        width: (N,) float64, metres between the inner finger faces.
        margin: Space kept free on every side of a finger, metres.
        min_depth: Least depth that a grasp must be able to go to, metres.
    """
    m = camera.intrinsics
    across = gripper.finger_width / 2 + margin
    image = np.ascontiguousarray(depth, dtype=np.float32)
    places = (m[1, 1], m[0, 0]), (m[1, 2], m[0, 2]), row, col, angle, width
    fingers = gripper.finger_thickness, across, margin, min_depth
    return _blocked(image, *places, *fingers, _ALONG, _ACROSS)
