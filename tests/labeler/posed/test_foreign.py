"""What the camera saw and no pose explains: labels under it, and labels whose hand meets it, are left out."""

import json

import numpy as np
import pandas as pd
import pytest
import trimesh
from PIL import Image

from labeler.labels import GraspLabels
from labeler.posed.check import CheckSettings
from labeler.posed.data import describe_checks, import_posed
from labeler.posed.foreign import find_foreign, meets_foreign
from labeler.shards.data_set import DataSet
from sim.camera import PinholeCamera
from sim.gripper import GripperGeometry

SIZE = (240, 320)  # rows, columns
FOCAL = 320.0
MIDDLE = ((SIZE[1] - 1) / 2, (SIZE[0] - 1) / 2)
CAMERA = PinholeCamera(SIZE[1], SIZE[0], np.array([[FOCAL, 0, MIDDLE[0]], [0, FOCAL, MIDDLE[1]], [0, 0, 1]]))
HALF = 20.0  # half the side of the cube, millimetres
COLS, ROWS = np.meshgrid(np.arange(SIZE[1]) - MIDDLE[0], np.arange(SIZE[0]) - MIDDLE[1])


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def add_box(depth, top, x, y):
    """Adds a box to a depth image, millimetres; x and y are the ends of its sides."""
    u, v = COLS * top / FOCAL, ROWS * top / FOCAL
    inside = (x[0] < u) & (u < x[1]) & (y[0] < v) & (v < y[1])
    return np.where(inside, np.minimum(depth, top), depth)


def write_data(folder, depths):
    """A BOP data set: in every view a cube on a table 600 mm below the camera."""
    scene = folder / "test" / "000001"
    for name in ("rgb", "depth"):
        (scene / name).mkdir(parents=True)
    (folder / "models").mkdir()
    trimesh.creation.box((2 * HALF,) * 3).export(folder / "models" / "obj_000001.ply")
    cameras, poses = {}, {}
    for view, depth in enumerate(depths):
        Image.fromarray(np.full((*SIZE, 3), 90, np.uint8)).save(scene / f"rgb/{view:06d}.png")
        Image.fromarray(np.rint(10 * depth).astype(np.uint16)).save(scene / f"depth/{view:06d}.png")
        cameras[view] = {"cam_K": CAMERA.intrinsics.ravel().tolist(), "depth_scale": 0.1}
        poses[view] = [{"cam_R_m2c": np.eye(3).ravel().tolist(), "cam_t_m2c": [0, 0, 600 - HALF], "obj_id": 1}]
    (scene / "scene_camera.json").write_text(json.dumps(cameras))
    (scene / "scene_gt.json").write_text(json.dumps(poses))
    return folder


def test_labels_under_a_thing_without_a_pose_are_left_out(tmp_path):
    """Noise and speckles of a pixel or two cost none."""
    rng = np.random.default_rng(0)
    cube = add_box(np.full(SIZE, 600.0), 600 - 2 * HALF, (-HALF, HALF), (-HALF, HALF))
    noisy = cube + rng.normal(0, 1.5, SIZE)
    noisy[rng.random(SIZE) < 0.01] -= 100
    bar = add_box(cube, 500.0, (-7.0, 7.0), (-100.0, 100.0))
    done = import_posed(write_data(tmp_path / "bop", [cube, noisy, bar]), tmp_path / "data", check=CheckSettings())
    data = DataSet(tmp_path / "data")
    print(describe_checks(done.poses))
    assert done.poses.verdict.tolist() == ["good"] * 3
    frames = [data.read(i, ("depth", "depth_noisy")) for i in range(3)]
    counts = [len(frame["grasps"]) for frame in frames]
    assert done.poses.dropped[:2].tolist() == [0, 0]
    assert min(counts[:2]) > 50
    assert counts[2] + done.poses.dropped[2] == pytest.approx(counts[0], rel=0.1)
    left, g = frames[2], frames[2]["grasps"]
    assert (left["depth_noisy"][g.row, g.col] > left["depth"][g.row, g.col] - 0.01).all()
    assert done.poses.dropped[2] > 50
    assert f"in the way: test/000001/2 obj_000001: {done.poses.dropped[2]} labels left out" in describe_checks(
        done.poses
    )
    table = pd.read_csv(tmp_path / "data" / "poses.csv")
    assert table.columns[-1] == "dropped"
    assert table.dropped.tolist() == done.poses.dropped.tolist()


def test_a_hand_meets_what_stands_where_it_goes_down():
    rendered = np.full(SIZE, 0.6, np.float32)
    post = add_box(600 * np.ones(SIZE), 560.0, (27.0, 45.0), (-9.0, 9.0)) / 1000
    low = add_box(600 * np.ones(SIZE), 585.0, (27.0, 45.0), (-9.0, 9.0)) / 1000
    high = add_box(600 * np.ones(SIZE), 500.0, (45.0, 60.0), (-5.0, 5.0)) / 1000  # of the hand, the palm alone is there
    gripper = GripperGeometry()
    middle = [round(MIDDLE[1])] * 4, [round(MIDDLE[0])] * 4
    labels = GraspLabels(
        np.array(middle[0], np.uint16),
        np.array(middle[1], np.uint16),
        np.array([0, 9, 0, 0], np.uint8),  # of 18 bins: 0 closes along the columns, 9 along the rows
        np.array([-0.02, -0.02, -0.02, -0.02], np.float32),
        np.array([0.05, 0.05, 0.02, 0.05], np.float32),
        np.zeros(4, np.float32),
    )

    def met(measured):
        measured = measured.astype(np.float32)
        foreign = find_foreign(rendered, measured, CAMERA, within=0.01)
        assert foreign.any()
        about = {"rendered": rendered, "measured": measured, "camera": CAMERA, "gripper": gripper, "angles": 18}
        return meets_foreign(labels, foreign, **about).tolist()

    assert met(post) == [True, False, False, True]
    assert met(low) == [False] * 4  # the tips end above it
    assert met(high) == [True, False, True, True]


def test_beside_an_object_its_own_depth_is_none_of_another_thing():
    """Cameras measure rims too far out, and a pose may be off by as much as the check lets pass."""
    rendered = add_box(np.full(SIZE, 600.0), 500.0, (-HALF, HALF), (-HALF, HALF)).astype(np.float32) / 1000
    measured = add_box(np.full(SIZE, 600.0), 500.0, (-HALF, HALF + 4), (-HALF - 4, HALF)).astype(np.float32) / 1000
    assert not find_foreign(rendered, measured, CAMERA, within=0.01).any()
    assert not find_foreign(np.zeros(SIZE, np.float32), measured, CAMERA, within=0.01).any()
