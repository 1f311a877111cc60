"""Every network of Table II through one short training, validation and its own checkpoint."""

import math

import pytest
import torch
from hydra import compose, initialize_config_module

from plgp.module import load_module
from plgp.train import train

NETWORKS = ["ggcnn2", "grcnn", "unet", "segnet", "deeplabv3plus", "stdc", "danet", "affga"]
OPTIONS = [
    "data.recipe=null",
    "crop=96",
    "data.translate_px=10",
    "data.batch_size=2",
    "data.samples_per_epoch=4",
    "data.val_samples=2",
    "data.workers=0",
    "trainer.max_epochs=1",
    "+trainer.enable_progress_bar=false",
    "callbacks=none",
    "logger=csv",
    "modality=rgbd",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", NETWORKS)
def test_trains_validates_and_loads_again(name, bars_folder, tmp_path):
    options = [*OPTIONS, f"network={name}", f"data.folder={bars_folder}", f"output={tmp_path}"]
    with initialize_config_module("plgp_conf", version_base="1.3"):
        metrics = train(compose("train", overrides=options))
    assert math.isfinite(metrics["val/loss"])
    module = load_module(tmp_path / "checkpoints" / "last.ckpt")
    with torch.no_grad():
        assert module(torch.zeros(1, 4, 64, 96)).angle.shape == (1, 18, 64, 96)
