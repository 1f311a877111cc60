"""Pictures of the board with the flange's pose of the same moment, from a folder or from the devices."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from plgp.policy.camera_files import Calibration, read_calibration, read_rgb
from robot.calibration.board import Board
from sim.camera import PinholeCamera
from sim.errors import InputError
from sim.geometry import make_pose

FloatArray = NDArray[np.float64]
POSES = "poses.csv"
COLUMNS = ("picture", "x", "y", "z", "qx", "qy", "qz", "qw")
LEAST_CORNERS = 8


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Corners of the board in one picture.

    Attributes:
        name: Name of the picture.
        flange: (4, 4) float64 T_base_flange at the moment of the picture, metres.
        points: (C, 3) float64 the corners in the board's frame, metres.
        pixels: (C, 2) float64 their columns and rows in the picture, without the lens's distortion.
        camera: The camera; its pose is not used.
    """

    name: str
    flange: FloatArray
    points: FloatArray
    pixels: FloatArray
    camera: PinholeCamera


def sample_picture(
    rgb: NDArray[np.uint8], flange: FloatArray, board: Board, *, camera: Calibration | PinholeCamera, name: str = ""
) -> Sample | None:
    """Returns the corners of a picture, or None where it shows fewer than 8, or all of them on a line.

    Args:
        rgb: (H, W, 3) uint8.
        flange: (4, 4) T_base_flange at the moment of the picture, metres.
        board: The board in the picture.
        camera: The camera, with its lens where the picture is not rectified.
        name: Name of the picture.
    """
    ids, pixels = board.find(rgb)
    points = board.corners[ids]
    if len(ids) < LEAST_CORNERS or np.linalg.matrix_rank(points - points.mean(0), tol=1e-6) < 2:
        return None
    lens = camera.camera if isinstance(camera, Calibration) else camera
    if isinstance(camera, Calibration) and camera.distortion:
        model: Any = cv2.fisheye if camera.fisheye else cv2
        coefficients = np.array(camera.distortion)
        given = (pixels.reshape(-1, 1, 2), lens.intrinsics, coefficients)
        straight = model.undistortPoints(*given, P=lens.intrinsics)
        pixels = np.asarray(straight, np.float64).reshape(-1, 2)
    return Sample(name=name, flange=flange, points=points, pixels=pixels, camera=lens)


def read_samples(folder: Path, board: Board, intrinsics: str) -> tuple[list[Sample], list[str]]:
    """Reads a folder of pictures and its poses.csv.

    The table's columns are picture, x, y, z, qx, qy, qz, qw: the file's name and T_base_flange, metres.

    Args:
        folder: The folder.
        board: The board in the pictures.
        intrinsics: "fx,fy,cx,cy" or a file; see ``plgp.policy.camera_files.read_calibration``.

    Returns:
        The samples, and the names of pictures that do not show the board.

    Raises:
        InputError: The table, a picture or the intrinsics cannot be read, or no picture shows the board.
    """
    samples, empty = [], []
    for name, pose in read_poses(folder / POSES).items():
        picture = folder / name
        if not picture.is_file():
            raise InputError(f"{folder / POSES} names {name}, which is not in {folder}; correct the column 'picture'")
        rgb = read_rgb(picture)
        found = sample_picture(rgb, pose, board, camera=read_calibration(intrinsics, rgb.shape[:2]), name=name)
        if found is None:
            empty.append(name)
        else:
            samples.append(found)
    if empty and not samples:
        why = board.why_unseen(read_rgb(folder / empty[0]))
        raise InputError(
            f"none of the {len(empty)} pictures in {folder} shows the board of columns={board.columns} "
            f"rows={board.rows}; " + (why or "give the numbers of its squares as printed, and look at the light")
        )
    return samples, empty


def read_poses(path: Path) -> dict[str, FloatArray]:
    """Reads a table of poses: name of the picture -> (4, 4) T_base_flange.

    Raises:
        InputError: The table cannot be read, or a row holds no pose in metres and a unit quaternion.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file, skipinitialspace=True)
            missing = [c for c in COLUMNS if c not in (table.fieldnames or ())]
            if missing:
                raise InputError(f"{path} has no column {', '.join(missing)}; its first line is {','.join(COLUMNS)}")
            rows = list(table)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); write a line a picture there") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} is no table; its first line is {','.join(COLUMNS)}") from error
    poses: dict[str, FloatArray] = {}
    for line, row in enumerate(rows, 2):
        try:
            x, y, z, *turn = (float(row[c]) for c in COLUMNS[1:])
        except (TypeError, ValueError):
            raise InputError(
                f"line {line} of {path} is not seven numbers x, y, z, qx, qy, qz, qw; correct it"
            ) from None
        size = float(np.linalg.norm(turn))
        if not np.isfinite([x, y, z, *turn]).all():
            raise InputError(f"line {line} of {path} holds a number that is not finite; correct the line")
        if abs(size - 1) >= 0.01:
            raise InputError(f"line {line} of {path} has a quaternion of length {size:.3g}; give a unit one, qw last")
        if max(abs(x), abs(y), abs(z)) > 10:
            raise InputError(f"line {line} of {path} lies {max(abs(x), abs(y), abs(z)):.0f} m away; give metres")
        if (name := str(row["picture"])) in poses:
            raise InputError(f"line {line} of {path} names {name} a second time; leave one pose of it")
        poses[name] = make_pose(Rotation.from_quat(turn).as_matrix(), (x, y, z))
    return poses


def write_poses(path: Path, poses: dict[str, FloatArray]) -> None:
    """Writes a table of poses as ``read_poses`` reads it."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for name, pose in poses.items():
            turn = Rotation.from_matrix(pose[:3, :3]).as_quat()
            table.writerow([name, *(f"{v:.9g}" for v in (*pose[:3, 3], *turn))])
