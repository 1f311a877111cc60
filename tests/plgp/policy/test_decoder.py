"""The decoder against slow, obvious twins, and on maps whose grasps are known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.ndimage import gaussian_filter, maximum_filter

from plgp.data.input_format import InputFormat
from plgp.networks import GGCNN2
from plgp.policy import NetworkPolicy
from plgp.policy.decoder import DecoderSettings, best_peaks, blocked, decode
from plgp.policy.workspace import Workspace
from plgp.targets import GraspMaps
from sim.benchmark import BenchmarkSettings, observe
from sim.benchmark.scene_sets import load_scene_set
from sim.camera import PinholeCamera, overhead_pose
from sim.grasp import bin_to_angle, deepest_free_depth
from sim.gripper import GripperGeometry

TRAY = Workspace((-0.18, -0.18, -0.1), (0.18, 0.18, 0.4))
GRIPPER = GripperGeometry()
CAMERA = PinholeCamera.from_fov(pose=overhead_pose(0.6))


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
    grasps = decode(maps, seen.depth, seen.camera, gripper=GRIPPER, count=count, settings=rules, allowed=allowed)
    slow = obvious_decode(maps, seen, count, rules)
    assert 1 <= len(grasps) == len(slow)
    np.testing.assert_array_equal(grasps.row, slow[:, 0])
    np.testing.assert_array_equal(grasps.col, slow[:, 1])
    fast = np.stack([grasps.angle, grasps.width, grasps.depth, grasps.quality], axis=1)
    np.testing.assert_allclose(fast, slow[:, 2:], atol=1e-8)


def test_logits_and_probabilities_rank_alike(seen):
    policy = untrained(1)
    at = {"depth": seen.depth, "camera": seen.camera, "gripper": GRIPPER, "count": 30}
    one = decode(policy.logits(seen.rgb, seen.depth), **at, logits=True)
    two = decode(policy.predict(seen.rgb, seen.depth), **at)
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
    at = {"row": rows, "col": cols, "angle": angle, "width": width}
    dropped = blocked(seen.depth, seen.camera, GRIPPER, **at, settings=rules)
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


def test_decoder_reads_what_the_maps_say(perfect):
    depth = np.full((480, 640), 0.6, np.float32)
    depth[200:240, 300:312] = 0.57  # 12 pixels are 16 mm wide
    maps = perfect([220, 221, 100], [306, 306, 100], [0, 0, 5])
    settings = DecoderSettings()
    grasps = decode(maps, depth, CAMERA, gripper=GripperGeometry(), count=1)
    assert (grasps.row[0], grasps.col[0]) == (220, 306)
    assert grasps.angle[0] == 0
    assert grasps.width[0] == pytest.approx(0.03)
    assert grasps.depth[0] == pytest.approx(0.03 - settings.depth_margin, abs=1e-4)
    deepest = decode(
        maps, depth, CAMERA, gripper=GripperGeometry(), count=1, settings=replace(settings, depth_margin=0.0)
    )
    assert deepest.depth[0] == pytest.approx(0.03, abs=1e-4)
    assert grasps.quality[0] == pytest.approx(0.9)
    # The neighbour was suppressed; the bare floor at (100, 100) allows no depth.
    two = decode(maps, depth, CAMERA, gripper=GripperGeometry(), count=2, settings=DecoderSettings(suppression_px=3))
    assert (two.row[0], two.col[0]) == (220, 306)
    assert (100, 100) not in set(zip(two.row.tolist(), two.col.tolist(), strict=True))
    box = Workspace((-1.0, -1.0, -0.1), (-0.02, 1.0, 1.0), "world")
    elsewhere = decode(maps, depth, CAMERA, gripper=GripperGeometry(), count=5, allowed=box.mask(depth, CAMERA))
    points = CAMERA.deproject(elsewhere.row, elsewhere.col, depth[elsewhere.row, elsewhere.col])
    assert (points[:, 0] <= -0.02).all()


def test_decoder_fills_up_to_count_and_survives_nothing():
    depth = np.full((480, 640), 0.6, np.float32)
    depth[200:206, 300:312] = 0.57
    maps = GraspMaps(*(torch.full((1, n, 480, 640), 0.2) for n in (1, 18, 18)))
    allowed = np.zeros(depth.shape, bool)
    allowed[200:206, 300:312] = True
    settings = DecoderSettings(suppression_px=8)
    few = decode(maps, depth, CAMERA, gripper=GripperGeometry(), count=30, settings=settings, allowed=allowed)
    assert len(few) == 30
    assert len(set(zip(few.row.tolist(), few.col.tolist(), strict=True))) == 30
    nowhere = np.zeros(depth.shape, bool)
    assert len(decode(maps, depth, CAMERA, gripper=GripperGeometry(), count=10, allowed=nowhere)) == 0
