"""The bin-picking benchmark of section III-E: any policy, measured by really grasping."""

from __future__ import annotations

import time
import warnings
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from sim.benchmark.attempt_outcome import AttemptResult
from sim.benchmark.attempt_table import (
    GRASP,
    NO_POSE,
    OTHER_FRAME,
    RAISED,
    make_table,
    record_grasp,
    recorded_grasp,
    sort_attempts,
)
from sim.benchmark.grasp_attempt import attempt
from sim.benchmark.observation import noiseless_view, observe
from sim.benchmark.protocol import BenchmarkSettings, GraspPolicy, NoAnswerYet, Observation
from sim.benchmark.provenance import remember
from sim.benchmark.store import SceneContent, SceneKey, describe_scene, read_scene, write_scene
from sim.camera import warn_unseen
from sim.cli.progress import followed
from sim.errors import InputError
from sim.files import check_writable, checksum
from sim.grasp import GraspPoses
from sim.identity.content import describe
from sim.identity.fresh_policy import copy_policy, generator_states, seeded
from sim.jobs import run_jobs
from sim.physics import World
from sim.scene import SceneState, object_places
from sim.view import SceneView


class _Job(NamedTuple):
    """One scene at one friction, all that a worker needs.

    Attributes:
        policy: The policy.
        name: Name of the policy in tables.
        state: The scene.
        number: Place of the scene in its category.
        friction: Friction of the fingertips.
        settings: The benchmark's settings.
        start: States of the policy's own generators before it was asked anything.
    """

    policy: GraspPolicy
    name: str
    state: SceneState
    number: int
    friction: float
    settings: BenchmarkSettings
    start: Mapping[int, Any]


def run_benchmark(
    policy: GraspPolicy,
    scenes: Sequence[SceneState],
    frictions: Iterable[float] | float,
    settings: BenchmarkSettings | None = None,
    workers: int = 1,
    progress: Progress | None = None,
    out: str | Path | None = None,
    backend: str = "loky",
    about: str = "",
    name: str = "",
) -> pd.DataFrame:
    """Measures a policy.

    Args:
        policy: The policy. Each scene at each friction gets a copy of it, whose generators are seeded by the scene and
            the attempt; the policy itself stays as it is.
        scenes: Scenes of one or more categories; a scene's number is its place in its category.
        frictions: Frictions of the fingertips, one or several; objects have 1, so they are the contacts'.
        settings: The benchmark's settings.
        workers: Number of processes.
        progress: Display of ``attempt_progress`` to show a bar in.
        out: Folder that keeps finished scenes, a Parquet file each (``sim.benchmark.store``). Scenes that lie there
            already are not run again, so the same call goes on after whatever stopped it.
        backend: Kind of processes, see ``sim.jobs.run_jobs``.
        about: Text that tells the policy from others of its name, beside its code and state; results in ``out`` that
            were made with another are refused.
        name: Name of the policy in tables; else its ``name``, or its class's.

    Returns:
        One row per attempt with ``COLUMNS``. Rows are sorted. All but ``WALL_TIMES`` is a function of the arguments.

    Raises:
        InputError: There is no scene, frictions are none, or ``out`` holds something else or cannot be written.
    """
    settings = settings or BenchmarkSettings()
    values = check_frictions(frictions)
    name = name or str(getattr(policy, "name", type(policy).__name__))
    _check_names(name, scenes if out is not None else ())
    _check_scenes(policy, name, scenes, settings=settings)
    numbered = number_scenes(scenes)
    described, start = describe(policy), generator_states(policy)
    known = {}
    for key, state in numbered.items():
        content = describe_scene(described, about, state, frictions=values, settings=settings)
        known[key] = _with_answers(content, policy, state, number=key[1], settings=settings)
    folder = None if out is None else Path(out)
    kept = {} if folder is None else {key: _kept(folder, SceneKey(name, *key), known[key]) for key in numbered}
    tables = [table for table in kept.values() if table is not None]
    missing = {key: state for key, state in numbered.items() if kept.get(key) is None}
    if folder is not None and missing:
        check_writable(folder)
    jobs = [_Job(policy, name, missing[key], key[1], f, settings, start) for key in missing for f in values]
    for key, table in _finished(jobs, workers, backend, name=name, progress=progress):
        if folder is not None:
            now = _with_answers(known[key], policy, numbered[key], number=key[1], settings=settings)
            _keep(table, folder, SceneKey(name, *key), now)
        tables.append(table)
    origin = {(name, *key): made.identity for key, made in known.items()}
    return remember(sort_attempts(pd.concat(tables)), origin)


def _check_scenes(policy: GraspPolicy, name: str, scenes: Sequence[SceneState], *, settings: BenchmarkSettings) -> None:
    """Warns where camera or policy do not cover a scene's whole tray; raises InputError where there is no scene."""
    if not scenes:
        raise InputError("a benchmark needs at least one scene")
    asked = getattr(policy, "tray", None) if getattr(policy, "half_side", None) is None else None
    for floor in sorted({state.tray.floor for state in scenes}):
        warn_unseen(settings.camera, settings.camera_height, floor)
        if asked is not None and asked.floor != floor:
            warnings.warn(
                f"policy '{name}' looks at a floor of {asked.floor:g} m, but scenes have one of {floor:g} m; "
                f"give scene.tray.floor={floor:g}",
                stacklevel=3,
            )


def _check_names(name: str, scenes: Sequence[SceneState]) -> None:
    """Raises InputError for a policy's name or a category that makes no folder of its own in the results."""
    categories = [("a scene's category", scene.category) for scene in scenes]
    for what, text in [("the policy's name", name), *categories] if categories else ():
        if text in ("", ".", "..") or "/" in text or "\\" in text:
            raise InputError(f"{what} is '{text}', which names no folder for its results; give another, as novel-5")


def _with_answers(
    known: SceneContent, policy: GraspPolicy, state: SceneState, *, number: int, settings: BenchmarkSettings
) -> SceneContent:
    """Returns what a scene's rows depend on, with the file that holds the policy's answer now, where there is one."""
    if not hasattr(policy, "answer_file"):
        return known
    path = policy.answer_file(observe(state, settings, [settings.seed, number, 0]))
    return known._replace(identity={**known.identity, "grasp file": checksum(path)[:16] if path else "none"})


def _kept(folder: Path, key: SceneKey, known: SceneContent) -> pd.DataFrame | None:
    """Returns a scene's finished rows, or None; raises InputError where they are of something else."""
    return read_scene(folder, key, known.identity, content=known.content)


def _keep(table: pd.DataFrame, folder: Path, key: SceneKey, known: SceneContent) -> None:
    """Writes a scene's rows; raises InputError where a run of other settings has written there meanwhile."""
    _kept(folder, key, known)
    write_scene(table, folder, key, known=known.identity, content=known.content)


def check_frictions(frictions: Iterable[float] | float) -> list[float]:
    """Returns the different frictions, ascending; raises InputError where there is none, or one is no friction."""
    try:
        given = [frictions] if isinstance(frictions, int | float | str) else list(frictions)
        values = [] if any(isinstance(f, bool) for f in given) else sorted({float(f) for f in given})
    except (TypeError, ValueError):
        values = []
    if not values or not all(0 <= v < np.inf for v in values):
        raise InputError(f"frictions is {frictions}; give numbers from 0 on, for example [0.4, 1.0]")
    return values


def _finished(
    jobs: Sequence[_Job], workers: int, backend: str, *, name: str, progress: Progress | None
) -> Iterator[tuple[tuple[str, int], pd.DataFrame]]:
    """Yields each scene's number and rows as soon as all its frictions are done."""
    open_jobs = Counter((job.state.category, job.number) for job in jobs)
    parts: dict[tuple[str, int], list[pd.DataFrame]] = {key: [] for key in open_jobs}
    bar = progress.add_task(name, total=len(jobs), attempts=0, rate=0.0) if progress else None
    started, attempts = time.perf_counter(), 0
    done: Iterator[Any] = run_jobs(_run_scene, [(job,) for job in jobs], workers, backend=backend)
    if progress and not progress.console.is_terminal:  # a log: there the display shows its end alone
        done = followed(done, f"scenes and frictions of {name}", len(jobs))
    for rows in done:
        key = (rows[0]["category"], rows[0]["scene"])
        parts[key].append(make_table(rows))
        attempts += len(rows)
        if progress and bar is not None:
            progress.update(bar, advance=1, attempts=attempts, rate=attempts / (time.perf_counter() - started))
        if len(parts[key]) == open_jobs[key]:
            yield key, sort_attempts(pd.concat(parts.pop(key)))


def attempt_progress() -> Progress:
    """Returns a progress display for ``run_benchmark``: bar, attempts, attempts per second, time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[attempts]} attempts, {task.fields[rate]:.1f}/s"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def number_scenes(scenes: Iterable[SceneState]) -> dict[tuple[str, int], SceneState]:
    """Returns the scenes by category and place within it (from 0), as tables of attempts number them."""
    seen: Counter[str] = Counter()
    numbered = {}
    for scene in scenes:
        numbered[scene.category, seen[scene.category]] = scene
        seen[scene.category] += 1
    return numbered


def _run_scene(job: _Job) -> list[dict[str, Any]]:
    """Returns all rows of one scene at one friction; runs in a worker."""
    state, count = job.state, job.settings.count
    head = {
        "policy": job.name,
        "privileged": bool(getattr(job.policy, "privileged", False)),
        "category": state.category,
        "scene": job.number,
        "objects": len(state.models),
        "friction": job.friction,
    }
    world = World(job.settings.physics, state.tray)
    job = job._replace(policy=copy_policy(job.policy))
    try:
        answer = _ask(job, state, asked=0, count=count)
        ranked = [_try(job, world, state, answer=answer, rank=rank)[0] for rank in range(count)]
        cleared = [] if getattr(job.policy, "ranks_only", False) else _clear(job, world)
    finally:
        world.close()
    rows = [{**head, "protocol": "rank", "attempt": i, **row} for i, row in enumerate(ranked)]
    return rows + [{**head, "protocol": "clear", "attempt": i, **row} for i, row in enumerate(cleared)]


def _clear(job: _Job, world: World) -> list[dict[str, Any]]:
    """Returns the rows of clearing one scene: a new observation before each attempt."""
    rows: list[dict[str, Any]] = []
    state, failures = job.state, 0
    while len(state.models) and failures < job.settings.max_failures:
        answer = _ask(job, state, asked=len(rows), count=1)
        row, result = _try(job, world, state, answer=answer, rank=0)
        rows.append(row)
        failures = 0 if row["success"] else failures + 1
        if result is not None:
            state = scene_after(world, state, result, settings=job.settings)
    return rows


def scene_after(world: World, state: SceneState, result: AttemptResult, *, settings: BenchmarkSettings) -> SceneState:
    """Returns the scene after an attempt: what was lifted or left the tray is gone, the rest at rest."""
    places = object_places(state.models, result.poses)
    inside = [i for i, place in enumerate(places) if state.tray.contains(place)]
    keep = [i for i in inside if not (result.success and i in result.lifted)]
    models, poses = [state.models[i] for i in keep], [result.poses[i] for i in keep]
    world.rebuild(models, poses)
    rest = world.settle(settings.settle_steps)
    settled = np.array(world.poses()).reshape(-1, 4, 4)
    after = replace(state, models=tuple(models), poses=settled, at_rest=rest)
    return after.keep([i for i, place in enumerate(object_places(models, settled)) if state.tray.contains(place)])


@dataclass(frozen=True)
class _Answer:
    """What a policy gave when it was asked.

    Attributes:
        grasps: The grasps that can be tried, world frame.
        given: Number of grasps that it gave.
        problem: Fault of the answer, or "" where there is none.
        seconds: Wall time.
    """

    grasps: GraspPoses
    given: int
    problem: str
    seconds: float


def _ask(job: _Job, state: SceneState, *, asked: int, count: int) -> _Answer:
    """Asks the policy; its failure costs it the attempt, not the run, but for ``NoAnswerYet``.

    Args:
        job: Policy and settings.
        state: The scene now.
        asked: Number of times that it was asked before while this scene was cleared.
        count: Number of grasps that are wanted.
    """
    seen: Observation | SceneView
    if getattr(job.policy, "privileged", False):
        seen = noiseless_view(state, job.settings)
    else:
        seen = observe(state, job.settings, [job.settings.seed, job.number, asked])
    started = time.perf_counter()
    grasps, problem = GraspPoses.empty("camera"), ""
    try:
        with seeded(job.policy, job.start, [job.number, zlib.crc32(job.state.category.encode()), asked]):
            grasps = job.policy(seen, count)
        if grasps.frame != "camera":
            grasps, problem = GraspPoses.empty("camera"), f"{OTHER_FRAME} '{grasps.frame}'"
        given = len(grasps)
        usable = grasps[:count].transform(seen.camera.pose, "world")
    except NoAnswerYet:
        raise
    except Exception as error:  # anyone's code runs here: whatever it raises is its own failure
        problem = f"{RAISED} {type(error).__name__}: {' '.join(str(error).split())}"
        given, usable = 0, GraspPoses.empty("world")
    return _Answer(usable, given, problem, time.perf_counter() - started)


def _try(
    job: _Job, world: World, state: SceneState, *, answer: _Answer, rank: int
) -> tuple[dict[str, Any], AttemptResult | None]:
    """Executes the grasp of one rank; returns its row and, if a grasp was executed, the result."""
    row: dict[str, Any] = {
        "success": False,
        "reason": answer.problem or "no grasp given",
        "object": "",
        "lifted": 0,
        "given": answer.given,
        "seconds": 0.0,
        "plan_seconds": answer.seconds,
        **dict.fromkeys(("quality", *GRASP), np.nan),
    }
    if rank >= len(answer.grasps):
        return row, None
    row |= record_grasp(answer.grasps[rank])
    # What is executed is what the row says, to the last bit: so a replay moves the same way.
    grasp = recorded_grasp(row)
    if grasp is None:
        return row | {"reason": f"{NO_POSE} or its rotation is none"}, None
    result = attempt(world, state, grasp, job.settings.gripper, job.friction, job.settings.attempt)
    row |= {"success": result.success, "reason": result.reason, "lifted": len(result.lifted) if result.success else 0}
    row |= {"object": state.names[result.object_index] if result.object_index >= 0 else "", "seconds": result.seconds}
    return row, result
