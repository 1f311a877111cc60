"""What is read of a training's folder."""

import pandas as pd

from plgp.evaluation.runs import gather


def test_scores_at_epoch_ends_are_of_the_weights_that_are_kept(write_run, tmp_path):
    """Of equally good epochs the last one's checkpoint is kept; the first one's SR stood beside it in tables."""
    folder = write_run(tmp_path / "a", "a")
    curves = pd.read_csv(folder / "csv" / "metrics.csv")
    ends = curves["benchmark/AP"].notna()
    curves.loc[ends, ["benchmark/SR", "benchmark/AP"]] = [[70.0, 50.0], [60.0, 90.0], [80.0, 90.0]]
    curves.to_csv(folder / "csv" / "metrics.csv", index=False)
    assert gather([tmp_path]).runs[0].validation().SR == 80.0
