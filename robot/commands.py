"""``python -m robot pick|table5|check|replay|report``: thin doors to the loop, the protocol and the recordings."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.cli import run_hydra
from sim.errors import InputError

if TYPE_CHECKING:
    from robot.picking.picker import Picker
    from robot.protocol.crew import Crew
    from robot.recording import Recorder

# Settings that decide how much is measured, not what.
_NOT_MEASURED = ("out", "workers", "record", "free_hand", "sizes", "rounds", "calibration_error_mm", "directions")
_GOES_ON = "interrupted: finished scenes are kept; the same command goes on"


def run_pick(words: Sequence[str]) -> None:
    """Runs ``python -m robot pick``."""
    run_hydra(pick, "pick", words=words, program="python -m robot pick", interrupted="interrupted")


def run_check(words: Sequence[str]) -> None:
    """Runs ``python -m robot check``."""
    run_hydra(check, "check", words=words, program="python -m robot check", interrupted="interrupted")


def run_table5(words: Sequence[str]) -> None:
    """Runs ``python -m robot table5``."""
    run_hydra(table5, "table5", words=words, program="python -m robot table5", interrupted=_GOES_ON)


def _station(config: Any) -> Any:
    """Returns the station, and prints what its calibration's file says against itself."""
    from hydra.utils import instantiate

    station = instantiate(config.station, _convert_="all")
    for text in station.calibration.doubts():
        print(f"doubt about {station.calibration.file}: {text}")
    return station


def _policy(config: Any) -> Any:
    """Returns the one policy of the configuration; raises InputError where there are several."""
    from hydra.utils import instantiate

    if len(config.policies) != 1:
        raise InputError(f"policy names {len(config.policies)} policies ({', '.join(config.policies)}); give one")
    return instantiate(next(iter(config.policies.values())), _convert_="all")


def _devices(config: Any) -> Any:
    """Returns arm, hand and camera of a real station, armed or not; None where the station is simulated."""
    from hydra.utils import instantiate

    if config.devices is None:
        return None
    arm, hand, camera = (instantiate(config.devices[name], _convert_="all") for name in ("arm", "hand", "camera"))
    arm.armed = hand.armed = bool(config.armed)
    return arm, hand, camera


def pick(config: Any) -> None:
    """Picks as conf/pick.yaml says. Raises InputError where a setting does not fit."""
    from hydra.utils import instantiate

    from robot.protocol.crew import Operator, SimulatedCrew
    from robot.recording import Recorder
    from sim.benchmark.scene_sets import make_scenes
    from sim.errors import COUNT, WHOLE, check_numbers
    from sim.files import check_writable

    check_numbers("pick", config, {"count": COUNT, "attempts": COUNT, "seed": WHOLE})
    station, policy, folder, devices = _station(config), _policy(config), Path(config.out), _devices(config)
    check_writable(folder)
    if devices is not None:
        with station.on_hardware(*devices, policy=policy) as picker:
            crew = Operator([f"object {i + 1}" for i in range(config.count)])
            _pick_on(picker, crew, Recorder(folder, "all"), config.attempts)
        return
    dropping = instantiate(config.scene, _convert_="all")
    objects, number = instantiate(config.objects), config.count
    scene = make_scenes(objects, "pick", 1, count=number, seed=config.seed, settings=dropping)[0]
    with station.simulated(scene, policy, seed=(config.seed,)) as (cell, picker):
        _pick_on(picker, SimulatedCrew(cell), Recorder(folder, "all", cell=cell), config.attempts)


def _pick_on(picker: Picker, crew: Crew, recorder: Recorder, attempts: int) -> None:
    """Picks so many times, or until the tray is empty; prints and records each."""
    done = 0
    for number in range(attempts):
        if not crew.left():
            break
        recorder.begin()
        attempt = picker.pick(crew.landed)
        recorder.keep(number, attempt, picker.record)
        crew.tidy()
        done += attempt.success
        said = ", ".join(attempt.objects) if attempt.success else f"failed: {attempt.reason} {attempt.message}"
        widths = " ".join(f"{1000 * w:.1f}" for w in attempt.widths)
        print(f"pick {number}: {said} (grasp {attempt.rank} of {attempt.given}, hand {widths or '-'} mm)")
    print(f"{done} in the receptacle, {crew.left()} left; recordings in {recorder.folder}")


def table5(config: Any) -> None:
    """Measures as conf/table5.yaml says. Raises InputError where a setting does not fit."""
    from hydra.utils import instantiate

    from robot.protocol.calibration_curve import check_errors
    from robot.protocol.table5 import run_table5 as run
    from sim.errors import COUNT, check_numbers

    check_numbers("table5", config, {"directions": COUNT})
    errors = None if config.calibration_error_mm is None else check_errors(config.calibration_error_mm)
    if config.devices is not None and (config.free_hand or errors is not None):
        raise InputError("free_hand and calibration_error_mm need the simulated cell; give robot=sim_kinova")
    out = _default_folder(config) if config.out is None else Path(config.out)
    asked = _station(config), _policy(config), instantiate(config.objects)
    rules, dropping = (instantiate(node, _convert_="all") for node in (config.protocol, config.scene))
    devices = _devices(config)
    if devices is not None:
        from robot.protocol.on_hardware import run_on_hardware

        _print_report(run_on_hardware(*asked, settings=rules, devices=devices, out=out, record=config.record), out)
        return
    made = {"settings": rules, "scene": dropping, "workers": config.workers}
    if errors is not None:
        _measure_curve(asked, made, errors, config=config, out=out)
        return
    scenes = run(*asked, out=out, record=config.record, **made)
    _print_report(scenes, out)
    if config.free_hand:
        from robot.cell.hand_eye import BelievedHandEye
        from robot.protocol.free_hand import arm_cost, clear_by_free_hand

        right = replace(asked[0], calibration=BelievedHandEye(position=0.0, rotation=0.0))
        free = clear_by_free_hand(*asked, out=out / "free_hand", **made)
        exact = run(right, *asked[1:], out=out / "exact", record="none", **made)
        print("\n".join(arm_cost(scenes, free, exact)))


def _measure_curve(asked: Any, made: dict[str, Any], errors: list[float], *, config: Any, out: Path) -> None:
    """Measures, prints and draws the success rate over the error of the hand-eye calibration."""
    from robot.protocol.calibration_curve import draw_curve, measure_curve

    curve = measure_curve(
        *asked, errors_mm=errors, directions=config.directions, out=out / "curve", record=config.record, **made
    )
    for row in curve.to_dict("records"):
        print(
            f"{row['error_mm']:g} mm, {row['size']} objects: SR {row['sr']:.1f} % ({row['sr_low']:.0f} to "
            f"{row['sr_high']:.0f}), PC {row['pc']:.1f} %, {row['failures']} of {row['attempts']} attempts failed"
        )
    curve.to_csv(out / "curve.csv", index=False, float_format="%.6g")
    print(draw_curve(curve, out / "curve.png"))


def _default_folder(config: Any) -> Path:
    """Returns the folder of a command's results: the same for the same command, which goes on there, and no other's."""
    from omegaconf import OmegaConf

    from robot.safety import SafetyLimits

    plain: Any = OmegaConf.to_container(config, resolve=False)
    measured = {k: v for k, v in plain.items() if k not in _NOT_MEASURED}
    safety = dict(measured.get("safety") or {})
    if safety.get("arrival") == SafetyLimits.arrival:  # folders that were begun before there was such a limit go on
        measured["safety"] = {k: v for k, v in safety.items() if k != "arrival"}
    code = hashlib.sha256(json.dumps(measured, sort_keys=True, default=str).encode()).hexdigest()[:8]
    return Path("outputs/robot") / f"table5_{config.arm.urdf.split('/')[-1]}_{'+'.join(config.policies)}_{code}"


def _print_report(scenes: Sequence[dict[str, Any]], out: Path) -> None:
    from rich.console import Console

    from robot.protocol.summary import summarise_picks, summary_table

    summary = summarise_picks(scenes)
    terminal = Console()
    wide = terminal if terminal.is_terminal else Console(width=140)  # a file's lines may be long
    wide.print(summary_table(summary, f"Table V: {out.name}"))
    for row in summary.to_dict("records"):
        print(
            f"{row['size']} objects: {row['plan_ms']:.0f} ms of planning a grasp, {row['seconds']:.1f} s an attempt on "
            f"the cell's clock; joints at {100 * row['speed_share']:.0f} % of their speeds and "
            f"{100 * row['acceleration_share']:.0f} % of their accelerations at most; "
            f"{row['touches']} attempts with a contact that was not planned, {row['pressed']} in which the hand's body "
            "met what the fingers held"
        )
    summary.to_csv(out / "summary.csv", index=False, float_format="%.6g")
    print(f"wrote {out / 'summary.csv'}")


def report(dir: Path) -> None:
    """Prints what the finished scenes of a folder say, beside the paper's row."""
    from robot.protocol.table5 import read_scenes

    _print_report(read_scenes(dir), dir)


def replay(dir: Path, *, checkpoint: str | None = None, shown: int = 10, device: str = "cpu") -> None:
    """Shows a recorded pick; with checkpoint=, asks another network about the same picture."""
    from robot.recording import read_motions, read_observation, read_pick
    from robot.replay import compare_grasps, describe_pick, draw_pick

    row = read_pick(dir)
    print(describe_pick(row, read_motions(dir), shown))
    if not row["given"]:
        return
    seen = read_observation(dir)
    now = None
    if checkpoint is not None:
        from plgp.policy.network import NetworkPolicy
        from plgp.policy.workspace import tray_workspace
        from sim.physics import TraySettings

        policy = NetworkPolicy.from_checkpoint(checkpoint, device=device, workspace=tray_workspace(TraySettings()))
        now = policy(seen, len(row["grasps"])).transform(seen.camera.pose, "world")
        print(compare_grasps(row, now, shown))
    print(draw_pick(row, seen, now, path=dir / "replay.png"))


def check(config: Any) -> None:
    """Says whether a station can work, as conf/check.yaml says. Raises InputError where it cannot."""
    import numpy as np

    from robot.motion.planner import GraspPlan
    from robot.picking.picture import HIDDEN
    from sim.errors import COUNT, WHOLE, check_numbers
    from sim.geometry import make_pose

    check_numbers("check", config, {"grasps": COUNT, "seed": WHOLE})
    station = _station(config)
    rng = np.random.default_rng(config.seed)
    ends: Counter[str] = Counter()
    half = station.tray.half_floor
    with station.planner() as planner:
        view = station.view(planner)
        hidden = station.hidden_share(planner, view)
        print(f"view: joint angles {np.degrees(view).round(1).tolist()} degrees")
        much = ", too much to pick" if hidden > HIDDEN else ""
        print(f"camera: arm and hand cover {100 * hidden:.0f} % of its picture{much}")
        started = time.perf_counter()
        for _ in range(config.grasps):
            angle = rng.uniform(0, np.pi)
            c, s = np.cos(angle), np.sin(angle)
            turn = np.array([[c, s, 0.0], [s, -c, 0.0], [0.0, 0.0, -1.0]])
            place = (*rng.uniform(-half, half, 2), rng.uniform(0.005, 0.06))
            found = planner.grasp(view, make_pose(turn, place), station.gripper.max_opening / 2)
            ends["reached" if isinstance(found, GraspPlan) else found.message] += 1
        seconds = time.perf_counter() - started
    print(f"grasps: {ends['reached']} of {config.grasps} reached, {1000 * seconds / config.grasps:.0f} ms each")
    for message, number in ends.most_common():
        if message != "reached":
            print(f"  {number}: {message}")
    if config.picture is not None:
        from PIL import Image

        from robot.cell.picture import CellMoment, draw_moments
        from sim.scene import SceneState

        empty = SceneState((), np.zeros((0, 4, 4)), station.tray)
        moment = CellMoment(empty, view, station.gripper.max_opening)
        Image.fromarray(draw_moments([moment], station.arm, station.gripper, settings=station.cell)[0]).save(
            config.picture
        )
        print(config.picture)
