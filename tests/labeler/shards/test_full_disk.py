"""A shard that finds no room: one error while it is written, nothing left of it, and no crash of HDF5."""

import resource

import numpy as np
import pytest

from labeler.formats.authors_data import room_in
from labeler.labels import GraspLabels
from labeler.shards.writer import ShardWriter
from sim.errors import InputError

SIZE = (200, 300)


@pytest.fixture
def small_disk():
    """Files of 100 KiB at most."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100 << 10, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def make_frame(labels):
    rng = np.random.default_rng(0)
    columns = {"row": np.uint16, "col": np.uint16, "angle_bin": np.uint8, "depth": np.float32, "width": np.float32}
    grasps = {name: rng.integers(0, 18, labels).astype(kind) for name, kind in columns.items()}
    return {
        "rgb": rng.integers(0, 255, (*SIZE, 3)).astype(np.uint8) if not labels else np.zeros((*SIZE, 3), np.uint8),
        "depth": np.full(SIZE, 0.6, np.float32),
        "depth_noisy": np.full(SIZE, 0.6, np.float32),
        "instance_mask": np.ones(SIZE, np.uint8),
        "grasps": GraspLabels(**grasps, score=np.zeros(labels, np.float32)),
        "intrinsics": np.diag([50.0, 50.0, 1.0]),
        "pose": np.eye(4),
        "objects": (),
        "scene": 0,
        "view": 0,
    }


@pytest.mark.parametrize("labels", [0, 50_000])  # with none the pictures do not fit, with many the labels
def test_a_full_disk_is_one_sentence(labels, tmp_path, small_disk):
    def write():
        with ShardWriter(tmp_path / "shard.h5") as writer:
            for _ in range(2):
                writer.add(make_frame(labels))

    with pytest.raises(InputError, match=r"no space left for|\(File too large\)"), room_in(tmp_path):
        write()
    assert list(tmp_path.iterdir()) == []
