"""The trained networks that are installed with plgp, by their names."""

from __future__ import annotations

from pathlib import Path

from sim.errors import InputError

PRETRAINED = Path(__file__).parents[1] / "pretrained"  # checkpoints that are installed, each with its card
_BEST = "ggcnn2_depth_any"  # the one that holds best over all worlds
_ANY = "pretrained"  # word for that one, where a checkpoint is asked for


def pretrained_checkpoint(name: str | None = None, folder: str | Path = PRETRAINED) -> Path:
    """Returns a checkpoint that is installed with the package.

    Args:
        name: Name of the file without ".ckpt"; None takes the only one, or of several the one that holds best over all
            worlds, "ggcnn2_depth_any".
        folder: Folder of the checkpoints.

    Raises:
        InputError: There is none, none of that name, or several and no name.
    """
    found = _installed(folder)
    if not found:
        raise InputError("this installation of plgp carries no trained network; give checkpoint=FILE, or train one")
    if name is None and len(found) == 1:
        return next(iter(found.values()))
    if (name or _BEST) in found:
        return found[name or _BEST]
    wanted = f"no trained network '{name}' in" if name else "several trained networks are in"
    raise InputError(f"{wanted} this installation of plgp; choose one of {', '.join(found)}")


def find_checkpoint(name: str | Path, folder: str | Path = PRETRAINED) -> Path:
    """Returns the file that a user's ``checkpoint=`` means.

    Args:
        name: A file; the name of an installed network; or "pretrained", the one of them that holds best over all
            worlds. A file goes before an installed network of the same name.
        folder: Folder of the installed checkpoints.

    Raises:
        InputError: It is one bare word, and neither a file nor an installed network.
    """
    path = Path(name)
    if str(name) == _ANY:
        return pretrained_checkpoint(folder=folder)
    if path.is_file() or path.suffix or len(path.parts) != 1:
        return path
    found = _installed(folder)
    if str(name) not in found:
        known = ", ".join([_ANY, *found])
        raise InputError(f"no checkpoint at '{name}'; give a file, or an installed network: {known}")
    return found[str(name)]


def _installed(folder: str | Path) -> dict[str, Path]:
    """Returns the checkpoints of a folder by their names, in order."""
    return {p.stem: p for p in sorted(Path(folder).glob("*.ckpt"))}
