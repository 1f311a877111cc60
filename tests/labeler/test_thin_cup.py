"""A cup whose wall is 2 mm thick, as an STL file in millimetres: labels on its rim lift it, and others say why not."""

import numpy as np
import pytest
import trimesh

from labeler.labels import label_view
from labeler.pdg.explain import explain_pixel
from labeler.pdg.reasons import REASONS
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


def loaded(folder, monkeypatch, *, open_below):
    """Returns the cup standing on the floor, the camera over it, and what that sees."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    cup(open_below=open_below).export(folder / "cup.stl")
    (model,) = ObjectSet.from_folder(folder, scale=0.001, workers=1).models
    camera, top = PinholeCamera.from_fov(pose=overhead_pose(0.6)), 0.0
    for _ in range(2):  # its origin is its middle, which a missing bottom moves: then it is set down
        state = SceneState((model,), make_pose(np.eye(3), (0, 0, HEIGHT / 1000 - top))[None])
        view = render_view(state, camera, ParallelCamera.covering(2500), rgb=False)
        seen = view.depth[view.instance_mask > 0]
        top = 0.6 - float(seen.min()) - HEIGHT / 1000
    assert seen.min() == pytest.approx(0.6 - HEIGHT / 1000, abs=2e-3)
    return state, camera, view


@pytest.mark.slow  # the convex parts of a cup take their time
def test_labels_stand_on_the_rim_and_lift(tmp_path, monkeypatch):
    state, camera, view = loaded(tmp_path, monkeypatch, open_below=False)
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
    assert "240, col 320: 0 labels" in str(told)


@pytest.mark.slow
def test_an_open_cup_is_told_and_its_rim_says_why_it_has_no_label(tmp_path, monkeypatch):
    """Below the rim nothing is drawn, so no wall is known that the pads would press on."""
    with pytest.warns(UserWarning, match="cup: its surface is open"):
        _, _, view = loaded(tmp_path, monkeypatch, open_below=True)
    assert len(label_view(view)) == 0
    rim = np.argwhere((view.instance_mask > 0) & (view.depth < 0.533))
    told = explain_pixel(view, *(int(number) for number in rim[len(rim) // 2]))
    assert set(told.reasons.ravel()) <= set(REASONS) | {"hidden"}
    assert set(told.reasons.ravel()) & {"contact", "wall"}
