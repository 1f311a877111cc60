import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.benchmark import BenchmarkSettings, Observation, make_scenes, observe
from sim.benchmark.baselines import RandomPolicy
from sim.benchmark.baselines.antipodal import AntipodalPolicy, _Pairs, suppress
from sim.benchmark.grasp_attempt import attempt
from sim.camera import PinholeCamera, overhead_pose
from sim.depth_image.edges import fill_nearest, surface_slope, thin_edges
from sim.depth_noise import DepthNoise
from sim.errors import InputError
from sim.objects import ObjectSet
from sim.physics import World

CAMERA = PinholeCamera.from_fov(pose=overhead_pose(0.6))
POLICY = AntipodalPolicy()


def box_image(angle, length=0.12, breadth=0.03, height=0.04, centre=(0.0, 0.0)):
    """A box on the table whose long side is turned by ``angle``, counter-clockwise as the image is seen."""
    rows, cols = np.mgrid[: CAMERA.height, : CAMERA.width]
    points = CAMERA.deproject(rows.ravel(), cols.ravel(), 0.6 - height).reshape(*rows.shape, 3)
    x, y = points[..., 0] - centre[0], points[..., 1] - centre[1]
    along, across = x * np.cos(angle) - y * np.sin(angle), x * np.sin(angle) + y * np.cos(angle)
    inside = (np.abs(along) < length / 2) & (np.abs(across) < breadth / 2)
    return np.where(inside, 0.6 - height, 0.6).astype(np.float32)


def seen(depth):
    return Observation(np.zeros((*depth.shape, 3), np.uint8), depth, CAMERA)


def angles(grasps):
    """Counter-clockwise as the image is seen: minus y, for rows grow downwards."""
    return np.arctan2(-grasps.rotation[:, 1, 0], grasps.rotation[:, 0, 0]) % np.pi


def turn(a, b):
    return np.abs((a - b + np.pi / 2) % np.pi - np.pi / 2)


@given(st.floats(0, np.pi), st.floats(-0.08, 0.08), st.floats(-0.08, 0.08))
@settings(max_examples=12, deadline=None)
def test_the_best_grasp_closes_across_the_narrow_side(angle, x, y):
    grasps = POLICY(seen(box_image(angle, centre=(x, y))), 10)
    assert turn(angles(grasps)[0], angle + np.pi / 2) < np.radians(10)
    # Between the two long sides, and the tips below the top by what the gripper can reach.
    offset = grasps.translation[0] - [x, y, 0.56]
    across = offset[0] * np.sin(angle) + offset[1] * np.cos(angle)
    assert abs(across) < 0.004
    assert 0.01 < offset[2] <= 0.041
    assert 0.03 < grasps.width[0] <= 0.03 + POLICY.clearance + 2 * POLICY.widening
    assert (np.diff(grasps.quality) <= 0).all()


def test_angles_grow_counter_clockwise_as_the_image_is_seen():
    # A bar from the lower left to the upper right of the picture: closing runs across it, at 135 degrees.
    depth = box_image(np.pi / 4)
    assert depth[215, 344] < 0.59 < depth[215, 294]
    assert np.degrees(angles(POLICY(seen(depth), 1))[0]) == pytest.approx(135, abs=10)


def test_a_turned_image_gives_turned_grasps():
    first, second = (POLICY(seen(box_image(a)), 1) for a in (0.3, 0.3 + np.pi / 3))
    assert turn(angles(second)[0], angles(first)[0] + np.pi / 3) < np.radians(10)


def test_nothing_closes_along_a_side_wider_than_the_opening():
    grasps = POLICY(seen(box_image(0.0, length=0.12, breadth=0.05)), 50)
    assert len(grasps) == 50
    assert (turn(angles(grasps), np.pi / 2) < np.radians(40)).all()
    assert len(POLICY(seen(box_image(0.0, length=0.12, breadth=0.12)), 50)) == 0


def test_an_empty_table_a_ramp_a_pit_and_blindness_give_nothing():
    flat = np.full((CAMERA.height, CAMERA.width), 0.6, np.float32)
    ramp = flat - np.linspace(0, 0.2, CAMERA.width, dtype=np.float32)
    pit = 1.2 - box_image(0.4)
    for depth in (flat, ramp, pit, np.zeros_like(flat)):
        assert len(POLICY(seen(depth), 50)) == 0


def test_holes_neither_crash_nor_make_edges():
    rng = np.random.default_rng(0)
    whole = box_image(0.7)
    holes = rng.random(whole.shape) < 0.2
    rows, cols = np.mgrid[: CAMERA.height, : CAMERA.width]
    # The middle of the box, and its whole outline as a real camera loses it.
    holes |= (rows - 239.5) ** 2 + (cols - 319.5) ** 2 < 15
    steep = np.hypot(*surface_slope(whole, CAMERA, 3.0)) > 0.5
    depth = np.where(holes | steep, 0, whole).astype(np.float32)
    grasps = POLICY(seen(depth), 10)
    assert turn(angles(grasps)[0], 0.7 + np.pi / 2) < np.radians(10)
    flat = np.where(holes, 0, 0.6).astype(np.float32)
    assert len(POLICY(seen(flat), 10)) == 0


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_papers_noise_makes_no_grasps_and_turns_none(seed):
    noise = DepthNoise()
    flat = np.full((CAMERA.height, CAMERA.width), 0.6, np.float32)
    assert len(POLICY(seen(noise(flat, np.random.default_rng(seed))), 50)) == 0
    grasps = POLICY(seen(noise(box_image(0.7 * seed), np.random.default_rng(seed))), 50)
    assert len(grasps) == 50
    assert turn(angles(grasps)[:5], 0.7 * seed + np.pi / 2).max() < np.radians(10)


def test_what_is_free_for_a_pair_does_not_depend_on_the_others():
    """Others' middles lie in holes and on the floor, which neither block nor free before they are asked about."""
    rng = np.random.default_rng(0)
    image = np.where(rng.random((480, 640)) < 0.79, 0, box_image(0.3)).astype(np.float32)
    along, across = np.array([np.cos(0.3), -np.sin(0.3)]), np.array([np.sin(0.3), np.cos(0.3)])
    place = rng.uniform(-0.055, 0.055, (200, 1)) * along + rng.uniform(-0.004, 0.004, (200, 1)) * across
    place[100:] = rng.uniform(-0.08, 0.08, (100, 2))
    half = 0.01 * across + rng.uniform(-0.006, 0.006, (200, 1)) * along
    pairs = _Pairs(place - half, place + half, np.full((200, 2), 0.56), np.zeros(200))
    policy, filled = AntipodalPolicy(), fill_nearest(image)

    def executable(some):
        chosen = _Pairs(*(getattr(pairs, f.name)[some] for f in dataclasses.fields(_Pairs)))
        grasps, reach, kept = policy._executable(image, filled, chosen, camera=CAMERA)
        return np.column_stack([kept.first, grasps.depth, grasps.width, reach])

    alone = np.concatenate([executable([k]) for k in range(200)])
    assert 20 < len(alone) < 100
    np.testing.assert_array_equal(executable(range(200)), alone)


def test_the_same_image_gives_the_same_grasps_and_another_seed_others():
    observation = seen(box_image(0.7))
    first, again = POLICY(observation, 20), AntipodalPolicy()(observation, 20)
    np.testing.assert_array_equal(first.translation, again.translation)
    np.testing.assert_array_equal(first.rotation, again.rotation)
    few = {"edges": 60}
    other = [AntipodalPolicy(seed=s, **few)(observation, 20).translation for s in (0, 1)]
    assert other[0].shape != other[1].shape or not np.array_equal(*other)


def test_filling_takes_the_nearest_seen_pixel():
    rng = np.random.default_rng(1)
    depth = np.where(rng.random((20, 25)) < 0.7, 0, rng.uniform(0.4, 0.6, (20, 25))).astype(np.float32)
    filled = fill_nearest(depth)
    rows, cols = np.nonzero(depth)
    for r, c in np.ndindex(depth.shape):
        distance = np.hypot(rows - r, cols - c)
        # OpenCV's distances are good to a few per cent: any pixel about as near will do.
        near = depth[rows, cols][distance <= distance.min() * 1.1]
        assert filled[r, c] in near


def test_a_slope_is_the_rise_over_the_way_and_edges_are_one_pixel_thin():
    cols = np.mgrid[: CAMERA.height, : CAMERA.width][1]
    # The plane z = 0.6 + 0.2 x in space: z (1 - 0.2 (col - cx) / f) = 0.6.
    plane = 0.6 / (1 - 0.2 * (cols - CAMERA.intrinsics[0, 2]) / CAMERA.intrinsics[0, 0])
    slope_x, slope_y = surface_slope(plane, CAMERA, 0.0)
    assert slope_x[240, 320] == pytest.approx(0.2, rel=0.01)
    assert slope_y[240, 320] == pytest.approx(0, abs=1e-5)
    edges = thin_edges(*surface_slope(box_image(0.0), CAMERA, 1.5), 1.0)
    # Up the middle of the picture: the box's two long sides, 0.03 m at 0.56 m apart.
    found = np.nonzero(edges[:, 320])[0]
    assert len(found) == 2
    assert np.diff(found)[0] == pytest.approx(0.03 / 0.56 * CAMERA.intrinsics[1, 1], abs=2)


def test_suppression_spreads_the_grasps_and_still_fills_the_count():
    rng = np.random.default_rng(2)
    place, angle = rng.uniform(0, 0.1, (200, 2)), rng.uniform(0, np.pi, 200)
    chosen = suppress(place, angle, 8, spacing=0.03, turn=0.5)
    assert chosen[0] == 0
    assert len(chosen) == 8
    for a in chosen:
        for b in chosen[chosen != a]:
            apart = ((place[a] - place[b]) ** 2).sum() / 0.03**2 + (turn(angle[a], angle[b]) / 0.5) ** 2
            assert apart >= 1
    same = suppress(np.zeros((30, 2)), np.zeros(30), 20, spacing=0.03, turn=0.5)
    np.testing.assert_array_equal(same, np.arange(20))


def test_grasps_of_a_scene_are_spread_over_its_objects():
    near, far = box_image(0.3, centre=(-0.08, 0)), box_image(1.2, centre=(0.08, 0.02))
    grasps = POLICY(seen(np.minimum(near, far)), 20)
    left = grasps.translation[:, 0] < 0
    assert 5 <= left.sum() <= 15


@pytest.mark.parametrize("wrong", [{"friction": -0.1}, {"edge_slope": 0.0}, {"min_depth": np.nan}])
def test_wrong_settings_are_named(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        AntipodalPolicy(**wrong)


@pytest.mark.parametrize(
    ("policy", "wrong"),
    [
        (AntipodalPolicy, {"seed": 1.5}),
        (AntipodalPolicy, {"top_px": 4.5}),
        (AntipodalPolicy, {"samples": 10.0}),
        (RandomPolicy, {"seed": -1}),
        (RandomPolicy, {"seed": 1.5}),
        (RandomPolicy, {"min_height": "low"}),
        (RandomPolicy, {"half_side": 0.0}),
        (RandomPolicy, {"depth_margin": -0.001}),
        (RandomPolicy, {"floor_margin": np.nan}),
    ],
)
def test_what_no_grasp_can_be_drawn_with_is_refused_before_an_image(policy, wrong):
    with pytest.raises(InputError, match=f"{next(iter(wrong))} is .*; give"):
        policy(**wrong)
    policy(half_side=None, floor_margin=None)


def test_antipodal_grasps_lift_more_often_than_random_ones():
    rules = dataclasses.replace(BenchmarkSettings(), count=10)
    lifted = {"random": 0, "antipodal": 0}
    for index, state in enumerate(make_scenes(ObjectSet.pybullet(0, 899), "seen-3", 2, count=3, seed=81)):
        world = World(rules.physics, state.tray)
        try:
            observation = observe(state, rules, [0, index])
            for policy in (RandomPolicy(), POLICY):
                grasps = policy(observation, rules.count).transform(observation.camera.pose, "world")
                assert len(grasps) == rules.count
                for i in range(rules.count):
                    result = attempt(world, state, grasps[i], rules.gripper, 0.6, rules.attempt)
                    lifted[policy.name] += result.success
        finally:
            world.close()
    assert lifted["antipodal"] >= lifted["random"] + 4, lifted
