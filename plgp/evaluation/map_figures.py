"""Figures of maps: a scene's images with its labels as in Fig. 4, a network's maps with its grasps.

All panels of a figure show the workspace and nothing else, and their colours span what is there.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_closing, binary_fill_holes

from sim.camera import PinholeCamera
from sim.drawing.figures import hide_ticks, panels, save_figure
from sim.drawing.number_boxes import number_points
from sim.geometry import transform
from sim.grasp import GraspPoses, PixelGrasps
from sim.view import Observation, SceneView

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from plgp.targets import GraspMaps

_DPI = 100
_DEPTH_COLOURS = "viridis_r"  # near is bright
_PANEL = 5.0  # inches, width of one panel with its colour bar
_SURE = 0.3  # share of the best quality from which an angle and a width mean something
_FULL = 0.97  # share of its box from which on a workspace counts as that box: noise frays its edges
_OUTSIDE = "0.8"  # grey of what has no value: outside the workspace, or without quality


class Box(NamedTuple):
    """The part of an image that is shown: pixels, inclusive."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def part(self) -> tuple[slice, slice]:
        """The rows and columns of an image that lie inside."""
        return slice(self.top, self.bottom + 1), slice(self.left, self.right + 1)


def shown_box(allowed: NDArray[np.bool_] | None, size: tuple[int, int]) -> Box:
    """Returns the box around the pixels where grasps may lie; the whole image where that is everywhere or nowhere.

    Args:
        allowed: (H, W) bool, or None for everywhere.
        size: Height and width of the image, pixels.
    """
    if allowed is None or not allowed.any():
        return Box(0, size[0] - 1, 0, size[1] - 1)
    rows, cols = np.flatnonzero(allowed.any(axis=1)), np.flatnonzero(allowed.any(axis=0))
    return Box(int(rows[0]), int(rows[-1]), int(cols[0]), int(cols[-1]))


def draw_grasps(
    axes: Axes,
    grasps: PixelGrasps,
    depth: NDArray[np.floating],
    *,
    camera: PinholeCamera,
    numbers: bool = False,
    points: bool = True,
) -> None:
    """Draws grasps as in Fig. 4: a green point, a red line along the closing direction, as long as the opening.

    Args:
        axes: Panel that shows an image of the camera.
        grasps: The grasps.
        depth: (H, W) floating, metres, 0 = missing; it says how many pixels a width takes.
        camera: The camera of the depth image.
        numbers: Whether each grasp's rank is written beside it, no number over another.
        points: Whether the points are drawn.
    """
    if not len(grasps):
        return
    surface = depth[grasps.row, grasps.col].astype(np.float64)
    surface = np.where(surface > 0, surface, np.median(depth[depth > 0]))
    half = grasps.width / 2 * camera.intrinsics[0, 0] / surface
    across, down = half * np.cos(grasps.angle), -half * np.sin(grasps.angle)
    lines = np.stack([grasps.col - across, grasps.col + across]), np.stack([grasps.row - down, grasps.row + down])
    drawn = axes.plot(*lines, color="red", linewidth=1.4, alpha=0.9)
    drawn[0].set_label("closing line, as long as the opening")
    if points:
        axes.plot(grasps.col, grasps.row, ".", color="lime", markersize=4.5, label="grasp point")
    _legend(axes)
    if numbers:
        number_points(axes, np.stack([grasps.col, grasps.row], axis=1))


def draw_view(
    view: SceneView,
    path: str | Path,
    labels: PixelGrasps | None = None,
    *,
    depth_noisy: NDArray[np.floating] | None = None,
    shown: int = 40,
    seed: int = 0,
    allowed: NDArray[np.bool_] | None = None,
) -> Path:
    """Draws RGB, depth, noisy depth, parallel depth and the labels of one view.

    Args:
        view: The view.
        path: The PNG file.
        labels: The labels; all are drawn as points, a random ``shown`` of them with lines.
        depth_noisy: (H, W) floating, the depth with noise, metres, 0 = missing.
        shown: Number of labels that get a line.
        seed: Seed of their choice.
        allowed: (H, W) bool, the workspace that the panels show; None shows the whole image.

    Returns:
        The path.
    """
    box = shown_box(allowed, view.depth.shape)
    figure, grid = _grid(box)
    background = view.rgb if view.rgb is not None else depth_picture(view.depth)
    _image(grid[0, 0], background, "RGB" if view.rgb is not None else "depth as grey (no RGB)", box=box)
    limits = _limits(view.depth[box.part])
    _depth(figure, grid[0, 1], view.depth, title="depth, m", limits=limits, box=box)
    if depth_noisy is not None:
        title = "noisy depth, m (white: missing)"
        _depth(figure, grid[0, 2], depth_noisy, title=title, limits=limits, box=box)
    else:
        grid[0, 2].axis("off")
    title = f"parallel depth, {view.parallel_camera.pixels_per_metre:g} px/m"
    part = _parallel_box(view, box)
    _depth(figure, grid[1, 0], view.parallel_depth, title=title, limits=limits, box=part)
    _image(grid[1, 1], background, "no labels", box=box)
    _image(grid[1, 2], background, "no labels", box=box)
    if labels is not None and len(labels):
        grid[1, 1].set_title(f"all {len(labels)} labelled grasp points", fontsize=11)
        _draw_points(grid[1, 1], labels)
        pick = np.random.default_rng(seed).permutation(len(labels))[:shown]
        grid[1, 2].set_title(f"{len(pick)} random labels: point, angle, width", fontsize=11)
        draw_grasps(grid[1, 2], labels[np.sort(pick)], view.depth, camera=view.camera)
    return save_figure(figure, path, dpi=_DPI)


def draw_prediction(
    seen: Observation,
    maps: GraspMaps,
    grasps: PixelGrasps,
    *,
    path: str | Path,
    labels: PixelGrasps | None = None,
    max_opening: float = 0.1,
    allowed: NDArray[np.bool_] | None = None,
) -> Path:
    """Draws what a network makes of an observation: target, quality, angle, width and the top grasps.

    Args:
        seen: The observation.
        maps: Probabilities of the image: (1, 1, H, W), (1, K, H, W), (1, K, H, W).
        grasps: The decoded grasps, best first.
        path: The PNG file.
        labels: The true labels, or None.
        max_opening: L4, metres.
        allowed: (H, W) bool, where grasps may lie: the panels show the box around it. None shows the whole image.

    Returns:
        The path.
    """
    return save_figure(
        prediction_figure(seen, maps, grasps, labels=labels, max_opening=max_opening, allowed=allowed), path, dpi=_DPI
    )


def prediction_figure(
    seen: Observation,
    maps: GraspMaps,
    grasps: PixelGrasps,
    *,
    labels: PixelGrasps | None = None,
    max_opening: float = 0.1,
    allowed: NDArray[np.bool_] | None = None,
) -> Figure:
    """Returns the figure of ``draw_prediction``, whose arguments these are."""
    box, inside = shown_box(allowed, seen.depth.shape), _area(allowed, seen.depth.shape)
    figure, grid = _grid(box)
    background = depth_picture(seen.depth) if seen.rgb is None else seen.rgb
    quality = np.where(inside, maps.quality[0, 0].float().cpu().numpy(), np.nan)
    angles = maps.angle[0].float().cpu().numpy()
    best = angles.argmax(axis=0)
    width = np.take_along_axis(maps.width[0].float().cpu().numpy(), best[None], axis=0)[0] * max_opening * 1e3
    title = "depth, m (white: missing)"
    _depth(figure, grid[0, 0], seen.depth, title=title, limits=_limits(seen.depth[box.part]), box=box)
    title = "RGB" if seen.rgb is not None else "depth as grey (no RGB)"
    _image(grid[0, 1], background, title if labels is None else f"target: {len(labels)} labels", box=box)
    if labels is not None and len(labels):
        _draw_points(grid[0, 1], labels)
    peak = max(float(np.nanmax(quality)), 1e-3)
    outside = "" if inside[box.part].all() else " (grey: outside the workspace)"
    _map(figure, grid[0, 2], quality, title=f"predicted quality{outside}", limits=(0, peak), colours="inferno", box=box)
    sure = quality >= max(_SURE * peak, 1e-3)
    where = f"(where quality is {_SURE * peak:.2g} or more)"
    degrees = np.where(sure, best * 180 / len(angles), np.nan)
    title = f"best angle, degrees {where}"
    _map(figure, grid[1, 0], degrees, title=title, limits=(0, 180), colours="hsv", box=box)
    width = np.where(sure, width, np.nan)
    limits = _span(width[sure])
    _map(figure, grid[1, 1], width, title=f"its opening, mm {where}", limits=limits, colours="viridis", box=box)
    _image(grid[1, 2], background, f"top {len(grasps)} grasps" if len(grasps) else "no grasp", box=box)
    if not inside[box.part].all():
        for axes in (grid[0, 1], grid[1, 2]):
            axes.contour(inside, levels=[0.5], colors="cyan", linewidths=1.0)
            axes.plot([], [], color="cyan", linewidth=1.0, label="workspace")
            _legend(axes)
    draw_grasps(grid[1, 2], grasps, seen.depth, camera=seen.camera, numbers=True)
    return figure


def attempt_picture(seen: Observation, grasp: GraspPoses, *, success: bool, side: int = 160) -> NDArray[np.uint8]:
    """Returns a small picture of one attempt: the scene around it, its closing line green where it lifted, else red.

    Args:
        seen: The scene before the attempt; its camera's pose counts.
        grasp: The grasp that was executed, world frame.
        success: Whether it lifted an object.
        side: Side of the picture, pixels; what lies outside the image is black.

    Returns:
        (side, side, 3) uint8.
    """
    from PIL import Image, ImageDraw

    centre, reach = grasp.translation[0], grasp.rotation[0][:, 0] * grasp.width[0] / 2
    points = transform(np.linalg.inv(seen.camera.pose), np.stack([centre, centre - reach, centre + reach]))
    pixels = points @ seen.camera.intrinsics.T
    middle, *ends = (pixels[:, :2] / pixels[:, 2:]).tolist()  # columns first, then rows
    left, top = round(middle[0]) - side // 2, round(middle[1]) - side // 2
    background = depth_picture(seen.depth) if seen.rgb is None else seen.rgb
    picture = Image.fromarray(background).crop((left, top, left + side, top + side))
    pen, colour = ImageDraw.Draw(picture), "lime" if success else "red"
    line = [(x - left, y - top) for x, y in ends]
    pen.line(line, fill=colour, width=2)
    for x, y in line:
        pen.ellipse((x - 3, y - 3, x + 3, y + 3), fill=colour)
    return np.asarray(picture)


def _area(allowed: NDArray[np.bool_] | None, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Returns the workspace's pixels (H, W) bool; holes in it, where the depth is missing, count as inside."""
    if allowed is None or not allowed.any():
        return np.ones(size, np.bool_)
    room = 8  # pixels around, so that the closing does not eat the image's border
    closed = binary_closing(np.pad(allowed, room), np.ones((9, 9), np.bool_))
    filled: NDArray[np.bool_] = binary_fill_holes(closed)[room:-room, room:-room]
    box = shown_box(allowed, size)
    if filled[box.part].mean() > _FULL:
        filled[box.part] = True
    return filled


def _parallel_box(view: SceneView, box: Box) -> Box:
    """Returns the part of the parallel image that shows what ``box`` shows of the camera's, at the farthest depth."""
    seen = view.depth[box.part]
    far = float(np.percentile(seen[seen > 0], 95)) if (seen > 0).any() else 1.0
    corners = view.camera.deproject([box.top, box.bottom], [box.left, box.right], far)
    rows, cols, _ = view.parallel_camera.project(corners)
    height, width = view.parallel_depth.shape
    top, bottom = np.clip(np.rint(rows), 0, height - 1).astype(int).tolist()
    left, right = np.clip(np.rint(cols), 0, width - 1).astype(int).tolist()
    return Box(top, bottom, left, right) if top < bottom and left < right else Box(0, height - 1, 0, width - 1)


def _grid(box: Box) -> tuple[Figure, NDArray[Any]]:
    """Returns a figure of 2 x 3 panels that have the shape of what they show."""
    shape = (box.bottom - box.top + 1) / (box.right - box.left + 1)
    height = float(np.clip(0.85 * _PANEL * shape, 2.0, 9.0)) + 0.75
    return panels(2, 3, (3 * _PANEL, 2 * height))


def _limits(depth: NDArray[np.floating]) -> tuple[float, float]:
    """Returns the depths between which colours span, metres: all that is there but the outermost half percents."""
    seen = depth[depth > 0]
    if not len(seen):
        return 0.0, 1.0
    low, high = np.percentile(seen, [0.5, 99.5])
    return float(low), float(max(high, low + 1e-3))


def _span(values: NDArray[np.floating]) -> tuple[float, float]:
    """Returns the least and the greatest value, never the same; 0 and 1 of none."""
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low, low + 1e-3)


def depth_picture(depth: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Returns a depth image (H, W), metres, as a grey picture (H, W, 3): near is bright, missing is black."""
    low, high = _limits(depth)
    level = np.clip((high - depth) / (high - low), 0, 1) * 255 * (depth > 0)
    return np.repeat(level.astype(np.uint8)[..., None], 3, axis=2)


def _draw_points(axes: Axes, labels: PixelGrasps) -> None:
    axes.plot(labels.col, labels.row, ".", color="lime", markersize=2, label="a label's grasp point")
    _legend(axes)


def _legend(axes: Axes) -> None:
    """Writes the legend of a panel below it, where it covers nothing."""
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=3, fontsize=8, frameon=False, markerscale=2)


def _frame(axes: Axes, title: str, box: Box) -> None:
    """Gives a panel that shows an image its title and its limits."""
    axes.set_title(title, fontsize=11)
    hide_ticks(axes)
    axes.set_xlim(box.left - 0.5, box.right + 0.5)
    axes.set_ylim(box.bottom + 0.5, box.top - 0.5)


def _image(axes: Axes, image: NDArray[Any], title: str, *, box: Box) -> None:
    axes.imshow(image)
    _frame(axes, title, box)


def _map(
    figure: Figure,
    axes: Axes,
    values: NDArray[Any],
    *,
    title: str,
    limits: tuple[float, float],
    colours: str,
    box: Box,
    missing: str = _OUTSIDE,
) -> None:
    shown = axes.imshow(values, vmin=limits[0], vmax=limits[1], cmap=colours, interpolation="nearest")
    axes.set_facecolor(missing)
    _frame(axes, title, box)
    bar = figure.colorbar(shown, ax=axes, shrink=0.9)
    if colours == "hsv":
        bar.set_ticks([0, 45, 90, 135, 180])


def _depth(
    figure: Figure, axes: Axes, depth: NDArray[Any], *, title: str, limits: tuple[float, float], box: Box
) -> None:
    values = np.where(depth > 0, depth, np.nan)
    _map(figure, axes, values, title=title, limits=limits, colours=_DEPTH_COLOURS, box=box, missing="white")
