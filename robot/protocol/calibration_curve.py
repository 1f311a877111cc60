"""How much success an error of the hand-eye calibration costs: the same scenes, seen by cameras that are off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from robot.cell.hand_eye import BelievedHandEye
from robot.protocol.scenes import ProtocolSettings
from robot.protocol.summary import trial_interval
from robot.protocol.table5 import run_table5
from robot.station import Station
from sim.benchmark.protocol import GraspPolicy
from sim.drawing.figures import COLOURS, panels, save_figure
from sim.errors import InputError
from sim.objects.object_set import ObjectSet
from sim.scene import SceneSettings

GREATEST = 50.0  # millimetres


def check_errors(errors_mm: object) -> list[float]:
    """Returns the errors of a curve as numbers.

    Args:
        errors_mm: Errors of the camera's place, millimetres.

    Raises:
        InputError: They are no different numbers from 0 to 50.
    """
    given = [errors_mm] if isinstance(errors_mm, (int, float)) else errors_mm
    try:
        found = [float(v) for v in given]  # type: ignore[attr-defined]
    except (TypeError, ValueError):
        found = []
    if not found or len(set(found)) < len(found) or not all(0 <= v <= GREATEST for v in found):
        raise InputError(
            f"calibration_error_mm is {errors_mm}; give different numbers from 0 to {GREATEST:g}, "
            "for example [0,1,2,3,4,5]"
        )
    return found


def measure_curve(
    station: Station,
    policy: GraspPolicy,
    objects: ObjectSet,
    *,
    errors_mm: Sequence[float],
    directions: int,
    settings: ProtocolSettings,
    out: Path,
    scene: SceneSettings,
    record: str = "none",
    workers: int = 1,
) -> pd.DataFrame:
    """Runs the protocol with each error of the camera's believed place; finished scenes in ``out`` are not run again.

    Args:
        station: The station; its calibration is replaced by the errors, without an error of the turn.
        policy: The grasp policy.
        objects: Object set from which the objects are drawn.
        errors_mm: Errors, millimetres.
        directions: Number of random directions of each error.
        settings: The protocol.
        out: Folder; each error and direction has one of its own in it.
        scene: How scenes are made.
        record: Attempts that are recorded: "none", "failures" or "all".
        workers: Number of processes.

    Returns:
        One row an error and size: error_mm, size, scenes, attempts, failures, sr, sr_low, sr_high, pc (percent).
    """
    rows = []
    for error in errors_mm:
        scenes: list[tuple[int, dict[str, Any]]] = []
        for direction in range(directions if error else 1):
            off = BelievedHandEye(position=error / 1000, rotation=0.0, seed=direction)
            made = run_table5(
                replace(station, calibration=off),
                policy,
                objects,
                settings=settings,
                out=out / f"{error:g}mm-{direction}",
                scene=scene,
                record=record,
                workers=workers,
            )
            scenes += [(direction, s) for s in made]
        rows += [{"error_mm": error, **_row(size, scenes)} for size in settings.sizes]
    return pd.DataFrame(rows)


def _row(size: int, scenes: Sequence[tuple[int, dict[str, Any]]]) -> dict[str, Any]:
    """Returns what scenes of a size say; the interval's scenes are those of the protocol, in all directions."""
    part = [s for _, s in scenes if s["size"] == size]
    tries = [(s["number"], a["success"]) for s in part for a in s["attempts"]]
    done = [success for _, success in tries]
    low, high = trial_interval([number for number, _ in tries], done) or (float("nan"),) * 2
    return {
        "size": size,
        "scenes": len(part),
        "attempts": len(tries),
        "failures": len(done) - sum(done),
        "sr": 100 * sum(done) / len(done) if done else float("nan"),
        "sr_low": 100 * low,
        "sr_high": 100 * high,
        "pc": 100 * sum(s["cleared"] for s in part) / (size * len(part)),
    }


def draw_curve(curve: pd.DataFrame, path: Path) -> Path:
    """Draws the success rate over the error, a line a size with its 95 % intervals; returns the path."""
    figure, ((axes,),) = panels(1, 1, (5.4, 3.4))
    sizes = sorted(curve["size"].unique())
    for i, size in enumerate(sizes):
        part = curve[curve["size"] == size].sort_values("error_mm")
        x = part["error_mm"] + 0.06 * (i - (len(sizes) - 1) / 2)
        bars = [(part["sr"] - part["sr_low"]).clip(lower=0), (part["sr_high"] - part["sr"]).clip(lower=0)]
        words = f"{size} object" + "s" * int(size > 1)
        axes.errorbar(x, part["sr"], bars, color=COLOURS[i % len(COLOURS)], marker="o", capsize=3, label=words)
    axes.set(xlabel="error of the camera's place, mm", ylabel="success rate, %", ylim=(-2, 102))
    axes.set_xticks(sorted(curve["error_mm"].unique()))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left")
    return save_figure(figure, path, 130)
