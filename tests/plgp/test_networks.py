"""All networks: shapes, parameter counts, errors, gradients, memory layouts, precision."""

import pytest
import torch

from plgp.networks import GGCNN2, SMPNetwork
from plgp.networks.base import parameter_count, select_memory
from sim import InputError

NETWORKS = {
    "ggcnn2": GGCNN2,
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


@pytest.mark.parametrize(("channels", "count"), [(1, 79_381), (3, 83_253), (4, 85_189)])
def test_ggcnn2_parameters(channels, count):
    assert parameter_count(GGCNN2(channels)) == count


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


def test_prior_sets_the_start():
    network = GGCNN2(prior=0.01)
    assert torch.sigmoid(network(torch.zeros(1, 1, 16, 16)).quality).mean().item() == pytest.approx(0.01, rel=0.01)
    with pytest.raises(InputError, match="prior"):
        GGCNN2(prior=1.5)
