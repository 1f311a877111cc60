"""W&B's panels drawn from offline runs: what differs, what is left out, and pictures from the runs' own folders."""

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from plgp.evaluation.dashboard import choices, draw_dashboard, last
from plgp.evaluation.wandb_files import OfflineRun, read_runs
from sim.errors import InputError

KEPT = Path(__file__).parents[3] / "results" / "table3" / "wandb.tar.xz"


def run(name, /, *, folder=Path(), history=None, **config):
    rows = [{"test/AP": 80.0}] if history is None else history
    return OfflineRun(name=name, group="g", tags=(), config=config, history=pd.DataFrame(rows), folder=folder)


def test_settings_that_differ_stand_once():
    one = run("a", seed=0, data={"seed": 0, "crop": 64}, network={"_target_": "m.A"}, output="/x/1", name="a")
    two = run("b", seed=1, data={"seed": 1, "crop": 64}, network={"_target_": "m.B"}, output="/x/2", name="b")
    three = run("c", seed=0, data={"seed": 0, "crop": 64}, network={"_target_": "m.B"}, output="/x/3", name="c")
    assert choices([one, two, three]) == {"seed": ["0", "1", "0"], "network": ["A", "B", "B"]}


def test_the_kept_runs_show_what_the_ablation_varies(tmp_path):
    if not KEPT.is_file():
        pytest.skip("results/ is not here: plgp without its repository")
    runs = read_runs(KEPT)
    assert set(choices(runs)) == {"seed", "data.enhance", "loss.element"}
    assert last(runs[-1], "test/AP") == pytest.approx(82.7)
    with Image.open(draw_dashboard(runs, tmp_path / "d.png")) as image:
        assert image.width == 1000


def test_scores_by_category_and_pictures_are_drawn(tmp_path):
    (tmp_path / "files" / "media").mkdir(parents=True)
    Image.new("RGB", (40, 30), "red").save(tmp_path / "files" / "media" / "p.png")
    picture = {"_type": "images/separated", "filenames": ["media/p.png"]}
    ap = "test/novel-5/friction 1/AP"
    row = {"test/AP": 70.0, ap: 70.0, f"{ap}_low": 60.0, f"{ap}_high": 75.0, "test/pictures": picture}
    runs = [run("a", folder=tmp_path, history=[row], seed=0), run("b", history=[row], seed=1)]
    with Image.open(draw_dashboard(runs, tmp_path / "d.png")) as image:
        assert image.height > 900
        assert (255, 0, 0) in {colour for _, colour in image.convert("RGB").getcolors(1 << 24)}


def test_what_cannot_be_drawn_is_said(tmp_path):
    with pytest.raises(InputError, match="no run has a final AP"):
        draw_dashboard([run("a", history=[{"val/loss": 1.0}])], tmp_path / "d.png")
    with pytest.raises(InputError, match="cannot be written"):
        draw_dashboard([run("a")], tmp_path / "d.nothing")
    (tmp_path / "x.tar.xz").write_bytes(b"none")
    with pytest.raises(InputError, match="no archive"):
        read_runs(tmp_path / "x.tar.xz")
