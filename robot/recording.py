"""Recordings: a folder a pick, with what was seen, chosen, moved and what came of it."""

from __future__ import annotations

import json
import math
import shutil
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from robot.cell.picture import CellFilm, draw_moments
from robot.cell.simulated_cell import SimulatedCell
from robot.devices import CameraDevice
from robot.errors import DeviceError
from robot.picking.attempt import PickAttempt
from robot.picking.picker import PickRecord
from robot.values import Frame, Trajectory
from sim.camera import PinholeCamera
from sim.drawing.film import write_gif, write_line
from sim.errors import InputError
from sim.files import write_error, write_json
from sim.view import Observation

RECORDED = ("none", "failures", "all")
_FRAMES_PER_SECOND = 10.0
# What NumPy and Pillow raise for files that are none of theirs.
_BROKEN = (OSError, KeyError, ValueError, IndexError, TypeError, EOFError, zipfile.BadZipFile, AttributeError)


def check_recorded(which: str) -> None:
    """Raises InputError for an unknown choice of the attempts that are recorded."""
    if which not in RECORDED:
        raise InputError(f"record is '{which}'; give one of {', '.join(RECORDED)}")


class Recorder:
    """Keeps picks in folders.

    Attributes:
        folder: Folder of the picks, one folder each.
        which: Attempts that are kept: "none", "failures" or "all".
    """

    def __init__(self, folder: Path, which: str, *, cell: SimulatedCell | None = None) -> None:
        """Keeps where they go.

        Args:
            folder: Folder of the picks.
            which: Attempts that are kept: "none", "failures" or "all".
            cell: Simulated cell that is filmed; None on hardware.
        """
        self.folder, self.which, self._cell = folder, which, cell
        self._film = CellFilm(round(1 / _FRAMES_PER_SECOND / cell.time_step)) if cell is not None else None
        if self._film is not None and which != "none" and cell is not None:
            cell.on_step.append(self._film)

    def begin(self) -> None:
        """Forgets the film of the pick before."""
        if self._film is not None:
            self._film.moments.clear()

    def keep(self, number: int, attempt: PickAttempt, record: PickRecord) -> None:
        """Writes a pick, if it is one of those that are kept.

        Warns where it cannot be written, on a full disk for example: picking goes on, and a half recording is removed.
        """
        if self.which == "none" or (self.which == "failures" and attempt.success):
            return
        place = self.folder / f"pick-{number:04d}"
        try:
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            write_pick(place, attempt, record)
            if self._film is not None and self._cell is not None and self._film.moments:
                self._write_film(place, attempt)
        except OSError as error:
            shutil.rmtree(place, ignore_errors=True)
            warnings.warn(f"this pick is not recorded: {write_error(place, error)}", stacklevel=2)

    def _write_film(self, place: Path, attempt: PickAttempt) -> None:
        cell, film = self._cell, self._film
        assert cell is not None
        assert film is not None
        said = "in the receptacle" if attempt.success else f"failed: {attempt.reason}"
        frames = draw_moments(film.moments, cell.arm, cell.gripper, settings=cell.settings)
        write_gif([write_line(f, f"{place.name}  {said}") for f in frames], place / "film.gif", _FRAMES_PER_SECOND)


def write_pick(place: Path, attempt: PickAttempt, record: PickRecord) -> None:
    """Writes a pick into a folder: frame.npz, color.png, grasps.json, motions.npz, pick.json.

    Args:
        place: The folder.
        attempt: What came of it.
        record: What was seen and chosen.
    """
    seen, g = record.observation, record.grasps
    if seen is not None:
        camera = seen.camera
        np.savez_compressed(
            place / "frame.npz", depth=seen.depth, intrinsics=camera.intrinsics, T_world_camera=camera.pose
        )
        if seen.rgb is not None:
            Image.fromarray(seen.rgb).save(place / "color.png")
    verdicts = dict(record.verdicts)
    rows = [
        {
            "rank": i,
            "quality": float(g.quality[i]),
            "width": float(g.width[i]),
            "translation": g.translation[i].tolist(),
            "rotation": g.rotation[i].tolist(),
            "verdict": verdicts.get(i, "not tried"),
        }
        for i in range(len(g))
    ]
    write_json(place / "grasps.json", {"frame": "world", "grasps": rows})
    arrays: dict[str, Any] = {}
    for i, (name, motion) in enumerate(record.motions):
        key = f"{i:02d} {name}"
        arrays |= {f"{key}/{part}": getattr(motion, part) for part in ("times", "positions", "velocities")}
    np.savez_compressed(place / "motions.npz", **arrays)
    write_json(place / "pick.json", attempt.to_row())


def read_observation(place: str | Path) -> Observation:
    """Returns what a recorded pick saw, its camera's pose in the world included; raises InputError."""
    folder = Path(place)
    try:
        with np.load(folder / "frame.npz") as content:
            depth, intrinsics, pose = (content[k] for k in ("depth", "intrinsics", "T_world_camera"))
        colours = folder / "color.png"
        rgb = np.asarray(Image.open(colours).convert("RGB")) if colours.is_file() else None
        camera = PinholeCamera(depth.shape[1], depth.shape[0], intrinsics, pose)
    except _BROKEN as error:
        raise InputError(f"{folder} holds no recorded picture ({error}); give a pick's folder") from error
    return Observation(rgb, depth, camera)


def read_pick(place: str | Path) -> dict[str, Any]:
    """Returns what came of a recorded pick, and its grasps under "grasps"; raises InputError."""
    folder = Path(place)
    try:
        row: dict[str, Any] = json.loads((folder / "pick.json").read_text())
        return row | {"grasps": json.loads((folder / "grasps.json").read_text())["grasps"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder} is no recording of a pick ({error}); give a folder with pick.json") from error


def read_motions(place: str | Path) -> dict[str, Trajectory]:
    """Returns the executed trajectories of a recorded pick by name, in their order; raises InputError."""
    path = Path(place) / "motions.npz"
    try:
        with np.load(path) as content:
            names = sorted({key.rpartition("/")[0] for key in content.files})
            parts = ("times", "positions", "velocities")
            return {name: Trajectory(**{part: content[f"{name}/{part}"] for part in parts}) for name in names}
    except _BROKEN as error:
        raise InputError(f"{path} holds no recorded motions ({error}); give a pick's folder") from error


class RecordedCamera(CameraDevice):
    """A camera that gives recorded pictures, one a call, as if each were taken now."""

    name = "recorded camera"

    def __init__(self, places: list[Path]) -> None:
        """Keeps the folders of recorded picks, in the order in which their pictures come."""
        self._waiting = list(places)

    def connect(self) -> None:
        """Does nothing."""

    def disconnect(self) -> None:
        """Does nothing."""

    def read(self, after: float = -math.inf, timeout: float = 2.0) -> Frame:
        """Returns the next recorded picture; raises DeviceError when all were given."""
        if not self._waiting:
            raise DeviceError(f"{self.name} has no more pictures")
        seen = read_observation(self._waiting.pop(0))
        rgb = np.zeros((*seen.depth.shape, 3), np.uint8) if seen.rgb is None else seen.rgb
        return Frame(rgb=rgb, depth=seen.depth, camera=seen.camera, time=max(self.clock(), after))
