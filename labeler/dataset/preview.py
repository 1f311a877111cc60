"""A contact sheet of a data set: images with some of their labels, drawn as in the paper's Fig. 2."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from labeler.shards import DataSet, Frame
from sim.drawing.figures import panels
from sim.errors import InputError
from sim.grasp import bin_to_angle

_COLUMNS = 4
_INCHES = 4.0  # width of one image, inches


def draw_preview(folder: str | Path, images: int = 12, grasps: int = 40, *, seed: int = 0) -> Figure:
    """Draws random images of a data set with random ones of their labels.

    A green point is the label's pixel; the red line runs along the closing direction and is as long
    as the opening.

    Args:
        folder: Folder of a finished data set.
        images: Number of images, spread over the scenes; all if the data set has fewer.
        grasps: Greatest number of labels drawn in an image.
        seed: Seed of the choice of images and labels.

    Returns:
        The figure, drawn off screen.

    Raises:
        InputError: An argument is out of range, or the folder holds no data set, or an empty one.
    """
    for name, value, least in (("images", images, 1), ("grasps", grasps, 0), ("seed", seed, 0)):
        if value < least:
            raise InputError(f"preview: {name} is {value}; give at least {least}")
    data, rng = DataSet(folder), np.random.default_rng(seed)
    if not len(data):
        raise InputError(f"{data.folder} holds no images; there is nothing to draw")
    order = rng.permutation(len(data))
    # Every scene once before any a second time: how many of its images come earlier in the order?
    scenes = data.scenes[order]
    by_scene = np.argsort(scenes, kind="stable")
    earlier = np.arange(len(order)) - np.searchsorted(scenes[by_scene], scenes[by_scene])
    chosen = np.sort(order[by_scene[np.argsort(earlier, kind="stable")]][:images])
    columns = min(_COLUMNS, len(chosen))
    rows = -(-len(chosen) // columns)
    frames = [data.read(int(index), ("rgb", "depth")) for index in chosen]
    height, width = frames[0]["rgb"].shape[:2]
    size = (_INCHES * columns, (_INCHES * height / width + 0.3) * rows)
    figure, grid = panels(rows, columns, size)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, frame in zip(figure.axes, frames, strict=False):
        _draw_image(axes, frame, grasps, angles=data.manifest.angles, rng=rng)
    return figure


def _draw_image(axes: Axes, frame: Frame, count: int, *, angles: int, rng: np.random.Generator) -> None:
    labels = frame["grasps"]
    axes.imshow(frame["rgb"])
    axes.set_title(f"scene {frame['scene']}, view {frame['view']}: {len(labels)} labels", fontsize=8)
    seen = np.flatnonzero(frame["depth"][labels.row, labels.col] > 0)  # a length in pixels needs a depth
    some = labels[np.sort(rng.choice(seen, min(count, len(seen)), replace=False))]
    angle, depth = bin_to_angle(some.angle_bin, angles), frame["depth"][some.row, some.col]
    reach = frame["intrinsics"][0, 0] * some.width / depth / 2
    middle = np.stack([some.col, some.row], axis=1).astype(np.float64)
    shift = reach[:, None] * np.stack([np.cos(angle), -np.sin(angle)], axis=1)
    lines = list(np.stack([middle - shift, middle + shift], axis=1))
    axes.add_collection(LineCollection(lines, colors="red", linewidths=0.8))
    axes.plot(*middle.T, ".", color="lime", ms=3)
