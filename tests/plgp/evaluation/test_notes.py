"""What a table of scores does not show of a policy is said in a sentence: faults, widths beyond the hand, rules."""

import numpy as np
import pandas as pd
import pytest
from omegaconf import OmegaConf

from plgp.evaluation.ablation_table import table_iii
from plgp.evaluation.evaluate import _describe
from plgp.evaluation.leaderboard.entries import find_entries
from plgp.evaluation.leaderboard.page import markdown, write_leaderboard
from plgp.evaluation.notes import RULES, unusual_rules, warnings_of
from plgp.evaluation.report_tables import table_ii, table_iv, table_of_other_scenes
from plgp.evaluation.run_folders import pack, read_policies
from plgp.evaluation.runs import gather
from sim.benchmark import BenchmarkSettings
from sim.benchmark.attempt_table import GRASP, make_table
from sim.benchmark.baselines import RandomPolicy
from sim.depth_noise import DepthNoise, MixedNoise, SensorNoise
from sim.gripper import GripperGeometry
from sim.identity.content import describe


def rows_of(policy, reasons, widths=None, **columns):
    """A policy's ranked attempts on novel-5, executed where a width is given."""
    rows = pd.DataFrame({"reason": reasons, "attempt": range(len(reasons))})
    head = {"policy": policy, "category": "novel-5", "protocol": "rank", "friction": 0.4, "privileged": False}
    head |= {"scene": 0, "objects": 5, "success": rows.reason == "", "object": "", "lifted": 0, "given": 50}
    head |= dict.fromkeys(("quality", "seconds", "plan_seconds", *GRASP), 0.0 if widths is not None else np.nan)
    rows = rows.assign(**head | ({"width": widths} if widths is not None else {}) | columns)
    return make_table(rows.to_dict("records"))


def test_a_policy_that_raises_is_named_with_what_it_raises_most():
    reasons = ["", "policy raised KeyError: 'a'", "slipped", *["policy raised AttributeError: no depht"] * 2]
    (said,) = warnings_of(pd.concat([rows_of("mine", reasons), rows_of("other", ["missed"])]), 0.1)
    assert (
        said == "policy 'mine' raised in 3 of 5 attempts, which count as failures; most often: AttributeError: no depht"
    )


@pytest.mark.parametrize(
    ("reason", "cure"),
    [
        ("grasps in frame 'world'", "a policy answers in the frame 'camera'"),
        ("grasp is NaN or its rotation is none", "numbers are finite, rotations right-handed"),
    ],
)
def test_a_policy_whose_answers_cannot_be_executed_is_named(reason, cure):
    (said,) = warnings_of(rows_of("mine", [reason] * 4), 0.1)
    assert said == (
        "policy 'mine' gave nothing to execute in 4 of 4 attempts, which count as failures; "
        f"most often: {reason} ({cure})"
    )
    (both,) = warnings_of(rows_of("mine", [reason, "policy raised KeyError: 'a'"]), 0.1)
    assert "raised in 1 of 2 attempts" in both
    assert "gave nothing to execute in 1 of 2" in both


def test_widths_beyond_the_hand_are_named_and_their_unit_where_it_shows():
    wide = rows_of("wide", ["", "slipped", "missed"], [0.1, 0.5, 0.1 + 1e-8])
    (said,) = warnings_of(pd.concat([wide, rows_of("fits", ["", ""], [0.0, 0.1])]), 0.1)
    assert said == (
        "policy 'wide' gave 1 of 3 grasps a width beyond the hand's opening of 0.1 m (up to 0.5), "
        "for which the hand opened fully"
    )
    (said,) = warnings_of(rows_of("mine", ["", ""], [80.0, 60.0]), 0.1)
    assert said.endswith(
        "(up to 80), for which the hand opened fully; widths are in metres, and these look like millimetres"
    )
    (said,) = warnings_of(rows_of("mine", ["blocked", ""], [-0.05, 0.05]), 0.1)
    assert said == "policy 'mine' gave 1 of 2 grasps a negative width, for which the hand stayed closed"
    assert warnings_of(rows_of("none", ["no grasp given"] * 2), 0.1) == []


ABOUT = """
scenes: plgp-320-v2
hardware: one core
command: python -m plgp.benchmark
methods: {mine: {method: Mine, data: none, by: me}}
"""


def test_a_row_whose_attempts_all_raised_is_noted_on_leaderboard_and_report(tmp_path, write_scenes):
    for category in ("novel-5", "own"):
        write_scenes(tmp_path / "a", "mine", category, 0, reason="policy raised KeyError: '<a>'")
    write_scenes(tmp_path / "a", "other", "novel-5", 2)
    (tmp_path / "a" / "method.yaml").write_text(ABOUT)
    fault = "raised in 16 of 16 attempts, which count as failures; most often: KeyError: '<a>'"
    page = markdown(find_entries(tmp_path))
    under = page.split("## novel-5")[1].split("##")[0]
    assert f"\n- Mine (`a`) {fault.replace('<', '&lt;')}; " in under
    assert under.index("| Mine |") < under.index("- Mine")
    found = gather([tmp_path])
    assert f" mine in a on novel-5 {fault}; " in table_iv(found).note
    assert f" mine in a on own {fault}; " in table_of_other_scenes(found).note
    assert "raised" not in table_ii(found).note
    OmegaConf.save(OmegaConf.create({"mine": {"network": "GGCNN2", "modality": "depth"}}), tmp_path / "a/policies.yaml")
    assert f" mine in a ({tmp_path / 'a'}) on novel-5 {fault}; " in table_ii(gather([tmp_path])).note


def test_usual_rows_have_no_note_and_unusual_rules_are_stated_packed_too(tmp_path, write_scenes):
    few = BenchmarkSettings(count=4, max_failures=2)
    write_scenes(tmp_path / "few", "mine", "novel-5", 2)
    (tmp_path / "few" / "method.yaml").write_text(ABOUT)
    _describe({"mine": (RandomPolicy(), "")}, tmp_path / "few" / "policies.yaml", few)
    # A command by the usual rules is refused there: what it notes before leaves the rules of what was measured.
    _describe({"mine": (RandomPolicy(), "")}, tmp_path / "few" / "policies.yaml", BenchmarkSettings(), replace=False)
    said = "AP is of the 4 best-ranked grasps, other rules than the usual ones (max_failures: 2, usually 5)"
    assert f"- Mine (`few`) {said}." in markdown(find_entries(tmp_path))
    pack([tmp_path / "few"], out=tmp_path / "packed" / "few")
    (tmp_path / "packed" / "few" / "method.yaml").write_text(ABOUT)
    entries = find_entries(tmp_path / "packed")
    assert [entry.note for entry in entries] == [said]
    _, table = write_leaderboard(entries, tmp_path / "board.md")
    assert pd.read_csv(table).note.tolist() == [said]
    _describe({"mine": (RandomPolicy(), "")}, tmp_path / "usual.yaml", BenchmarkSettings())
    assert RULES not in OmegaConf.load(tmp_path / "usual.yaml").mine


def test_policies_folders_that_were_copied_together_keep_the_note_on_their_rules(tmp_path, write_scenes):
    """Without policies.yaml the scenes' own files tell, also of a packed folder's."""
    write_scenes(tmp_path / "both", "strict", "novel-5", 2, rules=BenchmarkSettings(max_failures=1))
    write_scenes(tmp_path / "both", "usual", "novel-5", 2, rules=BenchmarkSettings())
    pack([tmp_path / "both"], out=tmp_path / "packed" / "both")
    said = "other rules than the usual ones (max_failures: 1, usually 5)"
    for folder in (tmp_path / "both", tmp_path / "packed"):
        note = table_iv(gather([folder])).note
        assert f" strict in both on novel-5 AP is of the 4 best-ranked grasps, {said}." in note
        assert note.count("other rules") == 1
    OmegaConf.save(OmegaConf.create({"strict": {RULES: ["seed: 7, usually 0"]}}), tmp_path / "both" / "policies.yaml")
    assert read_policies(tmp_path / "both") == {"strict": {RULES: ["seed: 7, usually 0"]}}


def test_settings_of_another_plgp_are_no_unusual_rules():
    known = describe(BenchmarkSettings(max_failures=2))
    del known["seed"], known["gripper"]["force"]
    assert unusual_rules({**known, "gone": 1}) == ["max_failures: 2, usually 5"]


@pytest.mark.parametrize("noise", [SensorNoise(), MixedNoise(noises={"paper": DepthNoise(), "sensor": SensorNoise()})])
def test_noise_of_another_kind_is_an_unusual_rule(noise):
    """It has settings of its own, which are not those of another plgp."""
    rules = BenchmarkSettings(depth_noise=noise)
    assert unusual_rules(rules) == ["depth_noise"]
    assert unusual_rules(describe(rules)) == ["depth_noise"]


def test_what_settings_of_now_lack_is_told():
    """A file's may be of a plgp that did not know it yet."""
    rules = BenchmarkSettings(depth_noise={"sigma": 0.004})
    assert unusual_rules(rules) == ["depth_noise"]
    assert unusual_rules(describe(rules)) == []


def test_the_ablation_notes_its_runs_too(tmp_path, write_run):
    folder = write_run(tmp_path / "run", "row", group="table3", successes=2)
    note = table_iii(gather([tmp_path]), "table3", "novel-15").note
    assert note.endswith(f" row ({folder}) on novel-15 AP is of the 4 best-ranked grasps.")


def test_rules_are_named_by_what_differs():
    assert unusual_rules(BenchmarkSettings()) == []
    assert unusual_rules(BenchmarkSettings(max_failures=2, gripper=GripperGeometry(max_opening=0.08))) == [
        "gripper.max_opening: 0.08, usually 0.1",
        "max_failures: 2, usually 5",
    ]
    other = GripperGeometry(max_opening=0.08, finger_width=0.02, force=40)
    assert unusual_rules(BenchmarkSettings(gripper=other)) == ["gripper"]
