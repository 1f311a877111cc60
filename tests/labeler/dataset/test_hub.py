"""Push and pull. Folders are real; of the Hub only the API's boundary is played (``played_hub``)."""

import errno
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub.errors import LocalTokenNotFoundError

import labeler.dataset.hub as hub
from labeler.__main__ import main
from labeler.dataset.hub import copy_data_set, local_folder, pull, push
from labeler.dataset.recipe import DataSetRecipe
from labeler.labels import GraspLabels
from labeler.shards.data_set import DataSet
from labeler.shards.writer import ShardWriter
from sim.errors import InputError
from sim.files import checksum, write_json

FILES = ["README.md", "dataset.json", "recipe.json", "shard-00000.h5", "shard-00001.h5", "stats.json", "stats.png"]


def write_data_set(folder, name="tiny", seed=0):
    folder.mkdir(parents=True, exist_ok=True)
    rng, lines = np.random.default_rng(seed), []
    for shard in range(2):
        path = folder / f"shard-{shard:05d}.h5"
        with ShardWriter(path) as writer:
            labels = np.zeros(3, np.float32) + np.float32(0.02)
            pixel = rng.integers(0, 40, 3).astype(np.uint16)
            depth = rng.uniform(0.4, 0.6, (40, 60)).astype(np.float32)
            writer.add(
                {
                    "rgb": rng.integers(0, 255, (40, 60, 3)).astype(np.uint8),
                    "depth": depth,
                    "depth_noisy": depth,
                    "instance_mask": np.ones((40, 60), np.uint8),
                    "grasps": GraspLabels(pixel, pixel, np.arange(3, dtype=np.uint8), labels, labels, 0 * labels),
                    "intrinsics": np.diag([50.0, 50.0, 1.0]),
                    "pose": np.eye(4),
                    "objects": (),
                    "scene": shard,
                    "view": 0,
                }
            )
        lines.append({"file": path.name, "sha256": checksum(path), "images": 1, "grasps": 3, "scenes": [[shard, 1]]})
    recipe = DataSetRecipe(seed=seed)
    info = {
        "name": name,
        "schema_version": 1,
        "hash": recipe.hash,
        "recipe": recipe.describe(),
        "counts": {"images": 2, "scenes": 2, "grasps": 6, "failed_scenes": 0},
        "truth": {"0.4": {"lifted": 0.985, "attempts": 200, "scenes": 2, "objects": 5, "macro": 0.97, "seed": 0}},
        "shards": lines,
    }
    write_json(folder / "dataset.json", info)
    return folder


@pytest.fixture
def data_set(tmp_path):
    return write_data_set(tmp_path / "data")


def names(folder):
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith((".cache", ".dataset.json.lock")))


def assert_same_shards(folder, other):
    for name in FILES[3:5]:
        assert (folder / name).read_bytes() == (other / name).read_bytes()


@pytest.mark.parametrize(
    ("place", "path"),
    [
        ("/a/b", "/a/b"),
        ("./a/b", "a/b"),
        ("../b", "../b"),
        ("file:///a/b%20c", "/a/b c"),
        ("file://localhost/a", "/a"),
        ("~/b", str(Path("~/b").expanduser())),
        ("user/name", None),
        ("user/name-1.0", None),
    ],
)
def test_places(place, path):
    assert local_folder(place) == (None if path is None else Path(path))


@pytest.mark.parametrize("place", ["name", "", "a/b/c", "file://server/a", "file:a", "https://huggingface.co/a/b"])
def test_what_is_no_place(place):
    with pytest.raises(InputError, match=place or "no place"):
        local_folder(place)


def test_to_a_folder_and_back(data_set, tmp_path):
    disk = tmp_path / "disk" / "tiny"
    assert push(data_set, f"file://{disk}") == str(disk)
    assert names(disk) == FILES
    back = pull(str(disk), tmp_path / "back")
    assert names(back) == FILES
    assert_same_shards(data_set, back)
    assert DataSet(back).manifest == DataSet(data_set).manifest
    assert pull(str(disk), tmp_path / "back") == back  # once more changes nothing
    assert names(back) == FILES


def test_what_an_import_says_of_its_poses_goes_along(data_set, tmp_path):
    (data_set / "poses.csv").write_text("view,object\n")
    push(data_set, f"{tmp_path}/share")
    assert (tmp_path / "share" / "poses.csv").read_text() == "view,object\n"


def test_card_says_what_it_is_and_its_lines_read_a_shard(data_set, tmp_path):
    push(data_set, str(tmp_path / "disk"), licence="cc-by-4.0")
    _, head, text = (tmp_path / "disk" / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(head) == {
        "license": "cc-by-4.0",
        "task_categories": ["robotics"],
        "tags": ["grasping", "bin-picking", "rgb-d", "hdf5", "plgp"],
        "size_categories": ["n<1K"],
        "pretty_name": "tiny",
    }
    for words in ("2 images of 2 scenes", "| Total grasps | 6 | 58M |", "1:1439", "98.5% of 200", "`cc-by-4.0`"):
        assert words in text
    code = text.split("```python\n")[1].split("```")[0].replace("), 1  #", "), 0  #")  # this shard has one image
    found: dict = {}
    exec(code.replace("shard-00000.h5", str(tmp_path / "disk" / "shard-00000.h5")), found)
    np.testing.assert_array_equal(found["row"], DataSet(data_set).read(0)["grasps"].row)
    for wrong in ("CC BY", "", "a: b"):
        with pytest.raises(InputError, match="short name"):
            push(data_set, str(tmp_path / "disk"), licence=wrong)


class Broken(Exception):
    """The cable was pulled."""


def test_broken_off_is_no_data_set_and_goes_on(data_set, tmp_path, monkeypatch):
    copy, copied = shutil.copyfile, []

    def copyfile(source, target):
        copied.append(Path(source).name)
        if copied == FILES[3:5]:
            Path(target).write_bytes(Path(source).read_bytes()[:100])
            raise Broken
        return copy(source, target)

    monkeypatch.setattr(hub.shutil, "copyfile", copyfile)
    with pytest.raises(Broken):
        pull(str(data_set), tmp_path / "back")
    assert names(tmp_path / "back") == ["recipe.json", "shard-00000.h5"]
    with pytest.raises(InputError, match=r"no finished data set .*; give the command again that began it"):
        DataSet(tmp_path / "back")
    copied.clear()
    copied.append("once more")
    pull(str(data_set), tmp_path / "back")
    assert copied == ["once more", "shard-00001.h5"]
    assert_same_shards(data_set, tmp_path / "back")


def test_damaged_target_shard_is_fetched_again(data_set, tmp_path):
    pull(str(data_set), tmp_path / "back")
    path = tmp_path / "back" / "shard-00001.h5"
    path.write_bytes(path.read_bytes()[:-7])
    pull(str(data_set), tmp_path / "back")
    assert_same_shards(data_set, tmp_path / "back")


def test_data_set_whose_repair_breaks_off_is_none(data_set, tmp_path, monkeypatch):
    pull(str(data_set), tmp_path / "back")
    (tmp_path / "back" / "shard-00001.h5").unlink()

    def copyfile(source, target):
        raise Broken

    monkeypatch.setattr(hub.shutil, "copyfile", copyfile)
    with pytest.raises(Broken):
        pull(str(data_set), tmp_path / "back")
    assert names(tmp_path / "back") == ["recipe.json", "shard-00000.h5", "staging"]
    monkeypatch.undo()
    pull(str(data_set), tmp_path / "back")
    assert names(tmp_path / "back") == FILES[1:5]  # nothing of the unfinished work stays


def test_damage_on_the_way_is_found(data_set, tmp_path, monkeypatch):
    def copyfile(source, target):
        content = bytearray(Path(source).read_bytes())
        content[50] ^= 1
        Path(target).write_bytes(content)

    monkeypatch.setattr(hub.shutil, "copyfile", copyfile)
    with pytest.raises(InputError, match=r"shard-00000\.h5 is damaged"):
        copy_data_set(data_set, tmp_path / "back")
    assert names(tmp_path / "back") == ["recipe.json"]


def test_full_disk_is_one_sentence(data_set, tmp_path, monkeypatch):
    def full(source, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(hub.shutil, "copyfile", full)
    with pytest.raises(InputError, match="make room and run the same command again"):
        pull(str(data_set), tmp_path / "back")


def test_damaged_data_set_is_not_pushed(data_set, tmp_path):
    path = data_set / "shard-00001.h5"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(InputError, match=r"is damaged \(shard-00001\.h5\)"):
        push(data_set, str(tmp_path / "disk"))
    assert not (tmp_path / "disk").exists()


def test_other_data_is_never_overwritten(data_set, tmp_path):
    other = write_data_set(tmp_path / "other", seed=1)
    before = {p.name: p.read_bytes() for p in other.iterdir()}
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "holiday.jpg").write_bytes(b"sun")
    (tmp_path / "file").write_text("")
    for target, words in (
        (other, "holds another data set"),
        (tmp_path / "photos", "holds no data set"),
        (tmp_path / "file", "is a file"),
        (data_set, "is the data set itself"),
    ):
        for move in (lambda t: push(data_set, str(t)), lambda t: pull(str(data_set), t)):
            with pytest.raises(InputError, match=words):
                move(target)
    assert {p.name: p.read_bytes() for p in other.iterdir()} == before
    assert names(tmp_path / "photos") == ["holiday.jpg"]


def test_to_the_hub_and_back(data_set, tmp_path, played_hub):
    api, remote = played_hub
    (remote / "me" / "tiny").mkdir(parents=True)
    (remote / "me" / "tiny" / "shard-00007.h5").write_bytes(b"of an older version")
    assert push(data_set, "me/tiny") == "https://huggingface.co/datasets/me/tiny"
    api.create_repo.assert_called_once_with(repo_id="me/tiny", repo_type="dataset", private=True, exist_ok=True)
    assert names(remote / "me" / "tiny") == [n for n in FILES if n != "recipe.json"]  # this one has no such file
    back = pull("me/tiny", tmp_path / "back")
    assert names(back) == FILES
    assert_same_shards(data_set, back)
    push(data_set, "me/tiny", private=False)
    assert api.create_repo.call_args.kwargs["private"] is False


def test_card_that_was_edited_on_the_hub_is_kept(data_set, tmp_path, played_hub):
    card = played_hub[1] / "me" / "tiny" / "README.md"
    push(data_set, "me/tiny")
    push(data_set, "me/tiny", licence="mit")
    assert "license: mit" in card.read_text()
    card.write_text("MY WORDS")
    with pytest.warns(UserWarning, match=r"README\.md of me/tiny was written or edited by hand, so it is kept"):
        push(data_set, "me/tiny")
    assert card.read_text() == "MY WORDS"
    assert "MY WORDS" in (pull("me/tiny", tmp_path / "back") / "README.md").read_text()
    (tmp_path / "back" / "README.md").write_text("of the one who pulled")
    with pytest.warns(UserWarning, match="edited by hand"):
        pull("me/tiny", tmp_path / "back")
    assert (tmp_path / "back" / "README.md").read_text() == "of the one who pulled"


def test_broken_download_is_no_data_set(data_set, tmp_path, played_hub):
    api, _ = played_hub
    push(data_set, "me/tiny")
    whole = api.snapshot_download.side_effect
    api.snapshot_download.side_effect = ConnectionError("gone\nfor good")
    with pytest.raises(InputError, match=r"does not give me/tiny: gone for good; .*hf auth login"):
        pull("me/tiny", tmp_path / "back")
    assert names(tmp_path / "back") == ["recipe.json"]
    api.snapshot_download.side_effect = whole
    pull("me/tiny", tmp_path / "back")
    assert_same_shards(data_set, tmp_path / "back")


def test_damaged_download_is_named(data_set, tmp_path, played_hub):
    _, remote = played_hub
    push(data_set, "me/tiny")
    path = remote / "me" / "tiny" / "shard-00001.h5"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(InputError, match=r"shard-00001\.h5 did not arrive whole"):
        pull("me/tiny", tmp_path / "back")
    assert not (tmp_path / "back" / "dataset.json").exists()


def test_nonsense_in_the_pushed_data_is_found(tmp_path):
    data = write_data_set(tmp_path / "data")
    info = json.loads((data / "dataset.json").read_text())
    info["recipe"]["labels"]["angles"] = 2  # bins up to 2 are stored
    write_json(data / "dataset.json", info)
    with pytest.raises(InputError, match=r"is damaged: .*an angle bin is out of range"):
        pull(str(data), tmp_path / "back")


def test_hub_says_no(data_set, tmp_path, played_hub, monkeypatch):
    api, remote = played_hub
    api.create_repo.side_effect = LocalTokenNotFoundError("Token is required")
    with pytest.raises(InputError, match="does not take me/tiny: Token is required"):
        push(data_set, "me/tiny")
    (remote / "me" / "empty").mkdir(parents=True)
    with pytest.raises(InputError, match="does not give me/empty"):
        pull("me/empty", tmp_path / "back")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match=r"pip install 'plgp\[hub\]'"):
        pull("me/tiny", tmp_path / "back")


def test_commands(data_set, tmp_path, monkeypatch, capsys, command_line):
    done = command_line("labeler", "push", str(data_set), "./disk", "licence=mit")
    assert (done.returncode, done.stdout) == (0, "disk\n"), done.stderr
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["labeler", *arguments])
        with pytest.raises(SystemExit) as done:
            main()
        return done.value.code, capsys.readouterr()

    status, shown = run("pull", "./disk", "back")
    assert status == 0
    assert "back: 2 images of 2 scenes" in shown.out
    assert json.loads(Path("back/stats.json").read_text())["images"] == 2
    for wrong, words in (
        (["push", "data", "disk"], "'disk' is no place"),
        (["push", "data", "./disk", "private=perhaps"], "give true or false"),
        (["push", "data"], "needs DIR PLACE"),
        (["pull", "./nowhere", "new"], "no finished data set"),
        (["pull", "./disk", "new", "fast=1"], "does not know 'fast=1'; leave it out"),
    ):
        status, shown = run(*wrong)
        assert status == 2
        assert words in shown.err


@pytest.mark.parametrize(
    "command", ["import-plgp", "import-rectangles", "stats", "preview", "validate", "export-rectangles", "push", "pull"]
)
def test_every_command_explains_itself(command, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["labeler", command, "--help"])
    main()
    text = capsys.readouterr().out
    assert text.startswith(f"python -m labeler {command} ")
    assert len(text.splitlines()) >= 4
    monkeypatch.setattr(sys, "argv", ["labeler", "--help"])
    main()
    assert f"python -m labeler {command} " in capsys.readouterr().out
