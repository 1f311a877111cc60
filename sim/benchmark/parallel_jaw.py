"""The simulated hand: a parallel-jaw gripper in PyBullet, built from its geometry."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sim.benchmark.protocol import AttemptSettings
from sim.gripper import GripperGeometry
from sim.physics import World, matrix_to_pose, pybullet

FloatArray = NDArray[np.float64]

# Joint indices of the gripper's URDF; the links carry the same numbers.
_SLIDES = (0, 1, 2)
PALM, LEFT, RIGHT = 2, 3, 4

_SQUEEZE_STEPS = 36  # time steps in which closed fingers build up their force


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


def _slide(name: str, links: tuple[str, str], axis: str, *, span: tuple[float, float], force: float) -> str:
    (parent, child), (low, high) = links, span
    return (
        f'<joint name="{name}" type="prismatic"><parent link="{parent}"/><child link="{child}"/><axis xyz="{axis}"/>'
        f'<limit lower="{low}" upper="{high}" effort="{force}" velocity="10"/></joint>'
    )


def closing_force(gripper: GripperGeometry, settings: AttemptSettings) -> float:
    """Returns the force of each closing finger, newtons: the settings', or else the gripper's own."""
    return gripper.force if settings.force is None else settings.force


def gripper_urdf(gripper: GripperGeometry, settings: AttemptSettings) -> str:
    """Returns the gripper's URDF: three slides along the grasp's axes, a palm, two fingers.

    The root frame is the grasp frame: origin between the tips, x closing, z approach. A finger's
    joint is 0 when closed and half the opening when open.
    """
    g = gripper
    palm_size = (g.palm_width, g.palm_thickness, settings.palm_height)
    palm = _box(palm_size, (0, 0, -g.finger_length - settings.palm_height / 2))
    finger = (g.finger_thickness, g.finger_width, g.finger_length)
    half = g.max_opening / 2
    force = closing_force(gripper, settings)
    parts = [
        _link("base", settings.slide_mass),
        _link("slide_x", settings.slide_mass),
        _link("slide_y", settings.slide_mass),
        _link("palm", settings.palm_mass, palm),
        _link("left", settings.finger_mass, _box(finger, (-g.finger_thickness / 2, 0, -g.finger_length / 2))),
        _link("right", settings.finger_mass, _box(finger, (g.finger_thickness / 2, 0, -g.finger_length / 2))),
        _slide("x", ("base", "slide_x"), "1 0 0", span=(-5, 5), force=settings.arm_force),
        _slide("y", ("slide_x", "slide_y"), "0 1 0", span=(-5, 5), force=settings.arm_force),
        _slide("z", ("slide_y", "palm"), "0 0 1", span=(-5, 5), force=settings.arm_force),
        _slide("left", ("palm", "left"), "-1 0 0", span=(0, half), force=force),
        _slide("right", ("palm", "right"), "1 0 0", span=(0, half), force=force),
    ]
    return f'<robot name="parallel_jaw">{"".join(parts)}</robot>'


@lru_cache(maxsize=8)
def _urdf_file(urdf: str) -> Path:
    """Returns the file that holds a hand's URDF."""
    folder = Path(tempfile.mkdtemp(prefix="plgp-gripper-"))
    path = folder / "parallel_jaw.urdf"
    path.write_text(urdf)
    return path


class ParallelJaw:
    """The gripper in one world, at one grasp.

    Its arm is three stiff slides along the grasp's axes.
    """

    def __init__(
        self,
        world: World,
        gripper: GripperGeometry,
        settings: AttemptSettings,
        *,
        pose: FloatArray,
        opening: float,
        friction: float | tuple[float, float],
        on_step: Callable[[ParallelJaw], None] | None = None,
    ) -> None:
        """Puts the gripper at the pre-grasp place.

        Args:
            world: The world in which it acts.
            gripper: Geometry of the gripper.
            settings: Forces, speeds and distances.
            pose: (4, 4) T_world_grasp, metres.
            opening: Opening between the inner finger faces, metres.
            friction: Friction of the fingertips; one value, or (left, right).
            on_step: Function that is called with the gripper after every time step.
        """
        self.world, self.settings, self._on_step = world, settings, on_step
        self._force = closing_force(gripper, settings)
        self.rotation = pose[:3, :3]
        # Loaded at the pre-grasp place: loaded in the pile, it would wake what it overlaps there.
        start = pose.copy()
        start[:3, 3] -= settings.pre_grasp * pose[:3, 2]
        position, quaternion = matrix_to_pose(start)
        self.body: int = pybullet.loadURDF(
            str(_urdf_file(gripper_urdf(gripper, settings))),
            position,
            quaternion,
            useFixedBase=1,
            flags=pybullet.URDF_USE_INERTIA_FROM_FILE,
            physicsClientId=world.client,
        )
        self._set_friction(*(friction if isinstance(friction, tuple) else (friction, friction)))
        self._couple_fingers()
        half = float(np.clip(opening, 0, gripper.max_opening)) / 2
        for joint in (LEFT, RIGHT):
            pybullet.resetJointState(self.body, joint, half, physicsClientId=world.client)
        self._slide_to = np.zeros(3)
        self._fingers(half)

    def _set_friction(self, left: float, right: float) -> None:
        """Gives the fingertips their friction, the palm the lesser of the two."""
        # No other argument beside these: with linearDamping, changeDynamics drops the friction of a link.
        for link, value in ((LEFT, left), (RIGHT, right), (PALM, min(left, right))):
            twist = 2 / 3 * self.settings.contact_radius * value if link != PALM else 0.0
            pybullet.changeDynamics(
                self.body, link, lateralFriction=value, spinningFriction=twist, physicsClientId=self.world.client
            )

    def _couple_fingers(self) -> None:
        """Holds both fingers at the same distance from the middle, as a real gripper's gear does."""
        client = self.world.client
        bodies = (self.body, LEFT, self.body, RIGHT)
        joint = (pybullet.JOINT_GEAR, [1, 0, 0], [0, 0, 0], [0, 0, 0])
        gear = pybullet.createConstraint(*bodies, *joint, physicsClientId=client)
        share, force = self.settings.coupling_share, self.settings.coupling_force
        pybullet.changeConstraint(gear, gearRatio=-1, maxForce=force, erp=share, physicsClientId=client)

    def _fingers(self, target: float | None) -> None:
        """Holds the fingers at ``target`` metres each, or closes them where it is None."""
        mode, aim = pybullet.POSITION_CONTROL, {"targetPosition": target}
        if target is None:
            mode, aim = pybullet.VELOCITY_CONTROL, {"targetVelocity": -self.settings.closing_speed}
        for joint in (LEFT, RIGHT):
            pybullet.setJointMotorControl2(
                self.body, joint, mode, **aim, force=self._force, physicsClientId=self.world.client
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

    def closing_steps(self) -> int:
        """Returns the time steps of a closing: the settings' number, or more where the fingers stand farther apart."""
        reach: float = pybullet.getJointState(self.body, LEFT, physicsClientId=self.world.client)[0]
        way = round(reach / self.settings.closing_speed / self.world.settings.time_step)
        return max(self.settings.close_steps, way + _SQUEEZE_STEPS)

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
