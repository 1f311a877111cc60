"""A cup whose wall is 2 mm thick, as an STL file in millimetres: labels on its rim lift it, and others say why not."""

import warnings

import numpy as np
import pytest
import trimesh

from labeler.labels import label_view
from labeler.pdg.explain import explain_pixel
from sim.benchmark.grasp_attempt import attempt
from sim.camera import ParallelCamera, PinholeCamera, overhead_pose
from sim.geometry import make_pose
from sim.gripper import GripperGeometry
from sim.objects import ObjectSet
from sim.physics import PhysicsSettings, TraySettings, World
from sim.render import render_view
from sim.scene import SceneState

RADIUS, WALL, HEIGHT = 60.0, 2.0, 70.0  # millimetres: wider than the hand opens
PROFILE = [(0, 0), (RADIUS, 0), (RADIUS, HEIGHT), (RADIUS - WALL, HEIGHT), (RADIUS - WALL, WALL), (0, WALL)]


def cup(*, open_below):
    mesh = trimesh.creation.revolve(np.array(PROFILE), sections=48)
    if open_below:  # the exporter left its bottom side out
        mesh.update_faces(~((mesh.triangles_center[:, 2] < 1e-6) & (mesh.face_normals[:, 2] < -0.9)))
    assert mesh.is_watertight != open_below
    return mesh


@pytest.mark.slow  # the convex parts of a cup take their time
@pytest.mark.parametrize("open_below", [False, True])
def test_labels_stand_on_the_rim_and_lift(tmp_path, monkeypatch, open_below):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cup(open_below=open_below).export(tmp_path / "cup.stl")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # closed holes are told elsewhere
        (model,) = ObjectSet.from_folder(tmp_path, scale=0.001, workers=1).models
    middle = cup(open_below=False).center_mass[2] / 1000
    state = SceneState((model,), make_pose(np.eye(3), (0, 0, middle))[None])
    camera = PinholeCamera.from_fov(pose=overhead_pose(0.6))
    view = render_view(state, camera, ParallelCamera.covering(2500), rgb=False)
    assert view.depth[view.instance_mask > 0].min() == pytest.approx(0.6 - HEIGHT / 1000, abs=2e-3)
    labels = label_view(view)
    grasps = labels.to_pixel_grasps(18).to_poses(view.depth, camera).transform(camera.pose, "world")
    place = np.hypot(*grasps.translation[:, :2].T) * 1000
    assert len(labels) > 20
    assert (np.abs(place - (RADIUS - WALL / 2)) < 4).all()
    world = World(PhysicsSettings(), TraySettings())
    few = np.random.default_rng(0).permutation(len(grasps))[:6]
    lifted = [attempt(world, state, grasps[int(i)], GripperGeometry(), 0.6).success for i in few]
    world.close()
    assert sum(lifted) >= 5
    labelled = {(int(row), int(col)) for row, col in zip(labels.row, labels.col, strict=True)}
    assert (240, 320) not in labelled  # the cup's floor, wider than the hand opens
    told = explain_pixel(view, 240, 320)
    assert told.labels() == []
    assert "valid" not in told.reasons
    assert "240, col 320: 0 labels" in str(told)
