"""Grasps to learn from in one image: labels as Dex-Net describes grasps, near misses of them, and grasps anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from labeler.labels import GraspLabels
from plgp.methods.dexnet.grasps import CentreGrasps, join
from plgp.methods.dexnet.image import DexNetImage
from sim.view import Observation

FloatArray = NDArray[np.float64]

_SHALLOWER, _DEEP_ENOUGH = 0.004, 0.010  # metres: a label this deep is as good a little shallower
_DEEPER = (0.010, 0.030)  # metres below a label that find no room
_BELOW = (0.005, 0.050)  # metres below the surface of grasps anywhere
_NEAR_PX, _NEAR_DEPTH = 4.0, 0.010  # pixels and metres within which a label may speak for a grasp


@dataclass(frozen=True)
class LabelledGrasps:
    """The labels of one image as Dex-Net describes grasps.

    Attributes:
        grasps: The labels' centres, quality 1.
        depth: (N,) float64, how far the tips go below the surface, metres.
        width: (N,) float64, opening, metres.
        bins: Number of the labels' angle bins.
        focal: Focal length of the image in which the grasps lie, pixels.
    """

    grasps: CentreGrasps
    depth: FloatArray
    width: FloatArray
    bins: int
    focal: float

    def drawn(self, count: int, rng: np.random.Generator) -> CentreGrasps:
        """Returns up to ``count`` labels: each at an angle within its bin, deep ones up to 4 mm shallower."""
        chosen = rng.choice(len(self.grasps), min(count, len(self.grasps)), replace=False)
        grasps, half = self.grasps[chosen], np.pi / self.bins / 2
        shallower = np.where(self.depth[chosen] >= _DEEP_ENOUGH, rng.uniform(0, _SHALLOWER, len(chosen)), 0.0)
        angle = (grasps.angle + rng.uniform(-half, half, len(chosen))) % np.pi
        return replace(grasps, angle=angle, depth=grasps.depth - shallower)

    def near_misses(self, count: int, rng: np.random.Generator) -> CentreGrasps:
        """Returns ``count`` labels that were spoilt: turned by 30 to 90 degrees, moved along the axis, or too deep."""
        if len(self.grasps) == 0:
            return self.grasps
        chosen = rng.integers(len(self.grasps), size=count)
        grasps, kind = self.grasps[chosen], rng.integers(3, size=count)
        turn = rng.uniform(np.pi / 6, np.pi / 2, count) * rng.choice([-1, 1], count)
        share = rng.uniform(0.5, 1.0, count) * rng.choice([-1, 1], count)
        shift = share * self.width[chosen] * self.focal / grasps.depth
        return CentreGrasps(
            grasps.row - np.where(kind == 1, shift * np.sin(grasps.angle), 0),
            grasps.col + np.where(kind == 1, shift * np.cos(grasps.angle), 0),
            np.where(kind == 0, grasps.angle + turn, grasps.angle) % np.pi,
            grasps.depth + np.where(kind == 2, rng.uniform(*_DEEPER, count), 0),
            np.zeros(count),
        )

    def without(self, grasps: CentreGrasps) -> NDArray[np.bool_]:
        """Returns which grasps no label speaks for: none within 4 px, a bin and 10 mm of depth."""
        if len(self.grasps) == 0 or len(grasps) == 0:
            return np.ones(len(grasps), np.bool_)
        own, asked = (np.column_stack([g.row, g.col]) for g in (self.grasps, grasps))
        alone = np.ones(len(grasps), np.bool_)
        for i, near in enumerate(cKDTree(own).query_ball_point(asked, _NEAR_PX)):
            turn = np.abs((self.grasps.angle[near] - grasps.angle[i] + np.pi / 2) % np.pi - np.pi / 2)
            deeper = np.abs(self.grasps.depth[near] - grasps.depth[i])
            alone[i] = not ((turn <= 1.01 * np.pi / self.bins) & (deeper < _NEAR_DEPTH)).any()
        return alone


def label_grasps(
    labels: GraspLabels, clean: Observation, seen: DexNetImage, *, bins: int, tip_offset: float
) -> LabelledGrasps:
    """Returns an image's labels as Dex-Net describes grasps.

    A label says how far the *tips* go below the surface that its pixel shows without noise. Dex-Net's grasp is the
    middle of the contacts, ``tip_offset`` above the tips, and the pixel at which that appears.

    Args:
        labels: Labels of the image.
        clean: The image without noise, on which they were made.
        seen: The image in which the grasps are to lie.
        bins: Number of the labels' angle bins.
        tip_offset: Distance of the finger tips below the middle of the contacts, metres.
    """
    pixel = labels.to_pixel_grasps(bins)
    middle = pixel.to_poses(clean.depth, clean.camera).translation - [0.0, 0.0, tip_offset]
    row, col, _ = seen.camera.project(middle)
    grasps = CentreGrasps(row, col, pixel.angle, middle[:, 2], np.ones(len(row)))
    focal = float(seen.camera.intrinsics[0, 0])
    return LabelledGrasps(grasps, pixel.depth, pixel.width, bins, focal)


def grasps_anywhere(seen: DexNetImage, count: int, rng: np.random.Generator) -> CentreGrasps:
    """Returns ``count`` grasps at pixels where one may lie, at any angle, 5 to 50 mm below the surface."""
    rows, cols = np.nonzero(seen.allowed)
    chosen = rng.integers(len(rows), size=count)
    row, col = rows[chosen], cols[chosen]
    depth = seen.depth[row, col].astype(np.float64) + rng.uniform(*_BELOW, count)
    return CentreGrasps(row.astype(float), col.astype(float), rng.uniform(0, np.pi, count), depth, np.zeros(count))


def named_pools(parts: Sequence[tuple[str, CentreGrasps]]) -> tuple[CentreGrasps, NDArray[np.str_]]:
    """Returns several sets of grasps as one, and the name of the set that each comes from."""
    names = np.concatenate([np.full(len(grasps), name) for name, grasps in parts])
    return join([grasps for _, grasps in parts]), names
