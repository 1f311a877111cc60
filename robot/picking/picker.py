"""The loop of one pick, the same on a real arm and in the simulated cell."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from robot.devices import Arm, Hand, read_state
from robot.errors import DeviceError
from robot.motion.planner import GraspPlan, MotionPlanner
from robot.motion.settings import Unreachable
from robot.picking.attempt import PickAttempt
from robot.picking.failed_places import FailedPlaces
from robot.picking.picture import NEAR, Photographer, things_seen
from robot.picking.settings import PickSettings
from robot.safety import Guard
from robot.values import Trajectory
from sim.benchmark.protocol import GraspPolicy
from sim.errors import InputError
from sim.geometry import make_pose
from sim.grasp import GraspPoses
from sim.view import Observation, SceneView

FloatArray = NDArray[np.float64]

_RISES = 4  # times that a lift goes on after a contact


class Halted(Exception):
    """The arm was stopped in the middle of a pick; ``str`` says why."""


class StoppedByPerson(DeviceError):
    """Somebody stopped the arm: nothing moves it on but a person."""


@dataclass(frozen=True)
class PickerParts:
    """What a picker works with.

    Attributes:
        arm: The arm.
        hand: The hand.
        planner: Planner of the arm's motions.
        guard: Limits of every motion.
        eye: What takes the pictures.
        view: (N,) joint angles at which pictures are taken, radians.
        release: (3,) place of the tips where the hand lets go, world frame, metres.
        floor: Height of the tray's floor, world frame, metres.
        privileged_view: Function of T_world_camera that hands a privileged policy the noiseless scene; None on
            hardware.
    """

    arm: Arm
    hand: Hand
    planner: MotionPlanner
    guard: Guard
    eye: Photographer
    view: FloatArray
    release: FloatArray
    floor: float = 0.0
    privileged_view: Callable[[FloatArray], SceneView] | None = None


@dataclass
class PickRecord:
    """What a pick saw and chose, for recordings.

    Attributes:
        observation: What the policy saw; None before the picture.
        grasps: The policy's grasps, world frame, best first.
        verdicts: What became of each grasp in the order in which they were tried: (index, reason or "taken").
        motions: Executed trajectories by name.
    """

    observation: Observation | None = None
    grasps: GraspPoses = field(default_factory=lambda: GraspPoses.empty("world"))
    verdicts: list[tuple[int, str]] = field(default_factory=list)
    motions: list[tuple[str, Trajectory]] = field(default_factory=list)


def finite(grasps: GraspPoses) -> GraspPoses:
    """Returns the grasps whose numbers are all finite."""
    numbers = (grasps.translation, grasps.rotation.reshape(-1, 9), grasps.width[:, None], grasps.quality[:, None])
    return grasps[np.isfinite(np.concatenate(numbers, axis=1)).all(axis=1)]


class Picker:
    """Picks objects one after the other.

    Attributes:
        parts: Devices, planner and places.
        policy: The grasp policy.
        settings: How a pick is made.
        failed: Places where grasps failed in this tray.
        record: What the last pick saw and chose.
    """

    def __init__(self, parts: PickerParts, policy: GraspPolicy, settings: PickSettings | None = None) -> None:
        """Keeps what it works with."""
        self.parts, self.policy, self.settings = parts, policy, settings or PickSettings()
        self.failed = FailedPlaces()
        self.record = PickRecord()
        self._grasped: tuple[FloatArray, FloatArray] | None = None  # angles after the lift, T_world_grasp before it

    def pick(self, landed: Callable[[], list[str]]) -> PickAttempt:
        """Makes one attempt; whatever goes wrong, it says so, and the next can follow.

        Args:
            landed: Function that is called when the hand has let go; it returns the names of the objects that lie in
                the receptacle since.

        Raises:
            DeviceError: A device does not answer, and the arm could not be brought back; or somebody stopped the arm.
            InputError: The camera is not the one that was calibrated.
        """
        attempt, self.record, self._grasped = PickAttempt(), PickRecord(), None
        if not self.parts.arm.armed:
            self._choose(attempt)
            attempt.fail("dry run", f"{self.parts.arm.name} is not armed; give armed=true to move it")
            attempt.message += self._where_it_stands(found=bool(attempt.grasp))
            return attempt
        self._heed_stop()
        began = self.parts.arm.clock()
        try:
            self._let_go_safely(attempt, landed)  # a run that was killed may have left the arm anywhere
            self._go_to_view(attempt)
            chosen = self._choose(attempt)
            if chosen is not None:
                self._grasp(chosen, attempt)
                if not attempt.reason:
                    self._put_down(attempt, landed)
        except StoppedByPerson:
            raise
        except (Halted, DeviceError) as halt:
            attempt.fail("stopped", str(halt))
        self._come_back(attempt, landed)
        attempt.duration = self.parts.arm.clock() - began
        self._remember(attempt)
        return attempt

    def _where_it_stands(self, *, found: bool) -> str:
        """Returns where an arm that does not move has its camera, against the view; empty where all is well."""
        parts = self.parts
        try:
            far, turn = parts.eye.distance_from(parts.view)
            q = self._angles()
        except DeviceError:
            return ""  # said already
        near = far <= NEAR[0] and turn <= NEAR[1]
        if near and found:
            return ""
        said = f"; the camera is {1000 * far:.0f} mm and {turn:.0f} degrees from the view"
        if near:
            return said
        here, view = (np.degrees(angles).round(1).tolist() for angles in (q, parts.view))
        strange = "" if parts.planner.chain.within(q) else ", beyond its joints' limits (are its states in radians?)"
        return (
            f"{said}: a dry run takes its picture from where the arm is; lead it to joint angles {view} degrees, "
            f"it is at {here}{strange}"
        )

    def _heed_stop(self) -> None:
        """Raises StoppedByPerson where somebody has stopped the arm, whatever the loop was doing."""
        arm = self.parts.arm
        if arm.stopped_by_person:
            raise StoppedByPerson(f"{arm.name} was stopped; look at the cell, then give the same command again")

    def _recover(self) -> None:
        """Takes back the arm's own stop after a fault; a person's stop is never overruled."""
        self._heed_stop()
        if self.parts.arm.stopped:
            self.parts.arm.recover()

    def _go_to_view(self, attempt: PickAttempt) -> None:
        hand = self.parts.hand
        self._run(self._plan(self.parts.view, hand.max_opening), "to the view", attempt)
        hand.move(hand.max_opening)

    def _angles(self) -> FloatArray:
        """Returns (N,) the joint angles now, radians; raises DeviceError where they are no numbers."""
        return read_state(self.parts.arm).q

    def _plan(self, goal: FloatArray, opening: float) -> Trajectory | Unreachable:
        parts = self.parts
        return parts.planner.to(self._angles(), goal, opening, via=[parts.view])

    def _run(self, motion: Trajectory | Unreachable, name: str, attempt: PickAttempt) -> str:
        """Executes a motion; returns "done" or "contact". Raises Halted for every other end."""
        if isinstance(motion, Unreachable):
            raise Halted(f"{name}: {motion.message}")
        self._measure(motion, attempt)
        self.record.motions.append((name, motion))
        ended = self.parts.arm.execute(motion, self.parts.guard)
        if ended.reason == "stopped":
            raise StoppedByPerson(f"{name}: {ended.message}; look at the cell, then give the same command again")
        if ended.reason not in ("done", "contact"):
            raise Halted(f"{name}: {ended.message} ({ended.reason})")
        return ended.reason

    def _measure(self, motion: Trajectory, attempt: PickAttempt) -> None:
        """Notes how near a trajectory comes to the joints' limits."""
        limits = self.parts.planner.limits
        times = np.arange(0.0, motion.duration, 0.005)
        speeds = motion.at(times)[1]
        attempt.speed_share = max(attempt.speed_share, float((np.abs(speeds) / limits.speed).max()))
        if len(times) > 1:
            sharp = float(np.abs(np.diff(speeds, axis=0)).max()) / 0.005 / limits.acceleration
            attempt.acceleration_share = max(attempt.acceleration_share, sharp)

    def observe(self) -> Observation:
        """Returns what the camera sees; see ``Photographer.take``."""
        return self.parts.eye.take(self.settings)

    def _choose(self, attempt: PickAttempt) -> GraspPlan | None:
        """Returns the plan of the best reachable grasp, or None with the reason noted."""
        parts = self.parts
        try:
            seen = self.observe()
        except InputError as error:  # a device's error, or a picture of another size than its camera says
            attempt.fail("no picture", str(error))
            return None
        parts.eye.check_camera(seen.camera)
        self.record.observation = seen
        started = time.perf_counter()
        shown: Observation | SceneView = seen
        if getattr(self.policy, "privileged", False) and parts.privileged_view is not None:
            shown = parts.privileged_view(seen.camera.pose)
        problem = f"policy '{self.policy.name}' gave no grasp"
        try:
            grasps = finite(self.policy(shown, self.settings.count)).transform(seen.camera.pose, "world")
        except Exception as error:  # anyone's code runs here: what it raises costs it the attempt
            grasps = GraspPoses.empty("world")
            problem = f"policy raised {type(error).__name__}: {' '.join(str(error).split())}"
        self._heed_stop()
        attempt.policy_seconds = time.perf_counter() - started
        attempt.given, self.record.grasps = len(grasps), grasps
        if not len(grasps):
            attempt.fail("no grasp", problem)
            return None
        return self._best_reachable(grasps, things_seen(seen, parts.floor), attempt)

    def _best_reachable(self, grasps: GraspPoses, things: FloatArray, attempt: PickAttempt) -> GraspPlan | None:
        """Returns the plan of the first grasp that can be reached, clear of ``things`` (N, 3), world frame, metres."""
        parts, started = self.parts, time.perf_counter()
        start = self._angles()
        last = ""
        for index in self.failed.order(grasps).tolist():
            pose = self._off_the_floor(
                make_pose(grasps.rotation[index], grasps.translation[index]), grasps.width[index]
            )
            opening = float(min(grasps.width[index], parts.hand.max_opening))
            found = parts.planner.grasp(start, pose, opening, seen=things)
            attempt.planned += 1
            if isinstance(found, GraspPlan):
                self.record.verdicts.append((index, "taken"))
                attempt.rank, attempt.quality = index, float(grasps.quality[index])
                attempt.grasp, attempt.opening = found.grasp.ravel().tolist(), opening
                attempt.plan_seconds = time.perf_counter() - started
                return found
            last = found.message
            self.record.verdicts.append((index, f"{found.reason}: {found.message}"))
            attempt.unreachable[found.reason] = attempt.unreachable.get(found.reason, 0) + 1
        attempt.plan_seconds = time.perf_counter() - started
        attempt.fail("unreachable", f"none of {len(grasps)} grasps can be reached, the last one because {last}")
        return None

    def _off_the_floor(self, pose: FloatArray, width: float) -> FloatArray:
        """Returns a grasp, (4, 4) T_world_grasp, drawn back along its approach until the tips are off the floor."""
        s, gripper = self.settings, self.parts.planner.gripper
        x = width / 2 + gripper.finger_thickness
        y = gripper.finger_width / 2
        lowest = pose[2, 3] - abs(pose[2, 0]) * x - abs(pose[2, 1]) * y
        missing = self.parts.floor + s.floor_gap - lowest
        if missing <= 0 or pose[2, 2] >= -0.3:
            return pose
        return make_pose(pose[:3, :3], pose[:3, 3] - min(missing / -pose[2, 2], s.max_raise) * pose[:3, 2])

    def _grasp(self, plan: GraspPlan, attempt: PickAttempt) -> None:
        """Goes down, closes, lifts; notes what was lost on the way."""
        parts = self.parts
        parts.hand.move(plan.opening)
        self._run(plan.to_start, "to the grasp", attempt)
        ended = self._run(plan.down, "down", attempt)
        if ended == "done":  # whatever the arm calls done: the hand closes only at the grasp
            left = parts.guard.distance_left(plan.down, read_state(parts.arm))
            if left:
                raise Halted(f"down: {parts.arm.name} stays {left}; the hand was not closed")
        force = self.settings.force or parts.planner.gripper.force
        closed = parts.hand.close(force)
        attempt.widths.append(closed.width)
        up: Trajectory | Unreachable = plan.up
        if ended == "contact":  # it stands higher than planned
            up = self._upwards(closed.width)
        low = parts.planner.tip(self._angles())
        self._rise(up, attempt)
        self._grasped = self._angles(), low
        lifted = parts.hand.state()
        attempt.widths.append(lifted.width)
        # Fingers that neighbours held apart may close on the object only on the way up: what hangs there counts.
        if not lifted.holding:
            attempt.fail("slipped" if closed.holding else "missed")

    def _rise(self, up: Trajectory | Unreachable, attempt: PickAttempt) -> None:
        """Goes straight up.

        Closed fingers press a sloping object onto the floor; once it is free, the force on the wrist changes as if
        something were met. So after a contact the way goes on from there, with the force now as the new zero.
        """
        for _ in range(_RISES):
            if self._run(up, "up", attempt) == "done":
                return
            up = self._upwards(self.parts.hand.state().width)
        raise Halted(f"up: the force limit was met {_RISES} times")

    def _upwards(self, opening: float) -> Trajectory | Unreachable:
        """Returns the straight way up from where the arm is to the height of a lift over the floor, or a little."""
        planner, q = self.parts.planner, self._angles()
        pose = planner.tip(q)
        pose[2, 3] = max(pose[2, 3] + 0.02, self.parts.floor + planner.settings.lift)
        return planner.straight(q, pose, opening=opening)

    def _put_down(self, attempt: PickAttempt, landed: Callable[[], list[str]]) -> None:
        """Carries to the receptacle and lets go."""
        parts = self.parts
        self._carry(attempt)
        held = parts.hand.state()
        attempt.widths.append(held.width)
        if not held.holding:
            attempt.fail("dropped")
        parts.hand.move(parts.hand.max_opening)
        new = landed()
        attempt.objects += new
        if new:
            attempt.success, attempt.reason, attempt.message = True, "", ""
        else:
            attempt.fail("beside")

    def _carry(self, attempt: PickAttempt) -> None:
        parts = self.parts
        q, width = self._angles(), parts.hand.state().width
        self._run(parts.planner.over(q, parts.release, width, via=[parts.view]), "to the receptacle", attempt)

    def _come_back(self, attempt: PickAttempt, landed: Callable[[], list[str]]) -> None:
        """Brings the arm out of the tray and to the view, after a stop too; raises DeviceError where it cannot."""
        try:
            self._recover()
            self._let_go_safely(attempt, landed)
            self._go_to_view(attempt)
        except Halted as halt:
            raise DeviceError(f"the arm cannot come back ({halt}); move it by hand and start again") from halt

    def _let_go_safely(self, attempt: PickAttempt, landed: Callable[[], list[str]]) -> None:
        """Leaves the tray with an open hand. What is held higher up is put down first, never dropped."""
        parts = self.parts
        if parts.planner.tip(self._angles())[2, 3] < parts.floor + parts.planner.settings.lift / 2:
            parts.hand.move(parts.hand.max_opening)
            self._rise(self._upwards(parts.hand.state().width), attempt)
        elif parts.hand.state().holding:
            try:
                self._carry(attempt)
            except Halted as blocked:
                self._lay_back(attempt, blocked)
                return
            parts.hand.move(parts.hand.max_opening)
            attempt.objects += landed()

    def _lay_back(self, attempt: PickAttempt, blocked: Halted) -> None:
        """Lays what is held back to where it was taken, because the receptacle cannot be reached."""
        parts = self.parts
        if self._grasped is None:
            raise Halted(f"{blocked}; the hand holds something: take it out")
        self._recover()
        width, (above, low) = parts.hand.state().width, self._grasped
        self._run(parts.planner.to(self._angles(), above, width, via=[parts.view]), "back over the tray", attempt)
        self._run(parts.planner.straight(above, low, opening=width), "down again", attempt)
        parts.hand.move(parts.hand.max_opening)
        self._rise(self._upwards(parts.hand.max_opening), attempt)

    def _remember(self, attempt: PickAttempt) -> None:
        if not attempt.grasp:
            return
        pose = np.array(attempt.grasp).reshape(4, 4)
        if attempt.objects:
            self.failed.succeeded(pose)
        else:
            self.failed.failed(pose)
