"""PyBullet worlds with every parameter set, so that the same inputs give the same bits."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from sim.errors import COUNT, NOT_NEGATIVE, POSITIVE, InputError, check_numbers
from sim.geometry import make_pose
from sim.objects import ObjectModel

_SILENCE = threading.RLock()  # two threads that swap the descriptors at once lose them for good


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silences what PyBullet's C code prints while it is imported and reads files.

    Standard output and error belong to the whole process. Beside other threads of a user's process they stay as they
    are: what those threads print meanwhile would be lost.
    """
    if threading.current_thread() is not threading.main_thread() and multiprocessing.parent_process() is None:
        yield
        return
    with _SILENCE:
        yield from _silence()


def _silence() -> Iterator[None]:
    """Turns the process's standard output and error away for one step of the generator."""
    saved = os.dup(1), os.dup(2)
    try:
        with open(os.devnull, "w") as sink:
            os.dup2(sink.fileno(), 1)
            os.dup2(sink.fileno(), 2)
            yield
    finally:
        for number, copy in zip((1, 2), saved, strict=True):
            os.dup2(copy, number)
            os.close(copy)


with quiet():
    import pybullet as pybullet

FloatArray = NDArray[np.float64]
_ROOM = 0.07  # metres beside the walls' upper edges that views show: half an opened hand

_GROUND = 4.0  # metres: side of the ground on which the tray stands


@dataclass(frozen=True, kw_only=True)
class PhysicsSettings:
    """Physical constants of every world.

    Attributes:
        time_step: Length of a step, seconds; 1/240 held every reference grasp, 1/120 lost some.
        solver_iterations: Largest number of iterations a step; 150 keep the slip of held boxes under 2 mm, 50 let
            them slip 10 mm.
        solver_residual: Residual below which the solver stops early. No held URDF box of 120, 100 g each, slips more
            than 1.3 mm; with 3e-4, 1.1 times as fast, two slip 2.6 mm (tests/benchmarks/test_solver_settings.py).
            Light boxes that are meshes are lost; 1e-8 holds them, 0.7 times as fast (docs/concepts/physics.md).
        gravity: Acceleration downwards, m/s^2.
        collision_margin: Thickness that Bullet adds around convex parts, metres; its own 1 mm makes objects thicker.
        object_friction: lateralFriction of objects. Bullet multiplies the two bodies' values, so with 1 the fingers'
            and the tray's values are the contacts'.
        wake_speed: Speed above which a body at rest wakes once a moving one is near, m/s or rad/s. Until then it
            stays exactly where it is. Without this, piles creep by 2 mm in half a second.
        contact_breaking: Distance at which Bullet forgets a contact, metres.
    """

    time_step: float = 1 / 240
    solver_iterations: int = 150
    solver_residual: float = 1e-4
    gravity: float = 9.81
    collision_margin: float = 0.0
    object_friction: float = 1.0
    wake_speed: float = 1e-3
    contact_breaking: float = 0.02

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        positive = ("time_step", "gravity", "object_friction", "contact_breaking")
        limits = dict.fromkeys(positive, POSITIVE) | {"solver_iterations": COUNT}
        limits |= dict.fromkeys(("solver_residual", "collision_margin", "wake_speed"), NOT_NEGATIVE)
        check_numbers("scene.physics", self, limits)


@dataclass(frozen=True, kw_only=True)
class TraySettings:
    """A square tray with walls that lean outwards; its floor's centre is the world's origin.

    The tray owns the world's extent: where objects count as fallen out, where labels are sought and grasps may lie, and
    what a camera should see, all follow from its measures.

    Attributes:
        floor: Side of the floor, metres.
        wall_height: Height of the walls, metres.
        wall_lean: Distance of the walls' upper edge outside their foot, metres; it makes room for the hand.
        thickness: Thickness of floor and walls, metres; the ground plane lies this far below the floor.
        friction: Friction of floor and walls against objects. At 1 nothing slides that a finger pushes: heavy objects
            topple or jam under the hand.
    """

    floor: float = 0.36
    wall_height: float = 0.05
    wall_lean: float = 0.05
    thickness: float = 0.005
    friction: float = 0.5

    def __post_init__(self) -> None:
        """Checks ranges; raises InputError."""
        limits = dict.fromkeys(("floor", "wall_height", "thickness", "friction"), POSITIVE) | {
            "wall_lean": NOT_NEGATIVE
        }
        check_numbers("scene.tray", self, limits)
        if self.floor + 2 * self.wall_lean > _GROUND:
            raise InputError(
                f"scene.tray.floor is {self.floor} m, and the tray with its walls wider than the {_GROUND:g} m of "
                "ground; give a smaller one"
            )

    @classmethod
    def from_saved(cls, content: Mapping[str, Any]) -> TraySettings:
        """Returns the tray that a file holds; where it names no friction, it is of the time when all trays had 1."""
        return cls(**{"friction": 1.0, **content})

    def to_saved(self) -> dict[str, float]:
        """Returns what ``from_saved`` reads; a friction of 1 goes without saying: former files stay as they are."""
        return {name: value for name, value in asdict(self).items() if (name, value) != ("friction", 1.0)}

    @property
    def half_floor(self) -> float:
        """Half the side of the floor, metres: grasps lie within it, since walls attract them."""
        return self.floor / 2

    @property
    def opening(self) -> float:
        """Side of the square between the walls' upper edges, metres: what is beyond has fallen out."""
        return self.floor + 2 * self.wall_lean

    @property
    def view_side(self) -> float:
        """Side of the square that a parallel view covers, metres: the tray and room for an opened hand beside it."""
        return round(self.opening + 2 * _ROOM, 6)

    def boxes(self) -> list[tuple[FloatArray, FloatArray]]:
        """Returns floor and walls as (size (3,) m, T_world_box (4, 4)) pairs."""
        outer = self.floor + 2 * self.wall_lean
        floor_pose = make_pose(np.eye(3), (0, 0, -self.thickness / 2))
        result = [(np.array([self.floor, self.floor, self.thickness]), floor_pose)]
        slope = np.hypot(self.wall_height, self.wall_lean)
        lean = np.arctan2(self.wall_lean, self.wall_height)
        for quarter in range(4):
            # A wall on the +x side: its inner face runs from the floor's edge upwards and outwards.
            quarter_turn = Rotation.from_euler("z", quarter * np.pi / 2)
            inner_middle = np.array([self.floor / 2 + self.wall_lean / 2, 0, self.wall_height / 2])
            rotation = (quarter_turn * Rotation.from_euler("y", lean)).as_matrix()
            middle = np.asarray(quarter_turn.apply(inner_middle), np.float64) + rotation[:, 0] * (self.thickness / 2)
            result.append((np.array([self.thickness, outer, slope]), make_pose(rotation, middle)))
        return result

    def contains(self, position: FloatArray) -> bool:
        """Returns whether a place (3,) m in the world, of ``sim.scene.object_places``, is in the tray, not below it."""
        half = self.floor / 2 + self.wall_lean
        return bool(abs(position[0]) < half and abs(position[1]) < half and position[2] > -0.01)


def matrix_to_pose(matrix: FloatArray) -> tuple[list[float], list[float]]:
    """Returns PyBullet's (position, quaternion xyzw) of a (4, 4) pose."""
    return matrix[:3, 3].tolist(), Rotation.from_matrix(matrix[:3, :3]).as_quat().tolist()


def pose_to_matrix(position: Any, quaternion: Any) -> FloatArray:
    """Returns the (4, 4) pose of PyBullet's position and quaternion xyzw."""
    return make_pose(Rotation.from_quat(quaternion).as_matrix(), position)


class World:
    """One PyBullet client; ``rebuild`` empties it and sets every parameter anew.

    A rebuilt world repeats bit by bit. PyBullet's own ``restoreState`` does not.

    Attributes:
        settings: Physical constants.
        tray: Tray of every scene.
        client: PyBullet's number of the client; -1 once closed.
        objects: PyBullet's number of each object's body.
    """

    def __init__(self, settings: PhysicsSettings, tray: TraySettings) -> None:
        """Connects; call ``close`` when done.

        Args:
            settings: Physical constants.
            tray: Tray that stands in the world.

        Raises:
            InputError: PyBullet has no room for another client.
        """
        self.settings = settings
        self.tray = tray
        self.client = pybullet.connect(pybullet.DIRECT)
        if self.client < 0:
            raise InputError("PyBullet could not start another world; close some (at most 1,024 at a time)")
        self.objects: list[int] = []
        self._inertial: dict[int, FloatArray] = {}
        self.rebuild([], [])

    def close(self) -> None:
        """Disconnects; harmless when done twice."""
        if self.client >= 0 and pybullet.isConnected(self.client):
            pybullet.disconnect(self.client)
        self.client = -1

    def rebuild(self, models: list[ObjectModel], poses: list[FloatArray]) -> None:
        """Empties the world and puts tray and objects in.

        Args:
            models: Objects.
            poses: (4, 4) T_world_link of each object, metres.
        """
        s = self.settings
        pybullet.resetSimulation(physicsClientId=self.client)
        pybullet.setPhysicsEngineParameter(
            fixedTimeStep=s.time_step,
            numSolverIterations=s.solver_iterations,
            numSubSteps=0,
            solverResidualThreshold=s.solver_residual,
            contactBreakingThreshold=s.contact_breaking,
            deterministicOverlappingPairs=1,
            enableFileCaching=1,
            physicsClientId=self.client,
        )
        pybullet.setGravity(0, 0, -s.gravity, physicsClientId=self.client)
        self.objects = []
        self._inertial = {}
        self._add_tray()
        for model, pose in zip(models, poses, strict=True):
            self.add(model, pose)

    def rest(self, poses: list[FloatArray]) -> None:
        """Lets the objects of a scene at rest sleep exactly where they lie, until something touches them.

        Args:
            poses: (4, 4) T_world_link of each object, metres.
        """
        asleep = pybullet.ACTIVATION_STATE_SLEEP | pybullet.ACTIVATION_STATE_ENABLE_SLEEPING
        for body in self.objects:
            pybullet.changeDynamics(body, -1, activationState=asleep, sleepThreshold=1e9, physicsClientId=self.client)
        self.step(2)  # Bullet needs one to see that they sleep, and one to let their islands sleep
        for i, (body, pose) in enumerate(zip(self.objects, poses, strict=True)):
            self.place(i, pose)
            pybullet.resetBaseVelocity(body, [0, 0, 0], [0, 0, 0], physicsClientId=self.client)
            threshold = self.settings.wake_speed**2  # Bullet compares it with the squared speeds' sum
            pybullet.changeDynamics(body, -1, sleepThreshold=threshold, physicsClientId=self.client)

    def _add_tray(self) -> None:
        """Puts in the ground, and the tray's floor and walls."""
        ground = pybullet.createCollisionShape(
            pybullet.GEOM_BOX, halfExtents=[_GROUND / 2, _GROUND / 2, 0.05], physicsClientId=self.client
        )
        self._fixed(ground, [0, 0, -self.tray.thickness - 0.05], [0, 0, 0, 1])
        for size, pose in self.tray.boxes():
            shape = pybullet.createCollisionShape(
                pybullet.GEOM_BOX, halfExtents=(size / 2).tolist(), physicsClientId=self.client
            )
            self._fixed(shape, *matrix_to_pose(pose))

    def _fixed(self, shape: int, position: list[float], quaternion: list[float]) -> None:
        """Puts in a body that never moves, at a position (m) and quaternion xyzw in the world."""
        body = pybullet.createMultiBody(0, shape, -1, position, quaternion, physicsClientId=self.client)
        pybullet.changeDynamics(body, -1, lateralFriction=self.tray.friction, physicsClientId=self.client)

    def add(self, model: ObjectModel, pose: FloatArray) -> int:
        """Puts one object in; returns its index in ``objects``.

        Args:
            model: Object.
            pose: (4, 4) T_world_link, metres.

        Raises:
            InputError: The object's file or mesh is broken.
        """
        model.mesh()  # says in one sentence which mesh is broken; PyBullet would only fail
        position, quaternion = matrix_to_pose(pose)
        with quiet():
            try:
                body = pybullet.loadURDF(
                    str(model.urdf),
                    position,
                    quaternion,
                    flags=pybullet.URDF_USE_INERTIA_FROM_FILE if model.own_inertia else 0,
                    globalScaling=model.scale,
                    physicsClientId=self.client,
                )
            except pybullet.error as error:
                raise InputError(f"PyBullet cannot load {model.urdf}; mend or remove it") from error
        for link in range(-1, pybullet.getNumJoints(body, physicsClientId=self.client)):
            pybullet.changeDynamics(
                body,
                link,
                lateralFriction=self.settings.object_friction,
                rollingFriction=0,
                spinningFriction=0,
                restitution=0,
                collisionMargin=self.settings.collision_margin,
                physicsClientId=self.client,
            )
        info = pybullet.getDynamicsInfo(body, -1, physicsClientId=self.client)
        if model.weight != 1:
            inertia = [model.weight * moment for moment in info[2]]
            pybullet.changeDynamics(
                body, -1, mass=model.weight * info[0], localInertiaDiagonal=inertia, physicsClientId=self.client
            )
        self._inertial[body] = np.asarray(np.linalg.inv(pose_to_matrix(info[3], info[4])), np.float64)
        self.objects.append(body)
        return len(self.objects) - 1

    def remove(self, index: int) -> None:
        """Takes one object out; later ones move up."""
        pybullet.removeBody(self.objects.pop(index), physicsClientId=self.client)

    def place(self, index: int, pose: FloatArray) -> None:
        """Puts one object at a (4, 4) T_world_link, metres; its speed stays."""
        body = self.objects[index]
        centre = matrix_to_pose(pose @ np.linalg.inv(self._inertial[body]))
        pybullet.resetBasePositionAndOrientation(body, *centre, physicsClientId=self.client)

    def overlapping(self, index: int) -> list[int]:
        """Returns the indices of the other objects inside which one object reaches."""
        body, found = self.objects[index], []
        for i, other in enumerate(self.objects):
            points = () if i == index else pybullet.getClosestPoints(body, other, 0.0, physicsClientId=self.client)
            if any(p[8] < 0 for p in points):  # number 8 is the distance between the surfaces
                found.append(i)
        return found

    def poses(self) -> list[FloatArray]:
        """Returns each object's (4, 4) T_world_link."""
        result = []
        for body in self.objects:
            centre = pybullet.getBasePositionAndOrientation(body, physicsClientId=self.client)
            result.append(pose_to_matrix(*centre) @ self._inertial[body])
        return result

    def step(self, count: int = 1) -> None:
        """Advances by ``count`` time steps."""
        for _ in range(count):
            pybullet.stepSimulation(physicsClientId=self.client)

    def settle(self, max_steps: int, still: float = 2e-4, window: int = 60) -> bool:
        """Steps until no object has moved for a while.

        While the solver may stop early, objects creep for ever by some 0.1 mm in a window. When it may not,
        they come to real rest. So the first part is fast and rough, the last exact.

        Args:
            max_steps: Number of steps after which it gives up.
            still: Largest shift within a window that counts as rest, metres or a tenth of radians.
            window: Number of steps between two looks.

        Returns:
            Whether rest was reached.
        """
        rough = True
        try:
            before = self.poses()
            for done in range(0, max_steps, window):
                self.step(window)
                now = self.poses()
                moved = max((_moved(a, b) for a, b in zip(before, now, strict=True)), default=0.0)
                if moved < still and not rough:
                    return True
                if rough and (moved < 10 * still or done > max_steps / 2):
                    rough = False
                    pybullet.setPhysicsEngineParameter(solverResidualThreshold=0, physicsClientId=self.client)
                before = now
            return False
        finally:
            pybullet.setPhysicsEngineParameter(
                solverResidualThreshold=self.settings.solver_residual, physicsClientId=self.client
            )


def _moved(a: FloatArray, b: FloatArray) -> float:
    """Returns the larger of the shift in metres and a tenth of the turn in radians."""
    turn = np.linalg.norm(a[:3, :3] - b[:3, :3]) / np.sqrt(2)
    return float(max(np.linalg.norm(a[:3, 3] - b[:3, 3]), turn / 10))
