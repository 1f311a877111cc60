"""Packed attempts: scenes come back as they were, each with what it was measured with."""

import pandas as pd
import pytest

from sim.benchmark import packed, store
from sim.errors import InputError


def scene(policy, number, seed):
    rows = {
        "policy": policy,
        "category": "novel-5",
        "scene": number,
        "attempt": range(3),
        "success": [True, False, True],
    }
    table = pd.DataFrame(rows).assign(
        success=[True, False, True], object=["a", "", "b"], x=[0.1 * seed, float("nan"), 1 / 3]
    )
    return table, {"version": "1", "scene": f"hash{number}", "rules": f"rules of {policy}"}


@pytest.fixture
def folder(tmp_path):
    """Two runs packed: of "table" two scenes of two policies each, of "other/one" one scene."""
    table = [scene(policy, number, 3) for policy in ("random", "oracle") for number in (0, 1)]
    packed.write_packed(tmp_path / packed.FILE, [("table", table), ("other/one", [scene("random", 0, 7)])])
    return tmp_path


def test_scenes_come_back_as_they_were(folder):
    expected = [scene(policy, number, 3) for policy in ("random", "oracle") for number in (0, 1)]
    for (rows, identity), (rows_before, identity_before) in zip(
        store.finished_scenes(folder / "table"), expected, strict=True
    ):
        pd.testing.assert_frame_equal(rows, rows_before)
        assert identity == identity_before
    pd.testing.assert_frame_equal(
        store.read_attempts(folder / "other" / "one"), scene("random", 0, 7)[0], check_names=False
    )
    assert packed.runs_of(folder / packed.FILE) == ["table", "other/one"]


def test_one_scene_is_read_only_with_its_own_settings(folder):
    known = {"scene": "hash1", "rules": "rules of oracle"}
    rows = store.read_scene(folder / "table", store.SceneKey("oracle", "novel-5", 1), known)
    pd.testing.assert_frame_equal(rows, scene("oracle", 1, 3)[0])
    with pytest.raises(InputError, match=r"other settings \(rules\)"):
        store.read_scene(folder / "table", store.SceneKey("oracle", "novel-5", 1), known | {"rules": "others"})
    assert store.read_scene(folder / "table", store.SceneKey("oracle", "novel-5", 2), known) is None
    assert store.read_scene(folder / "nowhere", store.SceneKey("oracle", "novel-5", 1), known) is None


def test_scenes_measured_later_stand_behind_the_packed_ones(folder):
    rows, identity = scene("antipodal", 0, 5)
    store.write_scene(rows, folder / "table", store.SceneKey("antipodal", "novel-5", 0), known=identity)
    policies = store.read_attempts(folder / "table").policy.unique()
    assert list(policies) == ["random", "oracle", "antipodal"]


def test_the_folder_of_several_runs_asks_for_one(folder):
    with pytest.raises(InputError, match=r"has those of .*table, .*one"):
        store.read_attempts(folder)
    (folder / packed.FILE).write_bytes(b"PAR1")
    with pytest.raises(InputError, match="broken"):
        store.read_attempts(folder / "table")
    pd.DataFrame({"success": [True]}).to_parquet(folder / packed.FILE)  # somebody's own table of that name
    with pytest.raises(InputError, match="no finished benchmark scene"):
        store.read_attempts(folder / "table")


@pytest.mark.parametrize(
    ("part", "said"), [("rules", "rules"), ("frictions", "frictions"), ("policy", "settings of it")]
)
def test_scenes_of_several_measurements_in_one_folder_are_told(tmp_path, part, said):
    for number in (0, 1):
        rows, identity = scene("random", number, 5)
        key = store.SceneKey("random", "novel-5", number)
        store.write_scene(rows, tmp_path, key, known=identity | {part: f"as in {number}"})
    with pytest.raises(InputError, match=f"scenes 0 and 1 of 'random' in 'novel-5' .* with other {said}"):
        store.read_attempts(tmp_path)
    with pytest.raises(InputError, match="scenes 0 and 1"):
        packed.write_packed(tmp_path / packed.FILE, [("run", store.finished_scenes(tmp_path))])
    assert not (tmp_path / packed.FILE).exists()


def test_a_part_that_an_older_plgp_did_not_note_is_no_difference(tmp_path):
    for number, more in ((0, {}), (1, {"policy": "noted"})):
        rows, identity = scene("random", number, 5)
        store.write_scene(rows, tmp_path, store.SceneKey("random", "novel-5", number), known=identity | more)
    assert len(store.read_attempts(tmp_path)) == 6


def test_a_file_under_another_scenes_name_is_told(tmp_path):
    rows, identity = scene("random", 0, 5)
    path = store.write_scene(rows, tmp_path, store.SceneKey("random", "novel-5", 0), known=identity)
    path.rename(path.with_name("scene-007.parquet"))
    with pytest.raises(InputError, match=r"scene-007.parquet holds what belongs into .*scene-000.parquet"):
        store.read_attempts(tmp_path)
    path.with_name("scene-007.parquet").rename(path)
    (tmp_path / "random").rename(tmp_path / "mine")
    with pytest.raises(InputError, match=r"mine.*belongs into .*random"):
        store.read_attempts(tmp_path)


def test_a_file_that_lost_rows_is_broken(tmp_path):
    from pyarrow import parquet

    rows, identity = scene("random", 0, 5)
    key = store.SceneKey("random", "novel-5", 0)
    path = store.write_scene(rows, tmp_path, key, known=identity)
    assert len(store.read_scene(tmp_path, key, identity)) == 3
    parquet.write_table(parquet.read_table(path, partitioning=None).slice(0, 2), path)
    assert store.read_scene(tmp_path, key, identity) is None  # it is measured again
    with pytest.raises(InputError, match="is broken"):
        store.read_attempts(tmp_path)
