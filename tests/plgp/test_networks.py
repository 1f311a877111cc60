"""All networks: shapes, parameter counts, errors, gradients, memory layouts, precision."""

import pytest
import torch
from torch import nn

from plgp.costs import unallocated
from plgp.module import GraspModule, load_module
from plgp.networks import GGCNN2, GRCNN, STDC, AFFGANet, DANet, DeepLabV3Plus, SegNet, SMPNetwork, UNet
from plgp.networks.base import parameter_count, select_memory
from plgp.networks.danet import ChannelAttention, PositionAttention
from sim import InputError
from sim.gripper import GripperGeometry

TABLE2 = (GGCNN2, GRCNN, UNet, SegNet, DeepLabV3Plus, STDC, DANet, AFFGANet)
HEAVY = (DeepLabV3Plus, DANet, AFFGANet)  # more than 40 M parameters: seconds each to make
LIGHT = (GGCNN2, GRCNN, STDC)
TABLE2_MARKED = [pytest.param(kind, marks=[] if kind in LIGHT else [pytest.mark.slow]) for kind in TABLE2]
NETWORKS = {
    **{kind.__name__.lower(): kind for kind in TABLE2 if kind not in HEAVY},
    "smp_unet": SMPNetwork,
    "smp_lite0": lambda **kw: SMPNetwork(encoder="timm-tf_efficientnet_lite0", **kw),
}


@pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS)
@pytest.mark.parametrize("channels", [1, 4])
def test_maps_gradients_and_layout(build, channels):
    torch.manual_seed(0)
    network = build(channels=channels, bins=6)
    x = torch.randn(2, channels, 64, 96)
    maps = network(x)
    assert [tuple(m.shape) for m in maps] == [(2, 1, 64, 96), (2, 6, 64, 96), (2, 6, 64, 96)]
    sum(m.square().mean() for m in maps).backward()
    without = [name for name, p in network.named_parameters() if p.requires_grad and p.grad is None]
    assert not without
    network.eval()
    with torch.no_grad():
        plain = network(x)
        last = select_memory(network)(x.to(memory_format=torch.channels_last))
        for a, b in zip(plain, last, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.isfinite(network(x).quality).all()


@pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS)
def test_wrong_sizes_and_channels_are_clear(build):
    network = build(channels=1)
    with pytest.raises(InputError, match="stride"):
        network(torch.zeros(1, 1, 65, 64))
    with pytest.raises(InputError, match="wants"):
        network(torch.zeros(1, 3, 64, 64))


@pytest.mark.parametrize("build", HEAVY)
def test_heavy_networks_give_every_parameter_a_gradient(build):
    torch.manual_seed(0)
    network = build(channels=4, bins=3)
    maps = network(torch.randn(2, 4, 32, 48))
    assert [tuple(m.shape) for m in maps] == [(2, 1, 32, 48), (2, 3, 32, 48), (2, 3, 32, 48)]
    sum(m.square().mean() for m in maps).backward()
    assert not [name for name, p in network.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    network.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert all(torch.isfinite(m).all() for m in network(torch.randn(1, 4, 32, 48)))


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


@pytest.mark.parametrize(("encoder", "count"), [("timm-tf_efficientnet_lite0", 5_619_573), ("resnet18", 14_327_157)])
def test_smp_parameters(encoder, count):
    assert parameter_count(SMPNetwork(1, encoder=encoder)) == count


def test_unknown_names_are_clear():
    with pytest.raises(InputError, match="unknown SMP architecture 'Unot'"):
        SMPNetwork(architecture="Unot")
    with pytest.raises(InputError, match="unknown SMP encoder 'resnet19'"):
        SMPNetwork(encoder="resnet19")
    with pytest.raises(InputError, match="tu-nothing"):
        SMPNetwork(encoder="tu-nothing")


@pytest.mark.parametrize("build", [GRCNN, UNet, SegNet, STDC])
def test_every_head_takes_a_prior(build):
    last = {m.bias.mean().item() for m in build(prior=0.1).modules() if getattr(m, "out_channels", 0) in (1, 18, 37)}
    assert {round(bias, 4) for bias in last} == {-2.1972}


def test_prior_sets_the_start():
    network = GGCNN2(prior=0.01)
    assert torch.sigmoid(network(torch.zeros(1, 1, 16, 16)).quality).mean().item() == pytest.approx(0.01, rel=0.01)
    with pytest.raises(InputError, match="prior"):
        GGCNN2(prior=1.5)
