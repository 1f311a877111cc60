"""Chains of joints: where the tip stands, how it moves, and which joint angles bring it to a pose.

Frames: base is the URDF's root link, tip the link that ``Chain.from_urdf`` names. Angles in radians, lengths in metres.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from robot.chain_kernels import chain_frames, chain_jacobian, descend
from sim.errors import InputError
from sim.geometry import make_pose

FloatArray = NDArray[np.float64]

_HALF_TURN = np.diag([-1.0, -1.0, 1.0, 1.0])  # about the approach: a parallel hand grasps the same
_MOVING = ("revolute", "continuous", "prismatic")
_ENDLESS = 1e4  # radians: limits of both signs beyond it are exporters' "no limit"
_TURNS = 8 * np.pi  # radians: no joint of an arm with limits turns farther, nor ...
_FAR = 10.0  # ... slides farther, metres, ...
_FAST = 30.0  # ... nor is faster, rad/s or m/s
_NO_SPEED = 1e4  # rad/s or m/s: this and more says that there is no limit
_UNTOLD = 1.0  # rad/s or m/s of a joint whose file tells no speed
_SAME = 0.05  # radians or metres: solutions closer than this in every joint are one
_LONGEST_STEP = 0.5  # radians or metres that a joint moves in one iteration, at most
RESTARTS = 16  # random starts of a search, for each half-turn
ITERATIONS = 60  # steps of a search
TOLERANCE = 1e-6  # metres and radians within which a pose counts as reached


@dataclass(frozen=True)
class Chain:
    """Joints one after the other, from a base to a tip; N of them move.

    Attributes:
        names: Names of the moving joints.
        origins: Pose of each joint's frame in the frame of the joint before it at angle 0, (N, 4, 4) float64.
        axes: Axis of each joint in its own frame, (N, 3) float64, unit length.
        sliding: Whether a joint slides (metres) instead of turning (radians), (N,) bool.
        lower: Least position of each joint, (N,) float64; -inf for a joint that turns for ever.
        upper: Greatest position of each joint, (N,) float64.
        velocity: Greatest speed of each joint, (N,) float64, rad/s or m/s; 1 where the file tells none.
        tool: Pose of the tip in the frame of the last joint, (4, 4) float64.
    """

    names: tuple[str, ...]
    origins: FloatArray
    axes: FloatArray
    sliding: NDArray[np.bool_]
    lower: FloatArray
    upper: FloatArray
    velocity: FloatArray
    tool: FloatArray

    @classmethod
    def from_urdf(cls, path: str | Path, tip: str) -> Chain:
        """Reads the chain from the URDF's root link to a tip.

        Args:
            path: File of the URDF.
            tip: Name of the link at the chain's end.

        Raises:
            InputError: The file cannot be read, is no URDF, has no such link, or joints of an unknown kind.
        """
        try:
            root = ElementTree.parse(path).getroot()
        except (OSError, ElementTree.ParseError) as error:
            cure = "expand the xacro: xacro FILE > FILE.urdf" if "unbound prefix" in str(error) else "give another file"
            raise InputError(f"arm file {path} cannot be read as a URDF ({error}); {cure}") from error
        if any("xacro" in str(e.tag) or any("${" in v for v in e.attrib.values()) for e in root.iter()):
            raise InputError(f"arm file {path} is a xacro file; expand it: xacro FILE > FILE.urdf")
        above: dict[str | None, ElementTree.Element] = {}
        for joint in root.iter("joint"):
            child = joint.find("child")
            if child is not None:
                above[child.get("link")] = joint
        links = {link.get("name") for link in root.iter("link")}
        if tip not in links:
            raise InputError(f"arm file {path} has no link '{tip}'; give one of {', '.join(sorted(map(str, links)))}")
        way: list[ElementTree.Element] = []
        while tip in above:
            if len(way) > len(links):
                raise InputError(f"arm file {path} has joints in a circle at link '{tip}'; mend it")
            way.insert(0, above[tip])
            parent = way[0].find("parent")
            tip = "" if parent is None else str(parent.get("link"))
        try:
            return cls._of_joints(way)
        except (TypeError, ValueError, AttributeError, KeyError) as error:
            raise InputError(f"arm file {path}: {error}") from error

    @classmethod
    def _of_joints(cls, way: list[ElementTree.Element]) -> Chain:
        """Returns the chain of a URDF's joints in order; raises ValueError for what is none."""
        pose = np.eye(4)
        rows = []
        for joint in way:
            try:
                pose = pose @ _origin(joint)
                if joint.get("type") == "fixed":
                    continue
                axis, low, high, speed = _motion(joint)
            except (TypeError, ValueError, AttributeError, KeyError) as error:
                raise ValueError(f"joint '{joint.get('name')}' {error}") from error
            rows.append((joint.get("name"), pose, axis, joint.get("type") == "prismatic", low, high, speed))
            pose = np.eye(4)
        if not rows:
            raise ValueError("no joint moves; give another flange")
        names, origins, axes, sliding, lower, upper, speeds = zip(*rows, strict=True)
        return cls(
            tuple(map(str, names)),
            np.array(origins),
            np.array(axes),
            np.array(sliding),
            np.array(lower),
            np.array(upper),
            np.array(speeds),
            pose,
        )

    def __len__(self) -> int:
        """Number of moving joints."""
        return len(self.names)

    def with_tool(self, pose: FloatArray) -> Chain:
        """Returns the chain to a frame beyond the tip: ``pose`` is (4, 4) T_tip_frame, metres."""
        return Chain(
            self.names, self.origins, self.axes, self.sliding, self.lower, self.upper, self.velocity, self.tool @ pose
        )

    def forward(self, q: ArrayLike) -> FloatArray:
        """Returns T_base_tip, (..., 4, 4) float64, of joint positions (..., N)."""
        positions = np.asarray(q, np.float64)
        tips = chain_frames(np.ascontiguousarray(positions.reshape(-1, len(self))), *self._constants)[0]
        return tips.reshape(*positions.shape[:-1], 4, 4)

    def jacobian(self, q: ArrayLike) -> FloatArray:
        """Returns the tip's velocity for each joint's, (6, N) float64: linear (m), then angular, base frame.

        Args:
            q: (N,) joint positions.
        """
        tip, places, directions = chain_frames(np.array(q, np.float64).reshape(1, -1), *self._constants)
        return chain_jacobian(tip[0], places[0], directions[0], self.sliding)

    @property
    def _constants(self) -> tuple[FloatArray, FloatArray, NDArray[np.bool_], FloatArray]:
        return self.origins, self.axes, self.sliding, self.tool

    def within(self, q: ArrayLike, *, slack: float = 1e-9) -> NDArray[np.bool_]:
        """Returns which of the positions (..., N) keep to all limits, (...) bool."""
        positions = np.asarray(q, np.float64)
        inside = (positions >= self.lower - slack) & (positions <= self.upper + slack)
        return np.asarray(inside.all(axis=-1), np.bool_)

    def solve(
        self,
        pose: FloatArray,
        near: ArrayLike | None = None,
        symmetric: bool = True,
        *,
        restarts: int = RESTARTS,
        rng: np.random.Generator | None = None,
    ) -> FloatArray:
        """Returns joint positions that bring the tip to a pose: damped least squares from many starts.

        Chains of more than six joints have endless solutions; those are returned that the starts lead to.

        Args:
            pose: (4, 4) T_base_tip, metres.
            near: (N,) positions from which the distance counts and the first start; None is the middle of the limits.
            symmetric: Whether the pose turned by half a turn about the tip's z will do as well.
            restarts: Number of random starts, for each half-turn.
            rng: Source of the starts; None starts at the same places each time.

        Returns:
            (M, N) float64 within the limits, nearest first; M is 0 where nothing was found.
        """
        rng = np.random.default_rng(0) if rng is None else rng
        low = np.where(np.isfinite(self.lower), self.lower, -np.pi)
        high = np.where(np.isfinite(self.upper), self.upper, np.pi)
        middle = (low + high) / 2 if near is None else np.asarray(near, np.float64)
        first = np.clip(middle, self.lower, self.upper)
        starts = np.concatenate([first[None], rng.uniform(low, high, (restarts, len(self)))])
        targets = [pose, pose @ _HALF_TURN] if symmetric else [pose]
        wanted = np.repeat(np.array(targets), len(starts), axis=0)
        q, reached = self.approach(wanted, np.tile(starts, (len(targets), 1)))
        found = self._nearest_turns(q[reached], middle)
        found = found[self.within(found)]
        found = np.clip(found, self.lower, self.upper)
        order = np.argsort(np.abs(found - middle).max(axis=1), kind="stable")
        kept: list[FloatArray] = []
        for candidate in found[order]:
            if all(np.abs(candidate - other).max() > _SAME for other in kept):
                kept.append(candidate)
        return np.array(kept).reshape(-1, len(self))

    def approach(
        self, poses: FloatArray, starts: FloatArray, *, iterations: int = ITERATIONS
    ) -> tuple[FloatArray, NDArray[np.bool_]]:
        """Moves joints from starts towards poses by damped least squares, within the limits.

        The damping shrinks with the error (Nakamura and Hanafusa, 1986; Sugihara, 2011).

        Args:
            poses: (B, 4, 4) T_base_tip, metres.
            starts: (B, N) positions.
            iterations: Greatest number of steps.

        Returns:
            (B, N) float64 positions, and (B,) bool: which have reached their poses within ``TOLERANCE``.
        """
        q = np.array(starts, np.float64)
        limits = (iterations, TOLERANCE, _LONGEST_STEP)
        reached = descend(np.ascontiguousarray(poses), q, self._constants, (self.lower, self.upper), limits)
        return q, reached

    def _nearest_turns(self, q: FloatArray, near: FloatArray) -> FloatArray:
        """Returns the positions with whole turns added so that they lie nearest to ``near`` within the limits."""
        turns = np.round((near - q) / (2 * np.pi))
        moved = np.where(self.sliding, q, q + 2 * np.pi * turns)
        moved = np.where(moved > self.upper, moved - 2 * np.pi * ~self.sliding, moved)
        return np.where(moved < self.lower, moved + 2 * np.pi * ~self.sliding, moved)


def _motion(joint: ElementTree.Element) -> tuple[FloatArray, float, float, float]:
    """Returns a moving joint's axis (3,), unit length, its least and greatest position and its greatest speed.

    Raises:
        ValueError: It cannot be read or followed; the sentence lacks the joint's name.
    """
    kind = joint.get("type")
    if kind not in _MOVING:
        raise ValueError(f"is of type {kind}; give one of fixed, {', '.join(_MOVING)}")
    mimic = joint.find("mimic")
    if mimic is not None:
        raise ValueError(
            f"mimics '{mimic.get('joint')}': arms whose joints move together are not planned; give a URDF without it"
        )
    limit, axis = joint.find("limit"), _numbers(joint.find("axis"), "xyz", "1 0 0")
    known = {} if limit is None else limit.attrib
    low, high = -np.inf, np.inf
    if kind != "continuous":
        missing = [f"{name}=" for name in ("lower", "upper") if name not in known]
        if missing:
            raise ValueError(f"has no {' and no '.join(missing)} in its <limit>; give both, or the type continuous")
        low, high = float(known["lower"]), float(known["upper"])
    if kind == "revolute" and low <= -_ENDLESS and high >= _ENDLESS:
        low, high = -np.inf, np.inf
    if not low < high or not np.linalg.norm(axis) > 0:
        raise ValueError(f"has limits {low} and {high}, axis {axis}; mend it")
    speed = _UNTOLD if placeholder_speed(joint) else float(known.get("velocity", _UNTOLD))
    if not speed > 0:
        raise ValueError(f"has velocity {known['velocity']}, which must be more than 0")
    slides = kind == "prismatic"
    unit, wrong = ("metres", "millimetres") if slides else ("radians", "degrees")
    endless = not slides and low == -np.inf and high == np.inf
    if not endless and max(abs(low), abs(high)) > (_FAR if slides else _TURNS):
        other = "" if slides else ", or the type continuous where it has none"
        raise ValueError(f"goes from {low:g} to {high:g}, as if in {wrong}; give its limits in {unit}{other}")
    if speed > _FAST:
        raise ValueError(f"has velocity {speed:g}, as if in {wrong} a second; give {unit} a second")
    return axis / np.linalg.norm(axis), low, high, speed


def placeholder_speed(joint: ElementTree.Element) -> bool:
    """Whether a joint's velocity is what exporters write for none: 10000 or more, or 100 or 1000 where it turns.

    Raises:
        ValueError: It is no number.
    """
    limit = joint.find("limit")
    speed = 0.0 if limit is None else float(limit.get("velocity", 0))
    return speed >= _NO_SPEED or (speed in (100, 1000) and joint.get("type") != "prismatic")


def _numbers(element: ElementTree.Element | None, name: str, default: str) -> FloatArray:
    """Returns three numbers of an element's attribute; raises ValueError."""
    text = default if element is None else element.get(name, default)
    values = np.array([float(v) for v in text.split()])
    if values.shape != (3,) or not np.isfinite(values).all():
        raise ValueError(f"{name} is '{text}'")
    return values


def _origin(joint: ElementTree.Element) -> FloatArray:
    """Returns the (4, 4) pose of a joint's frame in its parent link, metres; raises ValueError."""
    origin = joint.find("origin")
    turn = Rotation.from_euler("xyz", _numbers(origin, "rpy", "0 0 0"))
    return make_pose(turn.as_matrix(), _numbers(origin, "xyz", "0 0 0"))
