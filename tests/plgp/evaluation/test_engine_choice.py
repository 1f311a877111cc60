"""What is wrong with the choice of an engine or a policy is said before anything is measured."""

from importlib.util import find_spec

import pandas as pd
import pytest
from hydra import compose, initialize_config_module

from plgp.benchmark import default_folder
from plgp.evaluation.evaluate import evaluate
from sim.errors import InputError
from sim.judge import mujoco_world


def composed(*overrides):
    with initialize_config_module("plgp_conf", version_base="1.3"):
        return compose("benchmark", overrides=list(overrides))


def test_an_unknown_engine_is_named(tmp_path):
    with pytest.raises(InputError, match="physics is 'havok'; choose bullet or mujoco"):
        evaluate(composed("policy=random", "physics=havok"), tmp_path)


def test_an_engine_that_is_not_installed_is_named_before_the_first_attempt(tmp_path, monkeypatch):
    config = composed("policy=random", "physics=mujoco")

    def missing(name, *more, real=mujoco_world.importlib.import_module):
        if name.partition(".")[0] == "mujoco":
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(mujoco_world.importlib, "import_module", missing)
    with pytest.raises(InputError, match=r"pip install 'plgp\[mujoco\]'"):
        evaluate(config, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("policy", ["gqcnn", "fc_gqcnn", "graspnet"])
def test_weights_that_are_not_given_are_named_in_full(tmp_path, policy):
    with pytest.raises(InputError, match=f"say policies.{policy}.weights_file=..."):
        evaluate(composed(f"policy={policy}"), tmp_path)


def test_the_second_judge_makes_no_other_table():
    assert default_folder(composed("policy=random")) == default_folder(composed("policy=random", "physics=mujoco"))


@pytest.mark.skipif(find_spec("mujoco") is None, reason="MuJoCo is not installed: plgp[mujoco]")
def test_ranked_grasps_are_judged(tmp_path, capsys):
    few = ("limit=1", "frictions=[0.6]", "workers=1", "benchmark.count=3", "benchmark.max_failures=1")
    evaluate(composed("policy=antipodal", "physics=mujoco", *few), tmp_path)
    assert "antipodal's ranked grasps:" in capsys.readouterr().out
    judged = pd.read_csv(tmp_path / "agreement.csv")
    assert 1 <= len(judged) <= 3
    assert {"success", "mujoco_success", "mujoco_reason"} <= set(judged.columns)
