"""Speed of a GGCNN2 training step, of loading, of Lightning beside a bare loop, of the policy."""

import json
import time

import lightning
import numpy as np
import pytest
import torch

from labeler.labels import GraspLabels
from labeler.shards import DataSet, ShardWriter
from plgp.data import GraspFrames, PLGPDataModule
from plgp.module import GraspModule
from plgp.policy import NetworkPolicy
from plgp.transforms import Augmentation, InputFormat
from sim.benchmark import Observation
from sim.camera import PinholeCamera, overhead_pose
from sim.gripper import GripperGeometry

CAMERA = PinholeCamera.from_fov(pose=overhead_pose(0.6))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data set of 16 images with 1,280 labels each; blocks on a floor."""
    folder, rng = tmp_path_factory.mktemp("speed"), np.random.default_rng(0)
    with ShardWriter(folder / "shard-00000.h5") as writer:
        for scene in range(16):
            depth, mask = np.full((480, 640), 0.6, np.float32), np.zeros((480, 640), np.uint8)
            for value in range(1, 16):
                row, col = rng.integers(90, 360), rng.integers(170, 440)
                depth[row : row + 60, col : col + 20], mask[row : row + 60, col : col + 20] = 0.57, value
            rows, cols = np.nonzero(mask)
            pick = rng.integers(len(rows), size=1280)
            width = np.full(1280, 0.04, np.float32)
            bins = rng.integers(0, 18, 1280).astype(np.uint8)
            row, col = rows[pick].astype(np.uint16), cols[pick].astype(np.uint16)
            frame = {"rgb": rng.integers(0, 255, (480, 640, 3), dtype=np.uint8) // 8, "instance_mask": mask}
            frame |= {"depth": depth, "depth_noisy": depth + rng.normal(0, 0.002, depth.shape).astype(np.float32)}
            frame |= {"grasps": GraspLabels(row, col, bins, width, width, width), "intrinsics": CAMERA.intrinsics}
            writer.add(frame | {"pose": CAMERA.pose, "objects": (), "scene": scene, "view": 0})
    line = {"file": "shard-00000.h5", "scenes": [[s, 1] for s in range(16)], "sha256": ""}
    (folder / "dataset.json").write_text(json.dumps({"schema_version": 1, "hash": "speed", "shards": [line]}))
    return folder


def step_of(module, data):
    """A training step on one batch as a bare loop does it."""
    batch = next(iter(data.train_dataloader()))
    optimizer = module.configure_optimizers()

    def step():
        moved = data.on_after_batch_transfer(batch)
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            logits = module.network(moved.image)
        module.loss(logits, moved.target).total.backward()
        optimizer.step()

    return step


def ggcnn2():
    torch.manual_seed(0)
    return GraspModule({"_target_": "plgp.networks.GGCNN2"}, GripperGeometry())


def test_ggcnn2_training_step(benchmark, folder):
    data = PLGPDataModule(folder, batch_size=8)
    data.setup()
    benchmark.pedantic(step_of(ggcnn2(), data), rounds=5, warmup_rounds=1)
    benchmark.extra_info["images_per_second"] = 8 / benchmark.stats["mean"]
    benchmark.extra_info["target"] = ">= 8 images/s"


def test_rgbd_samples_of_one_worker(benchmark, folder):
    frames = GraspFrames(DataSet(folder), Augmentation(), InputFormat("rgbd"))

    def read():
        for index in range(16):
            frames[0, index]

    benchmark.pedantic(read, rounds=5, warmup_rounds=1)
    benchmark.extra_info["samples_per_second"] = 16 / benchmark.stats["mean"]
    benchmark.extra_info["target"] = ">= 100 samples/s and worker"


def test_policy_50_grasps(benchmark):
    rng = np.random.default_rng(0)
    depth = np.full((480, 640), 0.6, np.float32)
    for _ in range(15):
        row, col = rng.integers(90, 360), rng.integers(170, 440)
        depth[row : row + 60, col : col + 20] = 0.57
    seen = Observation(np.zeros((480, 640, 3), np.uint8), depth, CAMERA)
    policy = NetworkPolicy.from_module(ggcnn2())
    policy(seen, 50)
    benchmark.pedantic(lambda: policy(seen, 50), rounds=5)
    benchmark.extra_info["target"] = "<= 0.35 s"


def test_lightning_beside_a_bare_loop(folder):
    """CPU seconds of the same 20 steps, in Lightning and bare; printed, not asserted."""
    data = PLGPDataModule(folder, batch_size=8, samples_per_epoch=160)
    data.setup()
    module, loader = ggcnn2(), data.train_dataloader()
    trainer = lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        precision="bf16-mixed",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
    )
    start = time.process_time()
    trainer.fit(module, datamodule=data)
    with_lightning = time.process_time() - start
    module, optimizer = ggcnn2().train(), None
    start = time.process_time()
    optimizer = module.configure_optimizers()
    for batch in loader:
        moved = data.on_after_batch_transfer(batch)
        with torch.autocast("cpu", torch.bfloat16):
            logits = module.network(moved.image)
        optimizer.zero_grad()
        module.loss(logits, moved.target).total.backward()
        optimizer.step()
    bare = time.process_time() - start
    print(f"\nLightning {with_lightning:.1f} CPU s, bare {bare:.1f} CPU s, ratio {with_lightning / bare:.3f} (<= 1.05)")
