"""A contact sheet of a data set: images with some of their labels, drawn as in the paper's Fig. 2."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from labeler.shards.data_set import DataSet
from labeler.shards.frame import Frame
from sim.drawing.figures import panels
from sim.errors import InputError
from sim.grasp import bin_to_angle

_COLUMNS = 4
_WIDTH = 16.0  # inches, width of the sheet
_LARGEST = 9.0  # inches, greatest width of one image
_CLOSING = "closing direction, as long as the opening"
_FLATTEST = 0.75  # least ratio of an image's sides
_MARGIN = 1.15  # of the objects' box


def draw_preview(folder: str | Path, images: int = 12, grasps: int = 40, *, seed: int = 0) -> Figure:
    """Draws random images of a data set with random ones of their labels, as many of each object.

    Each image is cropped around its objects, all to one size: the largest that any of them needs.
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
    chosen = np.sort(in_turn(np.arange(len(data)), np.asarray(data.scenes), images, rng=rng))
    frames = [data.read(int(index), ("rgb", "depth", "instance_mask")) for index in chosen]
    boxes = crop_boxes([frame["instance_mask"] for frame in frames])
    columns = min(_COLUMNS, math.ceil(math.sqrt(len(chosen))))
    rows = -(-len(chosen) // columns)
    inches = min(_LARGEST, _WIDTH / columns)
    left, right, top, bottom = boxes[0]
    size = (inches * columns, (inches * (bottom - top) / (right - left) + 0.3) * rows + 0.4)
    figure, grid = panels(rows, columns, size)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, frame, box in zip(figure.axes, frames, boxes, strict=False):
        _draw_image(axes, frame, grasps, angles=data.manifest.angles, rng=rng)
        axes.set(xlim=box[:2], ylim=(box[3], box[2]))
    if grasps:
        handles, texts = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, texts, loc="outside lower center", ncols=2, fontsize=10, frameon=False)
    return figure


def crop_boxes(masks: Sequence[NDArray[np.integer]]) -> list[tuple[float, float, float, float]]:
    """Returns the part of each image that is shown: around its objects, as large as the largest box of them all.

    Args:
        masks: (H, W) integer masks, 0 = background. An image without objects is shown around its middle.

    Returns:
        Left, right, top and bottom edges, pixels, pixel centres at integers; all of one size, and inside the image
        unless another image needs more than this one has.
    """
    largest = np.max([mask.shape for mask in masks], axis=0)
    middles, sides = [], np.zeros(2)
    for mask in masks:
        rows, cols = np.nonzero(mask)
        height, width = mask.shape
        if not len(rows):
            middles.append(((height - 1) / 2, (width - 1) / 2))
            continue
        middles.append(((int(rows.min()) + int(rows.max())) / 2, (int(cols.min()) + int(cols.max())) / 2))
        sides = np.maximum(sides, [np.ptp(rows) + 1, np.ptp(cols) + 1])
    if not sides.all():
        sides = largest.astype(np.float64)
    sides = np.minimum(_MARGIN * np.maximum(sides, sides[::-1] * _FLATTEST), largest)
    half_rows, half_cols = (sides / 2).tolist()
    boxes = []
    for (row, col), mask in zip(middles, masks, strict=True):
        row, col = _inside(row, half_rows, mask.shape[0]), _inside(col, half_cols, mask.shape[1])
        boxes.append((col - half_cols, col + half_cols, row - half_rows, row + half_rows))
    return boxes


def _inside(middle: float, half: float, length: int) -> float:
    """Returns the middle of a stretch, pixels, moved to lie within an image's side; the side's where it is longer."""
    return min(max(middle, half - 0.5), length - 0.5 - half) if 2 * half <= length else (length - 1) / 2


def in_turn(
    items: NDArray[np.int64], groups: NDArray[np.integer], count: int, *, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Returns random items, one of each group before a second of any: an object with few labels shows them, too.

    Args:
        items: (N,) items.
        groups: (N,) group of each.
        count: Number of items wanted; all where there are fewer.
        rng: Generator of the choice.

    Returns:
        (min(N, count),) int64, the chosen items, those of the first round first.
    """
    order = rng.permutation(len(items))
    by_group = np.argsort(groups[order], kind="stable")
    ordered = groups[order][by_group]
    earlier = np.empty(len(items), np.int64)  # how many of an item's group come before it in the order?
    earlier[by_group] = np.arange(len(items)) - np.searchsorted(ordered, ordered)
    return items[order][np.argsort(earlier, kind="stable")[:count]]


def _draw_image(axes: Axes, frame: Frame, count: int, *, angles: int, rng: np.random.Generator) -> None:
    labels = frame["grasps"]
    axes.imshow(frame["rgb"])
    axes.set_title(f"scene {frame['scene']}, view {frame['view']}: {len(labels)} labels", fontsize=10)
    seen = np.flatnonzero(frame["depth"][labels.row, labels.col] > 0)  # a length in pixels needs a depth
    some = labels[np.sort(in_turn(seen, frame["instance_mask"][labels.row, labels.col][seen], count, rng=rng))]
    angle, depth = bin_to_angle(some.angle_bin, angles), frame["depth"][some.row, some.col]
    reach = frame["intrinsics"][0, 0] * some.width / depth / 2
    middle = np.stack([some.col, some.row], axis=1).astype(np.float64)
    shift = reach[:, None] * np.stack([np.cos(angle), -np.sin(angle)], axis=1)
    lines = list(np.stack([middle - shift, middle + shift], axis=1))
    axes.add_collection(LineCollection(lines, colors="red", linewidths=1.2, label=_CLOSING))
    axes.plot(*middle.T, ".", color="lime", ms=5, label="label's pixel")
