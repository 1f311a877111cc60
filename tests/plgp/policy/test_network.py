"""Policies: the control that knows nothing, any image size, the checkpoint that is installed with the package."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_module
from hydra.errors import InstantiationException
from omegaconf import OmegaConf

from labeler.labels import label_view
from plgp.data.input_format import InputFormat
from plgp.evaluation.evaluate import _policy
from plgp.module import GraspModule
from plgp.networks import GGCNN2, UNet
from plgp.policy import ConstantPolicy, NetworkPolicy, find_checkpoint, pretrained_checkpoint
from plgp.policy.decoder import decode
from plgp.policy.device import device_of
from plgp.policy.installed import PRETRAINED
from plgp.policy.workspace import Workspace
from sim.benchmark import BenchmarkSettings, observe
from sim.benchmark.scene_sets import load_scene_set
from sim.camera import ParallelCamera
from sim.cli import input_error
from sim.depth_image.known_floor import floor_lowered
from sim.errors import InputError
from sim.grasp import angle_to_bin
from sim.gripper import GripperGeometry
from sim.render import render_view

TRAY = Workspace((-0.18, -0.18, -0.1), (0.18, 0.18, 0.4))
GRIPPER = GripperGeometry()


@pytest.fixture(scope="module")
def seen():
    """What the benchmark's camera sees of a published scene of 15 objects, with noise."""
    return observe(load_scene_set("plgp-320")["novel-15"][1], BenchmarkSettings(), [0, 1, 0])


def test_constant_maps_know_nothing_but_what_the_decoder_knows(seen):
    policy = ConstantPolicy(angle=np.pi / 2, width=0.05, workspace=TRAY)
    assert policy.name == "constant"
    grasps = policy.pixel_grasps(seen, 50)
    assert len(grasps) == 50
    np.testing.assert_allclose(grasps.angle, np.pi / 2)
    assert set(np.round(grasps.width, 6)) <= {0.06, 0.08, 0.1}
    assert (np.diff(grasps.quality) <= 0).all()  # what the depth image says of equal maps
    assert (grasps.depth >= policy.decoder.min_depth).all()
    again = policy.pixel_grasps(seen, 50)
    np.testing.assert_array_equal(grasps.row, again.row)
    poses = policy(seen, 5)
    assert poses.frame == "camera"
    assert len(poses) == 5


@pytest.mark.parametrize("wrong", [{"quality": 0.0}, {"width": 0.2}, {"angle": np.nan}])
def test_constants_out_of_range_are_refused(wrong):
    with pytest.raises(InputError, match="constant policy"):
        ConstantPolicy(**wrong)


def test_policy_takes_any_size_and_rejects_bad_depth():
    torch.manual_seed(0)
    policy = NetworkPolicy(GGCNN2(), InputFormat(), GripperGeometry())
    depth = np.full((101, 203), 0.6, np.float32)
    assert policy.predict(None, depth).angle.shape == (1, 18, 101, 203)
    for bad, message in ((np.full((8, 8), np.nan, np.float32), "NaN"), (np.zeros((8, 8), np.float32), "zero")):
        with pytest.raises(InputError, match=message):
            policy.predict(None, bad)
    with pytest.raises(InputError, match="needs an RGB"):
        NetworkPolicy(GGCNN2(4), InputFormat(modality="rgbd"), GripperGeometry()).predict(None, depth)


def test_the_installed_checkpoint_is_found_or_named_as_missing(tmp_path):
    with pytest.raises(InputError, match="carries no trained network"):
        pretrained_checkpoint(folder=tmp_path)
    one = tmp_path / "ggcnn2-depth.ckpt"
    one.touch()
    assert pretrained_checkpoint(folder=tmp_path) == one
    (tmp_path / "ggcnn2_depth_any.ckpt").touch()
    assert pretrained_checkpoint(folder=tmp_path).stem == "ggcnn2_depth_any"
    assert pretrained_checkpoint("ggcnn2-depth", tmp_path) == one
    with pytest.raises(InputError, match=r"no trained network 'unet'.*choose one of ggcnn2-depth, ggcnn2_depth_any"):
        pretrained_checkpoint("unet", tmp_path)
    (tmp_path / "ggcnn2_depth_any.ckpt").rename(tmp_path / "other.ckpt")
    with pytest.raises(InputError, match="several"):
        pretrained_checkpoint(folder=tmp_path)


def test_a_checkpoint_is_a_file_or_an_installed_networks_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    installed = tmp_path / "installed"
    installed.mkdir()
    for name in ("ggcnn2_depth_any", "rgbd"):
        (installed / f"{name}.ckpt").touch()
    assert find_checkpoint("pretrained", installed) == installed / "ggcnn2_depth_any.ckpt"
    assert find_checkpoint("rgbd", installed) == installed / "rgbd.ckpt"
    for file in ("best.ckpt", "runs/best", tmp_path / "rgbd"):  # missing files are named by who reads them
        assert find_checkpoint(file, installed) == Path(file)
    with pytest.raises(InputError, match=r"no checkpoint at 'unet'; .*: pretrained, ggcnn2_depth_any, rgbd$"):
        find_checkpoint("unet", installed)
    (tmp_path / "rgbd").touch()
    assert find_checkpoint("rgbd", installed) == Path("rgbd")  # a file goes first


@pytest.mark.parametrize("path", sorted(PRETRAINED.glob("*.ckpt")), ids=lambda p: p.stem)
def test_every_installed_network_has_a_card_and_grasps(path, seen):
    card = path.with_suffix(".md").read_text()
    for row in ("data", "noise", "recipe", "gripper", "licence"):
        assert f"| {row} |" in card
    policy = NetworkPolicy.from_checkpoint(path.stem, workspace=TRAY)
    assert f"{sum(p.numel() for p in policy.network.parameters()):,} parameters" in card
    assert policy.trained_view is not None
    assert len(policy.pixel_grasps(seen, 10)) == 10


def test_the_installed_networks_are_small():
    assert sum(path.stat().st_size for path in PRETRAINED.glob("*.ckpt")) < 6e6


def test_the_shipped_network_grasps_and_is_small():
    """On a published scene its best grasps nearly all lie near labels; the file is under 5 MB."""
    assert pretrained_checkpoint().stat().st_size < 5e6
    scene = load_scene_set("plgp-320")["novel-5"][7]
    seen = observe(scene, BenchmarkSettings(), [0, 2, 0])
    view = render_view(scene, seen.camera, ParallelCamera.covering(2500))
    policy = NetworkPolicy.pretrained(workspace=TRAY)
    found = policy.pixel_grasps(seen, 20)
    assert len(found) == 20
    assert (view.instance_mask[found.row, found.col] > 0).mean() >= 0.8
    labels = label_view(view)
    bins = angle_to_bin(found.angle, 18)
    near = [
        np.any(
            ((labels.row.astype(int) - r) ** 2 + (labels.col.astype(int) - c) ** 2 <= 15**2)
            & (np.abs((labels.angle_bin.astype(int) - k + 9) % 18 - 9) <= 1)
        )
        for r, c, k in zip(found.row, found.col, bins, strict=True)
    ]
    assert np.mean(near) >= 0.6


def test_the_installed_checkpoint_goes_by_its_name_wherever_a_file_does():
    from hydra import compose, initialize_config_module

    from plgp.evaluation.evaluate import _policies

    with initialize_config_module("plgp_conf", version_base="1.3"):
        config = compose("benchmark", ["policy=[network,untrained]", "checkpoint=pretrained"])
        asked = compose("benchmark", ["policy=network", f"checkpoint={pretrained_checkpoint()}"])
    (named, _), (by_file, _) = (_policies(c.policies, skip_missing=False) for c in (config, asked))
    weights = {k: next(p.network.parameters()) for k, (p, _) in named.items()}
    assert torch.equal(weights["network"], next(NetworkPolicy.pretrained().network.parameters()))
    assert not torch.equal(weights["network"], weights["untrained"])
    assert named["network"][1] == by_file["network"][1]  # what is measured goes on, whatever the file is called


def test_a_network_says_what_it_is():
    module = GraspModule({"_target_": "plgp.networks.GGCNN2"}, {}, modality="rgbd")
    about = NetworkPolicy.from_module(module).describe()
    assert about["network"] == "GGCNN2"
    assert about["modality"] == "rgbd"
    assert about["parameters"] == 85189
    assert 1.6e9 < about["macs"] < 1.7e9
    assert next(module.network.parameters()).device.type == "cpu"  # the original stayed where it was


@pytest.mark.parametrize(
    "window",
    [
        (slice(0, 40), slice(30, 90)),
        (slice(11, 58), slice(7, 96)),
        (slice(0, 60), slice(0, 96)),
        (slice(5, 6), slice(95, 96)),
    ],
)
@pytest.mark.parametrize("kind", [GGCNN2, UNet])
def test_the_maps_of_a_window_are_those_of_the_whole(kind, window):
    torch.manual_seed(0)
    network = kind().eval()
    image = torch.randn(1, 1, 64, 96)
    with torch.inference_mode():
        whole, part = network(image), network.forward_window(image, window)
    for a, b in zip(whole, part, strict=True):
        torch.testing.assert_close(a[..., *window], b, atol=1e-5, rtol=1e-5)


def test_a_policy_grasps_the_same_whether_or_not_it_needs_the_whole_image(seen):
    """The network's last layers run in the workspace's window only; the decoder is told where that lies."""
    policy = NetworkPolicy.from_checkpoint("pretrained", workspace=TRAY)
    maps = policy.predict(seen.rgb, seen.depth)
    allowed = TRAY.mask(seen.depth, seen.camera)
    relief = floor_lowered(seen, allowed, policy.decoder.depth_margins)
    whole = decode(maps, relief, seen.camera, gripper=policy.gripper, count=50, allowed=allowed)
    part = policy.pixel_grasps(seen, 50)
    np.testing.assert_array_equal(part.row * 640 + part.col, whole.row * 640 + whole.col)
    np.testing.assert_allclose(part.depth, whole.depth)
    np.testing.assert_allclose(part.width, whole.width, atol=1e-6)
    np.testing.assert_allclose(part.quality, whole.quality, atol=1e-6)


def test_half_precision_finds_the_same_places(seen):
    exact = NetworkPolicy.from_checkpoint("pretrained", workspace=TRAY).pixel_grasps(seen, 50)
    policy = NetworkPolicy.from_checkpoint("pretrained", workspace=TRAY, precision="bfloat16")
    half = policy.pixel_grasps(seen, 50)
    assert policy.describe()["precision"] == "bfloat16"
    apart = np.hypot(half.row[:, None] - exact.row, half.col[:, None] - exact.col).min(axis=1)
    assert (apart <= 3).mean() > 0.8
    assert half.quality[0] == pytest.approx(exact.quality[0], abs=0.05)


@pytest.mark.parametrize("precision", ["float16", "bf16", "", None])
def test_unknown_precisions_are_refused(precision):
    with pytest.raises(InputError, match="float32, bfloat16"):
        NetworkPolicy.from_checkpoint("pretrained", precision=precision)


def test_another_hand_is_taken_where_that_is_said_and_goes_as_deep_and_wide_as_it_can():
    """A network's pixels with a hand that opens 50 mm and is 20 mm long; its width maps keep their unit."""
    hand = GripperGeometry(finger_width=0.02, finger_length=0.02, max_opening=0.05, force=40)
    with pytest.raises(InputError, match=r"another gripper: its finger_width is 0.017 m, yours 0.02 m.*other_gripper"):
        NetworkPolicy.pretrained(gripper=hand)
    with pytest.warns(UserWarning, match="another gripper: its finger_width.*measure how well"):
        policy = NetworkPolicy.pretrained(gripper=hand, other_gripper=True, workspace=TRAY)
    own = NetworkPolicy.pretrained(workspace=TRAY)
    assert (policy.gripper.force, policy.width_unit, own.width_unit) == (40, 0.1, 0.1)
    seen = observe(load_scene_set("plgp-320-v2")["novel-5"][0], BenchmarkSettings(), [0, 0, 0])
    mine, theirs = policy.pixel_grasps(seen, 50), own.pixel_grasps(seen, 50)
    assert len(mine) == 50
    assert mine.width.max() <= 0.05 < theirs.width.max()
    assert mine.depth.max() <= 0.02 < theirs.depth.max()
    # Narrow things keep their openings: the maps still count in tenths of a metre.
    theirs_at = dict(zip(zip(theirs.row, theirs.col, strict=True), theirs.width, strict=True))
    both = [
        (theirs_at.get(place), w) for place, w in zip(zip(mine.row, mine.col, strict=True), mine.width, strict=True)
    ]
    same = [abs(one - other) < 1e-9 for one, other in both if one is not None and one <= 0.05]
    assert same
    assert np.mean(same) > 0.8
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        NetworkPolicy.pretrained(gripper=GripperGeometry(force=10))


def test_a_policy_runs_where_it_is_asked_to():
    assert device_of("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    for name in ("gpu", "meta", "cuda:77", ""):
        with pytest.raises(InputError, match=f"device '{name}' .*; give device=cpu, or auto$") as caught:
            NetworkPolicy.pretrained(device=name)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["pretrained", "network", "untrained", "network_views"])
def test_every_policy_of_a_network_has_a_device(name):
    with initialize_config_module("plgp_conf", version_base="1.3"):
        words = [f"policy={name}", "checkpoint=pretrained", f"policies.{name}.device"]
        one, other, wrong = (compose("benchmark", [*words[:2], f"{words[2]}={d}"]) for d in ("cpu", "auto", "abacus"))
    (policy, about), (_, same) = (
        _policy(name, OmegaConf.to_container(c.policies[name], resolve=True)) for c in (one, other)
    )
    assert policy.device.type == "cpu"
    assert about == same  # where it runs makes no other policy
    with pytest.raises(InstantiationException) as caught:
        _policy(name, OmegaConf.to_container(wrong.policies[name], resolve=True))
    assert "device 'abacus' cannot be used" in str(input_error(caught.value))
