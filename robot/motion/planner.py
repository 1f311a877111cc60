"""Plans motions of an arm with a hand: to joint angles, along straight lines, to grasps and views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from robot.arms.model import ArmModel
from robot.kinematics import Chain
from robot.motion.clearance import Clearance
from robot.motion.obstacles import Obstacle
from robot.motion.settings import MotionSettings, Unreachable
from robot.motion.timing import JointLimits, time_line, time_segment, time_through
from robot.safety import SafetyLimits
from robot.values import Trajectory
from sim.camera import PinholeCamera
from sim.geometry import make_pose
from sim.gripper import GripperGeometry
from sim.interchange.hand_frames import frame_of_grasp

FloatArray = NDArray[np.float64]

_SAMPLE = 0.08  # radians: largest move of a joint between two looks for obstacles
_FINER = 4  # places on a straight path that are checked for each point of its trajectory
_JUMP = 0.5  # radians: a joint that moves farther between two points of a straight path has left its branch
_NOTHING = np.zeros((0, 3))
_TURNS = np.radians([0.0, 45.0, -45.0, 90.0])  # of the hand about the vertical, where any will do


@dataclass(frozen=True)
class GraspPlan:
    """Motions of one grasp, each from where the one before it ends.

    Attributes:
        to_start: To the place above the grasp.
        down: Straight along the approach to the grasp.
        up: Straight up with what is grasped.
        grasp: (4, 4) T_world_grasp that is reached, metres; perhaps turned by half a turn, or raised off the floor.
        opening: Opening between the inner finger faces on the way down, metres.
    """

    to_start: Trajectory
    down: Trajectory
    up: Trajectory
    grasp: FloatArray
    opening: float


class MotionPlanner:
    """Plans for one arm in one cell. Use it as a context manager; it holds a PyBullet client.

    Attributes:
        chain: Joints from the base to the grasp frame.
        base: (4, 4) T_world_base, metres.
        limits: Limits of the joints.
        settings: How motions are planned.
    """

    def __init__(
        self,
        arm: ArmModel,
        gripper: GripperGeometry,
        obstacles: Sequence[Obstacle],
        *,
        base: FloatArray,
        camera: FloatArray | None,
        settings: MotionSettings | None = None,
        safety: SafetyLimits | None = None,
    ) -> None:
        """Sets up.

        Args:
            arm: The arm.
            gripper: The hand; its frame "flange" is the one place that says where the grasp frame is.
            obstacles: What arm, hand and camera keep clear of.
            base: (4, 4) T_world_base, metres.
            camera: (4, 4) T_flange_camera, metres; None where no camera sits on the arm.
            settings: How motions are planned; None is the default.
            safety: Limits of the cell; None is the default.

        Raises:
            InputError: The arm's URDF is broken, or the gripper has no frame "flange".
        """
        self.settings, self.safety = settings or MotionSettings(), safety or SafetyLimits()
        self.base, self.gripper = base, gripper
        flange = arm.chain()
        self.chain: Chain = flange.with_tool(frame_of_grasp("flange", gripper))
        self._ready = arm.ready_angles()
        self._view_chain = None if camera is None else flange.with_tool(camera)
        speed = np.minimum(self.chain.velocity, self.safety.joint_speed)
        self.limits = JointLimits(speed, arm.acceleration, arm.jerk)
        s = self.settings
        self._space = Clearance(
            arm,
            gripper,
            obstacles,
            base=base,
            camera=camera,
            clearance=s.clearance,
            finger_clearance=s.finger_clearance,
        )

    def __enter__(self) -> Self:
        """Returns the planner itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Ends the PyBullet client."""
        self.close()

    def close(self) -> None:
        """Ends the PyBullet client; harmless when done twice."""
        self._space.close()

    def tip(self, q: FloatArray) -> FloatArray:
        """Returns T_world_grasp, (4, 4), of joint angles (N,)."""
        pose: FloatArray = self.base @ self.chain.forward(q)
        return pose

    def outline(self, camera: PinholeCamera, q: FloatArray, opening: float) -> NDArray[np.bool_]:
        """Returns the pixels, (H, W) bool, that arm and hand cover in a camera's picture.

        Args:
            camera: The camera with its pose in the world.
            q: (N,) joint angles, radians.
            opening: Distance between the inner finger faces, metres.
        """
        return self._space.outline(camera, q, opening)

    def _places(self, q: FloatArray) -> FloatArray:
        return self.chain.forward(q)[:, :3, 3]

    def to(
        self,
        start: FloatArray,
        goal: FloatArray,
        opening: float | None = None,
        *,
        via: Sequence[FloatArray] = (),
        seen: FloatArray = _NOTHING,
    ) -> Trajectory | Unreachable:
        """Returns a motion of the joints from rest to rest: direct, or where that is blocked through other places.

        Args:
            start: (N,) joint angles, radians.
            goal: (N,) joint angles, radians.
            opening: Distance between the inner finger faces, metres; None leaves the fingers where they are.
            via: Joint angles (N,) that are tried in turn as a place in between; the arm's ready ones come last.
            seen: (M, 3) points of things that the camera saw, world frame, metres; the arm keeps out of them.
        """
        if np.abs(goal - start).max() < 1e-6:
            return Trajectory(
                times=np.array([0.0, 0.02]), positions=np.stack([goal, goal]), velocities=np.zeros((2, len(goal)))
            )
        problem: Unreachable | None = None
        speed = self.safety.tip_speed
        for between in (None, *via, self._ready):
            if between is None:
                motion = time_segment(start, goal, self.limits, tip=self._places, speed=speed)
            elif min(np.abs(between - start).max(), np.abs(goal - between).max()) < _SAMPLE:
                continue
            else:
                points = np.array([start, between, goal])
                motion = time_through(points, self.limits, tip=self._places, speed=speed)
            found = self._blocked(motion, opening, seen)
            if found is None:
                return motion
            problem = problem or found
        assert problem is not None
        return problem

    def _blocked(self, motion: Trajectory, opening: float | None, seen: FloatArray) -> Unreachable | None:
        """Returns what is in the way of a motion, or None."""
        moved = np.abs(np.diff(motion.positions, axis=0)).max(axis=1).sum()
        times = np.linspace(0.0, motion.duration, 2 + int(moved / _SAMPLE))
        angles = motion.at(times)[0]
        outside = self._outside(angles)
        if outside is not None:
            return outside
        for q in angles:
            found = self._space.blocked(q, opening) or self._space.pierced(seen, q, opening)
            if found:
                return Unreachable("collision", f"on the way {found}")
        return None

    def _outside(self, angles: FloatArray) -> Unreachable | None:
        """Returns where joint angles (T, N) leave their limits or the tip leaves the safety box, or None."""
        if not self.chain.within(angles).all():
            return Unreachable("branch", "on the way a joint would leave its limits")
        places = self._places(angles)
        low, high = np.asarray(self.safety.box_low), np.asarray(self.safety.box_high)
        bad = ((places < low) | (places > high)).any(axis=1)
        if bad.any():
            x, y, z = places[int(np.argmax(bad))]
            return Unreachable("box", f"the tip would be at {x:.2f}, {y:.2f}, {z:.2f} m, outside the safety box")
        return None

    def straight(
        self, start: FloatArray, pose: FloatArray, *, opening: float | None = None, contact: bool = True
    ) -> Trajectory | Unreachable:
        """Returns a motion of the tip along a straight line, on the branch where it starts.

        Args:
            start: (N,) joint angles, radians.
            pose: (4, 4) T_world_grasp at the end, metres.
            opening: Distance between the inner finger faces, metres; None leaves the fingers where they are.
            contact: Whether the motion may meet things: then it keeps to the approach speed.
        """
        paths, ways = self._track(start[None], self.tip(start), pose)
        if not len(paths):
            return Unreachable("branch", "the straight path would need a jump of the joints or leave their limits")
        return self._line(paths[0], ways, opening, contact=contact, seen=_NOTHING)

    def _track(self, starts: FloatArray, first: FloatArray, last: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Follows a straight line from many joint angles at its start; the turn goes evenly with the way.

        Args:
            starts: (B, N) joint angles at the first pose, radians.
            first: (4, 4) T_world_grasp at the start, metres; those of ``starts`` may be half a turn away from it.
            last: (4, 4) T_world_grasp at the end, metres.

        Returns:
            (M, K, N) joint angles of those that stay on their branch, and (K,) way of the tip, metres.
        """
        shift = last[:3, 3] - first[:3, 3]
        length = max(float(np.linalg.norm(shift)), 1e-4)
        count = max(4, 1 + int(np.ceil(length / self.settings.waypoint)))
        ways = np.linspace(0.0, length, count)
        into_base = np.linalg.inv(self.base)
        paths, alive = [starts], np.ones(len(starts), np.bool_)
        turns = [self.chain.forward(q)[:3, :3] for q in starts]
        for way in ways[1:]:
            place = (into_base @ np.append(first[:3, 3] + shift * way / length, 1.0))[:3]
            poses = np.array([make_pose(turn, place) for turn in turns])
            q, reached = self.chain.approach(poses, paths[-1], iterations=20)
            alive &= reached & (np.abs(q - paths[-1]).max(axis=1) < _JUMP)
            paths.append(q)
        return np.stack(paths, axis=1)[alive], ways

    def _line(
        self, points: FloatArray, ways: FloatArray, opening: float | None, *, contact: bool, seen: FloatArray
    ) -> Trajectory | Unreachable:
        """Returns the timed motion along joint angles (K, N) at ways (K,), m, of the tip, if nothing is in the way.

        Palm and fingers may come among the ``seen`` points (M, 3), m; arm, camera and the hand's body may not.
        """
        outside = self._outside(points)
        if outside is not None:
            return outside
        for q in points:
            found = self._space.blocked(q, opening, grasping=True)
            found = found or self._space.pierced(seen, q, opening, grasping=True)
            if found:
                return Unreachable("collision", f"at the grasp {found}")
        s = self.settings
        motion = time_line(
            points,
            ways,
            self.limits,
            speed=self.safety.approach_speed if contact else self.safety.tip_speed,
            acceleration=s.tip_acceleration,
            jerk=s.tip_jerk,
            contact=contact,
        )
        # Between points that keep to the limits, the curve through them may not.
        between = np.linspace(0.0, motion.duration, _FINER * len(motion.times))
        return self._outside(motion.at(between)[0]) or motion

    def grasp(
        self, start: FloatArray, pose: FloatArray, opening: float, *, seen: FloatArray = _NOTHING
    ) -> GraspPlan | Unreachable:
        """Returns the motions of a grasp: to the place above it, down, and up.

        Args:
            start: (N,) joint angles now, radians.
            pose: (4, 4) T_world_grasp, metres.
            opening: Opening between the inner finger faces on the way down, metres.
            seen: (M, 3) points of things that the camera saw, world frame, metres. On the way to the grasp the arm
                keeps out of them; palm and fingers go down among them.
        """
        s = self.settings
        into_base = np.linalg.inv(self.base)
        above = make_pose(pose[:3, :3], pose[:3, 3] - s.approach * pose[:3, 2])
        # From above: joint angles that are near there are near at the grasp too.
        found = self.chain.solve(into_base @ above, near=start)[: s.branches]
        if not len(found):
            x, y, z = above[:3, 3]
            return Unreachable("reach", f"no joint angles bring the hand to {x:.3f}, {y:.3f}, {z:.3f} m")
        problem = Unreachable("branch", "on the way down a joint would leave its limits or its branch")
        down, ways = self._track(found, above, pose)
        for path in down:
            going_down = self._line(path, ways, opening, contact=True, seen=seen)
            if isinstance(going_down, Unreachable):
                problem = going_down
                continue
            reached = self.tip(path[-1])
            lifted = make_pose(reached[:3, :3], reached[:3, 3] + np.array([0.0, 0.0, s.lift]))
            up = self.straight(path[-1], lifted, opening=opening)
            if isinstance(up, Unreachable):
                problem = up
                continue
            to_start = self.to(start, path[0], opening, seen=seen)
            if isinstance(to_start, Unreachable):
                problem = to_start
                continue
            return GraspPlan(to_start, going_down, up, reached, opening)
        return problem

    def over(
        self, start: FloatArray, place: FloatArray, opening: float, *, via: Sequence[FloatArray] = ()
    ) -> Trajectory | Unreachable:
        """Returns a motion that brings the hand over a place, pointing straight down, turned as is nearest.

        Args:
            start: (N,) joint angles now, radians.
            place: (3,) place of the tips, world frame, metres.
            opening: Distance between the inner finger faces, metres.
            via: Joint angles (N,) that are tried as a place in between.
        """
        into_base = np.linalg.inv(self.base)
        down = np.diag([1.0, -1.0, -1.0])
        found = []
        for turn in _TURNS:
            c, si = np.cos(turn), np.sin(turn)
            pose = make_pose(np.array([[c, -si, 0], [si, c, 0], [0, 0, 1]]) @ down, place)
            found += list(self.chain.solve(into_base @ pose, near=start))
        problem = Unreachable("reach", "no joint angles bring the hand to {:.3f}, {:.3f}, {:.3f} m".format(*place))
        ordered = sorted(found, key=lambda q: float(np.abs(q - start).max()))
        for q in ordered[: 2 * self.settings.branches]:
            motion = self.to(start, q, opening, via=via)
            if not isinstance(motion, Unreachable):
                return motion
            problem = motion
        return problem

    def view(self, camera: FloatArray, opening: float, near: FloatArray | None = None) -> FloatArray | Unreachable:
        """Returns (N,) joint angles, radians, at which the wrist's camera has a pose.

        Args:
            camera: (4, 4) T_world_camera, metres.
            opening: Distance between the inner finger faces, metres.
            near: (N,) joint angles from which the nearest is sought; None is the arm's ready ones.
        """
        if self._view_chain is None:
            return Unreachable("reach", "no camera sits on the arm")
        near = self._ready if near is None else near
        problem = Unreachable(
            "reach", "no joint angles bring the camera to {:.3f}, {:.3f}, {:.3f} m".format(*camera[:3, 3])
        )
        q: FloatArray
        for q in self._view_chain.solve(np.linalg.inv(self.base) @ camera, near, symmetric=False, restarts=40):
            outside = self._outside(q[None])
            found = "" if outside else self._space.blocked(q, opening)
            if outside is None and not found:
                return q
            problem = outside or Unreachable("collision", f"at the view {found}")
        return problem
