"""What a recorded pick says, in words and as a picture; another network's grasps beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from robot.values import Trajectory
from sim.drawing.figures import hide_ticks, panels, save_figure
from sim.grasp import GraspPoses
from sim.view import Observation

_FINGERS = 0.01  # metres: half the length of the strokes that stand for the fingers


def describe_pick(row: Mapping[str, Any], motions: Mapping[str, Trajectory], shown: int) -> str:
    """Returns a recorded pick in words.

    Args:
        row: What ``robot.recording.read_pick`` gave.
        motions: Its trajectories.
        shown: Number of grasps that are listed.
    """
    end = f"success: {', '.join(row['objects'])}" if row["success"] else f"failed: {row['reason']} {row['message']}"
    lines = [end.strip(), f"{row['given']} grasps, the one of rank {row['rank']} was executed" if row["given"] else ""]
    for grasp in row["grasps"][:shown]:
        x, y, z = (1000 * v for v in grasp["translation"])
        lines.append(
            f"  {grasp['rank']:3d}  score {grasp['quality']:.3f}  width {1000 * grasp['width']:.0f} mm  "
            f"at {x:.0f}, {y:.0f}, {z:.0f} mm  {grasp['verdict']}"
        )
    lines += [f"  {name[3:]}: {motion.duration:.2f} s" for name, motion in motions.items()]
    return "\n".join(line for line in lines if line)


def compare_grasps(row: Mapping[str, Any], now: GraspPoses, shown: int) -> str:
    """Returns another network's best grasps beside the recorded ones.

    Args:
        row: What ``robot.recording.read_pick`` gave.
        now: The other network's grasps, world frame.
        shown: Number of grasps that are listed.
    """
    if not len(now):
        return "the other network gives no grasp"
    recorded = np.array([g["translation"] for g in row["grasps"]])
    lines = [f"the other network gives {len(now)} grasps:"]
    for i in range(min(shown, len(now))):
        x, y, z = 1000 * now.translation[i]
        far = 1000 * np.linalg.norm(recorded - now.translation[i], axis=1).min()
        lines.append(
            f"  {i:3d}  score {now.quality[i]:.3f}  width {1000 * now.width[i]:.0f} mm  at {x:.0f}, {y:.0f}, {z:.0f} mm"
            f"  {far:.0f} mm from the nearest recorded one"
        )
    return "\n".join(lines)


def draw_pick(row: Mapping[str, Any], seen: Observation, now: GraspPoses | None, *, path: Path) -> Path:
    """Draws a recorded pick's grasps into its picture: the executed one red, the others yellow, another network's blue.

    Args:
        row: What ``robot.recording.read_pick`` gave.
        seen: What the camera saw.
        now: Another network's grasps, world frame, or None.
        path: The PNG.
    """
    figure, grid = panels(1, 1, (8, 6))
    axes = grid[0, 0]
    axes.imshow(seen.depth if seen.rgb is None else seen.rgb)
    rows = row["grasps"]
    recorded = GraspPoses(
        np.array([g["translation"] for g in rows]).reshape(-1, 3),
        np.array([g["rotation"] for g in rows]).reshape(-1, 3, 3),
        np.array([g["width"] for g in rows]),
        np.array([g["quality"] for g in rows]),
        "world",
    )
    chosen = row["rank"]
    for i in reversed(range(len(recorded))):
        if i != chosen:
            _draw(axes, recorded[i], seen, "gold", 0.8)
    for i in range(0 if now is None else min(10, len(now))):
        assert now is not None
        _draw(axes, now[i], seen, "deepskyblue", 1.2)
    if 0 <= chosen < len(recorded):
        _draw(axes, recorded[chosen], seen, "red", 2.0)
    hide_ticks(axes)
    axes.set_title("success" if row["success"] else f"failed: {row['reason']}")
    return save_figure(figure, path, 90)


def _draw(axes: Any, grasp: GraspPoses, seen: Observation, colour: str, width: float) -> None:
    """Draws one grasp: the opening, and a stroke for each finger."""
    there = grasp.transform(np.linalg.inv(seen.camera.pose), "camera")
    closing, across = there.rotation[0, :, 0], there.rotation[0, :, 1]
    ends = [there.translation[0] + side * there.width[0] / 2 * closing for side in (-1, 1)]
    strokes = [ends, *([end - _FINGERS * across, end + _FINGERS * across] for end in ends)]
    for stroke in strokes:
        rows, cols, _ = seen.camera.project(np.array(stroke))
        axes.plot(cols, rows, color=colour, linewidth=width)
