"""Whether arm, hand and camera are clear of things and of each other: PyBullet's closest points."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from robot.arms.assembly import FINGERS, HAND_LINKS, assemble
from robot.arms.model import ArmModel
from robot.arms.shapes import body_parts, outline, own_shapes, placed_shapes
from robot.motion.obstacles import Obstacle
from sim.camera import PinholeCamera
from sim.gripper import GripperGeometry
from sim.physics import pybullet

FloatArray = NDArray[np.float64]

_APART = 3  # links that are nearer to each other in the chain may always touch
_HAND = -2  # the hand among the rigid bodies, which are known by numbers of links
_SELF = 0.005  # metres between links of the arm
_DEEP = 0.005  # metres inside a shape at which a seen point counts: depth is noisy
_FEW = 3  # points inside a shape that may be noise


class Clearance:
    """An arm with hand and camera among things, in a PyBullet client of its own.

    Attributes:
        client: PyBullet's number of the client; -1 once closed.
    """

    def __init__(
        self,
        arm: ArmModel,
        gripper: GripperGeometry,
        obstacles: Sequence[Obstacle],
        *,
        base: FloatArray,
        camera: FloatArray | None,
        clearance: float,
        finger_clearance: float,
    ) -> None:
        """Puts everything in place.

        Args:
            arm: The arm.
            gripper: The hand.
            obstacles: What stands around.
            base: (4, 4) T_world_base, metres.
            camera: (4, 4) T_flange_camera, metres; None for no camera on the arm.
            clearance: Least distance from things, metres.
            finger_clearance: That of palm and fingers where they grasp, metres.
        """
        self.client = pybullet.connect(pybullet.DIRECT)
        try:
            self._arm = assemble(self.client, arm, gripper, base=base, camera=camera)
        except BaseException:
            self.close()
            raise
        self._things = [(o, o.put_in(self.client)) for o in obstacles]
        self._clearance, self._finger_clearance = clearance, finger_clearance
        self._names = {number: name for name, number in self._arm.links.items()}
        self._fingers = {self._arm.links[name] for name in FINGERS}
        self._shapes = own_shapes(self._arm)
        ways = self._ways()
        self._standing = {link for link, way in ways.items() if len(way) <= 2}
        self._pairs = self._own_pairs(arm, ways)

    def _ways(self) -> dict[int, tuple[int, ...]]:
        """Returns, for each link, the rigid bodies from the base to it; each is known by the first link of it."""
        ways: dict[int, tuple[int, ...]] = {-1: (-1,)}
        for link in range(len(self._names) - 1):
            info = pybullet.getJointInfo(self._arm.body, link, physicsClientId=self.client)
            before = ways[info[16]]
            ways[link] = before if info[2] == pybullet.JOINT_FIXED else (*before, link)
        return ways

    def _own_pairs(self, arm: ArmModel, ways: dict[int, tuple[int, ...]]) -> list[tuple[int, int]]:
        """Returns the pairs of links that must not touch: those far apart in the chain and apart when ready."""
        hand = {self._arm.links[name] for name in HAND_LINKS if name in self._arm.links}
        solid = [number for number in sorted(self._names) if number in hand or self._has_shape(number)]
        bodies = {ways[number][-1] for number in solid if number not in hand}
        # The hand is a body of its own, beyond the last of the arm's.
        trail = {number: {body for body in ways[number] if body in bodies} for number in solid}
        trail |= {number: {*trail[number], _HAND} for number in hand}
        pairs = [pair for pair in combinations(solid, 2) if len(trail[pair[0]] ^ trail[pair[1]]) >= _APART]
        self._arm.place(arm.ready_angles(), self._arm.max_opening)
        touching = [pair for pair in pairs if self._near(pair)]
        if touching:
            said = "; ".join(f"{self._name(a)} and {self._name(b)}" for a, b in touching)
            warnings.warn(
                f"the arm touches itself at arm.ready ({said}): these may touch wherever it goes; "
                "give an arm.ready where they are apart, or mend their shapes in arm.urdf",
                stacklevel=2,
            )
        return [pair for pair in pairs if pair not in touching]

    def _has_shape(self, link: int) -> bool:
        return bool(pybullet.getCollisionShapeData(self._arm.body, link, physicsClientId=self.client))

    def _near(self, pair: tuple[int, int]) -> bool:
        """Whether two links of the arm are too close."""
        body = self._arm.body
        return bool(pybullet.getClosestPoints(body, body, _SELF, pair[0], pair[1], physicsClientId=self.client))

    def blocked(self, q: FloatArray, opening: float | None = None, *, grasping: bool = False) -> str:
        """Returns what is in the way at joint angles, "" where nothing is.

        Args:
            q: (N,) joint angles, radians.
            opening: Distance between the inner finger faces, metres; None leaves the fingers where they are.
            grasping: Whether palm and fingers may come as close as they do when they grasp.
        """
        self._arm.place(q, opening)
        for thing, body in self._things:
            points = pybullet.getClosestPoints(self._arm.body, body, self._clearance, physicsClientId=self.client)
            for point in points:
                link, distance = point[3], point[8]
                if thing.carries_arm and link in self._standing:
                    continue
                if grasping and link in self._fingers and distance >= self._finger_clearance:
                    continue
                return f"{self._name(link)} would come within {1000 * max(distance, 0):.0f} mm of {thing.name}"
        for pair in self._pairs:
            if self._near(pair):
                return f"{self._name(pair[0])} and {self._name(pair[1])} would touch"
        return ""

    def pierced(self, seen: FloatArray, q: FloatArray, opening: float | None = None, *, grasping: bool = False) -> str:
        """Returns which part would be where the camera saw something at joint angles, "" where none would.

        Args:
            seen: (N, 3) points that the camera saw, world frame, metres.
            q: (N,) joint angles, radians.
            opening: Distance between the inner finger faces, metres; None leaves the fingers where they are.
            grasping: Whether palm and fingers may be there: among the objects they have their own rule of depth.
        """
        if not len(seen):
            return ""
        self._arm.place(q, opening)
        low, high = seen.min(axis=0), seen.max(axis=0)
        shapes = [s for s in self._shapes if not (grasping and s.link in self._fingers)]
        for shape in placed_shapes(self._arm, shapes):
            middle = shape.pose[:3, 3]
            if np.linalg.norm(middle - np.clip(middle, low, high)) > shape.reach:  # far from all that was seen
                continue
            inside = shape.depth_inside(seen)
            if np.count_nonzero(inside > min(_DEEP, shape.thickness / 4)) > _FEW:
                return f"{self._name(shape.link)} would be {1000 * inside.max():.0f} mm deep in what the camera saw"
        return ""

    def outline(self, camera: PinholeCamera, q: FloatArray, opening: float) -> NDArray[np.bool_]:
        """Returns the pixels, (H, W) bool, that arm and hand cover in a camera's picture.

        Args:
            camera: The camera with its pose in the world.
            q: (N,) joint angles, radians.
            opening: Distance between the inner finger faces, metres.
        """
        self._arm.place(q, opening)
        return outline(body_parts(self._arm, camera=False), camera)

    def _name(self, link: int) -> str:
        name = self._names[link]
        words = {"hand_body": "the hand", "left": "a finger", "right": "a finger", "base": "the arm's base"}
        return words.get(name, f"the {name.replace('_', ' ')}")

    def close(self) -> None:
        """Ends the PyBullet client; harmless when done twice."""
        if self.client >= 0:
            pybullet.disconnect(self.client)
        self.client = -1
