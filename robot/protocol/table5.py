"""Table V: every scene, every attempt, resumable after whatever stopped it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from robot.picking.picker import Picker
from robot.protocol.contacts import ContactWatch
from robot.protocol.crew import Crew, SimulatedCrew
from robot.protocol.scenes import ProtocolSettings, SceneTask, drop_scene, scene_tasks
from robot.recording import Recorder, check_recorded
from robot.station import Station
from sim.benchmark.protocol import GraspPolicy
from sim.cli.progress import followed
from sim.errors import InputError
from sim.files import check_writable, write_json
from sim.identity.content import digest
from sim.identity.fresh_policy import copy_policy, generator_states, seeded
from sim.jobs import run_jobs
from sim.objects.object_set import ObjectSet
from sim.scene import SceneSettings


@dataclass(frozen=True)
class Table5Job:
    """One scene, all that a worker needs.

    Attributes:
        task: The scene's objects and number.
        station: The station.
        policy: The grasp policy.
        settings: The protocol.
        scene: Tray, physics and dropping.
        record: Attempts that are recorded: "none", "failures" or "all".
        folder: Folder of the recordings.
    """

    task: SceneTask
    station: Station
    policy: GraspPolicy
    settings: ProtocolSettings
    scene: SceneSettings
    record: str
    folder: Path


def run_table5(
    station: Station,
    policy: GraspPolicy,
    objects: ObjectSet,
    *,
    settings: ProtocolSettings | None = None,
    out: str | Path,
    scene: SceneSettings | None = None,
    record: str = "failures",
    workers: int = 1,
) -> list[dict[str, Any]]:
    """Runs the protocol in the simulated cell; finished scenes in ``out`` are not run again.

    Args:
        station: The station.
        policy: The grasp policy; each scene gets a copy of it.
        objects: Object set from which the objects are drawn.
        settings: The protocol.
        out: Folder of the finished scenes, a JSON file each, and of the recordings.
        scene: How scenes are made.
        record: Attempts that are recorded: "none", "failures" or "all".
        workers: Number of processes.

    Returns:
        The finished scenes, by size and number: dictionaries with "size", "number", "objects", "cleared", "lost" and
        "attempts". All but their wall times is a function of the arguments.

    Raises:
        InputError: A setting does not fit, or ``out`` holds scenes of other settings or cannot be written.
    """
    rules, folder = settings or ProtocolSettings(), Path(out)
    check_recorded(record)
    falling = replace(scene or SceneSettings(), tray=station.tray, physics=station.physics)
    tasks = scene_tasks(objects, rules)
    identity = protocol_identity(rules, station=station, policy=policy, falling=falling)
    check_writable(folder)
    kept = {(t.size, t.number): kept_scene(folder, t, identity) for t in tasks}
    open_tasks = [t for t in tasks if kept[t.size, t.number] is None]
    jobs = [(Table5Job(t, station, policy, rules, falling, record, folder),) for t in open_tasks]
    for finished in followed(run_jobs(_run_scene, jobs, workers), "scenes", len(jobs)):
        kept[finished["size"], finished["number"]] = finished
        write_json(scene_file(folder, finished["size"], finished["number"]), {**finished, "identity": identity})
    return [kept[key] for key in sorted(kept)]  # type: ignore[misc]


def protocol_identity(rules: ProtocolSettings, **made_with: Any) -> str:
    """Returns the hash of what decides the scenes; more rounds and other sizes only add some."""
    asked = {k: v for k, v in asdict(rules).items() if k not in ("rounds", "sizes")}
    return digest({"protocol": asked, **made_with})


def scene_file(folder: Path, size: int, number: int) -> Path:
    """Returns the file of a finished scene."""
    return folder / f"scene-{size:02d}-{number:04d}.json"


def kept_scene(folder: Path, task: SceneTask, identity: str) -> dict[str, Any] | None:
    """Returns a finished scene, or None; raises InputError where it is of other settings or broken."""
    path = scene_file(folder, task.size, task.number)
    if not path.is_file():
        return None
    found = read_scene(path)
    if found["identity"] != identity or found["objects"] != [m.name for m in task.models]:
        raise InputError(f"{path} was made with other settings; give another out=, or the settings of before")
    return found


def read_scene(path: Path) -> dict[str, Any]:
    """Returns a finished scene of a file; raises InputError where it cannot be read."""
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        missing = {"size", "number", "objects", "cleared", "attempts", "identity"} - set(content)
        if missing:
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({error}); remove it, and the scene is run again") from error
    return content


def read_scenes(folder: str | Path) -> list[dict[str, Any]]:
    """Returns all finished scenes of a folder; raises InputError where there is none."""
    files = sorted(Path(folder).glob("scene-*-*.json"))
    if not files:
        raise InputError(f"{folder} holds no finished scenes; give the out= of python -m robot table5")
    return [read_scene(path) for path in files]


def _run_scene(job: Table5Job) -> dict[str, Any]:
    """Runs one scene; runs in a worker."""
    task, seed = job.task, job.settings.seed
    state = drop_scene(task, job.scene, seed)
    policy = copy_policy(job.policy)
    with job.station.simulated(state, policy, seed=(seed, task.size, task.number)) as (cell, picker):
        crew = SimulatedCrew(cell)
        watch = ContactWatch(cell)
        cell.on_step.append(watch)
        recorder = Recorder(job.folder / f"picks-{task.size:02d}-{task.number:04d}", job.record, cell=cell)
        try:
            return clear_scene(picker, crew, task, settings=job.settings, watch=watch, recorder=recorder)
        finally:
            watch.close()


def clear_scene(
    picker: Picker,
    crew: Crew,
    task: SceneTask,
    *,
    settings: ProtocolSettings,
    watch: ContactWatch | None = None,
    recorder: Recorder | None = None,
) -> dict[str, Any]:
    """Picks until the tray is empty or so many attempts in a row have failed.

    Args:
        picker: The picker.
        crew: Whoever puts objects in and counts them.
        task: The scene.
        settings: The protocol.
        watch: Counter of contacts that were not planned.
        recorder: Keeper of recordings.

    Returns:
        The finished scene; see ``run_table5``.
    """
    attempts: list[dict[str, Any]] = []
    failures, cleared, lost = 0, 0, 0
    start = generator_states(picker.policy)
    while crew.left() and failures < settings.max_failures:
        if recorder is not None:
            recorder.begin()
        with seeded(picker.policy, start, [settings.seed, task.size, task.number, len(attempts)]):
            attempt = picker.pick(crew.landed)
        attempt.touches = {} if watch is None else watch.take()
        gone = crew.tidy()
        cleared += len(attempt.objects)
        lost += len([name for name in gone if name not in attempt.objects])
        failures = 0 if attempt.success else failures + 1
        if recorder is not None:
            recorder.keep(len(attempts), attempt, picker.record)
        attempts.append(attempt.to_row())
    names = [m.name for m in task.models]
    known = {"size": task.size, "number": task.number, "objects": names}
    return {**known, "cleared": cleared, "lost": lost, "attempts": attempts}
