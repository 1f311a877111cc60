"""The simulated hand: a parallel-jaw gripper in PyBullet, built from its geometry.

A grasp that is wider than the hand opens opens it fully; one of negative width closes it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sim.benchmark.protocol import AttemptSettings
from sim.files import temporary_file
from sim.gripper import GripperGeometry
from sim.physics import World, matrix_to_pose, pybullet

FloatArray = NDArray[np.float64]

# Joint indices of the gripper's URDF; the links carry the same numbers.
_SLIDES = (0, 1, 2)
PALM, LEFT, RIGHT = 2, 3, 4

_SQUEEZE_STEPS = 36  # time steps in which closed fingers build up their force


def link_part(name: str, mass: float, boxes: str = "") -> str:
    """Returns the URDF of a link of a mass (kg) with its collision shapes."""
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


def slide_joints(links: tuple[str, str, str, str], *, force: float) -> list[str]:
    """Returns the URDF joints of three slides along x, y and z, from the first of the links to the last."""
    axes = ("1 0 0", "0 1 0", "0 0 1")
    pairs = zip("xyz", links[:-1], links[1:], axes, strict=True)
    return [_slide(name, (parent, child), axis, span=(-5, 5), force=force) for name, parent, child, axis in pairs]


def hand_parts(gripper: GripperGeometry, settings: AttemptSettings) -> list[str]:
    """Returns the URDF links and joints of a palm, whose frame is the grasp frame, and its two fingers."""
    g = gripper
    palm_size = (g.palm_width, g.palm_thickness, settings.palm_height)
    palm = _box(palm_size, (0, 0, -g.finger_length - settings.palm_height / 2))
    finger = (g.finger_thickness, g.finger_width, g.finger_length)
    half, force = g.max_opening / 2, closing_force(gripper, settings)
    return [
        link_part("palm", settings.palm_mass, palm),
        link_part("left", settings.finger_mass, _box(finger, (-g.finger_thickness / 2, 0, -g.finger_length / 2))),
        link_part("right", settings.finger_mass, _box(finger, (g.finger_thickness / 2, 0, -g.finger_length / 2))),
        _slide("left", ("palm", "left"), "-1 0 0", span=(0, half), force=force),
        _slide("right", ("palm", "right"), "1 0 0", span=(0, half), force=force),
    ]


def gripper_urdf(gripper: GripperGeometry, settings: AttemptSettings) -> str:
    """Returns the gripper's URDF: three slides along the grasp's axes, a palm, two fingers.

    The root frame is the grasp frame: origin between the tips, x closing, z approach. A finger's
    joint is 0 when closed and half the opening when open.
    """
    parts = [
        link_part("base", settings.slide_mass),
        link_part("slide_x", settings.slide_mass),
        link_part("slide_y", settings.slide_mass),
        *slide_joints(("base", "slide_x", "slide_y", "palm"), force=settings.arm_force),
        *hand_parts(gripper, settings),
    ]
    return f'<robot name="parallel_jaw">{"".join(parts)}</robot>'


class JawFingers:
    """The fingers of a hand in one world: how they touch, close and hold, whatever moves the palm."""

    def __init__(
        self,
        world: World,
        body: int,
        links: tuple[int, int, int],
        *,
        gripper: GripperGeometry,
        settings: AttemptSettings,
        friction: float | tuple[float, float],
        opening: float,
    ) -> None:
        """Sets the fingers up on a body with the parts of ``hand_parts``.

        Args:
            world: The world in which they act.
            body: PyBullet's number of the body.
            links: PyBullet's numbers of palm, left and right finger.
            gripper: Geometry of the gripper.
            settings: Forces and speeds.
            friction: Friction of the fingertips; one value, or (left, right).
            opening: Opening between the inner finger faces, metres.
        """
        self.world, self.body, self.links, self.settings = world, body, links, settings
        self._force = closing_force(gripper, settings)
        self._set_friction(*(friction if isinstance(friction, tuple) else (friction, friction)))
        self._couple_fingers()
        half = float(np.clip(opening, 0, gripper.max_opening)) / 2
        for joint in links[1:]:
            pybullet.resetJointState(body, joint, half, physicsClientId=world.client)
        self.half = half

    def _set_friction(self, left: float, right: float) -> None:
        """Gives the fingertips their friction, the palm the lesser of the two."""
        # No other argument beside these: with linearDamping, changeDynamics drops the friction of a link.
        palm, *tips = self.links
        for link, value in ((tips[0], left), (tips[1], right), (palm, min(left, right))):
            twist = 2 / 3 * self.settings.contact_radius * value if link != palm else 0.0
            pybullet.changeDynamics(
                self.body, link, lateralFriction=value, spinningFriction=twist, physicsClientId=self.world.client
            )

    def _couple_fingers(self) -> None:
        """Holds both fingers at the same distance from the middle, as a real gripper's gear does."""
        client = self.world.client
        bodies = (self.body, self.links[1], self.body, self.links[2])
        joint = (pybullet.JOINT_GEAR, [1, 0, 0], [0, 0, 0], [0, 0, 0])
        gear = pybullet.createConstraint(*bodies, *joint, physicsClientId=client)
        share, force = self.settings.coupling_share, self.settings.coupling_force
        pybullet.changeConstraint(gear, gearRatio=-1, maxForce=force, erp=share, physicsClientId=client)

    def hold(self, target: float | None, *, force: float | None = None) -> None:
        """Holds the fingers at ``target`` metres each, or closes them where it is None.

        Args:
            target: Distance of each finger from the middle, metres.
            force: Force of each finger, newtons; None for the settings' or the gripper's own.
        """
        mode, aim = pybullet.POSITION_CONTROL, {"targetPosition": target}
        if target is None:
            mode, aim = pybullet.VELOCITY_CONTROL, {"targetVelocity": -self.settings.closing_speed}
        strength = self._force if force is None else force
        for joint in self.links[1:]:
            pybullet.setJointMotorControl2(
                self.body, joint, mode, **aim, force=strength, physicsClientId=self.world.client
            )

    def reach(self) -> float:
        """Returns the left finger's distance from the middle, metres."""
        state = pybullet.getJointState(self.body, self.links[1], physicsClientId=self.world.client)
        return float(state[0])

    def closing_steps(self) -> int:
        """Returns the time steps of a closing: the settings' number, or more where the fingers stand farther apart."""
        way = round(self.reach() / self.settings.closing_speed / self.world.settings.time_step)
        return max(self.settings.close_steps, way + _SQUEEZE_STEPS)

    def held(self) -> list[int]:
        """Returns the indices of the objects that both fingers touch."""
        touched = []
        for finger in self.links[1:]:
            points = pybullet.getContactPoints(bodyA=self.body, linkIndexA=finger, physicsClientId=self.world.client)
            # A contact within reach but without force is no touch.
            touched.append({p[2] for p in points if p[9] > 1e-6})
        return [i for i, body in enumerate(self.world.objects) if body in touched[0] & touched[1]]


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
        self.rotation = pose[:3, :3]
        # Loaded at the pre-grasp place: loaded in the pile, it would wake what it overlaps there.
        start = pose.copy()
        start[:3, 3] -= settings.pre_grasp * pose[:3, 2]
        position, quaternion = matrix_to_pose(start)
        self.body: int = pybullet.loadURDF(
            str(temporary_file(gripper_urdf(gripper, settings), "parallel_jaw.urdf")),
            position,
            quaternion,
            useFixedBase=1,
            flags=pybullet.URDF_USE_INERTIA_FROM_FILE,
            physicsClientId=world.client,
        )
        self.fingers = JawFingers(
            world,
            self.body,
            (PALM, LEFT, RIGHT),
            gripper=gripper,
            settings=settings,
            friction=friction,
            opening=opening,
        )
        self._slide_to = np.zeros(3)
        self.fingers.hold(self.fingers.half)

    def move(self, shift: FloatArray, steps: int) -> None:
        """Moves by a world shift (3,) m along a straight line, starting and ending at rest."""
        start = self._slide_to.copy()
        end = start + self.rotation.T @ shift
        step = self.world.settings.time_step
        phases = (np.pi * np.arange(1, steps + 1) / steps)[:, None]
        targets = start + (end - start) * (1 - np.cos(phases)) / 2
        speeds = (end - start) * np.sin(phases) * np.pi / (2 * steps * step)
        for target, speed in zip(targets.tolist(), speeds.tolist(), strict=True):
            pybullet.setJointMotorControlArray(
                self.body,
                _SLIDES,
                pybullet.POSITION_CONTROL,
                targetPositions=target,
                targetVelocities=speed,
                forces=[self.settings.arm_force] * 3,
                positionGains=[self.settings.slide_gain] * 3,
                velocityGains=[1.0] * 3,
                physicsClientId=self.world.client,
            )
            self._step()
        self._slide_to = end

    def close(self, steps: int) -> None:
        """Closes the fingers with their force for a number of time steps."""
        self.fingers.hold(None)
        for _ in range(steps):
            self._step()

    def closing_steps(self) -> int:
        """Returns the time steps of a closing; see ``JawFingers``."""
        return self.fingers.closing_steps()

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
        return self.fingers.held()
