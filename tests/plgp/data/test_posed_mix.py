"""Training on pictures with posed objects beside simulated ones, from import to checkpoint."""

import pytest
import torch
from hydra import compose, initialize_config_module

from labeler.dataset.generate import generate
from labeler.dataset.recipe import DataSetRecipe
from labeler.posed.data import import_posed
from labeler.posed.export_bop import export_bop
from plgp.train import train
from sim.errors import InputError
from sim.objects import ObjectSet


@pytest.fixture(scope="module")
def posed(tmp_path_factory):
    """A data set imported from BOP's format, of four scenes, without the file by which we know our own."""
    place = tmp_path_factory.mktemp("posed")
    options = {"objects": ObjectSet.pybullet(0, 20), "pixels_per_metre": 1000.0, "object_counts": (2,)}
    export_bop(
        generate(DataSetRecipe(scenes=4, views=1, seed=7, **options), place / "ours", progress=False), place / "bop"
    )
    (place / "bop" / "plgp-recipe.json").unlink()
    done = import_posed(place / "bop", place / "real", check=None)
    assert done.skipped == []
    return place / "real"


@pytest.mark.slow
@pytest.mark.parametrize("first", ["posed", "simulated"])
def test_training_on_both(first, posed, bars_folder, small, tmp_path):
    folders = [posed, bars_folder] if first == "posed" else [bars_folder, posed]
    words = [*small, f"data.folder={folders[0]}", f"data.also=[{folders[1]}]", f"output={tmp_path}"]
    words += ["callbacks=none", "logger=none", "data.workers=0", "data.splits=[0.5,0.5,0.0]"]
    with initialize_config_module("plgp_conf", version_base="1.3"):
        train(compose("train", words))
    saved = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["global_step"] == 2
    assert "+" in saved["trained_view"]["data_set"]


@pytest.mark.slow
def test_the_noise_of_a_simulated_sensor_does_not_replace_the_real_one_unasked(posed, bars_folder, small):
    with initialize_config_module("plgp_conf", version_base="1.3"):
        config = compose("train", [*small, f"data.folder={posed}", f"data.also=[{bars_folder}]"])
    assert config.data.depth_noise is None
    with pytest.raises(InputError):
        import_posed(posed, posed.parent / "none", check=None)  # shards are no data set with poses
