"""Figures of a data set: Table I's row, the class imbalance of section IV-B, histograms.

The paper counts positives and negatives in the (pixel, angle) cells of 320 x 320 x 18 training
crops: 1,843,200 cells, of which 1,280 (the mean number of labels of whole images) are positive,
gives its 1:1439. The same count is made here, and beside it the one that training meets: only
the labels inside the centre crop.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from labeler.labels import GraspLabels
from labeler.shards.data_set import DataSet
from labeler.shards.frame import Frame
from sim.cli.progress import followed
from sim.drawing.figures import panels
from sim.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CROP = 320  # side of the paper's training crop, pixels
PAPER_RATIOS = {"before": 1439.0, "after": 317.0}  # negatives per positive, section IV-B
PAPER_ROW = {  # Table I, last row
    "Grasps per image": "~1280",
    "Objects per image": "5/15",
    "Grasp label": "4-DOF",
    "Modality": "RGB-D",
    "Total objects": "4,555",
    "Total grasps": "58M",
    "Total images": "45,550",
    "Data source": "Sim.",
    "Automatized generation": "Yes",
    "Pixel level": "Yes",
    "On-policy": "Yes",
}
VARIANTS = {  # which cells the enhancement adds to the labels
    "guarded": "8 neighbours on the same object (plgp's default)",
    "plain": "8 neighbours (the paper's text)",
    "angles": "8 neighbours, and the 2 angles beside (the authors' code)",
}
_STEP = 0.002  # metres, bin of the depth and width histograms
_NEIGHBOURS = tuple((i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0))


@dataclass(frozen=True, kw_only=True)
class DataSetStats:
    """Figures of a data set.

    Attributes:
        name: Name of the data set.
        images: Number of images.
        scenes: Number of scenes.
        grasps: Number of labels.
        objects: Number of different objects; 0 where the data set does not name them.
        objects_per_image: Numbers of objects that scenes hold, ascending; empty if unknown.
        grasps_per_image: ``mean``, ``least``, ``median``, ``most`` labels of an image.
        labelled_objects: Share of the objects seen (at least one mask pixel) that have a label.
        labelled_pixels: Share of the mask's object pixels that have a label.
        negatives_per_positive: Number of negative cells per positive one, counted as the paper counts
            (crops of 320 x 320 x K cells, labels of whole images): ``before`` the enhancement, and after
            it by the variants ``guarded``, ``plain``, ``angles`` (see ``VARIANTS``).
        in_crop: Number of negative cells per positive one, labels inside the centre crop only.
        angle: Labels per angle bin; K numbers.
        depth: Labels per 2 mm of depth, from 0.
        width: Labels per 2 mm of width, from 0.
        labels_of_images: Labels of each image, in order.
        labels_of_objects: Labels of each object seen, image by image.
    """

    name: str
    images: int
    scenes: int
    grasps: int
    objects: int
    objects_per_image: list[int]
    grasps_per_image: dict[str, float]
    labelled_objects: float
    labelled_pixels: float
    negatives_per_positive: dict[str, float]
    in_crop: dict[str, float]
    angle: list[int]
    depth: list[int]
    width: list[int]
    labels_of_images: list[int]
    labels_of_objects: list[int]

    def to_json(self) -> dict[str, Any]:
        """Returns the figures with the paper's beside them; labels of images and objects as histograms."""
        content = {**asdict(self), "bin_metres": _STEP}
        for name in ("labels_of_images", "labels_of_objects"):  # lists that grow with the data set
            counts, edges = np.histogram(content[name] or [0], 30)
            content[name] = {"counts": counts.tolist(), "edges": edges.tolist()}
        return {**content, "paper": {"negatives_per_positive": PAPER_RATIOS, **PAPER_ROW}}


def enhanced_cells(
    labels: GraspLabels,
    shape: tuple[int, int],
    bins: int,
    *,
    instance_mask: NDArray[np.integer] | None = None,
    beside: bool = False,
) -> NDArray[np.int64]:
    """Returns the cells that are positive after the 8-neighbourhood enhancement of section IV-B.

    Args:
        labels: Labels of one image, all inside it.
        shape: Height and width of the image, pixels.
        bins: K, number of angle bins.
        instance_mask: (H, W) integer, 0 = background, or None. With it a label spreads over its own object only, as in
            ``plgp.targets``; without it, over whatever lies beside it.
        beside: Whether a label also spreads to the two angle bins beside its own (K - 1 and 0 are
            neighbours) at its own pixel. The paper's text does not say so, its authors' code does it
            (github.com/dexin-wang/ODG-Generation, scripts/dataset/create_dataset.py).

    Returns:
        Sorted distinct int64 numbers ``(row * W + col) * K + angle_bin``, the labels' own among them.
    """
    row, col, angle = (getattr(labels, name).astype(np.int64) for name in ("row", "col", "angle_bin"))
    height, width = shape
    parts = [(row * width + col) * bins + angle]
    if beside:
        parts += [(row * width + col) * bins + (angle + step) % bins for step in (-1, 1)]
    for down, right in _NEIGHBOURS:
        r, c = row + down, col + right
        keep = (r >= 0) & (r < height) & (c >= 0) & (c < width)
        if instance_mask is not None:
            there = instance_mask[r.clip(0, height - 1), c.clip(0, width - 1)]
            keep &= there == instance_mask[row, col]
        parts.append(((r * width + c) * bins + angle)[keep])
    return np.unique(np.concatenate(parts))


def count_positives(labels: GraspLabels, instance_mask: NDArray[np.integer], bins: int) -> dict[str, int]:
    """Returns the positive cells of one image ``before`` the enhancement and after each of ``VARIANTS``."""
    shape = (instance_mask.shape[0], instance_mask.shape[1])
    cells = (labels.row.astype(np.int64) * shape[1] + labels.col) * bins + labels.angle_bin
    return {
        "before": len(np.unique(cells)),
        "guarded": len(enhanced_cells(labels, shape, bins, instance_mask=instance_mask)),
        "plain": len(enhanced_cells(labels, shape, bins)),
        "angles": len(enhanced_cells(labels, shape, bins, beside=True)),
    }


def crop_labels(
    labels: GraspLabels, instance_mask: NDArray[np.integer], side: int = CROP
) -> tuple[GraspLabels, NDArray[np.integer]]:
    """Returns the labels inside the centre crop, in its pixels, and the crop of the mask."""
    height, width = instance_mask.shape
    top, left = max(height - side, 0) // 2, max(width - side, 0) // 2
    mask = instance_mask[top : top + side, left : left + side]
    row, col = labels.row.astype(np.int64) - top, labels.col.astype(np.int64) - left
    inside = (row >= 0) & (row < mask.shape[0]) & (col >= 0) & (col < mask.shape[1])
    rest = (labels.angle_bin, labels.depth, labels.width, labels.score)
    moved = GraspLabels(row.clip(0).astype(np.uint16), col.clip(0).astype(np.uint16), *rest)
    return moved[inside], mask


def measure(folder: str | Path, progress: bool = False) -> DataSetStats:
    """Reads a data set's masks and labels and returns its figures.

    Args:
        folder: Folder of a finished data set, generated or imported.
        progress: Whether to show a progress bar.

    Raises:
        InputError: The folder holds no data set, an empty one, or a damaged one.
    """
    data = DataSet(folder)
    if not len(data):
        raise InputError(f"{data.folder} holds no images; there is nothing to count")
    bins = data.manifest.angles
    tally = _Tally(bins)
    for index in followed(range(len(data)), "images", len(data), quiet=not progress):
        tally.add(data.read(index, ("instance_mask", "objects")))
    declared = data.manifest.imported.objects_per_image if data.manifest.imported else ()
    per_image = np.array(tally.of_images)
    cells = CROP * CROP * bins
    return DataSetStats(
        name=data.manifest.name,
        images=len(data),
        scenes=len(np.unique(data.scenes)),
        grasps=int(per_image.sum()),
        objects=len(tally.names),
        objects_per_image=sorted(tally.present or declared),
        grasps_per_image={
            "mean": float(per_image.mean()),
            "least": int(per_image.min()),
            "median": float(np.median(per_image)),
            "most": int(per_image.max()),
        },
        labelled_objects=float(np.mean(np.array(tally.of_objects) > 0)) if tally.of_objects else 0.0,
        labelled_pixels=tally.labelled / max(tally.pixels, 1),
        negatives_per_positive=_ratios(tally.positives, len(data), cells),
        in_crop=_ratios(tally.positives_in_crop, len(data), cells),
        angle=tally.angle.tolist(),
        depth=np.trim_zeros(tally.depth, "b").tolist(),
        width=np.trim_zeros(tally.width, "b").tolist(),
        labels_of_images=per_image.tolist(),
        labels_of_objects=tally.of_objects,
    )


class _Tally:
    """Counts over images."""

    def __init__(self, bins: int) -> None:
        self.bins = bins
        self.angle = np.zeros(bins, np.int64)
        self.depth, self.width = np.zeros(200, np.int64), np.zeros(200, np.int64)
        self.names: set[str] = set()
        self.present: set[int] = set()
        self.of_images: list[int] = []
        self.of_objects: list[int] = []
        self.pixels = self.labelled = 0
        self.positives: dict[str, int] = {}
        self.positives_in_crop: dict[str, int] = {}

    def add(self, frame: Frame) -> None:
        labels, mask = frame["grasps"], frame["instance_mask"]
        self.of_images.append(len(labels))
        self.angle += np.bincount(labels.angle_bin, minlength=self.bins)[: self.bins]
        for counts, values in ((self.depth, labels.depth), (self.width, labels.width)):
            # A hair over the value: 0.006 as float32 must not fall into the bin that ends there.
            steps = np.floor(values / _STEP + 1e-3).astype(np.int64).clip(0, len(counts) - 1)
            counts += np.bincount(steps, minlength=len(counts))
        self.names |= {o.name for o in frame["objects"]}
        if frame["objects"]:
            self.present.add(len(frame["objects"]))
        pixels = np.bincount(mask.ravel(), minlength=256)
        own = np.bincount(mask[labels.row, labels.col], minlength=256)
        self.of_objects += own[1:][pixels[1:] > 0].tolist()
        self.pixels += int(pixels[1:].sum())
        self.labelled += len(np.unique(labels.row.astype(np.int64) * mask.shape[1] + labels.col))
        for sums, some in (
            (self.positives, (labels, mask)),
            (self.positives_in_crop, crop_labels(labels, mask)),
        ):
            for name, count in count_positives(some[0], some[1], self.bins).items():
                sums[name] = sums.get(name, 0) + count


def _ratios(positives: dict[str, int], images: int, cells: int) -> dict[str, float]:
    """Returns negatives per positive of the mean image; 0 where there is no positive at all."""
    return {name: (cells * images - count) / count if count else 0.0 for name, count in positives.items()}


def table_row(stats: DataSetStats) -> dict[str, str]:
    """Returns the data set's entries in the columns of the paper's Table I."""
    return {
        "Grasps per image": f"~{stats.grasps_per_image['mean']:.0f}",
        "Objects per image": "/".join(map(str, stats.objects_per_image)) or "-",
        "Grasp label": "4-DOF",
        "Modality": "RGB-D",
        "Total objects": f"{stats.objects:,}" if stats.objects else "-",
        "Total grasps": f"{stats.grasps:,}",
        "Total images": f"{stats.images:,}",
        "Data source": "Sim.",
        "Automatized generation": "Yes",
        "Pixel level": "Yes",
        "On-policy": "Yes",
    }


def ratio_rows(stats: DataSetStats) -> list[tuple[str, str, str, str]]:
    """Returns rows of (what, as the paper counts, inside the centre crop, the paper's)."""
    texts = {"before": "labels alone", **VARIANTS}
    # The paper prints one figure for its enhancement; its text describes the variant "plain".
    paper = {"before": f"1:{PAPER_RATIOS['before']:.0f}", "plain": f"1:{PAPER_RATIOS['after']:.0f}"}
    return [
        (text, f"1:{stats.negatives_per_positive[key]:.0f}", f"1:{stats.in_crop[key]:.0f}", paper.get(key, ""))
        for key, text in texts.items()
    ]


def print_stats(stats: DataSetStats, console: Console | None = None) -> None:
    """Prints Table I's row and the class imbalance as two tables."""
    from rich.table import Table

    console = console or Console()
    table = Table("", stats.name, "PLGP (paper)", title="Table I")
    for key, value in table_row(stats).items():
        table.add_row(key, value, PAPER_ROW[key])
    console.print(table)
    table = Table("positives : negatives", "as the paper counts", "in the centre crop", "paper", title="Section IV-B")
    for row in ratio_rows(stats):
        table.add_row(*row)
    console.print(table)
    per = stats.grasps_per_image
    console.print(
        f"labels of an image: {per['least']:.0f} ... {per['most']:.0f}, median {per['median']:.0f}; "
        f"{stats.labelled_objects:.0%} of the objects seen and {stats.labelled_pixels:.1%} of their pixels have one",
        soft_wrap=True,
    )


def draw_stats(stats: DataSetStats) -> Figure:
    """Returns the histograms (angle, depth, width, labels per image and object) and the imbalance as one figure."""
    from matplotlib.ticker import MaxNLocator

    figure, grid = panels(2, 3, (12, 6.6))
    axes = grid.ravel()
    bins = len(stats.angle)
    axes[0].bar(np.arange(bins) * 180 / bins, stats.angle, width=0.85 * 180 / bins)
    axes[0].set(xlabel="angle, degrees counter-clockwise", ylabel="labels", xticks=range(0, 181, 30))
    for ax, counts, name in ((axes[1], stats.depth, "depth"), (axes[2], stats.width, "width")):
        edges = np.arange(len(counts)) * _STEP * 1e3
        ax.bar(edges, counts, width=_STEP * 1e3 * 0.9, align="edge")
        ax.set(xlabel=f"{name}, mm", ylabel="labels", xlim=(0, None))
    for ax, values, name in (
        (axes[3], stats.labels_of_images, "image"),
        (axes[4], stats.labels_of_objects, "object seen in an image"),
    ):
        ax.hist(values, bins=min(30, max(5, len(values) // 4)), rwidth=0.9)
        ax.set(xlabel=f"labels of an {name}", ylabel="number", xlim=(0, None))
        ax.yaxis.set_major_locator(MaxNLocator(integer=True))
        ax.axvline(float(np.mean(values)) if len(values) else 0.0, color="black", lw=1, ls="--", label="mean")
        ax.legend(frameon=False)
    _draw_ratios(axes[5], stats)
    figure.suptitle(f"{stats.name}: {stats.images:,} images of {stats.scenes:,} scenes, {stats.grasps:,} labels")
    return figure


def _draw_ratios(axes: Axes, stats: DataSetStats) -> None:
    rows = [
        ("labels alone, paper", PAPER_RATIOS["before"], "grey"),
        ("labels alone", stats.negatives_per_positive["before"], "C0"),
        ("enhanced, paper", PAPER_RATIOS["after"], "grey"),
        ("8 neighbours", stats.negatives_per_positive["plain"], "C0"),
        ("same object only", stats.negatives_per_positive["guarded"], "C0"),
        ("angles beside, too", stats.negatives_per_positive["angles"], "C0"),
    ]
    places = range(len(rows), 0, -1)
    bars = axes.barh(places, [r[1] for r in rows], color=[r[2] for r in rows])
    axes.bar_label(bars, [f"1:{r[1]:.0f}" for r in rows], padding=3)
    axes.set_yticks(places, [r[0] for r in rows])
    axes.set_xlabel("negatives per positive")
    axes.set_xlim(0, 1.35 * max(r[1] for r in rows))
