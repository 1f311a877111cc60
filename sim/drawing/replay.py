"""Recorded attempts executed again and filmed: what went wrong is quicker seen than read.

A table's rows and the scenes they ran on are enough: the grasps stand in the rows, so no policy is needed, and the same
grasp in the same scene moves the same way.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sim.benchmark.attempt_outcome import AttemptResult
from sim.benchmark.attempt_table import DTYPES, KEYS, ending, make_table, recorded_grasp, was_executed
from sim.benchmark.grasp_attempt import attempt
from sim.benchmark.protocol import BenchmarkSettings
from sim.benchmark.runner import scene_after
from sim.drawing.film import Recorder, RGBImage, draw_snapshot, film_camera, write_gif, write_line
from sim.errors import InputError
from sim.physics import World
from sim.scene import SceneState

_SEQUENCE = KEYS[:-1]  # what all attempts of a sequence have in common


def choose_attempts(attempts: pd.DataFrame, query: str, count: int) -> pd.DataFrame:
    """Returns attempts to film: of those that a query picks, ``count`` spread evenly over the sorted table.

    Args:
        attempts: Rows of ``run_benchmark``.
        query: A pandas query, for example ``not success and reason == 'slipped'``; "" picks all.
        count: Greatest number of attempts; those in which no grasp was executed are left out.

    Returns:
        The chosen rows, sorted; none where nothing matches.

    Raises:
        InputError: The query cannot be read, or names a column that is not there.
    """
    if not isinstance(count, Integral) or isinstance(count, bool) or count < 0:
        raise InputError(f"cannot film {count} attempts; give a whole number from 0 on")
    try:
        found = attempts.query(query) if query.strip() else attempts
    except Exception as error:  # pandas hands on whatever its parser raises
        reason = " ".join(str(error).split())
        columns = ", ".join(map(str, attempts.columns))
        raise InputError(f'the query "{query}" cannot be read ({reason}); columns are {columns}') from error
    if not isinstance(found, pd.DataFrame):
        raise InputError(f'the query "{query}" is no condition on rows; write one such as "reason == \'slipped\'"')
    found = found[was_executed(found)].sort_values(KEYS)
    picks = np.unique(np.linspace(0, len(found) - 1, min(count, len(found))).round().astype(int))
    return found.iloc[picks]


def check_films(query: str, count: int) -> None:
    """Raises InputError for a choice that ``choose_attempts`` can take from no table, before there is one.

    Args:
        query: Its query.
        count: Its count.
    """
    try:
        choose_attempts(make_table([{name: kind() for name, kind in DTYPES.items()}]), query, count)
    except InputError as error:
        if not isinstance(error.__cause__, IndexError):  # a table of more rows may have what one row lacks
            raise


def replay(
    state: SceneState,
    rows: pd.DataFrame,
    index: int,
    *,
    settings: BenchmarkSettings,
    every: int = 8,
    size: tuple[int, int] = (320, 240),
) -> list[RGBImage]:
    """Executes a recorded attempt again and films it.

    A ranked attempt starts from the scene as it was; one of a clearing needs those before it, which
    are executed again unfilmed.

    Args:
        state: The scene that the rows ran on.
        rows: Rows of ``run_benchmark`` of one policy, category, scene, friction and protocol.
        index: Number of the attempt, as its row's ``attempt`` says.
        settings: Settings of that run.
        every: Number of simulation steps from one frame to the next; 8 at 240 Hz are 30 frames a second.
        size: Width and height of a frame, pixels.

    Returns:
        (H, W, 3) uint8 frames; a line of text says policy, friction and how it ended, and also how
        the replay ended should that differ (rows of other settings, or of another machine).

    Raises:
        InputError: The rows mix sequences, the attempt is not among them, or it gave no grasp.
    """
    if every < 1 or min(size) < 1:
        raise InputError(
            f"a film of size {size} with a frame every {every} steps cannot be made; give positive numbers"
        )
    row, before = _find(rows, index)
    grasp = recorded_grasp(row)
    if grasp is None:
        raise InputError(
            f"attempt {index} of '{row.policy}' executed no grasp ({row.reason}): there is nothing to film"
        )
    recorder = Recorder(every)
    world = World(settings.physics, state.tray)
    try:
        for earlier in before:
            passed = recorded_grasp(earlier)
            if passed is not None:
                result = attempt(world, state, passed, settings.gripper, float(row.friction), settings.attempt)
                _outcome(earlier, result)
                state = scene_after(world, state, result, settings=settings)
        result = attempt(world, state, grasp, settings.gripper, float(row.friction), settings.attempt, on_step=recorder)
    finally:
        world.close()
    caption = f"{row.policy}, friction {row.friction:g}: {_outcome(row, result)}"
    camera = film_camera(size)
    return [write_line(draw_snapshot(state, s, camera), caption) for s in recorder.snapshots]


def _find(rows: pd.DataFrame, index: int) -> tuple[Any, list[Any]]:
    """Returns the row of one attempt, and those that a clearing made before it."""
    mixed = [c for c in _SEQUENCE if len(rows[c].unique()) > 1]
    if mixed or rows.attempt.duplicated().any():
        raise InputError(f"a replay needs rows of one sequence of attempts, these mix {', '.join(mixed) or 'attempts'}")
    ordered: list[Any] = [row for _, row in rows.sort_values("attempt").iterrows()]
    found = [r for r in ordered if r.attempt == index]
    if not found:
        raise InputError(f"there is no attempt {index} among {len(rows)} rows; give one of their attempt numbers")
    before = [r for r in ordered if r.attempt < index] if found[0].protocol == "clear" else []
    return found[0], before


def _outcome(row: Any, result: AttemptResult) -> str:
    """Returns how a row says that it ended, and warns where the replay ended otherwise."""
    recorded, now = ending(row.reason), ending(result.reason)
    if recorded == now:
        return recorded
    warnings.warn(
        f"attempt {row.attempt} of '{row.policy}' in scene {row.scene} ended with '{recorded}', its replay with "
        f"'{now}': other settings, versions or another machine?",
        stacklevel=3,
    )
    return f"{recorded} (replay: {now})"


def write_replays(
    attempts: pd.DataFrame,
    scenes: Mapping[str, Sequence[SceneState]],
    folder: str | Path,
    *,
    settings: BenchmarkSettings,
    query: str = "",
    count: int = 4,
) -> list[Path]:
    """Films chosen attempts of a run, each into a GIF named by policy, category, scene, friction, protocol, attempt.

    Args:
        attempts: Rows of ``run_benchmark``, of one or more policies.
        scenes: The scenes of each category, in the order in which they ran.
        folder: Folder of the GIFs.
        settings: Settings of the run.
        query: Condition of ``choose_attempts``.
        count: Greatest number of films.

    Returns:
        The files' paths.

    Raises:
        InputError: The query cannot be read, or a scene of the rows is not there.
    """
    paths = []
    for row in choose_attempts(attempts, query, count).itertuples():
        among: Any = row
        if among.category not in scenes or among.scene >= len(scenes[among.category]):
            raise InputError(f"there is no scene {among.scene} of '{among.category}' to replay; give the run's scenes")
        same = np.all([attempts[c] == getattr(among, c) for c in _SEQUENCE], axis=0)
        frames = replay(scenes[among.category][among.scene], attempts[same], among.attempt, settings=settings)
        which = f"scene{among.scene}_friction{among.friction:g}_{among.protocol}{among.attempt}"
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{among.policy}_{among.category}_{which}")
        paths.append(write_gif(frames, Path(folder) / f"{name}.gif"))
    return paths
