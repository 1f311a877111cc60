"""The ranked grasps of a benchmark, executed once more in MuJoCo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from sim.benchmark.attempt_table import KEYS, recorded_grasp, was_executed
from sim.benchmark.protocol import BenchmarkSettings
from sim.errors import InputError
from sim.files import atomic_path, write_error
from sim.identity.content import digest
from sim.jobs import run_jobs
from sim.judge.agreement import REASON, SUCCESS
from sim.judge.mujoco_world import MujocoWorld, load_mujoco
from sim.scene import SceneState

_COLUMNS = [*KEYS, SUCCESS, REASON]


class _Job(NamedTuple):
    """The ranked grasps of one policy in one scene at one friction.

    Attributes:
        state: Scene as it was made.
        settings: The benchmark's settings.
        rows: Their rows, each with a grasp.
    """

    state: SceneState
    settings: BenchmarkSettings
    rows: pd.DataFrame


def judge_attempts(
    attempts: pd.DataFrame,
    scenes: Mapping[str, Sequence[SceneState]],
    settings: BenchmarkSettings,
    *,
    workers: int = 1,
    folder: Path | None = None,
) -> pd.DataFrame:
    """Executes the ranked grasps of a table of attempts in MuJoCo, each in the scene as it was made.

    Attempts that clear a scene are left out: after the first one the two engines' scenes differ.

    Args:
        attempts: Rows of ``sim.benchmark.run_benchmark``.
        scenes: The scenes by category, in the order of their numbers.
        settings: The settings that the attempts were made with.
        workers: Number of processes.
        folder: Folder that keeps what is finished, a file for each policy, scene and friction; the same call goes on
            where it stopped.

    Returns:
        The rows that were executed, with ``mujoco_success`` and ``mujoco_reason``.

    Raises:
        InputError: MuJoCo is not installed, or ``folder`` cannot be written.
    """
    load_mujoco()
    ranked = attempts[(attempts.protocol == "rank") & was_executed(attempts)]
    groups = [rows for _, rows in ranked.groupby(["policy", "category", "scene", "friction"], sort=True)]
    jobs, done = [], []
    for rows in groups:
        first = rows.iloc[0]
        job = _Job(scenes[str(first.category)][int(first.scene)], settings, rows)
        kept = None if folder is None else _read(_file(folder, job), rows)
        jobs += [(job, folder)] if kept is None else []
        done += [] if kept is None else [kept]
    done += list(run_jobs(_judge, jobs, workers))
    if not done:
        raise InputError("no ranked grasp was executed, so there is nothing to judge; take a policy that gives grasps")
    return pd.concat(done, ignore_index=True).sort_values(KEYS, ignore_index=True)


def _judge(job: _Job, folder: Path | None) -> pd.DataFrame:
    """Executes the grasps of one job and keeps their outcomes; runs in a worker."""
    world = MujocoWorld(job.state, job.settings.gripper, job.settings.physics, settings=job.settings.attempt)
    outcomes = []
    for _, row in job.rows.iterrows():
        grasp = recorded_grasp(row)
        outcomes.append(world.attempt(grasp, float(row.friction)) if grasp is not None else None)
    rows = job.rows.copy()
    rows[SUCCESS] = [bool(r and r.success) for r in outcomes]
    rows[REASON] = [r.reason if r else "no grasp given" for r in outcomes]
    if folder is not None:
        path = _file(folder, job)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_path(path) as temporary:
                rows[_COLUMNS].to_csv(temporary, index=False)
        except OSError as error:
            raise write_error(path, error) from error
    return rows


def _file(folder: Path, job: _Job) -> Path:
    """Returns the file of a job's outcomes; grasps, scene and settings are part of its name."""
    first = job.rows.iloc[0]
    grasps: list[Any] = job.rows.drop(columns=["seconds", "plan_seconds"]).to_csv(index=False).splitlines()
    known = digest([grasps, job.state.to_json(), job.settings, load_mujoco().__version__])
    return folder / str(first.policy) / f"{first.category}-{int(first.scene):03d}-{first.friction:g}-{known}.csv"


def _read(path: Path, rows: pd.DataFrame) -> pd.DataFrame | None:
    """Returns the rows with the outcomes of a file, None where there is no whole one."""
    if not path.is_file():
        return None
    kept = pd.read_csv(path, keep_default_na=False)
    if list(kept.columns) != _COLUMNS or len(kept) != len(rows):
        return None
    rows = rows.copy()
    rows[SUCCESS], rows[REASON] = kept[SUCCESS].to_numpy(bool), kept[REASON].to_numpy(str)
    return rows
