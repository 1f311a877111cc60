"""Whether a data set is whole: checksums, schema, ranges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from labeler.shards import DataSet, ShardReader
from sim import InputError


def find_problems(folder: str | Path) -> list[str]:
    """Returns one sentence per problem of a data set; none if it is whole.

    Args:
        folder: The data set.

    Raises:
        InputError: The folder holds no finished data set.
    """
    data = DataSet(folder)
    recipe = data.info["recipe"]
    damaged = data.verify_checksums()
    problems = [f"{name}: its bytes are not those that were written" for name in damaged]
    for line in data.info["shards"]:
        reader = ShardReader(data.folder / line["file"])
        try:
            problems += [f"{line['file']}: {problem}" for problem in _shard_problems(reader, line, recipe)]
        except InputError as error:
            problems.append(str(error))
        finally:
            reader.close()
    return problems


def _shard_problems(reader: ShardReader, line: dict[str, Any], recipe: dict[str, Any]) -> list[str]:
    problems = []
    if len(reader) != line["images"]:
        problems.append(f"holds {len(reader)} images, dataset.json says {line['images']}")
    opening, length = recipe["gripper"]["max_opening"], recipe["gripper"]["finger_length"]
    for index in range(len(reader)):
        frame = reader.read(index, ("rgb", "depth", "depth_noisy", "instance_mask", "objects"))
        grasps, mask = frame["grasps"], frame["instance_mask"]
        if not len(grasps):
            continue
        if grasps.row.max() >= mask.shape[0] or grasps.col.max() >= mask.shape[1]:
            problems.append(f"image {index}: a grasp lies outside the image")
        elif (mask[grasps.row, grasps.col] == 0).any():
            problems.append(f"image {index}: a grasp lies on the background")
        if grasps.angle_bin.max() >= recipe["labels"]["angles"]:
            problems.append(f"image {index}: an angle bin is out of range")
        for name, values, limit in (("width", grasps.width, opening), ("depth", grasps.depth, length)):
            if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= limit + 1e-6):
                problems.append(f"image {index}: a grasp's {name} is out of range")
    return problems
