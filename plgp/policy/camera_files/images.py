"""Colour and depth images as cameras and data sets store them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from plgp.policy.camera_files.arrays import read_array, without_single_axis
from sim.errors import InputError
from sim.view import check_depth_image

_NEAREST, _FARTHEST = 0.15, 2.0  # metres; medians of the images that this job has
_BELIEVED = 0.01, 100.0  # metres; no camera's median lies beyond, whatever scale is given
_DOUBTFUL = 1.0  # metres; whole numbers beyond, taken as millimetres, are often an L515's quarters
_ALIKE = 0.01  # by which the proportions of colour and depth may differ
_KINECT_MISSING = 2047  # 11 bits
_Z_BUFFER = "near * far / (far - (far - near) * d) with the renderer's near and far"
# Metres of one unit, and who writes them.
_SCALES = {
    0.001: "millimetres: most RealSense, Kinect, Orbbec",
    0.00025: "L515",
    0.0001: "D405, YCB-Video, Photoneo",
    0.0002: "TUM RGB-D",
    0.01: "centimetres",
    1.0: "metres",
}


def read_rgb(path: str | Path, size: tuple[int, int] | None = None, *, bgr: bool = False) -> NDArray[np.uint8]:
    """Returns a colour image, (H, W, 3) uint8, from a PNG, JPEG, npy or npz file (array "rgb").

    Grey images are repeated, opacity is left out, 16 bits and floating numbers from 0 to 1 are scaled to 8 bits.

    Args:
        path: The file.
        size: Height and width of the depth image, which decides whether an EXIF orientation counts; None follows it.
        bgr: Whether blue comes first, as in arrays of cv2 and of ROS's bgr8.

    Raises:
        InputError: The file is missing, broken, or an array of another shape or type.
    """
    image = found = without_single_axis(read_array(Path(path), "rgb", size))
    if image.ndim == 3 and image.shape[0] in (3, 4) and image.shape[2] not in (3, 4):
        image = np.moveaxis(image, 0, -1)
    if image.ndim == 2 and image.dtype.kind in "uif" and image.size:
        image = np.repeat(image[..., None], 3, axis=-1)
    if image.ndim == 3 and image.shape[2] == 4:
        image = image[..., :3]
    if image.ndim == 3 and image.shape[2] == 3 and image.size:
        if image.dtype.kind == "f" and np.isfinite(image).all() and image.min() >= 0 and image.max() <= 1:
            image = np.rint(image.astype(np.float64) * 255).astype(np.uint8)
        elif image.dtype.kind in "ui" and image.dtype.itemsize > 1 and image.min() >= 0 and image.max() <= 65535:
            image = (image if image.max() < 256 else image // 257).astype(np.uint8)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise InputError(f"rgb '{path}' is {found.dtype} {found.shape}; give (height, width, 3) uint8, red first")
    return np.ascontiguousarray(image[..., ::-1]) if bgr else image


def read_colours(path: str | Path, size: tuple[int, ...], *, bgr: bool = False) -> NDArray[np.uint8]:
    """Returns a colour image (H, W, 3) uint8 that is registered to a depth image of ``size`` (H, W).

    Args:
        path: The file; see ``read_rgb``.
        size: Height and width of the depth image.
        bgr: Whether blue comes first.

    Raises:
        InputError: The file cannot be read, or its size is another.
    """
    colours = read_rgb(path, (size[0], size[1]), bgr=bgr)
    if colours.shape[:2] != size:
        turned = ", which is transposed" if colours.shape[1::-1] == size else ""
        raise InputError(
            f"rgb '{path}' is {colours.shape[1]}x{colours.shape[0]}, depth {size[1]}x{size[0]} pixels"
            f"{turned}; give colour and depth registered to each other"
        )
    return colours


def colours_to_draw(
    path: str | Path, size: tuple[int, ...], *, needed: bool, bgr: bool = False
) -> tuple[NDArray[np.uint8] | None, str]:
    """Returns colours that only pictures show, (H, W, 3) uint8 or None, and a sentence where they are not as given.

    Phones and many cameras give colours of more pixels than the depth has: in the same proportion, they are resized.

    Args:
        path: The file; see ``read_rgb``.
        size: Height and width of the depth image.
        needed: Whether colours that cannot be had are an error; else the sentence says so.
        bgr: Whether blue comes first.

    Raises:
        InputError: Needed colours cannot be read, or have another proportion than the depth.
    """
    try:
        colours = read_rgb(path, (size[0], size[1]), bgr=bgr)
        if colours.shape[:2] != size and abs(colours.shape[1] * size[0] / (colours.shape[0] * size[1]) - 1) < _ALIKE:
            there = f"rgb '{path}' is {colours.shape[1]}x{colours.shape[0]}, depth {size[1]}x{size[0]} pixels"
            resized = cv2.resize(colours, (size[1], size[0]), interpolation=cv2.INTER_AREA)
            return np.asarray(resized, np.uint8), f"{there}: it is resized, and taken as registered to the depth"
        return read_colours(path, size, bgr=bgr), ""
    except InputError as error:
        if needed:
            raise
        return None, f"{error}; the grasps come from the depth alone, so they are made without colours"


def read_depth(
    path: str | Path, depth_scale: float | None = None, file_scale: float | None = None
) -> NDArray[np.float32]:
    """Returns a depth image, (H, W) float32, metres along the optical axis, 0 = missing.

    Args:
        path: A 16-bit PNG or TIFF, a PCD file, or an npy or npz file (array "depth"). NaN, infinite values, single
            negative values and the largest unsigned integer are taken as missing.
        depth_scale: Metres of one unit; None is ``file_scale`` or 0.001 for integers, and 1 for floating numbers. A
            scale that is given is believed: a doubtful median is then a warning on stderr, if it lies between 10 mm
            and 100 m.
        file_scale: Metres of one unit of integers as the camera's own file says, or None.

    Raises:
        InputError: The file is missing or broken, has 8 bits or colours, holds disparity or a z-buffer, or its depths
            are not those of something to grasp: most likely the scale is wrong.
    """
    found = read_array(Path(path), "depth")
    image = without_single_axis(found)
    _check_kind(image, path)
    whole = image.dtype.kind in "iu"
    given = depth_scale if depth_scale is not None else file_scale if whole else None
    scale = given if given is not None else (0.001 if whole else 1.0)
    if isinstance(scale, bool) or not (isinstance(scale, int | float) and np.isfinite(scale) and scale > 0):
        raise InputError(f"depth_scale is {scale}; give the metres of one unit, for example 0.001")
    units = _without_missing(image, path)
    _check_meaning(units, path, believed=depth_scale is not None, whole=whole)
    with np.errstate(over="ignore"):
        depth: NDArray[np.float32] = np.nan_to_num(units * scale, posinf=0.0).astype(np.float32)
    check_depth_image(np.nan_to_num(depth, posinf=0.0), f"depth '{path}'")
    _check_median(float(np.median(units[units > 0])), scale, path, believed=given is not None, whole=whole)
    return np.nan_to_num(depth, posinf=0.0)


def _check_kind(image: NDArray[Any], path: str | Path) -> None:
    """Raises InputError unless an array is one channel of more than 8 bits."""
    head = f"depth '{path}' is {image.dtype} {image.shape}, a picture"
    if image.ndim == 3:
        raise InputError(f"{head} in colours or of several channels; give the camera's 16-bit or float depths instead")
    if image.ndim != 2 or image.dtype.kind not in "iuf":
        raise InputError(f"{head}; give 16-bit or float depths")
    if image.dtype.itemsize == 1:
        raise InputError(f"{head} of 8 bits for looking at; give the camera's 16-bit or float depths instead")
    if not image.size:
        raise InputError(f"depth '{path}' is empty; give an image of (height, width)")


def _without_missing(image: NDArray[Any], path: str | Path) -> NDArray[np.float64]:
    """Returns the units of depth, (H, W) float64, 0 = missing."""
    units = image.astype(np.float64)
    if image.dtype.kind == "u" or units.max() in (65535, 2**32 - 1):
        units[(units == 65535) | (units == 2**32 - 1)] = 0
    units[~np.isfinite(units)] = 0
    if (units < 0).sum() > (units > 0).sum() and len(np.unique(units[units < 0])) > 1:
        raise InputError(f"depth '{path}' is negative, as OpenGL looks along -z; give its opposite, metres in front")
    units[units < 0] = 0
    return units


def _check_meaning(units: NDArray[np.float64], path: str | Path, *, believed: bool, whole: bool) -> None:
    """Raises InputError, or warns on stderr, where numbers look like raw disparity or like a z-buffer."""
    head, marked = f"depth '{path}'", units == _KINECT_MISSING
    seen = units[(units > 0) & ~marked]
    doubt = ""
    if whole and units.max() == _KINECT_MISSING and marked.sum() >= max(10, (units == 0).sum()):
        formula = "0.1236 * tan(d / 2842.5 + 1.1863)"
        doubt = f"{head} ends at 2047 as a Kinect's raw disparity does; give metres, {formula} for a Kinect v1"
    elif not whole and units.max() == 1 and ((units == 1).sum() >= 10 or not units.min() > 0):
        doubt = f"{head} goes up to 1 exactly, as a z-buffer or a normalised picture does; give metres, {_Z_BUFFER}"
    elif not whole and len(seen) and _is_flat_below_one(seen):
        doubt, believed = f"{head} lies closely below 1; if it is a z-buffer, give metres, {_Z_BUFFER}", True
    if doubt and not believed:
        raise InputError(f"{doubt}; depth_scale={0.001 if whole else 1} keeps it")
    if doubt:
        print(doubt, file=sys.stderr)


def _is_flat_below_one(seen: NDArray[np.float64]) -> bool:
    low, middle, high = np.percentile(seen, (1, 50, 99))
    return bool(middle > 0.9 and seen.max() < 1 and high - low < 0.02)


def _check_median(median: float, scale: float, path: str | Path, *, believed: bool, whole: bool) -> None:
    """Raises InputError, or warns on stderr, where the median depth is none of this job."""
    metres = median * scale
    far = _DOUBTFUL if whole and not believed else _FARTHEST
    if _NEAREST <= metres <= far:
        return
    likely = [
        f"with depth_scale={other:g} ({who}) the median would be {median * other:.2f} m"
        for other, who in _SCALES.items()
        if other != scale and _NEAREST <= median * other <= _FARTHEST and (whole or other >= 0.001)
    ]
    head = f"depth '{path}' has a median of {metres:.3g} m with depth_scale={scale:g}"
    if (believed and _BELIEVED[0] <= metres <= _BELIEVED[1]) or _NEAREST <= metres <= _FARTHEST:
        print(f"{head}; {', '.join(likely) or 'grasping is done from 0.15 to 2 m'}", file=sys.stderr)
        return
    if not likely:
        likely = ["if these are a disparity or inverse depths, give focal length times baseline over them"]
    cure = "give the metres of one unit" + ("" if believed else f", depth_scale={scale:g} to keep it")
    raise InputError(f"{head}; {', '.join(likely)}; {cure}")
