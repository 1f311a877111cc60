"""The loop on devices that are handed in: here those of the simulated cell, which know nothing of the loop."""

import numpy as np
import pytest

from robot.cell.simulated_cell import SimulatedCell
from robot.cell.simulated_devices import SimulatedArm, SimulatedCamera, SimulatedHand
from robot.protocol.on_hardware import run_on_hardware
from robot.protocol.scenes import ProtocolSettings
from sim.errors import InputError
from sim.grasp import GraspPoses


@pytest.fixture
def devices(station, lying):
    """The devices of a cell whose first box lies in the tray already."""
    cell = SimulatedCell(station.arm, station.gripper, settings=station.cell, camera=station.camera)
    with station.planner() as planner:
        view = station.view(planner)
    with cell:
        cell.start(lying((0.02, 0.03)), view)
        yield SimulatedArm(cell), SimulatedHand(cell), SimulatedCamera(cell)


def test_the_operator_counts_and_a_finished_scene_is_kept(station, boxes, highest, devices, tmp_path):
    rules = ProtocolSettings(objects=1, sizes=(1,), rounds=1)
    asked = []

    def ask(line):
        asked.append(line)
        return "" if "put into the tray" in line else "1"

    done = [
        run_on_hardware(station, highest(), boxes, settings=rules, devices=devices, out=tmp_path, ask=ask)
        for _ in range(2)
    ]
    assert [s["cleared"] for s in done[0]] == [1]
    assert done[1][0]["attempts"] == done[0][0]["attempts"]
    assert len(asked) == 2  # nothing was asked the second time
    assert (tmp_path / "picks-01-0000/pick-0000/frame.npz").is_file()


def test_an_arm_that_is_not_armed_plans_and_does_not_move(station, boxes, highest, devices, tmp_path):
    arm = devices[0]
    arm.armed = False
    before = arm.state().q
    with station.on_hardware(*devices, policy=highest()) as picker:
        attempt = picker.pick(list)
    assert attempt.reason == "dry run"
    assert attempt.rank == 0
    assert (arm.state().q == before).all()
    assert np.array(attempt.grasp).reshape(4, 4)[:2, 3] == pytest.approx((0.02, 0.03), abs=0.01)
    rules = ProtocolSettings(objects=1, sizes=(1,), rounds=1)
    with pytest.raises(InputError, match="armed=true"):
        run_on_hardware(station, highest(), boxes, settings=rules, devices=devices, out=tmp_path)


def test_a_dry_run_says_where_the_arm_stands(station, highest, devices):
    """It takes its picture from where the arm is, which may see no tray."""
    arm = devices[0]
    arm.armed = False
    with station.on_hardware(*devices, policy=highest()) as picker:
        assert "from the view" not in picker.pick(list).message
        picker.policy = nothing
        assert "gave no grasp; the camera is 0 mm and 0 degrees from the view" in picker.pick(list).message
        arm.cell.q = picker.parts.view + np.array([0.5, 0, 0, 0, 0, 0, 0])
        said = picker.pick(list).message
        assert "mm and 29 degrees from the view: a dry run takes its picture from where the arm is; lead it to" in said
        assert f"joint angles {np.degrees(picker.parts.view).round(1).tolist()} degrees" in said
        assert "radians" not in said
        arm.cell.q = np.degrees(picker.parts.view)
        assert "beyond its joints' limits (are its states in radians?)" in picker.pick(list).message


def nothing(observation, count):
    return GraspPoses.empty("camera")


nothing.name = "nothing"


def test_an_arm_of_another_kind_is_named(station, highest, devices):
    from dataclasses import replace

    from robot.arms.model import ArmModel

    other = replace(station, arm=ArmModel(urdf="ur5e", ready=(0.0, -1.57, 1.57, -1.57, -1.57, 0.0)))
    with pytest.raises(InputError, match="7 joints"), other.on_hardware(*devices, policy=highest()):
        pass
