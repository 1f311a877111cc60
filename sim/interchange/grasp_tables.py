"""Grasps as a CSV table: a row a grasp, a column a number, each by its name."""

from __future__ import annotations

import csv
import io
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sim.errors import InputError
from sim.interchange.trajectories import PLACE_COLUMNS

_QUATERNION = ("qx", "qy", "qz", "qw")
_MATRICES = tuple(tuple(f"r{row}{col}" for row in rows for col in rows) for rows in ("012", "123"))
_WIDTHS = ("width", "opening", "gripper_width", "gripper_opening")
_QUALITIES = ("quality", "score", "confidence")


class GraspTable(NamedTuple):
    """Grasps of a table.

    Attributes:
        poses: (N, 4, 4) float64, poses of the grasp frame, metres.
        width: (N,) float64 openings, metres; None where the table has none.
        quality: (N,) float64; falling by row where the table has none.
    """

    poses: NDArray[np.float64]
    width: NDArray[np.float64] | None
    quality: NDArray[np.float64]


def read_grasp_table(text: str, source: str) -> GraspTable:
    """Returns the grasps of a CSV table, whose separators are commas, semicolons or tabs.

    The columns are x, y, z (or tx, px ...), qx, qy, qz, qw (or r00 to r22, r11 to r33, row by row), and if there are
    any width and quality (or opening, score ...), in any order.

    Args:
        text: The file's text.
        source: The file's name in messages.

    Raises:
        InputError: A column is missing, or a row holds what is no number.
    """
    first = text.lstrip().partition("\n")[0]
    separator = max(";\t,", key=first.count)
    try:
        rows = list(csv.DictReader(io.StringIO(text.lstrip()), delimiter=separator))
    except csv.Error as error:
        raise InputError(f"{source} is no CSV table ({error}); write it again") from None
    columns = {str(name).strip().lower(): str(name) for name in (rows[0] if rows else first.split(separator))}
    place = next((names for names in PLACE_COLUMNS if set(names) <= set(columns)), None)
    turn = next((names for names in (_QUATERNION, *_MATRICES) if set(names) <= set(columns)), None)
    if place is None or turn is None:
        held = ", ".join(list(columns)[:12]) or "none"
        raise InputError(f"{source} has the columns {held}; name them x, y, z, qx, qy, qz, qw, width, quality")

    def numbers(names: tuple[str, ...]) -> NDArray[np.float64]:
        """Returns (N, len(names)) numbers; commas are decimal ones where they do not separate."""
        values = [[str(row[columns[name]]).replace(",", ".") for name in names] for row in rows]
        try:
            return np.array(values, np.float64).reshape(len(rows), len(names))
        except (ValueError, OverflowError):
            raise InputError(f"{source} holds what is no number in {', '.join(names)}; correct it") from None

    poses = np.tile(np.eye(4), (len(rows), 1, 1))
    poses[:, :3, 3] = numbers(place)
    turns = numbers(turn)
    if len(turn) == 9:
        poses[:, :3, :3] = turns.reshape(-1, 3, 3)
    elif len(rows):
        length = np.linalg.norm(turns, axis=1)
        if not (np.abs(length - 1) < 1e-2).all():
            bad = int(np.argmin(np.abs(length - 1) < 1e-2))
            raise InputError(f"{source}: the quaternion of grasp {bad} has not length 1; correct it")
        poses[:, :3, :3] = Rotation.from_quat(turns).as_matrix()
    found = {kind: next((name for name in kind if name in columns), None) for kind in (_WIDTHS, _QUALITIES)}
    width, quality = found[_WIDTHS], found[_QUALITIES]
    falling = np.linspace(1, 0, len(rows), endpoint=False)
    return GraspTable(
        poses,
        None if width is None else numbers((width,))[:, 0],
        falling if quality is None else numbers((quality,))[:, 0],
    )
