"""Views of the board that make a calibration sharp."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sim.errors import InputError
from sim.geometry import look_at, make_pose

FloatArray = NDArray[np.float64]


def propose_poses(
    board: FloatArray,
    camera: FloatArray,
    rng: np.random.Generator,
    *,
    count: int = 20,
    distance: tuple[float, float] = (0.3, 0.45),
    tilt: tuple[float, float] = (0.5236, 0.7854),
) -> list[FloatArray]:
    """Returns flange poses that look at a board from all sides.

    Tilts of 30 degrees and more tell the camera's place from its distance; at 10 degrees the error is three times as
    large. Turns about the optical axis are drawn as well.

    Args:
        board: (4, 4) rough T_base_board, metres: its middle as origin, z pointing away from the camera.
        camera: (4, 4) rough T_flange_camera, metres.
        rng: Source of randomness.
        count: Number of poses.
        distance: Range of the distance between camera and board, metres.
        tilt: Range of the angle between optical axis and board normal, radians.

    Returns:
        T_base_flange for each, neighbours in the list looking from neighbouring sides.

    Raises:
        InputError: The count or a range makes no sense.
    """
    if count < 1 or not 0 < distance[0] <= distance[1] or not 0 <= tilt[0] <= tilt[1] < np.pi / 2:
        raise InputError(
            f"count is {count}, distance {distance} m, tilt {tilt} rad; give 1 or more, and ranges from low to high "
            "with tilts below 90 degrees"
        )
    poses = []
    for i in range(count):
        side, lean = 2 * np.pi * (i + rng.uniform(0, 0.5)) / count, rng.uniform(*tilt)
        away = np.array([np.sin(lean) * np.cos(side), np.sin(lean) * np.sin(side), -np.cos(lean)])
        eye = rng.uniform(*distance) * away
        aimed = look_at(eye, rng.uniform(-0.02, 0.02, 3) * (1, 1, 0), up=(0, -1, 0))
        roll = make_pose(Rotation.from_rotvec([0, 0, rng.uniform(-0.6, 0.6)]).as_matrix(), (0, 0, 0))
        poses.append(board @ aimed @ roll @ np.linalg.inv(camera))
    return poses
