"""Recorded attempts executed again and filmed: what went wrong is quicker seen than read.

A table's rows and the scenes they ran on are enough: the grasps stand in the rows, so no policy is
needed, and the same grasp in the same scene moves the same way.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sim.benchmark import BenchmarkSettings, scene_after
from sim.benchmark.grasp_attempt import LEFT, PALM, RIGHT, AttemptResult, ParallelJaw, attempt
from sim.camera import PinholeCamera
from sim.errors import InputError
from sim.geometry import look_at, transform
from sim.grasp import GraspPoses
from sim.physics import World, pose_to_matrix, pybullet
from sim.render import render_depth
from sim.render.rasteriser import rasterise_pinhole
from sim.render.shading import lambert
from sim.scene import SceneState

FloatArray = NDArray[np.float64]
Frame = NDArray[np.uint8]

_ORDER = ["policy", "category", "scene", "friction", "protocol", "attempt"]
_SEQUENCE = _ORDER[:-1]
# From the front and above: the tray, the hand 0.2 m over it, and the drop-off place beside it are in sight.
_EYE, _TARGET, _FOV = np.array([0.25, -0.75, 0.80]), np.array([0.07, 0.0, 0.13]), np.radians(34)
_LIGHT, _AMBIENT = np.array([0.35, -0.5, 0.8]), 0.55
_HAND_COLOURS = {PALM: (125, 135, 150), LEFT: (240, 130, 20), RIGHT: (240, 130, 20)}
_BACKGROUND = (150, 150, 150)
# A box's corners as signs, and its 12 triangles as their indices.
_CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) / 2
_SIDES = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
_TRIANGLES = np.array([[s[0], s[i], s[i + 1]] for s in _SIDES for i in (1, 2)], np.int32)


@dataclass(frozen=True)
class Snapshot:
    """One moment of an attempt.

    Attributes:
        poses: (N, 4, 4) float64 T_world_link of the objects, metres.
        boxes: The hand's parts: (size (3,) m, T_world_box (4, 4), RGB 0-255).
    """

    poses: FloatArray
    boxes: list[tuple[FloatArray, FloatArray, tuple[int, int, int]]]


@dataclass
class Recorder:
    """Keeps a snapshot of every so many simulation steps; call it after each step."""

    every: int
    snapshots: list[Snapshot] = field(default_factory=list)
    steps: int = 0

    def __call__(self, jaw: ParallelJaw) -> None:
        """Counts a step and keeps it when it is its turn."""
        if self.steps % self.every == 0:
            self.snapshots.append(Snapshot(np.array(jaw.world.poses()).reshape(-1, 4, 4), _hand_boxes(jaw)))
        self.steps += 1


def _hand_boxes(jaw: ParallelJaw) -> list[tuple[FloatArray, FloatArray, tuple[int, int, int]]]:
    """Returns palm and fingers as they collide: asked of the simulation, so that no measure stands twice."""
    boxes = []
    for link, colour in _HAND_COLOURS.items():
        state = pybullet.getLinkState(jaw.body, link, physicsClientId=jaw.world.client)
        for shape in pybullet.getCollisionShapeData(jaw.body, link, physicsClientId=jaw.world.client):
            pose = pose_to_matrix(state[0], state[1]) @ pose_to_matrix(shape[5], shape[6])
            boxes.append((np.array(shape[3]), pose, colour))
    return boxes


def recorded_grasp(row: Any) -> GraspPoses | None:
    """Returns the grasp of one row of attempts, world frame; None where none was executed."""
    numbers = np.array([row.x, row.y, row.z, row.qx, row.qy, row.qz, row.qw, row.width], np.float64)
    if not np.isfinite(numbers).all():
        return None
    rotation = Rotation.from_quat(numbers[3:7]).as_matrix()
    return GraspPoses(numbers[None, :3], rotation[None], numbers[7:], np.array([row.quality]), "world")


def choose_attempts(attempts: pd.DataFrame, query: str, count: int) -> pd.DataFrame:
    """Returns attempts to film: of those that a query picks, ``count`` spread evenly over the sorted table.

    Args:
        attempts: Rows of ``run_benchmark``.
        query: A pandas query, for example ``not success and reason == 'slipped'``; "" picks all.
        count: At most as many; attempts in which no grasp was executed are left out.

    Returns:
        The chosen rows, sorted; none where nothing matches.

    Raises:
        InputError: The query cannot be read, or names a column that is not there.
    """
    if count < 0:
        raise InputError(f"cannot film {count} attempts; give 0 or more")
    try:
        found = attempts.query(query) if query.strip() else attempts
    except Exception as error:  # pandas hands on whatever its parser raises
        reason = " ".join(str(error).split())
        columns = ", ".join(map(str, attempts.columns))
        raise InputError(f'the query "{query}" cannot be read ({reason}); columns are {columns}') from error
    if not isinstance(found, pd.DataFrame):
        raise InputError(f'the query "{query}" is no condition on rows; write one such as "reason == \'slipped\'"')
    found = found[found[["x", "qx", "width"]].notna().all(axis=1)].sort_values(_ORDER)
    picks = np.unique(np.linspace(0, len(found) - 1, min(count, len(found))).round().astype(int))
    return found.iloc[picks]


def replay(
    state: SceneState,
    rows: pd.DataFrame,
    index: int,
    rules: BenchmarkSettings,
    every: int = 8,
    size: tuple[int, int] = (320, 240),
) -> list[Frame]:
    """Executes a recorded attempt again and films it.

    A ranked attempt starts from the scene as it was; one of a clearing needs those before it, which
    are executed again unfilmed.

    Args:
        state: The scene that the rows ran on.
        rows: Rows of ``run_benchmark`` of one policy, category, scene, friction and protocol.
        index: Which ``attempt`` of them.
        rules: The rules of that run.
        every: Simulation steps between two frames; 8 at 240 Hz are 30 frames a second.
        size: Width and height of a frame, pixels.

    Returns:
        (H, W, 3) uint8 frames; a line of text says policy, friction and how it ended, and also how
        the replay ended should that differ (rows of other rules, or of another machine).

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
    world = World(rules.physics, state.tray)
    try:
        for earlier in before:
            passed = recorded_grasp(earlier)
            if passed is not None:
                result = attempt(world, state, passed, rules.gripper, float(row.friction), rules.attempt)
                _outcome(earlier, result)
                state = scene_after(world, state, result, rules)
        result = attempt(world, state, grasp, rules.gripper, float(row.friction), rules.attempt, on_step=recorder)
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
    ordered: list[Any] = list(rows.sort_values("attempt").itertuples())
    found = [r for r in ordered if r.attempt == index]
    if not found:
        raise InputError(f"there is no attempt {index} among {len(rows)} rows; give one of their attempt numbers")
    before = [r for r in ordered if r.attempt < index] if found[0].protocol == "clear" else []
    return found[0], before


def _outcome(row: Any, result: AttemptResult) -> str:
    """Returns how a row says that it ended, and warns where the replay ended otherwise."""
    recorded, now = row.reason or "success", result.reason or "success"
    if recorded == now:
        return recorded
    warnings.warn(
        f"attempt {row.attempt} of '{row.policy}' in scene {row.scene} ended with '{recorded}', its replay with "
        f"'{now}': other rules, versions or another machine?",
        stacklevel=3,
    )
    return f"{recorded} (replay: {now})"


def film_camera(size: tuple[int, int]) -> PinholeCamera:
    """Returns an oblique camera that sees tray, hand and drop-off place; ``size`` (width, height) pixels."""
    return PinholeCamera.from_fov(*size, fov=float(_FOV), pose=look_at(_EYE, _TARGET))


def draw_snapshot(state: SceneState, snapshot: Snapshot, camera: PinholeCamera) -> Frame:
    """Returns (H, W, 3) uint8: the scene's objects at the snapshot's poses, and the hand among them."""
    moved = SceneState(state.models, snapshot.poses, state.tray)
    depth, _, rgb = render_depth(moved, camera)
    frame = np.where((depth > 0)[..., None], rgb, np.array(_BACKGROUND, np.uint8))
    corners = np.concatenate([transform(pose, size * _CORNERS) for size, pose, _ in snapshot.boxes])
    faces = np.concatenate([_TRIANGLES + len(_CORNERS) * i for i in range(len(snapshot.boxes))]).astype(np.int32)
    colours = np.repeat(np.array([c for _, _, c in snapshot.boxes], np.float64), len(_TRIANGLES), axis=0)
    seen = transform(np.linalg.inv(camera.pose), corners)
    hand_depth, face = rasterise_pinhole(camera, seen, faces)
    brightness = lambert(corners, faces, camera, light=_LIGHT, ambient=_AMBIENT)
    palette = (colours * brightness[:, None]).astype(np.uint8)
    in_front = (face >= 0) & ((hand_depth < depth) | (depth == 0))
    frame[in_front] = palette[face[in_front]]
    return frame


def write_line(frame: Frame, text: str) -> Frame:
    """Returns the frame with a line of text along its upper edge; a line too long for it ends in dots."""
    from PIL import Image, ImageDraw, ImageFont

    image = Image.fromarray(frame)
    font: Any = ImageFont.load_default(12)
    room = image.width - 8
    if font.getlength(text) > room:
        while text and font.getlength(text + "...") > room:
            text = text[:-1]
        text += "..."
    draw = ImageDraw.Draw(image)
    draw.rectangle([0, 0, image.width, 17], fill=(30, 30, 30))
    draw.text((4, 2), text, fill=(255, 255, 255), font=font)
    return np.asarray(image)


def write_gif(frames: Sequence[Frame], path: str | Path, frames_per_second: float = 30.0) -> Path:
    """Writes frames as a GIF that runs for ever and rests a second on its last frame.

    Args:
        frames: (H, W, 3) uint8, all of one size.
        path: Where it goes.
        frames_per_second: In (0, 50]; a GIF's times are multiples of 10 ms, the nearest is taken.

    Returns:
        The path.
    """
    from PIL import Image

    if not len(frames) or not 0 < frames_per_second <= 50:
        raise InputError(f"a GIF of {len(frames)} frames at {frames_per_second} a second cannot be written")
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    # One palette for all, undithered: what stands still then stays the same, and the file small.
    sample = np.concatenate([frames[0], frames[len(frames) // 2], frames[-1]])
    palette = Image.fromarray(sample).quantize(256)
    images = [Image.fromarray(f).quantize(palette=palette, dither=Image.Dither.NONE) for f in frames]
    step = 10 * max(2, round(100 / frames_per_second))
    times = [*[step] * (len(images) - 1), 1000]
    images[0].save(path, save_all=True, append_images=images[1:], duration=times, loop=0, optimize=False)
    return path


def write_replays(
    attempts: pd.DataFrame,
    scenes: Mapping[str, Sequence[SceneState]],
    folder: str | Path,
    rules: BenchmarkSettings,
    query: str = "",
    count: int = 4,
) -> list[Path]:
    """Films chosen attempts of a run, each into a GIF named by policy, category, scene, friction, protocol, attempt.

    Args:
        attempts: Rows of ``run_benchmark``, of one or more policies.
        scenes: The scenes of each category, in the order in which they ran.
        folder: Where the GIFs go.
        rules: The rules of the run.
        query: As for ``choose_attempts``.
        count: As for ``choose_attempts``.

    Returns:
        The files' paths.

    Raises:
        InputError: As ``choose_attempts``, or a scene of the rows is not there.
    """
    paths = []
    for row in choose_attempts(attempts, query, count).itertuples():
        among: Any = row
        if among.category not in scenes or among.scene >= len(scenes[among.category]):
            raise InputError(f"there is no scene {among.scene} of '{among.category}' to replay; give the run's scenes")
        same = np.all([attempts[c] == getattr(among, c) for c in _SEQUENCE], axis=0)
        frames = replay(scenes[among.category][among.scene], attempts[same], among.attempt, rules)
        which = f"scene{among.scene}_friction{among.friction:g}_{among.protocol}{among.attempt}"
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{among.policy}_{among.category}_{which}")
        paths.append(write_gif(frames, Path(folder) / f"{name}.gif"))
    return paths
