"""Where grasps may lie: boxes as text, masks as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from plgp.policy.camera_files.arrays import read_array, without_single_axis
from plgp.policy.camera_files.polygons import read_polygons
from plgp.policy.workspace import Area, Workspace
from sim.errors import InputError

_ISLAND, _RING = 20, 5  # pixels: least part of a mask that is looked at, and width of its surroundings
_FAR = 10.0  # metres from the camera at which nothing is grasped
_RISE = 0.005  # metres by which an object stands nearer than its surroundings


def read_workspace(text: str | Path | None, size: tuple[int, int], frame: str = "") -> Area:
    """Returns where grasps may lie.

    Args:
        text: None or "none" for anywhere; the path of a mask image or npy file of the depth's size, in which 0 is
            forbidden; the path of a JSON file of labelme, COCO or VIA, outside whose polygons is forbidden; four
            numbers "left,top,right,bottom" for a box in the image, pixels, inclusive; six numbers "x,y,z,x,y,z" for a
            box in the camera frame, metres, least corner first.
        size: Height and width of the depth image, pixels.
        frame: Name of the depth image, which chooses in a JSON file of several images.

    Raises:
        InputError: The text is none of these, does not fit the image, or a box allows nothing.
            A mask that is 0 everywhere allows nothing and is no error.
    """
    if text is None or str(text) in ("none", "null", ""):
        return None
    try:
        numbers = [float(p) for p in str(text).strip("[]() ").split(",")]
    except ValueError:
        path = Path(text)
        return read_polygons(path, size, frame) if path.suffix.lower() == ".json" else _read_mask(path, size)
    if not np.isfinite(numbers).all():
        raise InputError(f"workspace={text} has a number that is not finite; give 4 or 6 finite numbers")
    if len(numbers) == 6:
        low, high = np.array(numbers[:3]), np.array(numbers[3:])
        if not (low < high).all():
            raise InputError(f"workspace={text}: give the box's least corner first, x,y,z,x,y,z in metres")
        if np.abs(np.concatenate([low, high])).max() > _FAR:
            raise InputError(f"workspace={text} reaches beyond {_FAR:g} m; give x,y,z,x,y,z in metres: 200 mm are 0.2")
        if high[2] <= 0:
            raise InputError(f"workspace={text} lies behind the camera; give x right, y down, z forward, metres")
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
    """Returns what a mask allows: everything but 0, NaN and negative numbers; for pictures, everything but black."""
    image = without_single_axis(read_array(path, "workspace"))
    if image.dtype.kind not in "buif" or image.ndim not in (2, 3) or not image.size:
        raise InputError(f"workspace mask '{path}' is {image.dtype} {image.shape}; give one channel of numbers")
    if image.ndim == 3:  # the last of 2 or 4 channels says how opaque a pixel is
        colours = image[..., : image.shape[2] - 1 + image.shape[2] % 2]
        drawn_in_opacity = image.shape[2] in (2, 4) and len(np.unique(colours)) <= 1
        opaque = drawn_in_opacity and image[..., -1].min() == 0
        image = np.asarray(image[..., -1] if opaque else np.nan_to_num(colours).max(axis=-1))
    # JPEG leaves small numbers around what is drawn.
    least = 0.25 * float(image.max()) if path.suffix.lower() in (".jpg", ".jpeg") and image.dtype != bool else 0
    mask: NDArray[np.bool_] = image > least
    if mask.shape != size:
        turned = ", which is transposed" if mask.shape == size[::-1] else ""
        raise InputError(
            f"workspace mask '{path}' is {mask.shape}, the depth image {size}{turned}; make them the same size"
        )
    return mask


def doubt_about_mask(mask: NDArray[np.bool_], depth: NDArray[np.floating]) -> str:
    """Returns a clause about a mask that looks inverted, or "".

    It allows most of the image, and what it leaves out inside stands nearer than its surroundings, as objects do.

    Args:
        mask: (H, W) bool, where grasps may lie.
        depth: (H, W) floating, metres, 0 = missing.
    """
    if mask.mean() < 0.5:
        return ""
    islands, count = ndimage.label(~mask)
    edge = np.unique(np.concatenate([islands[0], islands[-1], islands[:, 0], islands[:, -1]]))
    places = ndimage.find_objects(islands)
    inside = [n for n in range(1, count + 1) if n not in edge]
    sizes = np.bincount(islands.ravel(), minlength=count + 1)
    inside = sorted((n for n in inside if sizes[n] >= _ISLAND), key=lambda n: -sizes[n])[:30]
    if sum(sizes[n] for n in inside) < 0.5 * sizes[1:].sum():
        return ""
    nearer = 0
    for number in inside:
        window = tuple(slice(max(0, s.start - _RING), s.stop + _RING) for s in places[number - 1])
        island, seen = islands[window] == number, depth[window]
        around = ndimage.binary_dilation(island, iterations=_RING) & mask[window] & (seen > 0)
        own = seen[island & (seen > 0)]
        nearer += bool(len(own) and around.any() and np.median(own) < np.median(seen[around]) - _RISE)
    if 2 * nearer <= len(inside):
        return ""
    return f"allows {100 * mask.mean():.0f} % of the image and leaves out what stands up; invert it if it marks objects"
