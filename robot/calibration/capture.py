"""Pictures for a calibration, taken with the devices: the arm is led by hand, or goes to poses by itself."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from robot.calibration.board import Board
from robot.calibration.park import board_pose
from robot.calibration.samples import POSES, read_poses, sample_picture, write_poses
from robot.devices import Arm, CameraDevice, read_state
from robot.values import Frame
from sim.files import atomic_path, check_writable

FloatArray = NDArray[np.float64]
CAMERA = "camera.json"
STILL = 0.002  # rad that the joints may move while a picture is taken
QUIT = ("q", "quit", "exit")


class Album:
    """A folder of pictures with their poses; a folder that holds some already is continued.

    Attributes:
        folder: The folder.
        poses: Name of a picture -> (4, 4) T_base_flange, metres.
    """

    def __init__(self, folder: Path) -> None:
        """Opens a folder; raises InputError where it cannot be written or its poses cannot be read."""
        check_writable(folder)
        self.folder = folder
        self.poses = read_poses(folder / POSES) if (folder / POSES).is_file() else {}

    def add(self, frame: Frame, flange: FloatArray) -> str:
        """Keeps a picture and its pose; returns its name."""
        number = len(self.poses)
        while (name := f"{number:03d}.png") in self.poses:
            number += 1
        with atomic_path(self.folder / name) as temporary:
            Image.fromarray(frame.rgb).save(temporary, format="PNG")
        lens = {"width": frame.camera.width, "height": frame.camera.height}
        lens_and_matrix = {**lens, "intrinsics": frame.camera.intrinsics.tolist()}
        (self.folder / CAMERA).write_text(json.dumps(lens_and_matrix) + "\n")
        self.poses[name] = flange
        with atomic_path(self.folder / POSES) as temporary:
            write_poses(temporary, self.poses)
        return name


def take_picture(
    arm: Arm, camera: CameraDevice, forward: Callable[[FloatArray], FloatArray], *, board: Board, album: Album
) -> str:
    """Takes one picture at rest and keeps it where it shows the board; returns what to tell the operator.

    Args:
        arm: The arm; it is not moved.
        camera: The camera.
        forward: (N,) joint angles -> (4, 4) T_base_flange, metres.
        board: The board.
        album: Where pictures go.

    Raises:
        DeviceError: A device does not answer, or the arm's angles are no numbers.
    """
    before = read_state(arm).q
    frame = camera.read(after=camera.clock())
    q = read_state(arm).q
    if np.abs(q - before).max() > STILL:
        return "the arm moved while the picture was taken; let it rest and try again"
    found = sample_picture(frame.rgb, forward(q), board, camera=frame.camera)
    if found is None:
        return "too little of the board is in view; not kept"
    name = album.add(frame, found.flange)
    look = board_pose(found.points, found.pixels, found.camera)
    tilt = np.degrees(np.arccos(np.clip(abs(look[2, 2]), 0, 1)))
    return f"{name}: {len(found.points)} corners, {look[2, 3]:.2f} m away, tilted by {tilt:.0f} degrees"


def capture_by_hand(
    take: Callable[[], str],
    album: Album,
    *,
    count: int,
    ask: Callable[[str], str] = input,
    say: Callable[[str], None] = print,
) -> None:
    """Asks the operator to lead the arm, and takes a picture at every Enter.

    Args:
        take: Function that takes a picture and returns what to say; see ``take_picture``.
        album: Where pictures go.
        count: Number of pictures that are wanted in all.
        ask: Function that shows a text and returns what the operator types.
        say: Function that shows a text.
    """
    while len(album.poses) < count:
        text = f"picture {len(album.poses) + 1} of {count}: lead the arm to another tilt, let go, press Enter (q ends) "
        try:
            answer = ask(text)
        except EOFError:
            return
        if answer.strip().lower() in QUIT:
            return
        say(take())


def capture_by_itself(
    take: Callable[[], str],
    album: Album,
    *,
    count: int,
    goals: Iterable[FloatArray],
    go: Callable[[FloatArray], str],
    say: Callable[[str], None] = print,
) -> None:
    """Goes to poses of the camera and takes a picture at each that is reached.

    Args:
        take: Function that takes a picture and returns what to say; see ``take_picture``.
        album: Where pictures go.
        count: Number of pictures that are wanted in all.
        goals: (4, 4) T_world_camera, metres, as many as may be tried.
        go: Function that moves to one and returns what stood in the way, or "".
        say: Function that shows a text.
    """
    for goal in goals:
        if len(album.poses) >= count:
            return
        problem = go(goal)
        say(f"left out: {problem}" if problem else take())
