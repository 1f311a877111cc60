"""Films of attempts: snapshots of the simulation, drawn from an oblique camera and written as a GIF."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.benchmark.parallel_jaw import LEFT, PALM, RIGHT, ParallelJaw
from sim.camera import PinholeCamera
from sim.drawing.object_colours import object_colours
from sim.errors import InputError
from sim.geometry import look_at, transform
from sim.physics import pose_to_matrix, pybullet
from sim.render.appearance import Appearance
from sim.render.rasteriser import rasterise_pinhole
from sim.render.shading import lambert
from sim.render.view import render_depth
from sim.scene import SceneState

FloatArray = NDArray[np.float64]
RGBImage = NDArray[np.uint8]
Box = tuple[FloatArray, FloatArray, tuple[int, int, int]]  # size (3,) metres, T_world_box (4, 4), RGB 0-255

# From the front and above: the tray, the hand 0.2 m over it, and the drop-off place beside it are in sight.
_EYE, _TARGET, _FOV = (0.25, -0.75, 0.80), (0.07, 0.0, 0.13), np.radians(34)
_LIGHT, _AMBIENT = np.array([0.35, -0.5, 0.8]), 0.55
PALM_COLOUR, FINGER_COLOUR = (125, 135, 150), (240, 130, 20)
_HAND_COLOURS = {PALM: PALM_COLOUR, LEFT: FINGER_COLOUR, RIGHT: FINGER_COLOUR}
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
        boxes: Boxes of the hand: palm, left and right finger.
    """

    poses: FloatArray
    boxes: list[Box]


@dataclass
class Recorder:
    """Keeps a snapshot of every so many simulation steps; call it after each step.

    Attributes:
        every: Steps from one snapshot to the next.
        snapshots: Snapshots so far.
        steps: Number of steps so far.
    """

    every: int
    snapshots: list[Snapshot] = field(default_factory=list)
    steps: int = 0

    def __call__(self, jaw: ParallelJaw) -> None:
        """Counts a step and keeps it when it is its turn."""
        if self.steps % self.every == 0:
            self.snapshots.append(Snapshot(np.array(jaw.world.poses()).reshape(-1, 4, 4), _hand_boxes(jaw)))
        self.steps += 1


def _hand_boxes(jaw: ParallelJaw) -> list[Box]:
    """Returns palm and fingers as they collide: asked of the simulation, so that no measure stands twice."""
    boxes = []
    for link, colour in _HAND_COLOURS.items():
        state = pybullet.getLinkState(jaw.body, link, physicsClientId=jaw.world.client)
        for shape in pybullet.getCollisionShapeData(jaw.body, link, physicsClientId=jaw.world.client):
            pose = pose_to_matrix(state[0], state[1]) @ pose_to_matrix(shape[5], shape[6])
            boxes.append((np.array(shape[3]), pose, colour))
    return boxes


def film_camera(size: tuple[int, int]) -> PinholeCamera:
    """Returns an oblique camera that sees tray, hand and drop-off place; ``size`` (width, height) pixels."""
    return PinholeCamera.from_fov(*size, fov=float(_FOV), pose=look_at(_EYE, _TARGET))


def draw_snapshot(state: SceneState, snapshot: Snapshot, camera: PinholeCamera) -> RGBImage:
    """Returns (H, W, 3) uint8: the scene's objects at the snapshot's poses, and the hand among them."""
    moved = SceneState(state.models, snapshot.poses, state.tray)
    depth, _, rgb = render_depth(moved, camera, Appearance(objects=tuple(object_colours(state))))
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


def write_line(frame: RGBImage, text: str) -> RGBImage:
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


def write_gif(frames: Sequence[RGBImage], path: str | Path, frames_per_second: float = 30.0) -> Path:
    """Writes frames as a GIF that runs for ever and rests a second on its last frame.

    Args:
        frames: (H, W, 3) uint8, all of one size.
        path: The file.
        frames_per_second: Speed in (0, 50]. A GIF's times are multiples of 10 ms; the nearest is taken.

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
