"""The hand's tips over a floor that is known better than its pixels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pytest

from plgp.policy import ConstantPolicy, DecoderSettings, NetworkPolicy, ViewSettings
from sim.benchmark.baselines import AntipodalPolicy, RandomPolicy
from sim.benchmark.protocol import GraspPolicy
from sim.camera import PinholeCamera
from sim.depth_image.known_floor import DepthMargins, known_floor
from sim.depth_noise import DepthNoise
from sim.errors import InputError
from sim.view import Observation

FLOOR = 0.6  # metres
NOISE = DepthNoise()  # the paper's, of 4 mm


def bar(*, table: float = FLOOR, thick: float = 0.016, noise: DepthNoise | None = NOISE) -> Observation:
    """A bar of 20 x 100 mm on a floor of 0.3 m, around which a table may lie lower."""
    depth = np.full((480, 640), table, np.float32)
    depth[120:360, 200:440] = FLOOR
    depth[222:258, 310:324] = FLOOR - thick
    camera = PinholeCamera(640, 480, [[415.7, 0, 319.5], [0, 415.7, 239.5], [0, 0, 1]])
    depth = depth if noise is None else noise(depth, np.random.default_rng(3))
    return Observation(np.zeros((480, 640, 3), np.uint8), depth, camera)


def on_floor() -> np.ndarray:
    allowed = np.zeros((480, 640), np.bool_)
    allowed[130:350, 210:430] = True
    return allowed


def tips(policy: NetworkPolicy | ConstantPolicy, seen: Observation) -> np.ndarray:
    """Heights of the 10 best grasps' tips over the floor, metres."""
    return FLOOR - policy(seen, 10).translation[:, 2]


@pytest.mark.parametrize("table", [FLOOR, FLOOR + 0.005])
def test_tips_come_as_near_to_the_floor_as_is_said_and_no_nearer(table: float) -> None:
    seen, far = bar(table=table), DecoderSettings(floor_margin=None)
    policies = [ConstantPolicy(decoder=s, workspace=on_floor()) for s in (far, DecoderSettings())]
    far, low = (tips(policy, seen) for policy in policies)
    assert len(far) == len(low) == 10
    assert low.min() > 0.002  # the floor is known to a millimetre, that of the tray and not of the table
    assert np.median(low) < 0.0045 < np.median(far)


def test_in_the_trained_view_too() -> None:
    seen, view = bar(), ViewSettings(mode="trained")
    made = [
        NetworkPolicy.pretrained(decoder=DecoderSettings(floor_margin=m), workspace=on_floor(), view=view)
        for m in (None, 0.003)
    ]
    far, low = (tips(policy, seen) for policy in made)
    assert low.min() > 0.0015
    assert np.median(low) < np.median(far) - 0.001


def over_the_world(seen: Observation) -> Observation:
    """The same image from a camera that looks down from 0.6 m over the world's ground."""
    camera = PinholeCamera(640, 480, seen.camera.intrinsics, np.diag([1.0, -1, -1, 1]))
    camera.pose[2, 3] = FLOOR
    return Observation(seen.rgb, seen.depth, camera)


@pytest.mark.parametrize("policy", [AntipodalPolicy, RandomPolicy, partial(RandomPolicy, redraw=True)])
def test_the_baselines_keep_the_same_margins(policy: Callable[..., GraspPolicy]) -> None:
    """Random grasps lie on pixels that are 10 mm high, or look so; fingers beside them see the floor."""
    seen = over_the_world(bar())
    far, low = (policy(half_side=0.14, floor_margin=m)(seen, 200).translation[:, 2] for m in (None, 0.003))
    assert min(len(far), len(low)) > 5
    assert np.median(low) > np.median(far) + 0.002  # along the optical axis: deeper
    assert FLOOR - low.max() > 0.002


def test_no_floor_is_sought_where_none_is_asked_for_or_seen() -> None:
    seen, near = bar(), DepthMargins(0.007, 0.003)
    assert known_floor(seen, on_floor(), DepthMargins(0.007, None)) is None
    assert known_floor(seen, on_floor(), DepthMargins(0.007, 0.007)) is None
    assert known_floor(seen, None, near) is None  # a tray's plane and the table's: nobody says which
    rough = Observation(None, np.random.default_rng(0).uniform(0.3, 1.5, (480, 640)).astype(np.float32), bar().camera)
    assert known_floor(rough, on_floor(), near) is None
    found = known_floor(seen, on_floor(), near)
    assert found is not None
    assert found.nearer == pytest.approx(0.004)
    assert found.plane.distance == pytest.approx(FLOOR, abs=0.001)


def test_bad_margins_are_said() -> None:
    with pytest.raises(InputError, match=r"decoder.floor_margin is -0.1; give a number that is not negative"):
        DecoderSettings(floor_margin=-0.1)
