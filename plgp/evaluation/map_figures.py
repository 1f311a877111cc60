"""Pictures: a scene's images with its labels as in Fig. 4, a network's maps with its grasps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from plgp.targets import GraspMaps
from sim.camera import PinholeCamera
from sim.geometry import transform
from sim.grasp import PixelGrasps
from sim.view import SceneView

if TYPE_CHECKING:
    from plgp.policy import RGBDImage

_DEPTH_COLOURS = "viridis_r"  # near is bright


def draw_grasps(
    axes: Axes,
    grasps: PixelGrasps,
    depth: NDArray[np.floating],
    camera: PinholeCamera,
    numbers: bool = False,
    points: bool = True,
) -> None:
    """Draws grasps as in Fig. 4: a green point, a red line along the closing direction, as long as the opening.

    Args:
        axes: Where an image of the camera is shown.
        grasps: The grasps.
        depth: (H, W) floating, metres: sets how many pixels a width is.
        camera: Its camera.
        numbers: Whether to write each grasp's rank beside it.
        points: Whether to draw the points.
    """
    surface = depth[grasps.row, grasps.col].astype(np.float64)
    surface = np.where(surface > 0, surface, np.median(depth[depth > 0]))
    half = grasps.width / 2 * camera.intrinsics[0, 0] / surface
    across, down = half * np.cos(grasps.angle), -half * np.sin(grasps.angle)
    lines = np.stack([grasps.col - across, grasps.col + across]), np.stack([grasps.row - down, grasps.row + down])
    axes.plot(*lines, color="red", linewidth=0.9, alpha=0.9)
    if points:
        axes.plot(grasps.col, grasps.row, ".", color="lime", markersize=3.5)
    if numbers:
        for i in range(len(grasps)):
            axes.text(grasps.col[i] + 4, grasps.row[i] - 4, str(i + 1), color="white", fontsize=6)


def draw_view(
    view: SceneView,
    path: str | Path,
    labels: PixelGrasps | None = None,
    depth_noisy: NDArray[np.floating] | None = None,
    shown: int = 40,
    seed: int = 0,
) -> Path:
    """Draws RGB, depth, noisy depth, parallel depth and the labels of one view.

    Args:
        view: The view.
        path: Where the PNG goes.
        labels: Its labels; a random ``shown`` of them are drawn with lines, all as points.
        depth_noisy: (H, W) floating, metres, 0 = missing.
        shown: How many labels get a line.
        seed: Which ones.

    Returns:
        The path.
    """
    figure = _figure(15, 7.6)
    grid: Any = figure.subplots(2, 3)
    background = view.rgb if view.rgb is not None else _grey(view.depth)
    _image(grid[0, 0], background, "RGB" if view.rgb is not None else "depth (no RGB)")
    limits = _limits(view.depth)
    _depth(figure, grid[0, 1], view.depth, "depth, m", limits)
    if depth_noisy is not None:
        _depth(figure, grid[0, 2], depth_noisy, "noisy depth, m (white: missing)", limits)
    else:
        grid[0, 2].axis("off")
    _depth(
        figure,
        grid[1, 0],
        view.parallel_depth,
        f"parallel depth, {view.parallel_camera.pixels_per_metre:g} px/m",
        limits,
    )
    title = "no labels"
    _image(grid[1, 1], background, title)
    _image(grid[1, 2], background, title)
    if labels is not None and len(labels):
        grid[1, 1].set_title(f"all {len(labels)} labelled grasp points", fontsize=10)
        grid[1, 1].plot(labels.col, labels.row, ".", color="lime", markersize=1)
        pick = np.random.default_rng(seed).permutation(len(labels))[:shown]
        grid[1, 2].set_title(f"{len(pick)} random labels: point, angle, width", fontsize=10)
        draw_grasps(grid[1, 2], labels[np.sort(pick)], view.depth, view.camera)
    return _save(figure, path)


def draw_prediction(
    seen: RGBDImage,
    maps: GraspMaps,
    grasps: PixelGrasps,
    path: str | Path,
    labels: PixelGrasps | None = None,
    max_opening: float = 0.1,
    allowed: NDArray[np.bool_] | None = None,
) -> Path:
    """Draws what a network made of an observation: target, quality, angle, width and the top grasps.

    Args:
        seen: The observation.
        maps: Probabilities of the image: (1, 1, H, W), (1, K, H, W), (1, K, H, W).
        grasps: The decoded grasps, best first.
        path: Where the PNG goes.
        labels: The true labels, or None.
        max_opening: L4, metres.
        allowed: (H, W) bool, where grasps may lie: its outline is drawn. None draws none.

    Returns:
        The path.
    """
    figure = _figure(15, 7.6)
    grid: Any = figure.subplots(2, 3)
    background = _grey(seen.depth) if seen.rgb is None else seen.rgb
    quality = maps.quality[0, 0].float().cpu().numpy()
    angles = maps.angle[0].float().cpu().numpy()
    best = angles.argmax(axis=0)
    width = np.take_along_axis(maps.width[0].float().cpu().numpy(), best[None], axis=0)[0] * max_opening
    _depth(figure, grid[0, 0], seen.depth, "depth, m (white: missing)", _limits(seen.depth))
    title = "RGB" if seen.rgb is not None else "depth as grey (no RGB)"
    _image(grid[0, 1], background, title if labels is None else f"target: {len(labels)} labels")
    if labels is not None:
        grid[0, 1].plot(labels.col, labels.row, ".", color="lime", markersize=1)
    _map(figure, grid[0, 2], quality, "predicted quality", 0, max(float(quality.max()), 1e-3), "inferno")
    sure = quality > 0.1 * quality.max()
    degrees = np.where(sure, best * 180 / len(angles), np.nan)
    _map(figure, grid[1, 0], degrees, "best angle, degrees (where quality is high)", 0, 180, "hsv")
    _map(figure, grid[1, 1], np.where(sure, width, np.nan), "its width, m", 0, max_opening, "viridis")
    _image(grid[1, 2], background, f"top {len(grasps)} grasps")
    draw_grasps(grid[1, 2], grasps, seen.depth, seen.camera, numbers=True)
    if allowed is not None and not allowed.all():
        for axes in (grid[0, 1], grid[1, 2]):
            axes.contour(allowed, levels=[0.5], colors="cyan", linewidths=1.0)
    return _save(figure, path)


def attempt_picture(seen: RGBDImage, row: Mapping[str, Any], side: int = 160) -> NDArray[np.uint8]:
    """Returns a small picture of one attempt: the scene around it, its closing line green where it lifted, else red.

    Args:
        seen: The scene before the attempt; its camera's pose counts.
        row: A row of ``run_benchmark``: ``x, y, z`` (world, metres), ``qx, qy, qz, qw``, ``width``, ``success``.
        side: Of the picture, pixels; what lies outside the image is black.

    Returns:
        (side, side, 3) uint8.
    """
    from PIL import Image, ImageDraw

    to_camera = np.linalg.inv(seen.camera.pose)
    rotation = Rotation.from_quat([row[k] for k in ("qx", "qy", "qz", "qw")]).as_matrix()
    centre = np.array([row[k] for k in "xyz"], np.float64)
    reach = rotation[:, 0] * row["width"] / 2
    points = transform(to_camera, np.stack([centre, centre - reach, centre + reach]))
    pixels = points @ seen.camera.intrinsics.T
    middle, *ends = (pixels[:, :2] / pixels[:, 2:]).tolist()  # columns first, then rows
    left, top = round(middle[0]) - side // 2, round(middle[1]) - side // 2
    background = _grey(seen.depth) if seen.rgb is None else seen.rgb
    picture = Image.fromarray(background).crop((left, top, left + side, top + side))
    pen, colour = ImageDraw.Draw(picture), "lime" if row["success"] else "red"
    line = [(x - left, y - top) for x, y in ends]
    pen.line(line, fill=colour, width=2)
    for x, y in line:
        pen.ellipse((x - 3, y - 3, x + 3, y + 3), fill=colour)
    return np.asarray(picture)


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Figure, path: str | Path) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
    return path


def _limits(depth: NDArray[np.floating]) -> tuple[float, float]:
    seen = depth[depth > 0]
    low, high = np.percentile(seen, [0.5, 99.5])
    return float(low), float(max(high, low + 1e-3))


def _grey(depth: NDArray[np.floating]) -> NDArray[np.uint8]:
    low, high = _limits(depth)
    level = np.clip((high - depth) / (high - low), 0, 1) * 255 * (depth > 0)
    return np.repeat(level.astype(np.uint8)[..., None], 3, axis=2)


def _image(axes: Axes, image: NDArray[Any], title: str) -> None:
    axes.imshow(image)
    axes.set_title(title, fontsize=10)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_xlim(-0.5, image.shape[1] - 0.5)
    axes.set_ylim(image.shape[0] - 0.5, -0.5)


def _map(figure: Figure, axes: Axes, values: NDArray[Any], title: str, low: float, high: float, colours: str) -> None:
    shown = axes.imshow(values, vmin=low, vmax=high, cmap=colours, interpolation="nearest")
    axes.set_title(title, fontsize=10)
    axes.set_xticks([])
    axes.set_yticks([])
    figure.colorbar(shown, ax=axes, shrink=0.8)


def _depth(figure: Figure, axes: Axes, depth: NDArray[Any], title: str, limits: tuple[float, float]) -> None:
    _map(figure, axes, np.where(depth > 0, depth, np.nan), title, *limits, _DEPTH_COLOURS)
