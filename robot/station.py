"""A station: arm, hand, camera and the cell around them, as conf/robot composes it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot.arms.model import ArmModel
from robot.cell.hand_eye import BelievedHandEye
from robot.cell.settings import CellSettings
from robot.cell.simulated_cell import SimulatedCell
from robot.cell.simulated_devices import SimulatedArm, SimulatedCamera, SimulatedHand
from robot.devices import Arm, CameraDevice, Hand
from robot.motion.planner import MotionPlanner
from robot.motion.settings import MotionSettings, Unreachable
from robot.picking.picker import Picker, PickerParts
from robot.picking.picture import Photographer
from robot.picking.settings import PickSettings
from robot.safety import Guard, SafetyLimits
from sim.benchmark.protocol import AttemptSettings, GraspPolicy
from sim.camera import PinholeCamera, overhead_pose
from sim.depth_noise.model import Noise
from sim.depth_noise.paper import DepthNoise
from sim.errors import NOT_NEGATIVE, InputError, check_numbers
from sim.gripper import GripperGeometry
from sim.physics import PhysicsSettings, TraySettings
from sim.render.appearance import Appearance, RandomAppearance
from sim.scene import SceneState

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Station:
    """All that a pick needs but the policy; plain settings, so that it travels to other processes.

    Attributes:
        arm: The arm.
        gripper: The hand; its frame "flange" says where the grasp frame is.
        cell: Where arm, camera and receptacle are.
        tray: The tray.
        camera: Size and intrinsics of the wrist's camera.
        calibration: Where the arm believes its camera to be.
        motion: How motions are planned.
        safety: What no motion may break.
        pick: How a pick is made.
        friction: Friction of the simulated fingertips.
        depth_noise: Noise of the simulated camera; None for perfect depth.
        appearance: Light and colours of the simulated camera's pictures.
        physics: Physical constants of the simulation.
        attempt: Forces and speeds of the simulated fingers.
    """

    arm: ArmModel = field(default_factory=ArmModel)
    gripper: GripperGeometry
    cell: CellSettings = field(default_factory=CellSettings)
    tray: TraySettings = field(default_factory=TraySettings)
    camera: PinholeCamera = field(default_factory=PinholeCamera.from_fov)
    calibration: BelievedHandEye = field(default_factory=BelievedHandEye)
    motion: MotionSettings = field(default_factory=MotionSettings)
    safety: SafetyLimits = field(default_factory=SafetyLimits)
    pick: PickSettings = field(default_factory=PickSettings)
    friction: float = 0.8
    depth_noise: Noise | None = field(default_factory=DepthNoise)
    appearance: Appearance | RandomAppearance = field(default_factory=Appearance)
    physics: PhysicsSettings = field(default_factory=PhysicsSettings)
    attempt: AttemptSettings = field(default_factory=AttemptSettings)

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        check_numbers("station", self, {"friction": NOT_NEGATIVE})
        place = self.cell.receptacle
        if place.overlaps(self.tray):
            raise InputError(
                f"cell.receptacle.centre is {place.centre} with a side of {place.side:g} m, over the tray, which "
                f"reaches {self.tray.opening / 2:g} m from its middle to each side; give a place beside the tray"
            )

    @contextmanager
    def planner(self) -> Iterator[MotionPlanner]:
        """Yields a planner for the station, which knows the camera where the calibration found it."""
        with MotionPlanner(
            self.arm,
            self.gripper,
            self.cell.obstacles(self.tray),
            base=self.cell.base_pose,
            camera=self.mount(),
            settings=self.motion,
            safety=self.safety,
        ) as planner:
            yield planner

    def mount(self) -> FloatArray:
        """Returns T_flange_camera as the calibration found it, (4, 4) float64, metres."""
        return self.calibration.mount(self.cell.camera_mount)

    def view(self, planner: MotionPlanner) -> FloatArray:
        """Returns (N,) joint angles at which the camera looks straight down on the tray, radians; raises InputError."""
        found = planner.view(overhead_pose(self.cell.camera_height), self.gripper.max_opening)
        if isinstance(found, Unreachable):
            raise InputError(
                f"the arm cannot hold its camera {self.cell.camera_height:g} m over the tray ({found.message}); "
                "give another cell.camera_height, cell.base or cell.camera"
            )
        return found

    def hidden_share(self, planner: MotionPlanner, q: FloatArray) -> float:
        """Returns the share of the camera's picture that arm and open hand cover, in [0, 1].

        Args:
            planner: The station's planner, which knows their shapes.
            q: (N,) joint angles, radians.
        """
        lens = self.calibration.camera() or PinholeCamera.from_fov(160, 120)
        camera = replace(lens, pose=planner.base @ self.arm.chain().forward(q) @ self.mount())
        return float(planner.outline(camera, q, self.gripper.max_opening).mean())

    def guard(self, planner: MotionPlanner, clock: Any) -> Guard:
        """Returns the limits of every motion.

        Args:
            planner: The station's planner.
            clock: Function that returns seconds of the cell's clock.
        """
        chain = planner.chain
        return Guard(self.safety, chain.forward, lower=chain.lower, upper=chain.upper, clock=clock)

    def photographer(self, planner: MotionPlanner, arm: Arm, hand: Hand, *, camera: CameraDevice) -> Photographer:
        """Returns what takes the pictures of the picks.

        Args:
            planner: The station's planner, which knows the shapes of arm and hand.
            arm: The arm.
            hand: The hand.
            camera: The wrist's camera.
        """
        flange, mount = self.arm.chain(), self.mount()
        return Photographer(
            arm=arm,
            camera=camera,
            pose=lambda q: planner.base @ flange.forward(q) @ mount,
            outline=lambda seen, q: planner.outline(seen, q, hand.state().width),
            calibrated=self.calibration.camera(),
        )

    @contextmanager
    def on_hardware(self, arm: Arm, hand: Hand, camera: CameraDevice, *, policy: GraspPolicy) -> Iterator[Picker]:
        """Yields a picker that works with real devices; connects and disconnects them.

        Args:
            arm: The arm; it moves only where it is armed.
            hand: The hand.
            camera: The wrist's camera.
            policy: The grasp policy.

        Raises:
            DeviceError: A device does not answer.
            InputError: The arm has other joints than its model, or cannot hold its camera over the tray.
        """
        with self.planner() as planner, arm, hand, camera:
            if arm.joints != len(planner.chain):
                raise InputError(
                    f"{arm.name} has {arm.joints} joints and its model {len(planner.chain)}; give the arm= that it is"
                )
            parts = PickerParts(
                arm=arm,
                hand=hand,
                planner=planner,
                guard=self.guard(planner, arm.clock),
                eye=self.photographer(planner, arm, hand, camera=camera),
                view=self.view(planner),
                release=self.cell.release_place(self.tray),
            )
            yield Picker(parts, policy, self.pick)

    @contextmanager
    def simulated(
        self, state: SceneState, policy: GraspPolicy, *, seed: tuple[int, ...] = (0,)
    ) -> Iterator[tuple[SimulatedCell, Picker]]:
        """Yields a simulated cell with a scene in it, and a picker that works there.

        Args:
            state: The scene, at rest.
            policy: The grasp policy.
            seed: Seed of the camera's noise and colours.

        Raises:
            InputError: The arm cannot hold its camera over the tray.
        """
        station = self if state.tray == self.tray else replace(self, tray=state.tray)
        cell = SimulatedCell(
            station.arm,
            station.gripper,
            settings=station.cell,
            camera=station.camera,
            friction=station.friction,
            depth_noise=station.depth_noise,
            appearance=station.appearance,
            physics=station.physics,
            attempt=station.attempt,
        )
        with station.planner() as planner, cell:
            view = station.view(planner)
            cell.start(state, view, seed=seed)
            arm, hand, camera = SimulatedArm(cell), SimulatedHand(cell), SimulatedCamera(cell)
            parts = PickerParts(
                arm=arm,
                hand=hand,
                planner=planner,
                guard=station.guard(planner, cell.clock),
                eye=station.photographer(planner, arm, hand, camera=camera),
                view=view,
                release=station.cell.release_place(station.tray),
                privileged_view=camera.noiseless_view,
            )
            yield cell, Picker(parts, policy, station.pick)
