"""The bin-picking benchmark of section III-E: any policy, measured by really grasping.

A policy is a callable; nothing here needs the floors above. SR, PC and AP follow the rules in
sim/README.md.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from scipy.spatial.transform import Rotation

from sim.benchmark import store
from sim.benchmark.grasp_attempt import AttemptResult, AttemptSettings, attempt
from sim.benchmark.scene_sets import make_scenes as make_scenes
from sim.benchmark.statistics import summarise as summarise
from sim.camera import ParallelCamera, PinholeCamera, overhead_pose
from sim.depth_noise import DepthNoise
from sim.errors import InputError
from sim.grasp import GraspPoses
from sim.gripper import GripperGeometry
from sim.jobs import run_jobs
from sim.physics import PhysicsSettings, World
from sim.render import render_depth, render_view
from sim.render.appearance import Appearance, RandomAppearance
from sim.scene import SceneState
from sim.view import SceneView

FloatArray = NDArray[np.float64]

# One row per attempt. Protocol "clear" counts for SR and PC, "rank" for AP. The grasp stands in the
# world frame, metres, quaternion xyzw; ``given`` is how many grasps the policy gave when it was asked;
# ``object`` is held, or was gripped and lost; ``lifted`` counts the objects that a success lifted.
COLUMNS = ["policy", "privileged", "category", "scene", "objects", "friction", "protocol", "attempt"]
COLUMNS += ["success", "reason", "object", "lifted", "given", "quality"]
COLUMNS += ["x", "y", "z", "qx", "qy", "qz", "qw", "width", "seconds", "plan_seconds"]
WALL_TIMES = ["seconds", "plan_seconds"]


@dataclass(frozen=True)
class Observation:
    """What a policy is shown.

    Attributes:
        rgb: (H, W, 3) uint8.
        depth: (H, W) float32, metres with noise, 0 = missing.
        camera: The camera with its pose in the world.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    camera: PinholeCamera

    def point_cloud(self) -> tuple[FloatArray, NDArray[np.uint8]]:
        """Returns ``points`` (N, 3) float64, camera frame, metres, and ``colours`` (N, 3) uint8."""
        rows, cols = np.nonzero(self.depth > 0)
        return self.camera.deproject(rows, cols, self.depth[rows, cols]), self.rgb[rows, cols]


class GraspPolicy(Protocol):
    """Anything that turns an observation into grasps.

    A policy with an attribute ``privileged = True`` is handed the noiseless ``SceneView`` instead,
    and every result says so. ``name`` is what tables call it.
    """

    name: str

    def __call__(self, observation: Any, count: int) -> GraspPoses:
        """Returns up to ``count`` grasps in the camera frame, best first."""
        ...


@dataclass(frozen=True)
class BenchmarkSettings:
    """The rules; see design section 6.

    Attributes:
        gripper: The gripper's geometry.
        camera: The pinhole camera; its pose is replaced by one straight down.
        camera_height: Metres over the tray's floor.
        pixels_per_metre: Scale of the parallel image that privileged policies see.
        depth_noise: What spoils the depth, or None.
        appearance: Light and colours of the RGB picture; random ones are drawn for every observation.
        count: How many ranked grasps AP looks at.
        max_failures: So many failures in a row end the clearing of a scene.
        attempt: Forces, speeds, ways.
        physics: Physical constants.
        settle_steps: At most as many time steps to come to rest after each attempt of a clearing.
        seed: Of the depth noise: the same for every policy, so that policies compare in pairs.
    """

    gripper: GripperGeometry = field(default_factory=GripperGeometry)
    camera: PinholeCamera = field(default_factory=PinholeCamera.from_fov)
    camera_height: float = 0.6
    pixels_per_metre: float = 2500.0
    depth_noise: DepthNoise | None = field(default_factory=DepthNoise)
    appearance: Appearance | RandomAppearance = field(default_factory=Appearance)
    count: int = 50
    max_failures: int = 5
    attempt: AttemptSettings = field(default_factory=AttemptSettings)
    physics: PhysicsSettings = field(default_factory=PhysicsSettings)
    settle_steps: int = 960
    seed: int = 0


def run_benchmark(
    policy: GraspPolicy,
    scenes: Sequence[SceneState],
    frictions: Iterable[float],
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
        policy: A GraspPolicy; with several workers it is pickled.
        scenes: The scenes, of one or more categories; a scene's number is its place in its category.
        frictions: Of the fingertips, which is the contact's: objects have 1.
        settings: The rules.
        workers: Processes.
        progress: A display to show a bar in, of ``attempt_progress``.
        out: Folder to keep finished scenes in, a Parquet file each (``sim.benchmark.store``). Scenes that lie
            there already are not run again, so the same call goes on after whatever stopped it.
        backend: See ``sim.jobs.run_jobs``.
        about: What distinguishes the policy from others of its name, for example its settings;
            results in ``out`` that were made with another are refused.
        name: What tables call the policy; else its ``name``, or its class's.

    Returns:
        One row per attempt with ``COLUMNS``. Rows are sorted and, ``seconds`` and ``plan_seconds``
        left out, a function of the arguments alone.

    Raises:
        InputError: No scene, no friction, or ``out`` holds results of something else.
    """
    rules = settings or BenchmarkSettings()
    values = sorted({float(f) for f in frictions})
    if not scenes or not values:
        raise InputError("a benchmark needs at least one scene and one friction")
    name = name or str(getattr(policy, "name", type(policy).__name__))
    folder = None if out is None else Path(out)
    numbers = _numbers(scenes)
    known = {(s.category, n): store.identity(about, s, values, rules) for s, n in zip(scenes, numbers, strict=True)}
    parts: dict[tuple[str, int], list[pd.DataFrame]] = {}
    done: list[pd.DataFrame] = []
    jobs = []
    for state, number in zip(scenes, numbers, strict=True):
        key = (state.category, number)
        kept = None if folder is None else store.read(folder, name, *key, known[key])
        if kept is not None:
            done.append(kept)
        else:
            parts[key] = []
            jobs += [(policy, name, state, number, friction, rules) for friction in values]
    bar = progress.add_task(name, total=len(jobs), attempts=0, rate=0.0) if progress else None
    started, attempts = time.perf_counter(), 0
    for rows in run_jobs(_run_scene, jobs, workers, backend=backend):
        table = pd.DataFrame(rows, columns=COLUMNS)
        key = (str(table.category[0]), int(table.scene[0]))
        parts[key].append(table)
        attempts += len(table)
        if progress and bar is not None:
            rate = attempts / (time.perf_counter() - started)
            progress.update(bar, advance=1, attempts=attempts, rate=rate)
        if len(parts[key]) == len(values):
            whole = sort_attempts(pd.concat(parts.pop(key)))
            done.append(whole)
            if folder is not None:
                store.write(whole, folder, name, *key, known[key])
    return sort_attempts(pd.concat(done))


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


def sort_attempts(attempts: pd.DataFrame) -> pd.DataFrame:
    """Returns the rows in their one order."""
    return attempts.sort_values(["policy", "category", "scene", "friction", "protocol", "attempt"], ignore_index=True)


def _numbers(scenes: Sequence[SceneState]) -> list[int]:
    """Returns each scene's place within its category."""
    seen: Counter[str] = Counter()
    result = []
    for scene in scenes:
        result.append(seen[scene.category])
        seen[scene.category] += 1
    return result


def _run_scene(
    policy: GraspPolicy, name: str, state: SceneState, number: int, friction: float, rules: BenchmarkSettings
) -> list[dict[str, Any]]:
    """Returns all rows of one scene at one friction."""
    head = {
        "policy": name,
        "privileged": bool(getattr(policy, "privileged", False)),
        "category": state.category,
        "scene": number,
        "objects": len(state.models),
        "friction": friction,
    }
    world = World(rules.physics, state.tray)
    try:
        answer = _ask(policy, state, rules, [rules.seed, number, 0], rules.count)
        ranked = [_try(world, state, answer, i, friction, rules)[0] for i in range(rules.count)]
        cleared = _clear(policy, world, state, number, friction, rules)
    finally:
        world.close()
    rows = [{**head, "protocol": "rank", "attempt": i, **row} for i, row in enumerate(ranked)]
    return rows + [{**head, "protocol": "clear", "attempt": i, **row} for i, row in enumerate(cleared)]


def _clear(
    policy: GraspPolicy, world: World, state: SceneState, number: int, friction: float, rules: BenchmarkSettings
) -> list[dict[str, Any]]:
    """Returns the rows of clearing one scene: a new observation before each attempt."""
    rows: list[dict[str, Any]] = []
    failures = 0
    while len(state.models) and failures < rules.max_failures:
        answer = _ask(policy, state, rules, [rules.seed, number, len(rows)], 1)
        row, result = _try(world, state, answer, 0, friction, rules)
        rows.append(row)
        failures = 0 if row["success"] else failures + 1
        if result is not None:
            state = scene_after(world, state, result, rules)
    return rows


def scene_after(world: World, state: SceneState, result: AttemptResult, rules: BenchmarkSettings) -> SceneState:
    """Returns the scene after an attempt: what was lifted or left the tray is gone, the rest at rest."""
    inside = [i for i in range(len(state.models)) if state.tray.contains(result.poses[i, :3, 3])]
    keep = [i for i in inside if not (result.success and i in result.lifted)]
    models, poses = [state.models[i] for i in keep], [result.poses[i] for i in keep]
    world.rebuild(models, poses)
    rest = world.settle(rules.settle_steps)
    settled = np.array(world.poses()).reshape(-1, 4, 4)
    after = replace(state, models=tuple(models), poses=settled, at_rest=rest)
    return after.keep([i for i in range(len(models)) if state.tray.contains(settled[i, :3, 3])])


def observe(state: SceneState, rules: BenchmarkSettings, seed: Sequence[int]) -> Observation:
    """Returns what the benchmark's camera sees; ``seed`` draws the noise."""
    camera = _camera(rules)
    colours = np.random.default_rng(np.random.SeedSequence(list(seed), spawn_key=(0,)))
    depth, _, rgb = render_depth(state, camera, rules.appearance.draw(colours, len(state.models)))
    if rules.depth_noise is not None:
        depth = rules.depth_noise(depth, np.random.default_rng(list(seed)))
    return Observation(rgb, depth, camera)


def _camera(rules: BenchmarkSettings) -> PinholeCamera:
    c = rules.camera
    return PinholeCamera(c.width, c.height, c.intrinsics, overhead_pose(rules.camera_height))


@dataclass(frozen=True)
class _Answer:
    """What a policy gave: usable grasps in the world frame, how many there were, what was wrong, its time."""

    grasps: GraspPoses
    given: int
    problem: str
    seconds: float


def _ask(policy: GraspPolicy, state: SceneState, rules: BenchmarkSettings, seed: Sequence[int], count: int) -> _Answer:
    """Asks a policy; its failure costs it the attempt, never the run."""
    seen: Observation | SceneView
    if getattr(policy, "privileged", False):
        seen = render_view(state, _camera(rules), ParallelCamera.covering(rules.pixels_per_metre))
    else:
        seen = observe(state, rules, seed)
    started = time.perf_counter()
    grasps, problem = GraspPoses.empty("camera"), ""
    try:
        grasps = policy(seen, count)
        if grasps.frame != "camera":
            grasps, problem = GraspPoses.empty("camera"), f"grasps in frame '{grasps.frame}'"
        given = len(grasps)
        usable = grasps[:count].transform(seen.camera.pose, "world")
    except Exception as error:  # anyone's code runs here: whatever it raises is its own failure
        problem = f"policy raised {type(error).__name__}: {' '.join(str(error).split())}"
        given, usable = 0, GraspPoses.empty("world")
    return _Answer(usable, given, problem, time.perf_counter() - started)


def _try(
    world: World, state: SceneState, answer: _Answer, rank: int, friction: float, rules: BenchmarkSettings
) -> tuple[dict[str, Any], AttemptResult | None]:
    """Executes the grasp of one rank; returns its row and, if something moved, the result."""
    row: dict[str, Any] = dict.fromkeys(("quality", "x", "y", "z", "qx", "qy", "qz", "qw", "width"), np.nan)
    row |= {"success": False, "reason": answer.problem or "no grasp given", "object": "", "lifted": 0, "seconds": 0.0}
    row |= {"given": answer.given, "plan_seconds": answer.seconds}
    if rank >= len(answer.grasps):
        return row, None
    grasp = answer.grasps[rank]
    row |= {"quality": float(grasp.quality[0]), "width": float(grasp.width[0])}
    row |= dict(zip("xyz", grasp.translation[0].tolist(), strict=True))
    numbers = [grasp.translation[0], grasp.rotation[0].ravel(), grasp.width]
    if not np.isfinite(np.concatenate(numbers)).all() or abs(np.linalg.det(grasp.rotation[0]) - 1) > 1e-3:
        return row | {"reason": "grasp is NaN or its rotation is none"}, None
    quaternion = Rotation.from_matrix(grasp.rotation[0]).as_quat()
    row |= dict(zip(("qx", "qy", "qz", "qw"), quaternion.tolist(), strict=True))
    # What is executed is what the row says, to the last bit: so a replay moves the same way.
    rotation = Rotation.from_quat(quaternion).as_matrix()[None]
    grasp = GraspPoses(grasp.translation, rotation, grasp.width, grasp.quality, "world")
    result = attempt(world, state, grasp, rules.gripper, friction, rules.attempt)
    row |= {"success": result.success, "reason": result.reason, "lifted": len(result.lifted) if result.success else 0}
    row |= {"object": state.names[result.object_index] if result.object_index >= 0 else "", "seconds": result.seconds}
    return row, result
