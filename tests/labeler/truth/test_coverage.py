"""Which objects carry a label, by object and by family."""

import sys

import numpy as np
import pandas as pd
import pytest

from labeler.__main__ import main
from labeler.shards.data_set import DataSet
from labeler.truth.coverage import describe_coverage, group_by, seen_objects


def test_seen_objects_are_those_of_the_mask_and_labelled_ones_those_under_labels(data_set):
    data = DataSet(data_set)
    seen = seen_objects(data)
    for image in range(len(data)):
        frame = data.read(image, ("instance_mask", "objects"))
        own = seen[seen.image == image]
        names = {o.mask_value: o.name for o in frame["objects"]}
        assert sorted(own.object) == sorted(names[v] for v in np.unique(frame["instance_mask"]) if v)
        under = {names[int(v)] for v in frame["instance_mask"][frame["grasps"].row, frame["grasps"].col]}
        assert set(own.object[own.labelled]) == under
    assert seen.labelled.any()


def test_tables():
    names = pd.Series(["procedural-0/0007-mug", "procedural-0/0012-mug", "soap", "procedural-0/0013-ring"])
    assert group_by(names, "family").tolist() == ["mug", "mug", "soap", "ring"]
    assert group_by(names, "object").tolist() == names.tolist()
    seen = pd.DataFrame({"image": 0, "scene": 0, "object": names, "labelled": [True, False, True, False]})
    grasps = pd.DataFrame(
        {
            "success": [True, True, True, False],
            "held": [names[0], names[1], names[2], ""],
            "labelled": [True, False, True, True],
        }
    )
    lines = describe_coverage(seen, grasps, "family").splitlines()
    assert lines[0] == "coverage by family, objects without a label first"
    assert [line.split()[0] for line in lines[1:]] == ["ring", "mug", "soap"]
    assert "0.0 % of   1 seen have a label; no random grasp lifts" in lines[1]
    assert "50.0 % of   2 seen have a label; a label stands for  50.0 % of 2 random grasps that lift" in lines[2]


@pytest.mark.parametrize("labelled", [[], [True]])
def test_no_grasp_that_lifts(labelled):
    seen = pd.DataFrame({"image": 0, "scene": 0, "object": ["a"] * len(labelled), "labelled": labelled})
    grasps = pd.DataFrame({"success": [False], "held": [""], "labelled": [False]})
    text = describe_coverage(seen.astype({"labelled": bool}), grasps, "object")
    assert ("no random grasp lifts" in text) == bool(labelled)


def test_command(data_set, monkeypatch, capsys):
    options = ["attempts=0", "recall=true", "grasps=4", "workers=1", "by=object,family"]
    monkeypatch.setattr(sys, "argv", ["python -m labeler", "verify", str(data_set), *options])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "coverage by object" in said
    assert "coverage by family" in said
    assert "seen have a label" in said
