"""Data sets on their way: to the Hugging Face Hub and back, or to a folder (a cluster's share, a USB disk).

Whatever the way, ``dataset.json`` arrives last, so that what has broken off is never taken for a data set. The same
command goes on with what is missing. A pulled data set is validated byte by byte.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from rich.console import Console
from rich.progress import track

from labeler.dataset.card import write_card
from labeler.dataset.card_marks import CARD, check_licence, copy_card, find_mark, is_edited, is_ours, told_kept
from labeler.dataset.manifest import (
    ASIDE,
    MANIFEST,
    MANIFEST_LOCK,
    STAKE,
    ShardLine,
    find_hash,
    read_manifest,
    stake,
)
from labeler.dataset.staging import LOCK, STAGING, clear_parts, open_staging
from labeler.dataset.validate import find_damage
from labeler.shards.data_set import DataSet
from sim.errors import InputError
from sim.files import atomic_path, check_writable, checksum, locked, write_error, write_json

_BESIDE = ("stats.json", "stats.png", "preview.png", "poses.csv")  # what goes along where it exists, as the card does
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
    folder: str | Path, place: str, *, licence: str | None = None, private: bool = True, progress: bool = False
) -> str:
    """Writes the data set's card and sends the data set somewhere.

    Args:
        folder: Folder of a finished, whole data set; README.md, stats.json and stats.png are written into it.
        place: ``USER/NAME`` on the Hub, made if it does not exist, or a folder (see ``local_folder``).
        licence: Short name of the licence (see ``write_card``); a card that is kept has to name it.
        private: Whether a repository made on the Hub can be seen by its owner only.
        progress: Whether to show progress bars.

    Returns:
        The place where the data set is now, a URL or a path.

    Raises:
        InputError: The data set is damaged, the place holds another one or cannot be reached, or a card that somebody
            wrote or edited, which is kept, names another licence.
    """
    target = local_folder(place)
    data = DataSet(folder)
    cure = f"push writes the card there; `python -m labeler pull {data.folder.resolve()} DIR` copies it as it is"
    check_writable(data.folder, cure=cure)
    if damaged := data.verify_checksums():
        raise InputError(f"{data.folder} is damaged ({', '.join(damaged)}); `python -m labeler validate` says more")
    if target is not None:
        _check_target(data, target)
        there = (target / CARD).read_bytes() if (target / CARD).is_file() else b""
        if there and not (find_mark(there) or is_ours(there)):
            check_licence(there, target / CARD, licence)
    write_card(data.folder, licence, progress=progress)
    if target is not None:
        copy_data_set(data.folder, target, progress)
        return str(target)
    names = [*_names(data), *(n for n in (CARD, *_BESIDE) if (data.folder / n).is_file()), MANIFEST]

    def upload(api: Any) -> str:
        api.create_repo(repo_id=place, repo_type="dataset", private=private, exist_ok=True)
        there = _file_of(api, place, CARD)
        if there and is_edited(there, (data.folder / CARD).read_bytes()):
            check_licence(there, f"{CARD} of {place}", licence)
            warnings.warn(f"{told_kept(f'{CARD} of {place}')}; delete it there, and push sends this one", stacklevel=2)
            names.remove(CARD)
        with _with_figures_of(api, place, data, names) as sent:
            # One commit: whoever pulls meanwhile sees all of it or nothing. Shards of an older version go.
            api.upload_folder(
                repo_id=place,
                repo_type="dataset",
                folder_path=sent,
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
    source, folder, console = local_folder(place), Path(folder), Console(stderr=True, quiet=not progress)
    if source is not None:
        copy_data_set(source, folder, progress)
    else:
        _ask_hub(place, "give", lambda api: _download(api, place, folder, console=console))
    if problems := find_damage(DataSet(folder)):  # the bytes are right by now: it was pushed like this
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
    with _room_in(target), _held(data, target, console) as staging:
        for line in track(data.manifest.shards, "shards", console=console, transient=True):
            path = target / line.file
            if _is_whole(line, target):
                continue
            if not (data.folder / line.file).is_file():
                raise InputError(f"{data.folder / line.file} is missing; generate or pull that data set again")
            _unfinish(target, staging)
            with atomic_path(path) as temporary:
                shutil.copyfile(data.folder / line.file, temporary)
                if checksum(temporary) != line.sha256:
                    raise InputError(f"{line.file} is damaged in {data.folder}, or by the way to {target}")
        if (data.folder / CARD).is_file():
            copy_card(data.folder / CARD, target / CARD)
        for name in (n for n in _BESIDE if (data.folder / n).is_file()):
            with atomic_path(target / name) as temporary:
                shutil.copyfile(data.folder / name, temporary)
        _finish(data, target, staging)


def _names(data: DataSet) -> list[str]:
    """Returns the shards' names, with the recipe's where it stands in a file."""
    recipe = [STAKE] if (data.folder / STAKE).is_file() else []
    return [*recipe, *(line.file for line in data.manifest.shards)]


def _is_whole(line: ShardLine, folder: Path) -> bool:
    path = folder / line.file
    return path.is_file() and checksum(path) == line.sha256


def _check_target(data: DataSet, target: Path) -> None:
    """Raises InputError unless the folder is missing, empty, or holds (the beginnings of) the same data set."""
    if target.exists() and not target.is_dir():
        raise InputError(f"{target} is a file; give a folder")
    if not target.exists() or not any(path.name != STAGING for path in target.iterdir()):
        return
    found = {find_hash(target, file) for file in (MANIFEST, STAKE)} - {None}
    if not found:
        raise InputError(f"{target} is not empty and holds no data set; give a folder of its own")
    if found != {data.hash}:
        raise InputError(f"{target} holds another data set; give another folder, or delete it")


@contextmanager
def _held(data: DataSet, target: Path, console: Console) -> Iterator[Path]:
    """Makes the folder, marks it as this data set's, and yields its folder of unfinished work, once it is its turn.

    A finished data set stays one until it is found that a shard is to be written anew.

    Args:
        data: The data set that is to come.
        target: Folder that it goes into.
        console: Where it is said that another process fills the folder.
    """
    _check_target(data, target)
    with open_staging(target, console) as staging:
        if find_hash(target, STAKE) not in (None, data.hash):  # of a process that came between
            raise InputError(f"{target} holds another data set; give another folder, or delete it")
        with _room_in(target):
            clear_parts(target)
            stake(target, data.hash, data.manifest.recipe)
        try:
            yield staging
        finally:
            if {path.name for path in staging.glob("*")} <= {LOCK}:  # no manifest, and no scenes of a generation
                shutil.rmtree(staging, ignore_errors=True)


def _unfinish(target: Path, staging: Path) -> None:
    """Takes the manifest away, which says that the data set is whole; what was measured of it is kept for the next."""
    if (target / MANIFEST).is_file():
        with _room_in(target), locked(target / MANIFEST_LOCK):  # a verification may be writing its figures
            staging.mkdir(exist_ok=True)  # the one that this process waited for removed it
            (target / MANIFEST).replace(target / ASIDE)


def _finish(data: DataSet, target: Path, staging: Path) -> None:
    """Writes the manifest, what was measured in the target with it: from here on the data set is whole."""
    measured = any((target / name).is_file() for name in (MANIFEST, ASIDE))
    with _room_in(target), locked(target / MANIFEST_LOCK) if measured else nullcontext():
        write_json(target / MANIFEST, _with_figures(data, target, staging))
    shutil.rmtree(staging, ignore_errors=True)


def _with_figures(data: DataSet, *others: Path) -> dict[str, Any]:
    """Returns the content of a manifest, with what was measured of the same shards in other folders.

    At one friction what took more attempts counts.

    Args:
        data: The data set whose manifest it is.
        others: Folders that may have a manifest.
    """
    content: dict[str, Any] = json.loads((data.folder / MANIFEST).read_text())
    for other in (o for o in others if (o / MANIFEST).is_file()):
        if read_manifest(other).shards != data.manifest.shards:
            continue
        measured = json.loads((other / MANIFEST).read_text())
        for name in ("truth", "recall"):
            both = [content.get(name, {}), measured.get(name, {})]
            merged = {mu: max((f[mu] for f in both if mu in f), key=_attempts) for mu in both[0] | both[1]}
            content |= {name: merged} if merged else {}
    return content


def _attempts(figures: Mapping[str, Any]) -> int:
    return int(figures["attempts"])


@contextmanager
def _room_in(target: Path) -> Iterator[None]:
    """Turns whatever the disk refuses into one sentence."""
    try:
        yield
    except OSError as error:
        raise write_error(target, error) from error


def _download(api: Any, repo: str, folder: Path, *, console: Console) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        api.hf_hub_download(repo_id=repo, filename=MANIFEST, repo_type="dataset", local_dir=scratch)
        data = DataSet(scratch)
        with _held(data, folder, console) as staging:
            missing = [line for line in data.manifest.shards if not _is_whole(line, folder)]
            if missing:
                _unfinish(folder, staging)
            names = [*(line.file for line in missing), *_BESIDE]
            # It goes on where it broke off: the library keeps its notes in folder/.cache.
            api.snapshot_download(repo_id=repo, repo_type="dataset", local_dir=folder, allow_patterns=names)
            for line in missing:
                if not _is_whole(line, folder):
                    path = folder / line.file
                    raise InputError(f"{path} did not arrive whole; delete it and run the same command again")
            if card := _file_of(api, repo, CARD):
                (Path(scratch) / CARD).write_bytes(card)
                with _room_in(folder):
                    copy_card(Path(scratch) / CARD, folder / CARD)
            _finish(data, folder, staging)


@contextmanager
def _with_figures_of(api: Any, repo: str, data: DataSet, names: list[str]) -> Iterator[Path]:
    """Yields the folder to send: the data set's, or links to its files beside a manifest with a repository's figures.

    Args:
        api: API of the Hub.
        repo: Name of the repository.
        data: The data set.
        names: Names of the files to send.
    """
    with tempfile.TemporaryDirectory() as scratch:
        there, sent = Path(scratch, "there"), Path(scratch, "sent")
        there.mkdir()
        (there / MANIFEST).write_bytes(_file_of(api, repo, MANIFEST))
        try:
            content = _with_figures(data, there)
        except InputError:  # what is there is none, or a former plgp's, and is replaced
            content = _with_figures(data)
        if content == _with_figures(data):
            yield data.folder
            return
        sent.mkdir()
        for name in names:
            (sent / name).symlink_to((data.folder / name).resolve())
        write_json(sent / MANIFEST, content)
        yield sent


def _file_of(api: Any, repo: str, name: str) -> bytes:
    """Returns a small file of a repository, empty where it has none."""
    with tempfile.TemporaryDirectory() as scratch:
        api.snapshot_download(repo_id=repo, repo_type="dataset", local_dir=scratch, allow_patterns=[name])
        path = Path(scratch) / name
        return path.read_bytes() if path.is_file() else b""


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
