"""The fused focal loss against eq. (15) in plain float64, values and gradients."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plgp.losses import BinaryFocalLoss, GraspLoss, bin_cross_entropy
from plgp.targets import GraspMaps
from sim import InputError


def printed_equation(logits, target, alpha, gamma):
    """Eq. (15) letter by letter, float64, by autograd."""
    p = torch.sigmoid(logits)
    entropy = -(
        target * torch.nn.functional.logsigmoid(logits) + (1 - target) * torch.nn.functional.logsigmoid(-logits)
    )
    weight = (target > 0).double() * (2 * alpha - 1) + (1 - alpha)
    return (entropy * (p - target).abs() ** gamma * weight).sum() / logits.numel()


def example(seed, scale=4.0, shape=(2, 5, 11, 13)):
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(-1, scale, shape))
    target = torch.zeros(shape, dtype=torch.float64)
    flat = target.view(-1)
    where = torch.from_numpy(rng.choice(flat.numel(), flat.numel() // 8, replace=False))
    flat[where] = torch.from_numpy(rng.choice([1.0, 0.9, 0.37], len(where)))
    return logits, target


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1000), alpha=st.sampled_from([0.95, 0.5, 1.0]), gamma=st.sampled_from([2.0, 1.0, 1.5, 3.0]))
def test_focal_equals_printed_equation(seed, alpha, gamma):
    logits, target = example(seed)
    ours, theirs = (logits.clone().requires_grad_() for _ in range(2))
    loss, truth = BinaryFocalLoss(alpha, gamma)(ours, target), printed_equation(theirs, target, alpha, gamma)
    (3 * loss).backward()
    (3 * truth).backward()
    torch.testing.assert_close(loss, truth, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-8, atol=1e-15)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.bfloat16, 2e-2), (torch.float16, 5e-3)])
def test_focal_in_lower_precision(dtype, tolerance):
    logits, target = example(3, scale=6.0)
    low = logits.to(dtype).requires_grad_()
    exact = low.detach().double().requires_grad_()
    loss = BinaryFocalLoss()(low, target.float())
    loss.backward()
    truth = printed_equation(exact, target, 0.95, 2.0)
    truth.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(truth.item(), rel=1e-4)
    assert low.grad.dtype == dtype
    error = (low.grad.double() - exact.grad).abs().max() / exact.grad.abs().max()
    assert error < tolerance


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [30.0, 1000.0, 60000.0])
def test_focal_is_finite_at_huge_logits(dtype, size):
    logits = torch.tensor([-size, size, -size, size, 0.0], dtype=dtype).requires_grad_()
    target = torch.tensor([0.0, 0.0, 1.0, 0.9, 1.0])
    loss = BinaryFocalLoss()(logits, target)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


def test_chunks_and_memory_layouts_agree():
    logits, target = example(5, shape=(2, 7, 130, 140))  # more than one chunk
    grads = []
    for layout in (torch.contiguous_format, torch.channels_last):
        x = logits.float().to(memory_format=layout).requires_grad_()
        BinaryFocalLoss()(x, target.float().to(memory_format=layout)).backward()
        grads.append(x.grad)
    torch.testing.assert_close(grads[0], grads[1])


def test_small_negative_losses_keep_relative_precision():
    x = torch.full((4,), -12.0, requires_grad=True)
    loss = BinaryFocalLoss(alpha=0.0, gamma=0.0)(x, torch.zeros(4))
    loss.backward()
    assert loss.item() == pytest.approx(np.log1p(np.exp(-12.0)), rel=1e-5)
    assert x.grad[0].item() * 4 == pytest.approx(1 / (1 + np.exp(12.0)), rel=1e-5)


def test_total_is_equation_16_and_options_add_to_it():
    logits = GraspMaps.split(torch.randn(2, 9, 6, 5, dtype=torch.float64))
    _, target = example(1, shape=(2, 9, 6, 5))
    target = GraspMaps.split(target)
    terms = GraspLoss()(logits, target)
    parts = [printed_equation(x, t, 0.95, 2.0) for x, t in zip(logits, target, strict=True)]
    torch.testing.assert_close(terms.total, 10 * parts[0] + 10 * parts[1] + 20 * parts[2])
    with_bins = GraspLoss(bin_weight=0.1)(logits, target)
    torch.testing.assert_close(
        with_bins.total, terms.total + 0.1 * bin_cross_entropy(logits.angle, target.angle), rtol=1e-6, atol=0
    )
    only = GraspLoss(labelled_width_only=True)(logits, target)
    where = target.width > 0
    torch.testing.assert_close(only.width, printed_equation(logits.width[where], target.width[where], 0.95, 2.0))


def test_bin_cross_entropy_is_entropy_of_labelled_pixels():
    logits = torch.zeros(1, 4, 3, 3)
    target = torch.zeros(1, 4, 3, 3)
    target[0, 2, 1, 1] = 1
    assert bin_cross_entropy(logits, target).item() == pytest.approx(np.log(4))
    logits[0, 2, 1, 1] = 50
    assert bin_cross_entropy(logits, target).item() == pytest.approx(0, abs=1e-6)
    assert bin_cross_entropy(logits, torch.zeros_like(target)).item() == 0


def test_bad_settings_and_shapes():
    with pytest.raises(InputError, match="alpha"):
        BinaryFocalLoss(alpha=2)
    with pytest.raises(InputError, match="shape"):
        BinaryFocalLoss()(torch.zeros(1, 2, 3, 3), torch.zeros(1, 2, 3, 4))
