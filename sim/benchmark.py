"""The bin-picking benchmark of section III-E: any policy, measured by really grasping.

A policy is a callable; nothing here needs the floors above. SR, PC and AP follow the rules in
sim/README.md.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import joblib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.progress import Progress
from scipy.spatial.transform import Rotation

from sim import InputError
from sim.attempt import AttemptResult, AttemptSettings, attempt
from sim.camera import ParallelCamera, PinholeCamera, overhead_pose
from sim.depth_noise import DepthNoise
from sim.grasp import GraspPoses
from sim.gripper import GripperGeometry
from sim.objects import ObjectSet
from sim.physics import PhysicsSettings, World
from sim.render import render_depth, render_view
from sim.results import summarise as summarise
from sim.scene import Scene, SceneSettings, SceneState
from sim.view import SceneView

FloatArray = NDArray[np.float64]


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
    count: int = 50
    max_failures: int = 5
    attempt: AttemptSettings = field(default_factory=AttemptSettings)
    physics: PhysicsSettings = field(default_factory=PhysicsSettings)
    settle_steps: int = 960
    seed: int = 0


def make_scenes(
    objects: ObjectSet,
    category: str,
    scenes: int,
    count: int,
    seed: int,
    settings: SceneSettings | None = None,
) -> list[SceneState]:
    """Returns scenes at rest, each a function of (seed, its number) alone.

    Args:
        objects: What to drop.
        category: What tables call them, for example "novel-5".
        scenes: How many.
        count: Objects a scene.
        seed: Of everything random.
        settings: Tray, physics, dropping.

    Raises:
        InputError: A scene did not come to rest with all its objects in ten tries.
    """
    result = []
    for index in range(scenes):
        rng = np.random.default_rng([seed, index])
        for _ in range(10):
            with Scene(objects, settings) as scene:
                scene.drop(count, rng)
                if scene.settle() and len(scene.models) == count:
                    result.append(scene.state(category, seed))
                    break
        else:
            raise InputError(f"scene {index} of '{category}' (seed {seed}) never came to rest; take smaller objects")
    return result


def run_benchmark(
    policy: GraspPolicy,
    scenes: Sequence[SceneState],
    frictions: Iterable[float],
    settings: BenchmarkSettings | None = None,
    workers: int = 1,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Measures a policy.

    Args:
        policy: A GraspPolicy; with several workers it is pickled.
        scenes: The scenes.
        frictions: Of the fingertips, which is the contact's: objects have 1.
        settings: The rules.
        workers: Processes.
        progress: A rich progress display to show a bar in.

    Returns:
        One row per attempt: ``policy, privileged, category, scene, objects, friction, protocol``
        ("clear" for SR and PC, "rank" for AP), ``attempt, success, reason, object, lifted,
        quality, x, y, z, qx, qy, qz, qw`` (world frame, metres, quaternion), ``width, seconds``.
        Rows are sorted and, ``seconds`` left out, a function of the arguments alone.
    """
    rules = settings or BenchmarkSettings()
    frictions = [float(f) for f in frictions]
    if not scenes or not frictions:
        raise InputError("a benchmark needs at least one scene and one friction")
    name = getattr(policy, "name", type(policy).__name__)
    task = progress.add_task(f"benchmark {name}", total=len(scenes)) if progress else None
    jobs = (joblib.delayed(_run_scene)(policy, s, i, frictions, rules) for i, s in enumerate(scenes))
    rows: list[dict[str, Any]] = []
    with warnings.catch_warnings():
        # loky takes a worker that has just imported torch for one that leaks, and starts another.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs")
        for part in joblib.Parallel(n_jobs=workers, return_as="generator")(jobs):
            rows.extend(part)
            if progress and task is not None:
                progress.advance(task)
    frame = pd.DataFrame(rows)
    return frame.sort_values(["category", "scene", "friction", "protocol", "attempt"], ignore_index=True)


def _run_scene(
    policy: GraspPolicy, state: SceneState, index: int, frictions: list[float], rules: BenchmarkSettings
) -> list[dict[str, Any]]:
    """Returns all rows of one scene."""
    world = World(rules.physics, state.tray)
    head = {
        "policy": getattr(policy, "name", type(policy).__name__),
        "privileged": bool(getattr(policy, "privileged", False)),
        "category": state.category,
        "scene": index,
        "objects": len(state.models),
    }
    rows = []
    try:
        ranked, problem = _ask(policy, state, rules, [rules.seed, index, 0], rules.count)
        for friction in frictions:
            for i in range(rules.count):
                row, _ = _try(world, state, ranked, i, friction, rules, problem)
                rows.append({**head, "friction": friction, "protocol": "rank", "attempt": i, **row})
            rows.extend(
                {**head, "friction": friction, "protocol": "clear", **row}
                for row in _clear(policy, world, state, index, friction, rules)
            )
    finally:
        world.close()
    return rows


def _clear(
    policy: GraspPolicy, world: World, state: SceneState, index: int, friction: float, rules: BenchmarkSettings
) -> list[dict[str, Any]]:
    """Returns the rows of clearing one scene: a new observation before each attempt."""
    rows: list[dict[str, Any]] = []
    failures = 0
    while len(state.models) and failures < rules.max_failures:
        grasps, problem = _ask(policy, state, rules, [rules.seed, index, len(rows)], 1)
        row, result = _try(world, state, grasps, 0, friction, rules, problem)
        rows.append({"attempt": len(rows), **row})
        failures = 0 if row["success"] else failures + 1
        if result is not None:
            state = _after(world, state, result, rules)
    return rows


def _after(world: World, state: SceneState, result: AttemptResult, rules: BenchmarkSettings) -> SceneState:
    """Returns the scene after an attempt: what was lifted or left the tray is gone, the rest at rest."""
    inside = [i for i in range(len(state.models)) if state.tray.contains(result.poses[i, :3, 3])]
    keep = [i for i in inside if not (result.success and i in result.lifted)]
    models, poses = [state.models[i] for i in keep], [result.poses[i] for i in keep]
    world.rebuild(models, poses)
    rest = world.settle(rules.settle_steps)
    settled = np.array(world.poses()).reshape(-1, 4, 4)
    after = SceneState(tuple(models), settled, state.tray, state.category, state.seed, rest)
    return after.keep([i for i in range(len(models)) if state.tray.contains(settled[i, :3, 3])])


def observe(state: SceneState, rules: BenchmarkSettings, seed: Sequence[int]) -> Observation:
    """Returns what the benchmark's camera sees; ``seed`` draws the noise."""
    camera = _camera(rules)
    depth, _, rgb = render_depth(state, camera)
    if rules.depth_noise is not None:
        depth = rules.depth_noise(depth, np.random.default_rng(list(seed)))
    return Observation(rgb, depth, camera)


def _camera(rules: BenchmarkSettings) -> PinholeCamera:
    c = rules.camera
    return PinholeCamera(c.width, c.height, c.intrinsics, overhead_pose(rules.camera_height))


def _ask(
    policy: GraspPolicy, state: SceneState, rules: BenchmarkSettings, seed: Sequence[int], count: int
) -> tuple[GraspPoses, str]:
    """Returns the policy's usable grasps in the world frame, and what was wrong with its answer.

    A policy's failure costs it the attempt, never the run.
    """
    seen: Observation | SceneView
    if getattr(policy, "privileged", False):
        parallel = ParallelCamera.covering(rules.pixels_per_metre)
        seen = render_view(state, _camera(rules), parallel)
    else:
        seen = observe(state, rules, seed)
    try:
        grasps = policy(seen, count)[:count]
        if grasps.frame != "camera":
            return GraspPoses.empty("world"), f"grasps in frame '{grasps.frame}'"
    except Exception as error:  # anyone's code runs here: whatever it raises is its own failure
        return GraspPoses.empty("world"), f"policy raised {type(error).__name__}: {error}"
    return grasps.transform(seen.camera.pose, "world"), ""


def _try(
    world: World,
    state: SceneState,
    grasps: GraspPoses,
    rank: int,
    friction: float,
    rules: BenchmarkSettings,
    problem: str,
) -> tuple[dict[str, Any], AttemptResult | None]:
    """Executes the grasp of one rank; returns its row and, if something moved, the result."""
    row: dict[str, Any] = {"success": False, "reason": problem or "no grasp given", "object": "", "lifted": 0}
    row |= dict.fromkeys(("quality", "x", "y", "z", "qx", "qy", "qz", "qw", "width"), np.nan) | {"seconds": 0.0}
    if rank >= len(grasps):
        return row, None
    grasp = grasps[rank]
    row |= {"quality": float(grasp.quality[0]), "width": float(grasp.width[0])}
    row |= dict(zip("xyz", grasp.translation[0].tolist(), strict=True))
    numbers = [grasp.translation[0], grasp.rotation[0].ravel(), grasp.width]
    if not np.isfinite(np.concatenate(numbers)).all() or abs(np.linalg.det(grasp.rotation[0]) - 1) > 1e-3:
        return row | {"reason": "grasp is NaN or its rotation is none"}, None
    quaternion = Rotation.from_matrix(grasp.rotation[0]).as_quat()
    row |= dict(zip(("qx", "qy", "qz", "qw"), quaternion.tolist(), strict=True))
    result = attempt(world, state, grasp, rules.gripper, friction, rules.attempt)
    row |= {"success": result.success, "reason": result.reason, "lifted": len(result.lifted) if result.success else 0}
    row |= {"object": state.names[result.object_index] if result.success else "", "seconds": result.seconds}
    return row, result
