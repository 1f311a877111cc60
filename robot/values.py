"""Values that arms, hands and cameras exchange."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sim.camera import PinholeCamera
from sim.errors import InputError

FloatArray = NDArray[np.float64]
Reason = Literal["done", "contact", "dry run", "refused", "stopped", "limit", "stale", "fault", "lost"]


@dataclass(frozen=True, kw_only=True)
class ArmState:
    """State of an arm.

    Attributes:
        q: (N,) float64 joint angles, radians.
        dq: (N,) float64 joint speeds, radians a second.
        time: When it was measured, seconds on the cell's clock.
        force: (3,) float64 force on the tip, base frame, newtons; None where the arm does not measure it.
        effort: (N,) float64 torques (N m) or currents (A) of the joints; None where the arm does not tell them.
        fault: What the controller reports, for example "protective stop"; empty where it is well.
    """

    q: FloatArray
    dq: FloatArray
    time: float
    force: FloatArray | None = None
    effort: FloatArray | None = None
    fault: str = ""


@dataclass(frozen=True, kw_only=True)
class HandState:
    """State of a hand.

    Attributes:
        width: Distance between the inner finger faces, metres.
        holding: Whether the fingers were stopped by something between them.
        time: When it was measured, seconds on the cell's clock.
        fault: What the hand reports; empty where it is well.
    """

    width: float
    holding: bool
    time: float
    fault: str = ""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """A picture of a depth camera.

    Attributes:
        rgb: (H, W, 3) uint8 colours.
        depth: (H, W) float32 along the optical axis, metres, on the pixels of ``rgb``; 0 = missing.
        camera: Size and intrinsics; its ``pose`` is the identity unless someone knows it.
        time: Middle of the exposure, seconds on the cell's clock.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    camera: PinholeCamera
    time: float

    def __post_init__(self) -> None:
        """Checks sizes; raises InputError."""
        size = (self.camera.height, self.camera.width)
        if self.rgb.shape != (*size, 3) or self.depth.shape != size:
            raise InputError(
                f"a frame has colours of shape {self.rgb.shape} and depth of shape {self.depth.shape}; its camera says "
                f"{size[1]}x{size[0]} pixels: align depth to colour and give the intrinsics of that size"
            )


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """A motion of the joints, cubic between its points.

    Attributes:
        times: (T,) float64 seconds from the start, increasing from 0.
        positions: (T, N) float64 joint angles, radians.
        velocities: (T, N) float64 joint speeds, radians a second; the last row is 0.
        contact: Whether the hand comes close to things: the tip then keeps to the approach speed, and a contact ends
            the motion without a fault.
    """

    times: FloatArray
    positions: FloatArray
    velocities: FloatArray
    contact: bool = False

    def __post_init__(self) -> None:
        """Checks shapes and times; raises InputError."""
        for name in ("times", "positions", "velocities"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float64))
        t, q, v = self.times, self.positions, self.velocities
        if t.ndim != 1 or len(t) < 2 or q.ndim != 2 or len(q) != len(t) or v.shape != q.shape:
            raise InputError(
                f"a trajectory has times of shape {t.shape}, positions {q.shape} and velocities {v.shape}; "
                "give (T,), (T, N) and (T, N) with at least two points"
            )
        if not (np.isfinite(t).all() and np.isfinite(q).all() and np.isfinite(v).all()):
            raise InputError("a trajectory holds numbers that are not finite; plan it again")
        if t[0] != 0 or (np.diff(t) <= 0).any():
            raise InputError("a trajectory's times do not increase from 0; plan it again")

    @property
    def duration(self) -> float:
        """Seconds from start to end."""
        return float(self.times[-1])

    def at(self, time: float | FloatArray) -> tuple[FloatArray, FloatArray]:
        """Returns joint angles and speeds by cubic Hermite interpolation; the end is held.

        Args:
            time: Seconds from the start, a number or (M,) float64.

        Returns:
            Angles and speeds, each (N,) for a number and (M, N) for an array; radians, radians a second.
        """
        t = np.clip(np.atleast_1d(np.asarray(time, np.float64)), 0, self.duration)
        i = np.clip(np.searchsorted(self.times, t, side="right") - 1, 0, len(self.times) - 2)
        h = (self.times[i + 1] - self.times[i])[:, None]
        u = (t - self.times[i])[:, None] / h
        p0, p1 = self.positions[i], self.positions[i + 1]
        m0, m1 = h * self.velocities[i], h * self.velocities[i + 1]
        q = (
            (2 * u**3 - 3 * u**2 + 1) * p0
            + (u**3 - 2 * u**2 + u) * m0
            + (3 * u**2 - 2 * u**3) * p1
            + (u**3 - u**2) * m1
        )
        dq = (6 * (u**2 - u) * (p0 - p1) + (3 * u**2 - 4 * u + 1) * m0 + (3 * u**2 - 2 * u) * m1) / h
        return (q, dq) if np.ndim(time) else (q[0], dq[0])


@dataclass(frozen=True)
class Execution:
    """How a motion ended.

    Attributes:
        reason: "done"; "contact" in a motion that may meet things; "dry run"; "refused" before anything moved;
            "stopped" by someone; "limit" broken on the way; "stale" state; "fault" of the controller; "lost" device.
        q: (N,) float64 last known joint angles, radians.
        message: One sentence for the operator; empty where it is done.
    """

    reason: Reason
    q: FloatArray = field(repr=False)
    message: str = ""

    @property
    def done(self) -> bool:
        """Whether the end of the trajectory was reached."""
        return self.reason == "done"
