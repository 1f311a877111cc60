"""The fused losses against their equations in plain float64, values and gradients."""

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.utils import instantiate
from hypothesis import given, settings
from hypothesis import strategies as st

from plgp.losses import BinaryCrossEntropyLoss, BinaryFocalLoss, GraspLoss, MeanSquareErrorLoss, bin_cross_entropy
from plgp.targets import GraspMaps
from sim.errors import InputError


def printed_equation(logits, target, alpha, gamma):
    """Eq. (15) letter by letter, float64, by autograd."""
    p = torch.sigmoid(logits)
    entropy = -(
        target * torch.nn.functional.logsigmoid(logits) + (1 - target) * torch.nn.functional.logsigmoid(-logits)
    )
    weight = (target > 0).double() * (2 * alpha - 1) + (1 - alpha)
    return (entropy * (p - target).abs() ** gamma * weight).sum() / logits.numel()


def cross_entropy(logits, target):
    """The textbook's, from probabilities where they are not 0 or 1."""
    p = torch.sigmoid(logits).clamp(1e-300, 1 - 1e-16)
    return -(target * p.log() + (1 - target) * (1 - p).log()).mean()


def square_error(logits, target):
    return ((torch.sigmoid(logits) - target) ** 2).mean()


def focal(logits, target):
    return printed_equation(logits, target, 0.95, 2.0)


LOSSES = [(BinaryFocalLoss, focal), (BinaryCrossEntropyLoss, cross_entropy), (MeanSquareErrorLoss, square_error)]


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


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1000))
def test_cross_entropy_and_square_error_equal_their_equations(seed):
    logits, target = example(seed)
    for kind, equation in LOSSES[1:]:
        ours, theirs = (logits.clone().requires_grad_() for _ in range(2))
        loss, truth = kind()(ours, target), equation(theirs, target)
        (3 * loss).backward()
        (3 * truth).backward()
        torch.testing.assert_close(loss, truth, rtol=1e-10, atol=1e-14)
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-8, atol=1e-15)


def test_cross_entropy_is_torchs():
    logits, target = example(7, scale=9.0)
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, target)
    torch.testing.assert_close(BinaryCrossEntropyLoss()(logits, target), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("loss", [BinaryFocalLoss(), BinaryFocalLoss(0.7, 0.5), BinaryCrossEntropyLoss()], ids=str)
def test_gradients_by_finite_differences(loss):
    logits, target = example(2, scale=2.0, shape=(1, 2, 3, 4))
    assert torch.autograd.gradcheck(lambda x: loss(x, target), logits.requires_grad_())


def test_square_error_gradient_by_finite_differences():
    logits, target = example(2, scale=2.0, shape=(1, 2, 3, 4))
    assert torch.autograd.gradcheck(lambda x: MeanSquareErrorLoss()(x, target), logits.requires_grad_())


@pytest.mark.parametrize(("kind", "equation"), LOSSES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.bfloat16, 2e-2), (torch.float16, 5e-3)])
def test_lower_precision(kind, equation, dtype, tolerance):
    logits, target = example(3, scale=6.0)
    low = logits.to(dtype).requires_grad_()
    exact = low.detach().double().requires_grad_()
    loss = kind()(low, target.float())
    loss.backward()
    truth = equation(exact, target)
    truth.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(truth.item(), rel=1e-4)
    assert low.grad.dtype == dtype
    error = (low.grad.double() - exact.grad).abs().max() / exact.grad.abs().max()
    assert error < tolerance


@pytest.mark.parametrize("kind", [kind for kind, _ in LOSSES])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [30.0, 1000.0, 60000.0])
def test_finite_at_huge_logits(kind, dtype, size):
    logits = torch.tensor([-size, size, -size, size, 0.0], dtype=dtype).requires_grad_()
    target = torch.tensor([0.0, 0.0, 1.0, 0.9, 1.0])
    loss = kind()(logits, target)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(logits.grad).all()


def test_a_gamma_below_one_survives_a_perfect_prediction():
    logits = torch.tensor([200.0, -200.0, 0.0]).requires_grad_()
    BinaryFocalLoss(gamma=0.5)(logits, torch.tensor([1.0, 0.0, 0.5])).backward()
    torch.testing.assert_close(logits.grad, torch.zeros(3))


@pytest.mark.parametrize("kind", [kind for kind, _ in LOSSES])
def test_chunks_and_memory_layouts_agree(kind):
    logits, target = example(5, shape=(2, 7, 130, 140))  # more than one chunk
    grads = []
    for layout in (torch.contiguous_format, torch.channels_last):
        x = logits.float().to(memory_format=layout).requires_grad_()
        kind()(x, target.float().to(memory_format=layout)).backward()
        grads.append(x.grad)
    torch.testing.assert_close(grads[0], grads[1])
    exact = logits.clone().requires_grad_()
    dict(LOSSES)[kind](exact, target).backward()
    torch.testing.assert_close(grads[0].double(), exact.grad, rtol=1e-3, atol=1e-10)


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


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("paper", BinaryFocalLoss),
        ("angle", BinaryFocalLoss),
        ("bce", BinaryCrossEntropyLoss),
        ("mse", MeanSquareErrorLoss),
    ],
)
def test_presets(name, kind):
    with initialize_config_module("plgp_conf", version_base="1.3"):
        loss = instantiate(compose("train", overrides=[f"loss={name}"]).loss)
    assert type(loss.element) is kind
    assert loss.betas == (10, 10, 20)
    logits, target = (GraspMaps.split(m.float()) for m in example(4, shape=(1, 37, 6, 5)))
    terms = loss(logits, target)
    equation = dict(LOSSES)[kind]
    parts = [equation(x.double(), t.double()) for x, t in zip(logits, target, strict=True)]
    expected = 10 * parts[0] + 10 * parts[1] + 20 * parts[2] + (0.1 * terms.bin_entropy if name == "angle" else 0)
    assert terms.total.item() == pytest.approx(expected.item(), rel=1e-5)


def test_bad_settings_and_shapes():
    with pytest.raises(InputError, match="alpha"):
        BinaryFocalLoss(alpha=2)
    with pytest.raises(InputError, match="gamma"):
        BinaryFocalLoss(gamma=float("nan"))
    with pytest.raises(InputError, match="shape"):
        BinaryFocalLoss()(torch.zeros(1, 2, 3, 3), torch.zeros(1, 2, 3, 4))
