"""The authors' published scenes: ``*_pose.mat``, which objects of a list lie where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError
from sim.objects import ObjectModel, ObjectSet
from sim.objects.urdf import read_base_link
from sim.physics import TraySettings, pose_to_matrix
from sim.scene import SceneState

FloatArray = NDArray[np.float64]


def read_pose_scene(
    path: str | Path,
    objects: ObjectSet,
    frame: str = "inertial",
    floor: float = 0.0,
    tray: TraySettings | None = None,
    category: str = "",
) -> SceneState:
    """Reads one of the authors' scene files.

    The file is MATLAB's. Its key ``A`` holds (N, 8) numbers, a row an object: the line in the list of
    models from 0, x, y, z in metres in the world frame, and a quaternion xyzw.

    The authors' tool writes what PyBullet's ``getBasePositionAndOrientation`` returns, the pose of the
    *inertial* frame: that of the link, moved by the URDF's ``<inertial><origin>``. It reads the same
    numbers back with ``loadURDF``, which takes them for the pose of the *link*. Where that origin is 0,
    as in the authors' files and PyBullet's own objects, both are the same. Elsewhere "inertial" puts
    the objects where they had come to rest, and "link" where the authors' tool puts them.

    Args:
        path: The file.
        objects: The set read from the list to which the file refers, ``ObjectSet.from_list``; without
            a list, rows count the set's objects. Objects made of bare meshes are centred on their centre
            of mass: their poses fit only if the file's were made with the same objects.
        frame: Which frame's poses the file holds, "inertial" or "link".
        floor: Height of the floor on which the objects lie in the file's world, metres; the scene's is 0.
            The authors' tray, PyBullet's ``tray_textured.obj`` times 0.43, has its floor at 0.0043.
        tray: The tray of the scene; None for the default.
        category: What the scene says that it is, for example "novel-5".

    Raises:
        InputError: The file cannot be read, lacks ``A`` or its shape, holds NaN, a quaternion of length
            0, or an index that the list does not have; or the frame is not known.
    """
    if frame not in ("inertial", "link"):
        raise InputError(f"frame is '{frame}'; choose inertial or link")
    rows = _rows(Path(path))
    models, poses = [], []
    for row in rows:
        try:
            model = objects.listed_model(int(row[0]))
        except InputError as error:
            raise InputError(f"scene file {path}: {error}") from error
        pose = pose_to_matrix(row[1:4] - [0, 0, floor], row[4:])
        if frame == "inertial" and not model.own_inertia:
            pose = pose @ np.linalg.inv(_inertial_frame(model))
        models.append(model)
        poses.append(pose)
    return SceneState(tuple(models), np.array(poses), tray or TraySettings(), category)


def _rows(path: Path) -> FloatArray:
    """Returns the checked (N, 8) numbers of a scene file."""
    from scipy.io import loadmat

    if not path.is_file():
        raise InputError(f"scene file {path} does not exist")
    try:
        content: dict[str, Any] = loadmat(path)
    except Exception as error:  # scipy raises whatever the broken file makes it raise
        raise InputError(f"scene file {path} is no MATLAB file that can be read ({error})") from error
    if "A" not in content:
        keys = ", ".join(k for k in content if not k.startswith("__")) or "nothing"
        raise InputError(f"scene file {path} has no key A but {keys}; give one of the authors' *_pose.mat")
    found = content["A"]
    if found.ndim != 2 or found.shape[1] != 8 or len(found) == 0 or not np.issubdtype(found.dtype, np.number):
        raise InputError(f"scene file {path}: A has shape {found.shape}; it needs rows of index, x, y, z, quaternion")
    if np.iscomplexobj(found) or not np.isfinite(found).all():
        raise InputError(f"scene file {path}: A holds values that are no finite numbers")
    rows = np.asarray(found, np.float64)
    if (rows[:, 0] != np.round(rows[:, 0])).any():
        raise InputError(f"scene file {path}: A's first column is no list of whole numbers")
    if (np.abs(np.linalg.norm(rows[:, 4:], axis=1) - 1) > 0.01).any():
        raise InputError(f"scene file {path}: A's last four columns are no quaternions of length 1")
    return rows


def _inertial_frame(model: ObjectModel) -> FloatArray:
    """Returns (4, 4) T_link_inertial of a URDF's first link, as Bullet takes it without the file's inertia."""
    pose = read_base_link(model.urdf).inertial.copy()
    pose[:3, 3] *= model.scale
    return pose
