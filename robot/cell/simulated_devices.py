"""The simulated cell's arm, hand and camera, as the devices of a real one."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from robot.arms.shapes import draw_over
from robot.cell.simulated_cell import SimulatedCell
from robot.devices import Arm, CameraDevice, Hand
from robot.errors import DeviceError
from robot.safety import Guard
from robot.values import ArmState, Execution, Frame, HandState, Trajectory
from sim.camera import ParallelCamera, PinholeCamera
from sim.render.view import render_depth, render_view
from sim.view import SceneView

FloatArray = NDArray[np.float64]

_CHECK = 4  # time steps between two questions to the guard: 60 a second
_BRAKING = 0.3  # seconds after a stop until what the hand carries hangs still
_PARALLEL = 2500.0  # pixels per metre of the image that a privileged policy sees


class SimulatedArm(Arm):
    """The cell's arm: its joints are where the trajectory says.

    Attributes:
        fault: What the controller reports; tests set it.
        lag: Seconds by which its states are late; tests set it.
    """

    name = "simulated arm"
    armed = True

    def __init__(self, cell: SimulatedCell) -> None:
        """Keeps the cell."""
        super().__init__()
        self.cell, self.clock = cell, cell.clock
        self.fault, self.lag = "", 0.0

    def connect(self) -> None:
        """Does nothing: the arm is there."""

    def disconnect(self) -> None:
        """Does nothing: the arm holds its pose."""

    @property
    def joints(self) -> int:
        """Number of joints."""
        return len(self.cell.flange)

    def state(self) -> ArmState:
        """Returns the state now; the force is the wrist's, low-passed."""
        c = self.cell
        force = c.base[:3, :3].T @ c.hand.force
        return ArmState(q=c.q.copy(), dq=c.dq.copy(), time=c.clock() - self.lag, force=force, fault=self.fault)

    def _follow(self, trajectory: Trajectory, guard: Guard) -> Execution:
        cell = self.cell
        count = max(1, math.ceil(trajectory.duration / cell.time_step))
        times = np.minimum(np.arange(1, count + 1) * cell.time_step, trajectory.duration)
        angles, speeds = trajectory.at(times)
        poses = cell.tip(angles)
        for i in range(count):
            if self.stopped:
                cell.wait(_BRAKING)
                return Execution("stopped", cell.q.copy(), f"{self.name} was stopped on the way")
            cell.move(angles[i], speeds[i], poses[i])
            broken = guard.check(self.state()) if i % _CHECK == 0 or i == count - 1 else None
            if broken:
                cell.dq = np.zeros(self.joints)
                if broken.reason != "contact":
                    cell.wait(_BRAKING)
                return Execution(broken.reason, cell.q.copy(), broken.message)
        cell.dq = np.zeros(self.joints)
        return Execution("done", cell.q.copy())

    def _halt(self) -> None:
        """Does nothing: the arm moves only while it follows."""

    def _recover(self) -> None:
        if self.fault:
            raise DeviceError(f"{self.name} reports: {self.fault}; clear it first")


class SimulatedHand(Hand):
    """The cell's hand."""

    name = "simulated hand"
    armed = True

    def __init__(self, cell: SimulatedCell) -> None:
        """Keeps the cell."""
        self.cell, self.clock = cell, cell.clock
        self.fault = ""

    def connect(self) -> None:
        """Does nothing: the hand is there."""

    def disconnect(self) -> None:
        """Does nothing: the hand holds what it holds."""

    @property
    def max_opening(self) -> float:
        """Greatest distance between the inner finger faces, metres."""
        return self.cell.gripper.max_opening

    def state(self) -> HandState:
        """Returns the state now; ``holding`` is that both fingers press on one object."""
        fingers = self.cell.hand.fingers
        return HandState(
            width=2 * fingers.reach(), holding=bool(fingers.held()), time=self.cell.clock(), fault=self.fault
        )

    def stop(self) -> None:
        """Does nothing: the fingers move only while a call runs, and hold what they hold."""

    def _move(self, width: float, *, force: float | None) -> HandState:
        if self.fault:
            raise DeviceError(f"{self.name} reports: {self.fault}; clear it first")
        cell, fingers = self.cell, self.cell.hand.fingers
        if force is not None:
            fingers.hold(None, force=force)
            for _ in range(fingers.closing_steps()):
                cell.step()
            return self.state()
        start, end = fingers.reach(), width / 2
        steps = max(1, math.ceil(abs(end - start) / (cell.settings.hand_speed * cell.time_step)))
        for i in range(1, steps + 1):
            fingers.hold(start + (end - start) * i / steps)
            cell.step()
        return self.state()


class SimulatedCamera(CameraDevice):
    """The cell's wrist camera; it sees arm and hand where they are in view.

    Attributes:
        frozen: Whether it gives the same old picture for ever; tests set it.
    """

    name = "simulated camera"

    def __init__(self, cell: SimulatedCell) -> None:
        """Keeps the cell."""
        self.cell, self.clock = cell, cell.clock
        self.frozen, self._count = False, 0
        self._last = -math.inf

    def connect(self) -> None:
        """Does nothing: the camera is there."""

    def disconnect(self) -> None:
        """Does nothing."""

    def read(self, after: float = -math.inf, timeout: float = 2.0) -> Frame:
        """Renders what the camera sees at the first time step after ``after``; see ``CameraDevice``."""
        cell = self.cell
        if self.frozen:
            raise DeviceError(f"{self.name} gave no picture within {timeout:g} s; check its cable and restart it")
        ends = cell.clock() + timeout
        while cell.clock() <= max(after, self._last):
            if cell.clock() > ends:
                raise DeviceError(f"{self.name} gave no picture newer than {after:.3f} s within {timeout:g} s")
            cell.step()
        seed = [*cell.seed, self._count]
        colours = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
        state = cell.scene()
        appearance = cell.appearance.draw(colours, len(state.models))
        eye = self.true_camera()
        depth, _, rgb = render_depth(state, eye, appearance)
        depth, rgb = draw_over(depth, rgb, cell.body(), camera=eye)
        if cell.depth_noise is not None:
            depth = cell.depth_noise(depth, np.random.default_rng(seed))
        self._count += 1
        self._last = cell.clock()
        return Frame(rgb=rgb, depth=depth, camera=replace(cell.camera, pose=np.eye(4)), time=cell.clock())

    def true_camera(self) -> PinholeCamera:
        """Returns the camera where it really is."""
        return replace(self.cell.camera, pose=self.cell.camera_pose())

    def noiseless_view(self, pose: FloatArray) -> SceneView:
        """Returns what a privileged policy is handed: the scene without noise.

        Args:
            pose: (4, 4) T_world_camera that the arm believes in; the view is taken from the true one.
        """
        state = self.cell.scene()
        parallel = ParallelCamera.covering(_PARALLEL, state.tray.view_side)
        view = render_view(state, self.true_camera(), parallel)
        return replace(view, camera=replace(view.camera, pose=pose))
