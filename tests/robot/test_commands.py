"""Commands fail in one sentence, and what is composed can be built."""

import subprocess
import sys

import numpy as np
import pytest
from hydra import compose, initialize_config_module
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate
from omegaconf import open_dict

from robot.__main__ import main
from robot.commands import _default_folder, check, pick, table5
from sim.cli import conf_folder
from sim.errors import InputError

ROBOTS = sorted(p.stem for p in (conf_folder() / "robot").glob("*.yaml"))


def composed(name, *words):
    GlobalHydra.instance().clear()
    with initialize_config_module("plgp_conf", version_base="1.3"):
        return compose(name, list(words))


@pytest.mark.parametrize("robot", ROBOTS)
def test_every_station_is_built_and_its_camera_sees_the_tray(robot):
    pytest.importorskip("ruckig", reason="needs plgp[robot]")
    words = [] if robot.startswith("sim_") else ["host=localhost", "calibration=exact"]
    station = instantiate(composed("table5", f"robot={robot}", *words).station, _convert_="all")
    with station.planner() as planner:
        view = station.view(planner)
        camera = planner.base @ station.arm.chain().forward(view) @ station.mount()
    assert camera[:3, 3] == pytest.approx((0, 0, station.cell.camera_height), abs=1e-5)
    assert camera[2, 2] == pytest.approx(-1, abs=1e-6)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["cell.camera_height=3"], "camera"),
        (["grasps=0"], "grasps is 0"),
        (["arm.urdf=nothing"], "kinova_gen2"),
        (["cell.base=[1,2]"], "cell.base"),
        (["motion.lift=-1"], "motion.lift"),
        (["protocol.sizes=3"], "protocol"),
    ],
)
def test_settings_that_do_not_fit_are_named(words, sentence):
    with pytest.raises(Exception, match=sentence):
        check(composed("check", *words))


def test_what_a_calibration_says_against_itself_is_said_again(capsys, tmp_path):
    path = tmp_path / "hand_eye.yaml"
    text = "picture 3.png is off by 30 mm and was left out"
    path.write_text(f"T_flange_camera: [[1,0,0,0],[0,1,0,0],[0,0,1,0],[0,0,0,1]]\ndoubts: [{text}]\n")
    with pytest.raises(InputError, match="camera"):
        check(composed("check", f"calibration.file={path}", "cell.camera_height=3"))
    assert f"doubt about {path}: {text}" in capsys.readouterr().out


def test_two_policies_at_once_are_refused(tmp_path):
    config = composed("pick", f"out={tmp_path}", "+policies.other._target_=sim.benchmark.RandomPolicy")
    with pytest.raises(InputError, match="2 policies"):
        pick(config)


@pytest.mark.parametrize("word", ["free_hand=true", "calibration_error_mm=[0,1]"])
def test_what_only_a_simulation_can_measure_is_refused_on_hardware(word):
    words = ["robot=ur5e", "host=localhost", "calibration=exact", word]
    with pytest.raises(InputError, match="need the simulated cell"):
        table5(composed("table5", *words))


@pytest.mark.parametrize(
    ("word", "said"), [("calibration_error_mm=[0,-1]", "different numbers from 0"), ("directions=0", "directions is 0")]
)
def test_a_curve_that_cannot_be_is_refused_before_anything_is_loaded(word, said):
    with pytest.raises(InputError, match=said):
        table5(composed("table5", word))


def test_the_folder_of_results_is_that_of_former_versions():
    """A command goes on in its folder, whatever settings were added since it was begun."""
    now, former = composed("table5"), composed("table5")
    with open_dict(former):
        del former.safety.arrival
    assert _default_folder(now) == _default_folder(former)
    assert _default_folder(composed("table5", "safety.arrival=0.003")) != _default_folder(now)


def test_check_counts_what_is_reached(capsys, tmp_path):
    pytest.importorskip("ruckig", reason="needs plgp[robot]")
    check(composed("check", "grasps=10", f"picture={tmp_path / 'cell.png'}"))
    said = capsys.readouterr().out
    reached = int(said.split("grasps: ")[1].split()[0])
    assert int(said.split("arm and hand cover ")[1].split()[0]) < 20
    assert reached >= 7
    assert (tmp_path / "cell.png").stat().st_size > 5000


def test_the_command_line_says_what_there_is(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["robot"])
    main()
    said = capsys.readouterr().out
    for name in ("check", "pick", "table5", "report", "replay"):
        assert f"  {name} " in said
    bad = subprocess.run([sys.executable, "-m", "robot", "report", "nowhere"], capture_output=True, text=True)
    assert (bad.returncode, bad.stderr.count("\n")) == (2, 1)
    assert "holds no finished scenes" in bad.stderr


def test_a_plan_in_the_way_is_no_nan():
    """A quality that is not known is null in files, not NaN."""
    from robot.picking.attempt import PickAttempt

    assert PickAttempt().to_row()["quality"] is None
    assert PickAttempt(quality=np.float64(0.5)).to_row()["quality"] == 0.5
