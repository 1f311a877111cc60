"""Reads a shard; files are opened on first use in each process, never before a fork or a pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  # brings the filters that images are compressed with
import numpy as np
from numpy.typing import NDArray

from labeler.dataset.manifest import ShardLine
from labeler.labels import GraspLabels
from labeler.shards.checks import open_shard, read_small, shard_error
from labeler.shards.frame import GRASPS, IMAGES, SCORE, SCORE_STEPS, SIZE, TRAYS, Frame, decode_depth
from sim.errors import InputError
from sim.files import checksum
from sim.view import ViewObject

DAMAGE = (OSError, RuntimeError, LookupError, TypeError, ValueError, MemoryError)  # what h5py raises on broken files


class ShardReader:
    """Reads one shard; opens the file on first use and again after a pickle."""

    def __init__(self, path: str | Path) -> None:
        """``path`` need not be open-able yet; errors come with the first read."""
        self.path, self._process = Path(path), 0
        self._file: h5py.File | None = None
        self._small: dict[str, NDArray[Any]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leaves the open file behind."""
        return {"path": self.path, "_file": None, "_process": 0, "_small": {}}

    def __len__(self) -> int:
        """Number of images."""
        return len(self.file and self._small["scene"])

    @property
    def file(self) -> h5py.File:
        """The open file; raises InputError if it is missing, truncated or of another schema."""
        if self._file is None or self._process != os.getpid():
            file = open_shard(self.path)
            try:
                self._small = read_small(file, self.path)
            except InputError:
                raise
            except DAMAGE as error:
                raise shard_error(self.path, error, "is damaged") from error
            self._file, self._process = file, os.getpid()
        return self._file

    def size(self, index: int) -> tuple[int, int]:
        """Returns the rows and columns of an image."""
        rows, cols = self._small[SIZE][index] if SIZE in self.file else self.file["depth"].shape[1:3]
        return int(rows), int(cols)

    def note(self, name: str) -> Any:
        """Returns a note of ``ShardWriter.set_note``, or None."""
        return json.loads(self.file.attrs.get(name, "null"))

    def read(self, index: int, keys: Sequence[str] = tuple(IMAGES)) -> Frame:
        """Returns one image: what ``keys`` name, and grasps, intrinsics, pose, scene and view.

        Args:
            index: Which image of the shard.
            keys: Any of "rgb", "depth", "depth_noisy", "instance_mask", "objects".

        Raises:
            InputError: The file is damaged, or there is no such image or key.
        """
        file = self.file
        if not 0 <= index < len(self):
            raise InputError(f"shard {self.path} holds images 0 ... {len(self) - 1}, not {index}")
        unknown = set(keys) - {*IMAGES, "objects"}
        if unknown:
            raise InputError(f"a shard has no {sorted(unknown)}; choose from {[*IMAGES, 'objects']}")
        try:
            frame: Frame = {
                "grasps": self._grasps(index),
                "intrinsics": self._small["camera/intrinsics"][index].copy(),
                "pose": self._small["camera/pose"][index].copy(),
                "scene": int(self._small["scene"][index]),
                "view": int(self._small["view"][index]),
            }
            for key in keys:
                if key == "objects":
                    frame["objects"] = self._objects(index, frame["pose"])
                    if trays := self.note(TRAYS):
                        frame["tray"] = trays[str(frame["scene"])]
                    continue
                image = file[key][index]
                if SIZE in self._small:
                    rows, cols = self.size(index)
                    image = np.ascontiguousarray(image[:rows, :cols])
                frame[key] = decode_depth(image) if key.startswith("depth") else image  # type: ignore[literal-required]
        except DAMAGE as error:
            raise shard_error(self.path, error, f"is damaged at image {index}") from error
        return frame

    def describe(self) -> ShardLine:
        """Returns the shard's line of ``dataset.json``."""
        scenes, images = np.unique(self.file["scene"][...], return_counts=True)
        return ShardLine(
            file=self.path.name,
            sha256=checksum(self.path),
            images=int(images.sum()),
            grasps=int(self.file["grasps/offsets"][-1]),
            scenes=tuple((int(s), int(n)) for s, n in zip(scenes, images, strict=True)),
        )

    def close(self) -> None:
        """Closes the file; the next read opens it again."""
        if self._file is not None and self._process == os.getpid():
            self._file.close()
        self._file = None

    def _grasps(self, index: int) -> GraspLabels:
        start, end = self._small["grasps/offsets"][index : index + 2]
        arrays = {name: self.file[f"grasps/{name}"][start:end] for name in GRASPS}
        score = np.zeros(end - start, np.float32)
        if SCORE in self.file:
            score = self.file[SCORE][start:end].astype(np.float32) / np.float32(SCORE_STEPS)
        return GraspLabels(**arrays, score=score)

    def _objects(self, index: int, pose: NDArray[np.float64]) -> tuple[ViewObject, ...]:
        start, end = self._small["objects/offsets"][index : index + 2]
        group = {name: self.file[f"objects/{name}"][start:end] for name in ("name", "scale", "mask_value", "box")}
        poses = self.file["objects/pose_world"][start:end]
        to_camera = np.linalg.inv(pose)
        rows = zip(group["name"], group["scale"], group["mask_value"], poses, group["box"], strict=True)
        return tuple(
            ViewObject(name.decode(), float(scale), int(value), to_camera @ world, world, tuple(map(int, box)))  # type: ignore[arg-type]
            for name, scale, value, world, box in rows
        )
