"""Several data sets as one: each image once, each data set split by itself."""

import json
import shutil
import warnings
from dataclasses import asdict, replace

import numpy as np
import pytest

from labeler.shards.data_set import DataSet
from plgp.data import PLGPDataModule
from plgp.data.joined import JoinedDataSets, first_images
from sim.errors import InputError
from sim.gripper import GripperGeometry


def test_images_follow_each_other(bars_folder):
    one = DataSet(bars_folder)
    both = JoinedDataSets([one, DataSet(bars_folder)])
    assert len(both) == 2 * len(one)
    for index in (0, len(one) - 1, len(one), 2 * len(one) - 1):
        np.testing.assert_array_equal(
            both.read(index, ("depth",))["depth"], one.read(index % len(one), ("depth",))["depth"]
        )
    np.testing.assert_array_equal(both.grasp_counts(), np.tile(one.grasp_counts(), 2))
    with pytest.raises(InputError, match="not"):
        both.read(2 * len(one))


def test_each_part_is_split_by_itself(bars_folder):
    one = DataSet(bars_folder)
    both = JoinedDataSets([one, DataSet(bars_folder)])
    for alone, joined in zip(one.splits(0.5, 0.25, 0.25), both.splits(0.5, 0.25, 0.25), strict=True):
        assert sorted(joined) == sorted([*alone, *(i + len(one) for i in alone)])


def test_the_data_module_mixes_them(bars_folder):
    alone = PLGPDataModule(bars_folder, crop=64)
    mixed = PLGPDataModule(bars_folder, also=[bars_folder], crop=64)
    for module in (alone, mixed):
        module.setup()
    assert len(mixed.indices["train"]) == 2 * len(alone.indices["train"])
    name = alone.trained_view.data_set
    assert mixed.trained_view == replace(alone.trained_view, data_set=f"{name}+{name}")


def test_few_images_of_a_validation_are_of_all_data_sets(bars_folder):
    """The first of the whole list were the first data set's alone, so that no other ever chose a checkpoint."""
    one = DataSet(bars_folder)
    both = JoinedDataSets([one, DataSet(bars_folder)])
    indices = [*range(4), *range(len(one), len(one) + 2)]
    assert first_images(both, indices, 3) == [0, 1, len(one)]
    assert first_images(both, indices, None) == indices == first_images(both, indices, 9)
    assert first_images(both, [*range(len(one)), len(one)], 2) == [0, len(one)]  # however small its share
    assert first_images(one, indices[:4], 3) == [0, 1, 2]
    module = PLGPDataModule(bars_folder, also=[bars_folder], crop=64, val_samples=2, splits=(0.5, 0.5, 0.0))
    module.setup()
    shown = [module.val_dataloader().sampler.indices[i] for i in range(2)]
    assert shown[0] < len(one) <= shown[1]


def test_the_same_heaps_that_are_split_otherwise_are_told(scored_bars, bars_folder, tmp_path):
    """One seed, objects and tray, but other numbers of scenes: validation scenes of one are in the other's training."""
    for folder, name, seed in ((bars_folder, "all", 0), (scored_bars, "few", 0), (scored_bars, "others", 1)):
        shutil.copytree(folder, tmp_path / name)
        content = json.loads((tmp_path / name / "dataset.json").read_text())
        content["recipe"] |= {"seed": seed, "objects": {"sha256": "a"}, "object_counts": [5]}
        (tmp_path / name / "dataset.json").write_text(json.dumps(content))
    parts = {name: DataSet(tmp_path / name) for name in ("all", "few", "others")}
    with pytest.warns(UserWarning, match=r"hold the same heaps .* generate one of them with another seed="):
        JoinedDataSets([parts["all"], parts["few"]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        JoinedDataSets([parts["all"], parts["others"]])


def test_a_data_set_that_is_named_twice_is_told(bars_folder, tmp_path):
    (tmp_path / "link").symlink_to(bars_folder)
    shutil.copytree(bars_folder, tmp_path / "copy")
    for again in (bars_folder, tmp_path / "link", tmp_path / "copy"):
        with pytest.warns(UserWarning, match=r"bars.* hold the same images, .* name a data set once"):
            JoinedDataSets([DataSet(bars_folder), DataSet(again)])
    for name, digest in (("one", "1"), ("other", "2")):  # imports of one kind from two places
        shutil.copytree(bars_folder, tmp_path / name)
        content = json.loads((tmp_path / name / "dataset.json").read_text()) | {"imported": {"from": "files"}}
        content["shards"][0]["sha256"] = digest
        (tmp_path / name / "dataset.json").write_text(json.dumps(content))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        JoinedDataSets([DataSet(tmp_path / "one"), DataSet(tmp_path / "other")])


def test_labels_of_another_hand_are_refused(bars_folder, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(bars_folder, other)
    content = json.loads((other / "dataset.json").read_text())
    content.setdefault("recipe", {})["gripper"] = asdict(GripperGeometry(max_opening=0.05))
    (other / "dataset.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"gripper\.max_opening"):
        JoinedDataSets([DataSet(bars_folder), DataSet(other)])
