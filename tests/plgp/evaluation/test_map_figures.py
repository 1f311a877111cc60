"""Pictures are drawn and are not empty; grasps are drawn where and as they lie."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.image import imread

from plgp.evaluation.map_figures import draw_grasps, draw_prediction, draw_view
from plgp.targets import GraspMaps
from sim.benchmark import Observation
from sim.camera import ParallelCamera
from sim.grasp import PixelGrasps
from sim.view import SceneView


@pytest.fixture
def view(bars_image):
    rgb, depth, mask, labels, camera = bars_image
    parallel = ParallelCamera(500.0, 300, 300)
    flat = np.full((300, 300), 0.6, np.float32)
    return SceneView(depth, mask, camera, flat, np.zeros((300, 300), np.uint8), parallel, rgb), labels.to_pixel_grasps(
        18
    )


def test_view_and_prediction_are_drawn(view, tmp_path):
    view, labels = view
    for path in (
        draw_view(view, tmp_path / "view.png", labels, depth_noisy=view.depth),
        draw_view(view, tmp_path / "bare.png"),
        draw_prediction(
            Observation(view.rgb, view.depth, view.camera),
            GraspMaps(*(torch.rand(1, n, 480, 640) for n in (1, 18, 18))),
            labels[:5],
            path=tmp_path / "deep" / "maps.png",
            labels=labels,
        ),
    ):
        assert imread(path)[..., :3].std() > 0.05


def test_grasp_lines_have_the_grasps_place_angle_and_width(bars_image):
    camera = bars_image[-1]
    axes = Figure().add_subplot()
    depth = np.full((480, 640), 0.6, np.float32)
    grasps = PixelGrasps([240], [320], [0.02], [np.pi / 6], [0.06], [1.0])
    draw_grasps(axes, grasps, depth, camera=camera)
    line = axes.lines[0]
    dx, dy = np.diff(line.get_xdata())[0], np.diff(line.get_ydata())[0]
    assert np.hypot(dx, dy) == pytest.approx(0.06 * camera.intrinsics[0, 0] / 0.6)
    assert np.arctan2(-dy, dx) == pytest.approx(np.pi / 6)
    assert np.mean(line.get_xdata()) == pytest.approx(320)
