"""Poses in files of every kind: the right one, or one sentence."""

import contextlib
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.errors import InputError
from sim.interchange.pose_files import pose_of

POSE = np.array([[1.0, 0, 0, 0.1], [0, -1, 0, 0.2], [0, 0, -1, 0.6], [0, 0, 0, 1]])
ROWS = POSE.tolist()
PLACE, TURN = {"x": 0.1, "y": 0.2, "z": 0.6}, {"x": 1, "y": 0, "z": 0, "w": 0}
ROS = "transform:\n  translation: \n    x: 0.1\n    y: 0.2\n    z: 0.6\n"
ROS += "  rotation: \n    x: 1.0\n    y: 0.0\n    z: 0.0\n"
ECHO = "At time 0.0\n- Translation: [0.100, 0.200, 0.600]\n- Rotation: in Quaternion [1.000, 0.000, 0.000, 0.000]\n"


def test_arrays(tmp_path):
    np.save(tmp_path / "a.npy", POSE)
    np.savez(tmp_path / "b.npz", POSE)
    np.savez(tmp_path / "c.npz", pose=POSE, K=np.eye(3))
    np.savetxt(tmp_path / "d.csv", POSE, delimiter=",")
    np.savetxt(tmp_path / "e.txt", POSE[:3])
    for path in sorted(tmp_path.iterdir()):
        np.testing.assert_allclose(pose_of(str(path), "camera_pose"), POSE)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.JSON", json.dumps(ROWS)),
        ("b.json", json.dumps({"camera_to_world": ROWS})),
        ("c.json", json.dumps({"position": [0.1, 0.2, 0.6], "orientation": [1, 0, 0, 0]})),
        ("d.json", json.dumps({"pose": {"position": PLACE, "orientation": TURN}})),
        ("e.json", json.dumps({"R": POSE[:3, :3].tolist(), "t": [0.1, 0.2, 0.6]})),
        ("f.yaml", f"T_world_camera: {ROWS}\n"),
        ("transform_echo.yaml", ROS + "    w: 0.0\n---\n"),
        ("tf2_echo.txt", ECHO + "            in RPY (radian) [3.142, 0.000, 0.000]\n"),
        ("numpy.txt", str(POSE)),
        ("lists.txt", str(ROWS)),
        ("bom.txt", "\ufeff0.1 0.2 0.6 1 0 0 0"),
    ],
)
def test_texts(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    np.testing.assert_allclose(pose_of(str(tmp_path / name), "camera_pose"), POSE, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("empty.txt", "", "has 0 numbers"),
        ("half.json", "{", "cannot be read"),
        ("other.yaml", f"T_flange_camera: {ROWS}", "holds T_flange_camera; give T_world_camera"),
        ("keys.json", json.dumps({"intrinsics": [1]}), r"holds no pose \(keys intrinsics\)"),
        ("millimetres.txt", "100 200 600 1 0 0 0", "lies 640.312 m from the origin, as if in millimetres"),
        ("part.json", json.dumps({"translation": {"x": 1}, "rotation": [0, 0, 0, 1]}), "cannot be read"),
        ("none.yaml", "a: b: c", "cannot be read"),
        ("words.txt", "no pose\nat all", "cannot be read"),
    ],
)
def test_what_holds_no_pose_is_one_sentence(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        pose_of(str(tmp_path / name), "camera_pose")
    assert "\n" not in str(caught.value)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=60)
    | st.recursive(
        st.floats() | st.text(max_size=5) | st.none(),
        lambda part: (
            st.lists(part, max_size=8)
            | st.dictionaries(st.sampled_from(["pose", "R", "t", "rotation", "translation", "x", "T_a_b"]), part)
        ),
        max_leaves=10,
    ).map(lambda value: json.dumps(value).encode()),
    suffix=st.sampled_from([".npy", ".npz", ".json", ".yaml", ".txt"]),
)
def test_any_file_is_a_pose_or_one_sentence(tmp_path, content, suffix):
    (tmp_path / f"a{suffix}").write_bytes(content)
    with contextlib.suppress(InputError):
        assert pose_of(str(tmp_path / f"a{suffix}"), "camera_pose").shape == (4, 4)
