"""The report: what it gathers and leaves out, its numbers, and a page that needs nothing else."""

import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from omegaconf import OmegaConf

from plgp.evaluation.ablation_table import table_iii
from plgp.evaluation.paper_tables import TABLE_II, TABLE_III, TABLE_IV
from plgp.evaluation.report_page import captions
from plgp.evaluation.report_tables import table_ii, table_iv, table_of_other_scenes, table_of_runs
from plgp.evaluation.run_folders import pack
from plgp.evaluation.runs import gather
from plgp.report import markdown, write_report
from plgp.runs.ended import mark
from sim.errors import InputError


@pytest.fixture(scope="module")
def outputs(tmp_path_factory, write_run, write_scenes):
    """Four rows of Table III with two seeds, a table of baselines, and four folders that will not do."""
    root = tmp_path_factory.mktemp("gathered") / "outputs"
    for i, (enhance, focal, good) in enumerate(
        [(False, False, 0), (True, False, 2), (False, True, 2), (True, True, 3)]
    ):
        for seed in (0, 1):
            more = {"group": "table3", "successes": good + (seed if i == 3 else 0)}
            write_run(root / "table3" / f"{i}-{seed}", f"row{i}", seed, enhance, focal, **more)
    for policy, good in (("random", 1), ("oracle", 4)):
        write_scenes(root / "table", policy, "novel-5", good, privileged=policy == "oracle")
    write_scenes(root / "measured", "network", "novel-5", 3)
    about = {"network": {"policy": "NetworkPolicy", "network": "SMPNetwork", "modality": "rgbd", "parameters": 5619573}}
    about["network"]["macs"] = 2_000_000_000
    OmegaConf.save(OmegaConf.create(about), root / "measured" / "policies.yaml")
    write_run(root / "stopped", "stopped", epochs=1)
    (root / "broken").mkdir()
    (root / "broken" / "config.yaml").write_text("a: [")
    (root / "other").mkdir()
    (root / "other" / "config.yaml").write_text("model: resnet")
    write_scenes(root / "torn", "random", "novel-5", 1)
    (root / "torn" / "random" / "novel-5" / "scene-001.parquet").write_bytes(b"PAR1")
    return root


@pytest.fixture(scope="module")
def found(outputs):
    """What is gathered of them."""
    return gather([outputs])


def test_it_gathers_what_is_whole_and_names_the_rest(outputs, found):
    assert len(found.runs) == 8
    assert len(found.results) == 10
    reasons = {path.name: why for path, why in found.skipped}
    assert set(reasons) == {"stopped", "broken", "other", "torn"}
    assert "stopped after 1 of 3 epochs" in reasons["stopped"]
    assert "broken" in reasons["broken"]
    assert "not one of train.py" in reasons["other"]
    assert "scene-001.parquet is broken" in reasons["torn"]
    assert {r.name for r in gather([outputs / "stopped"], incomplete=True).runs} == {"stopped"}


def test_a_run_that_ended_by_itself_before_its_last_epoch_is_whole_packed_too(outputs, tmp_path):
    """Early stopping and max_steps end a training early; a run without a mark was stopped."""
    folder = tmp_path / "stopped"
    shutil.copytree(outputs / "stopped", folder)
    mark(folder, OmegaConf.load(folder / "config.yaml"), epochs=1, steps=10)
    pack([folder], out=tmp_path / "packed")
    for root in (folder, tmp_path / "packed"):
        assert [r.name for r in gather([root]).runs] == ["stopped"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("csv/metrics.csv", None, "there is no .*csv/metrics.csv"),
        ("csv/metrics.csv", "", "empty or broken"),
        ("csv/metrics.csv", "epoch,step\n0,1\n", "no finished epoch"),
    ],
)
def test_runs_without_curves_are_refused(tmp_path, name, text, message, write_run):
    folder = write_run(tmp_path / "run", "run")
    (folder / name).unlink()
    if text is not None:
        (folder / name).write_text(text)
    with pytest.raises(InputError, match=message):
        gather([folder])
    with pytest.raises(InputError, match="no folder"):
        gather([tmp_path / "nowhere"])


def test_table_iii_has_the_four_rows_their_spread_and_differences(found):
    section = table_iii(found, "table3", "novel-15")
    data = section.data.set_index(["enhance", "focal"])
    assert list(data.index) == [(False, False), (True, False), (False, True), (True, True)]
    assert data.AP.tolist() == [0, 50, 50, 87.5]  # the last row's seeds: 3 and 4 of 4
    assert data.AP_sd[True, True] == pytest.approx(np.std([75, 100], ddof=1))
    assert data.AP_difference[True, True] == 87.5
    assert data.AP_difference_sd[True, True] == pytest.approx(np.std([75, 100], ddof=1))
    assert data.paper_AP.tolist() == [38.91, 82.44, 81.75, 85.49]
    assert set(data.seeds) == {"0 1"}
    assert "holds" in section.note
    assert [row[0] for row in section.rows] == ["ours", "paper"] * 4
    assert "no run has" in table_iii(found, "table9", "novel-15").note.lower()


def test_table_iii_takes_the_category_that_all_its_runs_were_measured_on(found):
    section = table_iii(found, "table3", "seen-5")
    assert set(section.data.measured_on) == {"novel-15"}
    assert section.data.AP.tolist() == table_iii(found, "table3", "novel-15").data.AP.tolist()


def test_without_a_last_benchmark_table_iii_takes_the_one_at_epoch_ends(tmp_path, write_run):
    for i, (enhance, focal) in enumerate([(False, False), (True, False), (False, True), (True, True)]):
        ap = [40.0, 60.0, 50.0, 45.0][i]
        write_run(tmp_path / str(i), f"row{i}", 0, enhance, focal, ap=ap, group="mine")
    section = table_iii(gather([tmp_path]), "mine", "novel-15")
    assert section.data.AP.tolist() == [40, 60, 50, 45]
    assert set(section.data.measured_on) == {"validation"}
    assert "does not hold" in section.note


def test_table_ii_keeps_recipes_apart_and_puts_the_paper_beside(found):
    section = table_ii(found)
    ours = [row for row in section.rows if row[0] != "paper"]
    assert [row[:3] for row in ours][:2] == [
        ["GGCNN2", "depth", "row0, no enhancement, no focal loss (2 runs)"],
        ["GGCNN2", "depth", "row1, no focal loss (2 runs)"],
    ]
    assert ours[-1][:5] == ["SMPNetwork", "RGB-D", "network in measured", "5,619,573", "2.00"]
    assert {row[3] for row in ours[:-1]} == {"79,381"}
    # Once below its network's rows, and none beside a network that the paper has not.
    assert [row[0] for row in section.rows] == ["GGCNN2"] * 4 + ["paper", "SMPNetwork"]
    assert [row[0] for row in table_ii(found, "table3").rows] == ["SMPNetwork"]
    last = section.data[section.data.run == "row3"].iloc[0]
    assert (last.AP, last.paper_AP, last.category) == (87.5, 75.18, "novel-15")
    assert last.frictions == "0.4"
    assert last.scenes == 2


def test_other_settings_are_no_other_seeds(tmp_path, write_run):
    """A sweep of the learning rate under one name, one of its runs twice: two rows, no spread over seeds."""
    for folder, lr, successes in (("a/0", 1e-3, 1), ("b/0", 1e-2, 3), ("c/0", 1e-2, 2)):
        write_run(tmp_path / folder, "train", successes=successes, group="sweep", optimizer={"lr": lr})
    section = table_ii(gather([tmp_path]))
    assert section.data.AP.tolist() == [25, 62.5]
    assert section.data.AP_sd.isna().all()
    assert section.data.run.tolist() == [f"train in {tmp_path / name / '0'}" for name in "ab"]
    section = table_iii(gather([tmp_path]), "sweep", "novel-15")
    assert section.data.AP.tolist() == [25, 62.5]


def test_runs_measured_in_other_worlds_or_with_an_average_are_no_seeds_of_one_row(tmp_path, write_run):
    """Two seeds by one set of rules, one by others, one with averaged weights: three rows, in Table III as well."""
    for name, seed, successes, world in (("a", 0, 1, "r"), ("b", 1, 3, "r"), ("c", 2, 4, "other"), ("d", 3, 2, "r")):
        folder = write_run(tmp_path / name, "train", seed, successes=successes, group="sweep", world=world)
        if name == "d":
            config = OmegaConf.load(folder / "config.yaml")
            ema = {"_target_": "lightning.pytorch.callbacks.EMAWeightAveraging", "decay": 0.999}
            config.callbacks = {"ema": ema}
            OmegaConf.save(config, folder / "config.yaml")
    assert table_ii(gather([tmp_path])).data.AP.tolist() == [50, 100, 50]
    assert table_iii(gather([tmp_path]), "sweep", "novel-15").data.AP.tolist() == [50, 100, 50]


def test_another_start_or_loss_is_no_seed_of_a_row_and_is_named(tmp_path, write_run):
    """A sweep of start_from= and one of loss=: each choice has its row, in both tables, and its name."""
    for number, (start, loss, seed) in enumerate([(None, None, 0), (None, None, 1), ("a.ckpt", None, 0), (None, 1, 0)]):
        folder = write_run(tmp_path / str(number), "train", seed, focal=False, successes=number, group="sweep")
        config = OmegaConf.load(folder / "config.yaml")
        if number:  # the first was trained before start_from= was there
            config.start_from = start
        if loss:
            config.module.loss.element = {"_target_": "plgp.losses.MeanSquareErrorLoss"}
        OmegaConf.save(config, folder / "config.yaml")
    found = gather([tmp_path])
    labels = ["train, no focal loss (2 runs)", "train, no focal loss, from a.ckpt", "train, mean square error"]
    assert sorted(row[2] for row in table_ii(found).rows if row[0] == "GGCNN2") == sorted(labels)
    section = table_iii(found, "sweep", "novel-15")
    assert section.data.AP.tolist() == [12.5, 50, 75]
    assert [row[1] for row in section.rows if row[0] == "ours"][-1] == "GGCNN2 depth, mean square error"
    assert [row[3] for row in table_of_runs(found).rows] == [
        *("no focal loss", "no focal loss", "no focal loss, from a.ckpt", "mean square error")
    ]


def test_table_iii_says_of_how_many_runs_a_row_is_where_seeds_were_trained_twice(tmp_path, write_run):
    for number, seed in enumerate([0, 0, 1]):
        write_run(tmp_path / str(number), "train", seed, successes=2, group="sweep")
    ours, _ = table_iii(gather([tmp_path]), "sweep", "novel-15").rows
    assert ours[4] == "0 1 (3 runs)"


def test_a_multiruns_trainings_are_named_by_what_it_varies_packed_too(tmp_path, write_run):
    for number, clip in enumerate(["null", "0.1"]):
        folder = write_run(tmp_path / "sweep" / str(number), "train", successes=2)
        config = OmegaConf.load(folder / "config.yaml")
        config.trainer.gradient_clip_val = None if clip == "null" else float(clip)
        OmegaConf.save(config, folder / "config.yaml")
        (folder / ".hydra").mkdir()
        own = OmegaConf.create([f"trainer.gradient_clip_val={clip}", "seed=0"])
        OmegaConf.save(own, folder / ".hydra" / "overrides.yaml")
    command = {"hydra": {"overrides": {"task": ["trainer.gradient_clip_val=null,0.1", "seed=0"]}}}
    OmegaConf.save(OmegaConf.create(command), tmp_path / "sweep" / "multirun.yaml")
    pack([tmp_path / "sweep"], out=tmp_path / "packed")
    for root in ("sweep", "packed"):
        found = gather([tmp_path / root])
        names = ["train trainer.gradient_clip_val=null", "train trainer.gradient_clip_val=0.1"]
        assert [row[0] for row in table_of_runs(found).rows] == names
        assert sorted(row[2] for row in table_ii(found).rows if row[0] == "GGCNN2") == sorted(names)


def test_runs_on_rectangles_say_so_and_a_new_setting_splits_no_row(tmp_path, write_run):
    for name, seed, rectangles in (("a", 0, "none"), ("b", 1, None), ("c", 0, 100)):
        folder = write_run(tmp_path / name, "train", seed, enhance=rectangles != 100, successes=2)
        config = OmegaConf.load(folder / "config.yaml")
        if rectangles != "none":  # the first was trained before the setting was there
            config.data.rectangles = rectangles
        OmegaConf.save(config, folder / "config.yaml")
    section = table_ii(gather([tmp_path]))
    assert [row[2] for row in section.rows if row[0] == "GGCNN2"] == [
        "train (2 runs)",
        "train, 100 rectangles an image",
    ]


def test_table_iii_never_averages_over_networks(tmp_path, write_run):
    for name, successes in (("GGCNN2", 1), ("AFFGANet", 3)):
        network = {"_target_": f"plgp.networks.{name}"}
        write_run(tmp_path / name, name, successes=successes, group="table3", network=network)
    section = table_iii(gather([tmp_path]), "table3", "novel-15")
    assert section.data.set_index("network").AP.to_dict() == {"AFFGANet depth": 75, "GGCNN2 depth": 25}


def test_table_iv_names_privileged_methods(found):
    section = table_iv(found)
    names = [row[0] for row in section.rows]
    assert names[:2] == ["oracle (privileged)", "random"]
    assert sum(name.startswith("paper") for name in names) == len(TABLE_IV)
    assert section.data.set_index("policy").AP.to_dict() == {"oracle": 100.0, "random": 25.0}


def test_table_iv_has_a_trained_network_that_was_measured_beside_others(tmp_path, write_scenes):
    about = {"pretrained": {"policy": "NetworkPolicy", "network": "GGCNN2", "modality": "depth"}}
    for name in ("alone", "together"):
        write_scenes(tmp_path / name, "pretrained", "novel-5", 3)
        OmegaConf.save(OmegaConf.create(about), tmp_path / name / "policies.yaml")
    write_scenes(tmp_path / "together", "random", "novel-5", 1)
    section = table_iv(gather([tmp_path]))
    assert [row[:2] for row in section.rows[:2]] == [["pretrained", "together"], ["random", "together"]]
    assert len(section.rows) == 2 + len(TABLE_IV)
    assert {len(row) for row in section.rows} == {len(section.heads)}
    assert [row[-1] for row in section.rows[:2]] == ["0.50", "0.50"]
    assert section.data.seconds.tolist() == [0.5, 0.5]


def test_own_categories_have_rows_of_their_own(tmp_path, write_scenes):
    write_scenes(tmp_path / "own", "network", "own-4", 3)
    write_scenes(tmp_path / "own", "oracle", "own-4", 4, privileged=True)
    write_scenes(tmp_path / "own", "oracle", "novel-5", 4, privileged=True)
    found = gather([tmp_path / "own"])
    section = table_of_other_scenes(found)
    assert [row[:3] for row in section.rows] == [
        ["network", "own", "own-4"],
        ["oracle (privileged)", "own", "own-4"],
    ]
    means = found.results[0].of("network").loc["own-4"]
    assert section.rows[0][3].startswith(f"{means.SR:.1f} / {means.PC:.1f} / {means.AP:.1f}")
    assert list(section.data.AP) == [found.results[0].of(p).AP["own-4"] for p in ("network", "oracle")]
    written = write_report(found, tmp_path / "report", pictures=False)
    assert "own-4" in written[0].read_text()
    assert "other_scenes.csv" in [path.name for path in written]
    assert "own-4" in written[-1].read_text()


def test_the_papers_figures():
    """Issue 6's own quotations of the paper's rows."""
    row = TABLE_II["GGCNN2", "depth"]
    assert (row["novel-5"].SR, row["novel-5"].PC, row["novel-5"].AP) == (68.40, 90.06, 86.15)
    assert (row["novel-15"].SR, row["novel-15"].PC, row["novel-15"].AP) == (62.59, 81.63, 75.18)
    best = TABLE_II["AFFGANet", "rgbd"]
    assert best["novel-5"] == TABLE_IV["AFFGA-Net", "rgbd"]["novel-5"]
    assert best["novel-15"] == TABLE_III[True, True]
    assert len(TABLE_II) == 24


class Page(HTMLParser):
    """Checks that tags close in order; collects what the page loads."""

    def __init__(self):
        super().__init__()
        self.open, self.sources, self.cells = [], [], 0

    def handle_starttag(self, tag, attributes):
        self.sources += [value for key, value in attributes if key in ("src", "href")]
        self.cells += tag == "td"
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_page_stands_by_itself(outputs, tmp_path):
    from PIL import Image

    outputs = Path(shutil.copytree(outputs, tmp_path / "outputs"))
    pictures = outputs / "table3" / "3-0" / "pictures"
    pictures.mkdir()
    Image.new("RGB", (1500, 700), "teal").save(pictures / "epoch-001-image-00000.png")
    found = gather([outputs])
    written = write_report(found, tmp_path / "report", ablation="table3", category="novel-15")
    assert {p.name for p in written} == {
        "report.md",
        "report.html",
        *(f"{n}.csv" for n in ("table2", "table3", "methods", "runs")),
    }
    text = (tmp_path / "report" / "report.html").read_text()
    page = Page()
    page.feed(text)
    assert page.open == []
    assert len(page.sources) == 1 + len(found.results) + 1  # curves, Fig. 10 of each result, one prediction
    assert all(source.startswith("data:image/") for source in page.sources)
    assert "http" not in text.replace("data:image", "")
    assert page.cells > 100
    assert "stopped after 1 of 3 epochs" in text
    again = write_report(gather([outputs]), tmp_path / "again", ablation="table3", category="novel-15")
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(written, again, strict=True))


def test_markdown_tables_have_as_many_cells_as_heads(outputs, found):
    sections = [table_ii(found), table_iii(found, "table3", "novel-15"), table_iv(found), table_of_runs(found)]
    for section in sections:
        assert all(len(row) == len(section.heads) for row in section.rows)
    text = markdown(sections, found)
    assert text.count("\n## ") == 5
    assert "`" + str(outputs / "torn") + "`" in text


def test_the_command(outputs, tmp_path, command_line):
    done = command_line(
        "plgp.report", f"runs={outputs / 'table3'},{outputs / 'table'}", f"out={tmp_path / 'out'}", "pictures=false"
    )
    assert done.returncode == 0, done.stderr
    assert "(the paper's Table III)" in done.stdout
    assert (tmp_path / "out" / "report.html").is_file()


def test_the_commands_errors_are_one_line(tmp_path, monkeypatch, capsys, write_run):
    from plgp.report import main

    (tmp_path / "empty").mkdir()
    whole = write_run(tmp_path / "whole", "run")
    for arguments, message in (
        (["runs=nowhere"], "no folder 'nowhere'"),
        ([f"runs={tmp_path / 'empty'}"], "no finished run"),
        (["out=x"], "runs= is missing"),
        (["run=x"], "does not know 'run=x'"),
        ([f"runs={whole}", "out=/dev/null/x"], "out=/dev/null/x cannot be made"),
        (["runs=x", "pictures=maybe"], "pictures is 'maybe'; give true or false"),
    ):
        monkeypatch.setattr(sys, "argv", ["plgp-report", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        assert caught.value.code == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert message in error
        assert error.count("\n") == 1


def test_captions_of_alike_runs_differ():
    def run(folder, recipe="", seed=0):
        known = {"name": "two", "network": "GGCNN2", "modality": "depth", "seed": seed}
        return SimpleNamespace(folder=Path(folder), recipe=lambda: recipe, **known)

    one = "two, GGCNN2 depth, seed 0"
    assert captions([run("a"), run("b", seed=1)]) == [one, "two, GGCNN2 depth, seed 1"]
    assert captions([run("a"), run("b", "no focal loss")]) == [one, f"{one}, no focal loss"]
    assert captions([run("x/0"), run("x/1")]) == [f"{one} (0)", f"{one} (1)"]
    assert captions([run("x/0"), run("y/0")]) == [f"{one} (0) no. 1", f"{one} (0) no. 2"]
