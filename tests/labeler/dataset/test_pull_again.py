"""Pulling and pushing over what is there: a finished copy stays one, with what was measured of it and its own card."""

import errno
import json
import subprocess
import threading

import pytest
from filelock import FileLock

import labeler.dataset.hub as hub
from labeler.dataset.card_marks import find_mark, marked
from labeler.dataset.hub import pull, push
from labeler.dataset.manifest import Truth, keep_figures, read_manifest
from labeler.dataset.validate import find_problems
from labeler.formats.authors_data import begin_import
from labeler.shards.data_set import DataSet
from sim.errors import InputError


def figures(attempts):
    return Truth(attempts=attempts, scenes=2, objects=3, lifted=0.9, macro=0.9)


def measured(folder):
    return {friction: truth.attempts for friction, truth in read_manifest(folder).truth.items()}


def test_what_was_measured_of_a_copy_outlives_the_next_pull(data_set, tmp_path):
    keep_figures(data_set, 0.4, figures(100))
    pull(str(data_set), tmp_path / "back")
    keep_figures(tmp_path / "back", 0.2, figures(300))
    keep_figures(tmp_path / "back", 0.4, figures(500))
    keep_figures(data_set, 0.8, figures(100))
    pull(str(data_set), tmp_path / "back")
    assert measured(tmp_path / "back") == {"0.2": 300, "0.4": 500, "0.8": 100}
    shard = tmp_path / "back" / "shard-00000.h5"
    shard.write_bytes(shard.read_bytes()[:-7])
    pull(str(data_set), tmp_path / "back")
    assert measured(tmp_path / "back") == {"0.2": 300, "0.4": 500, "0.8": 100}
    assert not (tmp_path / "back" / "staging").exists()


def test_figures_of_other_bytes_are_not_taken_over(data_set, tmp_path):
    pull(str(data_set), tmp_path / "back")
    keep_figures(tmp_path / "back", 0.2, figures(300))
    path = tmp_path / "back" / "dataset.json"
    content = json.loads(path.read_text())
    content["shards"][0]["sha256"] = "0" * 64
    path.write_text(json.dumps(content))
    pull(str(data_set), tmp_path / "back")
    assert "0.2" not in measured(tmp_path / "back")


def test_finished_copy_stays_one_while_it_is_compared(data_set, tmp_path, monkeypatch):
    pull(str(data_set), tmp_path / "back")

    def stop(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(hub, "checksum", stop)
    with pytest.raises(KeyboardInterrupt):
        pull(str(data_set), tmp_path / "back")
    assert len(DataSet(tmp_path / "back")) == len(DataSet(data_set))


def test_second_pull_waits_for_the_first(data_set, tmp_path):
    back, pid = tmp_path / "back", subprocess.Popen(["true"])
    pid.wait()
    (back / "staging").mkdir(parents=True)
    writing, left = back / ".shard-00000.h5.1.part", back / f".shard-00000.h5.{pid.pid}.part"
    second = threading.Thread(target=pull, args=(str(data_set), back))
    with FileLock(back / "staging" / "lock"):
        second.start()
        second.join(0.5)
        assert second.is_alive()
        assert not (back / "recipe.json").exists()
        for part in (writing, left):
            part.touch()
    second.join(60)
    assert len(DataSet(back)) == len(DataSet(data_set))
    assert writing.exists()  # process 1 lives
    assert not left.exists()


def test_import_leaves_what_another_process_is_writing(tmp_path):
    begin_import(tmp_path / "new", {}, "abc")
    (tmp_path / "new" / ".shard-00000.h5.1.part").touch()
    begin_import(tmp_path / "new", {}, "abc")
    assert (tmp_path / "new" / ".shard-00000.h5.1.part").exists()


def test_card_that_nobody_changed_is_written_anew_an_edited_one_is_kept(data_set, tmp_path, recwarn):
    card, sent = data_set / "README.md", tmp_path / "disk" / "README.md"
    push(data_set, str(tmp_path / "disk"), licence="mit")
    card.write_bytes(b"\r\n".join(card.read_bytes().split(b"\n")))  # as an editor of another system leaves it
    keep_figures(data_set, 0.7, figures(123))
    push(data_set, str(tmp_path / "disk"), licence="cc0-1.0")
    assert b"license: cc0-1.0" in sent.read_bytes()
    assert b"of 123 random labels" in sent.read_bytes()
    assert not [w for w in recwarn if "README" in str(w.message)]
    for words in (b"MY WORDS", b"OTHER WORDS"):  # whoever edits them again sends them again
        card.write_bytes(card.read_bytes() + words)
        with pytest.warns(UserWarning, match=r"README\.md was written or edited by hand, so it is kept"):
            push(data_set, str(tmp_path / "disk"), licence="mit")
        assert words in card.read_bytes()
        assert words in sent.read_bytes()
    sent.write_bytes(b"of the one who has the disk")
    with pytest.warns(UserWarning, match=r"disk/README\.md was written or edited by hand"):
        pull(str(data_set), tmp_path / "disk")
    assert sent.read_bytes() == b"of the one who has the disk"
    assert b"OTHER WORDS" in card.read_bytes()


def test_card_of_a_former_plgp_is_known_by_its_words(data_set, tmp_path):
    card = data_set / "README.md"
    card.unlink(missing_ok=True)
    push(data_set, str(tmp_path / "disk"), licence="mit")
    former = card.read_text().split("<!-- plgp")[0].rstrip() + "\n"
    card.write_text(former)
    push(data_set, str(tmp_path / "disk"), licence="cc0-1.0")
    assert card.read_bytes() == marked(former.replace("mit", "cc0-1.0").encode(), "wrote")
    assert find_mark(card.read_bytes()) == "wrote"


def test_second_data_set_that_came_between_is_not_overwritten(data_set, tmp_path):
    (tmp_path / "staging").mkdir()
    failed = []

    def second():
        try:
            pull(str(data_set), tmp_path)
        except InputError as error:
            failed.append(str(error))

    thread = threading.Thread(target=second)
    with FileLock(tmp_path / "staging" / "lock"):
        thread.start()
        thread.join(0.3)
        begin = {"hash": "another", "recipe": {}}
        (tmp_path / "recipe.json").write_text(json.dumps(begin))
    thread.join(60)
    assert "holds another data set" in failed[0]


def test_read_only_data_set_is_measured_with_out(data_set, tmp_path, monkeypatch, command_line):
    (data_set / "stats.json").unlink(missing_ok=True)
    monkeypatch.setattr("os.access", lambda path, mode: path != data_set)
    done = command_line("labeler", "stats", str(data_set), f"out={tmp_path / 'ours.png'}")
    assert done.returncode == 0, done.stderr
    assert "Grasps per image" in done.stdout
    assert json.loads((tmp_path / "ours.json").read_text())["images"] == len(DataSet(data_set))
    assert not (data_set / "stats.json").exists()


def test_push_of_a_read_only_data_set_names_pull(data_set, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(InputError, match=rf"labeler pull {data_set} DIR` copies it as it is"):
        push(data_set, str(tmp_path / "disk"))


@pytest.fixture
def measured_copy(data_set, tmp_path):
    """A finished copy with a figure of its own; its data set."""
    pull(str(data_set), tmp_path / "back")
    keep_figures(tmp_path / "back", 0.2, figures(300))
    return tmp_path / "back"


def test_verification_that_ends_while_a_damaged_shard_is_fetched_keeps_its_figures(
    data_set, measured_copy, monkeypatch
):
    shard, copy = measured_copy / "shard-00000.h5", hub.shutil.copyfile
    shard.write_bytes(shard.read_bytes()[:-7])

    def copyfile(source, target):
        if str(source).endswith(".h5"):
            assert not (measured_copy / "dataset.json").exists()
            keep_figures(measured_copy, 0.6, figures(700))
        return copy(source, target)

    monkeypatch.setattr(hub.shutil, "copyfile", copyfile)
    pull(str(data_set), measured_copy)
    assert {"0.2", "0.6"} <= set(measured(measured_copy))
    assert not (measured_copy / "staging").exists()


def test_figures_that_are_kept_while_the_manifest_is_written_stay(data_set, measured_copy, monkeypatch):
    verification = threading.Thread(target=keep_figures, args=(measured_copy, 0.6, figures(700)))
    write = hub.write_json

    def write_json(path, content):
        if path == measured_copy / "dataset.json":
            verification.start()
            verification.join(0.5)
            assert verification.is_alive()
        write(path, content)

    monkeypatch.setattr(hub, "write_json", write_json)
    pull(str(data_set), measured_copy)
    verification.join(60)
    assert {"0.2", "0.6"} <= set(measured(measured_copy))


def test_figures_of_a_manifest_without_counts_stay(data_set, measured_copy):
    path = measured_copy / "dataset.json"
    content = json.loads(path.read_text())
    for line in content["shards"]:
        line.pop("images")
        line.pop("grasps")
    path.write_text(json.dumps(content))
    assert find_problems(measured_copy) == []
    pull(str(data_set), measured_copy)
    assert "0.2" in measured(measured_copy)
    assert all(line.images for line in read_manifest(measured_copy).shards)


def test_figures_of_a_data_set_that_is_gone_are_not_kept_which_is_said(data_set):
    (data_set / "dataset.json").unlink()
    with pytest.warns(UserWarning, match="the figures are not kept: .* cannot be written .*; note them"):
        keep_figures(data_set, 0.4, figures(100))
