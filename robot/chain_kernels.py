"""Inner loops of ``robot.kinematics``: a chain's frames, its Jacobian, and the descent towards a pose."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.compiled import compiled

FloatArray = NDArray[np.float64]


@compiled
def chain_frames(
    q: FloatArray, origins: FloatArray, axes: FloatArray, sliding: NDArray[np.bool_], tool: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Returns the tip's and the joints' places for many positions.

    Args:
        q: (B, N) joint positions, radians or metres.
        origins: (N, 4, 4) pose of each joint in the one before it, metres.
        axes: (N, 3) axis of each joint in its own frame, unit length.
        sliding: (N,) whether a joint slides.
        tool: (4, 4) pose of the tip in the last joint's frame, metres.

    Returns:
        (B, 4, 4) T_base_tip; (B, N, 3) origin of each joint and (B, N, 3) its axis, base frame.
    """
    count, joints = q.shape
    tips = np.zeros((count, 4, 4))
    places, directions = np.zeros((count, joints, 3)), np.zeros((count, joints, 3))
    local = np.eye(4)
    for b in range(count):
        pose = np.eye(4)
        for i in range(joints):
            pose = pose @ origins[i]
            x, y, z = axes[i, 0], axes[i, 1], axes[i, 2]
            places[b, i] = pose[:3, 3]
            directions[b, i] = pose[:3, 0] * x + pose[:3, 1] * y + pose[:3, 2] * z
            if sliding[i]:
                pose[:3, 3] += q[b, i] * directions[b, i]
                continue
            s, c = np.sin(q[b, i]), np.cos(q[b, i])
            d = 1.0 - c  # Rodrigues' formula
            local[0, 0], local[0, 1], local[0, 2] = c + x * x * d, x * y * d - z * s, x * z * d + y * s
            local[1, 0], local[1, 1], local[1, 2] = y * x * d + z * s, c + y * y * d, y * z * d - x * s
            local[2, 0], local[2, 1], local[2, 2] = z * x * d - y * s, z * y * d + x * s, c + z * z * d
            pose = pose @ local
        tips[b] = pose @ tool
    return tips, places, directions


@compiled
def chain_jacobian(
    tip: FloatArray, places: FloatArray, directions: FloatArray, sliding: NDArray[np.bool_]
) -> FloatArray:
    """Returns (6, N) the tip's linear and angular velocity for each joint's, base frame.

    Args:
        tip: (4, 4) T_base_tip, metres.
        places: (N, 3) origin of each joint, base frame, metres.
        directions: (N, 3) axis of each joint, base frame.
        sliding: (N,) whether a joint slides.
    """
    joints = len(places)
    jacobian = np.zeros((6, joints))
    for i in range(joints):
        axis = directions[i]
        if sliding[i]:
            jacobian[:3, i] = axis
            continue
        x, y, z = tip[0, 3] - places[i, 0], tip[1, 3] - places[i, 1], tip[2, 3] - places[i, 2]
        jacobian[0, i] = axis[1] * z - axis[2] * y
        jacobian[1, i] = axis[2] * x - axis[0] * z
        jacobian[2, i] = axis[0] * y - axis[1] * x
        jacobian[3:, i] = axis
    return jacobian


@compiled
def pose_error(wanted: FloatArray, now: FloatArray) -> FloatArray:
    """Returns (6,) the shift (m) and the turn (rotation vector, radians, base frame) from a pose to the one wanted."""
    error = np.zeros(6)
    turn = np.zeros((3, 3))
    for i in range(3):
        error[i] = wanted[i, 3] - now[i, 3]
        for j in range(3):
            for k in range(3):
                turn[i, j] += wanted[i, k] * now[j, k]
    skew = np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
    sine = np.sqrt((skew**2).sum()) / 2
    cosine = (turn[0, 0] + turn[1, 1] + turn[2, 2] - 1) / 2
    angle = np.arctan2(sine, cosine)
    if sine > 1e-9:
        error[3:] = skew * (angle / (2 * sine))
    elif cosine < 0:  # half a turn: the axis is the largest column of turn + 1
        largest = 0
        for i in range(3):
            if turn[i, i] > turn[largest, largest]:
                largest = i
        axis = turn[:, largest].copy()
        axis[largest] += 1.0
        error[3:] = axis * (np.pi / np.sqrt((axis**2).sum()))
    return error


@compiled
def descend(
    poses: FloatArray,
    q: FloatArray,
    chain: tuple[FloatArray, FloatArray, NDArray[np.bool_], FloatArray],
    bounds: tuple[FloatArray, FloatArray],
    limits: tuple[int, float, float],
) -> NDArray[np.bool_]:
    """Moves joints towards poses by damped least squares, within their bounds; changes ``q``.

    Args:
        poses: (B, 4, 4) T_base_tip, metres.
        q: (B, N) starts; ends at the positions.
        chain: Origins, axes, sliding and tool of ``chain_frames``.
        bounds: (N,) least and (N,) greatest positions.
        limits: Greatest number of steps, the error (m and rad) that counts as reached, and the longest step of a joint.

    Returns:
        (B,) bool: which have reached their poses.
    """
    origins, axes, sliding, tool = chain
    lower, upper = bounds
    iterations, tolerance, longest = limits
    reached = np.zeros(len(q), np.bool_)
    joints = q.shape[1]
    for b in range(len(q)):
        for _ in range(iterations + 1):
            tip, places, directions = chain_frames(q[b : b + 1], origins, axes, sliding, tool)
            error = pose_error(poses[b], tip[0])
            if np.abs(error).max() < tolerance:
                reached[b] = True
                break
            jacobian = chain_jacobian(tip[0], places[0], directions[0], sliding)
            # Joints that a bound holds back take no part: the others make up for them.
            for i in range(joints):
                push = (jacobian[:, i] * error).sum()
                if (q[b, i] <= lower[i] and push < 0) or (q[b, i] >= upper[i] and push > 0):
                    jacobian[:, i] = 0.0
            square = jacobian @ jacobian.T + (1e-3 * (error**2).sum() + 1e-8) * np.eye(6)
            step = jacobian.T @ np.linalg.solve(square, error)
            scale = min(1.0, longest / max(np.abs(step).max(), 1e-12))
            for i in range(joints):
                q[b, i] = min(max(q[b, i] + scale * step[i], lower[i]), upper[i])
    return reached
