"""What labels miss, measured with random grasps; and settings compared by truth and coverage."""

import sys
import zlib
from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import labeler.truth.execution as execution
from labeler.__main__ import main
from labeler.labels import GraspLabels
from labeler.settings import LabelSettings
from labeler.shards.data_set import DataSet
from labeler.truth.execution import draw_labels, find_objects
from labeler.truth.recall import (
    describe_recall,
    execute_random,
    find_labels,
    label_carriers,
    measure_recall,
    summarise_recall,
)
from labeler.truth.tradeoff import describe_tradeoff, draw_tradeoff, load_settings, measure_tradeoff
from sim.benchmark import Observation
from sim.benchmark.baselines import RandomPolicy, random_grasps
from sim.benchmark.grasp_attempt import AttemptResult
from sim.camera import PinholeCamera
from sim.errors import InputError
from sim.grasp import deepest_free_depth
from sim.gripper import GripperGeometry


def make_labels(rows):
    """Labels at these (row, col, angle bin), all else 0."""
    row, col, angle_bin = np.array(rows, np.int64).reshape(-1, 3).T
    zeros = np.zeros(len(row), np.float32)
    return GraspLabels(row.astype(np.uint16), col.astype(np.uint16), angle_bin.astype(np.uint8), zeros, zeros, zeros)


def slow_find(labels, mask, row, col, angle_bin, angles):
    """By the definition: each label in turn; the neighbouring bins counted out on the half circle."""
    for r, c, b in zip(labels.row.tolist(), labels.col.tolist(), labels.angle_bin.tolist(), strict=True):
        beside = [(angle_bin + step) % angles for step in (-1, 0, 1)]
        if ((r - row) ** 2 + (c - col) ** 2) ** 0.5 <= 5 and b in beside and mask[r, c] == mask[row, col]:
            return True
    return False


@given(seed=st.integers(0, 1000), angles=st.integers(1, 18), count=st.integers(0, 40))
def test_lookup_agrees_with_its_slow_twin(seed, angles, count):
    rng = np.random.default_rng(seed)
    mask = rng.integers(1, 3, (24, 24))
    labels = make_labels(np.column_stack([rng.integers(24, size=(count, 2)), rng.integers(angles, size=count)]))
    places = np.column_stack([rng.integers(24, size=(30, 2)), rng.integers(angles, size=30)])
    row, col, angle_bin = places.T
    found = find_labels(labels, mask, row=row, col=col, angle_bin=angle_bin, angles=angles)
    assert found.tolist() == [slow_find(labels, mask, *place, angles) for place in places.tolist()]


@pytest.mark.parametrize(
    ("label", "stands"),
    [
        ((20, 20, 0), True),
        ((25, 20, 0), True),
        ((23, 24, 0), True),  # five pixels away on the slant
        ((15, 20, 0), True),
        ((24, 24, 0), False),
        ((26, 20, 0), False),
        ((20, 20, 1), True),
        ((20, 20, 17), True),  # across the seam
        ((20, 20, 2), False),
        ((20, 20, 16), False),
        ((20, 18, 0), False),  # on the other object
    ],
)
def test_a_label_stands_for_grasps_near_it(label, stands):
    mask = np.where(np.arange(40) < 19, 1, 2) * np.ones((40, 1), int)
    assert find_labels(make_labels([label]), mask, row=20, col=20, angle_bin=0, angles=18).tolist() == [stands]


def test_random_grasps_follow_the_shared_rule(data_set):
    """Opening by opening: the first that reaches 10 mm, on an object pixel, and that opening's depth."""
    frame = DataSet(data_set).read(0, ("depth", "instance_mask"))
    camera = PinholeCamera(160, 120, frame["intrinsics"], frame["pose"])
    gripper = GripperGeometry()
    on_objects, rng = frame["instance_mask"] > 0, np.random.default_rng(0)
    grasps, fits = random_grasps(frame["depth"], camera, gripper, where=on_objects, count=60, rng=rng)
    assert len(grasps) == 60
    assert (frame["instance_mask"][grasps.row, grasps.col] > 0).all()
    assert len(set(zip(grasps.row.tolist(), grasps.col.tolist(), strict=True))) > 30
    assert np.ptp(grasps.angle) > 2.5
    smallest = 0
    for i in range(60):
        place = (grasps.row[i], grasps.col[i], grasps.angle[i])
        for opening in np.arange(0.02, 0.101, 0.01):
            depth = deepest_free_depth(frame["depth"], camera, gripper, *place, opening)[0]
            if depth >= 0.01:
                assert grasps.width[i] == pytest.approx(opening)
                assert grasps.depth[i] == pytest.approx(depth)
                assert fits[i]
                smallest += 1
                break
        else:
            assert grasps.width[i] == gripper.max_opening
            assert not fits[i]
    assert 0 < smallest < 60
    nowhere = np.zeros((120, 160), bool)
    nothing, _ = random_grasps(frame["depth"], camera, gripper, where=nowhere, count=5, rng=rng)
    assert len(nothing) == 0


def test_random_policy_opens_as_wide(data_set):
    """The same pixels and angles get the same opening and depth from the benchmark's random policy."""
    frame = DataSet(data_set).read(0, ("rgb", "depth", "instance_mask"))
    camera = PinholeCamera(160, 120, frame["intrinsics"], frame["pose"])
    policy = RandomPolicy(min_height=-1.0, half_side=10.0, depth_margin=0.0)  # the data set's depth has no noise
    poses = policy(Observation(frame["rgb"], frame["depth"], camera), 40)

    rng = np.random.default_rng([policy.seed, zlib.crc32(frame["depth"].tobytes())])  # as the policy draws
    grasps, _ = random_grasps(frame["depth"], camera, policy.gripper, where=frame["depth"] > 0, count=40, rng=rng)
    assert grasps.width == pytest.approx(poses.width)
    assert grasps.to_poses(frame["depth"], camera).translation == pytest.approx(poses.translation, abs=1e-6)


def outcome(rows):
    """Executed random grasps: (scene, image, object held or "", labelled)."""
    frame = pd.DataFrame(rows, columns=["scene", "image", "held", "labelled"])
    return frame.assign(success=frame.held != "", labelled=frame.labelled.astype(bool))


def test_figures():
    grasps = outcome(
        [
            *[(0, 0, "mug", 1), (0, 0, "mug", 0), (0, 1, "mug", 0), (0, 1, "jar", 0), (0, 1, "", 1)],
            *[(1, 2, "mug", 1), (1, 2, "", 0), (1, 2, "", 0)],
        ]
    )
    carriers = pd.DataFrame({"image": [0, 2], "scene": [0, 1], "object": ["mug", "mug"]})
    figures = summarise_recall(grasps, carriers)
    assert figures.attempts == 8
    assert figures.lifted_grasps == 5
    assert figures.lifted == pytest.approx(5 / 8)
    assert figures.recall == pytest.approx(2 / 5)  # a label beside a grasp that fails counts for nothing
    assert figures.interval == pytest.approx([1 / 4, 1.0])
    assert figures.objects == 3  # the mug and the jar of scene 0, the mug of scene 1
    assert figures.coverage == pytest.approx(2 / 3)
    assert figures.coverage_interval == pytest.approx([1 / 2, 1.0])
    assert figures.coverage_by_image == pytest.approx(2 / 4)  # image 1 has no label on its mug
    text = describe_recall(figures, 0.4)
    assert "5 of 8 random grasps on objects lift at friction 0.4: 62.5 %" in text
    assert "a label stands for 40.0 % of them" in text
    assert "of 3 objects that they lift, 66.7 % carry a label" in text


def test_nothing_lifts():
    figures = summarise_recall(outcome([(0, 0, "", 0)]), pd.DataFrame(columns=["image", "scene", "object"]))
    assert figures.recall is figures.coverage is figures.interval is None
    assert "none of 1 random grasps lifts" in describe_recall(figures, 0.4)


def test_a_scenes_grasps_are_spread_over_its_views(data_set):
    """The first view takes what is left over; the same grasps whatever the friction and the processes."""
    data = DataSet(data_set)
    rows = execute_random(data, find_objects(data), 3, friction=0.4, seed=1, workers=1)
    assert rows.groupby(["scene", "image"]).size().tolist() == [2, 1, 2, 1]
    columns = ["image", "row", "col", "angle", "depth", "width", "object"]
    again = execute_random(data, find_objects(data), 3, friction=0.2, seed=1, workers=2)
    pd.testing.assert_frame_equal(rows[columns], again[columns])
    other = execute_random(data, find_objects(data), 3, friction=0.2, seed=2, workers=1)
    assert not rows[columns].equals(other[columns])


def test_recall_is_kept_beside_the_truth(data_set):
    before = DataSet(data_set)
    rows = measure_recall(data_set, grasps=8, friction=0.8, seed=1)
    assert len(rows) == 16
    assert (rows.held != "").tolist() == rows.success.tolist()
    after = DataSet(data_set)
    assert after.hash == before.hash
    figures = after.manifest.recall["0.8"]
    assert figures.seed == 1
    assert figures.lifted_grasps == rows.success.sum() > 0
    for row in rows.itertuples():
        frame = before.read(row.image, ("instance_mask", "objects"))
        names = {o.mask_value: o.name for o in frame["objects"]}
        assert names[int(frame["instance_mask"][row.row, row.col])] == row.object
        assert row.held in {"", *names.values()}
        assert row.labelled == slow_find(
            frame["grasps"], frame["instance_mask"], row.row, row.col, round(row.angle * 6 / np.pi) % 6, 6
        )
    carried = {(row.scene, row.object) for image in range(4) for row in _carriers(before, image)}
    lifted = {(row.scene, row.held) for row in rows[rows.success].itertuples()}
    assert figures.coverage == pytest.approx(len(lifted & carried) / len(lifted))


def _carriers(data, image):
    return label_carriers(data.read(image, ("instance_mask", "objects")), image).itertuples()


def test_labels_are_drawn_from_all_images_alike():
    counts = np.array([3, 0, 5])
    every = draw_labels(counts, 100, 0)
    assert {i: index.tolist() for i, index in every.items()} == {0: [0, 1, 2], 2: [0, 1, 2, 3, 4]}
    some = [(i, j) for seed in range(400) for i, index in draw_labels(counts, 2, seed).items() for j in index.tolist()]
    tally = pd.Series(some).value_counts()
    assert set(tally.index) == set(product([0], range(3))) | set(product([2], range(5)))
    assert tally.min() > 60  # of 800 draws of 8 labels
    assert draw_labels(np.zeros(2, int), 5, 0) == {}


def test_settings_are_compared(data_set, monkeypatch):
    """Every setting's labels are its own; truth and coverage are counted as verify counts them."""
    seen = []

    def record(world, state, grasp, gripper, friction):
        seen.append((friction, float(grasp.width[0])))
        wide = bool(grasp.width[0] > 0.03)
        return AttemptResult(wide, "" if wide else "slipped", 0 if wide else -1, (), 0.0, state.poses, 0.0)

    monkeypatch.setattr(execution, "attempt", record)
    small = LabelSettings(angles=6)
    settings = {
        "as made": small,
        "narrow": replace(small, max_width=0.029),
        "none": replace(small, engagement=0.049, relaxed={}),
    }
    before = (data_set / "dataset.json").read_bytes()
    table = measure_tradeoff(data_set, settings, attempts=20, frictions=(0.4, 0.2), grasps=10)
    assert (data_set / "dataset.json").read_bytes() == before
    made, narrow, none = (table.iloc[i] for i in range(3))
    assert table.setting.tolist() == list(settings)
    assert made.labels == pytest.approx(DataSet(data_set).grasp_counts().mean())
    assert 0 < narrow.labels < made.labels
    assert (narrow["truth_0.4"], narrow["truth_0.2"]) == (0, 0)
    assert made["truth_0.4"] == made["truth_0.2"] > 0
    assert none.labels == none.coverage == 0
    assert np.isnan(none["truth_0.4"])
    assert narrow.coverage <= made.coverage
    assert len(seen) == 20 + 2 * 20 + 2 * min(20, round(4 * narrow.labels))
    figure = draw_tradeoff(table, "a title")
    assert len(figure.axes) == 2
    assert "as made" in describe_tradeoff(table)


def test_packaged_settings_are_the_presets_and_their_changes(tmp_path):
    settings = load_settings()
    assert settings["truest"] == LabelSettings()
    assert settings["paper"].min_coverage == 0.5
    assert not settings["paper"].undercut
    assert len(set(settings.values())) == len(settings) >= 6
    assert load_settings(gripper=GripperGeometry(max_opening=0.14))["truest"] == LabelSettings(max_width=0.13)
    own = tmp_path / "own.yaml"
    own.write_text("mine: {friction: 0.3}\n")
    assert load_settings(own) == {"mine": LabelSettings(friction=0.3)}
    own.write_text("mine: {preset: held}")
    held = LabelSettings(palm_margin=0.002, hold_friction=0.4, pad_radius=0.005)
    assert load_settings(own) == {"mine": held}
    for text, message in (
        ("mine: {frction: 0.3}", r"'mine' in .*own.yaml .*no setting 'frction' \(did you mean friction\?\)"),
        ("mine: {preset: best}", r"'mine' in .*own.yaml .*no preset 'best'; choose from held, paper, truest"),
        ("a: {}\nmine: {friction: -1}", r"'mine' in .*own.yaml .*friction is -1"),
        ("mine: 0.3", r"'mine' in .*own.yaml .*it is 0.3; give"),
        ("- 1", "cannot be used"),
        ("a: [", "cannot be used"),
    ):
        own.write_text(text)
        with pytest.raises(InputError, match=message):
            load_settings(own)
    with pytest.raises(InputError, match=r"nowhere.yaml cannot be used"):
        load_settings(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("wrong", [{"grasps": 0}, {"friction": -1.0}, {"seed": -1}, {"workers": 0}])
def test_arguments_out_of_range(data_set, wrong):
    with pytest.raises(InputError, match=f"recall: {next(iter(wrong))} is"):
        measure_recall(data_set, **wrong)


def run(monkeypatch, *arguments):
    """Runs the command in this process; returns its exit status."""
    monkeypatch.setattr(sys, "argv", ["python -m labeler", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code


def test_commands(data_set, tmp_path, monkeypatch, capsys):
    recall = ("attempts=0", "recall=true", "grasps=2", "workers=1", "friction=0.4,0.9")
    assert run(monkeypatch, "verify", data_set, *recall) == 0
    assert capsys.readouterr().out.count("random grasps") == 2
    assert {"0.4", "0.9"} <= DataSet(data_set).manifest.recall.keys()
    assert not DataSet(data_set).manifest.truth
    settings = tmp_path / "two.yaml"
    settings.write_text('"a": {angles: 6}\n"b": {angles: 6, max_width: 0.05}\n')
    options = ("attempts=2", "grasps=2", "friction=0.4", "workers=1", f"settings={settings}", f"out={tmp_path}/mu-0.4")
    assert run(monkeypatch, "tradeoff", data_set, *options) == 0
    assert pd.read_csv(tmp_path / "mu-0.4.csv").setting.tolist() == ["a", "b"]
    assert (tmp_path / "mu-0.4.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("command", "wrong", "message"),
    [
        ("verify", "recall=perhaps", "give true or false"),
        ("verify", "friction=0.4;0.2", "give a number, or several"),
        ("verify", "attempts=0", "attempts is 0"),
        ("tradeoff", "out=no/such/folder/curve", "does not exist"),
        ("tradeoff", "out=/proc/curve", "/proc cannot be written"),
        ("verify", "out=/proc/rows.csv", "/proc cannot be written"),
        ("tradeoff", "friction=0", "friction is 0"),
    ],
)
def test_wrong_arguments(data_set, monkeypatch, capsys, command, wrong, message):
    assert run(monkeypatch, command, data_set, wrong) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "told"),
    [("generate", "goes on"), ("pull", "goes on"), ("export-bop", "delete it"), ("tradeoff", "starts anew")],
)
def test_ctrl_c_says_what_the_same_command_does(monkeypatch, capsys, command, told):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("sim.cli.command_line.call", stop)
    monkeypatch.setattr("labeler.__main__.run_hydra", lambda *_, **__: stop())
    assert run(monkeypatch, command) == 130
    assert told in capsys.readouterr().err
