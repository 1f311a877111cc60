"""Another program's grasps, read from files: any method can be measured, whatever it runs on."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from sim.benchmark.protocol import NoAnswerYet
from sim.errors import InputError
from sim.grasp import GraspPoses
from sim.gripper import GripperGeometry
from sim.interchange.grasp_files import SUFFIXES, read_grasps
from sim.interchange.observation_files import observation_name, write_observation
from sim.view import Observation

_LOOK_EVERY = 0.2  # seconds between two looks for an awaited file


class FilePolicy:
    """Hands out grasps that another program wrote for the same observation.

    Every observation has a folder of its own, named by its content: ``folder/NAME/`` with ``depth.npy``, ``color.png``
    and ``camera.json`` (see ``sim.interchange.write_observation``). The other program writes ``grasps.*`` into it. An
    observation without grasps is written, and waited for. So a program that watches the folder is measured like any
    other policy, step by step. Without waiting only AP is measured, on each scene's first observation: SR
    and PC need grasps for observations that depend on the attempts before.
    """

    def __init__(
        self,
        folder: str | Path | None,
        gripper: GripperGeometry | None = None,
        *,
        wait: float = 0.0,
        name: str = "file",
    ) -> None:
        """Sets up.

        Args:
            folder: Folder of the observations' folders; made where it does not exist.
            gripper: The gripper, for files that give another frame of the hand than the one between the tips.
            wait: Longest time that a grasp file is waited for, seconds.
            name: Name in tables.

        Raises:
            InputError: The folder is not given, or ``wait`` is negative.
        """
        if folder is None:
            raise InputError("policy=file needs the folder of the grasp files; give policies.file.folder=DIR")
        if not wait >= 0:
            raise InputError(f"policies.file.wait is {wait}; give seconds from 0 on")
        self.folder, self.gripper = Path(folder), gripper or GripperGeometry()
        self.wait, self.name, self.ranks_only = float(wait), name, not wait

    def __call__(self, observation: Observation, count: int) -> GraspPoses:
        """Returns the first ``count`` grasps of the observation's file, in the camera frame, best first.

        Raises:
            NoAnswerYet: There is no file, not even after waiting.
            InputError: The file is none.
        """
        place = self.folder / observation_name(observation)
        path = _grasp_file(place)
        if path is None:
            if not (place / "camera.json").is_file():
                write_observation(observation, self.folder)
            path = self._await(place)
        grasps = read_grasps(path, self.gripper)
        if grasps.frame == "world":
            grasps = grasps.transform(np.linalg.inv(observation.camera.pose), "camera")
        return grasps[:count]

    def answer_file(self, observation: Observation) -> Path | None:
        """Returns the file of an observation's grasps, None where there is none yet; raises InputError for two."""
        return _grasp_file(self.folder / observation_name(observation))

    def _await(self, place: Path) -> Path:
        """Returns the grasp file as soon as it is there; raises NoAnswerYet after ``wait`` seconds."""
        end = time.monotonic() + self.wait
        while (path := _grasp_file(place)) is None:
            if time.monotonic() >= end:
                cure = "write one and give the same command again"
                raise NoAnswerYet(f"no grasps.json, .npy, .npz or .yaml in '{place}' for this observation; {cure}")
            time.sleep(_LOOK_EVERY)
        return path


def _grasp_file(place: Path) -> Path | None:
    """Returns the file of grasps in an observation's folder, or None."""
    found = [place / f"grasps{suffix}" for suffix in SUFFIXES if (place / f"grasps{suffix}").is_file()]
    if len(found) > 1:
        raise InputError(f"'{place}' holds {' and '.join(p.name for p in found)}; leave one")
    return found[0] if found else None
