"""W&B's panels drawn from offline runs: what differs, what is left out, and pictures from the runs' own folders."""

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from plgp.evaluation.dashboard import (
    choices,
    colours_of,
    comparable_scores,
    costs,
    draw_dashboard,
    last,
    shown_scores,
)
from plgp.evaluation.wandb_files import OfflineRun, opened_runs
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


def test_many_rows_share_colours_by_the_setting_that_tells_most_of_them_apart():
    runs = [run(f"{n}-{m}", network={"_target_": f"m.{n}"}, modality=m) for n in "ABCDEF" for m in ("depth", "rgb")]
    colours = colours_of(runs)
    assert len(colours) == 12
    assert len(set(colours.values())) == 6
    assert all(colours[f"{n}-depth"] == colours[f"{n}-rgb"] for n in "ABCDEF")
    assert len(set(colours_of(runs[:6]).values())) == 6


def test_arguments_that_only_one_network_has_are_no_axis():
    one = run("a", network={"_target_": "m.A", "width": 1, "prior": 0.1}, cost={"parameters": 10})
    two = run("b", network={"_target_": "m.B", "prior": 0.2}, cost={"parameters": 2_000})
    assert choices([one, two]) == {"network": ["A", "B"]}  # the prior varies alike
    assert costs([one, two]) == {"parameters": [10.0, 2000.0]}
    assert costs([one, one]) == costs([one, run("c")]) == {}


def test_runs_are_compared_where_all_were_measured():
    shared, own = "test/novel-5/friction 0.2/AP", "test/novel-15/friction 0.2/AP"
    mean = "test/novel-5/friction mean/AP"
    one = run("a", history=[{"test/AP": 95.0, shared: 90.0, own: 100.0, mean: 1.0}])
    two = run("b", history=[{"test/AP": 93.0, shared: 93.0, mean: 1.0}])
    assert comparable_scores([one, two]) == [90.0, 93.0]
    assert comparable_scores([one, run("c")]) == [95.0, 80.0]


def test_a_category_of_one_network_is_left_out_by_name_beside_shared_ones():
    shared, own = "test/novel-5/friction 0.2/AP", "test/novel-15/friction 0.2/AP"
    one = run("a", history=[{"test/AP": 95.0, shared: 90.0, own: 100.0}])
    two = run("b", history=[{"test/AP": 93.0, shared: 93.0}])
    found, left = shown_scores([one, two])
    assert ([m[0] for m in found], left) == ([shared], ["novel-15"])
    found, left = shown_scores([one])
    assert ([m[0] for m in found], left) == ([own, shared], [])


def test_the_kept_runs_show_what_the_ablation_varies(tmp_path):
    if not KEPT.is_file():
        pytest.skip("results/ is not here: plgp without its repository")
    with opened_runs(KEPT) as runs:
        assert set(choices(runs)) == {"seed", "data.enhance", "loss.element"}
        assert last(runs[-1], "test/AP") == pytest.approx(82.7)
        with Image.open(draw_dashboard(runs, tmp_path / "d.png")) as image:
            assert image.width == 1000


def test_pictures_of_an_archive_are_drawn_as_wandb_logged_them(tmp_path):
    archive = KEPT.parents[1] / "backbones" / "wandb.tar.xz"
    if not archive.is_file():
        pytest.skip("results/ is not here: plgp without its repository")
    with opened_runs(archive) as runs, Image.open(draw_dashboard(runs, tmp_path / "d.png")) as image:
        assert set(choices(runs)) == {"network", "modality"}
        assert set(costs(runs)) == {"parameters", "ms an image"}
        assert image.height > 900  # a row of pictures below
    assert not runs[0].folder.exists()


def test_scores_by_category_and_pictures_are_drawn(tmp_path):
    (tmp_path / "files" / "media").mkdir(parents=True)
    Image.new("RGB", (40, 30), "red").save(tmp_path / "files" / "media" / "p.png")
    picture = {"test/pictures/_type": "images/separated", "test/pictures/filenames": ["media/p.png"]}
    ap = "test/novel-5/friction 1/AP"
    row = {"test/AP": 70.0, ap: 70.0, f"{ap}_low": 60.0, f"{ap}_high": 75.0, **picture}
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
        opened_runs(tmp_path / "x.tar.xz").__enter__()
