"""One grasp, really executed: a parallel-jaw gripper in PyBullet, built from its geometry."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sim.geometry import make_pose
from sim.grasp import GraspPoses
from sim.gripper import GripperGeometry
from sim.physics import World, matrix_to_pose, pybullet
from sim.scene import SceneState

FloatArray = NDArray[np.float64]

# Joint indices of the gripper's URDF; the links carry the same numbers.
_SLIDES = (0, 1, 2)
PALM, LEFT, RIGHT = 2, 3, 4


@dataclass(frozen=True)
class AttemptSettings:
    """How a grasp is executed.

    Attributes:
        force: Closing force of each finger, newtons.
        arm_force: What the arm can push with before it yields, newtons.
        contact_radius: Radius of the patch over which a finger's pad touches, metres. Bullet gives a
            face on a face often one contact point, which resists no twist; a patch of radius a
            resists a torque of 2/3 a mu N. 0 makes the fingers hard and pointed.
        closing_speed: Of each finger, m/s.
        pre_grasp: Way back along the approach where the descent starts, metres.
        lift: Height of the lift, metres.
        carry: World (x, y) shift to the drop-off place, metres.
        down_steps: Time steps of the descent.
        close_steps: Time steps of the closing.
        lift_steps: Time steps of the lift; its acceleration stays under 0.3 g.
        carry_steps: Time steps of the carry; its acceleration stays under 0.4 g.
        blocked: The tips' error at the end of the descent that counts as blocked, metres.
        palm_height: Of the palm's box behind the fingers, metres.
        palm_mass: kg.
        finger_mass: kg.
        slide_mass: Of each moving part of the arm, kg.
        slide_gain: Share of its error that an arm's slide makes good in a time step.
        coupling_force: What holds the two fingers at the same distance from the middle, newtons.
        coupling_share: Share of the fingers' difference that the coupling makes good in a time step.
    """

    force: float = 30.0
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
        """Makes ``carry`` a tuple, whatever sequence a config gives."""
        object.__setattr__(self, "carry", (float(self.carry[0]), float(self.carry[1])))


@dataclass(frozen=True)
class AttemptResult:
    """What came of one attempt.

    Attributes:
        success: An object is held by both fingers at the drop-off place.
        reason: "" or "blocked" (on the way down), "missed" (nothing between the fingers), "slipped"
            (out of the hand during the lift), "dropped" (while it was carried).
        object_index: In the scene's order: the object held, else the one that both fingers had gripped, else -1.
        lifted: Number of objects that are held or hang at least half the lift higher than before.
        slip: How far the held object moved in the gripper between closing and the end, metres; or NaN.
        poses: (N, 4, 4) float64 T_world_link of all objects at the end, metres.
        seconds: Wall time.
    """

    success: bool
    reason: str
    object_index: int
    lifted: tuple[int, ...]
    slip: float
    poses: FloatArray
    seconds: float


def _link(name: str, mass: float, boxes: str = "") -> str:
    inertia = mass * 1e-3  # kg m^2: of a body some 10 cm in size; the arm's motors outweigh it by far
    return (
        f'<link name="{name}"><inertial><mass value="{mass}"/>'
        f'<inertia ixx="{inertia}" iyy="{inertia}" izz="{inertia}" ixy="0" ixz="0" iyz="0"/></inertial>{boxes}</link>'
    )


def _box(size: tuple[float, float, float], centre: tuple[float, float, float]) -> str:
    return (
        f'<collision><origin xyz="{centre[0]} {centre[1]} {centre[2]}"/><geometry>'
        f'<box size="{size[0]} {size[1]} {size[2]}"/></geometry></collision>'
    )


def _slide(name: str, parent: str, child: str, axis: str, low: float, high: float, effort: float) -> str:
    return (
        f'<joint name="{name}" type="prismatic"><parent link="{parent}"/><child link="{child}"/><axis xyz="{axis}"/>'
        f'<limit lower="{low}" upper="{high}" effort="{effort}" velocity="10"/></joint>'
    )


def gripper_urdf(gripper: GripperGeometry, settings: AttemptSettings) -> str:
    """Returns the gripper's URDF: three slides along the grasp axes, palm, two fingers.

    The root frame is the grasp frame: origin between the tips, x closing, z approach. A finger's
    joint is 0 when closed and half the opening when open.
    """
    g = gripper
    palm_size = (g.palm_width, g.palm_thickness, settings.palm_height)
    palm = _box(palm_size, (0, 0, -g.finger_length - settings.palm_height / 2))
    finger = (g.finger_thickness, g.finger_width, g.finger_length)
    half = g.max_opening / 2
    parts = [
        _link("base", settings.slide_mass),
        _link("slide_x", settings.slide_mass),
        _link("slide_y", settings.slide_mass),
        _link("palm", settings.palm_mass, palm),
        _link("left", settings.finger_mass, _box(finger, (-g.finger_thickness / 2, 0, -g.finger_length / 2))),
        _link("right", settings.finger_mass, _box(finger, (g.finger_thickness / 2, 0, -g.finger_length / 2))),
        _slide("x", "base", "slide_x", "1 0 0", -5, 5, settings.arm_force),
        _slide("y", "slide_x", "slide_y", "0 1 0", -5, 5, settings.arm_force),
        _slide("z", "slide_y", "palm", "0 0 1", -5, 5, settings.arm_force),
        _slide("left", "palm", "left", "-1 0 0", 0, half, settings.force),
        _slide("right", "palm", "right", "1 0 0", 0, half, settings.force),
    ]
    return f'<robot name="parallel_jaw">{"".join(parts)}</robot>'


@lru_cache(maxsize=8)
def _urdf_file(gripper: GripperGeometry, settings: AttemptSettings) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="plgp-gripper-"))
    path = folder / "parallel_jaw.urdf"
    path.write_text(gripper_urdf(gripper, settings))
    return path


class ParallelJaw:
    """The gripper in one world, at one grasp. Its arm is three stiff slides along the grasp's axes."""

    def __init__(
        self,
        world: World,
        gripper: GripperGeometry,
        settings: AttemptSettings,
        pose: FloatArray,
        opening: float,
        friction: float | tuple[float, float],
        on_step: Callable[[ParallelJaw], None] | None = None,
    ) -> None:
        """Puts the gripper at the pre-grasp place.

        Args:
            world: Where it acts.
            gripper: Its geometry.
            settings: Forces, speeds, ways.
            pose: (4, 4) T_world_grasp, metres.
            opening: Between the inner finger faces, metres.
            friction: Of the fingertips; one value, or (left, right).
            on_step: Called with the gripper after every time step.
        """
        self.world, self.settings, self._on_step = world, settings, on_step
        self.rotation = pose[:3, :3]
        client = world.client
        # Loaded at the pre-grasp place: loaded in the pile, it would wake what it overlaps there.
        start = pose.copy()
        start[:3, 3] -= settings.pre_grasp * pose[:3, 2]
        position, quaternion = matrix_to_pose(start)
        self.body = pybullet.loadURDF(
            str(_urdf_file(gripper, settings)),
            position,
            quaternion,
            useFixedBase=1,
            flags=pybullet.URDF_USE_INERTIA_FROM_FILE,
            physicsClientId=client,
        )
        left, right = friction if isinstance(friction, tuple) else (friction, friction)
        # No other argument beside these: with linearDamping, changeDynamics drops the friction of a link.
        for link, value in ((LEFT, left), (RIGHT, right), (PALM, min(left, right))):
            twist = 2 / 3 * settings.contact_radius * value if link != PALM else 0.0
            pybullet.changeDynamics(
                self.body, link, lateralFriction=value, spinningFriction=twist, physicsClientId=client
            )
        gear = pybullet.createConstraint(
            self.body,
            LEFT,
            self.body,
            RIGHT,
            pybullet.JOINT_GEAR,
            [1, 0, 0],
            [0, 0, 0],
            [0, 0, 0],
            physicsClientId=client,
        )
        pybullet.changeConstraint(
            gear, gearRatio=-1, maxForce=settings.coupling_force, erp=settings.coupling_share, physicsClientId=client
        )
        half = float(np.clip(opening, 0, gripper.max_opening)) / 2
        for joint in (LEFT, RIGHT):
            pybullet.resetJointState(self.body, joint, half, physicsClientId=client)
        self._slide_to = np.zeros(3)
        self._fingers(half)

    def _fingers(self, target: float | None) -> None:
        """Holds the fingers at ``target`` metres each, or closes them where it is None."""
        for joint in (LEFT, RIGHT):
            if target is None:
                pybullet.setJointMotorControl2(
                    self.body,
                    joint,
                    pybullet.VELOCITY_CONTROL,
                    targetVelocity=-self.settings.closing_speed,
                    force=self.settings.force,
                    physicsClientId=self.world.client,
                )
            else:
                pybullet.setJointMotorControl2(
                    self.body,
                    joint,
                    pybullet.POSITION_CONTROL,
                    targetPosition=target,
                    force=self.settings.force,
                    physicsClientId=self.world.client,
                )

    def move(self, shift: FloatArray, steps: int) -> None:
        """Moves by a world shift (3,) m along a straight line, starting and ending at rest."""
        start = self._slide_to.copy()
        end = start + self.rotation.T @ shift
        step = self.world.settings.time_step
        for i in range(1, steps + 1):
            phase = np.pi * i / steps
            target = start + (end - start) * (1 - np.cos(phase)) / 2
            speed = (end - start) * np.sin(phase) * np.pi / (2 * steps * step)
            pybullet.setJointMotorControlArray(
                self.body,
                _SLIDES,
                pybullet.POSITION_CONTROL,
                targetPositions=target.tolist(),
                targetVelocities=speed.tolist(),
                forces=[self.settings.arm_force] * 3,
                positionGains=[self.settings.slide_gain] * 3,
                velocityGains=[1.0] * 3,
                physicsClientId=self.world.client,
            )
            self._step()
        self._slide_to = end

    def close(self, steps: int) -> None:
        """Closes the fingers with their force for a number of time steps."""
        self._fingers(None)
        for _ in range(steps):
            self._step()

    def _step(self) -> None:
        self.world.step()
        if self._on_step is not None:
            self._on_step(self)

    def tip_error(self) -> float:
        """Returns how far the palm is from where it should be, metres."""
        states = pybullet.getJointStates(self.body, _SLIDES, physicsClientId=self.world.client)
        return float(np.linalg.norm(np.array([s[0] for s in states]) - self._slide_to))

    def position(self) -> FloatArray:
        """Returns the palm link's origin, (3,) m in the world."""
        return np.array(pybullet.getLinkState(self.body, PALM, physicsClientId=self.world.client)[4])

    def held(self) -> list[int]:
        """Returns the indices of the objects that both fingers touch."""
        touched = []
        for finger in (LEFT, RIGHT):
            points = pybullet.getContactPoints(bodyA=self.body, linkIndexA=finger, physicsClientId=self.world.client)
            # A contact within reach but without force is no touch.
            touched.append({p[2] for p in points if p[9] > 1e-6})
        return [i for i, body in enumerate(self.world.objects) if body in touched[0] & touched[1]]


def attempt(
    world: World,
    state: SceneState,
    grasp: GraspPoses,
    gripper: GripperGeometry,
    friction: float | tuple[float, float],
    settings: AttemptSettings | None = None,
    on_step: Callable[[ParallelJaw], None] | None = None,
) -> AttemptResult:
    """Executes one grasp in a scene rebuilt from its poses; the same inputs give the same bits.

    Pre-grasp back along the approach, down, close, lift, carry; palm and fingers collide all the
    way. Objects of a scene at rest stay where they lie until something touches them.

    Args:
        world: A world, emptied and rebuilt here.
        state: The scene.
        grasp: Exactly one grasp, world frame.
        gripper: The gripper's geometry.
        friction: Of both fingertips, or (left, right).
        settings: Forces, speeds, ways.
        on_step: Called with the gripper after every time step, to film it.

    Returns:
        What came of it.
    """
    if grasp.frame != "world" or len(grasp) != 1:
        raise ValueError(f"attempt() takes one grasp in the world frame, not {len(grasp)} in '{grasp.frame}'")
    s = settings or AttemptSettings()
    started = time.perf_counter()
    world.rebuild(list(state.models), list(state.poses))
    if state.at_rest:
        world.rest(list(state.poses))
    pose = make_pose(grasp.rotation[0], grasp.translation[0])
    jaw = ParallelJaw(world, gripper, s, pose, float(grasp.width[0]), friction, on_step)
    jaw.move(s.pre_grasp * pose[:3, 2], s.down_steps)
    blocked = jaw.tip_error() > s.blocked
    jaw.close(s.close_steps)
    gripped = jaw.held()
    relative = [p[:3, 3] - jaw.position() for p in world.poses()]
    in_hand = held = []
    if gripped:  # with nothing between the fingers there is nothing to lift
        jaw.move(np.array([0, 0, s.lift]), s.lift_steps)
        in_hand = jaw.held()
    if in_hand:  # and an empty hand need not be carried
        jaw.move(np.array([*s.carry, 0.0]), s.carry_steps)
        held = jaw.held()
    poses = np.array(world.poses()).reshape(-1, 4, 4)
    high = poses[:, 2, 3] > state.poses[:, 2, 3] + s.lift / 2 if len(poses) else np.zeros(0, bool)
    held = [i for i in held if high[i]]
    slip = float(np.linalg.norm(poses[held[0]][:3, 3] - jaw.position() - relative[held[0]])) if held else np.nan
    return AttemptResult(
        success=bool(held),
        reason="" if held else _reason(blocked, bool(gripped), bool(in_hand)),
        object_index=(held or gripped or [-1])[0],
        lifted=tuple(int(i) for i in np.nonzero(high)[0]),
        slip=slip,
        poses=poses,
        seconds=time.perf_counter() - started,
    )


def _reason(blocked: bool, gripped: bool, in_hand: bool) -> str:
    """Returns why an attempt failed."""
    if blocked:
        return "blocked"
    if not gripped:
        return "missed"
    return "dropped" if in_hand else "slipped"
