"""One scene with the hand in MuJoCo, and the benchmark's attempt in it."""

from __future__ import annotations

import importlib
import time
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sim.benchmark.attempt_outcome import AttemptResult, Touched, attempt_result
from sim.benchmark.parallel_jaw import closing_force
from sim.benchmark.protocol import AttemptSettings
from sim.errors import InputError
from sim.geometry import make_pose
from sim.grasp import GraspPoses
from sim.gripper import GripperGeometry
from sim.judge.convex_bodies import Inertia, convex_parts, inertias
from sim.physics import PhysicsSettings, World
from sim.scene import SceneState, object_places

FloatArray = NDArray[np.float64]

_SUBSTEPS = 4  # steps of MuJoCo in one of Bullet: its stiff motors and contacts need them
_REST = 24  # time steps in which the pile finds its rest in the other engine before the hand moves
_SQUEEZE = 36  # time steps in which closed fingers build up their force, as in Bullet
_CONTACT = (0.005, 1.0)  # seconds and damping ratio of contacts: stiff
_IMPEDANCE = 10.0  # ratio of the friction's stiffness to the normal's: less creep
_STIFFNESS, _DAMPING = 40_000.0, 400.0  # N/m and N s/m of the arm's slides: 100 N hold up 2.5 mm
_FINGER_STIFFNESS = 4_000.0  # N/m of the opened fingers
_TRAY, _HAND = 1, 2  # priorities: the friction of a contact is that of the higher one
SLIDES, FINGERS = ("x", "y", "z"), ("left", "right")


def load_mujoco() -> ModuleType:
    """Returns the module ``mujoco``; raises InputError where it is not installed."""
    try:
        return importlib.import_module("mujoco")
    except ImportError as error:
        raise InputError("physics=mujoco needs MuJoCo; run: pip install 'plgp[mujoco]'") from error


class MujocoWorld:
    """A scene and a hand in MuJoCo: the same convex parts, masses, forces, ways and times as in Bullet.

    Fingertips touch with ``condim`` 4: friction along both tangents, and against twisting as Bullet's
    ``contact_radius`` gives it.
    """

    def __init__(
        self,
        state: SceneState,
        gripper: GripperGeometry,
        physics: PhysicsSettings,
        *,
        settings: AttemptSettings | None = None,
    ) -> None:
        """Builds the world.

        Args:
            state: The scene.
            gripper: Geometry of the gripper.
            physics: Physics of the scene in Bullet; its gravity and time step count, its solver's settings do not.
            settings: Forces, speeds and distances.

        Raises:
            InputError: MuJoCo is not installed, or it refuses a body.
        """
        self._mj = load_mujoco()
        self.state, self.gripper, self.physics = state, gripper, physics
        self.settings = settings or AttemptSettings()
        world = World(physics, state.tray)
        try:
            world.rebuild(list(state.models), list(state.poses))
            weights = inertias(world)
        finally:
            world.close()
        try:
            self.model = self._specify(weights).compile()
        except ValueError as error:
            raise InputError(f"MuJoCo refuses the scene ({' '.join(str(error).split())}); mend its objects") from error
        self.data = self._mj.MjData(self.model)
        ids = {name: self.model.joint(name) for name in (*SLIDES, *FINGERS)}
        self._place = np.array([int(ids[name].qposadr[0]) for name in (*SLIDES, *FINGERS)])
        self._speed = np.array([int(ids[name].dofadr[0]) for name in (*SLIDES, *FINGERS)])
        self._bodies = [int(self.model.body(f"object{i}").id) for i in range(len(state.models))]
        self._palm = int(self.model.body("palm").id)
        self._fingers = [int(self.model.geom(name).id) for name in FINGERS]
        self._pads = [*self._fingers, int(self.model.geom("palm").id)]
        self._rotation, self._slide_to = np.eye(3), np.zeros(3)
        self._hold: float | None = 0.0

    def _specify(self, weights: Sequence[Inertia]) -> Any:
        """Returns the world's specification: tray, objects, hand."""
        mj = self._mj
        spec = mj.MjSpec()
        spec.option.timestep = self.physics.time_step / _SUBSTEPS
        spec.option.gravity = (0, 0, -self.physics.gravity)
        spec.option.integrator = mj.mjtIntegrator.mjINT_IMPLICITFAST
        spec.option.cone, spec.option.impratio = mj.mjtCone.mjCONE_ELLIPTIC, _IMPEDANCE
        spec.compiler.balanceinertia = True
        tray = self.state.tray
        # As in Bullet, two bodies' frictions are multiplied; here the one of higher priority counts, or the greater.
        floor = [tray.friction * self.physics.object_friction, 0, 0]
        touch = {"friction": floor, "priority": _TRAY, "contype": 0, "conaffinity": 3}
        plane = {"type": mj.mjtGeom.mjGEOM_PLANE, "size": [4, 4, 0.1], "pos": [0, 0, -tray.thickness]}
        spec.worldbody.add_geom(**plane, **touch, solref=_CONTACT)
        for size, pose in tray.boxes():
            box = {"type": mj.mjtGeom.mjGEOM_BOX, "size": size / 2, "pos": pose[:3, 3], "quat": _quaternion(pose)}
            spec.worldbody.add_geom(**box, **touch, solref=_CONTACT)
        for i, weight in enumerate(weights):
            self._add_object(spec, i, weight)
        self._add_hand(spec)
        return spec

    def _add_object(self, spec: Any, index: int, weight: Inertia) -> None:
        """Puts an object in, as convex meshes in the frame of its link."""
        body = spec.worldbody.add_body(name=f"object{index}")
        body.add_freejoint()
        body.mass, body.inertia, body.explicitinertial = weight.mass, weight.diagonal, True
        body.ipos, body.iquat = weight.frame[:3, 3], _quaternion(weight.frame)
        for number, corners in enumerate(convex_parts(self.state.models[index])):
            name = f"object{index}-{number}"
            # A shell's inertia is taken because thin parts have no volume to speak of; the body's own is given above.
            shell = self._mj.mjtMeshInertia.mjMESH_INERTIA_SHELL
            spec.add_mesh(name=name, uservert=corners.ravel().tolist(), inertia=shell)
            touch = {"friction": [self.physics.object_friction**2, 0, 0], "contype": 1, "conaffinity": 3}
            body.add_geom(type=self._mj.mjtGeom.mjGEOM_MESH, meshname=name, solref=_CONTACT, **touch)

    def _add_hand(self, spec: Any) -> None:
        """Puts the hand in: a palm on three slides, two fingers that are coupled; gravity does not pull at it."""
        mj, g, s = self._mj, self.gripper, self.settings
        touch = {"priority": _HAND, "contype": 2, "conaffinity": 0, "condim": 4, "solref": _CONTACT}
        box = mj.mjtGeom.mjGEOM_BOX
        palm = spec.worldbody.add_body(name="base").add_body(name="palm", gravcomp=1)
        for name, axis in zip(SLIDES, np.eye(3).tolist(), strict=True):
            palm.add_joint(name=name, type=mj.mjtJoint.mjJNT_SLIDE, axis=axis)
        size = [g.palm_width / 2, g.palm_thickness / 2, s.palm_height / 2]
        centre = [0, 0, -g.finger_length - s.palm_height / 2]
        palm.add_geom(name="palm", type=box, size=size, pos=centre, mass=s.palm_mass + 2 * s.slide_mass, **touch)
        for name, side in zip(FINGERS, (-1, 1), strict=True):
            finger = palm.add_body(name=name, gravcomp=1)
            span = {"limited": mj.mjtLimited.mjLIMITED_TRUE, "range": [0, g.max_opening / 2]}
            # A finger that closes with its force against this damping has the closing speed.
            damping = closing_force(g, s) / s.closing_speed
            joint = finger.add_joint(name=name, type=mj.mjtJoint.mjJNT_SLIDE, axis=[side, 0, 0], **span)
            joint.damping[0] = damping
            size = [g.finger_thickness / 2, g.finger_width / 2, g.finger_length / 2]
            centre = [side * g.finger_thickness / 2, 0, -g.finger_length / 2]
            finger.add_geom(name=name, type=box, size=size, pos=centre, mass=s.finger_mass, **touch)
        coupling = {"name1": "left", "name2": "right", "objtype": mj.mjtObj.mjOBJ_JOINT}
        spec.add_equality(type=mj.mjtEq.mjEQ_JOINT, solref=_CONTACT, **coupling).data[:5] = [0, 1, 0, 0, 0]
        for name in (*SLIDES, *FINGERS):
            spec.add_actuator(name=name, target=name, trntype=mj.mjtTrn.mjTRN_JOINT)

    def attempt(self, grasp: GraspPoses, friction: float) -> AttemptResult:
        """Executes one grasp by the benchmark's protocol (``sim.benchmark.attempt``).

        Args:
            grasp: Exactly one grasp, world frame.
            friction: Friction of both fingertips.
        """
        if grasp.frame != "world" or len(grasp) != 1:
            raise ValueError(f"attempt() takes one grasp in the world frame, not {len(grasp)} in '{grasp.frame}'")
        started, s = time.perf_counter(), self.settings
        self._reset(make_pose(grasp.rotation[0], grasp.translation[0]), float(grasp.width[0]), friction)
        touched, in_hand = self._grasp_and_carry(grasp.rotation[0][:, 2])
        poses = self.poses()
        return attempt_result(
            touched,
            object_places(self.state.models, self.state.poses),
            object_places(self.state.models, poses),
            beside_hand=in_hand,
            hand=self._palm_place(),
            poses=poses,
            lift=s.lift,
            seconds=time.perf_counter() - started,
        )

    def poses(self) -> FloatArray:
        """Returns (N, 4, 4) T_world_link of all objects, metres."""
        found = [make_pose(self.data.xmat[b].reshape(3, 3), self.data.xpos[b]) for b in self._bodies]
        return np.array(found).reshape(-1, 4, 4)

    def _palm_place(self) -> FloatArray:
        place: FloatArray = np.array(self.data.xpos[self._palm], np.float64)
        return place

    def _reset(self, pose: FloatArray, opening: float, friction: float) -> None:
        """Puts all objects where they lay and the opened hand at the pre-grasp place, and lets the pile rest."""
        self._mj.mj_resetData(self.model, self.data)
        slide = friction * self.physics.object_friction
        twist = 2 / 3 * self.settings.contact_radius * slide
        self.model.geom_friction[self._pads] = [[slide, twist, 0]] * 2 + [[slide, 0, 0]]
        base = self.model.body("base").id
        self._rotation, self._slide_to = pose[:3, :3], np.zeros(3)
        self.model.body_pos[base] = pose[:3, 3] - self.settings.pre_grasp * pose[:3, 2]
        self.model.body_quat[base] = _quaternion(pose)
        for body, at in zip(self._bodies, self.state.poses, strict=True):
            start = int(self.model.body_jntadr[body])
            address = int(self.model.jnt_qposadr[start])
            self.data.qpos[address : address + 7] = [*at[:3, 3], *_quaternion(at)]
        self._hold = float(np.clip(opening, 0, self.gripper.max_opening)) / 2
        self.data.qpos[self._place[3:]] = self._hold
        self._mj.mj_forward(self.model, self.data)
        for _ in range(_REST):
            self._step(np.zeros(3), np.zeros(3))

    def _grasp_and_carry(self, approach: FloatArray) -> tuple[Touched, FloatArray]:
        """Moves the hand through one attempt; returns what it met, and where each object was when it closed."""
        s = self.settings
        self._move(s.pre_grasp * approach, s.down_steps)
        blocked = float(np.linalg.norm(self.data.qpos[self._place[:3]] - self._slide_to)) > s.blocked
        reach = float(self.data.qpos[self._place[3]])
        self._hold = None
        for _ in range(max(s.close_steps, round(reach / s.closing_speed / self.physics.time_step) + _SQUEEZE)):
            self._step(self._slide_to, np.zeros(3))
        gripped, lifted, held = self._held(), [], []
        beside = object_places(self.state.models, self.poses()) - self._palm_place()
        if gripped:
            self._move(np.array([0, 0, s.lift]), s.lift_steps)
            lifted = self._held()
        if lifted:
            self._move(np.array([*s.carry, 0.0]), s.carry_steps)
            held = self._held()
        return Touched(blocked, gripped, lifted, held), beside

    def _move(self, shift: FloatArray, steps: int) -> None:
        """Moves by a world shift (3,) m along a straight line, starting and ending at rest."""
        start, end = self._slide_to, self._slide_to + self._rotation.T @ shift
        for i in range(1, steps + 1):
            phase = np.pi * i / steps
            speed = (end - start) * np.sin(phase) * np.pi / (2 * steps * self.physics.time_step)
            self._step(start + (end - start) * (1 - np.cos(phase)) / 2, speed)
        self._slide_to = end

    def _step(self, target: FloatArray, speed: FloatArray) -> None:
        """Advances by one of Bullet's time steps, the slides pulled towards ``target`` (3,) m at ``speed`` (3,) m/s."""
        s, data = self.settings, self.data
        force = closing_force(self.gripper, s)
        for _ in range(_SUBSTEPS):
            place, moving = data.qpos[self._place], data.qvel[self._speed]
            arm = _STIFFNESS * (target - place[:3]) + _DAMPING * (speed - moving[:3])
            fingers = np.full(2, -force) if self._hold is None else _FINGER_STIFFNESS * (self._hold - place[3:])
            data.ctrl[:3] = np.clip(arm, -s.arm_force, s.arm_force)
            data.ctrl[3:] = np.clip(fingers, -force, force)
            self._mj.mj_step(self.model, data)

    def _held(self) -> list[int]:
        """Returns the indices of the objects that both fingers press on."""
        touched: list[set[int]] = [set(), set()]
        force = np.zeros(6)
        for number, contact in enumerate(self.data.contact):
            pair = int(contact.geom1), int(contact.geom2)
            for side, finger in enumerate(self._fingers):
                if finger in pair:
                    self._mj.mj_contactForce(self.model, self.data, number, force)
                    other = pair[1] if pair[0] == finger else pair[0]
                    touched[side] |= {int(self.model.geom_bodyid[other])} if force[0] > 1e-6 else set()
        return [i for i, body in enumerate(self._bodies) if body in touched[0] & touched[1]]


def _quaternion(pose: FloatArray) -> list[float]:
    """Returns MuJoCo's quaternion wxyz of a pose (4, 4)."""
    x, y, z, w = Rotation.from_matrix(pose[:3, :3]).as_quat().tolist()
    return [w, x, y, z]
