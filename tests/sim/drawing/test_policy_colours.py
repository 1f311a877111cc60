"""A policy has one colour, whatever else a chart shows."""

from sim.drawing.friction_figure import friction_figure
from sim.drawing.policy_colours import policy_look, policy_looks


def test_a_policy_keeps_its_colour_in_every_company():
    for others in (["random"], ["antipodal", "oracle"], ["mine", "network", "constant"]):
        looks = policy_looks([*others, "pretrained"])
        assert looks["pretrained"] == policy_look("pretrained")
        assert list(looks) == [*others, "pretrained"]
        assert len({look.colour for look in looks.values()}) == len(looks)


def test_unknown_policies_are_told_apart_and_do_not_depend_on_their_order():
    names = [f"mine{i}" for i in range(9)]
    looks = policy_looks(names)
    assert len({look.colour for look in looks.values()}) == 9
    assert policy_looks(names[::-1]) == looks
    assert policy_look("mine3") == policy_looks(["mine3", "random"])["mine3"]
    assert len(policy_looks([f"p{i}" for i in range(40)])) == 40


def test_the_chart_over_friction_takes_these_colours():
    import pandas as pd

    columns = {f"{m}{e}": 50.0 for m in ("SR", "PC", "AP") for e in ("", "_low", "_high")}
    for company in (["network"], ["random", "oracle", "network"]):
        rows = [{"policy": p, "category": "novel-5", "friction": 0.4, "privileged": False, **columns} for p in company]
        lines = {line.get_label(): line for line in friction_figure(pd.DataFrame(rows)).axes[0].lines}
        assert lines["network"].get_color() == policy_look("network").colour
        assert lines["network"].get_marker() == policy_look("network").marker
