"""Models of arms: a URDF, the link that carries the hand, and how fast its joints may speed up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from robot.kinematics import Chain
from sim.errors import POSITIVE, InputError, check_numbers

OWN = Path(__file__).parent  # URDFs that come with the package


@dataclass(frozen=True, kw_only=True)
class ArmModel:
    """An arm.

    Attributes:
        urdf: Name of a URDF that comes with the package ("kinova_gen2", "ur5e", "panda", "fr3", "xarm6"), or a file:
            its maker's, with meshes, as xacro writes it.
        flange: Link that carries the hand; its z points away from the arm.
        acceleration: Greatest acceleration of a joint, rad/s^2.
        jerk: Greatest change of a joint's acceleration, rad/s^3.
        ready: Joint angles from which solutions are sought, radians; empty for the middle of the limits.
    """

    urdf: str = "kinova_gen2"
    flange: str = "flange"
    acceleration: float = 1.5
    jerk: float = 10.0
    ready: tuple[float, ...] = (0.0, 2.9, 0.0, 1.3, 0.0, 4.2, 0.0)

    def __post_init__(self) -> None:
        """Checks ranges and that there is such a file; raises InputError."""
        check_numbers("arm", self, dict.fromkeys(("acceleration", "jerk"), POSITIVE))
        object.__setattr__(self, "ready", tuple(float(v) for v in self.ready))
        if not self.path.is_file():
            own = ", ".join(sorted(p.stem for p in OWN.glob("*.urdf")))
            raise InputError(f"arm.urdf is '{self.urdf}', which is no file; give one, or one of {own}")
        if self.ready and len(self.ready) != len(self.chain()):
            raise InputError(
                f"arm.ready has {len(self.ready)} angles, the arm {len(self.chain())} joints; give one angle a joint"
            )

    @property
    def path(self) -> Path:
        """File of the URDF."""
        own = OWN / f"{self.urdf}.urdf"
        return own if own.is_file() else Path(self.urdf)

    def chain(self) -> Chain:
        """Returns the joints from the base to the flange; raises InputError where the URDF is broken."""
        return Chain.from_urdf(self.path, self.flange)

    def ready_angles(self) -> NDArray[np.float64]:
        """Returns (N,) joint angles from which solutions are sought, radians."""
        if self.ready:
            return np.array(self.ready)
        chain = self.chain()
        low = np.where(np.isfinite(chain.lower), chain.lower, -np.pi)
        return (low + np.where(np.isfinite(chain.upper), chain.upper, np.pi)) / 2
