"""Failed attempts explained: causes against known labels and reliefs, real rows, a page that stands alone."""

import sys
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from labeler.labels import GraspLabels
from plgp import failures
from plgp.evaluation.failures.causes import (
    Labelled,
    cause_table,
    compare_with_labels,
    find_obstacle,
    label_state,
    reason_table,
    target_object,
)
from plgp.evaluation.failures.examples import choose_examples, scenes_before
from plgp.evaluation.failures.figures import draw_example, film_ending
from plgp.evaluation.failures.page import write_failures
from sim.benchmark import BenchmarkSettings, run_benchmark
from sim.benchmark.attempt_table import GRASP
from sim.benchmark.baselines import RandomPolicy
from sim.benchmark.observation import observe
from sim.benchmark.scene_sets import load_scene_set
from sim.benchmark.store import SceneKey, scene_identity, write_scene
from sim.camera import ParallelCamera, PinholeCamera, overhead_pose
from sim.errors import InputError
from sim.grasp import GraspPoses, rotations_from_angles
from sim.gripper import GripperGeometry
from sim.view import SceneView, ViewObject

GRIPPER = GripperGeometry()
FLOOR = 0.6  # metres from the camera


def grasp(x=0.0, y=0.0, z=0.57, angle=0.0, width=0.035):
    """One grasp in the camera frame."""
    return GraspPoses(np.array([[x, y, z]]), rotations_from_angles(angle), np.array([width]), np.array([0.5]), "camera")


def bar_view(*bars):
    """A floor 0.6 m below the camera and bars (x, half extent along x, height), 60 mm long, metres."""
    parallel, camera = ParallelCamera.covering(2500, 0.3), PinholeCamera.from_fov(64, 48, pose=overhead_pose(FLOOR))
    depth = np.full((parallel.height, parallel.width), FLOOR, np.float32)
    mask = np.zeros(depth.shape, np.uint8)
    rows, cols = np.mgrid[: parallel.height, : parallel.width]
    points = parallel.deproject(rows, cols, FLOOR)
    x, y = points[:, 0].reshape(depth.shape), points[:, 1].reshape(depth.shape)
    for value, (middle, half, height) in enumerate(bars, start=1):
        bar = (np.abs(x - middle) < half) & (np.abs(y) < 0.03)
        depth[bar], mask[bar] = FLOOR - height, value
    objects = tuple(
        ViewObject(f"bar {i + 1}", 1.0, i + 1, np.eye(4), np.eye(4), (0, 0, 0, 0)) for i in range(len(bars))
    )
    flat = np.full((48, 64), FLOOR, np.float32)
    return SceneView(flat, np.zeros((48, 64), np.uint8), camera, depth, mask, parallel, objects=objects)


def labelled(tips, angles, widths):
    n = len(tips)
    pixel, real = np.zeros(n, np.uint16), np.zeros(n, np.float32)
    labels = GraspLabels(pixel, pixel, np.zeros(n, np.uint8), real, np.array(widths, np.float32), real)
    return Labelled(bar_view(), labels, np.array(tips, np.float64).reshape(-1, 3), np.array(angles), np.pi / 18)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({}, "label agrees: physics"),
        ({"x": 0.008}, "label agrees: physics"),
        ({"x": 0.012}, "no label within 10 mm"),
        ({"angle": np.pi / 18}, "label agrees: physics"),
        ({"angle": np.pi - np.pi / 18}, "label agrees: physics"),
        ({"angle": np.pi / 6}, "angle off by > 1 bin"),
        ({"z": 0.560}, "depth off: too shallow"),
        ({"z": 0.580}, "depth off: too deep"),
        ({"width": 0.060}, "width off: too wide"),
        ({"width": 0.020}, "width off: too narrow"),
        ({"width": 0.050, "z": 0.550}, "depth off: too shallow"),
    ],
)
def test_cause_names_what_differs_from_the_label(changes, cause):
    place = labelled([[0, 0, 0.57]], [0.0], [0.035])
    assert compare_with_labels(grasp(**changes), place)["cause"] == cause


def test_differences_are_signed_and_of_the_label_that_fits_best():
    place = labelled([[0, 0, 0.55], [0, 0.004, 0.57]], [0.0, 0.0], [0.030, 0.030])
    found = compare_with_labels(grasp(z=0.572, width=0.034), place)
    assert found["label_mm"] == pytest.approx(0.0)
    assert found["depth_mm"] == pytest.approx(2.0, abs=1e-3)
    assert found["width_mm"] == pytest.approx(4.0, abs=1e-3)


def test_an_object_without_any_label_is_told_from_a_place_without():
    view = bar_view((0, 0.01, 0.04))
    place = replace(labelled([[0.1, 0, 0.57]], [0.0], [0.035]), view=view)
    assert compare_with_labels(grasp(), place)["cause"] == "no label on its object"
    owned = replace(view, instance_mask=np.ones_like(view.instance_mask))
    assert compare_with_labels(grasp(), replace(place, view=owned))["cause"] == "no label within 10 mm"


def test_a_scene_without_labels_and_a_tilted_grasp_are_named():
    none = labelled([], [], [])
    assert compare_with_labels(grasp(), none)["cause"] == "no label within 10 mm"
    tilt = np.array([[[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]])
    tilted = replace(grasp(), rotation=tilt)
    assert compare_with_labels(tilted, none)["cause"].startswith("tilted")
    assert find_obstacle(tilted, none.view, GRIPPER)["hit"].startswith("tilted")


@pytest.mark.parametrize(
    ("bars", "changes", "hit", "name", "overlap"),
    [
        ([(0, 0.012, 0.04)], {}, "nothing in the way", "", -30),
        ([(0, 0.020, 0.04)], {}, "finger on its own object", "bar 1", 10),
        ([(0, 0.012, 0.04), (0.022, 0.004, 0.05)], {}, "finger on a neighbour", "bar 2", 20),
        ([(0, 0.012, 0.04), (-0.05, 0.01, 0.09)], {}, "palm on a neighbour", "bar 2", 10),
        ([(0, 0.012, 0.09)], {}, "palm on its own object", "bar 1", 10),
        ([(0, 0.012, 0.04)], {"z": 0.604}, "finger on the tray", "", 4),
        ([(0, 0.012, 0.04), (0.022, 0.004, 0.05)], {"angle": np.pi / 2, "width": 0.08}, "nothing in the way", "", -30),
    ],
)
def test_obstacle_is_what_overlaps_most(bars, changes, hit, name, overlap):
    found = find_obstacle(grasp(**changes), bar_view(*bars), GRIPPER)
    assert (found["hit"], found["hit_object"]) == (hit, name)
    if hit != "nothing in the way":
        assert found["overlap_mm"] == pytest.approx(overlap, abs=1e-3)


def test_target_is_what_lies_under_the_centre_else_on_the_closing_line():
    view = bar_view((0.012, 0.004, 0.04), (-0.014, 0.002, 0.04))
    assert target_object(grasp(x=0.012), view) == 1
    assert target_object(grasp(width=0.05), view) == 1
    assert target_object(grasp(x=-0.08), view) == 0


def rows_of(*endings, policy="a", objects=5, friction=0.4):
    table = pd.DataFrame({"reason": list(endings)})
    return table.assign(policy=policy, protocol="rank", category=f"novel-{objects}", objects=objects, friction=friction)


def test_reason_shares_add_up_in_every_place_and_friction():
    raised = "policy raised ValueError: no"
    parts = [rows_of("", "", "missed", raised), rows_of("missed", "slipped", friction=0.8), rows_of("", objects=15)]
    table = reason_table(pd.concat(parts, ignore_index=True))
    shares = table.groupby("where")[["share", "friction 0.4", "friction 0.8"]].sum()
    assert shares.loc["novel-5"].tolist() == pytest.approx([100, 100, 100])
    assert shares.loc["all of 15"].tolist() == pytest.approx([100, 100, 0])
    row = table[(table["where"] == "all of 5") & (table.reason == "missed")].iloc[0]
    assert (row.attempts, row["friction 0.4"], row["friction 0.8"]) == (2, 25.0, 50.0)
    assert set(table.reason) == {"success", "missed", "slipped", "policy raised"}


def test_examples_are_repeatable_and_spread_over_scenes():
    rows = pd.DataFrame({"category": "novel-5", "scene": [0] * 20 + [1] * 2 + [2] * 2})
    first = choose_examples(rows, 5, seed=3)
    assert first.index.tolist() == choose_examples(rows, 5, seed=3).index.tolist()
    assert first.scene.iloc[:3].nunique() == 3
    assert sorted(first.scene) in ([0, 0, 1, 1, 2], [0, 0, 1, 2, 2], [0, 1, 1, 2, 2])
    assert len(choose_examples(rows, 99, seed=3)) == 24
    assert {tuple(choose_examples(rows, 5, seed=s).index) for s in range(4)} != {tuple(first.index)}


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Real rows of random grasps in one scene: (folder, rules, rows)."""
    folder = tmp_path_factory.mktemp("results")
    rules = BenchmarkSettings(count=8, max_failures=2)
    scenes = load_scene_set("plgp-320-v2")["novel-5"][:1]
    return folder, rules, run_benchmark(RandomPolicy(), scenes, [0.4], rules, out=folder)


class _Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.sources = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [v for k, v in attrs if k in ("src", "href")]


def test_page_of_real_rows_stands_alone_and_counts_every_executed_attempt(measured, tmp_path):
    folder, rules, rows = measured
    page, reasons, causes, attempts = write_failures(folder, tmp_path, per_reason=1, settings=rules)
    ranked = rows[rows.protocol == "rank"]
    examined = pd.read_csv(attempts, keep_default_na=False)
    assert len(examined) == ranked.x.notna().sum()
    assert (examined.cause != "").all()
    assert (examined.hit != "").all()
    assert (examined[examined.reason == "blocked"].hit != "nothing in the way").all()
    counted = pd.read_csv(causes)
    assert counted[counted.kind == "label"].attempts.sum() == len(examined)
    again, *_ = write_failures(folder, tmp_path / "again", per_reason=1, settings=rules)
    assert again.read_bytes() == page.read_bytes()
    parsed = _Page()
    parsed.feed(page.read_text())
    failed = ranked[~ranked.success]
    assert parsed.tags.count("img") == failed.reason.nunique() > 0
    assert all(s.startswith("data:image/jpeg;base64,") for s in parsed.sources)
    assert "executed again" not in page.read_text().split("<h2>")[1]
    ends = pd.read_csv(reasons, keep_default_na=False)
    assert ends[(ends["where"] == "novel-5") & (ends.protocol == "rank")].attempts.sum() == 8


@pytest.mark.parametrize("opening", [0.085, 0.14])
def test_a_film_shows_the_closed_hand_of_any_opening(measured, opening):
    """A hand that is wide open closes for longer than its settings say."""
    rules = replace(measured[1], gripper=GripperGeometry(max_opening=opening))
    state = replace(load_scene_set("plgp-320-v2")["novel-5"][0], models=(), poses=np.zeros((0, 4, 4)))
    across = dict(zip(GRASP, (0, 0, 0.03, 1, 0, 0, 0, opening), strict=True))
    frames, ended = film_ending(state, pd.Series({**across, "quality": 0.5, "friction": 0.6}), rules, size=(64, 48))
    assert ([title for title, _ in frames], ended) == (["before", "down", "closed: the end"], "missed")


def test_an_examples_legends_name_all_that_is_drawn(measured):
    _, rules, _ = measured
    state = load_scene_set("plgp-320-v2")["novel-5"][0]
    place, seen = label_state(state, rules), observe(state, rules, [0, 0, 0])
    picture = np.zeros((26, 32, 3), np.uint8)
    frames = [("before", picture), ("closed", picture), ("end", picture)]
    figure = draw_example(place, seen, grasp(), gripper=GRIPPER, frames=frames)
    legends = [{text.get_text() for text in a.get_legend().get_texts()} for a in figure.axes if a.get_legend()]
    assert legends == [
        {"fingers", "closing line", "labels"},
        {
            "under the fingers' sides",
            "surface under their middle",
            "object under the grasp",
            "others",
            "noisy depth",
            "gripper as it comes down",
        },
        {"fingers", "palm"},
    ]
    figure.draw_without_rendering()  # no title or legend is cut off
    for axes in figure.axes:
        assert axes.get_tightbbox().y0 >= 0
        assert axes.get_tightbbox().y1 <= figure.bbox.height


def test_a_clearing_walks_through_the_scenes_that_it_ran_in(measured):
    _, rules, rows = measured
    start = load_scene_set("plgp-320-v2")["novel-5"][0]
    clearing = rows[rows.protocol == "clear"]
    walked = list(scenes_before(clearing, start, rules))
    assert [int(part.attempt.iloc[0]) for part, _ in walked] == clearing.attempt.tolist()
    left = [len(state.models) for _, state in walked]
    lifted = clearing.lifted.cumsum().shift(fill_value=0)
    assert left == (5 - lifted).tolist()


def test_a_policy_that_gave_no_grasp_has_a_page_too(measured, tmp_path):
    _, rules, rows = measured
    scene = load_scene_set("plgp-320-v2")["novel-5"][0]
    silent = rows.assign(success=False, reason="no grasp given", x=np.nan, qx=np.nan, width=np.nan)
    known = scene_identity("", scene, frictions=[0.4], settings=rules)
    write_scene(silent, tmp_path / "results", SceneKey("random", "novel-5", 0), known=known)
    page, reasons, causes, _ = write_failures(tmp_path / "results", tmp_path, settings=rules)
    assert "no grasp given" in page.read_text()
    assert set(pd.read_csv(reasons).reason) == {"no grasp given"}
    assert len(pd.read_csv(causes)) == 0


def test_other_settings_are_said_and_other_scenes_refused(measured, tmp_path):
    folder, rules, _ = measured
    with pytest.warns(UserWarning, match="measured with other settings"):
        write_failures(folder, tmp_path, per_reason=0, settings=replace(rules, seed=1))
    assert "Measured with other settings" in (tmp_path / "failures.html").read_text()
    scenes = load_scene_set("plgp-320-v2")
    with pytest.raises(InputError, match="another scene 0 of 'novel-5'"):
        write_failures(folder, tmp_path, scenes={"novel-5": scenes["novel-5"][1:2]}, settings=rules)
    with pytest.raises(InputError, match="no scene 0 of 'novel-5'"):
        write_failures(folder, tmp_path, scenes={"seen-5": scenes["seen-5"][:1]}, settings=rules)
    with pytest.raises(InputError, match="'network' was not measured"):
        write_failures(folder, tmp_path, ["network"], settings=rules)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["results=nowhere"], "no finished benchmark scene in nowhere"),
        ([], "results= is missing"),
        (["results=x", "per_reason=-1"], "per_reason=-1"),
        (["results=x", "protocol=both"], "give rank or clear"),
        (["result=x"], "does not know 'result=x'"),
    ],
)
def test_wrong_arguments_end_in_one_sentence(arguments, says, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["plgp-failures", *arguments])
    with pytest.raises(SystemExit) as stopped:
        failures.main()
    told = capsys.readouterr().err
    assert stopped.value.code == 2
    assert told.startswith("error: ")
    assert says in told
    assert told.count("\n") == 1


def test_help_names_every_setting(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["plgp-failures", "--help"])
    failures.main()
    told = capsys.readouterr().out
    assert all(f"{key}=" in told for key in ("results", "policy", "out", "per_reason", "protocol", "scene_set", "seed"))


def test_cause_table_keeps_labels_and_obstacles_apart():
    rows = rows_of("", "blocked", "blocked", "missed")
    rows = rows.assign(cause=["x", "x", "y", "y"], hit=["", "finger on the tray", "finger on the tray", ""])
    table = cause_table(rows)
    assert set(table.reason) == {"success", "blocked", "missed"}
    obstacles = table[table.kind == "obstacle"]
    assert obstacles[["reason", "cause", "attempts", "share"]].to_numpy().tolist() == [
        ["blocked", "finger on the tray", 2, 100.0]
    ]
    assert table[table.kind == "label"].attempts.sum() == 4
