"""Element-wise losses, eq. (15) among them, and the total loss, eq. (16), on logits.

The element-wise losses are one autograd function with an analytic gradient, computed in pieces that stay in the
cache. Nearly all targets of the 37 maps are 0: every element is first taken as a negative, and the few positives
are then corrected.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from plgp.targets import GraspMaps
from sim.errors import InputError

# Number of elements computed at once on a CPU. The temporaries stay in the cache, and each operation stays in one
# thread: as soon as a core is busy, hundreds of barriers a step cost far more than they gain.
_CHUNK = 1 << 15


def _softplus(x: Tensor) -> Tensor:
    """Returns log(1 + exp(x)) to full relative precision, without log1p (slow on CPUs)."""
    small = torch.sigmoid(-x.abs())  # sigma(-|x|), at most one half
    rest = torch.rsub(small, 1)
    # -log(1 - s) where 1 - s was rounded: the rounded argument's logarithm, times s / (1 - rounded).
    ratio = small.div_(torch.rsub(rest, 1).clamp_(min=torch.finfo(x.dtype).tiny))
    return torch.relu(x).sub_(rest.log_().mul_(ratio))


def _power(x: Tensor, gamma: float) -> Tensor:
    return x * x if gamma == 2 else x.pow(gamma)


class _Form(NamedTuple):
    """An element-wise loss f(x, t) on logits x and targets t.

    Attributes:
        negatives: Function x -> (sum of f(x, 0), df/dx at t = 0), for the many negatives.
        exact: Function (x, t) -> (f, df/dx), for the few positives.
        weights: Factors on the elements with t > 0, and on those with t = 0.
    """

    negatives: Callable[[Tensor], tuple[Tensor, Tensor]]
    exact: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    weights: tuple[float, float] = (1.0, 1.0)


def _focal_negatives(x: Tensor, gamma: float) -> tuple[Tensor, Tensor]:
    """Returns sum and gradient of softplus(x) sigma(x)^gamma: eq. (15) where the target is 0."""
    p = torch.sigmoid(x)
    loss = _softplus(x)
    if gamma == 0:  # cross-entropy
        return loss.sum(dtype=torch.float64), p
    weight = _power(p, gamma)
    loss = loss.mul_(weight)
    total = loss.sum(dtype=torch.float64)
    # p^gamma (p + gamma softplus (1 - p))
    gradient = weight.mul_(p).add_(loss, alpha=gamma).sub_(loss.mul_(p), alpha=gamma)
    return total, gradient


def _focal_exact(x: Tensor, target: Tensor, gamma: float) -> tuple[Tensor, Tensor]:
    """Returns values and gradients of eq. (15) without alpha, for any target."""
    p = torch.sigmoid(x)
    error = p - target
    size = error.abs()
    entropy = _softplus(x) - target * x
    if gamma == 0:
        return entropy, error
    weight = _power(size, gamma)
    # An error of 0 must not become infinity times 0 where gamma is below 1.
    slope = gamma * size.clamp(min=torch.finfo(x.dtype).tiny).pow(gamma - 1) * error.sign()
    return entropy * weight, error * weight + entropy * slope * p * (1 - p)


def _square_negatives(x: Tensor) -> tuple[Tensor, Tensor]:
    """Returns sum and gradient of sigma(x)^2."""
    p = torch.sigmoid(x)
    square = p * p
    total = square.sum(dtype=torch.float64)
    return total, square.mul_(torch.rsub(p, 1)).mul_(2)


def _square_exact(x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Returns values and gradients of (sigma(x) - t)^2."""
    p = torch.sigmoid(x)
    error = p - target
    return error * error, 2 * error * p * (1 - p)


def _wide(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()


def _flat(x: Tensor) -> Tensor:
    """Returns the elements in memory order of a channels-last tensor, without a copy if possible."""
    return x.movedim(1, -1).reshape(-1) if x.ndim > 1 else x


class _MeanOfForm(torch.autograd.Function):
    """Mean of a form over flat logits and targets."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, form: _Form) -> Tensor:
        count = max(logits.numel(), 1)
        positive, negative = form.weights
        # float16 cannot hold the gradients before a GradScaler enlarges them.
        dtype = torch.float32 if logits.dtype == torch.float16 else logits.dtype
        gradient = torch.empty(logits.shape, dtype=dtype, device=logits.device)
        total = torch.zeros((), dtype=torch.float64, device=logits.device)
        step = count if logits.is_cuda else _CHUNK
        for start in range(0, logits.numel(), step):
            part = slice(start, start + step)
            some, slope = form.negatives(_wide(logits[part]))
            total += some * negative
            gradient[part] = slope.mul_(negative)
        where = target.nonzero().squeeze(1)
        x = _wide(logits[where])
        as_negative, _ = form.exact(x, torch.zeros_like(x))
        values, slopes = form.exact(x, target[where].to(x.dtype))
        total += (values * positive - as_negative * negative).sum(dtype=torch.float64)
        gradient[where] = (slopes * positive).to(dtype)
        ctx.save_for_backward(gradient)
        ctx.count, ctx.dtype = count, logits.dtype
        return (total / count).to(torch.float64 if logits.dtype == torch.float64 else torch.float32)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return (gradient * (outer[0] / ctx.count)).to(ctx.dtype), None, None


class ElementLoss(nn.Module):
    """Base of the element-wise losses on logits and soft targets.

    Shape:
        logits: (B, K, H, W) floating of any precision, or (N,); the sum runs in at least float32.
        target: as ``logits``, in [0, 1].
        returns: a scalar, the mean over all elements, float32 (float64 for float64 logits).
    """

    def __init__(self, form: _Form) -> None:
        """Takes the loss of one element."""
        super().__init__()
        self._form = form

    def forward(self, logits: Tensor, target: Tensor) -> Tensor:
        """Returns the loss; see the class for shapes.

        Raises:
            InputError: ``logits`` and ``target`` differ in shape.
        """
        if logits.shape != target.shape:
            raise InputError(f"logits {tuple(logits.shape)} and target {tuple(target.shape)} differ in shape")
        mean: Tensor = _MeanOfForm.apply(_flat(logits), _flat(target), self._form)  # type: ignore[no-untyped-call]
        return mean


class BinaryFocalLoss(ElementLoss):
    """Binary focal loss of eq. (15): cross-entropy times |p - t|^gamma, times alpha or 1 - alpha."""

    def __init__(self, alpha: float = 0.95, gamma: float = 2.0) -> None:
        """Sets up.

        Args:
            alpha: Weight of targets above 0; the rest has 1 - alpha.
            gamma: Exponent of |p - t|.

        Raises:
            InputError: ``alpha`` is outside [0, 1], or ``gamma`` is negative.
        """
        if not 0 <= alpha <= 1 or not gamma >= 0:
            raise InputError(f"focal loss has alpha {alpha}, gamma {gamma}; give alpha in [0, 1] and gamma >= 0")
        self.alpha, self.gamma = float(alpha), float(gamma)
        negatives, exact = partial(_focal_negatives, gamma=self.gamma), partial(_focal_exact, gamma=self.gamma)
        super().__init__(_Form(negatives, exact, (self.alpha, 1 - self.alpha)))


class BinaryCrossEntropyLoss(ElementLoss):
    """Binary cross-entropy, -(t log p + (1 - t) log(1 - p)): Table III without BFL."""

    def __init__(self) -> None:
        """Takes no settings: the loss is eq. (15) with gamma 0, and no alpha."""
        super().__init__(_Form(partial(_focal_negatives, gamma=0.0), partial(_focal_exact, gamma=0.0)))


class MeanSquareErrorLoss(ElementLoss):
    """Mean square error of the probabilities, (p - t)^2: GGCNN2's own loss, section IV-C."""

    def __init__(self) -> None:
        """Takes no settings."""
        super().__init__(_Form(_square_negatives, _square_exact))


class LossTerms(NamedTuple):
    """Eq. (16) and its parts, scalars; the parts are not yet multiplied by their betas."""

    total: Tensor
    quality: Tensor
    angle: Tensor
    width: Tensor
    bin_entropy: Tensor


def bin_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Returns the softmax cross-entropy over the K bins, mean over pixels with an angle target.

    Args:
        logits: (B, K, H, W).
        target: (B, K, H, W) in [0, 1]; the bins of each pixel are divided by their sum.
    """
    pixels = target.movedim(1, -1)
    where = (pixels.amax(dim=-1) > 0).nonzero(as_tuple=True)
    share = pixels[where]
    share = share / share.sum(dim=-1, keepdim=True)
    log_p = torch.log_softmax(_wide(logits.movedim(1, -1)[where]), dim=-1)
    return -(share * log_p).sum() / max(len(share), 1)


class GraspLoss(nn.Module):
    """Total loss of eq. (16), with two options that the paper does not have."""

    def __init__(
        self,
        element: nn.Module | None = None,
        *,
        beta_quality: float = 10.0,
        beta_angle: float = 10.0,
        beta_width: float = 20.0,
        bin_weight: float = 0.0,
        labelled_width_only: bool = False,
    ) -> None:
        """Sets up the weights.

        Args:
            element: Loss of one map on (logits, target), such as an ElementLoss; None is BinaryFocalLoss().
            beta_quality: Weight of the quality map, beta_1.
            beta_angle: Weight of the angle maps, beta_2.
            beta_width: Weight of the width maps, beta_3.
            bin_weight: Weight of ``bin_cross_entropy``; 0 is the paper's loss.
            labelled_width_only: Whether widths are taught only where there is a width target, with the mean over
                those. The paper's eq. (16) pulls all other widths to 0.
        """
        super().__init__()
        self.element = element if element is not None else BinaryFocalLoss()
        self.betas = (float(beta_quality), float(beta_angle), float(beta_width))
        self.bin_weight = float(bin_weight)
        self.labelled_width_only = labelled_width_only

    def forward(self, logits: GraspMaps, target: GraspMaps) -> LossTerms:
        """Returns the loss terms of a batch."""
        quality = self.element(logits.quality, target.quality)
        angle = self.element(logits.angle, target.angle)
        if self.labelled_width_only:
            where = _flat(target.width).nonzero().squeeze(1)
            width = self.element(_flat(logits.width)[where], _flat(target.width)[where])
        else:
            width = self.element(logits.width, target.width)
        total = self.betas[0] * quality + self.betas[1] * angle + self.betas[2] * width
        entropy = torch.zeros_like(quality)
        if self.bin_weight:
            entropy = bin_cross_entropy(logits.angle, target.angle).to(total.dtype)
            total = total + self.bin_weight * entropy
        return LossTerms(total, quality.detach(), angle.detach(), width.detach(), entropy.detach())
