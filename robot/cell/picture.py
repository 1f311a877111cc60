"""Pictures and films of a cell: tray, objects, receptacle, and the arm with its hand."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from robot.arms.assembly import assemble
from robot.arms.model import ArmModel
from robot.arms.shapes import Part, RGBImage, body_parts, box_part, draw_over
from robot.cell.settings import CellSettings
from robot.cell.simulated_cell import SimulatedCell
from sim.camera import PinholeCamera
from sim.drawing.object_colours import object_colours
from sim.geometry import look_at
from sim.gripper import GripperGeometry
from sim.physics import pybullet
from sim.render.appearance import Appearance
from sim.render.view import render_depth
from sim.scene import SceneState

FloatArray = NDArray[np.float64]

_EYE, _TARGET, _FOV = (1.15, -0.75, 0.95), (-0.15, 0.1, 0.2), np.radians(42)
_BACKGROUND = (150, 150, 150)
_WOOD = (176, 148, 112)
_STEEL = (95, 98, 105)


@dataclass(frozen=True)
class CellMoment:
    """Where everything in a cell is at one time.

    Attributes:
        state: The scene.
        q: (N,) joint angles, radians.
        opening: Distance between the inner finger faces, metres.
    """

    state: SceneState
    q: FloatArray
    opening: float


@dataclass
class CellFilm:
    """Keeps a moment of a cell every so many time steps; append it to ``cell.on_step``.

    Attributes:
        every: Time steps from one moment to the next.
        moments: Moments so far.
    """

    every: int = 24
    moments: list[CellMoment] = field(default_factory=list)

    def __call__(self, cell: SimulatedCell) -> None:
        """Keeps the moment when it is its turn."""
        if cell.steps % self.every == 0:
            self.moments.append(moment_of(cell))


def moment_of(cell: SimulatedCell) -> CellMoment:
    """Returns where everything in a cell is now."""
    return CellMoment(cell.scene(), cell.q.copy(), 2 * cell.hand.fingers.reach())


def side_camera(size: tuple[int, int] = (640, 480)) -> PinholeCamera:
    """Returns an oblique camera that sees arm, tray and receptacle; ``size`` (width, height) pixels."""
    return PinholeCamera.from_fov(*size, fov=float(_FOV), pose=look_at(_EYE, _TARGET))


def draw_moments(
    moments: list[CellMoment],
    arm: ArmModel,
    gripper: GripperGeometry,
    *,
    settings: CellSettings,
    camera: PinholeCamera | None = None,
) -> list[RGBImage]:
    """Returns a picture, (H, W, 3) uint8, of each moment.

    Args:
        moments: The moments.
        arm: The arm.
        gripper: The hand.
        settings: Where arm, camera and receptacle are.
        camera: Camera of the pictures with its pose in the world; None for ``side_camera``.
    """
    eye = camera or side_camera()
    client = pybullet.connect(pybullet.DIRECT)
    try:
        body = assemble(client, arm, gripper, base=settings.base_pose, camera=settings.camera_mount, ghost=True)
        pictures = []
        for moment in moments:
            fixed = _fixed_parts(settings, moment.state)
            body.place(moment.q, moment.opening)
            pictures.append(_draw(moment.state, [*fixed, *body_parts(body)], eye))
    finally:
        pybullet.disconnect(client)
    return pictures


def _fixed_parts(settings: CellSettings, state: SceneState) -> list[Part]:
    """Returns receptacle and pedestal; tray and table are the scene's own."""
    parts = []
    for thing in settings.obstacles(state.tray):
        if thing.name in ("the receptacle", "the pedestal"):
            colour = _WOOD if thing.name == "the receptacle" else _STEEL
            parts += [box_part(size, pose, colour) for size, pose in thing.boxes]
    return parts


def _draw(state: SceneState, parts: list[Part], camera: PinholeCamera) -> RGBImage:
    """Returns the scene with parts among its objects, (H, W, 3) uint8."""
    depth, _, rgb = render_depth(state, camera, Appearance(objects=tuple(object_colours(state))))
    frame = np.where((depth > 0)[..., None], rgb, np.array(_BACKGROUND, np.uint8))
    return draw_over(depth, frame, parts, camera=camera)[1]
