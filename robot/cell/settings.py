"""Where things stand in a cell, simulated or real."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from robot.motion.obstacles import Obstacle, ground_obstacle, pedestal_obstacle, tray_obstacle
from sim.errors import NOT_NEGATIVE, InputError, Limits, check_numbers
from sim.geometry import make_pose
from sim.physics import TraySettings

FloatArray = NDArray[np.float64]

_WALL = 0.005  # metres
_FARTHEST = 10.0  # metres from the world's origin; numbers beyond it are millimetres
_MOUNTED = 1.0  # metres from the flange, for the camera
_MOST_TURNED = 2 * np.pi + 1e-3  # radians; numbers beyond it are degrees
# Greater values are another unit's.
_LENGTH = Limits("metres, more than 0 and at most 2", most=2.0, without_least=True)
_HEIGHT = Limits("metres, more than 0 and at most 10", most=_FARTHEST, without_least=True)
_SPEED = Limits("metres a second, more than 0 and at most 2", most=2.0, without_least=True)


@dataclass(frozen=True, kw_only=True)
class ReceptacleSettings:
    """The box into which objects are put; it stands on the table beside the tray.

    Attributes:
        centre: Middle of its floor, world x and y, metres.
        side: Inner side of its square floor, metres.
        wall: Height of its walls, metres.
    """

    centre: tuple[float, float] = (-0.12, 0.45)
    side: float = 0.3
    wall: float = 0.08

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        object.__setattr__(self, "centre", _numbers("cell.receptacle.centre", self.centre, 2))
        check_numbers("cell.receptacle", self, {"side": _HEIGHT, "wall": _LENGTH})

    def obstacle(self, tray: TraySettings) -> Obstacle:
        """Returns floor and walls of the receptacle."""
        x, y = self.centre
        bottom, half = -tray.thickness, self.side / 2 + _WALL / 2
        boxes = [(np.array([self.side, self.side, _WALL]), make_pose(np.eye(3), (x, y, bottom + _WALL / 2)))]
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            length = self.side + 2 * _WALL
            size = np.array([_WALL if dx else length, _WALL if dy else length, self.wall])
            middle = (x + dx * half, y + dy * half, bottom + self.wall / 2)
            boxes.append((size, make_pose(np.eye(3), middle)))
        return Obstacle("the receptacle", tuple(boxes))

    def overlaps(self, tray: TraySettings) -> bool:
        """Returns whether the receptacle, walls included, stands over or under a part of the tray."""
        return max(map(abs, self.centre)) < self.side / 2 + _WALL + tray.opening / 2 + tray.thickness

    def holds(self, place: FloatArray) -> bool:
        """Returns whether a place (3,), world frame, metres, is between the walls or piled over them."""
        x, y = self.centre
        half = self.side / 2
        return bool(abs(place[0] - x) < half and abs(place[1] - y) < half and -0.01 < place[2] < self.wall + self.side)


@dataclass(frozen=True, kw_only=True)
class CellSettings:
    """Where arm, camera and receptacle are. The world's origin is the middle of the tray's floor, z up.

    Attributes:
        base: Pose of the arm's base in the world: x, y, z in metres, roll, pitch, yaw in radians.
        camera: Pose of the camera's optical frame in the flange: x, y, z in metres, roll, pitch, yaw in radians.
        camera_height: Height of the camera over the tray's floor when it takes pictures, straight down, metres.
        receptacle: The box into which objects are put.
        release: Height of the tips over the receptacle's walls when the hand lets go, metres.
        hand_speed: Speed of each finger that opens, m/s.
        settle: Seconds that things get to come to rest after each attempt, at most.
    """

    base: tuple[float, ...] = (-0.45, 0.0, 0.15, 0.0, 0.0, 0.0)
    camera: tuple[float, ...] = (0.0, -0.08, 0.04, 0.0, 0.0, -1.5707963267948966)
    camera_height: float = 0.6
    receptacle: ReceptacleSettings = field(default_factory=ReceptacleSettings)
    release: float = 0.08
    hand_speed: float = 0.1
    settle: float = 4.0

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        for name, farthest in (("base", _FARTHEST), ("camera", _MOUNTED)):
            object.__setattr__(self, name, _numbers(f"cell.{name}", getattr(self, name), 6, farthest=farthest))
        limits = {"camera_height": _HEIGHT, "hand_speed": _SPEED, "settle": NOT_NEGATIVE}
        check_numbers("cell", self, limits | {"release": Limits("metres, from 0 to 2", most=2.0)})

    @property
    def base_pose(self) -> FloatArray:
        """T_world_base, (4, 4) float64, metres."""
        return _pose(self.base)

    @property
    def camera_mount(self) -> FloatArray:
        """T_flange_camera, (4, 4) float64, metres."""
        return _pose(self.camera)

    def obstacles(self, tray: TraySettings) -> list[Obstacle]:
        """Returns what arm, hand and camera keep clear of."""
        pedestal = pedestal_obstacle(self.base_pose, tray)
        found = [tray_obstacle(tray), ground_obstacle(tray), self.receptacle.obstacle(tray)]
        return found if pedestal is None else [*found, pedestal]

    def release_place(self, tray: TraySettings) -> FloatArray:
        """Returns (3,) the place of the tips, world frame, metres, where the hand lets go."""
        x, y = self.receptacle.centre
        return np.array([x, y, self.receptacle.wall - tray.thickness + self.release])


def _pose(numbers: tuple[float, ...]) -> FloatArray:
    return make_pose(Rotation.from_euler("xyz", numbers[3:]).as_matrix(), numbers[:3])


def _numbers(name: str, values: object, count: int, *, farthest: float = _FARTHEST) -> tuple[float, ...]:
    """Returns finite numbers in metres, the last three of six in radians, as a tuple; raises InputError."""
    try:
        found = tuple(float(v) for v in values)  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        found = ()
    cure = "metres" + ", then radians" * (count == 6)
    if len(found) != count or not np.isfinite(found).all():
        raise InputError(f"{name} is {values}; give {count} numbers, {cure}")
    place, turn = max(map(abs, found[:3])), max(map(abs, found[3:]), default=0.0)
    if place > farthest:
        raise InputError(f"{name} is {place:g} m away, as if in millimetres; give {cure}")
    if turn > _MOST_TURNED:
        raise InputError(f"{name} is turned by {turn:g} rad, as if in degrees; give {cure}")
    return found
