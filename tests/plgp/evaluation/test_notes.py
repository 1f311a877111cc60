"""What a table of scores does not show of a policy is said in a sentence: faults, widths beyond the hand, rules."""

import numpy as np
import pandas as pd
import pytest

from plgp.evaluation.notes import warnings_of
from sim.benchmark.attempt_table import GRASP, make_table


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
