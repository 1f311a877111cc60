"""Labels follow the tray's size."""

import numpy as np

from labeler.dataset.recipe import DataSetRecipe
from labeler.labels import label_view
from sim.benchmark import BenchmarkSettings
from sim.benchmark.observation import noiseless_view
from sim.geometry import make_pose
from sim.gripper import GripperGeometry
from sim.objects import ObjectSet
from sim.physics import TraySettings
from sim.scene import SceneSettings, SceneState

CORNERS = np.array([(x, y) for x in (-0.33, 0.33) for y in (-0.33, 0.33)])


def test_every_object_of_a_wide_tray_gets_labels(tmp_path):
    shape = '<geometry><box size="0.04 0.06 0.05"/></geometry>'
    (tmp_path / "box.urdf").write_text(
        '<robot name="box"><link name="l"><inertial><mass value="0.1"/><inertia ixx="1" iyy="1" izz="1" ixy="0" '
        f'ixz="0" iyz="0"/></inertial><visual>{shape}</visual><collision>{shape}</collision></link></robot>'
    )
    poses = np.array([make_pose(np.eye(3), (*corner, 0.025)) for corner in CORNERS])
    scene = SceneState(ObjectSet.from_folder(tmp_path).models * 4, poses, TraySettings(floor=0.8))
    view = noiseless_view(scene, BenchmarkSettings(camera_height=0.8))
    labels = label_view(view, GripperGeometry())
    labelled = np.unique(view.instance_mask[labels.row, labels.col], return_counts=True)[1]
    assert len(labelled) == 4
    assert labelled.min() > 50


def test_a_recipes_parallel_view_covers_its_tray_and_stays_as_it_was_for_the_default_one():
    assert DataSetRecipe().parallel_extent == DataSetRecipe().describe()["parallel_side"] == 0.6
    wide = DataSetRecipe(scene=SceneSettings(tray=TraySettings(floor=0.8)))
    assert wide.parallel_extent == wide.describe()["parallel_side"] == 1.04
