"""A folder of shards as one data set."""

from __future__ import annotations

import resource
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from labeler.dataset.manifest import CURE, MANIFEST, parse, read_manifest
from labeler.shards.checks import find_fault
from labeler.shards.frame import Frame
from labeler.shards.reader import ShardReader
from sim.errors import InputError
from sim.files import checksum

_MOST = 10**6  # images of a scene in a sound description
_NAMED = 5  # files that a sentence names
_MOST_OPEN = 256  # shards open at a time, some 1 MB each; opening one again costs a fifth of an image's time


class DataSet:
    """A folder of shards as one list of images; cheap to pickle.

    Of many shards only those that were read last stay open, at most a quarter of the files that the process may open.
    """

    def __init__(self, folder: str | Path, *, tell: bool = True) -> None:
        """Reads dataset.json; raises InputError if the folder holds no finished data set.

        Args:
            folder: Folder of the data set.
            tell: Whether a warning says which of the folder's HDF5 files are not read (see ``find_unlisted``).
        """
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
        self._last_read: dict[int, None] = {}  # numbers of open shards, in the order of their last use
        self._ends = np.cumsum([len(s) for s in scenes], dtype=np.int64)
        known = "angles" in parse(dict, self.manifest.recipe.get("labels", {}), f"{folder}: recipe.labels")
        self._bins = self.manifest.angles if known else None
        self.scenes: NDArray[np.int64] = np.concatenate([np.zeros(0, np.int64), *scenes])
        for sentence in self.find_unlisted() if tell else ():
            warnings.warn(f"{self.folder / sentence}", stacklevel=1)  # of one place, so that a command says it once

    def __len__(self) -> int:
        """Number of images."""
        return len(self.scenes)

    @property
    def hash(self) -> str:
        """The recipe's hash."""
        return self.manifest.hash

    def read(self, index: int, keys: Sequence[str] = ("rgb", "depth_noisy")) -> Frame:
        """Returns one image: what ``keys`` name, and grasps, intrinsics, pose, scene and view; see ``Frame``.

        Args:
            index: Number of the image, 0 ... len - 1, over all shards.
            keys: Any of "rgb", "depth", "depth_noisy", "instance_mask", "objects".

        Raises:
            InputError: The shard is damaged, or there is no such image or key.
        """
        if not 0 <= index < len(self):
            raise InputError(f"data set {self.folder} holds images 0 ... {len(self) - 1}, not {index}")
        shard = int(np.searchsorted(self._ends, index, side="right"))
        local = index - int(self._ends[shard - 1] if shard else 0)
        frame = self._reader(shard).read(local, keys)
        fault = find_fault(frame, self._bins)
        if fault:
            raise InputError(f"shard {self._readers[shard].path} is damaged at image {local} ({fault}); {CURE}")
        return frame

    def grasp_counts(self) -> NDArray[np.int64]:
        """Returns the number of grasps of each image."""
        offsets = (self._reader(shard).file["grasps/offsets"][...] for shard in range(len(self._readers)))
        return np.concatenate([np.diff(ends) for ends in offsets])

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

    def _reader(self, shard: int) -> ShardReader:
        """Returns a shard's reader, and closes the one that was not read for longest where too many are open."""
        self._last_read.pop(shard, None)
        self._last_read[shard] = None
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        most = _MOST_OPEN if limit == resource.RLIM_INFINITY else max(1, min(_MOST_OPEN, limit // 4))
        while len(self._last_read) > most:
            oldest = next(iter(self._last_read))
            del self._last_read[oldest]
            self._readers[oldest].close()
        return self._readers[shard]

    def find_unlisted(self) -> list[str]:
        """Returns a sentence for the HDF5 files of the folder that dataset.json does not list; none without such files.

        Nothing of them is read, trained on or sent.
        """
        listed = {line.file for line in self.manifest.shards}
        found = sorted(path.name for path in self.folder.glob("[!.]*.h5") if path.name not in listed)
        if not found:
            return []
        names = ", ".join(found[:_NAMED]) + (f" and {len(found) - _NAMED} more" if len(found) > _NAMED else "")
        be = "is" if len(found) == 1 else "are"
        return [
            f"{names}: {be} not listed in {MANIFEST} and not read; data sets are not merged by their files: keep each "
            "in a folder of its own, and train on both with data.also=[OTHER]"
        ]

    def verify_checksums(self) -> list[str]:
        """Returns the names of the shards whose bytes are not those that were written."""
        return [
            line.file
            for line in self.manifest.shards
            if not (path := self.folder / line.file).is_file() or checksum(path) != line.sha256
        ]
