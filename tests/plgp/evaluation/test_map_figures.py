"""Pictures are drawn and are not empty; grasps are drawn where and as they lie."""

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.image import imread

from plgp.evaluation.map_figures import draw_grasps, draw_prediction, draw_view, prediction_figure, shown_box
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


def workspace(view, margin=40):
    """The pixels of a box around the middle of the image, and that box."""
    allowed = np.zeros(view.depth.shape, bool)
    allowed[margin : 480 - margin, 2 * margin : 640 - 2 * margin] = True
    return allowed, (2 * margin - 0.5, 640 - 2 * margin - 0.5), (480 - margin - 0.5, margin - 0.5)


def maps_of(quality, width):
    """Maps of one image: the third angle is the best everywhere."""
    angle = torch.zeros(1, 18, 480, 640)
    angle[:, 3] = 1
    return GraspMaps(torch.as_tensor(quality)[None, None], angle, torch.as_tensor(width).expand(1, 18, 480, 640))


def drawn(view, labels, **options):
    rows, cols = np.mgrid[:480, :640]
    quality = np.exp(-((rows - 200) ** 2 + (cols - 300) ** 2) / 2000).astype(np.float32)
    quality[:20] = 1.0  # a wall outside the workspace, better than anything inside
    width = np.linspace(0.1, 0.9, 640, dtype=np.float32)[None].repeat(480, 0)
    seen = Observation(view.rgb, view.depth, view.camera)
    return prediction_figure(seen, maps_of(quality, width), labels, labels=labels, **options), quality, width


def test_panels_show_the_workspace_and_colours_span_what_is_there(view):
    view, labels = view
    allowed, across, down = workspace(view)
    figure, quality, width = drawn(view, labels[:8], allowed=allowed)
    pictures = [axes for axes in figure.axes if axes.get_title()]
    assert len(pictures) == 6
    for axes in pictures:
        assert axes.get_xlim() == across
        assert axes.get_ylim() == down
    by_title = {axes.get_title().split(",")[0].split(" (")[0]: axes.images[0] for axes in pictures}
    assert by_title["predicted quality"].get_clim() == pytest.approx((0, quality[allowed].max()))
    sure = allowed & (quality >= 0.3 * quality[allowed].max())
    opening = by_title["its opening"]
    assert opening.get_clim() == pytest.approx((100 * width[sure].min(), 100 * width[sure].max()))
    for name in ("its opening", "best angle"):
        np.testing.assert_array_equal(~np.ma.getmaskarray(by_title[name].get_array()), sure)
    assert set(by_title["best angle"].get_array().compressed()) == {30.0}
    low, high = by_title["depth"].get_clim()
    inner = view.depth[allowed]
    assert inner.min() <= low < high <= max(inner.max(), low + 1e-3) + 1e-6


def test_legends_say_what_is_drawn_and_numbers_do_not_overlap(view):
    view, labels = view
    figure, _, _ = drawn(view, labels[:12])
    texts = {t.get_text() for axes in figure.axes if axes.get_legend() for t in axes.get_legend().get_texts()}
    assert texts == {"a label's grasp point", "grasp point", "closing line, as long as the opening"}
    last = next(axes for axes in figure.axes if axes.get_title() == "top 12 grasps")
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in last.texts]
    assert len(boxes) == 12
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])
    assert last.get_xlim() == (-0.5, 639.5)  # no workspace: the whole image


def test_what_has_no_grasp_no_quality_or_no_depth_is_drawn_all_the_same(view, tmp_path):
    view, labels = view
    zero = np.zeros((480, 640), np.float32)
    empty = Observation(None, zero, view.camera)
    path = draw_prediction(empty, maps_of(zero, zero), labels[:0], path=tmp_path / "empty.png", allowed=zero > 0)
    assert imread(path).shape[1] >= 1400
    assert shown_box(zero > 0, zero.shape) == (0, 479, 0, 639)


def test_the_view_is_cropped_to_the_workspace_in_every_panel(view, tmp_path, monkeypatch):
    view, labels = view
    allowed, across, down = workspace(view)
    kept = []
    monkeypatch.setattr("plgp.evaluation.map_figures.save_figure", lambda figure, path, dpi: kept.append(figure))
    draw_view(view, tmp_path / "view.png", labels, depth_noisy=view.depth, allowed=allowed)
    titles = {axes.get_title(): axes for axes in kept[0].axes if axes.get_title()}
    for title, axes in titles.items():
        if title.startswith("parallel"):  # the same part of the scene at 500 px/m
            seen = view.camera.deproject([40, 439], [80, 559], np.percentile(view.depth[allowed], 95))
            rows, cols, _ = view.parallel_camera.project(seen)
            np.testing.assert_allclose(axes.get_xlim(), np.clip(cols, 0, 299), atol=1.1)
            np.testing.assert_allclose(axes.get_ylim(), np.clip(rows[::-1], 0, 299), atol=1.1)
        else:
            assert (axes.get_xlim(), axes.get_ylim()) == (across, down)
