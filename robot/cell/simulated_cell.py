"""The simulated cell: one world, one clock, and the three devices in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from robot.arms.assembly import Assembly, assemble
from robot.arms.model import ArmModel
from robot.arms.shapes import Part, body_parts
from robot.cell.carried_hand import CarriedHand
from robot.cell.settings import CellSettings
from sim.benchmark.protocol import AttemptSettings
from sim.camera import PinholeCamera
from sim.depth_noise.model import Noise, noise_for_camera
from sim.gripper import GripperGeometry
from sim.interchange.hand_frames import frame_of_grasp
from sim.physics import PhysicsSettings, World, pybullet
from sim.render.appearance import Appearance, RandomAppearance
from sim.scene import SceneState, object_places

FloatArray = NDArray[np.float64]


class SimulatedCell:
    """A world with an arm that is where its joints say, and the benchmark's own hand at its flange.

    The arm is kinematically exact; the hand yields to 100 N. The same calls give the same bits.

    Attributes:
        world: The world.
        state: Scene at the start, with the objects that have not left the cell since.
        hand: Palm and fingers.
        q: (N,) joint angles now, radians.
        dq: (N,) joint speeds now, radians a second.
        steps: Time steps since the start.
        on_step: Functions called with the cell after each time step: films, injected faults.
    """

    def __init__(
        self,
        arm: ArmModel,
        gripper: GripperGeometry,
        *,
        settings: CellSettings,
        camera: PinholeCamera,
        friction: float = 0.8,
        depth_noise: Noise | None = None,
        appearance: Appearance | RandomAppearance | None = None,
        physics: PhysicsSettings | None = None,
        attempt: AttemptSettings | None = None,
    ) -> None:
        """Sets up; ``start`` puts a scene in.

        Args:
            arm: The arm.
            gripper: The hand.
            settings: Where arm, camera and receptacle are.
            camera: Size and intrinsics of the wrist's camera.
            friction: Friction of the fingertips; objects have 1, so it is the contacts'.
            depth_noise: Noise of the depth image; None for a perfect one.
            appearance: Light and colours.
            physics: Physical constants.
            attempt: Forces and speeds of the fingers.
        """
        self.arm, self.gripper, self.settings, self.camera = arm, gripper, settings, camera
        self.friction = friction
        self.depth_noise = (
            None if depth_noise is None else noise_for_camera(depth_noise, float(camera.intrinsics[0, 0]))
        )
        self.appearance = appearance or Appearance()
        self.attempt = attempt or AttemptSettings()
        self._physics = physics or PhysicsSettings()
        self.flange = arm.chain()
        self._tip = self.flange.with_tool(frame_of_grasp("flange", gripper))
        self.base = settings.base_pose
        self.on_step: list[Callable[[SimulatedCell], None]] = []
        self._world: World | None = None
        self._shown: Assembly | None = None
        self.steps = 0
        self.seed: tuple[int, ...] = (0,)

    def start(self, state: SceneState, q: FloatArray, *, seed: tuple[int, ...] = (0,)) -> None:
        """Puts a scene at rest into the world, and the arm at joint angles over it.

        Args:
            state: The scene.
            q: (N,) joint angles, radians.
            seed: Seed of the camera's noise and colours.
        """
        self.close()
        self.state, self.seed, self.steps = state, seed, 0
        self.world = self._world = World(self._physics, state.tray)
        self.world.rebuild(list(state.models), list(state.poses))
        bottom = self.settings.receptacle.obstacle(state.tray).put_in(self.world.client)
        pybullet.changeDynamics(bottom, -1, lateralFriction=state.tray.friction, physicsClientId=self.world.client)
        self.q, self.dq = np.array(q, np.float64), np.zeros(len(q))
        self.hand = CarriedHand(
            self.world,
            self.gripper,
            self.attempt,
            pose=self.tip(self.q),
            opening=self.gripper.max_opening,
            friction=self.friction,
        )
        if state.at_rest:
            self.world.rest(list(state.poses))

    def body(self) -> list[Part]:
        """Returns the shapes of arm and hand where they are now, without the camera's own body.

        They stand in a client of their own, for they are no part of the simulated physics.
        """
        if self._shown is None:
            client = pybullet.connect(pybullet.DIRECT)
            self._shown = assemble(client, self.arm, self.gripper, base=self.base, camera=self.settings.camera_mount)
        self._shown.place(self.q, 2 * self.hand.fingers.reach())
        return body_parts(self._shown, camera=False)

    def close(self) -> None:
        """Ends the world; harmless when done twice."""
        if self._world is not None:
            self._world.close()
        if self._shown is not None:
            pybullet.disconnect(self._shown.client)
        self._world = self._shown = None

    def __enter__(self) -> Self:
        """Returns the cell itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the world."""
        self.close()

    @property
    def time_step(self) -> float:
        """Seconds of one step."""
        return self._physics.time_step

    def clock(self) -> float:
        """Returns the cell's time, seconds."""
        return self.steps * self.time_step

    def tip(self, q: FloatArray) -> FloatArray:
        """Returns T_world_grasp, (..., 4, 4), of joint angles (..., N)."""
        pose: FloatArray = self.base @ self._tip.forward(q)
        return pose

    def camera_pose(self) -> FloatArray:
        """Returns the true T_world_camera now, (4, 4) float64, metres."""
        pose: FloatArray = self.base @ self.flange.forward(self.q) @ self.settings.camera_mount
        return pose

    def step(self) -> None:
        """Advances the world by one time step."""
        self.world.step()
        self.steps += 1
        self.hand.measure()
        for call in self.on_step:
            call(self)

    def move(self, q: FloatArray, dq: FloatArray, pose: FloatArray) -> None:
        """Moves the arm to joint angles within one time step.

        Args:
            q: (N,) joint angles, radians.
            dq: (N,) joint speeds, radians a second.
            pose: (4, 4) T_world_grasp of ``q``, metres.
        """
        self.q, self.dq = q, dq
        self.hand.follow(pose)
        self.step()

    def wait(self, seconds: float) -> None:
        """Lets time pass while the arm holds still."""
        self.dq = np.zeros(len(self.q))
        pose = self.tip(self.q)
        for _ in range(round(seconds / self.time_step)):
            self.hand.follow(pose)
            self.step()

    def scene(self) -> SceneState:
        """Returns where everything lies now."""
        poses = np.array(self.world.poses()).reshape(-1, 4, 4)
        return replace(self.state, poses=poses)

    def settle(self) -> None:
        """Lets things come to rest, and keeps them exactly there until something touches them."""
        self.world.settle(round(self.settings.settle / self.time_step))
        self.state = self.scene()
        self.world.rest(list(self.state.poses))

    def delivered(self) -> list[int]:
        """Returns the indices of the objects that lie in the receptacle."""
        places = object_places(self.state.models, self.world.poses())
        return [i for i, place in enumerate(places) if self.settings.receptacle.holds(place)]

    def fallen(self) -> list[int]:
        """Returns the indices of the objects that lie neither in the tray nor in the receptacle."""
        places = object_places(self.state.models, self.world.poses())
        there = set(self.delivered())
        return [i for i, place in enumerate(places) if i not in there and not self.state.tray.contains(place)]

    def take_out(self, indices: list[int]) -> list[str]:
        """Takes objects out of the cell, as an operator does; returns their names."""
        names = [self.state.names[i] for i in indices]
        state = self.scene()
        for i in sorted(indices, reverse=True):
            self.world.remove(i)
        self.state = state.keep([i for i in range(len(state.models)) if i not in set(indices)])
        return names
