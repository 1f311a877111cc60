"""Labels executed in another world than their data set's own."""

import sys

import pandas as pd
import pybullet
import pytest

from labeler.__main__ import main
from labeler.shards.data_set import DataSet
from labeler.truth.conditions import Conditions
from labeler.truth.verify import verify
from sim.errors import InputError
from sim.objects import ObjectSet
from sim.physics import PhysicsSettings, TraySettings, World

ROW = ["image", "row", "col", "angle_bin"]


def test_a_weak_hand_loses_heavy_things_and_the_kept_figure_stays(data_set):
    own = verify(data_set, attempts=8, friction=0.4, seed=5)
    kept = dict(DataSet(data_set).manifest.truth)
    same = verify(data_set, attempts=8, friction=0.4, seed=5, conditions=Conditions())
    other = verify(data_set, attempts=8, friction=0.4, seed=5, conditions=Conditions(force=2.0, mass=8.0))
    assert own.equals(same)
    assert other[ROW].equals(own[ROW])
    assert other.mass.tolist() == pytest.approx((8 * own.mass).tolist())
    assert other.success.sum() < own.success.sum()
    assert DataSet(data_set).manifest.truth == kept


def test_every_condition_reaches_the_attempt(data_set, monkeypatch):
    seen = []

    def attempt(world, state, grasp, gripper, friction):
        seen.append((world.tray.friction, state.tray.friction, gripper.force, {m.weight for m in state.models}))
        raise InputError("seen")

    monkeypatch.setattr("labeler.truth.execution.attempt", attempt)
    with pytest.raises(InputError, match="seen"):
        verify(data_set, attempts=1, conditions=Conditions(tray_friction=0.9, force=31.0, mass=1.5))
    assert seen == [(0.9, 0.9, 31.0, {1.5})]


def test_a_weight_scales_mass_and_inertia_in_bullet():
    model = ObjectSet.pybullet(3, 3).models[0]
    light, heavy = model, type(model)(model.name, model.urdf, model.scale, weight=4.0)
    world = World(PhysicsSettings(), TraySettings())
    try:
        pose = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0.2], [0, 0, 0, 1.0]]
        world.rebuild([light, heavy], [pd.DataFrame(pose).to_numpy()] * 2)
        one, four = (pybullet.getDynamicsInfo(b, -1, physicsClientId=world.client) for b in world.objects)
    finally:
        world.close()
    assert four[0] == pytest.approx(4 * one[0]) == pytest.approx(heavy.mass_properties()[0])
    assert four[2] == pytest.approx([4 * moment for moment in one[2]])
    assert four[3:5] == one[3:5]  # the centre of mass stays


@pytest.mark.parametrize("wrong", [{"tray_friction": 0.0}, {"force": -1.0}, {"mass": float("nan")}, {"mass": 0}])
def test_numbers_out_of_range(wrong):
    with pytest.raises(InputError, match=rf"verify\.{next(iter(wrong))} is .*give a positive number"):
        Conditions(**wrong)


def test_conditions_are_told_in_words():
    assert Conditions().describe() == ""
    assert Conditions(tray_friction=1, mass=2.5).describe() == "tray_friction=1, mass=2.5"


def test_command(data_set, tmp_path, monkeypatch, capsys):
    out = tmp_path / "rows.csv"
    words = [
        str(data_set),
        "attempts=2",
        "workers=1",
        "friction=0.31,0.32",
        "tray_friction=1",
        "force=30",
        f"out={out}",
    ]
    monkeypatch.setattr(sys, "argv", ["python -m labeler", "verify", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "executed with tray_friction=1, force=30: another world than the data set's" in said
    table = pd.read_csv(out)
    assert table.friction.tolist() == [0.31, 0.31, 0.32, 0.32]
    assert {"object", "mass", "success", "reason"} <= set(table.columns)
    assert "0.31" not in DataSet(data_set).manifest.truth


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["recall=true", "mass=2"], "recall is measured in the data set's own world; leave mass=2 out"),
        (["out=/no/such/place.csv"], "the folder of /no/such/place.csv does not exist"),
        (["force=strong"], "give a number"),
        (["mass=0"], "verify.mass is 0"),
    ],
)
def test_wrong_words_end_in_one_sentence(data_set, monkeypatch, capsys, words, message):
    monkeypatch.setattr(sys, "argv", ["python -m labeler", "verify", str(data_set), *words])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
