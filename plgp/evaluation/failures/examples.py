"""Attempts examined one by one: the cause of each that executed a grasp, and pictures of some that failed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from plgp.evaluation.failures.causes import Tolerances, compare_with_labels, find_obstacle, label_state
from plgp.evaluation.failures.figures import caption, draw_example, film_ending
from sim.benchmark.attempt_table import recorded_grasp, was_executed
from sim.benchmark.grasp_attempt import attempt
from sim.benchmark.observation import observe
from sim.benchmark.protocol import BenchmarkSettings
from sim.benchmark.runner import scene_after
from sim.benchmark.store import SceneKey, read_scene, scene_identity
from sim.cli.progress import followed
from sim.drawing.figures import to_jpeg
from sim.errors import InputError
from sim.physics import World
from sim.scene import SceneState

_FOUND = ["cause", "label_mm", "angle_deg", "depth_mm", "width_mm", "hit", "hit_object", "overlap_mm"]


@dataclass(frozen=True)
class Example:
    """A failed attempt to look at.

    Attributes:
        picture: Bytes of a JPEG.
        caption: Description of the attempt, one line.
    """

    picture: bytes
    caption: str


def choose_examples(rows: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """Returns ``count`` of the rows, drawn at random, no scene twice before every scene had its turn."""
    shuffled = rows.iloc[np.random.default_rng(seed).permutation(len(rows))]
    turn = shuffled.groupby(["category", "scene"]).cumcount().to_numpy()
    return shuffled.iloc[np.argsort(turn, kind="stable")[:count]]


def scenes_before(
    rows: pd.DataFrame, start: SceneState, settings: BenchmarkSettings
) -> Iterator[tuple[pd.DataFrame, SceneState]]:
    """Yields rows of one category and scene with the scene as it was before them.

    The ranked attempts come together; those of a clearing one by one, because they are executed again.
    """
    ranked = rows[rows.protocol == "rank"]
    if len(ranked):
        yield ranked, start
    for _, sequence in rows[rows.protocol == "clear"].groupby(["policy", "friction"]):
        state, world = start, World(settings.physics, start.tray)
        try:
            for index, row in sequence.sort_values("attempt").iterrows():
                yield sequence.loc[[index]], state
                grasp = recorded_grasp(row)
                if grasp is not None:
                    result = attempt(world, state, grasp, settings.gripper, float(row.friction), settings.attempt)
                    state = scene_after(world, state, result, settings=settings)
        finally:
            world.close()


def examine(
    attempts: pd.DataFrame,
    scenes: Mapping[str, Sequence[SceneState]],
    settings: BenchmarkSettings,
    *,
    per_reason: int = 6,
    seed: int = 0,
    limits: Tolerances | None = None,
) -> tuple[pd.DataFrame, dict[Any, Example]]:
    """Finds every executed attempt's cause, and draws some that failed.

    Args:
        attempts: Rows of ``run_benchmark``, each with an index of its own.
        scenes: The scenes of each category, in the order in which they ran.
        settings: Settings of the run.
        per_reason: Number of examples of each policy and reason.
        seed: Seed of their choice.
        limits: Limits beyond which a grasp differs from the labels.

    Returns:
        The rows in which a grasp was executed, with the columns of ``compare_with_labels`` and ``find_obstacle``;
        and the examples by row index.
    """
    executed = attempts[was_executed(attempts)]
    failed = executed[~executed.success.astype(bool)].groupby(["policy", "reason"])
    drawn = {index for _, rows in failed for index in choose_examples(rows, per_reason, seed).index}
    causes: dict[Any, dict[str, Any]] = {}
    examples = {}
    groups: Any = executed.groupby(["category", "scene"], sort=False)
    for key, rows in followed(groups, "scenes", len(groups)):
        category, number = str(key[0]), int(key[1])
        for here, state in scenes_before(rows, scenes[category][number], settings):
            place = label_state(state, settings)
            to_camera = np.linalg.inv(place.view.camera.pose)
            for index, row in here.iterrows():
                recorded: Any = recorded_grasp(row)
                grasp = recorded.transform(to_camera, "camera")
                causes[index] = compare_with_labels(grasp, place, limits)
                causes[index] |= find_obstacle(grasp, place.view, settings.gripper, limits=limits)
                if index in drawn:
                    frames, ended = film_ending(state, row, settings)
                    asked = int(row.attempt) if row.protocol == "clear" else 0
                    seen = observe(state, settings, [settings.seed, number, asked])
                    figure = draw_example(place, seen, grasp, gripper=settings.gripper, frames=frames)
                    examples[index] = Example(to_jpeg(figure, 95), caption(row, ended, causes[index]))
    return executed.join(pd.DataFrame.from_dict(causes, orient="index", columns=_FOUND)), examples


def check_measured(
    folder: Path, attempts: pd.DataFrame, scenes: Mapping[str, Sequence[SceneState]], *, settings: BenchmarkSettings
) -> bool:
    """Returns whether rows were measured with these settings; raises InputError where it was in other scenes."""
    same = True
    keys: Any = attempts.groupby(["policy", "category", "scene"]).groups
    for key in keys:
        policy, category, number = str(key[0]), str(key[1]), int(key[2])
        if category not in scenes or number >= len(scenes[category]):
            raise InputError(
                f"there is no scene {number} of '{category}' in the scene set; give the run's own: "
                "scene_set=plgp-320, or a file; without scene_set= it is what the results' measured.yaml says"
            )
        known = scene_identity("", scenes[category][number], frictions=[], settings=settings)
        where = SceneKey(policy, category, number)
        try:
            read_scene(folder, where, {"scene": known["scene"]})
        except InputError as error:
            raise InputError(
                f"'{policy}' was measured in another scene {number} of '{category}'; "
                "give the run's set: scene_set=plgp-320, or a file"
            ) from error
        try:
            read_scene(folder, where, {"rules": known["rules"]})
        except InputError:
            same = False
    return same
