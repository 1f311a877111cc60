"""The table of attempts: grasps come back from its rows to the last bit, also from the disk."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from sim.benchmark.attempt_table import (
    COLUMNS,
    DTYPES,
    check_attempts,
    ending,
    endings,
    make_table,
    record_grasp,
    recorded_grasp,
    recorded_grasps,
    sort_attempts,
    was_executed,
)
from sim.benchmark.store import SceneKey, read_attempts, read_scene, write_scene
from sim.errors import InputError
from sim.grasp import GraspPoses

KNOWN = {"version": "1", "policy": "a", "scene": "b", "frictions": "0.4", "rules": "c"}


def random_grasp(seed):
    rng = np.random.default_rng(seed)
    turn = Rotation.random(rng=rng).as_matrix()
    return GraspPoses(rng.normal(size=(1, 3)), turn[None], rng.uniform(0, 0.1, 1), rng.uniform(0, 1, 1), "world")


def make_row(attempt, grasp=None, reason="", protocol="rank", **changes):
    row = {"policy": "random", "privileged": False, "category": "novel-5", "scene": 0, "objects": 5, "friction": 0.4}
    row |= {"protocol": protocol, "attempt": attempt, "success": reason == "", "reason": reason, "object": "a/b"}
    row |= {"lifted": int(reason == ""), "given": 50, "seconds": 0.1, "plan_seconds": 0.2}
    return row | (record_grasp(grasp) if grasp is not None else dict.fromkeys(GRASPLESS, np.nan)) | changes


GRASPLESS = [*"xyz", "qx", "qy", "qz", "qw", "width", "quality"]


@pytest.fixture
def table():
    """Two that lift, one that slips, one whose policy raised, one whose grasp is NaN."""
    lost = GraspPoses([[np.nan, 0, 0]], np.eye(3)[None], [0.05], [0.3], "world")
    rows = [make_row(0, random_grasp(0)), make_row(1, random_grasp(1), "slipped", success=False)]
    rows += [make_row(2, None, "policy raised KeyError: 'x' at 7"), make_row(3, lost, "grasp is NaN")]
    return make_table([*rows, make_row(0, random_grasp(2), protocol="clear")])


def same(a, b):
    pd.testing.assert_frame_equal(a, b, check_exact=True)


def test_kept_table_survives_the_round_trip(table, tmp_path):
    key = SceneKey("random", "novel-5", 0)
    path = write_scene(table, tmp_path, key, known=KNOWN)
    assert path.relative_to(tmp_path).as_posix() == "random/novel-5/scene-000.parquet"
    back = read_scene(tmp_path, key, KNOWN)
    same(back, table)
    assert (back.dtypes == table.dtypes).all()
    assert list(back.columns) == COLUMNS == list(DTYPES)
    same(read_attempts(tmp_path), table)
    executed = back[was_executed(back)]
    for name in ("translation", "rotation", "width", "quality"):
        expected = getattr(recorded_grasps(table[was_executed(table)]), name)
        np.testing.assert_array_equal(getattr(recorded_grasps(executed), name), expected)
    assert len(list(tmp_path.rglob("*"))) == 3  # two folders and the file: nothing temporary stays


def test_types_do_not_depend_on_what_the_rows_hold(table):
    for rows in ([make_row(0)], [make_row(0, quality=1, width=0)]):
        assert (make_table(rows).dtypes == table.dtypes).all()


@given(st.integers(0, 2**32))
def test_recorded_grasp_is_a_fixed_point(seed):
    """What is executed is what the row says: recording it again changes no bit of its pose."""
    grasp = random_grasp(seed)
    first = recorded_grasp(record_grasp(grasp))
    np.testing.assert_allclose(first.rotation, grasp.rotation, atol=1e-12)
    np.testing.assert_array_equal(first.translation, grasp.translation)
    row = make_row(0, grasp)
    table = make_table([row])
    for again in (recorded_grasp(row), recorded_grasp(table.iloc[0]), recorded_grasps(table)):
        np.testing.assert_array_equal(again.rotation, first.rotation)
        assert again.frame == "world"


def test_one_word_says_whether_a_grasp_was_executed(table):
    assert was_executed(table).tolist() == [True, True, False, False, True]
    assert [recorded_grasp(row) is not None for _, row in table.iterrows()] == was_executed(table).tolist()
    for name in GRASPLESS[:-1]:  # whichever number is missing
        holed = table.assign(**{name: np.nan})
        assert not was_executed(holed).any()
        assert recorded_grasp(holed.iloc[0]) is None


@pytest.mark.parametrize("rotation", [np.zeros((3, 3)), 1.1 * np.eye(3), np.diag([1.0, 1, -1])])
def test_rotation_that_is_none_is_recorded_without_a_quaternion(rotation):
    row = record_grasp(GraspPoses([[0.1, 0.2, 0.3]], rotation[None], [0.05], [0.5], "world"))
    assert (row["x"], row["y"], row["z"], row["width"], row["quality"]) == (0.1, 0.2, 0.3, 0.05, 0.5)
    assert np.isnan([row[name] for name in ("qx", "qy", "qz", "qw")]).all()
    assert recorded_grasp(row) is None


def test_endings_name_each_end_once(table):
    assert endings(table).tolist() == ["success", "slipped", "policy raised", "grasp is NaN", "success"]
    assert (ending(""), ending("missed")) == ("success", "missed")


def test_tables_have_one_order(table):
    shuffled = sort_attempts(table.sample(frac=1, random_state=3))
    assert shuffled.protocol.tolist() == ["clear", "rank", "rank", "rank", "rank"]
    same(shuffled, sort_attempts(table))


def test_tables_that_are_none_are_refused(table):
    check_attempts(table)
    for wrong, says in (
        (table.drop(columns="lifted"), "lacks lifted"),
        (table.iloc[:0], "empty"),
        (pd.concat([table, table.iloc[:1]]), "twice"),
    ):
        with pytest.raises(InputError, match=says):
            check_attempts(wrong)
