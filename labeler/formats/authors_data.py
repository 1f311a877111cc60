"""The authors' data as a data set of shards; ``labeler.formats.authors_files`` reads their files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from labeler.dataset.manifest import (
    MANIFEST,
    MANIFEST_LOCK,
    SCHEMA_VERSION,
    STAKE,
    Counts,
    Import,
    Manifest,
    ShardLine,
    SkippedView,
    find_hash,
    parse,
    read_manifest,
    stake,
    write_manifest,
)
from labeler.dataset.staging import clear_parts
from labeler.formats.authors_files import ANGLES, VIEW_NAME, ViewFiles, find_views, read_view
from labeler.shards.reader import ShardReader
from labeler.shards.writer import ShardWriter
from sim.camera import PinholeCamera
from sim.cli.progress import followed
from sim.depth_noise import DepthNoise
from sim.errors import InputError
from sim.files import locked, unwritable, write_error
from sim.gripper import GripperGeometry

Item = TypeVar("Item")
SCENES_PER_SHARD = 100


def import_plgp(
    source: str | Path, folder: str | Path, noise: DepthNoise | None = None, *, seed: int = 0, progress: bool = False
) -> list[str]:
    """Writes a data set of shards from the authors' files.

    Views whose names differ in the last number only share a scene, so that they stay in one split. What
    the files do not hold gets a default: intrinsics of eq. (1), a camera at the world's origin, no objects,
    and as mask the value 1 within 3 px of a label, which lets the enhancement reach every neighbour, as the
    paper's does. ``dataset.json`` says so under "imported". An interrupted import goes on where it stopped.

    Args:
        source: Folder with raw folders or packed files in it, at any depth.
        folder: Folder that the shards go into; made if it does not exist.
        noise: Noise of ``depth_noisy`` (the authors store clean depth and add noise in training); None copies it.
        seed: Seed of the noise; image i of scene s draws from ``default_rng([seed, s, i])``.
        progress: Whether to show a progress bar.

    Returns:
        One sentence for each view that was skipped, naming file and reason.

    Raises:
        InputError: There is nothing to import, no view of it is whole, or ``folder`` holds other data.
    """
    source, folder = Path(source), Path(folder)
    scenes = _group(find_views(source))
    recipe = _recipe(source, scenes, noise, seed)
    digest = hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()
    begin_import(folder, recipe, digest)
    write = partial(_write_shard, noise=noise, seed=seed)
    shards = import_shards(folder, scenes, SCENES_PER_SHARD, what="scenes", write=write, progress=progress)
    lines, skipped = tuple(shard.line for shard in shards), tuple(view for shard in shards for view in shard.skipped)
    sentences = [f"{s.view}: {s.reason}" for s in skipped]
    refuse_empty(folder, lines, sentences)
    imported = Import(
        source="PLGP-Dataset, files of github.com/dexin-wang/ODG-Generation",
        objects_per_image=tuple(sorted({int(m[1]) for s in scenes if (m := VIEW_NAME.fullmatch(s[0].name))})),
        defaults=tuple(sorted({sentence for shard in shards for sentence in shard.defaults})),
        skipped=skipped,
    )
    manifest = Manifest(
        name=source.resolve().name,
        hash=digest,
        recipe=recipe,
        seed=seed,
        counts=Counts.of(lines),
        imported=imported,
        shards=lines,
    )
    write_import(folder, manifest)
    return sentences


def _group(views: Sequence[ViewFiles]) -> list[list[ViewFiles]]:
    """Returns the views of each scene: names that agree but for the last number, in one folder."""
    scenes: dict[tuple[str, str], list[ViewFiles]] = {}
    for view in views:
        # A raw view is a folder of its own: its scene's views lie side by side one folder above.
        above = view.labels.parent if view.mask is None else view.labels.parent.parent
        scene = view.name.rpartition("_")[0] if VIEW_NAME.fullmatch(view.name) else view.name
        scenes.setdefault((str(above), scene), []).append(view)
    return list(scenes.values())


def _recipe(source: Path, scenes: list[list[ViewFiles]], noise: DepthNoise | None, seed: int) -> dict[str, Any]:
    """Returns what shapes the import, with the keys of a generated data set's recipe where they have a meaning."""
    names = hashlib.sha256()
    for view in (v for scene in scenes for v in scene):
        files = (view.labels, view.rgb, view.depth, view.mask, view.camera, view.poses)
        names.update(f"{view.labels.relative_to(source)} {[size_of(file) for file in files if file]}\n".encode())
    camera = PinholeCamera.from_fov()
    return {
        "imported": "plgp",
        "source_sha256": names.hexdigest(),
        "schema_version": SCHEMA_VERSION,
        "camera": {"width": camera.width, "height": camera.height, "intrinsics": camera.intrinsics.tolist()},
        "gripper": asdict(GripperGeometry()),
        "labels": {"angles": ANGLES},
        "depth_noise": None if noise is None else asdict(noise),
        "objects": {"name": "imported", "count": 0, "sha256": ""},
        "scenes": len(scenes),
        "seed": seed,
    }


def size_of(file: Path) -> int:
    """Returns a file's bytes, -1 of one that is missing: an import of other files is another import."""
    return file.stat().st_size if file.is_file() else -1


def begin_import(folder: Path, recipe: dict[str, Any], digest: str) -> None:
    """Makes the folder; raises InputError if it holds anything but the beginnings of the same import."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(folder, error, cure="choose another folder") from error
    found = find_hash(folder, STAKE)
    if found is None and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty; choose another folder for the imported data set")
    if found not in (None, digest):
        raise InputError(f"{folder} holds another data set; choose another folder, or delete it")
    clear_parts(folder)
    with room_in(folder):
        stake(folder, digest, recipe)


@contextmanager
def room_in(folder: Path) -> Iterator[None]:
    """Turns a full disk, whatever HDF5 and others make of it, into one sentence: an InputError."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # HDF5's own kinds have no common base
        told = unwritable(error, place=str(folder))
        if told is None:
            raise
        raise InputError(told) from error


def refuse_empty(folder: Path, lines: Sequence[ShardLine], sentences: Sequence[str]) -> None:
    """Raises InputError if no shard of an import holds an image, and removes them: the next import starts afresh.

    Args:
        folder: Folder of the data set.
        lines: What the shards say of themselves.
        sentences: Why each image was skipped.
    """
    if any(line.images for line in lines):
        return
    for line in lines:
        (folder / line.file).unlink()
    raise InputError(f"none of the {len(sentences)} images could be used; the first: {sentences[0]}")


def write_import(folder: Path, manifest: Manifest) -> None:
    """Writes ``dataset.json``; what was measured of the same shards before stays in it."""
    again = find_hash(folder, MANIFEST) == manifest.hash
    with room_in(folder), locked(folder / MANIFEST_LOCK) if again else nullcontext():
        former = read_manifest(folder) if again else manifest
        if former.shards == manifest.shards:
            manifest = replace(manifest, truth=former.truth, recall=former.recall)
        write_manifest(folder, manifest)


def import_shards(
    folder: Path,
    items: Sequence[Item],
    size: int,
    *,
    what: str,
    write: Callable[[Path, Sequence[Item], int], None],
    progress: bool,
) -> list[ImportedShard]:
    """Writes those shards of an import that are not there yet; returns what all say of themselves, in order.

    Args:
        folder: Folder of the data set.
        items: What is imported.
        size: Number of items in a shard.
        what: What the items are, in the plural.
        write: Function of a shard's path, its items, and the number of the first of them.
        progress: Whether to show a progress bar.
    """
    shards, starts = list[ImportedShard](), range(0, len(items), size)
    shown = followed(starts, f"shards of {size} {what}", len(starts), quiet=not progress)
    for number, start in enumerate(shown):
        path = folder / f"shard-{number:05d}.h5"
        if not path.is_file():
            with room_in(folder):
                write(path, items[start : start + size], start)
        shards.append(read_notes(path))
    return shards


def _write_shard(
    path: Path, scenes: Sequence[Sequence[ViewFiles]], first: int, *, noise: DepthNoise | None, seed: int
) -> None:
    """Writes one shard; what could not be read, and what was filled in, become its notes."""
    skipped: list[dict[str, str]] = []
    defaults: set[str] = set()
    with ShardWriter(path) as writer:
        for scene, views in enumerate(scenes, first):
            for number, view in enumerate(views):
                try:
                    frame, filled = read_view(view)
                except InputError as error:
                    skipped.append({"view": view.name, "reason": str(error)})
                    continue
                defaults |= set(filled)
                match = VIEW_NAME.fullmatch(view.name)
                frame["scene"], frame["view"] = scene, int(match[4]) if match else number
                frame["depth_noisy"] = frame["depth"]
                if noise is not None:
                    frame["depth_noisy"] = noise(frame["depth"], np.random.default_rng([seed, scene, number]))
                writer.add(frame)
        writer.set_note("skipped", skipped)
        writer.set_note("defaults", sorted(defaults))


class ImportedShard(NamedTuple):
    """What a written shard says of itself: its line of dataset.json, and its notes."""

    line: ShardLine
    skipped: tuple[SkippedView, ...]
    defaults: tuple[str, ...]


def read_notes(path: Path) -> ImportedShard:
    """Returns what a written shard of an import says of itself; raises InputError if it is damaged."""
    reader = ShardReader(path)
    skipped = parse(tuple[SkippedView, ...], reader.note("skipped"), f"{path}: skipped")
    defaults = parse(tuple[str, ...], reader.note("defaults"), f"{path}: defaults")
    shard = ImportedShard(reader.describe(), skipped, defaults)
    reader.close()
    return shard
