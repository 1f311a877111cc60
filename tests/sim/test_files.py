"""Files that are whole or not there, their checksums, and locks between processes."""

import errno
import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sim.errors import InputError
from sim.files import atomic_path, checksum, held_alone, locked, unwritable, write_error, write_json


def test_the_checksum_is_sha_256_of_all_bytes(tmp_path):
    content = os.urandom((1 << 20) + 17)  # more than one block
    (tmp_path / "file").write_bytes(content)
    assert checksum(tmp_path / "file") == hashlib.sha256(content).hexdigest()


def test_a_file_is_seen_only_when_it_is_whole(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
        assert temporary.parent == tmp_path  # a rename between file systems would not be atomic
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def write_half(path, error):
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        raise error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_write_that_fails_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(error):
        write_half(path, error)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "file"):
        pass
    assert not list(tmp_path.iterdir())


def test_json_has_one_form_whatever_the_order_of_keys(tmp_path):
    write_json(tmp_path / "a.json", {"b": 1, "a": [2]})
    write_json(tmp_path / "b.json", {"a": [2], "b": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [2], "b": 1}


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, "no space left for out; make room and run the same command again"),
        (errno.EDQUOT, "no space left for out; make room and run the same command again"),
        (errno.EACCES, "out cannot be written (Permission denied); give a folder of your own"),
    ],
)
def test_what_stops_a_write_is_said_with_its_cure(number, sentence):
    error = write_error("out", OSError(number, os.strerror(number)), cure="give a folder of your own")
    assert str(error) == sentence


def test_a_second_holder_waits_and_says_so(tmp_path):
    events, waiting = [], threading.Event()

    def second():
        with locked(tmp_path / "lock", waiting=waiting.set):
            events.append("second")

    thread = threading.Thread(target=second)
    with locked(tmp_path / "lock", waiting=lambda: pytest.fail("nobody holds the lock")):
        thread.start()
        assert waiting.wait(10)
        events.append("first")
    thread.join(10)
    assert events == ["first", "second"]


def test_a_lock_ends_with_an_error_in_its_block(tmp_path):
    with pytest.raises(RuntimeError), locked(tmp_path / "lock"):
        raise RuntimeError
    with locked(tmp_path / "lock", waiting=lambda: pytest.fail("nobody holds the lock")):
        pass


FULL, QUOTA = (errno.ENOSPC, "No space left on device"), (errno.EDQUOT, "Disk quota exceeded")


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(*FULL, "/tmp/a", None, "/out/b"), "no space left for /out/b; make room"),
        (OSError(*QUOTA), "no space left for what is written; make room"),
        (OSError("Can't write data (errno = 28, error message = 'No space left on device')"), "no space left for what"),
        (RuntimeError("[enforce fail at inline_container.cc:827] . PytorchStreamWriter failed"), "no space left for"),
        (OSError(errno.EROFS, "Read-only file system", "out"), r"out cannot be written \(Read-only file system\); "),
        (PermissionError(errno.EACCES, "Permission denied", b"out"), "out cannot be read or written"),
    ],
)
def test_a_full_or_closed_place_is_one_sentence_whoever_says_it(error, sentence):
    assert re.match(sentence, unwritable(error))
    wrapped = ValueError("a library's own")
    wrapped.__cause__ = error
    assert re.match(sentence, unwritable(wrapped))
    assert unwritable(FileNotFoundError(errno.ENOENT, "No such file", "x")) is None
    assert unwritable(ValueError("anything")) is None


OWN_FILES = """
import multiprocessing, sys
from sim.files import temporary_file
def made(text):
    return str(temporary_file(text, "a.urdf"))
if __name__ == "__main__":
    print(*map(made, "aab"), sep="\\n")
    context = multiprocessing.get_context(sys.argv[1])
    with context.Pool(1) as pool:
        print(pool.apply(made, "a"))
        pool.close()
        pool.join()
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_temporary_file_lasts_as_long_as_its_process(tmp_path, method):
    (tmp_path / "program.py").write_text(OWN_FILES)
    (tmp_path / "t").mkdir()
    ran = subprocess.run(
        [sys.executable, tmp_path / "program.py", method],
        env=os.environ | {"TMPDIR": str(tmp_path / "t"), "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
    )
    first, same, other, childs = ran.stdout.split()
    assert first == same != other
    assert len({first, other, childs}) == 3
    assert first.startswith(str(tmp_path / "t"))
    assert list((tmp_path / "t").iterdir()) == []


HOLD = """
import pathlib, sys, time
from sim.files import held_alone
with held_alone(pathlib.Path(sys.argv[1]), taken="taken"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_of_one_process_refuses_others_and_dies_with_it(tmp_path):
    path = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        said = pytest.raises(InputError, match=rf"^held by process {process.pid} on \S+; wait$")
        with said, held_alone(path, taken="held by {holder}; wait"):
            pytest.fail("two hold it")
        process.kill()
    for _ in range(2):  # a killed one leaves nothing behind, nor does one that has ended
        with held_alone(path, taken="{holder}"):
            assert path.read_text().startswith(f"process {os.getpid()} on ")


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_locks_or_without_a_file_for_one_nothing_is_held(tmp_path, monkeypatch, number):
    def no_locks(file, flags):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", no_locks)
    with held_alone(tmp_path / "lock", taken=""), held_alone(tmp_path / "lock", taken=""):
        pass
    with held_alone(tmp_path / "not there" / "lock", taken=""):
        pass
