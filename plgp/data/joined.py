"""Several data sets as one: simulated beside real, objects of one kind beside those of another."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labeler.shards.data_set import DataSet
from labeler.shards.frame import Frame
from plgp.data.input_format import InputFormat
from plgp.data.trained_view import TrainedView
from sim.errors import InputError


class JoinedDataSets:
    """The images of several data sets in a row; cheap to pickle. The first one's manifest stands for all.

    Attributes:
        parts: The data sets.
    """

    def __init__(self, parts: Sequence[DataSet]) -> None:
        """Takes the data sets; raises InputError if their labels are not for one gripper and one number of angles."""
        self.parts = list(parts)
        self.manifest, self.folder = self.parts[0].manifest, self.parts[0].folder
        first = TrainedView.of_data_set(self.manifest, InputFormat())
        for other in self.parts[1:]:
            differs = first.differences(TrainedView.of_data_set(other.manifest, InputFormat()))
            if differs:
                raise InputError(
                    f"data.also: the labels of {other.folder} are not those of {self.folder} "
                    f"({'; '.join(differs[:3])}); generate them for one gripper and one number of angles"
                )
        self._ends = np.cumsum([len(part) for part in self.parts])
        for one, other in combinations(self.parts, 2):
            if _same_images(one, other):
                warnings.warn(
                    f"data.also: {one.folder} and {other.folder} hold the same images, which count once for each time "
                    "that they are named; name a data set once",
                    stacklevel=2,
                )
            elif _same_scenes(one, other):
                warnings.warn(
                    f"data.also: {one.folder} and {other.folder} hold the same heaps (one seed, objects and tray) but "
                    f"other numbers of scenes, so validation and test of one lie in the training of the other; "
                    f"generate one of them with another seed=",
                    stacklevel=2,
                )

    @property
    def name(self) -> str:
        """The data sets' names, with + between: what a checkpoint says that it was trained on."""
        return "+".join(part.manifest.name for part in self.parts)

    def __len__(self) -> int:
        """Number of images."""
        return int(self._ends[-1])

    def read(self, index: int, keys: Sequence[str] = ("rgb", "depth_noisy")) -> Frame:
        """Returns image ``index`` with the images named in ``keys``; raises InputError if damaged."""
        part, local = self._find(index)
        return self.parts[part].read(local, keys)

    def grasp_counts(self) -> NDArray[np.int64]:
        """Returns the number of grasps of each image."""
        return np.concatenate([part.grasp_counts() for part in self.parts])

    def splits(self, *shares: float) -> tuple[list[int], list[int], list[int]]:
        """Returns the image indices of three parts: every data set is split by itself; see ``DataSet.splits``."""
        result: Any = ([], [], [])
        for part, end in zip(self.parts, self._ends, strict=True):
            first = int(end) - len(part)
            for indices, found in zip(result, part.splits(*shares), strict=True):
                indices += [first + i for i in found]
        return result[0], result[1], result[2]

    def part_of(self, index: int) -> int:
        """Returns the number of the data set that an image is of."""
        return self._find(index)[0]

    def _find(self, index: int) -> tuple[int, int]:
        if not 0 <= index < len(self):
            raise InputError(f"the data sets hold images 0 ... {len(self) - 1}, not {index}")
        part = int(np.searchsorted(self._ends, index, side="right"))
        return part, index - int(self._ends[part - 1] if part else 0)


def first_images(source: DataSet | JoinedDataSets, indices: Sequence[int], count: int | None) -> list[int]:
    """Returns the first of some images, of joined data sets the first of each by its share, but one at least.

    Args:
        source: The data set, or the joined ones.
        indices: Images of it, the data sets one after another.
        count: Greatest number of images; None takes all.
    """
    if count is None or count >= len(indices) or isinstance(source, DataSet):
        return list(indices[:count])
    by_part = [[i for i in indices if source.part_of(i) == part] for part in range(len(source.parts))]
    some = sorted((images for images in by_part if images), key=len)
    taken, left, whole = [], count, len(indices)
    for images in some:  # the smallest first: it gets one at least, as long as there are any
        few = min(left, max(1, round(left * len(images) / whole)))
        taken += images[:few]
        left, whole = left - few, whole - len(images)
    return sorted(taken)


def _same_images(one: DataSet, other: DataSet) -> bool:
    """Returns whether two data sets are one: the same folder, however it is named, or a copy of it."""
    if one.folder.resolve() == other.folder.resolve():
        return True
    ours, theirs = one.manifest, other.manifest
    if ours.hash != theirs.hash or len(one) != len(other):
        return False
    files = [[line.sha256 for line in manifest.shards] for manifest in (ours, theirs)]
    generated = ours.imported is None and theirs.imported is None  # where the recipe decides every image
    return generated or (files[0] == files[1] and all(files[0]))


def _same_scenes(one: DataSet, other: DataSet) -> bool:
    """Returns whether two data sets were made of the same heaps, which their splits part differently."""
    ours, theirs = one.manifest.recipe, other.manifest.recipe
    drawn = ("seed", "objects", "scene", "object_counts", "world")
    same = "imported" not in ours and all(ours.get(name) == theirs.get(name) for name in drawn)
    return same and len(np.unique(one.scenes)) != len(np.unique(other.scenes))
