"""Where the arm believes its camera to be: never quite where it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sim.camera import PinholeCamera
from sim.errors import NOT_NEGATIVE, WHOLE, InputError, check_numbers
from sim.geometry import make_pose

if TYPE_CHECKING:
    from robot.calibration.hand_eye import HandEye

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class BelievedHandEye:
    """The camera's pose on the flange as a calibration found it.

    Attributes:
        position: Error of the place, metres, in a random direction.
        rotation: Error of the turn, radians, about a random axis.
        seed: Seed of the directions.
        file: File of ``python -m robot calibrate``, which replaces the errors; None for none.
    """

    position: float = 0.0005
    rotation: float = 0.0008
    seed: int = 0
    file: str | None = None

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        limits = dict.fromkeys(("position", "rotation"), NOT_NEGATIVE)
        check_numbers("calibration", self, limits | {"seed": WHOLE})

    def mount(self, true: FloatArray) -> FloatArray:
        """Returns the believed T_flange_camera, (4, 4) float64, metres.

        Args:
            true: (4, 4) T_flange_camera as it is; not looked at where there is a file.

        Raises:
            InputError: The file cannot be read, or is not of a camera on the flange.
        """
        found = self._read()
        if found is not None:
            return np.asarray(found.pose, np.float64)
        rng = np.random.default_rng(self.seed)
        shift, axis = (v / np.linalg.norm(v) for v in rng.normal(size=(2, 3)))
        turn = Rotation.from_rotvec(self.rotation * axis).as_matrix()
        return true @ make_pose(turn, self.position * shift)

    def camera(self) -> PinholeCamera | None:
        """Returns the camera that was calibrated; None where nobody knows. Raises InputError as ``mount`` does."""
        found = self._read()
        return None if found is None else found.camera

    def doubts(self) -> tuple[str, ...]:
        """Returns what the calibration itself said against its result. Raises InputError as ``mount`` does."""
        found = self._read()
        return () if found is None else found.doubts

    def _read(self) -> HandEye | None:
        """Returns what the file holds; None where there is none."""
        if self.file is None:
            return None
        from robot.calibration import HandEye

        found = HandEye.load(Path(self.file))
        if found.mount != "flange":
            raise InputError(f"{self.file} is of a camera beside the arm; give calibration.file= of the wrist's")
        return found
