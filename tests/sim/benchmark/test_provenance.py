"""Tables remember where they were measured, so that only like is compared with like."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from sim.benchmark import BenchmarkSettings, compare, run_benchmark, summarise
from sim.benchmark.baselines import RandomPolicy
from sim.benchmark.scene_sets import load_scene_set
from sim.benchmark.store import read_attempts
from sim.errors import InputError

RULES = BenchmarkSettings(count=1, max_failures=1, depth_noise=None)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Tables of one policy in scenes 0-1, in scenes 40-41, in scenes 0-1 from higher up, and their folders."""
    scenes = load_scene_set("plgp-320")["novel-5"]
    tables = {}
    for name, states, rules in (
        ("near", scenes[:2], RULES),
        ("again", scenes[:2], RULES),
        ("other scenes", scenes[40:42], RULES),
        ("higher", scenes[:2], dataclasses.replace(RULES, camera_height=0.9)),
    ):
        folder = tmp_path_factory.mktemp("run")
        tables[name] = run_benchmark(RandomPolicy(), states, [0.4], rules, out=folder), folder
    return tables


@pytest.mark.parametrize("stored", [False, True])
@pytest.mark.parametrize("other", ["other scenes", "higher", "again"])
def test_only_the_same_scenes_and_rules_are_compared(runs, other, stored):
    one, two = (
        (read_attempts(runs[name][1]) if stored else runs[name][0]).query("friction == 0.4").assign(policy=name)
        for name in ("near", other)
    )
    both = pd.concat([one, two], ignore_index=True)
    if other == "again":
        differences = compare(both, "near")
        assert np.allclose(differences[["SR_difference", "PC_difference", "AP_difference"]], 0)
    else:
        with pytest.raises(
            InputError, match=f"'{other}' and 'near' cannot be compared: scene 0 .* measured with other"
        ):
            compare(both, "near")


def test_named_policies_are_told_apart_without_renaming(runs):
    first = run_benchmark(RandomPolicy(), load_scene_set("plgp-320")["novel-5"][:2], [0.4], RULES, name="first")
    both = pd.concat([runs["near"][0], first])
    assert len(compare(both, "random")) == 2
    mixed = pd.concat([runs["higher"][0], first])
    with pytest.raises(InputError, match=r"rules \(camera"):
        compare(mixed, "random")


def test_a_plain_table_is_compared_as_before(runs):
    plain = pd.DataFrame(runs["near"][0].to_dict("list"))
    both = pd.concat([plain, plain.assign(policy="other")])
    assert len(compare(both, "random")) == 2
    pd.testing.assert_frame_equal(summarise(runs["near"][0]), summarise(plain))
