"""Intrinsics as other tools write them: JSON, YAML, OpenCV's XML, text, MATLAB, npy and npz files."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from plgp.policy.camera_files.arrays import read_npy
from plgp.policy.camera_files.azure_kinect import in_mode
from plgp.policy.camera_files.intrinsics_text import parse_text
from plgp.policy.camera_files.lenses import (
    FISHEYE,
    RADIAL,
    first_of,
    is_lens_of,
    is_number,
    known_model,
    plain_names,
    read_lens,
    stream_of,
)
from sim.errors import InputError
from sim.files import decoded

# Keys of other tools, whose capitals do not count.
_MATRIX_KEYS: tuple[str, ...] = ("intrinsics", "intrinsic_matrix", "camera_matrix", "cam_k", "camk", "k", "intrinsic")
_MATRIX_KEYS += ("m", "cameramatrix", "projection_matrix", "p", "mtx")
_FOUR_KEYS: tuple[tuple[str, ...], ...] = (
    ("fx", "fy", "cx", "cy"),
    ("fx", "fy", "ppx", "ppy"),
    ("fl_x", "fl_y", "cx", "cy"),
    ("f", "f", "cx", "cy"),
)
_FOUR_KEYS += (("fx_depth", "fy_depth", "mx_depth", "my_depth"), ("fx_color", "fy_color", "mx_color", "my_color"))
# A focal length, one number or two, and a point.
_PAIR_KEYS = (("focal_length", "principal_point"), ("focal", "center"), ("f", "c"), ("focallength", "principalpoint"))
_SIZE_KEYS: tuple[tuple[str, str], ...] = (("width", "height"), ("image_width", "image_height"), ("w", "h"))
_SIZE_KEYS += (("depthwidth", "depthheight"), ("colorwidth", "colorheight"))
_BOTH_SIZES = ("resolution", "image_size", "imagesize", "img_size", "size")  # width, height; also "640x480"
_UNIT_KEYS = ("depth_scale", "depth_units", "factor_depth", "depthmapfactor", "depth_factor")
_PLAIN = re.compile(r"\W|_")  # what keys are compared without
_WANTED = "give fx, fy, cx, cy (pixels), or a 3x3 matrix 'intrinsics'"


@dataclass(frozen=True, kw_only=True)
class Intrinsics:
    """What a file says of a camera.

    Attributes:
        matrix: (3, 3) float64, pixels, eq. (1).
        size: Height and width that the file states, pixels, or None.
        distortion: Coefficients of the lens, in the model's order; none for a rectified image.
        model: Name of the lens's model as the file spells it, or "".
        unread: Key of what seem to be coefficients, and are not understood, or "".
        unit: Metres of one unit of the depth image that the file states, or None.
        radius: Distance from the axis, on the plane z = 1, beyond which the lens's model is not measured, or None.
        window: Left, top, width and height of the part of that size which the camera delivers (ROS's roi), or None.
        binning: Columns and rows of that size which the camera then makes one (ROS's binning), or None.
    """

    matrix: NDArray[np.float64]
    size: tuple[int, int] | None = None
    distortion: tuple[float, ...] = ()
    model: str = ""
    unread: str = ""
    unit: float | None = None
    radius: float | None = None
    window: tuple[int, int, int, int] | None = None
    binning: tuple[int, int] | None = None


def parse_intrinsics(text: str | Path, frame: str = "", size: tuple[int, int] | None = None) -> Intrinsics:
    """Returns the intrinsics of four numbers "fx,fy,cx,cy" or of a file.

    Args:
        text: The numbers or the path.
        size: Height and width of the image, pixels, which say the mode of an Azure Kinect.
        frame: Name of the depth image. Its last number chooses in a file of several images (BOP's scene_camera.json).

    Raises:
        InputError: They cannot be read.
    """
    path, source = Path(text), f"'{text}'"
    parts = str(text).strip("[]() ").split(",")
    if len(parts) in (4, 9) and not os.path.isfile(path):
        try:
            return Intrinsics(matrix=_matrix([float(p) for p in parts], source))
        except ValueError as error:
            if isinstance(error, InputError):
                raise
            raise InputError(f"intrinsics={text} are not four numbers fx,fy,cx,cy in pixels") from error
    if not os.path.isfile(path):
        if re.search(r"[^\d.,;\s\[\]()e+-]", str(text)):
            raise InputError(f"intrinsics file '{text}' does not exist; {_WANTED}")
        raise InputError(
            f"intrinsics={text} are not four numbers with commas between; give fx,fy,cx,cy in pixels, or a file"
        )
    found, image = _read_document(path), _Image(frame, size)
    return _from_document(in_mode(found, size, source) or found, source, image)


class _Image(NamedTuple):
    """What is known of the image, which chooses in a file of several: its name and its (height, width), pixels."""

    name: str
    size: tuple[int, int] | None


def _matrix(values: Any, source: str) -> NDArray[np.float64]:
    """Returns (3, 3) of 4, 9, 12 or 16 numbers, row by row or (bottom row last) column by column."""
    try:
        matrix = np.array(values, np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"intrinsics in {source} are not numbers; give a 3x3 matrix, or fx, fy, cx, cy") from error
    if matrix.size == 4 and matrix.shape != (2, 2):
        fx, fy, cx, cy = matrix.ravel()
        matrix = np.array([fx, 0, cx, 0, fy, cy, 0, 0, 1])
    if matrix.size in (12, 16):
        matrix = _left_part(matrix.ravel())
    if matrix.size != 9:
        raise InputError(f"intrinsics in {source} have {matrix.size} numbers; give a 3x3 matrix, or fx, fy, cx, cy")
    matrix = matrix.reshape(3, 3)
    if np.array_equal(matrix[:, 2], (0, 0, 1)) and not np.array_equal(matrix[2], (0, 0, 1)):
        matrix = matrix.T
    if not np.isfinite(matrix).all():
        raise InputError(f"intrinsics in {source} hold NaN or infinite numbers; {_WANTED}")
    if not matrix.any():
        raise InputError(f"intrinsics in {source} are all 0: the camera is not calibrated; {_WANTED}")
    if not np.array_equal(matrix[2], (0, 0, 1)):
        raise InputError(f"intrinsics in {source} are no camera matrix: its last row is not 0, 0, 1")
    return matrix


def _left_part(numbers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the left (3, 3) of a 3x4 or 4x4 matrix, given row by row or column by column."""
    if numbers.size == 12:
        by_rows = numbers.reshape(3, 4)
        return by_rows[:, :3] if np.array_equal(by_rows[2, :3], (0, 0, 1)) else numbers.reshape(4, 3).T[:, :3]
    return numbers.reshape(4, 4)[:3, :3]


def _from_document(found: Any, source: str, image: _Image, depth: int = 0) -> Intrinsics:
    if isinstance(found, list) and found and all(isinstance(camera, Mapping) for camera in found):
        found = found[0] if len(found) == 1 else {str(number): camera for number, camera in enumerate(found)}
    if not isinstance(found, Mapping):
        return Intrinsics(matrix=_matrix(found, source))
    names = _of_matlab(plain_names(found))
    four = next((four for four in _FOUR_KEYS if set(four) <= set(names)), ())
    stated = _stated(_without_others(names, four), source)
    if four:
        return replace(stated, matrix=_matrix([names[key] for key in four], source))
    for focal, centre in _PAIR_KEYS:
        if np.size(names.get(focal, ())) in (1, 2) and np.size(names.get(centre, ())) == 2:
            lengths = np.resize(np.asarray(names[focal]), 2)
            return replace(stated, matrix=_matrix([*lengths, *np.ravel(names[centre])], source))
    value = first_of(names, _MATRIX_KEYS)
    if value is not None and isinstance(value, Mapping):
        return _filled(_from_document(value, source, image, depth + 1), stated)
    if value is not None:
        return replace(stated, matrix=_matrix(value, source))
    return _from_parts(names, source, image=image, depth=depth)


def _without_others(names: dict[str, Any], own: tuple[str, ...]) -> dict[str, Any]:
    """Returns a mapping without the lenses of its other cameras, as color_distortion beside K and K_color.

    Args:
        names: All that is said.
        own: Keys of the camera that is read, which are not another's.
    """
    others = {key: value for key, value in names.items() if key not in (*_MATRIX_KEYS, *own) and value is not None}
    return {key: value for key, value in names.items() if not _has_camera(others, stream_of(key, value))}


def _has_camera(names: dict[str, Any], stream: str) -> bool:
    """Returns whether there are intrinsics of a stream, as K_color, color_fx or a mapping "color" of "color"."""
    kinds = {_PLAIN.sub("", kind) for kind in (*_MATRIX_KEYS, *(keys[0] for keys in (*_FOUR_KEYS, *_PAIR_KEYS)))}
    for key, value in names.items() if stream else ():
        bare = _PLAIN.sub("", key)
        rest = bare.removeprefix(stream) if bare.startswith(stream) else bare.removesuffix(stream)
        within = kinds | {"", "camera", "cam"} if isinstance(value, Mapping) else kinds
        if rest != bare and rest in within:
            return True
    return False


def _filled(inner: Intrinsics, outer: Intrinsics) -> Intrinsics:
    """Returns what a part of a file says of a camera, and what the file says around it where the part is silent."""
    told = ("size", "distortion", "model", "unread", "unit", "radius", "window", "binning")
    return Intrinsics(matrix=inner.matrix, **{key: getattr(inner, key) or getattr(outer, key) for key in told})


def _from_parts(names: dict[str, Any], source: str, *, image: _Image, depth: int) -> Intrinsics:
    """Returns the one camera in a file of several images or streams; raises InputError if that is not clear."""
    inner = {key: value for key, value in names.items() if isinstance(value, Mapping)}
    numbers = re.findall(r"\d+", Path(image.name).stem)
    if numbers and all(key.isdigit() for key in inner):
        chosen = [key for key in inner if int(key) == int(numbers[-1])]
        inner = {key: inner[key] for key in chosen} or inner
    cameras: dict[str, Intrinsics] = {}
    for key, value in inner.items() if depth < 3 else ():
        try:
            cameras[key] = _from_document(value, source, image, depth + 1)
        except InputError:
            continue
    if not cameras:
        keys = ", ".join(list(names)[:8])
        raise InputError(f"no intrinsics in {source}{f' (keys {keys})' * bool(keys)}; {_WANTED}")
    around = _stated(_without_others(names, tuple(cameras)), source)
    around = around if len(cameras) == 1 else replace(around, unread="")  # which may be another camera's lens
    fitting = {key: camera for key, camera in cameras.items() if camera.size is not None and camera.size == image.size}
    cameras = fitting or cameras
    cameras = {key: _with_lens_beside(camera, key, names, source) for key, camera in cameras.items()}
    if image.name and _differ(cameras, lens=True) and not _differ(cameras, lens=False):
        of_depth = {key: camera for key, camera in cameras.items() if "depth" in key}  # the name is the depth image's
        cameras = of_depth or cameras
    first = next(iter(cameras.values()))
    if _differ(cameras, lens=True):
        raise InputError(f"{source} holds the cameras {', '.join(list(cameras)[:8])}; give the one of this image")
    return _filled(first, around)


def _differ(cameras: dict[str, Intrinsics], *, lens: bool) -> bool:
    """Returns whether cameras are not all the same, their lenses not counting unless ``lens``."""
    first, *others = cameras.values()
    if any(not np.array_equal(first.matrix, o.matrix) or (first.size, first.unit) != (o.size, o.unit) for o in others):
        return True
    return lens and any(_effect(first) != _effect(other) for other in others)


def _effect(camera: Intrinsics) -> tuple[Any, ...]:
    """Returns what a camera's lens does: its coefficients without zeros at their end, its kind, a key not read."""
    lens = tuple(np.trim_zeros(np.asarray(camera.distortion), "b").tolist())
    model = known_model(camera.model)
    kind = "" if not lens or model in RADIAL else "fisheye" if model in FISHEYE else model
    return lens, kind, "" if lens else camera.unread


def _with_lens_beside(camera: Intrinsics, key: str, names: dict[str, Any], source: str) -> Intrinsics:
    """Returns a camera with the lens that stands beside it, as Orbbec's depthDistortion beside depthIntrinsic."""
    beside = [other for other in names if is_lens_of(key, other) and other != key]
    if camera.distortion or not beside:
        return camera
    found = min(beside, key=lambda other: is_number(names[other]))  # depth_dist may be metres
    lens = _stated({found if is_number(names[found]) else "distortion": names[found]}, source)
    unread = camera.unread or (found if lens.unread else "")
    return replace(camera, distortion=lens.distortion, model=camera.model or lens.model, unread=unread)


def _of_matlab(names: dict[str, Any]) -> dict[str, Any]:
    """Returns MATLAB's cameraParameters as others state them: its pixels count from 1, its sizes are rows first."""
    if "radialdistortion" not in names or not {"intrinsicmatrix", "k"} & set(names):
        return names
    matrix = _matrix(names.get("intrinsicmatrix", names.get("k")), "MATLAB's parameters").copy()
    matrix[:2, 2] -= 1
    radial = np.ravel(names["radialdistortion"]).tolist()
    tangential = np.ravel(names.get("tangentialdistortion", (0.0, 0.0))).tolist()
    lens = [*radial[:2], *tangential, *radial[2:]]
    size = np.ravel(names.get("imagesize", ())).tolist()
    return {"k": matrix, "d": lens, "resolution": size[::-1]} if len(size) == 2 else {"k": matrix, "d": lens}


def _stated(names: dict[str, Any], source: str) -> Intrinsics:
    """Returns everything but the matrix; raises InputError where a value is no number."""
    try:
        size = next(((int(names[h]), int(names[w])) for w, h in _SIZE_KEYS if w in names and h in names), None)
        both: Any = next((names[key] for key in _BOTH_SIZES if key in names), ())
        both = re.findall(r"\d+", both) if isinstance(both, str) else both
        if size is None and np.size(both) == 2:
            width, height = both
            size = int(height), int(width)
        roi = names.get("roi")
        sides = ("x_offset", "y_offset", "width", "height")
        part = [int(roi[side]) for side in sides] if isinstance(roi, Mapping) and set(sides) <= set(roi) else [0]
        binning = max(1, int(names.get("binning_x") or 1)), max(1, int(names.get("binning_y") or 1))
        found = read_lens(names)
        lens = np.asarray(found.coefficients, np.float64).ravel()
        radius = float(names.get("metric_radius") or 0) or None
        unit = first_of(names, _UNIT_KEYS)
        metres = None if unit is None else _unit(float(np.asarray(unit, np.float64).item()))
    except (TypeError, ValueError, OverflowError, LookupError) as error:
        raise InputError(f"{source} has a size, distortion or depth scale that is no number; correct it") from error
    if size is not None and min(size) < 1:
        size = None  # ROS leaves them 0 where they are not known
    window = (part[0], part[1], part[2], part[3]) if len(part) == 4 and min(part[2:]) > 0 else None
    if not np.isfinite(lens).all():
        raise InputError(f"{source} has distortion coefficients that are not finite; correct them")
    return Intrinsics(
        matrix=np.eye(3), size=size, distortion=tuple(lens.tolist()), model=found.model, unread=found.unread,
        unit=metres, radius=radius, window=window, binning=binning if binning != (1, 1) else None,
    )  # fmt: skip


def _unit(stated: float) -> float:
    """Returns the metres of one unit: BOP states millimetres, RealSense metres, GraspNet and TUM units a metre."""
    if not np.isfinite(stated) or stated <= 0:
        raise ValueError(stated)
    return 1 / stated if stated >= 100 else stated if stated < 0.005 else 0.001 * stated


def _read_document(path: Path) -> Any:
    suffix = path.suffix.lower()
    if suffix in (".npy", ".npz"):
        return _read_numpy(path)
    if suffix == ".mat":
        return _read_matlab(path)
    import yaml

    try:
        return parse_text(decoded(path.read_bytes()))
    except (OSError, UnicodeDecodeError, ValueError, RecursionError, LookupError, yaml.YAMLError) as error:
        raise InputError(f"intrinsics file '{path}' is neither JSON nor YAML, nor 9 numbers as text") from error


def _read_numpy(path: Path) -> Any:
    if path.suffix.lower() == ".npy":
        try:
            return read_npy(path)
        except InputError:
            raise
        except Exception as error:  # whatever a broken file leads to
            raise InputError(f"intrinsics file '{path}' cannot be read ({type(error).__name__}); {_WANTED}") from error
    import zipfile
    import zlib

    try:
        with np.load(path, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays if arrays[name].size < 64}
            return next(iter(found.values())) if len(found) == 1 else found
    except (OSError, EOFError, ValueError, LookupError, zipfile.BadZipFile, zlib.error, AttributeError) as error:
        raise InputError(f"intrinsics file '{path}' cannot be read ({type(error).__name__}); {_WANTED}") from error


def _read_matlab(path: Path) -> Any:
    from scipy.io import loadmat

    try:
        return loadmat(path)
    except Exception as error:  # a broken file ends SciPy's reader in many ways
        raise InputError(f"intrinsics file '{path}' is no MATLAB file of version 7 or before; {_WANTED}") from error
