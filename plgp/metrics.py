"""What validation measures of a network's maps."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric

from plgp.targets import GraspMaps


class BinnedAveragePrecision(Metric):
    """Average precision from histograms of the positives' and the negatives' scores: one pass."""

    full_state_update = False
    positives: Tensor
    negatives: Tensor

    def __init__(self, bins: int = 1000) -> None:
        """``bins`` equal steps over [0, 1]."""
        super().__init__()
        self.bins = bins
        for name in ("positives", "negatives"):
            self.add_state(name, torch.zeros(bins, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, score: Tensor, truth: Tensor) -> None:
        """Takes scores in [0, 1] and a mask of the true ones, of one shape."""
        score = score.float().flatten()
        chosen = score[truth.flatten()]
        hits = torch.histc(chosen, self.bins, 0, 1).double()
        self.positives += hits
        self.negatives += torch.histc(score, self.bins, 0, 1).double() - hits

    def compute(self) -> Tensor:
        """Returns the area under the precision-recall steps, 0 where there was no positive."""
        hits, misses = self.positives.flip(0).cumsum(0), self.negatives.flip(0).cumsum(0)
        precision = hits / (hits + misses).clamp(min=1)
        recall = hits / hits[-1].clamp(min=1)
        steps = torch.diff(recall, prepend=torch.zeros(1, dtype=recall.dtype, device=recall.device))
        return (precision * steps).sum().float()


def top_grasps(maps: GraspMaps) -> tuple[Tensor, Tensor, Tensor]:
    """Returns row, col, angle bin (B,) of each image's best quality times angle quality.

    Args:
        maps: Probabilities, not logits.
    """
    best, angle_bin = maps.angle.max(dim=1)
    score = (maps.quality[:, 0] * best).flatten(1)
    pixel = score.argmax(dim=1)
    width = best.shape[2]
    return pixel // width, pixel % width, angle_bin.flatten(1).gather(1, pixel[:, None])[:, 0]


class GraspMetrics(nn.Module):
    """Average precision of the quality map, angle accuracy, width error, hit rate.

    - ``quality_ap``: over all pixels; true where the quality target is above 0.
    - ``angle_accuracy``: share of labelled pixels whose best bin is a labelled one;
      ``angle_within_one`` lets the neighbouring bins count.
    - ``width_error``: mean absolute error at labelled pixels and angles, metres.
    - ``hit_rate``: share of images (with labels) whose best grasp lies within ``radius_px`` of a
      label whose bin is at most one away.
    """

    def __init__(self, max_opening: float = 0.1, radius_px: int = 2) -> None:
        """``max_opening`` is L4, metres."""
        super().__init__()
        self.max_opening, self.radius_px = max_opening, radius_px
        self.quality_ap = BinnedAveragePrecision()
        self.angle_accuracy, self.angle_within_one = MeanMetric(), MeanMetric()
        self.width_error, self.hit_rate = MeanMetric(), MeanMetric()

    @torch.no_grad()
    def update(self, logits: GraspMaps, target: GraspMaps) -> None:
        """Takes a batch of logits and targets."""
        maps = GraspMaps(*(torch.sigmoid(m.float()) for m in logits))
        self.quality_ap.update(maps.quality, target.quality > 0)
        labelled = target.angle == 1  # copies of the enhancement do not count: they would widen the tolerance
        near = labelled | labelled.roll(1, dims=1) | labelled.roll(-1, dims=1)
        image, row, col = (target.quality[:, 0] == 1).nonzero(as_tuple=True)
        if len(image):
            best = maps.angle[image, :, row, col].argmax(dim=1)
            self.angle_accuracy.update(labelled[image, best, row, col].float())
            self.angle_within_one.update(near[image, best, row, col].float())
            error = (maps.width[labelled] - target.width[labelled]).abs()
            self.width_error.update(error * self.max_opening)
        row, col, angle_bin = top_grasps(maps)
        for i in range(len(row)):
            if (target.quality[i] == 1).any():
                self.hit_rate.update(self._hit(near[i], int(row[i]), int(col[i]), int(angle_bin[i])))

    def _hit(self, near: Tensor, row: int, col: int, angle_bin: int) -> float:
        r = self.radius_px
        window = near[angle_bin, max(0, row - r) : row + r + 1, max(0, col - r) : col + r + 1]
        return float(window.any())

    def items(self) -> dict[str, Metric]:
        """Returns the metrics by name."""
        return {name: child for name, child in self.named_children() if isinstance(child, Metric)}
