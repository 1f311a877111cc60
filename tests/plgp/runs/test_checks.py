"""What a training refuses before its first step, and what it says of monitors and objectives that are not there."""

import pytest
from hydra import compose, initialize_config_module
from hydra.core.hydra_config import HydraConfig
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from omegaconf import OmegaConf

import labeler.dataset.generate  # noqa: F401
import plgp.train  # noqa: F401  # its resolvers
from plgp.metrics import GraspMetrics
from plgp.runs.checks import check_settings, doubt_about_objective
from plgp.runs.monitors import BETTER, check_monitors, known_names, told_what_is_logged
from sim.errors import InputError


@pytest.fixture(scope="module")
def plain():
    with initialize_config_module("plgp_conf", version_base="1.3"):
        return compose("train", overrides=["output=/tmp/none", "callbacks=none", "+callbacks.benchmark=null"])


def changed(config, **values):
    other = OmegaConf.create(OmegaConf.to_container(config))
    for key, value in values.items():
        OmegaConf.update(other, key.replace("__", "."), value, force_add=True)
    return other


def early(**settings):
    return {"_target_": "lightning.pytorch.callbacks.EarlyStopping", **settings}


def plateau(mode):
    partial = {"_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau", "_partial_": True, "mode": mode}
    return {"partial": partial, "monitor": "val/hit_rate"}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"callbacks__checkpoint__monitor": "val/quality_ap"}, "least val/quality_ap .* callbacks.checkpoint.mode=max"),
        ({"callbacks__checkpoint__mode": "max"}, "greatest val/loss .* give callbacks.checkpoint.mode=min"),
        ({"callbacks__early": early(monitor="val/quality_ap")}, "give callbacks.early.mode=max"),
        ({"module__scheduler": plateau("min")}, "give scheduler.partial.mode=max"),
        ({"callbacks__early": early(monitor="val_loss")}, r"callbacks.early.monitor=val_loss .*mean val/loss\?"),
        ({"callbacks__checkpoint__monitor": "benchmark/AP"}, "no metric of this training.*leaves the benchmark out"),
        (
            {"module__scheduler": plateau("max") | {"monitor": "val/hitrate"}},
            "scheduler.monitor=val/hitrate.*hit_rate",
        ),
        ({"trainer__overfit_batches": 1}, "give data.overfit=8"),
        ({"callbacks__early": early(monitor="step")}, "callbacks.early.monitor=step is no metric of this training"),
        ({"objective": "val/qualityap"}, r"objective=val/qualityap .*did you mean val/quality_ap\?"),
        ({"data__samples_per_epoch": 0}, "data.samples_per_epoch is 0; give a whole number of at least 1"),
        ({"data__val_samples": 0}, "data.val_samples is 0"),
        ({"data__val_samples": -1}, "data.val_samples is -1"),
        ({"trainer__max_epochs": 0}, "trainer.max_epochs is 0, by which nothing is trained"),
        ({"trainer__max_steps": 0}, "trainer.max_steps is 0, by which nothing is trained"),
        ({"trainer__limit_train_batches": 0.0}, "trainer.limit_train_batches is 0.0, by which nothing is trained"),
        (
            {"callbacks__stop": {"_target": "x.Y", "patience": 1}},
            "callbacks.stop has no _target_.* it has _target, did",
        ),
        ({"callbacks__stop": {"patience": 1}}, r"callbacks.stop has no _target_.*\+callbacks.stop._target_=CLASS"),
        ({"callbacks__benchmark": {"target": "x.Y"}}, "callbacks.benchmark has no _target_"),
        ({"callbacks__stop": 3}, "callbacks.stop has no _target_"),
        ({"logger__tb": {"tensorboard": {"_target_": "x.Y"}}}, r"logger.tb has no _target_.*logger=\[csv,wandb\]"),
        ({"data__flip": 2}, "data.flip is 2; give a number from 0 to 1"),
    ],
)
def test_what_is_refused_before_training(plain, values, message):
    with pytest.raises(InputError, match=message):
        check_settings(changed(plain, **values))


def test_what_is_not_known_for_sure_is_left_to_the_training(plain):
    watched = {"callbacks__early": early(monitor="val/mine"), "objective": "val/mine"}
    check_settings(changed(plain, callbacks__own={"_target_": "mine.Callback"}, **watched))
    check_settings(changed(plain, module__loss={"_target_": "mine.Loss"}, **watched))
    check_settings(changed(plain, callbacks__early=early(monitor="lr-Adam"), data__flip=1, objective="val/hit_rate"))
    check_monitors(changed(plain, module__scheduler=plateau("max"), callbacks__early=early(monitor="train/loss")))
    check_settings(changed(plain, callbacks__benchmark={"scenes": 2}))  # an experiment's, of a callback left out


def test_a_value_of_an_own_callback_that_is_left_out_is_none(plain, tmp_path):
    """As an experiment of one's own sets it, with ``--config-dir``."""
    (tmp_path / "callbacks").mkdir()
    (tmp_path / "callbacks" / "mine.yaml").write_text("snapshots:\n  _target_: mine.Snapshots\n")
    config = changed(plain, callbacks__snapshots={"interval": "epoch"})
    with pytest.raises(InputError, match=r"callbacks.snapshots has no _target_"):
        check_settings(config)
    with initialize_config_module("plgp_conf", version_base="1.3"):
        own = [f"hydra.searchpath=['file://{tmp_path}']", "callbacks=mine"]
        HydraConfig.instance().set_config(compose("train", overrides=own, return_hydra_config=True))
    try:
        check_settings(config)
    finally:
        HydraConfig.instance().cfg = None


@pytest.mark.parametrize(("monitor", "mode"), [("step", "max"), ("epoch", "max"), ("epoch", "min")])
def test_a_checkpoint_may_watch_what_is_counted(plain, monitor, mode):
    check_monitors(changed(plain, callbacks__checkpoint__monitor=monitor, callbacks__checkpoint__mode=mode))


def test_every_metric_has_its_direction_and_the_loggers_agree(plain):
    names = {f"val/{name}" for name in GraspMetrics(max_opening=0.1, radius_px=2, hit_bins=1).items()}
    known = known_names(plain)
    assert known is not None
    assert {"val/loss", *names} == {name for name in known if name.startswith("val/")}
    assert all(BETTER[name] == best for name, best in plain.logger.wandb.summary.items())


@pytest.mark.parametrize("callback", [EarlyStopping("val_loss"), ModelCheckpoint(monitor="val_loss")])
def test_lightnings_own_error_about_a_monitor_is_a_sentence(callback, tmp_path):
    """Raised by the real callbacks, after the first validation of a module of one's own."""
    import torch
    from lightning import LightningModule, Trainer

    class Own(LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(1, 1)

        def training_step(self, batch, index):
            return self.layer(batch).sum()

        def validation_step(self, batch, index):
            self.log("val/loss", self.layer(batch).sum())

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    trainer = Trainer(max_epochs=1, default_root_dir=tmp_path, callbacks=[callback], **quiet)
    message = r"monitor=val_loss was not logged \(did you mean val/loss\?\); .*val/loss"
    with pytest.raises(InputError, match=message), told_what_is_logged():
        trainer.fit(Own(), torch.ones(1, 1), torch.ones(1, 1))
    with pytest.raises(RuntimeError, match="other"), told_what_is_logged():
        raise RuntimeError("other")


def test_an_objective_without_a_value_is_doubted_where_somebody_asked_for_it(plain):
    logged, grid, search = {"val/loss": 1.0}, "hydra.BasicSweeper", "hydra_plugins.OptunaSweeper"
    assert doubt_about_objective(plain, logged, grid) == doubt_about_objective(plain, logged, None) == ""
    assert "objective=benchmark/AP has no value" in doubt_about_objective(plain, logged, search)
    other = changed(plain, objective="val/mine")
    assert doubt_about_objective(other, logged, grid).endswith("logged were val/loss")
    assert doubt_about_objective(changed(plain, objective="val/loss"), logged, search) == ""
    for opened in ({}, {"test/AP": 50.0}):  # a run that had ended before its last metrics were kept
        assert doubt_about_objective(other, opened, search) == ""
