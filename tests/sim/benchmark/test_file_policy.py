"""Grasps of another program, measured from files: the same rows as the policy that wrote them."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from sim.benchmark import BenchmarkSettings, NoAnswerYet, make_scenes, observe, run_benchmark, summarise
from sim.benchmark.baselines import FilePolicy, RandomPolicy
from sim.errors import InputError
from sim.grasp import GraspPoses
from sim.gripper import GripperGeometry
from sim.interchange.grasp_files import FORMATS, write_grasps
from sim.interchange.observation_files import observation_name, read_observation, write_observation
from sim.objects import ObjectSet

RULES = BenchmarkSettings(count=3, max_failures=2)


@pytest.fixture(scope="module")
def scenes():
    return make_scenes(ObjectSet.pybullet(900, 999), "novel-2", 1, count=2, seed=5)


def test_an_observation_comes_back_whole(scenes, tmp_path):
    seen = observe(scenes[0], RULES, [0, 0, 0])
    place = write_observation(seen, tmp_path)
    assert place.name == observation_name(seen)
    back = read_observation(place)
    assert observation_name(back) == place.name
    np.testing.assert_array_equal(back.rgb, seen.rgb)
    np.testing.assert_array_equal(back.camera.pose, seen.camera.pose)
    (place / "depth.npy").write_bytes(b"half")
    with pytest.raises(InputError, match="no whole observation"):
        read_observation(place)


@pytest.mark.parametrize("format", FORMATS)
def test_ranks_from_files_are_those_of_the_policy_that_wrote_them(scenes, tmp_path, format):
    """Each format carries frame, angle and width: a hand turned by 90 degrees would end otherwise."""
    seen = observe(scenes[0], RULES, [0, 0, 0])
    asked = RandomPolicy()
    given = asked(seen, 3)
    place = write_observation(seen, tmp_path)
    path = (place / "grasps").with_suffix(Path(FORMATS[format]).suffix)
    write_grasps(given, path, GripperGeometry(), format=format)
    rows = run_benchmark(FilePolicy(tmp_path), scenes, [0.4], RULES)
    assert set(rows.protocol) == {"rank"}
    direct = run_benchmark(RandomPolicy(), scenes, [0.4], RULES)
    direct = direct[direct.protocol == "rank"]
    assert rows.success.tolist() == direct.success.tolist()
    assert rows.reason.tolist() == direct.reason.tolist()
    mean = summarise(rows).query("friction == 'mean'").iloc[0]
    assert np.isnan(mean.SR)
    assert np.isnan(mean.PC)
    assert pytest.approx(100 * direct.success.mean()) == mean.AP


def test_a_missing_file_ends_the_run_and_leaves_the_observation(scenes, tmp_path):
    with pytest.raises(NoAnswerYet, match="give the same command again"):
        run_benchmark(FilePolicy(tmp_path / "new"), scenes, [0.4], RULES, workers=2)
    (place,) = (tmp_path / "new").iterdir()
    assert read_observation(place).depth.any()


class Three:
    """Random grasps, the first of three however many are wanted: an observation's file holds one list."""

    name = "random"

    def __call__(self, observation, count):
        return RandomPolicy()(observation, 3)[:count]


def test_a_program_that_watches_the_folder_is_measured_step_by_step(scenes, tmp_path):
    done = threading.Event()

    def program():
        policy = Three()
        while not done.is_set():
            for place in [p.parent for p in tmp_path.glob("*/camera.json")]:
                if not (place / "grasps.npy").exists():
                    write_grasps(
                        policy(read_observation(place), 3), place / "grasps.npy", GripperGeometry(), format="graspnet"
                    )
            time.sleep(0.05)

    thread = threading.Thread(target=program)
    thread.start()
    try:
        rows = run_benchmark(FilePolicy(tmp_path, wait=60), scenes, [0.4], RULES)
    finally:
        done.set()
        thread.join()
    direct = run_benchmark(Three(), scenes, [0.4], RULES)
    assert rows.success.tolist() == direct.success.tolist()
    assert (rows.protocol == "clear").sum() == (direct.protocol == "clear").sum()


def test_grasps_in_the_world_are_brought_into_the_cameras_frame(scenes, tmp_path):
    seen = observe(scenes[0], RULES, [0, 0, 0])
    given = RandomPolicy()(seen, 3)
    place = write_observation(seen, tmp_path)
    write_grasps(given.transform(seen.camera.pose, "world"), place / "grasps.yaml", GripperGeometry(), format="moveit")
    found = FilePolicy(tmp_path)(seen, 2)
    assert isinstance(found, GraspPoses)
    assert found.frame == "camera"
    assert np.allclose(found.translation, given.translation[:2], atol=1e-9)


def test_what_is_missing_is_said(tmp_path):
    with pytest.raises(InputError, match=r"policies\.file\.folder"):
        FilePolicy(None)
    with pytest.raises(InputError, match="wait"):
        FilePolicy(tmp_path, wait=-1)


def test_replaced_grasps_are_another_method(scenes, tmp_path):
    seen = observe(scenes[0], RULES, [0, 0, 0])
    place = write_observation(seen, tmp_path / "grasps")
    write_grasps(RandomPolicy()(seen, 3), place / "grasps.npy", GripperGeometry(), format="graspnet")
    call = {"scenes": scenes, "frictions": [0.4], "settings": RULES, "out": tmp_path / "out"}
    first = run_benchmark(FilePolicy(tmp_path / "grasps"), **call)
    assert run_benchmark(FilePolicy(tmp_path / "grasps"), **call).equals(first)
    write_grasps(RandomPolicy(seed=1)(seen, 3), place / "grasps.npy", GripperGeometry(), format="graspnet")
    with pytest.raises(InputError, match=r"other settings \(grasp file\)"):
        run_benchmark(FilePolicy(tmp_path / "grasps"), **call)
