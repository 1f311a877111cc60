"""A tiny data set on disk, in the real shard format: bars on a floor, with grasps across them. A reader of W&B runs."""

import json
import os
import struct
import sys
import time
import zlib
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_SILENT", "true")

from labeler.labels import GraspLabels
from labeler.shards.writer import ShardWriter
from plgp.targets import GraspMaps
from sim.camera import PinholeCamera, overhead_pose

BINS = 18
CAMERA = PinholeCamera.from_fov(pose=overhead_pose(0.6))


def bars(rng, count=6):
    """One image of ``count`` bars, 24 mm wide and 30 mm high, and grasps across their middles."""
    depth = np.full((480, 640), 0.6, np.float32)
    mask = np.zeros((480, 640), np.uint8)
    rows, cols = np.mgrid[:480, :640]
    labels = []
    centres = rng.permutation([(r, c) for r in (130, 240, 350) for c in (210, 320, 430)])[:count]
    for value, (row, col) in enumerate(centres, start=1):
        angle_bin = int(rng.integers(BINS))
        angle = angle_bin * np.pi / BINS
        across = (cols - col) * np.cos(angle) - (rows - row) * np.sin(angle)
        along = (cols - col) * np.sin(angle) + (rows - row) * np.cos(angle)
        bar = (np.abs(across) < 8.8) & (np.abs(along) < 35)
        depth[bar], mask[bar] = 0.57, value
        labels += [
            (row + round(t * np.cos(angle)), col + round(t * np.sin(angle)), angle_bin) for t in range(-12, 13, 2)
        ]
    labels = np.array(sorted(set(labels)))
    n = len(labels)
    width = np.full(n, 0.029, np.float32)
    grasps = GraspLabels(*labels.T.astype(np.uint16), np.full(n, 0.02, np.float32), width, np.zeros(n, np.float32))
    rgb = np.repeat((60 + 25 * mask)[..., None], 3, axis=2).astype(np.uint8)
    return rgb, depth, mask, grasps


def write_bars(folder, scenes=8, views=2, seed=0, scores=False):
    """Writes the data set; with ``scores`` its labels have random ones."""
    rng = np.random.default_rng(seed)
    with ShardWriter(folder / "shard-00000.h5", scores=scores) as writer:
        for scene in range(scenes):
            for view in range(views):
                rgb, depth, mask, grasps = bars(rng)
                noisy = depth + rng.normal(0, 0.001, depth.shape).astype(np.float32)
                noisy[200:205, 300:305] = 0
                if scores:
                    grasps = replace(grasps, score=rng.random(len(grasps), np.float32))
                writer.add(
                    {
                        "rgb": rgb,
                        "depth": depth,
                        "depth_noisy": noisy,
                        "instance_mask": mask,
                        "grasps": grasps,
                        "intrinsics": CAMERA.intrinsics,
                        "pose": CAMERA.pose,
                        "objects": (),
                        "scene": scene,
                        "view": view,
                    }
                )
    line = {"file": "shard-00000.h5", "scenes": [[s, views] for s in range(scenes)], "sha256": ""}
    about = {"schema_version": 1, "hash": "bars", "shards": [line], "recipe": {"scores": True} if scores else {}}
    (folder / "dataset.json").write_text(json.dumps(about))
    return folder


@pytest.fixture(scope="session")
def bars_folder(tmp_path_factory):
    """Folder of a data set of 8 scenes x 2 views."""
    return write_bars(tmp_path_factory.mktemp("bars"))


@pytest.fixture
def scored_bars(tmp_path):
    """Folder of a data set of 4 scenes x 1 view whose labels have scores."""
    return write_bars(tmp_path, scenes=4, views=1, scores=True)


@pytest.fixture
def bars_image():
    """``rgb``, ``depth``, ``mask``, ``grasps`` and camera of one image of bars."""
    return *bars(np.random.default_rng(0)), CAMERA


@pytest.fixture(scope="session", autouse=True)
def _small_images_are_timed():
    """What a network costs is measured at every training's start: of a small image here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("plgp.networks.cost.TIMED_SIZE", (64, 64))
        yield


@pytest.fixture(scope="session")
def perfect():
    """A maker of probability maps (480x640) with peaks at some pixels and angle bins, of falling quality."""

    def maps_of(rows, cols, bins, width=0.2):
        maps = GraspMaps(torch.zeros(1, 1, 480, 640), torch.zeros(1, 18, 480, 640), torch.zeros(1, 18, 480, 640))
        for i, (r, c, k) in enumerate(zip(rows, cols, bins, strict=True)):
            maps.quality[0, 0, r, c] = 0.9 - 0.1 * i
            maps.angle[0, k, r, c] = 1
            maps.width[0, k, r, c] = width
        return maps

    return maps_of


@pytest.fixture
def command(monkeypatch, tmp_path, capsys):
    """A caller of a command in this process, which has its libraries at hand: (main, words) -> status and output."""

    def run(main, *words):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [main.__module__, *words])
        capsys.readouterr()
        try:
            status = main()
        except SystemExit as end:
            status = end.code
        said = capsys.readouterr()
        return SimpleNamespace(returncode=status or 0, stdout=said.out, stderr=said.err)

    return run


@pytest.fixture
def small():
    """Overrides of conf/train.yaml for a training of seconds on the bars."""
    return [
        "data.recipe=null",
        "crop=64",
        "data.translate_px=10",
        "data.batch_size=2",
        "data.samples_per_epoch=4",
        "data.val_samples=2",
        "trainer.max_epochs=1",
        "+trainer.enable_progress_bar=false",
        "trainer.log_every_n_steps=1",
    ]


@pytest.fixture
def one_attempt():
    """Overrides of conf/train.yaml for a benchmark of one grasp: a small camera's picture of one object."""
    return [
        "objects.last=4",
        "camera.width=160",
        "camera.height=128",
        "benchmark.count=1",
        "benchmark.max_failures=1",
        "callbacks.benchmark.scenes=1",
        "callbacks.benchmark.object_count=1",
        "callbacks.pictures=null",
    ]


def wandb_records(path):
    """Yields the records of a W&B file: chunks in blocks of 32 KiB, each with checksum, length and type (LevelDB)."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, position, content = path.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    while position + 7 <= len(data):
        room = 32768 - position % 32768
        if room < 7:
            position += room
            continue
        checksum, length, kind = struct.unpack("<IHB", data[position : position + 7])
        part = data[position + 7 : position + 7 + length]
        if len(part) < length:
            return  # still being written
        assert zlib.crc32(part, zlib.crc32(bytes([kind]))) == checksum
        content += part
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = Record()
            record.ParseFromString(content)
            yield record
            content = b""


def read_wandb_run(folder):
    """What the one offline run under ``folder`` logged, from W&B's own file."""
    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    found = {"history": {}, "summary": {}, "metrics": {}, "finished": False, "files": [], "tables": [], "config": {}}
    for record in wandb_records(path):
        kind = record.WhichOneof("record_type")
        artifact = record.artifact or record.request.log_artifact.artifact
        if artifact.type == "run_table":  # what `wandb sync` would send: {name: path}
            found["tables"].append({entry.path: entry.local_path for entry in artifact.manifest.contents})
        elif kind == "run":
            found |= {"name": record.run.display_name, "group": record.run.run_group, "tags": list(record.run.tags)}
            found["project"] = record.run.project
            found["config"] |= {line.key: json.loads(line.value_json) for line in record.run.config.update}
        elif kind == "config":
            found["config"] |= {line.key: json.loads(line.value_json) for line in record.config.update}
        elif kind == "history":
            for line in record.history.item:
                name = line.key or "/".join(line.nested_key)
                found["history"].setdefault(name, []).append(json.loads(line.value_json))
        elif kind == "summary":
            for line in record.summary.update:
                found["summary"][line.key or "/".join(line.nested_key)] = json.loads(line.value_json)
        elif kind == "metric":
            found["metrics"][record.metric.name] = [n for n in ("min", "max") if getattr(record.metric.summary, n)]
        elif kind == "files":
            found["files"] += [entry.path for entry in record.files.files]
        elif kind == "exit":
            found["finished"] = record.exit.exit_code == 0
    return found


@pytest.fixture(scope="session")
def wandb_run():
    """A reader of offline runs: folder -> name, group, tags, history, summary, metrics, files, tables, finished.

    It waits until W&B's own process, which may lag on a busy machine, has ended the run.
    """

    def read(folder, seconds=30):
        end = time.monotonic() + seconds
        while not (found := read_wandb_run(folder))["finished"] and time.monotonic() < end:
            time.sleep(0.1)
        return found

    return read
