"""The documentation's pictures of rendering and depth noise: ``python -m sim figures DIR``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sim.benchmark.scene_sets import make_scenes
from sim.camera import ParallelCamera, PinholeCamera, offset_pose, overhead_pose
from sim.depth_noise import DepthNoise, noise_for_camera
from sim.depth_noise.mixed import load_preset
from sim.drawing.figures import hide_ticks, panels
from sim.drawing.frame_figures import draw_frames, draw_rays
from sim.objects.object_set import ObjectSet
from sim.render.view import render_depth, render_view
from sim.scene import SceneState

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TITLE = 15  # points
_TEXT = 12  # points
_DPI = 67  # keeps each picture under 300 kB
_SENSORS = {
    "d435": "RealSense D400",
    "azure_kinect": "Azure Kinect",
    "phoxi": "PhoXi",
    "primesense": "PrimeSense (holes filled in)",
}


def _show(ax: Any, image: NDArray[Any], title: str, unit: str = "", **options: Any) -> None:
    """Draws an image with a title and, if it has a unit, a colour bar."""
    drawn = ax.imshow(image, interpolation="nearest", **options)
    ax.set_title(title, fontsize=_TITLE)
    if unit:
        bar = ax.figure.colorbar(drawn, ax=ax, shrink=0.85)
        bar.set_label(unit, fontsize=_TEXT)
        bar.ax.tick_params(labelsize=_TEXT)


def draw_noise(state: SceneState, noise: DepthNoise, seed: int = 0) -> Figure:
    """Draws what depth noise does to a view from above: clean depth, hole probability, noisy depth, error.

    Args:
        state: The scene.
        noise: The noise.
        seed: Seed of the noise.
    """
    depth, _, _ = render_depth(state, PinholeCamera.from_fov(pose=overhead_pose(0.6)))
    noisy = noise(depth, np.random.default_rng(seed))
    tray = np.s_[60:420, 80:560]
    lost = np.where(noisy > 0, noisy, np.nan)[tray]
    grey: dict[str, Any] = {"cmap": "viridis", "vmin": float(depth[tray].min()), "vmax": float(depth[tray].max())}
    figure, axes = panels(2, 2, (12.5, 8.6))
    hide_ticks(*axes.flat)
    _show(axes[0, 0], depth[tray], "Depth as rendered", "metres", **grey)
    chance = noise.missing_probability(depth)[tray]
    _show(
        axes[0, 1], chance, "Probability that a pixel is missing, eq. (5)", "probability", cmap="magma", vmin=0, vmax=1
    )
    _show(axes[1, 0], lost, f"Depth with noise ({100 * np.isnan(lost).mean():.0f} % missing: red)", "metres", **grey)
    error = 1000 * (lost - depth[tray])
    _show(
        axes[1, 1], error, "Noisy minus rendered depth (missing: black)", "millimetres", cmap="RdBu", vmin=-12, vmax=12
    )
    axes[1, 0].set_facecolor("red")
    axes[1, 1].set_facecolor("black")
    return figure


def draw_sensors(state: SceneState, seed: int = 0) -> Figure:
    """Draws a view from above as each of the sensors sees it that ``conf/depth_noise`` has numbers of.

    Args:
        state: The scene.
        seed: Seed of the noise.
    """
    camera = PinholeCamera.from_fov(pose=overhead_pose(0.6))
    depth, _, _ = render_depth(state, camera)
    limits: dict[str, Any] = {"cmap": "viridis", "vmin": float(depth.min()), "vmax": float(np.percentile(depth, 80))}
    figure, axes = panels(1, len(_SENSORS), (4.8 * len(_SENSORS), 4.0))
    hide_ticks(*axes.flat)
    for ax, (name, title) in zip(axes.flat, _SENSORS.items(), strict=True):
        noise = noise_for_camera(load_preset(name), float(camera.intrinsics[0, 0]))
        noisy = noise(depth, np.random.default_rng(seed))
        _show(ax, np.where(noisy > 0, noisy, np.nan)[60:420, 80:560], title, **limits)
        ax.set_facecolor("red")
    return figure


def draw_views(state: SceneState, offset: tuple[float, float] = (0.2, -0.15)) -> Figure:
    """Draws one scene straight from above and from the side: colours, depth, mask, parallel depth and mask.

    Args:
        state: The scene.
        offset: Shift of the second camera along its x and y, metres, eq. (3).
    """
    figure, axes = panels(2, 4, (18.5, 7.6))
    hide_ticks(*axes.flat)
    for row, (where, name) in enumerate((((0.0, 0.0), "straight down"), (offset, "from the side"))):
        camera = PinholeCamera.from_fov(pose=offset_pose(0.6, where))
        view = render_view(state, camera, ParallelCamera.covering(2500, 0.5), back_layer=False)
        limits: dict[str, Any] = {"vmin": float(view.depth[view.instance_mask > 0].min()) - 0.01}
        limits["vmax"] = float(np.percentile(view.depth, 70))
        mask = np.where(view.instance_mask > 0, view.instance_mask, np.nan)
        seen = np.where(view.parallel_depth > 0, view.parallel_depth, np.nan)
        inner = np.s_[30:450, 90:550]
        _show(axes[row, 0], np.asarray(view.rgb)[inner], f"Colours, {name}")
        _show(axes[row, 1], view.depth[inner], "Depth", "metres", cmap="viridis", **limits)
        _show(axes[row, 2], mask[inner], "Objects (mask)", cmap="tab20", vmin=1, vmax=20)
        _show(axes[row, 3], seen, "Parallel depth", "metres", cmap="viridis", **limits)
    return figure


def write_world_figures(folder: str | Path) -> list[Path]:
    """Draws the documentation's pictures of the world into a folder; returns their paths.

    Three of them show one scene of 15 novel objects; two are drawings of frames and rays.

    Args:
        folder: Folder, made where it is missing.
    """
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    state = make_scenes(ObjectSet.pybullet(900, 999), "novel-15", 1, count=15, seed=11)[0]
    figures = {
        "depth_noise.png": draw_noise(state, DepthNoise()),
        "sensors.png": draw_sensors(state),
        "views.png": draw_views(state),
        "frames.png": draw_frames(),
        "rays.png": draw_rays(),
    }
    written = []
    for name, figure in figures.items():
        written.append(target / name)
        figure.savefig(written[-1], dpi=_DPI, pil_kwargs={"optimize": True})
    return written
