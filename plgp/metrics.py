"""What validation measures of a network's maps."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import max_pool2d
from torchmetrics import MeanMetric, Metric

from plgp.targets import GraspMaps


class WeightedMean(Metric):
    """Mean of values by their weights, over all processes; one that is no number makes the mean none.

    ``torchmetrics.MeanMetric`` leaves such values out, and where it is told not to, all weights count as 1.
    """

    full_state_update = False
    total: Tensor
    weight: Tensor

    def __init__(self) -> None:
        """Sets up a mean of nothing yet."""
        super().__init__()
        for name in ("total", "weight"):
            self.add_state(name, torch.zeros(()), dist_reduce_fx="sum")

    def update(self, value: Tensor, weight: float) -> None:
        """Takes one value, a scalar; one of weight 0 does not count, whatever it is."""
        if weight:
            self.total += weight * value.detach()
            self.weight += weight

    def compute(self) -> Tensor:
        """Returns the mean; NaN without any weight."""
        return self.total / self.weight


class BinnedAveragePrecision(Metric):
    """Average precision, in one pass, from histograms of the positives' and the negatives' scores."""

    full_state_update = False
    positives: Tensor
    negatives: Tensor

    def __init__(self, bins: int = 1000) -> None:
        """Sets up histograms of ``bins`` equal steps over [0, 1]."""
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
    """Returns ``row``, ``col`` and ``angle_bin``, (B,) int64 each, where quality times angle quality is greatest.

    Args:
        maps: Probabilities, not logits.
    """
    best, angle_bin = maps.angle.max(dim=1)
    score = (maps.quality[:, 0] * best).flatten(1)
    pixel = score.argmax(dim=1)
    width = best.shape[2]
    return pixel // width, pixel % width, angle_bin.flatten(1).gather(1, pixel[:, None])[:, 0]


def rectangle_iou(a: NDArray[np.floating], b: NDArray[np.floating]) -> float:
    """Returns the intersection over union of two grasp rectangles.

    Args:
        a: (5,) floating: row, column, angle (radians, counter-clockwise as seen), length along it, breadth; pixels.
        b: (5,) floating, as ``a``.
    """
    first, second = (((float(x[1]), float(x[0])), (float(x[3]), float(x[4])), -float(np.degrees(x[2]))) for x in (a, b))
    kind, corners = cv2.rotatedRectangleIntersection(first, second)
    if kind == cv2.INTERSECT_NONE or corners is None:
        return 0.0
    common = cv2.contourArea(cv2.convexHull(corners))
    return float(common / max(a[3] * a[4] + b[3] * b[4] - common, 1e-9))


class GraspMetrics(nn.Module):
    """Average precision of the quality map, angle accuracy, width error, hit rate, rectangle metric.

    - ``quality_ap``: average precision over the pixels; labelled ones are true, their eight neighbours do not count.
      It is the same whether the targets were enhanced or not.
    - ``angle_accuracy``: share of labelled pixels whose best bin is a labelled one.
    - ``angle_within_one``: the same share, where a bin beside a labelled one counts too.
    - ``width_error``: mean absolute error at labelled pixels and angles, metres.
    - ``hit_rate``: share of images (with labels) whose best grasp lies within ``radius_px`` of a label whose bin
      is at most ``hit_bins`` away.
    - ``rectangle_rate``: share of images (with labels) whose best grasp's rectangle, opening by finger width,
      turns by at most ``rectangle_angle`` from a label's and overlaps it by at least ``rectangle_iou``
      (Jiang et al. 2011: 30 degrees, 0.25). The scale is that at the tray's centre.
    """

    def __init__(
        self,
        *,
        max_opening: float = 0.1,
        radius_px: int = 2,
        hit_bins: int = 1,
        finger_width: float = 0.017,
        rectangle_angle: float = np.pi / 6,
        rectangle_iou: float = 0.25,
    ) -> None:
        """Sets up.

        Args:
            max_opening: L4, the unit of the width maps, metres.
            radius_px: Distance from a label within which the best grasp is a hit, pixels.
            hit_bins: Number of angle bins by which a hit may be off.
            finger_width: Breadth of the rectangles, metres.
            rectangle_angle: Greatest turn of the rectangle metric, radians.
            rectangle_iou: Least intersection over union of the rectangle metric.
        """
        super().__init__()
        self.max_opening, self.radius_px, self.hit_bins = max_opening, radius_px, hit_bins
        self.finger_width, self.rectangle_angle, self.least_iou = finger_width, rectangle_angle, rectangle_iou
        self.quality_ap = BinnedAveragePrecision()
        self.angle_accuracy, self.angle_within_one = MeanMetric(), MeanMetric()
        self.width_error, self.hit_rate, self.rectangle_rate = MeanMetric(), MeanMetric(), MeanMetric()

    @torch.no_grad()
    def update(self, logits: GraspMaps, target: GraspMaps, pixels_per_metre: Tensor | None = None) -> None:
        """Takes a batch.

        Args:
            logits: The network's maps.
            target: The dense targets.
            pixels_per_metre: (B,) scale of each image; None or NaN leaves the rectangle metric out.
        """
        maps = GraspMaps(*(torch.sigmoid(m.float()) for m in logits))
        at_label = target.quality == 1
        # A neighbour of a label is neither right nor wrong: the enhancement teaches some networks to find it good.
        beside = (max_pool2d(at_label.float(), 3, stride=1, padding=1) > 0) & ~at_label
        self.quality_ap.update(maps.quality[~beside], at_label[~beside])
        labelled = target.angle == 1  # copies of the enhancement do not count: they would widen the tolerance
        near = labelled | labelled.roll(1, dims=1) | labelled.roll(-1, dims=1)
        tolerated = labelled.clone()
        for turn in range(1, self.hit_bins + 1):
            tolerated |= labelled.roll(turn, dims=1) | labelled.roll(-turn, dims=1)
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
                place = int(row[i]), int(col[i]), int(angle_bin[i])
                self.hit_rate.update(self._hit(tolerated[i], place))
                if pixels_per_metre is not None and torch.isfinite(pixels_per_metre[i]):
                    width = float(maps.width[i, place[2], place[0], place[1]])
                    scale = float(pixels_per_metre[i])
                    self.rectangle_rate.update(
                        self._rectangle(labelled[i], target.width[i], place, width=width, scale=scale)
                    )

    def _hit(self, near: Tensor, place: tuple[int, int, int]) -> float:
        """Returns 1 if a tolerated bin lies near the grasp's (row, col, angle bin), else 0."""
        (row, col, angle_bin), r = place, self.radius_px
        window = near[angle_bin, max(0, row - r) : row + r + 1, max(0, col - r) : col + r + 1]
        return float(window.any())

    def _rectangle(
        self, labelled: Tensor, widths: Tensor, place: tuple[int, int, int], *, width: float, scale: float
    ) -> float:
        """Returns 1 if a label's rectangle matches that of the grasp, else 0.

        Args:
            labelled: (K, H, W) bool, the labels.
            widths: (K, H, W) their widths, in units of L4.
            place: The grasp's row, column and angle bin.
            width: The grasp's width, in units of L4.
            scale: Pixels per metre.
        """
        row, col, angle_bin = place
        bins, rows, cols = (x.cpu().numpy() for x in labelled.nonzero(as_tuple=True))
        step = np.pi / labelled.shape[0]
        turn = np.abs(bins - angle_bin) * step
        distance = np.hypot(rows - row, cols - col)
        breadth, unit = self.finger_width * scale, self.max_opening * scale
        # Rectangles whose centres lie farther apart than both half diagonals cannot meet.
        reach = np.hypot(max(width, 1.0) * unit, breadth)
        candidates = np.flatnonzero(
            (np.minimum(turn, np.pi - turn) <= self.rectangle_angle + 1e-6) & (distance < reach)
        )
        own = np.array([row, col, angle_bin * step, width * unit, breadth])
        opening = widths.float().cpu().numpy()
        for i in candidates[np.argsort(distance[candidates], kind="stable")]:
            k, r, c = bins[i], rows[i], cols[i]
            label = np.array([r, c, k * step, opening[k, r, c] * unit, breadth])
            if rectangle_iou(own, label) >= self.least_iou:
                return 1.0
        return 0.0

    def items(self) -> dict[str, Metric]:
        """Returns the metrics by name."""
        return {name: child for name, child in self.named_children() if isinstance(child, Metric)}
