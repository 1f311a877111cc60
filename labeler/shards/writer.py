"""Writes a shard: whole under its name, or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import hdf5plugin
import numpy as np

from labeler.dataset.manifest import SCHEMA_VERSION
from labeler.shards.frame import DEPTH_UNIT, GRASPS, IMAGES, SCORE, SCORE_STEPS, SIZE, TRAYS, Frame, encode_depth
from labeler.shards.reader import ShardReader
from sim.files import atomic_path

_PER_OBJECT: dict[str, tuple[Any, tuple[int, ...]]] = {  # type and shape of one row
    "objects/scale": (np.float64, ()),
    "objects/mask_value": (np.uint8, ()),
    "objects/pose_world": (np.float64, (4, 4)),
    "objects/box": (np.int32, (4,)),
}
_PER_IMAGE: dict[str, tuple[Any, tuple[int, ...]]] = {
    "camera/intrinsics": (np.float64, (3, 3)),
    "camera/pose": (np.float64, (4, 4)),
    "scene": (np.int32, ()),
    "view": (np.int32, ()),
    SIZE: (np.uint16, (2,)),
}


class ShardWriter:
    """Writes one shard; a context manager: the file appears under its name when all went well."""

    def __init__(self, path: str | Path, canvas: tuple[int, int] | None = None, *, scores: bool = False) -> None:
        """Prepares a shard.

        Args:
            path: Final name of the file; its folder must exist.
            canvas: Greatest number of rows and of columns, where images are of several sizes.
            scores: Whether the labels' scores are kept, in steps of 1/255.
        """
        self.path, self.scores, self._canvas = Path(path), scores, canvas
        self._rows: dict[str, list[Any]] = {}
        self._trays: dict[str, Mapping[str, float]] = {}  # by the scene's number
        self._images = 0

    def __enter__(self) -> ShardWriter:
        """Opens a temporary file."""
        self._stack = contextlib.ExitStack()
        self._file = self._stack.enter_context(h5py.File(self._stack.enter_context(atomic_path(self.path)), "w"))
        self._file.attrs["schema_version"] = SCHEMA_VERSION
        self._file.attrs["depth_unit"] = DEPTH_UNIT
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Writes the ragged arrays, syncs and renames; removes the file after an error."""
        if kind is None:
            try:
                self._write_rows()
                self._file.flush()
            except BaseException:
                self._abandon()
                self._stack.__exit__(*sys.exc_info())
                raise
        else:
            self._abandon()
        self._stack.__exit__(kind, value, trace)

    def _abandon(self) -> None:
        """Sends what HDF5 has yet to write nowhere: the file goes, and HDF5 crashes where the disk is full."""
        with Path(os.devnull).open("r+b") as nothing:
            os.dup2(nothing.fileno(), self._file.id.get_vfd_handle())

    def set_note(self, name: str, note: Any) -> None:
        """Stores a JSON-able note as an attribute of the file."""
        self._file.attrs[name] = json.dumps(note)

    def add(self, frame: Frame) -> None:
        """Appends one image.

        Args:
            frame: The image; it holds every key of Frame. Images of one scene come together, in order of the scenes.
        """
        for name in IMAGES:
            image = encode_depth(frame[name]) if name.startswith("depth") else frame[name]  # type: ignore[literal-required]
            rows, cols = image.shape[:2]
            images = self._image_set(name, image.shape if self._canvas is None else (*self._canvas, *image.shape[2:]))
            images[self._images, :rows, :cols] = image
            images.flush()  # else it is written when the dataset is closed, where nobody hears of a full disk
        self._add_rows(frame, None if self._canvas is None else frame["depth"].shape)

    def add_all(self, reader: ShardReader) -> None:
        """Appends every image of another shard, its compressed chunks as they are."""
        for index in range(len(reader)):
            for name in IMAGES:
                source = reader.file[name]
                origin = (0,) * (source.ndim - 1)
                filter_mask, chunk = source.id.read_direct_chunk((index, *origin))
                target = self._image_set(name, source.shape[1:])
                target.id.write_direct_chunk((self._images, *origin), chunk, filter_mask)
            frame = reader.read(index, ("objects",))
            self._add_rows(frame, reader.size(index) if SIZE in reader.file else None)

    def _image_set(self, name: str, shape: tuple[int, ...]) -> Any:
        """Returns an image dataset with room for the next image; one image is one chunk."""
        if name not in self._file:
            self._file.create_dataset(
                name,
                (0, *shape),
                IMAGES[name][0],
                maxshape=(None, *shape),
                chunks=(1, *shape),
                fletcher32=True,  # a damaged chunk is an error, never a picture
                **hdf5plugin.Blosc(cname="zstd", clevel=3, shuffle=hdf5plugin.Blosc.SHUFFLE),
            )
        dataset = self._file[name]
        if dataset.shape[0] <= self._images:
            dataset.resize(self._images + 1, axis=0)
        return dataset

    def _add_rows(self, frame: Frame, size: tuple[int, ...] | None) -> None:
        """Adds what is no image; ``size`` is the image's, where sizes differ."""
        if frame["scene"] < self._rows.get("scene", [frame["scene"]])[-1]:
            raise ValueError(f"{self.path.name}: scene {frame['scene']} comes too late; readers know scenes by order")
        objects = frame["objects"]
        values: dict[str, Any] = {f"grasps/{name}": getattr(frame["grasps"], name) for name in GRASPS}
        if self.scores:
            values[SCORE] = np.rint(frame["grasps"].score * SCORE_STEPS)
        values |= {"camera/intrinsics": frame["intrinsics"], "camera/pose": frame["pose"]}
        values |= {"scene": frame["scene"], "view": frame["view"]}
        values |= {
            "objects/name": [o.name.encode() for o in objects],
            "objects/scale": [o.scale for o in objects],
            "objects/mask_value": [o.mask_value for o in objects],
            "objects/pose_world": [o.pose_world for o in objects],
            "objects/box": [o.box for o in objects],
        }
        values |= {} if size is None else {SIZE: size}
        for name, value in values.items():
            self._rows.setdefault(name, []).append(value)
        if "tray" in frame:
            self._trays[str(frame["scene"])] = frame["tray"]
        self._images += 1

    def _write_rows(self) -> None:
        rows = self._rows
        if self._trays:
            self.set_note(TRAYS, self._trays)
        labels = {f"grasps/{name}": dtype for name, dtype in GRASPS.items()}
        for name, dtype in (labels | {SCORE: np.uint8} if self.scores else labels).items():
            flat = np.concatenate([np.zeros(0, dtype), *rows.get(name, [])]).astype(dtype)
            self._file.create_dataset(name, data=flat)
        for group in ("grasps/row", "objects/name"):
            counts = [len(part) for part in rows.get(group, [])]
            self._file[f"{group.split('/')[0]}/offsets"] = np.cumsum([0, *counts]).astype(np.int64)
        names = [name for part in rows.get("objects/name", []) for name in part]
        self._file["objects/name"] = np.array(names, f"S{max([1, *map(len, names)])}")
        for name, (dtype, shape) in _PER_OBJECT.items():
            values = [value for part in rows.get(name, []) for value in part]
            self._file[name] = np.array(values, dtype).reshape(-1, *shape)
        for name, (dtype, shape) in _PER_IMAGE.items():
            if name in rows or name != SIZE:
                self._file[name] = np.array(rows.get(name, []), dtype).reshape(-1, *shape)
