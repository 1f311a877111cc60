"""Packed runs: the same report, attempts and identities as from their folders, in a few files."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from omegaconf import OmegaConf

from plgp.evaluation.run_folders import (
    find_runs,
    has_config,
    has_scenes,
    pack,
    read_choices,
    read_curves,
    read_settings,
    read_validation,
)
from plgp.evaluation.runs import gather
from plgp.report import write_report
from sim.benchmark import store
from sim.errors import InputError

RESULTS = Path(__file__).parents[3] / "results"


@pytest.fixture
def outputs(tmp_path, write_run, write_scenes):
    """Two trainings with final benchmarks, one with validation attempts, and a folder of two policies."""
    root = tmp_path / "outputs"
    for seed in (0, 1):
        write_run(root / "ablation" / str(seed), "row", seed, successes=2 + seed, group="table3")
    (root / "ablation" / "0" / "benchmark").mkdir()
    kept = pd.DataFrame({"policy": ["network"], "success": [True], "x": [0.1]})
    kept.to_csv(root / "ablation" / "0" / "benchmark" / "attempts-epoch-007.csv", index=False)
    for policy, good in (("random", 1), ("network", 3)):
        write_scenes(root / "measured", policy, "novel-5", good)
    about = {"random": {"policy": "RandomPolicy"}}
    about["network"] = {"policy": "NetworkPolicy", "network": "GGCNN2", "modality": "depth"}
    OmegaConf.save(OmegaConf.create(about), root / "measured" / "policies.yaml")
    return root


def report(folder, out):
    return [path.read_text() for path in write_report(gather([folder]), out)]


def test_the_packed_folder_makes_the_same_report(outputs, tmp_path):
    before = report(outputs, tmp_path / "before")
    done = pack([outputs], out=tmp_path / "packed", command="python train.py -m")
    assert done.skipped == []
    assert sorted(p.name for p in done.written) == [
        "attempts.parquet",
        "curves.parquet",
        "runs.json",
        "validation.parquet",
    ]
    assert {p.name for p in (tmp_path / "packed").iterdir()} == {p.name for p in done.written}
    shutil.rmtree(outputs)
    shutil.move(tmp_path / "packed", outputs)  # the report names folders
    assert report(outputs, tmp_path / "after") == before
    settings = json.loads((outputs / "runs.json").read_text())
    assert settings["command"] == "python train.py -m"
    assert {"python", "torch", "pybullet"} <= set(settings["versions"])


def test_a_run_is_read_alike_from_either(outputs, tmp_path):
    pack([outputs], out=tmp_path / "packed")
    for run in ("ablation/0", "ablation/1", "measured"):
        loose, packed = outputs / run, tmp_path / "packed" / run
        pd.testing.assert_frame_equal(store.read_attempts(loose), store.read_attempts(packed))
        for name in ("config", "policies"):
            assert read_settings(loose, name) == read_settings(packed, name)
    loose, packed = outputs / "ablation" / "0", tmp_path / "packed" / "ablation" / "0"
    pd.testing.assert_frame_equal(read_curves(loose), read_curves(packed)[read_curves(loose).columns])
    pd.testing.assert_frame_equal(read_validation(loose), read_validation(packed))
    assert read_validation(loose).epoch.tolist() == [7]
    assert read_validation(outputs / "ablation" / "1") is None


def test_settings_that_all_runs_share_are_written_once_and_the_former_files_are_read(outputs, tmp_path):
    pack([outputs], out=tmp_path / "packed")
    path, run = tmp_path / "packed" / "runs.json", "ablation/1"
    content = json.loads(path.read_text())
    whole = read_settings(outputs / run, "config")
    assert content["config"]["group"] == "table3"
    assert content["runs"][run]["config"].keys() < whole.keys()
    del content["config"]
    content["schema"], content["runs"] = 1, {run: {"config": whole}}
    path.write_text(json.dumps(content))
    assert read_settings(tmp_path / "packed" / run, "config") == whole


def test_runs_are_found_in_order_and_by_their_path(outputs, tmp_path, write_scenes):
    packed = tmp_path / "packed"
    pack([outputs], out=packed)
    assert find_runs(packed) == [packed / "ablation" / "0", packed / "ablation" / "1", packed / "measured"]
    assert find_runs(packed / "ablation") == [packed / "ablation" / "0", packed / "ablation" / "1"]
    assert find_runs(packed / "measured") == [packed / "measured"]
    write_scenes(packed / "later", "random", "novel-5", 1)  # measured into the packed folder
    assert find_runs(packed)[-1] == packed / "later"
    with pytest.raises(InputError, match="no folder"):
        find_runs(packed / "nowhere")
    # A packed folder is packed again, alone or beside another root.
    pack([packed], out=tmp_path / "again")
    assert len(find_runs(tmp_path / "again")) == 4
    pack([packed, outputs / "measured"], out=tmp_path / "both")
    assert find_runs(tmp_path / "both")[-1] == tmp_path / "both" / "measured"


def test_a_run_that_is_its_own_root_keeps_the_folders_name(outputs, tmp_path):
    pack([outputs / "measured"], out=tmp_path / "measured")
    assert find_runs(tmp_path / "measured") == [tmp_path / "measured"]
    (found,) = gather([tmp_path / "measured"]).results
    assert found.policies["network"]["network"] == "GGCNN2"


def test_packing_again_beside_the_runs_takes_each_once(outputs, capsys):
    from plgp.report import pack as command

    for _ in range(2):
        command(runs=(outputs,), out=outputs / "kept", command="make demo")
        assert f"wrote {outputs / 'kept' / 'attempts.parquet'}" in capsys.readouterr().out
    assert len(find_runs(outputs / "kept")) == 3


def test_broken_runs_are_left_out_with_the_reason(outputs, tmp_path):
    (outputs / "ablation" / "1" / "csv" / "metrics.csv").write_text("")
    done = pack([outputs], out=tmp_path / "packed")
    assert [(path.name, "metrics.csv is empty" in why) for path, why in done.skipped] == [("1", True)]
    assert len(find_runs(tmp_path / "packed")) == 2
    with pytest.raises(InputError, match=r"no whole run .*metrics.csv is empty"):
        pack([outputs / "ablation" / "1"], out=tmp_path / "none")
    with pytest.raises(InputError, match="would have one name, 'measured'"):
        pack([outputs / "measured", tmp_path / "packed" / "measured"], out=tmp_path / "none")
    assert not (tmp_path / "none").exists()
    (tmp_path / "packed" / "runs.json").write_text("{")
    with pytest.raises(InputError, match="is broken"):
        find_runs(tmp_path / "packed")
    (tmp_path / "packed" / "runs.json").write_text('{"schema": 3, "runs": {}}')
    with pytest.raises(InputError, match="install a later plgp"):
        find_runs(tmp_path / "packed")


@pytest.mark.parametrize("recipe", ["dataset", "recipe"])
@pytest.mark.parametrize("final", ["evaluation", "final_benchmark"])
def test_configurations_of_either_spelling_are_read(tmp_path, recipe, final, write_run):
    folder = write_run(tmp_path / "run", "run", successes=2)
    config = OmegaConf.load(folder / "config.yaml")
    config[recipe], config[final] = {"_target_": "labeler.generate.DataSetRecipe"}, {"category": "novel-15"}
    OmegaConf.save(config, folder / "config.yaml")
    pack([folder], out=tmp_path / "packed")
    for root in (folder, tmp_path / "packed"):
        (run,) = gather([root]).runs
        assert run.name == "run"
        assert run.scores("novel-15").AP == 50


@pytest.mark.skipif(not RESULTS.is_dir(), reason="results/ is not here: plgp without its repository")
def test_the_kept_results_are_whole_and_small():
    """Every run that results/README.md names, in few files."""
    runs = find_runs(RESULTS)
    assert len(runs) == 92
    assert sum(has_config(run) for run in runs) == 73
    assert sum(has_scenes(run) for run in runs) == 89
    files = [path for path in RESULTS.rglob("*") if path.is_file()]
    assert len(files) < 50
    assert sum(path.stat().st_size for path in files) < 6_000_000


@pytest.mark.parametrize(
    ("file", "text"),
    [
        *(("one/.hydra/overrides.yaml", text) for text in ("- a: [\n", "3", "\x00", "- ${nowhere}", "")),
        *(("multirun.yaml", text) for text in ("hydra: [\n", "- 1", "hydra: {overrides: {task: 3}}", "hydra: 3")),
        ("multirun.yaml", "hydra: {sweeper: {params: [1]}}"),
    ],
)
def test_hydras_files_may_be_broken_beside_a_whole_run(tmp_path, file, text):
    (tmp_path / "one" / ".hydra").mkdir(parents=True)
    (tmp_path / "multirun.yaml").write_text("hydra: {overrides: {task: ['seed=0,1']}}")
    (tmp_path / "one" / ".hydra" / "overrides.yaml").write_text("[seed=0]")
    assert read_choices(tmp_path / "one") == {"seed": "0"}
    (tmp_path / file).write_text(text)
    assert read_choices(tmp_path / "one") == {}
