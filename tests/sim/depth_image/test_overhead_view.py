"""The main plane of a depth image, and the image as a camera above that plane would have seen it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from sim.camera import PinholeCamera, offset_pose
from sim.depth_image.main_plane import MainPlane, find_main_plane
from sim.depth_image.overhead_view import overhead_views
from sim.geometry import transform
from sim.render.rasteriser import rasterise_pinhole
from sim.view import Observation

FOCAL, HEIGHT = 415.7, 0.6
CORNERS = np.array([[x, y, z] for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (-0.5, 0.5)])
SIDES = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
FACES = np.array([t for a, b, c, d in SIDES for t in ((a, b, c), (a, c, d))], np.int32)
# Table, a flat box, a tall box: size and centre, metres.
BOXES = [
    ((0.8, 0.8, 0.02), (0, 0, -0.01)),
    ((0.08, 0.05, 0.04), (0.08, 0.02, 0.02)),
    ((0.05, 0.05, 0.2), (-0.1, 0, 0.1)),
]


def camera(distance=0.6, tilt=0.0, focal=500.0, roll=0.0, size=(640, 480)):
    pose = offset_pose(distance * np.cos(tilt), (0.0, distance * np.sin(tilt)))
    pose[:3, :3] = pose[:3, :3] @ Rotation.from_rotvec([0, 0, roll]).as_matrix()
    matrix = [[focal, 0, (size[0] - 1) / 2], [0, focal, (size[1] - 1) / 2], [0, 0, 1]]
    return PinholeCamera(*size, np.array(matrix), pose)


def take(place, boxes=BOXES):
    """What a camera sees of boxes."""
    vertices = np.concatenate([CORNERS * size + centre for size, centre in boxes])
    faces = np.concatenate([FACES + 8 * i for i in range(len(boxes))]).astype(np.int32)
    depth, _ = rasterise_pinhole(place, transform(np.linalg.inv(place.pose), vertices), faces)
    return Observation(None, depth, place)


def brought(seen, plane=None):
    plane = plane or find_main_plane(seen.depth, seen.camera)
    return overhead_views(seen, plane, height=HEIGHT, focal=FOCAL, most=(960, 1280))[0]


@pytest.mark.parametrize("distance", [0.35, 0.6, 1.2])
@pytest.mark.parametrize("tilt", [0.0, 0.4, 0.8])
def test_the_table_is_found(distance, tilt):
    seen = take(camera(distance, tilt, roll=0.3))
    noisy = np.where(seen.depth > 0, seen.depth + np.random.default_rng(0).normal(0, 0.002, seen.depth.shape), 0)
    plane = find_main_plane(noisy.astype(np.float32), seen.camera)
    up = seen.camera.pose[2, :3]
    assert np.degrees(np.arccos(plane.normal @ up)) < 0.5
    assert plane.distance == pytest.approx(seen.camera.pose[2, 3], abs=0.002)
    assert plane.tilt == pytest.approx(tilt, abs=0.01)
    again = find_main_plane(noisy.astype(np.float32), seen.camera)
    np.testing.assert_array_equal(again.normal, plane.normal)


def test_heights_are_those_of_the_scene():
    seen = take(camera(0.7, 0.5))
    plane = find_main_plane(seen.depth, seen.camera)
    heights = plane.heights(seen.depth, seen.camera)
    rows, cols = np.nonzero(seen.depth > 0)
    world = transform(seen.camera.pose, seen.camera.deproject(rows, cols, seen.depth[rows, cols]))
    np.testing.assert_allclose(heights[rows, cols], world[:, 2], atol=5e-4)
    assert np.isnan(heights[seen.depth == 0]).all()


def test_gravity_decides_between_a_wall_and_a_table():
    boxes = [((0.8, 0.3, 0.02), (0, -0.1, -0.01)), ((1.2, 0.02, 1.2), (0, 0.2, 0.6))]
    place = camera(0.8, 0.9, roll=np.pi)
    assert (place.pose[:3, 2] @ [0, 1, 0]) != 0
    seen = take(place, boxes)
    up = place.pose[2, :3]
    plane = find_main_plane(seen.depth, place, up=up)
    assert plane.normal @ up > 0.999


@pytest.mark.parametrize(
    ("distance", "tilt", "focal"), [(0.35, 0.0, 900), (0.6, 0.5, 500), (1.2, 0.3, 600), (0.6, 0, 300)]
)
def test_the_view_is_what_a_camera_up_there_sees(distance, tilt, focal):
    view = brought(take(camera(distance, tilt, focal)))
    true = take(view.seen.camera).depth
    both = (view.source >= 0) & (true > 0)
    off = np.abs(view.seen.depth - true)[both]
    assert np.mean(off < 0.0015) > 0.96  # the rest lies at edges, a pixel of the first camera wide
    # Of what both cameras can see, hardly anything is lacking.
    first = take(camera(distance, tilt, focal))
    rows, cols = np.nonzero(true > 0)
    points = transform(view.pose, view.seen.camera.deproject(rows, cols, true[rows, cols]))
    r, c, z = first.camera.project(points)
    inside = (r >= 0) & (c >= 0) & (r <= 479) & (c <= 639)
    r, c = np.where(inside, r, 0).round().astype(int), np.where(inside, c, 0).round().astype(int)
    visible = inside & (np.abs(first.depth[r, c] - z) < 0.002)
    assert visible.sum() > 5000
    assert (view.source[rows, cols] >= 0)[visible].mean() > 0.95
    # The pixel that a pixel shows is the same point of the world.
    rows, cols = np.nonzero(view.source >= 0)
    row, col = np.divmod(view.source[rows, cols], 640)
    here = transform(view.pose, view.seen.camera.deproject(rows, cols, view.seen.depth[rows, cols]))
    there = first.camera.deproject(row, col, first.depth[row, col])
    assert np.percentile(np.linalg.norm(here - there, axis=1), 95) < 0.004


@pytest.mark.parametrize("distance", [0.3, 0.6, 1.5])
def test_a_table_has_no_cracks(distance):
    seen = take(camera(distance, 0.5, roll=0.2), [((1.2 * distance, 1.2 * distance, 0.02), (0, 0, -0.01))])
    shown = brought(seen).source >= 0
    rows = [np.flatnonzero(row)[12:-12] for row in shown]  # the table's own rim stands apart
    assert sum(len(r) for r in rows) > 10_000
    assert all(len(r) == r[-1] - r[0] + 1 for r in rows if len(r))


def test_what_the_first_camera_did_not_see_is_missing():
    place = camera(0.7, 0.8)
    view = brought(take(place))
    # Behind the tall box, as the camera sees it: the box is 0.2 m high and hides as much of the table.
    away = place.pose[:3, 2] * [1, 1, 0]
    hidden = np.array([-0.1, 0, 0]) + 0.1 * away / np.linalg.norm(away)
    local = transform(np.linalg.inv(view.seen.camera.pose), hidden[None])
    row, col, _ = view.seen.camera.project(local)
    assert view.source[round(row[0]), round(col[0])] == -1
    assert view.seen.depth[round(row[0]), round(col[0])] == 0
    # It counts as full up to the ray that just passes the box: half way down it, the space above 0.1 m is free.
    assert 0 < view.ceiling[round(row[0]), round(col[0])] < HEIGHT - 0.05
    np.testing.assert_array_equal(view.ceiling[view.source >= 0], view.seen.depth[view.source >= 0])


def test_the_view_keeps_the_camera_s_roll_and_looks_straight_down():
    place = camera(0.6, 0.5, roll=0.7)
    view = brought(take(place))
    np.testing.assert_allclose(view.seen.camera.pose[2, :3], [0, 0, -1], atol=2e-3)
    assert view.seen.camera.pose[2, 3] == pytest.approx(HEIGHT, abs=2e-3)
    right, own = view.seen.camera.pose[:2, 0], place.pose[:2, 0]
    assert right @ own / np.linalg.norm(own) > 0.999


def test_colours_go_with_their_points():
    place = camera(0.5, 0.3)
    seen = take(place)
    rgb = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    view = brought(Observation(rgb, seen.depth, place))
    shown = view.source >= 0
    np.testing.assert_array_equal(view.seen.rgb[shown], rgb.reshape(-1, 3)[view.source[shown]])
    assert not view.seen.rgb[~shown].any()


IMAGES = st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1), st.sampled_from([0, 0.3, 1.0]))


@settings(max_examples=200, deadline=None)
@given(IMAGES, st.floats(1, 2000), st.floats(0.01, 10))
def test_any_image_gives_a_plane_and_a_view_or_none(image, focal, scale):
    height, width, seed, share = image
    rng = np.random.default_rng(seed)
    depth = (rng.random((height, width)) * scale * (rng.random((height, width)) < share)).astype(np.float32)
    place = PinholeCamera(width, height, np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]]))
    plane = find_main_plane(depth, place)
    if plane is None:
        return
    assert isinstance(plane, MainPlane)
    assert np.isfinite(plane.normal).all()
    assert np.linalg.norm(plane.normal) == pytest.approx(1)
    seen = Observation(None, depth, place)
    (view,) = overhead_views(seen, plane, height=HEIGHT, focal=FOCAL, most=(200, 200), least=(9, 9))
    assert np.isfinite(view.seen.depth).all()
    assert ((view.seen.depth > 0) == (view.source >= 0)).all()
    assert view.source.max() < depth.size
