"""Bad values of a training's settings: one sentence that names the setting."""

import pytest
import torch
from hydra import compose, initialize_config_module

import labeler.dataset.generate  # noqa: F401
from plgp.train import train
from sim.cli import drop_null_choices
from sim.cli.command_line import mendable


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        ("optimizer.lr=fast", "lr"),
        ("optimizer.lr=-1", "lr"),
        ("data.workers=-1", "workers"),
        ("data.workers=many", "workers"),
        ("data.batch_size=-2", "batch_size"),
        ("data.batch_size=big", "batch_size"),
        ("trainer.precision=16-true", "precision"),
        ("trainer.precision=half", "precision"),
        ("trainer.accelerator=abacus", "accelerator"),
        ("trainer=gpu", "trainer"),
        ("trainer.max_epochs=-5", "max_epochs"),
        ("trainer.max_epochs=ten", "max_epochs"),
        ("trainer.max_time=soon", "max_time"),
        ("trainer.check_val_every_n_epoch=0", "check_val_every_n_epoch"),
        ("trainer.accumulate_grad_batches=0", "accumulate_grad_batches"),
        ("seed=-1", "seed"),
        ("seed=first", "seed"),
    ],
)
def test_a_bad_value_is_one_sentence(bad, word, small, bars_folder, tmp_path):
    if bad == "trainer=gpu" and torch.cuda.is_available():
        pytest.skip("a GPU is there")
    with initialize_config_module("plgp_conf", version_base="1.3"):
        options = [*small, f"data.folder={bars_folder}", "callbacks=none", "logger=null", f"output={tmp_path}", bad]
        config = compose("train", overrides=drop_null_choices(options))
    with pytest.raises(Exception) as caught:  # noqa: PT011  (what the command makes of it is looked at below)
        train(config)
    sentence = mendable(caught.value)
    assert sentence is not None, repr(caught.value)
    assert word in sentence
    assert "\n" not in sentence
