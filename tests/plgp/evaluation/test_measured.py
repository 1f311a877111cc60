"""Results remember their scenes and rules."""

from dataclasses import replace

import pytest
from omegaconf import OmegaConf

from plgp.evaluation.measured import MEASURED, chosen_scenes, measured_rules, measured_scenes, save_measured
from sim.benchmark.protocol import BenchmarkSettings
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
