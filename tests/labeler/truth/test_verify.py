"""Labels executed in physics, and the figure that is kept of them."""

import errno
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest

import labeler.truth.execution as execution
from labeler.__main__ import main
from labeler.dataset.generate import generate
from labeler.dataset.manifest import TiltTruth, keep_figures
from labeler.dataset.validate import find_problems
from labeler.settings import LabelSettings
from labeler.shards.data_set import DataSet
from labeler.truth.execution import find_objects
from labeler.truth.recall import measure_recall
from labeler.truth.verify import check_tables, describe_tilts, describe_truth, summarise_truth, verify
from sim.benchmark.grasp_attempt import AttemptResult
from sim.errors import InputError
from sim.judge.agreement import describe_agreement


@pytest.fixture(scope="module")
def recipe(small_recipe):
    return small_recipe(scenes=2, object_counts=(2, 3))


def rows(success, scene=None, name=None):
    """Attempts with these outcomes, all else harmless."""
    n = len(success)
    return pd.DataFrame(
        {
            "scene": np.zeros(n, int) if scene is None else scene,
            "object": ["a"] * n if name is None else name,
            "success": np.array(success, bool),
            "reason": ["" if s else "slipped" for s in success],
            "angle_bin": np.arange(n) % 18,
            "depth": np.float32(0.02),
            "width": np.float32(0.03),
            "tilt": 0.0,
        }
    )


def test_labels_lift_and_the_figure_is_kept(data_set, recipe):
    before = DataSet(data_set)
    shards = {p.name: p.read_bytes() for p in data_set.glob("*.h5")}
    attempts = verify(data_set, attempts=12, friction=0.4, seed=3)
    assert len(attempts) == 12
    assert attempts.success.mean() > 0.7
    models = {m.name: m for m in recipe.objects.models}
    assert attempts.mass.tolist() == [models[name].mass_properties()[0] for name in attempts.object]
    after = DataSet(data_set)
    assert after.hash == before.hash == recipe.hash
    truth = after.manifest.truth["0.4"]
    assert truth.lifted == pytest.approx(attempts.success.mean())
    assert truth.attempts == 12
    assert truth.seed == 3
    assert {p.name: p.read_bytes() for p in data_set.glob("*.h5")} == shards
    assert find_problems(data_set) == []
    assert generate(recipe, data_set, progress=False) == data_set  # still this recipe's finished data
    for image, group in attempts.groupby("image"):
        frame = before.read(int(image), ("instance_mask", "objects"))
        labels = set(zip(frame["grasps"].row.tolist(), frame["grasps"].col.tolist(), strict=True))
        names = {o.mask_value: o.name for o in frame["objects"]}
        for row in group.itertuples():
            assert (row.row, row.col) in labels
            assert names[int(frame["instance_mask"][row.row, row.col])] == row.object
            assert row.scene == frame["scene"]


def test_two_processes_find_the_same_and_another_friction_stands_beside_it(data_set):
    one = verify(data_set, attempts=4, friction=0.3, seed=1, workers=1)
    two = verify(data_set, attempts=4, friction=0.2, seed=1, workers=2)
    columns = ["image", "row", "col", "angle_bin", "depth", "width", "tilt", "object"]
    pd.testing.assert_frame_equal(one[columns], two[columns])
    assert {"0.2", "0.3"} <= DataSet(data_set).manifest.truth.keys()
    pd.testing.assert_frame_equal(two, verify(data_set, attempts=4, friction=0.2, seed=1, workers=1))


def test_what_is_executed_is_the_label(data_set, recipe, monkeypatch):
    """The tips' middle lies on the pixel's ray, ``depth`` below its surface, with the label's width."""
    seen = []

    def record(world, state, grasp, gripper, friction):
        seen.append((state, grasp, gripper, friction))
        return AttemptResult(True, "", 0, (), 0.0, state.poses, 0.0)

    monkeypatch.setattr(execution, "attempt", record)
    attempts = verify(data_set, attempts=10, friction=0.25)
    assert len(seen) == 10
    expected = []
    for row in attempts.itertuples():
        frame = DataSet(data_set).read(row.image, ("depth", "objects"))
        m, z = frame["intrinsics"], float(frame["depth"][row.row, row.col])
        ray = np.array([(row.col - m[0, 2]) / m[0, 0], (row.row - m[1, 2]) / m[1, 1], 1]) * z + [0, 0, row.depth]
        expected.append((frame["pose"] @ [*ray, 1])[:3])
    assert np.allclose(sorted(map(tuple, expected)), sorted(tuple(g.translation[0]) for _, g, _, _ in seen))
    assert sorted(g.width[0] for _, g, _, _ in seen) == pytest.approx(sorted(attempts.width))
    assert all(f == 0.25 and g == recipe.gripper for _, _, g, f in seen)
    assert {len(s.models) for s, *_ in seen} <= {2, 3}


def test_figures():
    attempts = rows([1, 1, 1, 0, 1, 1], [0, 0, 0, 1, 1, 1], ["a", "a", "a", "a", "b", "c"])
    figures = summarise_truth(attempts)
    assert figures.lifted == pytest.approx(5 / 6)
    assert figures.macro == pytest.approx((0.75 + 1 + 1) / 3)
    assert figures.interval == pytest.approx([2 / 3, 1.0])
    assert (figures.scenes, figures.objects) == (2, 3)
    assert summarise_truth(rows([1, 0])).interval is None
    text = describe_truth(attempts, 0.4)
    assert "5 of 6 labels lift at friction 0.4: 83.3 %" in text
    assert "1 slipped" in text
    assert "20-30: 83 % of 6" in text  # depth 20 mm, as float32 a hair less
    assert "0-5: 83 % of 6" in text
    assert text.count("0: 100 % of 1") == 1  # angle bin 0


def test_by_mass_family_and_object():
    names = ["procedural-0/000017-mug", "procedural-0/000017-mug", "procedural-0/000003-hammer", "pear", "pear"]
    attempts = rows([1, 1, 0, 1, 0], [0, 1, 1, 0, 1], names).assign(mass=[0.2, 0.2, 0.6, 0.08, 0.08])
    text = describe_truth(attempts, 0.4, by=("family",))
    assert "100-250: 100 % of 2" in text
    assert "500-: 0 % of 1" in text
    assert "objects under 250 g: 3 of 4 labels lift: 75.0 % (95 % interval over scenes 50.0 to 100.0 %)" in text
    families = [line.split() for line in text.splitlines()[-3:]]
    assert families == [
        ["hammer", "0.0", "%", "of", "1", "600", "g"],
        ["pear", "50.0", "%", "of", "2", "80", "g"],
        ["mug", "100.0", "%", "of", "2", "200", "g"],
    ]
    assert "procedural-0/000017-mug" in describe_truth(attempts, 0.4, by=("object",))
    assert "under 250 g" not in describe_truth(attempts[attempts.mass > 0.5], 0.4), "there are none"
    with pytest.raises(InputError, match="by is 'colour'"):
        check_tables(("object", "colour"))


def test_by_tilt_and_friction():
    attempts = rows([1, 0, 1, 1])
    attempts["tilt"] = [-1e-9, 4.9, 5.0, 26.0]
    figures = summarise_truth(attempts)
    tilts = figures.by_tilt
    assert tilts == {
        "0-5": TiltTruth(lifted=0.5, attempts=2),
        "5-10": TiltTruth(lifted=1.0, attempts=1),
        "20-": TiltTruth(lifted=1.0, attempts=1),
    }
    other, older = replace(figures, by_tilt={"10-15": tilts["0-5"]}), replace(figures, by_tilt={})
    table = describe_tilts({"0.4": figures, "0.2": other, "0.3": older})
    lines = [line.split() for line in table.splitlines()]
    assert lines[0] == ["friction", "0.2", "friction", "0.3", "friction", "0.4"]
    assert lines[2] == ["0-5", "-", "-", "50.0", "%", "of", "2"]
    assert [line[0] for line in lines[2:]] == ["0-5", "5-10", "10-15", "20-"]


def test_objects_must_be_the_same(data_set, recipe, tmp_path):
    data = DataSet(data_set)
    assert find_objects(data).names == recipe.objects.names
    box = "<geometry><box size='0.04 0.04 0.04'/></geometry>"
    link = f"<link name='a'><visual>{box}</visual><collision>{box}</collision></link>"
    (tmp_path / "other.urdf").write_text(f"<robot name='other'>{link}</robot>")
    with pytest.raises(InputError, match="are not the 21"):
        find_objects(data, tmp_path)
    data.manifest.recipe["objects"]["name"] = "mugs"
    data.manifest = replace(data.manifest, objects=None)  # as an older plgp left it
    with pytest.raises(InputError, match="'mugs'; give their folder"):
        find_objects(data)


@pytest.mark.parametrize(
    "wrong", [{"attempts": 0}, {"friction": 0.0}, {"friction": float("nan")}, {"seed": -1}, {"workers": 0}]
)
def test_arguments_out_of_range(data_set, wrong):
    with pytest.raises(InputError, match=f"verify: {next(iter(wrong))} is"):
        verify(data_set, **wrong)


def test_no_data_set_no_labels(tmp_path, recipe):
    with pytest.raises(InputError, match="holds no finished data set"):
        verify(tmp_path)
    settings = LabelSettings(angles=6, engagement=0.049, min_wall_share=1.0, relaxed={})
    empty = generate(replace(recipe, labels=settings, scenes=1), tmp_path / "empty", progress=False)
    with pytest.raises(InputError, match="holds no labels"):
        verify(empty)


@pytest.mark.skipif(find_spec("mujoco") is None, reason="MuJoCo is not installed: plgp[mujoco]")
def test_labels_are_judged_by_another_engine_too(data_set):
    alone = verify(data_set, attempts=6, friction=0.45, seed=3)
    kept = DataSet(data_set).manifest.truth["0.45"]
    judged = verify(data_set, attempts=6, friction=0.45, seed=3, physics="mujoco")
    pd.testing.assert_frame_equal(judged[alone.columns], alone)
    assert DataSet(data_set).manifest.truth["0.45"] == kept  # the figure stays Bullet's
    assert judged.mujoco_success.mean() > 0.5
    assert set(judged.mujoco_reason[judged.mujoco_success]) == {""}
    assert "of 6" in describe_agreement(judged, "labels")


def test_command(data_set, command_line):
    done = command_line("labeler", "verify", str(data_set), "attempts=2", "workers=1", "friction=0.35,0.25")
    assert done.returncode == 0, done.stderr
    assert "of 2 labels lift at friction 0.35" in done.stdout
    assert "of 2 labels lift at friction 0.25" in done.stdout
    assert "tilt (deg)" in done.stdout


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("attempt=2", "does not know 'attempt=2'"),
        ("attempts=many", "give a whole number"),
        ("physics=havok", "physics is 'havok'; choose bullet or mujoco"),
    ],
)
def test_wrong_arguments_end_in_one_sentence(data_set, monkeypatch, capsys, wrong, message):
    monkeypatch.setattr(sys, "argv", ["python -m labeler", "verify", str(data_set), wrong])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_two_verifications_at_once_keep_both_figures(data_set):
    """While one writes, the other has read: without a lock one of the figures would be lost."""
    figures = summarise_truth(rows([True, False, True]))
    frictions = [round(0.5 + i / 100, 2) for i in range(12)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda friction: keep_figures(data_set, friction, figures), frictions))
    assert {f"{friction:g}" for friction in frictions} <= DataSet(data_set).manifest.truth.keys()
    assert find_problems(data_set) == []


@pytest.mark.parametrize("measure", [verify, measure_recall])
def test_a_read_only_data_set_is_said_before_the_first_attempt(data_set, monkeypatch, measure):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    monkeypatch.setattr(execution, "attempt", lambda *_: pytest.fail("it has begun"))
    with pytest.raises(InputError, match=r"Read-only file system\); its dataset.json keeps the figures: copy"):
        measure(data_set, 4)


def test_what_was_measured_outlives_a_disk_that_fills_up_meanwhile(data_set, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("labeler.dataset.manifest.write_json", refuse)
    with pytest.warns(UserWarning, match="the figures are not kept: no space left"):
        assert len(verify(data_set, attempts=2)) == 2
