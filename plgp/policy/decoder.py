"""From dense maps to ranked grasps that a gripper can execute: local maxima, and the shared depth rule."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from plgp.targets import GraspMaps
from sim.camera import PinholeCamera
from sim.compiled import compiled
from sim.errors import InputError
from sim.grasp import PixelGrasps, bin_to_angle, deepest_free_depth
from sim.gripper import GripperGeometry

# A score of 0 would not be told from a forbidden pixel's.
_LEAST_SCORE = 1e-12
_WIDENINGS = (0.02, 0.04, 0.06, 0.08)  # metres
_ACROSS = np.array([-0.9, 0.0, 0.9])  # probes over half of a finger's width ...
_ALONG = np.array([0.1, 0.5, 0.9])  # ... and over its thickness


@dataclass(frozen=True)
class DecoderSettings:
    """How maps become grasps; lengths in metres unless they end in _px.

    Attributes:
        smoothing_px: Standard deviation of a Gaussian over the quality map; 0 leaves it alone.
        suppression_px: A grasp is kept where no better one lies within this distance (square
            window). Only where too few remain is it halved, and given up at last.
        extra_opening: Added to the predicted width, up to the gripper's L4. Only where too few
            grasps remain even so are wider openings tried.
        min_depth: Grasps that can go less deep are dropped.
        margin: Kept free on every side of a finger; the labels' own is 2.5 mm.
        depth_margin: Kept free under fingers and palm, at most half of the free way: the depth is noisy.
        pool: At most as many candidates are tried for each distance, best first.
    """

    smoothing_px: float = 0.0
    suppression_px: int = 4
    extra_opening: float = 0.010
    min_depth: float = 0.005
    margin: float = 0.0025
    depth_margin: float = 0.007
    pool: int = 10_000

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        for f in fields(self):
            if not getattr(self, f.name) >= 0:
                raise InputError(f"decoder.{f.name} is {getattr(self, f.name)}; give a number that is not negative")


@dataclass(frozen=True)
class Workspace:
    """A box outside of which no grasp's surface point may lie: tray walls attract grasps.

    Attributes:
        minimum: Least x, y, z, metres.
        maximum: Greatest x, y, z, metres.
        frame: "world" (through the observation's camera pose) or "camera".
    """

    minimum: tuple[float, float, float]
    maximum: tuple[float, float, float]
    frame: str = "world"

    def mask(self, depth: NDArray[np.floating], camera: PinholeCamera) -> NDArray[np.bool_]:
        """Returns (H, W) bool: pixels with a depth whose surface point lies in the box."""
        if self.frame not in ("world", "camera"):
            raise InputError(f"workspace.frame is '{self.frame}'; choose world or camera")
        m = camera.intrinsics
        y = (np.arange(depth.shape[0])[:, None] - m[1, 2]) / m[1, 1]
        x = (np.arange(depth.shape[1])[None] - m[0, 2] - m[0, 1] * y) / m[0, 0]
        pose = camera.pose if self.frame == "world" else np.eye(4)
        result = depth > 0
        for axis in range(3):
            ray = (pose[axis, 0] * x + pose[axis, 1] * y + pose[axis, 2]).astype(np.float32)
            place = ray * depth + np.float32(pose[axis, 3])
            result &= (place >= self.minimum[axis]) & (place <= self.maximum[axis])
        return result


def decode(
    maps: GraspMaps,
    depth: NDArray[np.floating],
    camera: PinholeCamera,
    gripper: GripperGeometry,
    count: int,
    settings: DecoderSettings | None = None,
    allowed: NDArray[np.bool_] | None = None,
    logits: bool = False,
) -> PixelGrasps:
    """Returns up to ``count`` executable grasps, best first.

    A pixel's score is its quality times its best angle's; its width is that angle's. Candidates
    are local maxima of the score, of equal ones those that a fixed shuffle of the pixels puts
    first; the shared depth rule says how deep each can go, and those for which it knows no depth,
    or too little, are dropped. Where fewer than ``count`` are found, others are tried that lie closer
    or open wider than predicted; one of those may be the best, so a longer list can begin with another grasp.

    Args:
        maps: One image's maps: (1, 1, H, W), (1, K, H, W), (1, K, H, W).
        depth: (H, W) floating, metres, 0 = missing.
        camera: Its camera.
        gripper: Its L4 is the unit of the width map.
        count: How many.
        settings: How to decode.
        allowed: (H, W) bool, where grasps may lie; None is everywhere.
        logits: Whether the maps are a network's logits, not probabilities: the sigmoid is then
            taken only where it is needed, of some values in 37.
    """
    search = _Search(maps, depth, camera, gripper, settings or DecoderSettings(), allowed, logits)
    chosen: list[PixelGrasps] = []
    found = 0
    for radius, widening in _stages(search.rules, gripper.max_opening):
        pixels = search.candidates(radius, widening)
        start, step = 0, 4 * count
        while start < len(pixels) and found < count:
            some = search.executable(pixels[start : start + step], widening)[: count - found]
            search.take(some)
            chosen.append(some)
            found += len(some)
            start, step = start + step, 2 * step
        if found >= count:
            break
    if not chosen:
        return PixelGrasps(**{f.name: np.zeros(0) for f in fields(PixelGrasps)})  # type: ignore[arg-type]
    merged = {f.name: np.concatenate([getattr(c, f.name) for c in chosen]) for f in fields(PixelGrasps)}
    grasps = PixelGrasps(**merged)
    return grasps[np.argsort(-grasps.quality, kind="stable")]


def _stages(rules: DecoderSettings, max_opening: float) -> list[tuple[int, float]]:
    """Returns (suppression radius in pixels, metres more than the usual opening), in the order of trying."""
    radii = [rules.suppression_px]
    while radii[-1]:
        radii.append(radii[-1] // 2)
    return [(r, 0.0) for r in radii] + [(rules.suppression_px, w) for w in _WIDENINGS if w < max_opening]


class _Search:
    """One image's scores, and which pixels were taken or tried so far."""

    def __init__(
        self,
        maps: GraspMaps,
        depth: NDArray[np.floating],
        camera: PinholeCamera,
        gripper: GripperGeometry,
        rules: DecoderSettings,
        allowed: NDArray[np.bool_] | None,
        logits: bool,
    ) -> None:
        self.depth, self.camera, self.gripper, self.rules = depth, camera, gripper, rules
        quality = torch.sigmoid(maps.quality.float()) if logits else maps.quality.float()
        best, angle_bin = maps.angle[0].max(dim=0)
        best = torch.sigmoid(best.float()) if logits else best.float()
        score = (_smooth(quality, rules.smoothing_px)[0, 0] * best).clamp(min=_LEAST_SCORE).cpu().numpy()
        usable = depth > 0 if allowed is None else (depth > 0) & allowed
        self.score: NDArray[np.float32] = np.where(usable, score, np.float32(0))
        self.angle_bin, self.bins = angle_bin.cpu().numpy(), maps.angle.shape[1]
        self.width, self.logits = maps.width[0], logits
        self.taken = np.zeros(depth.size, dtype=bool)
        self._tried: dict[float, NDArray[np.bool_]] = {}
        self._peaks: dict[int, NDArray[np.int64]] = {}

    def candidates(self, radius: int, widening: float) -> NDArray[np.int64]:
        """Returns the flat pixels worth trying, best first: neither taken, nor tried with this opening."""
        if radius not in self._peaks:
            self._peaks[radius] = best_peaks(self.score, radius, self.rules.pool)
        pixels = self._peaks[radius]
        tried = self._tried.setdefault(widening, np.zeros(self.taken.shape, dtype=bool))
        return pixels[~(self.taken[pixels] | tried[pixels])]

    def executable(self, pixels: NDArray[np.int64], widening: float) -> PixelGrasps:
        """Returns the grasps at some pixels that can go at least ``min_depth`` deep, in their order."""
        self._tried[widening][pixels] = True
        row, col = np.divmod(pixels, self.depth.shape[1])
        k = self.angle_bin[row, col]
        predicted = self.width[k, row, col].float()
        predicted = torch.sigmoid(predicted) if self.logits else predicted
        share = predicted.cpu().numpy().astype(np.float64)
        opening = self.gripper.max_opening
        width = np.clip(share * opening + (self.rules.extra_opening + widening), 0, opening)
        angle = bin_to_angle(k, self.bins)
        clear = ~blocked(self.depth, self.camera, self.gripper, row, col, angle, width, self.rules)
        row, col, angle, width = row[clear], col[clear], angle[clear], width[clear]
        free = deepest_free_depth(
            self.depth,
            self.camera,
            self.gripper,
            row,
            col,
            angle,
            width,
            margin=self.rules.margin,
            depth_margin=self.rules.depth_margin,
        )
        score = self.score[row, col].astype(np.float64)
        deep = np.nan_to_num(free, nan=-1.0) >= self.rules.min_depth
        return PixelGrasps(row, col, free, angle, width, score)[deep]

    def take(self, grasps: PixelGrasps) -> None:
        """Marks grasps as part of the answer."""
        self.taken[grasps.row * self.depth.shape[1] + grasps.col] = True


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
def _shuffled(pixel):
    """Returns a pixel's place in a fixed shuffle (Knuth's multiplicative hash, one to one on 32 bits)."""
    return (pixel * 2654435761) & 0xFFFFFFFF


@compiled
def _local_maxima(score, radius):
    height, width = score.shape
    found = np.empty(height * width, np.int64)
    count = 0
    for row in range(height):
        for col in range(width):
            value = score[row, col]
            if value <= 0:
                continue
            own, highest = row * width + col, True
            for r in range(max(0, row - radius), min(height, row + radius + 1)):
                for c in range(max(0, col - radius), min(width, col + radius + 1)):
                    other = score[r, c]
                    tied = other == value and _shuffled(r * width + c) < _shuffled(own)
                    if other > value or tied:
                        highest = False
                        break
                if not highest:
                    break
            if highest:
                found[count] = own
                count += 1
    return found[:count]


def best_peaks(score: NDArray[np.float32], radius: int, limit: int) -> NDArray[np.int64]:
    """Returns the best ``limit`` local maxima above 0, best first.

    Of equal scores, that pixel counts as better which comes first in a fixed shuffle of the
    pixels: so a flat map favours no corner of the image, and is thinned out like any other.

    Args:
        score: (H, W) float32.
        radius: Half the side of the square window, pixels; 0 makes every pixel a maximum.
        limit: How many at most.

    Returns:
        (N,) int64 flat pixels, row * W + column.
    """
    pixels = _local_maxima(score, radius) if radius else np.flatnonzero(score > 0)
    values = score.ravel()[pixels]
    if 0 < limit < len(pixels):  # those that stand no chance need not be sorted
        least = np.partition(values, len(values) - limit)[len(values) - limit]
        pixels, values = pixels[values >= least], values[values >= least]
    return pixels[np.lexsort(((pixels * 2654435761) & 0xFFFFFFFF, -values))][:limit]


@compiled
def _blocked(depth, focal, centre, rows, cols, angles, widths, thickness, across, margin, min_depth, along, sideways):
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
    gripper: GripperGeometry,
    row: NDArray[np.int64],
    col: NDArray[np.int64],
    angle: NDArray[np.float64],
    width: NDArray[np.float64],
    rules: DecoderSettings,
) -> NDArray[np.bool_]:
    """Returns (N,) bool: grasps of which a few pixels prove that they cannot go ``min_depth`` deep.

    Looks at 18 pixels under the fingers in place of the thousands that ``deepest_free_depth``
    looks at; what it says of them is what that rule would say, so it drops nothing that the rule
    would keep.

    Args:
        depth: (H, W) floating, metres, 0 = missing.
        camera: Its camera.
        gripper: Its fingers count.
        row: (N,) rows.
        col: (N,) columns.
        angle: (N,) radians.
        width: (N,) metres between the inner finger faces.
        rules: Their ``margin`` and ``min_depth`` count.
    """
    m = camera.intrinsics
    across = gripper.finger_width / 2 + rules.margin
    image = np.ascontiguousarray(depth, dtype=np.float32)
    places = (m[1, 1], m[0, 0]), (m[1, 2], m[0, 2]), row, col, angle, width
    fingers = gripper.finger_thickness, across, rules.margin, rules.min_depth
    return cast(NDArray[np.bool_], _blocked(image, *places, *fingers, _ALONG, _ACROSS))
