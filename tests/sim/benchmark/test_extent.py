"""The tray owns the world's extent: in a larger one, grasps are found over the whole floor."""

import dataclasses
import warnings

import numpy as np
import pytest

from sim.benchmark import BenchmarkSettings, observe, run_benchmark
from sim.benchmark.baselines import AntipodalPolicy, RandomPolicy
from sim.benchmark.observation import noiseless_view
from sim.camera import PinholeCamera, warn_unseen
from sim.geometry import make_pose
from sim.objects import ObjectSet
from sim.physics import TraySettings
from sim.scene import SceneState

WIDE = TraySettings(floor=0.8)
CORNERS = np.array([(x, y) for x in (-0.33, 0.33) for y in (-0.33, 0.33)])
SETTINGS = BenchmarkSettings(camera_height=0.8, depth_noise=None)


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Boxes in the four corners of a tray of 0.8 m."""
    folder = tmp_path_factory.mktemp("box")
    shape = '<geometry><box size="0.04 0.06 0.05"/></geometry>'
    (folder / "box.urdf").write_text(
        '<robot name="box"><link name="l"><inertial><mass value="0.1"/><inertia ixx="1" iyy="1" izz="1" ixy="0" '
        f'ixz="0" iyz="0"/></inertial><visual>{shape}</visual><collision>{shape}</collision></link></robot>'
    )
    poses = np.array([make_pose(np.eye(3), (*corner, 0.025)) for corner in CORNERS])
    return SceneState(ObjectSet.from_folder(folder).models * 4, poses, WIDE)


def reached(places):
    """Whether there is a place within 5 cm of the middle of every corner's box."""
    return [bool((np.abs(places[:, :2] - corner).max(axis=1) < 0.05).any()) for corner in CORNERS]


@pytest.mark.parametrize("kind", [RandomPolicy, AntipodalPolicy])
def test_policies_look_at_the_whole_floor(scene, kind):
    seen = observe(scene, SETTINGS, [0])
    grasps = kind(tray=WIDE)(seen, 40).transform(seen.camera.pose, "world")
    assert reached(grasps.translation) == [True] * 4
    assert len(kind()(seen, 40)) == 0  # nothing of these lies on the floor of the default tray


def test_a_privileged_view_covers_the_whole_tray(scene):
    view = noiseless_view(scene, SETTINGS)
    assert view.parallel_camera.width / view.parallel_camera.pixels_per_metre == pytest.approx(0.8 + 0.1 + 0.14)
    assert set(np.unique(view.parallel_mask)) >= {o.mask_value for o in view.objects}
    assert TraySettings().view_side == 0.6


def test_the_walls_decide_what_has_fallen_out():
    assert WIDE.contains(np.array([0.44, -0.44, 0.02]))
    assert not TraySettings().contains(np.array([0.44, -0.44, 0.02]))


@pytest.mark.parametrize(("height", "enough"), [(0.6, "0.7"), (0.3, "0.7")])
def test_a_camera_that_does_not_see_the_tray_is_named_with_a_height_that_does(height, enough):
    with pytest.warns(UserWarning, match=rf"floor of 0\.8 m.*camera_height={enough}"):
        warn_unseen(PinholeCamera.from_fov(), height, 0.8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_unseen(PinholeCamera.from_fov(), float(enough), 0.8)
        warn_unseen(PinholeCamera.from_fov(), 0.6, TraySettings().floor)


def test_a_benchmark_says_which_tray_it_does_not_see_or_know(scene):
    few = dataclasses.replace(SETTINGS, count=1, max_failures=1, camera_height=0.6)
    with pytest.warns(UserWarning, match="floor of") as said:
        run_benchmark(RandomPolicy(), [scene], [0.4], few)
    texts = [str(w.message) for w in said]
    assert any("sees 0.69 m of the tray's floor of 0.8 m" in text for text in texts)
    assert any("floor of 0.36 m, but scenes have one of 0.8 m; give scene.tray.floor=0.8" in text for text in texts)
