"""Objects without a colour get one each; others keep theirs."""

import numpy as np
import pytest

from sim.drawing.film import Snapshot, draw_snapshot, film_camera
from sim.drawing.object_colours import object_colours
from sim.drawing.scene_page import scene_figure
from sim.grasp import GraspPoses
from sim.gripper import GripperGeometry
from sim.objects import ObjectSet
from sim.scene import SceneState


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    """Two boxes without colours and one that is red, side by side."""
    folder = tmp_path_factory.mktemp("meshes")
    for i in range(3):
        mesh = '<geometry><box size="0.04 0.04 0.04"/></geometry>'
        red = '<material name="r"><color rgba="1 0 0 1"/></material>' if i == 2 else ""
        (folder / f"{i}.urdf").write_text(
            f'<robot name="b"><link name="b"><visual>{mesh}{red}</visual><collision>{mesh}</collision></link></robot>'
        )
    models = ObjectSet.from_folder(folder).models
    poses = np.stack([np.eye(4)] * len(models))
    poses[:, :3, 3] = [[0.08 * (i - 1), 0, 0.02] for i in range(len(models))]
    return SceneState(models, poses, category="own-3")


def test_each_grey_object_has_a_colour_and_the_red_one_keeps_its_own(bare):
    colours = object_colours(bare)
    assert len(set(colours)) == 3
    assert colours[2] == (1.0, 0.0, 0.0)
    assert all(np.ptp(colour) > 0.15 for colour in colours)


def test_page_and_film_show_these_colours(bare):
    none = GraspPoses(np.zeros((0, 3)), np.zeros((0, 3, 3)), np.zeros(0), np.zeros(0), "world")
    figure = scene_figure(bare, none, GripperGeometry())
    shown = [trace.color for trace in figure.data if trace.name != "tray"]
    for code, colour in zip(shown, object_colours(bare), strict=True):
        np.testing.assert_allclose([int(code[i : i + 2], 16) / 255 for i in (1, 3, 5)], colour, atol=0.005)
    box = (np.full(3, 0.01), np.eye(4) + np.eye(4, k=3) * 0.3, (10, 10, 10))
    frame = draw_snapshot(bare, Snapshot(bare.poses, [box]), film_camera((160, 120))).astype(float)
    for colour in object_colours(bare):  # some pixel has the object's hue
        direction = np.array(colour) / np.linalg.norm(colour)
        length = np.linalg.norm(frame, axis=2)
        alike = (frame @ direction) / np.maximum(length, 1)
        assert (alike[length > 30] > 0.999).sum() > 5
