"""Observations as files that any program can read: depth, colours, intrinsics, the camera's pose."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from sim.camera import PinholeCamera
from sim.errors import InputError
from sim.files import atomic_path, write_json
from sim.view import Observation


def observation_name(observation: Observation) -> str:
    """Returns the name of an observation: 16 hexadecimal digits of its depth's and camera's content.

    The benchmark's noise comes from its seed, so the same scene, seed and number of attempts gives the same name.
    """
    content = hashlib.sha256(np.ascontiguousarray(observation.depth, np.float32).tobytes())
    content.update(np.ascontiguousarray(observation.camera.intrinsics, np.float64).tobytes())
    content.update(np.ascontiguousarray(observation.camera.pose, np.float64).tobytes())
    return content.hexdigest()[:16]


def write_observation(observation: Observation, folder: str | Path) -> Path:
    """Writes an observation into a folder of its own: ``folder/NAME/``.

    ``depth.npy`` is float32, metres, 0 = missing. ``color.png`` is 8-bit RGB, if there are colours. ``camera.json``
    holds width, height, intrinsics (row by row) and pose T_world_camera (row by row, metres).

    Args:
        observation: The observation.
        folder: Folder of observations; made where it does not exist.

    Returns:
        The observation's folder.
    """
    place = Path(folder) / observation_name(observation)
    place.mkdir(parents=True, exist_ok=True)
    with atomic_path(place / "depth.npy") as temporary, temporary.open("wb") as file:
        np.save(file, observation.depth.astype(np.float32))
    if observation.rgb is not None:
        from PIL import Image

        with atomic_path(place / "color.png") as temporary:
            Image.fromarray(observation.rgb).save(temporary, format="PNG")
    camera = observation.camera
    about = {
        "width": camera.width,
        "height": camera.height,
        "intrinsics": camera.intrinsics.tolist(),
        "pose": camera.pose.tolist(),
        "depth_unit": "metre",
    }
    write_json(place / "camera.json", about)  # last: whoever waits for an observation waits for this file
    return place


def read_observation(place: str | Path) -> Observation:
    """Returns the observation of a folder that ``write_observation`` wrote.

    Raises:
        InputError: A file is missing or broken.
    """
    place = Path(place)
    try:
        about = json.loads((place / "camera.json").read_text())
        matrix, pose = np.array(about["intrinsics"], np.float64), np.array(about["pose"], np.float64)
        camera = PinholeCamera(int(about["width"]), int(about["height"]), matrix, pose)
        depth = np.load(place / "depth.npy", allow_pickle=False)
        rgb = None
        if (place / "color.png").is_file():
            from PIL import Image

            with Image.open(place / "color.png") as image:
                rgb = np.asarray(image.convert("RGB"), np.uint8)
        return Observation(rgb, depth.astype(np.float32), camera)
    except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
        raise InputError(
            f"'{place}' is no whole observation ({type(error).__name__}: {error}); write it again"
        ) from None
