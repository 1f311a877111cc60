"""Arrays out of image, npy, npz, HDF5, MATLAB and text files."""

from __future__ import annotations

import os
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plgp.policy.camera_files.exr import read_exr
from plgp.policy.camera_files.point_clouds import read_pcd
from sim.errors import InputError
from sim.files import decoded
from sim.interchange.pickled_arrays import read_pickle

_BROKEN: tuple[type[Exception], ...] = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    SyntaxError,
    LookupError,
    ArithmeticError,
    RuntimeError,
)
_BROKEN += (zipfile.BadZipFile, zlib.error, struct.error, MemoryError)
_WORDS = {"rgb": ("color", "colour"), "workspace": ("mask", "seg")}  # in names of arrays
# Arrays that are no depth, and what to give instead.
_NO_DEPTHS = {
    r"dist(ance)?s?|ray_?(dist(ance)?|depth|length)s?|eucl\w*": (
        "the distance along each ray; give the depth along the axis (BlenderProc's enable_depth_output), which is the "
        "distance over sqrt(1 + ((u - cx) / fx)^2 + ((v - cy) / fy)^2)"
    ),
    r".*disp(arity)?": "a disparity; give metres, focal length times baseline over it",
    r".*inv(erse)?_?depth.*": "an inverse depth; give metres, 1 over it",
    r"(.*_)?normals?": "directions of surfaces; give the depth in metres",
}
_MOST_METRES = 20  # whole numbers beyond, of a file whose numbers have no type, count units as integers do
_ORIENTATION = 0x0112  # the tag of EXIF
_EIGHT_BIT = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB")


def read_array(path: Path, name: str, size: tuple[int, int] | None = None) -> NDArray[Any]:
    """Returns the array of an image file, or of an npy, npz, HDF5, MATLAB or text file (of several, the one ``name``).

    PCD and OpenEXR files are read as depth. An npy file may hold a pickled dictionary of arrays, as Contact-GraspNet's
    frames do.

    Args:
        path: The file.
        name: What it is: "rgb", "depth", "workspace" or "intrinsics".
        size: Height and width that are wanted, pixels. A colour image that fits only as it is stored is not turned as
            its EXIF orientation says.

    Raises:
        InputError: The file is missing, broken or of a kind that is not read.
    """
    from PIL import Image

    if not os.path.isfile(path):
        raise InputError(f"no {name} file at '{path}'; give another path")
    suffix = path.suffix.lower()
    if suffix == ".pcd" and name == "depth":
        return read_pcd(path)
    if suffix == ".exr" and name == "depth":
        return read_exr(path)
    if suffix in (".exr", ".hdr", ".pcd", ".ply", ".bag", ".raw", ".bin"):
        raise InputError(f"{name} file '{path}' is {suffix[1:].upper()}, which is not read; convert it to npy or PNG")
    try:
        if suffix == ".npy":
            found = read_npy(path)
            return np.asarray(
                found[_array_name(path, list(map(str, found)), name)] if isinstance(found, dict) else found
            )
        if suffix in (".csv", ".txt") and name != "rgb":
            return _typed(_from_text(path), name)
        if suffix == ".mat":
            return _typed(_from_matlab(path, name), name)
        if suffix in (".h5", ".hdf5"):
            return _from_hdf5(path, name)
        if suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                return np.asarray(arrays[_array_name(path, list(arrays), name)])
        with Image.open(path) as image:
            return _pixels(image, name, size)
    except _BROKEN + (Image.DecompressionBombError,) as error:  # noqa: RUF005
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name} file '{path}' cannot be read ({_why(error)}") from error


def _why(error: Exception) -> str:
    """Returns why a file cannot be read, and the cure, as the end of a sentence behind a bracket."""
    if "truncated" in str(error) or isinstance(error, EOFError):
        return "it is cut off); copy it again"
    return f"{type(error).__name__}); give PNG, JPEG, npy or npz"


def read_npy(path: Path) -> Any:
    """Returns the array of an npy file, or the dictionary of arrays that is pickled in it, without running any code.

    Raises:
        InputError: It holds other objects.
        ValueError: It is no npy file.
    """
    try:
        return np.load(path, allow_pickle=False)
    except ValueError as error:
        if "Object arrays" not in str(error):
            raise
    found = read_pickle(path)
    if not isinstance(found, dict):
        raise InputError(f"'{path}' holds a pickled {type(found).__name__}; give an array, or a dictionary of arrays")
    return found


def _from_text(path: Path) -> NDArray[np.float64]:
    """Returns a table of numbers, a line a row, with commas, semicolons or blanks between."""
    lines = decoded(path.read_bytes()).strip().splitlines()
    return np.array([[float(word) for word in re.split(r"[,;\s]+", line.strip(" ,;\t"))] for line in lines])


def _typed(image: NDArray[Any], name: str) -> NDArray[Any]:
    """Returns whole depths as integers where they cannot be metres: a text has no types, and MATLAB's are doubles."""
    if name != "depth" or image.dtype.kind != "f" or not np.isfinite(image).any():
        return image
    known = np.where(np.isfinite(image), image, 0)
    whole = known.max() > _MOST_METRES and abs(known).max() < 2**32 and np.array_equal(known, np.rint(known))
    return known.astype(np.int64) if whole else image


def _from_matlab(path: Path, name: str) -> NDArray[Any]:
    """Returns an array of a MATLAB file of version 7 or before."""
    from scipy.io import loadmat

    try:
        found = loadmat(path)
    except Exception as error:  # a broken file ends SciPy's reader in many ways
        raise InputError(f"{name} file '{path}' cannot be read: it is no MATLAB file of version 7 or before") from error
    arrays = {str(key): value for key, value in found.items() if not str(key).startswith("__")}
    return np.asarray(arrays[_array_name(path, list(arrays), name)])


def _from_hdf5(path: Path, name: str) -> NDArray[Any]:
    """Returns an array of an HDF5 file, such as BlenderProc writes for each picture."""
    import h5py

    with h5py.File(path, "r", locking=False) as file:
        arrays = [str(key) for key, value in file.items() if isinstance(value, h5py.Dataset)]
        return np.asarray(file[_array_name(path, arrays, name)])


def _array_name(path: Path, names: list[str], name: str) -> str:
    """Returns the array that is meant: the only one, the one of that name, or the only one whose name holds a word."""
    words = (name, *_WORDS.get(name, ()))
    if name == "depth" and name not in map(str.lower, names):
        _check_depths(path, names)
    if name in names or len(names) == 1:
        return name if name in names else names[0]
    found = [other for other in names if any(word in other.lower() for word in words)]
    if len(found) != 1:
        raise InputError(f"'{path}' holds {', '.join(names)}; name the array that is meant '{name}'")
    return found[0]


def _check_depths(path: Path, names: list[str]) -> None:
    """Raises InputError where the only array, or one beside none that may be depth, is known to be something else."""
    kinds = {other: kind for other in names for form, kind in _NO_DEPTHS.items() if re.fullmatch(form, other.lower())}
    if kinds and (len(names) == 1 or not any("depth" in other.lower() for other in set(names) - set(kinds))):
        other, kind = next(iter(kinds.items()))
        raise InputError(f"'{path}' has no depth, but '{other}', {kind}; name it 'depth'")


def _pixels(image: Any, name: str, size: tuple[int, int] | None) -> NDArray[Any]:
    from PIL import ImageOps

    if name != "rgb":
        return np.asarray(image)
    turned = image.getexif().get(_ORIENTATION, 1) != 1
    if turned and (size is None or image.size[::-1] != size or image.width == image.height):
        image = ImageOps.exif_transpose(image)
    return np.asarray(image.convert("RGB") if image.mode in _EIGHT_BIT else image)


def without_single_axis(image: NDArray[Any]) -> NDArray[Any]:
    """Returns (H, W) of (H, W, 1) or (1, H, W), (H, W, C) of (1, H, W, C), anything else as it is."""
    while image.ndim > 2 and image.shape[0] == 1:
        image = image[0]
    return image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image
