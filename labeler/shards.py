"""The HDF5 shard format: write, read, and a folder of shards as one data set.

A shard of N images holds ``rgb`` (N, H, W, 3) uint8, ``depth`` and ``depth_noisy`` (N, H, W) uint16 in 0.1 mm (0 =
missing), ``instance_mask`` (N, H, W) uint8 (0 = background, else ``objects/mask_value``), ``camera/intrinsics``
(N, 3, 3) and ``camera/pose`` (N, 4, 4), the camera in the world, ``scene`` and ``view`` (N,). Labels and objects are
flat arrays: those of image i are [offsets[i], offsets[i + 1]) of ``grasps/*`` and of ``objects/*``.

Where images are of several sizes, H and W are the largest. Each image lies in the upper left corner, with 0 beyond it,
and ``camera/size`` (N, 2) uint16 holds its rows and columns.

A file that bears its final name is whole: everything is written under a temporary name, synced and renamed. Files are
opened on first use in each process, never before a fork or a pickle.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypedDict

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

from labeler.dataset.manifest import CURE, MANIFEST, SCHEMA_VERSION, ShardLine, parse, read_manifest
from labeler.labels import GraspLabels
from labeler.shard_checks import IMAGES, SIZE, find_fault, open_shard, read_small, shard_error
from sim.errors import InputError
from sim.files import atomic_path, checksum
from sim.view import ViewObject

DEPTH_UNIT = 1e-4  # metres per step of the stored depth
_GRASPS = {"row": np.uint16, "col": np.uint16, "angle_bin": np.uint8, "depth": np.float32, "width": np.float32}
_TRAYS = "trays"  # note of a shard whose scenes have trays of their own
_MOST = 10**6  # images of a scene in a sound description
DAMAGE = (OSError, RuntimeError, LookupError, TypeError, ValueError, MemoryError)  # what h5py raises on broken files


class Frame(TypedDict, total=False):
    """One image with everything that belongs to it.

    Keys: ``rgb`` (H, W, 3) uint8; ``depth``, ``depth_noisy`` (H, W) float32, metres, 0 = missing;
    ``instance_mask`` (H, W) uint8, 0 = background; ``grasps``; ``intrinsics`` (3, 3) float64, pixels;
    ``pose`` (4, 4) float64 T_world_camera, metres; ``objects``; ``scene``, ``view`` numbers; ``tray``, beside
    ``objects``, where scenes have their own. On reading, only the images and objects that were asked for are there.
    """

    rgb: NDArray[np.uint8]
    depth: NDArray[np.float32]
    depth_noisy: NDArray[np.float32]
    instance_mask: NDArray[np.uint8]
    grasps: GraspLabels
    intrinsics: NDArray[np.float64]
    pose: NDArray[np.float64]
    objects: tuple[ViewObject, ...]
    scene: int
    view: int
    tray: Mapping[str, float]


def encode_depth(depth: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Returns depth (metres) as uint16 steps of 0.1 mm; 0 stays 0, the range ends at 6.55 m."""
    steps = np.rint(np.asarray(depth, np.float64) / DEPTH_UNIT)
    return np.where(depth > 0, np.clip(steps, 1, 65535), 0).astype(np.uint16)


def decode_depth(steps: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Returns uint16 steps of 0.1 mm as float32 metres."""
    return steps.astype(np.float32) * np.float32(DEPTH_UNIT)


class ShardWriter:
    """Writes one shard; a context manager: the file appears under its name when all went well."""

    def __init__(self, path: str | Path, canvas: tuple[int, int] | None = None) -> None:
        """Takes where the shard goes.

        Args:
            path: Final name; its folder must exist.
            canvas: Greatest number of rows and of columns, where images are of several sizes.
        """
        self.path, self._canvas = Path(path), canvas
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
            except BaseException:
                self._stack.__exit__(*sys.exc_info())
                raise
        self._stack.__exit__(kind, value, trace)

    def set_note(self, name: str, note: Any) -> None:
        """Stores a JSON-able note as an attribute of the file."""
        self._file.attrs[name] = json.dumps(note)

    def add(self, frame: Frame) -> None:
        """Appends one image.

        Args:
            frame: The image; it holds every key of Frame.
        """
        for name in IMAGES:
            image = encode_depth(frame[name]) if name.startswith("depth") else frame[name]  # type: ignore[literal-required]
            if self._canvas is None:
                self._image_set(name, image.shape)[self._images] = image
            else:
                rows, cols = image.shape[:2]
                self._image_set(name, (*self._canvas, *image.shape[2:]))[self._images, :rows, :cols] = image
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
        objects = frame["objects"]
        values: dict[str, Any] = {f"grasps/{name}": getattr(frame["grasps"], name) for name in _GRASPS}
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
            self.set_note(_TRAYS, self._trays)
        for name, dtype in _GRASPS.items():
            parts = rows.get(f"grasps/{name}", [])
            flat = np.concatenate([np.zeros(0, dtype), *parts]).astype(dtype)
            self._file.create_dataset(f"grasps/{name}", data=flat)
        for group in ("grasps/row", "objects/name"):
            counts = [len(part) for part in rows.get(group, [])]
            self._file[f"{group.split('/')[0]}/offsets"] = np.cumsum([0, *counts]).astype(np.int64)
        names = [name for part in rows.get("objects/name", []) for name in part]
        self._file["objects/name"] = np.array(names, f"S{max([1, *map(len, names)])}")
        for name, dtype, shape in (
            ("objects/scale", np.float64, ()),
            ("objects/mask_value", np.uint8, ()),
            ("objects/pose_world", np.float64, (4, 4)),
            ("objects/box", np.int32, (4,)),
        ):
            values = [value for part in rows.get(name, []) for value in part]
            self._file[name] = np.array(values, dtype).reshape(-1, *shape)
        for name, dtype, shape in (
            ("camera/intrinsics", np.float64, (3, 3)),
            ("camera/pose", np.float64, (4, 4)),
            ("scene", np.int32, ()),
            ("view", np.int32, ()),
            *([(SIZE, np.uint16, (2,))] if SIZE in rows else []),
        ):
            self._file[name] = np.array(rows.get(name, []), dtype).reshape(-1, *shape)


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
                    if trays := self.note(_TRAYS):
                        frame["tray"] = trays[str(frame["scene"])]
                    continue
                rows, cols = self.size(index) if SIZE in self._small else (None, None)
                image = file[key][index, :rows, :cols]
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
        arrays = {name: self.file[f"grasps/{name}"][start:end] for name in _GRASPS}
        return GraspLabels(**arrays, score=np.zeros(end - start, np.float32))

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


class DataSet:
    """A folder of shards as one list of images; cheap to pickle."""

    def __init__(self, folder: str | Path) -> None:
        """Reads dataset.json; raises InputError if the folder holds no finished data set."""
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        lines = self.manifest.shards
        for line in lines:
            if (
                any(scene < 0 or not 0 <= count <= _MOST for scene, count in line.scenes)
                or Path(line.file).name != line.file
            ):
                raise InputError(f"{self.folder / MANIFEST}: the line of {line.file!r:.60} is damaged; {CURE}")
        scenes = [np.repeat(*np.array(line.scenes, np.int64).reshape(-1, 2).T) for line in lines]
        self._readers = [ShardReader(self.folder / line.file) for line in lines]
        self._ends = np.cumsum([len(s) for s in scenes], dtype=np.int64)
        known = "angles" in parse(dict, self.manifest.recipe.get("labels", {}), f"{folder}: recipe.labels")
        self._bins = self.manifest.angles if known else None
        self.scenes: NDArray[np.int64] = np.concatenate([np.zeros(0, np.int64), *scenes])

    def __len__(self) -> int:
        """Number of images."""
        return len(self.scenes)

    @property
    def hash(self) -> str:
        """The recipe's hash."""
        return self.manifest.hash

    def read(self, index: int, keys: Sequence[str] = ("rgb", "depth_noisy")) -> Frame:
        """Returns image ``index`` with the images named in ``keys``; raises InputError if damaged."""
        if not 0 <= index < len(self):
            raise InputError(f"data set {self.folder} holds images 0 ... {len(self) - 1}, not {index}")
        shard = int(np.searchsorted(self._ends, index, side="right"))
        local = index - int(self._ends[shard - 1] if shard else 0)
        frame = self._readers[shard].read(local, keys)
        fault = find_fault(frame, self._bins)
        if fault:
            raise InputError(f"shard {self._readers[shard].path} is damaged at image {local} ({fault}); {CURE}")
        return frame

    def grasp_counts(self) -> NDArray[np.int64]:
        """Returns the number of grasps of each image."""
        return np.concatenate([np.diff(reader.file["grasps/offsets"][...]) for reader in self._readers])

    def splits(self, train: float = 0.8, val: float = 0.1, test: float = 0.1) -> tuple[list[int], list[int], list[int]]:
        """Returns the image indices of three parts; a scene's views stay together.

        A validation or test part whose share is positive gets at least one scene where there are enough.

        Args:
            train: Share of the scenes for training.
            val: Share of the scenes for validation.
            test: Share of the scenes for testing. The three shares add up to at most 1.

        Raises:
            InputError: A share is negative, or they add up to more than 1.
        """
        if min(train, val, test) < 0 or train + val + test > 1 + 1e-9:
            raise InputError(f"shares {train}, {val}, {test} must not be negative nor add up to more than 1")
        scenes = np.random.default_rng(0).permutation(np.unique(self.scenes))
        counts = [max(round(share * len(scenes)), int(share > 0)) for share in (val, test)]
        first = max(len(scenes) - sum(counts), 0) if train + val + test > 1 - 1e-9 else round(train * len(scenes))
        cuts = np.cumsum([first, *counts])
        parts = (scenes[: cuts[0]], scenes[cuts[0] : cuts[1]], scenes[cuts[1] : cuts[2]])
        result = [np.flatnonzero(np.isin(self.scenes, part)).tolist() for part in parts]
        return result[0], result[1], result[2]

    def verify_checksums(self) -> list[str]:
        """Returns the names of the shards whose bytes are not those that were written."""
        return [
            line.file
            for line in self.manifest.shards
            if not (path := self.folder / line.file).is_file() or checksum(path) != line.sha256
        ]
