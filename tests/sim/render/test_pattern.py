"""Patterns on tables: where they lie, what they leave alone, how they are drawn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.camera import ParallelCamera, PinholeCamera, overhead_pose
from sim.errors import InputError
from sim.objects import ObjectSet
from sim.physics import TraySettings
from sim.render import render_view
from sim.render.appearance import Appearance, RandomAppearance
from sim.render.pattern import KINDS, Pattern, PatternedAppearance, RandomPatterns
from sim.scene import SceneState

CAMERA = PinholeCamera.from_fov(160, 120, pose=overhead_pose(0.6))
WHITE = {"tray": (1.0, 1.0, 1.0), "ground": (1.0, 1.0, 1.0), "light": (0, 0, 1), "ambient": 1.0}


@pytest.fixture(scope="module")
def state():
    models = ObjectSet.pybullet(0, 20).models[:1]
    pose = np.eye(4)
    pose[2, 3] = 0.05
    return SceneState(tuple(models), pose[None], TraySettings(floor=0.9, wall_height=0.001, wall_lean=0.0))


def look_at(state, appearance):
    return render_view(state, CAMERA, ParallelCamera.covering(500, 0.4), appearance=appearance)


def test_tiles_lie_where_the_world_says(state):
    """Colours of the floor are those of a chessboard over the world's x and y; the object keeps its own."""
    black = Pattern(kind="tiles", size=0.1, colour=(0.0, 0.0, 0.0))
    plain, view = look_at(state, Appearance(**WHITE)), look_at(state, PatternedAppearance(**WHITE, pattern=black))
    rows, cols = np.nonzero((view.instance_mask == 0) & (np.abs(view.depth - 0.6) < 1e-4))
    points = CAMERA.deproject(rows, cols, view.depth[rows, cols])
    x, y = points[:, 0], -points[:, 1]  # straight down: image down is -y
    inside = (np.abs((x / 0.1 + 0.5) % 1 - 0.5) > 0.05) & (np.abs((y / 0.1 + 0.5) % 1 - 0.5) > 0.05)
    dark = (np.floor(x / 0.1) + np.floor(y / 0.1)) % 2 == 1
    seen = view.rgb[rows, cols].max(axis=1)
    assert inside.sum() > 1000
    assert (seen[inside & dark] == 0).all()
    assert (seen[inside & ~dark] == 255).all()
    on_object = view.instance_mask > 0
    np.testing.assert_array_equal(view.rgb[on_object], plain.rgb[on_object])
    for name in ("depth", "instance_mask", "parallel_depth"):
        np.testing.assert_array_equal(getattr(view, name), getattr(plain, name))


@given(
    st.sampled_from(KINDS),
    st.floats(1e-3, 10),
    st.floats(-10, 10),
    st.integers(0, 2**31),
    st.lists(st.tuples(*[st.floats(-5, 5)] * 3), min_size=1, max_size=8),
)
@settings(max_examples=200, deadline=None)
def test_every_pattern_mixes_two_colours(kind, size, turn, seed, points):
    pattern = Pattern(kind=kind, size=size, turn=turn, seed=seed)
    share = pattern.share(np.array(points, np.float64))
    assert share.shape == (len(points),)
    assert (share >= 0).all()
    assert (share <= 1).all()
    np.testing.assert_array_equal(share, pattern.share(np.array(points, np.float64)))


def test_views_are_drawn_with_and_without():
    random = RandomPatterns()
    looks = [random.draw(np.random.default_rng(i), 2) for i in range(200)]
    patterned = [look.pattern for look in looks if isinstance(look, PatternedAppearance)]
    assert 0.6 < len(patterned) / len(looks) < 0.8
    assert {p.kind for p in patterned} == set(KINDS)
    assert all(0.004 <= p.size <= 0.15 for p in patterned)
    same = RandomAppearance().draw(np.random.default_rng(3), 2)
    assert vars(same).items() <= vars(looks[3]).items(), "light and colours are those of appearance=random"
    assert not any(
        isinstance(RandomPatterns(patterned=0.0).draw(np.random.default_rng(i), 1), PatternedAppearance)
        for i in range(20)
    )


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: Pattern(kind="dots"), "pattern.kind"),
        (lambda: Pattern(size=0.0), "pattern.size"),
        (lambda: Pattern(colour=(0, 2, 0)), "pattern.colour"),
        (lambda: RandomPatterns(patterned=2.0), "patterned"),
        (lambda: RandomPatterns(sizes=(0.1, 0.05)), "appearance.sizes"),
        (lambda: RandomPatterns(sizes=(0.0, 0.05)), "appearance.sizes"),
    ],
)
def test_a_wrong_value_is_named(make, word):
    with pytest.raises(InputError, match=word):
        make()
