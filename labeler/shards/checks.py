"""How a shard's file is opened, and what an image of it must hold: nothing doubtful is handed on in silence."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from labeler.dataset.manifest import CURE, SCHEMA_VERSION
from labeler.shards.frame import IMAGES, SIZE
from sim.errors import InputError

_SMALL = ("grasps/offsets", "camera/intrinsics", "camera/pose", "objects/offsets", "scene", "view")
_KINDS = {name: "f" if name.startswith("camera/") else "iu" for name in _SMALL}  # numpy's letters
# What a file system says that has no locks (NFS, read-only media) or on which another program holds one.
_NO_LOCK = {errno.EAGAIN, errno.EACCES, errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.EROFS, errno.EBADF}


def open_shard(path: Path) -> h5py.File:
    """Opens a shard for reading, without a lock where there is none to be had: a finished shard is never written to.

    Raises:
        InputError: The file is missing, cannot be read, or is not HDF5.
    """
    if not path.is_file():
        raise InputError(f"shard {path} does not exist; {CURE}")
    try:
        try:
            return h5py.File(path, "r")
        except OSError as error:
            if error.errno not in _NO_LOCK:
                raise
            return h5py.File(path, "r", locking=False)
    except OSError as error:
        raise shard_error(path, error, "is truncated or not an HDF5 file") from error


def read_small(file: h5py.File, path: Path) -> dict[str, NDArray[Any]]:
    """Returns what an open shard says of its images, by the datasets' names; ``SIZE`` where they differ in size.

    Args:
        file: The shard.
        path: Its name, for the message.

    Raises:
        InputError: The file is not of this schema.
    """
    version = file.attrs.get("schema_version")
    missing = [name for name in _SMALL if name not in file]
    if not missing and len(file["scene"]):  # a shard whose scenes all failed has no images
        missing = [name for name in IMAGES if name not in file]
    if version != SCHEMA_VERSION or missing:
        what = f"lacks {', '.join(missing)}" if missing else f"has schema {version}, not {SCHEMA_VERSION}"
        raise InputError(f"shard {path} {what}; it was made by another version: {CURE}")
    small = {name: file[name][...] for name in _SMALL}
    wrong = [name for name, array in small.items() if array.ndim < 1 or array.dtype.kind not in _KINDS[name]]
    if wrong:
        raise InputError(f"shard {path} holds no numbers of their kind in {', '.join(wrong)}; {CURE}")
    if SIZE in file:
        size, largest = file[SIZE][...], file["depth"].shape[1:3] if "depth" in file else (0, 0)
        sound = size.shape == (len(small["scene"]), 2) and size.dtype.kind == "u"
        if not sound or not ((size >= 1) & (size <= np.array(largest))).all():
            raise InputError(f"shard {path}: {SIZE} holds no sizes of images within {largest}; {CURE}")
        small[SIZE] = size
    return small


def shard_error(path: Path, error: BaseException, damage: str) -> InputError:
    """Returns what to say of a shard that could not be read.

    A file that the system does not hand out may be sound: only one with wrong content is to be made again.

    Args:
        path: The shard.
        error: What h5py raised.
        damage: Clause about a file whose content is wrong.
    """
    if isinstance(error, MemoryError):
        return InputError(
            f"shard {path} does not fit into memory; free some, or run `python -m labeler validate` on it"
        )
    number = getattr(error, "errno", None)
    if number is None:
        return InputError(f"shard {path} {damage}; {CURE}")
    if "lock" in str(error):
        cure = "set HDF5_USE_FILE_LOCKING=FALSE, or close the program that holds it open"
        return InputError(f"shard {path} cannot be locked ({os.strerror(number)}); {cure}")
    cure = "see to its permissions and its disk, the data may be sound"
    return InputError(f"shard {path} cannot be read ({os.strerror(number)}); {cure}")


def find_fault(frame: Mapping[str, Any], bins: int | None = None) -> str:
    """Returns a clause about the first thing of an image that no camera or labeler gives, or "".

    Args:
        frame: The image, as ``labeler.shards.Frame``.
        bins: Number of angle bins, K; None where the data set does not say.
    """
    matrix, pose, grasps = frame["intrinsics"], frame["pose"], frame["grasps"]
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or min(matrix[0, 0], matrix[1, 1]) <= 0:
        return "camera/intrinsics are no camera's matrix"
    if pose.shape != (4, 4) or not np.isfinite(pose).all():
        return "camera/pose is no pose"
    sizes = {name: frame[name].shape for name in ("rgb", "depth", "depth_noisy", "instance_mask") if name in frame}
    for name, shape in sizes.items():
        if len(shape) != 2 + (name == "rgb") or 0 in shape or (name == "rgb" and shape[2] != 3):
            return f"{name} of shape {shape} is no image"
    if len({shape[:2] for shape in sizes.values()}) > 1:
        return f"{', '.join(sizes)} are not of one size"
    if len({len(getattr(grasps, name)) for name in ("row", "col", "angle_bin", "depth", "width", "score")}) > 1:
        return "the arrays of grasps/ are not of one length"
    if not (np.isfinite(grasps.depth).all() and np.isfinite(grasps.width).all() and (grasps.width >= 0).all()):
        return "grasps/depth and grasps/width are not all numbers"
    size = next(iter(sizes.values()), None)
    if len(grasps) and size is not None:
        corner = (grasps.row.max(), grasps.col.max())
        if min(grasps.row.min(), grasps.col.min()) < 0 or corner[0] >= size[0] or corner[1] >= size[1]:
            return "a grasp lies outside the image"
    if len(grasps) and bins is not None and not 0 <= grasps.angle_bin.min() <= grasps.angle_bin.max() < bins:
        return f"grasps/angle_bin is out of the range of {bins} bins"
    return ""
