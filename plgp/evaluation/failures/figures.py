"""One failed attempt as a row of pictures: the place from above, the profile with the gripper, three film frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Polygon

from plgp.evaluation.failures.causes import Labelled, sample_relief, target_object
from sim.benchmark.attempt_table import ending, recorded_grasp
from sim.benchmark.grasp_attempt import attempt
from sim.benchmark.parallel_jaw import ParallelJaw
from sim.benchmark.protocol import BenchmarkSettings, Observation
from sim.camera import PinholeCamera
from sim.drawing.figures import hide_ticks, panels
from sim.drawing.film import FINGER_COLOUR, PALM_COLOUR, Recorder, RGBImage, draw_snapshot, film_camera
from sim.geometry import look_at
from sim.grasp import GraspPoses
from sim.gripper import GripperGeometry
from sim.physics import World
from sim.scene import SceneState

# A legend below its panel, where it covers nothing.
_BELOW: dict[str, Any] = {
    "loc": "upper center",
    "bbox_to_anchor": (0.5, 0),
    "ncols": 3,
    "fontsize": 8,
    "frameon": False,
    "columnspacing": 0.8,
    "handlelength": 1.2,
}
_REACH = 0.085  # metres of the profile on each side of the grasp
_ELEVATION = np.radians(40)  # of the close camera over the tray's floor


def film_ending(
    state: SceneState, row: Any, settings: BenchmarkSettings, *, size: tuple[int, int] = (320, 260)
) -> tuple[list[tuple[str, RGBImage]], str]:
    """Executes an attempt again: three frames of it with their titles, and how it ended this time."""
    grasp: Any = recorded_grasp(row)
    recorder, world, s = Recorder(every=1), World(settings.physics, state.tray), settings.attempt
    ends: list[int] = []

    def watch(jaw: ParallelJaw) -> None:
        recorder(jaw)
        if recorder.steps == s.down_steps:  # a hand that is wide open closes for longer than its settings say
            ends.append(s.down_steps + jaw.closing_steps())

    try:
        result = attempt(world, state, grasp, settings.gripper, float(row.friction), s, on_step=watch)
    finally:
        world.close()
    shots, closed = recorder.snapshots, ends[0]
    near, far = close_camera(grasp, size), film_camera(size)
    chosen = [("before", 0, near), ("closed", closed - 1, near), ("end", len(shots) - 1, far)]
    if len(shots) == closed:  # nothing was gripped: closed is the end
        chosen = [("before", 0, near), ("down", s.down_steps - 1, near), ("closed: the end", closed - 1, near)]
    frames = [(title, draw_snapshot(state, shots[step], camera)) for title, step, camera in chosen]
    return frames, ending(result.reason)


def close_camera(grasp: GraspPoses, size: tuple[int, int]) -> PinholeCamera:
    """Returns a camera that looks across the closing direction, from above, at one world-frame grasp."""
    target = grasp.translation[0] + np.array([0, 0, 0.025])
    side = grasp.rotation[0][:, 1] * np.array([1.0, 1.0, 0.0])
    side = side / np.linalg.norm(side) if np.linalg.norm(side) > 0.1 else np.array([0.0, -1.0, 0.0])
    side = side if side[1] < 0 else -side  # from the front, as the other camera
    backward = np.cos(_ELEVATION) * side + np.array([0, 0, np.sin(_ELEVATION)])
    pose = look_at(target + 0.32 * backward, target)
    return PinholeCamera.from_fov(*size, fov=float(np.radians(36)), pose=pose)


def draw_example(
    place: Labelled,
    seen: Observation,
    grasp: GraspPoses,
    *,
    gripper: GripperGeometry,
    frames: Sequence[tuple[str, RGBImage]],
) -> Figure:
    """Returns one attempt as a row of five pictures; ``grasp`` in the camera frame."""
    ratios = (1, 1.75, *[1.2] * len(frames))
    figure, grid = panels(1, len(ratios), (17, 4.2), width_ratios=ratios)
    _draw_place(grid[0, 0], place, seen, grasp=grasp, gripper=gripper)
    _draw_profile(grid[0, 1], place, seen, grasp=grasp, gripper=gripper)
    for axes, (title, frame) in zip(grid[0, 2:], frames, strict=True):
        axes.imshow(frame)
        axes.set_title(title, fontsize=10)
        axes.set_axis_off()
    grid[0, 3].legend(
        handles=[
            Patch(color=_shade(FINGER_COLOUR), label="fingers"),
            Patch(color=_shade(PALM_COLOUR), label="palm"),
        ],
        **_BELOW,
    )
    return figure


def _shade(colour: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)


def _draw_place(axes: Axes, place: Labelled, seen: Observation, *, grasp: GraspPoses, gripper: GripperGeometry) -> None:
    """Draws the camera's picture around the grasp: fingers, closing line, labels nearby."""
    camera = seen.camera
    axes.imshow(np.asarray(seen.rgb))
    half, side = float(grasp.width[0]) / 2, gripper.finger_width / 2
    outer = half + gripper.finger_thickness
    for low, high in ((-outer, -half), (half, outer)):
        corners = np.array([[low, -side, 0], [high, -side, 0], [high, side, 0], [low, side, 0]])
        rows, cols, _ = camera.project(grasp.translation[0] + corners @ grasp.rotation[0].T)
        axes.add_patch(Polygon(np.stack([cols, rows], axis=1), facecolor="#56B4E9", edgecolor="black", lw=0.6))
    axes.patches[0].set_label("fingers")
    ends = grasp.translation[0] + np.outer([-half, half], grasp.rotation[0][:, 0])
    rows, cols, _ = camera.project(ends)
    axes.plot(cols, rows, color="red", lw=1.2, label="closing line")
    reach = camera.intrinsics[0, 0] / float(grasp.translation[0, 2]) * 0.075
    row, col = (float(v[0]) for v in camera.project(grasp.translation)[:2])
    axes.plot(place.labels.col, place.labels.row, ".", color="lime", ms=2, label="labels")
    axes.set(xlim=(col - reach, col + reach), ylim=(row + reach, row - reach))
    axes.set_title("camera, 15 cm across", fontsize=10)
    hide_ticks(axes)
    axes.legend(**_BELOW, markerscale=3)


def _draw_profile(
    axes: Axes, place: Labelled, seen: Observation, *, grasp: GraspPoses, gripper: GripperGeometry
) -> None:
    """Draws heights over the tray's floor along the closing direction, mm, and the gripper to scale."""
    view, floor = place.view, float(place.view.camera.pose[2, 3])
    along = np.arange(-_REACH, _REACH, 0.5 / view.parallel_camera.pixels_per_metre)
    names = ("under the fingers' sides", "", "surface under their middle")
    for across, name in zip((-gripper.finger_width / 2, gripper.finger_width / 2, 0.0), names, strict=True):
        depth, mask = sample_relief(view, grasp, along, across=np.full_like(along, across))
        height = np.where(depth > 0, 1e3 * (floor - depth), np.nan)
        style: dict[str, Any] = {"lw": 1.4, "ls": "-"} if across == 0 else {"lw": 0.7, "ls": "--"}
        axes.plot(1e3 * along, height, color="black", label=name or None, **style)
    back, _ = sample_relief(view, grasp, along, across=np.zeros_like(along), back=True)
    bottom = np.where(back > 0, 1e3 * (floor - back), height)
    target = target_object(grasp, view)
    own = (mask == target) & (mask > 0)
    for colour, shown, name in (("0.7", own, "object under the grasp"), ("#ecd9b0", (mask > 0) & ~own, "others")):
        axes.fill_between(1e3 * along, bottom, height, where=shown.tolist(), color=colour, lw=0, label=name)
    direction = grasp.rotation[0][:2, 0] / np.linalg.norm(grasp.rotation[0][:2, 0])
    points = np.zeros((len(along), 3))
    points[:, :2], points[:, 2] = grasp.translation[0, :2] + np.outer(along, direction), np.where(depth > 0, depth, 1)
    rows, cols, _ = seen.camera.project(points)
    inside = (rows > 0) & (rows < seen.camera.height - 1) & (cols > 0) & (cols < seen.camera.width - 1) & (depth > 0)
    noisy = np.full(len(along), np.nan)
    noisy[inside] = seen.depth[np.rint(rows[inside]).astype(int), np.rint(cols[inside]).astype(int)]
    axes.plot(
        1e3 * along, np.where(noisy > 0, 1e3 * (floor - noisy), np.nan), color="#D55E00", lw=0.8, label="noisy depth"
    )
    half, length = float(grasp.width[0]) / 2, gripper.finger_length
    boxes = [(side * half, side * (half + gripper.finger_thickness), -length, 0.0) for side in (-1, 1)]
    boxes.append((-gripper.palm_width / 2, gripper.palm_width / 2, -length - 0.008, -length))
    for left, right, top, tip in boxes:
        corners = np.array([[left, 0, top], [right, 0, top], [right, 0, tip], [left, 0, tip]]) @ grasp.rotation[0].T
        flat = np.stack([corners[:, :2] @ direction, floor - grasp.translation[0, 2] - corners[:, 2]], axis=1)
        axes.add_patch(Polygon(1e3 * flat, fill=False, edgecolor="#0072B2", lw=1.3))
    axes.patches[-1].set_label("gripper as it comes down")
    low, high = min(0.0, np.nanmin(height)), 1e3 * (floor - grasp.translation[0, 2] + length) + 12
    axes.set(xlim=(-1e3 * _REACH, 1e3 * _REACH), ylim=(low - 4, max(high, np.nanmax(height) + 4)), aspect="equal")
    axes.set_title("along the closing direction, height in mm", fontsize=10)
    axes.tick_params(labelsize=8)
    axes.legend(**_BELOW | {"ncols": 3, "bbox_to_anchor": (0.5, -0.08)})


def caption(row: Any, ended: str, causes: Mapping[str, Any]) -> str:
    """Returns the line under an example."""
    again = "" if ended == ending(row.reason) else f" (executed again: {ended})"
    parts = [f"{row.category}, scene {row.scene}, attempt {row.attempt} ({row.protocol}), friction {row.friction:g}"]
    parts.append(f"{row.reason}{again}" + (f", had gripped {row.object}" if row.object else ""))
    parts.append(f"quality {row.quality:.3f}, opening {1e3 * row.width:.0f} mm")
    parts.append(str(causes["cause"]))
    measures = [("label_mm", "nearest label {:.1f} mm away"), ("angle_deg", "angle {:.0f} deg off")]
    measures += [("depth_mm", "tips {:+.1f} mm deep"), ("width_mm", "opening {:+.1f} mm")]
    parts.append(", ".join(text.format(causes[k]) for k, text in measures if np.isfinite(causes[k])))
    if causes["hit"]:
        overlap = f" {causes['hit_object']}, {causes['overlap_mm']:.0f} mm overlap" if causes["overlap_mm"] > 0 else ""
        parts.append(causes["hit"] + overlap)
    return "; ".join(p for p in parts if p)
