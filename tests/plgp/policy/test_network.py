"""The decoder against slow, obvious twins; the controls; the checkpoint that is installed with the package."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import gaussian_filter, maximum_filter

from labeler.labels import label_view
from plgp.data.transforms import InputFormat
from plgp.module import GraspModule
from plgp.networks import GGCNN2
from plgp.policy import ConstantPolicy, NetworkPolicy, pretrained_checkpoint
from plgp.policy.decoder import DecoderSettings, Workspace, best_peaks, blocked, decode
from plgp.targets import GraspMaps
from sim.benchmark import BenchmarkSettings, observe
from sim.benchmark.scene_sets import load_scene_set
from sim.camera import ParallelCamera
from sim.errors import InputError
from sim.grasp import angle_to_bin, bin_to_angle, deepest_free_depth
from sim.gripper import GripperGeometry
from sim.render import render_view

TRAY = Workspace((-0.18, -0.18, -0.1), (0.18, 0.18, 0.4))
GRIPPER = GripperGeometry()


@pytest.fixture(scope="module")
def seen():
    """What the benchmark's camera sees of a published scene of 15 objects, with noise."""
    return observe(load_scene_set("plgp-320")["novel-15"][1], BenchmarkSettings(), [0, 1, 0])


def untrained(seed=0):
    torch.manual_seed(seed)
    return NetworkPolicy(GGCNN2(prior=0.05), InputFormat(), GRIPPER, workspace=TRAY)


def peaked(seen, seed=0):
    """Maps as of a trained network: some high, narrow peaks over a low floor, no two scores alike."""
    rng = np.random.default_rng(seed)
    spots = np.zeros(seen.depth.shape)
    rows, cols = rng.integers(130, 350, 400), rng.integers(210, 430, 400)
    spots[rows, cols] = rng.uniform(0.2, 1, 400)
    quality = gaussian_filter(spots, 2.0)
    quality = 0.95 * quality / quality.max() + 1e-4 * rng.random(spots.shape)
    angle, width = rng.random((2, 18, *spots.shape))
    return GraspMaps(*(torch.from_numpy(a[None].astype(np.float32)) for a in (quality[None], angle, width)))


def obvious_decode(maps, seen, count, rules):
    """Every candidate of every stage put to the whole depth rule: (row, col, angle, width, depth, score) in order."""
    quality, angle, width = (m[0].numpy().astype(np.float32) for m in maps)
    score = np.where(TRAY.mask(seen.depth, seen.camera), quality[0] * angle.max(axis=0), 0)
    radii = [rules.suppression_px]
    while radii[-1]:
        radii.append(radii[-1] // 2)
    stages = [(r, 0.0) for r in radii] + [(rules.suppression_px, w) for w in (0.02, 0.04, 0.06, 0.08)]
    found = {}
    for radius, more in stages:
        highest = maximum_filter(score, size=2 * radius + 1, mode="constant")
        row, col = np.nonzero((score == highest) & (score > 0))
        order = np.argsort(-score[row, col], kind="stable")[: rules.pool]
        row, col = row[order], col[order]
        k = angle.argmax(axis=0)[row, col]
        opening = np.clip(width[k, row, col].astype(np.float64) * 0.1 + rules.extra_opening + more, 0, 0.1)
        theta = bin_to_angle(k, 18)
        at = seen.depth, seen.camera, GRIPPER, row, col, theta, opening
        free = deepest_free_depth(*at, margin=rules.margin, depth_margin=rules.depth_margin)
        for i in np.flatnonzero(np.nan_to_num(free, nan=-1.0) >= rules.min_depth):
            place = (row[i], col[i])
            if place not in found and len(found) < count:
                found[place] = (*place, theta[i], opening[i], free[i], score[place])
        if len(found) == count:
            break
    return np.array(sorted(found.values(), key=lambda g: -g[5]))


@pytest.mark.parametrize("count", [1, 50])
@pytest.mark.parametrize("kind", ["untrained", "peaked"])
def test_the_ranking_is_the_obvious_twins(seen, kind, count):
    maps = peaked(seen) if kind == "peaked" else untrained().predict(seen.rgb, seen.depth)
    rules = DecoderSettings(pool=2000)
    allowed = TRAY.mask(seen.depth, seen.camera)
    grasps = decode(maps, seen.depth, seen.camera, GRIPPER, count, rules, allowed)
    slow = obvious_decode(maps, seen, count, rules)
    assert 1 <= len(grasps) == len(slow)
    np.testing.assert_array_equal(grasps.row, slow[:, 0])
    np.testing.assert_array_equal(grasps.col, slow[:, 1])
    fast = np.stack([grasps.angle, grasps.width, grasps.depth, grasps.quality], axis=1)
    np.testing.assert_allclose(fast, slow[:, 2:], atol=1e-8)


def test_logits_and_probabilities_rank_alike(seen):
    policy = untrained(1)
    one = decode(policy.logits(seen.rgb, seen.depth), seen.depth, seen.camera, GRIPPER, 30, logits=True)
    two = decode(policy.predict(seen.rgb, seen.depth), seen.depth, seen.camera, GRIPPER, 30)
    assert len(one) == 30
    np.testing.assert_array_equal(one.row * 640 + one.col, two.row * 640 + two.col)
    np.testing.assert_allclose(one.width, two.width, atol=1e-7)
    np.testing.assert_allclose(one.quality, two.quality, atol=1e-7)


def test_the_quick_look_drops_nothing_that_the_depth_rule_keeps(seen):
    rng = np.random.default_rng(0)
    n = 6000
    rows, cols = rng.integers(100, 380, n), rng.integers(180, 460, n)
    inside = seen.depth[rows, cols] > 0
    rows, cols = rows[inside], cols[inside]
    angle, width = rng.uniform(0, np.pi, len(rows)), rng.uniform(0, 0.1, len(rows))
    rules = DecoderSettings()
    free = deepest_free_depth(seen.depth, seen.camera, GRIPPER, rows, cols, angle, width, margin=rules.margin)
    kept = np.nan_to_num(free, nan=-1.0) >= rules.min_depth
    dropped = blocked(seen.depth, seen.camera, GRIPPER, rows, cols, angle, width, rules)
    assert kept.sum() > 100
    assert not (dropped & kept).any()
    assert dropped[~kept].mean() > 0.7  # or it would not be worth its name


def shuffled(pixel):
    return (int(pixel) * 2654435761) % 2**32


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(np.float32, (9, 11), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0])),
    st.integers(0, 4),
    st.integers(1, 120),
)
def test_peaks_are_the_obvious_twins(score, radius, limit):
    def rank(row, col):
        return -score[row, col], shuffled(row * 11 + col)

    peaks = []
    for row, col in np.argwhere(score > 0):
        near = [
            (r, c)
            for r in range(max(0, row - radius), min(9, row + radius + 1))
            for c in range(max(0, col - radius), min(11, col + radius + 1))
        ]
        if all(rank(row, col) <= rank(r, c) for r, c in near):
            peaks.append((row, col))
    peaks.sort(key=lambda p: rank(*p))
    assert best_peaks(score, radius, limit).tolist() == [r * 11 + c for r, c in peaks[:limit]]


def test_a_flat_map_is_thinned_out_and_favours_no_corner():
    pixels = best_peaks(np.ones((200, 300), np.float32), 4, 40)
    rows, cols = np.divmod(pixels, 300)
    apart = np.maximum(abs(rows[:, None] - rows), abs(cols[:, None] - cols)) + 1000 * np.eye(40)
    assert apart.min() > 4
    assert 60 < rows.mean() < 140
    assert 100 < cols.mean() < 200


def test_constant_maps_know_nothing_but_what_the_decoder_knows(seen):
    policy = ConstantPolicy(angle=np.pi / 2, width=0.05, workspace=TRAY)
    assert policy.name == "constant"
    grasps = policy.pixel_grasps(seen, 50)
    assert len(grasps) == 50
    np.testing.assert_allclose(grasps.angle, np.pi / 2)
    assert set(np.round(grasps.width, 6)) <= {0.06, 0.08, 0.1}
    assert len(set(grasps.quality)) == 1
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


def test_the_installed_checkpoint_is_found_or_named_as_missing(tmp_path):
    with pytest.raises(InputError, match="carries no trained network"):
        pretrained_checkpoint(folder=tmp_path)
    one = tmp_path / "ggcnn2-depth.ckpt"
    one.touch()
    assert pretrained_checkpoint(folder=tmp_path) == one
    (tmp_path / "default.ckpt").touch()
    assert pretrained_checkpoint(folder=tmp_path).stem == "default"
    assert pretrained_checkpoint("ggcnn2-depth", tmp_path) == one
    with pytest.raises(InputError, match=r"no trained network 'unet'.*choose one of default, ggcnn2-depth"):
        pretrained_checkpoint("unet", tmp_path)
    (tmp_path / "default.ckpt").rename(tmp_path / "other.ckpt")
    with pytest.raises(InputError, match="several"):
        pretrained_checkpoint(folder=tmp_path)


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
    named, by_file = _policies(config.policies), _policies(asked.policies)
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
