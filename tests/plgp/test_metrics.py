"""Metrics on maps whose scores are known."""

import numpy as np
import pytest
import torch

from plgp.metrics import BinnedAveragePrecision, GraspMetrics, WeightedMean, rectangle_iou
from plgp.targets import GraspMaps, LabelBatch, rasterise
from sim.camera import PinholeCamera, overhead_pose

GGCNN2_CONFIG = {"_target_": "plgp.networks.GGCNN2", "prior": None}
CAMERA = PinholeCamera.from_fov(pose=overhead_pose(0.6))


def test_binned_average_precision_close_to_exact():
    from torchmetrics.classification import BinaryAveragePrecision

    torch.manual_seed(0)
    truth = torch.rand(5000) < 0.1
    score = (0.3 * truth + 0.7 * torch.rand(5000)).clamp(0, 1)
    binned, exact = BinnedAveragePrecision(), BinaryAveragePrecision()
    binned.update(score, truth)
    exact.update(score, truth.int())
    assert binned.compute().item() == pytest.approx(exact.compute().item(), abs=0.01)


def test_metrics_of_perfect_and_of_wrong_maps(perfect):
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
def test_rectangle_metric_needs_angle_place_and_width(bins, shift, width, match, perfect):
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


def test_a_weighted_mean_counts_weights_and_what_is_no_number():
    mean = WeightedMean()
    for value, weight in ((1.0, 8), (10.0, 1), (float("nan"), 0)):
        mean.update(torch.tensor(value), weight)
    assert float(mean.compute()) == 2.0
    mean.update(torch.tensor(float("nan")), 1)
    assert torch.isnan(mean.compute())
