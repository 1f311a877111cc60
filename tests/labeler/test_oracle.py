"""The label oracle as a grasp policy."""

import numpy as np
import pytest

from labeler.labels import GraspLabels, label_view
from labeler.oracle import LabelOracle, rank_labels
from labeler.settings import LabelSettings
from sim.camera import ParallelCamera, PinholeCamera, overhead_pose
from sim.gripper import GripperGeometry
from sim.objects import ObjectSet
from sim.render import render_view


@pytest.fixture
def view(synthetic):
    x, y = synthetic.grid()
    mask = np.zeros(x.shape, int)
    for value, centre in enumerate(((-0.06, -0.05), (0.06, -0.05), (0.0, 0.06)), 1):
        mask[synthetic.turned_box(x, y, centre, (0.03, 0.05), 0.4 * value)] = value
    return synthetic.make_view(np.where(mask > 0, 0.04, 0), mask)


def test_oracle_gives_labels_as_poses_best_first(view):
    oracle = LabelOracle()
    assert oracle.privileged
    grasps = oracle(view, 30)
    labels = label_view(view)
    assert len(grasps) == 30
    assert grasps.frame == "camera"
    assert (np.diff(grasps.quality) <= 0).all()
    assert grasps.quality[0] == pytest.approx(labels.score.max())
    poses = labels.to_pixel_grasps(18).to_poses(view.depth, view.camera)
    for translation, rotation in zip(grasps.translation, grasps.rotation, strict=True):
        same = np.isclose(poses.translation, translation).all(axis=1)
        assert np.isclose(poses.rotation[same], rotation).all(axis=(1, 2)).any()


def test_a_wide_hand_holds_a_wide_box(synthetic):
    mask = synthetic.turned_box(*synthetic.grid(), (0, 0), (0.11, 0.1), 0).astype(int)
    view, hand = synthetic.make_view(np.where(mask > 0, 0.04, 0), mask), GripperGeometry(max_opening=0.14)
    across = [labels.angle_bin == 0 for labels in (label_view(view, hand), label_view(view))]
    assert [any(bins) for bins in across] == [True, False]
    assert LabelOracle(hand)(view, 5).width.max() == pytest.approx(0.115, abs=4e-3)


def test_first_grasps_are_spread_over_the_objects(view):
    grasps = LabelOracle()(view, 3)
    distances = np.linalg.norm(grasps.translation[:, None] - grasps.translation[None], axis=2)
    assert distances[np.triu_indices(3, 1)].min() > 0.012


def test_oracle_gives_all_labels_if_asked_for_more(view):
    labels = label_view(view)
    assert len(LabelOracle()(view, 10**6)) == len(labels)
    points = np.zeros((len(labels), 3))
    order = rank_labels(labels, points, 10**6, spacing=0.01)
    assert sorted(order.tolist()) == list(range(len(labels)))


def test_oracle_on_a_scene_without_labels(synthetic):
    x, _ = synthetic.grid()
    view = synthetic.make_view(np.zeros(x.shape), np.zeros(x.shape, int))
    assert len(LabelOracle()(view, 5)) == 0
    assert len(rank_labels(GraspLabels.empty(), np.zeros((0, 3)), 5, spacing=0.01)) == 0


def test_oracle_takes_gripper_and_settings(view):
    narrow = LabelOracle(GripperGeometry(max_opening=0.03), LabelSettings(angles=6))
    assert len(narrow(view, 5)) == 0
    assert len(LabelOracle(settings=LabelSettings(angles=6))(view, 5)) == 5


@pytest.mark.slow
def test_labels_lift_their_object():
    """95 of 100 random labels of 15-object views lift at friction 0.4."""
    from sim.benchmark import make_scenes
    from sim.benchmark.grasp_attempt import attempt
    from sim.physics import PhysicsSettings, World

    scenes = make_scenes(ObjectSet.pybullet(0, 899), "seen-15", 4, count=15, seed=7001)
    lifted, rng, camera = [], np.random.default_rng(0), PinholeCamera.from_fov(pose=overhead_pose(0.6))
    for state in scenes:
        view = render_view(state, camera, ParallelCamera.covering(2500), rgb=False)
        labels = label_view(view)
        grasps = labels.to_pixel_grasps(18).to_poses(view.depth, camera).transform(camera.pose, "world")
        world = World(PhysicsSettings(), state.tray)
        for i in rng.permutation(len(labels))[:25]:
            lifted.append(attempt(world, state, grasps[int(i)], GripperGeometry(), 0.4).success)
        world.close()
    assert len(lifted) == 100
    assert np.mean(lifted) >= 0.95
