import numpy as np
import pandas as pd
import pytest

from sim.benchmark.statistics import (
    COMPARISON_COLUMNS,
    METRICS,
    SUMMARY_COLUMNS,
    compare,
    count_reasons,
    summarise,
)
from sim.errors import InputError


def make_attempts(policy, chance, scenes=8, frictions=(0.2, 1.0), seed=0, category="novel-5", objects=5, ranked=10):
    """Attempts whose chance depends on the scene: those of one scene are far from independent."""
    rng = np.random.default_rng(seed)
    rows = []
    for scene in range(scenes):
        hard = rng.uniform(0.3, 1.0)
        for friction in frictions:
            head = {"policy": policy, "privileged": policy == "oracle", "category": category, "scene": scene}
            head |= {"objects": objects, "friction": friction}
            for protocol, count in (("clear", rng.integers(5, 9)), ("rank", ranked)):
                for attempt in range(count):
                    success = bool(rng.uniform() < chance * hard * (0.5 + friction / 2))
                    row = {**head, "protocol": protocol, "attempt": attempt, "success": success}
                    lifted = int(success) if protocol == "rank" or attempt < objects else 0
                    rows.append(row | {"reason": "" if success else "slipped", "lifted": lifted})
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def table():
    parts = [make_attempts(*a) for a in (("random", 0.4), ("network", 0.8), ("oracle", 1.0))]
    extra = [make_attempts(*a, category="novel-15", objects=15) for a in (("random", 0.3), ("network", 0.7))]
    return pd.concat([*parts, *extra], ignore_index=True)


def slow_percent(rows):
    """SR, PC, AP of rows at one friction, by their definitions, literally."""
    clear, rank = rows[rows.protocol == "clear"], rows[rows.protocol == "rank"]
    present = sum(part.objects.iloc[0] for _, part in rows.groupby("scene"))
    return np.array([100 * clear.success.mean(), 100 * clear.lifted.sum() / present, 100 * rank.success.mean()])


def slow_resamples(rows, draws):
    """SR, PC, AP, averaged over frictions, of literally copied scenes: (R, 3)."""
    result = []
    for scenes in draws:
        copies = [rows[rows.scene == s].assign(scene=i) for i, s in enumerate(scenes)]
        drawn = pd.concat(copies)
        result.append(np.mean([slow_percent(part) for _, part in drawn.groupby("friction")], axis=0))
    return np.array(result)


def test_summary_equals_the_definitions_and_keeps_its_columns(table):
    summary = summarise(table)
    assert list(summary.columns) == SUMMARY_COLUMNS
    assert SUMMARY_COLUMNS[:7] == ["policy", "category", "friction", "SR", "PC", "AP", "attempts"]
    assert len(summary) == 5 * 3
    for (policy, category), rows in table.groupby(["policy", "category"]):
        mine = summary[(summary.policy == policy) & (summary.category == category)].set_index("friction")
        slow = {f"{f:g}": slow_percent(part) for f, part in rows.groupby("friction")}
        for friction, values in slow.items():
            np.testing.assert_allclose(mine.loc[friction, list(METRICS)].astype(float), values, rtol=1e-12)
        mean = mine.loc["mean", list(METRICS)].astype(float)
        np.testing.assert_allclose(mean, np.mean(list(slow.values()), axis=0), rtol=1e-12)
        assert mine.loc["mean", "attempts"] == len(rows)
        assert (mine.scenes == 8).all()
        assert (mine.privileged == (policy == "oracle")).all()


def test_intervals_equal_those_of_literally_copied_scenes(table):
    rows = table[(table.policy == "network") & (table.category == "novel-5")]
    draws = np.random.default_rng([5, 8]).integers(0, 8, (60, 8))
    slow = np.quantile(slow_resamples(rows, draws), [0.025, 0.975], axis=0)
    mean = summarise(rows, samples=60, seed=5).set_index("friction").loc["mean"]
    for i, metric in enumerate(METRICS):
        np.testing.assert_allclose([mean[f"{metric}_low"], mean[f"{metric}_high"]], slow[:, i], rtol=1e-10)


def test_scenes_not_attempts_are_resampled():
    rows = make_attempts("random", 1.0, scenes=4)
    rows["success"] = rows.scene >= 2  # two scenes always, two never: attempts alone would look precise
    mean = summarise(rows, samples=4000).set_index("friction").loc["mean"]
    assert mean.AP == 50
    # Of 4 scenes drawn none, or all, are good ones with a chance of 1/16 each, more than 2.5 %.
    assert (mean.AP_low, mean.AP_high) == (0, 100)


def test_a_bootstrap_is_a_function_of_the_rows_and_the_seed(table):
    keys = ["policy", "category", "friction"]
    shuffled = summarise(table.sample(frac=1, random_state=1)).sort_values(keys, ignore_index=True)
    pd.testing.assert_frame_equal(summarise(table).sort_values(keys, ignore_index=True), shuffled)
    alone = summarise(table[table.policy == "network"])
    beside = summarise(table)
    pd.testing.assert_frame_equal(beside[beside.policy == "network"].reset_index(drop=True), alone)
    assert not summarise(table, seed=1).SR_low.equals(beside.SR_low)
    bounds = beside[["SR_low", "SR", "SR_high"]].to_numpy()
    assert (np.diff(bounds, axis=1) >= 0).all()


def test_one_scene_has_no_interval():
    row = summarise(make_attempts("random", 0.5, scenes=1)).iloc[-1]
    assert row.scenes == 1
    assert row[["SR", "PC", "AP"]].notna().all()
    assert row[[c for c in SUMMARY_COLUMNS if c.endswith(("_low", "_high"))]].isna().all()


def test_comparison_pairs_the_scenes(table):
    result = compare(table[table.policy != "oracle"], "random", samples=300)
    assert list(result.columns) == COMPARISON_COLUMNS
    assert list(dict.fromkeys(result.policy)) == ["network"]
    assert set(result.category) == {"novel-5", "novel-15"}
    summary = summarise(table).set_index(["policy", "category", "friction"])
    for row in result.itertuples():
        ours, theirs = (summary.loc[(p, row.category, row.friction)] for p in ("network", "random"))
        assert row.SR_difference == pytest.approx(ours.SR - theirs.SR)
    rows = {p: table[(table.policy == p) & (table.category == "novel-5")] for p in ("network", "random")}
    draws = np.random.default_rng([0, 8]).integers(0, 8, (300, 8))
    slow = slow_resamples(rows["network"], draws[:40]) - slow_resamples(rows["random"], draws[:40])
    short = compare(pd.concat(rows.values()), "random", samples=40)
    first = np.random.default_rng([0, 8]).integers(0, 8, (40, 8))
    np.testing.assert_array_equal(first, draws[:40])
    mean = short.set_index("friction").loc["mean"]
    for i, metric in enumerate(METRICS):
        np.testing.assert_allclose(
            [mean[f"{metric}_low"], mean[f"{metric}_high"]], np.quantile(slow[:, i], [0.025, 0.975]), rtol=1e-9
        )
        assert mean[f"{metric}_p"] == np.mean(slow[:, i] <= 0)


def test_a_shift_of_every_scene_is_certain_though_the_scenes_differ_widely():
    worse = make_attempts("worse", 1.0, scenes=10)
    worse["success"] = worse.scene % 10 > worse.attempt  # 0 to 9 of 10 ranked grasps
    better = worse.assign(policy="better", success=worse.scene % 10 >= worse.attempt)
    both = pd.concat([worse, better])
    spread = summarise(both).set_index(["policy", "friction"])
    assert spread.AP_low["better", "mean"] < spread.AP_high["worse", "mean"]
    mean = compare(both, "worse").set_index("friction").loc["mean"]
    assert mean.AP_difference == pytest.approx(10)
    assert (mean.AP_low, mean.AP_high) == (pytest.approx(10), pytest.approx(10))
    assert mean.AP_p == 0
    assert compare(both, "better").AP_p.iloc[-1] == 1
    same = compare(pd.concat([worse, worse.assign(policy="twin")]), "worse")
    assert (same.AP_p == 1).all()  # no better in any resample
    assert (same.AP_difference == 0).all()


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda t: t[t.policy == "random"], "only policy"),
        (lambda t: t[~((t.policy == "network") & (t.scene == 7))], "scene 7"),
        (lambda t: t[~((t.policy == "network") & (t.friction == 0.2))], "friction 0.2"),
        (lambda t: t[~((t.policy == "network") & (t.friction == 0.2) & (t.scene == 3))], "scenes differ"),
        (lambda t: t.assign(objects=t.objects.mask(t.policy == "network", 4)), "scenes differ"),
        (lambda t: t.assign(category=t.category.mask(t.policy == "network", "seen-5")), "category"),
        (lambda t: t.iloc[:0], "empty"),
        (lambda t: t.drop(columns="objects"), "lacks objects"),
    ],
)
def test_what_cannot_be_compared_is_named(table, change, named):
    fair = table[(table.policy != "oracle") & (table.category == "novel-5")]
    with pytest.raises(InputError, match=named):
        compare(change(fair), "random")


def test_an_unknown_baseline_is_named(table):
    with pytest.raises(InputError, match=r"no policy 'randon'.*random, network"):
        compare(table, "randon")


def test_an_attempt_that_stands_twice_is_named(table):
    # Two runs under one name would clear 200 % of the objects.
    with pytest.raises(InputError, match=r"stands twice .*policy random, category novel-5, scene 0"):
        summarise(pd.concat([table, table.iloc[:5]], ignore_index=True))


def test_reasons_are_counted():
    rows = make_attempts("random", 0.5, scenes=2)
    ranked = rows[rows.protocol == "rank"].index
    rows.loc[ranked, ["success", "reason"]] = [False, "blocked"]
    rows.loc[ranked[:3], "reason"] = [f"policy raised ValueError: {i}" for i in range(3)]
    rows.loc[ranked[3:10], ["success", "reason"]] = [True, ""]
    table = count_reasons(rows)
    mine = table[table.protocol == "rank"].set_index("reason")
    assert mine["count"].to_dict() == {"blocked": 30, "success": 7, "policy raised": 3}
    assert mine.share.to_dict() == {"blocked": 75.0, "success": 17.5, "policy raised": 7.5}
    assert table.groupby("protocol").share.sum().to_dict() == {"clear": pytest.approx(100), "rank": pytest.approx(100)}
    assert table.groupby(["policy", "category", "protocol"])["count"].apply(lambda c: c.is_monotonic_decreasing).all()


def test_scenes_that_lack_a_friction_are_told():
    """Their mean would be one over other scenes at each friction, its interval that of as many as there never were."""
    rows = make_attempts("random", 0.5, scenes=3)
    assert len(summarise(rows)) == 3
    with pytest.raises(InputError, match=r"'random' .* scene 2 lacks 1; take the scenes"):
        summarise(rows[(rows.friction == 0.2) | (rows.scene < 2)])
    assert summarise(rows[rows.friction == 0.2]).scenes.tolist() == [3, 3]
