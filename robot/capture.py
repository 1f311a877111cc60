"""``python -m robot capture``: pictures for a calibration, with a station's own devices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robot.errors import DeviceError
from sim.cli import run_hydra
from sim.errors import InputError

if TYPE_CHECKING:
    from robot.devices import Arm
    from robot.motion.planner import MotionPlanner
    from robot.station import Station

ROUNDS = 4  # around the board, a pose a wanted picture in each: some cannot be reached
DISTANCE = (0.3, 0.6)  # m to the board: a wide range shows a print of another size, a narrow one hides it


def run_capture(words: Sequence[str]) -> None:
    """Runs ``python -m robot capture``."""
    kept = "interrupted: the pictures are kept; the same command goes on"
    run_hydra(capture, "capture", words=words, program="python -m robot capture", interrupted=kept)


def capture(config: Any) -> None:
    """Takes pictures as conf/capture.yaml says. Raises InputError where a setting does not fit."""
    from hydra.utils import instantiate

    from robot.calibration.board import Board
    from robot.calibration.capture import Album, capture_by_hand, capture_by_itself, take_picture
    from robot.cell.hand_eye import BelievedHandEye
    from sim.errors import COUNT, WHOLE, check_numbers

    check_numbers("capture", config, {"count": COUNT, "seed": WHOLE})
    if config.devices is None:
        raise InputError("the simulated cell holds no board; give robot= of a real station, for example robot=ur5e")
    board: Board = instantiate(config.board)
    # The camera's pose is what is looked for: until then the measured cell.camera has to do.
    station = replace(instantiate(config.station, _convert_="all"), calibration=BelievedHandEye(position=0, rotation=0))
    arm, camera = (instantiate(config.devices[name], _convert_="all") for name in ("arm", "camera"))
    arm.armed = bool(config.armed)
    album, chain = Album(Path(config.out)), station.arm.chain()
    with arm, camera:

        def take() -> str:
            return take_picture(arm, camera, chain.forward, board=board, album=album)

        if not arm.armed:
            capture_by_hand(take, album, count=config.count)
        else:
            with station.planner() as planner:
                goals = proposals(config.count, seed=config.seed)
                capture_by_itself(take, album, count=config.count, goals=goals, go=mover(station, planner, arm))
    print(f"{len(album.poses)} pictures in {album.folder}; next:")
    print(f"python -m robot calibrate {album.folder} intrinsics={album.folder / 'camera.json'}")


def proposals(count: int, *, seed: int) -> list[Any]:
    """Returns T_world_camera of poses that look at a board in the middle of the tray's floor, (4, 4), metres.

    Args:
        count: Number of pictures that are wanted; four times as many poses are proposed, in four rounds.
        seed: Seed of the poses.
    """
    from itertools import chain

    import numpy as np

    from robot.calibration.poses import propose_poses
    from sim.geometry import make_pose

    face_up = make_pose(np.diag([1.0, -1.0, -1.0]), (0, 0, 0))
    rng = np.random.default_rng(seed)
    rounds = (propose_poses(face_up, np.eye(4), rng, count=count, distance=DISTANCE) for _ in range(ROUNDS))
    return list(chain.from_iterable(rounds))


def mover(station: Station, planner: MotionPlanner, arm: Arm) -> Any:
    """Returns a function that brings the camera to T_world_camera and says what stood in the way.

    Args:
        station: The station.
        planner: Its planner.
        arm: The arm.
    """
    from robot.devices import read_state
    from robot.motion.settings import Unreachable

    opening, guard = station.gripper.max_opening, station.guard(planner, arm.clock)

    def go(goal: Any) -> str:
        here = read_state(arm).q
        angles = planner.view(goal, opening, here)
        if isinstance(angles, Unreachable):
            return angles.message
        motion = planner.to(here, angles, opening)
        if isinstance(motion, Unreachable):
            return motion.message
        ended = arm.execute(motion, guard)
        if ended.done or ended.reason == "refused":
            return "" if ended.done else ended.message
        raise DeviceError(f"{ended.message}; look at the arm, then give the same command again")

    return go
