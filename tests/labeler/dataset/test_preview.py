"""The contact sheet shows what the data set holds."""

from functools import partial

import numpy as np
import pytest

from labeler.dataset.preview import crop_boxes, draw_preview, in_turn
from labeler.dataset.recipe import DataSetRecipe
from labeler.labels import GraspLabels
from labeler.shards.writer import ShardWriter
from sim.errors import InputError
from sim.files import checksum, write_json


def write_data_set(folder, scenes=3, views=2, depth=None):
    """A data set written by hand: grey images, two labels in each."""
    depth = np.full((60, 80), 0.5, np.float32) if depth is None else depth
    labels = GraspLabels(
        np.array([20, 30], np.uint16),
        np.array([40, 50], np.uint16),
        np.array([0, 9], np.uint8),
        np.array([0.01, 0.02], np.float32),
        np.array([0.05, 0.02], np.float32),
        np.zeros(2, np.float32),
    )
    intrinsics = np.array([[100.0, 0, 39.5], [0, 100, 29.5], [0, 0, 1]])
    path = folder / "shard-00000.h5"
    with ShardWriter(path) as writer:
        for scene in range(scenes):
            for view in range(views):
                writer.add(
                    {
                        "rgb": np.full((60, 80, 3), 90, np.uint8),
                        "depth": depth,
                        "depth_noisy": depth,
                        "instance_mask": np.ones((60, 80), np.uint8),
                        "grasps": labels,
                        "intrinsics": intrinsics,
                        "pose": np.eye(4),
                        "objects": (),
                        "scene": scene,
                        "view": view,
                    }
                )
    line = {"file": path.name, "sha256": checksum(path), "scenes": [[s, views] for s in range(scenes)]}
    recipe = DataSetRecipe().describe()
    write_json(folder / "dataset.json", {"schema_version": 1, "hash": "", "recipe": recipe, "shards": [line]})
    return folder


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    return write_data_set(tmp_path_factory.mktemp("data"))


def test_lines_lie_along_the_closing_direction_and_are_as_long_as_the_opening(data_set):
    figure = draw_preview(data_set, images=1)
    segments = np.array(figure.axes[0].collections[0].get_segments())
    # 100 px at 1 m: 0.05 m wide at 0.5 m is 10 px; bin 0 runs along the columns, bin 9 along the rows.
    np.testing.assert_allclose(segments, [[[35, 20], [45, 20]], [[50, 32], [50, 28]]], atol=1e-5)


def test_images_are_cropped_to_their_objects_at_one_scale():
    masks = [np.zeros((48, 64), np.uint8) for _ in range(3)]
    masks[0][10:20, 30:40] = 3
    masks[1][0:12, 56:64] = 7  # in the corner
    boxes = np.array(crop_boxes(masks))
    assert np.ptp(boxes[:, 1] - boxes[:, 0]) < 1e-9
    np.testing.assert_allclose((boxes[:, 3] - boxes[:, 2]), 12 * 1.15)
    np.testing.assert_allclose((boxes[:, 1] - boxes[:, 0]), 10 * 1.15)
    assert (boxes.min(axis=1) >= -0.5).all()
    assert (boxes[:, 1] <= 63.5).all()
    for (left, right, top, bottom), mask in zip(boxes[:2], masks, strict=False):
        rows, cols = np.nonzero(mask)
        assert left <= cols.min()
        assert cols.max() <= right
        assert top <= rows.min()
        assert rows.max() <= bottom
    np.testing.assert_allclose(crop_boxes(masks[2:]), [[-0.5, 63.5, -0.5, 47.5]])


def test_the_sheet_is_large_and_has_a_legend(data_set):
    for images in (1, 2, 3, 6):
        figure = draw_preview(data_set, images=images)
        width, height = figure.get_size_inches() * figure.dpi
        assert width >= 900
        assert height >= 480
        shown = {text.get_text() for text in figure.legends[0].get_texts()}
        assert shown == {"label's pixel", "closing direction, as long as the opening"}


def test_every_scene_is_shown_before_any_twice(data_set):
    titles = [axes.get_title() for axes in draw_preview(data_set, images=3).axes if axes.get_title()]
    assert [title.split(",")[0] for title in titles] == ["scene 0", "scene 1", "scene 2"]
    assert all(title.endswith("2 labels") for title in titles)
    titles = [axes.get_title() for axes in draw_preview(data_set, images=99, grasps=0).axes]
    assert len([title for title in titles if title]) == 6


def test_an_object_with_few_labels_shows_them():
    rng, objects = np.random.default_rng(0), np.array([1] * 500 + [2] * 3 + [3] * 100)
    chosen = in_turn(np.arange(603), objects, 30, rng=rng)
    assert len(set(chosen.tolist())) == 30
    assert np.bincount(objects[chosen]).tolist() in ([0, 14, 3, 13], [0, 13, 3, 14])
    few = [in_turn(np.arange(100), np.arange(100), 5, rng=np.random.default_rng(seed)).tolist() for seed in range(9)]
    assert len({tuple(chosen) for chosen in few}) == 9
    assert sorted(in_turn(np.arange(603), objects, 900, rng=rng).tolist()) == list(range(603))
    assert len(in_turn(np.arange(0), objects[:0], 5, rng=rng)) == 0


def test_arguments_out_of_range(data_set, tmp_path):
    for wrong in ({"images": 0}, {"grasps": -1}, {"seed": -1}):
        with pytest.raises(InputError, match=f"preview: {next(iter(wrong))} is"):
            draw_preview(data_set, **wrong)
    with pytest.raises(InputError, match="holds no finished data set"):
        draw_preview(tmp_path)
    with pytest.raises(InputError, match="holds no images"):
        draw_preview(write_data_set(tmp_path, scenes=0))


def test_label_without_depth_is_left_out(tmp_path):
    depth = np.full((60, 80), 0.5, np.float32)
    depth[20, 40] = 0
    figure = draw_preview(write_data_set(tmp_path, depth=depth), images=1)
    np.testing.assert_allclose(figure.axes[0].collections[0].get_segments(), [[[50, 32], [50, 28]]], atol=1e-5)


def test_command(data_set, tmp_path, command_line):
    run = partial(command_line, "labeler", "preview", str(data_set))
    done = run("images=2", f"out={tmp_path / 'sheet.png'}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "sheet.png").read_bytes()[:4] == b"\x89PNG"
    for wrong, message in (("out=/nowhere/sheet.png", "does not exist"), ("out=sheet.gif", "ends in .png")):
        failed = run(wrong)
        assert failed.returncode == 2
        assert message in failed.stderr
