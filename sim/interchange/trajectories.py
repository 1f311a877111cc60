"""Poses of many images in one text, as SLAM programs and data sets write them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sim.errors import InputError
from sim.geometry import FloatArray

_NEAR = 0.02  # seconds by which a line's time and an image's name may differ
PLACE_COLUMNS = (("x", "y", "z"), ("tx", "ty", "tz"), ("px", "py", "pz"))  # names of a place's numbers in tables
_TIMES = ("timestamp", "time", "stamp", "t")
_NAMES = ("picture", "image", "name", "file", "filename", "frame")
_REDWOOD = [3, 4, 4, 4, 4]  # numbers a line: three indices, then the matrix


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """Poses by image.

    Attributes:
        poses: (N, 16) or (N, 7), row by row, or x, y, z, qx, qy, qz, qw; metres.
        times: Times of the poses, seconds; none where they have none.
        names: Names of the images; none where there are none, and the poses count from 0.
        inverse: Whether they are T_camera_world.
    """

    poses: FloatArray
    times: tuple[float, ...] = ()
    names: tuple[str, ...] = ()
    inverse: bool = False

    def numbers_of(self, frame: str) -> FloatArray:
        """Returns the 16 or 7 numbers of one image's pose; those of the only pose whatever the image.

        Args:
            frame: Name of the image: its time within 0.02 s, its name, or its last number. A number without a
                point is a time only where all times are whole: else image 1 would be the one at 1 s.

        Raises:
            InputError: There are several poses and none is the image's.
        """
        if len(self.poses) == 1:
            return np.asarray(self.poses[0], np.float64)
        stem, words = Path(frame).stem, re.findall(r"\d+(?:\.\d+)?", Path(frame).stem)
        found: list[int] = []
        counted = all(time == int(time) for time in self.times)  # times that are the frames' numbers
        if self.times and words and ("." in words[-1] or counted):
            nearest = int(np.argmin(np.abs(np.array(self.times) - float(words[-1]))))
            found = [nearest] if abs(self.times[nearest] - float(words[-1])) <= _NEAR else []
        elif self.names:
            found = [number for number, name in enumerate(self.names) if Path(name).stem == stem]
        elif not self.times and words and words[-1].isdigit():
            found = [int(words[-1])] if int(words[-1]) < len(self.poses) else []
        if len(found) != 1:
            by = "time" if self.times else "image's name" if self.names else "frame's number"
            raise InputError(f"the pose's file holds {len(self.poses)} poses by {by}, none of '{frame}'; give its own")
        return np.asarray(self.poses[found[0]], np.float64)


def read_trajectory(text: str) -> Trajectory | None:
    """Returns the poses of TUM's, KITTI's, Redwood's (Open3D's .log) or COLMAP's (images.txt) lines; None of others.

    TUM's lines are time, x, y, z, qx, qy, qz, qw, unless a head or a comment names another order; KITTI's are 3x4
    matrices row by row; COLMAP's are T_camera_world with qw first, every other line.

    Args:
        text: The file's text; "#" starts a comment.
    """
    lines = [re.sub(r"#.*", "", line).replace(",", " ").split() for line in text.splitlines()]
    lines = [line for line in lines if line]
    images = [line for line in lines if len(line) == 10 and re.search(r"\.\w{2,4}$", line[-1])]
    try:
        if images:
            rows = np.array([line[1:8] for line in images], np.float64)
            order = [4, 5, 6, 1, 2, 3, 0]
            return Trajectory(poses=rows[:, order], names=tuple(line[-1] for line in images), inverse=True)
        if lines and {"qx", "qw"} <= set(map(str.lower, lines[0])):
            return _of_columns([word.lower() for word in lines[0]], lines[1:])
        counts = {len(line) for line in lines}
        if counts == {8}:
            rows = np.array(lines, np.float64)
            order = [0, 1, 2, 4, 5, 6, 3] if re.search(r"^#.*q\w*w\b.*q\w*x\b", text, re.MULTILINE) else list(range(7))
            return Trajectory(poses=rows[:, 1:][:, order], times=tuple(rows[:, 0].tolist()))
        if counts == {12} or (counts == {16} and len(lines) > 1):
            rows = np.array(lines, np.float64)
            return Trajectory(poses=np.hstack([rows[:, :12], np.tile([0.0, 0, 0, 1], (len(rows), 1))]))
        blocks = [lines[start : start + 5] for start in range(0, len(lines), 5)]
        if blocks and all([len(line) for line in block] == _REDWOOD for block in blocks):
            return Trajectory(poses=np.array([np.concatenate(block[1:]) for block in blocks], np.float64))
    except ValueError:
        pass
    return None


def _of_columns(head: list[str], lines: list[list[str]]) -> Trajectory | None:
    """Returns the poses of a table whose columns are named; None where one is missing, ValueError for no number."""
    place = next((names for names in PLACE_COLUMNS if set(names) <= set(head)), None)
    if place is None or not lines or any(len(line) != len(head) for line in lines):
        return None
    columns = dict(zip(head, zip(*lines, strict=True), strict=True))
    poses = np.array([columns[name] for name in (*place, "qx", "qy", "qz", "qw")], np.float64).T
    names = next((columns[name] for name in _NAMES if name in columns), ())
    times = next((columns[name] for name in _TIMES if name in columns), ())
    return Trajectory(poses=poses, names=tuple(names), times=() if names else tuple(float(time) for time in times))
