"""Pictures taken with an arm and a camera, from the first to the calibration that they give."""

import numpy as np
import pytest

from plgp.policy.camera_files import read_intrinsics
from robot import Arm, ArmState, CameraDevice, Frame
from robot.calibration import Board, HandEye, propose_poses, read_samples
from robot.calibration.capture import Album, capture_by_hand, capture_by_itself, take_picture
from robot.capture import proposals
from sim.errors import InputError
from sim.geometry import make_pose


class Led(Arm):
    """An arm whose "joint angle" is the number of the pose to which it was led."""

    name, joints = "the led arm", 1

    def __init__(self):
        super().__init__()
        self.number, self.drifts = 0.0, False

    def connect(self):
        pass

    disconnect = _halt = _recover = connect

    def _follow(self, trajectory, guard):
        raise NotImplementedError

    def state(self):
        self.number += 0.01 if self.drifts else 0
        return ArmState(q=np.array([self.number]), dq=np.zeros(1), time=self.clock())


class Painted(CameraDevice):
    """A camera that sees what the led arm's true pose shows."""

    name = "the painted camera"

    def __init__(self, arm, poses, world):
        self.arm, self.poses, self.world, self.rng = arm, poses, world, np.random.default_rng(1)

    def connect(self):
        pass

    disconnect = connect

    def read(self, after=-np.inf, timeout=2.0):
        flange = self.poses[round(self.arm.number)]
        seen = np.linalg.inv(flange @ self.world.camera) @ self.world.board
        rgb = self.world.render(Board(), seen, self.world.lens, self.rng)
        depth = np.full(rgb.shape[:2], 0.4, np.float32)
        return Frame(rgb=rgb, depth=depth, camera=self.world.lens, time=self.clock())


@pytest.fixture
def studio(camera_world, tmp_path):
    """Arm, function that takes a picture, album, true poses; one of the poses looks away."""
    rng, middle = np.random.default_rng(4), make_pose(np.eye(3), Board().corners.mean(0))
    poses = propose_poses(camera_world.board @ middle, camera_world.camera, rng, count=10)
    poses.insert(2, poses[0] @ make_pose(np.diag([1.0, -1, -1]), (0, 0, 0)))
    arm, album = Led(), Album(tmp_path / "pictures")
    camera = Painted(arm, poses, camera_world)

    def forward(q):
        return camera_world.noisy(poses[round(q[0])], rng, metres=5e-4, radians=1e-3)

    def take():
        return take_picture(arm, camera, forward, board=Board(), album=album)

    return arm, take, album, poses


def test_an_arm_led_by_hand_gives_a_calibration(studio, camera_world):
    arm, take, album, _ = studio
    said, asked = [], []

    def ask(text):
        asked.append(text)
        arm.number = float(len(asked) - 1)
        return ""

    capture_by_hand(take, album, count=10, ask=ask, say=said.append)
    assert said[2] == "too little of the board is in view; not kept"
    assert "corners, 0." in said[0]
    assert 25 < float(said[0].split("by ")[1].split(" ")[0]) < 50
    assert len(said) == 11
    samples, empty = read_samples(album.folder, Board(), str(album.folder / "camera.json"))
    assert (len(samples), empty) == (10, [])
    found = HandEye.fit(samples)
    np.testing.assert_allclose(found.pose[:3, 3], camera_world.camera[:3, 3], atol=0.003)
    lens = read_intrinsics(album.folder / "camera.json", (480, 640))
    np.testing.assert_allclose(lens.intrinsics, camera_world.lens.intrinsics)


def test_a_folder_is_continued_and_q_ends(studio):
    arm, take, album, _ = studio
    answers = iter(["", "", "q"])
    capture_by_hand(take, album, count=10, ask=lambda _: next(answers), say=lambda _: None)
    again = Album(album.folder)
    assert list(again.poses) == ["000.png", "001.png"]
    np.testing.assert_allclose(again.poses["000.png"], album.poses["000.png"], atol=1e-8)
    arm.drifts = True
    assert "the arm moved" in take()
    assert len(Album(album.folder).poses) == 2


def test_an_arm_that_moves_by_itself_skips_what_it_cannot_reach(studio):
    arm, take, album, poses = studio
    said = []

    def go(goal):
        arm.number = float(next(i for i, p in enumerate(poses) if p is goal))
        return "too far" if arm.number == 1 else ""

    capture_by_itself(take, album, count=4, goals=poses, go=go, say=said.append)
    assert len(album.poses) == 4
    assert said[1] == "left out: too far"


def test_a_damaged_album_is_named(tmp_path):
    (tmp_path / "poses.csv").write_text("picture\n0.png\n")
    with pytest.raises(InputError, match=r"poses\.csv has no column"):
        Album(tmp_path)


def test_an_armed_arm_takes_its_pictures_from_every_side_near_and_far():
    """A board's size shows in how distances differ; one round of many poses would end after a quarter of the way."""
    eyes = np.stack(proposals(20, seed=0))[:, :3, 3]
    assert len(eyes) == 80  # some cannot be reached
    first, away = eyes[:20], np.linalg.norm(eyes, axis=1)
    sides = np.sort(np.arctan2(first[:, 1], first[:, 0]))
    assert np.diff(sides, append=sides[0] + 2 * np.pi).max() < np.radians(45)
    assert 0.3 <= away.min() < 0.35
    assert 0.55 < away.max() <= 0.6
