"""Files that are whole or not there: atomic writes, checksums, locks; and such as last as long as their process."""

from __future__ import annotations

import atexit
import contextlib
import errno
import hashlib
import json
import multiprocessing.util
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.errors import InputError

if TYPE_CHECKING:
    from pandas import DataFrame

FULL = (errno.ENOSPC, errno.EDQUOT)  # errors of a full disk and of a used-up quota
_NO_ROOM = ("No space left on device", "File too large", "PytorchStreamWriter failed")  # HDF5's and torch's words


def checksum(path: str | Path) -> str:
    """Returns the SHA-256 of a file's bytes, hexadecimal."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def check_archive(path: str | Path) -> None:
    """Raises ``zipfile.BadZipFile`` where a part of a zip archive is not what its checksum says.

    torch and numpy read such a part as it is. A file that is no archive passes.
    """
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if part := archive.testzip():
                raise zipfile.BadZipFile(f"{part} is damaged")


def decoded(data: bytes) -> str:
    """Returns a text file's content with one kind of line ends, without a byte order mark.

    Texts are UTF-8, UTF-16 by their mark, or else Latin-1, which reads any bytes.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = data.decode("utf-16", errors="replace")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary name beside ``path``; syncs and renames what was written there, or removes it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def temporary_file(text: str, name: str) -> Path:
    """Returns a file of a name that holds a text until this process ends, for libraries that read nothing but files.

    The same text and name have one file in a process; a forked process has its own.
    """
    return _temporary_file(text, name, os.getpid())


@lru_cache(maxsize=32)
def _temporary_file(text: str, name: str, process: int) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="plgp-"))
    multiprocessing.util.Finalize(None, _remove, (folder, process), exitpriority=0)  # processes of a pool run no atexit
    atexit.register(_remove, folder, process)
    (folder / name).write_text(text)
    return folder / name


def _remove(folder: Path, process: int) -> None:
    """Removes a folder, unless this is a fork of the process that made it."""
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes a JSON file whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")


def write_table(path: str | Path, table: DataFrame) -> Path:
    """Writes a table as CSV, whole or not at all, and returns its path; raises InputError if it cannot be written."""
    try:
        with atomic_path(Path(path)) as temporary:
            table.to_csv(temporary, index=False)
    except OSError as error:
        raise write_error(path, error) from error
    return Path(path)


def check_writable(folder: Path, *, cure: str = "give another folder") -> None:
    """Makes a folder where there is none, and writes and removes a file in it.

    Args:
        folder: The folder.
        cure: Advice where it cannot be written.

    Raises:
        InputError: The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b".")
    except OSError as error:
        raise write_error(folder, error, cure=cure) from error


def write_error(path: str | Path, error: OSError, *, cure: str = "give another folder") -> InputError:
    """Returns the sentence for a file that cannot be written: a full disk, or the system's own words.

    Args:
        path: File or folder.
        error: Error that the system raised.
        cure: Advice where the disk is not full.
    """
    if error.errno in FULL:
        return InputError(f"no space left for {path}; make room and run the same command again")
    return InputError(f"{path} cannot be written ({error.strerror}); {cure}")


def unwritable(error: BaseException, *, place: str = "what is written") -> str | None:
    """Returns the sentence for an exception behind which a disk is full or a place cannot be written, or None.

    HDF5 and torch wrap what the system says into errors of their own.

    Args:
        error: The exception; those that it follows from are looked at as well.
        place: What is written, where the exception does not say.
    """
    unnamed = place
    found: BaseException | None = error
    while found is not None:
        path = (found.filename2 or found.filename) if isinstance(found, OSError) else None
        place = unnamed if path is None or isinstance(path, int) else os.fsdecode(path)
        if isinstance(found, OSError) and found.errno in (*FULL, errno.EROFS, errno.EFBIG):
            return str(write_error(place, OSError(found.errno, os.strerror(found.errno))))  # not in HDF5's own words
        if isinstance(found, PermissionError) and path is not None:
            return f"{place} cannot be read or written ({found.strerror}); give another place, or the right to it"
        if any(words in str(found) for words in _NO_ROOM):
            return f"no space left for {place}; make room and run the same command again"
        found = found.__cause__ or found.__context__
    return None


@contextlib.contextmanager
def locked(path: Path, *, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Holds the lock of a file while the block runs; another process that asks for it waits.

    The lock ends with its process. On a file system without locks nothing is held, and two processes may collide.

    Args:
        path: File of the lock, made if it is not there.
        waiting: Function that is called once if another process holds the lock.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        try:
            lock.acquire(blocking=False)
        except Timeout:
            waiting()
            lock.acquire()
    except (NotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EROFS):
            raise
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def held_alone(path: Path, *, taken: str) -> Iterator[None]:
    """Holds the lock of a file while the block runs; another process that asks for it is refused.

    The lock ends with its process, however that ends; the file stays and means nothing. On a file system without locks
    nothing is held.

    Args:
        path: File of the lock, made if it is not there; it names the host and the process that hold it.
        taken: Sentence for the one that is refused, in which "{holder}" becomes what the file says.

    Raises:
        InputError: Another process, or this one, holds the lock.
    """
    import fcntl
    import socket

    try:
        file = path.open("a+", encoding="utf-8")
    except OSError:
        yield  # whoever writes there will say it
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                file.seek(0)
                holder = " ".join(file.read(200).split()) or "another process"
                raise InputError(taken.format(holder=holder)) from None
        with contextlib.suppress(OSError):
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
        yield
