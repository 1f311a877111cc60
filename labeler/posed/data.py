"""Data sets with posed objects as data sets of shards: real pictures and depth, labels of their twin scenes."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from labeler.dataset.manifest import SCHEMA_VERSION, STAKE, Counts, Import, Manifest, find_hash
from labeler.dataset.recipe import describe_objects
from labeler.formats.authors_data import (
    ImportedShard,
    begin_import,
    import_shards,
    refuse_empty,
    room_in,
    size_of,
    write_import,
)
from labeler.posed.check import CheckSettings
from labeler.posed.doubts import pose_doubts
from labeler.posed.export_bop import SIDECAR
from labeler.posed.models import PosedModels, load_posed_models, models_folder
from labeler.posed.twin import TABLE, TwinSettings, make_twin
from labeler.posed.views import PosedView, find_views
from labeler.settings import LabelSettings, check_hand, widest_label
from labeler.shards.data_set import DataSet
from labeler.shards.reader import ShardReader
from labeler.shards.writer import ShardWriter
from sim.errors import InputError
from sim.files import atomic_path, checksum
from sim.gripper import GripperGeometry
from sim.physics import PhysicsSettings

VIEWS_PER_SHARD = 50
TABLE_FILE = "poses.csv"
_COLUMNS = ["view", "object", "pixels", "agree", "mean", "shift", "verdict", "reason", "table", "turn", "turn_error"]
_COLUMNS += ["dropped"]

Found = PosedView | tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class PosedImport:
    """What an import did.

    Attributes:
        skipped: One sentence for each view that was dropped or could not be read.
        poses: A row for each pose: view, object, pixels, agree, mean (m), shift (m), verdict, reason, table, turn
            (degrees), turn_error (degrees), dropped (labels left out because something without a pose stands in the
            way). The last three are missing in shards of an older plgp.
    """

    skipped: list[str]
    poses: pd.DataFrame


def import_posed(
    source: str | Path,
    folder: str | Path,
    *,
    format: str = "bop",
    models: Path | None = None,
    every: int = 1,
    check: CheckSettings | None = None,
    gripper: GripperGeometry | None = None,
    progress: bool = False,
) -> PosedImport:
    """Writes a data set of shards from real pictures whose objects have meshes and poses.

    Args:
        source: Folder of the data set.
        folder: Folder that the shards go into; made if it does not exist.
        format: "bop" or "graspnet".
        models: Folder of the meshes; where left out, ``source/models`` or what BOP's data sets call it.
        every: Takes every so many-th view of a scene.
        check: When a pose is bad; None believes every pose.
        gripper: Hand that the labels are for; default that of the data set that ``source`` was exported from, else the
            paper's.
        progress: Whether to show a progress bar.

    Raises:
        InputError: There is nothing to import, no view is usable, or ``folder`` holds other data.
    """
    source, folder = Path(source), Path(folder)
    if every < 1:
        raise InputError(f"import-posed: every is {every}; give at least 1")
    views = _thinned(list(find_views(source, format)), every)
    meshes = load_posed_models(models or models_folder(source, format), format)
    settings, saved = _settings(source, check, gripper)
    check_hand(settings.labels, settings.gripper)
    recipe, digest = _begin(folder, views, _recipe(views, meshes, settings, format=format, saved=saved))
    canvas = (max(h for _, h in sizes), max(w for w, _ in sizes)) if (sizes := recipe.get("sizes")) else None
    shards, rows = _make_shards(folder, views, meshes, settings=settings, canvas=canvas, progress=progress)
    lines = tuple(shard.line for shard in shards)
    skipped = tuple(view for shard in shards for view in shard.skipped)
    poses = pd.DataFrame(rows, columns=_COLUMNS)
    poses = poses.astype({"turn": float, "turn_error": float, "dropped": "Int64"})
    sentences = [f"{s.view}: {s.reason}" for s in skipped]
    refuse_empty(folder, lines, sentences)
    counts = replace(Counts.of(lines), scenes=len({scene for line in lines for scene, _ in line.scenes}))
    imported = Import(
        source=f"{source.resolve().name}, a data set in the format {format}",
        objects_per_image=tuple(sorted({len(v.models) for v in views if isinstance(v, PosedView)})),
        defaults=tuple(sorted({sentence for shard in shards for sentence in shard.defaults})),
        skipped=skipped,
    )
    about: dict[str, Any] = {
        "name": source.resolve().name,
        "hash": digest,
        "recipe": recipe,
        "objects": meshes.objects.source,
    }
    with room_in(folder), atomic_path(folder / TABLE_FILE) as temporary:
        poses.to_csv(temporary, index=False, float_format="%.5f")
    write_import(folder, Manifest(**about, counts=counts, imported=imported, shards=lines))
    return PosedImport(skipped=sentences, poses=poses)


def _make_shards(
    folder: Path,
    views: Sequence[Found],
    models: PosedModels,
    *,
    settings: TwinSettings,
    canvas: tuple[int, int] | None,
    progress: bool,
) -> tuple[list[ImportedShard], list[list[Any]]]:
    """Writes the shards that are not there yet; returns what all say of themselves, and the rows of their poses."""
    numbers = {place: i for i, place in enumerate(dict.fromkeys(v.place for v in views if isinstance(v, PosedView)))}

    def write(path: Path, some: Sequence[Found], first: int) -> None:
        _write_shard(path, some, numbers, models=models, settings=settings, canvas=canvas)

    shards = import_shards(folder, views, VIEWS_PER_SHARD, what="views", write=write, progress=progress)
    rows, former = list[list[Any]](), False
    for shard in shards:
        reader = ShardReader(folder / shard.line.file)
        told = reader.note("poses")
        former |= any(len(row) < len(_COLUMNS) for row in told)
        rows += [row + [None] * (len(_COLUMNS) - len(row)) for row in told]
        reader.close()
    if former:
        warnings.warn(
            f"{folder} has shards of an older plgp, which kept labels under things without a pose and did not look for "
            "turned poses; to leave these out, delete the folder and import again",
            stacklevel=3,
        )
    return shards, rows


def describe_checks(poses: pd.DataFrame) -> str:
    """Returns the checks of an import as a table: a line for each view, and one for all."""
    if not len(poses):
        return "poses: none was checked"
    bad = poses.verdict == "bad"
    lines = [f"{'view':28} {'poses':>5} {'bad':>4} {'agree':>6} {'mean mm':>8} {'shift mm':>8} {'turn':>5}  table"]
    for view, own in poses.groupby("view", sort=False):
        lines.append(
            f"{view!s:28} {len(own):5d} {int((own.verdict == 'bad').sum()):4d} {own.agree.mean():6.1%} "
            f"{1000 * own['mean'].mean():8.2f} {1000 * own['shift'].max():8.2f} "
            f"{own.turn.max():5.1f}  {own.table.iloc[0]}"
        )
    lines += [f"bad: {row.view} {row.object}: {row.reason}" for row in poses[bad].itertuples()]
    under = poses[poses.dropped > 0]
    lines += [f"in the way: {row.view} {row.object}: {row.dropped:.0f} labels left out" for row in under.itertuples()]
    counts = [
        f"{n} {verdict}" for verdict in ("good", "bad", "unchecked") if (n := int((poses.verdict == verdict).sum()))
    ]
    last = [f"poses: {len(poses)}, {', '.join(counts)}; all in {TABLE_FILE}"]
    if len(under):
        total = f"{under.dropped.sum():.0f} labels left out"
        last.insert(0, f"{total}: the camera saw something without a pose before them, or in the hand's way")
    return "\n".join([*lines, *last])


def describe_hand(source: Path, folder: Path, name: str | None = None) -> str:
    """Returns the sentence on the hand that an import's labels are for.

    Args:
        source: Folder that was imported.
        folder: Folder of the data set.
        name: The hand as it was asked for; None where it was not.
    """
    hand = DataSet(folder).manifest.gripper
    whose = name or ("the exported data set's" if (source / SIDECAR).is_file() else "the paper's")
    cure = "" if name else "; gripper=NAME labels for another"
    return f"hand of the labels: {whose}, which opens {1000 * hand.max_opening:g} mm{cure}"


def _thinned(views: list[Found], every: int) -> list[Found]:
    """Returns every so many-th view of each folder; the sensors' views of one place lie together, as one scene."""
    scenes: dict[str, list[Found]] = {}
    for view in views:
        scenes.setdefault(_scene(view), []).append(view)
    places: dict[str, list[Found]] = {}
    for view in (view for scene in scenes.values() for view in scene[::every]):
        places.setdefault(view.place if isinstance(view, PosedView) else _scene(view), []).append(view)
    return [view for place in places.values() for view in place]


def _scene(view: Found) -> str:
    return view.scene if isinstance(view, PosedView) else view[0].rpartition("/")[0]


def _settings(
    source: Path, check: CheckSettings | None, gripper: GripperGeometry | None
) -> tuple[TwinSettings, dict[str, Any]]:
    """Returns how twins are made, and the recipe of the data set that was exported, where it was one of ours."""
    path = source / SIDECAR
    if not path.is_file():
        hand = gripper or GripperGeometry()
        return TwinSettings(gripper=hand, labels=LabelSettings.for_hand(hand), check=check), {}
    try:
        content = json.loads(path.read_text())
        saved = dict(content["recipe"])
        drawn = "world" in saved or "imported" in saved  # then every view has a side of its own
        hand, labels = gripper or GripperGeometry(**saved["gripper"]), LabelSettings(**saved["labels"])
        if gripper is not None:  # the thresholds are the export's, the width is the hand's
            labels = replace(labels, max_width=widest_label(hand.max_opening, least=labels.max_width))
        settings = TwinSettings(
            gripper=hand,
            labels=labels,
            pixels_per_metre=float(saved["pixels_per_metre"]),
            parallel_side=None if drawn else float(saved["parallel_side"]),
            check=check,
            trays=dict(content["trays"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} cannot be read ({error}); export the data set again, or delete the file") from error
    return settings, saved


def _recipe(
    views: Sequence[Found], models: PosedModels, settings: TwinSettings, *, format: str, saved: dict[str, Any]
) -> dict[str, Any]:
    """Returns what shapes the import, with the keys of a generated data set's recipe."""
    first = next((v for v in views if isinstance(v, PosedView)), None)
    if first is None:
        raise InputError(f"none of the {len(views)} views can be read; the first: {': '.join(views[0])}")  # type: ignore[arg-type]
    sizes = list(dict.fromkeys(size for view in views if isinstance(view, PosedView) if (size := view.size())))
    if not sizes:
        first.read_depth()  # says what is wrong with it
    width, height = sizes[0]
    scene = saved.get("scene", {"tray": TABLE.to_saved(), "physics": asdict(PhysicsSettings())})
    return {
        "imported": format,
        "source_sha256": _digest(views, _content),
        "schema_version": SCHEMA_VERSION,
        "objects": describe_objects(models.objects),
        "scene": scene,
        "camera": {"width": width, "height": height, "intrinsics": first.intrinsics.tolist()},
        **({"sizes": sorted(map(list, sizes))} if len(sizes) > 1 else {}),
        "pixels_per_metre": settings.pixels_per_metre,
        "parallel_side": settings.parallel_side,
        "gripper": asdict(settings.gripper),
        "labels": settings.labels.describe(),
        "check": None if settings.check is None else asdict(settings.check),
        "depth_noise": None,
        "scenes": len({v.place for v in views if isinstance(v, PosedView)}),
        "seed": 0,
    }


def _digest(views: Sequence[Found], of: Callable[[Path], Any]) -> str:
    """Returns the hash of all views' entries and files, of each file what a function says of it."""
    content = hashlib.sha256()
    for view in views:
        if isinstance(view, PosedView):
            about = [view.name, view.intrinsics.tolist(), view.models, view.poses.tolist(), view.depth_unit]
            content.update(json.dumps([*about, of(view.depth), of(view.rgb)]).encode())
    return content.hexdigest()


def _content(file: Path) -> str | int:
    """Returns a file's checksum: a copy elsewhere has the same, whatever its times; labels take far longer than it.

    Of a file that cannot be read it is the size; its view is skipped later on, and named.
    """
    try:
        return checksum(file)
    except OSError:
        return size_of(file)


def _hash(recipe: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()


def _begin(folder: Path, views: Sequence[Found], recipe: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """Makes the folder, and warns of doubtful poses; returns the import's recipe and its hash."""
    recipe = _as_begun(folder, views, recipe)
    begin_import(folder, recipe, digest := _hash(recipe))
    for doubt in pose_doubts(views):
        warnings.warn(doubt, stacklevel=3)
    return recipe, digest


def _as_begun(folder: Path, views: Sequence[Found], recipe: dict[str, Any]) -> dict[str, Any]:
    """Returns the recipe as a folder of an older plgp has it, else as it is.

    An older one knew pictures by their sizes, and no limit of turns. A warning says where its folder may hold pictures
    of former content.
    """
    check = recipe["check"] and {name: value for name, value in recipe["check"].items() if name != "turn"}
    former = recipe | {"source_sha256": _digest(views, size_of), "check": check}
    if not (folder / STAKE).is_file() or find_hash(folder, STAKE) != _hash(former):
        return recipe
    written = [path.stat().st_mtime_ns for path in folder.glob("shard-*.h5")]
    files = (file for view in views if isinstance(view, PosedView) for file in (view.depth, view.rgb))
    newer = next((file for file in files if written and file.stat().st_mtime_ns > min(written)), None)
    if newer is not None:
        warnings.warn(
            f"{folder} is of an older plgp, which knew pictures by their sizes; {newer} is newer than its shards: "
            "if its content changed, delete the folder and import again",
            stacklevel=4,
        )
    return former


def _write_shard(
    path: Path,
    views: Sequence[Found],
    numbers: dict[str, int],
    *,
    models: PosedModels,
    settings: TwinSettings,
    canvas: tuple[int, int] | None,
) -> None:
    """Writes one shard; what was dropped, and the checks of all poses, become its notes."""
    skipped: list[dict[str, str]] = []
    rows: list[list[Any]] = []
    tables: set[str] = set()
    with ShardWriter(path, canvas) as writer:
        for view in views:
            if not isinstance(view, PosedView):
                skipped.append({"view": view[0], "reason": view[1]})
                continue
            try:
                twin = make_twin(view, models, settings)
            except InputError as error:
                skipped.append({"view": view.name, "reason": str(error)})
                continue
            for check, dropped in zip(twin.checks, twin.dropped, strict=True):
                row = {"view": view.name, **asdict(check), "table": twin.table, "dropped": dropped}
                rows.append(_plain([row[name] for name in _COLUMNS]))
            if twin.reason:
                skipped.append({"view": view.name, "reason": twin.reason})
                continue
            tables.add(twin.table)
            frame = twin.frame
            frame["scene"], frame["view"] = numbers[view.place], view.number
            writer.add(frame)
        writer.set_note("skipped", skipped)
        writer.set_note("poses", rows)
        writer.set_note("defaults", [f"the table of some views was {how}" for how in sorted(tables - {"given"})])


def _plain(values: Sequence[Any]) -> list[Any]:
    """Returns a row's values, NaN as None: JSON has none."""
    return [None if isinstance(v, float) and not np.isfinite(v) else v for v in values]
