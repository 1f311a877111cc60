import dataclasses
import errno

import numpy as np
import pandas as pd
import pytest

from sim.benchmark import (
    COLUMNS,
    WALL_TIMES,
    BenchmarkSettings,
    make_scenes,
    observe,
    run_benchmark,
    summarise,
)
from sim.benchmark.baselines import RandomPolicy
from sim.benchmark.runner import attempt_progress, check_frictions
from sim.benchmark.statistics import SUMMARY_COLUMNS
from sim.benchmark.store import SceneKey, read_attempts, scene_identity, write_scene
from sim.errors import InputError
from sim.geometry import transform
from sim.grasp import GraspPoses
from sim.objects import ObjectSet
from sim.view import SceneView

RULES = BenchmarkSettings(count=4, max_failures=2)


@pytest.fixture(scope="module")
def scenes():
    return make_scenes(ObjectSet.pybullet(900, 999), "novel-5", scenes=2, count=5, seed=7)


@pytest.fixture(scope="module")
def table(scenes):
    return run_benchmark(RandomPolicy(), scenes, [0.4], RULES)


def test_the_same_seed_gives_the_same_table_with_any_workers(scenes, table):
    again = run_benchmark(RandomPolicy(), scenes, [0.4], RULES, workers=2)
    assert list(table.columns) == COLUMNS
    same(again, table)


def same(a, b):
    pd.testing.assert_frame_equal(a.drop(columns=WALL_TIMES), b.drop(columns=WALL_TIMES), check_exact=True)


def test_an_interrupted_run_goes_on(scenes, table, tmp_path):
    whole = run_benchmark(RandomPolicy(), scenes, [0.4], RULES, out=tmp_path)
    files = sorted(tmp_path.rglob("*.parquet"))
    assert len(files) == len(scenes)
    same(whole, table)
    files[0].unlink()
    files[1].write_bytes(files[1].read_bytes()[:-100])  # a disk's fault: made again
    same(run_benchmark(RandomPolicy(), scenes, [0.4], RULES, out=tmp_path), table)
    kept = [f.stat().st_mtime_ns for f in files]
    same(run_benchmark(RandomPolicy(), scenes, [0.4], RULES, out=tmp_path), table)
    assert [f.stat().st_mtime_ns for f in files] == kept  # and nothing is made twice
    same(read_attempts(tmp_path), table)


def test_a_log_tells_how_far_it_is(scenes, monkeypatch, capsys):
    monkeypatch.setattr("sim.cli.progress._LINE_SECONDS", 0)
    with attempt_progress() as progress:
        run_benchmark(RandomPolicy(), scenes, [0.4], BenchmarkSettings(count=1, max_failures=1), progress=progress)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("1/2 scenes and frictions of random, ")
    assert " a minute, 0:00:" in lines[0]
    assert lines[0].endswith(" left")


@pytest.mark.parametrize(
    ("options", "differs"),
    [
        ({"frictions": [0.4, 1.0]}, "frictions"),
        ({"settings": dataclasses.replace(RULES, count=3)}, "rules"),
        ({"about": "seed 1"}, "policy"),
        ({"scenes": "reversed"}, "scene"),
    ],
)
def test_results_of_other_settings_are_never_used_silently(scenes, table, tmp_path, options, differs):
    call = {"scenes": scenes, "frictions": [0.4], "settings": RULES, "about": ""}
    for number, scene in enumerate(scenes):
        known = scene_identity("", scene, frictions=[0.4], settings=RULES)
        write_scene(table[table.scene == number], tmp_path, SceneKey("random", "novel-5", number), known=known)
    if options.get("scenes"):
        options = {"scenes": scenes[::-1]}
    with pytest.raises(InputError, match=f"other settings .*{differs}"):
        run_benchmark(RandomPolicy(), out=tmp_path, **(call | options))


def test_a_full_disk_is_named(scenes, table, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match="no space left"):
        write_scene(table, tmp_path, SceneKey("random", "novel-5", 0), known={})
    assert not list(tmp_path.rglob("*scene*"))


def test_rows_and_rules(scenes, table):
    rank = table[table.protocol == "rank"]
    assert (rank.groupby("scene").size() == RULES.count).all()
    for _, rows in table[table.protocol == "clear"].groupby("scene"):
        outcome = rows.sort_values("attempt").success.tolist()
        cleared = rows.lifted.sum() == rows.objects.iloc[0]
        most = RULES.max_failures
        assert cleared != (outcome[-most:] == [False] * most)
        # So many failures in a row occur at the end only.
        assert not any(not any(outcome[i : i + most]) for i in range(len(outcome) - most))


def test_summary_counts_by_hand(table):
    summary = summarise(table)
    assert list(summary.columns) == SUMMARY_COLUMNS
    clear, rank = table[table.protocol == "clear"], table[table.protocol == "rank"]
    row = summary[summary.friction == "0.4"].iloc[0]
    assert pytest.approx(100 * clear.success.sum() / len(clear)) == row.SR
    assert pytest.approx(100 * clear.lifted.sum() / 10) == row.PC
    assert pytest.approx(100 * rank.success.sum() / (2 * RULES.count)) == row.AP
    mean = summary[summary.friction == "mean"].iloc[0]
    assert pytest.approx(row.AP) == mean.AP


class Rude:
    def __init__(self, answer):
        self.name, self.answer = "rude", answer

    def __call__(self, observation, count):
        return self.answer(observation)


def nan_grasp(_):
    return GraspPoses(np.full((1, 3), np.nan), np.eye(3)[None], np.ones(1), np.ones(1))


def explode(_):
    raise RuntimeError("out of memory")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (explode, "policy raised RuntimeError"),
        (nan_grasp, "grasp is NaN or its rotation is none"),
        (lambda _: GraspPoses.empty(), "no grasp given"),
        (lambda _: GraspPoses.empty("world"), "grasps in frame 'world'"),
        (lambda _: None, "policy raised"),
    ],
)
def test_a_policys_failure_costs_it_the_attempt_never_the_run(scenes, answer, reason):
    table = run_benchmark(Rude(answer), scenes[:1], [0.4], BenchmarkSettings(count=2))
    assert not table.success.any()
    assert table.reason.str.contains(reason).any()
    assert (table.protocol == "clear").sum() == 5
    assert summarise(table).AP.iloc[0] == 0


@pytest.mark.parametrize("surplus", [-1, 3])
def test_too_few_and_too_many_grasps_are_counted(scenes, surplus):
    """A missing grasp fails; what was not asked for is never tried."""
    rules = dataclasses.replace(RULES, count=2)

    def answer(_):
        number = rules.count + surplus
        poses = np.tile(np.eye(3), (number, 1, 1))
        return GraspPoses(np.tile([0.0, 0.0, 0.4], (number, 1)), poses, np.full(number, 0.05), np.ones(number))

    table = run_benchmark(Rude(answer), scenes[:1], [0.4], rules)
    rank = table[table.protocol == "rank"]
    assert len(rank) == rules.count
    assert (rank.given == rules.count + surplus).all()
    assert (rank.reason == "no grasp given").sum() == max(0, -surplus)


def test_privileged_policies_see_the_view_and_the_rows_say_so(scenes):
    seen = []
    policy = Rude(lambda o: seen.append(o) or GraspPoses.empty())
    policy.privileged = True
    table = run_benchmark(policy, scenes[:1], [0.4], dataclasses.replace(RULES, count=1))
    assert all(isinstance(o, SceneView) for o in seen)
    assert table.privileged.all()


def test_observation(scenes):
    seen = observe(scenes[0], RULES, [0])
    points, colours = seen.point_cloud()
    assert len(points) == len(colours) == (seen.depth > 0).sum()
    world = transform(seen.camera.pose, points)
    assert np.median(world[:, 2]) == pytest.approx(0, abs=0.01)


def test_random_grasps_stand_above_the_floor_and_with_redraw_go_down(scenes):
    seen = observe(scenes[0], RULES, [0])
    for policy in (RandomPolicy(), RandomPolicy(redraw=True)):
        grasps = policy(seen, 30)
        assert 0 < len(grasps) <= 30
        again = policy(seen, 30)
        np.testing.assert_array_equal(grasps.translation, again.translation)
        tips = grasps.transform(seen.camera.pose, "world").translation[:, 2]
        assert tips.max() < 0.15


def test_nothing_to_measure_is_named(scenes):
    with pytest.raises(InputError):
        run_benchmark(RandomPolicy(), [], [0.4])


def test_frictions_are_numbers_from_0_on_one_or_several():
    assert check_frictions(0.4) == [0.4]
    assert check_frictions("0.4") == [0.4]
    assert check_frictions((1, 0.4, 1.0)) == [0.4, 1.0]
    for wrong in ([-1], [], [np.nan], [np.inf], "fast", None, [[0.4]], True, [0.4, False]):
        with pytest.raises(InputError, match=r"frictions is .*; give numbers from 0 on, for example \[0.4, 1.0\]"):
            check_frictions(wrong)
