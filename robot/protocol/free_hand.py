"""What the arm costs: the benchmark's free hand in the same scenes, with the same policy, paired."""

from __future__ import annotations

from collections import Counter
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


def arm_cost(
    scenes: Sequence[dict[str, Any]],
    free: Sequence[dict[str, Any]],
    exact: Sequence[dict[str, Any]] = (),
) -> list[str]:
    """Returns sentences for each size: success rates of arm and free hand in the same scenes, and what the arm lost.

    Args:
        scenes: Finished scenes of ``robot.protocol.run_table5``.
        free: Those of ``clear_by_free_hand``; scenes that are not in both are left out.
        exact: Those of ``run_table5`` with a camera that is where the arm believes it to be; empty for none.
    """
    sentences = []
    beside = {(s["size"], s["number"]): s for s in free}
    right = {(s["size"], s["number"]): s for s in exact}
    for size in sorted({s["size"] for s in scenes}):
        ours = [s for s in scenes if s["size"] == size and (size, s["number"]) in beside]
        if not ours:
            continue
        theirs = [(h["successes"], h["attempts"]) for s in ours for h in [beside[size, s["number"]]]]
        sr, other, low, high = _paired([_counts(s) for s in ours], theirs)
        sentences.append(
            f"{size} objects, {len(ours)} scenes: SR {sr:.2f} % with the arm, {other:.2f} % of the free hand, "
            f"difference {sr - other:+.2f} points ({low:+.1f} to {high:+.1f})"
        )
        sentences += [f"  {text}" for text in _losses([a for s in ours for a in s["attempts"]])]
        both = [s for s in ours if (size, s["number"]) in right]
        if both:
            sr, other, low, high = _paired(
                [_counts(s) for s in both], [_counts(right[size, s["number"]]) for s in both]
            )
            sentences.append(
                f"  calibration: SR {other:.2f} % with a camera that is where the arm believes it to be, "
                f"difference {sr - other:+.2f} points ({low:+.1f} to {high:+.1f}, {len(both)} scenes)"
            )
    return sentences


def _counts(scene: dict[str, Any]) -> tuple[int, int]:
    """Returns successes and attempts of a finished scene."""
    return sum(a["success"] for a in scene["attempts"]), len(scene["attempts"])


def _paired(ours: Sequence[tuple[int, int]], theirs: Sequence[tuple[int, int]]) -> tuple[float, float, float, float]:
    """Returns two success rates and the bounds of their difference, percent, by the bootstrap over scenes.

    Args:
        ours: Successes and attempts of each scene.
        theirs: Those of the other in the same scenes.
    """
    counts = np.concatenate([np.array(ours, np.float64), np.array(theirs, np.float64)], axis=1)
    drawn = scene_weights(len(counts), seed=0) @ counts
    low, high = 100 * interval(drawn[:, 0] / drawn[:, 1] - drawn[:, 2] / drawn[:, 3], len(counts))
    total = counts.sum(axis=0)
    return 100 * total[0] / total[1], 100 * total[2] / total[3], float(low), float(high)


def _losses(attempts: Sequence[dict[str, Any]]) -> list[str]:
    """Returns the losses that only an arm can have, a sentence each."""
    failed = Counter(a["reason"] for a in attempts if not a["success"])
    given_up: Counter[str] = sum((Counter(a["unreachable"]) for a in attempts), Counter())
    lower = [a for a in attempts if a["unreachable"] and a["reason"] != "unreachable"]
    words = {
        "reach": "out of reach",
        "branch": "at a joint's limit",
        "collision": "in collision",
        "box": "outside the box",
    }
    why = ", ".join(f"{given_up[reason]} {text}" for reason, text in words.items() if given_up[reason])
    worse = sum(not a["success"] for a in lower)
    return [
        f"unreachable: {failed['unreachable']} of {len(attempts)} attempts had no grasp that the arm reaches; "
        f"{len(lower)} took a later one ({worse} of them failed); given up: {why or 'none'}",
        f"timing and limits: {failed['stopped']} stopped on the way, {failed['no picture']} without a picture in time",
        f"carrying: {failed['dropped']} dropped on the way, {failed['beside']} beside the receptacle",
        f"grasping, as the free hand may lose too: {failed['missed']} missed, {failed['slipped']} slipped, "
        f"{failed['no grasp']} without a grasp",
    ]
