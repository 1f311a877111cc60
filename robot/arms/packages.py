"""Where the packages lie whose meshes an arm's URDF names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from sim.errors import InputError
from sim.objects.urdf import find_file

_DEEPEST = 6  # folders below a workspace's src in which packages are looked for
_IGNORED = ("CATKIN_IGNORE", "COLCON_IGNORE", "AMENT_IGNORE")  # files by which ROS passes a folder over


def find_mesh(name: str, folder: Path) -> tuple[Path, bool]:
    """Returns the file that a URDF means by a mesh's name, and whether it is certain.

    A package is looked for in ROS's own folders, if the environment names any, and then above the URDF. Where it is in
    neither, a file of the same path in a folder above the URDF may be another package's: that is not certain.

    Args:
        name: Name in the URDF.
        folder: Folder of the URDF.

    Raises:
        InputError: There is no such file.
    """
    scheme, mark, path = name.replace("\\", "/").partition("://")
    package, _, rest = path.partition("/")
    packaged = bool(mark) and scheme in ("package", "model")
    if packaged:
        for place in _places(package, folder):
            if (place / rest).is_file():
                return place / rest, True
    found = find_file(folder, name)
    if found.is_file():
        return found, not packaged
    if packaged:
        raise InputError(
            f"mesh {name} is found neither above the URDF nor where ROS_PACKAGE_PATH and AMENT_PREFIX_PATH say; "
            f"set ROS_PACKAGE_PATH to the folder that holds {package}"
        )
    raise InputError(f"mesh {name} does not exist: {found} is no file; put it there, or give its absolute path")


def _places(package: str, folder: Path) -> Iterator[Path]:
    """Yields the folders in which a package of a name may lie, for a URDF in a folder."""
    roots = [Path(p) for p in os.environ.get("ROS_PACKAGE_PATH", "").split(os.pathsep) if p]
    shares = [Path(p) / "share" for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    yield from (p if p.name == package else p / package for p in (*roots, *shares))
    for root in roots:
        yield from (found for found in _packages_below(root) if _name(found) == package)
    for above in (folder.resolve(), *folder.resolve().parents):
        yield above / package
        if _name(above) == package:
            yield above


def _packages_below(root: Path) -> Iterator[Path]:
    """Yields the folders of packages in a workspace, as ROS finds them: none lies within another."""
    seen = set()
    for place, folders, files in os.walk(root, followlinks=True):
        real, deep = os.path.realpath(place), len(Path(place).relative_to(root).parts)
        if real in seen or any(name in files for name in _IGNORED):
            folders.clear()
        elif "package.xml" in files:
            folders.clear()
            yield Path(place)
        else:
            folders[:] = sorted(f for f in folders if deep < _DEEPEST and not f.startswith("."))
        seen.add(real)


def _name(folder: Path) -> str:
    """Returns the name that a folder's package.xml gives its package; empty where there is none."""
    try:
        return (ElementTree.parse(folder / "package.xml").findtext("name") or "").strip()
    except (OSError, ElementTree.ParseError):
        return ""
