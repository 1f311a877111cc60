"""Shards that cannot be locked or read, shards and descriptions with wrong content: data, or one sentence."""

import errno
import fcntl
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labeler.dataset.validate import find_problems
from labeler.labels import GraspLabels
from labeler.shards.checks import open_shard, shard_error
from labeler.shards.data_set import DataSet
from labeler.shards.writer import ShardWriter
from sim.errors import InputError

N, SIZE = 2, (6, 8)


def write_data_set(folder, bins=18):
    """Writes a data set of one scene with two views."""
    rng = np.random.default_rng(0)
    pose = np.eye(4)
    pose[2, 3] = 0.6
    with ShardWriter(folder / "shard-00000.h5") as writer:
        for view in range(N):
            labels = (*rng.integers(0, 6, (2, 3)).astype(np.uint16), np.array([0, 1, 17], np.uint8))
            grasps = GraspLabels(*labels, *np.full((2, 3), 0.02, np.float32), np.zeros(3, np.float32))
            writer.add(
                {
                    "rgb": np.zeros((*SIZE, 3), np.uint8),
                    "depth": np.full(SIZE, 0.6, np.float32),
                    "depth_noisy": np.full(SIZE, 0.6, np.float32),
                    "instance_mask": np.ones(SIZE, np.uint8),
                    "grasps": grasps,
                    "intrinsics": np.diag([50.0, 50.0, 1.0]),
                    "pose": pose,
                    "objects": (),
                    "scene": 0,
                    "view": view,
                }
            )
    line = {"file": "shard-00000.h5", "sha256": "", "scenes": [[0, N]]}
    recipe = {"labels": {"angles": bins}}
    content = {"name": "few", "schema_version": 1, "hash": "abc", "recipe": recipe, "shards": [line]}
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return write_data_set(tmp_path_factory.mktemp("sound"))


def read_all(folder):
    data = DataSet(folder)
    return [data.read(i, ("rgb", "depth", "depth_noisy", "instance_mask", "objects")) for i in range(len(data))]


def test_a_shard_that_another_program_has_locked_is_read(sound):
    with open(sound / "shard-00000.h5", "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert len(read_all(sound)) == N


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EROFS, errno.EOPNOTSUPP, errno.EACCES])
def test_a_file_system_without_locks_is_read(sound, monkeypatch, number):
    opened, real = [], h5py.File

    def refuse(path, mode, **options):
        opened.append(options)
        if options.get("locking") is not False:
            raise OSError(number, f"unable to lock file, errno = {number}")
        return real(path, mode, **options)

    monkeypatch.setattr("labeler.shards.checks.h5py.File", refuse)
    assert len(read_all(sound)) == N
    assert opened == [{}, {"locking": False}]


@pytest.mark.parametrize(
    ("text", "number", "cure"),
    [
        ("unable to lock file", errno.EAGAIN, "HDF5_USE_FILE_LOCKING=FALSE"),
        ("unable to open file", errno.EACCES, "permissions"),
        ("file read failed", errno.EIO, "may be sound"),
        ("file read failed", errno.ESTALE, "may be sound"),
        ("unable to open file", errno.EMFILE, "may be sound"),
    ],
)
def test_sound_data_are_never_said_to_be_deleted(sound, monkeypatch, text, number, cure):
    def refuse(*_, **__):
        raise OSError(number, text)

    monkeypatch.setattr("labeler.shards.checks.h5py.File", refuse)
    with pytest.raises(InputError, match=cure) as caught:
        read_all(sound)
    assert "delete" not in str(caught.value)


def test_locks_that_the_environment_insists_on_are_named(sound):
    """HDF5's own variable outranks the program."""
    code = f"from labeler.shards import DataSet; DataSet({str(sound)!r}).read(0)"
    with open(sound / "shard-00000.h5", "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        ended = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "HDF5_USE_FILE_LOCKING": "TRUE"},
        )
    last = ended.stderr.splitlines()[-1]
    assert "HDF5_USE_FILE_LOCKING=FALSE" in last
    assert "delete" not in last


def test_a_lack_of_memory_is_no_damage(tmp_path):
    assert "delete" not in str(shard_error(tmp_path, MemoryError(), "is damaged"))


def test_a_truncated_shard_is_damaged(sound, tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes((sound / "shard-00000.h5").read_bytes()[:1500])
    with pytest.raises(InputError, match=r"truncated.*generate"):
        open_shard(path)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("grasps/width", np.nan, "not all numbers"),
        ("grasps/depth", np.inf, "not all numbers"),
        ("grasps/row", 6, "outside the image"),
        ("grasps/col", 60000, "outside the image"),
        ("grasps/angle_bin", 18, "18 bins"),
        ("camera/intrinsics", np.nan, "no camera's matrix"),
        ("camera/intrinsics", 0, "no camera's matrix"),
        ("camera/pose", np.nan, "no pose"),
        ("grasps/offsets", 7, "damaged at image 0"),
    ],
)
def test_values_that_no_labeler_writes(sound, tmp_path, name, value, words):
    folder = shutil.copytree(sound, tmp_path / "set")
    with h5py.File(folder / "shard-00000.h5", "a") as file:
        file[name][0] = value
    with pytest.raises(InputError, match=words):
        read_all(folder)


NAMES = [
    *("rgb", "depth", "depth_noisy", "instance_mask", "scene", "view", "camera/intrinsics", "camera/pose"),
    *(f"grasps/{name}" for name in ("row", "col", "angle_bin", "depth", "width", "offsets")),
    *(f"objects/{name}" for name in ("name", "scale", "mask_value", "pose_world", "box", "offsets")),
]
KINDS = ["u1", "u2", "i8", "f4", "f8", "S3", "?", "c8"]


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(NAMES),
    st.sampled_from(["gone", "group", "array"]),
    st.sampled_from(KINDS),
    st.lists(st.integers(0, 4), max_size=4),
    st.sampled_from([0, 1, 3, 7, 255, np.nan]),
)
def test_any_dataset_replaced(sound, tmp_path_factory, name, change, kind, shape, value):
    folder = tmp_path_factory.mktemp("fuzz")
    for path in sound.iterdir():
        shutil.copy(path, folder)
    with h5py.File(folder / "shard-00000.h5", "a") as file:
        del file[name]
        if change == "group":
            file.create_group(name)
        elif change == "array":
            filled = np.full(shape, 0 if np.isnan(value) and kind[0] not in "fc" else value)
            file[name] = filled.astype(kind)
    expect_data_or_a_sentence(folder)
    shutil.rmtree(folder)


def expect_data_or_a_sentence(folder):
    frames, said = [], ""
    try:
        frames = read_all(folder)
    except InputError as error:
        said = str(error)
    assert "\n" not in said
    for frame in frames:
        grasps = frame["grasps"]
        assert np.isfinite(frame["intrinsics"]).all()
        assert np.isfinite(grasps.width).all()
        assert (grasps.row < frame["depth"].shape[0]).all()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_field_of_the_description_replaced(sound, tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "described"
    folder.mkdir(exist_ok=True)
    if not (folder / "shard-00000.h5").exists():
        shutil.copy(sound / "shard-00000.h5", folder)
    content = json.loads((sound / "dataset.json").read_text())
    place, last = content, data.draw(st.sampled_from(sorted(content)))
    while isinstance(place[last], dict | list) and place[last] and data.draw(st.booleans()):
        place = place[last]
        last = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
    place[last] = data.draw(JSON)
    (folder / "dataset.json").write_text(json.dumps(content))
    expect_data_or_a_sentence(folder)


def test_shard_that_is_laid_into_the_folder_is_named(tmp_path, recwarn):
    data = DataSet(write_data_set(tmp_path))
    assert data.find_unlisted() == [] == [w for w in recwarn if "not listed" in str(w.message)]
    shutil.copyfile(tmp_path / "shard-00000.h5", tmp_path / "shard-00001.h5")
    (tmp_path / "._shard-00000.h5").touch()  # a Mac's
    with pytest.warns(UserWarning, match=r"shard-00001\.h5: is not listed in dataset\.json.*data\.also=\[OTHER\]"):
        assert len(DataSet(tmp_path)) == N
    recwarn.clear()
    assert find_problems(tmp_path)[-1].startswith("shard-00001.h5: is not listed")
    assert not recwarn
    for number in range(2, 9):
        (tmp_path / f"shard-{number:05d}.h5").touch()
    assert "shard-00005.h5 and 3 more: are not listed" in find_problems(tmp_path)[-1]


def test_the_page_names_everything_that_a_shard_holds(sound):
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "shards.md").read_text()
    held = []
    with h5py.File(sound / "shard-00000.h5") as file:
        file.visititems(lambda name, item: held.append(name) if isinstance(item, h5py.Dataset) else None)
        held += [*file.attrs, "trays", "failed_scenes"]  # notes that `generate` adds
    assert len(held) > 20
    assert [n for n in held if f"`{n}`" not in page and f"`{n.split('/')[-1]}`" not in page] == []
    assert "(row_min, col_min, row_max, col_max)" in page
