"""Any camera's image through the view that a network was trained for, and back with the grasps."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from plgp.data.trained_view import TrainedView
from plgp.policy import ConstantPolicy, NetworkPolicy, ViewSettings
from plgp.policy.views.viewed import choose_view, graspable
from sim.camera import PinholeCamera, offset_pose
from sim.errors import InputError
from sim.geometry import make_pose, transform
from sim.render.rasteriser import rasterise_pinhole
from sim.view import Observation

CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
SIDES = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
FACES = np.array([t for a, b, c, d in SIDES for t in ((a, b, c), (a, c, d))], np.int32)
TABLE, BAR = ((0.7, 0.7, 0.02), (0, 0, -0.01)), ((0.12, 0.03, 0.04), (0.03, 0.02, 0.02))
TURNED = ((0.12, 0.03, 0.04), (0.0, 0.0, 0.02))
WALL = ((0.7, 0.02, 0.3), (0, 0.3, 0.15))


def take(distance, tilt=0.0, boxes=(TABLE, BAR), focal=600.0, known=False):
    """What a camera that looks at the table's middle sees; whether it knows its pose is said."""
    pose = offset_pose(distance * np.cos(tilt), (0.0, distance * np.sin(tilt)))
    place = PinholeCamera(640, 480, np.array([[focal, 0, 319.5], [0, focal, 239.5], [0, 0, 1]]), pose)
    vertices = np.concatenate([CORNERS * size + centre for size, centre in boxes])
    faces = np.concatenate([FACES + 8 * i for i in range(len(boxes))]).astype(np.int32)
    depth, _ = rasterise_pinhole(place, transform(np.linalg.inv(pose), vertices), faces)
    unknown = PinholeCamera(640, 480, place.intrinsics)
    return Observation(None, depth, place if known else unknown), pose


def squeezed(seen, pose, factor):
    """What a camera sees whose pixels are wider by a factor, from the same place."""
    lens = np.diag([1 / factor, 1.0, 1.0]) @ seen.camera.intrinsics
    camera = PinholeCamera(round(640 / factor), 480, lens, pose)
    vertices = np.concatenate([CORNERS * size + centre for size, centre in (TABLE, TURNED)])
    vertices[8:] = (vertices[8:] - TURNED[1]) @ Rotation.from_euler("z", -60, degrees=True).as_matrix() + TURNED[1]
    faces = np.concatenate([FACES, FACES + 8]).astype(np.int32)
    depth, _ = rasterise_pinhole(camera, transform(np.linalg.inv(pose), vertices), faces)
    return Observation(None, depth, PinholeCamera(camera.width, 480, lens))


@pytest.fixture(scope="module")
def policy():
    return NetworkPolicy.pretrained()


def test_pixels_that_are_not_square_turn_no_hand(policy):
    """At the trained height the image itself is shown; a bar at 60 degrees was gripped 10 degrees across."""
    seen, pose = take(0.6)
    wide = squeezed(seen, pose, 1.33)
    found = policy.find(wide, 3)
    assert found.view is not None
    closing = found.poses.transform(pose, "world").rotation[0][:2, 0]
    across = np.degrees(np.arctan2(closing[1], closing[0])) % 180
    assert abs((across - 150 + 90) % 180 - 90) < 6
    assert "fx/fy 0.75" in choose_view(wide, policy.trained_view, ViewSettings(mode="as_is"))[1]
    assert choose_view(squeezed(seen, pose, 1.0), policy.trained_view, ViewSettings()) == (None, "")


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(("distance", "tilt"), [(0.35, 0.0), (0.75, 0.5), (0.9, 0.3)])
def test_the_grasp_follows_the_bar_and_not_the_camera(policy, distance, tilt, known):
    seen, pose = take(distance, tilt, known=known)
    found = policy.find(seen, 5)
    assert found.view is not None
    assert not found.note
    world = found.poses.transform(pose, "world")
    best, rotation = world.translation[0], world.rotation[0]
    assert abs(best[1] - 0.02) < 0.006  # on the bar's axis, between the fingers
    assert abs(best[0] - 0.03) < 0.06
    assert -0.002 < best[2] < 0.04
    assert abs(rotation[1, 0]) > np.cos(0.3)  # closes across the bar
    assert rotation[2, 2] < -0.999  # goes straight down
    assert 0.03 <= found.poses.width[0] < 0.085
    # The pixel shows the grasp's surface point.
    at = found.pixels.row, found.pixels.col
    points = transform(pose, seen.camera.deproject(*at, seen.depth[at]))
    np.testing.assert_allclose(points[:, :2], world.translation[:, :2], atol=0.004)
    np.testing.assert_allclose(points[:, 2] - world.translation[:, 2], found.pixels.depth, atol=0.004)


def test_along_the_optical_axis(policy):
    seen, _ = take(0.8, 0.2)
    axis = NetworkPolicy.pretrained(view=ViewSettings(approach="axis", mode="trained"))
    found = axis.find(seen, 5)
    assert len(found.poses)
    np.testing.assert_array_equal(found.poses.rotation[:, :, 2], np.tile([0.0, 0, 1], (len(found.poses), 1)))
    np.testing.assert_allclose(found.poses.translation, found.pixels.to_poses(seen.depth, seen.camera).translation)


def test_auto_leaves_the_training_s_own_view_alone(policy):
    seen, _ = take(0.6)
    found = policy.find(seen, 5)
    assert found.view is None
    assert found.shown is found.pixels
    plain = policy.pixel_grasps(seen, 5)
    np.testing.assert_array_equal(found.pixels.row, plain.row)
    forced = NetworkPolicy.pretrained(view=ViewSettings(mode="trained")).find(seen, 5)
    assert forced.view is not None
    never = NetworkPolicy.pretrained(view=ViewSettings(mode="as_is"))
    assert never.find(take(1.2)[0], 5).view is None


def test_the_table_and_what_stands_beyond_it_are_nothing_to_grasp():
    seen, _ = take(0.7, 0.3, boxes=(TABLE, BAR, ((0.05, 0.2, 0.1), (0.45, 0.0, 0.0))), focal=400.0)
    view, _ = choose_view(seen, TrainedView(), ViewSettings(mode="trained"))
    allowed = graspable(view, None, ViewSettings())
    heights = view.heights()
    assert allowed.any()
    assert heights[allowed].min() >= 0.008
    everywhere = graspable(view, None, ViewSettings(on_plane=False))
    assert (everywhere & ~allowed).any()
    rows, cols = np.nonzero(allowed)
    points = transform(view.pose, view.seen.camera.deproject(rows, cols, view.seen.depth[rows, cols]))
    assert np.ptp(points[:, 0]) < 0.14
    none = graspable(view, np.zeros(seen.depth.shape, bool), ViewSettings())
    assert not none.any()


def test_a_workspace_of_the_camera_counts_in_the_view(policy):
    seen, _ = take(0.9)
    mask = np.zeros(seen.depth.shape, bool)
    mask[:, :300] = True
    own = NetworkPolicy.pretrained(workspace=mask)
    found = own.find(seen, 5)
    assert found.view is not None
    assert (found.pixels.col < 300).all()


@pytest.mark.parametrize(
    ("depth", "sentence"),
    [
        (np.random.default_rng(0).uniform(0.3, 3, (120, 160)).astype(np.float32), "no plane holds more than"),
        (np.where(np.eye(120, 160) > 0, np.float32(0.5), np.float32(0)) * np.linspace(1, 3, 160, dtype=np.float32), ""),
    ],
)
def test_without_a_plane_the_image_is_taken_as_it_is_and_that_is_said(policy, depth, sentence):
    place = PinholeCamera(160, 120, np.array([[150.0, 0, 80], [0, 150.0, 60], [0, 0, 1]]))
    seen = Observation(None, depth, place)
    found = policy.find(seen, 3)
    assert found.view is None
    assert sentence in found.note
    if sentence:
        with pytest.warns(UserWarning, match=sentence):
            policy(seen, 3)


def test_a_table_seen_from_its_edge_is_named():
    seen, _ = take(0.7, 1.25)
    view, note = choose_view(seen, TrainedView(), ViewSettings(steepest=1.0))
    assert view is None
    assert "leans by 7" in note


@pytest.mark.parametrize("mode", ["auto", "trained"])
def test_a_pose_by_which_the_table_leans_is_doubted(mode):
    for wrong, says in ((0.0, ""), (0.3, "leans by 17 degrees"), (0.5, "leans by 29 degrees against gravity")):
        seen, pose = take(0.6, known=True)
        turn = make_pose(Rotation.from_euler("x", wrong).as_matrix(), (0, 0, 0))
        doubtful = Observation(None, seen.depth, replace(seen.camera, pose=pose @ turn))
        _, note = choose_view(doubtful, TrainedView(), ViewSettings(mode=mode))
        assert says in note
        assert bool(note) == bool(says)


def test_a_network_of_unknown_training_says_so_where_a_view_is_forced():
    seen, _ = take(0.9)
    assert choose_view(seen, None, ViewSettings()) == (None, "")
    assert "train it again" in choose_view(seen, None, ViewSettings(mode="trained"))[1]


def test_a_policy_that_remembers_tries_another_place(policy):
    seen, _ = take(0.9, boxes=(TABLE, BAR, ((0.03, 0.12, 0.04), (-0.12, 0.0, 0.02))))
    mindful = NetworkPolicy.pretrained(memory=True)
    first = mindful.find(seen, 1)
    assert first.view is not None
    places = [mindful.find(seen, 1).poses.translation[0] for _ in range(4)]
    assert max(np.linalg.norm(p - first.poses.translation[0]) for p in places) > 0.02


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"mode": "top"}, "view.mode is 'top'; choose one of auto"),
        ({"approach": "side"}, "view.approach is 'side'"),
        ({"least_height": -1.0}, "view.least_height is -1.0"),
        ({"nearer": float("nan")}, "view.nearer is nan"),
        ({"tilt": "steep"}, "view.tilt is steep"),
        ({"on_plane": 1}, "view.on_plane is 1"),
    ],
)
def test_bad_settings_are_named(wrong, named):
    with pytest.raises(InputError, match=named):
        ViewSettings(**wrong)


def test_policies_without_a_network_take_images_as_they_are():
    assert not hasattr(ConstantPolicy(), "view")


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 5), st.sampled_from([0.02, 0.5, 1.0]), st.floats(30, 900))
def test_any_image_gives_a_view_or_a_note(seed, scale, share, focal):
    rng = np.random.default_rng(seed)
    depth = (scale * (1 + 0.1 * rng.random((24, 32))) * (rng.random((24, 32)) < share)).astype(np.float32)
    place = PinholeCamera(32, 24, np.array([[focal, 0, 16], [0, focal, 12], [0, 0, 1]]))
    seen = Observation(None, depth, place)
    view, note = choose_view(seen, TrainedView(), ViewSettings(mode="trained"))
    assert (view is None) == bool(note)
    if view is not None:
        assert graspable(view, None, ViewSettings()).shape == view.source.shape


def test_a_wall_behind_the_things_is_doubted():
    depth = np.full((240, 320), 1.3, np.float32)
    depth[60:200, 100:180] = 0.7  # a box that stands 0.6 m before the wall
    camera = PinholeCamera(320, 240, np.array([[300.0, 0, 160], [0, 300.0, 120], [0, 0, 1]]))
    policy = NetworkPolicy.pretrained()
    found = policy.find(Observation(None, depth, camera), 3)
    assert found.view is not None
    assert "it may be a wall behind the things" in found.note
    depth[60:200, 100:180] = 1.2
    assert not policy.find(Observation(None, depth, camera), 3).note


def test_tops_of_things_that_are_the_main_plane_are_doubted():
    depth = np.full((240, 320), 0.60, np.float32)  # boxes' tops, closely side by side
    depth[:, 200:] = 0.68  # the table
    depth[60:120, 220:260] = 0.64  # a thing that is lower than the boxes
    depth[20:80, 20:120] = 0.56  # one that stands on them
    camera = PinholeCamera(320, 240, np.array([[300.0, 0, 160], [0, 300.0, 120], [0, 0, 1]]))
    settings, trained = ViewSettings(mode="trained"), NetworkPolicy.pretrained().trained_view
    note = choose_view(Observation(None, depth, camera), trained, settings)[1]
    assert note.startswith("38 % of what is seen lies closely under the main plane: it may be the tops of things")
    depth[:, 240:] = 1.2  # the floor of the room beside a table
    assert choose_view(Observation(None, depth, camera), trained, settings)[1] == ""


def test_things_far_beside_the_optical_axis_are_said_to_lie_beside_the_view(policy):
    """A camera of a wide angle sees a metre to the side, the trained view 0.92 m: there was no grasp, and no note."""
    floor, bar = ((3, 3, 0.02), (0, 0, -0.01)), ((0.05, 0.12, 0.05), (0.0, 0.0, 0.025))
    seen = {x: take(1.0, boxes=(floor, (bar[0], (x, 0, 0.025))), focal=300.0)[0] for x in (0.4, 1.0)} | {
        "both": take(1.0, boxes=(floor, bar, (bar[0], (1.0, 0, 0.025))), focal=300.0)[0]
    }
    found = {x: policy.find(image, 3) for x, image in seen.items()}
    assert len(found[0.4].poses) == 3
    assert found[0.4].note == ""
    assert not len(found[1.0].poses)
    assert "100 % of what is seen on the main plane lies beside the trained view" in found[1.0].note
    assert "lies beside the trained view, where no grasp is looked for; give view=as_is" in found["both"].note
    near = NetworkPolicy.pretrained(workspace=np.indices((480, 640))[1] < 500).find(seen["both"], 3)
    assert near.note == ""  # the workspace leaves it out


@pytest.mark.parametrize("unit", [1.0, 0.6], ids=["1/m", "scaled to its own median"])
def test_inverse_depth_is_doubted(unit):
    """Things come out as holes in the table; of a bin that things stand beside, they do not."""
    depth = np.full((240, 320), 0.6, np.float32)
    depth[60:120, 100:180], depth[150:170, 200:260] = 0.53, 0.56
    camera = PinholeCamera(320, 240, np.array([[300.0, 0, 160], [0, 300.0, 120], [0, 0, 1]]))
    settings, trained = ViewSettings(mode="trained"), NetworkPolicy.pretrained().trained_view
    inverse = Observation(None, (unit / depth).astype(np.float32), camera)
    assert "inverse depth" in choose_view(inverse, trained, settings)[1]
    assert choose_view(Observation(None, depth, camera), trained, settings)[1] == ""
    depth[180:, :] = 0.7  # the bin
    assert choose_view(Observation(None, depth, camera), trained, settings)[1] == ""
