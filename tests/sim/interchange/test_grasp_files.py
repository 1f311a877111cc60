"""Grasp files: round trips, what other programs write, and bytes that are none."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from sim.errors import InputError
from sim.grasp import GraspPoses
from sim.gripper import GripperGeometry
from sim.interchange.grasp_files import FORMATS, read_grasps, write_grasps
from sim.interchange.hand_frames import to_frame

HAND = GripperGeometry(frames={"flange": {"xyz": [0, 0, 0.12], "rpy": [0, 0, 0.7]}})


def grasps(n=6, seed=0, frame="camera"):
    rng = np.random.default_rng(seed)
    turn = Rotation.random(n, random_state=seed).as_matrix() if n else np.zeros((0, 3, 3))
    quality = np.sort(rng.uniform(size=n))[::-1]
    return GraspPoses(rng.normal(size=(n, 3)), turn, rng.uniform(0.01, 0.1, n), quality, frame)


def assert_same(first, second):
    assert first.frame == second.frame
    for name in ("translation", "rotation", "width", "quality"):
        assert np.allclose(getattr(first, name), getattr(second, name), atol=1e-6), name


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("n", [0, 1, 6])
def test_round_trip(tmp_path, format, n):
    some = grasps(n)
    path = write_grasps(some, tmp_path / f"a{FORMATS[format]}", HAND, format=format)
    assert_same(read_grasps(path, HAND), some)


def test_moveit_in_the_flanges_frame_and_in_the_world(tmp_path):
    some = grasps(frame="world")
    path = write_grasps(some, tmp_path / "a.yaml", HAND, format="moveit", hand_frame="flange")
    assert_same(read_grasps(path, HAND), some)
    message = yaml.safe_load(path.read_text())["grasps"][0]
    assert message["grasp_pose"]["header"]["frame_id"] == "world"
    assert message["pre_grasp_approach"]["direction"]["header"]["frame_id"] == "flange"
    position = np.array([message["grasp_pose"]["pose"]["position"][k] for k in "xyz"])
    assert np.allclose(position, some.translation[0] - 0.12 * some.rotation[0][:, 2])


OTHER = GripperGeometry(frames={"flange": {"xyz": [0, 0, 0.3], "rpy": [0, 0, 0]}})


def test_poses_of_a_flange_are_read_with_the_hand_that_they_were_written_for(tmp_path):
    """Another hand's flange took the grasps 0.17 m off, without a word."""
    some = grasps(2)
    path = write_grasps(some, tmp_path / "a.yaml", HAND, format="moveit", hand_frame="flange")
    assert_same(read_grasps(path, OTHER), some)
    document = yaml.safe_load(path.read_text())
    rows = [
        {"translation": pose[:3, 3].tolist(), "rotation": pose[:3, :3].tolist(), "width": w, "quality": q}
        for pose, w, q in zip(to_frame(some, "flange", HAND), some.width.tolist(), some.quality.tolist(), strict=True)
    ]
    record = {"hand_frame": "flange", "T_hand_grasp": document.pop("T_hand_grasp"), "grasps": rows}
    (tmp_path / "a.json").write_text(json.dumps(record))
    assert_same(read_grasps(tmp_path / "a.json", OTHER), some)
    for held in ([[1, 2]], "x", {"a": 1}, np.full((4, 4), np.nan).tolist()):
        (tmp_path / "a.json").write_text(json.dumps({**record, "T_hand_grasp": held}))
        with pytest.raises(InputError, match="T_hand_grasp of"):
            read_grasps(tmp_path / "a.json", OTHER)
    path.write_text(yaml.safe_dump(document))  # as it was written before: by the name alone
    assert_same(read_grasps(path, HAND), some)
    assert "T_hand_grasp" not in write_grasps(some, tmp_path / "b.yaml", HAND, format="moveit").read_text()


SIDEWAYS = {"ee_link": {"xyz": [0.16, 0, 0], "rpy": [0, np.pi / 2, 0]}, "odd": {"xyz": [0, 0.1, 0], "rpy": [0.3, 1, 2]}}


@pytest.mark.parametrize("hand_frame", ["grasp", "palm", "graspnet", "contact_graspnet", *SIDEWAYS])
def test_moveits_approach_is_the_hands_in_every_frame(tmp_path, hand_frame):
    """A UR's ee_link looks along its x: its z was given, a quarter turn off."""
    hand, some = GripperGeometry(frames=SIDEWAYS), grasps(3)
    path = write_grasps(some, tmp_path / "a.yaml", hand, format="moveit", hand_frame=hand_frame)
    for i, message in enumerate(yaml.safe_load(path.read_text())["grasps"]):
        turn = Rotation.from_quat([message["grasp_pose"]["pose"]["orientation"][k] for k in "xyzw"])
        along = [message["pre_grasp_approach"]["direction"]["vector"][k] for k in "xyz"]
        np.testing.assert_allclose(turn.apply(along), some.rotation[i][:, 2], atol=1e-9)
    if hand_frame in ("ee_link", "graspnet"):
        assert along == [1.0, 0.0, 0.0]


@pytest.mark.parametrize("format", ["graspnet", "contact_graspnet"])
def test_formats_that_mean_the_camera_take_no_other_frame(tmp_path, format):
    with pytest.raises(InputError, match=f"{format}'s files hold grasps in the camera's frame, these are in that of"):
        write_grasps(grasps(frame="world"), tmp_path / f"a{FORMATS[format]}", HAND, format=format)
    assert not list(tmp_path.iterdir())


def test_contact_graspnets_own_files(tmp_path):
    """As its inference writes them: dictionaries of segments, pickled into the archive; no openings in older ones."""
    some = grasps(5)
    base = np.tile(np.eye(4), (5, 1, 1))
    base[:, :3, :3] = some.rotation
    base[:, :3, 3] = some.translation - 0.112204 * some.rotation[:, :, 2]
    parts = {1.0: slice(0, 2), 2.0: slice(2, 5)}
    np.savez(
        tmp_path / "p.npz",
        pc_full=np.zeros((4, 3)),
        pred_grasps_cam={k: base[s] for k, s in parts.items()},
        scores={k: some.quality[s] for k, s in parts.items()},
        contact_pts={k: np.zeros((3, 3)) for k in parts},
        pc_colors=None,
    )
    found = read_grasps(tmp_path / "p.npz", HAND)
    assert np.allclose(found.translation, some.translation, atol=1e-6)
    assert (found.width == HAND.max_opening).all()


def test_what_contact_graspnets_tools_read(tmp_path):
    path = write_grasps(grasps(), tmp_path / "p.npz", HAND, format="contact_graspnet")
    with np.load(path, allow_pickle=True) as arrays:  # as its visualisation does
        poses = arrays["pred_grasps_cam"].item()
        scores = arrays["scores"].item()
    assert {k: v.shape for k, v in poses.items()} == {-1: (6, 4, 4)}
    assert scores[-1].shape == (6,)


class Evil:
    def __reduce__(self):
        return eval, ("1/0",)


def test_no_archive_runs_code(tmp_path):
    np.savez(tmp_path / "p.npz", pred_grasps_cam=np.array(Evil(), dtype=object), scores=np.zeros(1))
    with pytest.raises(InputError, match=r"builtins\.eval"):
        read_grasps(tmp_path / "p.npz", HAND)


@pytest.mark.parametrize(
    ("frame_id", "read"),
    [
        ("world", "world"),
        ("/world", "world"),
        ("camera", "camera"),
        ("", "camera"),
        ("camera_color_optical_frame", "camera"),
        ("cam0", "camera"),
        ("zed_left", "camera"),
        ("base_link", ""),
        ("panda_link0", ""),
        ("map", ""),
    ],
)
def test_a_frame_that_is_neither_the_worlds_nor_a_cameras_is_refused(tmp_path, frame_id, read):
    """A base_link's grasps were taken as the camera's: AP 0, without a word."""
    path = write_grasps(grasps(2, frame="world"), tmp_path / "a.yaml", HAND, format="moveit")
    messages = yaml.safe_load(path.read_text())["grasps"]
    for message in messages:
        message["grasp_pose"]["header"]["frame_id"] = frame_id
    path.write_text(yaml.safe_dump(messages))
    rows = [{"translation": [0, 0, 0.5], "rotation": np.eye(3).tolist(), "width": 0.05, "quality": 1}]
    (tmp_path / "a.json").write_text(json.dumps({"reference": frame_id, "grasps": rows}))
    for file in (path, tmp_path / "a.json"):
        if read:
            assert read_grasps(file, HAND).frame == read
        else:
            with pytest.raises(InputError, match=f"in the frame '{frame_id}', which is not known here; bring them"):
                read_grasps(file, HAND)


def test_moveits_reference_counts_before_its_messages_frames(tmp_path):
    """MoveIt wants a frame of its robot in the messages; what the grasps are in stands above them."""
    path = write_grasps(grasps(2, frame="world"), tmp_path / "a.yaml", HAND, format="moveit")
    path.write_text(path.read_text().replace("frame_id: world", "frame_id: panda_link0"))
    assert read_grasps(path, HAND).frame == "world"


def test_plain_poses_in_an_npy_file_rank_in_their_order(tmp_path):
    poses = np.tile(np.eye(4), (3, 1, 1))
    poses[:, 2, 3] = 0.1, 0.2, 0.3
    np.save(tmp_path / "a.npy", poses)
    found = read_grasps(tmp_path / "a.npy", HAND)
    assert found.translation[:, 2].tolist() == [0.1, 0.2, 0.3]


def test_bad_files_are_one_sentence(tmp_path):
    def refused(name, words):
        with pytest.raises(InputError, match=words):
            read_grasps(tmp_path / name, HAND)

    refused("none.npy", "no grasp file")
    (tmp_path / "a.txt").write_text("1 2 3")
    refused("a.txt", "no grasp file that is known")
    np.save(tmp_path / "a.npy", np.zeros((3, 16)))
    refused("a.npy", r"\(3, 16\)")
    rows = grasps().to_graspnet()
    rows[2, 5] = np.nan
    np.save(tmp_path / "b.npy", rows)
    refused("b.npy", "grasp 2 is not finite")
    rows = grasps().to_graspnet()
    rows[:, 13:16] *= 1000
    np.save(tmp_path / "c.npy", rows)
    refused("c.npy", "millimetres")
    rows = grasps().to_graspnet()
    rows[1, 4:13] = 0
    np.save(tmp_path / "d.npy", rows)
    refused("d.npy", "rotation of grasp 1")
    (tmp_path / "a.yaml").write_text("- grasp_pose: {pose: {}}")
    refused("a.yaml", "no list of MoveIt grasps")
    (tmp_path / "a.json").write_text(json.dumps({"grasps": [{"translation": [0, 0, 0]}]}))
    refused("a.json", "rotation")
    with pytest.raises(InputError, match="format is 'ros'"):
        write_grasps(grasps(), tmp_path / "a.ros", HAND, format="ros")


def test_a_table_of_any_program(tmp_path):
    found = grasps(3)
    turn = Rotation.from_matrix(found.rotation).as_quat()
    parts = {f"q{name}": turn[:, i] for i, name in enumerate("xyzw")}
    place = {name: found.translation[:, i] for i, name in enumerate("xyz")}
    matrix = {f"r{i}{j}": found.rotation[:, i, j] for i in range(3) for j in range(3)}
    table = pd.DataFrame({"Score": found.quality, **parts, **place, "width": found.width})
    table.to_csv(tmp_path / "a.csv", index=False)
    table.to_csv(tmp_path / "b.csv", index=False, sep=";", decimal=",", encoding="utf-16")
    pd.DataFrame({f"t{n}": v for n, v in place.items()} | matrix | {"opening": found.width}).to_csv(tmp_path / "c.csv")
    best = found[np.argsort(-found.quality)]
    assert_same(read_grasps(tmp_path / "a.csv", HAND), best)
    assert_same(read_grasps(tmp_path / "b.csv", HAND), best)
    read = read_grasps(tmp_path / "c.csv", HAND)
    np.testing.assert_allclose(read.rotation, found.rotation, atol=1e-9)
    assert read.quality.tolist() == pytest.approx([1, 2 / 3, 1 / 3])
    table[:0].to_csv(tmp_path / "none.csv", index=False)
    assert len(read_grasps(tmp_path / "none.csv", HAND)) == 0
    for text, words in (
        ("x,y,z,roll\n0,0,0.5,1\n", "has the columns x, y, z, roll; name them x, y, z, qx, qy, qz, qw"),
        ("", "has the columns none|has the columns ; name them"),
        ("x,y,z,qx,qy,qz,qw\n0,0,a,1,0,0,0\n", "no number in x, y, z"),
        ("x,y,z,qx,qy,qz,qw\n0,0,0.5,1,0,0,3\n", "the quaternion of grasp 0 has not length 1"),
        ("x,y,z,qx,qy,qz,qw\n0,0,500,1,0,0,0\n", "give metres, not millimetres"),
        ("x,y,z,qx,qy,qz,qw\n0,0\n", "no number in x, y, z"),
    ):
        (tmp_path / "bad.csv").write_text(text)
        with pytest.raises(InputError, match=words):
            read_grasps(tmp_path / "bad.csv", HAND)


def gives_grasps_or_one_sentence(path):
    """Nothing but an InputError may come out of a file's reading; its message is one line."""
    try:
        found = read_grasps(path, HAND)
    except InputError as error:
        return "\n" not in str(error)
    return isinstance(found, GraspPoses)


STARTS = [
    b"",
    b"\x93NUMPY\x01\x00",
    b"PK\x03\x04",
    b"grasps:\n- grasp_pose:",
    b'{"grasps": [',
    b"{[",
    b"x,y,z,qx,qy,qz,qw,width,score\n",
    b"x;y;z;r00;r01;r02;r10;r11;r12;r20;r21;r22\n0,1;",
    pickle.dumps([1]),
]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(STARTS), st.binary(max_size=60), st.sampled_from([".json", ".npy", ".npz", ".yaml", ".csv"]))
def test_any_bytes_give_grasps_or_one_sentence(tmp_path_factory, start, rest, suffix):
    path = tmp_path_factory.getbasetemp() / f"fuzz{suffix}"
    path.write_bytes(start + rest)
    assert gives_grasps_or_one_sentence(path)


numbers = st.one_of(st.floats(), st.integers(), st.none(), st.text(max_size=3), st.lists(st.floats(), max_size=4))


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from(["translation", "rotation", "width", "quality"]), numbers), st.booleans())
def test_any_record_gives_grasps_or_one_sentence(tmp_path_factory, values, listed):
    path = tmp_path_factory.getbasetemp() / "fuzz_record.json"
    path.write_text(json.dumps({"grasps": [values] if listed else values}))
    assert gives_grasps_or_one_sentence(path)


cells = st.floats() | st.sampled_from(["", "x", "1e999", "0,5", "-", '"', "\x00", "1"])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(cells, max_size=9), max_size=4), st.sampled_from(",;\t"))
def test_any_table_gives_grasps_or_one_sentence(tmp_path_factory, rows, separator):
    lines = [["x", "y", "z", "qx", "qy", "qz", "qw", "width", "score"], *rows]
    path = tmp_path_factory.getbasetemp() / "fuzz_table.csv"
    path.write_text("\n".join(separator.join(map(str, line)) for line in lines))
    assert gives_grasps_or_one_sentence(path)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32), st.floats(0, 1))
def test_a_damaged_file_gives_grasps_or_one_sentence(tmp_path_factory, seed, place):
    folder = tmp_path_factory.getbasetemp()
    format = list(FORMATS)[seed % len(FORMATS)]
    path = write_grasps(grasps(2), folder / f"whole{FORMATS[format]}", HAND, format=format)
    content = bytearray(path.read_bytes())
    content[int(place * (len(content) - 1))] ^= 1 + seed % 255
    damaged = folder / f"damaged{path.suffix}"
    damaged.write_bytes(content[: len(content) - seed % 3])
    assert gives_grasps_or_one_sentence(damaged)
