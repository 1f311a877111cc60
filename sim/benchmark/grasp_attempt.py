"""One grasp, really executed: down, close, lift, carry. ``sim.benchmark.attempt_outcome`` decides what it was."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from sim.benchmark.attempt_outcome import AttemptResult as AttemptResult
from sim.benchmark.attempt_outcome import Touched, attempt_result
from sim.benchmark.parallel_jaw import ParallelJaw
from sim.benchmark.protocol import AttemptSettings as AttemptSettings
from sim.geometry import make_pose
from sim.grasp import GraspPoses
from sim.gripper import GripperGeometry
from sim.physics import World
from sim.scene import SceneState, object_places

FloatArray = NDArray[np.float64]


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

    The hand starts back along the approach, goes down, closes, lifts and carries. Palm and fingers collide all the
    way. Objects of a scene at rest stay where they lie until something touches them.

    Args:
        world: A world, emptied and rebuilt here.
        state: The scene.
        grasp: Exactly one grasp, world frame.
        gripper: Geometry of the gripper.
        friction: Friction of both fingertips, or (left, right).
        settings: Forces, speeds and distances.
        on_step: Function that is called with the gripper after every time step, to film it.

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
    opening = float(grasp.width[0])
    jaw = ParallelJaw(world, gripper, s, pose=pose, opening=opening, friction=friction, on_step=on_step)
    touched, in_hand = _grasp_and_carry(jaw, state, pose[:3, 2])
    poses = np.array(world.poses()).reshape(-1, 4, 4)
    return attempt_result(
        touched,
        object_places(state.models, state.poses),
        object_places(state.models, poses),
        beside_hand=in_hand,
        hand=jaw.position(),
        poses=poses,
        lift=s.lift,
        seconds=time.perf_counter() - started,
    )


def _grasp_and_carry(jaw: ParallelJaw, state: SceneState, approach: FloatArray) -> tuple[Touched, FloatArray]:
    """Moves the hand through one attempt; returns what it met, and where each object was beside it when it closed.

    Args:
        jaw: The hand at the pre-grasp place.
        state: The scene.
        approach: (3,) unit vector, world frame.
    """
    s = jaw.settings
    jaw.move(s.pre_grasp * approach, s.down_steps)
    blocked = jaw.tip_error() > s.blocked
    jaw.close(jaw.closing_steps())
    gripped = jaw.held()
    beside = object_places(state.models, jaw.world.poses()) - jaw.position()
    lifted: list[int] = []
    held: list[int] = []
    if gripped:  # with nothing between the fingers there is nothing to lift
        jaw.move(np.array([0, 0, s.lift]), s.lift_steps)
        lifted = jaw.held()
    if lifted:  # and an empty hand need not be carried
        jaw.move(np.array([*s.carry, 0.0]), s.carry_steps)
        held = jaw.held()
    return Touched(blocked, gripped, lifted, held), beside
