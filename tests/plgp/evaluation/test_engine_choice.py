"""What is wrong with the choice of an engine or a policy is said before anything is measured."""

from importlib.util import find_spec

import pandas as pd
import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from plgp.benchmark import benchmark, default_folder
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


def test_one_setting_names_the_weights_of_both_graspnets():
    config = composed("policy=[graspnet,graspnet_topdown,gqcnn]", "weights.graspnet=FILE")
    given = {name: entry.weights_file for name, entry in config.policies.items()}
    assert given == {"graspnet": "FILE", "graspnet_topdown": "FILE", "gqcnn": "???"}
    # What was measured before weights had names of their own is found again.
    assert default_folder(composed("policy=gqcnn", "skip_missing=true")) == default_folder(composed("policy=gqcnn"))
    assert default_folder(config) != default_folder(composed("policy=[graspnet,graspnet_topdown,gqcnn]"))


def test_table_iv_leaves_out_what_has_no_weights_and_measures_the_rest(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("plgp.methods.contact_graspnet.network.find_spec", lambda name: None)
    few = ["limit=1", "frictions=[0.6]", "workers=1", "benchmark.count=1", "benchmark.max_failures=1"]
    few += ["category=novel-5", f"out={tmp_path}"]
    config = composed("comparison=table4", *few)
    assert {"gqcnn", "fc_gqcnn", "graspnet", "contact_graspnet", "pretrained", "oracle"} < set(config.policies)
    OmegaConf.set_struct(config, False)
    for name in ("random", "random-free", "antipodal", "pretrained", "specialist", "oracle"):  # constant is enough
        del config.policies[name]
    benchmark(config)
    said = capsys.readouterr().out
    for name in ("gqcnn", "fc_gqcnn", "graspnet", "graspnet_topdown"):
        assert f"policy '{name}' is left out: policies.{name}.weights_file is not given" in said
    assert "policy 'contact_graspnet' is left out: Contact-GraspNet's weights are not installed; run: pip" in said
    assert said.count("left out") == 2 * 6  # at the start, and again below the table
    assert "| paper: GQCNN | depth |" in said
    assert (tmp_path / "report" / "methods.csv").is_file()


def test_weights_that_are_given_and_wrong_are_no_reason_to_go_on(tmp_path):
    config = composed("comparison=table4", "policy=[gqcnn,constant]", f"weights.gqcnn={tmp_path / 'none'}")
    with pytest.raises(Exception, match="none do not exist"):
        evaluate(config, tmp_path / "out")


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
