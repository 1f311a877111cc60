"""How fast a path is followed: within the joints' speeds and accelerations, and the tip's speed.

Ruckig (Berscheid and Kroeger, 2021) times single segments with limited jerk, TOPP-RA (Pham and Pham, 2018) paths
through several points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from robot.errors import load_backend
from robot.values import Trajectory

FloatArray = NDArray[np.float64]

STEP = 0.02  # seconds between the points of a trajectory
_SHARE = 0.85  # of the accelerations is used, for a cubic between points overshoots them
_SPEED_SHARE = 0.97  # of the speeds


@dataclass(frozen=True)
class JointLimits:
    """Limits of a motion.

    Attributes:
        speed: (N,) float64 greatest speed of each joint, rad/s.
        acceleration: Greatest acceleration of a joint, rad/s^2.
        jerk: Greatest change of a joint's acceleration, rad/s^3.
    """

    speed: FloatArray
    acceleration: float
    jerk: float


def time_segment(
    start: FloatArray, end: FloatArray, limits: JointLimits, *, tip: Callable[[FloatArray], FloatArray], speed: float
) -> Trajectory:
    """Returns the fastest motion of all joints together from rest to rest.

    Args:
        start: (N,) joint angles, radians.
        end: (N,) joint angles, radians.
        limits: Limits of the joints.
        tip: (T, N) joint angles -> (T, 3) places of the tip, metres.
        speed: Greatest speed of the tip, m/s.
    """
    ruckig = load_backend("ruckig", extra="robot")
    count = len(start)
    asked = ruckig.InputParameter(count)
    asked.current_position, asked.target_position = start.tolist(), end.tolist()
    asked.max_velocity = (_SPEED_SHARE * limits.speed).tolist()
    asked.max_acceleration, asked.max_jerk = [_SHARE * limits.acceleration] * count, [limits.jerk] * count
    found = ruckig.Trajectory(count)
    ruckig.Ruckig(count).calculate(asked, found)
    times = _grid(found.duration)
    rows = [found.at_time(t) for t in times]
    motion = _trajectory(times, np.array([r[0] for r in rows]), np.array([r[1] for r in rows]))
    return _slowed(motion, tip, speed)


def time_through(
    points: FloatArray, limits: JointLimits, *, tip: Callable[[FloatArray], FloatArray], speed: float
) -> Trajectory:
    """Returns the fastest motion along a spline through points, from rest to rest.

    Args:
        points: (K, N) joint angles, radians; consecutive ones differ.
        limits: Limits of the joints.
        tip: (T, N) joint angles -> (T, 3) places of the tip, metres.
        speed: Greatest speed of the tip, m/s.
    """
    toppra = load_backend("toppra", extra="robot")
    toppra.setup_logging("ERROR")
    lengths = np.linalg.norm(np.diff(points, axis=0), axis=1)
    path = toppra.SplineInterpolator(np.concatenate([[0.0], np.cumsum(lengths)]), points)
    speeds = _SPEED_SHARE * limits.speed
    bound = np.full(points.shape[1], _SHARE * limits.acceleration)
    constraints = [
        toppra.constraint.JointVelocityConstraint(np.stack([-speeds, speeds], axis=1)),
        toppra.constraint.JointAccelerationConstraint(np.stack([-bound, bound], axis=1)),
    ]
    found = toppra.algorithm.TOPPRA(constraints, path).compute_trajectory(0, 0)
    times = _grid(float(found.duration))
    motion = _trajectory(times, found(times), found(times, 1))
    return _slowed(motion, tip, speed)


def time_line(
    points: FloatArray,
    distances: FloatArray,
    limits: JointLimits,
    *,
    speed: float,
    acceleration: float,
    jerk: float,
    contact: bool,
) -> Trajectory:
    """Returns a motion along joint angles of a straight path of the tip, whose speed is even but for start and end.

    Args:
        points: (K, N) joint angles along the path, radians.
        distances: (K,) way of the tip to each, metres, from 0.
        limits: Limits of the joints.
        speed: Greatest speed of the tip, m/s.
        acceleration: Greatest acceleration of the tip, m/s^2.
        jerk: Greatest change of that acceleration, m/s^3.
        contact: Whether the motion may meet things.
    """
    ruckig = load_backend("ruckig", extra="robot")
    asked = ruckig.InputParameter(1)
    asked.current_position, asked.target_position = [0.0], [float(distances[-1])]
    asked.max_velocity, asked.max_acceleration, asked.max_jerk = [_SPEED_SHARE * speed], [acceleration], [jerk]
    found = ruckig.Trajectory(1)
    ruckig.Ruckig(1).calculate(asked, found)
    times = _grid(found.duration)
    way, rate, gain = np.array([[v[0] for v in found.at_time(t)] for t in times]).T
    curve = CubicSpline(distances, points, axis=0)
    slope = curve(way, 1)
    speeds = slope * rate[:, None]
    accelerations = curve(way, 2) * rate[:, None] ** 2 + slope * gain[:, None]
    too_fast = float((np.abs(speeds) / (_SPEED_SHARE * limits.speed)).max())
    too_sharp = float(np.abs(accelerations).max()) / (_SHARE * limits.acceleration)
    stretch = max(1.0, too_fast, float(np.sqrt(too_sharp)))
    angles = curve(way)
    angles[0], angles[-1] = points[0], points[-1]
    return _trajectory(times * stretch, angles, speeds / stretch, contact=contact)


def _grid(duration: float) -> FloatArray:
    """Returns times from 0 to a duration, ``STEP`` apart or a little less."""
    return np.linspace(0.0, duration, max(2, int(np.ceil(duration / STEP)) + 1))


def _trajectory(times: FloatArray, angles: FloatArray, speeds: FloatArray, *, contact: bool = False) -> Trajectory:
    speeds = speeds.copy()
    speeds[[0, -1]] = 0.0
    return Trajectory(times=times, positions=angles, velocities=speeds, contact=contact)


def _slowed(motion: Trajectory, tip: Callable[[FloatArray], FloatArray], speed: float) -> Trajectory:
    """Returns a motion that takes longer where its tip would be faster than ``speed``, m/s."""
    times = np.linspace(0.0, motion.duration, 2 * len(motion.times))
    places = tip(motion.at(times)[0])
    fastest = float((np.linalg.norm(np.diff(places, axis=0), axis=1) / np.diff(times)).max())
    stretch = max(1.0, fastest / (_SPEED_SHARE * speed))
    return _trajectory(motion.times * stretch, motion.positions, motion.velocities / stretch)
