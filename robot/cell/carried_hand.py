"""The benchmark's palm and fingers on an arm's flange: the same contacts, on a wrist that goes where the arm goes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sim.benchmark.parallel_jaw import JawFingers, hand_parts, link_part, slide_joints
from sim.benchmark.protocol import AttemptSettings
from sim.files import temporary_file
from sim.geometry import make_pose
from sim.gripper import GripperGeometry
from sim.physics import World, matrix_to_pose, pybullet

FloatArray = NDArray[np.float64]

_DOWN = np.diag([1.0, -1.0, -1.0])  # the wrist's axes: turns stay small while the hand points down
_TORQUE = 30.0  # newton metres with which the arm holds the hand's turn
_FILTER = 0.02  # seconds: time constant of the measured force
_PALM, _LEFT, _RIGHT = 5, 6, 7  # links, by the order of the joints in the URDF
_JOINTS = [0, 1, 2, 3, 4, 5]


def carried_urdf(gripper: GripperGeometry, settings: AttemptSettings) -> str:
    """Returns the hand's URDF: three slides and three turns (z, y, x) from the base to the palm, two fingers."""
    names = ("base", "slide_x", "slide_y", "slide_z", "turn_z", "turn_y")
    turns = (("slide_z", "turn_z", "0 0 1"), ("turn_z", "turn_y", "0 1 0"), ("turn_y", "palm", "1 0 0"))
    joints = [
        f'<joint name="about {child}" type="continuous"><parent link="{parent}"/><child link="{child}"/>'
        f'<axis xyz="{axis}"/><limit effort="{_TORQUE}" velocity="10"/></joint>'
        for parent, child, axis in turns
    ]
    parts = [link_part(name, settings.slide_mass) for name in names]
    parts += [*slide_joints(names[:4], force=settings.arm_force), *joints, *hand_parts(gripper, settings)]
    return f'<robot name="carried_hand">{"".join(parts)}</robot>'


class CarriedHand:
    """Palm and fingers in one world; the palm follows poses, yielding to 100 N as the benchmark's does.

    Attributes:
        body: PyBullet's number of the body.
        fingers: The fingers.
        force: (3,) force on the hand, world frame, newtons, low-passed; the hand's weight is part of it.
    """

    def __init__(
        self,
        world: World,
        gripper: GripperGeometry,
        settings: AttemptSettings,
        *,
        pose: FloatArray,
        opening: float,
        friction: float,
    ) -> None:
        """Puts the hand in.

        Args:
            world: The world.
            gripper: Geometry of the gripper.
            settings: Forces and speeds.
            pose: (4, 4) T_world_grasp, metres.
            opening: Opening between the inner finger faces, metres.
            friction: Friction of the fingertips.
        """
        self.world, self.settings = world, settings
        position, quaternion = matrix_to_pose(make_pose(_DOWN, np.zeros(3)))
        self.body: int = pybullet.loadURDF(
            str(temporary_file(carried_urdf(gripper, settings), "hand.urdf")),
            position,
            quaternion,
            useFixedBase=1,
            flags=pybullet.URDF_USE_INERTIA_FROM_FILE,
            physicsClientId=world.client,
        )
        self._forces = [settings.arm_force] * 3 + [_TORQUE] * 3
        self._target = self._wrist(pose, np.zeros(3))
        for joint, value in zip(_JOINTS, self._target.tolist(), strict=True):
            pybullet.resetJointState(self.body, joint, value, physicsClientId=world.client)
        self.fingers = JawFingers(
            world,
            self.body,
            (_PALM, _LEFT, _RIGHT),
            gripper=gripper,
            settings=settings,
            friction=friction,
            opening=opening,
        )
        self.fingers.hold(self.fingers.half)
        self.force = np.zeros(3)
        self.follow(pose)

    @staticmethod
    def _wrist(pose: FloatArray, near: FloatArray) -> FloatArray:
        """Returns (6,) slides (m) and turns (radians, nearest to ``near``) of T_world_grasp."""
        turns = Rotation.from_matrix(_DOWN.T @ pose[:3, :3]).as_euler("ZYX")
        turns += 2 * np.pi * np.round((near - turns) / (2 * np.pi))
        return np.concatenate([_DOWN.T @ pose[:3, 3], turns])

    def follow(self, pose: FloatArray) -> None:
        """Aims the palm at a pose (4, 4) T_world_grasp, metres, for the next time step."""
        step = self.world.settings.time_step
        target = self._wrist(pose, self._target[3:])
        speed = (target - self._target) / step
        self._target = target
        pybullet.setJointMotorControlArray(
            self.body,
            _JOINTS,
            pybullet.POSITION_CONTROL,
            targetPositions=target.tolist(),
            targetVelocities=speed.tolist(),
            forces=self._forces,
            positionGains=[self.settings.slide_gain] * 6,
            velocityGains=[1.0] * 6,
            physicsClientId=self.world.client,
        )

    def measure(self) -> None:
        """Reads the force on the hand after a time step into ``force``."""
        states = pybullet.getJointStates(self.body, _JOINTS[:3], physicsClientId=self.world.client)
        push = _DOWN @ np.array([s[3] for s in states])
        step = self.world.settings.time_step
        self.force = self.force + (-push - self.force) * (step / (_FILTER + step))

    def pose(self) -> FloatArray:
        """Returns T_world_grasp as it is, (4, 4) float64, metres."""
        states = pybullet.getJointStates(self.body, _JOINTS, physicsClientId=self.world.client)
        values = np.array([s[0] for s in states])
        turn = Rotation.from_euler("ZYX", values[3:]).as_matrix()
        return make_pose(_DOWN @ turn, _DOWN @ values[:3])
