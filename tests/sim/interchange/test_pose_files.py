"""Poses in files of every kind: the right one, or one sentence."""

import contextlib
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.io import savemat
from scipy.spatial.transform import Rotation

from sim.errors import InputError
from sim.interchange.pose_files import pose_of

POSE = np.array([[1.0, 0, 0, 0.1], [0, -1, 0, 0.2], [0, 0, -1, 0.6], [0, 0, 0, 1]])
ROWS = POSE.tolist()
INVERSE = np.linalg.inv(POSE)
MILLIMETRES = (INVERSE[:3, 3] * 1000).tolist()
PLACE, TURN = {"x": 0.1, "y": 0.2, "z": 0.6}, {"x": 1, "y": 0, "z": 0, "w": 0}
HAND_EYE = "{qw: 0.0, qx: 1.0, qy: 0.0, qz: 0.0, x: 0.1, y: 0.2, z: 0.6}"
ROS = "transform:\n  translation: \n    x: 0.1\n    y: 0.2\n    z: 0.6\n"
ROS += "  rotation: \n    x: 1.0\n    y: 0.0\n    z: 0.0\n"
ECHO = "At time 0.0\n- Translation: [0.100, 0.200, 0.600]\n- Rotation: in Quaternion [1.000, 0.000, 0.000, 0.000]\n"


def test_arrays(tmp_path):
    np.save(tmp_path / "a.npy", POSE)
    np.savez(tmp_path / "b.npz", POSE)
    np.savez(tmp_path / "c.npz", pose=POSE, K=np.eye(3))
    np.savetxt(tmp_path / "d.csv", POSE, delimiter=",")
    np.savetxt(tmp_path / "e.txt", POSE[:3])
    savemat(tmp_path / "f.mat", {"pose": POSE})
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
        ("calibrated.yaml", f"T_base_camera: {ROWS}\nheld_out_mm: 1.2\n"),
        ("tf.yaml", f"transforms:\n- transform: {{translation: {PLACE}, rotation: {TURN}}}\n"),
        ("easy_handeye.yaml", f"parameters: {{eye_on_hand: false}}\ntransformation: {HAND_EYE}\n"),
        (
            "opencv.yml",
            f"%YAML:1.0\n---\npose: !!opencv-matrix\n  {{rows: 4, cols: 4, dt: d, data: {POSE.ravel().tolist()}}}\n",
        ),
        ("list.json", json.dumps([{"cam_pose": ROWS}])),
        ("named.json", json.dumps({"x": 0.1, "y": 0.2, "z": 0.6, "qw": 0, "qx": 1, "qy": 0, "qz": 0})),
        ("named.yaml", "{tx: 0.1, ty: 0.2, tz: 0.6, qx: 1, qy: 0, qz: 0, qw: 0}"),
        ("wxyz.json", json.dumps({"position": [0.1, 0.2, 0.6], "wxyz": [0, 1, 0, 0]})),
        ("quat_wxyz.json", json.dumps({"t": [0.1, 0.2, 0.6], "quat_wxyz": [0, 1, 0, 0]})),
        ("quaternion_xyzw.json", json.dumps({"t": [0.1, 0.2, 0.6], "quaternion_xyzw": [1, 0, 0, 0]})),
        ("q.json", json.dumps({"trans": PLACE, "quat": {"qw": 0, "qx": 1, "qy": 0, "qz": 0}})),
        ("w2c.json", json.dumps({"w2c": np.linalg.inv(POSE).tolist()})),
        ("T_camera_world.yaml", f"T_camera_world: {np.linalg.inv(POSE).tolist()}\n"),
        ("bop.json", json.dumps({"7": {"cam_R_w2c": INVERSE[:3, :3].ravel().tolist(), "cam_t_w2c": MILLIMETRES}})),
        ("open3d.json", json.dumps({"class_name": "PinholeCameraParameters", "extrinsic": INVERSE.T.ravel().tolist()})),
        ("tum.txt", "# timestamp tx ty tz qx qy qz qw\n1.5 0.1 0.2 0.6 1 0 0 0\n"),
        ("kitti.txt", " ".join(str(v) for v in POSE[:3].ravel())),
        ("redwood.log", "0 0 1\n" + "\n".join(" ".join(str(v) for v in row) for row in POSE)),
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
        ("on_hand.yaml", f"parameters: {{eye_on_hand: true}}\ntransformation: {HAND_EYE}\n", "T_base_hand @ it"),
        ("extrinsics.json", json.dumps({"extrinsics": ROWS}), "holds 'extrinsics', which is T_world_camera to some"),
        ("opencv.yaml", "{rvec: [3.14, 0, 0], tvec: [0, 0, 0.6]}", "holds 'rvec', which is OpenCV's, the world in"),
        ("rpy.yaml", "{xyz: [0, 0, 0.6], rpy: [3.14, 0, 0]}", "holds 'rpy', which is angles, whose order"),
        ("tum.txt", "1.5 0 0 0.6 1 0 0 0\n2.5 0 0 0.7 1 0 0 0\n", "holds 2 poses by time, none of '000007.png'"),
        ("scene.json", json.dumps({"1": {"pose": ROWS}, "2": {"pose": ROWS}}), "those of the images 1, 2; give this"),
    ],
)
def test_what_holds_no_pose_is_one_sentence(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=words) as caught:
        pose_of(str(tmp_path / name), "camera_pose", "000007.png")
    assert "\n" not in str(caught.value)


def moved(metres):
    return POSE + np.array([[0, 0, 0, metres], *[[0] * 4] * 3])


def line(pose):
    turn = Rotation.from_matrix(pose[:3, :3]).as_quat()
    return " ".join(f"{v:.9g}" for v in (*pose[:3, 3], *turn))


def test_a_frames_number_is_no_time_where_times_are_seconds(tmp_path):
    tum = tmp_path / "tum.txt"
    tum.write_text("".join(f"{n / 30:.4f} {line(moved(n / 100))}\n" for n in range(90)))
    with pytest.raises(InputError, match=r"holds 90 poses by time, none of '000001.png'"):
        pose_of(str(tum), "camera_pose", "000001.png")
    np.testing.assert_allclose(pose_of(str(tum), "camera_pose", "0.0333.png"), moved(0.01), atol=1e-8)
    tum.write_text("".join(f"{n} {line(moved(n / 100))}\n" for n in range(1, 9)))  # as ICL-NUIM counts frames
    np.testing.assert_allclose(pose_of(str(tum), "camera_pose", "000003.png"), moved(0.03), atol=1e-8)


def test_the_image_chooses_in_a_trajectory(tmp_path):
    tum = "".join(f"{1305031102.1 + n / 10:.4f} {line(moved(n))}\n" for n in range(3))
    kitti = "".join(" ".join(f"{v:.9g}" for v in moved(n)[:3].ravel()) + "\n" for n in range(3))
    log = "".join(f"{n} {n} {n + 1}\n" + "\n".join(" ".join(map(str, r)) for r in moved(n)) + "\n" for n in range(3))
    colmap = "# IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME\n"
    for n in range(3):
        inverse = np.linalg.inv(moved(n))
        x, y, z, w = Rotation.from_matrix(inverse[:3, :3]).as_quat()
        place = " ".join(f"{v:.9g}" for v in inverse[:3, 3])
        colmap += f"{n + 1} {w} {x} {y} {z} {place} 1 frame{n}.jpg\n100.5 20.5 -1 3 4 5\n"
    turned = [(moved(n) @ np.diag([1, -1, -1, 1])).tolist() for n in range(3)]
    frames = [{"file_path": f"images/frame{n}", "transform_matrix": pose} for n, pose in enumerate(turned)]
    first, named = "# timestamp tx ty tz qw qx qy qz\n", "qw,qx,qy,qz,x,y,z,time\n"
    for n in range(3):
        x, y, z, w = Rotation.from_matrix(moved(n)[:3, :3]).as_quat()
        first += f"{1305031102.1 + n / 10:.1f} {n + 0.1} 0.2 0.6 {w} {x} {y} {z}\n"
        named += f"{w},{x},{y},{z},{n + 0.1},0.2,0.6,1305031102.{n + 1}\n"
    nerf = json.dumps({"fl_x": 600, "frames": frames})
    bop = json.dumps({str(n): {"pose": moved(n).tolist()} for n in range(3)})
    for name, text, frame in (
        ("a.txt", tum, "depth_1305031102.211.png"),
        ("b.txt", kitti, "000001.png"),
        ("c.log", log, "depth_000001.png"),
        ("images.txt", colmap, "frame1.png"),
        ("d.json", bop, "000001.png"),
        ("transforms.json", nerf, "frame1.png"),
        ("w_first.txt", first, "1305031102.2.png"),
        ("named.csv", named, "1305031102.2.png"),
        ("pictures.csv", named.replace("time", "image").replace("1305031102.", "frame"), "frame2.png"),
    ):
        (tmp_path / name).write_text(text)
        found = pose_of(str(tmp_path / name), "camera_pose", frame)
        np.testing.assert_allclose(found, moved(1), atol=1e-7, err_msg=name)


def test_numbers_may_be_longer_than_the_name_of_a_file():
    long = ",".join(f"{value:.20f}" for value in POSE.ravel())
    assert len(long) > 255
    np.testing.assert_allclose(pose_of(long, "camera_pose"), POSE)
    with pytest.raises(InputError, match="give 16 numbers"):
        pose_of("x" * 5000, "camera_pose")


def test_a_folder_has_a_file_an_image(tmp_path):
    for n in range(3):
        np.savetxt(tmp_path / f"frame-00000{n}.pose.txt", moved(n))
    for frame in ("frame-000001.depth.png", "000001.png"):
        np.testing.assert_allclose(pose_of(str(tmp_path), "camera_pose", frame), moved(1))
    with pytest.raises(InputError, match=r"has no files for 'frame-000007.depth.png'; give one an image"):
        pose_of(str(tmp_path), "camera_pose", "frame-000007.depth.png")


# A camera that looks down aslant, rolled so that its x axis leans down too; and the axes of its camera_link in it.
TILTED = np.eye(4)
TILTED[:3, :3] = Rotation.from_euler("XYZ", [-150, -20, 0], degrees=True).as_matrix()
BODY = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


def numbers(pose):
    return " ".join(str(number) for number in pose.ravel())


@pytest.mark.parametrize(
    ("pose", "said"),
    [
        (line(POSE), ""),
        ("0.1,0.2,0.6,0,0.98,0.17,0.1", "is read as x,y,z,w; a file that names qw"),
        ("0.1 0.2 0.6 0.1736 0.9848 0 0", "is read as x,y,z,w; a file that names qw"),
        ("0 0 0.6 0 0 1 0", "as w,x,y,z it would: if that is meant, give a file that names qw, qx, qy, qz"),
        ("1 0 0 0 0 1 0 0 0 0 1 0.6 0 0 0 1", "looks up in a world whose z is up; if it is OpenGL's or Blender's"),
        ("0 0 1 0 0 1 0 0 -1 0 0 0.6 0 0 0 1", "x axis looks down, as that of ROS's camera_link"),
        ("0 0 1 0 -1 0 0 0 0 -1 0 0.6 0 0 0 1", ""),
        (numbers(TILTED), ""),
        (numbers(TILTED @ np.diag([1, -1, -1, 1])), "looks up in a world whose z is up; if it is OpenGL's"),
        (numbers(TILTED @ BODY), "x axis looks down, as that of ROS's camera_link"),
        ("3 0 4.5 1 0 0 0", "the camera is 5.41 m from the world's origin; if that is not meant, give its pose in"),
        ("0 3 3.9 1 0 0 0", ""),
    ],
)
def test_a_camera_that_does_not_look_down_is_doubted(pose, said, capsys):
    pose_of(pose, "camera_pose")
    told = capsys.readouterr().err
    assert said in told
    assert bool(said) == bool(told)


def stamped(frame, child, turn):
    translation = dict(zip("xyz", turn[:3, 3].tolist(), strict=True))
    rotation = dict(zip("xyzw", Rotation.from_matrix(turn[:3, :3]).as_quat().tolist(), strict=True))
    part = {"transform": {"translation": translation, "rotation": rotation}, "child_frame_id": child}
    return {"header": {"frame_id": frame}} | part


@pytest.mark.parametrize("several", [False, True])
def test_a_transform_of_the_base_in_the_cameras_frame_is_inverted(tmp_path, several, capsys):
    """Its frames' names were not looked at: T_camera_base was read as T_base_camera."""
    path = tmp_path / "a.json"
    message = stamped("camera_color_optical_frame", "base_link", INVERSE)
    path.write_text(json.dumps({"transforms": [message]} if several else message))
    np.testing.assert_allclose(pose_of(str(path), "camera_pose"), POSE, atol=1e-9)
    assert "gives the pose of 'base_link' in the frame 'camera_color_optical_frame'" in capsys.readouterr().err
    path.write_text(json.dumps(stamped("base_link", "camera_color_optical_frame", POSE)))
    np.testing.assert_allclose(pose_of(str(path), "camera_pose"), POSE, atol=1e-9)
    assert not capsys.readouterr().err


def test_a_pose_in_the_cameras_frame_is_refused(tmp_path):
    path = tmp_path / "a.json"
    pose = {"position": {"x": 0.1, "y": 0, "z": 0.5}, "orientation": {"x": 0, "y": 0, "z": 0, "w": 1}}
    for message, words in (
        ({"header": {"frame_id": "camera_link"}, "pose": pose}, "gives a pose in the frame 'camera_link', a camera's;"),
        (stamped("camera_link", "camera_depth_optical_frame", POSE), "the pose of 'camera_depth_optical_frame' in"),
    ):
        path.write_text(json.dumps(message))
        with pytest.raises(InputError, match=words):
            pose_of(str(path), "camera_pose")
        path.write_text(json.dumps({**message, "T_world_camera": ROWS}))  # a name that says what it is
        np.testing.assert_allclose(pose_of(str(path), "camera_pose"), POSE)
    path.write_text(json.dumps({"header": {"frame_id": "base"}, "pose": pose}))
    assert pose_of(str(path), "camera_pose")[0, 3] == 0.1


KEYS = [
    "pose",
    "R",
    "t",
    "rotation",
    "translation",
    "x",
    "T_a_b",
    "w2c",
    "quat_wxyz",
    "qw",
    "class_name",
    "extrinsic",
    "0",
    "frames",
    "header",
    "frame_id",
    "child_frame_id",
    "camera",
]
LINES = st.lists(
    st.lists(st.floats(-2, 2) | st.sampled_from(["x", "y", "z", "qx", "qy", "qz", "qw", "time", "a.png"]), max_size=16),
    max_size=6,
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=60)
    | LINES.map(lambda lines: "\n".join(" ".join(map(str, line)) for line in lines).encode())
    | st.recursive(
        st.floats() | st.text(max_size=5) | st.none(),
        lambda part: st.lists(part, max_size=8) | st.dictionaries(st.sampled_from(KEYS), part),
        max_leaves=10,
    ).map(lambda value: json.dumps(value).encode()),
    suffix=st.sampled_from([".npy", ".npz", ".json", ".yaml", ".txt"]),
)
def test_any_file_is_a_pose_or_one_sentence(tmp_path, content, suffix):
    (tmp_path / f"a{suffix}").write_bytes(content)
    with contextlib.suppress(InputError):
        assert pose_of(str(tmp_path / f"a{suffix}"), "camera_pose", "7.png").shape == (4, 4)
