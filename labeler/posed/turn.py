"""By how much is an object turned from where the depth shows it, and how surely does the depth say so?

A turn of 3 degrees moves the surface of a thing as large as a hand by 1 to 2 mm: no more than the noise of a pixel, but
hundreds of pixels show it. So shift and turn are found by least squares over all of them. What a small move changes is
found by rendering it, so that outlines count as surfaces do. Where a turn changes nothing, as a can's about its axis,
none is returned.
Noise of depth cameras is smooth, and smooth noise leans surfaces. How far it leans this object's is told by how the
noise of the same picture goes together over pixels.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.spatial.transform import Rotation

from labeler.posed.fit import Comparison, FloatImage
from sim.geometry import FloatArray

_SURE = 3.5  # standard deviations that a turn must exceed
_PROBES = (0.004, 0.003, 0.003, 0.003)  # metres that the rim is moved by to see what changes: a round each
_TRUSTED = 2  # rounds before what is left over outlines is taken for their noise
_STILL = 1e-4  # metres: a shorter step is the last
_DAMPING = 0.001  # share of the compared pixels; holds still what the picture hardly shows
_FARTHEST = 0.010  # metres: moves are about as large at most
# Mean square change of an object's depth by turns about an axis, over the rim's move squared, from which they are seen.
_SEEN = 0.2  # facets of a can or a sphere that is turned about its axis change up to 0.12, a bar about its length 0.33
_STEEP = 1.5  # change of depth by sideways moves, above which a pixel is an outline's
_RIM = 5  # pixels beside outlines, whose errors are not those of surfaces
_WITHIN = 0.010  # metres: what differs by more is no noise
_LAGS = 96  # pixels over which noise is followed
_FEWEST = 100  # pairs of pixels that a lag's covariance needs
_FLOOR = 3e-4  # metres: errors of meshes and roundings that any picture has
_NEAR = np.r_[0:_LAGS, -_LAGS:0]


def noise_covariance(rendered: FloatImage, mask: NDArray[np.integer], measured: FloatImage) -> FloatArray:
    """Returns how a picture's noise goes together over pixels: its autocovariance.

    Mean and slope of each surface are taken away first: the error of a pose, or of the table, is no noise.

    Args:
        rendered: (H, W) rendered depth, metres.
        mask: (H, W) rendered mask, objects 1 ... N, 0 all else.
        measured: (H, W) measured depth, metres, 0 = missing.

    Returns:
        (192, 192) float64, squared metres; that of lag (r, c), pixels, at [r, c], negative ones from the end.
    """
    steps = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((2 * _RIM + 1, 2 * _RIM + 1), np.uint8))
    errors = measured - rendered
    usable = (measured > 0) & (rendered > 0) & (np.abs(errors) < _WITHIN) & (steps == 0)
    noise = np.zeros(mask.shape, np.float32)
    for surface in np.unique(mask[usable]):
        rows, cols = np.nonzero(usable & (mask == surface))
        values = errors[rows, cols].astype(np.float64)
        plane = np.stack([np.ones(len(rows)), rows - rows.mean(), cols - cols.mean()])
        noise[rows, cols] = values - np.linalg.lstsq(plane @ plane.T, plane @ values, rcond=None)[0] @ plane
    size = [fft.next_fast_len(n + _LAGS, real=True) for n in mask.shape]
    sums, pairs = (
        fft.irfft2(np.square(s.real) + np.square(s.imag), size)[np.ix_(_NEAR % size[0], _NEAR % size[1])]
        for s in (fft.rfft2(image.astype(np.float32), size) for image in (noise, usable))
    )
    fade = 1 - np.abs(_NEAR) / _LAGS
    result = np.where(pairs > _FEWEST, sums / np.maximum(pairs, _FEWEST), 0) * np.outer(fade, fade)
    result[0, 0] += _FLOOR**2
    return np.asarray(result, np.float64)


def best_turn(comparison: Comparison, vertices: FloatArray, noise: FloatArray) -> tuple[float, float]:
    """Turns and moves an object to where its rendering fits best.

    Args:
        comparison: The object's surroundings.
        vertices: (V, 3) of the object, camera frame, metres.
        noise: Autocovariance of the picture's noise, of ``noise_covariance``.

    Returns:
        The part of the turn that noise does not explain, and the turn's standard deviation by noise about the axis of
        its greatest, radians. Axes about which no turn shows are left aside; 0 and NaN where none is left.
    """
    middle = (vertices.max(axis=0) + vertices.min(axis=0)) / 2
    radius = max(float(np.linalg.norm(vertices - middle, axis=1).max()), 1e-3)

    def differences(move: FloatArray) -> FloatArray:
        turn = np.asarray(Rotation.from_rotvec(move[3:] / radius).as_matrix(), np.float64)
        return comparison.differences((vertices - middle) @ turn.T + middle + move[:3]).astype(np.float64)

    around = np.ones((2 * _RIM + 1, 2 * _RIM + 1), np.uint8)
    inner = cv2.erode(comparison.mask.astype(np.uint8), around)[comparison.compared] > 0
    deviation = float(np.sqrt(noise[0, 0]))
    damping = max(_DAMPING * len(inner), float(noise.sum()) / _FARTHEST**2)
    move, here, weights = np.zeros(6), differences(np.zeros(6)), np.ones(len(inner))
    slopes = np.zeros((6, len(inner)))
    for i, probe in enumerate(_PROBES):
        slopes = np.stack([differences(move + e) - differences(move - e) for e in probe * np.eye(6)]) / (2 * probe)
        if i >= _TRUSTED:
            weights = _weights(here, slopes, inner, deviation)
        step = -np.linalg.solve(_normal(slopes, weights, damping), slopes @ (weights * here) + damping * move)
        cost = weights @ here**2 + damping * move @ move
        for shorter in (1.0, 0.5, 0.25):
            there = differences(move + shorter * step)
            if weights @ there**2 + damping * np.square(move + shorter * step).sum() < cost:
                move, here = move + shorter * step, there
                break
        else:
            break
        if i >= _TRUSTED and np.linalg.norm(step) < _STILL:
            break
    weights = _weights(here, slopes, inner, deviation)
    images = np.zeros((6, *comparison.compared.shape))
    images[:, comparison.compared] = slopes * np.sqrt(weights)  # a pixel of weight w errs by the noise over sqrt(w)
    inverse = np.linalg.inv(_normal(slopes, weights, damping))
    covariance = (inverse @ _spread(images, noise) @ inverse)[3:, 3:] / radius**2
    changes, seen = np.linalg.eigh(slopes[3:] @ slopes[3:].T / max(1, int(comparison.mask.sum())))
    seen = seen[:, changes > _SEEN]
    if not seen.size:
        return 0.0, np.nan
    squares, axes = np.linalg.eigh(seen.T @ covariance @ seen)
    errors, turns = np.sqrt(np.maximum(squares, 0)), move[3:] / radius @ seen @ axes
    return float(np.linalg.norm(turns[np.abs(turns) > _SURE * errors])), float(errors.max())


def _normal(slopes: FloatArray, weights: FloatArray, damping: float) -> FloatArray:
    """Returns the matrix of the damped normal equations, (6, 6)."""
    return np.asarray((slopes * weights) @ slopes.T + damping * np.eye(6), np.float64)


def _weights(
    differences: FloatArray, slopes: FloatArray, inner: NDArray[np.bool_], deviation: float
) -> NDArray[np.float64]:
    """Returns each pixel's weight: 1 where it errs as the picture's noise does, less where what is left is more.

    Outlines err by more than surfaces where a camera softens or loses them. Within an object more is left where its
    mesh is not true.

    Args:
        differences: (P,) that are left, metres.
        slopes: (6, P) change of these by moves.
        inner: (P,) which pixels lie well within the object.
        deviation: Standard deviation of the picture's noise, metres.
    """
    steep = np.hypot(slopes[0], slopes[1]) > _STEEP
    plain = differences[inner & ~steep & (np.abs(differences) < _WITHIN)]
    surface = max(deviation, float(np.sqrt(np.square(plain).mean())) if len(plain) else 0.0)
    outline = max(surface, float(np.sqrt(np.square(differences[steep]).mean())) if steep.any() else 0.0)
    return np.where(steep, deviation / outline, deviation / surface) ** 2


def _spread(images: FloatArray, noise: FloatArray) -> FloatArray:
    """Returns the covariance, (K, K), of the sums of noise over a picture, weighted by images (K, h, w)."""
    size = [fft.next_fast_len(max(n + _LAGS, 2 * _LAGS)) for n in images.shape[1:]]
    lags = np.zeros(size)
    lags[np.ix_(_NEAR, _NEAR)] = noise
    power = np.sqrt(np.maximum(fft.fft2(lags).real, 0)).astype(np.float32)  # a true spectrum is never negative
    spectra = (fft.fft2(images.astype(np.float32), size) * power).reshape(len(images), -1)
    return np.asarray((spectra @ spectra.conj().T).real / power.size, np.float64)
