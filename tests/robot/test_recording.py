"""Recordings come back as they were written; what is none is named."""

import json

import numpy as np
import pytest

from robot.errors import DeviceError
from robot.picking.attempt import PickAttempt
from robot.picking.picker import PickRecord
from robot.recording import RecordedCamera, Recorder, read_motions, read_observation, read_pick
from robot.replay import compare_grasps, describe_pick, draw_pick
from robot.values import Trajectory
from sim.camera import PinholeCamera, overhead_pose
from sim.errors import InputError
from sim.grasp import GraspPoses
from sim.view import Observation


def seen(seed=0):
    rng = np.random.default_rng(seed)
    depth = rng.uniform(0.5, 0.6, (48, 64)).astype(np.float32)
    depth[:3] = 0
    camera = PinholeCamera.from_fov(64, 48, pose=overhead_pose(0.6))
    return Observation(rng.integers(0, 255, (48, 64, 3)).astype(np.uint8), depth, camera)


def record():
    motion = Trajectory(times=[0, 1.0], positions=[[0.0, 1], [1, 2]], velocities=np.zeros((2, 2)))
    grasps = GraspPoses(
        np.array([[0, 0, 0.01], [0.05, 0, 0.02]]),
        np.stack([np.diag([1.0, -1, -1])] * 2),
        [0.05, 0.06],
        [0.9, 0.4],
        "world",
    )
    verdicts = [(0, "collision: at the grasp a finger would come within 0 mm of the tray"), (1, "taken")]
    return PickRecord(seen(), grasps, verdicts, [("to the view", motion), ("down", motion)])


def written(tmp_path, **changes):
    attempt = PickAttempt(given=2, rank=1, quality=0.4, unreachable={"collision": 1}, **changes)
    Recorder(tmp_path, "all").keep(0, attempt, record())
    return tmp_path / "pick-0000"


def test_a_pick_comes_back_as_it_was(tmp_path):
    place = written(tmp_path, success=True, objects=["cup"])
    row, picture, motions = read_pick(place), read_observation(place), read_motions(place)
    assert row["objects"] == ["cup"]
    assert [g["verdict"].split(":")[0] for g in row["grasps"]] == ["collision", "taken"]
    assert (picture.depth == seen().depth).all()
    assert (picture.rgb == seen().rgb).all()
    assert (picture.camera.pose == overhead_pose(0.6)).all()
    assert [name[3:] for name in motions] == ["to the view", "down"]
    assert motions["01 down"].duration == 1.0
    said = describe_pick(row, motions, 5)
    assert "success: cup" in said
    assert "taken" in said
    now = record().grasps[:1]
    assert "0 mm from the nearest recorded one" in compare_grasps(row, now, 3)
    assert draw_pick(row, picture, now, path=place / "replay.png").stat().st_size > 1000


def test_only_what_is_asked_for_is_kept(tmp_path):
    recorder = Recorder(tmp_path, "failures")
    recorder.keep(0, PickAttempt(success=True), record())
    recorder.keep(1, PickAttempt(reason="missed"), record())
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["pick-0001"]


def test_a_pick_without_a_picture_is_kept_too(tmp_path):
    attempt = PickAttempt()
    attempt.fail("no picture", "the camera gave none")
    Recorder(tmp_path, "all").keep(3, attempt, PickRecord())
    assert read_pick(tmp_path / "pick-0003")["reason"] == "no picture"
    assert json.loads((tmp_path / "pick-0003/pick.json").read_text())["quality"] is None
    with pytest.raises(InputError, match="no recorded picture"):
        read_observation(tmp_path / "pick-0003")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\x00\x01"])
def test_what_is_no_recording_is_named(tmp_path, content):
    for name in ("pick.json", "frame.npz", "motions.npz"):
        (tmp_path / name).write_bytes(content)
    for read in (read_pick, read_observation, read_motions):
        with pytest.raises(InputError, match="give a"):
            read(tmp_path)


def test_a_full_disk_costs_the_recording_not_the_loop(tmp_path):
    """The system refuses larger files, as it does on a full disk: pick-0000 is whole, 0001 warns, 0002 is whole."""
    resource = pytest.importorskip("resource", reason="no such limits on this system")
    recorder, limit = Recorder(tmp_path, "all"), resource.getrlimit(resource.RLIMIT_FSIZE)
    recorder.keep(0, PickAttempt(), record())
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limit[1]))
    try:
        with pytest.warns(UserWarning, match="this pick is not recorded: .*pick-0001"):
            recorder.keep(1, PickAttempt(), record())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    recorder.keep(2, PickAttempt(), record())
    assert [p.name for p in sorted(tmp_path.iterdir())] == ["pick-0000", "pick-0002"]
    assert read_motions(tmp_path / "pick-0002")


def test_recorded_pictures_come_one_after_the_other(tmp_path):
    camera = RecordedCamera([written(tmp_path)])
    frame = camera.read(after=1e9)
    assert (frame.depth == seen().depth).all()
    assert frame.time >= 1e9
    with pytest.raises(DeviceError, match="no more"):
        camera.read()
