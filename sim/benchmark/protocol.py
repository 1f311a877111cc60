"""What a policy is shown and must do, and the settings by which it is measured.

A policy is a callable: this package knows nothing else of it, so anyone's method can be measured.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Protocol

from sim.camera import PinholeCamera
from sim.depth_noise.model import Noise
from sim.depth_noise.paper import DepthNoise
from sim.errors import COUNT, NOT_NEGATIVE, POSITIVE, SHARE, WHOLE, InputError, check_numbers
from sim.grasp import GraspPoses
from sim.gripper import GripperGeometry
from sim.physics import PhysicsSettings
from sim.render.appearance import Appearance, RandomAppearance
from sim.view import Observation as Observation


class GraspPolicy(Protocol):
    """Anything that turns an observation into grasps.

    A policy with an attribute ``privileged = True`` is handed the noiseless ``SceneView`` instead, and every result
    says so. One with ``ranks_only = True`` is asked once a scene: its AP is measured, its SR and PC are not. One whose
    grasps come from files has a method ``answer_file(observation)``, which returns the path of an observation's file or
    None: finished results count with it.
    """

    @property
    def name(self) -> str:
        """Name of the policy in tables."""
        ...

    def __call__(self, observation: Any, count: int) -> GraspPoses:
        """Returns grasps in the camera frame.

        Args:
            observation: What the camera sees, an ``Observation``; a ``SceneView`` for a privileged policy.
            count: Number of grasps that are asked for; those beyond are not tried.

        Returns:
            Up to ``count`` grasps, best first.
        """
        ...


class NoAnswerYet(InputError):
    """What a policy raises that cannot answer before somebody else has done something.

    Any other exception costs a policy the attempt. This one ends the run with its sentence; what was finished is kept.
    """


@dataclass(frozen=True, kw_only=True)
class AttemptSettings:
    """How a grasp is executed.

    Attributes:
        force: Closing force of each finger, newtons; None for the gripper's own.
        arm_force: Force with which the arm can push before it yields, newtons.
        contact_radius: Radius of the patch over which a finger's pad touches, metres. Bullet often gives a face on a
            face one contact point, which resists no twist; a patch of radius a resists a torque of 2/3 a mu N.
            0 makes the fingers hard and pointed.
        closing_speed: Speed of each finger, m/s.
        pre_grasp: Distance back along the approach at which the descent starts, metres.
        lift: Height of the lift, metres.
        carry: World (x, y) shift to the drop-off place, metres.
        down_steps: Time steps of the descent.
        close_steps: Least number of time steps of the closing; a hand that opens wide gets as many as its fingers need.
        lift_steps: Time steps of the lift; its acceleration stays under 0.3 g.
        carry_steps: Time steps of the carry; its acceleration stays under 0.4 g.
        blocked: Error of the palm's place at the end of the descent from which on the hand counts as blocked, metres.
        palm_height: Height of the palm's box behind the fingers, metres.
        palm_mass: Mass of the palm, kg.
        finger_mass: Mass of each finger, kg.
        slide_mass: Mass of each moving part of the arm, kg.
        slide_gain: Share of its error that a slide of the arm makes good in a time step.
        coupling_force: Force that holds the two fingers at the same distance from the middle, newtons.
        coupling_share: Share of the fingers' difference that the coupling makes good in a time step.
    """

    force: float | None = None
    arm_force: float = 100.0
    contact_radius: float = 0.005
    closing_speed: float = 0.2
    pre_grasp: float = 0.2
    lift: float = 0.2
    carry: tuple[float, float] = (0.25, 0.0)
    down_steps: int = 96
    close_steps: int = 96
    lift_steps: int = 144
    carry_steps: int = 144
    blocked: float = 0.005
    palm_height: float = 0.03
    palm_mass: float = 0.5
    finger_mass: float = 0.1
    slide_mass: float = 0.1
    slide_gain: float = 0.3
    coupling_force: float = 10_000.0
    coupling_share: float = 0.2

    def __post_init__(self) -> None:
        """Checks ranges and makes ``carry`` a tuple, whatever sequence a config gives; raises InputError."""
        try:
            x, y = (float(v) for v in self.carry)
        except (TypeError, ValueError):
            x = y = math.nan
        if not (math.isfinite(x) and math.isfinite(y)):
            raise InputError(f"attempt.carry is {self.carry!r}; give two numbers, metres along the world's x and y")
        object.__setattr__(self, "carry", (x, y))
        positive = ("arm_force", "closing_speed", "lift", "blocked", "palm_height", "coupling_force")
        limits = dict.fromkeys((*positive, "palm_mass", "finger_mass", "slide_mass"), POSITIVE)
        limits |= dict.fromkeys(("contact_radius", "pre_grasp"), NOT_NEGATIVE)
        limits |= {} if self.force is None else {"force": POSITIVE}
        limits |= dict.fromkeys(("down_steps", "close_steps", "lift_steps", "carry_steps"), COUNT)
        check_numbers("attempt", self, limits | dict.fromkeys(("slide_gain", "coupling_share"), SHARE))


@dataclass(frozen=True, kw_only=True)
class BenchmarkSettings:
    """How policies are measured: the rules of section III-E, and what the paper leaves open.

    Attributes:
        gripper: Geometry of the gripper.
        camera: Intrinsics and size of the camera; its pose is replaced by one straight down.
        camera_height: Height of the camera over the tray's floor, metres.
        pixels_per_metre: Scale of the parallel image that privileged policies see.
        depth_noise: Noise of the depth image, or None for a perfect one.
        appearance: Light and colours of the RGB picture; random ones are drawn for every observation.
        count: Number of ranked grasps that AP looks at.
        max_failures: Number of failures in a row that ends the clearing of a scene.
        attempt: Forces, speeds and distances of an attempt.
        physics: Physical constants.
        settle_steps: Most time steps that a scene has to come to rest after each attempt of a clearing.
        seed: Seed of noise and appearance: the same for every policy, so that policies compare in pairs.
    """

    gripper: GripperGeometry = field(default_factory=GripperGeometry)
    camera: PinholeCamera = field(default_factory=PinholeCamera.from_fov)
    camera_height: float = 0.6
    pixels_per_metre: float = 2500.0
    depth_noise: Noise | None = field(default_factory=DepthNoise)
    appearance: Appearance | RandomAppearance = field(default_factory=Appearance)
    count: int = 50
    max_failures: int = 5
    attempt: AttemptSettings = field(default_factory=AttemptSettings)
    physics: PhysicsSettings = field(default_factory=PhysicsSettings)
    settle_steps: int = 960
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks ranges and that the camera looks down on the hand; raises InputError."""
        limits = dict.fromkeys(("camera_height", "pixels_per_metre"), POSITIVE) | {"seed": WHOLE}
        check_numbers("benchmark", self, limits | dict.fromkeys(("count", "max_failures", "settle_steps"), COUNT))
        check_height("benchmark", self.camera_height, self.gripper)


def check_height(group: str, height: float, gripper: GripperGeometry) -> None:
    """Raises InputError where a hand that stands on the tray's floor would reach the camera.

    Args:
        group: Name of the settings in the message.
        height: Height of the camera over the tray's floor, metres.
        gripper: The gripper.
    """
    if gripper.finger_length >= height:
        raise InputError(
            f"{group}.camera_height is {height} m and a finger {gripper.finger_length} m long; "
            "give a camera that is higher than the fingers are long"
        )
