"""The table of attempts: its columns, what a row says of its grasp, and how the attempt ended.

One row is one attempt. Protocol "rank" tries the first ``count`` grasps of a policy, the scene rebuilt before each:
they count for AP. Protocol "clear" clears the scene, with a new observation before each attempt: SR and PC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sim.errors import InputError
from sim.grasp import GraspPoses

FloatArray = NDArray[np.float64]

# The columns that name a row, in the order by which tables are sorted.
KEYS = ["policy", "category", "scene", "friction", "protocol", "attempt"]
# The grasp: the middle between the finger tips and the rotation, world frame; metres; the opening, metres.
# A row in which no grasp was executed lacks some of them (NaN).
GRASP = ["x", "y", "z", "qx", "qy", "qz", "qw", "width"]
# Column and type, in the order of the files.
DTYPES: dict[str, type] = {
    "policy": str,
    "privileged": bool,  # whether the policy saw more than the camera
    "category": str,
    "scene": np.int64,  # number of the scene in its category
    "objects": np.int64,  # number of objects in the scene before the first attempt
    "friction": np.float64,  # friction of the fingertips
    "protocol": str,  # "rank" or "clear"
    "attempt": np.int64,  # rank of the grasp, or number of the attempt in the clearing
    "success": bool,
    "reason": str,  # "" after a success, else why it failed
    "object": str,  # name of the object that was held, or that was gripped and lost
    "lifted": np.int64,  # number of objects that a success lifted
    "given": np.int64,  # number of grasps that the policy gave when it was asked
    "quality": np.float64,
    **dict.fromkeys(GRASP, np.float64),
    "seconds": np.float64,  # wall time of the attempt
    "plan_seconds": np.float64,  # wall time of the policy
}
COLUMNS = list(DTYPES)
# How a reason starts that is no outcome of an attempt, but a fault of the policy's answer.
RAISED = "policy raised"
OTHER_FRAME = "grasps in frame"
NO_POSE = "grasp is NaN"
WALL_TIMES = ["seconds", "plan_seconds"]  # the columns that differ from run to run

_NEEDED = [*KEYS, "privileged", "objects", "success", "lifted", "reason"]


def make_table(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Returns rows as a table with ``COLUMNS`` of their ``DTYPES``; each row has a value for every column."""
    return pd.DataFrame(list(rows), columns=COLUMNS).astype(DTYPES)


def sort_attempts(attempts: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows in their one order, numbered from 0."""
    return attempts.sort_values(KEYS, ignore_index=True)


def check_attempts(attempts: pd.DataFrame) -> None:
    """Raises InputError for a table that is empty, lacks columns, or holds an attempt twice."""
    missing = [c for c in _NEEDED if c not in attempts.columns]
    if missing:
        raise InputError(f"the table of attempts lacks {', '.join(missing)}; take one of run_benchmark")
    if attempts.empty:
        raise InputError("the table of attempts is empty; run the benchmark first")
    twice = attempts.duplicated(KEYS)
    if twice.any():
        where = ", ".join(f"{key} {attempts.loc[twice, key].iloc[0]}" for key in KEYS)
        raise InputError(f"an attempt stands twice in the table ({where}); give each run's policy a name of its own")


def record_grasp(grasp: GraspPoses) -> dict[str, float]:
    """Returns the columns ``GRASP`` and ``quality`` of one grasp.

    The quaternion is NaN where there is nothing to execute: a number of the grasp is not finite, or its rotation is
    none.

    Args:
        grasp: One grasp, world frame.
    """
    columns = {**dict.fromkeys(GRASP, np.nan), "quality": float(grasp.quality[0]), "width": float(grasp.width[0])}
    columns |= dict(zip("xyz", grasp.translation[0].tolist(), strict=True))
    numbers = np.concatenate([grasp.translation[0], grasp.rotation[0].ravel(), grasp.width])
    if np.isfinite(numbers).all() and abs(np.linalg.det(grasp.rotation[0]) - 1) <= 1e-3:
        quaternion = Rotation.from_matrix(grasp.rotation[0]).as_quat()
        columns |= dict(zip(("qx", "qy", "qz", "qw"), quaternion.tolist(), strict=True))
    return columns


def was_executed(attempts: pd.DataFrame) -> pd.Series[bool]:
    """Returns for each row whether a grasp was executed in it."""
    finite = np.isfinite(attempts[GRASP].to_numpy(np.float64)).all(axis=1)
    return pd.Series(finite, index=attempts.index)


def recorded_grasps(attempts: pd.DataFrame) -> GraspPoses:
    """Returns the grasps of rows in all of which one was executed (``was_executed``), world frame, in their order."""
    return _poses(attempts[GRASP].to_numpy(np.float64), attempts.quality.to_numpy(np.float64))


def recorded_grasp(row: Mapping[str, Any] | pd.Series[Any]) -> GraspPoses | None:
    """Returns the grasp of one row, world frame; None where none was executed."""
    numbers = np.array([[row[name] for name in GRASP]], np.float64)
    return _poses(numbers, np.array([row["quality"]], np.float64)) if np.isfinite(numbers).all() else None


def _poses(numbers: FloatArray, quality: FloatArray) -> GraspPoses:
    """Returns the grasps of (N, 8) finite numbers, the columns ``GRASP``, and their (N,) qualities."""
    rotation = Rotation.from_quat(numbers[:, 3:7]).as_matrix().reshape(-1, 3, 3)
    return GraspPoses(numbers[:, :3], rotation, numbers[:, 7], quality, "world")


def endings(attempts: pd.DataFrame) -> pd.Series[str]:
    """Returns how each attempt ended: "success", "policy raised", or the reason of the failure.

    A policy's own messages (numbers, file names) are left out: they would give every failure a line of its own.
    """
    raised = attempts.reason.str.startswith(RAISED)
    return attempts.reason.mask(raised, RAISED).mask(attempts.reason == "", "success")


def ending(reason: str) -> str:
    """Returns the word for how one attempt ended: its reason, or "success" where there is none."""
    return reason or "success"
