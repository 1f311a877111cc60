"""Table II's parameters to the last digit, and its multiply-adds."""

import pytest

import plgp.costs
from plgp.costs import costs, measure, unallocated
from plgp.evaluation.paper_tables import COSTS
from plgp.networks.cost import parameter_count
from sim.errors import InputError

PARAMETERS = {
    "GGCNN2": (79_381, 83_253, 85_189),
    "GRCNN": (1_897_381, 1_902_565, 1_905_157),
    "UNet": (34_528_229, 34_529_381, 34_529_957),
    "SegNet": (29_537_317, 29_538_469, 29_539_045),
    "DeepLabV3Plus": (62_018_629, 62_024_901, 62_028_037),
    "STDC": (16_835_680, 16_836_256, 16_836_544),
    "DANet": (47_575_015, 47_576_167, 47_576_743),
    "AFFGANet": (67_590_469, 67_596_741, 67_599_877),
}
SIZES = ((224, 224), (320, 320), (480, 640))
GMACS = {
    "GGCNN2": (1.34, 2.73, 8.18),
    "GRCNN": (10.84, 22.10, 66.22),
    "UNet": (50.09, 102.22, 306.67),
    "SegNet": (35.32, 72.08, 216.23),
    "DeepLabV3Plus": (68.51, 139.82, 419.45),
    "STDC": (11.91, 24.30, 72.91),
    "DANet": (39.19, 79.97, 239.92),  # convolutions only; see attention_macs
    "AFFGANet": (27.68, 56.48, 169.45),
}
PARTS = {
    ("DeepLabV3Plus", "trunk"): 42_493_888,
    ("DeepLabV3Plus", "pyramid"): 15_535_104,
    ("AFFGANet", "trunk"): 42_493_888,
    ("AFFGANet", "pyramid"): 20_713_984,
    ("DANet", "trunk"): 23_630_656,
}


def attention_macs(name, size):
    """DANet's matrix products at stride 8: pixels x pixels x (64 + 512), and twice 512 x 512 x pixels."""
    pixels = size[0] * size[1] // 64
    return pixels**2 * (64 + 512) + 2 * 512**2 * pixels if name == "DANet" else 0


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_to_the_last_digit(name):
    assert tuple(parameter_count(unallocated(name, channels)) for channels in (1, 3, 4)) == PARAMETERS[name]


@pytest.mark.parametrize(("name", "part"), PARTS)
def test_parts(name, part):
    assert parameter_count(getattr(unallocated(name, 1), part)) == PARTS[name, part]


def test_stdc_trunk():
    network = unallocated("STDC", 1)
    trunk = (network.stem, network.stage8, network.stage16, network.stage32)
    assert sum(parameter_count(part) for part in trunk) == 9_348_192


@pytest.mark.parametrize("number", [0, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 2))])
@pytest.mark.parametrize("name", GMACS)
def test_multiply_adds(name, number):
    """Of one channel; without DANet's attention, the specification's figures."""
    macs = measure(name, 1, SIZES[number]).macs - attention_macs(name, SIZES[number])
    assert round(macs / 1e9, 2) == GMACS[name][number]


@pytest.mark.parametrize("name", sorted(set(COSTS) - {"STDC"}))
def test_the_paper_agrees_on_parameters(name):
    for ours, printed in zip(PARAMETERS[name], COSTS[name].parameters, strict=True):
        if printed:
            digits = len(printed.strip("*").partition(".")[2])
            assert round(ours / 1e6, digits) == float(printed.strip("*"))


def test_unallocated_networks_hold_no_memory():
    assert {p.device.type for p in unallocated("DANet", 4).parameters()} == {"meta"}
    assert not unallocated("DANet", 4).training


def test_sizes():
    for wrong in ("480", "bigx2", "2x2x2", ""):
        with pytest.raises(InputError, match="give HEIGHTxWIDTH"):
            costs(size=wrong)
    with pytest.raises(InputError, match="stride 32"):
        measure("STDC", 1, (100, 100))


def test_command_prints_the_table(monkeypatch, capsys):
    monkeypatch.setattr(plgp.costs, "COSTS", {name: COSTS[name] for name in ("GGCNN2", "STDC")})
    monkeypatch.setattr("sys.argv", ["costs"])
    plgp.costs.main()
    rows = {line.split()[1]: line.split()[3::2] for line in capsys.readouterr().out.splitlines() if " depth " in line}
    assert rows == {
        "GGCNN2": ["depth", "79,381", "0.079", "1.34", "1.36"],
        "STDC": ["depth", "16,835,680", "26.18*", "11.91", "25.33*"],
    }
    monkeypatch.setattr("sys.argv", ["costs", "size=100x100"])
    with pytest.raises(SystemExit) as raised:
        plgp.costs.main()
    assert raised.value.code == 2
    assert capsys.readouterr().err.startswith("error: ")
