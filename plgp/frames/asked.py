"""Which frames a command line asks for: files, patterns, or one folder that holds everything."""

from __future__ import annotations

import csv
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig

from plgp.policy.camera_files.pairing import find_files, pair, partners_by_name
from sim.errors import InputError

MANIFEST = "manifest.csv"
_COLUMNS = ("depth", "rgb", "intrinsics", "mask", "depth_scale")


class Frame(NamedTuple):
    """Files of one frame.

    Attributes:
        name: Name of its results.
        depth: The depth image.
        rgb: The colour image; None where there is none.
        intrinsics: The intrinsics, or their file; None takes the command's.
        region: Where grasps may lie, or its file; None takes the command's.
        depth_scale: Metres of one unit of the depth; None takes the command's.
    """

    name: str
    depth: Path
    rgb: Path | None = None
    intrinsics: Path | None = None
    region: Path | None = None
    depth_scale: float | None = None


def frames_asked(config: DictConfig) -> list[Frame]:
    """Returns every frame that a configuration of conf/predict.yaml asks for.

    Raises:
        InputError: There is none, or files do not pair.
    """
    if config.folder is not None:
        if config.depth is not None:
            raise InputError("both a folder and depth= are given; give the folder alone, or depth=, rgb= and so on")
        return _frames_in(Path(config.folder), config)
    depths = find_files(config.depth, "depth")
    if not depths:
        raise InputError("depth is missing; give depth=FILE, a folder or a pattern")
    asked = {"rgb": config.rgb, "intrinsics": _several(config.intrinsics), "workspace": _several(config.region)}
    paired = [pair(depths, find_files(text, name), name) for name, text in asked.items()]
    return _joined(depths, *paired)


def _several(text: str | None) -> str | None:
    """Returns a setting that is a folder or a pattern of files, one an image; None for numbers and a single file."""
    return text if text is not None and (os.path.isdir(text) or re.search(r"[*?]", text)) else None


def _names(depths: Sequence[Path]) -> list[str]:
    """Returns names of results, no two alike."""
    names = [p.stem for p in depths]
    return names if len(set(names)) == len(names) else [f"{i:04d}-{name}" for i, name in enumerate(names)]


def _joined(
    depths: Sequence[Path],
    rgb: Sequence[Path | None],
    intrinsics: Sequence[Path | None],
    regions: Sequence[Path | None],
) -> list[Frame]:
    """Returns frames of as many files of each kind."""
    every = zip(_names(depths), depths, rgb, intrinsics, regions, strict=True)
    return [Frame(name, *files) for name, *files in every]  # type: ignore[arg-type]


def _frames_in(folder: Path, config: DictConfig) -> list[Frame]:
    """Returns the frames of a folder that holds everything: by its manifest, or by its files' names."""
    if not folder.is_dir():
        raise InputError(f"there is no folder '{folder}'; give a folder of frames, or depth=FILE and intrinsics=FILE")
    if (folder / MANIFEST).is_file():
        return _with_given(_by_manifest(folder / MANIFEST), config)
    depths = find_files(str(_part(folder, "depth")), "depth")
    partners = {
        name: [None] * len(depths) if given is not None else partners_by_name(depths, _part(folder, name), name)
        for name, given in (("rgb", config.rgb), ("intrinsics", config.intrinsics), ("workspace", config.region))
    }
    return _with_given(_joined(depths, partners["rgb"], partners["intrinsics"], partners["workspace"]), config)


def _with_given(frames: list[Frame], config: DictConfig) -> list[Frame]:
    """Returns a folder's frames with the files that are given beside the folder, which come first.

    Numbers and a single file are the command's, and so left out of the frames, but for colours.
    """
    depths = [frame.depth for frame in frames]
    asked = {"rgb": config.rgb, "intrinsics": config.intrinsics, "workspace": config.region}
    for name, given in asked.items():
        if given is None:
            continue
        field = "region" if name == "workspace" else name
        if any(getattr(frame, field) is not None for frame in frames):
            print(f"{name}={given} counts for every frame, whatever {MANIFEST} says", file=sys.stderr)
        files: list[Path | None] = [Path(given) if name == "rgb" else None] * len(depths)
        if (several := _several(given)) is not None:
            files = list(pair(depths, find_files(several, name), name))
        changes: list[dict[str, Any]] = [{field: file} for file in files]
        frames = [frame._replace(**change) for frame, change in zip(frames, changes, strict=True)]
    return frames


_FOLDERS = {
    "depth": ("depth", "depths"),
    "rgb": ("rgb", "color", "colour", "colors", "colours", "image"),
    "intrinsics": ("intrinsics", "camera", "meta"),
    "workspace": ("mask", "masks", "label", "workspace"),
}


def _part(folder: Path, name: str) -> Path:
    """Returns a folder's own folder of one kind of files, or the folder itself."""
    return next((folder / word for word in _FOLDERS[name] if (folder / word).is_dir()), folder)


def _by_manifest(path: Path) -> list[Frame]:
    """Returns the frames of a table with a line a frame: depth, rgb, intrinsics, mask (files), depth_scale."""
    with path.open(newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    if not rows or not rows[0].get("depth"):
        raise InputError(f"'{path}' has no column depth; give a line a frame: {', '.join(_COLUMNS)}")
    depths = [path.parent / row["depth"] for row in rows]
    frames = []
    for name, depth, row in zip(_names(depths), depths, rows, strict=True):
        rgb, intrinsics, mask = (path.parent / row[c] if row.get(c) else None for c in ("rgb", "intrinsics", "mask"))
        try:
            scale = float(row["depth_scale"]) if row.get("depth_scale") else None
        except ValueError:
            raise InputError(f"'{path}': depth_scale '{row['depth_scale']}' is no number; give metres a unit") from None
        frames.append(Frame(name, depth, rgb, intrinsics, mask, scale))
    return frames
