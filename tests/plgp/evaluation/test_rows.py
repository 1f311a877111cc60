"""Which measurements make one row of Table II: those of one name, recipe and settings, wherever they were trained."""

from functools import partial

import pandas as pd
import pytest
from omegaconf import OmegaConf

from plgp.evaluation.ablation_table import table_iii
from plgp.evaluation.report_tables import _Entry, _grouped, table_ii, table_iv, table_of_runs
from plgp.evaluation.runs import Gathered, gather
from plgp.runs.ended import mark
from sim.errors import InputError


def entry(seed, settings="", recipe="", **choices):
    known = ("GGCNN2", "depth", "train", seed, 1, 1, pd.DataFrame(), "0.4", f"runs/{settings}{seed}", settings)
    return _Entry(
        *known, recipe=recipe, choices={"seed": str(seed), **{k.replace("__", "."): v for k, v in choices.items()}}
    )


@pytest.mark.parametrize(
    ("entries", "rows"),
    [
        (
            [entry(0, optimizer__lr="0.001"), entry(1, optimizer__lr="0.001"), entry(2)],
            {"train": [0, 1, 2]},  # seed 2 was trained alone, after the sweep
        ),
        (
            [entry(0, crop="64", optimizer__lr="0.001"), entry(1, crop="64")],
            {"train crop=64": [0, 1]},  # of two sweeps over other keys
        ),
        (
            [
                entry(0, "a", optimizer__lr="0.1"),
                entry(0, "b", optimizer__lr="0.2"),
                entry(1, "b", optimizer__lr="0.2"),
            ],
            {"train optimizer.lr=0.1": [0], "train optimizer.lr=0.2": [0, 1]},
        ),
        (
            [
                entry(0, "a", optimizer__lr="0.1"),
                entry(1, "a"),
                entry(0, "b"),
                entry(0, "c", "no focal loss", crop="64"),
            ],
            {"train in runs/a0": [0, 1], "train in runs/b0": [0], "train crop=64, no focal loss": [0]},
        ),
    ],
)
def test_choices_name_a_row_and_do_not_split_it(entries, rows):
    assert {label: [e.seed for e in some] for (*_, label), some in _grouped(entries).items()} == rows


def test_seeds_that_were_trained_on_from_their_own_runs_are_one_row(tmp_path, write_run):
    for seed in (0, 1):
        folder = write_run(tmp_path / str(seed), "train", seed, successes=2)
        config = OmegaConf.load(folder / "config.yaml")
        config.resume = f"gone/old{seed}"
        OmegaConf.save(config, folder / "config.yaml")
    found = gather([tmp_path])
    assert [row[2] for row in table_ii(found).rows if row[0] == "GGCNN2"] == ["train (2 runs)"]
    notes = ["the paper's, resumed from gone/old0", "the paper's, resumed from gone/old1"]
    assert [row[3] for row in table_of_runs(found).rows] == notes


def test_a_mark_of_other_limits_makes_no_stopped_run_whole(tmp_path, write_run):
    """As of a training that was begun anew for longer in its folder, and stopped before its first step."""
    folder = write_run(tmp_path / "one", "train", epochs=2)
    config = OmegaConf.load(folder / "config.yaml")
    mark(folder, config, epochs=2, steps=20)
    assert len(gather([tmp_path]).runs) == 1
    config.trainer.max_epochs = 9
    OmegaConf.save(config, folder / "config.yaml")
    with pytest.raises(InputError, match="stopped after 2 of 9 epochs"):
        gather([tmp_path])


def test_tables_without_rows_have_the_heads_of_those_with_rows(tmp_path, write_run, write_scenes):
    """pandas cannot read a CSV of nothing."""
    write_run(tmp_path / "runs" / "run", "row", group="mine", successes=2)
    write_scenes(tmp_path / "runs" / "table", "random", "novel-5", 1)
    full, empty = gather([tmp_path / "runs"]), Gathered([], [], [])
    for table in (table_ii, partial(table_iii, ablation="mine", category="novel-15"), table_iv, table_of_runs):
        assert not table(full).data.empty
        table(empty).data.to_csv(tmp_path / "empty.csv", index=False)
        assert list(pd.read_csv(tmp_path / "empty.csv").columns) == list(table(full).data.columns)
