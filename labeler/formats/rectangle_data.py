"""Cornell's and Jacquard's files, or ones in their formats, as a data set of shards: rectangles become labels.

A rectangle is the image of a grasp: its centre becomes the label's pixel, its angle the nearest bin, and its opening
the width in metres at the depth of that pixel. How deep the grasp goes, it does not say.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labeler.dataset.manifest import SCHEMA_VERSION, Counts, Import, Manifest
from labeler.formats.authors_data import (
    SCENES_PER_SHARD,
    begin_import,
    import_shards,
    refuse_empty,
    size_of,
    write_import,
)
from labeler.formats.rectangles import FORMATS, SCENES_FILE, GraspRectangles, parse_cornell, parse_jacquard
from labeler.labels import GraspLabels
from labeler.shards.frame import Frame
from labeler.shards.writer import ShardWriter
from sim.errors import InputError
from sim.grasp import angle_to_bin
from sim.gripper import GripperGeometry

_BINS = 18
_MARGIN_PX = 3  # of the mask around a label where the files have none: as far as an enhancement reaches
_ENDS = {"cornell": "cpos.txt", "jacquard": "_grasps.txt"}
_COLOUR = {"cornell": "r.png", "jacquard": "_RGB.png"}
_CLEAN = {"cornell": "d.tiff", "jacquard": "_perfect_depth.tiff"}
_NOISY = {"cornell": "d.tiff", "jacquard": "_stereo_depth.tiff"}
_MASK = {"cornell": "m.png", "jacquard": "_mask.png"}


@dataclass(frozen=True, kw_only=True)
class RectangleSource:
    """Where rectangles lie and what their camera was.

    Attributes:
        folder: Folder with the files in it, at any depth.
        format: Name of the format, "cornell" or "jacquard".
        focal: Focal length of the camera at the size of the images, pixels; no file says it.
    """

    folder: Path
    format: str
    focal: float

    def __post_init__(self) -> None:
        """Checks the values; raises InputError."""
        if self.format not in FORMATS:
            raise InputError(f"`import-rectangles`: format is '{self.format}'; give {' or '.join(FORMATS)}")
        if not 0 < self.focal < 1e6:
            raise InputError(f"`import-rectangles`: focal is {self.focal}; give the camera's focal length in pixels")

    def scenes(self) -> list[list[Path]]:
        """Returns the label files of each scene.

        A scene of Jacquard's is a folder. One of Cornell's is a single image, unless a ``scenes.csv``, which
        `export-rectangles` writes, names each image's scene.

        Raises:
            InputError: The folder does not exist, or holds none; or ``scenes.csv`` is damaged.
        """
        if not self.folder.is_dir():
            raise InputError(f"{self.folder} is no folder; give the one that holds the rectangles")
        end = _ENDS[self.format]
        files = sorted(p for p in self.folder.rglob(f"*{end}") if p.is_file())
        if not files:
            raise InputError(f"{self.folder} holds no *{end}; give another folder, or the other format=")
        named = _named_scenes(self.folder / SCENES_FILE) if self.format == "cornell" else {}
        scenes: dict[Path | str, list[Path]] = {}
        for file in files:
            stem = file.relative_to(self.folder).as_posix().removesuffix(end)
            scenes.setdefault(named.get(stem, file) if self.format == "cornell" else file.parent, []).append(file)
        return list(scenes.values())


def _named_scenes(path: Path) -> dict[str, str]:
    """Returns the scenes of images by their stems below the folder; none where there is no such file."""
    if not path.is_file():
        return {}
    try:
        with path.open(newline="") as file:
            return {row["image"]: row["scene"] for row in csv.DictReader(file)}
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise InputError(f"{path} has no columns image,scene; export again, or delete it") from error


def import_rectangles(source: RectangleSource, folder: str | Path, *, progress: bool = False) -> list[str]:
    """Writes a data set of shards from rectangles.

    What the files do not hold gets a default: a camera at the world's origin with its principal point in the middle, no
    objects, a depth of 0 of every grasp, and where there is no mask the value 1 within 3 px of a label.
    ``dataset.json`` says so under "imported". An interrupted import goes on where it stopped.

    Args:
        source: The files.
        folder: Folder that the shards go into; made if it does not exist.
        progress: Whether to show a progress bar.

    Returns:
        One sentence for each image that was skipped, naming file and reason.

    Raises:
        InputError: There is nothing to import, no image of it is whole, or ``folder`` holds other data.
    """
    folder, scenes = Path(folder), source.scenes()
    first = _first_depth(source, scenes)
    recipe = _recipe(source, scenes, first)
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
    begin_import(folder, recipe, digest)
    write = partial(_write_shard, source=source, shape=first.shape)
    shards = import_shards(folder, scenes, SCENES_PER_SHARD, what="scenes", write=write, progress=progress)
    skipped = tuple(view for shard in shards for view in shard.skipped)
    filled = {sentence for shard in shards for sentence in shard.defaults}
    if source.format == "cornell" and not (source.folder / SCENES_FILE).is_file():
        filled.add("scenes: every image is one, so splits may part views of one object")
    imported = Import(
        source=f"rectangles in {source.format.title()}'s format",
        defaults=tuple(sorted(filled)),
        skipped=skipped,
    )
    lines, sentences = tuple(shard.line for shard in shards), [f"{s.view}: {s.reason}" for s in skipped]
    refuse_empty(folder, lines, sentences)
    name = source.folder.resolve().name
    about: dict[str, Any] = {"counts": Counts.of(lines), "imported": imported, "shards": lines}
    write_import(folder, Manifest(name=name, hash=digest, recipe=recipe, seed=0, **about))
    return sentences


def _first_depth(source: RectangleSource, scenes: Sequence[Sequence[Path]]) -> NDArray[np.float32]:
    """Returns the first depth image that can be read: all others must have its size. Raises InputError."""
    reason = ""
    for labels in (file for scene in scenes for file in scene):
        try:
            depth = _read_depth(_beside(labels, source, _CLEAN))
            if (depth > 0).any():
                return depth
            reason = reason or f"{_beside(labels, source, _CLEAN)} is empty"
        except InputError as error:
            reason = reason or str(error)
    raise InputError(f"no image in {source.folder} could be read; the first: {reason}")


def _recipe(source: RectangleSource, scenes: Sequence[Sequence[Path]], depth: NDArray[np.float32]) -> dict[str, Any]:
    """Returns what shapes the import, with the keys of a generated data set's recipe where they have a meaning."""
    names = hashlib.sha256()
    for file in (f for scene in scenes for f in scene):
        sizes = [size_of(_beside(file, source, end)) for end in (_CLEAN, _NOISY, _COLOUR, _MASK)]
        names.update(f"{file.relative_to(source.folder)} {sizes}\n".encode())
        names.update(file.read_bytes())
    height, width = depth.shape
    return {
        "imported": "rectangles",
        "format": source.format,
        "source_sha256": names.hexdigest(),
        "schema_version": SCHEMA_VERSION,
        "camera": {"width": width, "height": height, "intrinsics": _intrinsics(depth.shape, source.focal).tolist()},
        "camera_height": round(float(np.median(depth[depth > 0])), 3),
        "max_offset": 0.0,
        "gripper": asdict(GripperGeometry()),
        "labels": {"angles": _BINS},
        "depth_noise": None,
        "objects": {"name": "imported", "count": 0, "sha256": ""},
        "scenes": len(scenes),
        "seed": 0,
    }


def _write_shard(
    path: Path, scenes: Sequence[Sequence[Path]], first: int, *, source: RectangleSource, shape: tuple[int, ...]
) -> None:
    """Writes one shard; what could not be read, and what was filled in, become its notes."""
    skipped: list[dict[str, str]] = []
    defaults = {"camera: principal point in the middle, pose = identity", "depth of grasps: 0", "objects: none"}
    with ShardWriter(path) as writer:
        for number, scene in enumerate(scenes, first):
            for view, labels in enumerate(scene):
                try:
                    frame, filled = read_image(labels, source)
                    if frame["depth"].shape != shape:
                        raise InputError(f"it is {frame['depth'].shape}, the first image {shape}")
                except InputError as error:
                    skipped.append({"view": labels.relative_to(source.folder).as_posix(), "reason": str(error)})
                    continue
                frame["scene"], frame["view"] = number, view
                defaults |= set(filled)
                writer.add(frame)
        writer.set_note("skipped", skipped)
        writer.set_note("defaults", sorted(defaults))


def read_image(labels: Path, source: RectangleSource) -> tuple[Frame, list[str]]:
    """Reads one image with its rectangles.

    Args:
        labels: File of the rectangles.
        source: What it belongs to.

    Returns:
        The frame without ``scene`` and ``view``, and a sentence for each thing that was filled in or left out.

    Raises:
        InputError: A file is missing or damaged, or the images are not of one size.
    """
    parse = parse_cornell if source.format == "cornell" else parse_jacquard
    try:
        text = labels.read_text()
    except (OSError, ValueError) as error:
        raise InputError(f"{labels} cannot be read ({error})") from error
    depth, told = _read_depth(_beside(labels, source, _CLEAN)), []
    grasps, left_out = labels_of(parse(text), depth, focal=source.focal)
    told += [f"grasps left out {why}" for why, count in left_out.items() if count]
    noisy = _beside(labels, source, _NOISY)
    if source.format == "jacquard" and not noisy.is_file():
        told.append("depth_noisy: the depth where there is no stereo depth")
        noisy = _beside(labels, source, _CLEAN)
    rgb = _read(_beside(labels, source, _COLOUR), "RGB").astype(np.uint8)
    mask_file = _beside(labels, source, _MASK)
    mask = np.zeros(depth.shape, np.uint8)
    if mask_file.is_file():
        mask = (_read(mask_file, "L") > 0).astype(np.uint8)
    else:
        told.append(f"instance_mask: 1 within {_MARGIN_PX} px of a label, 0 elsewhere")
    frame: Frame = {"rgb": rgb, "depth": depth, "depth_noisy": _read_depth(noisy), "instance_mask": mask}
    if len({image.shape[:2] for image in (rgb, depth, frame["depth_noisy"], mask)}) > 1:
        raise InputError(f"{labels}: its images are not of one size")
    frame["instance_mask"] = _with_labels(mask, grasps)
    frame |= {"grasps": grasps, "intrinsics": _intrinsics(depth.shape, source.focal), "pose": np.eye(4), "objects": ()}
    return frame, told


def labels_of(
    rectangles: GraspRectangles, depth: NDArray[np.float32], *, focal: float
) -> tuple[GraspLabels, dict[str, int]]:
    """Returns rectangles as labels, each pixel and angle once; of several the widest stays.

    Args:
        rectangles: N rectangles of one image.
        depth: (H, W) float32, metres, 0 = missing.
        focal: Focal length, pixels.

    Returns:
        The labels, ordered by pixel and angle, and how many were left out by reason.
    """
    row, col = np.rint(rectangles.y), np.rint(rectangles.x)
    finite = np.isfinite([row, col, rectangles.angle, rectangles.opening]).all(axis=0)
    inside = finite & (row >= 0) & (row < depth.shape[0]) & (col >= 0) & (col < depth.shape[1])
    row, col = (np.where(inside, v, 0).astype(np.int64) for v in (row, col))
    surface = depth[row, col]
    width = np.where(inside, rectangles.opening, 0) * surface / focal
    seen, fits = surface > 0, width <= GripperGeometry().max_opening
    left_out = {
        "outside the image": int((~inside).sum()),
        "on a pixel without depth": int((inside & ~seen).sum()),
        "wider than the gripper opens": int((inside & seen & ~fits).sum()),
    }
    kept = np.flatnonzero(inside & seen & fits)
    angle_bin = angle_to_bin(np.where(finite, rectangles.angle, 0.0)[kept], _BINS)
    order = np.lexsort((-width[kept], angle_bin, col[kept], row[kept]))
    cells = np.stack([row[kept], col[kept], angle_bin])[:, order]
    chosen = order[np.sort(np.unique(cells, axis=1, return_index=True)[1])]
    index, zeros = kept[chosen], np.zeros(len(chosen), np.float32)
    place = row[index].astype(np.uint16), col[index].astype(np.uint16), angle_bin[chosen].astype(np.uint8)
    return GraspLabels(*place, zeros, width[index].astype(np.float32), zeros), left_out


def _with_labels(mask: NDArray[np.uint8], labels: GraspLabels) -> NDArray[np.uint8]:
    """Returns the mask with 1 near the labels where it is empty, and on a label's own pixel everywhere."""
    from scipy.ndimage import maximum_filter

    places = np.zeros_like(mask)
    places[labels.row, labels.col] = 1
    return np.maximum(mask, places) if mask.any() else maximum_filter(places, 2 * _MARGIN_PX + 1)


def _beside(labels: Path, source: RectangleSource, ends: dict[str, str]) -> Path:
    """Returns the file of the same image with another ending."""
    return labels.with_name(labels.name.removesuffix(_ENDS[source.format]) + ends[source.format])


def _intrinsics(shape: tuple[int, ...], focal: float) -> NDArray[np.float64]:
    return np.array([[focal, 0, (shape[1] - 1) / 2], [0, focal, (shape[0] - 1) / 2], [0, 0, 1]])


def _read_depth(path: Path) -> NDArray[np.float32]:
    """Returns a depth image in metres; what is not finite or negative is missing."""
    depth = _read(path, None)
    if depth.ndim != 2 or not np.issubdtype(depth.dtype, np.floating):
        raise InputError(f"{path} is no depth image of floating metres")
    return np.where(np.isfinite(depth) & (depth > 0), depth, 0).astype(np.float32)


def _read(path: Path, mode: str | None) -> NDArray[Any]:
    from PIL import Image

    try:
        with Image.open(path) as image:
            return np.array(image if mode is None else image.convert(mode))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} cannot be read ({error})") from error
