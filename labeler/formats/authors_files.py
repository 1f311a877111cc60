"""The files that the authors' published generator writes, one view at a time.

What their code writes, as read in github.com/dexin-wang/ODG-Generation and .../AFFGA_Net_plgp:

*Raw*, one folder a view, named ``objects_first-model_drop_view`` (``05_0000_0_0``; render_grasp_data.py):
``camera_rgb.png``; ``camera_depth.mat`` (key A, float64, metres); ``camera_mask.mat`` (key A, PyBullet's
body numbers: tray 0, plane 1, camera model 2, then the objects); ``cameraPos.mat`` (``in``: eq. (1)'s matrix,
``pos``: 4x4, camera in world); ``objsPose.mat`` (key A: model number, position, quaternion xyzw);
``graspLabel.txt`` (generate_graspFig.py).

*Packed* for training, three files a view in one folder (create_dataset.py): ``NAME_rgb.png``;
``NAME_depth.mat`` (key A, uint16, whole millimetres, cut off, not rounded); ``NAME_grasp.txt`` in three
blocks with an empty line between: labels; angles added at labelled pixels (the two bins beside); the
8 neighbours. Only the first block is what was labelled: the rest is made again while training.

A line of either text is ``row col angle_bin width depth``, with single spaces; older files lack the depth.
``angle_bin`` is 0 ... 17 for k pi / 18, counter-clockwise as seen, which is this project's convention. The
width is in metres between the inner finger faces, 5 mm of gap on both sides included. The depth is in
metres below the *highest point between the contacts*; ours count from the surface at the pixel, and the
difference cannot be told without the parallel image: depths are taken over as they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labeler.labels import GraspLabels
from labeler.shards.frame import Frame
from sim.camera import PinholeCamera
from sim.errors import InputError
from sim.geometry import make_pose
from sim.gripper import GripperGeometry
from sim.view import ViewObject

ANGLES = 18  # K of the authors' labels
MARGIN_PX = 3  # around a label that counts as its object where there is no mask
VIEW_NAME = re.compile(r"(\d+)_(\d+)_(\d+)_(\d+)")  # objects, first model, drop, view
_FIRST_OBJECT = 2  # PyBullet's numbers below are tray and plane


@dataclass(frozen=True, kw_only=True)
class ViewFiles:
    """Files of one view.

    Attributes:
        name: Name of the view, ``objects_first-model_drop_view`` where the authors named it.
        labels: Text file of the labels, ``graspLabel.txt`` or ``NAME_grasp.txt``.
        rgb: PNG file of the colour image.
        depth: MATLAB file of the depth image.
        mask: File ``camera_mask.mat``; None in packed data.
        camera: File ``cameraPos.mat``; None in packed data.
        poses: File ``objsPose.mat``; None in packed data.
    """

    name: str
    labels: Path
    rgb: Path
    depth: Path
    mask: Path | None = None
    camera: Path | None = None
    poses: Path | None = None


def find_views(source: Path) -> list[ViewFiles]:
    """Returns the views below a folder, raw and packed, in the order of their names.

    Raises:
        InputError: It is no folder, or there are none.
    """
    if not source.is_dir():
        raise InputError(f"{source} is no folder; give the one that holds the authors' views")
    raw = [
        ViewFiles(
            name=p.parent.name,
            labels=p,
            rgb=p.with_name("camera_rgb.png"),
            depth=p.with_name("camera_depth.mat"),
            mask=p.with_name("camera_mask.mat"),
            camera=p.with_name("cameraPos.mat"),
            poses=p.with_name("objsPose.mat"),
        )
        for p in source.rglob("graspLabel.txt")
    ]
    packed = [
        ViewFiles(name=stem, labels=p, rgb=p.with_name(f"{stem}_rgb.png"), depth=p.with_name(f"{stem}_depth.mat"))
        for p in source.rglob("*_grasp.txt")
        for stem in [p.name.removesuffix("_grasp.txt")]
    ]
    if not raw and not packed:
        raise InputError(f"{source} holds no graspLabel.txt and no *_grasp.txt; give the folder of the authors' data")
    return sorted(raw + packed, key=lambda view: (view.name, str(view.labels)))


def read_labels(path: str | Path, shape: tuple[int, int] = (480, 640)) -> tuple[GraspLabels, bool]:
    """Returns the labels of a ``graspLabel.txt`` or of the first block of a ``*_grasp.txt``.

    Args:
        path: The text file.
        shape: Height and width of its image, pixels.

    Returns:
        The labels, and whether the file holds depths; where it does not, they are 0.

    Raises:
        InputError: A line is not of the format, or out of range; it names file and line.
    """
    path, gripper, rows = Path(path), GripperGeometry(), []
    try:
        lines = path.read_text().splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error})") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            break  # what follows is the enhancement
        try:
            row, col, angle_bin, width, *depth = map(float, line.split())
        except ValueError:
            raise InputError(f"{path}, line {number}: '{line[:40]}' is not 'row col angle_bin width depth'") from None
        limits = (shape[0] - 1, shape[1] - 1, ANGLES - 1, gripper.max_opening + 1e-6, gripper.finger_length + 1e-6)
        values = (row, col, angle_bin, width, *(depth or [0.0]))
        whole = row % 1 == col % 1 == angle_bin % 1 == 0
        if len(depth) > 1 or not whole or not all(0 <= v <= top for v, top in zip(values, limits, strict=True)):
            raise InputError(f"{path}, line {number}: '{line[:40]}' is out of range")
        rows.append((*values, bool(depth)))
    table = np.array(rows, np.float64).reshape(-1, 6)
    # The authors' own reader lets the last line of a cell win.
    keep = np.sort(len(table) - 1 - np.unique(table[::-1, :3], axis=0, return_index=True)[1])
    row, col, angle_bin, width, depth = table[keep, :5].T
    labels = GraspLabels(
        row.astype(np.uint16),
        col.astype(np.uint16),
        angle_bin.astype(np.uint8),
        depth.astype(np.float32),
        width.astype(np.float32),
        np.zeros(len(keep), np.float32),
    )
    return labels, bool(table[:, 5].all())


def read_view(view: ViewFiles) -> tuple[Frame, list[str]]:
    """Reads one view.

    Args:
        view: Files of the view.

    Returns:
        The frame without ``scene``, ``view`` and ``depth_noisy``, and one sentence for each thing that
        the files do not say and that was filled in. Objects' poses are PyBullet's: of the centre of mass.

    Raises:
        InputError: A file is missing or damaged, or labels, images and mask do not fit together.
    """
    defaults = ["depth of grasps: taken over, below the highest point between the contacts"]
    depth = _read_depth(view.depth)
    rgb = _read_rgb(view.rgb)
    if rgb.shape[:2] != depth.shape:
        raise InputError(f"{view.rgb} is {rgb.shape[:2]}, its depth {depth.shape}")
    labels, deep = read_labels(view.labels, depth.shape)
    if not deep:
        defaults.append("depth of grasps: 0 where a file holds none")
    if view.mask is not None and view.mask.is_file():
        mask, bodies = _read_mask(view.mask, depth.shape)
    else:
        mask, bodies = _mask_around(labels, depth.shape), np.zeros(0, np.int64)
        defaults.append(f"instance_mask: 1 within {MARGIN_PX} px of a label, 0 elsewhere, no objects")
    if not mask[labels.row, labels.col].all():
        raise InputError(f"{view.labels}: a label lies outside every object of {view.mask}")
    intrinsics, pose = PinholeCamera.from_fov(depth.shape[1], depth.shape[0]).intrinsics, np.eye(4)
    if view.camera is not None and view.camera.is_file():
        matrices = _load(view.camera)
        intrinsics, pose = _pick(matrices, (3, 3), view.camera), _pick(matrices, (4, 4), view.camera)
    else:
        defaults.append("camera: intrinsics of eq. (1), pose = identity")
    objects = _objects(view, mask, bodies, pose)
    if not objects:
        defaults.append("objects: none (poses are not stored, or an object is hidden)")
    frame: Frame = {
        "rgb": rgb,
        "depth": depth,
        "instance_mask": mask,
        "grasps": labels,
        "intrinsics": intrinsics,
        "pose": pose,
        "objects": objects,
    }
    return frame, defaults


def _read_depth(path: Path) -> NDArray[np.float32]:
    """Returns a depth image in metres: integers are millimetres, other numbers metres."""
    images = [v for v in _load(path).values() if v.ndim == 2 and min(v.shape) > 16]
    if len(images) != 1:
        raise InputError(f"{path} holds {len(images)} images, not one depth image")
    whole = np.issubdtype(images[0].dtype, np.integer)
    depth = images[0].astype(np.float64) * (1e-3 if whole else 1.0)
    if not (np.isfinite(depth).all() and depth.min() >= 0 and depth.any()):
        raise InputError(f"{path} is not a depth image: it is empty, negative or holds NaN")
    return depth.astype(np.float32)


def _read_rgb(path: Path) -> NDArray[np.uint8]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            return np.array(image.convert("RGB"), np.uint8)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error})") from error


def _load(path: Path) -> dict[str, NDArray[Any]]:
    """Returns the arrays of a MATLAB file."""
    from scipy.io import loadmat

    if not path.is_file():
        raise InputError(f"{path} is missing")
    try:
        content = loadmat(path)
    except Exception as error:  # scipy raises whatever the damage leads to
        raise InputError(f"{path} is no MATLAB file ({error})") from error
    return {k: v for k, v in content.items() if isinstance(v, np.ndarray) and not k.startswith("__")}


def _pick(arrays: dict[str, NDArray[Any]], shape: tuple[int, int], path: Path) -> NDArray[np.float64]:
    """Returns the one array of a shape, float64."""
    found = [v for v in arrays.values() if v.shape == shape]
    if len(found) != 1 or not np.isfinite(found[0].astype(np.float64)).all():
        raise InputError(f"{path} holds no {shape[0]}x{shape[1]} matrix")
    return found[0].astype(np.float64)


def _read_mask(path: Path, shape: tuple[int, int]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Returns the mask with the visible objects numbered from 1, and their body numbers in that order."""
    bodies = _pick(_load(path), shape, path)
    visible = np.unique(bodies[bodies >= _FIRST_OBJECT]).astype(np.int64)
    if len(visible) > 255:
        raise InputError(f"{path} shows {len(visible)} objects; shards hold 255")
    numbered = np.searchsorted(visible, bodies) + 1
    return np.where(bodies >= _FIRST_OBJECT, numbered, 0).astype(np.uint8), visible


def _mask_around(labels: GraspLabels, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Returns 1 near labels: as far as the enhancement reaches, also after a rotation has rounded pixels."""
    from scipy.ndimage import maximum_filter

    mask = np.zeros(shape, np.uint8)
    mask[labels.row, labels.col] = 1
    return maximum_filter(mask, 2 * MARGIN_PX + 1)


def _objects(
    view: ViewFiles, mask: NDArray[np.uint8], bodies: NDArray[np.int64], pose: NDArray[np.float64]
) -> tuple[ViewObject, ...]:
    """Returns the objects where as many are seen as have a pose: only then is it clear which is which."""
    from scipy.ndimage import find_objects
    from scipy.spatial.transform import Rotation

    if view.poses is None or not view.poses.is_file():
        return ()
    tables = [v for v in _load(view.poses).values() if v.ndim == 2 and v.shape[1] == 8]
    if len(tables) != 1 or len(tables[0]) != len(bodies):
        return ()
    result = []
    # Both the bodies' numbers and the rows of the table rise in the order of loading.
    for value, (row, (rows, cols)) in enumerate(zip(tables[0], find_objects(mask), strict=True), 1):
        world = make_pose(Rotation.from_quat(row[4:8]).as_matrix(), row[1:4])
        box = (rows.start, cols.start, rows.stop - 1, cols.stop - 1)
        result.append(ViewObject(f"model-{int(row[0])}", 1.0, value, np.linalg.inv(pose) @ world, world, box))
    return tuple(result)
