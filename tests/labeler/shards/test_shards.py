"""Shards and data sets with real HDF5 files."""

import json
import pickle
import resource
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401  (registers Blosc)
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labeler.labels import GraspLabels
from labeler.shards.data_set import DataSet
from labeler.shards.frame import decode_depth, encode_depth
from labeler.shards.reader import ShardReader
from labeler.shards.writer import ShardWriter
from sim.errors import InputError
from sim.files import checksum, write_json
from sim.view import ViewObject


def make_frame(scene, view, labels=7, size=(48, 64)):
    rng = np.random.default_rng([scene, view])
    depth = rng.uniform(0.3, 0.9, size).astype(np.float32)
    pose = np.eye(4)
    pose[:3, 3] = rng.normal(size=3)
    world = np.eye(4)
    world[:3, 3] = rng.normal(size=3)
    grasps = GraspLabels(
        rng.integers(0, size[0], labels).astype(np.uint16),
        rng.integers(0, size[1], labels).astype(np.uint16),
        rng.integers(0, 18, labels).astype(np.uint8),
        rng.random(labels, np.float32),
        rng.random(labels, np.float32),
        np.zeros(labels, np.float32),
    )
    objects = tuple(
        ViewObject(name, 1.5, i + 1, np.linalg.inv(pose) @ world, world, (1, 2, 3, 4))
        for i, name in enumerate(["cup", "plötz/long-name"][: scene % 3])
    )
    return {
        "rgb": rng.integers(0, 255, (*size, 3)).astype(np.uint8),
        "depth": depth,
        "depth_noisy": np.where(rng.random(size) < 0.1, 0, depth).astype(np.float32),
        "instance_mask": rng.integers(0, 3, size).astype(np.uint8),
        "grasps": grasps,
        "intrinsics": np.diag([50.0, 50.0, 1.0]),
        "pose": pose,
        "objects": objects,
        "scene": scene,
        "view": view,
    }


def write_shard(path, frames):
    with ShardWriter(path) as writer:
        for frame in frames:
            writer.add(frame)


def make_data_set(folder, scenes=6, views=2, shards=2):
    lines = []
    for shard in range(shards):
        members = range(shard * scenes // shards, (shard + 1) * scenes // shards)
        path = folder / f"shard-{shard:05d}.h5"
        write_shard(path, [make_frame(s, v, labels=3 * s) for s in members for v in range(views)])
        lines.append({"file": path.name, "sha256": checksum(path), "scenes": [[s, views] for s in members]})
    write_json(folder / "dataset.json", {"schema_version": 1, "hash": "abc", "shards": lines})
    return DataSet(folder)


def assert_same(frame, other, keys=("rgb", "instance_mask", "intrinsics", "pose")):
    for key in keys:
        np.testing.assert_array_equal(frame[key], other[key])
    for key in ("depth", "depth_noisy"):
        assert np.abs(frame[key] - other[key]).max() <= 0.51e-4
        np.testing.assert_array_equal(frame[key] == 0, other[key] == 0)
    for name in ("row", "col", "angle_bin", "depth", "width"):
        stored, read = getattr(frame["grasps"], name), getattr(other["grasps"], name)
        assert stored.dtype == read.dtype
        np.testing.assert_array_equal(stored, read)
    assert (frame["scene"], frame["view"]) == (other["scene"], other["view"])
    assert [o.name for o in frame["objects"]] == [o.name for o in other["objects"]]
    for a, b in zip(frame["objects"], other["objects"], strict=True):
        np.testing.assert_allclose(a.pose_camera, b.pose_camera)
        assert (a.scale, a.mask_value, a.box) == (b.scale, b.mask_value, b.box)


ALL = ("rgb", "depth", "depth_noisy", "instance_mask", "objects")


def test_frames_come_back_as_they_went(tmp_path):
    frames = [make_frame(s, v, labels=s * 4 + v) for s in range(3) for v in range(2)]
    write_shard(tmp_path / "a.h5", frames)
    reader = ShardReader(tmp_path / "a.h5")
    assert len(reader) == 6
    for i, frame in enumerate(frames):
        assert_same(frame, reader.read(i, ALL))
    assert "rgb" not in reader.read(0, ("depth",))


def test_packing_keeps_everything_and_bytes_are_repeatable(tmp_path):
    frames = [make_frame(s, v) for s in range(3) for v in range(2)]
    for s in range(3):
        write_shard(tmp_path / f"{s}.h5", frames[2 * s : 2 * s + 2])
    for name in ("packed.h5", "again.h5"):
        with ShardWriter(tmp_path / name) as writer:
            for s in range(3):
                writer.add_all(ShardReader(tmp_path / f"{s}.h5"))
    assert checksum(tmp_path / "packed.h5") == checksum(tmp_path / "again.h5")
    reader = ShardReader(tmp_path / "packed.h5")
    for i, frame in enumerate(frames):
        assert_same(frame, reader.read(i, ALL))


def test_format_is_the_one_of_the_design(tmp_path):
    write_shard(tmp_path / "a.h5", [make_frame(s, 0, size=(480, 640)) for s in range(2)])
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["rgb"].shape == (2, 480, 640, 3)
        assert file["rgb"].chunks == (1, 480, 640, 3)
        assert file["depth"].dtype == file["depth_noisy"].dtype == np.uint16
        assert file["instance_mask"].dtype == np.uint8
        kinds = [file[f"grasps/{n}"].dtype for n in ("row", "col", "angle_bin", "depth", "width")]
        assert kinds == [np.uint16, np.uint16, np.uint8, np.float32, np.float32]
        assert file["grasps/offsets"][:].tolist() == [0, 7, 14]
        assert file["camera/pose"].shape == (2, 4, 4)
        assert file["objects/offsets"].shape == (3,)
        assert file["scene"].dtype == file["view"].dtype == np.int32


def test_ten_lines_of_plain_h5py_read_a_shard(tmp_path):
    """The lines of labeler/README.md, run as they stand there."""
    from pathlib import Path

    import labeler

    text = (Path(labeler.__file__).parent / "README.md").read_text()
    code = text.split("```python\n")[1].split("```")[0]
    assert len(code.strip().splitlines()) <= 10
    frame = make_frame(1, 0)
    write_shard(tmp_path / "shard-00000.h5", [make_frame(0, 0), frame])
    names: dict = {}
    exec(code.replace("data/plgp/shard-00000.h5", str(tmp_path / "shard-00000.h5")), names)
    np.testing.assert_array_equal(names["row"], frame["grasps"].row)
    np.testing.assert_array_equal(names["rgb"], frame["rgb"])
    np.testing.assert_allclose(names["depth"], frame["depth"], atol=0.6e-4)


@given(st.lists(st.floats(0, 6.5), min_size=1))
def test_depth_survives_within_its_step(values):
    depth = np.array(values, np.float32)
    back = decode_depth(encode_depth(depth))
    assert ((back == 0) == (depth == 0)).all()
    assert (np.abs(back - depth) <= np.where(depth < 1e-4, 1e-4, 0.51e-4)).all()


def write_and_fail(path, frame, error):
    with ShardWriter(path) as writer:
        writer.add(frame)
        if error is not None:
            raise error


def test_failed_write_leaves_nothing_behind(tmp_path):
    frame = make_frame(0, 0)
    with pytest.raises(ZeroDivisionError):
        write_and_fail(tmp_path / "a.h5", frame, ZeroDivisionError())
    frame["pose"] = "no pose"  # found only when the file is closed
    with pytest.raises(ValueError, match="could not convert"):
        write_and_fail(tmp_path / "a.h5", frame, None)
    assert list(tmp_path.iterdir()) == []


def test_data_set_lists_reads_and_splits_by_scene(tmp_path):
    data = make_data_set(tmp_path)
    assert len(data) == 12
    for i in (0, 5, 6, 11):
        frame = data.read(i, ALL)
        assert (frame["scene"], frame["view"]) == (i // 2, i % 2)
        assert frame["scene"] == data.scenes[i]
        assert_same(make_frame(i // 2, i % 2, labels=3 * (i // 2)), frame)
    parts = data.splits(0.6, 0.2, 0.2)
    assert sorted([*parts[0], *parts[1], *parts[2]]) == list(range(12))
    seen = [set(data.scenes[p].tolist()) for p in parts]
    assert all(seen)
    assert not seen[0] & seen[1]
    assert not seen[0] & seen[2]
    assert data.splits(0.6, 0.2, 0.2) == parts
    assert data.verify_checksums() == []


def test_more_shards_than_files_may_be_open(tmp_path):
    """A quarter of the process's files is open at most, whatever the order; every image is still its own."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = {int(entry.name) for entry in Path("/proc/self/fd").iterdir()}
    limit = max(before) + 24
    shards = limit // 4 + 12
    data = make_data_set(tmp_path, scenes=shards, views=1, shards=shards)
    order = np.random.default_rng(0).permutation(np.tile(np.arange(shards), 3))
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
        seen = [data.read(int(index), ("depth",))["scene"] for index in order]
        opened = len(list(Path("/proc/self/fd").iterdir())) - len(before)
        assert len(data.grasp_counts()) == shards
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert seen == data.scenes[order].tolist()
    assert opened <= limit // 4 < shards


def read_scene(data, index):
    return data.read(index)["scene"]


def test_data_set_travels_to_other_processes(tmp_path):
    data = make_data_set(tmp_path)
    data.read(0)  # an open handle must not travel
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert pool.submit(pickle.loads(pickle.dumps(data)).read, 7).result()["scene"] == 3


def damage(kind, path):
    content = path.read_bytes()
    if kind == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "not hdf5":
        path.write_bytes(b"hello" * 100)
    elif kind == "missing":
        path.unlink()
    elif kind == "schema":
        with h5py.File(path, "a") as file:
            file.attrs["schema_version"] = 99
    elif kind == "lacks":
        with h5py.File(path, "a") as file:
            del file["camera/pose"]


@pytest.mark.parametrize("kind", ["truncated", "not hdf5", "missing", "schema", "lacks"])
def test_damaged_shard_is_one_clear_error(tmp_path, kind):
    data = make_data_set(tmp_path)
    damage(kind, tmp_path / "shard-00001.h5")
    data.read(0)
    with pytest.raises(InputError, match=r"shard .*shard-00001.h5 .*generate") as caught:
        data.read(6)
    assert "\n" not in str(caught.value)


def test_damage_anywhere_is_an_input_error_or_harmless(tmp_path):
    """Cut short or with wrong bytes, most of them where HDF5 keeps its bookkeeping: never a raw error of h5py's."""
    rng = np.random.default_rng(0)
    path = tmp_path / "a.h5"
    write_shard(path, [make_frame(s, 0) for s in range(2)])
    content, named = path.read_bytes(), []
    for turn in range(120):
        broken = bytearray(content)
        if turn % 3 == 0:
            del broken[rng.integers(len(broken)) :]
        for place in rng.integers(0, min(len(broken), 12000), 8 if turn % 3 == 1 else 1) if broken else ():
            broken[place] ^= rng.integers(1, 256)
        path.write_bytes(broken)
        reader = ShardReader(path)
        try:
            for index in range(len(reader)):
                reader.read(index, ALL)
        except InputError as error:
            named.append(str(error))
        finally:
            reader.close()
    assert len(named) > 80
    assert not any("\n" in text for text in named)


def test_corrupt_chunk_is_found(tmp_path):
    data = make_data_set(tmp_path)
    path = tmp_path / "shard-00000.h5"
    with h5py.File(path) as file:
        info = file["rgb"].id.get_chunk_info(1)
    content = bytearray(path.read_bytes())
    content[info.byte_offset : info.byte_offset + 200] = b"\xff" * 200
    path.write_bytes(content)
    with pytest.raises(InputError, match="damaged at image 1"):
        data.read(1)
    assert data.verify_checksums() == ["shard-00000.h5"]


def test_folder_without_data_set_and_broken_description(tmp_path):
    with pytest.raises(InputError, match="no finished data set"):
        DataSet(tmp_path / "nowhere")
    (tmp_path / "dataset.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        DataSet(tmp_path)
    (tmp_path / "dataset.json").write_text(json.dumps({"schema_version": 7, "shards": []}))
    with pytest.raises(InputError, match="schema 7"):
        DataSet(tmp_path)


def test_wrong_index_and_key_are_named(tmp_path):
    data = make_data_set(tmp_path)
    with pytest.raises(InputError, match=r"0 \.\.\. 11, not 12"):
        data.read(12)
    with pytest.raises(InputError, match="colour"):
        data.read(0, ("colour",))


def test_scores_are_kept_where_asked_for_and_travel_with_a_shards_images(tmp_path):
    frame = make_frame(1, 0, labels=50)
    score = np.linspace(0, 1, 50, dtype=np.float32)
    frame["grasps"] = replace(frame["grasps"], score=score)
    for scores in (True, False):
        with ShardWriter(tmp_path / "one.h5", scores=scores) as writer:
            writer.add(frame)
        with ShardWriter(tmp_path / "packed.h5", scores=scores) as writer:
            writer.add_all(ShardReader(tmp_path / "one.h5"))
        for name in ("one.h5", "packed.h5"):
            read = ShardReader(tmp_path / name).read(0, ())["grasps"].score
            assert read.dtype == np.float32
            np.testing.assert_allclose(read, score if scores else 0, atol=0.5 / 255 + 1e-6)
            with h5py.File(tmp_path / name) as file:
                assert ("grasps/score" in file) == scores
