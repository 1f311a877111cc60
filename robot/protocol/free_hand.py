"""What the arm costs: the benchmark's free hand in the same scenes, with the same policy, paired."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from robot.protocol.scenes import ProtocolSettings, drop_scene, scene_tasks
from robot.station import Station
from sim.benchmark.bootstrap import interval, scene_weights
from sim.benchmark.protocol import BenchmarkSettings, GraspPolicy
from sim.benchmark.runner import run_benchmark
from sim.objects.object_set import ObjectSet
from sim.scene import SceneSettings


def clear_by_free_hand(
    station: Station,
    policy: GraspPolicy,
    objects: ObjectSet,
    *,
    settings: ProtocolSettings,
    out: str | Path,
    scene: SceneSettings,
    workers: int = 1,
) -> list[dict[str, Any]]:
    """Clears the protocol's scenes by ``sim.benchmark``'s hand, which has no arm: same camera, noise and friction.

    Args:
        station: The station.
        policy: The grasp policy.
        objects: Object set from which the objects are drawn.
        settings: The protocol.
        out: Folder of finished scenes, which are not run again.
        scene: How scenes are made.
        workers: Number of processes.

    Returns:
        Dictionaries with "size", "number", "cleared", "attempts" and "successes", by size and number.
    """
    falling = replace(scene, tray=station.tray, physics=station.physics)
    tasks = scene_tasks(objects, settings)
    rules = BenchmarkSettings(
        gripper=station.gripper,
        camera=station.camera,
        camera_height=station.cell.camera_height,
        depth_noise=station.depth_noise,
        appearance=station.appearance,
        count=1,
        max_failures=settings.max_failures,
        attempt=station.attempt,
        physics=station.physics,
        seed=settings.seed,
    )
    states = [drop_scene(task, falling, settings.seed) for task in tasks]
    rows = run_benchmark(policy, states, station.friction, rules, workers=workers, out=out)
    clearing = rows[rows.protocol == "clear"]
    found = []
    for task in tasks:
        part = clearing[(clearing.category == f"table5-{task.size}") & (clearing.scene == task.number)]
        found.append(
            {
                "size": task.size,
                "number": task.number,
                "cleared": int(part.lifted.sum()),
                "attempts": len(part),
                "successes": int(part.success.sum()),
            }
        )
    return found


def arm_cost(scenes: Sequence[dict[str, Any]], free: Sequence[dict[str, Any]]) -> list[str]:
    """Returns a sentence a size: success rates of arm and free hand in the same scenes, and their difference.

    Args:
        scenes: Finished scenes of ``robot.protocol.run_table5``.
        free: Those of ``clear_by_free_hand``; scenes that are not in both are left out.
    """
    sentences = []
    beside = {(s["size"], s["number"]): s for s in free}
    for size in sorted({s["size"] for s in scenes}):
        pairs = [(s, beside[size, s["number"]]) for s in scenes if s["size"] == size and (size, s["number"]) in beside]
        if not pairs:
            continue
        counts = np.array(
            [
                (sum(a["success"] for a in arm["attempts"]), len(arm["attempts"]), hand["successes"], hand["attempts"])
                for arm, hand in pairs
            ],
            np.float64,
        )
        drawn = scene_weights(len(counts), seed=0) @ counts
        low, high = 100 * interval(drawn[:, 0] / drawn[:, 1] - drawn[:, 2] / drawn[:, 3], len(counts))
        total = counts.sum(axis=0)
        ours, theirs = 100 * total[0] / total[1], 100 * total[2] / total[3]
        sentences.append(
            f"{size} objects, {len(pairs)} scenes: SR {ours:.2f} % with the arm, {theirs:.2f} % of the free hand, "
            f"difference {ours - theirs:+.2f} points ({low:+.1f} to {high:+.1f})"
        )
    return sentences
