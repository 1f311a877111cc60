"""Pictures of a board in the form that the fits want."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from robot.calibration.park import Views, board_pose
from robot.calibration.samples import Sample

FloatArray = NDArray[np.float64]
Mount = Literal["flange", "base"]


def views_of(samples: Sequence[Sample], mount: Mount) -> Views:
    """Returns pictures as the fits want them.

    Args:
        samples: The pictures.
        mount: What carries the camera: "flange" or "base".
    """
    flanges = np.stack([s.flange for s in samples])
    carriers = np.asarray(flanges if mount == "flange" else np.linalg.inv(flanges), np.float64)
    return Views(carriers, [s.points for s in samples], [s.pixels for s in samples], [s.camera for s in samples])


def board_poses(views: Views) -> FloatArray:
    """Returns (N, 4, 4) float64 T_camera_board of each picture, metres."""
    return np.stack([board_pose(*given) for given in zip(views.points, views.pixels, views.cameras, strict=True)])
