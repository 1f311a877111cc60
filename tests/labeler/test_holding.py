"""Labels that know what an object weighs: the pads' friction against weight and torque, by hand and by symmetry."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from labeler.dataset.recipe import DataSetRecipe
from labeler.holding import can_hold
from labeler.labels import count_rejections, label_view
from labeler.pdg.explain import explain_pixel
from labeler.settings import LabelSettings
from sim.camera import ParallelCamera, PinholeCamera
from sim.errors import InputError
from sim.grasp import PixelGrasps
from sim.gripper import GripperGeometry
from sim.objects import ObjectSet
from sim.render import render_view
from sim.scene import SceneState
from sim.view import SceneView, ViewObject

HAND = GripperGeometry(force=50.0)
HELD = LabelSettings(hold_friction=0.4, pad_radius=0.005)
HEIGHT = 0.6
TURNED_DOWN = np.diag([1.0, -1.0, -1.0])  # a camera's axes in the world where it looks straight down


def view_of(mass, centre, turn=None):
    """An object of a mass and a centre of mass (camera frame, metres) that fills a flat view; ``turn`` tilts it all."""
    pose = np.eye(4)
    pose[:3, :3] = TURNED_DOWN if turn is None else turn @ TURNED_DOWN
    camera = PinholeCamera(101, 101, np.array([[300.0, 0, 50], [0, 300, 50], [0, 0, 1]]), pose)
    seen = ViewObject("bar", 1.0, 1, np.eye(4), pose, (0, 0, 100, 100), mass, np.asarray(centre, float))
    flat, one = np.full((101, 101), HEIGHT, np.float32), np.ones((101, 101), np.uint8)
    return SceneView(flat, one, camera, flat, one, ParallelCamera(500, 101, 101), objects=(seen,))


def grasp(angle, depth=0.01):
    """A grasp at the middle of the view."""
    return PixelGrasps(*(np.array([v]) for v in (50, 50, depth, angle, 0.05, 1.0)))  # type: ignore[arg-type]


@pytest.mark.parametrize(("angle", "matters"), [(0.0, True), (np.pi / 2, False)])
def test_a_lever_counts_across_the_closing_axis_only(angle, matters):
    # 2 mu F = 40 N; 2 * 2/3 a mu F = 0.1333 N m; 1.3 * 0.5 kg * 9.81 = 6.3765 N; the ellipse's end lies at 20.64 mm.
    reach = np.sqrt(1 - (6.3765 / 40) ** 2) * (40 * 2 / 3 * 0.005) / 6.3765
    for lever in (0.98 * reach, 1.02 * reach):
        held = can_hold(grasp(angle), view_of(0.5, [0, lever, HEIGHT]), gripper=HAND, settings=HELD)
        assert bool(held[0]) == (lever < reach or not matters)


def test_a_weight_beyond_the_pads_friction_is_not_held():
    most = 40 / (1.3 * 9.81)
    for mass in (0.99 * most, 1.01 * most):
        assert bool(can_hold(grasp(0.3), view_of(mass, [0, 0, HEIGHT]), gripper=HAND, settings=HELD)[0]) == (
            mass < most
        )


@settings(deadline=None, max_examples=50)
@given(
    st.floats(0, np.pi, exclude_max=True),
    st.tuples(*(st.floats(-0.1, 0.1),) * 3),
    st.floats(0.02, 2.0),
    st.floats(-np.pi, np.pi),
)
def test_turning_the_world_about_the_plumb_line_changes_nothing(angle, centre, mass, yaw):
    centre = np.array([0, 0, HEIGHT]) + centre
    turn = Rotation.from_euler("z", yaw).as_matrix()
    margin = [
        can_hold(grasp(angle), view_of(mass * factor, centre, turned), gripper=HAND, settings=HELD)
        for factor in (0.999, 1.001)
        for turned in (None, turn)
    ]
    if margin[0] == margin[2]:  # not at the very limit
        assert margin[0] == margin[1] == margin[3]


def test_where_the_hand_hangs_in_line_with_gravity_decides_not_the_cameras_tilt():
    """A centre of mass straight below the grasp is held however the camera leans."""
    for tilt in np.radians([0, 20, 45]):
        turn = Rotation.from_euler("x", tilt).as_matrix()
        down = (turn @ TURNED_DOWN).T @ [0, 0, -1.0]
        middle = np.array([0, 0, HEIGHT + 0.01])
        assert can_hold(grasp(0.0), view_of(1.0, middle + 0.2 * down, turn), gripper=HAND, settings=HELD)[0]
        aside = np.cross(down, [1.0, 0, 0])
        assert not can_hold(grasp(0.0), view_of(1.0, middle + 0.05 * aside, turn), gripper=HAND, settings=HELD)[0]


def test_a_view_without_masses_is_refused_in_one_sentence():
    view = view_of(0.5, [0, 0, HEIGHT])
    bare = replace(view, objects=(replace(view.objects[0], mass=None),))
    with pytest.raises(InputError, match=r"wants the mass of 'bar'.*hold_friction=0"):
        can_hold(grasp(0.0), bare, gripper=HAND, settings=HELD)
    with pytest.raises(InputError, match="wants the mass of object 1"):
        can_hold(grasp(0.0), replace(view, objects=()), gripper=HAND, settings=HELD)


@pytest.fixture
def hammer(tmp_path):
    """A handle of 200 mm whose mass lies at one end, 800 g."""
    (tmp_path / "hammer.urdf").write_text(
        '<robot name="hammer"><link name="body"><inertial><origin xyz="0.09 0 0"/><mass value="0.8"/></inertial>'
        '<visual><geometry><box size="0.2 0.03 0.03"/></geometry></visual></link></robot>'
    )
    return ObjectSet.from_folder(tmp_path, workers=1)


@pytest.fixture
def lying(hammer):
    """The hammer on the table, seen from above."""
    pose = np.eye(4)
    pose[2, 3] = 0.015
    state = SceneState(hammer.models, pose[None])
    looking = np.eye(4)
    looking[:3, :3], looking[:3, 3] = TURNED_DOWN, [0, 0, HEIGHT]
    camera = PinholeCamera(320, 320, np.array([[300.0, 0, 159.5], [0, 300, 159.5], [0, 0, 1]]), looking)
    return render_view(state, camera, ParallelCamera.covering(2500, 0.5))


def test_labels_of_a_heavy_handle_stay_near_its_head(lying):
    view = lying
    assert view.objects[0].mass == 0.8
    labels, held = label_view(view, HAND), label_view(view, HAND, replace(HELD, relaxed={}))
    along = [view.camera.deproject(x.row, x.col, view.depth[x.row, x.col])[:, 0] for x in (labels, held)]
    assert along[0].min() < -0.06  # the handle's far end, without the check
    assert 0 < len(held) < len(labels)
    assert along[1].min() > 0.09 - 0.02  # 50 N at 0.4 bear 0.133 N m: 13 mm of 800 g


def test_what_is_lost_for_its_weight_is_counted_and_explained(lying):
    held = replace(HELD, relaxed={})
    labels = [label_view(lying, HAND, s) for s in (replace(held, hold_friction=0.0), held)]
    counts = count_rejections(lying, HAND, held)
    assert (counts["valid"], counts["weight"]) == (len(labels[1]), len(labels[0]) - len(labels[1]))
    assert count_rejections(lying, HAND)["weight"] == 0
    free, kept = (set(zip(x.row.tolist(), x.col.tolist(), strict=True)) for x in labels)
    for row, col in (*sorted(free - kept)[::400], *sorted(kept)[::400]):
        explanation = explain_pixel(lying, row, col, gripper=HAND, settings=held)
        here = (labels[1].row == row) & (labels[1].col == col)
        assert [k for k, *_ in explanation.labels()] == labels[1].angle_bin[here].tolist()
        assert ("weight" in explanation.reasons) == ((row, col) not in kept)
        assert (" weight" in str(explanation)) == ((row, col) not in kept)
    explanation.draw()


def test_recipes_without_the_check_keep_their_hashes():
    plain = DataSetRecipe()
    assert "hold_friction" not in plain.describe()["labels"]
    assert "palm_margin" not in plain.describe()["labels"]
    assert replace(plain, labels=HELD).hash != plain.hash
    assert replace(plain, labels=LabelSettings(palm_margin=0.002)).hash != plain.hash
    assert replace(plain, labels=replace(HELD, hold_friction=0.2)).hash != replace(plain, labels=HELD).hash
