"""Where published object sets keep their meshes: YCB, EGAD, ShapeNetSem, and text lists of paths."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PureWindowsPath

from sim.errors import InputError

YCB_VERSIONS = ("google_16k", "google_64k", "google_512k", "poisson", "tsdf")
_YCB_FILES = ("textured.obj", "nontextured.ply", "nontextured.stl")
_YCB_NAME = re.compile(r"\d{3}(-\w)?_\w+")
_EGAD_SETS = {"train": ("egad_train_set",), "eval": ("egad_eval_set",), "all": ("egad_train_set", "egad_eval_set")}


def check_folder(path: str | Path) -> Path:
    """Returns a folder that is there; raises InputError."""
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"object folder {folder} does not exist")
    return folder


def ycb_files(folder: Path, versions: Sequence[str]) -> tuple[dict[str, Path], dict[str, str]]:
    """Returns the best mesh of each YCB object, and why others have none.

    An object is a folder such as ``002_master_chef_can``, directly in ``folder`` or below it. It holds
    a folder for each way in which it was scanned, ``google_16k/textured.obj``, or the mesh itself.

    Args:
        folder: Folder of the objects.
        versions: Names of the scans, best first. Within one, a textured mesh comes before a bare one.

    Returns:
        The mesh of each object by name, in alphabetical order; the reason why an object has no mesh, by name.

    Raises:
        InputError: There is no such object.
    """
    wanted = [f"{version}/{name}" for version in versions for name in _YCB_FILES] + list(_YCB_FILES)
    # Deeper folders are left out: beside the meshes lie thousands of pictures.
    candidates = sorted({folder, *folder.glob("*/"), *folder.glob("*/*/")})
    found: dict[str, Path] = {}
    lacking: dict[str, str] = {}
    for path in (c for c in candidates if _YCB_NAME.fullmatch(c.name) and c.is_dir()):
        name = path.name if path == folder else path.relative_to(folder).as_posix()
        mesh = next((path / w for w in wanted if (path / w).is_file()), None)
        if mesh is not None:
            found[name] = mesh
        elif not any(_YCB_NAME.fullmatch(p.name) for p in path.iterdir()):
            lacking[name] = f"it has no mesh of {', '.join(versions)}"
    if not found:
        raise InputError(
            f"{folder} holds no YCB object; give the folder of 002_master_chef_can/{versions[0]}/textured.obj and so on"
        )
    return found, lacking


def egad_files(folder: Path, split: str) -> dict[str, Path]:
    """Returns EGAD's meshes by name, in alphabetical order.

    Args:
        folder: Folder ``egad_train_set`` or ``egad_eval_set``, or the folder of both.
        split: Part to take of a folder that holds both: "train", "eval" or "all".

    Raises:
        InputError: The split is not known, or there are no meshes.
    """
    if split not in _EGAD_SETS:
        raise InputError(f"objects.split is '{split}'; choose {', '.join(_EGAD_SETS)}")
    both = [folder / name for name in _EGAD_SETS[split] if (folder / name).is_dir()]
    # Subfolders are left out: EGAD's tool puts rescaled copies into a folder processed_meshes beside the meshes.
    meshes = sorted(f for part in both or [folder] for f in part.iterdir() if f.suffix.lower() in (".obj", ".stl"))
    if not meshes:
        raise InputError(f"{folder} holds no EGAD mesh; give egad_train_set, egad_eval_set or the folder of both")
    return {f.relative_to(folder).with_suffix("").as_posix(): f for f in meshes}


def shapenetsem_files(
    folder: Path, *, unit: float, categories: Sequence[str] | None, ids: Sequence[str] | None
) -> tuple[dict[str, Path], dict[Path, float], dict[str, str]]:
    """Returns ShapeNetSem's meshes by id, each one's unit, and why others cannot be had.

    Args:
        folder: Folder of ``metadata.csv`` and ``models-OBJ/models/<id>.obj``, or ``models/<id>.obj``, or the
            models themselves.
        unit: Metres in a unit of the models of which ``metadata.csv`` says nothing.
        categories: Categories of the models to take, as in ``metadata.csv``; None for all.
        ids: Ids of the models to take; None for all.

    Raises:
        InputError: There are no models, or none of what is asked, the metadata cannot be read, or the unit is no
            length.
    """
    if not 0 < unit < float("inf"):
        raise InputError(f"objects.unit is {unit}; give a positive number of metres")
    places = [folder / "models-OBJ" / "models", folder / "models", folder]
    models = next((p for p in places if p.is_dir() and any(p.glob("*.obj"))), None)
    if models is None:
        raise InputError(f"{folder} holds no ShapeNetSem model; give the folder of models-OBJ/models/<id>.obj")
    table = next((p / "metadata.csv" for p in (folder, *models.parents[:2]) if (p / "metadata.csv").is_file()), None)
    rows = {} if table is None else _metadata(table)
    if categories is not None and table is None:
        raise InputError(f"objects.categories needs {folder / 'metadata.csv'}, which is not there")
    meshes = {f.stem: f for f in sorted(models.glob("*.obj"))}
    wanted: Iterable[str] = meshes if ids is None else dict.fromkeys(i.rpartition(".")[2] for i in ids)
    if categories is not None:
        asked = {c.lower() for c in categories}
        wanted = [i for i in wanted if asked & {c.strip().lower() for c in rows.get(i, ("", ""))[1].split(",")}]
    found = {i: meshes[i] for i in wanted if i in meshes}
    if not found:
        raise InputError(f"{models} holds none of the asked ShapeNetSem models; look at objects.categories and ids")
    units = {}
    for name, mesh in found.items():
        try:
            units[mesh] = float(rows[name][0])
        except (KeyError, ValueError):  # not in the table, or left empty there
            units[mesh] = unit
        if not 0 < units[mesh] < float("inf"):
            units[mesh] = unit
    return found, units, {i: "there is no such model" for i in wanted if i not in meshes}


def _metadata(table: Path) -> dict[str, tuple[str, str]]:
    """Returns (unit, category) of each model id in ShapeNetSem's metadata.csv; raises InputError."""
    try:
        with table.open(newline="", encoding="utf-8-sig", errors="replace") as file:
            reader = csv.DictReader(file)
            if not {"fullId", "unit"} <= set(reader.fieldnames or ()):
                raise InputError(f"{table} has no columns fullId and unit; take ShapeNetSem's metadata.csv")
            # An id stands there as wss.<id>.
            return {(r["fullId"] or "").rpartition(".")[2]: (r["unit"] or "", r.get("category") or "") for r in reader}
    except (OSError, csv.Error) as error:
        raise InputError(f"{table} cannot be read ({error})") from error


def list_files(path: Path, root: Path) -> list[tuple[str, Path | None]]:
    """Returns the lines of a text list of models, each with the file that it names; None where there is none.

    Slashes and back-slashes are the same. A path that is not below ``root`` as it stands, such as one
    that was absolute on the authors' machine, is looked for without its first folders.

    Args:
        path: List of one path a line. A blank line counts as a line, as the authors' tool counts it.
        root: Folder to which the paths are relative.

    Raises:
        InputError: The list cannot be read, or is empty.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"list of models {path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"list of models {path} is no text; give one path a line") from error
    lines = [line.strip() for line in text.split("\n")]
    if not any(lines):
        raise InputError(f"list of models {path} is empty; give one path a line")
    while not lines[-1]:
        lines.pop()
    return [(line, _listed_file(line, root) if line else None) for line in lines]


def _listed_file(line: str, root: Path) -> Path | None:
    """Returns the file that a line of a list names, or None."""
    pure = PureWindowsPath(line)  # both kinds of slashes, drives
    parts = pure.parts[1:] if pure.anchor else pure.parts
    # At least the last folder must agree: many lists' files are all called model.urdf.
    shorter = (root.joinpath(*parts[i:]) for i in range(max(1, len(parts) - 1)))
    candidates = [Path(line), *shorter] if Path(line).is_absolute() else list(shorter)
    try:
        return next((c for c in candidates if c.is_file()), None)
    except OSError:  # no path at all: too long
        return None


def object_names(folder: Path, files: Sequence[Path]) -> list[str]:
    """Returns a name for each file: its subfolder if alone there, else its path without ending."""
    inside = [f.relative_to(folder) if f.is_relative_to(folder) else f.relative_to(f.anchor) for f in files]
    parents = Counter(f.parent for f in inside)
    alone = [parents[f.parent] == 1 and f.parent != Path(".") for f in inside]
    names = [(f.parent if a else f.with_suffix("")).as_posix() for f, a in zip(inside, alone, strict=True)]
    counts = Counter(names)
    return [n if counts[n] == 1 else f.as_posix() for n, f in zip(names, inside, strict=True)]
