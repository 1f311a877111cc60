"""Inner loops of ``robot.kinematics``: a chain's frames, its Jacobian, and the descent towards a pose."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim.compiled import compiled

FloatArray = NDArray[np.float64]


@compiled
def _multiply(a: FloatArray, b: FloatArray, product: FloatArray) -> None:
    """Writes the product of two poses into a third array, each (4, 4).

    The loops here and below stand where ``@`` and slices would: those take numba many times longer to compile.
    """
    for i in range(4):
        for j in range(4):
            product[i, j] = a[i, 0] * b[0, j] + a[i, 1] * b[1, j] + a[i, 2] * b[2, j] + a[i, 3] * b[3, j]


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
    local, pose, placed = np.eye(4), np.eye(4), np.eye(4)
    for b in range(count):
        for i in range(4):
            for j in range(4):
                pose[i, j] = 1.0 if i == j else 0.0
        for i in range(joints):
            _multiply(pose, origins[i], placed)
            x, y, z = axes[i, 0], axes[i, 1], axes[i, 2]
            for k in range(3):
                places[b, i, k] = placed[k, 3]
                directions[b, i, k] = placed[k, 0] * x + placed[k, 1] * y + placed[k, 2] * z
            if sliding[i]:
                for k in range(3):
                    placed[k, 3] += q[b, i] * directions[b, i, k]
                pose, placed = placed, pose
                continue
            s, c = np.sin(q[b, i]), np.cos(q[b, i])
            d = 1.0 - c  # Rodrigues' formula
            local[0, 0], local[0, 1], local[0, 2] = c + x * x * d, x * y * d - z * s, x * z * d + y * s
            local[1, 0], local[1, 1], local[1, 2] = y * x * d + z * s, c + y * y * d, y * z * d - x * s
            local[2, 0], local[2, 1], local[2, 2] = z * x * d - y * s, z * y * d + x * s, c + z * z * d
            _multiply(placed, local, pose)
        _multiply(pose, tool, tips[b])
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
        u, v, w = directions[i, 0], directions[i, 1], directions[i, 2]
        if sliding[i]:
            jacobian[0, i], jacobian[1, i], jacobian[2, i] = u, v, w
            continue
        x, y, z = tip[0, 3] - places[i, 0], tip[1, 3] - places[i, 1], tip[2, 3] - places[i, 2]
        jacobian[0, i], jacobian[1, i], jacobian[2, i] = v * z - w * y, w * x - u * z, u * y - v * x
        jacobian[3, i], jacobian[4, i], jacobian[5, i] = u, v, w
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
    x, y, z = turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]
    sine = np.sqrt(x * x + y * y + z * z) / 2
    cosine = (turn[0, 0] + turn[1, 1] + turn[2, 2] - 1) / 2
    angle = np.arctan2(sine, cosine)
    if sine > 1e-9:
        share = angle / (2 * sine)
        error[3], error[4], error[5] = x * share, y * share, z * share
    elif cosine < 0:  # half a turn: the axis is the largest column of turn + 1
        largest = 0
        for i in range(3):
            if turn[i, i] > turn[largest, largest]:
                largest = i
        turn[largest, largest] += 1.0
        x, y, z = turn[0, largest], turn[1, largest], turn[2, largest]
        share = np.pi / np.sqrt(x * x + y * y + z * z)
        error[3], error[4], error[5] = x * share, y * share, z * share
    return error


@compiled
def _damped_step(jacobian: FloatArray, error: FloatArray, step: FloatArray) -> None:
    """Writes the joints' step that takes an error away, ``J^T (J J^T + d I)^-1 e``; d grows with the error.

    Args:
        jacobian: (6, N) as of ``chain_jacobian``.
        error: (6,) as of ``pose_error``; changes.
        step: (N,) becomes the step of each joint.
    """
    joints = len(step)
    root = np.zeros((6, 6))  # lower triangle L of Cholesky's J J^T + d I = L L^T
    damping = 1e-8
    for i in range(6):
        damping += 1e-3 * error[i] * error[i]
    for i in range(6):
        for j in range(i + 1):
            total = damping if i == j else 0.0
            for k in range(joints):
                total += jacobian[i, k] * jacobian[j, k]
            for k in range(j):
                total -= root[i, k] * root[j, k]
            root[i, j] = np.sqrt(max(total, 1e-30)) if i == j else total / root[j, j]
    for i in range(6):  # L y = e
        for k in range(i):
            error[i] -= root[i, k] * error[k]
        error[i] /= root[i, i]
    for i in range(5, -1, -1):  # L^T x = y
        for k in range(i + 1, 6):
            error[i] -= root[k, i] * error[k]
        error[i] /= root[i, i]
    for k in range(joints):
        step[k] = 0.0
        for i in range(6):
            step[k] += jacobian[i, k] * error[i]


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
    step = np.zeros(joints)
    for b in range(len(q)):
        for _ in range(iterations + 1):
            tip, places, directions = chain_frames(q[b : b + 1], origins, axes, sliding, tool)
            error = pose_error(poses[b], tip[0])
            near = True  # not by the largest error, which may be no number
            for k in range(6):
                near = near and abs(error[k]) < tolerance
            if near:
                reached[b] = True
                break
            jacobian = chain_jacobian(tip[0], places[0], directions[0], sliding)
            # Joints that a bound holds back take no part: the others make up for them.
            for i in range(joints):
                push = 0.0
                for k in range(6):
                    push += jacobian[k, i] * error[k]
                if (q[b, i] <= lower[i] and push < 0) or (q[b, i] >= upper[i] and push > 0):
                    for k in range(6):
                        jacobian[k, i] = 0.0
            _damped_step(jacobian, error, step)
            fastest = 1e-12
            for i in range(joints):
                fastest = max(fastest, abs(step[i]))
            scale = min(1.0, longest / fastest)
            for i in range(joints):
                q[b, i] = min(max(q[b, i] + scale * step[i], lower[i]), upper[i])
    return reached
