"""The documentation's drawings of frames, signs and the two cameras' rays: ``python -m sim figures DIR``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from sim.camera import PinholeCamera
from sim.drawing.figures import COLOURS, hide_ticks, panels
from sim.grasp import rotations_from_angles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, RED, GREEN, _, ORANGE, _, _ = COLOURS
_TEXT = 12  # points
_TITLE = 14  # points


def _arrow(ax: Any, start: ArrayLike, end: ArrayLike, colour: str, *, both: bool = False, width: float = 2.2) -> None:
    """Draws an arrow from ``start`` to ``end`` (data coordinates); ``both`` puts a head on either end."""
    style = {"arrowstyle": "<->" if both else "-|>", "color": colour, "lw": width, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", xy=end, xytext=start, arrowprops=style | {"mutation_scale": 16})


def _say(ax: Any, place: tuple[float, float], text: str, colour: str = "black", **options: Any) -> None:
    """Writes text; its middle is at ``place`` (data coordinates) unless ``ha`` or ``va`` say otherwise."""
    ax.text(*place, text, color=colour, fontsize=_TEXT, **({"ha": "center", "va": "center"} | options))


def _box(ax: Any, corner: tuple[float, float], size: tuple[float, float], colour: str) -> None:
    """Draws a filled rectangle; ``corner`` is its corner with the smallest coordinates."""
    from matplotlib.patches import Rectangle

    ax.add_patch(Rectangle(corner, *size, facecolor=colour, edgecolor="black", lw=0.8, zorder=2))


def _draw_image_plane(ax: Any, degrees: float) -> None:
    """Draws a grasp as the image shows it: row, column, angle, closing direction, width; pixels."""
    from matplotlib.patches import Arc, Polygon

    row, col, half, theta = 62.0, 84.0, 32.0, np.deg2rad(degrees)
    closing, across = rotations_from_angles(theta)[0].T[:2, :2]  # (col, row) parts of the grasp's x and y axes
    centre = np.array([col, row])
    corners = [centre + a * 44 * across + b * 15 * closing for a, b in ((-1, -1), (-1, 1), (1, 1), (1, -1))]
    ax.add_patch(Polygon(corners, facecolor="#d9cfc0", edgecolor="black", lw=0.8))
    for side in (-1, 1):
        inner, outer = half * side, (half + 6) * side
        finger = [centre + a * 10 * across + b * closing for a, b in ((-1, inner), (1, inner), (1, outer), (-1, outer))]
        ax.add_patch(Polygon(finger, facecolor="#8c96a3", edgecolor="black", lw=0.8))
    ax.plot([col, col + 62], [row, row], color="black", lw=1, ls=":")
    ax.add_patch(Arc((col, row), 92, 92, theta1=-degrees, theta2=0, color=ORANGE, lw=2))
    turn = centre + 46 * np.array([np.cos(theta), -np.sin(theta)])
    _arrow(ax, turn + 4 * np.array([np.sin(theta), np.cos(theta)]), turn, ORANGE)
    _say(ax, (col + 50, row - 17), "angle θ,\ncounter-\nclockwise", ORANGE, ha="left")
    _arrow(ax, centre, centre + 24 * closing, RED)
    _say(ax, (col + 3, row - 15), "x, closing", RED)
    _arrow(ax, centre, centre + 24 * across, GREEN)
    _say(ax, (col + 20, row + 16), "y", GREEN)
    shift = 34 * across
    _arrow(ax, centre - half * closing + shift, centre + half * closing + shift, BLUE, both=True, width=1.6)
    _say(ax, (col - 12, row + 46), "width w", BLUE, ha="right")
    ax.plot(col, row, "o", color="black", ms=6)
    _say(ax, (col - 4, row - 3), "(row, col)", ha="right")
    _arrow(ax, (0, 0), (36, 0), "black")
    _say(ax, (40, 6), "col", ha="left")
    _arrow(ax, (0, 0), (0, 36), "black")
    _say(ax, (5, 40), "row", ha="left")
    ax.set(xlim=(-6, 166), ylim=(128, -6), aspect="equal")
    ax.set_title("The image: rows grow downwards", fontsize=_TITLE)


def _draw_side(ax: Any) -> None:
    """Draws a grasp from the side: camera axes, pre-grasp, depth d, finger length, opening; metres, z downwards."""
    surface, d, half, thick, length = 0.42, 0.035, 0.06, 0.018, 0.10
    tips = surface + d
    ax.axhline(0.56, color="black", lw=1)
    _say(ax, (-0.27, 0.58), "tray", ha="left")
    _box(ax, (-0.04, surface), (0.08, 0.56 - surface), "#d9cfc0")
    for top, alpha in ((tips - length, 1.0), (tips - length - 0.2, 0.35)):
        for x in (-half - thick, half):
            _box(ax, (x, top), (thick, length), "#8c96a3")
        _box(ax, (-0.10, top - 0.03), (0.20, 0.03), "#8c96a3")
        for patch in ax.patches[-3:]:
            patch.set_alpha(alpha)
    _arrow(ax, (0.155, tips - 0.2), (0.155, tips), BLUE)
    _say(ax, (0.165, tips - 0.11), "pre-grasp:\n0.2 m back\nalong z", BLUE, ha="left")
    _arrow(ax, (0.0, tips), (0.0, tips + 0.07), RED)
    _arrow(ax, (0.0, tips), (0.07, tips), GREEN)
    _say(ax, (0.012, tips + 0.055), "z, approach", RED, ha="left")
    _say(ax, (0.095, tips + 0.018), "x", GREEN)
    _arrow(ax, (-0.11, surface), (-0.11, tips), ORANGE, both=True, width=1.6)
    for y in (surface, tips):
        ax.plot([-0.125, 0.0], [y, y], color=ORANGE, lw=1, ls=":", zorder=3)
    _say(ax, (-0.13, surface + d / 2), "depth d", ORANGE, ha="right")
    _arrow(ax, (-half, surface - 0.03), (half, surface - 0.03), BLUE, both=True, width=1.6)
    _say(ax, (0.0, surface - 0.045), "width w", BLUE)
    _arrow(ax, (0.0, 0.0), (0.10, 0.0), GREEN)
    _arrow(ax, (0.0, 0.0), (0.0, 0.09), RED)
    ax.plot(0, 0, "o", color="black", ms=8)
    _say(ax, (0.11, 0.0), "camera x, right", GREEN, ha="left")
    _say(ax, (0.012, 0.055), "camera z, forward\n(y, down, points to you)", RED, ha="left")
    _say(ax, (-0.02, 0.0), "camera", ha="right")
    ax.plot([0, 0], [0.09, surface], color="black", lw=1, ls=":")
    ax.plot(0, surface, "o", color="black", ms=6, zorder=4)
    ax.set(xlim=(-0.28, 0.32), ylim=(0.60, -0.04), aspect="equal")
    ax.set_title("From the side: the hand comes down along the camera's z", fontsize=_TITLE)


def draw_frames(degrees: float = 35.0) -> Figure:
    """Draws the frames and the signs of a grasp, as the image shows it and from the side.

    Args:
        degrees: Angle of the drawn grasp, degrees.
    """
    figure, axes = panels(1, 2, (14.5, 6.0), width_ratios=(1.22, 1))
    hide_ticks(*axes.ravel())
    _draw_image_plane(axes[0, 0], degrees)
    _draw_side(axes[0, 1])
    return figure


def _top(x: np.ndarray[Any, Any], boxes: ArrayLike, floor: float) -> np.ndarray[Any, Any]:
    """Returns the depth of the highest surface at each x, metres; ``boxes`` are (left, right, top)."""
    depth = np.full(x.shape, floor)
    for left, right, top in np.asarray(boxes):
        depth = np.where((x >= left) & (x <= right), np.minimum(depth, top), depth)
    return depth


def draw_rays(gap: float = 0.03) -> Figure:
    """Draws why labels are made in a parallel depth image: a pinhole image hides the gap between two objects.

    Args:
        gap: Distance between the two objects, metres.
    """
    floor, boxes = 0.6, ((0.06, 0.14, 0.42), (0.14 + gap, 0.25 + gap, 0.47))
    camera = PinholeCamera.from_fov()
    figure, axes = panels(1, 2, (14.5, 5.6), sharey=True)
    hide_ticks(*axes.ravel())
    steps = np.linspace(0.0, 1.0, 601)
    for ax, parallel in zip(axes[0], (False, True), strict=True):
        for left, right, top in boxes:
            _box(ax, (left, top), (right - left, floor - top), "#d9cfc0")
        ax.axhline(floor, color="black", lw=1)
        ends = []
        for x in np.linspace(0.005, 0.355, 36):
            far = camera.deproject(239.5, 319.5 + camera.intrinsics[0, 0] * x / floor, floor)[0]
            line = np.full_like(steps, x) if parallel else steps * far[0]
            hit = int(np.argmax(steps * floor >= _top(line, boxes, floor)))
            ends.append((line[hit], steps[hit] * floor))
            ax.plot(line[: hit + 1], steps[: hit + 1] * floor, color=BLUE, lw=0.7, alpha=0.6, zorder=1)
        ax.plot(*zip(*ends, strict=True), "o", color=RED, ms=4.5, zorder=4)
        in_gap = sum(boxes[0][1] < x < boxes[1][0] and abs(z - floor) < 0.01 for x, z in ends)
        name = "Parallel depth image: rays side by side" if parallel else "Camera's depth image: rays from one point"
        ax.set_title(f"{name}\n{in_gap} rays reach the floor of the gap", fontsize=_TITLE)
        if parallel:
            ax.axhline(0.0, xmin=0.06, color=BLUE, lw=3)
        else:
            ax.plot(0, 0, "o", color="black", ms=9)
        ax.set(xlim=(-0.02, 0.37), ylim=(0.63, -0.03))
    _say(axes[0, 1], (0.14 + gap / 2, 0.615), "gap")
    return figure
