"""Antipodal candidates on the edges of a depth image, as Dex-Net's policies start from."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from plgp.methods.dexnet.grasps import CentreGrasps
from plgp.methods.dexnet.image import DexNetImage
from sim.errors import COUNT, NOT_NEGATIVE, POSITIVE, check_numbers

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class SamplingSettings:
    """How antipodal pairs are found: the published settings of Dex-Net 4.0, but for the threshold.

    Attributes:
        count: Greatest number of candidates.
        smoothing_px: Standard deviation of the Gaussian over the depth, pixels.
        every_px: Step of the pixels among which edges are sought; an edge may lie so far beside the allowed pixels.
        edge_threshold: Gradient of an edge, metres a pixel of the image of every fourth pixel. 0.0025 is published:
            under the paper's depth noise it takes bare floor for edges.
        edges: Greatest number of edge pixels that are paired; more are thinned at random. Time grows with its square.
        friction: Coefficient mu of the cones around the edges' normals.
        max_width: Greatest distance of the contacts in space, metres.
        width_margin: Distance below the nearest point at which that is turned into pixels, metres.
        border_px: Distance of a centre from the image's border, pixels.
        pairs: Greatest number of pairs looked at.
        depths: Number of depths drawn for each pair.
        min_offset: Least depth below the surface at the centre, metres.
        max_offset: Greatest depth below it, metres.
    """

    count: int = 128
    smoothing_px: float = 1.0
    every_px: int = 4
    edge_threshold: float = 0.006
    edges: int = 2000
    friction: float = 1.0
    max_width: float = 0.050
    width_margin: float = 0.015
    border_px: int = 45
    pairs: int = 4000
    depths: int = 3
    min_offset: float = 0.015
    max_offset: float = 0.050

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        check_numbers("sampling", self, dict.fromkeys(("count", "every_px", "edges", "pairs", "depths"), COUNT))
        positive = ("edge_threshold", "friction", "max_width")
        check_numbers("sampling", self, dict.fromkeys(positive, POSITIVE))
        rest = ("smoothing_px", "width_margin", "border_px", "min_offset", "max_offset")
        check_numbers("sampling", self, dict.fromkeys(rest, NOT_NEGATIVE))


def sample_antipodal(seen: DexNetImage, settings: SamplingSettings, rng: np.random.Generator) -> CentreGrasps:
    """Returns random grasps whose fingers meet opposite edges, without a quality.

    With n the unit gradient of the depth at an edge, out of the object, and d from the first contact to the second,
    both -n1 . d and n2 . d exceed |d| cos(atan(mu)).

    Args:
        seen: The image.
        settings: How the pairs are found.
        rng: Source of the order of the pairs and of the depths.
    """
    s = settings
    smooth = cv2.GaussianBlur(seen.depth, (0, 0), s.smoothing_px) if s.smoothing_px > 0 else seen.depth
    first, second = _pairs(np.asarray(smooth, np.float64), seen, s, rng=rng)
    order = rng.permutation(len(first))[: s.pairs]
    first, second = first[order], second[order]
    middle = np.floor((first + second) / 2).astype(np.int64)
    high, wide = seen.depth.shape
    reach = np.array([high, wide]) - s.border_px
    inside = ((middle >= s.border_px) & (middle < reach)).all(axis=1)
    ends = [seen.camera.deproject(end[:, 0], end[:, 1], seen.depth[end[:, 0], end[:, 1]]) for end in (first, second)]
    fits = inside & (np.linalg.norm(ends[1] - ends[0], axis=1) <= s.max_width)
    first, second, middle = first[fits], second[fits], middle[fits]
    top = _least_around(seen.depth, middle)
    line = (second - first).astype(np.float64)
    chosen = np.repeat(np.arange(len(middle)), s.depths)[: s.count]
    below = rng.uniform(s.min_offset, max(s.min_offset, s.max_offset), len(chosen))
    angle = np.arctan2(-line[chosen, 0], line[chosen, 1]) % np.pi
    row, col = middle[chosen].T.astype(np.float64)
    return CentreGrasps(row, col, angle, top[chosen] + below, np.zeros(len(chosen)))


def _pairs(
    smooth: FloatArray, seen: DexNetImage, settings: SamplingSettings, *, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Returns antipodal pairs of edge pixels, (N, 2) row and column each, in a fixed order.

    Args:
        smooth: (H, W) float64, smoothed depth, metres.
        seen: The image itself.
        settings: How the pairs are found.
        rng: Source of the choice among too many edges.
    """
    s, step = settings, settings.every_px
    high, wide = smooth.shape
    size = (max(2, wide // step), max(2, high // step))
    coarse = cv2.resize(smooth, size, interpolation=cv2.INTER_LINEAR)
    edge = np.argwhere(np.hypot(*np.gradient(coarse)) > s.edge_threshold) * step
    edge = edge[(edge < [high, wide]).all(axis=1)]
    near = cv2.dilate(seen.allowed.astype(np.uint8), np.ones((2 * step + 1, 2 * step + 1), np.uint8)) > 0
    edge = edge[near[edge[:, 0], edge[:, 1]]]
    down, right = np.gradient(smooth, axis=0), np.gradient(smooth, axis=1)
    slope = np.column_stack([g[edge[:, 0], edge[:, 1]] for g in (down, right)])
    steep = np.linalg.norm(slope, axis=1)
    kept = np.nonzero(steep > 0)[0]
    if len(kept) > s.edges:
        kept = np.sort(rng.choice(kept, s.edges, replace=False))
    edge, slope = edge[kept], slope[kept]
    normal = slope / np.linalg.norm(slope, axis=1, keepdims=True)
    nearest = float(seen.depth[seen.allowed].min())
    widest = s.max_width * float(seen.camera.intrinsics[0, 0]) / (nearest + s.width_margin)
    offset = (edge[None] - edge[:, None]).astype(np.float64)
    distance = np.linalg.norm(offset, axis=2)
    cone = np.cos(np.arctan(s.friction))
    opposite = np.triu((normal @ normal.T < -cone) & (distance < widest) & (distance > 0), 1)
    i, j = np.nonzero(opposite)
    way = offset[i, j] / distance[i, j][:, None]
    inside = (-(normal[i] * way).sum(axis=1) > cone) & ((normal[j] * way).sum(axis=1) > cone)
    return edge[i[inside]], edge[j[inside]]


def _least_around(depth: NDArray[np.float32], pixels: NDArray[np.int64]) -> FloatArray:
    """Returns the least depth of the 2x2 pixels at each of (N, 2) pixels, metres."""
    high, wide = depth.shape
    row, col = np.clip(pixels[:, 0], 0, high - 1), np.clip(pixels[:, 1], 0, wide - 1)
    around = [depth[np.maximum(row - a, 0), np.maximum(col - b, 0)] for a in (0, 1) for b in (0, 1)]
    least: FloatArray = np.min(around, axis=0).astype(np.float64)
    return least
