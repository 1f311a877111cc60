"""The cross-entropy method: grasps drawn again and again from a mixture fitted to the best."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from plgp.methods.dexnet.grasps import CentreGrasps, join
from plgp.methods.dexnet.image import DexNetImage
from sim.errors import COUNT, POSITIVE, SHARE, check_numbers

FloatArray = NDArray[np.float64]
_GROUPING = 10  # rounds of k-means
Rate = Callable[[CentreGrasps], CentreGrasps]


@dataclass(frozen=True, kw_only=True)
class CrossEntropySettings:
    """How the method proceeds: the published settings of Dex-Net 4.0, parallel jaw.

    Attributes:
        rounds: Number of rounds after the seeds.
        samples: Number of grasps of a round.
        looked_at: Number of draws after which a round ends with fewer.
        elites: Share of the grasps to which the mixture is fitted.
        components: Number of the mixture's components, as a share of the elites.
        regularisation: Addend on the diagonals of the covariances of standardised features.
        jaws: Distance of the jaws in the features, metres.
    """

    rounds: int = 3
    samples: int = 64
    looked_at: int = 100
    elites: float = 0.25
    components: float = 0.4
    regularisation: float = 0.01
    jaws: float = 0.050

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        check_numbers("cross_entropy", self, dict.fromkeys(("rounds", "samples", "looked_at"), COUNT))
        limits = dict.fromkeys(("elites", "components"), SHARE) | dict.fromkeys(("regularisation", "jaws"), POSITIVE)
        check_numbers("cross_entropy", self, limits)


def improve(
    seeds: CentreGrasps, seen: DexNetImage, rate: Rate, *, settings: CrossEntropySettings, rng: np.random.Generator
) -> CentreGrasps:
    """Returns all grasps that were rated, with their qualities: the seeds and those of every round.

    Args:
        seeds: Grasps to start with.
        seen: The image in which they lie.
        rate: Function that returns grasps with their qualities.
        settings: How the method proceeds.
        rng: Source of all draws.
    """
    present = rate(seeds)
    rated = [present]
    for _ in range(settings.rounds if len(seeds) else 0):
        best = present[np.argsort(-present.quality, kind="stable")]
        elites = best[: int(np.ceil(settings.elites * len(best)))]
        drawn = _draw(elites, seen, settings, rng=rng)
        if len(drawn) == 0:
            break
        present = rate(drawn)
        rated.append(present)
    return join(rated)


def _draw(
    elites: CentreGrasps, seen: DexNetImage, settings: CrossEntropySettings, *, rng: np.random.Generator
) -> CentreGrasps:
    """Returns new grasps from a mixture that is fitted to the elites; those off the mask are left out."""
    s, focal = settings, float(seen.camera.intrinsics[0, 0])
    features = _features(elites, s.jaws * focal)
    mean, deviation = features.mean(axis=0), features.std(axis=0)
    deviation[deviation == 0] = 1e-6
    components = max(1, int(np.ceil(s.components * len(elites))))
    mixture = fit_mixture((features - mean) / deviation, components, rng, regularisation=s.regularisation)
    kept: list[CentreGrasps] = []
    count = looked_at = 0
    while count < s.samples and looked_at < s.looked_at:
        drawn = _grasps(mixture.draw(s.samples, rng) * deviation + mean)
        looked_at += len(drawn)
        good = drawn[_on_mask(drawn, seen)]
        kept.append(good)
        count += len(good)
    return join(kept)[: s.samples]


def _features(grasps: CentreGrasps, jaws: float) -> FloatArray:
    """Returns (N, 5): column and row of either jaw, pixels, and the depth, metres; ``jaws`` in metre pixels."""
    half = jaws / grasps.depth / 2
    x, y = half * np.cos(grasps.angle), -half * np.sin(grasps.angle)
    return np.column_stack([grasps.col - x, grasps.row - y, grasps.col + x, grasps.row + y, grasps.depth])


def _grasps(features: FloatArray) -> CentreGrasps:
    """Returns the grasps of ``_features``; a centre is a whole pixel."""
    line = features[:, 2:4] - features[:, :2]
    centre = np.floor((features[:, 2:4] + features[:, :2]) / 2)
    angle = np.arctan2(-line[:, 1], line[:, 0]) % np.pi
    return CentreGrasps(centre[:, 1], centre[:, 0], angle, features[:, 4], np.zeros(len(features)))


def _on_mask(grasps: CentreGrasps, seen: DexNetImage) -> NDArray[np.bool_]:
    """Returns which grasps have their centre at a pixel of the image where one may lie, and before the camera."""
    high, wide = seen.allowed.shape
    row, col = grasps.row.astype(np.int64), grasps.col.astype(np.int64)
    inside = (row >= 0) & (row < high) & (col >= 0) & (col < wide) & (grasps.depth > 0)
    shown: NDArray[np.bool_] = seen.allowed[np.clip(row, 0, high - 1), np.clip(col, 0, wide - 1)]
    on_mask: NDArray[np.bool_] = inside & shown
    return on_mask


@dataclass(frozen=True)
class Mixture:
    """A mixture of K normal distributions in D dimensions.

    Attributes:
        weights: (K,) float64, sum 1.
        means: (K, D) float64.
        covariances: (K, D, D) float64.
    """

    weights: FloatArray
    means: FloatArray
    covariances: FloatArray

    def draw(self, count: int, rng: np.random.Generator) -> FloatArray:
        """Returns (count, D) draws."""
        component = rng.choice(len(self.weights), count, p=self.weights)
        roots = np.linalg.cholesky(self.covariances)
        noise = rng.standard_normal((count, self.means.shape[1]))
        drawn: FloatArray = self.means[component] + np.einsum("nij,nj->ni", roots[component], noise)
        return drawn

    def log_densities(self, points: FloatArray) -> FloatArray:
        """Returns (N, K) logarithms of each component's share of the density at points (N, D)."""
        offset = points[:, None] - self.means[None]
        spread = np.linalg.solve(self.covariances[None], offset[..., None])[..., 0]
        _, volume = np.linalg.slogdet(2 * np.pi * self.covariances)
        logs: FloatArray = np.log(self.weights)[None] - ((offset * spread).sum(axis=2) + volume[None]) / 2
        return logs


def fit_mixture(
    points: FloatArray, components: int, rng: np.random.Generator, *, regularisation: float, rounds: int = 100
) -> Mixture:
    """Returns a mixture of normal distributions with full covariances, by expectation and maximisation.

    It starts from k-means' groups, with equal weights, as the published policy's mixture does.

    Args:
        points: (N, D) float64.
        components: Number of components, at most N.
        rng: Source of the first centres.
        regularisation: Addend on the covariances' diagonals.
        rounds: Greatest number of rounds; it ends where the mean log-likelihood gains less than 1e-3.
    """
    centres = points[rng.choice(len(points), components, replace=False)]
    shares = np.eye(components)[_nearest(points, centres)]
    for _ in range(_GROUPING):
        size = shares.sum(axis=0)[:, None]
        centres = np.where(size > 0, shares.T @ points / np.maximum(size, 1), centres)
        shares = np.eye(components)[_nearest(points, centres)]
    mixture = replace(_maximise(points, shares, regularisation), weights=np.full(components, 1 / components))
    before = -np.inf
    for _ in range(rounds):
        logs = mixture.log_densities(points)
        total = logsumexp(logs, axis=1, keepdims=True)
        mixture = _maximise(points, np.exp(logs - total), regularisation)
        if float(total.mean()) - before < 1e-3:
            break
        before = float(total.mean())
    return mixture


def _nearest(points: FloatArray, centres: FloatArray) -> NDArray[np.int64]:
    """Returns the nearest of (K, D) centres to each of (N, D) points."""
    nearest: NDArray[np.int64] = np.argmin(((points[:, None] - centres[None]) ** 2).sum(axis=2), axis=1)
    return nearest


def _maximise(points: FloatArray, shares: FloatArray, regularisation: float) -> Mixture:
    """Returns the mixture that fits points (N, D) best, of which each component has (N, K) shares."""
    total = shares.sum(axis=0) + 1e-12
    means = shares.T @ points / total[:, None]
    offset = points[:, None] - means[None]
    covariances = np.einsum("nk,nki,nkj->kij", shares, offset, offset) / total[:, None, None]
    covariances += regularisation * np.eye(points.shape[1])
    return Mixture(total / total.sum(), means, covariances)
