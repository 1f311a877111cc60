"""The manifest of a data set: today's words on old files, byte for byte, and damage named."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from labeler.dataset.manifest import (
    MANIFEST,
    STAKE,
    Counts,
    FailedScene,
    Import,
    Manifest,
    Recall,
    ShardLine,
    SkippedView,
    TiltTruth,
    Truth,
    find_hash,
    keep_figures,
    read_manifest,
    stake,
    write_manifest,
)
from sim.errors import InputError
from sim.gripper import GripperGeometry

# Written before the manifest was typed: generated, verified with recall, untouched since.
GOLDEN = Path(__file__).with_name("golden_dataset.json")
TRUTH = Truth(
    attempts=4, scenes=1, objects=2, lifted=0.75, macro=0.5, by_tilt={"0-5": TiltTruth(lifted=0.75, attempts=4)}
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / MANIFEST).write_bytes(GOLDEN.read_bytes())
    return tmp_path


def change(folder, **values):
    content = json.loads(GOLDEN.read_text()) | values
    (folder / MANIFEST).write_text(json.dumps({k: v for k, v in content.items() if v != "gone"}))


def test_an_old_file_is_read_and_written_to_the_byte(folder, tmp_path):
    manifest = read_manifest(folder)
    assert manifest.name == "g"
    assert manifest.counts == Counts(images=2, scenes=2, grasps=2983, failed_scenes=0) == Counts.of(manifest.shards)
    assert manifest.shards[0].scenes == ((0, 1), (1, 1))
    assert (manifest.angles, manifest.gripper, manifest.seed) == (18, GripperGeometry(), 5)
    assert manifest.truth["0.4"].by_tilt["10-15"] == TiltTruth(lifted=1.0, attempts=5)
    assert manifest.recall["0.4"].coverage == 1.0
    assert manifest.imported is None
    (tmp_path / "again").mkdir()
    write_manifest(tmp_path / "again", manifest)
    assert (tmp_path / "again" / MANIFEST).read_bytes() == GOLDEN.read_bytes()


def test_everything_comes_back(tmp_path):
    line = ShardLine(file="shard-00000.h5", sha256="ab", scenes=((0, 2), (2, 1)), images=3, grasps=7)
    manifest = Manifest(
        name="all",
        hash="c" * 64,
        recipe={"labels": {"angles": 6}},
        seed=3,
        counts=Counts.of([line], 1),
        failed_scenes=(FailedScene(scene=1, failure="it fell"),),
        versions={"numpy": "2"},
        shards=(line,),
        truth={"0.4": TRUTH},
        recall={"0.2": Recall(attempts=2, scenes=1, lifted_grasps=0, objects=0, lifted=0.0)},
        imported=Import(source="theirs", objects_per_image=(5, 15), skipped=(SkippedView(view="a", reason="b"),)),
    )
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest
    content = json.loads((tmp_path / MANIFEST).read_text())
    assert content["imported"]["from"] == "theirs"
    assert content["truth"]["0.4"]["interval"] is None
    assert content["counts"] == {"images": 3, "scenes": 2, "grasps": 7, "failed_scenes": 1}


def test_what_is_empty_is_left_out(tmp_path):
    line = ShardLine(file="shard-00000.h5", sha256="", scenes=((0, 1),))
    write_manifest(tmp_path, Manifest(name="bare", hash="", counts=Counts.of([line]), shards=(line,)))
    content = json.loads((tmp_path / MANIFEST).read_text())
    assert not {"versions", "truth", "recall", "imported"} & content.keys()
    assert content["shards"] == [{"file": "shard-00000.h5", "sha256": "", "scenes": [[0, 1]]}]


def test_figures_are_added_and_nothing_else_changes(folder):
    change(folder, later="a field of a newer version")
    keep_figures(folder, 0.25, TRUTH)
    keep_figures(folder, 0.4, replace(read_manifest(folder).recall["0.4"], seed=9))
    content = json.loads((folder / MANIFEST).read_text())
    assert content["truth"].pop("0.25")["by_tilt"] == {"0-5": {"lifted": 0.75, "attempts": 4}}
    assert content["recall"]["0.4"].pop("seed") == 9
    assert content.pop("later") == "a field of a newer version"
    before = json.loads(GOLDEN.read_text())
    before["recall"]["0.4"].pop("seed")
    assert content == before
    assert read_manifest(folder).truth["0.25"] == TRUTH


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"schema_version": 7}, "has schema 7, not 1"),
        ({"hash": "gone"}, "hash is missing"),
        ({"hash": 5}, "hash is '5', not a text"),
        ({"seed": True}, "seed is 'True', not a whole number"),
        ({"shards": "gone"}, "shards is missing"),
        ({"shards": [{"file": "a.h5", "scenes": []}]}, r"shards\[0\].sha256 is missing"),
        (
            {"shards": [{"file": "a.h5", "sha256": "", "scenes": [[1]]}]},
            r"shards\[0\].scenes\[0\] holds 1 values, not 2",
        ),
        ({"counts": {"images": 1}}, r"counts.scenes is missing"),
        ({"counts": []}, r"counts is '\[\]', not a mapping"),
        ({"recipe": None}, "recipe is missing"),
        ({"truth": {"0.4": {"attempts": 1}}}, "truth.0.4.scenes is missing"),
        ({"failed_scenes": [{"scene": "x", "failure": ""}]}, r"failed_scenes\[0\].scene is 'x', not a whole number"),
    ],
)
def test_damage_names_file_and_field(folder, values, words):
    change(folder, **values)
    with pytest.raises(InputError, match=words) as raised:
        read_manifest(folder)
    assert str(raised.value).startswith(str(folder / MANIFEST))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("text", "words"), [("{", "cannot be read"), ("[]", "is not a data set's description")])
def test_what_is_no_manifest(folder, text, words):
    (folder / MANIFEST).write_text(text)
    with pytest.raises(InputError, match=words):
        read_manifest(folder)


def test_a_recipe_that_says_too_little(folder):
    change(folder, recipe={"labels": {}})
    manifest = read_manifest(folder)
    with pytest.raises(InputError, match=r"dataset\.json of 'g': recipe\.labels\.angles is missing"):
        _ = manifest.angles
    with pytest.raises(InputError, match=r"recipe\.gripper is missing"):
        _ = manifest.gripper


def test_the_stake_says_whose_data_are_coming(tmp_path):
    assert find_hash(tmp_path, STAKE) is None
    stake(tmp_path, "abc", {"scenes": 2})
    assert find_hash(tmp_path, STAKE) == "abc"
    assert json.loads((tmp_path / STAKE).read_text()) == {"hash": "abc", "recipe": {"scenes": 2}}
    with pytest.raises(InputError, match="no finished data set"):
        read_manifest(tmp_path)
