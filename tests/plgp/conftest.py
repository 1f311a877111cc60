"""A tiny data set on disk, in the real shard format: bars on a floor, with grasps across them."""

import json
import os

import numpy as np
import pytest

os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_SILENT", "true")

from labeler.labels import GraspLabels
from labeler.shards import ShardWriter
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


def write_bars(folder, scenes=8, views=2, seed=0):
    """Writes the data set."""
    rng = np.random.default_rng(seed)
    with ShardWriter(folder / "shard-00000.h5") as writer:
        for scene in range(scenes):
            for view in range(views):
                rgb, depth, mask, grasps = bars(rng)
                noisy = depth + rng.normal(0, 0.001, depth.shape).astype(np.float32)
                noisy[200:205, 300:305] = 0
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
    (folder / "dataset.json").write_text(json.dumps({"schema_version": 1, "hash": "bars", "shards": [line]}))
    return folder


@pytest.fixture(scope="session")
def bars_folder(tmp_path_factory):
    """Folder of a data set of 8 scenes x 2 views."""
    return write_bars(tmp_path_factory.mktemp("bars"))


@pytest.fixture
def bars_image():
    """``rgb``, ``depth``, ``mask``, ``grasps`` and camera of one image of bars."""
    return *bars(np.random.default_rng(0)), CAMERA
