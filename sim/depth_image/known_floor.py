"""The main plane in place of its own noise: what a plane's many pixels say together is truer than each alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.camera import PinholeCamera
from sim.depth_image.main_plane import MainPlane

_SPREAD = 2.5  # times the plane's scatter, within which a pixel is taken for the plane's
_MOST = 0.010  # metres: what stands higher is a thing, whatever the noise


def with_known_floor(
    depth: NDArray[np.floating], camera: PinholeCamera, plane: MainPlane, *, lowered: float = 0.0
) -> NDArray[np.float32]:
    """Returns a depth image whose pixels on the main plane lie on it exactly.

    A pixel is on the plane if its point is within 2.5 times the plane's scatter, 10 mm at most. Things that are lower
    than that count as the plane: with a camera whose noise is 1 mm, those under 2.5 mm.

    Args:
        depth: (H, W) floating, metres, 0 = missing.
        camera: The camera of the depth image.
        plane: The main plane, in the camera's frame.
        lowered: Distance below the plane at which these pixels are put, metres.

    Returns:
        (H, W) float32, metres, 0 = missing. All other pixels stay what they were.
    """
    ray = plane.rays(camera)
    image = np.asarray(depth, np.float32)
    within = min(_SPREAD * plane.scatter, _MOST)
    on_plane = (image > 0) & (np.abs(ray * image + plane.distance) < within)
    return np.where(on_plane, -(plane.distance + lowered) / np.minimum(ray, -1e-6), image).astype(np.float32)
