"""Depth out of point clouds that still know their pixels: PCD files of a grid, or with an index as Cornell's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.errors import InputError

_CORNELL = (480, 640)  # pixels of the images that Cornell's index counts
_MISFIT = 2.0  # pixels between a point's image and its own pixel; beyond, the frame is no camera's
_FIT = 4000  # points that the camera is found from


def read_pcd(path: Path) -> NDArray[np.float32]:
    """Returns a depth image, (H, W) float32, along the optical axis in the cloud's own unit, 0 = missing.

    The points of a grid (HEIGHT above 1), or of rows with ``index`` as Cornell's, lie at known pixels. Points in the
    camera's optical frame give z. Of another frame at the camera (Cornell's) the axis is found from points and pixels.

    Args:
        path: A PCD file, as text or binary.

    Raises:
        InputError: The file is broken, compressed, or its points do not know their pixels.
    """
    try:
        head, columns = _columns(path.read_bytes(), path)
        points = np.stack([columns[name].astype(np.float64) for name in "xyz"], axis=1)
        width, height = int(head["WIDTH"][0]), int(head["HEIGHT"][0])
        if "index" in columns:
            pixels, size = columns["index"].astype(np.int64), _CORNELL if height == 1 else (height, width)
        else:
            pixels, size = np.arange(len(points)), (height, width)
    except (OSError, ValueError, LookupError, TypeError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"depth '{path}' is no PCD file that can be read ({error}); give npy or PNG") from error
    if min(size) < 2:
        raise InputError(f"depth '{path}' is a cloud whose points know no pixel; give one of a grid, or a depth image")
    if len(pixels) and not (pixels.min() >= 0 and pixels.max() < size[0] * size[1]):
        raise InputError(f"depth '{path}' has an index outside {size[1]}x{size[0]} pixels; give a depth image")
    seen = np.isfinite(points).all(axis=1) & points.any(axis=1)
    points, pixels = points[seen], pixels[seen]
    depth = np.zeros(size[0] * size[1], np.float32)
    depth[pixels] = _along_axis(points, pixels, size[1], path)
    return depth.reshape(size)


def _columns(content: bytes, path: Path) -> tuple[dict[str, list[str]], dict[str, NDArray[Any]]]:
    """Returns the head's lines and the fields, an array each."""
    start = content.index(b"DATA ")
    end = content.index(b"\n", start)
    lines = (line.split() for line in content[:end].decode("ascii", "replace").splitlines())
    head = {words[0]: words[1:] for words in lines if words and not words[0].startswith("#")}
    names, kind = head["FIELDS"], head["DATA"][0]
    count = int(head["WIDTH"][0]) * int(head["HEIGHT"][0])
    if kind == "ascii":
        table = np.array(content[end:].split(), np.float64).reshape(-1, len(names))[:count]
        if len(table) < count and "index" not in names:
            raise ValueError(f"{len(table)} of {count} points")
        return head, {name: table[:, i] for i, name in enumerate(names)}
    if kind != "binary":
        raise InputError(f"depth '{path}' is a compressed PCD; convert it to one as text or binary")
    types = {"F": "f", "U": "u", "I": "i"}
    counts = [int(n) for n in head.get("COUNT", ["1"] * len(names))]
    parts = zip(names, head["TYPE"], head["SIZE"], counts, strict=True)
    layout = np.dtype([(f"{i}{n}", f"<{types[t]}{s}", (c,)) for i, (n, t, s, c) in enumerate(parts)])
    rows = np.frombuffer(content, layout, count, end + 1)
    return head, {name: rows[f"{i}{name}"][:, 0] for i, name in enumerate(names)}


def _along_axis(points: NDArray[np.float64], pixels: NDArray[np.int64], width: int, path: Path) -> NDArray[np.float64]:
    """Returns the depths of points, (N, 3), along the optical axis of the camera at their origin.

    The 3x3 matrix M with M p ~ (col, row, 1) is found by the direct linear transform. Its last row, of length 1, is
    the optical axis.
    """
    if len(points) < 8:
        raise InputError(f"depth '{path}' has {len(points)} points; give a cloud of a whole image")
    some = np.unique(np.linspace(0, len(points) - 1, _FIT).astype(int))
    scale = float(np.linalg.norm(points[some], axis=1).mean())
    p = points[some] / scale
    col, row = ((pixels[some] % width) / width - 0.5)[:, None], ((pixels[some] // width) / width - 0.5)[:, None]
    zero = np.zeros_like(p)
    system = np.concatenate([np.hstack([p, zero, -col * p]), np.hstack([zero, p, -row * p])])
    matrix = np.linalg.svd(system, full_matrices=False)[2][-1].reshape(3, 3)
    matrix /= np.linalg.norm(matrix[2])
    matrix *= np.sign((p @ matrix[2]).sum()) or 1.0
    seen = p @ matrix.T
    with np.errstate(divide="ignore", invalid="ignore"):
        miss = np.hypot(seen[:, :1] / seen[:, 2:] - col, seen[:, 1:2] / seen[:, 2:] - row) * width
    if not float(np.median(miss)) <= _MISFIT:
        raise InputError(
            f"depth '{path}' has points in a frame that is not at its camera; move them there, or give a depth image"
        )
    return np.asarray(np.maximum(points @ matrix[2], 0.0), np.float64)
