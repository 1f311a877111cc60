"""Grasps in the middle of what lies between the fingers, and across a thing's narrow side where that is as good."""

from dataclasses import replace

import numpy as np
import pytest

from plgp.policy.settings import DecoderSettings
from plgp.policy.views.measured import measured_grasps, narrow_side_first
from sim.camera import PinholeCamera
from sim.depth_image.main_plane import MainPlane
from sim.depth_image.overhead_view import OverheadView
from sim.grasp import PixelGrasps
from sim.gripper import GripperGeometry
from sim.view import Observation

GRIPPER, DECODER = GripperGeometry(), DecoderSettings()
PIXEL = 0.6 / 416  # metres


def view_of(depth):
    camera = PinholeCamera(320, 320, np.array([[416.0, 0, 159.5], [0, 416.0, 159.5], [0, 0, 1]]))
    plane = MainPlane(np.array([0, 0, -1.0]), 0.6, 0.0, 1.0)
    source = np.arange(depth.size, dtype=np.int32).reshape(depth.shape)
    return OverheadView(Observation(None, depth, camera), np.eye(4), source, plane, depth)


def bar(columns=slice(140, 160)):
    depth = np.full((320, 320), 0.6, np.float32)
    depth[100:220, columns] = 0.57
    return depth


def grasp(col=150, *, angle=0.0, width=0.08, quality=0.9, row=160):
    return PixelGrasps(row, col, 0.02, angle, width, quality)


@pytest.mark.parametrize("col", [147, 149, 151, 152])
def test_a_grasp_goes_to_the_middle_and_opens_as_wide_as_needed(col):
    measured = measured_grasps(grasp(col), view_of(bar()), gripper=GRIPPER, decoder=DECODER)
    assert abs(measured.col[0] - 149.5) <= 1.5
    spans = 20 * PIXEL * 0.57 / 0.6
    assert spans + 0.010 <= measured.width[0] <= spans + 0.020  # and the margins beside the fingers


def test_no_grasp_is_opened_wider_or_moved_off_what_is_allowed():
    view, narrow = view_of(bar()), grasp(147, width=0.045)
    assert measured_grasps(narrow, view, gripper=GRIPPER, decoder=DECODER).width[0] <= 0.045
    allowed = np.zeros((320, 320), np.bool_)
    allowed[:, 147] = True
    assert measured_grasps(grasp(147), view, gripper=GRIPPER, decoder=DECODER, allowed=allowed).col[0] == 147


def test_a_moved_grasp_goes_down_to_the_same_height():
    depth = bar()
    depth[:, 150:160] -= np.float32(0.004) * (depth[:, 150:160] < 0.59)  # one half is higher
    view, one = view_of(depth), grasp(147)
    tips = depth[160, 147] + one.depth[0]
    moved = measured_grasps(one, view, gripper=GRIPPER, decoder=DECODER)
    assert moved.col[0] > 147
    assert depth[160, moved.col[0]] + moved.depth[0] == pytest.approx(tips, abs=1e-6)


def test_no_grasps_stay_none():
    none = PixelGrasps(*np.zeros((6, 0)))
    assert not len(measured_grasps(none, view_of(bar()), gripper=GRIPPER, decoder=DECODER))
    assert not len(narrow_side_first(none, view_of(bar()), decoder=DECODER))


def listed(*rows):
    return PixelGrasps(*(np.array(v) for v in zip(*rows, strict=True)))


def test_the_narrow_side_comes_first_where_it_is_as_good():
    view = view_of(bar())
    wide, narrow = (160, 150, 0.02, 1.5, 0.08, 0.50), (161, 150, 0.02, 0.0, 0.05, 0.48)
    first = narrow_side_first(listed(wide, narrow), view, decoder=DECODER)
    assert first.width.tolist() == [0.05, 0.08]
    assert first.quality.tolist() == [0.50, 0.48]  # scores fall along the list, as they did
    worse = replace(listed(wide, narrow), quality=np.array([0.5, 0.4]))
    assert narrow_side_first(worse, view, decoder=DECODER).width.tolist() == [0.08, 0.05]
    lowered = replace(worse, quality=np.array([0.5, 0.48 * 0.3]))
    revisited = DecoderSettings(revisit=0.3)
    assert narrow_side_first(lowered, view, decoder=revisited).width.tolist() == [0.05, 0.08]


def test_grasps_at_other_places_keep_their_order():
    view = view_of(bar())
    far = listed((120, 150, 0.02, 1.5, 0.08, 0.50), (200, 150, 0.02, 0.0, 0.05, 0.49))
    assert narrow_side_first(far, view, decoder=DECODER).row.tolist() == [120, 200]
