"""All networks through one tester: shapes, gradients, modes, precision, compilation, errors; then each one's own."""

from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from plgp.costs import unallocated
from plgp.module import GraspModule, load_module
from plgp.networks import (
    GGCNN2,
    GRCNN,
    STDC,
    AFFGANet,
    DANet,
    DeepLabV3Plus,
    RotatedFilterNetwork,
    SegNet,
    SMPNetwork,
    UNet,
)
from plgp.networks.base import select_memory
from plgp.networks.danet import ChannelAttention, PositionAttention
from sim.errors import InputError
from sim.gripper import GripperGeometry

TABLE2 = (GGCNN2, GRCNN, UNet, SegNet, DeepLabV3Plus, STDC, DANet, AFFGANet)
LIGHT = (GGCNN2, GRCNN, STDC)
TABLE2_MARKED = [pytest.param(kind, marks=[] if kind in LIGHT else [pytest.mark.slow]) for kind in TABLE2]
LITE0 = {"encoder": "timm-tf_efficientnet_lite0"}
ROTATED = {"base": {"_target_": "plgp.networks.GGCNN2"}}
# Under the tester, by name: every network of Table II, of the ninth family one of each kind, and rotated filters.
NETWORKS: dict[str, tuple[type, dict[str, Any]]] = {
    **{kind.__name__: (kind, {}) for kind in TABLE2},
    "SMP Unet resnet18": (SMPNetwork, {}),
    "SMP Unet lite0": (SMPNetwork, LITE0),
    "SMP FPN mobilenet": (SMPNetwork, {"architecture": "FPN", "encoder": "mobilenet_v2"}),
    "rotated filters": (RotatedFilterNetwork, ROTATED),
}
QUICK = ("GGCNN2", "rotated filters")
QUICK_MARKED = [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in NETWORKS]
# Behind the tests that take seconds a network: the others' turn comes in `make test-slow`.
quick_by_default = pytest.mark.parametrize("subject", QUICK_MARKED, indirect=True)
BINS = 3


class Subject(NamedTuple):
    """A network under test and images that it takes: (2, 4, 64, 96), or a quarter where stride and depth allow."""

    network: nn.Module
    image: torch.Tensor


@pytest.fixture(scope="module", params=NETWORKS)
def subject(request):
    """Each network in turn, built once for all tests; they leave its mode and weights as they were."""
    kind, options = NETWORKS[request.param]
    torch.manual_seed(0)
    network = kind(channels=4, bins=BINS, **options)
    big = kind in LIGHT or kind is SMPNetwork
    return Subject(select_memory(network), torch.randn(2, 4, *((64, 96) if big else (32, 64))))


@pytest.fixture
def network(subject):
    """The subject's network in evaluation mode."""
    subject.network.eval()
    return subject.network


def assert_close(ours, theirs, tolerance):
    """Maps agree up to ``tolerance`` of their spread, each map by itself."""
    for a, b in zip(ours, theirs, strict=True):
        assert torch.isfinite(a).all()
        assert (a.float() - b.float()).abs().max() <= tolerance * (b.float().std() + b.float().abs().max())


@quick_by_default
def test_shapes_and_every_parameter_gets_a_gradient(subject):
    network, image = subject
    network.train()
    maps = network(image)
    assert [tuple(m.shape) for m in maps] == [(2, n, *image.shape[2:]) for n in (1, BINS, BINS)]
    sum(m.square().mean() for m in maps).backward()
    learning = {name: p.grad for name, p in network.named_parameters() if p.requires_grad}
    assert not [name for name, grad in learning.items() if grad is None or not torch.isfinite(grad).all()]
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    assert all("encoder.conv_head" in name or "encoder.bn2" in name for name in frozen)
    network.zero_grad(set_to_none=True)


@quick_by_default
def test_evaluation_repeats_itself_image_by_image(subject, network):
    """No dropout, no batch statistics, and a batch of one is as good as any."""
    before = {name: value.clone() for name, value in network.named_buffers()}
    with torch.no_grad():
        both, again = network(subject.image), network(subject.image)
        single = [network(image[None]) for image in subject.image]
    for one, two in zip(both, again, strict=True):
        assert torch.equal(one, two)
    assert_close([torch.cat(parts) for parts in zip(*single, strict=True)], both, 1e-4)
    assert all(torch.equal(value, before[name]) for name, value in network.named_buffers())


@quick_by_default
def test_training_uses_batch_statistics(subject):
    network, image = subject
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d) and m.weight.requires_grad]
    if not norms:
        assert isinstance(network, (GGCNN2, RotatedFilterNetwork))
        return
    kept = {name: value.clone() for name, value in network.state_dict().items()}
    network.train()
    with torch.no_grad():
        network(image)
    assert all(m.num_batches_tracked > kept_count(kept, network, m) for m in norms)
    network.load_state_dict(kept)


def kept_count(kept, network, norm):
    """How many batches a layer had seen in a kept state."""
    name = next(name for name, module in network.named_modules() if module is norm)
    return kept[f"{name}.num_batches_tracked"]


@quick_by_default
def test_memory_layouts_agree(subject, network):
    with torch.no_grad():
        plain = network(subject.image.contiguous())
        last = network(subject.image.contiguous(memory_format=torch.channels_last))
    assert_close(last, plain, 1e-4)


@quick_by_default
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.bfloat16, 0.25), (torch.float16, 0.05)])
def test_half_precision(subject, network, dtype, tolerance):
    with torch.no_grad():
        full = network(subject.image)
        with torch.autocast("cpu", dtype):
            half = network(subject.image)
    assert {m.dtype for m in half} == {dtype}
    assert_close(half, full, tolerance)


@quick_by_default
def test_half_precision_trains(subject):
    network, image = subject
    network.train()
    with torch.autocast("cpu", torch.bfloat16):
        maps = network(image)
    sum(m.float().square().mean() for m in maps).backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.requires_grad)
    network.zero_grad(set_to_none=True)


@pytest.mark.parametrize(
    ("subject", "backend"),
    [("GGCNN2", "eager"), *(pytest.param(name, "inductor", marks=pytest.mark.slow) for name in NETWORKS)],
    indirect=["subject"],
)
def test_compiles_as_one_graph(subject, network, backend):
    torch._dynamo.reset()
    compiled = torch.compile(network, fullgraph=True, backend=backend)
    with torch.no_grad():
        assert_close(compiled(subject.image), network(subject.image), 1e-4)


@pytest.mark.parametrize(
    "subject", [pytest.param(n, marks=[] if n == "GGCNN2" else [pytest.mark.slow]) for n in NETWORKS], indirect=True
)
def test_torch_export(subject, network):
    """As a program without Python; the batch stays free."""
    free = {"x": {0: torch.export.Dim("batch", min=1, max=64)}}
    with torch.no_grad():
        program = torch.export.export(network, (subject.image,), dynamic_shapes=free).module()
        three = torch.cat([subject.image, subject.image[:1]])
        assert_close(program(three), network(three), 1e-4)


def test_wrong_sizes_and_channels_are_clear(subject, network):
    height, width = subject.image.shape[2:]
    for wrong in ((height + 1, width), (height, width - 1)):
        with pytest.raises(InputError, match=f"multiples of its stride {network.stride}"):
            network(torch.zeros(1, 4, *wrong))
    for wrong in ((1, 3, height, width), (4, height, width)):
        with pytest.raises(InputError, match=r"wants \(B, 4, H, W\)"):
            network(torch.zeros(wrong))


@pytest.mark.parametrize("build", TABLE2)
@pytest.mark.parametrize("size", [(64, 96), (480, 640)])
def test_sizes_by_stride(build, size):
    network = unallocated(build.__name__, 3)
    maps = network(torch.empty(1, 3, *size, device="meta"))
    assert [tuple(m.shape) for m in maps] == [(1, n, *size) for n in (1, 18, 18)]
    smallest = network(torch.empty(2, 3, network.stride, 3 * network.stride, device="meta"))
    assert smallest.quality.shape[2:] == (network.stride, 3 * network.stride)
    for wrong in ((size[0] + 1, size[1]), (size[0], size[1] - network.stride // 2)):
        with pytest.raises(InputError, match=f"stride {network.stride}"):
            network(torch.empty(1, 3, *wrong, device="meta"))


@pytest.mark.parametrize("build", TABLE2)
def test_one_image_trains_or_is_refused_clearly(build):
    network = unallocated(build.__name__, 1)
    x = torch.empty(1, 1, 64, 64, device="meta")
    assert network(x).quality.shape == x.shape
    network.train()
    if build in (DeepLabV3Plus, STDC):
        with pytest.raises(InputError, match="batch_size to 2 or more"):
            network(x)
        assert network(x.expand(2, -1, -1, -1)).quality.shape == (2, 1, 64, 64)
    else:
        assert network(x).quality.shape == x.shape


@pytest.mark.parametrize(
    ("build", "side", "dilations"), [(DeepLabV3Plus, 8, (2, 4, 8, 16)), (AFFGANet, 4, (1, 2, 4, 8))]
)
def test_resnet101_trunks_dilate_as_specified(build, side, dilations):
    trunk = unallocated(build.__name__, 1).trunk
    assert trunk(torch.empty(1, 1, 64, 64, device="meta"))[5].shape == (1, 2048, side, side)
    assert {block.conv2.dilation for block in trunk.layer3} == {(dilations[0],) * 2}
    assert [block.conv2.dilation for block in trunk.layer4] == [(d, d) for d in dilations[1:]]
    assert {m.dilation for m in trunk.layer2.modules() if isinstance(m, nn.Conv2d)} == {(1, 1)}


def test_danet_trunk_dilates_as_specified():
    trunk = unallocated("DANet", 1).trunk
    features = trunk(torch.empty(1, 1, 64, 64, device="meta"))
    assert features[5].shape == (1, 2048, 8, 8)
    assert [block.conv2.dilation[0] for block in trunk.model.layer3] == [1, 2, 2, 2, 2, 2]
    assert [block.conv2.dilation[0] for block in trunk.model.layer4] == [2, 4, 4]


def test_position_attention_is_a_weighted_mean_over_pixels():
    torch.manual_seed(0)
    layer = PositionAttention(16).double()
    x = torch.randn(2, 16, 3, 4, dtype=torch.float64)
    torch.testing.assert_close(layer(x), x)  # the gain starts at 0
    layer.gain.data.fill_(0.7)
    out = layer(x)
    query, key, value = layer.query(x)[1].flatten(1), layer.key(x)[1].flatten(1), layer.value(x)[1].flatten(1)
    for reading in range(12):
        weights = torch.stack([query[:, reading] @ key[:, read] for read in range(12)]).softmax(0)
        mean = sum(weights[read] * value[:, read] for read in range(12))
        torch.testing.assert_close(out[1].flatten(1)[:, reading], x[1].flatten(1)[:, reading] + 0.7 * mean)
    out.square().mean().backward()
    dead = {name for name, p in layer.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-12}
    assert dead == {"key.bias"}  # adds the same to all energies that one pixel compares


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_channel_attention_is_a_weighted_mean_over_channels(dtype):
    torch.manual_seed(0)
    layer = ChannelAttention()
    x = (torch.randn(2, 5, 3, 4) / 4).to(dtype)
    layer.gain.data.fill_(0.5)
    out = layer(x).double()
    flat = x[1].flatten(1).double()
    for reading in range(5):
        energy = flat @ flat[reading]
        mean = (energy.max() - energy).softmax(0) @ flat
        tolerance = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float64 else {"rtol": 0.05, "atol": 0.02}
        torch.testing.assert_close(out[1].flatten(1)[reading], flat[reading] + 0.5 * mean, **tolerance)


def test_channel_attention_survives_half_precision_sums():
    layer = ChannelAttention().half()
    layer.gain.data.fill_(0.5)
    assert torch.isfinite(layer(torch.full((1, 8, 64, 64), 8.0).half())).all()


@pytest.mark.parametrize("build", TABLE2_MARKED)
def test_a_checkpoint_loads_again(build, tmp_path):
    torch.manual_seed(0)
    target = {"_target_": f"plgp.networks.{build.__name__}"}
    module = GraspModule(network=target, gripper=GripperGeometry(), bins=4).eval()
    path = tmp_path / "some.ckpt"
    torch.save({"hyper_parameters": dict(module.hparams), "state_dict": module.state_dict()}, path)
    x = torch.randn(1, 1, 32, 32)
    with torch.no_grad():
        for ours, theirs in zip(module(x), load_module(path)(x), strict=True):
            torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("build", [GRCNN, UNet, SegNet, STDC])
def test_every_head_takes_a_prior(build):
    last = {m.bias.mean().item() for m in build(prior=0.1).modules() if getattr(m, "out_channels", 0) in (1, 18, 37)}
    assert {round(bias, 4) for bias in last} == {-2.1972}


def test_prior_sets_the_start():
    network = GGCNN2(prior=0.01)
    assert torch.sigmoid(network(torch.zeros(1, 1, 16, 16)).quality).mean().item() == pytest.approx(0.01, rel=0.01)
    with pytest.raises(InputError, match="prior"):
        GGCNN2(prior=1.5)
