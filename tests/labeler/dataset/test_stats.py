"""Figures of a data set: the counts against plgp.targets and against slow twins, the paper's own numbers."""

import io
import json
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from labeler.dataset.card import write_stats
from labeler.dataset.recipe import DataSetRecipe
from labeler.dataset.stats import CROP, crop_labels, enhanced_cells, measure, print_stats, ratio_rows, table_row
from labeler.labels import GraspLabels
from labeler.shards.writer import ShardWriter
from plgp.targets import LabelBatch, rasterise
from sim.errors import InputError
from sim.files import checksum, write_json
from sim.view import ViewObject

BINS = 6
SHAPE = (7, 9)


def make_labels(row, col, angle_bin, depth=0.02, width=0.05):
    n = len(row)
    full = [np.broadcast_to(np.asarray(v, np.float32), n).copy() for v in (depth, width, 0)]
    return GraspLabels(
        np.asarray(row, np.uint16),
        np.asarray(col, np.uint16),
        np.asarray(angle_bin, np.uint8),
        full[0],
        full[1],
        full[2],
    )


cells = st.lists(
    st.tuples(st.integers(0, SHAPE[0] - 1), st.integers(0, SHAPE[1] - 1), st.integers(0, BINS - 1)), min_size=1
)


@given(cells, st.integers(0, 2**32 - 1), st.booleans())
@settings(deadline=None)
def test_enhancement_is_the_one_of_the_training_targets(places, seed, guarded):
    labels = make_labels(*np.array(places).T)
    mask = np.random.default_rng(seed).integers(0, 3, SHAPE).astype(np.uint8)
    row, col, angle = (torch.tensor(getattr(labels, n).astype(np.int64)) for n in ("row", "col", "angle_bin"))
    batch = LabelBatch(torch.zeros_like(row), row, col, angle, torch.tensor(labels.width))
    guard = torch.from_numpy(mask)[None] if guarded else None
    maps = rasterise(batch, (1, *SHAPE), BINS, instance_mask=guard)
    wanted = np.flatnonzero(maps.angle[0].permute(1, 2, 0).numpy())
    np.testing.assert_array_equal(enhanced_cells(labels, SHAPE, BINS, instance_mask=mask if guarded else None), wanted)


@given(cells)
@settings(deadline=None)
def test_the_authors_variant_marks_the_angles_beside_at_the_labels_own_pixel(places):
    dense = np.zeros((*SHAPE, BINS), bool)
    for row, col, angle in places:
        dense[max(row - 1, 0) : row + 2, max(col - 1, 0) : col + 2, angle] = True
        dense[row, col, [(angle + 1) % BINS, (angle - 1) % BINS]] = True
    found = enhanced_cells(make_labels(*np.array(places).T), SHAPE, BINS, beside=True)
    np.testing.assert_array_equal(found, np.flatnonzero(dense))


def frame(labels, mask, objects=(), scene=0, view=0):
    depth = np.full(mask.shape, 0.6, np.float32)
    return {
        "rgb": np.zeros((*mask.shape, 3), np.uint8),
        "depth": depth,
        "depth_noisy": depth,
        "instance_mask": mask,
        "grasps": labels,
        "intrinsics": np.diag([100.0, 100.0, 1.0]),
        "pose": np.eye(4),
        "objects": tuple(ViewObject(n, 1.0, i, np.eye(4), np.eye(4), (0, 0, 1, 1)) for i, n in enumerate(objects, 1)),
        "scene": scene,
        "view": view,
    }


def write_data_set(folder, frames):
    path = folder / "shard-00000.h5"
    with ShardWriter(path) as writer:
        for one in frames:
            writer.add(one)
    numbers, images = np.unique([f["scene"] for f in frames], return_counts=True)
    grasps = sum(len(f["grasps"]) for f in frames)
    line = {
        "file": path.name,
        "sha256": checksum(path),
        "images": len(frames),
        "scenes": np.stack([numbers, images], axis=1).tolist(),
    }
    info = {
        "name": "hand-made",
        "schema_version": 1,
        "hash": "abc",
        "recipe": DataSetRecipe().describe(),
        "counts": {"images": len(frames), "scenes": len(numbers), "grasps": grasps, "failed_scenes": 0},
        "shards": [line],
    }
    write_json(folder / "dataset.json", info)
    return folder


@pytest.fixture(scope="module")
def data_set(tmp_path_factory):
    """Three images of two scenes: objects 1, 2 (2 and 3 in the second scene), one label outside the centre crop."""
    mask = np.zeros((480, 640), np.uint8)
    mask[100:200, 300:400], mask[230:250, 200:300] = 1, 2
    mask[240:250, 600:620] = 3
    many = make_labels([150, 150, 150], [350, 351, 352], [0, 0, 17], depth=[0.006, 0.0079, 0.02], width=0.05)
    outside = make_labels([245], [610], [9], depth=0.05, width=0.0899)
    frames = [
        frame(many, mask, ["cup", "box"]),
        frame(make_labels([], [], []), mask, ["cup", "box"], view=1),
        frame(outside, mask, ["box", "can", "jar"], scene=1),
    ]
    return write_data_set(tmp_path_factory.mktemp("data"), frames)


def test_figures_of_a_small_data_set(data_set):
    stats = measure(data_set)
    assert (stats.images, stats.scenes, stats.grasps, stats.objects) == (3, 2, 4, 4)
    assert stats.objects_per_image == [2, 3]
    assert stats.grasps_per_image == {"mean": 4 / 3, "least": 0, "median": 1.0, "most": 3}
    assert stats.labels_of_images == [3, 0, 1]
    assert stats.labels_of_objects == [3, 0, 0, 0, 0, 0, 0, 0, 1]
    assert stats.labelled_objects == pytest.approx(2 / 9)
    assert stats.labelled_pixels == pytest.approx(4 / (3 * (10000 + 2000 + 200)))
    assert [i for i, n in enumerate(stats.angle) if n] == [0, 9, 17]
    assert stats.depth == [0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1, *[0] * 14, 1]
    assert [(i, n) for i, n in enumerate(stats.width) if n] == [(25, 3), (44, 1)]
    assert table_row(stats)["Objects per image"] == "2/3"


def test_positives_in_and_outside_the_crop(data_set):
    stats = measure(data_set)
    total = 3 * CROP * CROP * 18
    # Two labels side by side cover 3 x 4 cells of angle 0; the others 9 each.
    assert stats.negatives_per_positive["before"] == pytest.approx((total - 4) / 4)
    assert stats.negatives_per_positive["plain"] == pytest.approx((total - 30) / 30)
    assert stats.in_crop["before"] == pytest.approx((total - 3) / 3)
    assert stats.in_crop["plain"] == pytest.approx((total - 21) / 21)


def test_the_papers_count_gives_the_papers_ratio(tmp_path):
    places = np.unravel_index(np.arange(1280), (480, 640, 18))
    stats = measure(write_data_set(tmp_path, [frame(make_labels(*places), np.ones((480, 640), np.uint8))]))
    assert stats.negatives_per_positive["before"] == 1439
    rows = {row[0]: row[1:] for row in ratio_rows(stats)}
    assert rows["labels alone"] == ("1:1439", "1:0", "1:1439")  # none of them lies in the centre crop


def test_crop_moves_labels_with_the_mask():
    mask = np.arange(480 * 640, dtype=np.int64).reshape(480, 640)
    labels = make_labels([80, 399, 79, 240, 400], [160, 479, 300, 159, 480], [1, 2, 3, 4, 5])
    inside, cut = crop_labels(labels, mask)
    assert cut.shape == (320, 320)
    assert inside.angle_bin.tolist() == [1, 2]
    np.testing.assert_array_equal(cut[inside.row, inside.col], mask[[80, 399], [160, 479]])


def test_tables_show_both_ratios(data_set):
    console = Console(width=80, record=True, file=io.StringIO())
    print_stats(measure(data_set), console)
    text = console.export_text()
    for word in ("Grasps per image", "~1280", "1:1439", "1:317", "hand-made"):
        assert word in text


def test_json_and_picture(data_set, tmp_path):
    write_stats(data_set, tmp_path / "other.png")
    content = json.loads((data_set / "stats.json").read_text())
    assert content["paper"]["negatives_per_positive"] == {"before": 1439, "after": 317}
    assert sum(content["labels_of_objects"]["counts"]) == 9
    assert (tmp_path / "other.png").read_bytes()[:4] == b"\x89PNG"


def test_empty_data_set_is_an_error(tmp_path):
    with pytest.raises(InputError, match="holds no images"):
        measure(write_data_set(tmp_path, []))


def test_command(data_set, command_line):
    run = partial(command_line, "labeler", "stats")
    done = run(str(data_set))
    assert done.returncode == 0, done.stderr
    assert "3 images of 2 scenes" in done.stdout
    assert (data_set / "stats.png").read_bytes()[:4] == b"\x89PNG"
    assert "8-neighbourhood" in run("--help").stdout
    failed = run(str(data_set), "out=there.gif")
    assert failed.returncode == 2
    assert "ends in .png" in failed.stderr
