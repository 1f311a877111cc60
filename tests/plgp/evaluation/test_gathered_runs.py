"""What is read of a training's folder."""

import pandas as pd
import pytest
from omegaconf import OmegaConf

from plgp.evaluation.runs import gather, read_run
from plgp.runs.ended import mark
from sim.errors import InputError


def test_scores_at_epoch_ends_are_of_the_weights_that_are_kept(write_run, tmp_path):
    """Of equally good epochs the last one's checkpoint is kept; the first one's SR stood beside it in tables."""
    folder = write_run(tmp_path / "a", "a")
    curves = pd.read_csv(folder / "csv" / "metrics.csv")
    ends = curves["benchmark/AP"].notna()
    curves.loc[ends, ["benchmark/SR", "benchmark/AP"]] = [[70.0, 50.0], [60.0, 90.0], [80.0, 90.0]]
    curves.to_csv(folder / "csv" / "metrics.csv", index=False)
    assert gather([tmp_path]).runs[0].validation().SR == 80.0


def with_trainer(folder, **trainer):
    """Sets a trainer's limits in a run's record, and returns its configuration."""
    config = OmegaConf.load(folder / "config.yaml")
    config.trainer = trainer
    OmegaConf.save(config, folder / "config.yaml")
    return config


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"max_epochs": 30}, "stopped after 2 of 30 epochs; go on with resume="),
        ({"max_epochs": 30, "max_steps": 90}, "stopped after 2 of 30 epochs; go on with resume="),
        ({"max_epochs": -1, "max_steps": 90}, "stopped after 2 epochs, before the last of 90 steps; go on"),
        ({"max_steps": 90}, "stopped after 2 epochs, before the last of 90 steps; go on"),
    ],
)
def test_a_training_that_its_time_cut_is_left_out(limits, said, write_run, tmp_path):
    """It stood in the tables as a whole one, which resume=auto would train on."""
    folder = write_run(tmp_path / "a", "a", epochs=2)
    config = with_trainer(folder, max_time="00:01:00:00", **limits)
    with pytest.raises(InputError, match=said):
        read_run(folder)
    assert read_run(folder, incomplete=True).epochs == 2
    mark(folder, config, epochs=2, steps=20)  # of a former plgp, which marked these, too
    with pytest.raises(InputError, match=said):
        read_run(folder)
    mark(folder, config, epochs=30, steps=90)  # further than its curves
    assert read_run(folder).epochs == 2


@pytest.mark.parametrize("limits", [{"max_epochs": 2}, {"max_epochs": -1}, {"max_epochs": -1, "max_steps": -1}, {}])
def test_a_training_with_a_time_that_came_to_its_end_counts(limits, write_run, tmp_path):
    """Without a last epoch or step its time is the end."""
    folder = write_run(tmp_path / "a", "a", epochs=2)
    with_trainer(folder, max_time="00:01:00:00", **limits)
    assert read_run(folder).epochs == 2
