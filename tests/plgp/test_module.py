"""Training end to end on the tiny data set, overfitting, checkpoints, the policy."""

from dataclasses import replace

import lightning
import numpy as np
import pytest
import torch

from plgp.data import PLGPDataModule, collate
from plgp.data.input_format import InputFormat
from plgp.losses import GraspLoss
from plgp.metrics import BinnedAveragePrecision, GraspMetrics, rectangle_iou
from plgp.module import GraspModule, load_module
from plgp.networks import GGCNN2
from plgp.policy import DecoderSettings, NetworkPolicy, Workspace, decode
from plgp.targets import GraspMaps, LabelBatch, rasterise
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
    checkpoint = torch.load(path, weights_only=True)
    checkpoint["hyper_parameters"]["network"]["_target_"] = "os.system"
    torch.save(checkpoint, tmp_path / "evil.ckpt")
    with pytest.raises(InputError, match=r"outside plgp\.networks"):
        load_module(tmp_path / "evil.ckpt")
    checkpoint["hyper_parameters"]["network"]["_target_"] = "plgp.networks.NoSuchNet"
    torch.save(checkpoint, tmp_path / "unknown.ckpt")
    with pytest.raises(InputError, match="NoSuchNet"):
        load_module(tmp_path / "unknown.ckpt")


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


def perfect(rows, cols, bins, depth=None, width=0.2):
    """Probability maps with peaks at some pixels and angle bins."""
    maps = GraspMaps(torch.zeros(1, 1, 480, 640), torch.zeros(1, 18, 480, 640), torch.zeros(1, 18, 480, 640))
    for i, (r, c, k) in enumerate(zip(rows, cols, bins, strict=True)):
        maps.quality[0, 0, r, c] = 0.9 - 0.1 * i
        maps.angle[0, k, r, c] = 1
        maps.width[0, k, r, c] = width
    return maps


def test_decoder_reads_what_the_maps_say():
    depth = np.full((480, 640), 0.6, np.float32)
    depth[200:240, 300:312] = 0.57  # 12 pixels are 16 mm wide
    maps = perfect([220, 221, 100], [306, 306, 100], [0, 0, 5])
    settings = DecoderSettings()
    grasps = decode(maps, depth, CAMERA, gripper=GripperGeometry(), count=1)
    assert (grasps.row[0], grasps.col[0]) == (220, 306)
    assert grasps.angle[0] == 0
    assert grasps.width[0] == pytest.approx(0.03)
    assert grasps.depth[0] == pytest.approx(0.03 - settings.depth_margin, abs=1e-4)
    deepest = decode(
        maps, depth, CAMERA, gripper=GripperGeometry(), count=1, settings=replace(settings, depth_margin=0.0)
    )
    assert deepest.depth[0] == pytest.approx(0.03, abs=1e-4)
    assert grasps.quality[0] == pytest.approx(0.9)
    # The neighbour was suppressed; the bare floor at (100, 100) allows no depth.
    two = decode(maps, depth, CAMERA, gripper=GripperGeometry(), count=2, settings=DecoderSettings(suppression_px=3))
    assert (two.row[0], two.col[0]) == (220, 306)
    assert (100, 100) not in set(zip(two.row.tolist(), two.col.tolist(), strict=True))
    box = Workspace((-1.0, -1.0, -0.1), (-0.02, 1.0, 1.0), "world")
    elsewhere = decode(maps, depth, CAMERA, gripper=GripperGeometry(), count=5, allowed=box.mask(depth, CAMERA))
    points = CAMERA.deproject(elsewhere.row, elsewhere.col, depth[elsewhere.row, elsewhere.col])
    assert (points[:, 0] <= -0.02).all()


def test_decoder_fills_up_to_count_and_survives_nothing():
    depth = np.full((480, 640), 0.6, np.float32)
    depth[200:206, 300:312] = 0.57
    maps = GraspMaps(*(torch.full((1, n, 480, 640), 0.2) for n in (1, 18, 18)))
    allowed = np.zeros(depth.shape, bool)
    allowed[200:206, 300:312] = True
    settings = DecoderSettings(suppression_px=8)
    few = decode(maps, depth, CAMERA, gripper=GripperGeometry(), count=30, settings=settings, allowed=allowed)
    assert len(few) == 30
    assert len(set(zip(few.row.tolist(), few.col.tolist(), strict=True))) == 30
    nowhere = np.zeros(depth.shape, bool)
    assert len(decode(maps, depth, CAMERA, gripper=GripperGeometry(), count=10, allowed=nowhere)) == 0


def test_policy_takes_any_size_and_rejects_bad_depth():
    torch.manual_seed(0)
    policy = NetworkPolicy(GGCNN2(), InputFormat(), GripperGeometry())
    depth = np.full((101, 203), 0.6, np.float32)
    assert policy.predict(None, depth).angle.shape == (1, 18, 101, 203)
    for bad, message in ((np.full((8, 8), np.nan, np.float32), "NaN"), (np.zeros((8, 8), np.float32), "zero")):
        with pytest.raises(InputError, match=message):
            policy.predict(None, bad)
    with pytest.raises(InputError, match="needs an RGB"):
        NetworkPolicy(GGCNN2(4), InputFormat(modality="rgbd"), GripperGeometry()).predict(None, depth)


def test_binned_average_precision_close_to_exact():
    from torchmetrics.classification import BinaryAveragePrecision

    torch.manual_seed(0)
    truth = torch.rand(5000) < 0.1
    score = (0.3 * truth + 0.7 * torch.rand(5000)).clamp(0, 1)
    binned, exact = BinnedAveragePrecision(), BinaryAveragePrecision()
    binned.update(score, truth)
    exact.update(score, truth.int())
    assert binned.compute().item() == pytest.approx(exact.compute().item(), abs=0.01)


def test_metrics_of_perfect_and_of_wrong_maps():
    target = GraspMaps(*(m.clone() for m in perfect([30, 90], [40, 100], [3, 4])))
    target.quality[target.quality > 0] = 1
    logits = GraspMaps(*(torch.logit(m.clamp(1e-4, 1 - 1e-4)) for m in target))
    metrics = GraspMetrics()
    metrics.update(logits, target)
    assert metrics.quality_ap.compute() == pytest.approx(1, abs=1e-3)
    assert metrics.hit_rate.compute() == 1
    assert metrics.angle_accuracy.compute() == 1
    assert metrics.width_error.compute() == pytest.approx(0, abs=1e-4)
    wrong = GraspMetrics(radius_px=2)
    wrong.update(GraspMaps(logits.quality.roll(50, 2), logits.angle.roll(5, 1), logits.width - 1), target)
    assert wrong.hit_rate.compute() == 0
    assert wrong.angle_accuracy.compute() == 0
    assert wrong.width_error.compute() > 0.005


def test_copies_of_labels_are_no_labels():
    """Two neighbouring bins at (30, 40), enhanced: a grasp three pixels off is no hit, a copied bin is not right."""
    index, row, col, angle_bin = (torch.tensor(v) for v in ([0, 0, 0], [30, 30, 30], [40, 40, 41], [3, 4, 9]))
    target = rasterise(LabelBatch(index, row, col, angle_bin, torch.full((3,), 0.05)), (1, 64, 64))
    for offset, hit in ((2, 1), (3, 0)):
        maps = GraspMaps(*(torch.full_like(m, -9.0) for m in target))
        maps.quality[0, 0, 30, 40 - offset] = 9
        maps.angle[0, 3, 30, 40 - offset] = 9
        maps.angle[0, 9, 30, 40] = 9  # of the label beside it
        metrics = GraspMetrics(radius_px=2)
        metrics.update(maps, target)
        assert metrics.hit_rate.compute() == hit
        assert metrics.angle_accuracy.compute() == 0


def test_rectangle_iou_of_known_rectangles():
    a = np.array([50, 60, 0.0, 40, 10])
    assert rectangle_iou(a, a) == pytest.approx(1)
    assert rectangle_iou(a, a + np.array([0, 20, 0, 0, 0])) == pytest.approx(1 / 3)
    assert rectangle_iou(a, a + np.array([10, 0, 0, 0, 0])) == 0
    assert rectangle_iou(a, a + np.array([0, 0, np.pi / 2, 0, 0])) == pytest.approx(100 / 700)
    assert rectangle_iou(a, a + np.array([0, 0, np.pi, 0, 0])) == pytest.approx(1)
    # Counter-clockwise as seen: along it columns grow and rows shrink.
    long, moved = np.array([50, 60, np.pi / 4, 40, 4]), np.array([45, 65, np.pi / 4, 40, 4])
    assert rectangle_iou(long, moved) == pytest.approx((40 - 50**0.5) / (40 + 50**0.5), rel=1e-3)


@pytest.mark.parametrize(
    ("bins", "shift", "width", "match"),
    [
        (0, 0, 0.05, 1),
        (3, 0, 0.05, 1),
        (4, 0, 0.05, 0),
        (-3, 0, 0.05, 1),
        (0, 30, 0.05, 0),
        (0, 10, 0.05, 1),
        (0, 0, 0.01, 0),
    ],
)
def test_rectangle_metric_needs_angle_place_and_width(bins, shift, width, match):
    """At 1,000 px/m a label of 50 mm and fingers of 17 mm: 50 x 17 pixels."""
    target = perfect([60], [60], [2])
    target.quality[0, 0, 60, 60] = 1
    target.width[target.width > 0] = 0.5
    maps = GraspMaps(*(torch.full_like(m, -9.0) for m in target))
    k, col = (2 + bins) % 18, 60 + shift
    maps.quality[0, 0, 60, col] = maps.angle[0, k, 60, col] = 9
    maps.width[0, k, 60, col] = float(np.log(width / (0.1 - width)))
    metrics = GraspMetrics()
    metrics.update(maps, target, torch.tensor([1000.0]))
    assert metrics.rectangle_rate.compute() == match
