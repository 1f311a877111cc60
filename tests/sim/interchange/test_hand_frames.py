"""Poses of a hand's frames, against formulas written out by hand."""

import numpy as np
import pytest
import yaml
from hydra.utils import instantiate
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from sim.cli import conf_folder
from sim.errors import InputError
from sim.grasp import GraspPoses
from sim.gripper import GripperGeometry
from sim.interchange.hand_frames import frame_names, frame_of_grasp, from_frame, read_pose, to_frame

PRESETS = {p.stem: instantiate(yaml.safe_load(p.read_text())) for p in sorted(conf_folder().glob("gripper/*.yaml"))}


def grasps(seed, n=5):
    rng = np.random.default_rng(seed)
    turn = Rotation.random(n, random_state=seed).as_matrix()
    return GraspPoses(rng.normal(size=(n, 3)), turn, rng.uniform(0.01, 0.1, n), rng.uniform(size=n))


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_names_its_flange(name):
    assert "flange" in PRESETS[name].frame_origins
    assert np.allclose(frame_of_grasp("tool0", PRESETS[name]), frame_of_grasp("flange", PRESETS[name]))


@pytest.mark.parametrize("gripper", PRESETS.values(), ids=PRESETS)
@given(st.integers(0, 10**6))
def test_round_trip_of_every_frame(gripper, seed):
    some = grasps(seed)
    for name in frame_names(gripper):
        back = from_frame(to_frame(some, name, gripper), name, gripper, width=some.width, quality=some.quality)
        assert np.allclose(back.translation, some.translation, atol=1e-9)
        assert np.allclose(back.rotation, some.rotation, atol=1e-9)


def test_a_franka_that_grasps_straight_down_stands_as_its_urdf_says():
    """Fingers close along the hand's y; the hand is turned by -45 degrees on the flange; tips 112.2 mm before it."""
    down = np.array([[1.0, 0, 0], [0, -1, 0], [0, 0, -1]])  # closing along the world's x, approach downwards
    some = GraspPoses(np.array([[0.3, 0.1, 0.05]]), down[None], np.array([0.04]), np.array([1.0]), "world")
    hand = to_frame(some, "panda_hand", PRESETS["franka"])[0]
    assert np.allclose(hand[:3, 1], down[:, 0], atol=1e-6)  # y of the hand is the closing direction
    assert np.allclose(hand[:3, 3], (0.3, 0.1, 0.05 + 0.1122), atol=1e-6)
    flange = to_frame(some, "flange", PRESETS["franka"])[0]
    joint = np.eye(4)
    joint[:3, :3] = Rotation.from_euler("z", -np.pi / 4).as_matrix()
    assert np.allclose(flange @ joint, hand, atol=1e-6)
    tcp = to_frame(some, "panda_hand_tcp", PRESETS["franka"])[0]
    assert np.allclose(tcp[:3, 3] - hand[:3, 3], 0.1034 * down[:, 2], atol=1e-6)


def test_the_franka_urdf_of_pybullet_agrees():
    """The same chain, read from another source: finger joints of franka_panda/panda.urdf."""
    pybullet_data = pytest.importorskip("pybullet_data")
    import xml.etree.ElementTree as ET
    from pathlib import Path

    root = ET.parse(Path(pybullet_data.getDataPath()) / "franka_panda" / "panda.urdf").getroot()
    joints = {j.get("name"): j for j in root.findall("joint")}
    hand = [float(v) for v in joints["panda_hand_joint"].find("origin").get("rpy").split()]
    finger = [float(v) for v in joints["panda_finger_joint1"].find("origin").get("xyz").split()]
    axis = [float(v) for v in joints["panda_finger_joint1"].find("axis").get("xyz").split()]
    pose = frame_of_grasp("flange", PRESETS["franka"])
    assert np.allclose(pose[:3, 0], Rotation.from_euler("xyz", hand).as_matrix() @ axis, atol=1e-6)
    assert pose[2, 3] == pytest.approx(finger[2] + 0.0538)


def test_graspnet_and_contact_graspnet():
    some = grasps(1)
    columns = to_frame(some, "graspnet", GripperGeometry())[:, :3, :3]
    assert np.allclose(columns[:, :, 0], some.rotation[:, :, 2])
    assert np.allclose(columns[:, :, 1], some.rotation[:, :, 0])
    assert np.allclose(columns, some.to_graspnet()[:, 4:13].reshape(-1, 3, 3))
    base = to_frame(some, "contact_graspnet", GripperGeometry())
    assert np.allclose(base[:, :3, :3], some.rotation)
    assert np.allclose(base[:, :3, 3], some.translation - 0.112204 * some.rotation[:, :, 2])


def test_frames_are_no_part_of_the_grippers_identity():
    plain = GripperGeometry()
    named = GripperGeometry(frames={"flange": {"xyz": [0, 0, 0.1], "rpy": [0, 0, 1]}})
    assert plain == named
    assert hash(plain) == hash(named)
    assert frame_of_grasp("flange", named)[2, 3] == 0.1


def test_bad_frames_are_one_sentence():
    with pytest.raises(InputError, match="no frame 'wrist'; choose one of grasp, palm"):
        frame_of_grasp("wrist", GripperGeometry())
    for value in (3, {"xyz": [0, 0, 1]}, {"xyz": [0, 0], "rpy": [0, 0, 0]}, {"xyz": [0, 0, np.nan], "rpy": [0, 0, 0]}):
        with pytest.raises(InputError, match=r"frames\.flange"):
            GripperGeometry(frames={"flange": value})


def test_frames_in_millimetres_or_degrees_are_said():
    for value, words in (
        ({"xyz": [0, 0, 151], "rpy": [0, 0, 0]}, "flange is 151 m away, as if in millimetres; give xyz in metres"),
        ({"xyz": [0, 0, 0.151], "rpy": [0, 0, -90]}, "flange is turned by 90 rad, as if in degrees; give xyz"),
    ):
        with pytest.raises(InputError, match=words):
            GripperGeometry(frames={"flange": value})
    assert GripperGeometry(frames={"far": {"xyz": [0, 0, -1], "rpy": [0, 0, 6.2832]}}).frame_origins["far"][0][2] == -1


@given(st.integers(0, 10**6))
def test_poses_are_read_in_both_notations(seed):
    rng = np.random.default_rng(seed)
    turn, place = Rotation.random(random_state=seed), rng.normal(size=3)
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = turn.as_matrix(), place
    seven = ",".join(repr(float(v)) for v in (*place, *turn.as_quat()))
    sixteen = " ".join(repr(float(v)) for v in pose.ravel())
    assert np.allclose(read_pose(seven), pose)
    assert np.allclose(read_pose(sixteen), pose)
    assert np.allclose(read_pose(pose), pose)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1,2,3", "3 numbers"),
        ("a,b", "give 16 numbers"),
        ("0,0,0,1,1,1,1", "length 1"),
        (np.eye(4)[[1, 0, 2, 3]], "no rotation"),
        (2 * np.eye(4), "last row"),
        (np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0.1, 0.2, 0.5, 1.0]]), "column-major"),
        (np.full(16, np.nan), "NaN or infinite"),
        ("100,200,600,1,0,0,0", "as if in millimetres"),
    ],
)
def test_what_is_no_pose_is_said(text, words):
    with pytest.raises(InputError, match=words):
        read_pose(text)
