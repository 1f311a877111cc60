"""The decoder against slow, obvious twins, and on maps whose grasps are known."""

from dataclasses import replace
from itertools import pairwise

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
from plgp.policy.candidates import Places, depth_bound, search_windows
from plgp.policy.contact_edges import edge_slopes, edge_spread
from plgp.policy.decoder import decode
from plgp.policy.peaks import best_peaks
from plgp.policy.settings import DecoderSettings
from plgp.policy.workspace import Workspace
from plgp.targets import GraspMaps
from sim.benchmark import BenchmarkSettings, observe
from sim.benchmark.scene_sets import load_scene_set
from sim.camera import PinholeCamera, overhead_pose
from sim.errors import InputError
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
    """Every candidate in every way put to the whole depth rule, then picked one by one by the score's own words.

    Returns:
        (row, col, angle, width, depth, score) in order.
    """
    quality, angle, width = (m[0].numpy().astype(np.float32) for m in maps)
    score = np.where(TRAY.mask(seen.depth, seen.camera), quality[0] * angle.max(axis=0), 0)
    highest = maximum_filter(score, size=3, mode="constant")
    order = np.argsort(-score.ravel(), kind="stable")
    ranked = [divmod(int(i), 640) for i in order if score.ravel()[i] > 0]
    peaks = [place for place in ranked if score[place] == highest[place]][: rules.pool]
    others = [place for place in ranked[: rules.pool] if score[place] < highest[place]][: rules.pool // 4]
    row, col = np.array(peaks + others).T
    k = angle.argmax(axis=0)[row, col]
    theta, predicted = bin_to_angle(k, 18), width[k, row, col].astype(np.float64) * 0.1
    usual = np.clip(predicted + rules.extra_opening, 0, 0.1)
    # Slopes of the part of the image that fingers can reach, as the decoder takes them for speed.
    outer = search_windows(TRAY.mask(seen.depth, seen.camera), seen.depth, CAMERA, gripper=GRIPPER)[1]
    at = {"row": row - outer[0].start, "col": col - outer[1].start, "angle": theta, "width": usual}
    spread = edge_spread(edge_slopes(seen.depth[outer], CAMERA), seen.depth[outer], CAMERA, gripper=GRIPPER, **at)
    share = np.where(np.arange(len(row)) < len(peaks), 1, rules.repeat) / (1 + (spread / rules.edge_spread) ** 2)
    left = {}
    ways = [(0.0, 1.0)] + [(w, 0.7) for w in (0.02, 0.04, 0.06, 0.08)] + [(None, 0.3)]
    for more, factor in ways:
        beside, below, least = rules.margin, rules.depth_margin, rules.min_depth
        if more is None:
            more, beside, below, least = 0.0, 0.0, rules.close_depth_margin, rules.close_depth
        opening = np.clip(predicted + rules.extra_opening + more, 0, 0.1)
        at = seen.depth, seen.camera, GRIPPER, row, col, theta, opening
        free = np.nan_to_num(deepest_free_depth(*at, margin=beside, depth_margin=below), nan=-1.0)
        for i in np.flatnonzero(free >= least):
            value = score[row[i], col[i]] * min(1, free[i] / rules.full_depth) * share[i] * factor
            left.setdefault((row[i], col[i]), [theta[i], opening[i], free[i], value])
    picked, visited = [], set()
    while len(picked) < count and left:
        place = max(left, key=lambda p: left[p][3])
        one = left.pop(place)
        picked.append((*place, *one))
        reach = rules.place * CAMERA.intrinsics[0, 0] / seen.depth[place]
        for other, values in left.items():
            if other not in visited and np.hypot(other[0] - place[0], other[1] - place[1]) <= reach:
                visited.add(other)
                values[3] *= rules.revisit
            turn = abs((values[0] - one[0] + np.pi / 2) % np.pi - np.pi / 2)
            near = np.hypot(other[0] - place[0], other[1] - place[1]) <= rules.suppression_px
            if near and turn < rules.spacing_angle:
                values[3] *= rules.repeat
    return np.array(picked)


@pytest.mark.parametrize("count", [1, 50])
@pytest.mark.parametrize("kind", ["untrained", "peaked"])
def test_the_ranking_is_the_obvious_twins(seen, kind, count):
    maps = peaked(seen) if kind == "peaked" else untrained().predict(seen.rgb, seen.depth)
    rules = DecoderSettings(pool=2000, revisit=0.75 if kind == "peaked" else 1.0)
    allowed = TRAY.mask(seen.depth, seen.camera)
    grasps = decode(maps, seen.depth, seen.camera, gripper=GRIPPER, count=count, settings=rules, allowed=allowed)
    slow = obvious_decode(maps, seen, count, rules)
    assert 1 <= len(grasps) == len(slow)
    np.testing.assert_array_equal(grasps.row, slow[:, 0])
    np.testing.assert_array_equal(grasps.col, slow[:, 1])
    fast = np.stack([grasps.angle, grasps.width, grasps.depth, grasps.quality], axis=1)
    np.testing.assert_allclose(fast, slow[:, 2:], atol=1e-8)


def test_a_shorter_list_is_the_beginning_of_a_longer_one(seen):
    policy = untrained(2)
    maps, allowed = policy.predict(seen.rgb, seen.depth), TRAY.mask(seen.depth, seen.camera)
    lists = [decode(maps, seen.depth, seen.camera, gripper=GRIPPER, count=n, allowed=allowed) for n in (1, 7, 50, 200)]
    for short, long in pairwise(lists):
        for name in ("row", "col", "angle", "width", "depth", "quality"):
            np.testing.assert_array_equal(getattr(short, name), getattr(long, name)[: len(short)])
    assert (np.diff(lists[-1].quality) <= 0).all()


def plateau(size, height, tilt=0.0):
    """Depth of a box on the ground, ``size`` (along closing, across) and ``height`` metres, turned by ``tilt`` rad."""
    rows, cols = np.mgrid[:480, :640]
    x, y = (cols - 319.5) / 415.7 * 0.6, (rows - 239.5) / 415.7 * 0.6
    a, b = x * np.cos(tilt) - y * np.sin(tilt), x * np.sin(tilt) + y * np.cos(tilt)
    box = (np.abs(a) < size[0] / 2) & (np.abs(b) < size[1] / 2)
    return np.where(box, 0.6 - height, 0.6).astype(np.float32), box


def maps_on(box, width=0.03):
    """Maps that find the whole of a mask good, at angle 0."""
    quality = torch.from_numpy(box.astype(np.float32) * 0.9)[None, None]
    angle = torch.zeros(1, 18, *box.shape)
    angle[:, 0] = 0.9
    return GraspMaps(quality, angle, torch.full((1, 18, *box.shape), width / 0.1))


@pytest.mark.parametrize("height", [0.003, 0.006, 0.012, 0.03])
def test_flat_objects_get_grasps_too(height):
    depth, box = plateau((0.03, 0.06), height)
    grasps = decode(maps_on(box), depth, CAMERA, gripper=GRIPPER, count=50)
    assert len(grasps) == 50
    assert (grasps.depth > 0).all()
    assert (grasps.depth <= height + 1e-6).all()


def test_flat_objects_come_after_high_ones():
    depth, box = plateau((0.03, 0.06), 0.03)
    flat = np.zeros_like(box)
    flat[330:370, 310:330] = True
    depth[flat] = 0.6 - 0.004
    grasps = decode(maps_on(box | flat), depth, CAMERA, gripper=GRIPPER, count=1500)
    on_flat = flat[grasps.row, grasps.col]
    assert on_flat.any()
    assert not on_flat[:10].any()


def test_the_first_grasps_are_distinct_places():
    """The ten best of fifty lie apart where there is room: on five objects, not on one or two spots."""
    depth, box = np.full((480, 640), 0.6, np.float32), np.zeros((480, 640), bool)
    for col in (200, 260, 320, 380, 440):
        box[200:240, col : col + 20] = True
    depth[box] = 0.57
    grasps = decode(maps_on(box), depth, CAMERA, gripper=GRIPPER, count=50)
    places = np.stack([grasps.row, grasps.col], axis=1)[:10]
    apart = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1))[np.triu_indices(10, 1)]
    assert apart.min() > 4
    assert len({int(col) // 60 for col in places[:, 1]}) >= 3


@pytest.mark.parametrize("count", [10, 50])
@pytest.mark.parametrize("objects", [2, 5, 8])
def test_a_place_that_was_chosen_waits_for_others_that_are_nearly_as_good(objects, count):
    """With ``revisit``, the ten best lie on as many small objects as there are, whatever the length of the list."""
    depth, box = np.full((480, 640), 0.6, np.float32), np.zeros((480, 640), bool)
    columns = np.linspace(120, 500, objects).astype(int)
    for col in columns:
        box[200:224, col : col + 20] = True  # smaller than a place, 29 px
    depth[box] = 0.57
    maps = maps_on(box)
    maps.quality[..., :160] *= 0.9
    rules = DecoderSettings(revisit=0.7)
    grasps = decode(maps, depth, CAMERA, gripper=GRIPPER, count=count, settings=rules)
    first = decode(maps, depth, CAMERA, gripper=GRIPPER, count=1)
    assert (grasps.row[0], grasps.col[0]) == (first.row[0], first.col[0])
    assert len({int(np.abs(columns + 10 - col).argmin()) for col in grasps.col[:10]}) == objects
    assert (np.diff(grasps.quality) <= 1e-12).all()  # factors multiply in either order


def test_nothing_to_try_gives_an_empty_list():
    depth, box = plateau((0.03, 0.06), 0.03)
    at = {"gripper": GRIPPER, "count": 5}
    assert len(decode(maps_on(box), depth, CAMERA, **at, weight=np.zeros(depth.shape, np.float32))) == 0
    assert len(decode(maps_on(box), depth, CAMERA, **at, settings=DecoderSettings(pool=0))) == 0
    assert len(decode(maps_on(box), np.full_like(depth, 0.6), CAMERA, **at)) == 0  # bare floor


def test_a_place_that_is_much_worse_does_not_come_early():
    depth, box = np.full((480, 640), 0.6, np.float32), np.zeros((480, 640), bool)
    box[200:260, 200:220] = box[200:260, 400:420] = True
    depth[box] = 0.57
    maps = maps_on(box)
    maps.quality[..., 400:420] *= 0.3
    rules = DecoderSettings(revisit=0.7)
    grasps = decode(maps, depth, CAMERA, gripper=GRIPPER, count=50, settings=rules)
    assert (grasps.col[:10] < 300).all()


@pytest.mark.parametrize("wrong", [{"revisit": 0}, {"revisit": 1.1}, {"place": -0.01}, {"place": np.nan}])
def test_settings_of_places_out_of_range_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        DecoderSettings(**wrong)


def test_edges_that_run_straight_across_the_fingers_have_no_spread():
    across = []
    for tilt in (0.0, 0.2, 0.4, np.pi / 4):
        depth, _ = plateau((0.03, 0.06), 0.03, tilt)
        at = {"row": np.array([239]), "col": np.array([319]), "angle": np.zeros(1), "width": np.array([0.05])}
        across.append(float(edge_spread(edge_slopes(depth, CAMERA), depth, CAMERA, gripper=GRIPPER, **at)[0]))
    assert across[0] < 0.0005
    assert across == sorted(across)
    # A straight edge at an angle t spreads by tan(t) times the standard deviation of the lines over the finger.
    assert across[2] == pytest.approx(np.tan(0.4) * np.std([-0.7, -0.35, 0, 0.35, 0.7]) * 0.0085, rel=0.4)


def test_no_edge_spreads_over_the_fingers_width():
    depth = np.full((480, 640), 0.6, np.float32)
    at = {"row": np.array([239]), "col": np.array([319]), "angle": np.zeros(1), "width": np.array([0.05])}
    assert edge_spread(edge_slopes(depth, CAMERA), depth, CAMERA, gripper=GRIPPER, **at) == GRIPPER.finger_width


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
    n = 1500
    rows, cols = rng.integers(100, 380, n), rng.integers(180, 460, n)
    inside = seen.depth[rows, cols] > 0
    rows, cols = rows[inside], cols[inside]
    angle, width = rng.uniform(0, np.pi, len(rows)), rng.uniform(0, 0.1, len(rows))
    margin = rng.choice([0.0, 0.0025], len(rows))
    free = np.array(
        [
            deepest_free_depth(seen.depth, seen.camera, GRIPPER, *grasp, margin=beside)[0]
            for *grasp, beside in zip(rows, cols, angle, width, margin, strict=True)
        ]
    )
    places = Places(rows, cols, angle, width, margin, np.zeros(len(rows)), np.zeros(len(rows)))
    bound = depth_bound(seen.depth, seen.camera, places, gripper=GRIPPER)
    known = ~np.isnan(free)
    assert known.sum() > 100
    assert (bound[known] >= free[known] - 1e-7).all()
    assert bound.max() <= GRIPPER.finger_length
    kept = np.nan_to_num(free, nan=-1.0) >= DecoderSettings().min_depth
    dropped = bound < DecoderSettings().min_depth
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
