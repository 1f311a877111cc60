"""The trained networks that are installed with the package."""

from __future__ import annotations

from pathlib import Path

from sim.errors import InputError

PRETRAINED = Path(__file__).parents[1] / "pretrained"  # checkpoints that are installed with the package
_BEST = "ggcnn2_depth_any"  # the one that holds best over all worlds; its card lies beside it


def pretrained_checkpoint(name: str | None = None, folder: str | Path = PRETRAINED) -> Path:
    """Returns a checkpoint that is installed with the package.

    Args:
        name: Name of the file without ".ckpt"; None takes the only one, or of several the one that holds best over all
            worlds, "ggcnn2_depth_any".
        folder: Folder of the checkpoints.

    Raises:
        InputError: There is none, none of that name, or several and no name.
    """
    found = {p.stem: p for p in sorted(Path(folder).glob("*.ckpt"))}
    if not found:
        raise InputError("this installation of plgp carries no trained network; give checkpoint=FILE, or train one")
    if name is None and len(found) == 1:
        return next(iter(found.values()))
    if (name or _BEST) in found:
        return found[name or _BEST]
    wanted = f"no trained network '{name}' in" if name else "several trained networks are in"
    raise InputError(f"{wanted} this installation of plgp; choose one of {', '.join(found)}")
