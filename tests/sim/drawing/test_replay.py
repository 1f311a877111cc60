"""Replays of a scripted run on two boxes: two are lifted, one attempt misses, one pushes, one gives no grasp."""

import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import sim.drawing.replay as film
from sim.benchmark import BenchmarkSettings, run_benchmark, scene_after
from sim.benchmark.attempt_table import recorded_grasp
from sim.benchmark.grasp_attempt import attempt
from sim.drawing.replay import check_films, choose_attempts, replay, write_replays
from sim.errors import InputError
from sim.grasp import GraspPoses
from sim.objects import ObjectSet
from sim.physics import World
from sim.scene import SceneState

RULES = BenchmarkSettings(count=3, depth_noise=None)
DOWN = np.diag([1.0, -1, -1])
STEPS = {"": 60, "missed": 24}  # frames of an attempt that ends so, one every 8 steps


class Scripted:
    """Looks where the boxes are: ranked grasps first, then the clearing's one by one."""

    name, privileged = "scripted", True

    def __init__(self):
        self.calls = 0

    def __call__(self, view, count):
        places = [o.pose_world[:3, 3] for o in view.objects]
        # At the second box, beside both, at the first; the clearing: a push, the last box, NaN, the last box.
        script = [[places[-1], places[0] + [0.0, 0.12, 0], places[0]]]
        script += [[places[0] + [0.06, 0, 0]], [places[-1]], [np.full(3, np.nan)], [places[-1]]]
        tips = np.array(script[self.calls])
        tips[:, 2] = np.where(np.isnan(tips[:, 2]), np.nan, 0.02)
        self.calls += 1
        widths = np.full(len(tips), 0.08)
        grasps = GraspPoses(tips, np.stack([DOWN] * len(tips)), widths, np.linspace(0.9, 0.1, len(tips)), "world")
        return grasps.transform(np.linalg.inv(view.camera.pose), "camera")


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


@pytest.fixture(scope="module")
def table(state):
    return run_benchmark(Scripted(), [state], [0.6], RULES)


def rows_of(table, protocol):
    return table[table.protocol == protocol]


def is_orange(frame):
    red, green, blue = frame.astype(float).transpose(2, 0, 1)
    return (red > 1.4 * green) & (green > 2 * blue) & (red > 100)


def watch(monkeypatch):
    """Collects what is drawn and written in a replay, instead of drawing it."""
    seen, texts = [], []
    blank = np.zeros((2, 2, 3), np.uint8)
    monkeypatch.setattr(film, "draw_snapshot", lambda state, snapshot, _: seen.append((state, snapshot)) or blank)
    monkeypatch.setattr(film, "write_line", lambda frame, text: texts.append(text) or frame)
    return seen, texts


def test_the_script_ran_as_meant(table):
    assert rows_of(table, "rank").reason.tolist() == ["", "missed", ""]
    clear = rows_of(table, "clear")
    assert clear.success.tolist() == [False, True, False, True]
    assert [recorded_grasp(r) is None for _, r in clear.iterrows()] == [False, False, True, False]


def test_the_hand_goes_down_closes_lifts_and_carries(state, table):
    frames = replay(state, rows_of(table, "rank"), 0, settings=RULES)
    assert len(frames) == STEPS[""]
    assert all(f.shape == (240, 320, 3) and f.dtype == np.uint8 for f in frames)
    rows, cols = np.array([np.mean(np.nonzero(is_orange(f)), axis=1) for f in frames]).T
    down, closed, up, end = 11, 23, 41, 59  # last frames of the four phases
    assert rows[down] > rows[0] + 20
    assert abs(rows[closed] - rows[down]) < 4
    spread = [np.ptp(np.nonzero(is_orange(frames[i]))[1]) for i in (0, closed)]
    assert spread[1] < 0.8 * spread[0]
    assert rows[up] < rows[closed] - 20
    assert cols[end] > cols[up] + 40


def test_a_ranked_attempt_is_the_recorded_one(state, table, monkeypatch):
    seen, texts = watch(monkeypatch)
    replay(state, rows_of(table, "rank"), 0, settings=RULES, every=1)
    assert set(texts) == {"scripted, friction 0.6: success"}
    world = World(RULES.physics, state.tray)
    grasp = recorded_grasp(rows_of(table, "rank").iloc[0])
    result = attempt(world, state, grasp, RULES.gripper, 0.6, RULES.attempt)
    world.close()
    np.testing.assert_array_equal(seen[-1][1].poses, result.poses)
    assert len(seen) == 8 * STEPS[""]
    first = {i: (size, pose) for i, (size, pose, _) in enumerate(seen[0][1].boxes)}
    palm, left, right = (first[i] for i in range(3))
    inner = np.linalg.norm(right[1][:3, 3] - left[1][:3, 3]) - RULES.gripper.finger_thickness
    assert inner == pytest.approx(0.08, abs=1e-3)
    np.testing.assert_allclose(left[0], [0.005, 0.017, 0.05], atol=1e-9)
    assert palm[1][2, 3] - palm[0][2] / 2 == pytest.approx(0.02 + 0.2 + 0.05, abs=2e-3)


def test_a_clearing_is_replayed_from_its_grasps(state, table, monkeypatch):
    seen, texts = watch(monkeypatch)
    rows = rows_of(table, "clear")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        replay(state, rows, 3, settings=RULES)
    assert set(texts) == {"scripted, friction 0.6: success"}
    now, world = state, World(RULES.physics, state.tray)
    for number in (0, 1):  # the third gave no grasp and left the scene alone
        grasp = recorded_grasp(rows.iloc[number])
        now = scene_after(world, now, attempt(world, now, grasp, RULES.gripper, 0.6, RULES.attempt), settings=RULES)
    world.close()
    assert len(now.models) == 1
    assert np.linalg.norm(now.poses[0, :3, 3] - state.poses[0, :3, 3]) > 0.005  # the push counts
    np.testing.assert_array_equal(seen[0][0].poses, now.poses)
    # A ranked attempt of the same number needs no attempts before it.
    seen.clear()
    replay(state, rows_of(table, "rank"), 2, settings=RULES)
    np.testing.assert_array_equal(seen[0][0].poses, state.poses)


def test_another_ending_than_recorded_is_said(state, table, monkeypatch):
    _, texts = watch(monkeypatch)
    rows = rows_of(table, "rank").assign(reason="slipped", success=False)
    with pytest.warns(UserWarning, match="attempt 1 of 'scripted' in scene 0 ended with 'slipped', its replay with 'm"):
        replay(state, rows, 1, settings=RULES)
    assert set(texts) == {"scripted, friction 0.6: slipped (replay: missed)"}
    assert len(texts) == STEPS["missed"]


def test_what_cannot_be_replayed_is_named(state, table):
    clear = rows_of(table, "clear")
    with pytest.raises(InputError, match="executed no grasp"):
        replay(state, clear, 2, settings=RULES)
    with pytest.raises(InputError, match="no attempt 9"):
        replay(state, clear, 9, settings=RULES)
    with pytest.raises(InputError, match="mix protocol"):
        replay(state, table, 0, settings=RULES)
    with pytest.raises(InputError, match="mix attempts"):
        replay(state, pd.concat([clear, clear]), 0, settings=RULES)
    with pytest.raises(InputError, match="positive"):
        replay(state, clear, 0, settings=RULES, every=0)


def test_attempts_are_chosen_by_a_query_the_same_every_time(table):
    parts = [table.assign(scene=s, policy=p) for s in range(5) for p in ("b", "a")]
    many = pd.concat(parts, ignore_index=True)
    chosen = choose_attempts(many, "not success and reason == 'missed' and protocol == 'rank'", 4)
    assert len(chosen) == 4
    assert (chosen.reason == "missed").all()
    assert chosen.policy.tolist() == ["a", "a", "b", "b"]  # spread over the table, not its first rows
    again = choose_attempts(many.sample(frac=1, random_state=0), "reason == 'missed' and protocol == 'rank'", 4)
    pd.testing.assert_frame_equal(chosen, again)
    everything = choose_attempts(many, "", 1000)
    assert len(everything) == 10 * 6  # the seventh of each run executed no grasp
    assert choose_attempts(many, "", 0).empty
    assert choose_attempts(many, "reason == 'exploded'", 3).empty


@pytest.mark.parametrize("query", ["reasn == 'slipped'", "success and", "1 + 1", "__import__('os')"])
def test_a_wrong_query_is_named(table, query):
    with pytest.raises(InputError, match="query"):
        choose_attempts(table, query, 2)
    with pytest.raises(InputError, match="query"):
        check_films(query, 2)


@pytest.mark.parametrize("count", [-1, 1.5, True, "all"])
def test_a_wrong_number_of_films_is_named(table, count):
    for choose in (partial(choose_attempts, table), check_films):
        with pytest.raises(InputError, match=f"cannot film {count} attempts; give a whole number"):
            choose("", count)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "not success and reason == 'missed'",
        "reason.str.startswith('mis')",
        "seconds == seconds.max()",
        "reason == reason.value_counts().index[1]",  # one row has no second reason
    ],
)
def test_a_query_that_a_table_may_answer_passes_before_there_is_one(table, query):
    check_films(query, 2)
    choose_attempts(table, query, 2)


def test_chosen_attempts_are_written(state, table, tmp_path):
    query = "success and protocol == 'clear'"
    paths = write_replays(table, {"boxes-2": [state]}, tmp_path, settings=RULES, query=query, count=1)
    assert [p.name for p in paths] == ["scripted_boxes-2_scene0_friction0.6_clear1.gif"]
    with Image.open(paths[0]) as film:
        assert 0.9 * STEPS[""] <= film.n_frames <= STEPS[""]  # equal neighbours become one
    with pytest.raises(InputError, match="no scene 0 of 'boxes-2'"):
        write_replays(table, {"novel-5": [state]}, tmp_path, settings=RULES, query=query, count=1)
