"""The cell as one pick meets it: bits that repeat, a hand that stands where the arm says, faults that end safely."""

from dataclasses import replace

import numpy as np
import pytest

from robot.cell.settings import ReceptacleSettings
from robot.errors import DeviceError
from robot.protocol.contacts import ContactWatch
from robot.protocol.crew import SimulatedCrew
from sim.errors import InputError
from sim.physics import pybullet


def picked(station, scene, policy, *, on_step=None, prepare=None):
    """One pick; returns the attempt, the record, and where everything is at the end."""
    with station.simulated(scene, policy) as (cell, picker):
        crew = SimulatedCrew(cell)
        if on_step is not None:
            cell.on_step.append(lambda c: on_step(c, picker))
        if prepare is not None:
            prepare(cell, picker)
        attempt = picker.pick(crew.landed)
        return attempt, picker, np.array(cell.world.poses()), cell.q


@pytest.mark.parametrize(("centre", "refused"), [((0.0, 0.2), True), ((0.38, -0.38), True), ((0.0, -0.4), False)])
def test_a_receptacle_over_the_tray_is_refused(station, centre, refused):
    cell = replace(station.cell, receptacle=ReceptacleSettings(centre=centre))
    if not refused:
        assert replace(station, cell=cell).cell.receptacle.centre == centre
        return
    with pytest.raises(InputError, match=r"cell\.receptacle\.centre is .* over the tray.*beside the tray"):
        replace(station, cell=cell)


def test_a_box_goes_into_the_receptacle_bit_by_bit_the_same(station, lying, highest):
    scene, errors = lying((0.05, -0.06), (-0.08, 0.1)), {True: [], False: []}

    def look(cell, picker):
        if cell.steps % 40 == 0:
            resting = np.abs(cell.dq).max() == 0
            errors[resting].append(np.abs(cell.hand.pose() - cell.tip(cell.q)).max())

    first, picker, poses, q = picked(station, scene, highest(), on_step=look)
    again = picked(station, scene, highest(), on_step=look)
    assert first.success, first
    assert first.objects == ["box0"] or first.objects == ["box1"]
    x, y = station.cell.receptacle.centre
    landed = [p for p in poses if abs(p[0, 3] - x) < 0.15 and abs(p[1, 3] - y) < 0.15]
    assert len(landed) == 1
    assert (poses.tobytes(), q.tobytes()) == (again[2].tobytes(), again[3].tobytes())
    wall = ("policy_seconds", "plan_seconds")
    assert {k: v for k, v in first.to_row().items() if k not in wall} == {
        k: v for k, v in again[0].to_row().items() if k not in wall
    }
    # The hand stands where the arm says, grasp and all: at rest, and on the way no later than a time step.
    assert max(errors[True]) < 3e-4
    assert max(errors[False]) < 1.5 / 240
    # Every trajectory keeps to speeds and accelerations, and the arm is back at its view.
    assert first.speed_share <= 1
    assert first.acceleration_share <= 1
    assert q == pytest.approx(picker.parts.view, abs=1e-9)


def test_the_closing_direction_is_not_turned_by_a_quarter(station, lying, highest):
    """The box is 30 mm across x: closed on it the hand is 30 mm wide, not 60."""
    attempt = picked(station, lying((0.0, 0.0)), highest())[0]
    assert attempt.success
    assert attempt.widths[0] == pytest.approx(0.03, abs=0.002)
    grasp = np.array(attempt.grasp).reshape(4, 4)
    assert abs(grasp[0, 0]) > 0.99  # closes along the world's x
    assert grasp[:2, 3] == pytest.approx((0, 0), abs=0.006)


def test_the_picture_is_taken_where_the_camera_is_and_believed_where_it_is_not(station, lying):
    scene = lying((0.05, -0.06))
    off = replace(station, calibration=replace(station.calibration, position=0.02, rotation=0.0), depth_noise=None)
    with off.simulated(scene, None) as (cell, picker):
        seen = picker.observe()
        believed = np.linalg.inv(cell.camera_pose()) @ seen.camera.pose
        assert np.linalg.norm(believed[:3, 3]) == pytest.approx(0.02)
        # The true camera looks straight down from 0.6 m only as far as the calibration is right.
        assert seen.camera.pose == pytest.approx(
            np.array([[1, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 0.6], [0, 0, 0, 1]]), abs=1e-5
        )
        first = seen.depth
        assert (picker.observe().depth == first).all()  # nothing moved, no noise


def test_noise_differs_from_picture_to_picture_and_repeats_from_run_to_run(station, lying):
    runs = []
    for _ in range(2):
        with station.simulated(lying((0.0, 0.0)), None, seed=(3,)) as (_, picker):
            runs.append([picker.observe().depth for _ in range(2)])
    assert (runs[0][0] == runs[1][0]).all()
    assert not (runs[0][0] == runs[0][1]).all()


def open_the_hand_on_the_way(cell, picker):
    if cell.steps % 20 == 0 and picker.record.motions and picker.record.motions[-1][0] == "to the receptacle":
        cell.hand.fingers.hold(0.04)


def press_once(cell, picker):
    """A protective stop while the arm goes down; somebody clears it before the arm is recovered."""
    arm = picker.parts.arm
    if picker.record.motions and picker.record.motions[-1][0] == "down" and not arm.stopped and not arm.lag:
        arm.lag = 1e-6  # so that it comes but once
        arm.fault = "protective stop"

        def cleared():
            arm.fault = ""

        arm._recover = cleared


@pytest.mark.parametrize(
    ("on_step", "reason", "word"),
    [
        pytest.param(open_the_hand_on_the_way, "dropped", "", id="object dropped on the way"),
        pytest.param(press_once, "stopped", "protective stop", id="protective stop"),
    ],
)
def test_what_goes_wrong_on_the_way_is_named_and_the_next_pick_follows(station, lying, highest, on_step, reason, word):
    with station.simulated(lying((0.03, 0.0)), highest()) as (cell, picker):
        crew = SimulatedCrew(cell)

        def meddle(c):
            on_step(c, picker)

        cell.on_step.append(meddle)
        attempt = picker.pick(crew.landed)
        assert (attempt.success, attempt.reason) == (False, reason)
        assert word in attempt.message
        cell.on_step.remove(meddle)
        crew.tidy()
        assert cell.q == pytest.approx(picker.parts.view, abs=1e-9)
        if crew.left():
            assert picker.pick(crew.landed).success


def test_nothing_between_the_fingers_is_a_miss(station, lying, highest):
    attempt, picker, *_ = picked(station, lying((0.0, 0.0)), highest(aside=0.09))
    assert (attempt.success, attempt.reason) == (False, "missed")
    assert len(picker.failed) == 1


def test_an_empty_tray_gives_no_grasp(station, lying, highest):
    assert picked(station, lying(), highest())[0].reason == "no grasp"


def freeze(cell, picker):
    picker.parts.eye.camera.frozen = True


def test_a_frozen_camera_costs_the_attempt_not_the_loop(station, lying, highest):
    attempt, picker, *_ = picked(station, lying((0.0, 0.0)), highest(), prepare=freeze)
    assert attempt.reason == "no picture"
    assert "cable" in attempt.message
    assert not picker.parts.arm.stopped


def fault(cell, picker):
    picker.parts.arm.fault = "emergency stop"


def late(cell, picker):
    picker.parts.arm.lag = 1.0


@pytest.mark.parametrize(("prepare", "word"), [(fault, "emergency stop"), (late, "old")], ids=["e-stop", "stale state"])
def test_what_only_a_person_can_clear_stops_the_loop_where_the_arm_is(station, lying, highest, prepare, word):
    with station.simulated(lying((0.0, 0.0)), highest()) as (cell, picker):
        picker.parts.arm.connect()
        before = cell.q.copy()
        prepare(cell, picker)
        picker.parts = replace(picker.parts, view=before + 0.05)  # so that it has to move
        with pytest.raises(DeviceError, match=word):
            picker.pick(SimulatedCrew(cell).landed)
        assert (cell.q == before).all()


@pytest.mark.slow
def test_unplanned_contacts_are_counted(station, lying, highest):
    """A good pick has none. An arm that is driven through the tray has some."""
    with station.simulated(lying((0.0, 0.0)), highest()) as (cell, picker):
        watch = ContactWatch(cell)
        cell.on_step.append(watch)
        assert picker.pick(SimulatedCrew(cell).landed).success
        assert watch.take() == {}
        low = picker.parts.planner.tip(cell.q)
        low[2, 3] = -0.1
        into = np.linalg.inv(cell.base) @ low
        q = picker.parts.planner.chain.solve(into, cell.q)[0]
        for _ in range(24):
            cell.move(q, 0 * q, cell.tip(q))
        assert watch.take()
        watch.close()
        watch.close()


def test_a_closed_cell_leaves_no_client_behind(station, lying):
    alive = sum(pybullet.isConnected(i) for i in range(64))
    with station.simulated(lying((0.0, 0.0)), None):
        assert sum(pybullet.isConnected(i) for i in range(64)) > alive
    assert sum(pybullet.isConnected(i) for i in range(64)) == alive
