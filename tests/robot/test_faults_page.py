"""Every fault of the page has a test that provokes it."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/how-to/robot-faults.md"
PROVOKED = {
    "arm's cable pulled": "backends/test_ur.py::test_silence_stops_the_arm",
    "arm's controller hangs": "backends/test_rosbridge.py::test_silence_stops_the_arm_and_says_so",
    "protective stop": "backends/test_ur.py::test_a_protective_stop_is_recovered",
    "emergency stop, robot switched off": "backends/test_ur.py::test_an_emergency_stop_needs_a_person",
    "controller error, control program ends": "backends/test_xarm.py::test_what_goes_wrong_on_the_way_stops_the_arm",
    "ROS controller gives up": "backends/test_rosbridge.py::test_a_controller_that_gives_up_is_quoted",
    "force limit on the way": "picking/test_faults.py::test_the_force_limit_stops_and_what_is_held_is_still_delivered",
    "contact on the way down": "backends/test_ur.py::test_a_contact_ends_a_motion_that_may_meet_things",
    "limit of joint, speed or box": "backends/test_rosbridge.py::test_a_limit_on_the_way_stops_the_arm",
    "arm does not arrive": "backends/test_rosbridge.py::test_an_arm_that_does_not_arrive_is_stopped",
    "joint angles that are no numbers": "picking/test_faults.py::test_angles_that_are_no_numbers_are_one_sentence",
    "arm elsewhere than planned": "picking/test_faults.py::test_an_arm_elsewhere_than_planned_does_not_move",
    "arm does not come to rest": "picking/test_faults.py::test_an_arm_that_does_not_come_to_rest_is_named",
    "another arm than its model": "picking/test_faults.py::test_the_wrong_arm_is_named_before_anything_moves",
    "Ctrl-C, an error in the program": "picking/test_faults.py::test_ctrl_c_stops_and_the_next_run_delivers",
    "a person or another thread stops the arm": "picking/test_faults.py::test_a_person_who_stops_the_arm",
    "kill -9, power cut of the computer": "protocol/test_table5.py::test_a_run_that_is_killed_goes_on",
    "started again in mid-pick": "picking/test_faults.py::test_a_run_that_was_killed_low_in_the_tray_goes_on",
    "camera frozen, lost, slow": "cell/test_simulated_cell.py::test_a_frozen_camera_costs_the_attempt_not_the_loop",
    "black picture, lens covered": "picking/test_faults.py::test_a_picture_that_is_none_costs_the_attempt",
    "depth in millimetres": "picking/test_faults.py::test_a_picture_that_is_none_costs_the_attempt",
    "frame of another size": "picking/test_faults.py::test_a_picture_that_is_none_costs_the_attempt",
    "calibration file of another camera": "picking/test_faults.py::test_another_camera_than_the_calibrated_one_ends",
    "own hand in the picture": "picking/test_faults.py::test_the_hand_is_in_the_picture_and_no_policy_sees_it",
    "nothing between the fingers": "cell/test_simulated_cell.py::test_nothing_between_the_fingers_is_a_miss",
    "object lost on the way": "cell/test_simulated_cell.py::test_what_goes_wrong_on_the_way_is_named",
    "hand does not open": "picking/test_faults.py::test_a_hand_that_does_not_open_ends_the_loop",
    "hand's cable pulled, too hot, not activated": "picking/test_faults.py::test_a_hand_that_reports_a_fault",
    "ROS hand gives up, tells no position": "backends/test_ros_states.py::test_a_hand_that_tells_no_position_is_named",
    "receptacle blocked": "picking/test_faults.py::test_a_blocked_receptacle_sends_the_object_back",
    "no grasp can be reached": "picking/test_faults.py::test_grasps_that_are_none_cost_the_attempt_not_the_loop",
    "policy raises, or gives no numbers": "picking/test_faults.py::test_grasps_that_are_none_cost_the_attempt",
    "disk full": "test_recording.py::test_a_full_disk_costs_the_recording_not_the_loop",
}


def test_every_fault_of_the_page_is_provoked():
    rows = re.findall(r"^\| ([^|]+?) \|", PAGE.read_text(), re.MULTILINE)
    faults = [row for row in rows if row != "fault" and set(row) != {"-"}]
    assert faults == list(PROVOKED)
    for place in PROVOKED.values():
        file, _, name = place.partition("::")
        assert f"def {name}" in (ROOT / "tests/robot" / file).read_text(), place
