"""The DataModule on a tiny data set in the real format."""

import itertools
import json
import shutil
import warnings

import numpy as np
import pytest
import torch

from labeler.dataset.generate import DataSetRecipe, generate
from labeler.settings import LabelSettings
from plgp.data import PLGPDataModule
from plgp.data.trained_view import TrainedView
from sim.depth_noise import DepthNoise, describe_noise
from sim.depth_noise.mixed import mix_presets
from sim.errors import InputError
from sim.objects import ObjectSet
from sim.worlds import RandomWorld


def build(folder, **options):
    data = PLGPDataModule(folder, batch_size=3, **options)
    data.prepare_data()
    data.setup()
    return data


@pytest.mark.parametrize(("modality", "channels"), [("depth", 1), ("rgb", 3), ("rgbd", 4)])
def test_batches_have_images_and_targets(bars_folder, modality, channels):
    data = build(bars_folder, modality=modality, crop=320)
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())))
    assert batch.image.shape == (3, channels, 320, 320)
    assert batch.image.dtype == torch.float32
    assert abs(batch.image.mean().item()) < 0.05
    assert [tuple(m.shape) for m in batch.target] == [(3, 1, 320, 320), (3, 18, 320, 320), (3, 18, 320, 320)]
    labels = batch.labels
    assert (batch.target.quality[labels.image, 0, labels.row, labels.col] == 1).all()
    torch.testing.assert_close(
        batch.target.width[labels.image, labels.angle_bin, labels.row, labels.col], torch.full((len(labels.row),), 0.29)
    )
    inside = (batch.target.quality[:, 0] > 0) & (batch.instance_mask == 0)
    assert inside.float().mean() < 1e-4  # guarded: the enhancement stays on the bars (rounding moves a label or two)


def test_splits_do_not_share_scenes(bars_folder):
    data = build(bars_folder)
    scenes = [set(data.source.scenes[v].tolist()) for v in data.indices.values()]
    assert sum(map(len, scenes)) == len(set.union(*scenes)) == 8


def test_validation_on_what_is_trained_on_is_told(bars_folder):
    with pytest.warns(UserWarning, match=r"no scene for validation with data.splits=\[1, 0, 0\]: val/ .* trained on"):
        build(bars_folder, splits=(1, 0, 0)).val_dataloader()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build(bars_folder).val_dataloader()
        build(bars_folder, splits=(1, 0, 0), overfit=2).val_dataloader()  # whose very purpose it is
        build(bars_folder, splits=(1, 0, 0)).train_dataloader()  # trainer.limit_val_batches=0 asks for no more


def test_samples_are_a_function_of_seed_epoch_and_index(bars_folder):
    def epoch(seed, number):
        data = build(bars_folder, seed=seed)
        loader = data.train_dataloader()
        loader.sampler.set_epoch(number)
        return [(b.image_index, b.image) for b in loader]

    first, again, later, other = epoch(0, 1), epoch(0, 1), epoch(0, 2), epoch(1, 1)
    for (index, image), (index_again, image_again) in zip(first, again, strict=True):
        assert torch.equal(index, index_again)
        assert torch.equal(image, image_again)
    assert not torch.equal(first[0][1], later[0][1])
    assert not torch.equal(first[0][1], other[0][1])


def test_workers_give_the_same_and_see_the_epoch(bars_folder):
    single, several = build(bars_folder), build(bars_folder, workers=1)
    loaders = single.train_dataloader(), several.train_dataloader()
    for epoch in (0, 1):
        for loader in loaders:
            loader.sampler.set_epoch(epoch)
        for a, b in zip(*loaders, strict=True):
            assert torch.equal(a.image, b.image)
            assert torch.equal(a.labels.row, b.labels.row)


def test_an_image_that_an_epoch_shows_again_is_drawn_anew(bars_folder):
    data = build(bars_folder)
    frames, index = data.frames(train=True), data.indices["train"][0]
    first, same, again = frames[(3, index)], frames[(3, index)], frames[(3, index, 1)]
    assert torch.equal(first.image, same.image)
    assert not torch.equal(first.image, again.image)
    assert first.image_index == again.image_index == index


def test_bad_input_is_clear(tmp_path, bars_folder):
    with pytest.raises(InputError, match="no data set"):
        PLGPDataModule(tmp_path).prepare_data()
    with pytest.raises(InputError, match="modality"):
        PLGPDataModule(tmp_path, modality="grey")
    with pytest.raises(InputError, match="batch_size"):
        PLGPDataModule(tmp_path, batch_size=0)
    shutil.copytree(bars_folder, tmp_path / "coarse")
    info = json.loads((tmp_path / "coarse" / "dataset.json").read_text()) | {"recipe": {"labels": {"angles": 12}}}
    (tmp_path / "coarse" / "dataset.json").write_text(json.dumps(info))
    with pytest.raises(InputError, match="labels of 12 angles, bins is 18"):
        build(tmp_path / "coarse")
    data = build(bars_folder, crop=500)
    with pytest.raises(InputError, match="crop 500"):
        next(iter(data.val_dataloader()))
    assert np.isfinite(build(bars_folder, crop=128).frames(False)[0, 0].image).all()


def test_a_labels_score_becomes_its_target_above_the_floor(scored_bars):
    still = {"translate_px": 0, "rotate_deg": 0, "flip": 0, "enhance": False, "splits": (1, 0, 0)}
    data = build(scored_bars, quality_floor=0.4, **still)
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())))
    labels = batch.labels
    for image, index in enumerate(batch.image_index.tolist()):
        own = labels.image == image
        wanted = np.zeros((320, 320))
        read = data.source.read(index, ())["grasps"]
        row, col = read.row.astype(int) - 80, read.col.astype(int) - 160
        inside = (np.minimum(row, col) >= 0) & (np.maximum(row, col) < 320)
        np.maximum.at(wanted, (row[inside], col[inside]), 0.4 + 0.6 * read.score[inside])
        assert inside.sum() == own.sum() > 0
        np.testing.assert_allclose(batch.target.quality[image, 0].numpy(), wanted, atol=1e-6)
    same = build(scored_bars, **still)
    assert set(same.on_after_batch_transfer(next(iter(same.train_dataloader()))).target.quality.unique().tolist()) == {
        0.0,
        1.0,
    }


def test_a_floor_wants_scores_and_a_share(bars_folder):
    with pytest.raises(InputError, match=r"wants labels with scores.*recipe.scores=true"):
        build(bars_folder, quality_floor=0.5)
    for floor in (0.0, 1.1, float("nan")):
        with pytest.raises(InputError, match="quality_floor is"):
            PLGPDataModule(bars_folder, quality_floor=floor)


def test_one_of_several_presets_is_drawn_for_each_image_by_seed_epoch_and_number_alone(bars_folder):
    names = ["d435", "phoxi"]

    def image(key, **options):
        return build(bars_folder, crop=320, **options).frames(train=False)[key].image

    noise = mix_presets(names)
    many = [image((epoch, 0), depth_noise=names) for epoch in range(6)]
    assert torch.equal(many[3], image((3, 0), depth_noise=names))
    assert all(not torch.equal(a, b) for a, b in itertools.pairwise(many))
    data = build(bars_folder, crop=320, depth_noise=names)
    assert data.trained_view.depth_noise == describe_noise(noise)
    assert data.trained_view == TrainedView.from_dict(json.loads(json.dumps(data.trained_view.to_dict())), "here")
    with pytest.raises(InputError, match="leave one of them null"):
        build(bars_folder, depth_noise=names, fresh_noise=noise)
    with pytest.raises(InputError, match="unknown depth_noise 'd436'"):
        build(bars_folder, depth_noise=["d436"])


def test_fresh_noise_is_drawn_anew_each_epoch_over_the_clean_depth(bars_folder):
    def image(epoch, noise):
        return build(bars_folder, crop=320, fresh_noise=noise).frames(train=False)[epoch, 0].image

    noise = DepthNoise()
    first, again, later = image(0, noise), image(0, noise), image(1, noise)
    assert torch.equal(first, again)
    assert not torch.equal(first, later)
    clean = build(bars_folder, crop=320, depth_key="depth").frames(train=False)[0, 0].image
    assert torch.equal(
        image(0, DepthNoise(missing_low=1e9, missing_high=2e9, missing_low_probability=0.0, sigma=0.0, blurs=0)), clean
    )


def test_images_of_several_sizes_train_together(tmp_path):
    """Each is cropped around its own middle; one that is smaller than the crop is named before training starts."""
    sizes = ((160, 120), (128, 100))
    recipe = DataSetRecipe(
        objects=ObjectSet.pybullet(0, 20),
        pixels_per_metre=1000.0,
        labels=LabelSettings(angles=6),
        world=RandomWorld(sizes=sizes, counts=(2, 3), shown=(0.3, 0.4)),
        scenes=3,
        views=2,
    )
    folder = generate(recipe, tmp_path / "sizes", progress=False)
    data = build(folder, crop=96, bins=6, splits=(1.0, 0.0, 0.0))
    frames = data.frames(train=False)
    for index in range(len(data.source)):
        read = data.source.read(index, ("depth_noisy", "instance_mask"))
        top, left = ((n - 96) // 2 for n in read["depth_noisy"].shape)
        sample = frames[0, index]
        np.testing.assert_array_equal(sample.instance_mask, read["instance_mask"][top : top + 96, left : left + 96])
        rows, cols = read["grasps"].row.astype(int) - top, read["grasps"].col.astype(int) - left
        inside = (rows >= 0) & (cols >= 0) & (rows < 96) & (cols < 96)
        assert len(sample.grasps.row) == inside.sum()
        np.testing.assert_array_equal(sample.grasps.row, rows[inside])
    assert {data.source.read(i, ("depth",))["depth"].shape for i in range(6)} == {(120, 160), (100, 128)}
    batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())))
    assert batch.image.shape == (3, 1, 96, 96)
    with pytest.raises(InputError, match="crop 112 is larger than the 100x128 images"):
        build(folder, crop=112, bins=6)
