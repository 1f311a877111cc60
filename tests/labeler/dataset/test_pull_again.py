"""Pulling and pushing over what is there: a finished copy stays one, with what was measured of it and its own card."""

import errno
import json
import re
import subprocess
import threading

import pytest
from filelock import FileLock

import labeler.dataset.hub as hub
from labeler.dataset.card import check_free
from labeler.dataset.card_marks import find_mark, is_edited, marked
from labeler.dataset.card_text import GENERATED, TEMPLATE, is_template, reading_lines, told_licence
from labeler.dataset.hub import pull, push
from labeler.dataset.manifest import Truth, keep_figures, read_manifest
from labeler.dataset.stats import PAPER_ROW
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
            push(data_set, str(tmp_path / "disk"))
        assert words in card.read_bytes()
        assert words in sent.read_bytes()
    sent.write_bytes(b"of the one who has the disk")
    with pytest.warns(UserWarning, match=r"disk/README\.md was written or edited by hand"):
        pull(str(data_set), tmp_path / "disk")
    assert sent.read_bytes() == b"of the one who has the disk"
    assert b"OTHER WORDS" in card.read_bytes()


def test_card_of_a_former_plgp_is_known_by_its_words(data_set, tmp_path, recwarn):
    card = data_set / "README.md"
    card.unlink(missing_ok=True)
    push(data_set, str(tmp_path / "disk"), licence="mit")
    former = card.read_text().split("<!-- plgp")[0].rstrip() + "\n"
    assert is_template(former.replace("generated by `python -m labeler generate`", "imported from the authors' files"))
    sent = tmp_path / "disk" / "README.md"
    for path, text in ((card, former.encode()), (sent, former.encode()), (card, marked(former.encode(), "sent"))):
        path.write_bytes(text)
        push(data_set, str(tmp_path / "disk"), licence="cc0-1.0")
        assert card.read_bytes() == marked(former.replace("mit", "cc0-1.0").encode(), "wrote") == sent.read_bytes()
        assert find_mark(card.read_bytes()) == "wrote"
    card.write_text(former)
    sent.write_text(former)
    keep_figures(data_set, 0.2, figures(345))
    push(data_set, str(tmp_path / "disk"), licence="cc0-1.0")
    assert b"of 345 random labels" in sent.read_bytes()
    assert not [w for w in recwarn if "README" in str(w.message)]


@pytest.mark.parametrize(
    ("words", "others"),
    [
        ("license: mit", "license: cc-by-4.0"),
        ("\n# ", "\n# My "),
        ("pretty_name: ", "language: en\npretty_name: "),
        ("| Sim. |", "| Real |"),
        ("## Licence\n", "## Licence\nCite us.\n"),
        ("in physics.\n", "in physics.\n- Taken in May.\n"),
        ("import h5py", "import h5py, os"),
    ],
)
def test_a_word_of_ones_own_makes_a_former_card_an_edited_one(words, others):
    values = {"images": "2", "scenes": "2", "grasps": "6", "made": GENERATED, "angles": "18", "recipe_hash": "ab"}
    table = "\n".join(f"| {key} | {value} | {value} |" for key, value in PAPER_ROW.items())
    notes = "## Notes\n- At friction 0.4, 98.5% of 200 random labels lift in physics.\n"
    head = {"licence": "mit", "size": "n<1K", "pretty_name": '"d"', "name": "d", "allowed": told_licence("mit")}
    rows = {"table": table, "ratios": "| labels alone | 1:5 | 1:7 | 1:1439 |\n| b | 1:5 | 1:7 |  |", "notes": notes}
    card = TEMPLATE.format(**values, **head, **rows, reading=reading_lines())
    assert is_template(card)
    assert words in card
    assert not is_template(card.replace(words, others, 1))
    assert is_edited(card.replace(words, others, 1).encode(), b"another")


def test_licence_that_a_kept_card_does_not_name_is_refused_before_anything_is_copied(data_set, tmp_path):
    card, sent = data_set / "README.md", tmp_path / "disk" / "README.md"
    former = card.read_bytes() if card.is_file() else None
    card.write_text("---\nlicense: mit\n---\nMY WORDS")
    with pytest.raises(InputError, match=r"README\.md was .* names the licence 'mit', not 'cc0-1\.0'; write it"):
        push(data_set, str(tmp_path / "disk"), licence="cc0-1.0")
    assert not (tmp_path / "disk").exists()
    with pytest.warns(UserWarning, match="edited by hand"):
        push(data_set, str(tmp_path / "disk"), licence="mit")
    card.unlink()
    sent.write_text("OTHER WORDS")
    with pytest.raises(InputError, match=r"disk/README\.md was written .* names no licence .*, not 'mit'"):
        push(data_set, str(tmp_path / "disk"), licence="mit")
    assert not card.exists()
    if former is not None:
        card.write_bytes(former)


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
    numbers = tmp_path / "ours.json"
    assert json.loads(numbers.read_text())["images"] == len(DataSet(data_set))
    assert not (data_set / "stats.json").exists()
    check_free(numbers, data_set)  # the same command again
    figures_of_another = {**json.loads(numbers.read_text()), "name": "another"}
    for text in ("{}", "[1]", "my notes", json.dumps(figures_of_another)):
        numbers.write_text(text)
        failed = command_line("labeler", "stats", str(data_set), f"out={tmp_path / 'ours.png'}")
        assert failed.returncode == 2
        assert re.search(r"ours\.json, which holds something else; give another out=FILE\.png", failed.stderr)
        assert numbers.read_text() == text


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


def test_figures_of_a_data_set_that_is_gone_are_not_kept_which_is_said(tmp_path):
    with pytest.warns(UserWarning, match="the figures are not kept: .* cannot be written .*; note them"):
        keep_figures(tmp_path, 0.4, figures(100))


def test_push_keeps_what_was_measured_on_the_hub_and_an_edited_cards_licence(data_set, tmp_path, played_hub):
    there = played_hub[1] / "me" / "tiny"
    push(data_set, "me/tiny")
    before = (data_set / "dataset.json").read_bytes()
    other = pull("me/tiny", tmp_path / "other")
    keep_figures(other, 0.2, figures(500))
    push(other, "me/tiny")
    push(data_set, "me/tiny")
    assert measured(there) == {**measured(data_set), "0.2": 500}
    assert DataSet(there).verify_checksums() == []
    assert (data_set / "dataset.json").read_bytes() == before
    (there / "README.md").write_text("MY WORDS")
    with pytest.raises(InputError, match=r"README\.md of me/tiny was written .* names no licence"):
        push(data_set, "me/tiny", licence="mit")
    (there / "dataset.json").write_text("{")  # nothing is to be had of it, and it is replaced
    with pytest.warns(UserWarning, match="edited by hand"):
        push(data_set, "me/tiny")
    assert measured(there) == measured(data_set)
