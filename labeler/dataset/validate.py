"""Whether a data set is whole: checksums, schema, ranges."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from labeler.dataset.manifest import Manifest, ShardLine
from labeler.shards.data_set import DataSet
from labeler.shards.frame import IMAGES, Frame
from labeler.shards.reader import DAMAGE, ShardReader
from sim.errors import InputError


def find_problems(folder: str | Path) -> list[str]:
    """Returns one sentence per problem of a data set; none if it is whole and nothing in its folder is left aside.

    Args:
        folder: Folder of the data set.

    Raises:
        InputError: The folder holds no finished data set.
    """
    data = DataSet(folder, tell=False)
    return [*find_damage(data), *data.find_unlisted()]


def find_damage(data: DataSet) -> list[str]:
    """Returns one sentence per problem of the shards that a data set's manifest lists; none if they are whole."""
    damaged = data.verify_checksums()
    problems = [f"{name}: its bytes are not those that were written" for name in damaged]
    for line in data.manifest.shards:
        reader = ShardReader(data.folder / line.file)
        try:
            found = _shard_problems(reader, line) or _frame_problems(reader, data.manifest)
            problems += [f"{line.file}: {problem}" for problem in found]
        except InputError as error:
            problems.append(str(error))
        except DAMAGE as error:
            problems.append(f"{line.file}: is damaged ({error})")
        finally:
            reader.close()
    return problems


def _shard_problems(reader: ShardReader, line: ShardLine) -> list[str]:
    """Returns what is wrong with the shard as a whole."""
    file, images = reader.file, len(reader)
    problems = []
    listed = sum(count for _, count in line.scenes) if line.images is None else line.images
    if images != listed:
        problems.append(f"holds {images} images, dataset.json says {listed}")
    scenes, counts = np.unique(file["scene"][...], return_counts=True)
    if list(zip(scenes.tolist(), counts.tolist(), strict=True)) != list(line.scenes):
        problems.append("holds other scenes than dataset.json says")
    elif (np.diff(file["scene"][...]) < 0).any():
        problems.append("mixes the images of its scenes, so splits part them; import the data set again")
    for name in (*(IMAGES if images else ()), "camera/intrinsics", "camera/pose", "view"):
        if len(file[name]) != images:
            problems.append(f"{name} has {len(file[name])} rows for {images} images")
    for group in ("grasps", "objects"):
        offsets = file[f"{group}/offsets"][...]
        rows = {len(file[group][name]) for name in file[group] if name != "offsets"}
        if len(offsets) != images + 1 or offsets[0] != 0 or (np.diff(offsets) < 0).any() or rows != {offsets[-1]}:
            problems.append(f"{group}/offsets do not fit the {group}")
    return problems


def _frame_problems(reader: ShardReader, manifest: Manifest) -> list[str]:
    problems = []
    for index in range(len(reader)):
        frame = reader.read(index, (*IMAGES, "objects"))
        found = _image_problems(frame) + (_grasp_problems(frame, manifest) if len(frame["grasps"]) else [])
        problems += [f"image {index}: {problem}" for problem in found]
    return problems


def _image_problems(frame: Frame) -> list[str]:
    problems = []
    if len({frame["rgb"].shape[:2], *(frame[name].shape for name in IMAGES if name != "rgb")}) > 1:  # type: ignore[literal-required]
        problems.append("its images are not of one size")
    listed = {0, *(o.mask_value for o in frame["objects"])}
    if len(listed) > 1 and not set(np.unique(frame["instance_mask"])) <= listed:  # imported images may list none
        problems.append("its mask shows an object that is not listed")
    rotations = [pose[:3, :3] for pose in (frame["pose"], *(o.pose_world for o in frame["objects"]))]
    if not all(np.allclose(r @ r.T, np.eye(3), atol=1e-6) for r in rotations):
        problems.append("a pose is no rigid motion")
    return problems


def _grasp_problems(frame: Frame, manifest: Manifest) -> list[str]:
    problems = []
    grasps, mask = frame["grasps"], frame["instance_mask"]
    if grasps.row.max() >= mask.shape[0] or grasps.col.max() >= mask.shape[1]:
        problems.append("a grasp lies outside the image")
    elif (mask[grasps.row, grasps.col] == 0).any():
        problems.append("a grasp lies on the background")
    if grasps.angle_bin.max() >= manifest.angles:
        problems.append("an angle bin is out of range")
    limits = {"width": manifest.gripper.max_opening, "depth": manifest.gripper.finger_length}
    for name, limit in limits.items():
        values = getattr(grasps, name)
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= limit + 1e-6):
            problems.append(f"a grasp's {name} is out of range")
    return problems
