"""Which files belong to one image: by frame number, name or time stamp."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path

from sim.errors import InputError

_IMAGES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".npy", ".npz")
_SUFFIXES: dict[str, tuple[str, ...]] = {"depth": (*_IMAGES, ".pcd", ".exr"), "workspace": (*_IMAGES, ".json")}
_SUFFIXES |= {"intrinsics": (".json", ".yaml", ".yml", ".intr", ".txt", ".xml", ".mat", ".npy", ".npz")}
# Words by which files of one folder say what they hold.
_WORDS = {
    "depth": ("depth", "depths"),
    "rgb": ("rgb", "color", "colour", "colors", "colours"),
    "intrinsics": ("intrinsics", "intrinsic", "camera", "info", "meta", "cam", "k"),
    "workspace": ("mask", "masks", "label", "seg", "segmask", "workspace"),
}
_ANY = {word for words in _WORDS.values() for word in words} | {"image", "img", "aligned", "raw", "rect", "frame", "to"}
_APART = 0.02  # seconds between the time stamps of one frame


def find_files(pattern: str | None, name: str) -> list[Path]:
    """Returns the files of a path, a folder or a glob pattern, sorted by name; none for None.

    In a folder that holds several kinds of files, those count whose names say ``name`` ("depth", "rgb", ...).

    Raises:
        InputError: There is none.
    """
    if pattern is None:
        return []
    path, suffixes = Path(pattern), _SUFFIXES.get(name, _IMAGES)
    if path.is_dir():
        found = sorted(p for p in path.iterdir() if p.suffix.lower() in suffixes and p.is_file())
        roles = {role: [p for p in found if set(_words(p)) & set(words)] for role, words in _WORDS.items()}
        others = [role for role in roles if role != name and roles[role]]
        found = roles.get(name, []) if roles.get(name) and others else found
    elif glob.has_magic(pattern) and not path.exists():
        found = [Path(p) for p in sorted(glob.glob(pattern, recursive=True))]
    else:
        return [path]
    if not found:
        raise InputError(f"{name}={pattern}: no image there ({', '.join(suffixes)})")
    return found


def pair(depths: Sequence[Path], others: Sequence[Path], name: str) -> list[Path | None]:
    """Returns the file of ``others`` that belongs to each depth image; None for every one if there are none.

    Names count without their role (depth, color, ...), then the last number in them, then time stamps within 0.02 s.

    Args:
        depths: The depth images.
        others: Files of another kind. A single one of intrinsics or workspace is that of every image.
        name: What they are: "rgb", "intrinsics" or "workspace".

    Raises:
        InputError: A file has no partner, or more than one.
    """
    if not others:
        return [None] * len(depths)
    if len(others) == 1 and (len(depths) == 1 or name != "rgb"):
        return [others[0]] * len(depths)
    best: tuple[list[Path], list[Path]] = (list(depths), list(others))
    for key in (_name_key, _number_key):
        partners = _by_key(depths, others, key)
        if partners is None:
            continue
        missing = [d for d, p in zip(depths, partners, strict=True) if p is None]
        surplus = [o for o in others if o not in partners]
        if not missing and not surplus:
            return list(partners)
        if len(missing) + len(surplus) < len(best[0]) + len(best[1]):
            best = missing, surplus
    by_time = _by_time(depths, others)
    if by_time is not None:
        return list(by_time)
    noun = "images" if name == "rgb" else "files"
    alone = [p.name for p in (*best[0], *best[1])]
    more = f" and {len(alone) - 5} more" if len(alone) > 5 else ""
    raise InputError(
        f"{len(depths)} depth images but {len(others)} {name} {noun} that pair by name, number or time stamp; "
        f"without a partner: {', '.join(alone[:5])}{more}"
    )


def partners_by_name(depths: Sequence[Path], folder: Path, name: str) -> Sequence[Path | None]:
    """Returns the file of a folder that belongs to each depth image by name or number; None where there is none.

    A single file of intrinsics or a workspace that has no image's name is that of every image.

    Args:
        depths: The depth images.
        folder: The folder.
        name: What is looked for: "rgb", "intrinsics" or "workspace".
    """
    suffixes = _SUFFIXES.get(name, _IMAGES)
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in suffixes and p.is_file() and p not in depths)
    if folder.name.lower() not in (*_WORDS[name], "image") or folder == depths[0].parent:  # of several kinds
        found = [p for p in found if set(_words(p)) & set(_WORDS[name])]
    for key in (_name_key, _number_key):
        partners = _by_key(depths, found, key) or []
        if any(partners):
            return partners
    alone = len(found) == 1 and (len(depths) == 1 or name != "rgb")
    return [found[0] if alone else None] * len(depths)


def _words(path: Path) -> list[str]:
    """Returns the words and numbers of a file's name, lower case."""
    return re.findall(r"[a-z]+|\d+", path.stem.lower())


def _name_key(path: Path) -> Hashable:
    return tuple(str(int(w)) if w.isdecimal() else w for w in _words(path) if w not in _ANY)


def _number_key(path: Path) -> Hashable:
    numbers = [w for w in _words(path) if w.isdecimal()]
    return int(numbers[-1]) if numbers else None


def _by_key(
    depths: Sequence[Path], others: Sequence[Path], key: Callable[[Path], Hashable]
) -> list[Path | None] | None:
    """Returns the partner of each depth image, or None where two files have one key."""
    found = {key(path): path for path in others}
    if len(found) < len(others) or len({key(path) for path in depths}) < len(depths) or None in found:
        return None
    return [found.get(key(path)) for path in depths]


def _by_time(depths: Sequence[Path], others: Sequence[Path]) -> list[Path] | None:
    """Returns the partner of each depth image by time stamp, or None if one is farther than 0.02 s or taken twice."""
    stamps = [re.search(r"\d{9,}\.\d+", path.stem) for path in (*depths, *others)]
    times = [float(stamp[0]) for stamp in stamps if stamp]
    if len(times) < len(stamps):
        return None
    own, theirs = times[: len(depths)], times[len(depths) :]
    nearest = [min(range(len(others)), key=lambda i, t=t: abs(theirs[i] - t)) for t in own]  # type: ignore[misc]
    if len(set(nearest)) < len(others) or len(set(nearest)) < len(depths):
        return None
    if any(abs(theirs[i] - t) > _APART for i, t in zip(nearest, own, strict=True)):
        return None
    return [others[i] for i in nearest]
