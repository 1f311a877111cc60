"""Labels as rectangles: those that are exported, drawn as GG-CNN draws them."""

import dataclasses
import json
import math
import shutil

import numpy as np
import pytest
import torch

from labeler.formats.rectangles import export_rectangles, parse_jacquard
from plgp.data import PLGPDataModule
from plgp.data.rectangles import FewLabels, paint_rectangles
from plgp.targets import LabelBatch
from sim.errors import InputError
from sim.gripper import GripperGeometry

SHAPE, BINS, JAW, OPENING = (2, 40, 50), 18, 0.017, 0.1


def random_labels(seed, count=12, quality=False):
    rng = np.random.default_rng(seed)
    high = (SHAPE[0], SHAPE[1], SHAPE[2], BINS)
    whole = [torch.from_numpy(rng.integers(0, h, count)) for h in high]
    width = torch.from_numpy(rng.uniform(0.01, 0.09, count).astype(np.float32))
    scores = torch.from_numpy(rng.uniform(0.1, 1, count).astype(np.float32)) if quality else None
    return LabelBatch(*whole, width, scores)


def drawn_one_by_one(labels, scale):
    """The same, pixel by pixel: quality, angle and width of every pixel, 0 and -1 where there is none."""
    quality, angle, width = np.zeros(SHAPE), np.full(SHAPE, -1), np.zeros(SHAPE)
    for i in range(len(labels.row)):
        image, theta = int(labels.image[i]), float(labels.angle_bin[i]) * math.pi / BINS
        metre = float(scale[image])
        for row in range(SHAPE[1]):
            for col in range(SHAPE[2]):
                x, y = col - int(labels.col[i]), int(labels.row[i]) - row  # y upwards
                along, across = x * math.cos(theta) + y * math.sin(theta), -x * math.sin(theta) + y * math.cos(theta)
                third = max(float(labels.width[i]) * metre / 6, 0.5)
                if abs(along) <= third and abs(across) <= max(JAW * metre / 2, 0.5):
                    quality[image, row, col] = 1 if labels.quality is None else float(labels.quality[i])
                    angle[image, row, col] = int(labels.angle_bin[i])
                    width[image, row, col] = float(labels.width[i]) / OPENING
    return quality, angle, width


@pytest.mark.parametrize(("seed", "scored"), [(0, False), (1, False), (2, True)])
def test_thirds_are_filled_and_later_labels_lie_on_top(seed, scored):
    labels, scale = random_labels(seed, quality=scored), torch.tensor([300.0, 700.0])
    maps = paint_rectangles(labels, SHAPE, scale, jaw=JAW, bins=BINS, max_opening=OPENING)
    quality, angle, width = drawn_one_by_one(labels, scale)
    assert (quality > 0).sum() > 200
    np.testing.assert_allclose(maps.quality[:, 0].numpy(), quality, atol=1e-6)
    np.testing.assert_array_equal(maps.angle.argmax(1).numpy()[quality > 0], angle[quality > 0])
    np.testing.assert_allclose(maps.angle.amax(1).numpy(), quality, atol=1e-6)
    np.testing.assert_array_equal((maps.angle > 0).sum(1).numpy(), quality > 0)  # a pixel has one angle
    np.testing.assert_allclose(maps.width.amax(1).numpy(), width, atol=1e-6)
    assert torch.equal(maps.width > 0, maps.angle > 0)


def test_no_label_is_no_target_and_a_lost_scale_is_named():
    none = LabelBatch(*(torch.zeros(0, dtype=torch.int64) for _ in range(4)), torch.zeros(0))
    assert all(not m.any() for m in paint_rectangles(none, SHAPE, torch.ones(2), jaw=JAW))
    with pytest.raises(InputError, match="scale"):
        paint_rectangles(random_labels(0), SHAPE, torch.tensor([1.0, math.nan]), jaw=JAW)


def test_the_labels_are_those_that_are_exported(bars_folder, tmp_path):
    told = shutil.copytree(bars_folder, tmp_path / "told")
    about = json.loads((told / "dataset.json").read_text())
    recipe = {"labels": {"angles": BINS}, "gripper": dataclasses.asdict(GripperGeometry())}
    (told / "dataset.json").write_text(json.dumps(about | {"recipe": recipe}))
    data = PLGPDataModule(told, enhance=False, rectangles=5)
    data.prepare_data()
    data.setup()
    export_rectangles(told, tmp_path / "out", "jacquard", per_image=5)
    files = sorted((tmp_path / "out").rglob("*_grasps.txt"), key=lambda p: (p.parent.name, p.name))
    frames = data.frames(train=True)
    assert len(files) == len(data.source) == 16
    for index, file in enumerate(files):
        written, kept = parse_jacquard(file.read_text()), frames.source.read(index, ("depth",))["grasps"]
        assert len(written) == 5
        np.testing.assert_allclose(written.x, kept.col)
        np.testing.assert_allclose(written.y, kept.row)
        np.testing.assert_allclose(written.opening, kept.width * 415.69 / 0.57, rtol=1e-3)


def test_batches_carry_painted_targets(bars_folder):
    data = PLGPDataModule(bars_folder, batch_size=3, crop=320, enhance=False, rectangles=20, rotate_deg=0.0, flip=0.0)
    data.prepare_data()
    data.setup()
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())))
    labels = LabelBatch(*batch.labels)
    assert 0 < len(labels.row) <= 60
    assert (batch.target.quality[labels.image, 0, labels.row, labels.col] == 1).all()
    on_bars = (batch.target.quality[:, 0] > 0).sum() / len(labels.row)
    assert on_bars > 10  # a bar's third is 7 pixels long, a jaw 12 broad; its rectangles overlap
    assert batch.target.width.max() == pytest.approx(0.29, abs=1e-5)


@pytest.mark.parametrize(
    "bad", [{"rectangles": 100}, *({"rectangles": count, "enhance": False} for count in (0, 1.5, "many", True))]
)
def test_bad_settings_are_named(bars_folder, bad):
    with pytest.raises(InputError, match="rectangles is"):
        PLGPDataModule(bars_folder, **bad)


def test_few_are_all(bars_folder):
    source = PLGPDataModule(bars_folder)
    source.prepare_data()
    source.setup()
    every = source.source.read(0, ("depth",))["grasps"]
    assert len(FewLabels(source.source, 10_000).read(0, ("depth",))["grasps"]) == len(every)
    assert len(FewLabels(source.source, 3, seed=1).read(0, ("depth",))["grasps"]) == 3
