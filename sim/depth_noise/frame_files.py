"""Frames of a sensor as files, and a fitted noise as a choice of ``conf/depth_noise``."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from sim.depth_noise.fit import FittedNoise, SensorFrame, mean_of
from sim.depth_noise.sensor import SensorNoise
from sim.errors import InputError
from sim.files import atomic_path, write_error

FloatImage = NDArray[np.float32]
_IMAGES = (".png", ".tif", ".tiff", ".exr", ".npy")
_NEAREST, _FARTHEST = 0.05, 20.0  # metres: a sensor's frame lies between


def read_frames(place: Path, *, depth_scale: float | None, focal_px: float | None) -> list[SensorFrame]:
    """Reads depth images, each with the focal length that stands beside it.

    Args:
        place: A depth image; a folder of them, where names with "depth" in them come before all others; or a pattern,
            ``frames/*_depth.png``.
        depth_scale: Metres of one unit of the images; None takes millimetres for whole numbers, metres for others.
        focal_px: Focal length, pixels; None looks for a JSON file beside each image: ``NAME_intrinsics.json`` for
            ``NAME_depth.png``, or ``intrinsics.json``, with ``fx`` or a 3x3 matrix ``intrinsics``.

    Raises:
        InputError: A file is missing, cannot be read, or holds no depth.
    """
    for name, value in (("depth_scale", depth_scale), ("focal_px", focal_px)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise InputError(f"{name} is {value}; give a positive number")
    paths = _depth_files(place)
    return [
        SensorFrame(
            name=path.name,
            depth=_read_depth(path, depth_scale),
            focal_px=focal_px if focal_px is not None else _read_focal(path),
        )
        for path in paths
    ]


def write_preset(fitted: FittedNoise, path: Path, source: str) -> None:
    """Writes a fitted noise as a YAML that ``depth_noise=NAME`` takes, with what was measured in its comments.

    Args:
        fitted: The fit.
        path: File to write.
        source: Where the frames are from, for the first line.

    Raises:
        InputError: The file cannot be written.
    """
    measures = list(fitted.measures.values())
    scatter, tiles, inside, border = fitted.drawn
    count = f"{len(measures)} frame{'s' * (len(measures) != 1)}"
    distances = sorted(m.distance for m in measures)
    lines = [
        f"# Fitted by `python -m sim fit-noise` to {count} of {source}.",
        f"# Planes at {distances[0]:.2f} to {distances[-1]:.2f} m. Frames / drawn: scatter of the main plane "
        f"{1000 * mean_of(measures, 'scatter'):.2f} / {1000 * scatter:.2f} mm,",
        f"# of 32-pixel tiles {1000 * mean_of(measures, 'tile_scatter'):.2f} / {1000 * tiles:.2f} mm; missing inside "
        f"{100 * mean_of(measures, 'missing_inside'):.1f} / {100 * inside:.1f} %, at the frame's border "
        f"{100 * mean_of(measures, 'missing_border'):.1f} / {100 * border:.1f} %",
        f"# (drawn on {fitted.scenes} of plgp-320's novel-15 on a table, seen by the frames' camera).",
        "_target_: sim.depth_noise.SensorNoise",
    ]
    for field in fields(SensorNoise):
        value = getattr(fitted.noise, field.name)
        shown = float(f"{value:.4g}") if isinstance(value, float) else value
        if value != field.default:
            lines.append(f"{field.name}: {_yaml(shown)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as partial:
            partial.write_text("\n".join(lines) + "\n")
    except OSError as error:
        raise write_error(path, error, cure="give another file, out=...") from error


def _yaml(value: Any) -> str:
    """Returns a number as YAML 1.1 reads it: 1e-4 would be a text there."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.10f}".rstrip("0") + "0" * (value == int(value)) if isinstance(value, float) else str(value)


def _depth_files(place: Path) -> list[Path]:
    """Returns the depth images at a place, sorted. Raises InputError."""
    if place.is_dir():
        images = sorted(p for p in place.iterdir() if p.suffix.lower() in _IMAGES and p.is_file())
        found = [p for p in images if "depth" in p.stem.lower()] or images
    elif place.is_file():
        found = [place]
    else:
        found = sorted(p for p in place.parent.glob(place.name) if p.is_file()) if place.parent.is_dir() else []
    if not found:
        raise InputError(f"'{place}' holds no depth image; give a file, a folder or a pattern of {', '.join(_IMAGES)}")
    return found


def _read_depth(path: Path, depth_scale: float | None) -> FloatImage:
    """Returns the image in metres. Raises InputError."""
    try:
        raw: Any = np.load(path) if path.suffix.lower() == ".npy" else cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    except (OSError, ValueError, EOFError, cv2.error) as error:
        raise InputError(f"depth image '{path}' cannot be read; give one of {', '.join(_IMAGES)}") from error
    if not isinstance(raw, np.ndarray):
        raise InputError(f"depth image '{path}' cannot be read; give one of {', '.join(_IMAGES)}")
    image = raw[..., 0] if raw.ndim == 3 and raw.shape[-1] == 1 else raw
    if image.ndim != 2 or image.dtype.kind not in "uif" or image.dtype.itemsize == 1 or image.size == 0:
        raise InputError(
            f"'{path}' is {raw.dtype} {raw.shape}, no depth image; give one channel of 16-bit or floating numbers"
        )
    scale = depth_scale if depth_scale is not None else (0.001 if image.dtype.kind in "ui" else 1.0)
    depth = np.nan_to_num(image.astype(np.float64) * scale, nan=0.0, posinf=0.0, neginf=0.0)
    depth[depth < 0] = 0
    seen = depth[depth > 0]
    middle = float(np.median(seen)) if seen.size else 0.0
    if not _NEAREST <= middle <= _FARTHEST:
        raise InputError(
            f"'{path}' has a median depth of {middle:.4g} m with depth_scale={scale:g}; give the metres of one unit, "
            "depth_scale=0.0001 for tenths of a millimetre"
        )
    return depth.astype(np.float32)


def _read_focal(path: Path) -> float:
    """Returns the focal length that a JSON file beside the image gives. Raises InputError."""
    stem = path.stem.removesuffix("depth")
    beside = [path.with_name(f"{stem}intrinsics.json"), path.with_name("intrinsics.json"), path.with_suffix(".json")]
    file = next((p for p in beside if p.is_file()), None)
    if file is None:
        raise InputError(f"no intrinsics beside '{path}'; write {beside[0].name} with fx there, or give focal_px=...")
    try:
        content = json.loads(file.read_text())
        value = content["fx"] if "fx" in content else np.reshape(content["intrinsics"], (3, 3))[0, 0]
        focal = float(value)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"'{file}' names no focal length; give it fx in pixels, or give focal_px=...") from error
    if not (np.isfinite(focal) and focal > 0):
        raise InputError(f"'{file}' says fx {focal}; give a positive number of pixels, or focal_px=...")
    return focal
