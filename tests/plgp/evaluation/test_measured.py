"""Results remember their scenes and rules."""

from dataclasses import replace

import pandas as pd
import pytest
from omegaconf import OmegaConf

from plgp.evaluation.evaluate import _write_tables
from plgp.evaluation.measured import (
    MEASURED,
    chosen_scenes,
    measured_rules,
    measured_scenes,
    others_there,
    save_measured,
)
from sim.benchmark.protocol import BenchmarkSettings
from sim.benchmark.statistics import summarise
from sim.benchmark.store import read_attempts
from sim.errors import InputError

CHOSEN = """
scene_set:
  _target_: sim.benchmark.scene_sets.drop_scene_set
  objects: {_target_: sim.objects.ObjectSet.pybullet, first: 900, last: 905}
  name: mine
  scenes: 2
  object_counts: [1, 2]
  seed: 3
  workers: 1
settings:
  _target_: sim.benchmark.protocol.BenchmarkSettings
  count: 7
  gripper: {_target_: sim.gripper.GripperGeometry, max_opening: 0.07}
category: mine-2
limit: 1
"""


def test_scenes_that_were_dropped_are_dropped_again(tmp_path):
    chosen = OmegaConf.create(CHOSEN)
    (there,) = chosen_scenes(chosen)["mine-2"]
    save_measured(chosen, tmp_path / "results")
    again = measured_scenes(tmp_path / "results")
    assert {category: len(part) for category, part in again.items()} == {"mine-1": 2, "mine-2": 2}
    assert again["mine-2"][0].to_json() == there.to_json()
    rules = measured_rules(tmp_path / "results")
    assert (rules.count, rules.gripper) == (7, replace(BenchmarkSettings().gripper, max_opening=0.07))


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "few"])
def test_a_limit_that_is_no_number_of_scenes_is_named(limit):
    chosen = OmegaConf.create(CHOSEN)
    chosen.limit = limit
    with pytest.raises(InputError, match=f"limit is {limit}; give a whole number from 1 on, or null"):
        chosen_scenes(chosen)


def test_scenes_that_the_tables_are_not_of_are_told(tmp_path, write_scenes):
    for policy in ("random", "antipodal"):
        write_scenes(tmp_path, policy, "novel-5", 2)
    rows = pd.DataFrame({"policy": ["random"] * 3, "category": "novel-5", "scene": [0, 0, 1]})
    (said,) = others_there(rows[:2], tmp_path)
    assert said.startswith(
        f"the tables are of this command's 1 scene file alone, and 3 more finished before in {tmp_path}"
    )
    assert said.endswith(f"python -m plgp.report runs={tmp_path} reads all")
    assert "2 scene files alone, and 2 more" in others_there(rows, tmp_path)[0]
    assert others_there(pd.concat([rows, rows.assign(policy="antipodal")]), tmp_path) == []


def test_tables_of_the_same_rows_stay_and_those_of_others_go(tmp_path, write_scenes):
    for policy in ("random", "antipodal"):
        write_scenes(tmp_path, policy, "novel-5", 2)
    rows = read_attempts(tmp_path)
    assert _write_tables(rows, summarise(rows), tmp_path) == []
    for name in ("comparison.csv", "agreement.csv"):
        (tmp_path / name).write_text("policy\n")
    turned = rows.sort_values("policy", ascending=False, kind="stable")  # policy=[random,antipodal]
    assert _write_tables(turned, summarise(turned), tmp_path) == []
    assert (tmp_path / "comparison.csv").is_file()
    fewer = rows[rows.scene == 0]
    assert _write_tables(fewer, summarise(fewer), tmp_path) == ["comparison.csv", "agreement.csv"]
    assert not (tmp_path / "comparison.csv").exists()
    assert len(pd.read_csv(tmp_path / "attempts.csv")) == len(fewer)


def test_older_results_and_broken_notes(tmp_path):
    assert measured_rules(tmp_path) is None
    assert set(measured_scenes(tmp_path)) == {"novel-5", "novel-15", "seen-5", "seen-15"}
    for text in ("a: [", "settings: 3\nscene_set: 3", "settings: {a: 1}\nscene_set: {a: 1}", "3"):
        (tmp_path / MEASURED).write_text(text)
        for read in (measured_scenes, measured_rules):
            with pytest.raises(
                InputError, match=r"measured.yaml cannot be read \(\w+\); remove it, and give scene_set="
            ):
                read(tmp_path)
