"""The manifest of a data set: ``dataset.json``, typed, read with checks and written atomically.

A folder that has a manifest holds a finished data set. ``recipe.json``, the stake, is there from the start: it says
whose data the folder is going to hold.
"""

from __future__ import annotations

import errno
import json
import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from sim.errors import InputError
from sim.files import check_writable, locked, write_error, write_json
from sim.gripper import GripperGeometry
from sim.objects.folder import kept_source
from sim.objects.settings import ObjectSource

SCHEMA_VERSION = 1
MANIFEST = "dataset.json"
STAKE = "recipe.json"
ASIDE = f"staging/{MANIFEST}"  # where it waits while a damaged shard is fetched anew
MANIFEST_LOCK = f".{MANIFEST}.lock"  # held by whoever changes the manifest of a finished data set
CURE = "delete it and generate the data set again with the same command; whatever is whole is kept"

_KINDS = {str: "a text", int: "a whole number", float: "a number", dict: "a mapping", list: "a list"}
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class ShardLine:
    """One shard. Lines are equal whose bytes are; not every manifest has the counts.

    Attributes:
        file: Name of the file in the data set's folder.
        sha256: SHA-256 of its bytes, hexadecimal.
        scenes: Pairs of a scene's number and how many of its images the shard holds, ascending.
        images: Number of images; None in manifests that leave it to ``scenes``.
        grasps: Number of labels; None where it is not known.
    """

    file: str
    sha256: str
    scenes: tuple[tuple[int, int], ...]
    images: int | None = field(default=None, compare=False)
    grasps: int | None = field(default=None, compare=False)


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Totals over the shards.

    Attributes:
        images: Number of images.
        scenes: Number of scenes that have an image.
        grasps: Number of labels.
        failed_scenes: Number of scenes that could not be made.
    """

    images: int
    scenes: int
    grasps: int
    failed_scenes: int

    @classmethod
    def of(cls, shards: Iterable[ShardLine], failed_scenes: int = 0) -> Counts:
        """Returns the totals of some shards."""
        lines = list(shards)
        return cls(
            images=sum(count for line in lines for _, count in line.scenes),
            scenes=sum(len(line.scenes) for line in lines),
            grasps=sum(line.grasps or 0 for line in lines),
            failed_scenes=failed_scenes,
        )


@dataclass(frozen=True, kw_only=True)
class FailedScene:
    """A scene that could not be made.

    Attributes:
        scene: Number of the scene.
        failure: The reason, one sentence.
    """

    scene: int
    failure: str


@dataclass(frozen=True, kw_only=True)
class TiltTruth:
    """Labels of one band of tilt, executed in physics.

    Attributes:
        lifted: Share that lifts its object, in [0, 1].
        attempts: Number of labels executed.
    """

    lifted: float
    attempts: int


@dataclass(frozen=True, kw_only=True)
class Truth:
    """Random labels of the data set, executed in physics at one friction (``python -m labeler verify``).

    Attributes:
        attempts: Number of labels executed.
        scenes: Number of scenes that they come from.
        objects: Number of different objects that they lie on.
        lifted: Share that lifts its object, in [0, 1].
        interval: Ends of the 95 % interval of ``lifted``, scenes resampled; None with fewer than two scenes.
        macro: Mean of the objects' shares, in [0, 1].
        by_tilt: Figures per band of tilt between approach and plumb line; keys such as "5-10", degrees.
        seed: Seed of the draw and of the bootstrap.
    """

    attempts: int
    scenes: int
    objects: int
    lifted: float
    interval: tuple[float, float] | None = None
    macro: float
    by_tilt: Mapping[str, TiltTruth] = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Recall:
    """Random grasps on the data set's objects, executed in physics at one friction (``verify recall=true``).

    Shares are None where there is nothing to take a share of; intervals are 95 % intervals, scenes resampled, and
    None with fewer than two scenes.

    Attributes:
        attempts: Number of grasps executed.
        scenes: Number of scenes.
        lifted_grasps: Number of grasps that lift an object.
        lifted: Share of the grasps that lift an object.
        recall: Share of the lifting grasps for which a label stands.
        interval: Interval of ``recall``.
        objects: Number of (scene, object) pairs that any grasp lifts.
        coverage: Share of these pairs with at least one label in a view of the scene.
        coverage_interval: Interval of ``coverage``.
        coverage_by_image: Share of the (image, object) pairs with a label in the very image of the grasp.
        seed: Seed of the grasps and of the bootstrap.
    """

    attempts: int
    scenes: int
    lifted_grasps: int
    lifted: float | None = None
    recall: float | None = None
    interval: tuple[float, float] | None = None
    objects: int
    coverage: float | None = None
    coverage_interval: tuple[float, float] | None = None
    coverage_by_image: float | None = None
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class SkippedView:
    """A view that could not be imported.

    Attributes:
        view: Name of the view.
        reason: The reason, one sentence.
    """

    view: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Import:
    """Where an imported data set comes from; the manifest's key ``imported``.

    Attributes:
        source: Name of the data set and of its format; the key ``from``.
        objects_per_image: Numbers of objects that scenes hold, ascending, as far as the files say.
        defaults: Sentences about what the files do not hold and the import filled in.
        skipped: Views that could not be read.
    """

    source: str = field(metadata={"key": "from"})
    objects_per_image: tuple[int, ...] = ()
    defaults: tuple[str, ...] = ()
    skipped: tuple[SkippedView, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What ``dataset.json`` says of a finished data set.

    Attributes:
        name: Name of the data set in tables.
        schema_version: Version of the shards' schema.
        hash: SHA-256 of the recipe, hexadecimal.
        recipe: Content of ``DataSetRecipe.describe()``, or what shapes an import under the same keys.
        seed: Seed of everything random.
        counts: Totals over the shards.
        failed_scenes: Scenes that could not be made.
        versions: Versions of the packages that made the data, by their names.
        shards: The shards, in the order of their images.
        truth: Figures of executed labels, by friction ("0.4").
        recall: Figures of executed random grasps, by friction.
        imported: Where the data come from; None if they were generated.
        objects: How the objects were loaded, places near the data set relative to its folder; None for a set put
            together by hand, and in older data sets.
    """

    name: str
    schema_version: int = SCHEMA_VERSION
    hash: str
    recipe: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    counts: Counts
    failed_scenes: tuple[FailedScene, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    shards: tuple[ShardLine, ...]
    truth: Mapping[str, Truth] = field(default_factory=dict)
    recall: Mapping[str, Recall] = field(default_factory=dict)
    imported: Import | None = None
    objects: ObjectSource | None = None

    @property
    def angles(self) -> int:
        """K, number of the labels' angle bins. Raises InputError if the recipe does not say."""
        where = f"{MANIFEST} of '{self.name}': recipe.labels"
        labels = parse(dict, self.recipe.get("labels"), where)
        return int(parse(int, labels.get("angles"), f"{where}.angles"))

    @property
    def gripper(self) -> GripperGeometry:
        """The gripper that the labels are for. Raises InputError if the recipe does not say."""
        where = f"{MANIFEST} of '{self.name}': recipe.gripper"
        lengths = parse(dict, self.recipe.get("gripper"), where)
        try:
            return GripperGeometry(**lengths)
        except (TypeError, ValueError):
            raise InputError(f"{where} {lengths!s:.80} does not hold a gripper's lengths; {CURE}") from None


def read_manifest(folder: str | Path) -> Manifest:
    """Reads a data set's manifest.

    Args:
        folder: Folder of the data set.

    Raises:
        InputError: There is none, or it is damaged or of another schema; the message names file and field.
    """
    path = Path(folder) / MANIFEST
    if not path.is_file():
        begun = (Path(folder) / STAKE).is_file()
        cure = "give the command again that began it" if begun else "run `python -m labeler generate`"
        raise InputError(f"{folder} holds no finished data set (no {MANIFEST}); {cure}")
    content = _read(path)
    version = content.get("schema_version")
    if version != SCHEMA_VERSION:
        raise InputError(f"{path} has schema {version}, not {SCHEMA_VERSION}; {CURE}")
    lines = parse(tuple[ShardLine, ...], content.get("shards"), f"{path}: shards")
    content.setdefault("name", Path(folder).name)
    content.setdefault("counts", asdict(Counts.of(lines)))
    manifest: Manifest = parse(Manifest, content, f"{path}: ")
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes ``dataset.json``, whole or not at all: from here on the data set is finished."""
    optional = ("versions", "truth", "recall", "imported", "objects")
    source = manifest.objects and kept_source(manifest.objects, folder)
    content = _plain(replace(manifest, objects=source))
    write_json(folder / MANIFEST, {k: v for k, v in content.items() if v or k not in optional})


def keep_figures(folder: Path, friction: float, figures: Truth | Recall) -> None:
    """Adds figures to ``dataset.json``, under "truth" or "recall" and the friction.

    Everything else in the file stays as it is, the recipe and its hash among it, and what others write meanwhile.
    A warning says where the file cannot be written: what was measured is not lost for that.
    """
    name = "truth" if isinstance(figures, Truth) else "recall"
    try:
        with locked(folder / MANIFEST_LOCK):  # another verification may be writing its own figures
            path = next((p for p in (folder / MANIFEST, folder / ASIDE) if p.is_file()), None)
            if path is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            content = _read(path)
            figures_by_friction = {**content.get(name, {}), f"{friction:g}": _plain(figures)}
            write_json(path, {**content, name: figures_by_friction})
    except OSError as error:
        warnings.warn(f"the figures are not kept: {write_error(folder, error, cure='note them')}", stacklevel=2)


def check_keeping(folder: Path) -> None:
    """Raises InputError, before any work, where figures cannot be kept in a data set's folder: it is read-only, say."""
    check_writable(folder, cure="its dataset.json keeps the figures: copy the data set to a folder of your own")


def stake(folder: Path, digest: str, recipe: Mapping[str, Any]) -> None:
    """Marks a folder as the place of a data set in the making."""
    write_json(folder / STAKE, {"hash": digest, "recipe": dict(recipe)})


def find_hash(folder: Path, file: str) -> str | None:
    """Returns the recipe's hash that ``MANIFEST`` or ``STAKE`` names, or None if the folder has no such file.

    Raises:
        InputError: The file is damaged.
    """
    path = folder / file
    if not path.is_file():
        return None
    return str(parse(str, _read(path).get("hash"), f"{path}: hash"))


def find_recipe(folder: Path, file: str) -> dict[str, Any]:
    """Returns the recipe that ``MANIFEST`` or ``STAKE`` holds, empty where it holds none; raises InputError."""
    found = _read(folder / file).get("recipe")
    return found if isinstance(found, dict) else {}


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read ({error}); {CURE}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} is not a data set's description; {CURE}")
    return content


def parse(kind: Any, value: Any, where: str) -> Any:
    """Returns JSON content as a type says.

    Args:
        kind: The type: a plain one, a dataclass, ``tuple[T, ...]``, ``tuple[T, U]``, ``Mapping[str, T]``, ``T | None``.
        value: The content.
        where: File and field, for the message.

    Raises:
        InputError: The content is of another type; the message names file and field.
    """
    if kind is Any:
        return value
    origin, inner = get_origin(kind), get_args(kind)
    if origin is UnionType:
        return None if value is None else parse(next(k for k in inner if k is not NoneType), value, where)
    if origin is tuple:
        parts = _checked(list, value, where)
        if inner[-1] is ...:
            return tuple(parse(inner[0], part, f"{where}[{i}]") for i, part in enumerate(parts))
        if len(parts) != len(inner):
            raise InputError(f"{where} holds {len(parts)} values, not {len(inner)}; {CURE}")
        return tuple(parse(k, part, f"{where}[{i}]") for i, (k, part) in enumerate(zip(inner, parts, strict=True)))
    if is_dataclass(kind):
        return _parse_fields(kind, _checked(dict, value, where), where)
    if inner:
        return {str(k): parse(inner[1], v, f"{where}.{k}") for k, v in _checked(dict, value, where).items()}
    return _checked(kind, value, where)


def _parse_fields(kind: Any, content: dict[str, Any], where: str) -> Any:
    """Returns a mapping as a dataclass; keys that the dataclass does not know are left alone."""
    hints, values = get_type_hints(kind), {}
    start = where if where.endswith(": ") else f"{where}."
    for f in fields(kind):
        key = f.metadata.get("key", f.name)
        if key in content:
            values[f.name] = parse(hints[f.name], content[key], f"{start}{key}")
        elif f.default is MISSING and f.default_factory is MISSING:
            raise InputError(f"{start}{key} is missing; {CURE}")
    return kind(**values)


def _checked(kind: type[T], value: Any, where: str) -> T:
    allowed = (int, float) if kind is float else kind
    if not isinstance(value, allowed) or (isinstance(value, bool) and kind is not bool):
        text = "missing" if value is None else f"{str(value)[:40]!r}, not {_KINDS.get(kind, kind.__name__)}"
        raise InputError(f"{where} is {text}; {CURE}")
    return cast(T, value)


def _plain(value: Any) -> Any:
    """Returns dataclasses as JSON can hold them; a field that is None by default is left out of a shard's line."""
    if is_dataclass(value):
        pairs = ((f.metadata.get("key", f.name), getattr(value, f.name)) for f in fields(value))
        return {k: _plain(v) for k, v in pairs if v is not None or not isinstance(value, ShardLine)}
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (tuple, list)) else value
