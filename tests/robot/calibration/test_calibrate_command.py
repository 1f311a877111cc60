"""The commands as users type them: board, calibrate, validate."""

import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from robot.__main__ import main
from robot.calibration import Board, HandEye, propose_poses, write_poses
from sim.geometry import make_pose, transform


def run(monkeypatch, capsys, *words):
    """Exit status, what was printed and what was complained about."""
    monkeypatch.setattr(sys, "argv", ["robot", *map(str, words)])
    status = 0
    try:
        main()
    except SystemExit as end:
        status = end.code
    said = capsys.readouterr()
    return status, said.out, said.err


@pytest.fixture(scope="module")
def folder(tmp_path_factory, camera_world):
    """Ten pictures of a board by a robot, and poses.csv."""
    place, rng, board = tmp_path_factory.mktemp("pictures"), np.random.default_rng(5), Board()
    middle, poses = make_pose(np.eye(3), board.corners.mean(0)), {}
    for i, flange in enumerate(propose_poses(camera_world.board @ middle, camera_world.camera, rng, count=10)):
        seen = np.linalg.inv(flange @ camera_world.camera) @ camera_world.board
        Image.fromarray(camera_world.render(board, seen, camera_world.lens, rng)).save(place / f"{i}.png")
        poses[f"{i}.png"] = camera_world.noisy(flange, rng, metres=5e-4, radians=1e-3)
    Image.new("RGB", (640, 480)).save(place / "dark.png")
    write_poses(place / "poses.csv", {**poses, "dark.png": np.eye(4)})
    return place


@pytest.fixture(scope="module")
def lens(camera_world):
    m = camera_world.lens.intrinsics
    return f"intrinsics={m[0, 0]},{m[1, 1]},{m[0, 2]},{m[1, 2]}"


@pytest.mark.parametrize("suffix", ["png", "pdf"])
def test_a_board_is_printed_in_its_true_size(tmp_path, monkeypatch, capsys, suffix):
    path = tmp_path / f"board.{suffix}"
    status, said, _ = run(monkeypatch, capsys, "board", path)
    assert (status, said.strip()) == (0, str(path))
    if suffix == "pdf":
        page = [float(v) for v in path.read_bytes().split(b"/MediaBox [")[1].split(b"]")[0].split()]
        np.testing.assert_allclose(np.array(page[2:]) / 72 * 25.4, (210, 297), atol=0.1)
        return
    sheet = Image.open(path)
    np.testing.assert_allclose(np.array(sheet.size) / np.array(sheet.info["dpi"]) * 25.4, (210, 297), atol=0.1)
    ids, corners = Board().find(np.array(sheet))
    assert len(ids) == 35
    np.testing.assert_allclose(np.diff(corners[:5, 0]), 320, atol=0.1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["board"], "FILE"),
        (["board", "b.svg"], "ends in .png or .pdf"),
        (["board", "b.png", "square=0.05", "marker=0.03"], "does not fit page=a4"),
        (["board", "b.png", "marker=0.05"], "board.marker"),
        (["board", "b.png", "columns=2"], "board.columns is 2"),
        (["board", "b.png", "page=b5"], "page is 'b5'"),
        (["board", "none/b.png"], "cannot be written"),
        (["calibrate", "none", "intrinsics=600,600,320,240"], "does not exist"),
        (["calibrate", ".", "intrinsics=600,600,320,240"], "poses.csv"),
        (["calibrate", "."], "intrinsics= is missing"),
        (["validate", "none.yaml", ".", "intrinsics=600,600,320,240"], "none.yaml cannot be read"),
        (["fly"], "is no command"),
    ],
)
def test_what_a_user_can_mend_is_one_sentence(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    status, _, complaint = run(monkeypatch, capsys, *words)
    assert status == 2
    assert said in complaint
    assert complaint.strip().count("\n") == 0
    assert not list(tmp_path.iterdir())


def test_pictures_become_a_calibration_that_touches_confirm(folder, lens, camera_world, monkeypatch, capsys):
    status, said, _ = run(monkeypatch, capsys, "calibrate", folder, lens)
    assert status == 0
    assert "dark.png shows too little of the board" in said
    assert "from 10 pictures" in said
    assert (folder / "hand_eye.png").stat().st_size > 10_000
    corners = transform(camera_world.board, Board().corners)
    lines = [f"{k},{x:.5f},{y:.5f},{z + 0.003:.5f}" for k, (x, y, z) in enumerate(corners) if k in (0, 4, 34)]
    (folder / "touches.csv").write_text("\n".join(["corner,x,y,z", *lines]))
    status, said, _ = run(monkeypatch, capsys, "validate", folder / "hand_eye.yaml", folder, lens)
    assert status == 0
    assert "3 touched corners: mean error" in said
    assert -4.5 < float(said.split("z ")[-1].split(" mm")[0]) < -1.5
    assert "pendant" not in said
    turned = [f"{k},{-x:.5f},{-y:.5f},{z:.5f}" for k, (x, y, z) in enumerate(corners) if k in (0, 4, 34)]
    (folder / "touches.csv").write_text("\n".join(["corner,x,y,z", *turned]))
    _, said, _ = run(monkeypatch, capsys, "validate", folder / "hand_eye.yaml", folder, lens)
    assert "with x and y of the touches negated the mean error is" in said
    assert "a UR pendant's, whose base is turned by 180 degrees" in said
    (folder / "touches.csv").unlink()
    found = HandEye.load(folder / "hand_eye.yaml")
    replace(found, doubts=("the tilts are small",)).save(folder / "hand_eye.yaml")
    _, said, _ = run(monkeypatch, capsys, "validate", folder / "hand_eye.yaml", folder, lens)
    assert "10 pictures put the board's corners" in said
    assert "hand_eye.yaml: the tilts are small" in said


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("picture,x,y,z\n0.png,1,2,3", "has no column qx, qy, qz, qw"),
        ("picture,x,y,z,qx,qy,qz,qw\n0.png,1,2,3,0,0,0", "line 2 of"),
        ("picture,x,y,z,qx,qy,qz,qw\n0.png,1,2,3,0,0,0,2", "quaternion of length 2"),
        ("picture,x,y,z,qx,qy,qz,qw\n0.png,400,2,3,0,0,0,1", "give metres"),
        ("picture,x,y,z,qx,qy,qz,qw\nnone.png,0,0,0,0,0,0,1", "names none.png, which is not in"),
        ("", "has no column"),
        ("picture,x,y,z,qx,qy,qz,qw\n0.png,nan,0,0,0,0,0,1", "line 2 of"),
        ("picture,x,y,z,qx,qy,qz,qw\n0.png,nan,0,0,0,0,0,1", "holds a number that is not finite"),
        ("picture,x,y,z,qx,qy,qz,qw\n0.png,0,0,0,0,0,0,1\n0.png,0,0,1,0,0,0,1", "names 0.png a second time"),
        ("\ufeffpicture,x,y,z,qx,qy,qz,qw\nnone.png,0,0,0,0,0,0,1", "names none.png, which is not in"),
        ("picture,x,y,z,qx,qy,qz,qw\n", "0 pictures show the board"),
    ],
)
def test_a_wrong_table_of_poses_is_named(tmp_path, monkeypatch, capsys, table, said):
    (tmp_path / "poses.csv").write_text(table)
    status, _, complaint = run(monkeypatch, capsys, "calibrate", tmp_path, "intrinsics=600,600,320,240")
    assert status == 2
    assert said in complaint


def test_pictures_without_the_board_end_in_a_sentence_about_it(folder, lens, monkeypatch, capsys):
    status, _, complaint = run(monkeypatch, capsys, "calibrate", folder, lens, "columns=8", "rows=6")
    assert status == 2
    assert "none of the 11 pictures" in complaint
    assert "with columns=6 rows=8 it is seen" in complaint


@pytest.mark.parametrize(
    "table", ["corner,x,y,z\n99,0,0,0", "corner,x,y,z\na,0,0,0", "corner,x,y,z\n1,nan,0,0", "x\n1"]
)
def test_wrong_touches_are_named(folder, lens, tmp_path, monkeypatch, capsys, table):
    (tmp_path / "hand_eye.yaml").write_text("T_flange_camera: [[1,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]]")
    (folder / "touches.csv").write_text(table)
    status, _, complaint = run(monkeypatch, capsys, "validate", tmp_path / "hand_eye.yaml", folder, lens)
    (folder / "touches.csv").unlink()
    assert status == 2
    assert "touches.csv" in complaint or "corner 99" in complaint


def test_every_command_has_help(monkeypatch, capsys):
    status, said, _ = run(monkeypatch, capsys)
    assert status == 0
    for name in ("board", "calibrate", "validate"):
        assert name in said
        assert f"python -m robot {name}" in run(monkeypatch, capsys, name, "--help")[1]
