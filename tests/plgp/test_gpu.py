"""CUDA: losses, steps, resuming, compiled networks and inference are the CPU's. Skipped where there is no GPU."""

import math
import time

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module

from plgp.data import InputFormat
from plgp.losses import GraspLoss
from plgp.module import build_network
from plgp.policy import NetworkPolicy
from plgp.targets import GraspMaps, LabelBatch, rasterise
from plgp.train import train
from sim.camera import PinholeCamera
from sim.gripper import GripperGeometry
from sim.view import Observation

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]
NETWORKS = ["GGCNN2", "GRCNN", "UNet", "SegNet", "DeepLabV3Plus", "STDC", "DANet", "AFFGANet"]
BINS, SIDE = 18, 128


def batch(device):
    """Four images of noise and forty labels in each, with their dense targets, on a device."""
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.normal(0, 0.3, (4, 1, SIDE, SIDE)).astype(np.float32)).to(device)
    columns = (np.repeat(np.arange(4), 40), *(rng.integers(8, SIDE - 8, 160) for _ in range(2)))
    labels = [torch.from_numpy(c).to(device) for c in (*columns, rng.integers(BINS, size=160))]
    widths = torch.from_numpy(rng.uniform(0.02, 0.09, 160).astype(np.float32)).to(device)
    target = rasterise(LabelBatch(*labels, widths), (4, SIDE, SIDE), bins=BINS, max_opening=0.1)
    return image, GraspMaps(*target)


def network_of(name):
    torch.manual_seed(0)
    return build_network({"_target_": f"plgp.networks.{name}"}, 1, BINS)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_step_in_half_precision_has_the_cpus_loss(name, dtype):
    """The loss agrees within 3 %; after a step every weight is finite and some have moved."""
    loss, network = GraspLoss(bin_weight=0.1), network_of(name)
    for layer in network.modules():  # batch norm as in training: untrained statistics let float16 overflow
        if isinstance(layer, torch.nn.modules.dropout._DropoutNd):
            layer.p = 0.0
    image, target = batch("cpu")
    with torch.no_grad():
        expected = loss(network(image), target).total.item()
    network, (image, target) = network.cuda(), batch("cuda")
    optimizer, scaler = torch.optim.Adam(network.parameters(), 1e-3), torch.amp.GradScaler("cuda")
    before = [p.detach().clone() for p in network.parameters()]
    with torch.autocast("cuda", dtype):
        total = loss(network(image), target).total
    assert total.item() == pytest.approx(expected, rel=0.03)
    scaler.scale(total).backward()
    scaler.step(optimizer)
    after = list(network.parameters())
    assert all(torch.isfinite(p).all() for p in after)
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_losses_terms_are_the_cpus():
    """In float32 all terms agree to a millionth: the loss works in pieces on the CPU and at once on a GPU."""
    loss, generator = GraspLoss(bin_weight=0.1), torch.Generator().manual_seed(0)
    logits = [torch.randn(4, n, SIDE, SIDE, generator=generator) for n in (1, BINS, BINS)]
    here = loss(GraspMaps(*logits), batch("cpu")[1])
    there = loss(GraspMaps(*(part.cuda() for part in logits)), batch("cuda")[1])
    for mine, theirs in zip(here, there, strict=True):
        assert theirs.item() == pytest.approx(mine.item(), rel=1e-5)


def test_a_compiled_network_gives_the_same_maps():
    network = network_of("GGCNN2").cuda().eval()
    image = batch("cuda")[0]
    with torch.no_grad():
        plain, compiled = network(image), torch.compile(network)(image)
    for mine, theirs in zip(plain, compiled, strict=True):
        torch.testing.assert_close(mine, theirs, atol=2e-3, rtol=2e-3)


def options_for(folder, output, *more):
    options = ["data.recipe=null", f"data.folder={folder}", "crop=96", "data.translate_px=10", "data.batch_size=2"]
    options += ["data.samples_per_epoch=4", "data.val_samples=2", "callbacks=none", "logger=csv"]
    with initialize_config_module("plgp_conf", version_base="1.3"):
        return compose("train", overrides=[*options, f"output={output}", *more])


@pytest.mark.parametrize("more", [["trainer=gpu", "data.workers=2"], ["trainer=ddp", "trainer.devices=1"]])
def test_training_ends_and_goes_on(more, bars_folder, tmp_path):
    first = train(options_for(bars_folder, tmp_path, *more, "trainer.max_epochs=1"))
    resume = tmp_path / "checkpoints" / "last.ckpt"
    train(options_for(bars_folder, tmp_path, *more, "trainer.max_epochs=2", f"resume={resume}"))
    assert math.isfinite(first["val/loss"])
    assert torch.load(resume, weights_only=True)["epoch"] == 1


def test_the_policy_finds_the_cpus_grasps_and_says_its_speed():
    rng = np.random.default_rng(0)
    depth = np.full((480, 640), 0.6, np.float32)
    for row, col in rng.integers(120, 360, (6, 2)):
        depth[row - 12 : row + 12, col - 30 : col + 30] = 0.57
    seen = Observation(None, depth, PinholeCamera.from_fov())
    here, there = (NetworkPolicy.from_checkpoint("pretrained", device=d) for d in ("cpu", "cuda"))
    mine, theirs = here.predict(None, depth), there.predict(None, depth)
    np.testing.assert_allclose(theirs.quality.cpu(), mine.quality, atol=5e-3)
    assert there.gripper == GripperGeometry()
    assert isinstance(there.input_format, InputFormat)
    there.pixel_grasps(seen, 10)
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(20):
        there.predict(None, depth)
    torch.cuda.synchronize()
    print(f"GGCNN2, 480 x 640: {(time.perf_counter() - start) * 50:.1f} ms an image on {torch.cuda.get_device_name()}")
