"""A camera's own files: colour and depth images, intrinsics, where to grasp. No data set, no simulator."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plgp.policy.workspace import Area, Workspace
from sim.camera import PinholeCamera
from sim.errors import InputError
from sim.view import check_depth_image

_MATRIX_KEYS = ("intrinsics", "intrinsic_matrix", "camera_matrix", "K", "k", "cam_K")
_CENTRE_KEYS = (("cx", "cy"), ("ppx", "ppy"))
_NEAREST, _FARTHEST = 0.05, 20.0  # metres; a median depth outside is in other units


def _read_array(path: Path, name: str) -> NDArray[Any]:
    """Returns the array of an image file, or of an npy or npz file (of several arrays, the one called ``name``)."""
    from PIL import Image

    if not path.is_file():
        raise InputError(f"no {name} file at '{path}'; give another path")
    try:
        if path.suffix == ".npy":
            return np.asarray(np.load(path, allow_pickle=False))
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                names = list(arrays)
                if name not in names and len(names) != 1:
                    raise InputError(f"'{path}' holds {', '.join(names)}; name the array that is meant '{name}'")
                return np.asarray(arrays[name if name in names else names[0]])
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB") if name == "rgb" else image)
    except (OSError, EOFError, ValueError, SyntaxError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"{name} file '{path}' cannot be read ({type(error).__name__}); give PNG, JPEG, npy or npz"
        ) from error


def read_rgb(path: str | Path) -> NDArray[np.uint8]:
    """Returns a colour image, (H, W, 3) uint8, from a PNG, JPEG, npy or npz file (array "rgb").

    Raises:
        InputError: The file is missing, broken, or an array of another shape or type.
    """
    image = _read_array(Path(path), "rgb")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise InputError(f"rgb '{path}' is {image.dtype} {image.shape}; give (height, width, 3) uint8, red first")
    return image


def read_depth(path: str | Path, depth_scale: float | None = None) -> NDArray[np.float32]:
    """Returns a depth image, (H, W) float32, metres along the optical axis, 0 = missing.

    Args:
        path: A 16-bit PNG or TIFF, or an npy or npz file (array "depth"). NaN and infinite values are taken as
            missing.
        depth_scale: Metres of one unit; None is 0.001 for integers and 1 for floating numbers.

    Raises:
        InputError: The file is missing or broken, has 8 bits or colours, or its depths are not those of something to
            grasp: most likely the scale is wrong.
    """
    image = _read_array(Path(path), "depth")
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[..., 0]
    if image.ndim != 2 or image.dtype in (np.uint8, np.int8) or image.dtype.kind not in "iuf":
        raise InputError(f"depth '{path}' is {image.dtype} {image.shape}, a picture; give 16-bit or float depths")
    scale = depth_scale if depth_scale is not None else (0.001 if np.issubdtype(image.dtype, np.integer) else 1.0)
    if not (isinstance(scale, int | float) and np.isfinite(scale) and scale > 0):
        raise InputError(f"depth_scale is {scale}; give the metres of one unit, for example 0.001")
    metres = np.nan_to_num(image.astype(np.float64), nan=0.0, posinf=0.0, neginf=0.0) * scale
    depth: NDArray[np.float32] = metres.astype(np.float32)
    check_depth_image(depth, f"depth '{path}'")
    middle = float(np.median(depth[depth > 0]))
    if not _NEAREST <= middle <= _FARTHEST:
        raise InputError(
            f"depth '{path}' has a median of {middle:.3g} m with depth_scale={scale:g}; give the metres of one unit"
        )
    return depth


def _matrix(values: Any, source: str) -> NDArray[np.float64]:
    """Returns a (3, 3) matrix from nested or flat numbers, row by row or (Open3D) column by column."""
    try:
        matrix = np.array(values, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"intrinsics in {source} are not numbers; give a 3x3 matrix, or fx, fy, cx, cy") from error
    if matrix.size != 9:
        raise InputError(f"intrinsics in {source} have {matrix.size} numbers; give a 3x3 matrix, or fx, fy, cx, cy")
    matrix = matrix.reshape(3, 3)
    if np.array_equal(matrix[:, 2], (0, 0, 1)) and not np.array_equal(matrix[2], (0, 0, 1)):
        matrix = matrix.T
    if not np.array_equal(matrix[2], (0, 0, 1)):
        raise InputError(f"intrinsics in {source} are no camera matrix: its last row is not 0, 0, 1")
    return matrix


def _from_mapping(found: Any, source: str) -> NDArray[np.float64]:
    if not isinstance(found, Mapping):
        return _matrix(found, source)
    for x, y in _CENTRE_KEYS:
        if {"fx", "fy", x, y} <= set(found):
            fx, fy, cx, cy = (found[key] for key in ("fx", "fy", x, y))
            return _matrix([fx, 0, cx, 0, fy, cy, 0, 0, 1], source)
    for key in _MATRIX_KEYS:
        if key in found:
            value = found[key]
            value = value["data"] if isinstance(value, Mapping) and "data" in value else value
            return _from_mapping(value, source)
    raise InputError(f"no intrinsics in {source}; give fx, fy, cx, cy (pixels), or a 3x3 matrix 'intrinsics'")


def read_intrinsics(text: str | Path, size: tuple[int, int]) -> PinholeCamera:
    """Returns the camera of an image; its pose is unknown and left at the identity.

    Args:
        text: "fx,fy,cx,cy" in pixels, or the path of a JSON, YAML or npy file. A file holds the same four keys (or
            ppx, ppy), or a 3x3 matrix called intrinsics, intrinsic_matrix, camera_matrix or K, as ROS, Open3D and
            RealSense write them. The image is taken as rectified: lens distortion is not undone.
        size: Height and width of the image, pixels.

    Raises:
        InputError: They cannot be read, or do not fit the image.
    """
    path, source = Path(text), f"'{text}'"
    parts = str(text).strip("[]() ").split(",")
    if len(parts) == 4 and not path.is_file():
        try:
            fx, fy, cx, cy = (float(p) for p in parts)
        except ValueError as error:
            raise InputError(f"intrinsics={text} are not four numbers fx,fy,cx,cy in pixels") from error
        matrix = _matrix([fx, 0, cx, 0, fy, cy, 0, 0, 1], source)
    elif path.suffix == ".npy":
        matrix = _matrix(_read_array(path, "intrinsics"), source)
    elif path.is_file():
        matrix = _from_mapping(_read_document(path), source)
    else:
        raise InputError(f"intrinsics={text} are neither fx,fy,cx,cy nor a file")
    height, width = size
    if not (0 <= matrix[0, 2] < width and 0 <= matrix[1, 2] < height):
        raise InputError(
            f"the principal point ({matrix[0, 2]:g}, {matrix[1, 2]:g}) of intrinsics {source} lies outside "
            f"the {width}x{height} image; give the intrinsics of this resolution"
        )
    return PinholeCamera(width, height, matrix)


def _read_document(path: Path) -> Any:
    import yaml

    try:
        text = path.read_text()
        # OpenCV's own tags and head line are no plain YAML.
        return json.loads(text) if path.suffix == ".json" else yaml.safe_load(text.replace("!!opencv-matrix", ""))
    except (OSError, UnicodeDecodeError, ValueError, yaml.YAMLError) as error:
        raise InputError(f"intrinsics file '{path}' is neither JSON nor YAML") from error


def read_workspace(text: str | Path | None, size: tuple[int, int]) -> Area:
    """Returns where grasps may lie.

    Args:
        text: None or "none" for anywhere; the path of a mask image or npy file of the depth's size, in which 0 is
            forbidden; four numbers "left,top,right,bottom" for a box in the image, pixels, inclusive; six numbers
            "x,y,z,x,y,z" for a box in the camera frame, metres, least corner first.
        size: Height and width of the depth image, pixels.

    Raises:
        InputError: The text is none of these, does not fit the image, or allows nothing.
    """
    if text is None or str(text) in ("none", "null", ""):
        return None
    try:
        numbers = [float(p) for p in str(text).strip("[]() ").split(",")]
    except ValueError:
        return _read_mask(Path(text), size)
    if len(numbers) == 6:
        low, high = np.array(numbers[:3]), np.array(numbers[3:])
        if not (low < high).all():
            raise InputError(f"workspace={text}: give the box's least corner first, x,y,z,x,y,z in metres")
        return Workspace(tuple(low.tolist()), tuple(high.tolist()), "camera")
    if len(numbers) != 4:
        raise InputError(f"workspace={text}: give 4 numbers (pixels), 6 numbers (metres), or a mask image")
    left, top, right, bottom = (round(n) for n in numbers)
    mask = np.zeros(size, dtype=bool)
    mask[max(0, top) : max(0, bottom + 1), max(0, left) : max(0, right + 1)] = True
    if not mask.any():
        raise InputError(
            f"workspace={text} leaves no pixel of the {size[1]}x{size[0]} image; give left,top,right,bottom"
        )
    return mask


def _read_mask(path: Path, size: tuple[int, int]) -> NDArray[np.bool_]:
    image = _read_array(path, "workspace")
    if image.ndim == 3:  # the last of 2 or 4 channels says how opaque a pixel is
        image = np.asarray(image[..., : image.shape[2] - 1 + image.shape[2] % 2].any(axis=-1))
    mask: NDArray[np.bool_] = image > 0
    if mask.shape != size:
        raise InputError(f"workspace mask '{path}' is {mask.shape}, the depth image {size}; make them the same size")
    if not mask.any():
        raise InputError(f"workspace mask '{path}' is 0 everywhere; mark where grasps may lie")
    return mask
