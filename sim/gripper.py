"""The parallel-jaw gripper's measures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import InitVar, asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sim.errors import POSITIVE, InputError, Limits, check_numbers

_LENGTH = Limits("a positive length in metres, 1 at most (70 mm are 0.07)", most=1, without_least=True)
_FARTHEST, _MOST_TURNED = 1.0, 2 * np.pi + 1e-3  # metres, radians: no hand's frame is farther off or turned by more
Origin = tuple[tuple[float, float, float], tuple[float, float, float]]  # xyz in metres, rpy in radians


@dataclass(frozen=True)
class GripperGeometry:
    """A parallel-jaw gripper as boxes, Fig. 3 (c); all lengths in metres.

    In the grasp frame (x closing, z approach, y = z x x, origin between the tips) a finger's
    box is ``finger_thickness`` along x, ``finger_width`` along y, ``finger_length`` along z.

    Attributes:
        finger_width: Width L1 of a finger, along y.
        finger_thickness: Thickness L2 of a finger, along x.
        finger_length: Length L3 of a finger, from the palm to the tip; also the greatest grasp depth.
        max_opening: Greatest distance L4 between the inner finger faces.
        palm_width: Extent of the palm along x.
        palm_thickness: Extent of the palm along y.
        force: Force of each closing finger, newtons. Labels do not depend on it, so ``==`` does not look at it.
        frames: Pose of the grasp frame in each frame that the hand's maker or driver names ("flange" and others), as
            the origin of a URDF gives it: ``{"xyz": [x, y, z], "rpy": [roll, pitch, yaw]}``, metres and radians. They
            are where other programs want grasps (``sim.interchange``). They change no label and no attempt, so they
            are no part of the gripper's identity: neither ``==`` nor ``asdict`` looks at them.
    """

    finger_width: float = 0.017
    finger_thickness: float = 0.005
    finger_length: float = 0.050
    max_opening: float = 0.100
    palm_width: float = 0.130
    palm_thickness: float = 0.030
    force: float = field(default=60.0, compare=False)
    frames: InitVar[Mapping[str, Any] | None] = None

    def __post_init__(self, frames: Mapping[str, Any] | None) -> None:
        """Checks that all lengths are positive and finite; raises InputError."""
        object.__setattr__(self, "frames", {str(name): _origin(name, value) for name, value in (frames or {}).items()})
        check_numbers("gripper", self, dict.fromkeys(asdict(self), _LENGTH) | {"force": POSITIVE})

    @property
    def frame_origins(self) -> dict[str, Origin]:
        """Checked ``frames``: name -> (xyz in metres, rpy in radians) of the grasp frame in it."""
        origins: dict[str, Origin] = self.__dict__["frames"]  # an InitVar's value is no field, and so has no type
        return origins


def load_gripper(name: str) -> GripperGeometry:
    """Returns a hand by its name in ``conf/gripper``, or from a YAML file of that form.

    Args:
        name: ``franka`` for example, or the path of a file that ends in .yaml.

    Raises:
        InputError: There is no such hand, or the file does not hold one.
    """
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException
    from yaml import YAMLError

    from sim.cli.choices import conf_folder

    known = {path.stem: path for path in sorted((conf_folder() / "gripper").glob("*.yaml"))}
    own = name.endswith((".yaml", ".yml"))
    if not own and name not in known:
        raise InputError(
            f"unknown gripper '{name}'; choose one of {', '.join(known)}, or give a YAML file such as theirs"
        )
    path = Path(name) if own else known[name]
    try:
        content: Any = OmegaConf.to_container(OmegaConf.create(path.read_text()), resolve=True)
        return GripperGeometry(**{key: value for key, value in content.items() if key != "_target_"})
    except (OSError, TypeError, ValueError, AttributeError, OmegaConfBaseException, YAMLError) as error:
        if isinstance(error, InputError):
            raise
        reason = " ".join(str(error).split())
        raise InputError(f"'{path}' holds no gripper ({reason}); write one as conf/gripper/paper.yaml") from error


def _origin(name: str, value: Any) -> Origin:
    """Returns one of ``frames`` as numbers, from a mapping of xyz and rpy or from a pair; raises InputError."""
    try:
        xyz, rpy = (value["xyz"], value["rpy"]) if isinstance(value, Mapping) else value
        six = [float(v) for v in (*xyz, *rpy)]
    except (TypeError, ValueError, KeyError):
        six = []
    if len(six) != 6 or not np.isfinite(six).all():
        raise InputError(
            f"gripper.frames.{name} is {value}; give xyz: [x, y, z] in metres and rpy: [r, p, y] in radians"
        )
    place, turn = (max(map(abs, part)) for part in (six[:3], six[3:]))
    if place > _FARTHEST or turn > _MOST_TURNED:
        is_, unit = (
            (f"{place:g} m away", "millimetres") if place > _FARTHEST else (f"turned by {turn:g} rad", "degrees")
        )
        raise InputError(f"gripper.frames.{name} is {is_}, as if in {unit}; give xyz in metres and rpy in radians")
    return (six[0], six[1], six[2]), (six[3], six[4], six[5])
