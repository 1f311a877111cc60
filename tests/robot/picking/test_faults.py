"""What goes wrong in the loop: it stops safely, says in one sentence what happened, and can go on."""

from dataclasses import replace

import numpy as np
import pytest

from robot.errors import DeviceError
from robot.picking.picker import Picker, StoppedByPerson
from robot.protocol.crew import SimulatedCrew
from robot.values import Frame
from sim.camera import PinholeCamera
from sim.errors import InputError
from sim.grasp import GraspPoses


@pytest.fixture(scope="module")
def shared(station, lying, highest):
    with station.simulated(lying((0.03, 0.0)), highest()) as (cell, picker):
        yield cell, picker


@pytest.fixture
def at_view(shared):
    """A cell whose arm stands at its view; parts and policy that a test changes are put back."""
    cell, picker = shared
    kept = picker.parts, picker.policy, picker.settings
    yield cell, picker
    picker.parts, picker.policy, picker.settings = kept


class Altered:
    """A camera whose frames are changed on the way."""

    name = "the altered camera"

    def __init__(self, camera, change):
        self.camera, self.change = camera, change

    def read(self, after, timeout):
        return self.change(self.camera.read(after, timeout))


class Restless:
    """An arm that shakes for ever."""

    name = "the restless arm"

    def __init__(self, arm):
        self.arm = arm

    def state(self):
        state = self.arm.state()
        return replace(state, dq=state.dq + 0.1)


def no_cable(frame):
    raise DeviceError("the camera sends nothing any more; check its cable")


def half_size(frame):
    return Frame(rgb=frame.rgb[::2, ::2], depth=frame.depth, camera=frame.camera, time=frame.time)


def look_through(picker, change):
    eye = picker.parts.eye
    picker.parts = replace(picker.parts, eye=replace(eye, camera=Altered(eye.camera, change)))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(no_cable, "check its cable", id="camera lost"),
        pytest.param(lambda f: replace(f, depth=0 * f.depth), "depth in 0.0 % of its pixels", id="black depth"),
        pytest.param(lambda f: replace(f, depth=np.nan * f.depth), "depth in 0.0 % of its pixels", id="no numbers"),
        pytest.param(lambda f: replace(f, depth=1000 * f.depth), "give its depth in metres", id="millimetres"),
        pytest.param(lambda f: replace(f, depth=0.1 * f.depth), "look at what is before it", id="covered lens"),
        pytest.param(half_size, "align depth to colour", id="wrong frame size"),
    ],
)
def test_a_picture_that_is_none_costs_the_attempt_not_the_loop(at_view, change, said):
    cell, picker = at_view
    look_through(picker, change)
    attempt = picker.pick(SimulatedCrew(cell).landed)
    assert (attempt.reason, attempt.given) == ("no picture", 0)
    assert said in attempt.message
    assert not picker.parts.arm.stopped
    assert cell.q == pytest.approx(picker.parts.view, abs=1e-9)


def test_an_arm_that_does_not_come_to_rest_is_named(at_view):
    cell, picker = at_view
    picker.parts = replace(picker.parts, eye=replace(picker.parts.eye, arm=Restless(picker.parts.arm)))
    picker.settings = replace(picker.settings, rest_timeout=0.05)
    attempt = picker.pick(SimulatedCrew(cell).landed)
    assert (attempt.reason, "does not come to rest" in attempt.message) == ("no picture", True)


def test_another_camera_than_the_calibrated_one_ends_the_loop(at_view):
    cell, picker = at_view
    lens = picker.parts.eye.take(picker.settings).camera
    other = PinholeCamera(640, 480, lens.intrinsics * [[1.4], [1.4], [1]])
    large = PinholeCamera(1280, 960, lens.intrinsics * [[2], [2], [1]])
    replace(picker.parts.eye, calibrated=large).check_camera(lens)
    replace(picker.parts.eye, calibrated=PinholeCamera(1280, 720, other.intrinsics)).check_camera(lens)
    picker.parts = replace(picker.parts, eye=replace(picker.parts.eye, calibrated=other))
    with pytest.raises(InputError, match=r"focal length of 416 px.*calibrated camera has 582 px"):
        picker.pick(SimulatedCrew(cell).landed)


def far_away(observation, count):
    return GraspPoses(np.array([[0, 0, 3.0]]), np.eye(3)[None], np.array([0.05]), np.array([1.0]), "camera")


def no_numbers(observation, count):
    grasps = far_away(observation, count)
    grasps.translation[:] = np.nan
    return grasps


def broken(observation, count):
    raise ValueError("no weights\nhere")


@pytest.mark.parametrize(
    ("policy", "reason", "said"),
    [
        pytest.param(far_away, "unreachable", "none of 1 grasps can be reached", id="unreachable grasps only"),
        pytest.param(no_numbers, "no grasp", "gave no grasp", id="grasps without numbers"),
        pytest.param(broken, "no grasp", "policy raised ValueError: no weights here", id="policy raises"),
    ],
)
def test_grasps_that_are_none_cost_the_attempt_not_the_loop(at_view, policy, reason, said):
    cell, picker = at_view
    policy.name = "made for this test"
    picker.policy = policy
    attempt = picker.pick(SimulatedCrew(cell).landed)
    assert attempt.reason == reason
    assert said in attempt.message
    assert cell.q == pytest.approx(picker.parts.view, abs=1e-9)


def test_the_next_pick_follows_all_of_them(at_view):
    """Last of those that share a cell: the loop goes on after everything above."""
    cell, picker = at_view
    assert picker.pick(SimulatedCrew(cell).landed).success


@pytest.fixture
def cell_and_picker(station, lying, highest):
    with station.simulated(lying((0.03, 0.0)), highest()) as (cell, picker):
        yield cell, picker


def once(cell, picker, name, act):
    """Acts once, in the sixtieth time step of a motion."""
    seen = []

    def meddle(_):
        moving = picker.record.motions and picker.record.motions[-1][0] == name
        if moving:
            seen.append(name)
            if len(seen) == 60:
                act()

    cell.on_step.append(meddle)


def crash():
    raise KeyboardInterrupt


def test_an_arm_elsewhere_than_planned_does_not_move(cell_and_picker):
    cell, picker = cell_and_picker
    move = picker.parts.hand.move

    def shove(width):
        if width < picker.parts.hand.max_opening and not picker.record.motions[1:]:
            cell.q = cell.q + 0.05
            cell.wait(0.3)
        return move(width)

    picker.parts.hand.move = shove
    attempt = picker.pick(SimulatedCrew(cell).landed)
    assert (attempt.reason, attempt.success) == ("stopped", False)
    assert "starts 0.050 rad from where the arm is" in attempt.message
    assert cell.q == pytest.approx(picker.parts.view, abs=1e-9)


def test_the_hand_does_not_close_where_the_grasp_is_not(cell_and_picker):
    """The arm calls its motion done, and its shoulder has sunk by 0.019 rad: less than a motion's start may be off."""
    cell, picker = cell_and_picker
    execute, closed = picker.parts.arm.execute, []

    def sag(motion, guard):
        ended = execute(motion, guard)
        if picker.record.motions[-1][0] == "down":
            cell.q[1] += 0.019
        return ended

    picker.parts.arm.execute = sag
    picker.parts.hand.close = closed.append
    attempt = picker.pick(SimulatedCrew(cell).landed)
    assert (attempt.reason, closed) == ("stopped", [])
    assert "simulated arm stays 0.019 rad from the trajectory's end, the tip " in attempt.message
    assert "the hand was not closed" in attempt.message


@pytest.mark.parametrize("armed", [True, False])
def test_angles_that_are_no_numbers_are_one_sentence_before_anything_is_planned(at_view, armed):
    cell, picker = at_view

    class Blind(Restless):
        name, armed, stopped, stopped_by_person, clock = "the blind arm", None, False, False, cell.clock

        def state(self):
            return replace(self.arm.state(), q=np.full(7, np.nan))

    blind = Blind(picker.parts.arm)
    blind.armed = armed
    picker.parts = replace(picker.parts, arm=blind, eye=replace(picker.parts.eye, arm=blind))
    if armed:
        with pytest.raises(DeviceError, match="the blind arm reports joint angles that are not finite"):
            picker.pick(SimulatedCrew(cell).landed)
        return
    attempt = picker.pick(SimulatedCrew(cell).landed)
    assert (attempt.reason, "are not finite" in attempt.message) == ("no picture", True)


def test_the_force_limit_stops_and_what_is_held_is_still_delivered(cell_and_picker):
    cell, picker = cell_and_picker

    def hit():
        cell.hand.force = np.array([0.0, 200.0, 0.0])

    once(cell, picker, "to the receptacle", hit)
    attempt = picker.pick(SimulatedCrew(cell).landed)
    assert (attempt.reason, attempt.success, attempt.objects) == ("stopped", False, ["box0"])
    assert "limit 60" in attempt.message
    assert len(picker.failed) == 0
    assert cell.q == pytest.approx(picker.parts.view, abs=1e-9)


def test_ctrl_c_stops_and_the_next_run_delivers_what_the_hand_holds(cell_and_picker, highest):
    cell, picker = cell_and_picker
    once(cell, picker, "to the receptacle", crash)
    with pytest.raises(KeyboardInterrupt):
        picker.pick(SimulatedCrew(cell).landed)
    assert picker.parts.arm.stopped
    assert picker.parts.hand.state().holding
    there = cell.q.copy()
    cell.wait(0.2)
    assert (cell.q == there).all()
    picker.parts.arm.recover()
    blocked = replace(picker.parts, release=np.array([0.0, 3.0, 0.2]))
    with pytest.raises(DeviceError, match="the hand holds something: take it out"):
        Picker(blocked, highest()).pick(SimulatedCrew(cell).landed)  # a new process knows no place to put it
    attempt = Picker(picker.parts, highest()).pick(SimulatedCrew(cell).landed)
    assert (attempt.objects, attempt.reason) == (["box0"], "no grasp")


def test_a_run_that_was_killed_low_in_the_tray_goes_on(cell_and_picker, highest):
    cell, picker = cell_and_picker
    once(cell, picker, "up", crash)
    with pytest.raises(KeyboardInterrupt):
        picker.pick(SimulatedCrew(cell).landed)
    picker.parts.arm.recover()
    attempt = Picker(picker.parts, highest()).pick(SimulatedCrew(cell).landed)
    assert attempt.success, attempt


def test_a_person_who_stops_the_arm_is_not_overruled(cell_and_picker):
    cell, picker = cell_and_picker
    once(cell, picker, "to the grasp", picker.parts.arm.stop)
    with pytest.raises(DeviceError, match="was stopped on the way; look at the cell"):
        picker.pick(SimulatedCrew(cell).landed)
    assert picker.parts.arm.stopped


def test_a_stop_while_the_policy_thinks_is_not_overruled(cell_and_picker):
    cell, picker = cell_and_picker

    def think(observation, count):
        picker.parts.arm.stop()
        return GraspPoses.empty("camera")

    think.name = "made for this test"
    picker.policy = think
    for _ in range(2):  # the same command does not move it on either
        with pytest.raises(StoppedByPerson, match="was stopped; look at the cell"):
            picker.pick(SimulatedCrew(cell).landed)
        assert len(picker.record.motions) <= 1
        assert picker.parts.arm.stopped


def test_a_stop_while_the_hand_closes_and_fails_is_not_overruled(cell_and_picker):
    cell, picker = cell_and_picker
    free = picker.parts.hand._move

    def fail(width, *, force):
        if force is None:
            return free(width, force=force)
        picker.parts.arm.stop()
        raise DeviceError("the hand does not answer any more")

    picker.parts.hand._move = fail
    with pytest.raises(StoppedByPerson):
        picker.pick(SimulatedCrew(cell).landed)
    assert picker.record.motions[-1][0] == "down"
    assert picker.parts.arm.stopped


def test_a_stop_at_a_blocked_receptacle_is_not_overruled(cell_and_picker):
    cell, picker = cell_and_picker
    arm, over = picker.parts.arm, picker.parts.planner.over

    def block(*given, **named):
        arm.stop()
        return over(given[0], np.array([0.0, 3.0, 0.2]), *given[2:], **named)

    picker.parts.planner.over = block
    with pytest.raises(StoppedByPerson):
        picker.pick(SimulatedCrew(cell).landed)
    assert picker.record.motions[-1][0] == "up"
    assert arm.stopped


def test_a_hand_that_does_not_open_ends_the_loop_with_the_object_in_it(cell_and_picker, highest):
    cell, picker = cell_and_picker
    hand = picker.parts.hand
    free = hand._move

    def jammed(width, *, force):
        return free(width, force=force) if width < 0.09 else hand.state()

    once(cell, picker, "up", lambda: setattr(hand, "_move", jammed))
    with pytest.raises(DeviceError, match="opened to 30 mm where 100 mm were asked"):
        picker.pick(SimulatedCrew(cell).landed)
    assert hand.state().holding
    hand._move = free
    assert Picker(picker.parts, highest()).pick(SimulatedCrew(cell).landed).objects == ["box0"]


def test_a_hand_that_reports_a_fault_ends_the_loop(cell_and_picker):
    cell, picker = cell_and_picker
    hand = picker.parts.hand
    once(cell, picker, "down", lambda: setattr(hand, "fault", "it is too hot"))
    with pytest.raises(DeviceError, match="it is too hot"):
        picker.pick(SimulatedCrew(cell).landed)
    assert not cell.dq.any()


def test_a_blocked_receptacle_sends_the_object_back_to_its_place(cell_and_picker):
    cell, picker = cell_and_picker
    free = picker.parts
    before = np.array(cell.world.poses())[0, :3, 3]
    picker.parts = replace(free, release=np.array([0.0, 3.0, 0.2]))
    attempt = picker.pick(SimulatedCrew(cell).landed)
    assert (attempt.reason, attempt.objects) == ("stopped", [])
    assert "to the receptacle: no joint angles" in attempt.message
    cell.settle()
    assert np.array(cell.world.poses())[0, :3, 3] == pytest.approx(before, abs=0.01)
    assert cell.q == pytest.approx(free.view, abs=1e-9)


def test_the_wrong_arm_is_named_before_anything_moves(station, at_view, highest):
    cell, picker = at_view
    arm = picker.parts.arm

    class Six(type(arm)):
        joints = 6

    six = Six(cell)
    with (
        pytest.raises(InputError, match="has 6 joints and its model 7"),
        station.on_hardware(six, picker.parts.hand, picker.parts.eye.camera, policy=highest()),
    ):
        pass


def test_the_hand_is_in_the_picture_and_no_policy_sees_it(station, lying, highest):
    """A camera that looks past the fingers: the highest things in its picture are they."""
    near = replace(station.cell, camera=(0.0, -0.055, 0.02, 0.0, 0.0, -np.pi / 2), camera_height=0.5)
    close = replace(station, cell=near, depth_noise=None)
    with close.simulated(lying((0.03, 0.0)), highest()) as (cell, picker):
        frame = picker.parts.eye.camera.read()
        seen = picker.observe()
        height = cell.camera_pose()[2, 3]
        own = (frame.depth > 0) & (frame.depth < 0.3)
        assert own.mean() > 0.02
        assert (seen.depth[own] == 0).all()
        assert seen.depth[seen.depth > 0].min() > height - 0.1
        # A finger's end is where the arm says, as the true camera sees it past the palm.
        end = cell.tip(cell.q) @ np.array([0.0525, -0.006, -0.002, 1.0])
        rows, cols, depth = frame.camera.project((np.linalg.inv(cell.camera_pose()) @ end)[None, :3])
        assert frame.depth[round(rows[0]), round(cols[0])] == pytest.approx(depth[0], abs=0.01)
