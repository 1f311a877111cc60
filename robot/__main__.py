"""Command line: ``python -m robot board|calibrate|validate|...``; also ``plgp-robot``; texts in command_help.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

from robot.capture import run_capture
from robot.command_help import HELP, USAGE
from robot.commands import replay, report, run_check, run_pick, run_table5
from sim.cli import Command, dispatch
from sim.errors import InputError

PROGRAM = "python -m robot"


def main() -> None:
    """Runs one subcommand."""
    functions: dict[str, Callable[..., int | None]] = {
        "board": board,
        "calibrate": calibrate,
        "validate": validate,
        "serve": serve,
    }
    functions |= {"replay": replay, "report": report}
    commands = {name: Command(run=f, help=HELP.get(name, "")) for name, f in functions.items()}
    hydra = {"pick": run_pick, "table5": run_table5, "check": run_check, "capture": run_capture}
    commands |= {name: Command(run=f, raw=True) for name, f in hydra.items()}
    dispatch(PROGRAM, USAGE, commands)


def board(
    file: Path, *, columns: int = 6, rows: int = 8, square: float = 0.032, marker: float = 0.024, page: str = "a4"
) -> None:
    """Writes the page with the calibration board."""
    from robot.calibration import Board, draw_board

    print(draw_board(Board(columns=columns, rows=rows, square=square, marker=marker), file, page=page.lower()))


def calibrate(
    dir: Path,
    *,
    intrinsics: str,
    mount: Literal["flange", "base"] = "flange",
    columns: int = 6,
    rows: int = 8,
    square: float = 0.032,
    marker: float = 0.024,
    robot_position: float = 0.0005,
    robot_rotation: float = 0.001,
    out: Path | None = None,
) -> None:
    """Fits the camera's pose to a folder of pictures; writes it and a picture of its residuals."""
    from robot.calibration import Board, CalibrationSettings, HandEye, draw_residuals, read_samples

    path = out or dir / "hand_eye.yaml"
    if not path.parent.is_dir():
        raise InputError(f"the folder of {path} does not exist; make it or give another out=FILE")
    if path.suffix not in (".yaml", ".yml"):
        raise InputError(f"out is '{path}'; give a file name that ends in .yaml")
    settings = CalibrationSettings(robot_position=robot_position, robot_rotation=robot_rotation)
    samples, empty = read_samples(dir, Board(columns=columns, rows=rows, square=square, marker=marker), intrinsics)
    for name in empty:
        print(f"{name} shows too little of the board; it is left out")
    found = HandEye.fit(samples, mount, settings)
    print(found.describe())
    print(found.save(path), draw_residuals(found, path.with_suffix(".png")))


def validate(
    calibration: Path,
    dir: Path,
    *,
    intrinsics: str,
    columns: int = 6,
    rows: int = 8,
    square: float = 0.032,
    marker: float = 0.024,
) -> None:
    """Compares a calibration with touched corners, or with new pictures of one board."""
    from robot.calibration import Board, HandEye, describe_validation, read_samples, read_touches

    hand_eye = HandEye.load(calibration)
    for text in hand_eye.doubts:
        print(f"doubt about {calibration}: {text}")
    sheet = Board(columns=columns, rows=rows, square=square, marker=marker)
    samples, _ = read_samples(dir, sheet, intrinsics)
    print(describe_validation(hand_eye, samples, corners=sheet.corners, touches=read_touches(dir / "touches.csv")))


def serve(
    host: str,
    *,
    port: int = 9090,
    ros: int = 2,
    checkpoint: str = "pretrained",
    workspace: str | None = None,
    count: int = 50,
    device: str = "cpu",
    colour: str = "/camera/color/image_raw",
    depth: str = "/camera/aligned_depth_to_color/image_raw",
    info: str = "/camera/color/camera_info",
    frame: str = "camera_color_optical_frame",
    service: str = "/plgp/grasps",
) -> None:
    """Answers ROS users' requests with the grasps of the camera's newest frame."""
    from robot.backends.rosbridge import RosCamera, RosConnection
    from robot.serve import GraspService, policy_of

    if count < 1 or ros not in (1, 2):
        raise InputError(f"count is {count} and ros {ros}; give at least 1, and 1 or 2")
    link = RosConnection(host, port, version=1 if ros == 1 else 2)
    camera = RosCamera(link, colour=colour, depth=depth, info=info)
    predict = policy_of(checkpoint, workspace=workspace, count=count, device=device)
    node = GraspService(link, camera, predict, service=service, frame=frame)
    try:
        node.open()
        if workspace is None:
            print("grasps may lie anywhere in the frame; give workspace=left,top,right,bottom (pixels)", flush=True)
        print(f"call {service} (std_srvs/Trigger); poses come on {service}/poses; Ctrl-C ends", flush=True)
        node.run()
    finally:
        node.close()


if __name__ == "__main__":
    main()
