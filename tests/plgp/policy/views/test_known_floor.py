"""The hand's tips over a floor that is known better than its pixels."""

from __future__ import annotations

import numpy as np
import pytest

from plgp.policy import ConstantPolicy, DecoderSettings, NetworkPolicy, ViewSettings
from plgp.policy.views.known_floor import known_floor
from sim.camera import PinholeCamera
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
    seen, near = bar(table=table), DecoderSettings(floor_margin=0.003)
    policies = [ConstantPolicy(decoder=s, workspace=on_floor()) for s in (DecoderSettings(), near)]
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


def test_no_floor_is_sought_where_none_is_asked_for_or_seen() -> None:
    seen, near = bar(), DecoderSettings(floor_margin=0.003)
    assert known_floor(seen, None, DecoderSettings()) is None
    assert known_floor(seen, None, DecoderSettings(floor_margin=0.007)) is None
    rough = Observation(None, np.random.default_rng(0).uniform(0.3, 1.5, (480, 640)).astype(np.float32), bar().camera)
    assert known_floor(rough, None, near) is None
    found = known_floor(seen, on_floor(), near)
    assert found is not None
    assert found.nearer == pytest.approx(0.004)
    assert found.plane.distance == pytest.approx(FLOOR, abs=0.001)


def test_bad_margins_are_said() -> None:
    with pytest.raises(InputError, match=r"decoder.floor_margin is -0.1; give a number that is not negative"):
        DecoderSettings(floor_margin=-0.1)
