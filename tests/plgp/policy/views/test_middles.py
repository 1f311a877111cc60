"""Grasps along a rod: the place nearest to its middle is taken among those that are as good."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plgp.policy.map_policy import ShownMaps
from plgp.policy.settings import DecoderSettings
from plgp.policy.views.middles import nearer_the_middle
from plgp.targets import GraspMaps
from sim.camera import PinholeCamera
from sim.depth_image.main_plane import MainPlane
from sim.depth_image.overhead_view import OverheadView
from sim.grasp import PixelGrasps
from sim.gripper import GripperGeometry
from sim.view import Observation

GRIPPER, DECODER = GripperGeometry(), DecoderSettings()
ROD = slice(110, 211), slice(152, 169)  # 101 x 17 pixels, 138 x 23 mm; its middle is row 160
SHAPE, BINS = (320, 320), 18


def view_of(depth):
    camera = PinholeCamera(320, 320, np.array([[416.0, 0, 159.5], [0, 416.0, 159.5], [0, 0, 1]]))
    source = np.arange(depth.size, dtype=np.int32).reshape(depth.shape)
    return OverheadView(
        Observation(None, depth, camera), np.eye(4), source, MainPlane(np.array([0, 0, -1.0]), 0.6, 0, 1), depth
    )


def rod():
    depth = np.full(SHAPE, 0.6, np.float32)
    depth[ROD] = 0.57
    return depth


def maps_of(score, *, corner=(0, 0), logits=False):
    quality = torch.as_tensor(np.asarray(score, np.float32))[None, None]
    angle = torch.ones(1, BINS, *quality.shape[-2:]) * 0.999
    parts = (torch.logit(quality.clamp(1e-4, 0.999)), torch.logit(angle)) if logits else (quality, angle)
    return ShownMaps(GraspMaps(*parts, torch.zeros_like(angle)), logits, corner)


def moved(grasps, depth, score, allowed=None, **about):
    view, maps = view_of(depth), maps_of(score, **about)
    allowed = depth < 0.59 if allowed is None else allowed
    return nearer_the_middle(grasps, view, maps, gripper=GRIPPER, decoder=DECODER, allowed=allowed)


def listed(*rows):
    return PixelGrasps(*(np.array(v, float) for v in zip(*rows, strict=True)))


def at(row, col=160, quality=0.9, angle=0.0):
    return (row, col, 0.02, angle, 0.06, quality)


@pytest.mark.parametrize("row", [120, 140, 175, 205])
@pytest.mark.parametrize("logits", [False, True])
def test_a_grasp_on_a_rod_goes_to_its_middle(row, logits):
    found = moved(listed(at(row)), rod(), np.full(SHAPE, 0.7), logits=logits)
    assert abs(found.row[0] - 160) <= 1
    assert found.col[0] == 160
    assert found.width[0] == 0.06


def test_it_goes_as_far_as_the_score_is_within_a_tenth():
    score = np.full(SHAPE, 0.7)
    score[150:] = 0.6
    assert 148 <= moved(listed(at(130)), rod(), score).row[0] <= 151  # a pixel around counts
    assert moved(listed(at(130)), rod(), score[100:], corner=(100, 0)).row[0] <= 151
    score[:] = np.linspace(0.0, 0.9, 320)[:, None]  # it is better farther off
    assert 183 <= moved(listed(at(205)), rod(), score).row[0] <= 187


def test_it_stays_where_the_fingers_do_not_go_down_in_the_middle():
    depth = rod()
    depth[146:176, 172:200] = 0.56  # a thing beside the rod's middle
    allowed = np.zeros(SHAPE, np.bool_)
    allowed[ROD] = True
    row = moved(listed(at(120)), depth, np.full(SHAPE, 0.7), allowed).row[0]
    assert 120 <= row <= 142


def test_a_thing_ends_at_a_step_and_where_grasps_are_forbidden_but_not_at_a_hole():
    depth, allowed = rod(), rod() < 0.59
    allowed[:140] = False
    assert abs(moved(listed(at(200)), depth, np.full(SHAPE, 0.7), allowed).row[0] - 175) <= 1
    depth[140:] -= np.float32(0.01) * (depth[140:] < 0.59)
    assert abs(moved(listed(at(200)), depth, np.full(SHAPE, 0.7)).row[0] - 175) <= 1
    depth = rod()
    depth[139:142] = 0
    assert abs(moved(listed(at(200)), depth, np.full(SHAPE, 0.7)).row[0] - 160) <= 1


def test_what_reaches_too_far_keeps_its_grasp():
    depth = np.full(SHAPE, 0.6, np.float32)
    depth[:, ROD[1]] = 0.57
    assert moved(listed(at(5)), depth, np.full(SHAPE, 0.7)).row[0] == 5


def test_of_two_that_are_as_good_the_nearer_comes_first_and_no_place_is_taken_twice():
    score = np.full(SHAPE, 0.7)
    score[154:173] = 0.5  # the one below cannot go as near to the middle
    far, near = at(190, quality=0.50), at(140, quality=0.49)
    found = moved(listed(far, near), rod(), score)
    assert 152 <= found.row[0] <= 154
    assert found.row[1] == 190  # the way that it could go ends beside the first
    assert found.quality.tolist() == [0.50, 0.49]
    worse = moved(listed(far, at(140, quality=0.40)), rod(), score)
    assert worse.row[0] > 170


def test_only_the_first_at_a_place_is_moved():
    found = moved(listed(at(140, quality=0.5), at(142, quality=0.3)), rod(), np.full(SHAPE, 0.7))
    assert abs(found.row[0] - 160) <= 1
    assert found.row[1] == 142


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 1.0), st.integers(0, 12))
def test_any_image_keeps_its_grasps_and_their_order_of_scores(seed, share, count):
    rng = np.random.default_rng(seed)
    depth = (0.6 - 0.05 * rng.random((40, 60)) * (rng.random((40, 60)) < 0.5)).astype(np.float32)
    depth[rng.random(depth.shape) >= share] = 0
    rows, cols = np.nonzero(depth)
    some = rng.integers(len(rows), size=min(count, len(rows))) if len(rows) else np.zeros(0, np.int64)
    n = len(some)
    grasps = PixelGrasps(
        rows[some],
        cols[some],
        rng.random(n) * 0.03,
        rng.random(n) * np.pi,
        rng.random(n) * 0.1,
        np.sort(rng.random(n))[::-1],
    )
    camera = PinholeCamera(60, 40, np.array([[100.0, 0, 29.5], [0, 100.0, 19.5], [0, 0, 1]]))
    view = OverheadView(
        Observation(None, depth, camera),
        np.eye(4),
        np.arange(2400, dtype=np.int32).reshape(40, 60),
        MainPlane(np.array([0, 0, -1.0]), 0.6, 0, 1),
        depth,
    )
    maps = maps_of(rng.random(depth.shape))
    found = nearer_the_middle(grasps, view, maps, gripper=GRIPPER, decoder=DECODER, allowed=depth > 0)
    np.testing.assert_array_equal(found.quality, grasps.quality)
    assert (depth[found.row, found.col] > 0).all()
    assert np.isfinite(found.depth).all()
    assert sorted(found.width) == sorted(grasps.width)
