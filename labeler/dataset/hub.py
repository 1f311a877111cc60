"""Data sets on their way: to the Hugging Face Hub and back, or to a folder (a cluster's share, a USB disk).

Whatever the way, ``dataset.json`` arrives last, so that what has broken off is never taken for a data set. The same
command goes on with what is missing. A pulled data set is validated byte by byte.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from rich.console import Console
from rich.progress import track

from labeler.dataset.card import write_card
from labeler.dataset.manifest import MANIFEST, STAKE, find_hash, stake
from labeler.dataset.validate import find_problems
from labeler.shards.data_set import DataSet
from sim.errors import InputError
from sim.files import atomic_path, checksum, write_error

_BESIDE = ("README.md", "stats.json", "stats.png", "preview.png", "poses.csv")  # files that go along where they exist
_PLACES = "give USER/NAME for the Hugging Face Hub, or a folder as /PATH, ./PATH, ~/PATH or file:///PATH"


def local_folder(place: str) -> Path | None:
    """Returns the folder that a place means, or None where it is a repository's name on the Hub.

    ``a/b`` is always a name on the Hub; the folder b in the folder a is ``./a/b``.

    Raises:
        InputError: It is neither.
    """
    if place.startswith("file:"):
        url = urlparse(place)
        if url.netloc not in ("", "localhost") or not url.path.startswith("/"):
            raise InputError(f"'{place}' names no folder of this machine; write file:///PATH with three slashes")
        return Path(unquote(url.path))
    if place.startswith(("/", "./", "../", "~")) or place in (".", ".."):
        return Path(place).expanduser()
    if re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", place):
        return None
    raise InputError(f"'{place}' is no place for a data set; {_PLACES}")


def push(
    folder: str | Path, place: str, *, licence: str = "other", private: bool = True, progress: bool = False
) -> str:
    """Writes the data set's card and sends the data set somewhere.

    Args:
        folder: Folder of a finished, whole data set; README.md, stats.json and stats.png are written into it.
        place: ``USER/NAME`` on the Hub, made if it does not exist, or a folder (see ``local_folder``).
        licence: Short name of the licence (see ``write_card``).
        private: Whether a repository made on the Hub can be seen by its owner only.
        progress: Whether to show progress bars.

    Returns:
        The place where the data set is now, a URL or a path.

    Raises:
        InputError: The data set is damaged, the place holds another one, or it cannot be reached.
    """
    target = local_folder(place)
    data = DataSet(folder)
    if damaged := data.verify_checksums():
        raise InputError(f"{data.folder} is damaged ({', '.join(damaged)}); `python -m labeler validate` says more")
    if target is not None:
        _check_target(data, target)
    write_card(data.folder, licence, progress=progress)
    if target is not None:
        copy_data_set(data.folder, target, progress)
        return str(target)
    names = [*_names(data), *(n for n in _BESIDE if (data.folder / n).is_file()), MANIFEST]

    def upload(api: Any) -> str:
        api.create_repo(repo_id=place, repo_type="dataset", private=private, exist_ok=True)
        # One commit: whoever pulls meanwhile sees all of it or nothing. Shards of an older version go.
        api.upload_folder(
            repo_id=place,
            repo_type="dataset",
            folder_path=data.folder,
            allow_patterns=names,
            delete_patterns="shard-*.h5",
            commit_message=f"{len(data)} images, recipe {data.hash[:12]}",
        )
        return f"https://huggingface.co/datasets/{place}"

    return str(_ask_hub(place, "take", upload))


def pull(place: str, folder: str | Path, progress: bool = False) -> Path:
    """Fetches a data set, or what is missing of it, and validates it.

    Args:
        place: ``USER/NAME`` on the Hub, or a folder (see ``local_folder``).
        folder: Folder that it goes into; empty, or with the beginnings of the same data set.
        progress: Whether to show a progress bar.

    Returns:
        ``folder``.

    Raises:
        InputError: There is no data set, ``folder`` holds another one, or what arrived is damaged.
    """
    source, folder = local_folder(place), Path(folder)
    if source is not None:
        copy_data_set(source, folder, progress)
    else:
        _ask_hub(place, "give", lambda api: _download(api, place, folder))
    if problems := find_problems(folder):  # the bytes are right by now: it was pushed like this
        raise InputError(f"the data set in {place} is damaged: {'; '.join(problems[:3])}")
    return folder


def copy_data_set(source: str | Path, target: str | Path, progress: bool = False) -> None:
    """Copies a data set; whole shards that are there already are kept, every other one is checked as it lands.

    Raises:
        InputError: ``source`` is no data set or damaged; ``target`` holds anything else, or is full.
    """
    data, target = DataSet(source), Path(target)
    if target.resolve() == data.folder.resolve():
        raise InputError(f"{target} is the data set itself; give another folder")
    console = Console(stderr=True, quiet=not progress)
    with _room_in(target):
        _stake(data, target)
        for line in track(data.manifest.shards, "shards", console=console, transient=True):
            path = target / line.file
            if path.is_file() and checksum(path) == line.sha256:
                continue
            if not (data.folder / line.file).is_file():
                raise InputError(f"{data.folder / line.file} is missing; generate or pull that data set again")
            with atomic_path(path) as temporary:
                shutil.copyfile(data.folder / line.file, temporary)
                if checksum(temporary) != line.sha256:
                    raise InputError(f"{line.file} is damaged in {data.folder}, or by the way to {target}")
        for name in (n for n in (*_BESIDE, MANIFEST) if (data.folder / n).is_file()):
            with atomic_path(target / name) as temporary:
                shutil.copyfile(data.folder / name, temporary)


def _names(data: DataSet) -> list[str]:
    """Returns the shards' names, with the recipe's where it stands in a file."""
    recipe = [STAKE] if (data.folder / STAKE).is_file() else []
    return [*recipe, *(line.file for line in data.manifest.shards)]


def _check_target(data: DataSet, target: Path) -> None:
    """Raises InputError unless the folder is missing, empty, or holds (the beginnings of) the same data set."""
    if target.exists() and not target.is_dir():
        raise InputError(f"{target} is a file; give a folder")
    if not target.exists() or not any(target.iterdir()):
        return
    found = {find_hash(target, file) for file in (MANIFEST, STAKE)} - {None}
    if not found:
        raise InputError(f"{target} is not empty and holds no data set; give a folder of its own")
    if found != {data.hash}:
        raise InputError(f"{target} holds another data set; give another folder, or delete it")


def _stake(data: DataSet, target: Path) -> None:
    """Makes the folder and marks it as this data set's; until all is there it is none."""
    _check_target(data, target)
    target.mkdir(parents=True, exist_ok=True)
    (target / MANIFEST).unlink(missing_ok=True)
    for leftover in target.glob(".*.part"):
        leftover.unlink(missing_ok=True)
    stake(target, data.hash, data.manifest.recipe)


@contextmanager
def _room_in(target: Path) -> Iterator[None]:
    """Turns whatever the disk refuses into one sentence."""
    try:
        yield
    except OSError as error:
        raise write_error(target, error) from error


def _download(api: Any, repo: str, folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        api.hf_hub_download(repo_id=repo, filename=MANIFEST, repo_type="dataset", local_dir=scratch)
        data = DataSet(scratch)
        with _room_in(folder):
            _stake(data, folder)
        names = [*(line.file for line in data.manifest.shards), *_BESIDE]
        # It goes on where it broke off: the library keeps its notes in folder/.cache.
        api.snapshot_download(repo_id=repo, repo_type="dataset", local_dir=folder, allow_patterns=names)
        for line in data.manifest.shards:
            path = folder / line.file
            if not path.is_file() or checksum(path) != line.sha256:
                raise InputError(f"{path} did not arrive whole; delete it and run the same command again")
        with _room_in(folder), atomic_path(folder / MANIFEST) as temporary:
            shutil.copyfile(Path(scratch) / MANIFEST, temporary)


def _ask_hub(repo: str, verb: str, question: Callable[[Any], Any]) -> Any:
    """Returns what a question to the Hub's API gives; whatever goes wrong there becomes one sentence."""
    try:
        from huggingface_hub import HfApi
    except ModuleNotFoundError as error:
        raise InputError("the Hugging Face Hub needs its library; pip install 'plgp[hub]'") from error
    try:
        return question(HfApi())
    except (InputError, TypeError, AttributeError):
        raise
    except Exception as error:  # the library's errors, its HTTP library's, the network's: no common base
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"the Hugging Face Hub does not {verb} {repo}: {reason[:200]}; is the name right, is this machine online, "
            "and are you logged in (`hf auth login`)?"
        ) from error
