"""The best fit of an object to the depth: where would its rendering differ least from what the camera measured?"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sim.camera import PinholeCamera
from sim.geometry import FloatArray
from sim.render.rasteriser import rasterise_pinhole

_CAP = 0.015  # metres: what differs by more is another surface, however far
_STEPS = (0.004, 0.002, 0.001)  # metres that an object's rim is moved by at a time
_SWEEPS = 4  # steps of each length at most
_BAND = 0.012  # metres around the object that are compared: there it would stand instead
_WORTH = 0.995  # factor on the misfit below which a step is taken

FloatImage = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The part of a picture in which an object is compared with the measured depth.

    Attributes:
        camera: Camera of that part alone; its pose is not used.
        faces: (F, 3) vertex indices of the object.
        mask: (h, w) pixels on which it is rendered.
        measured: (h, w) measured depth, metres, 0 = missing.
        rest: (h, w) rendered depth of all else, metres, infinite where there is nothing.
        compared: (h, w) pixels that are compared, P of them.
    """

    camera: PinholeCamera
    faces: NDArray[np.int32]
    mask: NDArray[np.bool_]
    measured: FloatImage
    rest: FloatImage
    compared: NDArray[np.bool_]

    def differences(self, vertices: FloatArray) -> FloatImage:
        """Returns rendered minus measured depth, (P,) metres within 15 mm, with the object's vertices at these places.

        Args:
            vertices: (V, 3), camera frame, metres.
        """
        depth, _ = rasterise_pinhole(self.camera, vertices, self.faces)
        whole = np.minimum(np.where(depth > 0, depth, np.float32(np.inf)), self.rest)
        return np.asarray(np.clip((whole - self.measured)[self.compared], -_CAP, _CAP), np.float32)


def compare_around(
    camera: PinholeCamera,
    vertices: FloatArray,
    faces: NDArray[np.int32],
    *,
    mask: NDArray[np.bool_],
    measured: FloatImage,
    rest: FloatImage,
) -> Comparison:
    """Returns the comparison of an object and what lies close around it.

    Args:
        camera: The camera.
        vertices: (V, 3) of the object, camera frame, metres.
        faces: (F, 3) vertex indices.
        mask: (H, W) pixels on which it is rendered.
        measured: (H, W) measured depth, metres, 0 = missing.
        rest: (H, W) rendered depth of all else, metres, 0 = nothing.
    """
    reach = max(3, round(_BAND * camera.intrinsics[0, 0] / float(np.median(vertices[:, 2]))))
    band = cv2.dilate(mask.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) > 0
    rows, cols = np.nonzero(band)
    cut = slice(rows.min(), rows.max() + 1), slice(cols.min(), cols.max() + 1)
    m = camera.intrinsics.copy()
    m[0, 2] -= cut[1].start
    m[1, 2] -= cut[0].start
    return Comparison(
        camera=PinholeCamera(cut[1].stop - cut[1].start, cut[0].stop - cut[0].start, m),
        faces=faces,
        mask=mask[cut],
        measured=measured[cut],
        rest=np.where(rest[cut] > 0, rest[cut], np.float32(np.inf)),
        compared=band[cut] & (measured[cut] > 0),
    )


def best_shift(comparison: Comparison, vertices: FloatArray) -> tuple[float, float]:
    """Moves an object, in small steps, to where its rendering fits best.

    Args:
        comparison: The object's surroundings.
        vertices: (V, 3) of the object, camera frame, metres.

    Returns:
        Mean shift of its vertices, metres, and the share of the misfit that it takes away.
    """

    def misfit(points: FloatArray) -> float:
        return float(np.abs(comparison.differences(points)).mean())

    now, start = vertices, misfit(vertices)
    least = start
    radius = float(np.linalg.norm(vertices - vertices.mean(axis=0), axis=1).max())
    for step in _STEPS:
        for _ in range(_SWEEPS):
            tried = [(misfit(p), i, p) for i, p in enumerate(_moved(now, step, radius))]
            best = min(tried, key=lambda t: t[:2])
            if best[0] >= least * _WORTH:
                break
            least, now = best[0], best[2]
    return float(np.linalg.norm(now - vertices, axis=1).mean()), 1 - least / start if start > 0 else 0.0


def _moved(vertices: FloatArray, step: float, radius: float) -> list[FloatArray]:
    """Returns an object moved along and turned about every axis, both ways."""
    middle = vertices.mean(axis=0)
    result: list[FloatArray] = []
    for axis in np.eye(3):
        for sign in (-step, step):
            turn = np.asarray(Rotation.from_rotvec(sign / max(radius, 1e-3) * axis).as_matrix(), np.float64)
            result += [vertices + sign * axis, (vertices - middle) @ turn.T + middle]
    return result
