"""One image through several views of its points: grasps that lean, and what a leaning hand must keep out of."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plgp.data.trained_view import TrainedView
from plgp.policy import DecoderSettings, NetworkPolicy, ViewSettings, VirtualViews, network
from plgp.policy.views.viewed import PlaneExtent, graspable_leaning
from plgp.policy.views.virtual_views import hand_is_clear, leaning_views, merged
from sim.camera import PinholeCamera, offset_pose
from sim.depth_image.main_plane import main_plane
from sim.errors import InputError
from sim.geometry import transform
from sim.grasp import GraspPoses
from sim.gripper import GripperGeometry
from sim.render.rasteriser import rasterise_pinhole
from sim.view import Observation

CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
SIDES = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
FACES = np.array([t for a, b, c, d in SIDES for t in ((a, b, c), (a, c, d))], np.int32)
TABLE, BAR = ((0.7, 0.7, 0.02), (0, 0, -0.01)), ((0.12, 0.03, 0.04), (0.03, 0.02, 0.02))
TOWER = ((0.04, 0.04, 0.15), (-0.1, 0.0, 0.075))
GRIPPER = GripperGeometry()


def take(distance=0.6, tilt=0.0, boxes=(TABLE, BAR, TOWER), known=True):
    pose = offset_pose(distance * np.cos(tilt), (0.0, distance * np.sin(tilt)))
    place = PinholeCamera(640, 480, np.array([[450.0, 0, 319.5], [0, 450.0, 239.5], [0, 0, 1]]), pose)
    vertices = np.concatenate([CORNERS * size + centre for size, centre in boxes])
    faces = np.concatenate([FACES + 8 * i for i in range(len(boxes))]).astype(np.int32)
    depth, _ = rasterise_pinhole(place, transform(np.linalg.inv(pose), vertices), faces)
    return Observation(None, depth, place if known else PinholeCamera(640, 480, place.intrinsics)), pose


def ring_of(seen, **wanted):
    return leaning_views(seen, main_plane(seen, 0.1), TrainedView(), settings=VirtualViews(**wanted))


@pytest.fixture(scope="module")
def found():
    seen, pose = take()
    policy = NetworkPolicy.pretrained(views=VirtualViews())
    return seen, pose, policy, policy.find(seen, 40)


def test_grasps_lean_and_lie_on_things(found):
    _, pose, _, grasps = found
    world = grasps.poses.transform(pose, "world")
    lean = np.degrees(np.arccos(np.clip(-world.rotation[:, 2, 2], -1, 1)))
    assert set(lean.round().tolist()) == {0, 14}
    assert (np.diff(grasps.poses.quality) <= 1e-12).all()
    np.testing.assert_allclose(np.linalg.det(world.rotation), 1)
    surface = world.translation - grasps.pixels.depth[:, None] * world.rotation[:, :, 2]
    on_bar = (np.abs(surface[:, 0] - 0.03) < 0.07) & (np.abs(surface[:, 1] - 0.02) < 0.025)
    on_tower = (np.abs(surface[:, 0] + 0.1) < 0.03) & (np.abs(surface[:, 1]) < 0.03)
    assert (on_bar | on_tower).all()
    assert (surface[:, 2] > 0.007).all()


def test_a_leaning_hand_stays_over_the_table_and_out_of_the_tower(found):
    _, pose, _, grasps = found
    world, g = grasps.poses.transform(pose, "world"), GRIPPER
    points = []
    for side in (-1, 1):
        for over in np.linspace(0, g.finger_thickness, 3):
            for across in np.linspace(-g.finger_width / 2, g.finger_width / 2, 3):
                for back in np.linspace(0, -0.15, 16):
                    x = side * (world.width / 2 + over)
                    local = np.stack([x, np.full(len(x), across), np.full(len(x), back)], axis=1)
                    points.append(world.translation + np.einsum("nij,nj->ni", world.rotation, local))
    points = np.concatenate(points)
    assert points[:, 2].min() > 0
    for size, centre in (BAR, TOWER):
        inside = (np.abs(points - centre) < np.array(size) / 2 - 0.002).all(axis=1)
        assert not inside.any()


def test_a_shorter_list_begins_as_a_longer_one_and_nothing_is_random(found):
    seen, _, policy, grasps = found
    few = policy.find(seen, 5).poses
    np.testing.assert_allclose(few.translation, grasps.poses.translation[:5])
    np.testing.assert_array_equal(policy(seen, 40).translation, grasps.poses.translation)


@pytest.mark.parametrize(("name", "distance", "tilt"), [("straight", 0.6, 0.0), ("leaning", 0.8, 0.4)])
def test_five_views_grasp_as_they_did_when_each_was_made_by_itself(name, distance, tilt, monkeypatch):
    """What the views share, and the part of the network that a window needs, change nothing.

    ``five_views.json`` holds the 20 best grasps of the former code: translation and closing direction in the camera's
    frame, and width, metres.
    """
    monkeypatch.setattr(network, "nearer_the_middle", lambda grasps, *_, **__: grasps)  # came later
    former = np.array(json.loads((Path(__file__).parent / "five_views.json").read_text())[name])
    now = NetworkPolicy.pretrained(views=VirtualViews()).find(take(distance, tilt)[0], 50).poses
    rows = np.column_stack([now.translation, now.rotation[:, :, 0], now.width])[: len(former)]
    np.testing.assert_allclose(rows, former, atol=1e-4)


def test_one_view_is_the_single_one():
    seen, _ = take(0.9, 0.3)
    one = NetworkPolicy.pretrained(views=VirtualViews(count=1)).find(seen, 5)
    single = NetworkPolicy.pretrained().find(seen, 5)
    np.testing.assert_array_equal(one.poses.translation, single.poses.translation)


def test_what_a_tower_hides_from_the_camera_is_full_in_every_view():
    seen, pose = take(0.7, 0.8)
    away = pose[:3, 2] * [1, 1, 0] / np.linalg.norm(pose[:2, 2])
    hidden = np.array([-0.1, 0, 0]) + np.linspace(0.03, 0.08, 6)[:, None] * away + [0, 0, 0.02]
    for view in ring_of(seen, tilt=0.4, count=9):
        rows, cols, depth = view.seen.camera.project(transform(np.linalg.inv(view.pose) @ np.linalg.inv(pose), hidden))
        ceiling = view.ceiling[rows.round().astype(int), cols.round().astype(int)]
        assert (ceiling < depth).all()


@pytest.mark.parametrize("tilt", [0.0, 0.5])
def test_a_leaning_view_shows_the_points_that_were_seen(tilt):
    seen, _ = take(0.7, tilt)
    for view in ring_of(seen, tilt=0.6, count=6):
        rows, cols = np.nonzero(view.source >= 0)
        row, col = np.divmod(view.source[rows, cols], 640)
        here = transform(view.pose, view.seen.camera.deproject(rows, cols, view.seen.depth[rows, cols]))
        there = seen.camera.deproject(row, col, seen.depth[row, col])
        assert np.percentile(np.linalg.norm(here - there, axis=1), 95) < 0.004
        plane = view.plane
        np.testing.assert_allclose(view.heights()[rows, cols], here @ plane.normal + plane.distance, atol=1e-4)
        np.testing.assert_allclose(-view.pose[:3, 2] @ plane.normal, np.cos(0.6))


def test_the_first_of_the_ring_stands_on_the_camera_s_side():
    seen, pose = take(0.7, 0.6)
    eye = (pose @ ring_of(seen, tilt=0.4)[0].pose)[:2, 3]
    side = pose[:2, 3]
    assert eye @ side / np.linalg.norm(eye) / np.linalg.norm(side) > 0.95
    assert len({tuple((pose @ v.pose)[:3, 3].round(3)) for v in ring_of(seen, count=9)}) == 8


def test_a_leaning_view_grasps_over_the_table_only():
    seen, _ = take(boxes=((((0.3, 0.5, 0.02)), (0, 0, -0.01)), BAR, ((0.05, 0.2, 0.1), (0.24, 0.0, 0.0))))
    extent = PlaneExtent.of(TrainedView().to_view(seen, main_plane(seen, 0.1)))
    view = ring_of(seen)[0]
    inside = graspable_leaning(view, None, ViewSettings(), extent=extent)
    everywhere = graspable_leaning(view, None, ViewSettings(on_plane=False), extent=extent)
    assert inside.any()
    assert (everywhere & ~inside).any()


def hand(lean, height, width=0.06):
    """A hand over a table 0.6 m below a camera that looks straight down; closes along the image's x, leans about y."""
    turn = np.array([[np.cos(lean), 0, np.sin(lean)], [0, 1, 0], [-np.sin(lean), 0, np.cos(lean)]])
    return GraspPoses(np.array([[0, 0, 0.6 - height]]), turn[None], np.array([width]), np.ones(1))


def test_a_hand_through_the_table_too_steep_or_beside_the_image_is_refused():
    seen, _ = take()
    plane = main_plane(seen, 0.1)
    clear = lambda poses, **wanted: bool(  # noqa: E731
        hand_is_clear(poses, plane, seen, gripper=GRIPPER, settings=VirtualViews(**wanted))[0]
    )
    assert clear(hand(0.0, 0.004))
    assert not clear(hand(0.0, 0.0))
    assert not clear(hand(0.4, 0.004))  # its lower finger would be in the table
    assert clear(hand(0.4, 0.020))
    assert not clear(hand(0.4, 0.020), clearance=0.01)
    assert not clear(hand(0.9, 0.060))
    assert clear(hand(0.9, 0.060), max_tilt=1.0)
    beside = hand(0.0, 0.02)
    beside.translation[0, 0] += 0.41
    assert not clear(beside)


def test_merging_ranks_suppresses_between_views_and_weighs_the_ring(found):
    grasps = found[3]
    ring = [grasps[:10]]
    plain = DecoderSettings()
    same = merged(grasps[:10], ring, 20, settings=VirtualViews(weight=1.0, repeat=0.5), decoder=plain)
    assert len(same.poses) == len(same.pixels) == 20
    np.testing.assert_array_equal(same.poses.quality, same.pixels.quality)
    assert same.poses.quality[1] <= grasps.poses.quality[0]
    assert (same.poses.quality[10:] <= 0.5 * grasps.poses.quality[0]).all()
    light = merged(grasps[:10], ring, 20, settings=VirtualViews(weight=1e-6), decoder=plain)
    np.testing.assert_array_equal(light.poses.translation[:10], grasps.poses.translation[:10])


def test_places_come_before_repetitions_across_views(found):
    grasps = found[3]
    both = merged(grasps[:1], [grasps[:1]], 2, settings=VirtualViews(repeat=1.0), decoder=DecoderSettings(revisit=0.3))
    np.testing.assert_allclose(both.poses.quality, grasps.poses.quality[0] * np.array([1, 0.3]))
    tall = found[1][:3, :3] @ grasps.poses.translation.T
    assert np.ptp(tall[0]) > 0.1  # bar and tower are both grasped


def test_without_a_plane_one_view_is_taken_and_that_is_said():
    depth = np.random.default_rng(0).uniform(0.3, 3, (120, 160)).astype(np.float32)
    place = PinholeCamera(160, 120, np.array([[150.0, 0, 80], [0, 150.0, 60], [0, 0, 1]]))
    policy = NetworkPolicy.pretrained(views=VirtualViews(), view=ViewSettings(mode="as_is"))
    assert "no main plane" in policy.find(Observation(None, depth, place), 3).note


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"count": 0}, "virtual_views.count is 0; give a whole number from 1 to 17"),
        ({"count": 2.5}, "virtual_views.count is 2.5"),
        ({"tilt": 1.3}, "virtual_views.tilt is 1.3; give a number from 0 on up to 1.2"),
        ({"weight": 0}, "virtual_views.weight is 0; give a number above 0 up to 1"),
        ({"clearance": float("nan")}, "virtual_views.clearance is nan"),
        ({"apart": True}, "virtual_views.apart is True"),
    ],
)
def test_bad_settings_are_named(wrong, named):
    with pytest.raises(InputError, match=named):
        VirtualViews(**wrong)


def test_the_benchmark_s_choice():
    from hydra import compose, initialize_config_module

    from plgp.evaluation.evaluate import _policies

    with initialize_config_module("plgp_conf", version_base="1.3"):
        config = compose("benchmark", ["policy=network_views", "checkpoint=pretrained"])
    policy = _policies(config.policies, skip_missing=False)[0]["network_views"][0]
    assert policy.views == VirtualViews()
    assert policy.describe()["views"] == 5


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.2, 3), st.sampled_from([0.02, 0.5, 1.0]), st.floats(0.0, 1.2))
def test_any_image_gives_views_or_none(seed, scale, share, tilt):
    rng = np.random.default_rng(seed)
    depth = (scale * (1 + 0.1 * rng.random((24, 32))) * (rng.random((24, 32)) < share)).astype(np.float32)
    seen = Observation(None, depth, PinholeCamera(32, 24, np.array([[60.0, 0, 16], [0, 60.0, 12], [0, 0, 1]])))
    plane = main_plane(seen, 0.1)
    if plane is None or plane.tilt > 1.2:
        return
    trained = TrainedView(width=80, height=60, intrinsics=((50.0, 0, 39.5), (0, 50.0, 29.5), (0, 0, 1)))
    extent = PlaneExtent.of(trained.to_view(seen, plane))
    for view in leaning_views(seen, plane, trained, settings=VirtualViews(count=2, tilt=tilt)):
        assert np.isfinite(view.ceiling).all()
        assert ((view.seen.depth > 0) == (view.source >= 0)).all()
        assert (view.ceiling <= np.where(view.seen.depth > 0, view.seen.depth, np.inf)).all()
        places = graspable_leaning(view, None, ViewSettings(), extent=extent)
        assert not (places & (view.source < 0)).any()
