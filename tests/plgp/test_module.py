"""Training end to end on the tiny data set, overfitting, checkpoints."""

import re
from pathlib import Path

import lightning
import numpy as np
import pytest
import torch

from plgp.data import PLGPDataModule, collate
from plgp.losses import GraspLoss
from plgp.metrics import GraspMetrics
from plgp.module import GraspModule, load_module
from plgp.policy import NetworkPolicy
from plgp.targets import GraspMaps
from sim.benchmark import Observation
from sim.camera import PinholeCamera, overhead_pose
from sim.errors import InputError
from sim.gripper import GripperGeometry

GGCNN2_CONFIG = {"_target_": "plgp.networks.GGCNN2", "prior": None}
CAMERA = PinholeCamera.from_fov(pose=overhead_pose(0.6))


def module(**options):
    return GraspModule(network=GGCNN2_CONFIG, gripper=GripperGeometry(), **options)


@pytest.fixture(scope="module")
def fitted(bars_folder, tmp_path_factory):
    """A module after two short epochs, and its checkpoint."""
    torch.manual_seed(0)
    data = PLGPDataModule(bars_folder, crop=128, translate_px=10, batch_size=4, depth_scale=10)
    schedule = {
        "partial": {
            "_target_": "torch.optim.lr_scheduler.OneCycleLR",
            "_partial_": True,
            "max_lr": 1e-3,
            "total_steps": None,
        },
        "interval": "step",
    }
    net = module(depth_scale=10.0, window=128, scheduler=schedule)
    root = tmp_path_factory.mktemp("fit")
    trainer = lightning.Trainer(
        max_epochs=2,
        limit_train_batches=2,
        limit_val_batches=1,
        default_root_dir=root,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=1,
    )
    trainer.fit(net, data)
    trainer.save_checkpoint(root / "some.ckpt")
    return net, root / "some.ckpt", trainer


def observation(bars_folder, index=0):
    data = PLGPDataModule(bars_folder)
    data.setup()
    read = data.source.read(index, ("rgb", "depth_noisy"))
    return Observation(read["rgb"], read["depth_noisy"], CAMERA)


def test_the_loss_of_a_validation_does_not_depend_on_how_images_are_batched(bars_folder, monkeypatch):
    """Of three images by two the last one counted for two; under DDP an image that fills up a round counted as 0."""
    torch.manual_seed(0)
    net, logged = module(window=128).eval(), {}
    monkeypatch.setattr(net, "log", lambda name, value, **_: logged.update({name: value}))
    source = PLGPDataModule(bars_folder, crop=128)
    source.setup()
    frames = source.frames(train=False)
    images = [frames[0, i] for i in range(3)]
    losses = []
    for batches in ([images], [images[:2], images[2:]], [images[:1], images[1:2], images[2:]]):
        net.validation_loss.reset()
        for batch in batches:
            net.validation_step(source.on_after_batch_transfer(collate(batch), 0), 0)
        losses.append(float(logged["val/loss"].compute()))
    np.testing.assert_allclose(losses, losses[0], rtol=1e-5)
    filling = source.on_after_batch_transfer(collate(images[:1]), 0)
    net.validation_step(filling._replace(image_index=filling.image_index * 0 - 1), 0)
    assert float(logged["val/loss"].compute()) == losses[-1]


def test_fit_logs_and_checkpoint_gives_the_same_grasps(fitted, bars_folder):
    net, path, trainer = fitted
    assert {"train/loss", "val/loss", "val/quality_ap", "val/width_error"} <= set(trainer.callback_metrics)
    checkpoint = torch.load(path, weights_only=True)
    assert checkpoint["hyper_parameters"]["gripper"]["max_opening"] == 0.1
    seen = observation(bars_folder)
    before = NetworkPolicy.from_module(net)(seen, 20)
    after = NetworkPolicy.from_checkpoint(path, GripperGeometry())(seen, 20)
    assert len(before) >= 5
    np.testing.assert_array_equal(before.translation, after.translation)
    np.testing.assert_array_equal(before.rotation, after.rotation)
    assert (np.diff(after.quality) <= 0).all()
    control = NetworkPolicy.from_checkpoint(path, untrained=True, seed=3)(seen, 20)
    assert not np.array_equal(control.translation, after.translation)


def test_the_training_in_python_on_its_page_runs(bars_folder, tmp_path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "training.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine").symlink_to(bars_folder)
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(code, names)
    logged, policy = names["trainer"].callback_metrics, names["policy"]
    assert {"test/loss", "test/hit_rate", "test/quality_ap"} <= set(logged)
    assert not {name for name in logged if name.startswith("val/")}
    assert policy.trained_view == names["data"].trained_view


def test_bad_checkpoints_are_clear(fitted, tmp_path):
    _, path, _ = fitted
    with pytest.raises(InputError, match="no checkpoint"):
        NetworkPolicy.from_checkpoint(tmp_path / "none.ckpt")
    broken = tmp_path / "broken.ckpt"
    broken.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(InputError, match="broken"):
        NetworkPolicy.from_checkpoint(broken)
    torch.save({"state_dict": {}}, tmp_path / "other.ckpt")
    with pytest.raises(InputError, match="not written by plgp"):
        NetworkPolicy.from_checkpoint(tmp_path / "other.ckpt")
    with pytest.raises(InputError, match="another gripper: its max_opening"):
        NetworkPolicy.from_checkpoint(path, GripperGeometry(max_opening=0.08))
    assert NetworkPolicy.from_checkpoint(path, GripperGeometry(force=10.0))  # labels do not depend on it
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["hyper_parameters"]["network"]["_target_"] = "os.system"
    torch.save(checkpoint, tmp_path / "evil.ckpt")
    with pytest.raises(InputError, match=r"outside plgp\.networks"):
        load_module(tmp_path / "evil.ckpt")
    checkpoint["hyper_parameters"]["network"]["_target_"] = "plgp.networks.NoSuchNet"
    torch.save(checkpoint, tmp_path / "unknown.ckpt")
    with pytest.raises(InputError, match="NoSuchNet"):
        load_module(tmp_path / "unknown.ckpt")


@pytest.mark.slow  # tests/plgp/networks/test_overfit.py has it learn crops by heart in every run
def test_ggcnn2_overfits_a_few_crops(bars_folder):
    """Far below the best constant prediction, and the best grasps lie on labels."""
    torch.manual_seed(0)
    data = PLGPDataModule(bars_folder, crop=128, batch_size=4, depth_scale=10)
    data.setup()
    frames = data.frames(train=False)
    batch = data.on_after_batch_transfer(collate([frames[0, i] for i in range(4)]))
    loss = GraspLoss()
    constant = torch.zeros(37, requires_grad=True)
    best = torch.optim.Adam([constant], lr=0.2)
    for _ in range(150):
        best.zero_grad()
        anchor = loss(GraspMaps.split(constant.view(1, 37, 1, 1).expand(4, 37, 128, 128)), batch.target).total
        anchor.backward()
        best.step()
    net = GraspModule(GGCNN2_CONFIG | {"prior": 0.05}, GripperGeometry()).network
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=250)
    for _ in range(250):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            logits = net(batch.image)
        value = loss(logits, batch.target).total
        value.backward()
        optimizer.step()
        schedule.step()
    metrics = GraspMetrics()
    metrics.update(net(batch.image), batch.target)
    assert value.item() < 0.1 * anchor.item()
    assert metrics.hit_rate.compute() == 1
    assert metrics.angle_accuracy.compute() > 0.9
