"""Whatever a camera delivers becomes a picture or one sentence."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from robot.errors import DeviceError
from robot.picking.picture import Photographer, things_seen
from robot.picking.settings import PickSettings
from robot.values import ArmState, Frame
from sim.camera import PinholeCamera, overhead_pose
from sim.errors import InputError
from sim.view import Observation

HEIGHT, WIDTH = 6, 8
LENS = PinholeCamera.from_fov(WIDTH, HEIGHT)


class Still:
    name = "the still arm"

    def state(self):
        return ArmState(q=np.zeros(2), dq=np.zeros(2), time=0.0)


class Given:
    name = "the given camera"

    def __init__(self, depth):
        self.depth = depth

    def read(self, after, timeout):
        rgb = np.zeros((*self.depth.shape, 3), np.uint8)
        return Frame(rgb=rgb, depth=self.depth, camera=LENS, time=1.0)


def photographer(depth, own=False, rows=0):
    covered = np.zeros((HEIGHT, WIDTH), bool)
    covered[0, 0] = own
    covered[:rows] = True
    eye = {"pose": lambda q: overhead_pose(0.6), "outline": lambda camera, q: covered}
    return Photographer(arm=Still(), camera=Given(depth), **eye)


plausible = st.floats(0.25, 2.0, width=32)
strange = st.one_of(plausible, st.sampled_from([0.0, np.nan, np.inf, -np.inf, -1.0, 600.0, 1e30, 1e-30]))
shapes = st.sampled_from([(HEIGHT, WIDTH), (HEIGHT, WIDTH), (WIDTH, HEIGHT), (2 * HEIGHT, 2 * WIDTH), (0, 0)])


@given(depth=shapes.flatmap(lambda s: arrays.arrays(np.float32, s, elements=strange)), own=st.booleans())
@settings(max_examples=200, deadline=None)
def test_any_depth_becomes_a_picture_or_one_sentence(depth, own):
    said = ""
    try:
        seen = photographer(depth, own).take(PickSettings())
    except InputError as error:
        said = str(error)
    if said:
        assert "\n" not in said
        return
    assert seen.depth.shape == (HEIGHT, WIDTH)
    assert seen.depth.dtype == np.float32
    assert np.isfinite(seen.depth).all()
    assert (seen.depth >= 0).all()
    assert 0.15 < np.median(seen.depth[seen.depth > 0]) < 2.4
    assert not own or seen.depth[0, 0] == 0
    assert (seen.depth[1:, 1:] == np.where(np.isfinite(depth) & (depth > 0), depth, 0)[1:, 1:]).all()
    assert (seen.camera.pose == overhead_pose(0.6)).all()


def test_a_hand_before_the_lens_is_none_of_the_tray_and_one_that_hides_it_is_named():
    depth = np.full((HEIGHT, WIDTH), 0.6, np.float32)
    depth[:3] = 0.03  # the palm: more than half of what has depth, were the floor not seen
    depth[3, :2] = 0
    seen = photographer(depth, rows=3).take(PickSettings())
    assert set(np.unique(seen.depth)) == {np.float32(0), np.float32(0.6)}
    with pytest.raises(DeviceError, match=r"arm and hand cover 67 % of the given camera's picture; turn the hand"):
        photographer(depth, rows=4).take(PickSettings())


def test_the_first_picture_that_is_asked_for_is_younger_than_the_rest():
    asked = []

    class Noting(Given):
        def read(self, after, timeout):
            asked.append(after)
            return super().read(after, timeout)

    depth = np.full((HEIGHT, WIDTH), 0.6, np.float32)
    replace(photographer(depth), camera=Noting(depth)).take(PickSettings())
    assert asked == [0.0]


def test_things_seen_are_what_stands_on_the_floor():
    """A block 50 mm high counts thinly, a pole 100 mm high with each of its pixels, floor and holes not at all."""
    camera = PinholeCamera.from_fov(120, 90, pose=overhead_pose(0.6))
    depth = np.full((90, 120), 0.6, np.float32)
    depth[30:60, 30:60], depth[10, 20:23], depth[80:, :] = 0.55, 0.5, 0
    points = things_seen(Observation(np.zeros((90, 120, 3), np.uint8), depth, camera), 0.0)
    height = np.round(points[:, 2], 3)
    assert dict(zip(*np.unique(height, return_counts=True), strict=True)) == {0.05: 100, 0.1: 3}
    assert len(things_seen(Observation(np.zeros((90, 120, 3), np.uint8), depth, camera), 0.025)) == 3
