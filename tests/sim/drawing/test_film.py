"""Films: the hand and the scene hide each other, the camera sees the whole attempt, a GIF keeps frames and time."""

import numpy as np
import pytest
from PIL import Image

from sim.drawing.film import Snapshot, draw_snapshot, film_camera, write_gif, write_line
from sim.errors import InputError
from sim.geometry import transform
from sim.objects import ObjectSet
from sim.scene import SceneState


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    folder = tmp_path_factory.mktemp("box")
    shape = '<geometry><box size="0.04 0.04 0.06"/></geometry>'
    (folder / "box.urdf").write_text(
        '<robot name="box"><link name="l"><inertial><mass value="0.1"/><inertia ixx="1" iyy="1" izz="1" ixy="0" '
        f'ixz="0" iyz="0"/></inertial><visual>{shape}</visual><collision>{shape}</collision></link></robot>'
    )
    models = ObjectSet.from_folder(folder).models
    poses = np.stack([np.eye(4)] * 2)
    poses[:, :3, 3] = [[-0.08, 0.02, 0.03], [0.1, -0.05, 0.03]]
    return SceneState((models[0], models[0]), poses, category="boxes-2")


def is_orange(frame):
    red, green, blue = frame.astype(float).transpose(2, 0, 1)
    return (red > 1.4 * green) & (green > 2 * blue) & (red > 100)


def make_box(place, size=0.03):
    pose = np.eye(4)
    pose[:3, 3] = place
    return np.full(3, size), pose, (240, 130, 20)


def test_hand_and_scene_hide_each_other(state):
    camera = film_camera((320, 240))
    bare = draw_snapshot(state, Snapshot(state.poses, [make_box((0, 0, -0.3))]), camera)
    assert not is_orange(bare).any()  # under the ground
    above = draw_snapshot(state, Snapshot(state.poses, [make_box((0, 0, 0.15))]), camera)
    to_camera = np.linalg.inv(camera.pose)
    point = camera.intrinsics @ (to_camera[:3, :3] @ [0, 0, 0.15] + to_camera[:3, 3])
    rows, cols = np.nonzero(is_orange(above))
    assert rows.mean() == pytest.approx(point[1] / point[2], abs=2)
    assert cols.mean() == pytest.approx(point[0] / point[2], abs=2)
    np.testing.assert_array_equal(above[~is_orange(above)], bare[~is_orange(above)])
    behind = (state.poses[0, :3, 3] - camera.pose[:3, 3]) * 1.06 + camera.pose[:3, 3]
    hidden = draw_snapshot(state, Snapshot(state.poses, [make_box(behind, 0.01)]), camera)
    assert not is_orange(hidden).any()


def test_the_camera_sees_tray_hand_and_drop_off():
    camera = film_camera((320, 240))
    assert np.linalg.det(camera.pose[:3, :3]) == pytest.approx(1)
    places = [(x, y, 0.05) for x in (-0.23, 0.23) for y in (-0.23, 0.23)]
    places += [(x, y, z) for x in (-0.15, 0.15, 0.40) for y in (-0.15, 0.15) for z in (0.2, 0.31)]
    seen = transform(np.linalg.inv(camera.pose), np.array(places)) @ camera.intrinsics.T
    cols, rows = (seen[:, :2] / seen[:, 2:]).T
    assert 0 < cols.min() < cols.max() < 319
    assert 17 < rows.min() < rows.max() < 239  # and the line of text hides nothing


def test_a_line_of_text_keeps_the_picture_below():
    frame = np.full((60, 200, 3), 90, np.uint8)
    short, long = write_line(frame, "ggcnn2: success"), write_line(frame, "a name far too long for its frame " * 4)
    for written in (short, long):
        assert written.shape == frame.shape
        assert (written[:17].max(axis=(1, 2)) > 200).any()
        np.testing.assert_array_equal(written[18:], frame[18:])
        assert (written[:17, 196:] == 30).all()


def test_a_gif_keeps_frames_and_time(tmp_path):
    rng = np.random.default_rng(0)
    frames = [np.kron(rng.integers(0, 255, (4, 5, 3)), np.ones((8, 8, 1))).astype(np.uint8) for _ in range(3)]
    path = write_gif(frames, tmp_path / "deep" / "film.gif", 20)
    with Image.open(path) as film:
        assert film.n_frames == 3
        times = []
        for number, frame in enumerate(frames):
            film.seek(number)
            times.append(film.info["duration"])
            assert np.abs(np.asarray(film.convert("RGB")).astype(int) - frame).mean() < 8
        assert times == [50, 50, 1000]
        assert film.info["loop"] == 0
    for wrong in ([], frames):
        with pytest.raises(InputError):
            write_gif(wrong, path, 0 if wrong else 20)
