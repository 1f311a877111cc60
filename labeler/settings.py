"""The thresholds of PDG-Generation, checked; conf/labeler holds the presets."""

from __future__ import annotations

import math
import multiprocessing
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from sim.errors import NOT_NEGATIVE, POSITIVE, SHARE, WHOLE, InputError, Limits, check_numbers
from sim.gripper import GripperGeometry

_BINS = Limits("a whole number from 1 to 256", least=1, most=256, whole=True)  # a shard keeps the bin in one byte
_STEEPEST = 1.2  # radians: greatest max_normal_angle
_WIDEST = 0.090  # metres: max_width of the preset ``truest`` for hands of up to 100 mm
_MARGIN = 0.010  # metres: so much less than a wider hand opens
_PAPERS_OPENING = 0.100  # metres, L4 of the paper's hand

# Thresholds of the second pass, for objects on which those of the preset ``truest`` leave no label.
_RELAXED = {
    "max_asymmetry": 0.006,
    "friction": 0.3,
    "engagement": 0.004,
    "min_coverage": 0.7,
    "max_normal_angle": 0.523599,
    "min_wall_share": 0.5,
}


@dataclass(frozen=True, kw_only=True)
class LabelSettings:
    """Every threshold of PDG-Generation; lengths in metres, angles in radians. The defaults are the preset ``truest``.

    Attributes:
        angles: Number of angle bins in [0, pi), K.
        depth_step: Distance between the depths that are tried, g.
        width_tolerance: Width added to the opening at first contact.
        max_width: Greatest label width, tolerance included; the gripper's opening limits it too. ``for_hand`` and the
            presets give hands of over 100 mm more.
        finger_margin: Free space that is kept on every side of a finger.
        palm_margin: Free space that is kept under the palm. With none, a palm whose finger tips are at the deepest
            presses on the object: a heavy one then cannot slide between the fingers.
        max_asymmetry: Greatest difference of the two contacts' distances from the pixel.
        friction: Coefficient mu of the friction cone down the wall: the wall rises by ``engagement`` within
            ``friction * engagement`` behind the contact edge.
        engagement: Least height of the wall above the finger tips.
        min_coverage: Least share of a finger's rows on which an edge of the object is found.
        max_normal_angle: Greatest angle between closing direction and contact edge's normal.
        max_wedge_angle: Greatest angle between the two contact edges.
        max_flatness: Greatest mean squared distance of the contact points from their line along the closing
            direction, square metres; eq. (14), with the square that its print lacks.
        min_wall_share: Least share of the contact rows whose wall is steep and high enough.
        undercut: Whether the hollow under an overhanging wall is taken off the wall's height, where the view has a
            back layer.
        row_step: Distance between the rows on which a contact is examined.
        relaxed: Thresholds that differ in a second pass over the objects that got no label in a view; no second
            pass if empty.
        relaxed_labels: Greatest number of labels that an object keeps of the second pass; it keeps at most the
            better half of them, by score.
        hold_friction: Friction of the pads that must hold an object's weight and its torque about the closing axis,
            see ``labeler.holding.can_hold``; 0 does not ask.
        pad_radius: Radius of the patch over which a pad then touches.
    """

    angles: int = 18
    depth_step: float = 0.002
    width_tolerance: float = 0.005
    max_width: float = _WIDEST
    finger_margin: float = 0.0025
    palm_margin: float = 0.0
    max_asymmetry: float = 0.004
    friction: float = 0.2
    engagement: float = 0.006
    min_coverage: float = 0.9
    max_normal_angle: float = 0.349066
    max_wedge_angle: float = 0.174533
    max_flatness: float = 3e-6
    min_wall_share: float = 0.7
    undercut: bool = True
    row_step: float = 0.001
    relaxed: Mapping[str, float] = field(default_factory=lambda: dict(_RELAXED), hash=False)
    relaxed_labels: int = 20
    hold_friction: float = 0.0
    pad_radius: float = 0.005

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        object.__setattr__(self, "relaxed", dict(self.relaxed or {}))
        allowed = {f.name for f in fields(self)} - {
            "angles",
            "depth_step",
            "width_tolerance",
            "max_width",
            "relaxed",
            "relaxed_labels",
        }
        if unknown := sorted(set(self.relaxed) - allowed):
            raise InputError(
                f"labeler.relaxed: '{unknown[0]}' cannot be relaxed; choose of {', '.join(sorted(allowed))}"
            )
        if self.relaxed:
            self.second_pass()
        numbers = [f.name for f in fields(self) if f.name not in ("relaxed", "undercut")]
        limits = dict.fromkeys(numbers, NOT_NEGATIVE) | {"angles": _BINS, "relaxed_labels": WHOLE}
        positive = ("depth_step", "max_width", "row_step", "friction", "engagement", "pad_radius")
        limits |= dict.fromkeys(positive, POSITIVE) | dict.fromkeys(("min_coverage", "min_wall_share"), SHARE)
        check_numbers("labeler", self, limits)
        if not isinstance(self.undercut, bool):
            raise InputError(f"labeler.undercut is {self.undercut!r}; give true or false")
        if self.max_normal_angle > _STEEPEST:
            raise InputError(
                f"labeler.max_normal_angle is {self.max_normal_angle} rad; give at most {_STEEPEST}: the search behind "
                "a contact is as deep as the finger is wide times the angle's tangent"
            )

    @classmethod
    def for_hand(cls, gripper: GripperGeometry) -> LabelSettings:
        """Returns the preset ``truest`` for a hand: one that opens wider than the paper's gets wider labels."""
        return cls(max_width=widest_label(gripper.max_opening))

    def describe(self) -> dict[str, Any]:
        """Returns the thresholds for a recipe; those of a check that is not made are left out, as in former recipes."""
        off = [] if self.hold_friction > 0 else ["hold_friction", "pad_radius"]
        off += [] if self.palm_margin > 0 else ["palm_margin"]
        return {name: value for name, value in asdict(self).items() if name not in off}

    def second_pass(self) -> LabelSettings:
        """Returns the settings of the second pass; they have none themselves."""
        return replace(self, **{**self.relaxed, "relaxed": {}})  # type: ignore[arg-type]


def widest_label(opening: object, *, least: float = _WIDEST, margin: float = _MARGIN) -> float:
    """Returns the greatest label width for a hand, metres: for the paper's and narrower ones always ``least``.

    Args:
        opening: Greatest opening of the hand, metres; what is no number is told where the hand is made.
        least: Greatest width for a hand of up to 100 mm, metres.
        margin: By how much a wider hand's labels are narrower than it opens, metres.
    """
    if not isinstance(opening, int | float) or not math.isfinite(opening):
        return least
    return max(least, round(opening - margin, 6))  # else 0.1 - 0.01 is more than 0.09


def check_hand(settings: LabelSettings, gripper: GripperGeometry) -> None:
    """Checks that the thresholds leave something to check on a gripper's fingers.

    A hand of over 100 mm that opens over 10 mm wider than the labels are is warned about, in the first process only.

    Raises:
        InputError: They leave no opening, a single row of a finger, or no depth but the surface.
    """
    widest = min(settings.max_width, gripper.max_opening)
    if settings.width_tolerance >= widest:
        raise InputError(
            f"labeler.width_tolerance is {settings.width_tolerance} m and the greatest width {widest} m, which leaves "
            "nothing to hold; lower labeler.width_tolerance"
        )
    if settings.row_step > gripper.finger_width / 2:
        raise InputError(
            f"labeler.row_step is {settings.row_step} m and a finger {gripper.finger_width} m wide, which leaves no "
            "rows to compare; lower labeler.row_step"
        )
    if settings.depth_step >= gripper.finger_length:
        raise InputError(
            f"labeler.depth_step is {settings.depth_step} m and a finger {gripper.finger_length} m long, which leaves "
            "no depth to try; lower labeler.depth_step"
        )
    if settings.palm_margin >= gripper.finger_length - settings.depth_step:
        raise InputError(
            f"labeler.palm_margin is {settings.palm_margin} m and a finger {gripper.finger_length} m long, which "
            "leaves no depth to try; lower labeler.palm_margin"
        )
    if settings.engagement > gripper.finger_length:
        raise InputError(
            f"labeler.engagement is {settings.engagement} m and a finger {gripper.finger_length} m long, so no wall is "
            "high enough; lower labeler.engagement"
        )
    spare = round(gripper.max_opening - settings.max_width, 6)
    if gripper.max_opening > _PAPERS_OPENING and spare > _MARGIN and multiprocessing.parent_process() is None:
        warnings.warn(
            f"labels are at most {1000 * settings.max_width:g} mm wide, the hand opens {1000 * gripper.max_opening:g} "
            f"mm; give labeler.max_width={widest_label(gripper.max_opening):g}",
            stacklevel=1,  # one place for all callers: it is said once
        )
